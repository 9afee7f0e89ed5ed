package views

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"guildhall/market"
)

// step is a line of the status list: done, now or next.
type step struct {
	State, Name string
	At          time.Time
}

// shownSteps bounds how many past steps the status list shows.
const shownSteps = 6

// steps tells what happened, what is going on and what comes next.
func steps(ctx context.Context, v TaskView) []step {
	out := happenings(ctx, v)
	if len(out) > shownSteps {
		out = append(out[:1:1], out[len(out)-shownSteps+1:]...)
	}
	var due time.Time
	if v.DueAt != nil {
		due = *v.DueAt
	}
	if v.Mode == market.ModeOpen && v.State == market.Open && !v.Evergreen {
		due = v.Deadline
	}
	deliver, review := "step.deliver", "step.review"
	if v.AutoAccept {
		deliver, review = "step.deliver_paid", "step.deliver_paid"
	}
	switch {
	case v.CaseUntil != nil:
		out = append(out, step{"now", T(ctx, "step.case"), due}, step{"next", T(ctx, "step.decision"), time.Time{}})
	case v.Mode == market.ModeOpen && v.State == market.InReview:
		out = append(out, step{"now", T(ctx, "step.open_review"), due}, step{"next", T(ctx, "step.pay"), time.Time{}})
	case v.Evergreen && v.State == market.Open:
		out = append(out, step{"now", T(ctx, "step.evergreen"), due}, step{"next", T(ctx, deliver), time.Time{}}, step{"next", T(ctx, "step.pay"), time.Time{}})
	case v.State == market.Open:
		out = append(out, step{"now", T(ctx, "step.open"), due}, step{"next", T(ctx, deliver), time.Time{}}, step{"next", T(ctx, "step.pay"), time.Time{}})
	case v.State == market.Claimed:
		out = append(out, step{"now", T(ctx, "step.claimed"), due}, step{"next", T(ctx, review), time.Time{}}, step{"next", T(ctx, "step.pay"), time.Time{}})
	case v.State == market.InReview && v.AppealBy != nil:
		out = append(out, step{"now", T(ctx, "step.appeal"), due})
	case v.State == market.InReview:
		out = append(out, step{"now", T(ctx, "step.in_review"), due}, step{"next", T(ctx, "step.pay"), time.Time{}})
	}
	return out
}

// happenings are the past steps.
func happenings(ctx context.Context, v TaskView) []step {
	var out []step
	for _, h := range v.Timeline {
		out = append(out, step{"done", eventWords(ctx, h), h.At})
	}
	return out
}

func escrowLine(ctx context.Context, t market.Task) string {
	if t.Evergreen {
		return T(ctx, "escrow.platform")
	}
	if t.State.Terminal() {
		return T(ctx, "escrow."+string(t.State))
	}
	return T(ctx, "escrow.held", "Day", Day(ctx, t.CreatedAt))
}

// reviewWindow is how long the publisher may look at a delivery that passes.
func reviewWindow(ctx context.Context, t market.Task) string {
	if t.AutoAccept {
		return T(ctx, "task.no_window")
	}
	return T(ctx, "task.then_accepted", "Span", Span(ctx, time.Duration(t.ReviewHours)*time.Hour))
}

func passedChecks(r market.Report) int {
	n := 0
	for _, c := range r.Checks {
		if c.Verdict == market.VerdictPass {
			n++
		}
	}
	return n
}

// silenceBefore and silenceAfter say what happens if the publisher does
// nothing, round the moment when.
func silenceBefore(ctx context.Context, v TaskView) string { return T(ctx, silence(v)+"_before") }
func silenceAfter(ctx context.Context, v TaskView) string  { return T(ctx, silence(v)+"_after") }

func silence(v TaskView) string {
	switch {
	case v.Delivery.InCase:
		return "silence.case"
	case v.Delivery.Report.Verdict == market.VerdictError:
		return "silence.error"
	}
	return "silence.accept"
}

// rejectionRules are what a rejection can name: manual rules and checks that
// could not be decided.
func rejectionRules(s market.Snapshot) []string {
	var out []string
	for _, r := range s.Rules {
		if r.Kind == market.RuleManual {
			out = append(out, r.Name)
		}
	}
	for _, c := range s.Delivery.Report.Checks {
		if c.Verdict == market.VerdictError {
			out = append(out, c.Name)
		}
	}
	return out
}

func rejectNext(ctx context.Context, v TaskView) string {
	if v.Mode == market.ModeOpen {
		return T(ctx, "review.reject_open_mode", "Worker", v.Delivery.WorkerHandle)
	}
	if left := v.MaxAttempts - v.Attempts; left > 0 {
		return N(ctx, "review.reject_next", int64(left), "Worker", v.Delivery.WorkerHandle)
	}
	return T(ctx, "review.reject_last", "Worker", v.Delivery.WorkerHandle)
}

// LineOf is the line of the indented document that the JSON Pointer leads to,
// from 1; 0 if it leads nowhere.
func LineOf(raw []byte, pointer string) int {
	text := []byte(Indent(raw))
	d := json.NewDecoder(bytes.NewReader(text))
	want := strings.Split(pointer, "/")[1:]
	if line := seek(d, text, want); line > 0 {
		return line
	}
	return 0
}

// seek reads one value and returns the line where the wanted part begins.
func seek(d *json.Decoder, text []byte, want []string) int {
	start := d.InputOffset()
	token, err := d.Token()
	if err != nil {
		return 0
	}
	if len(want) == 0 {
		return lineAt(text, start)
	}
	open, ok := token.(json.Delim)
	if !ok {
		return 0
	}
	name := strings.NewReplacer("~1", "/", "~0", "~").Replace(want[0])
	for i := 0; d.More(); i++ {
		key := strconv.Itoa(i)
		if open == '{' {
			token, err = d.Token()
			if err != nil {
				return 0
			}
			key, _ = token.(string)
		}
		if key == name {
			return seek(d, text, want[1:])
		}
		var skipped json.RawMessage
		if d.Decode(&skipped) != nil {
			return 0
		}
	}
	return 0
}

// lineAt is the line of the first byte of a value that begins after offset.
func lineAt(text []byte, offset int64) int {
	for offset < int64(len(text)) && strings.IndexByte(" \n\t,:", text[offset]) >= 0 {
		offset++
	}
	return 1 + bytes.Count(text[:offset], []byte("\n"))
}

// stateClass is the colour of a state of a task or a delivery.
func stateClass(state string) string {
	switch state {
	case "open", "settled", "accepted":
		return "state-ok"
	case "claimed":
		return "state-info"
	case "in_review", "pending":
		return "state-warn"
	case "rejected", "failed":
		return "state-bad"
	}
	return ""
}

// manualRules are those that the publisher decides.
func manualRules(rules []market.Rule) []market.Rule {
	return slices.DeleteFunc(slices.Clone(rules), func(r market.Rule) bool { return r.Kind != market.RuleManual })
}

// decidedBy says who judges a rule.
func decidedBy(ctx context.Context, r market.Rule) string {
	if r.Kind == market.RuleManual {
		return T(ctx, "task.by_publisher")
	}
	return T(ctx, "task.by_machine")
}

// cancellable reports whether the publisher can cancel the task now.
func (v TaskView) cancellable() bool {
	return v.State == market.Open && slices.ContainsFunc(v.PendingActions(market.Actor{Account: v.Publisher}), func(a market.Action) bool { return a.Name == "cancel" })
}

// waiting counts the deliveries of an open task that wait for its publisher.
func waiting(s market.Snapshot) int {
	n := s.Others.Pending
	if s.Delivery != nil && s.Delivery.State == market.DeliveryPending {
		n++
	}
	return n
}

// massRejection is the refusal that a rejection would get, nil if none.
func (v TaskView) massRejection() *market.Error {
	var e *market.Error
	if errors.As(v.MassRejection, &e) {
		return e
	}
	return nil
}
