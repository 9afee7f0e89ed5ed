package store

import (
	"cmp"
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

// NewKey makes an API key, returned here and never again. An account with
// market.MaxLiveKeys of them gets market.ErrTooManyKeys.
func (s *Store) NewKey(ctx context.Context, by Caller, d market.KeyDraft) (market.Key, string, error) {
	text := market.NewKey(market.AgentKeyPrefix)
	var k market.Key
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		if _, err := tx.Exec(ctx, lockAccount, string(by.Account)); err != nil {
			return err
		}
		if err := roomForKey(ctx, tx, by.Account, "", now); err != nil {
			return err
		}
		k = draftedKey(d, text, now)
		var b batch
		if err := b.once(by, k, now); err != nil {
			return err
		}
		b.stillOpen(by, now)
		b.Queue(insertKey, keyArgs(by.Account, k, text, "")...)
		return tx.SendBatch(ctx, &b.Batch).Close()
	})
	return k, text, translate(err)
}

// roomForKey refuses one more live key beside all but the one that ends now.
func roomForKey(ctx context.Context, tx pgx.Tx, account market.AccountID, ending market.KeyID, now time.Time) error {
	var live int
	err := tx.QueryRow(ctx, `
		SELECT count(*) FROM api_keys
		WHERE account_id = $1 AND prefix LIKE 'gha\_%' AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2) AND id IS DISTINCT FROM $3::uuid`,
		string(account), now, nullID(ending)).Scan(&live)
	if err == nil && live >= market.MaxLiveKeys {
		err = market.ErrTooManyKeys.With(map[string]any{"Max": market.MaxLiveKeys})
	}
	return err
}

// stillOpen queues to refuse the caller whose key or browser session has ended
// meanwhile, and to let it end only after the transaction.
func (b *batch) stillOpen(by Caller, now time.Time) {
	switch {
	case by.Key != "":
		b.Queue(`SELECT begin_key($1, $2, $3)`, string(by.Account), string(by.Key), now)
	case by.Session != "":
		b.Queue(`SELECT begin_session($1)`, string(by.Session))
	}
}

// keyRights is what the caller's key may do, and whether its bundle is limited to
// some tasks, as it is until the transaction ends. Browser sessions may do all.
func keyRights(ctx context.Context, tx pgx.Tx, by Caller, now time.Time) (scopes []market.Scope, limited bool, err error) {
	if by.Key == "" {
		return nil, false, nil
	}
	var b batch
	b.stillOpen(by, now)
	b.Queue(`
		SELECT k.scopes, b.tasks IS NOT NULL OR b.skills IS NOT NULL
		FROM api_keys k LEFT JOIN bundles b ON b.id = k.bundle_id WHERE k.id = $1`, string(by.Key))
	found := tx.SendBatch(ctx, &b.Batch)
	if _, err = found.Exec(); err == nil {
		err = found.QueryRow().Scan(&scopes, &limited)
	}
	return scopes, limited, cmp.Or(err, found.Close())
}

// lockAccount lets one decision about an account's credentials wait for
// another.
const lockAccount = `SELECT 1 FROM accounts WHERE id = $1 FOR NO KEY UPDATE`

const insertKey = `
	INSERT INTO api_keys (id, account_id, name, prefix, hash, scopes, created_at, expires_at, replaces)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

func draftedKey(d market.KeyDraft, text string, now time.Time) market.Key {
	return market.Key{ID: newID[market.KeyID](), Name: d.Name, Prefix: market.KeyHint(text), Scopes: d.Scopes, CreatedAt: now, ExpiresAt: d.ExpiresAt}
}

func keyArgs(account market.AccountID, k market.Key, text string, replaces market.KeyID) []any {
	return []any{string(k.ID), string(account), k.Name, k.Prefix, market.HashKey(text), k.Scopes, k.CreatedAt, k.ExpiresAt, nullID(replaces)}
}

// RevokeKey ends a key of the caller: its next call is refused. Webhooks that
// were made with it go on and are named. It returns market.ErrLastKey for the
// last live one without scopes.
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
		k.Webhooks, err = rowsOf(ctx, tx, pgx.RowTo[market.WebhookID], `SELECT id::text FROM webhooks WHERE made_by = $1 ORDER BY id`, string(id))
		if err != nil {
			return err
		}
		var b batch
		if err := b.once(by, k, now); err != nil {
			return err
		}
		b.stillOpen(by, now)
		b.Queue(`UPDATE api_keys SET revoked_at = $2, revoked_reason = NULLIF($3, '') WHERE id = $1`, string(id), now, reason)
		return tx.SendBatch(ctx, &b.Batch).Close()
	})
	return k, translate(err)
}

// lockKey reads a key of the account. The account's row is locked first, so
// that of two keys that are each other's last only one goes.
func lockKey(ctx context.Context, tx pgx.Tx, account market.AccountID, id market.KeyID) (k market.Key, err error) {
	if _, err := tx.Exec(ctx, lockAccount, string(account)); err != nil {
		return k, err
	}
	err = tx.QueryRow(ctx, `SELECT `+keyColumns+` FROM api_keys k WHERE k.id = $1 AND k.account_id = $2 AND k.prefix LIKE 'gha\_%' FOR UPDATE`,
		string(id), string(account)).Scan(keyTargets(&k)...)
	return k, translate(err)
}

// RotateKey makes a key in the place of another, which goes on for the
// overlap. The new one is returned here and never again. A key is rotated
// once; then it is market.ErrAlreadyDone. An account with market.MaxLiveKeys
// of them rotates without an overlap, else it gets market.ErrTooManyKeys.
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
		var ending market.KeyID
		if !old.ExpiresAt.After(now) {
			ending = id
		}
		if err := roomForKey(ctx, tx, by.Account, ending, now); err != nil {
			return err
		}
		k = draftedKey(draft, text, now)
		var b batch
		if err := b.once(by, k, now); err != nil {
			return err
		}
		b.stillOpen(by, now)
		b.Queue(insertKey, keyArgs(by.Account, k, text, id)...)
		b.Queue(`UPDATE api_keys SET expires_at = $2 WHERE id = $1`, string(id), old.ExpiresAt)
		return tx.SendBatch(ctx, &b.Batch).Close()
	})
	return k, text, translate(err)
}

// Use is when and where a key or a session was used last.
type Use struct {
	At   time.Time
	From netip.Addr
	// Count is how often, where that is counted: of the keys of bundles.
	Count int64
}

// NoteKeyUses writes uses down, those that are not counted at most once a
// minute and key.
func (s *Store) NoteKeyUses(ctx context.Context, uses map[market.KeyID]Use) error {
	return noteUses(ctx, s, uses, `
		UPDATE api_keys k SET last_used_at = u.at, last_used_from = NULLIF(u.address, '')::inet, requests = k.requests + u.count
		FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::bigint[]) u (id, at, address, count)
		WHERE k.id = u.id AND (u.count > 0 OR k.last_used_at IS NULL OR k.last_used_at <= u.at - interval '1 minute')`)
}

// noteUses runs the statement with the ids, times, addresses and counts of the
// uses.
func noteUses[ID ~string](ctx context.Context, s *Store, uses map[ID]Use, update string) error {
	var ids, from []string
	var at []time.Time
	var counts []int64
	for id, u := range uses {
		address := ""
		if u.From.IsValid() {
			address = u.From.WithZone("").String()
		}
		ids, at, from = append(ids, string(id)), append(at, u.At), append(from, address)
		counts = append(counts, u.Count)
	}
	return s.onConn(ctx, func(c *pgx.Conn) error {
		_, err := c.Exec(ctx, update, ids, at, from, counts)
		return err
	})
}

// Reach is what a key opens: its scopes, and whether its bundle covers some
// tasks only.
type Reach struct {
	Scopes  []market.Scope
	Limited bool
}

// LiveKeys are what those of the keys open that still open something, and
// whose account is not suspended.
func (s *Store) LiveKeys(ctx context.Context, ids []market.KeyID) (map[market.KeyID]Reach, error) {
	live, names := make(map[market.KeyID]Reach, len(ids)), make([]string, len(ids))
	for i, id := range ids {
		names[i] = string(id)
	}
	err := s.read(ctx, func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, `
			SELECT k.id, k.scopes, b.tasks IS NOT NULL OR b.skills IS NOT NULL
			FROM api_keys k JOIN accounts a ON a.id = k.account_id LEFT JOIN bundles b ON b.id = k.bundle_id
			WHERE k.id = ANY ($1::uuid[]) AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $2) AND a.state <> 'suspended'`, names, s.now())
		if err != nil {
			return err
		}
		var id market.KeyID
		var reach Reach
		_, err = pgx.ForEachRow(rows, []any{&id, &reach.Scopes, &reach.Limited}, func() error {
			live[id], reach = reach, Reach{}
			return nil
		})
		return err
	})
	return live, translate(err)
}
