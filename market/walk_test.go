package market

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

// maxTicks is the longest way by the clock alone: a lease ends, the appeal
// window ends, the deadline passes; or a case opens, closes, and the same.
const maxTicks = 3

// world is a store in miniature: one task, its deliveries, and the ledger.
type world struct {
	t          *testing.T
	r          *rand.Rand
	now        time.Time
	task       Task
	claim      *Claim
	deliveries []*Delivery
	attempts   map[AccountID]int
	ledger     map[string]Funds
	total      Credits
	wallet     Funds // what the publisher had
	funded     Funds // what publishing took
	seen       map[Event]int
	ended      int64 // claims that ended
	payouts    int
	ids        int
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

// snapshot loads the task as the store does: with the last delivery if one is
// asked for, else with the pending one; attempts are those of its worker, else
// of the actor.
func (w *world) snapshot(a Actor, last bool) Snapshot {
	s := Snapshot{Task: w.task}
	if w.claim != nil {
		c := *w.claim
		s.Claim = &c
	}
	concerned := a.Account
	if n := len(w.deliveries); n > 0 && (last || w.deliveries[n-1].State == DeliveryPending) {
		d := *w.deliveries[n-1]
		s.Delivery, concerned = &d, d.Worker
	}
	s.Attempts = w.attempts[concerned]
	return s
}

// commit makes a change true and checks every invariant.
func (w *world) commit(c Change) {
	w.t.Helper()
	s := c.Snapshot
	w.seen[c.Event]++
	w.log = append(w.log, fmt.Sprintf("%s %s: %s → %s, escrow %+v, due %v", w.now.Format(time.RFC3339Nano), c.Event, c.Was, s.State, s.Escrow, s.DueAt))
	if w.task.State.Terminal() {
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
	w.task, w.claim = s.Task, s.Claim
	if w.claim != nil && w.claim.EndedAt != nil {
		w.claim = nil
	}
	switch {
	case c.NewDelivery:
		w.deliveries = append(w.deliveries, s.Delivery)
		if s.Delivery.Attempt > 0 {
			w.attempts[s.Delivery.Worker]++
			if w.attempts[s.Delivery.Worker] != s.Delivery.Attempt {
				w.fail("attempt %d of %s is numbered %d", w.attempts[s.Delivery.Worker], s.Delivery.Worker, s.Delivery.Attempt)
			}
		}
	case s.Delivery != nil:
		w.deliveries[len(w.deliveries)-1] = s.Delivery
	}
	if c.Payout != nil {
		w.payouts++
	}
	w.check()
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
	if got := w.ledger[EscrowAccount(w.task.ID)]; got != w.task.Escrow {
		w.fail("ledger holds %+v in escrow, the task %+v", got, w.task.Escrow)
	}
	over := w.task.State.Terminal()
	switch {
	case over && (w.task.Escrow != Funds{} || w.task.DueAt != nil || w.claim != nil):
		w.fail("terminal task holds %+v, due %v, claim %v", w.task.Escrow, w.task.DueAt, w.claim)
	case !over && w.task.Escrow != w.funded:
		w.fail("live task holds %+v, was funded %+v", w.task.Escrow, w.funded)
	case !over && (w.task.DueAt == nil || !w.task.DueAt.After(w.now)):
		w.fail("live task is due %v at %v", w.task.DueAt, w.now)
	}
	if (w.payouts == 1) != (w.task.State == Settled) || w.payouts > 1 {
		w.fail("%d payouts in state %s", w.payouts, w.task.State)
	}
	if w.task.Epoch != w.ended {
		w.fail("epoch %d after %d ended claims", w.task.Epoch, w.ended)
	}
	pending := 0
	for _, d := range w.deliveries {
		if d.State == DeliveryPending {
			pending++
		}
	}
	if pending > 1 || pending == 1 && w.task.State != InReview {
		w.fail("%d pending deliveries in %s", pending, w.task.State)
	}
	for who, n := range w.attempts {
		if n > w.task.MaxAttempts {
			w.fail("%s used %d of %d attempts", who, n, w.task.MaxAttempts)
		}
	}
}

func (w *world) tick() {
	w.t.Helper()
	w.commit(w.snapshot(Actor{}, false).Tick(PayoutID(w.id("po")), hold, w.now))
}

// catchUp lets the clock act as often as it must, as the store does first.
func (w *world) catchUp() {
	w.t.Helper()
	for n := 0; w.snapshot(Actor{}, false).Due(w.now); n++ {
		if n == maxTicks {
			w.fail("the clock is still due after %d ticks at one moment", n)
		}
		w.tick()
	}
}

func (w *world) jump() {
	r := w.r
	next := w.now
	// Waiting for an open task's deadline ends the walk; do it seldom.
	wait := w.task.DueAt != nil && (w.task.State != Open || r.IntN(25) == 0)
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
	}
	if next.After(w.now) {
		w.now = next
	}
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
	var c Change
	var err error
	switch r.IntN(12) {
	case 0, 1, 2:
		c, err = w.snapshot(a, false).ClaimBy(a, ClaimID(w.id("c")), w.now)
	case 3:
		c, err = w.snapshot(a, false).Renew(a, id, epoch, w.now)
	case 4:
		c, err = w.snapshot(a, false).Release(a, id, epoch, w.now)
	case 5, 6, 7:
		v := []Verdict{VerdictPass, VerdictFail, VerdictError}[r.IntN(3)]
		c, err = w.snapshot(a, false).Deliver(a, DeliveryID(w.id("d")), id, epoch,
			Package{Output: json.RawMessage(`1`), SummaryText: "x"}, report(v), Payment{PayoutID(w.id("po")), hold}, w.now)
	case 8:
		if r.IntN(3) == 0 {
			c, err = w.snapshot(publisher, true).Accept(publisher, PayoutID(w.id("po")), hold, w.now)
		} else {
			c, err = w.snapshot(a, true).Accept(a, PayoutID(w.id("po")), hold, w.now)
		}
	case 9:
		c, err = w.snapshot(publisher, true).Reject(publisher, fair, w.now)
	case 10:
		c, err = w.snapshot(a, true).Withdraw(a, w.now)
	case 11:
		if r.IntN(4) > 0 {
			a = person
		} else {
			a = publisher
		}
		c, err = w.snapshot(a, false).Cancel(a, w.now)
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

// newWorld publishes a random task from random funds.
func newWorld(t *testing.T, seed uint64) *world {
	r := rand.New(rand.NewPCG(1, seed))
	w := &world{t: t, r: r, now: t0, attempts: map[AccountID]int{}, ledger: map[string]Funds{}, seen: map[Event]int{}}
	have := Funds{Granted: Credits(r.IntN(50)), Earned: Credits(1 + r.IntN(50))}
	w.wallet = have
	w.ledger[WalletAccount(publisher.Account)] = have
	w.ledger[WalletAccount(holder.Account)] = Funds{Earned: 7}
	w.total = have.Total() + 7
	number := func(low, n int) *int64 { x := int64(low + r.IntN(n)); return &x }
	end := t0.Add(time.Hour + time.Duration(r.IntN(90*24-1))*time.Hour)
	if r.IntN(3) == 0 {
		end = t0.Add(time.Hour + time.Duration(r.IntN(72*60))*time.Minute)
	}
	d := Draft{Title: "Walk", Brief: brief, Reward: 1 + r.Int64N(int64(have.Total())), Deadline: &end,
		Rules:        []Rule{{Name: "tone", Kind: RuleManual, Text: "be wet"}},
		ClaimMinutes: number(5, 600), ReviewHours: number(1, 336), MaxAttempts: number(1, 3)}
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
	walks, steps := 2000, 40
	seen, ends := map[Event]int{}, map[State]int{}
	longest := 0
	for seed := range walks {
		w := newWorld(t, uint64(seed))
		w.log = append(w.log, fmt.Sprintf("seed %d", seed))
		for range steps {
			w.jump()
			w.catchUp()
			if w.task.State.Terminal() {
				// Nothing may follow: every event must be refused.
				w.event([]Actor{publisher, holder, other, person})
				continue
			}
			w.event([]Actor{publisher, holder, other, person})
		}
		ticks := 0
		for ; !w.task.State.Terminal(); ticks++ {
			if ticks == maxTicks {
				w.fail("not over after %d ticks: %s", ticks, w.task.State)
			}
			w.now = *w.task.DueAt
			w.tick()
		}
		longest = max(longest, ticks)
		ends[w.task.State]++
		w.checkOutcome()
		for e, n := range w.seen {
			seen[e] += n
		}
	}
	// A walk that never gets somewhere proves nothing about it.
	for _, e := range []Event{EventPublished, EventClaimed, EventRenewed, EventReleased, EventLeaseEnded, EventDelivered,
		EventFailed, EventAccepted, EventRejected, EventWithdrawn, EventCancelled, EventExpired, EventReopened,
		EventCaseOpened, EventCaseClosed, EventSilenceAccept, EventAutoAccepted} {
		if seen[e] < 20 {
			t.Errorf("the walks made %s only %d times", e, seen[e])
		}
	}
	for _, s := range []State{Settled, Cancelled, Expired} {
		if ends[s] < 20 {
			t.Errorf("only %d walks ended %s", ends[s], s)
		}
	}
	if longest != maxTicks {
		t.Errorf("the longest way by the clock was %d ticks, want %d", longest, maxTicks)
	}
	t.Logf("events %v, ends %v", seen, ends)
}

// checkOutcome: one worker has it all, or the publisher has exactly the split.
func (w *world) checkOutcome() {
	w.t.Helper()
	got := Credits(0)
	for _, a := range []Actor{publisher, holder, other, person} {
		got += w.ledger[PendingAccount(a.Account)].Earned
		if w.ledger[PendingAccount(a.Account)].Granted != 0 {
			w.fail("a payout of granted credits")
		}
	}
	if w.task.State == Settled {
		d := w.deliveries[len(w.deliveries)-1]
		if got != w.funded.Total() || w.ledger[PendingAccount(d.Worker)].Earned != got || d.State != DeliveryAccepted {
			w.fail("settled: paid %d of %+v to %s, delivery %s", got, w.funded, d.Worker, d.State)
		}
		return
	}
	back := w.ledger[WalletAccount(publisher.Account)]
	if got != 0 || back.Total() != w.total-7 || back != w.wallet {
		w.fail("%s: paid %d, publisher has %+v, had %+v", w.task.State, got, back, w.wallet)
	}
}
