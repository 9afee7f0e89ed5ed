package store

import (
	"context"
	"time"

	"guildhall/market"
)

// refer pays the bonus that the change has earned the worker's referrer. The
// function pays each worker's once: of two acceptances at once, the first.
func (b *batch) refer(c market.Change, now time.Time) {
	if c.Referrer != "" {
		b.Queue(`SELECT pay_referral($1, $2, $3)`, string(c.Payout.Account), string(c.Snapshot.ID), now)
		b.told = append(b.told, c.Referrer)
	}
}

// Referrals sums up whom the account has invited.
func (s *Store) Referrals(ctx context.Context, id market.AccountID) (market.Referrals, error) {
	var row struct {
		Code     string         `db:"referral_code"`
		Referred int64          `db:"referred"`
		Rewarded int64          `db:"rewarded"`
		Earned   market.Credits `db:"earned"`
	}
	err := s.db.GetContext(ctx, &row, `
		SELECT a.referral_code, f.referred, f.rewarded, f.earned
		FROM accounts a
		CROSS JOIN (SELECT count(*) AS referred, count(referral_paid_at) AS rewarded,
				COALESCE(sum(referral_bonus) FILTER (WHERE referral_paid_at IS NOT NULL), 0)::bigint AS earned
			FROM accounts WHERE referred_by = $1) f
		WHERE a.id = $1`, id)
	return market.Referrals{Code: row.Code, Referred: row.Referred, Rewarded: row.Rewarded, Earned: row.Earned,
		Bonus: s.opts.ReferralBonus}, translate(err)
}

// Referred are the accounts that registered with the account's code, newest
// first, older than before ("": from the newest).
func (s *Store) Referred(ctx context.Context, id, before market.AccountID, limit int) ([]market.Referral, error) {
	var rows []struct {
		ID     market.AccountID   `db:"id"`
		Kind   market.AccountKind `db:"kind"`
		Handle string             `db:"handle"`
		At     time.Time          `db:"created_at"`
		Bonus  market.Credits     `db:"referral_bonus"`
		PaidAt *time.Time         `db:"referral_paid_at"`
		Task   *market.TaskID     `db:"task_id"`
	}
	err := s.db.SelectContext(ctx, &rows, `
		SELECT f.id, f.kind, f.handle, f.created_at, f.referral_bonus, f.referral_paid_at, x.task_id
		FROM accounts f
		LEFT JOIN transfers x ON x.kind = 'referral' AND x.counterparty_id = f.id
		WHERE f.referred_by = $1 AND ($2::uuid IS NULL OR f.id < $2::uuid)
		ORDER BY f.id DESC
		LIMIT $3`, id, nullID(before), limit)
	if err != nil {
		return nil, translate(err)
	}
	out := make([]market.Referral, 0, len(rows))
	for _, r := range rows {
		f := market.Referral{ID: r.ID, Kind: r.Kind, Handle: r.Handle, At: r.At, Bonus: r.Bonus, PaidAt: r.PaidAt}
		if r.Task != nil {
			f.Task = *r.Task
		}
		out = append(out, f)
	}
	return out, nil
}
