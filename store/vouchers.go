package store

import (
	"context"
	"errors"
	"time"

	"guildhall/market"
)

// NewVouchers makes a batch. The codes are returned here and never again.
func (s *Store) NewVouchers(ctx context.Context, by Caller, d market.VoucherDraft) (market.VoucherBatch, []string, error) {
	now := s.now()
	v := market.VoucherBatch{ID: newID[market.VoucherBatchID](), Amount: market.Credits(d.Amount), Class: d.Class, Count: int(d.Count),
		Purpose: d.Purpose, ExpiresAt: now.Add(time.Duration(d.Days) * 24 * time.Hour), CreatedAt: now, CreatedBy: by.Handle}
	codes, ids, hashes := make([]string, d.Count), make([]string, d.Count), make([][]byte, d.Count)
	for i := range codes {
		codes[i], ids[i] = market.NewVoucherCode(), newID[string]()
		hashes[i], _ = market.HashVoucherCode(codes[i])
	}
	var b batch
	if err := b.once(by, v, now); err != nil {
		return v, nil, err
	}
	b.Queue(`
		INSERT INTO voucher_batches (id, amount, class, count, purpose, expires_at, created_by, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		string(v.ID), int64(v.Amount), string(v.Class), v.Count, v.Purpose, v.ExpiresAt, string(by.Account), now)
	b.Queue(`INSERT INTO vouchers (id, batch_id, hash) SELECT u.id, $1, u.hash FROM unnest($2::uuid[], $3::bytea[]) u (id, hash)`,
		string(v.ID), ids, hashes)
	b.log(by, market.ActionVouchersMade, string(v.ID), "", map[string]int{"added": v.Count}, now)
	return v, codes, s.commit(ctx, &b)
}

// VoucherBatches are the batches, newest first, older than before ("": from
// the newest).
func (s *Store) VoucherBatches(ctx context.Context, before market.VoucherBatchID, limit int) ([]market.VoucherBatch, error) {
	return s.voucherBatches(ctx, `WHERE $1::uuid IS NULL OR b.id < $1::uuid ORDER BY b.id DESC LIMIT $2`, nullID(before), limit)
}

// VoucherBatch is the batch with the id.
func (s *Store) VoucherBatch(ctx context.Context, id market.VoucherBatchID) (market.VoucherBatch, error) {
	found, err := s.voucherBatches(ctx, `WHERE b.id = $1`, string(id))
	if err == nil && len(found) == 0 {
		err = market.ErrNotFound
	}
	if err != nil {
		return market.VoucherBatch{}, err
	}
	return found[0], nil
}

func (s *Store) voucherBatches(ctx context.Context, which string, args ...any) ([]market.VoucherBatch, error) {
	var rows []struct {
		ID        market.VoucherBatchID `db:"id"`
		Amount    market.Credits        `db:"amount"`
		Class     market.Class          `db:"class"`
		Count     int                   `db:"count"`
		Purpose   string                `db:"purpose"`
		Redeemed  int                   `db:"redeemed"`
		ExpiresAt time.Time             `db:"expires_at"`
		CreatedAt time.Time             `db:"created_at"`
		CreatedBy string                `db:"creator"`
		RevokedBy string                `db:"revoker"`
		RevokedAt *time.Time            `db:"revoked_at"`
	}
	err := s.db.SelectContext(ctx, &rows, `
		SELECT b.id, b.amount, b.class, b.count, b.purpose, b.expires_at, b.created_at, b.revoked_at,
			(SELECT count(redeemed_at) FROM vouchers v WHERE v.batch_id = b.id) AS redeemed,
			c.handle AS creator, COALESCE(r.handle, '') AS revoker
		FROM voucher_batches b
		JOIN accounts c ON c.id = b.created_by
		LEFT JOIN accounts r ON r.id = b.revoked_by
		`+which, args...)
	if err != nil {
		return nil, translate(err)
	}
	out := make([]market.VoucherBatch, 0, len(rows))
	for _, r := range rows {
		out = append(out, market.VoucherBatch(r))
	}
	return out, nil
}

// RevokeVouchers ends the batch: what nobody has redeemed is worth nothing
// from now on. It returns market.ErrAlreadyDone if the batch is revoked.
func (s *Store) RevokeVouchers(ctx context.Context, by Caller, id market.VoucherBatchID) (market.VoucherBatch, error) {
	v, err := s.VoucherBatch(ctx, id)
	if err != nil {
		return v, err
	}
	if v.RevokedAt != nil {
		return v, market.ErrAlreadyDone
	}
	now := s.now()
	v.RevokedAt, v.RevokedBy = &now, by.Handle
	var b batch
	if err := b.once(by, v, now); err != nil {
		return v, err
	}
	b.Queue(`UPDATE voucher_batches SET revoked_by = $2, revoked_at = $3 WHERE id = $1 AND revoked_at IS NULL`, string(id), string(by.Account), now)
	b.log(by, market.ActionVouchersRevoked, string(id), "", nil, now)
	return v, s.commit(ctx, &b)
}

// RedeemVoucher puts the credits of the code's voucher into the caller's
// wallet. Of two at once the first has it. It returns market.ErrVoucherUnknown
// or what Voucher.Redeem refuses.
func (s *Store) RedeemVoucher(ctx context.Context, by Caller, code string) (market.Voucher, error) {
	hash, ok := market.HashVoucherCode(code)
	if !ok {
		return market.Voucher{}, unknownVoucher()
	}
	for range maxRaces {
		v, err := s.redeemVoucher(ctx, by, hash)
		if !errors.Is(err, errRaceLost) {
			return v, err
		}
	}
	return market.Voucher{}, market.ErrUnavailable.After(time.Second)
}

func unknownVoucher() error {
	e := *market.ErrVoucherUnknown
	e.Fields = []market.FieldError{{Pointer: "/code", Code: "voucher_unknown"}}
	return &e
}

func (s *Store) redeemVoucher(ctx context.Context, by Caller, hash []byte) (market.Voucher, error) {
	var row struct {
		ID         market.VoucherID      `db:"id"`
		Batch      market.VoucherBatchID `db:"batch_id"`
		Amount     market.Credits        `db:"amount"`
		Class      market.Class          `db:"class"`
		ExpiresAt  time.Time             `db:"expires_at"`
		RevokedAt  *time.Time            `db:"revoked_at"`
		RedeemedBy market.AccountID      `db:"redeemed_by"`
	}
	err := s.db.GetContext(ctx, &row, `
		SELECT v.id, v.batch_id, b.amount, b.class, b.expires_at, b.revoked_at, COALESCE(v.redeemed_by::text, '') AS redeemed_by
		FROM vouchers v JOIN voucher_batches b ON b.id = v.batch_id
		WHERE v.hash = $1`, hash)
	if err = translate(err); errors.Is(err, market.ErrNotFound) {
		err = unknownVoucher()
	}
	if err != nil {
		return market.Voucher{}, err
	}
	v, now := market.Voucher(row), s.now()
	t, err := v.Redeem(by.Actor, now)
	if err != nil {
		return v, err
	}
	v.RedeemedBy = by.Account
	var b batch
	if err := b.once(by, v, now); err != nil {
		return v, err
	}
	b.Queue(`SELECT take_voucher($1, $2, $3)`, string(v.ID), string(by.Account), now)
	b.post([]market.Transfer{t}, now)
	return v, s.commit(ctx, &b)
}
