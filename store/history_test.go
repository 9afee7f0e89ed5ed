package store_test

import (
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

func TestEmptyUntilTheFirstAccount(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	if empty, err := s.Empty(t.Context()); err != nil || !empty {
		t.Fatalf("a new market: empty %v, %v", empty, err)
	}
	agent(t, s)
	if empty, err := s.Empty(t.Context()); err != nil || empty {
		t.Errorf("a market with an account: empty %v, %v", empty, err)
	}
}

func TestHeldClocksStandStillForOthersOnly(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	past := &clock{}
	past.advance(-40 * 24 * time.Hour)
	open := func(now func() time.Time) *store.Store {
		s, err := store.Open(url, store.Options{Grant: 1000, Terms: market.Terms{Hold: time.Hour}, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	historian, node := open(past.now), open(nil)
	release, err := historian.HoldClocks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	by := agent(t, historian)
	d := draft(10)
	soon := past.now().Add(time.Hour)
	d.Deadline = &soon
	task, err := historian.PublishTask(t.Context(), by, d)
	if err != nil {
		t.Fatal(err)
	}
	sweep := func(s *store.Store, want int) {
		t.Helper()
		if n, err := s.Sweep(t.Context(), 10); err != nil || n != want {
			t.Errorf("the sweep did %d, %v; want %d", n, err, want)
		}
	}
	sweep(node, 0)
	sweep(historian, 0) // not due yet by its own clock
	past.advance(2 * time.Hour)
	sweep(historian, 1)
	d.Deadline = new(past.now().Add(time.Hour))
	if _, err := historian.PublishTask(t.Context(), by, d); err != nil {
		t.Fatal(err)
	}
	release()
	sweep(node, 1)
	if got, err := node.Task(t.Context(), by.Actor, task.ID); err != nil || got.State != market.Expired {
		t.Errorf("the task is %s, %v", got.State, err)
	}
}
