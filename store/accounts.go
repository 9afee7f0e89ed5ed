package store

import (
	"context"
	"errors"
	"time"

	"guildhall/market"
)

const accountColumns = `
	a.id, a.kind, a.handle, a.display_name, a.description, a.skills, a.referral_code, a.created_at,
	COALESCE(r.handle, '') AS referred_by, ` + stateColumns

// stateColumns are those of the state of the account a.
const stateColumns = `a.state, COALESCE(a.suspension, a.refusal, '') AS state_reason`

type accountRow struct {
	ID           market.AccountID    `db:"id"`
	Kind         market.AccountKind  `db:"kind"`
	Handle       string              `db:"handle"`
	DisplayName  string              `db:"display_name"`
	Description  string              `db:"description"`
	Skills       texts               `db:"skills"`
	ReferralCode string              `db:"referral_code"`
	CreatedAt    time.Time           `db:"created_at"`
	ReferredBy   string              `db:"referred_by"`
	State        market.AccountState `db:"state"`
	Reason       string              `db:"state_reason"`
}

func (r accountRow) account() market.Account {
	return market.Account{ID: r.ID, Kind: r.Kind, Handle: r.Handle, DisplayName: r.DisplayName, Description: r.Description,
		Skills: r.Skills, ReferralCode: r.ReferralCode, ReferredBy: r.ReferredBy, CreatedAt: r.CreatedAt, State: r.State, StateReason: r.Reason}
}

// RegisterAgent creates an agent account with its wallet, its grant and its
// first API key, which is returned here and never again. It returns
// market.ErrHandleTaken or market.ErrReferralUnknown.
func (s *Store) RegisterAgent(ctx context.Context, r market.Registration) (market.Account, string, error) {
	key := market.NewKey(market.AgentKeyPrefix)
	a, err := s.register(ctx, r, func(b *batch, a market.Account) {
		b.Queue(`INSERT INTO api_keys (id, account_id, name, prefix, hash, created_at) VALUES ($1, $2, 'first', $3, $4, $5)`,
			newID[market.KeyID](), a.ID, market.KeyHint(key), market.HashKey(key), a.CreatedAt)
	})
	return a, key, err
}

// register creates an account with its wallet, its grant and the credential
// that the caller queues.
func (s *Store) register(ctx context.Context, r market.Registration, credential func(*batch, market.Account)) (market.Account, error) {
	var err error
	for range 3 { // a referral code may collide, once in ten thousand million
		var a market.Account
		a, err = s.tryRegister(ctx, r, credential)
		if !errors.Is(err, errRaceLost) {
			return a, err
		}
	}
	return market.Account{}, err
}

func (s *Store) tryRegister(ctx context.Context, r market.Registration, credential func(*batch, market.Account)) (market.Account, error) {
	now := s.now()
	a := market.Account{ID: newID[market.AccountID](), Kind: r.Kind, Handle: r.Handle, DisplayName: r.DisplayName,
		Description: r.Description, Skills: r.Skills, ReferralCode: market.NewReferralCode(), CreatedAt: now}
	var referrer market.AccountID
	if r.ReferralCode != "" {
		var found struct {
			ID     market.AccountID `db:"id"`
			Handle string           `db:"handle"`
		}
		err := s.db.GetContext(ctx, &found, `SELECT id, handle FROM accounts WHERE referral_code = $1`, r.ReferralCode)
		if err = translate(err); errors.Is(err, market.ErrNotFound) {
			return a, market.ErrReferralUnknown
		} else if err != nil {
			return a, err
		}
		referrer, a.ReferredBy = found.ID, found.Handle
	}
	bonus := market.Credits(0)
	if referrer != "" {
		bonus = s.opts.ReferralBonus
	}
	var b batch
	b.Queue(`
		INSERT INTO accounts (id, kind, handle, display_name, description, skills, referral_code, referred_by, created_at, referral_bonus)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		a.ID, a.Kind, a.Handle, a.DisplayName, a.Description, orEmpty(a.Skills), a.ReferralCode, nullID(referrer), now, bonus)
	b.Queue(`INSERT INTO wallets (account_id, granted, earned) VALUES ($1, 0, 0)`, a.ID)
	credential(&b, a)
	if s.opts.Grant > 0 {
		b.post([]market.Transfer{{Kind: market.TransferGrant, Debit: market.GrantsAccount, Credit: market.WalletAccount(a.ID),
			Amount: s.opts.Grant, DebitClass: market.Granted, CreditClass: market.Granted, Account: a.ID}}, now)
	}
	return a, s.commit(ctx, &b)
}

// Authenticate finds who holds the API key. A key that is unknown, revoked or
// expired is market.ErrUnauthenticated.
func (s *Store) Authenticate(ctx context.Context, key string) (market.Actor, error) {
	by, err := s.Identify(ctx, key, "", "", ForChange)
	return by.Actor, err
}

// Account is the account with the id.
func (s *Store) Account(ctx context.Context, id market.AccountID) (market.Account, error) {
	var row accountRow
	err := s.db.GetContext(ctx, &row, `
		SELECT `+accountColumns+`
		FROM accounts a LEFT JOIN accounts r ON r.id = a.referred_by
		WHERE a.id = $1`, id)
	return row.account(), translate(err)
}

// AccountByHandle is the account with the handle.
func (s *Store) AccountByHandle(ctx context.Context, handle string) (market.Account, error) {
	var row accountRow
	err := s.db.GetContext(ctx, &row, `
		SELECT `+accountColumns+`
		FROM accounts a LEFT JOIN accounts r ON r.id = a.referred_by
		WHERE a.handle = $1`, handle)
	return row.account(), translate(err)
}

// UpdateProfile changes what the caller says about itself.
func (s *Store) UpdateProfile(ctx context.Context, by Caller, f market.Profile) (market.Account, error) {
	var skills any
	if f.Skills != nil {
		skills = *f.Skills
	}
	_, err := s.db.ExecContext(ctx, `
		UPDATE accounts SET
			display_name = COALESCE($2, display_name),
			description = COALESCE($3, description),
			skills = COALESCE($4::text[], skills)
		WHERE id = $1`, by.Account, f.DisplayName, f.Description, skills)
	if err != nil {
		return market.Account{}, translate(err)
	}
	return s.Account(ctx, by.Account)
}
