package market

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"
)

// maxTicksExclusive is the longest way of an exclusive task by the clock alone:
// a lease ends, the appeal window ends, the deadline passes; or a case opens,
// closes, and the same.
const maxTicksExclusive = 3

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
	wallet     Funds // what the publisher had
	funded     Funds // what publishing took
	seen       map[Event]int
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

func (w *world) check() {
	w.t.Helper()
	var sum Credits
	for name, f := range w.ledger {
		if f.Granted < 0 || f.Earned < 0 {
			w.fail("%s is overdrawn: %+v", name, f)
		}
		sum += f.Total()
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
	case !over && t.Escrow.Total() != t.Reward*Credits(t.Slots):
		w.fail("live task holds %+v for %d slots of %d", t.Escrow, t.Slots, t.Reward)
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

func (w *world) clockIDs() ClockIDs { return ClockIDs{PayoutID(w.id("po")), CaseID(w.id("k"))} }

func (w *world) tick() {
	w.t.Helper()
	w.ticking = true // several clocks may have run out at one moment
	w.commit(w.snapshot(Actor{}, "").Tick(w.clockIDs(), hold, w.now))
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

func (w *world) jump() {
	r := w.r
	next := w.now
	// Waiting for an open task's deadline ends the walk; do it seldom.
	wait := w.task.DueAt != nil && (w.task.State != Open || w.task.DueAt.Before(w.task.Deadline) || r.IntN(25) == 0)
	switch n := r.IntN(20); {
	case n < 12:
		next = next.Add(time.Duration(r.IntN(15)) * time.Minute)
	case n < 13:
		next = next.Add(time.Duration(r.IntN(30)) * time.Hour)
	case n < 15 && wait:
		next = *w.task.DueAt
	case n < 16 && wait:
		next = w.task.DueAt.Add(-1)
	case n < 17 && r.IntN(20) == 0:
		next = w.task.Deadline.Add(time.Duration(r.IntN(3) - 1))
	case n < 18 && r.IntN(40) == 0:
		next = next.Add(9 * 24 * time.Hour) // downtime
	}
	if next.After(w.now) {
		w.now = next
	}
}

// any is a random delivery in the state, "" if there is none.
func (w *world) any(match func(Delivery) bool) DeliveryID {
	var found []DeliveryID
	for _, d := range w.deliveries {
		if match(d) {
			found = append(found, d.ID)
		}
	}
	if len(found) == 0 {
		return ""
	}
	return found[w.r.IntN(len(found))]
}

// event tries one random event by one random actor. Events of a worker are
// mostly tried by the holder, so that the walk gets somewhere.
func (w *world) event(actors []Actor) {
	w.t.Helper()
	r := w.r
	a := actors[r.IntN(len(actors))]
	if w.claim != nil && r.IntN(3) > 0 {
		a = Actor{Account: w.claim.Worker, Kind: Agent}
	}
	id, epoch := ClaimID(""), int64(0)
	if w.claim != nil && r.IntN(2) == 0 {
		id, epoch = w.claim.ID, w.claim.Epoch-int64(r.IntN(5)/4)
	}
	some := w.any(func(Delivery) bool { return true })
	pending := w.any(func(d Delivery) bool { return d.State == DeliveryPending })
	by := func(id DeliveryID) Actor {
		for _, d := range w.deliveries {
			if d.ID == id && r.IntN(10) > 0 {
				return Actor{Account: d.Worker, Kind: Agent}
			}
		}
		return a
	}
	pay := Payment{PayoutID(w.id("po")), hold}
	var c Change
	var err error
	switch r.IntN(17) {
	case 0, 1, 2:
		c, err = w.snapshot(a, "").ClaimBy(a, ClaimID(w.id("c")), w.now)
	case 3:
		c, err = w.snapshot(a, "").Renew(a, id, epoch, w.now)
	case 4:
		c, err = w.snapshot(a, "").Release(a, id, epoch, w.now)
	case 5, 6, 7:
		v := []Verdict{VerdictPass, VerdictFail, VerdictError}[r.IntN(3)]
		c, err = w.snapshot(a, "").Deliver(a, DeliveryID(w.id("d")), id, epoch,
			Package{Output: json.RawMessage(`1`), SummaryText: "x"}, report(v), pay, w.now)
	case 8:
		if r.IntN(3) == 0 && pending != "" {
			c, err = w.snapshot(publisher, pending).Accept(publisher, pay.ID, hold, w.now)
		} else {
			c, err = w.snapshot(a, some).Accept(a, pay.ID, hold, w.now)
		}
	case 9:
		c, err = w.snapshot(publisher, pending).Reject(publisher, fair, w.now)
	case 10:
		a = by(pending)
		c, err = w.snapshot(a, pending).Withdraw(a, w.now)
	case 11:
		if r.IntN(6) > 0 {
			a = person
		} else {
			a = publisher
		}
		c, err = w.snapshot(a, "").Cancel(a, w.now)
	case 12:
		rejected := w.any(func(d Delivery) bool { return d.State == DeliveryRejected })
		a = by(rejected)
		c, err = w.snapshot(a, rejected).Appeal(a, CaseID(w.id("k")), "unfair", w.now)
	case 13, 15, 16:
		in := w.any(func(d Delivery) bool { return d.InCase })
		if in == "" {
			return
		}
		s := w.snapshot(judge, in)
		d := Decision{Outcome: []CaseOutcome{CaseUpheld, CaseOverturned, CaseSplit, CaseKept, CaseReversed}[r.IntN(5)], Note: "so be it", Share: int64(r.IntN(10_002))}
		c, err = s.Decide(judge, d, pay, w.now)
	case 14:
		paid := w.any(func(d Delivery) bool { return d.State == DeliveryAccepted })
		c, err = w.snapshot(publisher, paid).Object(publisher, CaseID(w.id("k")), "not what it says", w.now)
	}
	if err == nil {
		w.commit(c)
		return
	}
	var e *Error
	if !errors.As(err, &e) || e.Kind == KindInternal {
		w.fail("refused with %v", err)
	}
}

// newWorld publishes a random task of the mode from random funds.
func newWorld(t *testing.T, mode string, seed uint64) *world {
	r := rand.New(rand.NewPCG(1, seed))
	w := &world{t: t, r: r, now: t0, attempts: map[AccountID]int{}, ledger: map[string]Funds{}, seen: map[Event]int{}}
	have := Funds{Granted: Credits(r.IntN(50)), Earned: Credits(4 + r.IntN(50))}
	w.wallet = have
	w.ledger[WalletAccount(publisher.Account)] = have
	w.ledger[WalletAccount(holder.Account)] = Funds{Earned: 7}
	w.total = have.Total() + 7
	number := func(low, n int) *int64 { x := int64(low + r.IntN(n)); return &x }
	end := t0.Add(time.Hour + time.Duration(r.IntN(90*24-1))*time.Hour)
	if r.IntN(3) == 0 {
		end = t0.Add(time.Hour + time.Duration(r.IntN(72*60))*time.Minute)
	}
	d := Draft{Title: "Walk", Brief: brief, Mode: mode, Reward: 1 + r.Int64N(int64(have.Total())), Deadline: &end,
		Rules:        []Rule{{Name: "tone", Kind: RuleManual, Text: "be wet"}},
		ClaimMinutes: number(5, 600), ReviewHours: number(1, 336), MaxAttempts: number(1, 3)}
	if mode == ModeOpen {
		d.MaxAccepted = number(1, 4)
		d.Reward = max(1, d.Reward / *d.MaxAccepted)
	}
	if r.IntN(4) == 0 {
		sample := []Sample{{Output: json.RawMessage(`1`)}}
		d.AutoAccept, d.Rules, d.Samples = true, nil, &Samples{Pass: sample, Fail: sample}
	}
	if f := d.Clean(t0); len(f) > 0 {
		t.Fatalf("the walk's own draft is wrong: %+v", f)
	}
	c, err := Publish(publisher, "t1", d, have, t0)
	must(t, c, err)
	w.funded = c.Snapshot.Escrow
	w.commit(c)
	return w
}

func TestRandomWalksKeepTheBooksAndEndByTheClock(t *testing.T) {
	walks, steps := 3000, 60
	actors := []Actor{publisher, holder, other, person, {Account: "x", Kind: Agent}, {Account: "y", Kind: Agent}}
	never := map[string][]Event{
		ModeExclusive: {EventAppealClosed, EventDeadlinePassed},
		ModeOpen:      {EventClaimed, EventRenewed, EventReleased, EventLeaseEnded, EventReopened},
	}
	for _, mode := range []string{ModeExclusive, ModeOpen} {
		t.Run(mode, func(t *testing.T) {
			seen, ends, longest := map[Event]int{}, map[State]int{}, 0
			for seed := range walks {
				w := newWorld(t, mode, uint64(seed))
				w.log = append(w.log, fmt.Sprintf("seed %d", seed))
				for range steps {
					w.jump()
					w.catchUp()
					w.event(actors)
				}
				longest = max(longest, w.runOut())
				ends[w.task.State]++
				w.checkOutcome()
				for e, n := range w.seen {
					seen[e] += n
				}
			}
			// A walk that never gets somewhere proves nothing about it.
			for _, e := range Events() {
				if want := !slices.Contains(never[mode], e); want && seen[e] < 20 || !want && seen[e] > 0 {
					t.Errorf("the walks made %s %d times", e, seen[e])
				}
			}
			for _, s := range []State{Settled, Cancelled, Expired} {
				if ends[s] < 20 {
					t.Errorf("only %d walks ended %s", ends[s], s)
				}
			}
			if mode == ModeExclusive && longest != maxTicksExclusive {
				t.Errorf("the longest way by the clock was %d ticks, want %d", longest, maxTicksExclusive)
			}
			t.Logf("events %v, ends %v, longest %d", seen, ends, longest)
		})
	}
}

// runOut lets the clock alone end the task, and all cases, and counts its
// ticks.
func (w *world) runOut() int {
	w.t.Helper()
	ticks := 0
	for ; !w.task.State.Terminal(); ticks++ {
		if ticks > maxTicksExclusive+3*len(w.deliveries) {
			w.fail("not over after %d ticks: %s", ticks, w.task.State)
		}
		if w.task.DueAt.After(w.now) {
			w.now = *w.task.DueAt
		}
		w.tick()
	}
	for _, k := range w.cases {
		if k.ClosedAt == nil {
			w.now = k.DueAt
			w.commit(w.snapshot(Actor{}, k.Delivery).TickCase(w.now))
		}
	}
	return ticks
}

// checkOutcome: what was paid and what went back is what was funded; each
// slot's payout went to the delivery that won it.
func (w *world) checkOutcome() {
	w.t.Helper()
	paid := map[AccountID]Credits{}
	for _, d := range w.deliveries {
		switch {
		case (d.State == DeliveryAccepted || d.State == DeliveryReversed) != (d.Payout != nil):
			w.fail("delivery %s is %s with payout %v", d.ID, d.State, d.Payout)
		case d.State == DeliveryAccepted:
			paid[d.Worker] += d.Payout.Amount
		}
	}
	var sum Credits
	for _, a := range []AccountID{"p", "w", "o", "h", "x", "y"} {
		got := w.ledger[PendingAccount(a)]
		if got.Granted != 0 || got.Earned != paid[a] {
			w.fail("%s has %+v pending, was paid %d", a, got, paid[a])
		}
		sum += got.Total()
	}
	back := w.ledger[WalletAccount(publisher.Account)]
	if back.Total() != w.wallet.Total()-sum || sum == 0 && back != w.wallet {
		w.fail("%s: paid %d, publisher has %+v, had %+v", w.task.State, sum, back, w.wallet)
	}
}
