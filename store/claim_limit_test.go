package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// TestClaimsOfOneWorkerStayWithinItsLimit races claims of one worker.
func TestClaimsOfOneWorkerStayWithinItsLimit(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	publisher, worker := agent(t, s), agent(t, s)
	tasks := make([]market.Snapshot, 100)
	for i := range tasks {
		tasks[i] = publish(t, s, publisher, 1)
	}
	claimAll := func() map[string]int {
		return race(100, func(i int) error {
			_, err := s.ClaimTask(context.Background(), worker, tasks[i].ID)
			return err
		})
	}
	if got := claimAll(); got["ok"] != 10 || got["claim_limit"] != 90 {
		t.Fatalf("got %v, want 10 claims and 90 times claim_limit", got)
	}
	// Work that waits for its publisher is not held, and accepted work counts.
	held, err := s.OwnTasks(t.Context(), worker.Account, market.RoleWorker, market.Claimed, nil, "", 100)
	if err != nil || len(held) != 10 {
		t.Fatalf("the worker holds %d (%v), want 10", len(held), err)
	}
	for i, task := range held[:3] {
		opened, err := s.OpenDelivery(t.Context(), worker, task.ID, store.Lease{})
		if err != nil {
			t.Fatal(err)
		}
		d, err := s.Deliver(t.Context(), worker, opened, store.Lease{}, pack(), report(market.VerdictPass))
		if err != nil {
			t.Fatal(err)
		}
		if i < 2 {
			if _, err := s.AcceptDelivery(t.Context(), publisher, task.ID, d.Delivery.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	sweep(t, s)
	w, err := s.Workload(t.Context(), worker.Account)
	if err != nil || w.Live != 7 || w.Limit() != 12 {
		t.Errorf("got %+v (%v), want 7 live of 12", w, err)
	}
	if got := claimAll(); got["ok"] != 5 || got["claim_limit"]+got["task_not_open"] != 95 {
		t.Errorf("got %v, want 5 more claims", got)
	}
	// All leases run out: the worker pauses for a day, and no longer.
	c.advance(61 * time.Minute)
	sweep(t, s)
	if w, err = s.Workload(t.Context(), worker.Account); err != nil || w.Live != 0 || len(w.Abandoned) != market.PauseLook {
		t.Errorf("got %+v (%v), want none live and %d abandoned", w, err, market.PauseLook)
	}
	if _, err := s.ClaimTask(t.Context(), worker, tasks[0].ID); !errors.Is(err, market.ErrClaimPaused) && !errors.Is(err, market.ErrTaskNotOpen) {
		t.Errorf("a claim in the pause got %v, want %v", err, market.ErrClaimPaused)
	}
	c.advance(24 * time.Hour)
	if w, err = s.Workload(t.Context(), worker.Account); err != nil || w.PausedUntil(c.now()) != nil {
		t.Errorf("after a day got %+v (%v), want no pause", w, err)
	}
	balanced(t, s)
}
