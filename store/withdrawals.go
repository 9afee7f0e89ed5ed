package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// Shelf are the codes of the good that nobody has ordered and that were not
// taken out, those that have ended among them: the latest first, older than
// before.
func (s *Store) Shelf(ctx context.Context, id market.GoodID, before market.CodeID, limit int) ([]market.Shelved, error) {
	return list(ctx, s, func(row pgx.CollectableRow) (c market.Shelved, err error) {
		return c, row.Scan(&c.ID, &c.Print, &c.AddedAt, &c.ExpiresAt)
	}, `
		SELECT c.id, right(encode(c.fingerprint, 'hex'), 8), c.added_at, c.expires_at
		FROM goods_codes c
		WHERE c.good_id = $1 AND `+stocked+` AND ($2::uuid IS NULL OR c.id < $2::uuid)
		ORDER BY c.id DESC LIMIT $3`, []any{string(id), nullID(before), limit})
}

// Batches are the good's imports, the latest first.
func (s *Store) Batches(ctx context.Context, id market.GoodID, limit int) ([]market.Batch, error) {
	return list(ctx, s, func(row pgx.CollectableRow) (b market.Batch, err error) {
		return b, row.Scan(&b.AddedAt, &b.Codes, &b.Free)
	}, `
		SELECT c.added_at, count(*), count(*) FILTER (WHERE `+stocked+`)
		FROM goods_codes c
		WHERE c.good_id = $1
		GROUP BY c.added_at
		ORDER BY c.added_at DESC LIMIT $2`, []any{string(id), limit})
}

// WithdrawCodes takes codes out of the good's stock for ever and returns how
// many. What is ordered stays so: of an order and a withdrawal that want the
// same code one wins. With none left to take it is market.ErrCodesTaken.
func (s *Store) WithdrawCodes(ctx context.Context, by Caller, id market.GoodID, w market.Withdrawal) (int64, error) {
	var n int64
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		if by.Once != nil {
			if _, err := tx.Exec(ctx, `SELECT begin_once($1)`, onceScope(by)); err != nil {
				return err
			}
		}
		done, err := tx.Exec(ctx, `
			UPDATE goods_codes c SET withdrawn_at = $1
			WHERE c.good_id = $2 AND `+stocked+` AND CASE WHEN $3::uuid IS NULL THEN c.added_at = $4 ELSE c.id = $3::uuid END`,
			now, string(id), nullID(w.Code), w.AddedAt)
		if err != nil {
			return err
		}
		if n = done.RowsAffected(); n == 0 {
			return nothingWithdrawn(ctx, tx, id, w)
		}
		var b batch
		if err := b.once(by, n, now); err != nil {
			return err
		}
		b.log(by, market.ActionCodesWithdrawn, string(id), w.Reason, withdrawn(w, n), now)
		return tx.SendBatch(ctx, &b.Batch).Close()
	})
	return n, err
}

// nothingWithdrawn says whether there are no such codes, or none to be had.
func nothingWithdrawn(ctx context.Context, tx pgx.Tx, id market.GoodID, w market.Withdrawal) error {
	var there bool
	err := tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT 1 FROM goods_codes c
			WHERE c.good_id = $1 AND CASE WHEN $2::uuid IS NULL THEN c.added_at = $3 ELSE c.id = $2::uuid END)`,
		string(id), nullID(w.Code), w.AddedAt).Scan(&there)
	switch {
	case err != nil:
		return err
	case there:
		return market.ErrCodesTaken
	}
	return market.ErrNotFound
}

// withdrawn is what the log keeps of a withdrawal.
func withdrawn(w market.Withdrawal, n int64) map[string]any {
	d := map[string]any{"withdrawn": n}
	if w.Code != "" {
		d["code"] = w.Code
	} else {
		d["addedAt"] = w.AddedAt.Format(time.RFC3339Nano)
	}
	return d
}
