package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// A request whose claim has ended counts as ended, also if it came in at the
// very moment.
const selectSecretRequests = `
	SELECT q.id, q.task_id, q.claim_id, q.worker_id, w.handle,
		(SELECT r.score FROM reputations r WHERE r.account_id = q.worker_id AND r.role = 'worker' AND r.skill = ''),
		` + encryptionKeyColumns + `,
		CASE WHEN c.ended_at IS NOT NULL AND q.state <> 'stale' THEN 'ended' ELSE q.state END,
		q.requested_at, q.decided_at, q.reason, COALESCE(q.revision, 0), COALESCE(q.bundle, ''), q.expires_at, q.fetched_at, q.fetches,
		COALESCE((
			SELECT CASE WHEN pk.recipient = k.recipient THEN 'same' ELSE 'changed' END
			FROM secret_requests p
			JOIN secret_events e ON e.request_id = p.id AND e.event = 'granted'
			JOIN encryption_keys pk ON pk.id = p.key_id
			JOIN tasks pt ON pt.id = p.task_id
			WHERE p.worker_id = q.worker_id AND pt.publisher_id = t.publisher_id AND p.id <> q.id
			ORDER BY e.id DESC LIMIT 1), 'first_time')
	FROM secret_requests q
	JOIN tasks t ON t.id = q.task_id
	JOIN claims c ON c.id = q.claim_id
	JOIN accounts w ON w.id = q.worker_id
	JOIN encryption_keys k ON k.id = q.key_id`

func scanSecretRequest(row pgx.Row) (market.SecretRequest, error) {
	var q market.SecretRequest
	targets := append([]any{&q.ID, &q.Task, &q.Claim, &q.Worker, &q.Handle, &q.Score}, encryptionKeyTargets(&q.Key)...)
	err := row.Scan(append(targets, &q.State, &q.RequestedAt, &q.DecidedAt, &q.Reason, &q.Revision, &q.Bundle, &q.ExpiresAt, &q.FetchedAt, &q.Fetches, &q.Familiar)...)
	return q, err
}

// SecretRequests are those of the task, newest first, older than before.
func (s *Store) SecretRequests(ctx context.Context, id market.TaskID, before market.SecretRequestID, limit int) ([]market.SecretRequest, error) {
	return list(ctx, s, func(row pgx.CollectableRow) (market.SecretRequest, error) { return scanSecretRequest(row) }, selectSecretRequests+`
		WHERE q.task_id = $1 AND ($2::uuid IS NULL OR q.id < $2::uuid)
		ORDER BY q.id DESC LIMIT $3`, []any{string(id), nullID(before), limit})
}

// OwnSecretRequest is the latest request of the claim's holder. Without one it
// is market.ErrAccessNotGranted, and without a key market.ErrEncryptionKeyRequired.
func (s *Store) OwnSecretRequest(ctx context.Context, by Caller, id market.TaskID) (market.SecretRequest, error) {
	t, err := s.current(ctx, by, id, "")
	if err != nil {
		return market.SecretRequest{}, err
	}
	if err := t.HoldsSecrets(by.Actor); err != nil {
		return market.SecretRequest{}, err
	}
	var q market.SecretRequest
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		q, err = claimRequest(ctx, tx, by, t.Claim.ID)
		return err
	})
	return q, err
}

// claimRequest locks the latest request of a claim.
func claimRequest(ctx context.Context, tx pgx.Tx, by Caller, claim market.ClaimID) (market.SecretRequest, error) {
	q, err := scanSecretRequest(tx.QueryRow(ctx, selectSecretRequests+` WHERE q.claim_id = $1 ORDER BY q.id DESC LIMIT 1 FOR UPDATE OF q`, string(claim)))
	if !errors.Is(err, pgx.ErrNoRows) {
		return q, err
	}
	if _, err := liveEncryptionKey(ctx, tx, by.Account); err != nil {
		return q, err
	}
	return q, market.ErrAccessNotGranted
}

// liveEncryptionKey is the account's, held still until the transaction ends.
func liveEncryptionKey(ctx context.Context, tx pgx.Tx, id market.AccountID) (k market.EncryptionKey, err error) {
	err = tx.QueryRow(ctx, `
		SELECT `+encryptionKeyColumns+` FROM encryption_keys k
		WHERE k.account_id = $1 AND k.confirmed_at IS NOT NULL AND k.replaced_at IS NULL FOR SHARE`, string(id)).Scan(encryptionKeyTargets(&k)...)
	if errors.Is(err, pgx.ErrNoRows) {
		err = market.ErrEncryptionKeyRequired
	}
	return k, err
}

// RequestSecrets asks the publisher for the protected fields, once for each
// claim and key: asked again it is the same request, unless its grant ran out.
func (s *Store) RequestSecrets(ctx context.Context, by Caller, id market.TaskID) (market.SecretRequest, error) {
	for range maxRaces {
		t, err := s.current(ctx, by, id, "")
		if err != nil {
			return market.SecretRequest{}, err
		}
		if err := t.HoldsSecrets(by.Actor); err != nil {
			return market.SecretRequest{}, err
		}
		var q market.SecretRequest
		err = s.inTx(ctx, func(tx pgx.Tx) (err error) {
			q, err = s.requestSecrets(ctx, tx, by, t)
			return err
		})
		if !errors.Is(err, errRaceLost) {
			return q, err
		}
		by.seen = seen{}
	}
	return market.SecretRequest{}, market.ErrUnavailable.After(time.Second)
}

func (s *Store) requestSecrets(ctx context.Context, tx pgx.Tx, by Caller, t market.Snapshot) (market.SecretRequest, error) {
	var live bool
	err := tx.QueryRow(ctx, `SELECT ended_at IS NULL FROM claims WHERE id = $1 FOR SHARE`, string(t.Claim.ID)).Scan(&live)
	if err == nil && !live {
		err = errRaceLost
	}
	if err != nil {
		return market.SecretRequest{}, err
	}
	k, err := liveEncryptionKey(ctx, tx, by.Account)
	if err != nil {
		return market.SecretRequest{}, err
	}
	now := s.now()
	q, err := claimRequest(ctx, tx, by, t.Claim.ID)
	asked := err == nil && q.State != market.SecretStale
	if asked && q.At(now) != market.SecretExpired {
		return q, nil
	}
	if err != nil && !errors.Is(err, market.ErrAccessNotGranted) {
		return q, err
	}
	var b batch
	if !asked {
		q = market.SecretRequest{ID: newID[market.SecretRequestID](), Task: t.ID, Claim: t.Claim.ID, Worker: by.Account, Handle: by.Handle, Key: k}
	}
	q.State, q.RequestedAt, q.DecidedAt, q.Bundle, q.ExpiresAt, q.Revision = market.SecretPending, now, nil, "", nil, 0
	if err := b.once(by, q, now); err != nil {
		return q, err
	}
	b.Queue(`
		INSERT INTO secret_requests (id, task_id, claim_id, worker_id, key_id, state, requested_at) VALUES ($1, $2, $3, $4, $5, 'pending', $6)
		ON CONFLICT (id) DO UPDATE SET state = 'pending', requested_at = excluded.requested_at, decided_at = NULL, bundle = NULL, expires_at = NULL, revision = NULL`,
		string(q.ID), string(t.ID), string(t.Claim.ID), string(by.Account), string(k.ID), now)
	b.noteSecret(by, t.ID, "requested", q.ID, nil, now)
	b.tell(t.Publisher, market.FeedSecretRequested, t.ID, map[string]any{"requestId": q.ID, "worker": by.Handle, "fingerprint": market.Fingerprint(k.Recipient)}, now)
	return q, tx.SendBatch(ctx, &b.Batch).Close()
}

// FetchSecrets is the bundle that the claim's holder was granted. Each fetch
// is a line of the audit trail.
func (s *Store) FetchSecrets(ctx context.Context, by Caller, id market.TaskID) (market.SecretRequest, error) {
	t, err := s.current(ctx, by, id, "")
	if err != nil {
		return market.SecretRequest{}, err
	}
	if err := t.HoldsSecrets(by.Actor); err != nil {
		return market.SecretRequest{}, err
	}
	var q market.SecretRequest
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		if q, err = claimRequest(ctx, tx, by, t.Claim.ID); err != nil {
			return err
		}
		if q, err = q.Fetch(now); err != nil {
			return err
		}
		var b batch
		b.Queue(`UPDATE secret_requests SET fetched_at = $2, fetches = $3 WHERE id = $1`, string(q.ID), q.FetchedAt, q.Fetches)
		b.noteSecret(by, id, "fetched", q.ID, q.Revision, now)
		return tx.SendBatch(ctx, &b.Batch).Close()
	})
	return q, err
}

// GrantSecrets stores the bundle that the publisher sealed to the agent's key.
// It holds the claim and the key still: one that ends or changes at the same
// time comes before, and refuses the grant, or after, and takes it.
func (s *Store) GrantSecrets(ctx context.Context, by Caller, task market.TaskID, id market.SecretRequestID, revision int, bundle string, until time.Time) (market.SecretRequest, error) {
	return s.decideSecrets(ctx, by, task, id, func(q market.SecretRequest, p market.Protected, now time.Time) (market.SecretRequest, error) {
		return q.Grant(p, revision, bundle, until, now)
	}, "granted", market.FeedSecretGranted)
}

// RefuseSecrets denies a request, or revokes what was granted.
func (s *Store) RefuseSecrets(ctx context.Context, by Caller, task market.TaskID, id market.SecretRequestID, to market.SecretState, reason string) (market.SecretRequest, error) {
	kind := market.FeedSecretDenied
	if to == market.SecretRevoked {
		kind = market.FeedSecretRevoked
	}
	return s.decideSecrets(ctx, by, task, id, func(q market.SecretRequest, _ market.Protected, now time.Time) (market.SecretRequest, error) {
		return q.Refuse(to, reason, now)
	}, string(to), kind)
}

// SecretRequest is one of the task's, for its publisher.
func (s *Store) SecretRequest(ctx context.Context, by Caller, task market.TaskID, id market.SecretRequestID) (q market.SecretRequest, err error) {
	t, err := s.current(ctx, by, task, "")
	if err != nil {
		return q, err
	}
	if err := t.OwnsSecrets(by.Actor); err != nil {
		return q, err
	}
	err = s.read(ctx, func(c *pgx.Conn) error {
		q, err = scanSecretRequest(c.QueryRow(ctx, selectSecretRequests+` WHERE q.id = $1 AND q.task_id = $2`, string(id), string(task)))
		return err
	})
	return q, translate(err)
}

func (s *Store) decideSecrets(ctx context.Context, by Caller, task market.TaskID, id market.SecretRequestID,
	decide func(market.SecretRequest, market.Protected, time.Time) (market.SecretRequest, error), event string, kind market.FeedType) (market.SecretRequest, error) {
	t, err := s.current(ctx, by, task, "")
	if err != nil {
		return market.SecretRequest{}, err
	}
	if err := t.OwnsSecrets(by.Actor); err != nil {
		return market.SecretRequest{}, err
	}
	var q market.SecretRequest
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		p, err := holdStill(ctx, tx, task, id)
		if err != nil {
			return err
		}
		if q, err = scanSecretRequest(tx.QueryRow(ctx, selectSecretRequests+` WHERE q.id = $1 FOR UPDATE OF q`, string(id))); err != nil {
			return err
		}
		if q, err = decide(q, p, now); err != nil {
			return err
		}
		var b batch
		if err := b.once(by, q, now); err != nil {
			return err
		}
		var bundle, revision any
		if q.State == market.SecretGranted {
			bundle, revision = q.Bundle, q.Revision
		}
		b.Queue(`
			UPDATE secret_requests SET state = $2, decided_at = $3, reason = $4, revision = $5, bundle = $6, expires_at = $7, fetched_at = $8, fetches = $9
			WHERE id = $1`, string(id), string(q.State), q.DecidedAt, q.Reason, revision, bundle, q.ExpiresAt, q.FetchedAt, q.Fetches)
		b.noteSecret(by, task, event, id, revision, now)
		b.tell(q.Worker, kind, task, map[string]any{"requestId": id}, now)
		return tx.SendBatch(ctx, &b.Batch).Close()
	})
	return q, err
}

// holdStill locks what a decision on a request relies on, in the order in which
// others change it: the claim, the agent's key, the revision.
func holdStill(ctx context.Context, tx pgx.Tx, task market.TaskID, id market.SecretRequestID) (market.Protected, error) {
	var p market.Protected
	for _, lock := range []string{
		`SELECT 1 FROM claims c JOIN secret_requests q ON q.claim_id = c.id WHERE q.id = $2 AND q.task_id = $1 FOR SHARE OF c`,
		`SELECT 1 FROM encryption_keys k JOIN secret_requests q ON q.key_id = k.id WHERE q.id = $2 AND q.task_id = $1 FOR SHARE OF k`,
	} {
		if err := tx.QueryRow(ctx, lock, string(task), string(id)).Scan(new(int)); err != nil {
			return p, err
		}
	}
	err := tx.QueryRow(ctx, `SELECT shown FROM protected_revisions WHERE task_id = $1 AND ciphertext IS NOT NULL FOR SHARE`, string(task)).Scan(&p)
	if errors.Is(err, pgx.ErrNoRows) { // another came while this waited
		err = market.ErrRevisionChanged
	}
	return p, err
}

// addSecrets adds where the actor stands with the protected fields.
func (s *Store) addSecrets(ctx context.Context, by market.AccountID, t *market.Snapshot) error {
	if t.Protected == nil || t.Claim == nil || t.Claim.EndedAt != nil || by != t.Publisher && by != t.Claim.Worker {
		return nil
	}
	var all []struct {
		State     market.SecretState `db:"state"`
		ExpiresAt *time.Time         `db:"expires_at"`
	}
	err := s.db.SelectContext(ctx, &all, `SELECT state, expires_at FROM secret_requests WHERE task_id = $1 AND claim_id = $2 ORDER BY id DESC`, string(t.ID), string(t.Claim.ID))
	if err != nil {
		return translate(err)
	}
	t.Secrets = &market.SecretStanding{}
	for i, row := range all { // one for each key that the holder had
		if row.State == market.SecretPending {
			t.Secrets.Waiting++
		}
		if i == 0 {
			t.Secrets.Asked = market.SecretRequest{State: row.State, ExpiresAt: row.ExpiresAt}.At(s.now())
		}
	}
	return nil
}
