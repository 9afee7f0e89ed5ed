package market

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

// world is a store in miniature: one task, its deliveries and cases, and the
// ledger.
type world struct {
	t          *testing.T
	r          *rand.Rand
	now        time.Time
	task       Task
	claim      *Claim
	deliveries []Delivery
	cases      []Case
	attempts   map[AccountID]int
	ledger     map[string]Funds
	total      Credits
	granted    Credits // how many of them
	terms      Terms
	wallet     Funds // what the publisher had
	funded     Funds // what publishing took
	seen       map[Event]int
	made       map[step]bool
	ended      int64 // claims that ended
	used       int   // slots used up
	ids        int
	ticking    bool
	log        []string
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	for _, line := range w.log {
		w.t.Log(line)
	}
	w.t.Fatalf(format, args...)
}

func (w *world) id(kind string) string {
	w.ids++
	return kind + strconv.Itoa(w.ids)
}

// keeps reports whether rewards keep the class of what funded them.
func (w *world) keeps() bool { return w.terms.Strict && !w.task.Established }

func (w *world) paused(d Delivery) bool {
	return w.task.PausedAt != nil && d.State == DeliveryPending && !d.InCase
}

// choose is the delivery that the store would load.
func (w *world) choose(a Actor, named DeliveryID) *Delivery {
	var best *Delivery
	for i := range w.deliveries {
		d := &w.deliveries[i]
		switch {
		case named != "":
			if d.ID == named {
				return d
			}
		case w.task.Mode == ModeExclusive:
			if d.State == DeliveryPending || d.InCase && a.Account == "" {
				return d
			}
		case a.Account != "":
			if d.State == DeliveryPending && d.Worker == a.Account {
				return d
			}
		case d.DueAt != nil && !w.paused(*d) && (best == nil || d.DueAt.Before(*best.DueAt)):
			best = d
		}
	}
	return best
}

// snapshot loads the task as the store does; without an actor it is for the
// clock.
func (w *world) snapshot(a Actor, named DeliveryID) Snapshot {
	s := Snapshot{Task: w.task}
	if w.claim != nil {
		c := *w.claim
		s.Claim = &c
	}
	concerned := a.Account
	if d := w.choose(a, named); d != nil {
		x := *d
		s.Delivery, concerned = &x, d.Worker
		for _, k := range w.cases {
			if k.Delivery == d.ID && k.ClosedAt == nil {
				s.Case = &k
			}
		}
		if (s.Case != nil) != d.InCase {
			w.fail("delivery %s is in a case: %v, has one: %v", d.ID, d.InCase, s.Case != nil)
		}
	}
	s.Attempts = w.attempts[concerned]
	for _, d := range w.deliveries {
		if d.DueAt == nil || s.Delivery != nil && d.ID == s.Delivery.ID {
			continue
		}
		one := Clocks{Live: 1}
		switch {
		case d.State == DeliveryPending && !d.InCase:
			one.Pending, one.Review = 1, d.DueAt
		case d.State == DeliveryPending:
			one.Pending, one.Window = 1, d.DueAt
		default:
			one.Window = d.DueAt
		}
		if d.Worker == a.Account && d.State == DeliveryRejected && !d.InCase {
			s.Waivable = s.Waivable.plus(one)
		} else {
			s.Others = s.Others.plus(one)
		}
	}
	return s
}

// commit makes a change true and checks every invariant.
func (w *world) commit(c Change) {
	w.t.Helper()
	s := c.Snapshot
	w.seen[c.Event]++
	w.made[stepOf(c)] = true
	w.checkNotices(c)
	w.log = append(w.log, fmt.Sprintf("%s %s: %s → %s, escrow %+v, slots %d frozen %d, due %v", w.now.Format(time.RFC3339Nano), c.Event, c.Was, s.State, s.Escrow, s.Slots, s.Frozen, s.DueAt))
	if err := c.Legal(); err != nil {
		w.fail("%v", err)
	}
	if w.task.State.Terminal() && s.State != w.task.State {
		w.fail("a terminal task moved")
	}
	if c.Was != w.task.State {
		w.fail("Was = %s, task is %s", c.Was, w.task.State)
	}
	for _, x := range c.Transfers {
		if x.Amount <= 0 {
			w.fail("transfer of %d", x.Amount)
		}
		w.ledger[x.Debit] = w.ledger[x.Debit].plus(x.DebitClass, -x.Amount)
		w.ledger[x.Credit] = w.ledger[x.Credit].plus(x.CreditClass, x.Amount)
	}
	if w.claim != nil && s.Claim != nil && s.Claim.EndedAt != nil {
		w.ended++
	}
	if c.Payout != nil && c.PayoutChange == PayoutAsIs {
		w.used++
	}
	w.task, w.claim = s.Task, s.Claim
	if w.claim != nil && w.claim.EndedAt != nil {
		w.claim = nil
	}
	w.write(c)
	w.check()
}

// write does what the statements of the store do to deliveries and cases.
func (w *world) write(c Change) {
	w.t.Helper()
	s := c.Snapshot
	for i := range w.deliveries {
		d := &w.deliveries[i]
		if s.Delivery != nil && d.ID == s.Delivery.ID {
			*d = *s.Delivery
			continue
		}
		if c.Waive && d.Worker == s.Delivery.Worker && d.State == DeliveryRejected && !d.InCase {
			d.DueAt = nil
		}
		if d.State != DeliveryPending {
			continue
		}
		if c.ResumeFrom != nil && !d.InCase {
			d.DueAt = resumed(d.DueAt, w.now.Sub(*c.ResumeFrom), w.now.Add(s.reviewWindow()))
		}
		if c.NotSelected {
			d.State, d.DueAt = DeliveryNotSelected, nil
		}
	}
	if c.NewDelivery {
		d := *s.Delivery
		w.deliveries = append(w.deliveries, d)
		if d.Attempt > 0 {
			w.attempts[d.Worker]++
			if w.attempts[d.Worker] != d.Attempt {
				w.fail("attempt %d of %s is numbered %d", w.attempts[d.Worker], d.Worker, d.Attempt)
			}
		}
	}
	switch {
	case c.NewCase:
		w.cases = append(w.cases, *s.Case)
	case s.Case != nil:
		for i := range w.cases {
			if w.cases[i].ID == s.Case.ID {
				w.cases[i] = *s.Case
			}
		}
	}
}

func (w *world) clockIDs() ClockIDs { return ClockIDs{PayoutID(w.id("po")), CaseID(w.id("k"))} }

func (w *world) tick() {
	w.t.Helper()
	w.ticking = true // several clocks may have run out at one moment
	w.commit(w.snapshot(Actor{}, "").Tick(w.clockIDs(), w.terms, w.now))
	w.ticking = false
}

// catchUp lets the clock act as often as it must, as the store does first.
func (w *world) catchUp() {
	w.t.Helper()
	for n := 0; w.task.DueAt != nil && !w.now.Before(*w.task.DueAt); n++ {
		if n > 3*len(w.deliveries)+maxTicksExclusive {
			w.fail("the clock is still due after %d ticks at one moment", n)
		}
		w.tick()
	}
}
