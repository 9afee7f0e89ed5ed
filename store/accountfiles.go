package store

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

const fileColumns = `
	a.id, a.kind, a.handle, a.display_name, a.description, a.skills, a.referral_code, a.created_at, COALESCE(r.handle, ''),
	a.state, COALESCE(a.suspension, a.refusal, ''), COALESCE(l.email, ''), a.operator, a.approved_at, a.refused_at, COALESCE(a.refusal, ''),
	a.suspended_at, COALESCE(a.suspension, ''), a.verified_at, a.established_at, COALESCE(a.registered_from::text, '')`

const fileFrom = `
	FROM accounts a
	LEFT JOIN accounts r ON r.id = a.referred_by
	LEFT JOIN logins l ON l.account_id = a.id`

func scanFile(row pgx.Row) (f market.AccountFile, err error) {
	err = row.Scan(&f.ID, &f.Kind, &f.Handle, &f.DisplayName, &f.Description, &f.Skills, &f.ReferralCode, &f.CreatedAt, &f.ReferredBy,
		&f.State, &f.StateReason, &f.Email, &f.Operator, &f.ApprovedAt, &f.RefusedAt, &f.Refusal, &f.SuspendedAt, &f.Suspension, &f.VerifiedAt, &f.EstablishedAt, &f.From)
	return f, err
}

// AccountFiles are accounts as operators see them, newest first; of those that
// wait for approval who waits longest comes first.
func (s *Store) AccountFiles(ctx context.Context, f market.AccountFilter) ([]market.AccountFile, error) {
	id, block := "", netip.Prefix{}
	if p, err := netip.ParsePrefix(f.Query); err == nil {
		block = p
	}
	if market.ValidID(f.Query) {
		id = f.Query
	}
	beyond, order := `a.id < $2::uuid`, `a.id DESC`
	if f.State == market.AccountPending {
		beyond, order = `a.id > $2::uuid`, `a.id`
	}
	return list(ctx, s, func(row pgx.CollectableRow) (market.AccountFile, error) { return scanFile(row) }, `
		SELECT `+fileColumns+fileFrom+`
		WHERE a.kind <> 'platform' AND ($1 = '' OR a.state = $1) AND ($2::uuid IS NULL OR `+beyond+`)
			AND ($3 = '' OR a.id IN (
				SELECT id FROM accounts WHERE handle ~>=~ lower($3) AND handle ~<~ (lower($3) || chr(1114111))
				UNION ALL
				SELECT account_id FROM logins WHERE lower(email) ~>=~ lower($3) AND lower(email) ~<~ (lower($3) || chr(1114111))
				UNION ALL
				SELECT id FROM accounts WHERE registered_from = $6::cidr
				UNION ALL
				SELECT $4::uuid))
		ORDER BY `+order+` LIMIT $5`, []any{string(f.State), nullID(f.Before), f.Query, nullID(id), f.Limit, network(block.Masked())})
}

// PendingAccounts counts the accounts that wait for approval.
func (s *Store) PendingAccounts(ctx context.Context) (int64, error) {
	var n int64
	err := s.db.GetContext(ctx, &n, `SELECT count(*) FROM accounts WHERE state = 'pending'`)
	return n, translate(err)
}

// AccountFile is one account as operators see it, or market.ErrNotFound.
func (s *Store) AccountFile(ctx context.Context, id market.AccountID) (f market.AccountFile, err error) {
	err = s.read(ctx, func(c *pgx.Conn) error {
		f, err = scanFile(c.QueryRow(ctx, `SELECT `+fileColumns+fileFrom+` WHERE a.id = $1`, string(id)))
		return err
	})
	return f, translate(err)
}

// Activity counts what the account has done.
func (s *Store) Activity(ctx context.Context, id market.AccountID) (market.Activity, error) {
	a := market.Activity{Tasks: map[market.State]int64{}, Deliveries: map[market.DeliveryState]int64{}}
	err := s.read(ctx, func(c *pgx.Conn) error {
		var b pgx.Batch
		b.Queue(`SELECT state, count(*) FROM tasks WHERE publisher_id = $1 GROUP BY state`, string(id))
		b.Queue(`SELECT state, count(*) FROM deliveries WHERE worker_id = $1 GROUP BY state`, string(id))
		b.Queue(`
			SELECT (SELECT count(*) FROM accounts WHERE referred_by = $1), (SELECT count(*) FROM payouts WHERE account_id = $1 AND state = 'reversed'),
				(SELECT count(*) FROM cases k JOIN deliveries d ON d.id = k.delivery_id
				 WHERE d.worker_id = $1 AND k.kind = 'objection' AND k.closed_at IS NULL),
				(SELECT count(*) FROM task_reports o JOIN tasks t ON t.id = o.task_id WHERE t.publisher_id = $1 AND o.state = 'open'),
				(SELECT count(*) FROM api_keys WHERE account_id = $1 AND revoked_at IS NULL),
				(SELECT count(*) FROM accounts a JOIN accounts me ON me.registered_from = a.registered_from WHERE me.id = $1 AND a.id <> $1)`, string(id))
		found := c.SendBatch(ctx, &b)
		defer found.Close()
		if err := count(found, a.Tasks); err != nil {
			return err
		}
		if err := count(found, a.Deliveries); err != nil {
			return err
		}
		return found.QueryRow().Scan(&a.Invited, &a.Reversed, &a.Objections, &a.Reports, &a.Keys, &a.Neighbours)
	})
	return a, translate(err)
}

// count reads the numbers of a query that groups.
func count[K comparable](found pgx.BatchResults, into map[K]int64) error {
	rows, err := found.Query()
	if err != nil {
		return err
	}
	var k K
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&k, &n}, func() error { into[k] = n; return nil })
	return err
}

// judged is what an operator made of an account, for the log.
type judged struct {
	file      market.AccountFile
	action    string
	reason    string
	transfers []market.Transfer
}

// judgedFeed is what the account is told of it. Why is on its pages.
var judgedFeed = map[string]market.FeedType{
	market.ActionAccountApproved: market.FeedAccountApproved, market.ActionAccountRefused: market.FeedAccountRefused,
	market.ActionAccountSuspended: market.FeedAccountSuspended, market.ActionAccountUnsuspended: market.FeedAccountReinstated,
	market.ActionVerified: market.FeedAccountVerified, market.ActionUnverified: market.FeedAccountUnverified,
}

// judgeAccount changes an account's state. Of two operators at once one
// waits for the other here, and then the rule says what is left to do.
func (s *Store) judgeAccount(ctx context.Context, by Caller, id market.AccountID, decide func(market.AccountFile, time.Time) (judged, error)) (market.AccountFile, error) {
	var j judged
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		if by.Once != nil {
			if _, err := tx.Exec(ctx, `SELECT begin_once($1)`, onceScope(by)); err != nil {
				return err
			}
		}
		was, err := scanFile(tx.QueryRow(ctx, `SELECT `+fileColumns+fileFrom+` WHERE a.id = $1 FOR UPDATE OF a`, string(id)))
		if err != nil {
			return err
		}
		if j, err = decide(was, now); err != nil {
			return err
		}
		var b batch
		if err := b.once(by, j.file, now); err != nil {
			return err
		}
		b.Queue(`
			UPDATE accounts SET approved_at = $2, refused_at = $3, refusal = $4, suspended_at = $5, suspension = $6, verified_at = $7, established_at = $8 WHERE id = $1`,
			string(id), j.file.ApprovedAt, j.file.RefusedAt, nullID(j.file.Refusal), j.file.SuspendedAt, nullID(j.file.Suspension), j.file.VerifiedAt, j.file.EstablishedAt)
		b.log(by, j.action, string(id), j.reason, nil, now)
		b.tell(id, judgedFeed[j.action], "", nil, now)
		b.post(j.transfers, now)
		return tx.SendBatch(ctx, &b.Batch).Close()
	})
	return j.file, err
}

// ApproveAccount lets an account in that waits for it, and grants it what every
// new account gets. Of operators at once one does.
func (s *Store) ApproveAccount(ctx context.Context, by Caller, id market.AccountID) (market.AccountFile, error) {
	return s.judgeAccount(ctx, by, id, func(f market.AccountFile, now time.Time) (judged, error) {
		f, grant, err := f.Approve(by.Actor, s.opts.Grant, now)
		return judged{file: f, action: market.ActionAccountApproved, transfers: grant}, err
	})
}

// RefuseAccount does not let an account in.
func (s *Store) RefuseAccount(ctx context.Context, by Caller, id market.AccountID, reason string) (market.AccountFile, error) {
	return s.judgeAccount(ctx, by, id, func(f market.AccountFile, now time.Time) (judged, error) {
		f, err := f.Refuse(by.Actor, reason, now)
		return judged{file: f, action: market.ActionAccountRefused, reason: f.Refusal}, err
	})
}

// SuspendAccount stops the account from its next request on. Its payouts are
// held, and nobody begins to work on its tasks; what others have begun goes on.
func (s *Store) SuspendAccount(ctx context.Context, by Caller, id market.AccountID, reason string) (market.AccountFile, error) {
	return s.judgeAccount(ctx, by, id, func(f market.AccountFile, now time.Time) (judged, error) {
		f, err := f.Suspend(by.Actor, reason, now)
		return judged{file: f, action: market.ActionAccountSuspended, reason: f.Suspension}, err
	})
}

// UnsuspendAccount lets the account act again.
func (s *Store) UnsuspendAccount(ctx context.Context, by Caller, id market.AccountID, reason string) (market.AccountFile, error) {
	return s.judgeAccount(ctx, by, id, func(f market.AccountFile, _ time.Time) (judged, error) {
		f, reason, err := f.Unsuspend(by.Actor, reason)
		return judged{file: f, action: market.ActionAccountUnsuspended, reason: reason}, err
	})
}

// AdjustWallet puts a wallet right by a clean adjustment. Of what it takes away
// and what the owner spends at the same time, as much succeeds as there is; the
// rest is market.ErrInsufficientCredits.
func (s *Store) AdjustWallet(ctx context.Context, by Caller, id market.AccountID, x market.Adjustment) (market.Adjustment, error) {
	f, err := s.AccountFile(ctx, id)
	if err != nil {
		return x, err
	}
	released := false
	for range maxRaces {
		have, err := s.funds(ctx, id)
		if err != nil {
			return x, err
		}
		t, err := f.Adjust(by.Actor, x, have)
		if errors.Is(err, market.ErrInsufficientCredits) && !released {
			released = true // payouts whose hold is over may cover it
			if _, err := s.release(ctx, id, 10_000); err != nil {
				return x, err
			}
			continue
		}
		if err != nil {
			return x, err
		}
		now := s.now()
		var b batch
		if err := b.once(by, x, now); err != nil {
			return x, err
		}
		b.log(by, market.ActionWalletAdjusted, string(id), x.Reason, map[string]any{"amount": x.Amount, "class": x.Class}, now)
		b.tell(id, market.FeedWalletAdjusted, "", map[string]any{"amount": x.Amount, "class": x.Class}, now)
		b.post([]market.Transfer{t}, now)
		if err := s.commit(ctx, &b); !errors.Is(err, errFundsMoved) {
			return x, err
		}
	}
	return x, market.ErrUnavailable.After(time.Second)
}
