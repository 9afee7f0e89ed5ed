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

func bundleDraft(mutate ...func(*market.BundleDraft)) market.BundleDraft {
	d := market.BundleDraft{Name: "night shift", Scopes: []market.Scope{market.TasksRead, market.TasksPublish}, SpendCap: 700,
		ExpiresAt: time.Now().Add(24 * time.Hour).Truncate(time.Microsecond), WithKey: true}
	for _, m := range mutate {
		m(&d)
	}
	return d
}

// handedOver makes a bundle and returns it with who acts through it.
func handedOver(t testing.TB, s *store.Store, owner store.Caller, mutate ...func(*market.BundleDraft)) (market.Bundle, store.Caller) {
	t.Helper()
	b, key, err := s.NewBundle(t.Context(), owner, bundleDraft(mutate...))
	if err != nil {
		t.Fatal(err)
	}
	by, err := s.Identify(t.Context(), key, "", "", store.ForChange)
	if err != nil || by.Mandate == nil || by.Mandate.Bundle != b.ID || by.Account != owner.Account {
		t.Fatalf("the key opens as %+v, %v", by.Actor, err)
	}
	return b, by
}

func bundle(t testing.TB, s *store.Store, owner store.Caller, id market.BundleID) market.Bundle {
	t.Helper()
	b, err := s.Bundle(t.Context(), owner.Account, id)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRacePublishThroughABundle(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	owner := human(t, s)
	b, by := handedOver(t, s, owner)
	got := race(100, func(int) error {
		_, err := s.PublishTask(context.Background(), by, draft(100))
		return err
	})
	if got["ok"] != 7 || got["spend_cap_exceeded"] != 93 {
		t.Errorf("got %v, want 7 published and 93 spend_cap_exceeded", got)
	}
	if w, b := wallet(t, s, owner), bundle(t, s, owner, b.ID); w.Granted != 300 || w.Escrow != 700 || b.Spent != 700 {
		t.Errorf("the wallet has %+v and the bundle spent %d, want 300 left, 700 in escrow and 700 spent", w, b.Spent)
	}
	actions, err := s.BundleActions(t.Context(), owner.Account, b.ID, "", 100)
	if err != nil || len(actions) != 8 || actions[0].Action != "published" || actions[0].Amount != 100 || actions[7].Action != market.BundleMinted {
		t.Errorf("the timeline is %+v, %v", actions, err)
	}
	balanced(t, s)
}

// TestWhatComesBackIsNotSpent cancels and expires what a bundle published: it
// can spend that again, and never more.
func TestWhatComesBackIsNotSpent(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	owner := human(t, s)
	b, by := handedOver(t, s, owner, func(d *market.BundleDraft) {
		d.SpendCap, d.TaskCap, d.ExpiresAt = 500, 300, c.now().Add(60*24*time.Hour)
	})
	other, _ := handedOver(t, s, owner)
	if _, err := s.PublishTask(t.Context(), by, draft(301)); !errors.Is(err, market.ErrSpendCapExceeded) {
		t.Errorf("more than a task may cost: %v", err)
	}
	first := publish(t, s, by, 300)
	if first.Bundle != b.ID {
		t.Errorf("the task is of bundle %q", first.Bundle)
	}
	if _, err := s.PublishTask(t.Context(), by, draft(201)); !errors.Is(err, market.ErrSpendCapExceeded) {
		t.Errorf("more than is left: %v", err)
	}
	publish(t, s, by, 200)
	if _, err := s.CancelTask(t.Context(), owner, first.ID); err != nil {
		t.Fatal(err)
	}
	if got := bundle(t, s, owner, b.ID).Spent; got != 200 {
		t.Errorf("after a refund %d is spent, want 200", got)
	}
	accepted := publish(t, s, by, 100)
	d := deliver(t, s, agent(t, s), accepted.ID, market.VerdictPass)
	if _, err := s.AcceptDelivery(t.Context(), owner, accepted.ID, d.Delivery.ID); err != nil {
		t.Fatal(err)
	}
	c.advance(31 * 24 * time.Hour) // the deadline of the open one
	if _, err := s.Sweep(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	if got := bundle(t, s, owner, b.ID).Spent; got != 100 {
		t.Errorf("after the expiry %d is spent, want the 100 that were paid", got)
	}
	if got := bundle(t, s, owner, other.ID).Spent; got != 0 {
		t.Errorf("another bundle spent %d", got)
	}
	balanced(t, s)
}

// TestSweepsGiveBackToManyBundles lets two nodes expire tasks of ten bundles:
// none waits for the other for ever.
func TestSweepsGiveBackToManyBundles(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	owner := human(t, s)
	var bundles []market.BundleID
	for range 10 {
		b, by := handedOver(t, s, owner, func(d *market.BundleDraft) { d.SpendCap, d.ExpiresAt = 60, c.now().Add(60*24*time.Hour) })
		bundles = append(bundles, b.ID)
		for range 6 {
			publish(t, s, by, 10)
		}
	}
	c.advance(31 * 24 * time.Hour)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if _, err := s.Sweep(context.Background(), 1000); err != nil {
				t.Errorf("sweep: %v", err)
			}
		})
	}
	wg.Wait()
	for _, id := range bundles {
		if got := bundle(t, s, owner, id).Spent; got != 0 {
			t.Errorf("%d is spent after all came back", got)
		}
	}
	balanced(t, s)
}

// TestRaceRevokeAndPublish revokes a bundle while it publishes: once that has
// returned, nothing more is spent.
func TestRaceRevokeAndPublish(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	owner := human(t, s)
	b, by := handedOver(t, s, owner)
	var revoked market.Credits
	got := race(31, func(i int) error {
		if i == 15 {
			_, err := s.RevokeBundle(context.Background(), owner, b.ID)
			if after, e := s.Bundle(context.Background(), owner.Account, b.ID); e == nil {
				revoked = after.Spent
			}
			return err
		}
		_, err := s.PublishTask(context.Background(), by, draft(10))
		return err
	})
	if got["ok"]+got["unauthenticated"] != 31 {
		t.Errorf("got %v", got)
	}
	after := bundle(t, s, owner, b.ID)
	if after.Spent != revoked || int(after.Spent) != 10*(got["ok"]-1) {
		t.Errorf("%d were spent when it was revoked, %d at last; %v", revoked, after.Spent, got)
	}
	if _, err := s.PublishTask(t.Context(), by, draft(10)); !errors.Is(err, market.ErrUnauthenticated) {
		t.Errorf("after the revocation: %v", err)
	}
	if _, err := s.RevokeBundle(t.Context(), owner, b.ID); !errors.Is(err, market.ErrAlreadyDone) {
		t.Errorf("a second revocation: %v", err)
	}
	balanced(t, s)
}

// TestRaceRedeemAndRecode lets a code be redeemed while its owner makes a new
// one, and holds both back at the row: one happens, the other is told so.
func TestRaceRedeemAndRecode(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	owner := human(t, s)
	for n := range 6 {
		b, code, err := s.NewBundle(t.Context(), owner, bundleDraft(func(d *market.BundleDraft) { d.WithKey = false }))
		if err != nil {
			t.Fatal(err)
		}
		tx, err := s.DB().Begin()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(`SELECT 1 FROM bundles WHERE id = $1 FOR UPDATE`, string(b.ID)); err != nil {
			t.Fatal(err)
		}
		var key, recoded string
		var redeem, recode error
		var wg sync.WaitGroup
		tries := []func(){
			func() { _, key, _, redeem = s.RedeemHandoff(context.Background(), code, "", netip.Addr{}) },
			func() { _, recoded, recode = s.RecodeBundle(context.Background(), owner, b.ID) },
		}
		for i := range tries {
			wg.Go(tries[(i+n)%2]) // who waits first goes first
			time.Sleep(50 * time.Millisecond)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		switch {
		case redeem == nil && errors.Is(recode, market.ErrAlreadyDone):
			if _, err := s.Identify(t.Context(), key, "", "", store.ForChange); err != nil {
				t.Errorf("the key that was redeemed: %v", err)
			}
		case recode == nil && errors.Is(redeem, market.ErrHandoffUnknown):
			if _, _, _, err := s.RedeemHandoff(t.Context(), recoded, "", netip.Addr{}); err != nil {
				t.Errorf("the new code: %v", err)
			}
		default:
			t.Errorf("redeeming ended with %v, the new code with %v", redeem, recode)
		}
	}
}

// TestRaceRedeem sends one code twenty times at once.
func TestRaceRedeem(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	owner := human(t, s)
	b, code, err := s.NewBundle(t.Context(), owner, bundleDraft(func(d *market.BundleDraft) { d.WithKey = false }))
	if err != nil {
		t.Fatal(err)
	}
	keys := make([]string, 20)
	got := race(20, func(i int) (err error) {
		_, keys[i], _, err = s.RedeemHandoff(context.Background(), code, "", netip.MustParseAddr("192.0.2.1"))
		if err != nil {
			keys[i] = ""
		}
		return err
	})
	if got["ok"] != 1 || got["handoff_used"] != 19 {
		t.Fatalf("got %v, want one key and 19 handoff_used", got)
	}
	for _, k := range keys {
		if k == "" {
			continue
		}
		if _, err := s.Identify(t.Context(), k, "", "", store.ForChange); !errors.Is(err, market.ErrUnauthenticated) {
			t.Errorf("the key of a code that was sent again: %v", err)
		}
	}
	after := bundle(t, s, owner, b.ID)
	if after.State(time.Now()) != market.BundleRevoked || after.RevokedReason != market.BundleCodeReused || after.RedeemedFrom != "192.0.2.1" {
		t.Errorf("the bundle is %+v", after)
	}
	var told []string
	if err := s.DB().Select(&told, `SELECT type FROM account_events WHERE account_id = $1 ORDER BY id`, owner.Account); err != nil || len(told) != 3 || told[1] != string(market.FeedBundleReused) || told[2] != string(market.SecurityBundleReused) {
		t.Errorf("the owner was told %v, %v", told, err)
	}
}

// TestCodesEnd follows codes to their ends.
func TestCodesEnd(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	owner, nowhere := human(t, s), netip.Addr{}
	b, code, err := s.NewBundle(t.Context(), owner, bundleDraft(func(d *market.BundleDraft) { d.WithKey = false }))
	if err != nil {
		t.Fatal(err)
	}
	redeem := func(code string, want error) string {
		t.Helper()
		_, key, handle, err := s.RedeemHandoff(t.Context(), code, "", nowhere)
		if !errors.Is(err, want) || err == nil && handle != owner.Handle {
			t.Errorf("got %v by %q, want %v", err, handle, want)
		}
		return key
	}
	redeem("ghh_x", market.ErrHandoffUnknown)
	redeem(market.NewKey(market.HandoffPrefix), market.ErrHandoffUnknown)
	c.advance(market.CodeLife)
	redeem(code, market.ErrHandoffExpired)
	if got := bundle(t, s, owner, b.ID).State(c.now()); got != market.BundleLapsed {
		t.Errorf("it is %s", got)
	}
	_, newer, err := s.RecodeBundle(t.Context(), owner, b.ID)
	if err != nil {
		t.Fatal(err)
	}
	redeem(code, market.ErrHandoffUnknown)
	key := redeem(newer, nil)
	if _, _, err := s.RecodeBundle(t.Context(), owner, b.ID); !errors.Is(err, market.ErrAlreadyDone) {
		t.Errorf("a code for a bundle in use: %v", err)
	}
	if by, err := s.Identify(t.Context(), key, "", "", store.ForChange); err != nil || by.Handle != owner.Handle {
		t.Errorf("the key: %v", err)
	}
	c.advance(24 * time.Hour)
	if _, err := s.Identify(t.Context(), key, "", "", store.ForChange); !errors.Is(err, market.ErrUnauthenticated) {
		t.Errorf("the key of a bundle that is over: %v", err)
	}
	if _, err := s.NarrowBundle(t.Context(), owner, b.ID, market.Narrowing{}); !errors.Is(err, market.ErrBundleEnded) {
		t.Errorf("narrowing what is over: %v", err)
	}
	if _, err := s.RevokeBundle(t.Context(), human(t, s), b.ID); !errors.Is(err, market.ErrNotFound) {
		t.Errorf("somebody else's bundle: %v", err)
	}
}

// TestNarrowedFromTheNextRequest takes rights away from a bundle in use.
func TestNarrowedFromTheNextRequest(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	owner := human(t, s)
	b, key, err := s.NewBundle(t.Context(), owner, bundleDraft())
	if err != nil {
		t.Fatal(err)
	}
	identify := func() store.Caller {
		t.Helper()
		by, err := s.Identify(t.Context(), key, "", "", store.ForChange)
		if err != nil {
			t.Fatal(err)
		}
		return by
	}
	publish(t, s, identify(), 100)
	low, cap, task := int64(99), int64(150), int64(40)
	if _, err := s.NarrowBundle(t.Context(), owner, b.ID, market.Narrowing{SpendCap: &low}); !errors.Is(err, market.ErrInvalid) {
		t.Errorf("a cap below what is spent: %v", err)
	}
	if _, err := s.NarrowBundle(t.Context(), owner, b.ID, market.Narrowing{SpendCap: &cap, TaskCap: &task}); err != nil {
		t.Fatal(err)
	}
	by := identify()
	if _, err := s.PublishTask(t.Context(), by, draft(41)); !errors.Is(err, market.ErrSpendCapExceeded) {
		t.Errorf("beyond the new cap of a task: %v", err)
	}
	publish(t, s, by, 40)
	if _, err := s.PublishTask(t.Context(), by, draft(11)); !errors.Is(err, market.ErrSpendCapExceeded) {
		t.Errorf("beyond the new cap: %v", err)
	}
	if _, err := s.NarrowBundle(t.Context(), owner, b.ID, market.Narrowing{Scopes: []market.Scope{market.TasksRead}}); err != nil {
		t.Fatal(err)
	}
	if by = identify(); len(by.Scopes) != 1 || market.Permit(by.Scopes, market.TasksPublish) == nil {
		t.Errorf("the narrowed key has %v", by.Scopes)
	}
	balanced(t, s)
}

// TestBundleOfSomeTasks sees its own tasks only.
func TestBundleOfSomeTasks(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	owner := human(t, s)
	one, two := publish(t, s, owner, 10), publish(t, s, owner, 10)
	_, by := handedOver(t, s, owner, func(d *market.BundleDraft) { d.Tasks = []market.TaskID{one.ID} })
	_, skilled := handedOver(t, s, owner, func(d *market.BundleDraft) { d.Skills = []string{"csv"} })
	_, both := handedOver(t, s, owner, func(d *market.BundleDraft) { d.Skills = []string{"csv", "json"} })
	for _, x := range []struct {
		by       store.Caller
		one, two error
		listed   int
		publish  error
	}{
		{owner, nil, nil, 2, nil}, {by, nil, market.ErrBundleLimited, 1, market.ErrBundleLimited},
		{skilled, market.ErrBundleLimited, market.ErrBundleLimited, 0, market.ErrBundleLimited}, {both, nil, nil, 3, nil},
	} {
		if err := s.Covered(t.Context(), x.by.Mandate, one.ID); !errors.Is(err, x.one) {
			t.Errorf("the first: %v, want %v", err, x.one)
		}
		if err := s.Covered(t.Context(), x.by.Mandate, two.ID); !errors.Is(err, x.two) {
			t.Errorf("the second: %v, want %v", err, x.two)
		}
		found, err := s.OwnTasks(t.Context(), owner.Account, "", "", x.by.Mandate, "", 10)
		if err != nil || len(found) != x.listed {
			t.Errorf("it sees %d tasks, want %d (%v)", len(found), x.listed, err)
		}
		if _, err := s.PublishTask(t.Context(), x.by, draft(10)); !errors.Is(err, x.publish) {
			t.Errorf("publishing: %v, want %v", err, x.publish)
		}
	}
	if _, _, err := s.NewBundle(t.Context(), owner, bundleDraft(func(d *market.BundleDraft) { d.Tasks = []market.TaskID{"01a20b77-e936-75e9-8ee4-5120c30a9cda"} })); !errors.Is(err, market.ErrInvalid) {
		t.Errorf("a bundle for no task: %v", err)
	}
}

// TestDelegateWorks lets a human's bundle claim and deliver; the onboarding
// task is for agents only.
func TestDelegateWorks(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	owner := human(t, s)
	_, by := handedOver(t, s, owner, func(d *market.BundleDraft) { d.Scopes = []market.Scope{market.ClaimsWrite, market.DeliveriesWrite} })
	task := publish(t, s, agent(t, s), 50)
	if d := deliver(t, s, by, task.ID, market.VerdictPass); d.Delivery.Worker != owner.Account {
		t.Errorf("the worker is %s", d.Delivery.Worker)
	}
	own := publish(t, s, owner, 50)
	if _, err := s.ClaimTask(t.Context(), by, own.ID); !errors.Is(err, market.ErrOwnTask) {
		t.Errorf("a claim of the owner's own task: %v", err)
	}
	if _, err := s.ClaimTask(t.Context(), owner, publish(t, s, agent(t, s), 50).ID); !errors.Is(err, market.ErrForbidden) {
		t.Errorf("a claim by hand: %v", err)
	}
	balanced(t, s)
}
