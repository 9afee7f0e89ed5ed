package market

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// rival is a worker whose delivery d0 competes with the holder's d1.
var rival = Actor{Account: "x", Kind: Agent, Handle: "rival"}

// openWorld publishes an open-mode task of 100 credits a slot, funded 30
// granted first.
func openWorld(t *testing.T, slots int64, auto bool) *world {
	t.Helper()
	end := deadline
	d := Draft{Title: "Poem", Brief: brief, Mode: ModeOpen, Reward: 100, MaxAccepted: &slots, Deadline: &end, AutoAccept: auto,
		Rules: []Rule{{Name: "tone", Kind: RuleManual, Text: "be wet"}}}
	have := Funds{Granted: 30, Earned: 500}
	w := &world{t: t, now: t0, attempts: map[AccountID]int{}, seen: map[Event]int{}, made: map[step]bool{}, total: have.Total(), granted: have.Granted, terms: Terms{Hold: hold},
		ledger: map[string]Funds{WalletAccount(publisher.Account): have}}
	c, err := Publish(publisher, "t1", d, 0, have, t0)
	w.commit(must(t, c, err))
	return w
}

// at makes an event true at the time, on the named delivery or as a new one.
func (w *world) at(now time.Time, event string, a Actor, named DeliveryID) {
	w.t.Helper()
	w.now = now
	w.catchUp()
	var c Change
	var err error
	v, delivers := strings.CutPrefix(event, "deliver ")
	switch {
	case delivers:
		c, err = w.snapshot(a, "").Deliver(a, named, "", 0, Package{Output: json.RawMessage(`1`), SummaryText: "x"},
			report(Verdict(v)), Payment{PayoutID("po" + named), Terms{Hold: hold}}, now)
	case event == "appeal":
		c, err = w.snapshot(a, named).Appeal(a, CaseID("k"+named), "unfair", now)
	default:
		c, err = apply(w.snapshot(a, named), event, a, now)
	}
	w.commit(must(w.t, c, err))
}

// standingOpen builds an open-mode task in the named state by real transitions
// only. The first word is the state, the others say what became of the
// holder's delivery d1; two slots, but for "last", "frozen" and what is settled.
func standingOpen(t *testing.T, name string) *world {
	t.Helper()
	name, auto := strings.CutSuffix(name, " auto")
	state, what, _ := strings.Cut(name, " ")
	slots := int64(2)
	if state == "settled" || strings.Contains(what, "last") || strings.Contains(what, "frozen") {
		slots = 1
	}
	w := openWorld(t, slots, auto)
	from := t0
	if state == "in_review" {
		from = deadline.Add(-2 * time.Hour)
	}
	at := func(minutes int) time.Time { return from.Add(time.Duration(minutes) * time.Minute) }
	verdict := "deliver pass"
	if strings.Contains(what, "error") {
		verdict = "deliver error"
	}
	frozen := strings.HasPrefix(what, "frozen")
	if frozen {
		w.at(at(10), "deliver error", rival, "d0") // never accepted by its checks alone
		w.at(at(20), "reject", publisher, "d0")
	}
	if what != "" && what != "failed" || state == "settled" {
		if auto {
			verdict = "deliver error"
		}
		w.at(at(30), verdict, holder, "d1")
	}
	if frozen {
		w.at(at(40), "appeal", rival, "d0")
	}
	switch {
	case what == "failed":
		w.at(at(30), "deliver fail", holder, "d1")
	case strings.Contains(what, "rejected"), strings.Contains(what, "appealed"):
		w.at(at(50), "reject", publisher, "d1")
	case what == "paid", state == "settled" && what == "":
		w.at(at(50), "accept", publisher, "d1")
	}
	beaten := state == "settled" && (what == "rejected" || what == "appealed")
	beaten = beaten || strings.HasSuffix(what, " paid")
	if beaten || strings.Contains(what, "rival") || what == "last" {
		w.at(at(60), "deliver pass", rival, "d0")
	}
	if beaten {
		w.at(at(70), "accept", publisher, "d0")
	}
	if strings.Contains(what, "appealed") {
		w.at(at(80), "appeal", holder, "d1")
	}
	if strings.HasSuffix(what, "alone") {
		w.at(at(90), "uphold", judge, "d0")
	}
	silent := strings.HasSuffix(what, "silent") || strings.HasSuffix(what, "objected")
	if silent {
		w.now = at(30).Add(72 * time.Hour)
		w.catchUp()
	}
	w.now = w.now.Add(time.Minute)
	switch {
	case strings.HasSuffix(what, "objected"):
		w.at(w.now, "object", publisher, "d1")
	case strings.HasSuffix(what, "error case"):
		w.now = at(30).Add(72 * time.Hour)
		w.catchUp()
	case state == "in_review" && !silent:
		w.now = deadline
		w.catchUp()
	case state == "cancelled":
		w.at(at(1), "cancel", publisher, "")
	case state == "expired":
		w.now = deadline
		w.catchUp()
	}
	w.now = w.now.Add(time.Minute)
	return w
}

// tryOpen tries an event on a task of open mode at the world's time. What is
// about a delivery is about d1.
func tryOpen(w *world, event string, a Actor) (Snapshot, Change, error) {
	switch event {
	case "tick":
		w.now = *w.task.DueAt
		s := w.snapshot(Actor{}, "")
		return s, s.Tick(ClockIDs{Payout: "po", Case: "k9"}, Terms{Hold: hold}, w.now), nil
	case "case silence":
		s := w.snapshot(Actor{}, "d1")
		w.now = s.Case.DueAt
		return s, s.TickCase(w.now), nil
	case "accept", "reject", "withdraw", "appeal", "object", "uphold", "overturn", "split", "keep", "reverse":
		s := w.named(a, "d1")
		c, err := apply(s, event, a, w.now)
		return s, c, err
	}
	s := w.snapshot(a, "")
	c, err := apply(s, event, a, w.now)
	return s, c, err
}

// named is the snapshot with that delivery, nil if the task has none such.
func (w *world) named(a Actor, id DeliveryID) Snapshot {
	for _, d := range w.deliveries {
		if d.ID == id {
			return w.snapshot(a, id)
		}
	}
	s := w.snapshot(a, "")
	s.Delivery, s.Case = nil, nil
	return s
}

// told puts a change in words: the state of the task and of the delivery, what
// moved, and which clock runs then.
func (w *world) told(before Snapshot, c Change) string {
	s := c.Snapshot
	out := string(s.State)
	if s.Delivery != nil {
		out += "/" + string(s.Delivery.State)
	}
	sums := map[TransferKind]Credits{}
	for _, x := range c.Transfers {
		sums[x.Kind] += x.Amount
	}
	for _, k := range []struct {
		kind TransferKind
		word string
	}{{TransferPayout, "pay"}, {TransferRefund, "back"}, {TransferReversal, "return"}} {
		if n := sums[k.kind]; n > 0 {
			out += fmt.Sprintf(" %s %d", k.word, n)
		}
	}
	switch {
	case s.Terminal():
	case s.Frozen > before.Frozen:
		out += " freeze"
	case s.Frozen < before.Frozen:
		out += " unfreeze"
	}
	if c.NewCase && s.Case.Kind != CaseObjection && !s.Case.Frozen {
		out += " record"
	}
	if c.PayoutChange == PayoutHeld {
		out += " hold"
	}
	if c.Waive {
		out += " waive"
	}
	if c.NotSelected {
		out += " others out"
	}
	return out + w.clock(before, c)
}

// clock names the clock that runs after a change: that of the deadline, of the
// delivery, the one before, or that of another delivery.
func (w *world) clock(before Snapshot, c Change) string {
	s := c.Snapshot
	d := s.Delivery
	if d != nil && d.DueAt != nil && (before.Delivery == nil || before.Delivery.DueAt == nil || !d.DueAt.Equal(*before.Delivery.DueAt)) {
		want := map[bool]time.Duration{true: 72 * time.Hour, false: 24 * time.Hour}[d.State == DeliveryPending]
		if d.InCase {
			want = 7 * 24 * time.Hour
		}
		if got := d.DueAt.Sub(w.now); got != want {
			return fmt.Sprintf(" the delivery is due in %s, not %s", got, want)
		}
	}
	switch {
	case s.DueAt == nil:
		return ""
	case s.DueAt.Equal(s.Deadline):
		return ", D"
	case d != nil && d.DueAt != nil && d.DueAt.Equal(*s.DueAt):
		switch {
		case d.InCase:
			return ", 7 d"
		case d.State == DeliveryPending:
			return ", RW"
		}
		return ", AW"
	case before.DueAt != nil && before.DueAt.Equal(*s.DueAt):
		return ", as before"
	}
	for _, x := range w.deliveries {
		switch {
		case x.DueAt == nil:
		case x.DueAt.Equal(*s.DueAt):
			return ", the other's"
		case c.ResumeFrom != nil && x.DueAt.Add(w.now.Sub(*c.ResumeFrom)).Equal(*s.DueAt):
			return ", the other's moved on"
		}
	}
	return fmt.Sprintf(", due in %s", s.DueAt.Sub(w.now))
}
