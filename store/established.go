package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// establishEvery is how often one node looks for accounts that have become
// established.
const establishEvery = time.Minute

// establish marks who is established by now: for good, whatever comes later.
// Others are counted by outcomes, which leave out an account's own party.
func (s *Store) establish(ctx context.Context) error {
	now, next := s.now(), s.establishNext.Load()
	if now.Unix() < next || !s.establishNext.CompareAndSwap(next, now.Add(establishEvery).Unix()) {
		return nil
	}
	_, err := s.db.ExecContext(ctx, `
		UPDATE accounts a SET established_at = $1
		WHERE a.verified_at IS NOT NULL AND a.established_at IS NULL AND a.created_at <= $2 AND (
			SELECT count(DISTINCT x.counterparty_id) FROM outcomes x
			WHERE x.account_id = a.id AND x.kind IN ('accepted', 'silent', 'automatic')
		) >= $3`, now, now.Add(-market.EstablishedAge), market.EstablishedOthers)
	return translate(err)
}

// SetVerified says, or takes back, that operators know who is behind the
// account. Taken back, it is not established either. It returns
// market.ErrNotFound for an absent account and market.ErrAlreadyDone if
// nothing would change.
func (s *Store) SetVerified(ctx context.Context, by Caller, id market.AccountID, verified bool, reason string) error {
	now := s.now()
	return s.inTx(ctx, func(tx pgx.Tx) error {
		var is bool
		if err := tx.QueryRow(ctx, `SELECT verified_at IS NOT NULL FROM accounts WHERE id = $1 AND kind <> 'platform' FOR UPDATE`, string(id)).Scan(&is); err != nil {
			return err
		}
		if is == verified {
			return market.ErrAlreadyDone
		}
		var b batch
		action := market.ActionUnverified
		if verified {
			action = market.ActionVerified
			b.Queue(`UPDATE accounts SET verified_at = $2 WHERE id = $1`, string(id), now)
		} else {
			b.Queue(`UPDATE accounts SET verified_at = NULL, established_at = NULL WHERE id = $1`, string(id))
		}
		b.log(by, action, string(id), reason, nil, now)
		return tx.SendBatch(ctx, &b.Batch).Close()
	})
}
