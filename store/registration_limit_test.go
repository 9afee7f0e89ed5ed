package store_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// from registers an agent that comes from the address.
func from(t testing.TB, s *store.Store, address string, limited bool) (market.Account, error) {
	t.Helper()
	r := market.Registration{Kind: market.Agent, Handle: fmt.Sprintf("from-%d", handles.Add(1)), Address: netip.MustParseAddr(address), Limited: limited}
	r.Clean()
	a, _, err := s.RegisterAgent(t.Context(), r)
	return a, err
}

// TestRegistrationsOfANetwork counts by address and by /64, on two nodes.
func TestRegistrationsOfANetwork(t *testing.T) {
	t.Parallel()
	var c clock
	url := storetest.URL(t)
	var nodes [2]*store.Store
	for i := range nodes {
		s, err := store.Open(url, store.Options{Grant: 10, Now: c.now})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		nodes[i] = s
	}
	for name, address := range map[string]func(int) string{
		"one address": func(int) string { return "203.0.113.7" },
		"one /64":     func(i int) string { return fmt.Sprintf("2001:db8:0:7::%x", i+1) },
	} {
		got := race(40, func(i int) error {
			_, err := from(t, nodes[i%2], address(i), true)
			return err
		})
		if got["ok"] != market.RegistrationBurst || got["rate_limited"] != 40-market.RegistrationBurst {
			t.Errorf("%s: %v", name, got)
		}
	}
	for _, neighbour := range []string{"203.0.113.8", "2001:db8:0:8::1"} {
		if _, err := from(t, nodes[0], neighbour, true); err != nil {
			t.Errorf("%s: %v", neighbour, err)
		}
	}
	_, err := from(t, nodes[0], "203.0.113.7", true)
	var refused *market.Error
	if !errors.As(err, &refused) || refused.RetryAfter <= 0 || refused.RetryAfter > market.RegistrationStep {
		t.Fatalf("got %v, want to be told when", err)
	}
	if _, err := from(t, nodes[0], "203.0.113.7", false); err != nil {
		t.Errorf("without limits: %v", err)
	}
	c.advance(refused.RetryAfter)
	if _, err := from(t, nodes[1], "203.0.113.7", true); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if _, err := from(t, nodes[1], "203.0.113.7", true); !errors.Is(err, market.ErrRateLimited) {
		t.Errorf("one more: %v", err)
	}
	c.advance(72 * time.Hour) // turns are not saved up
	for i := range market.RegistrationBurst + 1 {
		if _, err := from(t, nodes[0], "203.0.113.7", true); (err == nil) != (i < market.RegistrationBurst) {
			t.Errorf("days later, number %d: %v", i+1, err)
		}
	}
	balanced(t, nodes[0])
}

// TestRegistrationsOfNodesApart: a node whose clock goes a little slower than
// another's gives a network no fewer turns.
func TestRegistrationsOfNodesApart(t *testing.T) {
	t.Parallel()
	now := time.Now()
	url := storetest.URL(t)
	var nodes [2]*store.Store
	for i := range nodes {
		s, err := store.Open(url, store.Options{Grant: 10, Now: func() time.Time { return now.Add(-time.Duration(i) * time.Second / 2) }})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		nodes[i] = s
	}
	for i := range market.RegistrationBurst + 1 {
		if _, err := from(t, nodes[min(i, 1)], "203.0.113.7", true); (err == nil) != (i < market.RegistrationBurst) {
			t.Errorf("number %d: %v", i+1, err)
		}
	}
}

// TestWhereAccountsComeFrom keeps the block, lets operators find its accounts,
// and forgets it.
func TestWhereAccountsComeFrom(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	first, err := from(t, s, "203.0.113.7", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := from(t, s, "::ffff:203.0.113.9", true); err != nil {
		t.Fatal(err)
	}
	other, err := from(t, s, "2001:db8:0:7::1", false)
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[market.AccountID]string{first.ID: "203.0.113.0/24", other.ID: "2001:db8:0:7::/64", agent(t, s).Account: ""} {
		if f, err := s.AccountFile(t.Context(), id); err != nil || f.From != want {
			t.Errorf("got %q, %v, want %q", f.From, err, want)
		}
	}
	for query, want := range map[string]int{"203.0.113.0/24": 2, "203.0.113.200/24": 2, "2001:db8:0:7::/64": 1, "203.0.113.0/25": 0} {
		if found, err := s.AccountFiles(t.Context(), market.AccountFilter{Query: query, Limit: 10}); err != nil || len(found) != want {
			t.Errorf("%s: %d accounts, %v", query, len(found), err)
		}
	}
	if a, err := s.Activity(t.Context(), first.ID); err != nil || a.Neighbours != 1 {
		t.Errorf("got %+v, %v", a, err)
	}
	var turns int
	sweep(t, s)
	if err := s.DB().Get(&turns, `SELECT count(*) FROM registration_turns`); err != nil || turns != 1 {
		t.Errorf("%d networks are counted, %v", turns, err)
	}
	c.advance(market.RegistrationStep)
	sweep(t, s)
	if err := s.DB().Get(&turns, `SELECT count(*) FROM registration_turns`); err != nil || turns != 0 {
		t.Errorf("%d networks are counted still, %v", turns, err)
	}
	if f, _ := s.AccountFile(t.Context(), first.ID); f.From == "" {
		t.Error("it is forgotten too early")
	}
	c.advance(market.BlockRetention + time.Hour)
	sweep(t, s)
	if f, err := s.AccountFile(t.Context(), first.ID); err != nil || f.From != "" {
		t.Errorf("after 90 days it is %q, %v", f.From, err)
	}
}
