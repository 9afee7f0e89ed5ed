package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(nodeDatabase); url != "" {
		fmt.Fprintln(os.Stderr, sweepAsNode(url, os.Getenv(nodeAhead)))
		os.Exit(1)
	}
	os.Exit(storetest.Main(m))
}

// clock is a clock that tests move.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }
func withClock(c *clock) func(*store.Options) {
	return func(o *store.Options) { o.Now = c.now }
}

var handles atomic.Int64

func agent(t testing.TB, s *store.Store) store.Caller {
	t.Helper()
	r := market.Registration{Kind: market.Agent, Handle: fmt.Sprintf("agent-%d", handles.Add(1))}
	if bad := r.Clean(); bad != nil {
		t.Fatalf("registration: %v", bad)
	}
	a, _, err := s.RegisterAgent(t.Context(), r)
	if err != nil {
		t.Fatalf("register: %v", err)
	}
	return store.Caller{Actor: market.Actor{Account: a.ID, Kind: a.Kind, Handle: a.Handle}}
}

func draft(reward int64) market.Draft {
	d := market.Draft{Title: "Clean a list", Brief: "Return the list without doubles.", Reward: reward, Skills: []string{"csv", "json"},
		Payload: json.RawMessage(`{"b":1,"a":"\u0000"}`), OutputSchema: json.RawMessage(`{"type":"array"}`)}
	d.Clean(time.Now())
	return d
}

func publish(t testing.TB, s *store.Store, by store.Caller, reward int64) market.Snapshot {
	t.Helper()
	d := draft(reward)
	task, err := s.PublishTask(t.Context(), by, d)
	if err != nil {
		t.Fatalf("publish: %v", err)
	}
	return task
}

func pack() market.Package {
	return market.Package{Output: json.RawMessage(`[1]`), SummaryText: "done"}
}

func report(v market.Verdict) market.Report {
	return market.NewReport([]market.Check{{Name: "schema", Kind: "schema", Verdict: v, Passed: v == market.VerdictPass}}, 1)
}

// deliver claims the task and hands in a delivery with the verdict.
func deliver(t testing.TB, s *store.Store, worker store.Caller, id market.TaskID, v market.Verdict) market.Snapshot {
	t.Helper()
	claimed, err := s.ClaimTask(t.Context(), worker, id)
	if err != nil {
		t.Fatalf("claim: %v", err)
	}
	l := store.Lease{Claim: claimed.Claim.ID, Epoch: claimed.Claim.Epoch}
	opened, err := s.OpenDelivery(t.Context(), worker, id, l)
	if err != nil {
		t.Fatalf("open delivery: %v", err)
	}
	done, err := s.Deliver(t.Context(), worker, opened, l, pack(), report(v))
	if err != nil {
		t.Fatalf("deliver: %v", err)
	}
	return done
}

// balanced fails the test unless the books are whole.
func balanced(t testing.TB, s *store.Store) {
	t.Helper()
	r, err := s.Audit(context.Background())
	if err != nil {
		t.Fatalf("audit: %v", err)
	}
	if r.Sum != 0 || len(r.Findings) > 0 || r.Transfers == 0 {
		t.Errorf("the books are not whole: %+v", r)
	}
}

func wallet(t testing.TB, s *store.Store, by store.Caller) market.Wallet {
	t.Helper()
	w, err := s.Wallet(t.Context(), by.Account)
	if err != nil {
		t.Fatalf("wallet: %v", err)
	}
	return w
}

func TestPublishToPayout(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	publisher, worker := agent(t, s), agent(t, s)
	task := publish(t, s, publisher, 200)
	if w := wallet(t, s, publisher); w.Granted != 800 || w.Escrow != 200 {
		t.Errorf("after publish got %+v, want 800 granted and 200 in escrow", w)
	}
	d := deliver(t, s, worker, task.ID, market.VerdictPass)
	done, err := s.AcceptDelivery(t.Context(), publisher, task.ID, d.Delivery.ID)
	if err != nil {
		t.Fatalf("accept: %v", err)
	}
	if done.State != market.Settled || done.Delivery.Payout.Amount != 200 {
		t.Errorf("got %s with payout %+v, want settled with 200", done.State, done.Delivery.Payout)
	}
	if w := wallet(t, s, worker); w.EarnedPending != 200 || w.EarnedAvailable != 0 || len(w.Holds) != 1 {
		t.Errorf("before the hold ends got %+v, want 200 pending", w)
	}
	balanced(t, s)
	c.advance(24*time.Hour + time.Second)
	if w := wallet(t, s, worker); w.EarnedPending != 0 || w.EarnedAvailable != 200 {
		t.Errorf("after the hold, before the sweep, got %+v, want 200 available", w)
	}
	if _, err := s.Sweep(t.Context(), 100); err != nil {
		t.Fatalf("sweep: %v", err)
	}
	if w := wallet(t, s, worker); w.EarnedAvailable != 200 || w.Granted != 1000 {
		t.Errorf("after the sweep got %+v, want 200 available", w)
	}
	lines, err := s.Entries(t.Context(), worker.Account, market.EntryFilter{Limit: 10})
	if err != nil || len(lines) != 3 {
		t.Fatalf("got %d lines (%v), want release, payout and grant", len(lines), err)
	}
	if lines[0].Kind != market.TransferRelease || *lines[0].BalanceAfter != 1200 || lines[0].Counterparty != publisher.Handle {
		t.Errorf("got release %+v, want balance 1200 from %s", lines[0], publisher.Handle)
	}
	if lines[1].BalanceAfter != nil {
		t.Errorf("got a balance %d on a pending line, want none", *lines[1].BalanceAfter)
	}
	balanced(t, s)
}

func TestPayloadIsKeptToTheLetter(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	task := publish(t, s, agent(t, s), 1)
	got, err := s.Task(t.Context(), market.Actor{}, task.ID)
	if err != nil || string(got.Payload) != string(task.Payload) || got.Title != task.Title || len(got.Skills) != 2 {
		t.Errorf("got %s %q %v (%v)", got.Payload, got.Title, got.Skills, err)
	}
}

// race calls f n times at once and counts the outcomes by error code.
func race(n int, f func(i int) error) map[string]int {
	var wg sync.WaitGroup
	var mu sync.Mutex
	out := map[string]int{}
	start := make(chan struct{})
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			<-start
			code := "ok"
			if err := f(i); err != nil {
				code = err.Error()
			}
			mu.Lock()
			out[code]++
			mu.Unlock()
		}()
	}
	close(start)
	wg.Wait()
	return out
}

func TestRaceClaim(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	task := publish(t, s, agent(t, s), 100)
	workers := make([]store.Caller, 200)
	for i := range workers {
		workers[i] = agent(t, s)
	}
	got := race(len(workers), func(i int) error {
		_, err := s.ClaimTask(context.Background(), workers[i], task.ID)
		return err
	})
	if got["ok"] != 1 || got["task_not_open"] != 199 {
		t.Errorf("got %v, want one claim and 199 task_not_open", got)
	}
	balanced(t, s)
}

func TestRaceAccept(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher, worker := agent(t, s), agent(t, s)
	task := publish(t, s, publisher, 100)
	d := deliver(t, s, worker, task.ID, market.VerdictPass)
	got := race(50, func(i int) error {
		var err error
		if i%5 == 4 {
			_, err = s.WithdrawDelivery(context.Background(), worker, task.ID, d.Delivery.ID)
		} else {
			_, err = s.AcceptDelivery(context.Background(), publisher, task.ID, d.Delivery.ID)
		}
		return err
	})
	if got["ok"] != 1 || got["delivery_not_pending"] != 49 {
		t.Errorf("got %v, want one decision and 49 delivery_not_pending", got)
	}
	w := wallet(t, s, worker)
	if paid := w.EarnedPending; paid != 0 && paid != 100 {
		t.Errorf("the worker got %d, want 100 once or nothing", paid)
	}
	balanced(t, s)
}

func TestRacePublishFromOneWallet(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher := agent(t, s)
	got := race(100, func(int) error {
		_, err := s.PublishTask(context.Background(), publisher, draft(140))
		return err
	})
	if got["ok"] != 7 || got["insufficient_credits"] != 93 {
		t.Errorf("got %v, want 7 published and 93 insufficient_credits", got)
	}
	if w := wallet(t, s, publisher); w.Granted != 20 || w.Escrow != 980 {
		t.Errorf("got %+v, want 20 left and 980 in escrow", w)
	}
	balanced(t, s)
}

func TestRefundRestoresTheSplit(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	a, b := agent(t, s), agent(t, s)
	task := publish(t, s, a, 300)
	d := deliver(t, s, b, task.ID, market.VerdictPass)
	if _, err := s.AcceptDelivery(t.Context(), a, task.ID, d.Delivery.ID); err != nil {
		t.Fatal(err)
	}
	c.advance(25 * time.Hour)
	// 1,000 granted and 300 earned that are due but not swept: publishing
	// 1,200 takes all granted and 200 earned.
	big := publish(t, s, b, 1200)
	if big.Escrow != (market.Funds{Granted: 1000, Earned: 200}) {
		t.Errorf("got escrow %+v, want 1000 granted and 200 earned", big.Escrow)
	}
	balanced(t, s)
	if _, err := s.CancelTask(t.Context(), b, big.ID); err != nil {
		t.Fatal(err)
	}
	if w := wallet(t, s, b); w.Granted != 1000 || w.EarnedAvailable != 300 {
		t.Errorf("after cancel got %+v, want 1000 granted and 300 earned", w)
	}
	balanced(t, s)
}

func TestClocks(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	publisher, worker := agent(t, s), agent(t, s)

	t.Run("lease", func(t *testing.T) {
		task := publish(t, s, publisher, 10)
		claimed, err := s.ClaimTask(t.Context(), worker, task.ID)
		if err != nil {
			t.Fatal(err)
		}
		c.advance(61 * time.Minute)
		l := store.Lease{Claim: claimed.Claim.ID, Epoch: claimed.Claim.Epoch}
		if _, err := s.OpenDelivery(t.Context(), worker, task.ID, l); !errors.Is(err, market.ErrClaimStale) {
			t.Errorf("delivering after the lease got %v, want claim_stale", err)
		}
		again, err := s.ClaimTask(t.Context(), worker, task.ID)
		if err != nil || again.Claim.Epoch != claimed.Claim.Epoch+1 {
			t.Errorf("claiming again got %+v (%v), want the next epoch", again.Claim, err)
		}
	})
	t.Run("silence", func(t *testing.T) {
		task := publish(t, s, publisher, 10)
		deliver(t, s, worker, task.ID, market.VerdictPass)
		c.advance(73 * time.Hour)
		if _, err := s.Sweep(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		got, err := s.Task(t.Context(), publisher.Actor, task.ID)
		if err != nil || got.State != market.Settled {
			t.Errorf("got %s (%v), want settled", got.State, err)
		}
	})
	t.Run("deadline", func(t *testing.T) {
		task := publish(t, s, publisher, 10)
		c.advance(31 * 24 * time.Hour)
		if _, err := s.Sweep(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		got, err := s.Task(t.Context(), publisher.Actor, task.ID)
		if err != nil || got.State != market.Expired {
			t.Errorf("got %s (%v), want expired", got.State, err)
		}
	})
	balanced(t, s)
}

func TestSweepsOnTwoNodesReleaseOnce(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	publisher, worker := agent(t, s), agent(t, s)
	for range 20 {
		task := publish(t, s, publisher, 50)
		d := deliver(t, s, worker, task.ID, market.VerdictPass)
		if _, err := s.AcceptDelivery(t.Context(), publisher, task.ID, d.Delivery.ID); err != nil {
			t.Fatal(err)
		}
	}
	c.advance(25 * time.Hour)
	got := race(8, func(int) error { _, err := s.Sweep(context.Background(), 5); return err })
	if got["ok"] != 8 {
		t.Errorf("sweeps got %v", got)
	}
	if _, err := s.Sweep(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	if w := wallet(t, s, worker); w.EarnedAvailable != 1000 || w.EarnedPending != 0 {
		t.Errorf("got %+v, want 1000 available", w)
	}
	balanced(t, s)
}

func TestAuditFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher := agent(t, s)
	publish(t, s, publisher, 100)
	if _, err := s.DB().Exec(`UPDATE wallets SET granted = granted + 1`); err != nil {
		t.Fatal(err)
	}
	r, err := s.Audit(t.Context())
	if err != nil || len(r.Findings) != 1 || r.Findings[0].Check != "wallet_granted" || r.Findings[0].Got != r.Findings[0].Want+1 {
		t.Errorf("got %+v (%v), want one finding on the wallet", r.Findings, err)
	}
}

func TestLedgerIsAppendOnly(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	agent(t, s)
	for _, q := range []string{`UPDATE transfers SET amount = 1`, `DELETE FROM transfers`, `TRUNCATE transfers`, `DELETE FROM task_events`} {
		if _, err := s.DB().Exec(q); err == nil {
			t.Errorf("%s was allowed", q)
		}
	}
}

func TestOpenTasksPagesOnce(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher := agent(t, s)
	want := map[market.TaskID]bool{}
	for i := range 12 {
		want[publish(t, s, publisher, int64(1+i%3)).ID] = true
	}
	for _, sort := range []market.Sort{market.SortNewest, market.SortReward, market.SortDeadline} {
		for _, skills := range [][]string{nil, {"csv"}, {"csv", "json", "absent"}} {
			seen := map[market.TaskID]bool{}
			var after *market.Position
			for {
				page, err := s.OpenTasks(t.Context(), market.Filter{Skills: skills, Sort: sort, After: after, Limit: 5})
				if err != nil {
					t.Fatalf("%s %v: %v", sort, skills, err)
				}
				if len(page) == 0 {
					break
				}
				for _, task := range page {
					if seen[task.ID] {
						t.Errorf("%s %v: task %s twice", sort, skills, task.ID)
					}
					seen[task.ID] = true
				}
				last := page[len(page)-1]
				after = &market.Position{Reward: int64(last.Reward), Deadline: last.Deadline, ID: last.ID}
			}
			if len(seen) != len(want) {
				t.Errorf("%s %v: got %d tasks, want %d", sort, skills, len(seen), len(want))
			}
		}
	}
	none, err := s.OpenTasks(t.Context(), market.Filter{Skills: []string{"csv"}, AllSkills: true, Sort: market.SortNewest, Limit: 5})
	if err != nil || len(none) != 0 {
		t.Errorf("all skills among csv: got %d (%v), want none", len(none), err)
	}
	few, err := s.OpenTasks(t.Context(), market.Filter{Query: "doubles", MinReward: 3, Sort: market.SortNewest, Limit: 50})
	if err != nil || len(few) != 4 {
		t.Errorf("search got %d (%v), want 4", len(few), err)
	}
}
