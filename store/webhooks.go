package store

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

const webhookColumns = `
	w.id, w.account_id, COALESCE(w.bundle_id::text, ''), COALESCE(w.made_by::text, ''), w.url, w.types, w.created_at, CASE WHEN w.old_until > $1 THEN w.old_until END, w.disabled_at, COALESCE(w.disabled, ''), w.failing_since`

func webhookTargets(w *market.Webhook) []any {
	return []any{&w.ID, &w.Account, &w.Bundle, &w.MadeBy, &w.URL, &w.Types, &w.CreatedAt, &w.OldUntil, &w.DisabledAt, &w.Disabled, &w.FailingSince}
}

// webhookVault names the rows' part of the vault: a sealed secret opens in its
// own row only.
const webhookVault market.GoodID = "webhook"

// sealWebhook seals a secret. Until the transaction ends no key is retired.
func (s *Store) sealWebhook(ctx context.Context, tx pgx.Tx, id market.WebhookID, secret string) (sealed, error) {
	if err := s.holdKeys(ctx, tx, rekeyLock); err != nil {
		return sealed{}, err
	}
	return s.opts.Vault.seal(market.CodeID(id), webhookVault, secret), nil
}

// NewWebhook makes a webhook of a clean draft. It is sent what happens from now
// on. The secret is returned here and never again. An account has at most
// market.MaxWebhooks; then it is market.ErrTooManyWebhooks. What the caller's key
// may know is looked up again: a narrowing of its bundle either comes first, or
// deletes the webhook.
func (s *Store) NewWebhook(ctx context.Context, by Caller, d market.WebhookDraft) (market.Webhook, string, error) {
	secret := market.NewWebhookSecret()
	var w market.Webhook
	var bundle market.BundleID
	if by.Mandate != nil {
		bundle = by.Mandate.Bundle
	}
	at, err := s.FeedEnd(ctx)
	if err != nil {
		return w, "", err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		now, d := s.now(), d
		scopes, limited, err := keyRights(ctx, tx, by, now)
		if err != nil {
			return err
		}
		if limited { // it may not know of other tasks
			return market.ErrBundleLimited
		}
		if err := cmp.Or(market.Permit(scopes, market.WebhooksWrite), d.Within(scopes)); err != nil {
			return err
		}
		w = market.Webhook{ID: newID[market.WebhookID](), Account: by.Account, Bundle: bundle, MadeBy: by.Key, URL: d.URL, Types: d.Types, CreatedAt: now}
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 7462))`, string(by.Account)); err != nil {
			return err
		}
		var have int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM webhooks WHERE account_id = $1`, string(by.Account)).Scan(&have); err != nil {
			return err
		}
		if have >= market.MaxWebhooks {
			return market.ErrTooManyWebhooks
		}
		var b batch
		if err := b.once(by, w, now); err != nil {
			return err
		}
		if by.Key == "" {
			b.stillOpen(by, now)
		}
		c, err := s.sealWebhook(ctx, tx, w.ID, secret)
		if err != nil {
			return err
		}
		b.Queue(`
			INSERT INTO webhooks (id, account_id, url, types, created_at, sealed, nonce, key_id, xid, event_id, bundle_id, made_by)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::xid8, $10, $11, $12)`,
			string(w.ID), string(by.Account), w.URL, typeNames(w.Types), now, c.text, c.nonce, c.key, strconv.FormatUint(at.XID, 10), string(at.ID), nullID(bundle), nullID(by.Key))
		b.acted(by, market.BundleHookMade, "", now)
		return tx.SendBatch(ctx, &b.Batch).Close()
	})
	return w, secret, err
}

func typeNames(types []market.FeedType) []string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = string(t)
	}
	return names
}

func (s *Store) webhooks(ctx context.Context, which string, args ...any) ([]market.Webhook, error) {
	return list(ctx, s, func(row pgx.CollectableRow) (w market.Webhook, err error) { return w, row.Scan(webhookTargets(&w)...) },
		`SELECT `+webhookColumns+` FROM webhooks w `+which, append([]any{s.now()}, args...))
}

// ofBundle keeps the webhooks that who acts through a bundle may see and
// change: its own.
const ofBundle = ` AND ($3::uuid IS NULL OR w.bundle_id = $3::uuid)`

func mandateID(a market.Actor) any {
	if a.Mandate == nil {
		return nil
	}
	return string(a.Mandate.Bundle)
}

// Webhooks are those of the account, newest first; of a bundle its own.
func (s *Store) Webhooks(ctx context.Context, by market.Actor) ([]market.Webhook, error) {
	return s.webhooks(ctx, `WHERE w.account_id = $2`+ofBundle+` ORDER BY w.id DESC`, string(by.Account), mandateID(by))
}

// Webhook is one of those of Webhooks; any other is market.ErrNotFound.
func (s *Store) Webhook(ctx context.Context, by market.Actor, id market.WebhookID) (market.Webhook, error) {
	found, err := s.webhooks(ctx, `WHERE w.account_id = $2`+ofBundle+` AND w.id = $4`, string(by.Account), mandateID(by), string(id))
	if err == nil && len(found) == 0 {
		err = market.ErrNotFound
	}
	if err != nil {
		return market.Webhook{}, err
	}
	return found[0], nil
}

// changeWebhook locks one of the caller's webhooks and changes it.
func (s *Store) changeWebhook(ctx context.Context, by Caller, id market.WebhookID, do func(pgx.Tx, *market.Webhook, *batch, time.Time) error) (market.Webhook, error) {
	var w market.Webhook
	return w, s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		if by.Once != nil {
			if _, err := tx.Exec(ctx, `SELECT begin_once($1)`, onceScope(by)); err != nil {
				return err
			}
		}
		w = market.Webhook{}
		err := tx.QueryRow(ctx, `SELECT `+webhookColumns+` FROM webhooks w WHERE w.account_id = $2`+ofBundle+` AND w.id = $4 FOR UPDATE`,
			now, string(by.Account), mandateID(by.Actor), string(id)).Scan(webhookTargets(&w)...)
		if err != nil {
			return err
		}
		var b, first batch
		if err := do(tx, &w, &b, now); err != nil {
			return err
		}
		if err := first.once(by, w, now); err != nil {
			return err
		}
		b.acted(by, market.BundleHookChanged, "", now)
		first.QueuedQueries = append(first.QueuedQueries, b.QueuedQueries...)
		return tx.SendBatch(ctx, &first.Batch).Close()
	})
}

// DeleteWebhook ends a webhook and forgets what was sent to it.
func (s *Store) DeleteWebhook(ctx context.Context, by Caller, id market.WebhookID) (market.Webhook, error) {
	return s.changeWebhook(ctx, by, id, func(_ pgx.Tx, _ *market.Webhook, b *batch, _ time.Time) error {
		b.Queue(`DELETE FROM webhooks WHERE id = $1`, string(id))
		return nil
	})
}

// RotateWebhook gives the webhook a new secret, which is returned here and
// never again; the old one signs beside it for market.WebhookOverlap.
func (s *Store) RotateWebhook(ctx context.Context, by Caller, id market.WebhookID) (market.Webhook, string, error) {
	secret := market.NewWebhookSecret()
	w, err := s.changeWebhook(ctx, by, id, func(tx pgx.Tx, w *market.Webhook, b *batch, now time.Time) error {
		until := now.Add(market.WebhookOverlap)
		w.OldUntil = &until
		c, err := s.sealWebhook(ctx, tx, id, secret)
		if err != nil {
			return err
		}
		b.Queue(`
			UPDATE webhooks SET old_sealed = sealed, old_nonce = nonce, old_key_id = key_id, old_until = $2, sealed = $3, nonce = $4, key_id = $5
			WHERE id = $1`, string(id), until, c.text, c.nonce, c.key)
		return nil
	})
	return w, secret, err
}

// EnableWebhook switches a webhook on again; what happened meanwhile is sent.
func (s *Store) EnableWebhook(ctx context.Context, by Caller, id market.WebhookID) (market.Webhook, error) {
	return s.changeWebhook(ctx, by, id, func(_ pgx.Tx, w *market.Webhook, b *batch, _ time.Time) error {
		w.DisabledAt, w.Disabled, w.FailingSince = nil, "", nil
		b.Queue(`UPDATE webhooks SET disabled_at = NULL, disabled = NULL, failing_since = NULL, paused_until = NULL WHERE id = $1`, string(id))
		return nil
	})
}

// webhookBody is what a receiver gets.
type webhookBody struct {
	Type market.FeedType `json:"type"`
	// Timestamp is when it happened.
	Timestamp time.Time    `json:"timestamp"`
	Data      webhookEvent `json:"data"`
}

type webhookEvent struct {
	ID     market.FeedEventID `json:"id"`
	At     time.Time          `json:"at"`
	Type   market.FeedType    `json:"type"`
	TaskID market.TaskID      `json:"taskId,omitempty"`
	Data   map[string]any     `json:"data"`
}

func bodyOf(e market.FeedEvent) string {
	return toDocument(webhookBody{e.Type, e.At, webhookEvent{e.ID, e.At, e.Type, e.Task, e.Data}})
}

const insertWebhookDelivery = `
	INSERT INTO webhook_deliveries (id, webhook_id, event_id, type, at, body, state, attempts, next_at)
	VALUES ($1, $2, $3, $4, $5, $6, 'pending', 0, $7)`

func webhookDeliveryArgs(d market.WebhookDelivery, body string) []any {
	return []any{string(d.ID), string(d.Webhook), string(d.Event), string(d.Type), d.At, body, *d.NextAt}
}

// TestWebhook sends a test to the webhook, whatever types it wants. One that is
// off is market.ErrWebhookDisabled.
func (s *Store) TestWebhook(ctx context.Context, by Caller, id market.WebhookID) (market.WebhookDelivery, error) {
	var d market.WebhookDelivery
	_, err := s.changeWebhook(ctx, by, id, func(_ pgx.Tx, w *market.Webhook, b *batch, now time.Time) error {
		if w.DisabledAt != nil {
			return market.ErrWebhookDisabled
		}
		e := market.FeedEvent{ID: newID[market.FeedEventID](), At: now, Type: market.FeedWebhookTest, Data: map[string]any{"webhookId": id}}
		d = market.WebhookDelivery{ID: newID[market.WebhookDeliveryID](), Webhook: id, Event: e.ID, Type: e.Type, At: now, State: market.WebhookPending, NextAt: &now}
		b.Queue(insertWebhookDelivery, webhookDeliveryArgs(d, bodyOf(e))...)
		b.Queue(`UPDATE webhooks SET paused_until = NULL WHERE id = $1`, string(id))
		return nil
	})
	return d, err
}

const webhookDeliveryColumns = `
	d.id, d.webhook_id, d.event_id, d.type, d.at, d.state, d.attempts, COALESCE(d.status, 0), COALESCE(d.error, ''), COALESCE(d.millis, 0), d.last_at, d.next_at`

func scanWebhookDelivery(row pgx.CollectableRow) (d market.WebhookDelivery, err error) {
	return d, row.Scan(&d.ID, &d.Webhook, &d.Event, &d.Type, &d.At, &d.State, &d.Attempts, &d.Status, &d.Error, &d.Millis, &d.LastAt, &d.NextAt)
}

// WebhookDeliveries are what was, or is to be, sent to the webhook, newest
// first, older than before.
func (s *Store) WebhookDeliveries(ctx context.Context, id market.WebhookID, before market.WebhookDeliveryID, limit int) ([]market.WebhookDelivery, error) {
	return list(ctx, s, scanWebhookDelivery, `
		SELECT `+webhookDeliveryColumns+` FROM webhook_deliveries d
		WHERE d.webhook_id = $1 AND ($2::uuid IS NULL OR d.id < $2::uuid)
		ORDER BY d.id DESC LIMIT $3`, []any{string(id), nullID(before), limit})
}

// Redeliver sends an event once more, whatever became of it before.
func (s *Store) Redeliver(ctx context.Context, by Caller, id market.WebhookID, delivery market.WebhookDeliveryID) (market.WebhookDelivery, error) {
	var d market.WebhookDelivery
	_, err := s.changeWebhook(ctx, by, id, func(tx pgx.Tx, w *market.Webhook, b *batch, now time.Time) error {
		if w.DisabledAt != nil {
			return market.ErrWebhookDisabled
		}
		rows, err := tx.Query(ctx, `SELECT `+webhookDeliveryColumns+` FROM webhook_deliveries d WHERE d.id = $1 AND d.webhook_id = $2 FOR UPDATE`, string(delivery), string(id))
		if err != nil {
			return err
		}
		if d, err = pgx.CollectExactlyOneRow(rows, scanWebhookDelivery); err != nil {
			return err
		}
		d.State, d.Attempts, d.NextAt = market.WebhookPending, 0, &now
		b.Queue(`UPDATE webhook_deliveries SET state = 'pending', attempts = 0, next_at = $2 WHERE id = $1`, string(delivery), now)
		b.Queue(`UPDATE webhooks SET paused_until = NULL WHERE id = $1`, string(id))
		return nil
	})
	return d, err
}

// pruneWebhooks forgets what was sent long ago.
func (s *Store) pruneWebhooks(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, `
		DELETE FROM webhook_deliveries WHERE id IN (
			SELECT id FROM webhook_deliveries WHERE id < $1 AND next_at IS NULL ORDER BY id LIMIT $2)`, firstID(s.now().Add(-market.WebhookLog)), pruneBatch)
	if err == nil { // those of bundles that are over
		_, err = s.db.ExecContext(ctx, `DELETE FROM webhooks WHERE bundle_id IN (SELECT id FROM bundles WHERE expires_at <= $1)`, s.now())
	}
	return translate(err)
}

// rekeyWebhooks seals secrets anew that are not under the vault's first key.
func (s *Store) rekeyWebhooks(ctx context.Context, tx pgx.Tx) (int, error) {
	current := s.opts.Vault.current()
	rows, err := tx.Query(ctx, `
		SELECT id, sealed, nonce, key_id, old_sealed, old_nonce, old_key_id FROM webhooks WHERE key_id <> $1 OR old_key_id <> $1
		ORDER BY id LIMIT $2 FOR UPDATE`, current, rekeyBatch)
	if err != nil {
		return 0, err
	}
	type row struct {
		id       market.WebhookID
		now, old sealed
		oldKey   *string
	}
	found, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (x row, err error) {
		return x, r.Scan(&x.id, &x.now.text, &x.now.nonce, &x.now.key, &x.old.text, &x.old.nonce, &x.oldKey)
	})
	if err != nil {
		return 0, err
	}
	var b batch
	for _, x := range found {
		again := func(c sealed) (sealed, error) {
			secret, err := s.opts.Vault.open(market.CodeID(x.id), webhookVault, c)
			if err != nil {
				return c, fmt.Errorf("the secret of webhook %s: %w", x.id, err)
			}
			return s.opts.Vault.seal(market.CodeID(x.id), webhookVault, secret), nil
		}
		c, err := again(x.now)
		if err != nil {
			return 0, err
		}
		b.Queue(`UPDATE webhooks SET sealed = $2, nonce = $3, key_id = $4 WHERE id = $1`, string(x.id), c.text, c.nonce, c.key)
		if x.oldKey == nil {
			continue
		}
		x.old.key = *x.oldKey
		if c, err = again(x.old); err != nil {
			return 0, err
		}
		b.Queue(`UPDATE webhooks SET old_sealed = $2, old_nonce = $3, old_key_id = $4 WHERE id = $1`, string(x.id), c.text, c.nonce, c.key)
	}
	return len(found), tx.SendBatch(ctx, &b.Batch).Close()
}
