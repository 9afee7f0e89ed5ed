package handlers

import (
	"context"
	"encoding/json"
	"net/http"

	"guildhall/market"
	"guildhall/store"
	"guildhall/views"
)

type deliveryInput struct {
	ClaimID     string              `json:"claimId"`
	Epoch       *int64              `json:"epoch"`
	Output      rawJSON             `json:"output"`
	SummaryText string              `json:"summaryText"`
	Attachments []market.Attachment `json:"attachments"`
}

// clean returns the claim that the package is for; on a task in open mode
// there is none, and what is missing of it does not matter.
func (in deliveryInput) clean() (store.Lease, market.Package, error) {
	p := market.Package{Output: json.RawMessage(in.Output), SummaryText: in.SummaryText, Attachments: in.Attachments}
	l := store.Lease{Claim: market.ClaimID(in.ClaimID)}
	if in.ClaimID == "" {
		l.Missing = append(l.Missing, market.FieldError{Pointer: "/claimId", Code: "required"})
	}
	if in.Epoch == nil {
		l.Missing = append(l.Missing, market.FieldError{Pointer: "/epoch", Code: "required"})
	} else {
		l.Epoch = *in.Epoch
	}
	return l, p, market.Invalid(p.Clean())
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
	ctx := r.ctx()
	by := r.caller(func(v any) answer { return h.deliveredAnswer(r, v.(market.Snapshot)) })
	uploaded, err := h.Store.OwnBlobs(ctx, r.actor.Account, pack.Attachments)
	if err != nil {
		return answer{}, err
	}
	if err := market.Invalid(market.CheckBlobs(pack.Attachments, uploaded)); err != nil {
		return answer{}, err
	}
	task, err := h.Store.OpenDelivery(ctx, by, id, lease)
	if err != nil {
		return answer{}, err
	}
	if err := market.Invalid(task.CheckUploads(pack.Attachments, uploaded)); err != nil {
		return answer{}, err
	}
	j := job(task.Task, pack)
	if task.HasHidden() {
		secrets, err := h.Store.Secrets(ctx, id)
		if err != nil {
			return answer{}, err
		}
		j.Hidden = documents(secrets.Hidden)
	}
	report, err := h.Verifier.Verify(ctx, j)
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
	ctx := r.ctx()
	ds, err := h.Store.Deliveries(ctx, r.actor.Account, id, last, limit+1)
	if err == nil && len(ds) == 0 {
		_, err = h.Store.Task(ctx, r.actor, id) // an absent task is 404, not an empty list
	}
	if err != nil {
		return answer{}, err
	}
	cases, err := h.Store.TaskCases(ctx, r.actor, id)
	if err != nil {
		return answer{}, err
	}
	same, err := h.Store.Identical(ctx, r.actor, ds...)
	show := func(d market.Delivery) deliveryJSON {
		out := deliveryShape(d)
		out.Cases, out.IdenticalTo = casesOf(cases, d.ID), identicalShape(same, d.ID)
		return out
	}
	return answer{json: page(ds, limit, show, func(d market.Delivery) any { return map[string]any{"id": d.ID} })}, err
}

func (h *Handlers) showDelivery(r *request) (answer, error) {
	id, did, err := r.deliveryID()
	if err != nil {
		return answer{}, err
	}
	s, err := h.Store.TaskWith(r.ctx(), r.actor, id, did)
	if err != nil {
		return answer{}, err
	}
	cases, err := h.Store.TaskCases(r.ctx(), r.actor, id)
	if err != nil {
		return answer{}, err
	}
	same, err := h.Store.Identical(r.ctx(), r.actor, *s.Delivery)
	if err != nil {
		return answer{}, err
	}
	shape := deliveryShape(*s.Delivery)
	shape.Cases, shape.IdenticalTo = casesOf(cases, did), identicalShape(same, did)
	if shape.Hidden, err = h.revealed(r, *s.Delivery); err != nil {
		return answer{}, err
	}
	return answer{json: shape, tagged: true, page: func(ctx context.Context) (views.Screen, error) {
		v, err := h.deliveryWith(ctx, r, s, cases, views.Form{})
		return views.Delivery(ctx, v), err
	}}, nil
}

// deliveryView is a task with one of its deliveries, whatever its state.
func (h *Handlers) deliveryView(ctx context.Context, r *request, id market.TaskID, did market.DeliveryID, f views.Form) (views.TaskView, error) {
	s, err := h.Store.TaskWith(ctx, r.actor, id, did)
	if err != nil {
		return views.TaskView{}, err
	}
	cases, err := h.Store.TaskCases(ctx, r.actor, id)
	if err != nil {
		return views.TaskView{}, err
	}
	return h.deliveryWith(ctx, r, s, cases, f)
}

// deliveryWith is deliveryView of what is loaded already: the task with the
// delivery, and all its cases.
func (h *Handlers) deliveryWith(ctx context.Context, r *request, s market.Snapshot, cases []market.Case, f views.Form) (views.TaskView, error) {
	v, err := h.taskView(ctx, r, s, f)
	for _, k := range cases {
		if k.Delivery == s.Delivery.ID {
			v.Cases = append(v.Cases, k)
		}
	}
	return v, err
}

// deliveryAgain shows the delivery with why an action on it was refused.
func (h *Handlers) deliveryAgain(r *request, id market.TaskID, did market.DeliveryID) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		v, err := h.deliveryView(ctx, r, id, did, views.Form{Values: r.form, Problem: &p})
		return views.Delivery(ctx, v), err
	}
}

// revealed is what was hidden from the worker, who sees it once the publisher
// has rejected the delivery: salt and vectors give the commitment that the
// rule published, so that nobody can change them afterwards.
func (h *Handlers) revealed(r *request, d market.Delivery) ([]market.HiddenVectors, error) {
	if d.Worker != r.actor.Account || d.Review == nil || d.Review.Decision != market.DecisionReject {
		return nil, nil
	}
	secrets, err := h.Store.Secrets(r.ctx(), d.Task)
	return secrets.Hidden, err
}

// reviewTask leads the publisher to the pending delivery that is due first;
// without one there is nothing to review, and the task says why.
func (h *Handlers) reviewTask(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	s, err := h.Store.Task(r.ctx(), r.actor, id)
	switch {
	case err != nil:
		return answer{}, err
	case s.Publisher != r.actor.Account:
		return answer{}, market.ErrForbidden
	}
	did := market.DeliveryID("")
	if s.Delivery != nil {
		did = s.Delivery.ID
	} else if s.Others.Pending > 0 {
		waiting, err := h.Store.Waiting(r.ctx(), id, 1)
		if err != nil {
			return answer{}, err
		}
		if len(waiting) > 0 {
			did = waiting[0].ID
		}
	}
	if did == "" {
		return answer{to: taskPath(id)}, nil
	}
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		v, err := h.deliveryView(ctx, r, id, did, views.Form{})
		return views.Review(ctx, v), err
	}}, nil
}

// decided is the delivery after a decision on it, and the message that its
// task's page then shows.
func decided(message string) func(any) answer {
	return func(v any) answer {
		s := v.(market.Snapshot)
		if s.Delivery == nil {
			return answer{}
		}
		return answer{json: deliveryShape(*s.Delivery), to: taskPath(s.ID), flash: views.Message{ID: message,
			Args: map[string]any{"Worker": s.Delivery.WorkerHandle, "Amount": views.Number(s.Reward)}}}
	}
}

func (h *Handlers) acceptDelivery(r *request) (answer, error) {
	id, did, err := r.deliveryID()
	if err != nil {
		return answer{}, err
	}
	h.deliveryAgain(r, id, did)
	present := decided("flash.accepted")
	s, err := h.Store.AcceptDelivery(r.ctx(), r.caller(present), id, did)
	return present(s), err
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
	h.deliveryAgain(r, id, did)
	var in rejectInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	if err := r.invalid(nil); err != nil {
		return answer{}, err
	}
	present := decided("flash.rejected")
	s, err := h.Store.RejectDelivery(r.ctx(), r.caller(present), id, did, market.Rejection(in))
	return present(s), err
}

func (h *Handlers) withdrawDelivery(r *request) (answer, error) {
	id, did, err := r.deliveryID()
	if err != nil {
		return answer{}, err
	}
	present := decided("flash.withdrawn")
	s, err := h.Store.WithdrawDelivery(r.ctx(), r.caller(present), id, did)
	return present(s), err
}
