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

// withKey is the caller with its key, which a code needs.
func withKey(t testing.TB, s *store.Store, by store.Caller) store.Caller {
	t.Helper()
	if err := s.DB().Get(&by.Key, `SELECT id FROM api_keys WHERE account_id = $1`, by.Account); err != nil {
		t.Fatal(err)
	}
	return by
}

func mint(t testing.TB, s *store.Store, by store.Caller) string {
	t.Helper()
	_, code, err := s.MintBindCode(t.Context(), withKey(t, s, by))
	if err != nil {
		t.Fatalf("mint: %v", err)
	}
	return code
}

// bind makes the human the agents' manager.
func bind(t testing.TB, s *store.Store, human store.Caller, agents ...store.Caller) (last market.Binding) {
	t.Helper()
	for _, a := range agents {
		var err error
		if last, err = s.Bind(t.Context(), human, mint(t, s, a)); err != nil {
			t.Fatalf("bind: %v", err)
		}
	}
	return last
}

// publishOpen is a task in open mode.
func publishOpen(t testing.TB, s *store.Store, c *clock, by store.Caller, auto bool) market.Snapshot {
	t.Helper()
	d := draft(10)
	d.Mode, d.MaxAccepted, d.AutoAccept = market.ModeOpen, new(int64(2)), auto
	end := c.now().Add(24 * time.Hour).Truncate(time.Microsecond).UTC()
	d.Deadline = &end
	task, err := s.PublishTask(t.Context(), by, d)
	if err != nil {
		t.Fatalf("publish: %v", err)
	}
	return task
}

// tryOpen delivers to a task in open mode.
func tryOpen(s *store.Store, worker store.Caller, id market.TaskID) error {
	_, err := deliverOpen(context.Background(), s, worker, id, market.VerdictPass)
	return err
}

// TestRaceOfBindingAndWork: whatever comes first, nobody has live work with
// its own party afterwards.
func TestRaceOfBindingAndWork(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	begin := map[string]func(store.Caller, market.TaskID) error{
		"claim": func(w store.Caller, id market.TaskID) error {
			_, err := s.ClaimTask(context.Background(), w, id)
			return err
		},
		"deliver": func(w store.Caller, id market.TaskID) error { return tryOpen(s, w, id) },
	}
	// Each way becomes one party with the human once it is called.
	ways := map[string]func(human, agent store.Caller) func() error{
		"bind": func(human, agent store.Caller) func() error {
			code := mint(t, s, agent)
			return func() error {
				_, err := s.Bind(context.Background(), human, code)
				return err
			}
		},
		"redeem": func(human, agent store.Caller) func() error {
			_, code, err := s.NewBundle(t.Context(), human, bundleDraft(func(d *market.BundleDraft) { d.WithKey = false }))
			if err != nil {
				t.Fatal(err)
			}
			return func() error {
				_, _, _, err := s.RedeemHandoff(context.Background(), code, agent.Account, netip.Addr{})
				return err
			}
		},
	}
	for way, prepare := range ways {
		for name, work := range begin {
			count := map[string]int{}
			for range 12 {
				boss, one, two := human(t, s), agent(t, s), agent(t, s)
				if err := prepare(boss, one)(); err != nil {
					t.Fatal(err)
				}
				ours, theirs := publish(t, s, boss, 1), publish(t, s, two, 1)
				if name == "deliver" {
					ours, theirs = publishOpen(t, s, &c, boss, false), publishOpen(t, s, &c, two, false)
				}
				join := prepare(boss, two)
				var worked, helped, joined error
				var wg sync.WaitGroup
				wg.Go(func() { worked = work(two, ours.ID) })
				wg.Go(func() { helped = work(one, theirs.ID) })
				wg.Go(func() { joined = join() })
				wg.Wait()
				for _, err := range []error{worked, helped} {
					if err != nil && !errors.Is(err, market.ErrOneParty) {
						t.Fatalf("%s: %v", name, err)
					}
				}
				if joined != nil && !errors.Is(joined, market.ErrLiveWorkTogether) {
					t.Fatalf("%s: %v", way, joined)
				}
				if joined == nil && (worked == nil || helped == nil) {
					t.Errorf("%s, %s: one party, and at work together", way, name)
				}
				if joined != nil && worked != nil && helped != nil {
					t.Errorf("%s, %s: all refused", way, name)
				}
				count[map[bool]string{true: "one party", false: "at work"}[joined == nil]]++
			}
			t.Logf("%s, %s: %v", way, name, count) // which comes first is the machine's affair
		}
		// Two that work with each other do not both become one human's.
		for range 8 {
			boss, one, two := human(t, s), agent(t, s), agent(t, s)
			if _, err := s.ClaimTask(t.Context(), two, publish(t, s, one, 1).ID); err != nil {
				t.Fatal(err)
			}
			joins := []func() error{prepare(boss, one), prepare(boss, two)}
			got := race(2, func(i int) error { return joins[i]() })
			if got["ok"] != 1 || got["live_work_together"] != 1 {
				t.Errorf("%s of two that work together: %v", way, got)
			}
		}
	}
	balanced(t, s)
}

// TestRaceOfPauseAndWork: once a pause is made, nothing begins any more.
func TestRaceOfPauseAndWork(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	boss, publisher := human(t, s), agent(t, s)
	for range 6 {
		worker := agent(t, s)
		bind(t, s, boss, worker)
		tasks := make([]market.Snapshot, 9)
		for i := range tasks {
			tasks[i] = publish(t, s, publisher, 1)
		}
		begun := func() (n int) {
			t.Helper()
			if err := s.DB().Get(&n, `SELECT (SELECT count(*) FROM claims WHERE worker_id = $1) + (SELECT count(*) FROM tasks WHERE publisher_id = $1)`, worker.Account); err != nil {
				t.Error(err)
			}
			return n
		}
		atPause := -1
		got := race(19, func(i int) error {
			switch {
			case i == 9:
				_, err := s.PauseAgent(context.Background(), boss, worker.Handle)
				atPause = begun()
				return err
			case i < 9:
				_, err := s.ClaimTask(context.Background(), worker, tasks[i].ID)
				return err
			}
			_, err := s.PublishTask(context.Background(), worker, draft(1))
			return err
		})
		if n := begun(); n != atPause || got["ok"] != n+1 || got["ok"]+got["agent_paused"] != 19 {
			t.Errorf("%d begun when the pause was made, %d in the end: %v", atPause, n, got)
		}
	}
	balanced(t, s)
}

// TestOperatorsDoNotDecideAboutTheirAgents, nor about what these were until 30
// days ago.
func TestOperatorsDoNotDecideAboutTheirAgents(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	judge, worker := operator(t, s), agent(t, s)
	binding := bind(t, s, judge, worker)
	suspend := func() error {
		t.Helper()
		l, err := s.OwnLogin(t.Context(), judge.Account)
		if err != nil {
			t.Fatal(err)
		}
		session, err := s.BeginSession(t.Context(), l, store.Origin{})
		if err != nil {
			t.Fatal(err)
		}
		v, err := s.Visitor(t.Context(), session)
		if err != nil {
			t.Fatal(err)
		}
		actor := v.Actor
		key, err := s.NewOperatorKey(t.Context(), judge.Handle, "test")
		if err != nil {
			t.Fatal(err)
		}
		by, err := s.Identify(t.Context(), key, "", "", store.ForChange)
		if err != nil {
			t.Fatal(err)
		}
		if len(by.Agents) != len(actor.Agents) {
			t.Errorf("by key %v, by session %v", by.Agents, actor.Agents)
		}
		_, err = s.SuspendAccount(t.Context(), store.Caller{Actor: actor}, worker.Account, "x")
		return err
	}
	if err := suspend(); !errors.Is(err, market.ErrForbidden) {
		t.Errorf("its manager suspends it: %v", err)
	}
	if _, err := s.EndBinding(t.Context(), judge, binding.ID); err != nil {
		t.Fatal(err)
	}
	if err := suspend(); !errors.Is(err, market.ErrForbidden) {
		t.Errorf("its manager of before: %v", err)
	}
	c.advance(market.PartyAfter + time.Minute)
	if err := suspend(); err != nil {
		t.Errorf("30 days later: %v", err)
	}
}

// TestBindCodesAreForgotten a day after their end, and bindings are not.
func TestBindCodesAreForgotten(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	boss, worker := human(t, s), agent(t, s)
	bind(t, s, boss, worker)
	_, code, err := s.MintBindCode(t.Context(), withKey(t, s, worker))
	if err != nil {
		t.Fatal(err)
	}
	left := func() (n int) {
		t.Helper()
		if _, err := s.Sweep(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		if err := s.DB().Get(&n, `SELECT count(*) FROM bind_codes`); err != nil {
			t.Fatal(err)
		}
		return n
	}
	c.advance(market.BindCodeLife + time.Minute)
	if n := left(); n != 2 {
		t.Errorf("%d codes are left, want 2", n)
	}
	if _, err := s.Prospect(t.Context(), boss, code); !errors.Is(err, market.ErrBindCodeExpired) {
		t.Errorf("an expired code: %v", err)
	}
	c.advance(market.BindCodeMemory)
	if n := left(); n != 0 {
		t.Errorf("%d codes are left, want none", n)
	}
	if _, err := s.Managed(t.Context(), boss.Account, worker.Handle); err != nil {
		t.Errorf("the binding: %v", err)
	}
}

// TestBindingWaitsForWork: for each kind of work that is still live between
// the two, and no longer than that.
func TestBindingWaitsForWork(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	final := draft(10)
	final.MaxAttempts = new(int64(1))
	final.Rules = []market.Rule{{Name: "tidy", Kind: market.RuleManual, Text: "Be tidy."}}
	no := market.Rejection{Reason: "No.", Rule: "tidy"}
	try := func(when string, boss, worker store.Caller, want error) {
		t.Helper()
		if _, err := s.Bind(t.Context(), boss, mint(t, s, worker)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", when, err, want)
		}
	}
	must := func(task market.Snapshot, err error) market.Snapshot {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return task
	}
	boss, worker := human(t, s), agent(t, s)
	task := openTask(t, s, boss, 10, 1)
	task = must(deliverOpen(t.Context(), s, worker, task.ID, market.VerdictPass))
	try("a delivery waits in open mode", boss, worker, market.ErrLiveWorkTogether)
	did := task.Delivery.ID
	must(s.RejectDelivery(t.Context(), boss, task.ID, did, no))
	try("it can be appealed", boss, worker, market.ErrLiveWorkTogether)
	must(s.AppealDelivery(t.Context(), worker, task.ID, did, "It is tidy."))
	c.advance(market.AppealWindow + time.Minute)
	try("it is in a case", boss, worker, market.ErrLiveWorkTogether)
	c.advance(8 * 24 * time.Hour)
	if _, err := s.Sweep(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	try("all is over", boss, worker, nil)

	boss, worker = human(t, s), agent(t, s)
	final.Deadline = new(c.now().Add(20 * 24 * time.Hour).Truncate(time.Microsecond).UTC())
	task = must(s.PublishTask(t.Context(), boss, final))
	claimed := must(s.ClaimTask(t.Context(), worker, task.ID))
	try("a claim", boss, worker, market.ErrLiveWorkTogether)
	l := store.Lease{Claim: claimed.Claim.ID, Epoch: claimed.Claim.Epoch}
	task = must(s.Deliver(t.Context(), worker, must(s.OpenDelivery(t.Context(), worker, task.ID, l)), l, pack(), report(market.VerdictPass)))
	try("a delivery waits", boss, worker, market.ErrLiveWorkTogether)
	must(s.RejectDelivery(t.Context(), boss, task.ID, task.Delivery.ID, no))
	try("rejected for good, it can be appealed", boss, worker, market.ErrLiveWorkTogether)
	c.advance(market.AppealWindow + time.Minute)
	try("nobody appealed", boss, worker, nil)

	boss, worker = human(t, s), agent(t, s)
	auto := publishOpen(t, s, &c, boss, true)
	paid := must(deliverOpen(t.Context(), s, worker, auto.ID, market.VerdictPass))
	must(s.ObjectToPayout(t.Context(), boss, auto.ID, paid.Delivery.ID, "It is empty."))
	try("an objection", boss, worker, market.ErrLiveWorkTogether)

	// What the session knew of the human may be old.
	boss, worker = human(t, s), agent(t, s)
	exec(t, s, `UPDATE accounts SET approved_at = NULL WHERE id = $1`, string(boss.Account))
	try("not approved any more", boss, worker, market.ErrApprovalPending)
}
