package store_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// tie makes agents the human's, and returns how the last one's is ended.
type tie func(t testing.TB, s *store.Store, human store.Caller, agents ...store.Caller) (end func() error)

// byWhatever runs a test with agents that are bound, and with agents that have
// redeemed a bundle with their own key.
func byWhatever(t *testing.T, test func(t *testing.T, made tie)) {
	t.Parallel()
	for name, made := range map[string]tie{"binding": bound, "bundle": entrusted} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, made)
		})
	}
}

func bound(t testing.TB, s *store.Store, human store.Caller, agents ...store.Caller) func() error {
	t.Helper()
	b := bind(t, s, human, agents...)
	return func() error {
		_, err := s.EndBinding(t.Context(), agents[len(agents)-1], b.ID)
		return err
	}
}

func entrusted(t testing.TB, s *store.Store, human store.Caller, agents ...store.Caller) (end func() error) {
	t.Helper()
	for _, a := range agents {
		b, _ := redeemed(t, s, human, a)
		end = func() error {
			_, err := s.RevokeBundle(t.Context(), human, b.ID)
			return err
		}
	}
	return end
}

// redeemed is a bundle of the human that the agent redeemed with its own key,
// and who acts through it.
func redeemed(t testing.TB, s *store.Store, human, agent store.Caller) (market.Bundle, store.Caller) {
	t.Helper()
	_, code, err := s.NewBundle(t.Context(), human, bundleDraft(func(d *market.BundleDraft) {
		d.WithKey, d.ExpiresAt = false, time.Now().Add(300*24*time.Hour)
	}))
	if err != nil {
		t.Fatal(err)
	}
	b, key, _, err := s.RedeemHandoff(t.Context(), code, agent.Account, netip.Addr{})
	if err != nil || b.Agent != agent.Account || b.AgentHandle != agent.Handle {
		t.Fatalf("%+v, %v", b, err)
	}
	by, err := s.Identify(t.Context(), key, "", "", store.ForChange)
	if err != nil {
		t.Fatal(err)
	}
	return b, by
}

// TestOnePartyDoesNotWorkForItself: neither a human's agents for the human, nor
// for each other, until 30 days after the end.
func TestOnePartyDoesNotWorkForItself(t *testing.T) {
	byWhatever(t, func(t *testing.T, made tie) {
		var c clock
		s := storetest.New(t, withClock(&c))
		boss, other := human(t, s), human(t, s)
		a, b, free := agent(t, s), agent(t, s), agent(t, s)
		end := made(t, s, boss, a, b)
		made(t, s, other, free)
		refused := func(when string, want error) {
			t.Helper()
			for name, publisher := range map[string]store.Caller{"its manager": boss, "its sister": a} {
				end := c.now().Add(time.Hour).Truncate(time.Microsecond).UTC()
				d := draft(1)
				d.Deadline = &end
				task, err := s.PublishTask(t.Context(), publisher, d)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.ClaimTask(t.Context(), b, task.ID); !errors.Is(err, want) {
					t.Errorf("%s a claim on a task of %s: %v, want %v", when, name, err, want)
				}
				if err := tryOpen(s, b, publishOpen(t, s, &c, publisher, false).ID); !errors.Is(err, want) {
					t.Errorf("%s a delivery to %s: %v, want %v", when, name, err, want)
				}
			}
		}
		refused("bound,", market.ErrOneParty)
		if _, err := s.ClaimTask(t.Context(), free, publish(t, s, boss, 1).ID); err != nil {
			t.Errorf("an agent of somebody else: %v", err)
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		refused("just unbound,", market.ErrOneParty)
		c.advance(market.PartyAfter - time.Minute)
		refused("nearly 30 days later,", market.ErrOneParty)
		c.advance(2 * time.Minute)
		refused("30 days later,", nil)
		balanced(t, s)
	})
}

// TestOnePartyEarnsNothingByInviting: the bonus waits for a publisher that is
// neither of the referrer's party nor of the worker's.
func TestOnePartyEarnsNothingByInviting(t *testing.T) {
	byWhatever(t, func(t *testing.T, made tie) {
		s := storetest.New(t)
		boss, outsider := human(t, s), agent(t, s)
		referrer, sister := agent(t, s), agent(t, s)
		made(t, s, boss, referrer, sister)
		worker := invited(t, s, referrer)
		accept(t, s, boss, worker)
		accept(t, s, sister, worker)
		if got := bonus(t, s, referrer); got != "1 0 0 1000" {
			t.Errorf("paid by the referrer's party: %s, want no bonus", got)
		}
		accept(t, s, outsider, worker)
		if got := bonus(t, s, referrer); got != "1 1 100 1100" {
			t.Errorf("paid by an outsider: %s, want the bonus", got)
		}
		// Invited by its own manager, or by the manager's other agent.
		own, nephew := invited(t, s, boss), invited(t, s, sister)
		made(t, s, boss, own, nephew)
		accept(t, s, outsider, own)
		accept(t, s, outsider, nephew)
		if got := bonus(t, s, boss) + " " + bonus(t, s, sister); got != "1 0 0 990 1 0 0 990" {
			t.Errorf("invited within the party: %s, want no bonus", got)
		}
		balanced(t, s)
	})
}

// TestOnePartyMakesNoRecord: what becomes of old work between two that are
// bound since says nothing about either.
func TestOnePartyMakesNoRecord(t *testing.T) {
	byWhatever(t, func(t *testing.T, made tie) {
		var c clock
		s := storetest.New(t, withClock(&c))
		boss, worker, judge := human(t, s), agent(t, s), operator(t, s)
		task := publishOpen(t, s, &c, boss, true)
		if err := tryOpen(s, worker, task.ID); err != nil {
			t.Fatal(err)
		}
		outcomes := func() (n int) {
			t.Helper()
			if _, err := s.Sweep(t.Context(), 1000); err != nil {
				t.Fatal(err)
			}
			if err := s.DB().Get(&n, `SELECT count(*) FROM outcomes`); err != nil {
				t.Fatal(err)
			}
			return n
		}
		if n := outcomes(); n != 2 {
			t.Fatalf("%d outcomes before the binding, want 2", n)
		}
		made(t, s, boss, worker)
		all, err := s.Deliveries(t.Context(), boss.Account, task.ID, "", 10)
		if err != nil || len(all) != 1 {
			t.Fatalf("%d deliveries, %v", len(all), err)
		}
		after, err := s.ObjectToPayout(t.Context(), boss, task.ID, all[0].ID, "It is empty.")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.DecideCase(t.Context(), judge, after.Case.ID, market.Decision{Outcome: market.CaseReversed, Note: "It is."}); err != nil {
			t.Fatal(err)
		}
		if n := outcomes(); n != 2 {
			t.Errorf("%d outcomes after it, want 2 still", n)
		}
		balanced(t, s)
	})
}

// TestEstablishedByOthers: agents of one human are one other, and one's own
// party is none.
func TestEstablishedByOthers(t *testing.T) {
	byWhatever(t, func(t *testing.T, made tie) {
		var c clock
		s := storetest.New(t, withClock(&c), strict)
		judge, publisher, crowd := operator(t, s), human(t, s), human(t, s)
		if _, err := s.VerifyAccount(t.Context(), judge, publisher.Account, "Known."); err != nil {
			t.Fatal(err)
		}
		workers := []store.Caller{agent(t, s), agent(t, s), agent(t, s), agent(t, s)}
		for _, w := range workers {
			settle(t, s, publisher, w, 10)
		}
		settle(t, s, publisher, agent(t, s), 10)
		made(t, s, crowd, workers[:3]...)
		made(t, s, publisher, workers[3])
		c.advance(8 * 24 * time.Hour)
		established := func() (there bool) {
			t.Helper()
			for range 2 {
				if _, err := s.Sweep(t.Context(), 1000); err != nil {
					t.Fatal(err)
				}
				c.advance(2 * time.Minute)
			}
			if err := s.DB().Get(&there, `SELECT established_at IS NOT NULL FROM accounts WHERE id = $1`, publisher.Account); err != nil {
				t.Fatal(err)
			}
			return there
		}
		if established() {
			t.Error("established by three agents of one human, one other, and one of its own")
		}
		slowly(t, s, &c, publisher, agent(t, s), 10)
		if !established() {
			t.Error("not established by one party and two others")
		}
	})
}

// TestFlagsSeeThroughParties: who pays through many agents, and who is paid
// back through another's.
func TestFlagsSeeThroughParties(t *testing.T) {
	byWhatever(t, func(t *testing.T, made tie) {
		var c clock
		s := storetest.New(t, withClock(&c))
		patron, worker, others := human(t, s), agent(t, s), agent(t, s)
		for _, hand := range []store.Caller{agent(t, s), agent(t, s), patron} {
			if hand.Kind == market.Agent {
				made(t, s, patron, hand)
			}
			for range 3 {
				slowly(t, s, &c, hand, worker, 100)
			}
		}
		slowly(t, s, &c, others, worker, 110)
		left, right := human(t, s), agent(t, s)
		pays, paid := agent(t, s), agent(t, s)
		made(t, s, left, pays, paid)
		slowly(t, s, &c, pays, right, 150)
		slowly(t, s, &c, right, paid, 150)
		liked, boss := agent(t, s), human(t, s)
		slowly(t, s, &c, boss, liked, 400)
		made(t, s, boss, liked) // worked for it before: no circle
		look(t, s, &c)
		for name, x := range map[string]struct {
			who  store.Caller
			want string
		}{
			"paid by a human and two agents of it": {worker, "[concentration]"}, "paid in a circle": {right, "[circular]"}, "closes the circle": {paid, "[circular]"},
			"bound to who paid it": {liked, "[]"},
		} {
			if got := flagged(t, s, x.who); got != x.want {
				t.Errorf("%s: flags %s, want %s", name, got, x.want)
			}
		}
	})
}
