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

func TestReportAMessage(t *testing.T) {
	task := Task{ID: "t1", Title: "Poem", Publisher: publisher.Account, State: Settled}
	asked := Message{ID: "m1", Task: "t1", Author: holder.Account, Text: "Send me your key."}
	answer := Message{ID: "m2", Task: "t1", Author: publisher.Account}
	for name, c := range map[string]struct {
		by     Actor
		m      Message
		reason string
		want   error
	}{
		"the publisher":            {publisher, asked, ReportScam, nil},
		"a person":                 {person, asked, ReportScam, nil},
		"of the publisher":         {holder, answer, ReportSpam, nil},
		"the own one":              {holder, asked, ReportSpam, ErrForbidden},
		"the publisher's own one":  {publisher, answer, ReportSpam, ErrForbidden},
		"of another task":          {other, Message{ID: "m3", Task: "t2", Author: "x"}, ReportSpam, ErrNotFound},
		"without a reason":         {other, asked, "", ErrInvalid},
		"the own one, no reason":   {holder, asked, "", ErrForbidden},
		"absent before any reason": {other, Message{ID: "m3", Task: "t2", Author: "x"}, "", ErrNotFound},
	} {
		r, err := task.ReportMessage(c.by, c.m, "r1", c.reason, "", t0)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if err == nil && (r.Message == nil || *r.Message != c.m || r.Task != "t1" || r.Reporter != c.by.Account || r.State != ReportOpen) {
			t.Errorf("%s: got %+v", name, r)
		}
	}
	judge := Actor{Account: holder.Account, Kind: Human, Operator: true}
	about := TaskReport{ID: "r1", Task: "t1", Publisher: publisher.Account, State: ReportOpen, Message: &asked}
	if _, err := about.Decide(judge, ReportDecision{Outcome: ReportDismissed, Note: "Mine."}, t0); !errors.Is(err, ErrForbidden) {
		t.Errorf("the author decides: got %v, want %v", err, ErrForbidden)
	}
	about.Message = &answer
	if _, err := about.Decide(judge, ReportDecision{Outcome: ReportDismissed, Note: "No."}, t0); err != nil {
		t.Errorf("another operator decides: %v", err)
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
