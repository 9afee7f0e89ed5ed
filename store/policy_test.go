package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

func strict(o *store.Options) { o.Strict = true }

func fee(bps int) func(*store.Options) { return func(o *store.Options) { o.FeeBPS = bps } }

// settle pays the reward of a new task of the publisher to the worker.
func settle(t testing.TB, s *store.Store, publisher, worker store.Caller, reward int64) market.Snapshot {
	t.Helper()
	task := deliver(t, s, worker, publish(t, s, publisher, reward).ID, market.VerdictPass)
	done, err := s.AcceptDelivery(t.Context(), publisher, task.ID, task.Delivery.ID)
	if err != nil {
		t.Fatalf("accept: %v", err)
	}
	return done
}

// TestStrictPolicyAndFee pays a reward of mixed credits under the strict
// policy, with a fee on top, and follows both classes to the worker's wallet.
func TestStrictPolicyAndFee(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c), strict, fee(500))
	publisher, worker := agent(t, s), agent(t, s)
	earn(t, s, 1000, publisher)
	task := publish(t, s, publisher, 1200)
	if w := wallet(t, s, publisher); task.Fee != 60 || w.Escrow != 1260 || w.Granted != 0 || w.EarnedAvailable != 740 {
		t.Fatalf("a fee of %d, wallet %+v; want 1,260 in escrow", task.Fee, w)
	}
	held, err := s.Holding(t.Context(), publisher.Account, 10)
	if err != nil || len(held) != 1 || held[0].Task != task.ID || held[0].Funds != (market.Funds{Granted: 1000, Earned: 260}) {
		t.Errorf("holding %+v, %v", held, err)
	}
	task = deliver(t, s, worker, task.ID, market.VerdictPass)
	done, err := s.AcceptDelivery(t.Context(), publisher, task.ID, task.Delivery.ID)
	if err != nil {
		t.Fatal(err)
	}
	if y := done.Delivery.Payout; y.Granted != 1000 || y.Class != market.Earned || y.Fee != (market.Funds{Earned: 60}) {
		t.Errorf("payout %+v", y)
	}
	if w := wallet(t, s, worker); w.Granted != 1000 || w.GrantedPending != 1000 || w.EarnedPending != 200 {
		t.Errorf("the worker's wallet %+v, want 1,000 and 200 pending", w)
	}
	balanced(t, s)
	c.advance(25 * time.Hour)
	if w := wallet(t, s, worker); w.Granted != 2000 || w.EarnedAvailable != 200 {
		t.Errorf("before the sweep: %+v", w)
	}
	if _, err := s.Sweep(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	if w := wallet(t, s, worker); w.Granted != 2000 || w.EarnedAvailable != 200 || w.GrantedPending+w.EarnedPending != 0 {
		t.Errorf("after the sweep: %+v", w)
	}
	lines, err := s.Entries(t.Context(), worker.Account, market.EntryFilter{Kind: market.TransferRelease, Limit: 10})
	if err != nil || len(lines) != 2 || *lines[0].BalanceAfter != 2200 {
		t.Errorf("released %+v, %v", lines, err)
	}
	balanced(t, s)
}

// TestFeeComesBack: with a refund, and with a reversal by an operator.
func TestFeeComesBack(t *testing.T) {
	t.Parallel()
	s := storetest.New(t, fee(1000))
	publisher, worker, judge := agent(t, s), agent(t, s), operator(t, s)
	task := publish(t, s, publisher, 100)
	if _, err := s.CancelTask(t.Context(), publisher, task.ID); err != nil {
		t.Fatal(err)
	}
	if w := wallet(t, s, publisher); w.Granted != 1000 || w.Escrow != 0 {
		t.Errorf("after a refund: %+v", w)
	}
	d := draft(100)
	d.AutoAccept = true
	d.Rules = nil
	task, err := s.PublishTask(t.Context(), publisher, d)
	if err != nil {
		t.Fatal(err)
	}
	task = deliver(t, s, worker, task.ID, market.VerdictPass)
	if task.State != market.Settled {
		t.Fatalf("the task is %s", task.State)
	}
	balanced(t, s)
	task, err = s.ObjectToPayout(t.Context(), publisher, task.ID, task.Delivery.ID, "It is empty.")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.DecideCase(t.Context(), judge, task.Case.ID, market.Decision{Outcome: market.CaseReversed, Note: "It is."}); err != nil {
		t.Fatal(err)
	}
	if w := wallet(t, s, publisher); w.Granted != 1000 {
		t.Errorf("after a reversal: %+v", w)
	}
	balanced(t, s)
}

// TestEstablished: only with a verification, a week and three others.
func TestEstablished(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c), strict)
	judge, publisher := operator(t, s), agent(t, s)
	var class market.Class
	pay := func() {
		t.Helper()
		class = settle(t, s, publisher, agent(t, s), 10).Delivery.Payout.Class
		if _, err := s.Sweep(t.Context(), 1000); err != nil { // counts it
			t.Fatal(err)
		}
		c.advance(2 * time.Minute)
		if _, err := s.Sweep(t.Context(), 1000); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		pay()
	}
	c.advance(8 * 24 * time.Hour)
	if pay(); class != market.Granted {
		t.Error("established without a verification")
	}
	if _, err := s.VerifyAccount(t.Context(), judge, publisher.Account, "Known."); err != nil {
		t.Fatal(err)
	}
	if _, err := s.VerifyAccount(t.Context(), judge, publisher.Account, "Known."); !errors.Is(err, market.ErrAlreadyDone) {
		t.Errorf("verified twice: %v", err)
	}
	pay()
	if pay(); class != market.Earned {
		t.Error("not established after all")
	}
	young := agent(t, s)
	if _, err := s.VerifyAccount(t.Context(), judge, young.Account, "Known."); err != nil {
		t.Fatal(err)
	}
	old := publisher
	publisher = young
	for range 4 {
		if pay(); class != market.Granted {
			t.Error("established on the first day")
		}
	}
	publisher = old
	if _, err := s.UnverifyAccount(t.Context(), judge, publisher.Account, "A mistake."); err != nil {
		t.Fatal(err)
	}
	if pay(); class != market.Granted {
		t.Error("established although the verification was taken back")
	}
	if actions, err := s.AdminActions(t.Context(), string(publisher.Account), 10); err != nil || len(actions) != 2 || actions[0].Action != market.ActionUnverified {
		t.Errorf("the log says %+v, %v", actions, err)
	}
	balanced(t, s)
}

// TestFarm has 200 fresh accounts work for each other, round after round, and
// wait for a month. Under strict nothing of what they were granted can be
// redeemed; under standard no code is released without an operator.
func TestFarm(t *testing.T) {
	t.Parallel()
	const farmers, rounds = 200, 2
	for name, policy := range map[string][]func(*store.Options){"standard": nil, "strict": {strict}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c clock
			s := storetest.New(t, append(policy, withClock(&c))...)
			good := stock(t, s, operator(t, s), 5, "FARM", farmers)
			farm := make([]store.Caller, farmers)
			for i := range farm {
				farm[i] = agent(t, s)
			}
			for round := range rounds {
				work(t, farm, func(i int) { settle(t, s, farm[i], farm[(i+round*7+1)%farmers], 400) })
			}
			c.advance(31 * 24 * time.Hour)
			for range 3 {
				if _, err := s.Sweep(t.Context(), 100_000); err != nil {
					t.Fatal(err)
				}
				c.advance(2 * time.Minute)
			}
			var total, redeemable market.Credits
			for _, by := range farm {
				w := wallet(t, s, by)
				total += w.Granted + w.EarnedAvailable
				redeemable += w.EarnedAvailable
			}
			if total != farmers*1000 {
				t.Errorf("the farm holds %d credits, was granted %d", total, farmers*1000)
			}
			if name == "strict" && redeemable != 0 || name == "standard" && redeemable != farmers*rounds*400 {
				t.Errorf("%d of %d credits can be redeemed", redeemable, total)
			}
			var mu sync.Mutex
			got := map[string]int{}
			work(t, farm, func(i int) {
				o, err := s.Redeem(t.Context(), farm[i], good.ID, 5, true)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case errors.Is(err, market.ErrInsufficientCredits):
					got["refused"]++
				case err != nil:
					t.Error(err)
				default:
					got[string(o.State)]++
					if o.Code != "" {
						t.Errorf("a code was released: %+v", o.State)
					}
				}
			})
			want := map[string]string{"standard": "map[pending_review:200]", "strict": "map[refused:200]"}[name]
			if fmt.Sprint(got) != want {
				t.Errorf("orders %v, want %s", got, want)
			}
			balanced(t, s)
		})
	}
}

// work does something for each of the callers, a few at a time.
func work(t testing.TB, callers []store.Caller, do func(i int)) {
	t.Helper()
	var wg sync.WaitGroup
	next := make(chan int)
	for range 6 {
		wg.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range callers {
		next <- i
	}
	close(next)
	wg.Wait()
}
