package store

import (
	"context"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

const keyColumns = `k.id, k.name, k.prefix, k.scopes, k.created_at, k.last_used_at, COALESCE(host(k.last_used_from), ''),
	k.expires_at, k.revoked_at, COALESCE(k.revoked_reason, '')`

func keyTargets(k *market.Key) []any {
	return []any{&k.ID, &k.Name, &k.Prefix, &k.Scopes, &k.CreatedAt, &k.LastUsedAt, &k.LastUsedFrom, &k.ExpiresAt, &k.RevokedAt, &k.RevokedReason}
}

// Keys are the account's own API keys, newest first, older than before ("":
// from the newest). An operator's keys are not among them.
func (s *Store) Keys(ctx context.Context, id market.AccountID, before market.KeyID, limit int) ([]market.Key, error) {
	return list(ctx, s, func(row pgx.CollectableRow) (k market.Key, err error) { return k, row.Scan(keyTargets(&k)...) }, `
		SELECT `+keyColumns+`
		FROM api_keys k
		WHERE k.account_id = $1 AND k.prefix LIKE 'gha\_%' AND ($2::uuid IS NULL OR k.id < $2::uuid)
		ORDER BY k.id DESC LIMIT $3`, []any{string(id), nullID(before), limit})
}

// NewKey makes an API key, returned here and never again.
func (s *Store) NewKey(ctx context.Context, by Caller, d market.KeyDraft) (market.Key, string, error) {
	now, text := s.now(), market.NewKey(market.AgentKeyPrefix)
	k := draftedKey(d, text, now)
	var b batch
	if err := b.once(by, k, now); err != nil {
		return k, "", err
	}
	b.Queue(insertKey, keyArgs(by.Account, k, text, "")...)
	return k, text, s.commit(ctx, &b)
}

const insertKey = `
	INSERT INTO api_keys (id, account_id, name, prefix, hash, scopes, created_at, expires_at, replaces)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

func draftedKey(d market.KeyDraft, text string, now time.Time) market.Key {
	return market.Key{ID: newID[market.KeyID](), Name: d.Name, Prefix: market.KeyHint(text), Scopes: d.Scopes, CreatedAt: now, ExpiresAt: d.ExpiresAt}
}

func keyArgs(account market.AccountID, k market.Key, text string, replaces market.KeyID) []any {
	return []any{string(k.ID), string(account), k.Name, k.Prefix, market.HashKey(text), k.Scopes, k.CreatedAt, k.ExpiresAt, nullID(replaces)}
}

// RevokeKey ends a key of the caller: its next call is refused. It returns
// market.ErrLastKey for the last live one without scopes.
func (s *Store) RevokeKey(ctx context.Context, by Caller, id market.KeyID, reason string) (market.Key, error) {
	var k market.Key
	err := s.inTx(ctx, func(tx pgx.Tx) (err error) {
		now := s.now()
		if k, err = lockKey(ctx, tx, by.Account, id); err != nil {
			return err
		}
		var others int
		err = tx.QueryRow(ctx, `
			SELECT count(*) FROM api_keys
			WHERE account_id = $1 AND id <> $2 AND prefix LIKE 'gha\_%' AND scopes IS NULL
				AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3)`, string(by.Account), string(id), now).Scan(&others)
		if err != nil {
			return err
		}
		if k, err = k.Revoke(reason, others, now); err != nil {
			return err
		}
		var b batch
		if err := b.once(by, k, now); err != nil {
			return err
		}
		b.Queue(`UPDATE api_keys SET revoked_at = $2, revoked_reason = NULLIF($3, '') WHERE id = $1`, string(id), now, reason)
		return tx.SendBatch(ctx, &b.Batch).Close()
	})
	return k, translate(err)
}

// lockKey reads a key of the account. The account's row is locked first, so
// that of two keys that are each other's last only one goes.
func lockKey(ctx context.Context, tx pgx.Tx, account market.AccountID, id market.KeyID) (k market.Key, err error) {
	if _, err := tx.Exec(ctx, `SELECT 1 FROM accounts WHERE id = $1 FOR NO KEY UPDATE`, string(account)); err != nil {
		return k, err
	}
	err = tx.QueryRow(ctx, `SELECT `+keyColumns+` FROM api_keys k WHERE k.id = $1 AND k.account_id = $2 AND k.prefix LIKE 'gha\_%' FOR UPDATE`,
		string(id), string(account)).Scan(keyTargets(&k)...)
	return k, translate(err)
}

// RotateKey makes a key in the place of another, which goes on for the
// overlap. The new one is returned here and never again. A key is rotated
// once; then it is market.ErrAlreadyDone.
func (s *Store) RotateKey(ctx context.Context, by Caller, id market.KeyID, overlap time.Duration) (market.Key, string, error) {
	text := market.NewKey(market.AgentKeyPrefix)
	var k market.Key
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		old, err := lockKey(ctx, tx, by.Account, id)
		if err != nil {
			return err
		}
		old, draft, err := old.Rotate(overlap, now)
		if err != nil {
			return err
		}
		k = draftedKey(draft, text, now)
		var b batch
		if err := b.once(by, k, now); err != nil {
			return err
		}
		b.Queue(insertKey, keyArgs(by.Account, k, text, id)...)
		b.Queue(`UPDATE api_keys SET expires_at = $2 WHERE id = $1`, string(id), old.ExpiresAt)
		return tx.SendBatch(ctx, &b.Batch).Close()
	})
	return k, text, translate(err)
}

// RevokeLeaked ends the keys that came where logs have them, whosever they
// are and even if they are the last.
func (s *Store) RevokeLeaked(ctx context.Context, keys []string) error {
	hashes := make([][]byte, len(keys))
	for i, k := range keys {
		hashes[i] = market.HashKey(k)
	}
	_, err := s.db.ExecContext(ctx, `UPDATE api_keys SET revoked_at = $2, revoked_reason = $3 WHERE hash = ANY($1) AND revoked_at IS NULL`,
		hashes, s.now(), market.RevokedInURL)
	return translate(err)
}

// KeyUse is when and where a key was used last.
type KeyUse struct {
	At   time.Time
	From netip.Addr
}

// NoteKeyUses writes uses down, each key's at most once a minute.
func (s *Store) NoteKeyUses(ctx context.Context, uses map[market.KeyID]KeyUse) error {
	var ids, from []string
	var at []time.Time
	for id, u := range uses {
		address := ""
		if u.From.IsValid() {
			address = u.From.WithZone("").String()
		}
		ids, at, from = append(ids, string(id)), append(at, u.At), append(from, address)
	}
	return s.onConn(ctx, func(c *pgx.Conn) error {
		_, err := c.Exec(ctx, `
			UPDATE api_keys k SET last_used_at = u.at, last_used_from = NULLIF(u.address, '')::inet
			FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) u (id, at, address)
			WHERE k.id = u.id AND (k.last_used_at IS NULL OR k.last_used_at <= u.at - interval '1 minute')`, ids, at, from)
		return err
	})
}
