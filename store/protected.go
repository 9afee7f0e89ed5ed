package store

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// The parts of a transition that concern protected fields.
var (
	insertSealed = part{"sealed", `
		INSERT INTO protected_revisions (task_id, revision, shown, ciphertext, created_at) VALUES ($1, $2, $3, $4, $5)`}
	setProtected = part{"protected", `
		INSERT INTO secret_events (task_id, at, event, actor_id, key_id, revision) VALUES ($1, $2, 'sealed', $3, $4, $5)`}
	noteSecretsEnd = part{"secretsnote", `
		INSERT INTO secret_events (task_id, at, event, request_id)
		SELECT task_id, $2, 'claim_ended', id FROM secret_requests WHERE claim_id = $1 AND state IN ('pending', 'granted')`}
	endSecrets = part{"secretsend", `
		UPDATE secret_requests SET state = 'ended', bundle = NULL, expires_at = NULL WHERE claim_id = $1 AND state NOT IN ('stale', 'ended')`}
)

// protected seals the first revision of a new task, and takes what was granted
// to the holder of a claim that ends.
func (e *effect) protected(by Caller, was *market.Claim, c market.Change, now time.Time) {
	t := c.Snapshot
	switch {
	case t.Protected == nil:
	case c.Event == market.EventPublished:
		e.add(insertSealed, t.ID, t.Protected.Revision, toDocument(t.Protected), c.Sealed, now)
		e.add(setProtected, t.ID, now, nullID(by.Account), nullID(by.Key), t.Protected.Revision)
	case was != nil && t.Claim != nil && t.Claim.EndedAt != nil:
		e.add(noteSecretsEnd, was.ID, now)
		e.add(endSecrets, was.ID)
	}
}

// document is NULL for nil.
func document[T any](v *T) any {
	if v == nil {
		return nil
	}
	return toDocument(v)
}

// SealedTasks are the account's own tasks with protected fields, newest first,
// older than before ("": from the newest).
func (s *Store) SealedTasks(ctx context.Context, id market.AccountID, before market.TaskID, limit int) ([]market.Task, error) {
	return s.taskList(ctx, `
		SELECT `+taskColumns+` FROM tasks t `+publisherJoin+`
		WHERE t.publisher_id = $1 AND t.protected IS NOT NULL AND ($2::uuid IS NULL OR t.id < $2::uuid)
		ORDER BY t.id DESC LIMIT $3`, id, nullID(before), limit)
}

// OwnSecrets is the publisher's task with its own copy of the protected fields.
func (s *Store) OwnSecrets(ctx context.Context, by Caller, id market.TaskID) (t market.Snapshot, ciphertext string, err error) {
	if t, err = s.current(ctx, by, id, ""); err != nil {
		return t, "", err
	}
	if err := t.OwnsSecrets(by.Actor); err != nil {
		return t, "", err
	}
	err = s.db.GetContext(ctx, &ciphertext, `SELECT ciphertext FROM protected_revisions WHERE task_id = $1 AND ciphertext IS NOT NULL`, string(id))
	return t, ciphertext, translate(err)
}

// Reseal stores the next revision of a task's protected fields and forgets the
// ciphertext of the one before. Of two at once one wins, the other is
// market.ErrRevisionChanged.
func (s *Store) Reseal(ctx context.Context, by Caller, id market.TaskID, d market.ProtectedDraft) (market.Snapshot, error) {
	t, err := s.current(ctx, by, id, "")
	if err != nil {
		return t, err
	}
	next, err := t.Reseal(by.Actor, d)
	if err != nil {
		return t, err
	}
	t.Protected = &next
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		var b batch
		if err := b.once(by, t, now); err != nil {
			return err
		}
		b.Queue(`UPDATE protected_revisions SET ciphertext = NULL WHERE task_id = $1 AND ciphertext IS NOT NULL`, string(id))
		b.Queue(insertSealed.sql, string(id), next.Revision, toDocument(next), d.Ciphertext, now)
		b.Queue(`UPDATE tasks SET protected = $2 WHERE id = $1`, string(id), toDocument(next))
		b.Queue(setProtected.sql, string(id), now, string(by.Account), nullID(by.Key), next.Revision)
		b.acted(by, market.BundleSecret+"sealed", id, now)
		return tx.SendBatch(ctx, &b.Batch).Close()
	})
	return t, err
}

const encryptionKeyColumns = `k.id, k.recipient, k.kind, k.created_at, k.confirmed_at, k.replaced_at, k.confirm_by`

func encryptionKeyTargets(k *market.EncryptionKey) []any {
	return []any{&k.ID, &k.Recipient, &k.Kind, &k.CreatedAt, &k.ConfirmedAt, &k.ReplacedAt, &k.ConfirmBy}
}

// EncryptionKeys are the account's, newest first: the live one, one that waits
// to be confirmed, and those that were replaced.
func (s *Store) EncryptionKeys(ctx context.Context, id market.AccountID, limit int) ([]market.EncryptionKey, error) {
	return list(ctx, s, func(row pgx.CollectableRow) (k market.EncryptionKey, err error) {
		return k, row.Scan(encryptionKeyTargets(&k)...)
	}, `
		SELECT `+encryptionKeyColumns+` FROM encryption_keys k WHERE k.account_id = $1 ORDER BY k.id DESC LIMIT $2`, []any{string(id), limit})
}

const insertEncryptionKey = `
	INSERT INTO encryption_keys (id, account_id, recipient, kind, nonce_hash, created_at, confirm_by) VALUES ($1, $2, $3, $4, $5, $6, $7)`

// newEncryptionKey queues a key that its owner has yet to confirm.
func (b *batch) newEncryptionKey(account market.AccountID, o OfferedKey, now time.Time) market.EncryptionKey {
	k := market.EncryptionKey{ID: newID[market.EncryptionKeyID](), Recipient: o.Recipient, Kind: o.Kind, CreatedAt: now, ConfirmBy: now.Add(market.ChallengeLife)}
	b.Queue(insertEncryptionKey, string(k.ID), string(account), o.Recipient, string(o.Kind), o.NonceHash, now, k.ConfirmBy)
	return k
}

// OfferedKey is an encryption key that its owner has yet to confirm, with the
// hash of the nonce that was encrypted to it.
type OfferedKey struct {
	Recipient string
	Kind      market.RecipientKind
	NonceHash []byte
}

// OfferEncryptionKey stores a key that counts once it is confirmed, instead of
// another that was not. The one in use goes on until then; if it is this very
// one, it is returned and nothing is to confirm.
func (s *Store) OfferEncryptionKey(ctx context.Context, by Caller, o OfferedKey) (k market.EncryptionKey, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			SELECT `+encryptionKeyColumns+` FROM encryption_keys k
			WHERE k.account_id = $1 AND k.recipient = $2 AND k.confirmed_at IS NOT NULL AND k.replaced_at IS NULL`, string(by.Account), o.Recipient).Scan(encryptionKeyTargets(&k)...)
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		now := s.now()
		var b, first batch
		b.Queue(`SELECT 1 FROM accounts WHERE id = $1 FOR NO KEY UPDATE`, string(by.Account)) // of two at once one comes after the other
		b.stillOpen(by, now)
		b.Queue(`DELETE FROM encryption_keys WHERE account_id = $1 AND confirmed_at IS NULL`, string(by.Account))
		k = b.newEncryptionKey(by.Account, o, now)
		if err := first.once(by, k, now); err != nil {
			return err
		}
		first.QueuedQueries = append(first.QueuedQueries, b.QueuedQueries...)
		return tx.SendBatch(ctx, &first.Batch).Close()
	})
	return k, err
}

// ConfirmEncryptionKey makes the offered key the account's, if the nonce is
// the one that was encrypted to it. What was asked for or granted with the key
// before is stale, and its publishers are told.
func (s *Store) ConfirmEncryptionKey(ctx context.Context, by Caller, nonce string) (k market.EncryptionKey, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		var hash []byte
		if _, err := tx.Exec(ctx, lockAccount, string(by.Account)); err != nil { // in the order of offers and recoveries
			return err
		}
		err := tx.QueryRow(ctx, `
			SELECT `+encryptionKeyColumns+`, k.nonce_hash FROM encryption_keys k
			WHERE k.account_id = $1 AND k.confirmed_at IS NULL AND k.confirm_by > $2 FOR UPDATE`, string(by.Account), now).Scan(append(encryptionKeyTargets(&k), &hash)...)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && !bytes.Equal(hash, market.NonceHash(nonce)) {
			return market.ErrChallengeFailed
		}
		if err != nil {
			return err
		}
		k.ConfirmedAt = &now
		var b batch
		if err := b.once(by, k, now); err != nil {
			return err
		}
		b.stillOpen(by, now)
		b.Queue(replaceEncryptionKey, string(by.Account), now)
		b.Queue(`UPDATE encryption_keys SET confirmed_at = $2 WHERE id = $1`, string(k.ID), now)
		if err := tx.SendBatch(ctx, &b.Batch).Close(); err != nil {
			return err
		}
		return makeStale(ctx, tx, by, k.Recipient, now)
	})
	return k, err
}

const replaceEncryptionKey = `UPDATE encryption_keys SET replaced_at = $2 WHERE account_id = $1 AND confirmed_at IS NOT NULL AND replaced_at IS NULL`

// endEncryptionKey leaves the agent without an encryption key, offered or in
// use, and without what it was granted with it. It reports whether there was
// one.
func endEncryptionKey(ctx context.Context, tx pgx.Tx, agent market.AccountID, now time.Time) (bool, error) {
	offered, err := tx.Exec(ctx, `DELETE FROM encryption_keys WHERE account_id = $1 AND confirmed_at IS NULL`, string(agent))
	if err != nil {
		return false, err
	}
	used, err := tx.Exec(ctx, replaceEncryptionKey, string(agent), now)
	if err != nil {
		return false, err
	}
	return offered.RowsAffected()+used.RowsAffected() > 0, makeStale(ctx, tx, Caller{Actor: market.Actor{Account: agent}}, "", now)
}

// makeStale takes what the account was granted with keys that are replaced. It
// is a statement of its own behind the replacement, so that it sees a grant
// that was made at the same time. The recipient is the new key's, "" for none.
func makeStale(ctx context.Context, tx pgx.Tx, by Caller, recipient string, at time.Time) error {
	rows, err := tx.Query(ctx, `
		UPDATE secret_requests q SET state = 'stale', bundle = NULL, expires_at = NULL
		FROM tasks t, encryption_keys k
		WHERE t.id = q.task_id AND k.id = q.key_id AND k.account_id = $1 AND k.replaced_at IS NOT NULL AND q.state NOT IN ('stale', 'ended')
		RETURNING q.id, q.task_id, t.publisher_id`, string(by.Account))
	if err != nil {
		return err
	}
	type stale struct {
		request   market.SecretRequestID
		task      market.TaskID
		publisher market.AccountID
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (x stale, err error) {
		return x, row.Scan(&x.request, &x.task, &x.publisher)
	})
	if err != nil || len(all) == 0 {
		return err
	}
	var b batch
	for _, x := range all {
		b.noteSecret(by, x.task, "key_changed", x.request, nil, at)
		data := map[string]any{"requestId": x.request}
		if recipient != "" {
			data["fingerprint"] = market.Fingerprint(recipient)
		}
		b.tell(x.publisher, market.FeedSecretRotated, x.task, data, at)
	}
	return tx.SendBatch(ctx, &b.Batch).Close()
}

// noteSecret adds a line to the audit trail.
func (b *batch) noteSecret(by Caller, task market.TaskID, event string, request market.SecretRequestID, revision any, now time.Time) {
	b.Queue(`INSERT INTO secret_events (task_id, at, event, actor_id, key_id, request_id, revision) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		string(task), now, event, string(by.Account), nullID(by.Key), nullID(request), revision)
	b.acted(by, market.BundleSecret+event, task, now)
}

// SecretEvents are the newest lines of the audit trail, for the publisher.
func (s *Store) SecretEvents(ctx context.Context, id market.TaskID, limit int) ([]market.SecretEvent, error) {
	return list(ctx, s, func(row pgx.CollectableRow) (e market.SecretEvent, err error) {
		var recipient string
		if err = row.Scan(&e.At, &e.Event, &e.Actor, &e.RequestID, &e.Worker, &recipient, &e.Revision); err == nil && recipient != "" {
			e.Fingerprint = market.Fingerprint(recipient)
		}
		return e, err
	}, `
		SELECT e.at, e.event, COALESCE(a.handle, ''), COALESCE(e.request_id::text, ''), COALESCE(w.handle, ''), COALESCE(k.recipient, ''), COALESCE(e.revision, 0)
		FROM secret_events e
		LEFT JOIN accounts a ON a.id = e.actor_id
		LEFT JOIN secret_requests q ON q.id = e.request_id
		LEFT JOIN accounts w ON w.id = q.worker_id
		LEFT JOIN encryption_keys k ON k.id = q.key_id
		WHERE e.task_id = $1
		ORDER BY e.id DESC LIMIT $2`, []any{string(id), limit})
}

// MustRotate reports whether values of the task's current revision were fetched
// by somebody who has no right to them any more: they are to be changed where
// they open something.
func (s *Store) MustRotate(ctx context.Context, t market.Snapshot) (must bool, err error) {
	err = s.db.GetContext(ctx, &must, `
		SELECT EXISTS (
			SELECT 1 FROM secret_events e JOIN secret_requests q ON q.id = e.request_id JOIN claims c ON c.id = q.claim_id
			WHERE e.task_id = $1 AND e.event = 'fetched' AND e.revision = $2 AND (c.ended_at IS NOT NULL OR q.state <> 'granted'))`, string(t.ID), t.Protected.Revision)
	return must, translate(err)
}
