package store_test

import (
	"fmt"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// invited is an agent that registered with the referrer's code.
func invited(t testing.TB, s *store.Store, referrer store.Caller) store.Caller {
	t.Helper()
	from, err := s.Account(t.Context(), referrer.Account)
	if err != nil {
		t.Fatal(err)
	}
	a, _, err := s.RegisterAgent(t.Context(), market.Registration{Kind: market.Agent, DisplayName: "Invited",
		Handle: fmt.Sprintf("agent-%d", handles.Add(1)), ReferralCode: from.ReferralCode})
	if err != nil {
		t.Fatalf("register: %v", err)
	}
	return store.Caller{Actor: market.Actor{Account: a.ID, Kind: a.Kind, Handle: a.Handle}}
}

// bonus says what the account has earned by referrals, in counts and credits.
func bonus(t testing.TB, s *store.Store, by store.Caller) string {
	t.Helper()
	r, err := s.Referrals(t.Context(), by.Account)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(r.Referred, r.Rewarded, r.Earned, wallet(t, s, by).Granted)
}

func accept(t testing.TB, s *store.Store, publisher, worker store.Caller) market.TaskID {
	t.Helper()
	task := publish(t, s, publisher, 10)
	done := deliver(t, s, worker, task.ID, market.VerdictPass)
	if _, err := s.AcceptDelivery(t.Context(), publisher, task.ID, done.Delivery.ID); err != nil {
		t.Fatalf("accept: %v", err)
	}
	return task.ID
}

func TestReferralIsPaidForTheFirstUnrelatedAcceptance(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	referrer, publisher := agent(t, s), agent(t, s)
	worker, idle := invited(t, s, referrer), invited(t, s, referrer)
	if got := bonus(t, s, referrer); got != "2 0 0 1000" {
		t.Errorf("at first: %s", got)
	}
	accept(t, s, referrer, worker) // the referrer's own task
	if got := bonus(t, s, referrer); got != "2 0 0 990" {
		t.Errorf("after a delivery for the referrer itself: %s, want no bonus", got)
	}
	task := accept(t, s, publisher, worker)
	accept(t, s, publisher, worker)
	if got := bonus(t, s, referrer); got != "2 1 100 1090" {
		t.Errorf("after two deliveries for somebody else: %s, want one bonus", got)
	}
	list, err := s.Referred(t.Context(), referrer.Account, "", 10)
	if err != nil || len(list) != 2 || list[0].ID != idle.Account || list[0].PaidAt != nil || list[0].Bonus != 100 ||
		list[1].ID != worker.Account || list[1].PaidAt == nil || list[1].Task != task {
		t.Errorf("got %+v, %v", list, err)
	}
	if rest, err := s.Referred(t.Context(), referrer.Account, idle.Account, 10); err != nil || len(rest) != 1 || rest[0].ID != worker.Account {
		t.Errorf("the second page is %+v, %v", rest, err)
	}
	lines, err := s.Entries(t.Context(), referrer.Account, market.EntryFilter{Kind: market.TransferReferral, Limit: 10})
	if err != nil || len(lines) != 1 || lines[0].Amount != 100 || lines[0].Class != market.Granted || lines[0].Counterparty != worker.Handle ||
		lines[0].Task != task || lines[0].BalanceAfter == nil || *lines[0].BalanceAfter != 1090 {
		t.Errorf("the ledger says %+v, %v", lines, err)
	}
	balanced(t, s)
}

// TestRaceReferral accepts eight first deliveries of one account at once, half
// of them by the sweep of two nodes.
func TestRaceReferral(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	referrer := agent(t, s)
	worker := invited(t, s, referrer)
	type due struct {
		publisher store.Caller
		task      market.TaskID
		delivery  market.DeliveryID
	}
	work := make([]due, 8)
	for i := range work {
		p := agent(t, s)
		task := openTask(t, s, p, 10, 1)
		done, err := deliverOpen(t.Context(), s, worker, task.ID, market.VerdictPass)
		if err != nil {
			t.Fatal(err)
		}
		work[i] = due{p, task.ID, done.Delivery.ID}
	}
	c.advance(73 * time.Hour)
	got := race(len(work), func(i int) error {
		if i%2 == 0 {
			_, err := s.Sweep(t.Context(), 100)
			return err
		}
		_, err := s.AcceptDelivery(t.Context(), work[i].publisher, work[i].task, work[i].delivery)
		return err
	})
	if _, err := s.Sweep(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	if paid := bonus(t, s, referrer); paid != "1 1 100 1100" {
		t.Errorf("%s after %v, want one bonus", paid, got)
	}
	balanced(t, s)
}

// TestReferralIsWhatWasPromised: a bonus changed later is for later accounts.
func TestReferralIsWhatWasPromised(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	open := func(b market.Credits) *store.Store {
		s, err := store.Open(url, store.Options{Grant: 1000, ReferralBonus: b, Terms: market.Terms{Hold: time.Hour}, MaxConns: 4})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	before, after := open(70), open(0)
	referrer, publisher := agent(t, before), agent(t, before)
	old, late := invited(t, before, referrer), invited(t, after, referrer)
	accept(t, after, publisher, late)
	accept(t, after, publisher, old)
	if got := bonus(t, after, referrer); got != "2 1 70 1070" {
		t.Errorf("got %s, want the bonus of 70 that was promised", got)
	}
	balanced(t, after)
}

// TestAuditFindsAFalseReferral: a bonus marked and never paid is named.
func TestAuditFindsAFalseReferral(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	worker := invited(t, s, agent(t, s))
	exec(t, s, `UPDATE accounts SET referral_paid_at = now() WHERE id = $1`, string(worker.Account))
	r, err := s.Audit(t.Context())
	if err != nil || len(r.Findings) != 1 || r.Findings[0].Check != "referral" || r.Findings[0].Subject != "account:"+string(worker.Account) {
		t.Errorf("got %+v, %v", r.Findings, err)
	}
}
