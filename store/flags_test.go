package store_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// look has the clocks and the rules look at what there is.
func look(t testing.TB, s *store.Store, c *clock) {
	t.Helper()
	for range 2 { // outcomes are counted first
		if _, err := s.Sweep(t.Context(), 10_000); err != nil {
			t.Fatal(err)
		}
		c.advance(61 * time.Minute)
	}
	if err := s.RaiseFlags(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sweep(t.Context(), 10_000); err != nil {
		t.Fatal(err)
	}
}

// flagged are the kinds of the account's open flags.
func flagged(t testing.TB, s *store.Store, by store.Caller) string {
	t.Helper()
	all, err := s.FlagsOf(t.Context(), by.Account, 20)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, f := range all {
		if f.Outcome == "" {
			kinds = append(kinds, string(f.Kind))
		}
	}
	slices.Sort(kinds)
	return fmt.Sprint(kinds)
}

// livesAt says which network the accounts came from.
func livesAt(t testing.TB, s *store.Store, network string, who ...store.Caller) {
	t.Helper()
	for _, by := range who {
		exec(t, s, `UPDATE accounts SET registered_from = $2::cidr WHERE id = $1`, string(by.Account), network)
	}
}

// slowly settles as somebody would who looks at the work.
func slowly(t testing.TB, s *store.Store, c *clock, publisher, worker store.Caller, reward int64) {
	t.Helper()
	d := draft(reward)
	end := c.now().Add(time.Hour).Truncate(time.Microsecond).UTC()
	d.Deadline = &end
	published, err := s.PublishTask(t.Context(), publisher, d)
	if err != nil {
		t.Fatalf("publish: %v", err)
	}
	task := deliver(t, s, worker, published.ID, market.VerdictPass)
	c.advance(time.Minute)
	if _, err := s.AcceptDelivery(t.Context(), publisher, task.ID, task.Delivery.ID); err != nil {
		t.Fatalf("accept: %v", err)
	}
}

// TestRulesFlag has each rule find what it is about, with the evidence, and
// nobody else.
func TestRulesFlag(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	honest, shop := agent(t, s), agent(t, s)
	slowly(t, s, &c, shop, honest, 500)
	two := []store.Caller{agent(t, s), agent(t, s)}
	slowly(t, s, &c, two[0], two[1], 120)
	slowly(t, s, &c, two[1], two[0], 150)
	three := []store.Caller{agent(t, s), agent(t, s), agent(t, s)}
	for i := range three {
		slowly(t, s, &c, three[i], three[(i+1)%3], 100)
	}
	little := []store.Caller{agent(t, s), agent(t, s)}
	slowly(t, s, &c, little[0], little[1], 99)
	slowly(t, s, &c, little[1], little[0], 400)
	kin := []store.Caller{agent(t, s), agent(t, s)}
	livesAt(t, s, "203.0.113.0/24", kin...)
	slowly(t, s, &c, kin[0], kin[1], 200)
	front, hand := human(t, s), agent(t, s) // who took a bundle over without saying which agent it is
	livesAt(t, s, "198.51.100.0/24", hand)
	_, code, err := s.NewBundle(t.Context(), front, bundleDraft(func(d *market.BundleDraft) { d.WithKey = false }))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := s.RedeemHandoff(t.Context(), code, "", netip.MustParseAddr("198.51.100.9")); err != nil {
		t.Fatal(err)
	}
	slowly(t, s, &c, front, hand, 100)
	home := []store.Caller{agent(t, s), agent(t, s)}
	livesAt(t, s, "192.168.7.0/24", home...)
	slowly(t, s, &c, home[0], home[1], 200)
	quick := []store.Caller{agent(t, s), agent(t, s)}
	for range market.InstantTimes {
		settle(t, s, quick[0], quick[1], 10)
	}
	patron := []store.Caller{agent(t, s), agent(t, s), agent(t, s)}
	earn(t, s, 2000, patron[0])
	for range 9 {
		slowly(t, s, &c, patron[0], patron[2], 100)
	}
	slowly(t, s, &c, patron[1], patron[2], 110)
	look(t, s, &c)
	for name, x := range map[string]struct {
		who  store.Caller
		want string
	}{
		"honest": {honest, "[]"}, "their publisher": {shop, "[]"}, "two": {two[0], "[circular]"}, "the other of two": {two[1], "[circular]"},
		"three": {three[2], "[circular]"}, "little": {little[0], "[]"}, "kin": {kin[1], "[related]"}, "the kin who pays": {kin[0], "[]"}, "holder of a bundle": {hand, "[related]"}, "at home": {home[1], "[]"},
		"quick": {quick[1], "[instant]"}, "the patron's": {patron[2], "[concentration]"},
	} {
		if got := flagged(t, s, x.who); got != x.want {
			t.Errorf("%s: flags %s, want %s", name, got, x.want)
		}
	}
	of := func(by store.Caller) market.Evidence {
		all, err := s.FlagsOf(t.Context(), by.Account, 1)
		if err != nil || len(all) == 0 {
			t.Fatalf("no flag: %v", err)
		}
		return all[0].Evidence
	}
	if e := of(two[0]); !slices.Equal(e.Others, []string{two[1].Handle}) || e.Credits != 120 {
		t.Errorf("evidence of two: %+v", e)
	}
	if e := of(three[1]); !slices.Equal(e.Others, []string{three[0].Handle, three[2].Handle}) || e.Credits != 100 {
		t.Errorf("evidence of three: %+v", e)
	}
	if e := of(kin[1]); e.Network != "203.0.113.0/24" || e.Credits != 200 {
		t.Errorf("evidence of kin: %+v", e)
	}
	if e := of(patron[2]); e.Credits != 900 || e.Of != 1010 || e.Times != 9 {
		t.Errorf("evidence of concentration: %+v", e)
	}
	crowd := make([]store.Caller, market.SignupsMost)
	for i := range crowd {
		crowd[i] = agent(t, s)
	}
	livesAt(t, s, "2001:db8::/64", crowd...)
	slowly(t, s, &c, shop, crowd[0], 20)
	look(t, s, &c)
	if flagged(t, s, crowd[0]) != "[signups]" || flagged(t, s, crowd[1]) != "[]" {
		t.Errorf("of the crowd %s and %s are flagged", flagged(t, s, crowd[0]), flagged(t, s, crowd[1]))
	}
	balanced(t, s)
}

// TestFlagHolds: payouts wait while there is a flag, and go on when it is
// released, or when nobody decides; a frozen account redeems nothing.
func TestFlagHolds(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	judge, publisher, worker := operator(t, s), agent(t, s), agent(t, s)
	good := stock(t, s, judge, 50, "FLAG", 3)
	proven(t, s, judge, worker)
	settle(t, s, publisher, worker, 200)
	earn(t, s, 100, worker)
	f, err := s.FlagAccount(t.Context(), judge, worker.Account, "It copies.")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.FlagAccount(t.Context(), judge, worker.Account, "Again."); !errors.Is(err, market.ErrAlreadyDone) {
		t.Errorf("a second flag: %v", err)
	}
	c.advance(25 * time.Hour)
	if n, err := s.Sweep(t.Context(), 100); err != nil || wallet(t, s, worker).EarnedAvailable != 100 {
		t.Errorf("swept %d, %v: %+v", n, err, wallet(t, s, worker))
	}
	if w := wallet(t, s, worker); w.EarnedPending != 200 || w.Holds[0].HoldReason != market.HoldFlag || !w.Holds[0].AvailableAt.Equal(f.HoldUntil) {
		t.Errorf("the wallet: %+v", w)
	}
	if lag, err := s.Lag(t.Context()); err != nil || lag > time.Minute {
		t.Errorf("what is held counts as late: %s, %v", lag, err)
	}
	decide := func(o market.FlagOutcome, days int64) error {
		_, err := s.DecideFlag(t.Context(), judge, f.ID, market.FlagDecision{Outcome: o, Days: days, Note: "So."})
		return err
	}
	if err := decide(market.FlagExtended, 30); err != nil {
		t.Fatal(err)
	}
	c.advance(20 * 24 * time.Hour)
	if w := wallet(t, s, worker); w.EarnedAvailable != 100 {
		t.Errorf("extended: %+v", w)
	}
	if err := decide(market.FlagFrozen, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Redeem(t.Context(), worker, good.ID, 50, false); !errors.Is(err, market.ErrCreditsFrozen) {
		t.Errorf("frozen, and redeems: %v", err)
	}
	c.advance(400 * 24 * time.Hour)
	if _, err := s.Sweep(t.Context(), 100); err != nil || wallet(t, s, worker).EarnedPending != 200 {
		t.Errorf("frozen: %+v, %v", wallet(t, s, worker), err)
	}
	if err := decide(market.FlagReleased, 0); err != nil {
		t.Fatal(err)
	}
	if err := decide(market.FlagReleased, 0); !errors.Is(err, market.ErrAlreadyDone) {
		t.Errorf("released twice: %v", err)
	}
	if _, err := s.Sweep(t.Context(), 100); err != nil || wallet(t, s, worker).EarnedAvailable != 300 {
		t.Errorf("released: %+v, %v", wallet(t, s, worker), err)
	}
	if o, err := s.Redeem(t.Context(), worker, good.ID, 50, false); err != nil || o.State != market.OrderFulfilled {
		t.Errorf("an order after that: %+v, %v", o, err)
	}
	if _, err := s.FlagAccount(t.Context(), judge, judge.Account, "Me."); !errors.Is(err, market.ErrForbidden) {
		t.Errorf("a flag of one's own: %v", err)
	}
	balanced(t, s)
}

// TestFlagLapses: nobody decides, so payouts go on after the week; orders
// before that wait.
func TestFlagLapses(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	judge, publisher, other := operator(t, s), agent(t, s), agent(t, s)
	good := stock(t, s, judge, 50, "LAPSE", 3)
	proven(t, s, judge, other)
	settle(t, s, publisher, other, 200)
	if _, err := s.FlagAccount(t.Context(), judge, other.Account, "Perhaps."); err != nil {
		t.Fatal(err)
	}
	earn(t, s, 100, other)
	if o, err := s.Redeem(t.Context(), other, good.ID, 50, false); err != nil || !slices.Equal(o.Reasons, []string{market.ReviewFlagged}) {
		t.Errorf("an order of the flagged: %+v, %v", o, err)
	}
	c.advance(8 * 24 * time.Hour)
	look(t, s, &c)
	if w := wallet(t, s, other); w.EarnedPending != 0 || w.EarnedAvailable != 250 {
		t.Errorf("after a week of silence: %+v", w)
	}
	if all, err := s.FlagsOf(t.Context(), other.Account, 9); err != nil || len(all) != 1 || all[0].Outcome != market.FlagLapsed {
		t.Errorf("after a week of silence: %+v, %v", all, err)
	}
	balanced(t, s)
}

// TestReleasedIsNotFlaggedAgain: an operator's word counts for as long as the
// rules look back.
func TestReleasedIsNotFlaggedAgain(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	judge := operator(t, s)
	kin := []store.Caller{agent(t, s), agent(t, s)}
	livesAt(t, s, "203.0.113.0/24", kin...)
	slowly(t, s, &c, kin[0], kin[1], 200)
	look(t, s, &c)
	all, err := s.Flags(t.Context(), store.FlagsOpen, "", time.Time{}, 10)
	if err != nil || len(all) != 1 {
		t.Fatalf("open flags %+v, %v", all, err)
	}
	got := race(8, func(i int) error {
		d := market.FlagDecision{Outcome: market.FlagReleased, Note: "A family."}
		_, err := s.DecideFlag(t.Context(), judge, all[0].ID, d)
		return err
	})
	if got["ok"] != 1 || got["already_done"] != 7 {
		t.Errorf("eight decisions at once: %v", got)
	}
	slowly(t, s, &c, kin[0], kin[1], 200)
	look(t, s, &c)
	if flagged(t, s, kin[1]) != "[]" {
		t.Error("flagged again although an operator released it")
	}
	c.advance(market.FlagLook)
	slowly(t, s, &c, kin[0], kin[1], 200)
	look(t, s, &c)
	if flagged(t, s, kin[1]) != "[related]" {
		t.Error("not flagged for what came after")
	}
}
