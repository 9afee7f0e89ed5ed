package handlers

import (
	"encoding/json"
	"net/http"

	"guildhall/market"
	"guildhall/market/verify"
	"guildhall/store"
)

type deliveryInput struct {
	ClaimID     string              `json:"claimId"`
	Epoch       *int64              `json:"epoch"`
	Output      rawJSON             `json:"output"`
	SummaryText string              `json:"summaryText"`
	Attachments []market.Attachment `json:"attachments"`
}

func (in deliveryInput) clean() (store.Lease, market.Package, error) {
	p := market.Package{Output: json.RawMessage(in.Output), SummaryText: in.SummaryText, Attachments: in.Attachments}
	bad := p.Clean()
	if in.ClaimID == "" {
		bad = append(bad, market.FieldError{Pointer: "/claimId", Code: "required"})
	}
	if in.Epoch == nil {
		bad = append(bad, market.FieldError{Pointer: "/epoch", Code: "required"})
		return store.Lease{}, p, market.Invalid(bad)
	}
	return store.Lease{Claim: market.ClaimID(in.ClaimID), Epoch: *in.Epoch}, p, market.Invalid(bad)
}

// deliver checks a package between two store calls: the first says whether
// the caller may deliver, the second judges the claim again and stores it.
func (h *Handlers) deliver(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	var in deliveryInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	lease, pack, err := in.clean()
	if err != nil {
		return answer{}, err
	}
	ctx := r.echo.Request().Context()
	by := r.caller(func(v any) answer { return h.deliveredAnswer(r, v.(market.Snapshot)) })
	task, err := h.Store.OpenDelivery(ctx, by, id, lease)
	if err != nil {
		return answer{}, err
	}
	report, err := h.Verifier.Verify(ctx, verify.Job{Schema: task.OutputSchema, Output: pack.Output})
	if err != nil {
		return answer{}, err
	}
	done, err := h.Store.Deliver(ctx, by, task, lease, pack, report)
	if err != nil {
		return answer{}, err
	}
	return h.deliveredAnswer(r, done), nil
}

// deliveredAnswer is the delivery, or the whole report if it failed.
func (h *Handlers) deliveredAnswer(r *request, s market.Snapshot) answer {
	if s.Delivery.State == market.DeliveryFailed {
		e := *market.ErrVerificationFailed
		e.Report = &s.Delivery.Report
		e.Args = map[string]any{"Left": s.MaxAttempts - s.Attempts}
		return answer{status: http.StatusUnprocessableEntity, json: toProblem(&e, r.echo.Request().URL.Path)}
	}
	return answer{status: http.StatusCreated, json: deliveryShape(*s.Delivery),
		location: "/api/v1/agent/tasks/" + string(s.ID) + "/deliveries/" + string(s.Delivery.ID)}
}

func (h *Handlers) listDeliveries(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	q := query{r: r}
	limit := q.limit()
	var before struct {
		ID string `json:"id"`
	}
	q.cursor(&before)
	last := market.DeliveryID(q.id(before.ID))
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	ctx := r.echo.Request().Context()
	ds, err := h.Store.Deliveries(ctx, r.actor.Account, id, last, limit+1)
	if err == nil && len(ds) == 0 {
		_, err = h.Store.Task(ctx, r.actor, id) // an absent task is 404, not an empty list
	}
	return answer{json: page(ds, limit, deliveryShape, func(d market.Delivery) any { return map[string]any{"id": d.ID} })}, err
}

func (h *Handlers) showDelivery(r *request) (answer, error) {
	id, did, err := r.deliveryID()
	if err != nil {
		return answer{}, err
	}
	d, err := h.Store.Delivery(r.echo.Request().Context(), r.actor.Account, id, did)
	return answer{json: deliveryShape(d), tagged: true}, err
}

// decided is the delivery after a decision on it.
func decided(v any) answer {
	s := v.(market.Snapshot)
	if s.Delivery == nil {
		return answer{}
	}
	return answer{json: deliveryShape(*s.Delivery)}
}

func (h *Handlers) acceptDelivery(r *request) (answer, error) {
	id, did, err := r.deliveryID()
	if err != nil {
		return answer{}, err
	}
	s, err := h.Store.AcceptDelivery(r.echo.Request().Context(), r.caller(decided), id, did)
	return decided(s), err
}

type rejectInput struct {
	Reason string `json:"reason"`
	Rule   string `json:"rule"`
	Quote  string `json:"quote"`
}

func (h *Handlers) rejectDelivery(r *request) (answer, error) {
	id, did, err := r.deliveryID()
	if err != nil {
		return answer{}, err
	}
	var in rejectInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	s, err := h.Store.RejectDelivery(r.echo.Request().Context(), r.caller(decided), id, did, market.Rejection(in))
	return decided(s), err
}

func (h *Handlers) withdrawDelivery(r *request) (answer, error) {
	id, did, err := r.deliveryID()
	if err != nil {
		return answer{}, err
	}
	s, err := h.Store.WithdrawDelivery(r.echo.Request().Context(), r.caller(decided), id, did)
	return decided(s), err
}
