package store_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

func TestTaskReports(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher, first, second := agent(t, s), agent(t, s), agent(t, s)
	task := publish(t, s, publisher, 10)
	var wg sync.WaitGroup
	var mu sync.Mutex
	done := map[bool]int{}
	for range 10 {
		wg.Go(func() {
			_, err := s.ReportTask(t.Context(), first, task.ID, market.ReportScam, "It asks for passwords.")
			if err != nil && !errors.Is(err, market.ErrAlreadyDone) {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			done[err == nil]++
		})
	}
	wg.Wait()
	if done[true] != 1 {
		t.Errorf("%d reports by one reporter were kept, want one", done[true])
	}
	if _, err := s.ReportTask(t.Context(), second, task.ID, market.ReportOther, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReportTask(t.Context(), publisher, task.ID, market.ReportOther, ""); !errors.Is(err, market.ErrForbidden) {
		t.Errorf("got %v, want %v", err, market.ErrForbidden)
	}
	list, err := s.TaskReports(t.Context(), false, "", time.Time{}, 1)
	if err != nil || len(list) != 1 || list[0].ReporterHandle != second.Handle || list[0].TaskTitle != task.Title || list[0].State != market.ReportOpen {
		t.Fatalf("got %+v, %v", list, err)
	}
	list, err = s.TaskReports(t.Context(), false, list[0].ID, time.Time{}, 9)
	if err != nil || len(list) != 1 || list[0].Text != "It asks for passwords." || list[0].Reason != market.ReportScam {
		t.Errorf("got %+v, %v", list, err)
	}
}

// complain is a report of the task by an agent of its own.
func complain(t *testing.T, s *store.Store, id market.TaskID) market.TaskReport {
	t.Helper()
	r, err := s.ReportTask(t.Context(), agent(t, s), id, market.ReportSpam, "It is the same again.")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestDecideReport lets many operators decide at once: one wins, whether it
// closes one report or all of the task.
func TestDecideReport(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher := agent(t, s)
	task, quiet := publish(t, s, publisher, 10), publish(t, s, publisher, 10)
	one, other := complain(t, s, task.ID), complain(t, s, task.ID)
	apart := complain(t, s, quiet.ID)
	judge := agent(t, s)
	judge.Operator = true
	if _, err := s.TaskReport(t.Context(), publisher.Actor, one.ID); !errors.Is(err, market.ErrNotFound) {
		t.Errorf("who is no operator got %v, want %v", err, market.ErrNotFound)
	}
	var won atomic.Int64
	race := func(id market.ReportID, all bool) {
		var wg sync.WaitGroup
		won.Store(0)
		for range 12 {
			wg.Go(func() {
				r, err := s.DecideReport(t.Context(), judge, id, market.ReportDecision{Outcome: market.ReportResolved, Note: "Spoke with them.", All: all})
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, market.ErrAlreadyDone) {
					t.Error(err)
				}
				if err == nil && r.State != market.ReportClosed {
					t.Errorf("decided: %+v", r)
				}
			})
		}
		wg.Wait()
		if n := won.Load(); n != 1 {
			t.Errorf("%d decisions were made, want one", n)
		}
	}
	race(one.ID, false)
	if n, err := s.OpenReports(t.Context()); n != 2 || err != nil {
		t.Errorf("%d reports are open (%v), want 2", n, err)
	}
	third := complain(t, s, task.ID)
	race(other.ID, true)
	open, err := s.TaskReports(t.Context(), false, "", time.Time{}, 10)
	if err != nil || len(open) != 1 || open[0].ID != apart.ID || open[0].Open != 1 || open[0].PublisherHandle != publisher.Handle {
		t.Errorf("open are %+v, %v", open, err)
	}
	// The closed ones, the last first, in parts.
	var ids []market.ReportID
	for after, at := market.ReportID(""), (time.Time{}); ; {
		part, err := s.TaskReports(t.Context(), true, after, at, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(part) == 0 {
			break
		}
		r := part[0]
		if r.Decision == nil || r.Decision.Outcome != market.ReportResolved || r.Decision.Note != "Spoke with them." || r.Decision.By != judge.Handle {
			t.Fatalf("closed: %+v", r)
		}
		ids, after, at = append(ids, r.ID), r.ID, r.Decision.At
	}
	if len(ids) != 3 || ids[0] != third.ID || ids[1] != other.ID || ids[2] != one.ID {
		t.Errorf("closed are %v, want %s, %s, %s", ids, third.ID, other.ID, one.ID)
	}
	all, err := s.ReportsOf(t.Context(), task.ID, 10)
	if err != nil || len(all) != 3 || all[0].ID != third.ID {
		t.Errorf("of the task are %+v, %v", all, err)
	}
	// What was decided stays.
	if _, err := s.DB().Exec(`UPDATE report_decisions SET note = 'x'`); err == nil {
		t.Error("a decision can be changed")
	}
	// Who reported may report again.
	if _, err := s.ReportTask(t.Context(), store.Caller{Actor: market.Actor{Account: one.Reporter, Kind: market.Agent}}, task.ID, market.ReportScam, ""); err != nil {
		t.Error(err)
	}
}

// TestReportMessages: one account reports the task and each of its messages
// once; of reports of one message at once, one is kept.
func TestReportMessages(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher, worker, reporter := agent(t, s), agent(t, s), agent(t, s)
	task, quiet := publish(t, s, publisher, 10), publish(t, s, publisher, 10)
	asked := say(t, s, worker, task.ID, "Send me your **key**.")
	answer := say(t, s, publisher, task.ID, "Never.")
	got := race(10, func(int) error {
		_, err := s.ReportMessage(t.Context(), reporter, task.ID, asked.ID, market.ReportScam, "It asks for keys.")
		return err
	})
	if got["ok"] != 1 || got["already_done"] != 9 {
		t.Errorf("got %v, want one report", got)
	}
	report := func(by store.Caller, id market.TaskID, m market.MessageID) string {
		t.Helper()
		_, err := s.ReportMessage(t.Context(), by, id, m, market.ReportSpam, "")
		return errorCode(err)
	}
	for _, c := range []struct {
		what    string
		by      store.Caller
		task    market.TaskID
		message market.MessageID
		want    string
	}{
		{"another message", reporter, task.ID, answer.ID, "ok"},
		{"the publisher", publisher, task.ID, asked.ID, "ok"},
		{"the author", worker, task.ID, asked.ID, "forbidden"},
		{"the publisher's own", publisher, task.ID, answer.ID, "forbidden"},
		{"a message of another task", reporter, quiet.ID, asked.ID, "invalid: /message message"},
		{"no message", reporter, task.ID, market.MessageID(task.ID), "invalid: /message message"},
		{"no id", reporter, task.ID, "m1", "invalid: /message message"},
		{"no task", reporter, market.TaskID(asked.ID), asked.ID, "not_found"},
	} {
		if got := report(c.by, c.task, c.message); got != c.want {
			t.Errorf("%s: got %s, want %s", c.what, got, c.want)
		}
	}
	if _, err := s.ReportTask(t.Context(), reporter, task.ID, market.ReportOther, ""); err != nil {
		t.Errorf("the task besides: %v", err)
	}
	open, err := s.TaskReports(t.Context(), false, "", time.Time{}, 10)
	if err != nil || len(open) != 4 || open[0].Message != nil || open[0].Open != 4 {
		t.Fatalf("open are %+v, %v", open, err)
	}
	last := open[3]
	if m := last.Message; m == nil || *m != (market.Message{ID: asked.ID, Task: task.ID, Number: 1, Author: worker.Account, AuthorHandle: worker.Handle,
		At: m.At, Text: "Send me your **key**.", Clarification: true}) || !m.At.Equal(asked.At) || last.Text != "It asks for keys." {
		t.Errorf("the first report is %+v about %+v", last, m)
	}
	judge := worker // an operator may not decide on the own message
	judge.Operator = true
	d := market.ReportDecision{Outcome: market.ReportDismissed, Note: "Fine."}
	if _, err := s.DecideReport(t.Context(), judge, last.ID, d); !errors.Is(err, market.ErrForbidden) {
		t.Errorf("the author decides: got %v, want %v", err, market.ErrForbidden)
	}
	judge = operator(t, s)
	if r, err := s.DecideReport(t.Context(), judge, last.ID, d); err != nil || r.Open != 3 || r.Message.ID != asked.ID {
		t.Errorf("decided: %+v, %v", r, err)
	}
	if got := report(reporter, task.ID, asked.ID); got != "ok" {
		t.Errorf("again, after the decision: %s", got)
	}
}
