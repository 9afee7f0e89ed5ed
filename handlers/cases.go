package handlers

import (
	"context"
	"net/http"
	"time"

	"guildhall/market"
	"guildhall/views"
)

type appealInput struct {
	Text string `json:"text"`
}

// appealDelivery asks the operators about the worker's rejected delivery.
func (h *Handlers) appealDelivery(r *request) (answer, error) {
	id, did, err := r.deliveryID()
	if err != nil {
		return answer{}, err
	}
	var in appealInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	present := withCase(http.StatusCreated, "")
	s, err := h.Store.AppealDelivery(r.ctx(), r.caller(present), id, did, in.Text)
	return present(s), err
}

// objectToPayout asks them about a payout that the clock or the checks made.
func (h *Handlers) objectToPayout(r *request) (answer, error) {
	id, did, err := r.deliveryID()
	if err != nil {
		return answer{}, err
	}
	h.deliveryAgain(r, id, did)
	var in appealInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	present := withCase(http.StatusCreated, "flash.objected")
	s, err := h.Store.ObjectToPayout(r.ctx(), r.caller(present), id, did, in.Text)
	return present(s), err
}

// withCase is a delivery with the case that was just opened or closed.
func withCase(status int, message string) func(any) answer {
	return func(v any) answer {
		s := v.(market.Snapshot)
		if s.Delivery == nil || s.Case == nil {
			return answer{}
		}
		shape := deliveryShape(*s.Delivery)
		shape.Cases = []caseJSON{caseShape(*s.Case)}
		return answer{status: status, json: shape, to: taskPath(s.ID) + "/deliveries/" + string(s.Delivery.ID),
			flash: views.Message{ID: message}}
	}
}

// listCases is the operators' queue: what is due first comes first.
func (h *Handlers) listCases(r *request) (answer, error) {
	q := query{r: r}
	closed := q.choice("state", "open", "open", "closed") == "closed"
	limit := q.limit()
	var after struct {
		ID string    `json:"id"`
		At time.Time `json:"at"`
	}
	q.cursor(&after)
	id := market.CaseID(q.id(after.ID))
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	cases, err := h.Store.Cases(r.ctx(), closed, id, after.At, limit+1)
	if err != nil {
		return answer{}, err
	}
	found := page(cases, limit, caseShape, func(k market.Case) any {
		at := k.DueAt
		if k.ClosedAt != nil {
			at = *k.ClosedAt
		}
		return map[string]any{"id": k.ID, "at": at}
	})
	return answer{json: found, page: func(ctx context.Context) (views.Screen, error) {
		shown := cases[:len(found.Items)]
		tasks, err := h.Store.CaseTasks(ctx, shown)
		if err != nil {
			return views.Screen{}, err
		}
		reports, err := h.Store.OpenReports(ctx)
		return views.Cases(ctx, views.CasesView{Cases: shown, Tasks: tasks, Reports: reports, Closed: closed, Next: text(found.NextCursor), Now: time.Now()}), err
	}}, nil
}

// record is all there is about a case: what operators decide on.
type caseRecordJSON struct {
	Case       caseJSON        `json:"case"`
	Task       taskJSON        `json:"task"`
	Deliveries []deliveryJSON  `json:"deliveries"`
	Timeline   []happeningJSON `json:"timeline"`
	Thread     []messageJSON   `json:"thread"`
}

// maxRecord bounds the deliveries of a record: those of the case's worker, the
// newest first.
const maxRecord = 50

func (h *Handlers) showCase(r *request) (answer, error) {
	id, err := pathID[market.CaseID](r, "kid")
	if err != nil {
		return answer{}, err
	}
	v, err := h.caseView(r.ctx(), r, id, views.Form{})
	if err != nil {
		return answer{}, err
	}
	out := caseRecordJSON{Case: caseShape(v.Case), Task: taskShape(v.Snapshot, market.Actor{}), Deliveries: []deliveryJSON{}, Timeline: []happeningJSON{}, Thread: []messageJSON{}}
	for _, d := range v.Deliveries {
		shape := deliveryShape(d)
		shape.Cases, shape.IdenticalTo = casesOf(v.Cases, d.ID), identicalShape(v.Identical, d.ID)
		out.Deliveries = append(out.Deliveries, shape)
	}
	for _, x := range v.Timeline {
		out.Timeline = append(out.Timeline, happeningShape(x))
	}
	for _, m := range v.Thread.Messages {
		out.Thread = append(out.Thread, messageShape("")(m))
	}
	return answer{json: out, tagged: true, page: func(ctx context.Context) (views.Screen, error) {
		return views.Case(ctx, v), nil
	}}, nil
}

func (h *Handlers) caseView(ctx context.Context, r *request, id market.CaseID, f views.Form) (views.CaseView, error) {
	k, err := h.Store.Case(ctx, r.actor, id)
	if err != nil {
		return views.CaseView{}, err
	}
	s, err := h.Store.TaskWith(ctx, r.actor, k.Task, k.Delivery)
	if err != nil {
		return views.CaseView{}, err
	}
	v := views.CaseView{Case: k}
	if v.TaskView, err = h.taskView(ctx, r, s, f); err != nil {
		return v, err
	}
	if v.Cases, err = h.Store.TaskCases(ctx, r.actor, k.Task); err != nil {
		return v, err
	}
	if v.Thread, err = h.threadView(ctx, k.Task, look{}); err != nil {
		return v, err
	}
	v.Thread.Seen = v.Thread.Total // nothing of it is new to who decides
	if v.Deliveries, err = h.Store.WorkerDeliveries(ctx, k.Task, s.Delivery.Worker, maxRecord); err != nil {
		return v, err
	}
	if v.Identical, err = h.Store.Identical(ctx, r.actor, v.Deliveries...); err != nil {
		return v, err
	}
	v.Files, err = h.Store.Files(ctx, k.Task)
	return v, err
}

type decisionInput struct {
	Outcome string `json:"outcome"`
	Share   *int64 `json:"share"`
	Note    string `json:"note"`
}

// decideCase makes an operator's decision.
func (h *Handlers) decideCase(r *request) (answer, error) {
	id, err := pathID[market.CaseID](r, "kid")
	if err != nil {
		return answer{}, err
	}
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		v, err := h.caseView(ctx, r, id, views.Form{Values: r.form, Problem: &p})
		return views.Case(ctx, v), err
	}
	var in decisionInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	if err := r.invalid(nil); err != nil {
		return answer{}, err
	}
	d := market.Decision{Outcome: market.CaseOutcome(in.Outcome), Note: in.Note}
	if in.Share != nil {
		d.Share = *in.Share
	}
	present := func(v any) answer {
		s := v.(market.Snapshot)
		if s.Case == nil {
			return answer{}
		}
		return answer{json: caseShape(*s.Case), to: "/admin/cases", flash: views.Message{ID: "flash.decided"}}
	}
	s, err := h.Store.DecideCase(r.ctx(), r.caller(present), id, d)
	return present(s), err
}
