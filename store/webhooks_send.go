package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// Sending webhooks. Each follows its account's feed like any other reader:
// nothing is written for it where something happens. What is new is copied into
// webhook_deliveries, together with how far the feed was read, and then sent: of
// all nodes one sends to a webhook at a time, one event after the other.

const (
	// webhookLook is how often a node looks for webhooks with something to do.
	webhookLook = time.Second
	// webhookSenders is how many calls a node makes at once, webhooksAccount how
	// many of one account's all nodes make at once.
	webhookSenders  = 16
	webhooksAccount = 2
	// webhookTurn is how many events are sent in a row before others come.
	webhookTurn = 20
	// webhookLease is for how long a node has a webhook to itself; longer than
	// any call takes. Each call begins a new one.
	webhookLease = 45 * time.Second
	// fanOut is how many events are copied at once.
	fanOut = 200
)

// Sender makes the calls.
type Sender interface {
	Send(ctx context.Context, c market.WebhookCall) market.WebhookResult
}

// SendWebhooks sends what is due until ctx ends. It may run on several nodes.
func (s *Store) SendWebhooks(ctx context.Context, send Sender, report func(error)) {
	turns := make(chan struct{}, webhookSenders)
	var busy sync.WaitGroup
	defer busy.Wait()
	woken := s.hub.everything()
	defer s.hub.nothing(woken)
	for ctx.Err() == nil {
		began := time.Now()
		if err := s.copyFeeds(ctx); err != nil && ctx.Err() == nil {
			report(err)
		}
		rest := max(20*time.Millisecond, 4*time.Since(began)) // looking takes a fifth of the time at most
		for ctx.Err() == nil {
			turns <- struct{}{}
			job, err := s.takeWebhook(ctx)
			if err != nil || job == nil {
				<-turns
				if err != nil && ctx.Err() == nil {
					report(err)
				}
				break
			}
			busy.Go(func() {
				defer func() { <-turns }()
				if err := s.serveWebhook(ctx, send, job); err != nil && ctx.Err() == nil {
					report(err)
				}
				signal(woken) // there may be more
			})
		}
		select {
		case <-ctx.Done():
		case <-time.After(webhookLook):
		case <-woken:
			time.Sleep(rest) // all of a moment at once
		}
	}
}

// ready is true of webhooks that are on, and whose account is not suspended.
const ready = `w.disabled_at IS NULL AND EXISTS (SELECT 1 FROM accounts a WHERE a.id = w.account_id AND a.state <> 'suspended')`

// copyFeeds copies what is new into what is to be sent.
func (s *Store) copyFeeds(ctx context.Context) error {
	var ids []string
	err := s.db.SelectContext(ctx, &ids, `
		SELECT w.id FROM webhooks w
		WHERE `+ready+` AND EXISTS (SELECT 1 FROM account_events e
			WHERE e.account_id = w.account_id AND (e.xid, e.id) > (w.xid, w.event_id) AND e.xid < feed_horizon())
		LIMIT 1000`)
	if err != nil {
		return translate(err)
	}
	var failed []error
	for _, id := range ids {
		failed = append(failed, s.quietly(ctx, func(tx pgx.Tx) error { return s.copyFeed(ctx, tx, id) }))
	}
	return errors.Join(failed...)
}

// quietly is inTx for what nobody waits for.
func (s *Store) quietly(ctx context.Context, f func(pgx.Tx) error) error {
	return translate(s.onConn(ctx, func(c *pgx.Conn) error { return pgx.BeginFunc(ctx, c, f) }))
}

// copyFeed goes on where the webhook's feed was read to, unless another node is
// at it.
func (s *Store) copyFeed(ctx context.Context, tx pgx.Tx, id string) error {
	var account, xid, event string
	var types []market.FeedType
	err := tx.QueryRow(ctx, `SELECT account_id, xid::text, event_id, types FROM webhooks WHERE id = $1 FOR UPDATE SKIP LOCKED`, id).Scan(&account, &xid, &event, &types)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	} else if err != nil {
		return err
	}
	rows, err := tx.Query(ctx, readFeed, account, xid, event, fanOut)
	if err != nil {
		return err
	}
	events, err := pgx.CollectRows(rows, scanPlaced)
	if err != nil || len(events) == 0 {
		return err
	}
	now := s.now()
	var b batch
	for _, e := range events {
		if wanted(types, e.Type) {
			d := market.WebhookDelivery{ID: newID[market.WebhookDeliveryID](), Webhook: market.WebhookID(id), Event: e.ID, Type: e.Type, At: e.FeedEvent.At, NextAt: &now}
			b.Queue(insertWebhookDelivery, webhookDeliveryArgs(d, bodyOf(e.FeedEvent))...)
		}
	}
	last := events[len(events)-1].At
	b.Queue(`UPDATE webhooks SET xid = $2::text::xid8, event_id = $3 WHERE id = $1`, id, strconv.FormatUint(last.XID, 10), string(last.ID))
	return tx.SendBatch(ctx, &b.Batch).Close()
}

// webhookJob is a webhook that this node has to itself.
type webhookJob struct {
	id      string
	by      string // tells one turn from another
	account market.AccountID
	url     string
	secrets []string
}

// takeWebhook takes a webhook to which something is due, nil if there is none
// that others do not have.
func (s *Store) takeWebhook(ctx context.Context) (*webhookJob, error) {
	now := s.now()
	j := &webhookJob{by: uuid.NewString()}
	var c, old sealed
	var oldKey *string
	var oldUntil *time.Time
	err := s.onConn(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `
			WITH due AS (
				SELECT d.webhook_id AS id, min(d.next_at) AS at FROM webhook_deliveries d WHERE d.next_at <= $1 GROUP BY d.webhook_id
			), free AS (
				SELECT w.id FROM due JOIN webhooks w ON w.id = due.id
				WHERE `+ready+` AND (w.busy_until IS NULL OR w.busy_until <= $1) AND (w.paused_until IS NULL OR w.paused_until <= $1)
					AND (SELECT count(*) FROM webhooks o WHERE o.account_id = w.account_id AND o.busy_until > $1) < $4
				ORDER BY due.at LIMIT 1
				FOR UPDATE OF w SKIP LOCKED
			)
			UPDATE webhooks w SET busy_by = $2, busy_until = $3 FROM free WHERE w.id = free.id
			RETURNING w.id, w.account_id, w.url, w.sealed, w.nonce, w.key_id, w.old_sealed, w.old_nonce, w.old_key_id, w.old_until`,
			now, j.by, now.Add(webhookLease), webhooksAccount).
			Scan(&j.id, &j.account, &j.url, &c.text, &c.nonce, &c.key, &old.text, &old.nonce, &oldKey, &oldUntil)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	} else if err != nil {
		return nil, translate(err)
	}
	sealedNow := []sealed{c}
	if oldUntil != nil && oldUntil.After(now) {
		old.key = *oldKey
		sealedNow = append(sealedNow, old)
	}
	for _, x := range sealedNow {
		secret, err := s.opts.Vault.open(market.CodeID(j.id), webhookVault, x)
		if err != nil {
			return nil, err
		}
		j.secrets = append(j.secrets, secret)
	}
	return j, nil
}

// errLostWebhook says that the turn is over: it lasted too long, or the webhook
// is gone.
var errLostWebhook = errors.New("store: another node has the webhook")

// serveWebhook sends what is due, the oldest event first, and lets go of the
// webhook. What fails is sent again later, and others go on before it.
func (s *Store) serveWebhook(ctx context.Context, send Sender, j *webhookJob) error {
	for range webhookTurn {
		more, err := s.sendNext(ctx, send, j)
		if errors.Is(err, errLostWebhook) {
			return nil
		}
		if err != nil || !more {
			break
		}
	}
	_, err := s.db.ExecContext(context.WithoutCancel(ctx), `UPDATE webhooks SET busy_by = NULL, busy_until = NULL WHERE id = $1 AND busy_by = $2`, j.id, j.by)
	return translate(err)
}

// sendNext sends one event; more is false if there is none, or if the receiver
// cannot be reached.
func (s *Store) sendNext(ctx context.Context, send Sender, j *webhookJob) (more bool, err error) {
	now := s.now()
	var d market.WebhookDelivery
	var body string
	err = s.onConn(ctx, func(c *pgx.Conn) error {
		return c.QueryRow(ctx, `
			WITH mine AS (
				UPDATE webhooks SET busy_until = $3 WHERE id = $1 AND busy_by = $2 AND busy_until > $4 AND disabled_at IS NULL RETURNING id
			)
			SELECT d.id, d.event_id, d.attempts, d.body FROM mine JOIN webhook_deliveries d ON d.webhook_id = mine.id
			WHERE d.next_at <= $4 ORDER BY d.id LIMIT 1`, j.id, j.by, now.Add(webhookLease), now).Scan(&d.ID, &d.Event, &d.Attempts, &body)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	} else if err != nil {
		return false, translate(err)
	}
	r := send.Send(ctx, market.WebhookCall{URL: j.url, ID: d.Event, At: now, Body: []byte(body), Secrets: j.secrets})
	if ctx.Err() != nil {
		return false, ctx.Err() // cut off: it counts as not sent
	}
	return r.Status != 0 && r.Status != 410, s.recordCall(ctx, j, d, r)
}

// recordCall writes down how a call went.
func (s *Store) recordCall(ctx context.Context, j *webhookJob, d market.WebhookDelivery, r market.WebhookResult) error {
	told := false
	err := s.quietly(ctx, func(tx pgx.Tx) error {
		now := s.now()
		var failing *time.Time
		err := tx.QueryRow(ctx, `SELECT failing_since FROM webhooks WHERE id = $1 AND busy_by = $2 FOR UPDATE`, j.id, j.by).Scan(&failing)
		if errors.Is(err, pgx.ErrNoRows) {
			return errLostWebhook
		} else if err != nil {
			return err
		}
		var b batch
		state, next := market.WebhookSent, (*time.Time)(nil)
		off := ""
		if r.OK() {
			b.Queue(`UPDATE webhooks SET failing_since = NULL, paused_until = NULL WHERE id = $1`, j.id)
		} else {
			state = market.WebhookFailed
			if wait, again := market.WebhookWait(d.Attempts+1, rand.Float64()); again {
				t := now.Add(wait)
				state, next = market.WebhookPending, &t
			}
			if failing == nil {
				failing = &now
			}
			switch {
			case r.Status == 410:
				off = market.WebhookGone
			case now.Sub(*failing) >= market.WebhookPatience:
				off = market.WebhookFailing
			}
			var pause *time.Time
			if r.Status == 0 { // nobody is there: the others would only wait for it too
				t := now.Add(min(10*time.Second+now.Sub(*failing)/4, 10*time.Minute))
				pause = &t
			}
			b.Queue(`UPDATE webhooks SET failing_since = $2, paused_until = $3 WHERE id = $1`, j.id, *failing, pause)
		}
		b.Queue(`UPDATE webhook_deliveries SET state = $2, attempts = $3, status = $4, error = $5, millis = $6, last_at = $7, next_at = $8 WHERE id = $1`,
			string(d.ID), string(state), d.Attempts+1, nullInt(r.Status), nullID(r.Error), r.Took.Milliseconds(), now, next)
		if off != "" {
			b.Queue(`UPDATE webhooks SET disabled_at = $2, disabled = $3 WHERE id = $1`, j.id, now, off)
			b.tell(j.account, market.FeedWebhookDisabled, "", map[string]any{"webhookId": j.id, "reason": off}, now)
			told = true
		}
		return tx.SendBatch(ctx, &b.Batch).Close()
	})
	if err == nil && told {
		s.hub.ring([]market.AccountID{j.account}, false)
	}
	return err
}

func nullInt(n int) any {
	if n == 0 {
		return nil
	}
	return n
}
