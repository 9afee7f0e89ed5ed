package store_test

import (
	"errors"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// The tests of this file let somebody cheat and say what it gains by it. Who
// rejects everything is in rejection_test.go: TestMassRejection and
// TestRejectingEverythingGainsNothing.

// TestAPublisherThatGoesSilentPaysInTheEnd: a publisher publishes, gets all
// work delivered and never answers. Nobody is paid before the review window
// ends; then every worker is accepted, and has the credits after the hold.
func TestAPublisherThatGoesSilentPaysInTheEnd(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	ghost := agent(t, s)
	workers := []store.Caller{agent(t, s), agent(t, s), agent(t, s)}
	var ids []market.TaskID
	for i := range 9 { // three tasks each, of 20 credits
		task := publish(t, s, ghost, 20)
		deliver(t, s, workers[i%3], task.ID, market.VerdictPass)
		ids = append(ids, task.ID)
	}
	crowded := openTask(t, s, ghost, 10, 3) // and all three slots of an open task
	for _, w := range workers {
		if _, err := deliverOpen(t.Context(), s, w, crowded.ID, market.VerdictPass); err != nil {
			t.Fatal(err)
		}
	}
	ids = append(ids, crowded.ID)
	all := func(want market.State) {
		t.Helper()
		for i, id := range ids {
			got, err := s.Task(t.Context(), ghost.Actor, id)
			if err != nil || got.State != want && !(i == 9 && want == market.InReview && got.State == market.Open) {
				t.Errorf("task %d is %s (%v), want %s", i, got.State, err, want)
			}
		}
	}
	earned := func(pending, available market.Credits) {
		t.Helper()
		for i, by := range workers {
			if w := wallet(t, s, by); w.EarnedPending != pending || w.EarnedAvailable != available || w.Granted != 1000 {
				t.Errorf("worker %d has %+v, want %d pending and %d available", i, w, pending, available)
			}
		}
	}
	c.advance(71 * time.Hour)
	sweep(t, s)
	all(market.InReview)
	earned(0, 0)
	c.advance(time.Hour + time.Minute)
	sweep(t, s)
	all(market.Settled)
	earned(70, 0)
	c.advance(24*time.Hour + time.Minute)
	sweep(t, s)
	earned(0, 70)
	if w := wallet(t, s, ghost); w.Granted != 1000-9*20-3*10 || w.Escrow != 0 {
		t.Errorf("the publisher has %+v, want 790 and nothing in escrow", w)
	}
	r, err := s.Reputation(t.Context(), ghost.Account)
	if err != nil || r.Publisher.Silent != 12 || r.Publisher.Accepted != 0 {
		t.Errorf("the publisher is known as %+v (%v), want 12 times silent", r.Publisher, err)
	}
	for _, by := range workers {
		if r, err := s.Reputation(t.Context(), by.Account); err != nil || r.Worker.Accepted != 4 || r.Worker.Rejected != 0 {
			t.Errorf("a worker is known as %+v (%v), want 4 accepted", r.Worker, err)
		}
	}
	balanced(t, s)
}

// holdOn renews the claims a little before each lease ends, until none can be.
func holdOn(t *testing.T, s *store.Store, c *clock, hoarder store.Caller, held []market.TaskID) {
	t.Helper()
	rounds := 0
	for ; ; rounds++ {
		c.advance(58 * time.Minute)
		kept := 0
		for _, id := range held {
			if _, err := s.RenewClaim(t.Context(), hoarder, id, store.Lease{}); err == nil {
				kept++
			}
		}
		if kept == 0 || rounds > 9 {
			break
		}
	}
	var longest float64
	err := s.DB().Get(&longest, `SELECT extract(epoch FROM max(expires_at - claimed_at))::float8 / 3600 FROM claims WHERE worker_id = $1`, hoarder.Account)
	if err != nil || rounds != 4 || longest != 4 {
		t.Errorf("the claims were renewed %d times for %v hours (%v), want 4 times for 4 hours", rounds, longest, err)
	}
}

// TestHoardingClaimsGainsNothing: an agent claims all it can and renews for as
// long as it can, to keep the tasks from others. It gets ten of twenty, holds
// none longer than four leases, is paused for a day, and has gained nothing;
// the others do all twenty. That the limit holds against claims at once is in
// claim_limit_test.go.
func TestHoardingClaimsGainsNothing(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	publisher, hoarder := agent(t, s), agent(t, s)
	honest := []store.Caller{agent(t, s), agent(t, s)}
	var tasks []market.TaskID
	for range 20 {
		tasks = append(tasks, publish(t, s, publisher, 10).ID)
	}
	var held []market.TaskID
	for _, id := range tasks {
		switch _, err := s.ClaimTask(t.Context(), hoarder, id); {
		case err == nil:
			held = append(held, id)
		case !errors.Is(err, market.ErrClaimLimit):
			t.Fatal(err)
		}
	}
	if len(held) != market.FirstClaims {
		t.Fatalf("the hoarder holds %d, want %d", len(held), market.FirstClaims)
	}
	work := func(id market.TaskID, by store.Caller) {
		t.Helper()
		d := deliver(t, s, by, id, market.VerdictPass)
		if _, err := s.AcceptDelivery(t.Context(), publisher, id, d.Delivery.ID); err != nil {
			t.Fatal(err)
		}
	}
	for i, id := range tasks[len(held):] { // the rest is free for others at once
		work(id, honest[i%2])
	}
	holdOn(t, s, &c, hoarder, held)
	sweep(t, s)
	for i, id := range held {
		work(id, honest[i%2])
	}
	extra := publish(t, s, publisher, 10).ID
	paused := func(want bool) {
		t.Helper()
		_, err := s.ClaimTask(t.Context(), hoarder, extra)
		if got := errors.Is(err, market.ErrClaimPaused); got != want || !want && err != nil {
			t.Errorf("the hoarder's next claim: %v, want it paused: %v", err, want)
		}
	}
	paused(true)
	c.advance(22 * time.Hour)
	paused(true)
	c.advance(2 * time.Hour)
	paused(false)
	sweep(t, s)
	sweep(t, s)
	w := wallet(t, s, hoarder)
	r, err := s.Reputation(t.Context(), hoarder.Account)
	if err != nil || w.Granted != 1000 || w.EarnedPending+w.EarnedAvailable != 0 || r.Worker.Accepted != 0 || r.Worker.Abandoned != 10 {
		t.Errorf("the hoarder has %+v and is known as %+v (%v), want nothing earned and 10 abandoned", w, r.Worker, err)
	}
	for _, by := range honest {
		r, err := s.Reputation(t.Context(), by.Account)
		if w := wallet(t, s, by); err != nil || w.EarnedPending+w.EarnedAvailable != 100 || r.Worker.Accepted != 10 {
			t.Errorf("an honest worker has %+v and is known as %+v (%v), want 100 for 10", w, r.Worker, err)
		}
	}
	balanced(t, s)
}

// copied is a task of two rewards of 50 credits in open mode, with the delivery
// of each honest worker and then the same outputs from each copier: it cannot
// read them on the task, but may have them from elsewhere.
func copied(t *testing.T, s *store.Store, c *clock, publisher store.Caller, honest, copiers []store.Caller) (market.TaskID, []market.DeliveryID) {
	t.Helper()
	id := openTask(t, s, publisher, 50, 2).ID
	var first market.DeliveryID
	for i, by := range honest {
		if d := handInOutput(t, s, by, id, `[1]`, "sha256:"+string(rune('a'+i))).ID; i == 0 {
			first = d
		}
		c.advance(time.Minute)
	}
	var copies []market.DeliveryID
	for _, by := range copiers {
		if list, err := s.Deliveries(t.Context(), by.Account, id, "", 10); err != nil || len(list) != 0 {
			t.Errorf("a stranger sees %d deliveries of others (%v)", len(list), err)
		}
		if _, err := s.TaskWith(t.Context(), by.Actor, id, first); !errors.Is(err, market.ErrNotFound) {
			t.Errorf("a stranger reads another's delivery: %v", err)
		}
		copies = append(copies, handInOutput(t, s, by, id, `[1]`, "sha256:a").ID)
		c.advance(time.Minute)
	}
	return id, copies
}

// TestCopyingInOpenModeGainsNothing: five accounts paste the work of others.
// Where there are rewards for the honest only, they come too late, whether the
// publisher looks or not.
func TestCopyingInOpenModeGainsNothing(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]bool{"silent": false, "looks": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c clock
			s := storetest.New(t, withClock(&c))
			publisher, honest := agent(t, s), []store.Caller{agent(t, s), agent(t, s)}
			copiers := []store.Caller{agent(t, s), agent(t, s), agent(t, s), agent(t, s), agent(t, s)}
			id, copies := copied(t, s, &c, publisher, honest, copiers)
			rejected := int64(0)
			if answer {
				rejected = 1
				for _, d := range copies {
					if _, err := s.RejectDelivery(t.Context(), publisher, id, d, market.Rejection{Reason: "A copy.", Rule: "tidy"}); err != nil {
						t.Fatal(err)
					}
				}
			}
			c.advance(74 * time.Hour)
			sweep(t, s)
			c.advance(25 * time.Hour)
			sweep(t, s)
			after, err := s.Task(t.Context(), publisher.Actor, id)
			if err != nil || after.State != market.Settled {
				t.Errorf("the task is %s (%v), want it settled", after.State, err)
			}
			for _, by := range honest {
				if w := wallet(t, s, by); w.EarnedAvailable != 50 {
					t.Errorf("an honest worker has %+v, want 50", w)
				}
			}
			for _, by := range copiers {
				r, err := s.Reputation(t.Context(), by.Account)
				if w := wallet(t, s, by); err != nil || w.EarnedPending+w.EarnedAvailable != 0 || w.Granted != 1000 || r.Worker.Accepted != 0 || r.Worker.Rejected != rejected {
					t.Errorf("a copier has %+v and is known as %+v (%v), want nothing", w, r.Worker, err)
				}
			}
			if w := wallet(t, s, publisher); w.Granted != 900 || w.Escrow != 0 {
				t.Errorf("the publisher has %+v, want 900", w)
			}
			balanced(t, s)
		})
	}
}

// TestACopyThatSilencePaidIsGivenBack: with a reward to spare, a copy that
// nobody looked at is paid by silence; the publisher objects within the hold,
// an operator gives it back, and the copier has gained nothing.
func TestACopyThatSilencePaidIsGivenBack(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	publisher, honest, copier, judge := agent(t, s), agent(t, s), agent(t, s), operator(t, s)
	id, copies := copied(t, s, &c, publisher, []store.Caller{honest}, []store.Caller{copier})
	c.advance(73 * time.Hour)
	sweep(t, s)
	if w := wallet(t, s, copier); w.EarnedPending != 50 || w.EarnedAvailable != 0 {
		t.Fatalf("the copier has %+v, want 50 on hold", w)
	}
	objected, err := s.ObjectToPayout(t.Context(), publisher, id, copies[0], "The same output as the delivery before.")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.DecideCase(t.Context(), judge, objected.Case.ID, market.Decision{Outcome: market.CaseReversed, Note: "It is a copy."}); err != nil {
		t.Fatal(err)
	}
	c.advance(25 * time.Hour)
	sweep(t, s)
	r, err := s.Reputation(t.Context(), copier.Account)
	if w := wallet(t, s, copier); err != nil || w.EarnedPending+w.EarnedAvailable != 0 || r.Worker.Accepted != 0 || r.Worker.Rejected != 1 {
		t.Errorf("the copier has %+v and is known as %+v (%v), want nothing, and rejected", w, r.Worker, err)
	}
	if w := wallet(t, s, honest); w.EarnedAvailable != 50 {
		t.Errorf("the honest worker has %+v, want 50", w)
	}
	if w := wallet(t, s, publisher); w.Granted != 950 || w.Escrow != 0 {
		t.Errorf("the publisher has %+v, want all but 50", w)
	}
	balanced(t, s)
}
