package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// revokeGrants ends the unused grants of a binding.
const revokeGrants = `UPDATE recovery_grants SET revoked_at = $2 WHERE binding_id = $1 AND used_at IS NULL AND revoked_at IS NULL`

// GrantRecovery makes a grant by which the agent gets one new key, returned
// here and never again. It takes the place of an earlier one.
func (s *Store) GrantRecovery(ctx context.Context, by Caller, handle string) (market.Recovery, string, error) {
	text := market.NewKey(market.RecoveryPrefix)
	var r market.Recovery
	_, err := s.change(ctx, by, handle, func(b market.Binding, now time.Time) (changed, error) {
		r = market.Recovery{ID: newID[market.RecoveryID](), CreatedAt: now, ExpiresAt: now.Add(market.RecoveryLife)}
		return changed{Binding: b, event: market.FeedRecoveryGranted, data: map[string]any{"expiresAt": r.ExpiresAt}, more: func(q *batch, now time.Time) {
			q.stillOpen(by, now)
			q.Queue(revokeGrants, string(b.ID), now)
			q.Queue(`INSERT INTO recovery_grants (id, binding_id, hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)`,
				string(r.ID), string(b.ID), market.HashKey(text), now, r.ExpiresAt)
		}}, b.Grant(by.Actor)
	})
	return r, text, err
}

// LiveRecovery is the binding's grant that can still be used, nil if there is
// none.
func (s *Store) LiveRecovery(ctx context.Context, id market.BindingID) (*market.Recovery, error) {
	var r market.Recovery
	err := s.read(ctx, func(c *pgx.Conn) error {
		return c.QueryRow(ctx, `
			SELECT id, created_at, expires_at, used_at, revoked_at FROM recovery_grants
			WHERE binding_id = $1 AND used_at IS NULL AND revoked_at IS NULL AND expires_at > $2`, string(id), s.now()).
			Scan(&r.ID, &r.CreatedAt, &r.ExpiresAt, &r.UsedAt, &r.RevokedAt)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil // there is none: no error to any caller
	}
	return &r, translate(err)
}

// Recovered is what a grant gave: a key, in the place of all others.
type Recovered struct {
	market.Binding
	Key  market.Key
	Text string
	// Revoked counts the keys that ended, Webhooks the webhooks.
	Revoked, Webhooks int64
	// EncryptionKey says that an encryption key ended, used or only offered.
	EncryptionKey bool
}

// Recover uses the grant: its agent gets a new key without scopes, returned
// here and never again, and all else ends by which somebody who had an old key
// could still know what happens: its other keys, its webhooks, and its
// encryption key with what it was granted. Of many at once one gets a key, the
// others market.ErrGrantUsed.
func (s *Store) Recover(ctx context.Context, grant string) (Recovered, error) {
	var out Recovered
	if !market.WellFormedGrant(grant) {
		return out, market.UnknownGrant()
	}
	hash, text := market.HashKey(grant), market.NewKey(market.AgentKeyPrefix)
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		// The account's row first: begin_key waits, and then sees its key ended.
		if _, err := tx.Exec(ctx, `
			SELECT 1 FROM accounts WHERE id = (SELECT b.agent_id FROM recovery_grants g JOIN bindings b ON b.id = g.binding_id WHERE g.hash = $1)
			FOR NO KEY UPDATE`, hash); err != nil {
			return err
		}
		var r market.Recovery
		var binding market.BindingID
		err := tx.QueryRow(ctx, `SELECT id, binding_id, created_at, expires_at, used_at, revoked_at FROM recovery_grants WHERE hash = $1 FOR UPDATE`, hash).
			Scan(&r.ID, &binding, &r.CreatedAt, &r.ExpiresAt, &r.UsedAt, &r.RevokedAt)
		if errors.Is(err, pgx.ErrNoRows) {
			return market.UnknownGrant()
		}
		if err != nil {
			return err
		}
		if out.Binding, err = scanBinding(tx.QueryRow(ctx, bindingSelect+`WHERE b.id = $1`, string(binding))); err != nil {
			return err
		}
		var state market.AccountState
		var reason string
		if err := tx.QueryRow(ctx, `SELECT `+stateColumns+` FROM accounts a WHERE a.id = $1`, string(out.Agent)).Scan(&state, &reason); err != nil {
			return err
		}
		if err := r.Use(out.Binding, state, reason, now); err != nil {
			return err
		}
		return out.replaceKeys(ctx, tx, r, text, now)
	})
	return out, err
}

// replaceKeys makes the new key, and ends the others and what they may have
// made.
func (out *Recovered) replaceKeys(ctx context.Context, tx pgx.Tx, r market.Recovery, text string, now time.Time) error {
	done, err := tx.Exec(ctx, `UPDATE api_keys SET revoked_at = $2, revoked_reason = $3 WHERE account_id = $1 AND revoked_at IS NULL`,
		string(out.Agent), now, market.RevokedRecovered)
	if err != nil {
		return err
	}
	out.Key, out.Text, out.Revoked = draftedKey(market.KeyDraft{Name: market.RevokedRecovered}, text, now), text, done.RowsAffected()
	if done, err = tx.Exec(ctx, `DELETE FROM webhooks WHERE account_id = $1`, string(out.Agent)); err != nil {
		return err
	}
	out.Webhooks = done.RowsAffected()
	if out.EncryptionKey, err = endEncryptionKey(ctx, tx, out.Agent, now); err != nil {
		return err
	}
	var b batch
	b.Queue(insertKey, keyArgs(out.Agent, out.Key, text, "")...)
	b.Queue(`UPDATE recovery_grants SET used_at = $2 WHERE id = $1`, string(r.ID), now)
	b.tellBound(market.FeedRecovered, out.Binding, map[string]any{"key": out.Key.Prefix, "revoked": out.Revoked,
		"webhooks": out.Webhooks, "encryptionKey": out.EncryptionKey}, now)
	return tx.SendBatch(ctx, &b.Batch).Close()
}
