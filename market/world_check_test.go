package market

import "time"

// check holds the world to every invariant that is true between two changes.
func (w *world) check() {
	w.t.Helper()
	var sum Credits
	for name, f := range w.ledger {
		if f.Granted < 0 || f.Earned < 0 {
			w.fail("%s is overdrawn: %+v", name, f)
		}
		sum += f.Total()
	}
	var granted Credits
	for _, f := range w.ledger {
		granted += f.Granted
	}
	if w.keeps() && granted != w.granted {
		w.fail("%d granted credits, there were %d: some became earned", granted, w.granted)
	}
	if sum != w.total {
		w.fail("the books hold %d, want %d", sum, w.total)
	}
	t := w.task
	if got := w.ledger[EscrowAccount(t.ID)]; got != t.Escrow {
		w.fail("ledger holds %+v in escrow, the task %+v", got, t.Escrow)
	}
	over := t.State.Terminal()
	switch {
	case over && (t.Escrow != Funds{} || t.DueAt != nil || w.claim != nil || t.Slots != 0 || t.Frozen != 0 || t.PausedAt != nil):
		w.fail("terminal task: %+v, claim %v", t, w.claim)
	case !over && t.Escrow.Total() != (t.Reward+t.Fee)*Credits(t.Slots):
		w.fail("live task holds %+v for %d slots of %d and %d", t.Escrow, t.Slots, t.Reward, t.Fee)
	case !over && (t.DueAt == nil || t.Mode == ModeExclusive && !w.ticking && !t.DueAt.After(w.now)):
		w.fail("live task is due %v at %v", t.DueAt, w.now)
	case !over && t.Slots != t.MaxAccepted-w.used:
		w.fail("%d slots left of %d after %d were used", t.Slots, t.MaxAccepted, w.used)
	}
	if w.used > 0 && over && t.State != Settled || w.used == 0 && t.State == Settled {
		w.fail("%d slots used in state %s", w.used, t.State)
	}
	if t.Epoch != w.ended {
		w.fail("epoch %d after %d ended claims", t.Epoch, w.ended)
	}
	frozen := 0
	for _, k := range w.cases {
		if k.ClosedAt == nil && k.Frozen {
			frozen++
		}
	}
	if !over && frozen != t.Frozen {
		w.fail("%d slots frozen, %d cases hold one", t.Frozen, frozen)
	}
	pending, each, due := 0, map[AccountID]int{}, (*time.Time)(nil)
	for _, d := range w.deliveries {
		if d.State == DeliveryPending {
			pending++
			each[d.Worker]++
		}
		if t.Mode == ModeOpen && !over && !w.paused(d) {
			due = earliest(due, d.DueAt)
		}
	}
	if over && pending > 0 {
		w.fail("%d pending deliveries in %s", pending, t.State)
	}
	if t.Mode == ModeExclusive && (pending > 1 || pending == 1 && t.State != InReview) {
		w.fail("%d pending deliveries in %s", pending, t.State)
	}
	if t.Mode == ModeOpen && !over {
		if t.State == Open {
			due = earliest(due, &t.Deadline)
		}
		if due == nil || !due.Equal(*t.DueAt) {
			w.fail("due %v, the first clock is %v", t.DueAt, due)
		}
	}
	for who, n := range each {
		if n > 1 {
			w.fail("%s has %d pending deliveries", who, n)
		}
	}
	for who, n := range w.attempts {
		if n > t.MaxAttempts {
			w.fail("%s used %d of %d attempts", who, n, t.MaxAttempts)
		}
	}
}
