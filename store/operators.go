package store

import (
	"context"

	"guildhall/market"
)

// RegisterOperator is RegisterHuman of an account that decides cases, whoever
// else may register.
func (s *Store) RegisterOperator(ctx context.Context, r market.Registration, passwordHash string) (market.Account, error) {
	return s.register(ctx, r, market.RegistrationOpen, func(b *batch, a market.Account) {
		b.login(a, r.Email, passwordHash)
		b.Queue(`UPDATE accounts SET operator = true WHERE id = $1`, a.ID)
	})
}

// SetOperator gives the role to a human, or takes it away together with the
// operator's keys. It returns market.ErrNotFound if no human has the handle.
func (s *Store) SetOperator(ctx context.Context, handle string, operator bool) error {
	now := s.now()
	var id market.AccountID
	err := s.db.GetContext(ctx, &id, `
		WITH changed AS (
			UPDATE accounts SET operator = $2 WHERE handle = $1 AND kind = 'human' RETURNING id
		), revoked AS (
			UPDATE api_keys k SET revoked_at = $3 FROM changed c
			WHERE NOT $2 AND k.account_id = c.id AND k.prefix LIKE 'gho\_%' AND k.revoked_at IS NULL
		)
		SELECT id FROM changed`, handle, operator, now)
	return translate(err)
}

// NewOperatorKey makes a key for the operators' routes, returned here and never
// again. It returns market.ErrNotFound unless the handle is an operator's.
func (s *Store) NewOperatorKey(ctx context.Context, handle, name string) (string, error) {
	key := market.NewKey(market.OperatorKeyPrefix)
	var id market.KeyID
	err := s.db.GetContext(ctx, &id, `
		INSERT INTO api_keys (id, account_id, name, prefix, hash, created_at)
		SELECT $1, a.id, $3, $4, $5, $6 FROM accounts a WHERE a.handle = $2 AND a.operator
		RETURNING id`, newID[market.KeyID](), handle, name, market.KeyHint(key), market.HashKey(key), s.now())
	return key, translate(err)
}
