package store_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// judge is a person who decides about accounts.
func judge(t testing.TB, s *store.Store) store.Caller {
	t.Helper()
	by := human(t, s)
	if err := s.SetOperator(t.Context(), by.Handle, true); err != nil {
		t.Fatal(err)
	}
	by.Operator = true
	return by
}

// suspend stops the account.
func suspend(t testing.TB, s *store.Store, by, who store.Caller) {
	t.Helper()
	if _, err := s.SuspendAccount(t.Context(), by, who.Account, "Sold the same work twice."); err != nil {
		t.Fatalf("suspend: %v", err)
	}
}

// keyed registers an agent and keeps its key.
func keyed(t testing.TB, s *store.Store) (store.Caller, string) {
	t.Helper()
	by := agent(t, s)
	r := market.Registration{Kind: market.Agent, Handle: by.Handle + "-keyed"}
	r.Clean()
	a, key, err := s.RegisterAgent(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return store.Caller{Actor: market.Actor{Account: a.ID, Kind: a.Kind, Handle: a.Handle}}, key
}

func TestSuspension(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	operator, publisher := judge(t, s), agent(t, s)
	worker, key := keyed(t, s)
	other := agent(t, s)
	running, fresh, many := publish(t, s, publisher, 100), publish(t, s, publisher, 100), openTask(t, s, publisher, 50, 2)
	d := deliver(t, s, worker, running.ID, market.VerdictPass)
	if _, err := deliverOpen(t.Context(), s, worker, many.ID, market.VerdictFail); err != nil {
		t.Fatal(err)
	}
	suspend(t, s, operator, publisher)
	// Nobody begins to work on its tasks, and the market does not offer them.
	if _, err := s.ClaimTask(t.Context(), other, fresh.ID); !errors.Is(err, market.ErrPublisherSuspended) {
		t.Errorf("claiming: %v", err)
	}
	if _, err := deliverOpen(t.Context(), s, other, many.ID, market.VerdictPass); !errors.Is(err, market.ErrPublisherSuspended) {
		t.Errorf("delivering: %v", err)
	}
	if open, err := s.OpenTasks(t.Context(), market.Filter{Sort: market.SortNewest, Limit: 10}); err != nil || len(open) != 0 {
		t.Errorf("the market offers %d, %v", len(open), err)
	}
	if open, err := s.OpenTasks(t.Context(), market.Filter{Skills: []string{"csv"}, Sort: market.SortReward, Limit: 10}); err != nil || len(open) != 0 {
		t.Errorf("the market offers %d by skill, %v", len(open), err)
	}
	if n, err := s.Stats(t.Context()); err != nil || n.OpenTasks != 0 {
		t.Errorf("the market counts %+v, %v", n, err)
	}
	if k, err := s.Skills(t.Context()); err != nil || len(k) != 0 {
		t.Errorf("the market counts %+v, %v", k, err)
	}
	// What was begun goes on.
	if _, err := deliverOpen(t.Context(), s, worker, many.ID, market.VerdictPass); err != nil {
		t.Errorf("a revision: %v", err)
	}
	c.advance(73 * time.Hour)
	sweep(t, s)
	if got, err := s.Task(t.Context(), worker.Actor, d.ID); err != nil || got.State != market.Settled {
		t.Errorf("a delivery to a suspended publisher is %v, %v", got.State, err)
	}
	// The worker's payouts stay while it is suspended.
	suspend(t, s, operator, worker)
	if _, err := s.Authenticate(t.Context(), key); !errors.Is(err, market.ErrAccountSuspended) {
		t.Errorf("its key: %v", err)
	}
	c.advance(25 * time.Hour)
	sweep(t, s)
	if w := wallet(t, s, worker); w.EarnedPending != 150 || w.EarnedAvailable != 0 || len(w.Holds) != 2 || w.Holds[0].HoldReason != market.HoldSuspended {
		t.Errorf("suspended it has %+v", w)
	}
	if _, err := s.SuspendAccount(t.Context(), operator, worker.Account, "again"); !errors.Is(err, market.ErrAlreadyDone) {
		t.Errorf("suspended twice: %v", err)
	}
	if _, err := s.UnsuspendAccount(t.Context(), operator, worker.Account, "It was another one."); err != nil {
		t.Fatal(err)
	}
	sweep(t, s)
	if w := wallet(t, s, worker); w.EarnedPending != 0 || w.EarnedAvailable != 150 {
		t.Errorf("afterwards it has %+v", w)
	}
	if _, err := s.Authenticate(t.Context(), key); err != nil {
		t.Errorf("its key afterwards: %v", err)
	}
	log, err := s.AdminActions(t.Context(), string(worker.Account), 10)
	if err != nil || len(log) != 2 || log[0].Action != market.ActionAccountUnsuspended || log[1].Reason != "Sold the same work twice." || log[1].Actor != operator.Handle {
		t.Errorf("the log says %+v, %v", log, err)
	}
	balanced(t, s)
}

func TestWhoIsNotSuspended(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	operator, second := judge(t, s), judge(t, s)
	for who, want := range map[market.AccountID]error{operator.Account: market.ErrForbidden, second.Account: market.ErrOperatorAccount,
		"01a20b77-e936-75e9-8ee4-5120c30a9cda": market.ErrNotFound} {
		if _, err := s.SuspendAccount(t.Context(), operator, who, "why"); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", who, err, want)
		}
	}
	if _, err := s.SuspendAccount(t.Context(), operator, agent(t, s).Account, " "); !errors.Is(err, market.ErrInvalid) {
		t.Errorf("without a reason: %v", err)
	}
}

// TestRaceSuspension lets ten operators suspend one account: one does.
func TestRaceSuspension(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	operator := judge(t, s)
	for range 8 { // the first rounds open connections
		who := agent(t, s)
		got := race(10, func(int) error {
			_, err := s.SuspendAccount(t.Context(), operator, who.Account, "why")
			return err
		})
		if log, err := s.AdminActions(t.Context(), string(who.Account), 20); err != nil || len(log) != 1 || got["ok"] != 1 || got["already_done"] != 9 {
			t.Errorf("%v, and %d lines in the log, %v", got, len(log), err)
		}
	}
}

func adjust(t testing.TB, s *store.Store, by, who store.Caller, amount int64, class market.Class) error {
	t.Helper()
	_, err := s.AdjustWallet(t.Context(), by, who.Account, market.Adjustment{Amount: amount, Class: class, Reason: "A refund that was lost."})
	return err
}

func TestAdjustment(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	operator, who := judge(t, s), agent(t, s)
	if err := errors.Join(adjust(t, s, operator, who, 70, market.Earned), adjust(t, s, operator, who, -300, market.Granted)); err != nil {
		t.Fatal(err)
	}
	if err := adjust(t, s, operator, who, -71, market.Earned); !errors.Is(err, market.ErrInsufficientCredits) {
		t.Errorf("more than there is: %v", err)
	}
	if err := adjust(t, s, operator, operator, 1, market.Earned); !errors.Is(err, market.ErrForbidden) {
		t.Errorf("the own wallet: %v", err)
	}
	if w := wallet(t, s, who); w.Granted != 700 || w.EarnedAvailable != 70 {
		t.Errorf("got %+v", w)
	}
	lines, err := s.Entries(t.Context(), who.Account, market.EntryFilter{Kind: market.TransferAdjustment, Limit: 5})
	if err != nil || len(lines) != 2 || lines[0].Amount != -300 || lines[0].Class != market.Granted || lines[1].Amount != 70 || lines[1].Note != "A refund that was lost." {
		t.Errorf("the ledger says %+v, %v", lines, err)
	}
	balanced(t, s)
	tamper(t, s, `UPDATE transfers SET note = 'A gift.' WHERE id = $1`, lines[1].ID)
	if f := findings(t, s); !strings.Contains(f, "mark transfer:") {
		t.Errorf("a reason was changed: %q", f)
	}
	tamper(t, s, `UPDATE admin_actions SET detail = '{"amount":7}' WHERE action = 'wallet_adjusted' AND detail->>'amount' = $1`, "70")
	if f := findings(t, s); !strings.Contains(f, "adjustment account:") {
		t.Errorf("the log was changed: %q", f)
	}
}

// TestRaceAdjustment takes credits away while their owner spends them: as much
// of both succeeds as there is.
func TestRaceAdjustment(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	operator, who := judge(t, s), agent(t, s)
	got := race(20, func(i int) error {
		if i%2 == 0 {
			return adjust(t, s, operator, who, -100, market.Granted)
		}
		_, err := s.PublishTask(t.Context(), who, draft(100))
		return err
	})
	if w := wallet(t, s, who); got["ok"]+got["insufficient_credits"] != 20 || got["ok"] != 10 || w.Granted != 0 {
		t.Errorf("%v left %+v", got, w)
	}
	balanced(t, s)
}

func TestAccountFiles(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	operator, first := judge(t, s), agent(t, s)
	second, person := agent(t, s), human(t, s)
	suspend(t, s, operator, second)
	for name, c := range map[string]struct {
		filter market.AccountFilter
		want   []string
	}{
		"all":       {market.AccountFilter{}, []string{person.Handle, second.Handle, first.Handle, operator.Handle}},
		"older":     {market.AccountFilter{Before: second.Account}, []string{first.Handle, operator.Handle}},
		"suspended": {market.AccountFilter{State: market.AccountSuspended}, []string{second.Handle}},
		"handle":    {market.AccountFilter{Query: strings.ToUpper(first.Handle)}, []string{first.Handle}},
		"prefix":    {market.AccountFilter{Query: "human-"}, []string{person.Handle, operator.Handle}},
		"email":     {market.AccountFilter{Query: person.Handle + "@ex"}, []string{person.Handle}},
		"id":        {market.AccountFilter{Query: string(second.Account)}, []string{second.Handle}},
		"nobody":    {market.AccountFilter{Query: "%"}, nil},
	} {
		c.filter.Limit = 10
		found, err := s.AccountFiles(t.Context(), c.filter)
		var got []string
		for _, f := range found {
			got = append(got, f.Handle)
		}
		if err != nil || strings.Join(got, " ") != strings.Join(c.want, " ") {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, c.want)
		}
	}
	publish(t, s, first, 10)
	a, err := s.Activity(t.Context(), first.Account)
	if err != nil || a.Tasks[market.Open] != 1 || a.Keys != 1 || len(a.Deliveries) != 0 {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestAdminLog(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	operator, second, who := judge(t, s), judge(t, s), agent(t, s)
	suspend(t, s, operator, who)
	if _, err := s.UnsuspendAccount(t.Context(), second, who.Account, "Enough."); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RecordedAudit(t.Context(), operator); err != nil {
		t.Fatal(err)
	}
	for want, f := range map[string]market.ActionFilter{
		"books_recomputed account_unsuspended account_suspended": {},
		"books_recomputed account_suspended":                     {Operator: operator.Handle},
		"account_unsuspended":                                    {Action: "account_unsuspended"},
		"account_unsuspended account_suspended":                  {Subject: string(who.Account)},
		"":                                                       {Operator: "nobody"},
	} {
		f.Limit = 10
		log, err := s.AdminLog(t.Context(), f)
		var got []string
		for _, a := range log {
			got = append(got, a.Action)
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%+v: got %v, %v, want %s", f, got, err, want)
		}
	}
	log, _ := s.AdminLog(t.Context(), market.ActionFilter{Limit: 1})
	if older, err := s.AdminLog(t.Context(), market.ActionFilter{Before: log[0].ID, Limit: 1}); err != nil || len(older) != 1 || older[0].Action != "account_unsuspended" {
		t.Errorf("older ones: %+v, %v", older, err)
	}
}
