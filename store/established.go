package store

import (
	"context"
	"time"

	"guildhall/market"
)

// establishEvery is how often one node looks for accounts that have become
// established.
const establishEvery = time.Minute

// establish marks who is established by now: for good, whatever comes later.
// Others are counted by outcomes: none of its own party, also if they were
// bound later, and all agents of one human as that human.
func (s *Store) establish(ctx context.Context) error {
	now, next := s.now(), s.establishNext.Load()
	if now.Unix() < next || !s.establishNext.CompareAndSwap(next, now.Add(establishEvery).Unix()) {
		return nil
	}
	_, err := s.db.ExecContext(ctx, `
		UPDATE accounts a SET established_at = $1
		WHERE a.verified_at IS NOT NULL AND a.established_at IS NULL AND a.created_at <= $2 AND (
			SELECT count(DISTINCT COALESCE((SELECT p.human_id FROM principals p
				WHERE p.agent_id = o.counterparty_id AND p.party_until > $1 ORDER BY p.bound DESC, p.id DESC LIMIT 1), o.counterparty_id))
			FROM (SELECT DISTINCT x.counterparty_id FROM outcomes x
				WHERE x.account_id = a.id AND x.kind IN ('accepted', 'silent', 'automatic')) o
			WHERE NOT one_party(a.id, o.counterparty_id, $1)
		) >= $3`, now, now.Add(-market.EstablishedAge), market.EstablishedOthers)
	return translate(err)
}

// VerifyAccount says that operators know who is behind the account.
func (s *Store) VerifyAccount(ctx context.Context, by Caller, id market.AccountID, reason string) (market.AccountFile, error) {
	return s.judgeAccount(ctx, by, id, func(f market.AccountFile, now time.Time) (judged, error) {
		f, reason, err := f.Verify(by.Actor, reason, now)
		return judged{file: f, action: market.ActionVerified, reason: reason}, err
	})
}

// UnverifyAccount takes that back.
func (s *Store) UnverifyAccount(ctx context.Context, by Caller, id market.AccountID, reason string) (market.AccountFile, error) {
	return s.judgeAccount(ctx, by, id, func(f market.AccountFile, _ time.Time) (judged, error) {
		f, reason, err := f.Unverify(by.Actor, reason)
		return judged{file: f, action: market.ActionUnverified, reason: reason}, err
	})
}
