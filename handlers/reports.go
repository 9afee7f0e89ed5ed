package handlers

import (
	"context"
	"net/http"
	"time"

	"guildhall/market"
	"guildhall/views"
)

type reportInput struct {
	Reason string `json:"reason"`
	Text   string `json:"text"`
	// Message is the one of the thread that is reported, "" if the task is.
	Message market.MessageID `json:"message"`
}

// reportTask takes a report of a task, or of one message of its thread.
func (h *Handlers) reportTask(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	h.taskAgain(r, id, func(ctx context.Context, v views.TaskView) views.Screen {
		v.ReportForm, v.Form = v.Form, views.Form{Once: v.Form.Once}
		if m, err := h.Store.Message(ctx, id, market.MessageID(v.ReportForm.Get("message"))); err == nil {
			v.Reported = &m
		}
		return views.Task(ctx, v)
	})
	var in reportInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	if err := h.throttleTalk(r); err != nil {
		return answer{}, err
	}
	present := func(v any) answer {
		t := v.(market.TaskReport)
		a := answer{status: http.StatusCreated, json: taskReportShape(t), to: taskPath(id), flash: views.Message{ID: "flash.reported"}}
		if t.Message != nil {
			a.to, a.flash.ID = string(views.MessagePath(*t.Message)), "flash.message_reported"
		}
		return a
	}
	if in.Message != "" {
		t, err := h.Store.ReportMessage(r.ctx(), r.caller(present), id, in.Message, in.Reason, in.Text)
		return present(t), err
	}
	t, err := h.Store.ReportTask(r.ctx(), r.caller(present), id, in.Reason, in.Text)
	return present(t), err
}

// adminReportJSON is a report as operators see it.
type adminReportJSON struct {
	ID        market.ReportID `json:"id"`
	TaskID    market.TaskID   `json:"taskId"`
	Title     string          `json:"title"`
	Publisher partyJSON       `json:"publisher"`
	// Message is the one that it is about, absent if it is about the task.
	Message  *messageJSON `json:"message,omitempty"`
	Reporter partyJSON    `json:"reporter"`
	Reason   string       `json:"reason"`
	Text     string       `json:"text,omitempty"`
	State    string       `json:"state"`
	At       time.Time    `json:"at"`
	// OpenReports counts those of the task.
	OpenReports int64                `json:"openReports"`
	ClosedAt    *time.Time           `json:"closedAt,omitempty"`
	Outcome     market.ReportOutcome `json:"outcome,omitempty"`
	Note        string               `json:"note,omitempty"`
	DecidedBy   *partyJSON           `json:"decidedBy,omitempty"`
	Untrusted   []string             `json:"untrusted"`
}

func adminReportShape(t market.TaskReport) adminReportJSON {
	out := adminReportJSON{ID: t.ID, TaskID: t.Task, Title: t.TaskTitle, Publisher: partyJSON{t.PublisherHandle}, Reporter: partyJSON{t.ReporterHandle},
		Reason: t.Reason, Text: t.Text, State: t.State, At: t.At, OpenReports: t.Open, Untrusted: []string{"title", "text", "note"}}
	if t.Message != nil {
		m := messageShape("")(*t.Message)
		out.Message = &m
	}
	if d := t.Decision; d != nil {
		out.ClosedAt, out.Outcome, out.Note, out.DecidedBy = &d.At, d.Outcome, d.Note, &partyJSON{d.By}
	}
	return out
}

// listReports is the operators' queue of reported tasks.
func (h *Handlers) listReports(r *request) (answer, error) {
	q := query{r: r}
	closed := q.choice("state", "open", "open", "closed") == "closed"
	limit := q.limit()
	var after struct {
		ID string    `json:"id"`
		At time.Time `json:"at"`
	}
	q.cursor(&after)
	id := market.ReportID(q.id(after.ID))
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	reports, err := h.Store.TaskReports(r.ctx(), closed, id, after.At, limit+1)
	if err != nil {
		return answer{}, err
	}
	found := page(reports, limit, adminReportShape, func(t market.TaskReport) any {
		at := t.At
		if t.Decision != nil {
			at = t.Decision.At
		}
		return map[string]any{"id": t.ID, "at": at}
	})
	return answer{json: found, page: func(ctx context.Context) (views.Screen, error) {
		return views.Reports(ctx, views.ReportsView{Reports: reports[:len(found.Items)], Closed: closed, Next: text(found.NextCursor), Now: time.Now()}), nil
	}}, nil
}

// maxReports bounds how many reports of one task are shown.
const maxReports = 50

// reportRecordJSON is a report with what is needed to decide it.
type reportRecordJSON struct {
	Report  adminReportJSON   `json:"report"`
	Task    taskJSON          `json:"task"`
	Reports []adminReportJSON `json:"reports"`
	Thread  []messageJSON     `json:"thread"`
}

// showReport is a report with the task that it is about, what is said there,
// and what others reported.
func (h *Handlers) showReport(r *request) (answer, error) {
	id, err := pathID[market.ReportID](r, "rid")
	if err != nil {
		return answer{}, err
	}
	v, err := h.reportView(r.ctx(), r, id, views.Form{})
	if err != nil {
		return answer{}, err
	}
	out := reportRecordJSON{adminReportShape(v.Report), taskShape(v.Snapshot, market.Actor{}), []adminReportJSON{}, []messageJSON{}}
	for _, t := range v.Others {
		out.Reports = append(out.Reports, adminReportShape(t))
	}
	for _, m := range v.Thread.Messages {
		out.Thread = append(out.Thread, messageShape("")(m))
	}
	return answer{json: out, tagged: true, page: func(ctx context.Context) (views.Screen, error) {
		return views.Report(ctx, v), nil
	}}, nil
}

func (h *Handlers) reportView(ctx context.Context, r *request, id market.ReportID, f views.Form) (views.ReportView, error) {
	v := views.ReportView{}
	var err error
	if v.Report, err = h.Store.TaskReport(ctx, r.actor, id); err != nil {
		return v, err
	}
	s, err := h.Store.Task(ctx, r.actor, v.Report.Task)
	if err != nil {
		return v, err
	}
	if v.TaskView, err = h.taskView(ctx, r, s, f); err != nil {
		return v, err
	}
	all, err := h.Store.ReportsOf(ctx, s.ID, maxReports)
	if err != nil {
		return v, err
	}
	for _, t := range all {
		if t.ID != id {
			v.Others = append(v.Others, t)
		}
	}
	v.Thread, err = h.threadView(ctx, s.ID, look{})
	v.Thread.Seen, v.Thread.Deciding = v.Thread.Total, true // nothing of it is new to who decides
	return v, err
}

type reportDecisionInput struct {
	Outcome string `json:"outcome"`
	Note    string `json:"note"`
	All     bool   `json:"all"`
}

// decideReport makes an operator's decision on a report.
func (h *Handlers) decideReport(r *request) (answer, error) {
	id, err := pathID[market.ReportID](r, "rid")
	if err != nil {
		return answer{}, err
	}
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		v, err := h.reportView(ctx, r, id, views.Form{Values: r.form, Problem: &p})
		return views.Report(ctx, v), err
	}
	var in reportDecisionInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	if err := r.invalid(nil); err != nil {
		return answer{}, err
	}
	present := func(v any) answer {
		return answer{json: adminReportShape(v.(market.TaskReport)), to: "/admin/reports", flash: views.Message{ID: "flash.report_decided"}}
	}
	t, err := h.Store.DecideReport(r.ctx(), r.caller(present), id, market.ReportDecision{Outcome: market.ReportOutcome(in.Outcome), Note: in.Note, All: in.All})
	return present(t), err
}
