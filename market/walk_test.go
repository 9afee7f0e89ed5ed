package market

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// maxTicksExclusive is the longest way of an exclusive task by the clock alone:
// a lease ends, the appeal window ends, the deadline passes; or a case opens,
// closes, and the same.
const maxTicksExclusive = 3

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
	pay := Payment{PayoutID(w.id("po")), w.terms}
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
			c, err = w.snapshot(publisher, pending).Accept(publisher, pay, w.now)
		} else {
			c, err = w.snapshot(a, some).Accept(a, pay, w.now)
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
	w := &world{t: t, r: r, now: t0, attempts: map[AccountID]int{}, ledger: map[string]Funds{}, seen: map[Event]int{}, made: map[step]bool{}}
	have := Funds{Granted: Credits(r.IntN(50)), Earned: Credits(4 + r.IntN(50))}
	w.wallet = have
	w.ledger[WalletAccount(publisher.Account)] = have
	w.ledger[WalletAccount(holder.Account)] = Funds{Earned: 7}
	w.total, w.granted = have.Total()+7, have.Granted
	w.terms = Terms{Hold: hold, Strict: r.IntN(2) == 0}
	bps := r.IntN(3) * r.IntN(2000)
	number := func(low, n int) *int64 { x := int64(low + r.IntN(n)); return &x }
	end := t0.Add(time.Hour + time.Duration(r.IntN(90*24-1))*time.Hour)
	if r.IntN(3) == 0 {
		end = t0.Add(time.Hour + time.Duration(r.IntN(72*60))*time.Minute)
	}
	d := Draft{Title: "Walk", Brief: brief, Mode: mode, Reward: 1 + r.Int64N(int64(have.Total())*10/14), Deadline: &end,
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
	c, err := Publish(publisher, "t1", d, bps, have, t0)
	must(t, c, err)
	c.Snapshot.Established = r.IntN(3) == 0
	w.funded = c.Snapshot.Escrow
	w.commit(c)
	return w
}

// walkers are those who act in the walks.
var walkers = []Actor{publisher, holder, other, person, {Account: "x", Kind: Agent}, {Account: "y", Kind: Agent}}

func TestRandomWalksKeepTheBooksAndEndByTheClock(t *testing.T) {
	walks, steps := 3000, 60
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
					w.event(walkers)
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
	paid, kept, fees := map[AccountID]Credits{}, map[AccountID]Credits{}, Credits(0)
	for _, d := range w.deliveries {
		switch {
		case (d.State == DeliveryAccepted || d.State == DeliveryReversed) != (d.Payout != nil):
			w.fail("delivery %s is %s with payout %v", d.ID, d.State, d.Payout)
		case d.State == DeliveryAccepted:
			paid[d.Worker] += d.Payout.Amount
			kept[d.Worker] += d.Payout.Granted
			fees += w.task.Fee * d.Payout.Amount / w.task.Reward
		}
	}
	var sum Credits
	for _, a := range []AccountID{"p", "w", "o", "h", "x", "y"} {
		got := w.ledger[PendingAccount(a)]
		if got.Granted != kept[a] || got.Total() != paid[a] || kept[a] > 0 && !w.keeps() {
			w.fail("%s has %+v pending, was paid %d, %d of it granted", a, got, paid[a], kept[a])
		}
		sum += got.Total()
	}
	back := w.ledger[WalletAccount(publisher.Account)]
	if got := w.ledger[FeesAccount].Total(); got != fees {
		w.fail("the platform has %d, want %d", got, fees)
	}
	if back.Total() != w.wallet.Total()-sum-fees || sum == 0 && back != w.wallet {
		w.fail("%s: paid %d, publisher has %+v, had %+v", w.task.State, sum, back, w.wallet)
	}
}
