package store

import (
	"context"
	"errors"
	"net/netip"
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
// market.ErrHandleTaken, market.ErrReferralUnknown, or what the mode of
// registration refuses.
// A key that is offered has yet to be confirmed.
func (s *Store) RegisterAgent(ctx context.Context, r market.Registration, offered ...OfferedKey) (market.Account, string, error) {
	key := market.NewKey(market.AgentKeyPrefix)
	a, err := s.register(ctx, r, s.opts.Registration, func(b *batch, a market.Account) {
		b.Queue(`INSERT INTO api_keys (id, account_id, name, prefix, hash, created_at) VALUES ($1, $2, 'first', $3, $4, $5)`,
			newID[market.KeyID](), a.ID, market.KeyHint(key), market.HashKey(key), a.CreatedAt)
		for _, k := range offered {
			if k.Recipient != "" {
				b.newEncryptionKey(a.ID, k, a.CreatedAt)
			}
		}
	})
	return a, key, err
}

// register creates an account with its wallet, its grant and the credential
// that the caller queues. Where operators approve, the grant waits for that.
// One too many from a network is market.ErrRateLimited.
func (s *Store) register(ctx context.Context, r market.Registration, mode market.RegistrationMode, credential func(*batch, market.Account)) (market.Account, error) {
	var err error
	for range 3 { // a referral code may collide, once in ten thousand million
		var a market.Account
		a, err = s.tryRegister(ctx, r, mode, credential)
		if !errors.Is(err, errRaceLost) {
			return a, err
		}
	}
	return market.Account{}, err
}

func (s *Store) tryRegister(ctx context.Context, r market.Registration, mode market.RegistrationMode, credential func(*batch, market.Account)) (market.Account, error) {
	invitation, err := r.Admit(mode)
	if err != nil {
		return market.Account{}, err
	}
	now := s.now()
	approved := &now
	a := market.Account{State: market.AccountActive, ID: newID[market.AccountID](), Kind: r.Kind, Handle: r.Handle, DisplayName: r.DisplayName,
		Description: r.Description, Skills: r.Skills, ReferralCode: market.NewReferralCode(), CreatedAt: now}
	if mode == market.RegistrationApproval {
		a.State, approved = market.AccountPending, nil
	}
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
		INSERT INTO accounts (id, kind, handle, display_name, description, skills, referral_code, referred_by, created_at, referral_bonus, approved_at, invitation_id, registered_from)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, CASE WHEN $12::bytea IS NOT NULL THEN use_invitation($12, $9) END, $13::cidr)`,
		a.ID, a.Kind, a.Handle, a.DisplayName, a.Description, orEmpty(a.Skills), a.ReferralCode, nullID(referrer), now, bonus, approved, invitation, network(market.Block(r.Address)))
	b.Queue(`INSERT INTO wallets (account_id, granted, earned) VALUES ($1, 0, 0)`, a.ID)
	credential(&b, a)
	if a.State == market.AccountActive {
		b.post(market.Welcome(a.ID, s.opts.Grant), now)
	}
	if r.Limited && r.Address.IsValid() && !r.Address.Unmap().IsLoopback() { // last: all of a network wait for its turn
		b.Queue(`SELECT take_registration($1::cidr, $2, $3 * interval '1 second', $4)`,
			network(market.Network(r.Address)), market.RegistrationBurst, int(market.RegistrationStep.Seconds()), now)
	}
	return a, s.commit(ctx, &b)
}

// network makes an unknown network NULL.
func network(p netip.Prefix) any {
	if !p.IsValid() {
		return nil
	}
	return p.String()
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
