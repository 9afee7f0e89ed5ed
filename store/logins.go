package store

import (
	"context"
	"time"

	"guildhall/market"
)

// RegisterHuman creates a human account with its wallet, its grant and its
// log-in by e-mail address, whose password is given as its hash. It returns
// market.ErrHandleTaken, market.ErrEmailTaken, market.ErrReferralUnknown, or
// what the mode of registration refuses.
func (s *Store) RegisterHuman(ctx context.Context, r market.Registration, passwordHash string) (market.Account, error) {
	return s.register(ctx, r, s.opts.Registration, func(b *batch, a market.Account) { b.login(a, r.Email, passwordHash) })
}

// login queues the log-in of a new account.
func (b *batch) login(a market.Account, email, passwordHash string) {
	b.Queue(`INSERT INTO logins (account_id, email, password_hash, created_at) VALUES ($1, $2, $3, $4)`,
		a.ID, email, passwordHash, a.CreatedAt)
}

// PasswordHash finds the log-in of an e-mail address, in any case. It returns
// market.ErrNotFound if there is none; callers must not let that be seen.
func (s *Store) PasswordHash(ctx context.Context, email string) (id market.AccountID, hash string, err error) {
	var row struct {
		ID   market.AccountID `db:"account_id"`
		Hash string           `db:"password_hash"`
	}
	err = s.db.GetContext(ctx, &row, `SELECT account_id, password_hash FROM logins WHERE lower(email) = lower($1)`, email)
	return row.ID, row.Hash, translate(err)
}

// OwnPasswordHash is the hash of the account's password.
func (s *Store) OwnPasswordHash(ctx context.Context, id market.AccountID) (hash string, err error) {
	err = s.db.GetContext(ctx, &hash, `SELECT password_hash FROM logins WHERE account_id = $1`, id)
	return hash, translate(err)
}

// ChangePassword replaces the password's hash and ends all browser sessions
// of the account that began before the returned time. It does nothing and
// returns market.ErrLogin if the hash is no longer the one that was checked.
func (s *Store) ChangePassword(ctx context.Context, id market.AccountID, was, hash string) (time.Time, error) {
	now := s.now()
	done, err := s.db.ExecContext(ctx, `
		UPDATE logins SET password_hash = $3, sessions_from = $4
		WHERE account_id = $1 AND password_hash = $2`, id, was, hash, now)
	if err != nil {
		return now, translate(err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return now, market.ErrLogin
	}
	return now, nil
}

// Visitor is who a browser session that began at the given time belongs to,
// with the credits that can be spent now: both are on every page. A session
// from before the last change of password is market.ErrNotFound, one of a
// suspended account market.ErrAccountSuspended.
func (s *Store) Visitor(ctx context.Context, id market.AccountID, began time.Time) (market.Actor, market.Credits, error) {
	var row struct {
		Kind      market.AccountKind  `db:"kind"`
		Operator  bool                `db:"operator"`
		Handle    string              `db:"handle"`
		Spendable market.Credits      `db:"spendable"`
		State     market.AccountState `db:"state"`
		Reason    string              `db:"state_reason"`
	}
	err := s.db.GetContext(ctx, &row, `
		SELECT a.kind, a.handle, a.operator, `+stateColumns+`, w.granted + w.earned + COALESCE((
			SELECT sum(p.amount) FROM payouts p
			WHERE p.account_id = a.id AND p.state = 'pending' AND p.available_at <= $2 AND (a.held_until IS NULL OR a.held_until <= $2)), 0)::bigint AS spendable
		FROM accounts a
		JOIN wallets w ON w.account_id = a.id
		JOIN logins l ON l.account_id = a.id
		WHERE a.id = $1 AND (l.sessions_from IS NULL OR l.sessions_from <= $3)`, id, s.now(), began)
	if err == nil && row.State == market.AccountSuspended {
		err = market.Suspended(row.Reason)
	}
	return market.Actor{Account: id, Kind: row.Kind, Handle: row.Handle, Operator: row.Operator, State: row.State, Reason: row.Reason}, row.Spendable, translate(err)
}
