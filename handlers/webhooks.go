package handlers

import (
	"context"
	"net/http"
	"time"

	"guildhall/market"
	"guildhall/views"
)

// webhookJSON is a webhook without its secret.
type webhookJSON struct {
	ID  market.WebhookID `json:"id"`
	URL string           `json:"url"`
	// Types are those that are sent, all of them if there are none.
	Types     []market.FeedType `json:"types"`
	CreatedAt time.Time         `json:"createdAt"`
	// KeyID is the key that it was made with, null if it was made on a page.
	KeyID *market.KeyID `json:"keyId"`
	// OldSecretUntil is until when the secret before this one signs too.
	OldSecretUntil *time.Time `json:"oldSecretUntil"`
	DisabledAt     *time.Time `json:"disabledAt"`
	DisabledReason *string    `json:"disabledReason"`
	FailingSince   *time.Time `json:"failingSince"`
}

func webhookShape(w market.Webhook) webhookJSON {
	out := webhookJSON{ID: w.ID, URL: w.URL, Types: w.Types, CreatedAt: w.CreatedAt, OldSecretUntil: w.OldUntil, DisabledAt: w.DisabledAt, FailingSince: w.FailingSince}
	if out.Types == nil {
		out.Types = []market.FeedType{}
	}
	if w.MadeBy != "" {
		out.KeyID = &w.MadeBy
	}
	if w.Disabled != "" {
		out.DisabledReason = &w.Disabled
	}
	return out
}

// newWebhookJSON is a webhook with its secret, which is shown once.
type newWebhookJSON struct {
	Webhook webhookJSON `json:"webhook"`
	Secret  string      `json:"secret"`
}

// webhookMadeJSON tells a retry which webhook it is about.
type webhookMadeJSON struct {
	problem
	Webhook webhookJSON `json:"webhook"`
}

// webhookDeliveryJSON is an event on its way to a webhook. What the receiver
// wrote is not in it.
type webhookDeliveryJSON struct {
	ID       market.WebhookDeliveryID `json:"id"`
	EventID  market.FeedEventID       `json:"eventId"`
	Type     market.FeedType          `json:"type"`
	At       time.Time                `json:"at"`
	State    market.WebhookState      `json:"state"`
	Attempts int                      `json:"attempts"`
	Status   *int                     `json:"status"`
	Error    *string                  `json:"error"`
	Millis   *int64                   `json:"ms"`
	LastAt   *time.Time               `json:"lastAt"`
	NextAt   *time.Time               `json:"nextAt"`
}

func webhookDeliveryShape(d market.WebhookDelivery) webhookDeliveryJSON {
	out := webhookDeliveryJSON{ID: d.ID, EventID: d.Event, Type: d.Type, At: d.At, State: d.State, Attempts: d.Attempts, LastAt: d.LastAt, NextAt: d.NextAt}
	if d.Status != 0 {
		out.Status = &d.Status
	}
	if d.Error != "" {
		out.Error = &d.Error
	}
	if d.LastAt != nil {
		out.Millis = &d.Millis
	}
	return out
}

const (
	webhooksPath     = "/api/v1/agent/webhooks"
	webhooksPagePath = "/console/webhooks"
)

func (r *request) webhookID() (market.WebhookID, error) { return pathID[market.WebhookID](r, "wid") }

func webhookPage(id market.WebhookID) string { return webhooksPagePath + "/" + string(id) }

// listWebhooks shows the caller's webhooks; a page of them has a form for a new
// one.
func (h *Handlers) listWebhooks(r *request) (answer, error) {
	all, err := h.Store.Webhooks(r.ctx(), r.actor)
	out := list[webhookJSON]{Items: []webhookJSON{}}
	for _, w := range all {
		out.Items = append(out.Items, webhookShape(w))
	}
	return answer{json: out, page: func(ctx context.Context) (views.Screen, error) {
		return views.Webhooks(ctx, views.WebhooksView{Webhooks: all, Form: views.Form{Once: newRequestID()}, Now: time.Now()}), nil
	}}, err
}

// webhookMade is the stored answer to a request that made a secret: it is not
// stored, so a retry is told which webhook it was.
func (r *request) webhookMade(v any) answer {
	w := v.(market.Webhook)
	p := toProblem(market.ErrAlreadyDone, r.echo.Request().URL.Path)
	return answer{status: http.StatusConflict, json: webhookMadeJSON{p, webhookShape(w)}, location: webhooksPath + "/" + string(w.ID), to: webhookPage(w.ID)}
}

// showSecret shows a secret, this once.
func showSecret(status int, w market.Webhook, secret string) answer {
	return answer{status: status, location: webhooksPath + "/" + string(w.ID), json: newWebhookJSON{webhookShape(w), secret},
		page: func(ctx context.Context) (views.Screen, error) {
			return views.WebhookSecret(ctx, views.WebhookSecretView{Webhook: w, Secret: secret}), nil
		}}
}

type webhookInput struct {
	URL   string   `json:"url"`
	Types []string `json:"types"`
}

// makeWebhook makes a webhook and shows its secret, this once.
func (h *Handlers) makeWebhook(r *request) (answer, error) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		all, err := h.Store.Webhooks(ctx, r.actor)
		return views.Webhooks(ctx, views.WebhooksView{Webhooks: all, Form: views.Form{Values: r.form, Problem: &p, Once: newRequestID()}, Now: time.Now()}), err
	}
	var in webhookInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	d := market.WebhookDraft{URL: in.URL}
	for _, t := range in.Types {
		d.Types = append(d.Types, market.FeedType(t))
	}
	if err := r.invalid(d.Clean(h.WebhookAllow.Host, h.WebhookAllow.Private)); err != nil {
		return answer{}, err
	}
	w, secret, err := h.Store.NewWebhook(r.ctx(), r.caller(r.webhookMade), d)
	return showSecret(http.StatusCreated, w, secret), err
}

// rotateWebhook gives a webhook another secret and shows it, this once.
func (h *Handlers) rotateWebhook(r *request) (answer, error) {
	id, err := r.webhookID()
	if err != nil {
		return answer{}, err
	}
	w, secret, err := h.Store.RotateWebhook(r.ctx(), r.caller(r.webhookMade), id)
	return showSecret(http.StatusOK, w, secret), err
}

// showWebhook is one of the caller's webhooks; its page has the log.
func (h *Handlers) showWebhook(r *request) (answer, error) {
	id, err := r.webhookID()
	if err != nil {
		return answer{}, err
	}
	w, err := h.Store.Webhook(r.ctx(), r.actor, id)
	if err != nil || !r.page {
		return answer{json: webhookShape(w), tagged: true}, err
	}
	sent, deliveries, later, err := h.webhookLog(r, id)
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		return views.Webhook(ctx, views.WebhookView{Webhook: w, Deliveries: deliveries, Next: text(sent.NextCursor), Later: later, Now: time.Now()}), nil
	}}, err
}

// webhookLog is a page of what was, or is to be, sent.
func (h *Handlers) webhookLog(r *request, id market.WebhookID) (found list[webhookDeliveryJSON], all []market.WebhookDelivery, later bool, err error) {
	q := query{r: r}
	limit, before := q.limit(), market.WebhookDeliveryID(q.before())
	if err := market.Invalid(q.bad); err != nil {
		return found, nil, false, err
	}
	all, err = h.Store.WebhookDeliveries(r.ctx(), id, before, limit+1)
	found = page(all, limit, webhookDeliveryShape, func(d market.WebhookDelivery) any { return map[string]any{"id": d.ID} })
	return found, all[:len(found.Items)], before != "", err
}

// listWebhookDeliveries is the log of one of the caller's webhooks.
func (h *Handlers) listWebhookDeliveries(r *request) (answer, error) {
	id, err := r.webhookID()
	if err != nil {
		return answer{}, err
	}
	if _, err := h.Store.Webhook(r.ctx(), r.actor, id); err != nil {
		return answer{}, err
	}
	found, _, _, err := h.webhookLog(r, id)
	return answer{json: found}, err
}

func (h *Handlers) deleteWebhook(r *request) (answer, error) {
	id, err := r.webhookID()
	if err != nil {
		return answer{}, err
	}
	present := func(v any) answer {
		return answer{json: webhookShape(v.(market.Webhook)), to: webhooksPagePath, flash: views.Message{ID: "flash.webhook_deleted"}}
	}
	w, err := h.Store.DeleteWebhook(r.ctx(), r.caller(present), id)
	return present(w), err
}

func (h *Handlers) enableWebhook(r *request) (answer, error) {
	id, err := r.webhookID()
	if err != nil {
		return answer{}, err
	}
	present := func(v any) answer {
		return answer{json: webhookShape(v.(market.Webhook)), to: webhookPage(id), flash: views.Message{ID: "flash.webhook_enabled"}}
	}
	w, err := h.Store.EnableWebhook(r.ctx(), r.caller(present), id)
	return present(w), err
}

// testWebhook sends a test to a webhook. The answer comes before it is sent.
func (h *Handlers) testWebhook(r *request) (answer, error) {
	id, err := r.webhookID()
	if err != nil {
		return answer{}, err
	}
	if err := h.throttleTalk(r); err != nil {
		return answer{}, err
	}
	// A retry is told of the webhook: the log says what was sent.
	d, err := h.Store.TestWebhook(r.ctx(), r.caller(r.webhookSoon), id)
	return answer{status: http.StatusAccepted, json: webhookDeliveryShape(d), to: webhookPage(id), flash: views.Message{ID: "flash.webhook_test"}}, err
}

// webhookSoon is the stored answer to what makes something be sent.
func (r *request) webhookSoon(v any) answer {
	w := v.(market.Webhook)
	return answer{status: http.StatusAccepted, json: webhookShape(w), to: webhookPage(w.ID)}
}

// redeliver sends an event to a webhook once more.
func (h *Handlers) redeliver(r *request) (answer, error) {
	id, err := r.webhookID()
	if err != nil {
		return answer{}, err
	}
	wdid, err := pathID[market.WebhookDeliveryID](r, "wdid")
	if err != nil {
		return answer{}, err
	}
	if err := h.throttleTalk(r); err != nil {
		return answer{}, err
	}
	d, err := h.Store.Redeliver(r.ctx(), r.caller(r.webhookSoon), id, wdid)
	return answer{status: http.StatusAccepted, json: webhookDeliveryShape(d), to: webhookPage(id), flash: views.Message{ID: "flash.webhook_again"}}, err
}
