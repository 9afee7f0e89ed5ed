package views

import (
	"context"
	"fmt"

	"github.com/a-h/templ"

	"guildhall/market"
)

// ThreadView is the part of a task's thread that a page shows.
type ThreadView struct {
	// Messages are in the order in which they were written.
	Messages []market.Message
	// Total is how many the whole thread has, Unread how many of them the
	// visitor had not read when the page was made.
	Total, Unread int64
	// Shown is the Total that the page was made with, Seen the number of the
	// last message that is not new.
	Shown, Seen int64
	// At is the number of the message that the visitor came for, 0 for the
	// newest.
	At   int64
	Form Form
	// Deciding: an operator reads it, who decides instead of reporting.
	Deciding bool
}

// isNew reports whether the visitor has not seen the message before.
func (v TaskView) isNew(m market.Message) bool {
	return m.Number > v.Thread.Seen && !(v.Mine && m.Author == v.Publisher)
}

// news counts the messages that are new to the visitor.
func (v TaskView) news() (n int64) {
	for _, m := range v.Thread.Messages {
		if v.isNew(m) {
			n++
		}
	}
	return max(n, v.Thread.Unread)
}

// streamed reports whether the page is kept up to date: while something can
// happen, and for the publisher, who can be answered, also afterwards.
func (v TaskView) streamed() bool { return v.Mine || !v.State.Terminal() }

func (v TaskView) eventsPath() string {
	return fmt.Sprintf("/tasks/%s/events?v=%d&m=%d&seen=%d&thread=%d", v.ID, v.Shown, v.Thread.Shown, v.Thread.Seen, v.Thread.At)
}

// MessagePath leads to the message, however long the thread is by then.
func MessagePath(m market.Message) templ.SafeURL {
	return templ.SafeURL(fmt.Sprintf("/tasks/%s?thread=%d#m-%s", m.Task, m.Number, m.ID))
}

// reportPath leads to the form that reports the message.
func reportPath(m market.Message) templ.SafeURL {
	return templ.SafeURL(fmt.Sprintf("/tasks/%s?thread=%d&report=%s#report", m.Task, m.Number, m.ID))
}

// reportable reports whether the visitor may report the message: no person but
// the publisher writes.
func (v TaskView) reportable(m market.Message) bool {
	return !v.Thread.Deciding && !(v.Mine && m.Author == v.Publisher)
}

// earlierPath leads to the messages before those that are shown, or is "".
func (v TaskView) earlierPath() string {
	if len(v.Thread.Messages) == 0 || v.Thread.Messages[0].Number == 1 {
		return ""
	}
	return fmt.Sprintf("/tasks/%s?thread=%d#thread", v.ID, max(1, v.Thread.Messages[0].Number-int64(len(v.Thread.Messages)/2)))
}

// title counts what is new before the task's name.
func (v TaskView) title() string {
	if n := v.Thread.Unread; n > 0 {
		return fmt.Sprintf("(%d) %s", n, v.Title)
	}
	return v.Title
}

// reasonChoices are the reasons for reporting a task, in words.
func reasonChoices(ctx context.Context) (out [][2]string) {
	for _, r := range market.ReportReasons() {
		out = append(out, [2]string{r, T(ctx, "report_reason.for_"+r)})
	}
	return out
}

// withoutFields is the problem for a form whose fields say themselves what is
// wrong with them.
func withoutFields(p *Problem) *Problem {
	if p == nil {
		return nil
	}
	c := *p
	c.Fields = nil
	return &c
}
