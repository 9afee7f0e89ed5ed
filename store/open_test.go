package store_test

import (
	"context"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// openTask publishes a task in open mode.
func openTask(t testing.TB, s *store.Store, by store.Caller, reward, slots int64) market.Snapshot {
	t.Helper()
	d := draft(reward)
	d.Mode, d.MaxAccepted = market.ModeOpen, &slots
	d.Rules = []market.Rule{{Name: "tidy", Kind: market.RuleManual, Text: "Be tidy."}}
	if bad := d.Clean(time.Now()); bad != nil {
		t.Fatalf("draft: %v", bad)
	}
	task, err := s.PublishTask(t.Context(), by, d)
	if err != nil {
		t.Fatalf("publish: %v", err)
	}
	return task
}

func deliverOpen(ctx context.Context, s *store.Store, by store.Caller, id market.TaskID, v market.Verdict) (market.Snapshot, error) {
	opened, err := s.OpenDelivery(ctx, by, id, store.Lease{})
	if err != nil {
		return opened, err
	}
	return s.Deliver(ctx, by, opened, store.Lease{}, pack(), report(v))
}

// TestRacesInOpenMode lets thirty agents deliver at once, and twenty accepts
// fight for three rewards.
func TestRacesInOpenMode(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher := agent(t, s)
	task := openTask(t, s, publisher, 100, 3)
	workers := make([]store.Caller, 30)
	for i := range workers {
		workers[i] = agent(t, s)
	}
	dids := make([]market.DeliveryID, len(workers))
	got := race(len(workers), func(i int) error {
		done, err := deliverOpen(t.Context(), s, workers[i], task.ID, market.VerdictPass)
		if err == nil {
			dids[i] = done.Delivery.ID
		}
		return err
	})
	if got["ok"] != len(workers) {
		t.Fatalf("%d of %d deliveries were taken: %v", got["ok"], len(workers), got)
	}
	got = race(8, func(int) error {
		_, err := deliverOpen(t.Context(), s, workers[0], task.ID, market.VerdictPass)
		return err
	})
	if got["ok"] != 0 || got["delivery_pending"] != 8 {
		t.Errorf("second deliveries: %d taken, %v", got["ok"], got)
	}
	got = race(20, func(i int) error {
		_, err := s.AcceptDelivery(t.Context(), publisher, task.ID, dids[i])
		return err
	})
	if got["ok"] != 3 || got["delivery_not_pending"] != 17 {
		t.Errorf("%d of 3 rewards were paid, refused %v", got["ok"], got)
	}
	after, err := s.Task(t.Context(), publisher.Actor, task.ID)
	if err != nil || after.State != market.Settled || after.Escrow.Total() != 0 {
		t.Errorf("the task is %s with %v, %v", after.State, after.Escrow, err)
	}
	states := map[market.DeliveryState]int{}
	list, err := s.Deliveries(t.Context(), publisher.Account, task.ID, "", 100)
	for _, d := range list {
		states[d.State]++
	}
	if err != nil || states[market.DeliveryAccepted] != 3 || states[market.DeliveryNotSelected] != 27 {
		t.Errorf("the deliveries are %v, %v", states, err)
	}
	balanced(t, s)
}

// TestObjectionAgainstRelease: a payout is either held or released, whoever is
// faster, and a reversed one is given back once.
func TestObjectionAgainstRelease(t *testing.T) {
	t.Parallel()
	c := &clock{}
	s := storetest.New(t, withClock(c))
	publisher, worker := agent(t, s), agent(t, s)
	judge := store.Caller{Actor: agent(t, s).Actor}
	judge.Operator = true
	task := openTask(t, s, publisher, 50, 1)
	done, err := deliverOpen(t.Context(), s, worker, task.ID, market.VerdictPass)
	if err != nil {
		t.Fatal(err)
	}
	c.advance(72*time.Hour + time.Minute) // the review window is silent
	if n, err := s.Sweep(t.Context(), 100); err != nil || n == 0 {
		t.Fatalf("swept %d, %v", n, err)
	}
	got := race(6, func(int) error {
		_, err := s.ObjectToPayout(t.Context(), publisher, task.ID, done.Delivery.ID, "Not what the brief says.")
		return err
	})
	if got["ok"] != 1 || got["already_done"] != 5 {
		t.Fatalf("%d objections were taken, %v", got["ok"], got)
	}
	c.advance(25 * time.Hour) // past the ordinary hold
	if _, err := s.Sweep(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	if w, err := s.Wallet(t.Context(), worker.Account); err != nil || w.EarnedAvailable != 0 || w.EarnedPending != 50 {
		t.Errorf("the worker has %+v, %v", w, err)
	}
	open, err := s.Cases(t.Context(), false, "", time.Time{}, 10)
	if err != nil || len(open) != 1 {
		t.Fatalf("%d open cases, %v", len(open), err)
	}
	got = race(6, func(int) error {
		_, err := s.DecideCase(t.Context(), judge, open[0].ID, market.Decision{Outcome: market.CaseReversed, Note: "Right."})
		return err
	})
	if got["ok"] != 1 || got["case_closed"] != 5 {
		t.Errorf("%d decisions were taken, %v", got["ok"], got)
	}
	if w, err := s.Wallet(t.Context(), publisher.Account); err != nil || w.Granted != 1000 || w.Escrow != 0 {
		t.Errorf("the publisher has %+v, want all back, %v", w, err)
	}
	balanced(t, s)
}

// TestSweepCatchesUp: one pass ends what several clocks ended while nothing
// ran, on two nodes at once, and pays nothing twice.
func TestSweepCatchesUp(t *testing.T) {
	t.Parallel()
	c := &clock{}
	s := storetest.New(t, withClock(c))
	publisher := agent(t, s)
	var ids []market.TaskID
	for i := range 12 {
		task := openTask(t, s, publisher, 5, 2)
		ids = append(ids, task.ID)
		v := []market.Verdict{market.VerdictPass, market.VerdictError, market.VerdictFail}[i%3]
		if _, err := deliverOpen(t.Context(), s, agent(t, s), task.ID, v); err != nil {
			t.Fatal(err)
		}
	}
	// Reviews ended, cases opened and closed, deadlines passed.
	c.advance(60 * 24 * time.Hour)
	if got := race(2, func(int) error { _, err := s.Sweep(context.Background(), 10_000); return err }); got["ok"] != 2 {
		t.Fatalf("the sweeps: %v", got)
	}
	c.advance(30 * 24 * time.Hour)
	if _, err := s.Sweep(t.Context(), 10_000); err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		after, err := s.Task(t.Context(), publisher.Actor, id)
		want := market.Expired
		if i%3 == 0 {
			want = market.Settled
		}
		if err != nil || after.State != want || after.Escrow.Total() != 0 {
			t.Errorf("task %d is %s with %v, want %s, %v", i, after.State, after.Escrow, want, err)
		}
	}
	balanced(t, s)
}
