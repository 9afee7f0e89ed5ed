package store_test

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// TestAnAgentBehindABundle is itself whoever it acts for: it works neither for
// its own party as somebody else, nor publishes as somebody else what its own
// party then does.
func TestAnAgentBehindABundle(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	boss, other := human(t, s), human(t, s)
	hand, sister, free := agent(t, s), agent(t, s), agent(t, s)
	bind(t, s, boss, hand, sister)
	b, through := redeemed(t, s, other, hand)
	_, foreign := redeemed(t, s, other, free)
	open := func(by store.Caller) market.TaskID { return publishOpen(t, s, &c, by, false).ID }
	try := func(when string, want error) {
		t.Helper()
		for name, x := range map[string]struct {
			publisher, worker store.Caller
			want              error
		}{
			"its manager's task":              {boss, through, want},
			"its sister's task":               {sister, through, want},
			"a stranger's task":               {human(t, s), through, nil},
			"what it published, its sister":   {through, sister, want},
			"what others published, a sister": {foreign, sister, nil},
			"what the human published":        {other, sister, nil},
			"its manager's, by other hands":   {boss, foreign, nil},
		} {
			if _, err := s.ClaimTask(t.Context(), x.worker, publishUntil(t, s, &c, x.publisher)); !errors.Is(err, x.want) {
				t.Errorf("%s %s: a claim: %v, want %v", when, name, err, x.want)
			}
			if err := tryOpen(s, x.worker, open(x.publisher)); !errors.Is(err, x.want) {
				t.Errorf("%s %s: a delivery: %v, want %v", when, name, err, x.want)
			}
		}
	}
	try("live,", market.ErrOneParty)
	// A claim that others made for the same human is not delivered by it.
	task, err := s.ClaimTask(t.Context(), foreign, publishUntil(t, s, &c, boss))
	if err != nil {
		t.Fatal(err)
	}
	l := store.Lease{Claim: task.Claim.ID, Epoch: task.Claim.Epoch}
	if _, err := s.OpenDelivery(t.Context(), through, task.ID, l); !errors.Is(err, market.ErrOneParty) {
		t.Errorf("a delivery on the claim of others: %v", err)
	}
	if _, err := s.OpenDelivery(t.Context(), foreign, task.ID, l); err != nil {
		t.Errorf("a delivery by who claimed: %v", err)
	}
	// Nor does it pay its own party with the human's credits.
	done := deliver(t, s, sister, publishUntil(t, s, &c, other), market.VerdictPass)
	if _, err := s.AcceptDelivery(t.Context(), through, done.ID, done.Delivery.ID); !errors.Is(err, market.ErrOneParty) {
		t.Errorf("an acceptance for its sister: %v", err)
	}
	if _, err := s.AcceptDelivery(t.Context(), foreign, done.ID, done.Delivery.ID); err != nil {
		t.Errorf("an acceptance by others: %v", err)
	}
	if n := len(parties(t, s, through, b)); n != 3 {
		t.Errorf("the agent's party has %d members, want it, its manager and the bundle's owner", n)
	}
	balanced(t, s)
}

// parties are those of who acts through the bundle.
func parties(t testing.TB, s *store.Store, by store.Caller, b market.Bundle) market.Kin {
	t.Helper()
	if by.Mandate == nil || by.Mandate.Bundle != b.ID {
		t.Fatalf("it acts through %+v", by.Mandate)
	}
	return by.Mandate.Agent
}

// publishUntil is a task that is due an hour after the clock's time.
func publishUntil(t testing.TB, s *store.Store, c *clock, by store.Caller) market.TaskID {
	t.Helper()
	d, end := draft(1), c.now().Add(time.Hour).Truncate(time.Microsecond).UTC()
	d.Deadline = &end
	task, err := s.PublishTask(t.Context(), by, d)
	if err != nil {
		t.Fatalf("publish: %v", err)
	}
	return task.ID
}

// TestWorkThroughABundleIsLiveWork of the agent that does it: it becomes nobody's
// whose task it works on as somebody else, nor whose agents work on what it
// published as somebody else. What the same human has others do is no matter.
func TestWorkThroughABundleIsLiveWork(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	joins := map[string]func(human, agent store.Caller) error{
		"bind": func(human, agent store.Caller) error {
			_, err := s.Bind(t.Context(), human, mint(t, s, agent))
			return err
		},
		"redeem": func(human, agent store.Caller) error {
			_, code, err := s.NewBundle(t.Context(), human, bundleDraft(func(d *market.BundleDraft) { d.WithKey = false }))
			if err != nil {
				t.Fatal(err)
			}
			_, _, _, err = s.RedeemHandoff(t.Context(), code, agent.Account, netip.Addr{})
			return err
		},
	}
	for name, join := range joins {
		boss, other, hand, sister, free := human(t, s), human(t, s), agent(t, s), agent(t, s), agent(t, s)
		if err := join(boss, sister); err != nil {
			t.Fatal(err)
		}
		_, through := redeemed(t, s, other, hand)
		_, foreign := redeemed(t, s, other, free)
		if _, err := s.ClaimTask(t.Context(), foreign, publish(t, s, boss, 1).ID); err != nil {
			t.Fatal(err)
		}
		ours := deliver(t, s, through, publish(t, s, boss, 1).ID, market.VerdictPass)
		if err := join(boss, hand); !errors.Is(err, market.ErrLiveWorkTogether) {
			t.Errorf("%s at work for the human through a bundle: %v", name, err)
		}
		if _, err := s.AcceptDelivery(t.Context(), boss, ours.ID, ours.Delivery.ID); err != nil {
			t.Fatal(err)
		}
		theirs, err := s.ClaimTask(t.Context(), sister, publish(t, s, through, 1).ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := join(boss, hand); !errors.Is(err, market.ErrLiveWorkTogether) {
			t.Errorf("%s with its own task, published through a bundle, at the human's agent: %v", name, err)
		}
		if _, err := s.ReleaseClaim(t.Context(), sister, theirs.ID, store.Lease{Claim: theirs.Claim.ID, Epoch: theirs.Claim.Epoch}); err != nil {
			t.Fatal(err)
		}
		if err := join(boss, hand); err != nil {
			t.Errorf("%s with no live work but that of others: %v", name, err)
		}
	}
	balanced(t, s)
}

// TestRaceOfBindingAndWorkThroughABundle: whatever comes first, nobody works
// for its own party as somebody else, nor has it work for itself.
func TestRaceOfBindingAndWorkThroughABundle(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	count := map[bool]int{}
	for i := range 48 {
		boss, other, hand, sister := human(t, s), human(t, s), agent(t, s), agent(t, s)
		bind(t, s, boss, sister)
		_, through := redeemed(t, s, other, hand)
		publisher, worker := boss, through
		if i%2 == 1 {
			publisher, worker = through, sister
		}
		task, code := publish(t, s, publisher, 1), mint(t, s, hand)
		var worked, joined error
		var wg sync.WaitGroup
		wg.Go(func() { _, worked = s.ClaimTask(context.Background(), worker, task.ID) })
		wg.Go(func() {
			time.Sleep(time.Duration(i/2%8) * 400 * time.Microsecond) // so that either may come first
			_, joined = s.Bind(context.Background(), boss, code)
		})
		wg.Wait()
		if worked != nil && !errors.Is(worked, market.ErrOneParty) || joined != nil && !errors.Is(joined, market.ErrLiveWorkTogether) {
			t.Fatalf("%v, %v", worked, joined)
		}
		if (worked == nil) == (joined == nil) {
			t.Errorf("worked: %v, bound: %v", worked, joined)
		}
		count[joined == nil]++
	}
	t.Logf("bound first: %v", count) // which comes first is the machine's affair
	balanced(t, s)
}
