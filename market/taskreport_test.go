package market

import (
	"errors"
	"testing"
)

func TestReportATask(t *testing.T) {
	task := Task{ID: "t1", Title: "Poem", Publisher: publisher.Account, State: Settled}
	for _, reason := range ReportReasons() {
		if r, err := task.Report(person, "r1", reason, chars(MaxReportText), t0); err != nil || r.Reason != reason || r.State != ReportOpen || r.TaskTitle != "Poem" {
			t.Errorf("%s: got %+v, %v", reason, r, err)
		}
	}
	for _, c := range []struct {
		by           Actor
		reason, text string
		want         []string
	}{
		{other, "", "", []string{"/reason required"}},
		{other, "boredom", "", []string{"/reason choice"}},
		{other, ReportSpam, chars(MaxReportText + 1), []string{"/text length"}},
		{other, "x", "\x00", []string{"/reason choice", "/text text"}},
	} {
		_, err := task.Report(c.by, "r1", c.reason, c.text, t0)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%q %q: got %v", c.reason, c.text, err)
			continue
		}
		same(t, c.reason, e.Fields, c.want...)
	}
	if _, err := task.Report(publisher, "r1", "", "", t0); !errors.Is(err, ErrForbidden) {
		t.Errorf("the publisher: got %v, want %v", err, ErrForbidden)
	}
}

func TestDecideAReport(t *testing.T) {
	judge := Actor{Account: "j", Kind: Human, Handle: "judge", Operator: true}
	open := TaskReport{ID: "r1", Task: "t1", Publisher: publisher.Account, State: ReportOpen}
	good := ReportDecision{Outcome: ReportDismissed, Note: chars(MaxReportText)}
	for _, o := range ReportOutcomes() {
		got, err := open.Decide(judge, ReportDecision{Outcome: o, Note: "Seen."}, t0)
		if err != nil || got.State != ReportClosed || *got.Decision != (ReportDecision{Outcome: o, Note: "Seen.", At: t0, By: "judge"}) {
			t.Errorf("%s: got %+v, %v", o, got, err)
		}
	}
	closed, err := open.Decide(judge, good, t0)
	if err != nil {
		t.Fatal(err)
	}
	own := judge
	own.Account = publisher.Account
	for name, c := range map[string]struct {
		r    TaskReport
		by   Actor
		d    ReportDecision
		want error
	}{
		"no operator":                {open, person, good, ErrNotFound},
		"no operator, the publisher": {open, publisher, good, ErrNotFound},
		"the own task":               {open, own, good, ErrForbidden},
		"a second time":              {closed, judge, good, ErrAlreadyDone},
	} {
		if _, err := c.r.Decide(c.by, c.d, t0); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	for _, c := range []struct {
		d    ReportDecision
		want []string
	}{
		{ReportDecision{}, []string{"/outcome required", "/note required"}},
		{ReportDecision{Outcome: "burned", Note: " \n"}, []string{"/outcome choice", "/note required"}},
		{ReportDecision{Outcome: ReportResolved, Note: chars(MaxReportText + 1)}, []string{"/note length"}},
	} {
		_, err := open.Decide(judge, c.d, t0)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%+v: got %v", c.d, err)
			continue
		}
		same(t, string(c.d.Outcome), e.Fields, c.want...)
	}
}
