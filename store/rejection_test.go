package store_test

import (
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

func reject(s *store.Store, t testing.TB, publisher store.Caller, done market.Snapshot) error {
	_, err := s.RejectDelivery(t.Context(), publisher, done.ID, done.Delivery.ID, market.Rejection{Reason: "No.", Rule: "tidy"})
	return err
}

func errorCode(err error) string {
	if err == nil {
		return "ok"
	}
	return err.Error()
}

// waiting is an open-mode task of the publisher with a delivery to decide.
func waiting(t testing.TB, s *store.Store, publisher store.Caller) market.Snapshot {
	t.Helper()
	done, err := deliverOpen(t.Context(), s, agent(t, s), openTask(t, s, publisher, 5, 1).ID, market.VerdictPass)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// TestMassRejection: who rejects all that it gets is stopped, whatever it
// rejects at once; all that is left is paid, and it can reject again when it
// has paid its share or a week has gone by.
func TestMassRejection(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	publisher := agent(t, s)
	work := make([]market.Snapshot, 14)
	for i := range work {
		work[i] = waiting(t, s, publisher)
	}
	got := race(len(work), func(i int) error { return reject(s, t, publisher, work[i]) })
	if got["ok"] != market.MostRejections || got["mass_rejection"] != len(work)-market.MostRejections {
		t.Fatalf("at once: %v", got)
	}
	sweep(t, s) // counted outcomes count as well as new ones
	if err := reject(s, t, publisher, waiting(t, s, publisher)); errorCode(err) != "mass_rejection" {
		t.Errorf("one more: %v", err)
	}
	if err := reject(s, t, publisher, market.Snapshot{Task: work[0].Task, Delivery: work[0].Delivery}); errorCode(err) == "ok" {
		t.Error("a delivery was rejected twice")
	}
	if err := reject(s, t, agent(t, s), waiting(t, s, publisher)); errorCode(err) != "not_found" {
		t.Errorf("a stranger: %v", err)
	}
	other := agent(t, s)
	if err := reject(s, t, other, waiting(t, s, other)); err != nil {
		t.Errorf("another publisher: %v", err)
	}
	// Paid by silence: the four that could not be rejected and three more.
	c.advance(73 * time.Hour)
	sweep(t, s)
	paid := 0
	if err := s.DB().Get(&paid, `SELECT count(*) FROM payouts`); err != nil || paid != len(work)-market.MostRejections+2 {
		t.Errorf("%d were paid, %v", paid, err)
	}
	if err := reject(s, t, publisher, waiting(t, s, publisher)); err != nil {
		t.Errorf("with %d paid: %v", paid, err)
	}
	balanced(t, s)

	again := agent(t, s)
	for range market.MostRejections {
		if err := reject(s, t, again, waiting(t, s, again)); err != nil {
			t.Fatal(err)
		}
	}
	last := waiting(t, s, again)
	if err := reject(s, t, again, last); errorCode(err) != "mass_rejection" {
		t.Errorf("the second publisher: %v", err)
	}
	c.advance(market.RejectionLook + time.Hour)
	if err := reject(s, t, again, waiting(t, s, again)); err != nil {
		t.Errorf("a week later: %v", err)
	}
	balanced(t, s)
}

// TestRejectingEverythingGainsNothing: the publisher has the work of ten, one
// of them appeals and is paid; the others could have.
func TestRejectingEverythingGainsNothing(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher, operator := agent(t, s), human(t, s)
	operator.Operator = true
	for range market.MostRejections {
		worker := agent(t, s)
		done, err := deliverOpen(t.Context(), s, worker, openTask(t, s, publisher, 5, 1).ID, market.VerdictPass)
		if err != nil {
			t.Fatal(err)
		}
		if err := reject(s, t, publisher, done); err != nil {
			t.Fatal(err)
		}
		appealed, err := s.AppealDelivery(t.Context(), worker, done.ID, done.Delivery.ID, "It is tidy.")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.DecideCase(t.Context(), operator, appealed.Case.ID, market.Decision{Outcome: market.CaseOverturned, Note: "It is."}); err != nil {
			t.Fatal(err)
		}
		if w := wallet(t, s, worker); w.EarnedPending != 5 {
			t.Errorf("the worker has %+v, want its 5", w)
		}
	}
	if w := wallet(t, s, publisher); w.Granted != market.Credits(1000-5*market.MostRejections) || w.Escrow != 0 {
		t.Errorf("the publisher kept %+v", w)
	}
	sweep(t, s)
	rep, err := s.Reputation(t.Context(), publisher.Account)
	if rate, ok := rep.Publisher.AcceptRate(); err != nil || !ok || rate != 0 {
		t.Errorf("everybody sees %+v, %v", rep.Publisher, err)
	}
	if err := reject(s, t, publisher, waiting(t, s, publisher)); errorCode(err) != "mass_rejection" {
		t.Errorf("an eleventh: %v", err)
	}
	balanced(t, s)
}

// TestJunkStopsNobody rejects what does not count: pasted copies, revisions of
// one worker, what could not be checked, and what an operator upheld.
func TestJunkStopsNobody(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher, operator := agent(t, s), human(t, s)
	operator.Operator = true
	hand := func(worker store.Caller, id market.TaskID, output string, v market.Verdict) market.Snapshot {
		t.Helper()
		opened, err := s.OpenDelivery(t.Context(), worker, id, store.Lease{})
		if err != nil {
			t.Fatal(err)
		}
		r := report(v)
		r.OutputHash = output
		done, err := s.Deliver(t.Context(), worker, opened, store.Lease{}, pack(), r)
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	must := func(done market.Snapshot) market.Snapshot {
		t.Helper()
		if err := reject(s, t, publisher, done); err != nil {
			t.Fatal(err)
		}
		return done
	}
	counted := func(what string, want int64) {
		t.Helper()
		if j, err := s.Judgements(t.Context(), publisher.Account); err != nil || j.Rejected != want {
			t.Errorf("%s: %+v, %v, want %d", what, j, err, want)
		}
	}
	copied := openTask(t, s, publisher, 5, 1).ID
	for range market.MostRejections + 2 {
		must(hand(agent(t, s), copied, "sha256:same", market.VerdictPass))
	}
	counted("copies", 1)
	stubborn := agent(t, s)
	revised := openTask(t, s, publisher, 5, 1).ID
	for _, output := range []string{"sha256:a", "sha256:b", "sha256:c"} {
		must(hand(stubborn, revised, output, market.VerdictPass))
	}
	counted("revisions", 2)
	for range 3 {
		must(hand(agent(t, s), openTask(t, s, publisher, 5, 1).ID, "", market.VerdictError))
	}
	counted("unchecked", 2)
	worker := agent(t, s)
	done := must(hand(worker, openTask(t, s, publisher, 5, 1).ID, "sha256:d", market.VerdictPass))
	counted("one more", 3)
	appealed, err := s.AppealDelivery(t.Context(), worker, done.ID, done.Delivery.ID, "It is tidy.")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.DecideCase(t.Context(), operator, appealed.Case.ID, market.Decision{Outcome: market.CaseUpheld, Note: "It is not."}); err != nil {
		t.Fatal(err)
	}
	counted("upheld", 2)
	sweep(t, s)
	counted("after they were counted", 2)
	balanced(t, s)
}
