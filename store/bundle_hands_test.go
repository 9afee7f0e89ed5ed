package store_test

import (
	"errors"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// TestReversedFeeOfBundle: what a reversed payout gives back, its fee included,
// can be spent through the bundle again.
func TestReversedFeeOfBundle(t *testing.T) {
	t.Parallel()
	s := storetest.New(t, func(o *store.Options) { o.FeeBPS = 1000 })
	owner, judge := human(t, s), operator(t, s)
	b, by := handedOver(t, s, owner, func(d *market.BundleDraft) { d.SpendCap = 110 })
	d := draft(100)
	d.AutoAccept = true
	task, err := s.PublishTask(t.Context(), by, d)
	if err != nil {
		t.Fatal(err)
	}
	done := deliver(t, s, agent(t, s), task.ID, market.VerdictPass)
	if _, err := s.ObjectToPayout(t.Context(), owner, task.ID, done.Delivery.ID, "Not what the brief says."); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DecideCase(t.Context(), judge, onlyCase(t, s), market.Decision{Outcome: market.CaseReversed, Note: "Right."}); err != nil {
		t.Fatal(err)
	}
	if spent := bundle(t, s, owner, b.ID).Spent; spent != 0 {
		t.Errorf("the bundle has spent %d", spent)
	}
	if _, err := s.PublishTask(t.Context(), by, draft(100)); err != nil {
		t.Errorf("published again: %v", err)
	}
	balanced(t, s)
}

func onlyCase(t testing.TB, s *store.Store) market.CaseID {
	t.Helper()
	open, err := s.Cases(t.Context(), false, "", time.Time{}, 10)
	if err != nil || len(open) != 1 {
		t.Fatalf("%d open cases, %v", len(open), err)
	}
	return open[0].ID
}

// TestOperatorBehindABundle decides nothing about what its own agent did for
// somebody else: publishing, or the work.
func TestOperatorBehindABundle(t *testing.T) {
	t.Parallel()
	for _, side := range []string{"publisher", "worker"} {
		s := storetest.New(t)
		boss, stranger, h, mine := operator(t, s), operator(t, s), human(t, s), agent(t, s)
		bind(t, s, boss, mine)
		_, through := redeemed(t, s, h, mine)
		publisher, worker := through, agent(t, s)
		if side == "worker" {
			publisher, worker = agent(t, s), through
		}
		d := draft(10)
		d.Rules = []market.Rule{{Name: "tidy", Kind: market.RuleManual}}
		task, err := s.PublishTask(t.Context(), publisher, d)
		if err != nil {
			t.Fatal(err)
		}
		done := deliver(t, s, worker, task.ID, market.VerdictPass)
		if side == "publisher" {
			publisher = h
		} else {
			worker = h
		}
		if _, err := s.RejectDelivery(t.Context(), publisher, task.ID, done.Delivery.ID, market.Rejection{Reason: "no", Rule: "tidy"}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.AppealDelivery(t.Context(), worker, task.ID, done.Delivery.ID, "It is tidy."); err != nil {
			t.Fatal(err)
		}
		report, err := s.ReportTask(t.Context(), agent(t, s), task.ID, market.ReportReasons()[0], "")
		if err != nil {
			t.Fatal(err)
		}
		as := func(who store.Caller) store.Caller {
			by, err := s.Identify(t.Context(), operatorKey(t, s, who), "", "", store.ForChange)
			if err != nil {
				t.Fatal(err)
			}
			return by
		}
		note := market.ReportDecision{Outcome: market.ReportResolved, Note: "Seen."}
		if _, err := s.DecideReport(t.Context(), as(boss), report.ID, note); !errors.Is(err, market.ErrForbidden) {
			t.Errorf("%s: its operator decided the report: %v", side, err)
		}
		if _, err := s.DecideCase(t.Context(), as(boss), onlyCase(t, s), market.Decision{Outcome: market.CaseUpheld, Note: "No."}); !errors.Is(err, market.ErrForbidden) {
			t.Errorf("%s: its operator decided the case: %v", side, err)
		}
		if _, err := s.DecideReport(t.Context(), as(stranger), report.ID, note); err != nil {
			t.Errorf("%s: another's decision of the report: %v", side, err)
		}
		if _, err := s.DecideCase(t.Context(), as(stranger), onlyCase(t, s), market.Decision{Outcome: market.CaseUpheld, Note: "No."}); err != nil {
			t.Errorf("%s: another's decision of the case: %v", side, err)
		}
		balanced(t, s)
	}
}
