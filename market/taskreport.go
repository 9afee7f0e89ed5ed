package market

import (
	"slices"
	"strings"
	"time"
)

// ReportID is the id of a report of a task.
type ReportID string

// MaxReportText is the length of the longest text of a report, and of an
// operator's note on it, in characters.
const MaxReportText = 1000

// Reasons for reporting a task.
const (
	ReportScam    = "scam"
	ReportIllegal = "illegal"
	ReportHarmful = "harmful"
	ReportSpam    = "spam"
	ReportOther   = "other"
)

// ReportReasons lists them all.
func ReportReasons() []string {
	return []string{ReportScam, ReportIllegal, ReportHarmful, ReportSpam, ReportOther}
}

// States of a report: no operator has dealt with it, or one has.
const (
	ReportOpen   = "open"
	ReportClosed = "closed"
)

// TaskReport is what an account finds wrong with a task, or with a message of
// its thread, for the operators.
type TaskReport struct {
	ID   ReportID
	Task TaskID
	// TaskTitle, Publisher and the handles are filled in by the store for
	// showing, as is Open: how many open reports the task has.
	TaskTitle       string
	Publisher       AccountID
	PublisherHandle string
	Open            int64
	// Hands are the deciding operator's agents that acted on the task for others,
	// through bundles.
	Hands []AccountID
	// Message is the one that it is about, nil if it is about the task.
	Message        *Message
	Reporter       AccountID
	ReporterHandle string
	At             time.Time
	Reason         string
	Text           string
	State          string
	// Decision is what an operator made of it, nil while it is open.
	Decision *ReportDecision
}

// ReportOutcome is what an operator made of a report.
type ReportOutcome string

// Outcomes of reports: something was done about the task, or there was nothing
// to do.
const (
	ReportResolved  ReportOutcome = "resolved"
	ReportDismissed ReportOutcome = "dismissed"
)

// ReportOutcomes lists them all.
func ReportOutcomes() []ReportOutcome { return []ReportOutcome{ReportResolved, ReportDismissed} }

// ReportDecision is an operator's answer to a report, kept for good.
type ReportDecision struct {
	Outcome ReportOutcome
	Note    string
	// All answers the other open reports of the task as well.
	All bool
	// At and By, an operator's handle, are set once it is made.
	At time.Time
	By string
}

// Report is the actor's complaint about the task of another.
func (t Task) Report(a Actor, id ReportID, reason, text string, now time.Time) (TaskReport, error) {
	r := t.complaint(a, id, reason, text, now)
	if err := a.admitted(); err != nil {
		return r, err
	}
	if a.Account == t.Publisher {
		return r, ErrForbidden
	}
	return r, r.check()
}

// ReportMessage is the actor's complaint about a message of another in the
// task's thread; the publisher may make one as well.
func (t Task) ReportMessage(a Actor, m Message, id ReportID, reason, text string, now time.Time) (TaskReport, error) {
	r := t.complaint(a, id, reason, text, now)
	r.Message = &m
	switch {
	case m.Task != t.ID:
		return r, ErrNotFound
	case a.Account == m.Author:
		return r, ErrForbidden
	}
	return r, r.check()
}

func (t Task) complaint(a Actor, id ReportID, reason, text string, now time.Time) TaskReport {
	return TaskReport{ID: id, Task: t.ID, TaskTitle: t.Title, Reporter: a.Account, ReporterHandle: a.Handle, At: now, Reason: reason, Text: text, State: ReportOpen}
}

func (r TaskReport) check() error {
	reason := r.Reason
	var p problems
	switch {
	case reason == "":
		p.add("/reason", "required", nil)
	case !slices.Contains(ReportReasons(), reason):
		p.add("/reason", "choice", map[string]any{"Allowed": strings.Join(ReportReasons(), ", ")})
	}
	p.text("/text", r.Text, 0, MaxReportText)
	return Invalid(p)
}

// Decide closes the report by an operator's decision: never by one about the
// own task or message.
func (r TaskReport) Decide(a Actor, d ReportDecision, now time.Time) (TaskReport, error) {
	switch {
	case !a.Operator:
		return r, ErrNotFound
	case a.oneParty(r.Publisher), slices.ContainsFunc(r.Hands, a.oneParty), r.Message != nil && a.oneParty(r.Message.Author):
		return r, ErrForbidden
	}
	var p problems
	switch {
	case d.Outcome == "":
		p.add("/outcome", "required", nil)
	case !slices.Contains(ReportOutcomes(), d.Outcome):
		p.add("/outcome", "choice", map[string]any{"Allowed": "resolved, dismissed"})
	}
	p.text("/note", visible(d.Note), 1, MaxReportText)
	switch {
	case len(p) > 0:
		return r, Invalid(p)
	case r.State != ReportOpen:
		return r, ErrAlreadyDone
	}
	d.At, d.By = now, a.Handle
	r.State, r.Decision = ReportClosed, &d
	return r, nil
}
