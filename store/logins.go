package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// RegisterHuman creates a human account with its wallet, its grant and its
// log-in by e-mail address, whose password is given as its hash. It returns
// market.ErrHandleTaken, market.ErrEmailTaken, market.ErrReferralUnknown, or
// what the mode of registration refuses. The address is asked for a proof.
func (s *Store) RegisterHuman(ctx context.Context, r market.Registration, passwordHash string) (market.Account, error) {
	return s.register(ctx, r, s.opts.Registration, func(b *batch, a market.Account) {
		b.login(a, r.Email, passwordHash)
		s.askToVerify(b, a.ID, r.Email, r.Lang, a.CreatedAt)
	})
}

// login queues the log-in of a new account.
func (b *batch) login(a market.Account, email, passwordHash string) {
	b.Queue(`INSERT INTO logins (account_id, email, password_hash, created_at) VALUES ($1, $2, $3, $4)`,
		a.ID, email, passwordHash, a.CreatedAt)
}

// Login is what a log-in is checked against. Who was let in by it can begin a
// session as long as its epoch lasts.
type Login struct {
	Account market.AccountID    `db:"account_id"`
	Handle  string              `db:"handle"`
	Email   string              `db:"email"`
	Hash    string              `db:"password_hash"`
	Epoch   int64               `db:"epoch"`
	State   market.AccountState `db:"state"`
	Reason  string              `db:"state_reason"`
	// TwoSteps says that a second factor is asked for.
	TwoSteps bool `db:"two_steps"`
}

// Suspended is the refusal of an account that is suspended, or nil. Only who
// has proved to be its owner may be told.
func (l Login) Suspended() error {
	if l.State == market.AccountSuspended {
		return market.Suspended(l.Reason)
	}
	return nil
}

const selectLogin = `
	SELECT l.account_id, a.handle, l.email, l.password_hash, l.epoch, ` + stateColumns + `,
		EXISTS (SELECT 1 FROM second_factors f WHERE f.account_id = l.account_id AND f.enabled_at IS NOT NULL) AS two_steps
	FROM logins l JOIN accounts a ON a.id = l.account_id`

// Login finds the log-in of an e-mail address, in any case. It returns
// market.ErrNotFound if there is none; callers must not let that be seen.
func (s *Store) Login(ctx context.Context, email string) (l Login, err error) {
	err = s.db.GetContext(ctx, &l, selectLogin+` WHERE lower(l.email) = lower($1)`, email)
	return l, translate(err)
}

// OwnLogin is the log-in of the account.
func (s *Store) OwnLogin(ctx context.Context, id market.AccountID) (l Login, err error) {
	err = s.db.GetContext(ctx, &l, selectLogin+` WHERE l.account_id = $1`, id)
	return l, translate(err)
}

// ChangePassword replaces the password's hash and ends all browser sessions of
// the account but the given one, which counts as proven. It does nothing and
// returns market.ErrLogin if the hash is no longer the one that was checked.
func (s *Store) ChangePassword(ctx context.Context, by Caller, was, hash string, keep market.SessionID, o Origin) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		done, err := tx.Exec(ctx, `
			UPDATE logins SET password_hash = $3, epoch = epoch + 1
			WHERE account_id = $1 AND password_hash = $2`, string(by.Account), was, hash)
		if err != nil {
			return err
		}
		if done.RowsAffected() == 0 {
			return market.ErrLogin
		}
		var b batch // sees the sessions that a log-in before the change has begun
		b.endSessions(by.Account, keep)
		b.Queue(`UPDATE account_sessions SET proven_at = $2 WHERE id = $1`, string(keep), now)
		s.secured(&b, by.Account, market.SecurityPasswordChanged, "", o, now)
		return s.sendIn(ctx, tx, &b)
	})
}

// Visitor is who a browser session belongs to.
type Visitor struct {
	market.Actor
	Session market.Session
	// Spendable are the credits that can be spent now: they are on every page.
	Spendable market.Credits
}

// Visitor finds whose browser session it is. One that was ended, or lived too
// long, is market.ErrNotFound, one of a suspended account
// market.ErrAccountSuspended.
func (s *Store) Visitor(ctx context.Context, id market.SessionID) (Visitor, error) {
	var row struct {
		Account   market.AccountID    `db:"account_id"`
		BeganAt   time.Time           `db:"began_at"`
		ProvenAt  time.Time           `db:"proven_at"`
		Kind      market.AccountKind  `db:"kind"`
		Operator  bool                `db:"operator"`
		Handle    string              `db:"handle"`
		Spendable market.Credits      `db:"spendable"`
		State     market.AccountState `db:"state"`
		Reason    string              `db:"state_reason"`
		Agents    texts               `db:"agents"`
	}
	now := s.now()
	err := s.db.GetContext(ctx, &row, `
		SELECT b.account_id, b.began_at, b.proven_at, a.kind, a.handle, a.operator, `+stateColumns+`, w.granted + w.earned + COALESCE((
			SELECT sum(p.amount) FROM payouts p
			WHERE p.account_id = a.id AND p.state = 'pending' AND p.available_at <= $2 AND (a.held_until IS NULL OR a.held_until <= $2)), 0)::bigint AS spendable,
			`+managedColumn+` AS agents
		FROM account_sessions b
		JOIN accounts a ON a.id = b.account_id
		JOIN wallets w ON w.account_id = a.id
		WHERE b.id = $1`, string(id), now)
	if err != nil {
		return Visitor{}, translate(err)
	}
	v := Visitor{Spendable: row.Spendable, Session: market.Session{ID: id, BeganAt: row.BeganAt, ProvenAt: row.ProvenAt},
		Actor: market.Actor{Account: row.Account, Kind: row.Kind, Handle: row.Handle, Operator: row.Operator, State: row.State, Reason: row.Reason, Agents: accountIDs(row.Agents)}}
	switch {
	case v.Session.Over(now):
		return Visitor{}, market.ErrNotFound
	case row.State == market.AccountSuspended:
		return Visitor{}, market.Suspended(row.Reason)
	}
	return v, nil
}
