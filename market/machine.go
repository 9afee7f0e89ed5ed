package market

import (
	"fmt"
	"slices"
)

// Party says who makes a transition.
type Party string

// The parties.
const (
	PartyPublisher Party = "publisher"
	PartyWorker    Party = "worker" // any agent that is not the publisher
	PartyHolder    Party = "holder" // the worker of the live claim, or of the delivery
	PartyOperator  Party = "operator"
	PartyClock     Party = "clock"
)

// Transition is one line of the state table: what may happen to a task. A
// change that has no line is refused when it is to be stored, so the table and
// the rules cannot drift apart.
type Transition struct {
	Mode  string
	State State // "" before a task is published
	Event Event
	Who   []Party
	// Guard is what must be true besides, in words.
	Guard string
	// To are the states that can follow.
	To []State
	// Money says what moves, and Clock what runs then; "" for nothing.
	Money, Clock string
}

// Words of the table that come often.
const (
	refundAll  = "escrow → wallet, in the split that funded it"
	paySlot    = "escrow → pending, one reward"
	payPart    = "escrow → pending, the part rounded down; the rest → wallet"
	clockD     = "deadline"
	clockL     = "lease: claimMinutes, renewed at most to four times that, never beyond the deadline"
	clockRW    = "review window: reviewHours"
	clockAW    = "appeal window: 24 h"
	clockCase  = "case: 7 days"
	clockHold  = "hold of the payout"
	clockItems = "the first of: deadline, review windows, appeal windows, cases"
)

func states(s ...State) []State  { return s }
func parties(p ...Party) []Party { return p }

var table = slices.Concat(
	[]Transition{
		{ModeExclusive, "", EventPublished, parties(PartyPublisher), "the wallet covers reward × maxAccepted", states(Open), "wallet → escrow, granted credits first", clockD},
		{ModeOpen, "", EventPublished, parties(PartyPublisher), "the wallet covers reward × maxAccepted", states(Open), "wallet → escrow, granted credits first", clockD},
	},
	exclusiveTable(), openTable(), payoutTable(ModeExclusive), payoutTable(ModeOpen))

// Table lists every transition of both modes.
func Table() []Transition { return slices.Clone(table) }

func exclusiveTable() []Transition {
	t := func(s State, e Event, who Party, guard string, to []State, money, clock string) Transition {
		return Transition{ModeExclusive, s, e, parties(who), guard, to, money, clock}
	}
	left := "attempts left, before the deadline"
	leave := states(Open, InReview, Expired)
	ended := "refund if expired"
	return []Transition{
		t(Open, EventClaimed, PartyWorker, "not one party with the publisher, attempts left, before the deadline", states(Claimed), "", clockL),
		t(Open, EventCancelled, PartyPublisher, "", states(Cancelled), refundAll, ""),
		t(Open, EventExpired, PartyClock, "the deadline passed", states(Expired), refundAll, ""),
		t(Claimed, EventRenewed, PartyHolder, "", states(Claimed), "", clockL),
		t(Claimed, EventFailed, PartyHolder, "a check failed; after the last attempt the claim ends", states(Claimed, Open, InReview), "", clockL),
		t(Claimed, EventDelivered, PartyHolder, "the checks pass, or the engine could not decide; waives an appeal", states(InReview), "", clockRW),
		t(Claimed, EventAutoAccepted, PartyHolder, "autoAccept, the checks pass", states(Settled), paySlot, clockHold),
		t(Claimed, EventReleased, PartyHolder, "waives an appeal", states(Open), "", clockD),
		t(Claimed, EventLeaseEnded, PartyClock, "the lease ended; while a rejection can be appealed the task waits", leave, ended, clockD),
		t(Claimed, EventAppealed, PartyHolder, "a rejection within its appeal window, not waived", states(InReview), "the slot is frozen", clockCase),
		t(InReview, EventAccepted, PartyPublisher, "the delivery is pending", states(Settled), paySlot, clockHold),
		t(InReview, EventRejected, PartyPublisher, "names a manual rule or an undecided check, or quotes the brief; "+left+": the same claim goes on", states(Claimed, InReview), "", clockL+"; "+clockAW),
		t(InReview, EventWithdrawn, PartyHolder, "the delivery is pending; "+left+": the same claim goes on", states(Claimed, Open, Expired), ended, clockL),
		t(InReview, EventSilenceAccept, PartyClock, "the review window ended, the checks had passed", states(Settled), paySlot, clockHold),
		t(InReview, EventCaseOpened, PartyClock, "the review window ended, the engine could not decide", states(InReview), "the slot is frozen", clockCase),
		t(InReview, EventReopened, PartyClock, "the appeal window ended", states(Open, Expired), ended, clockD),
		t(InReview, EventAppealed, PartyHolder, "a rejection within its appeal window, not waived", states(InReview), "the slot is frozen", clockCase),
		t(InReview, EventOverturned, PartyOperator, "a case is open", states(Settled), paySlot, clockHold),
		t(InReview, EventSplit, PartyOperator, "a case is open", states(Settled), payPart, clockHold),
		t(InReview, EventUpheld, PartyOperator, "a case is open", states(Open, Expired), ended, clockD),
		t(InReview, EventCaseClosed, PartyClock, "no operator decided in time", states(Open, Expired), ended, clockD),
	}
}

func openTable() []Transition {
	t := func(s State, e Event, who Party, guard string, to []State, money, clock string) Transition {
		return Transition{ModeOpen, s, e, parties(who), guard, to, money, clock}
	}
	free := "a slot is not frozen; the last one settles the task and ends the other pending deliveries as not selected"
	after := "unpaid slots → wallet if that was the last thing to wait for"
	out := []Transition{
		t(Open, EventDelivered, PartyWorker, "not one party with the publisher, none of theirs pending, attempts left; waives an appeal", states(Open), "", clockRW),
		t(Open, EventFailed, PartyWorker, "a check failed", states(Open), "", clockItems),
		t(Open, EventAutoAccepted, PartyWorker, "autoAccept, the checks pass, "+free, states(Open, Settled), paySlot, clockHold),
		t(Open, EventCancelled, PartyPublisher, "nothing pending, appealable or in a case; settled if any was accepted", states(Cancelled, Settled), refundAll, ""),
		t(Open, EventExpired, PartyClock, "the deadline passed, nothing pending, appealable or in a case; settled if any was accepted", states(Expired, Settled), refundAll, ""),
		t(Open, EventDeadlinePassed, PartyClock, "the deadline passed: no new deliveries", states(InReview), "", clockItems),
	}
	for _, s := range states(Open, InReview) {
		same := states(s)
		last := states(s)
		if s == InReview {
			last = states(InReview, Expired, Settled)
		}
		paid := append(slices.Clone(same), Settled)
		decided := paid
		if s == InReview {
			decided = last
		}
		out = append(out,
			t(s, EventAccepted, PartyPublisher, "the delivery is pending, "+free, paid, paySlot, clockHold),
			t(s, EventSilenceAccept, PartyClock, "the review window ended, the checks had passed, "+free, paid, paySlot, clockHold),
			t(s, EventRejected, PartyPublisher, "names a manual rule or an undecided check, or quotes the brief", same, "", clockAW),
			t(s, EventWithdrawn, PartyHolder, "the delivery is pending", last, after, clockItems),
			t(s, EventAppealClosed, PartyClock, "the appeal window ended", last, after, clockItems),
			t(s, EventCaseOpened, PartyClock, "the review window ended, the engine could not decide", same, "a free slot is frozen", clockCase),
			t(s, EventAppealed, PartyHolder, "a rejection within its appeal window, not waived by a redelivery", same, "a free slot is frozen; without one it is for the record only", clockCase),
			t(s, EventOverturned, PartyOperator, "a case is open; without a frozen slot for the record only", decided, paySlot, clockHold),
			t(s, EventSplit, PartyOperator, "a case is open; without a frozen slot for the record only", decided, payPart, clockHold),
			t(s, EventUpheld, PartyOperator, "a case is open", last, after, clockItems),
			t(s, EventCaseClosed, PartyClock, "no operator decided in time", last, after, clockItems),
		)
	}
	for _, e := range []Event{EventAppealed, EventOverturned, EventSplit, EventUpheld, EventCaseClosed} {
		who, guard := PartyOperator, "a case is open, for the record only"
		switch e {
		case EventAppealed:
			who, guard = PartyHolder, "a rejection within its appeal window, for the record only"
		case EventCaseClosed:
			who, guard = PartyClock, "no operator decided in time"
		}
		out = append(out, t(Settled, e, who, guard, states(Settled), "", clockCase))
	}
	return out
}

// payoutTable is what can happen to a payout while it is held, which leaves the
// task as it is.
func payoutTable(mode string) []Transition {
	var out []Transition
	for _, s := range states(Open, InReview, Settled) {
		if mode == ModeExclusive && s != Settled {
			continue
		}
		out = append(out,
			Transition{mode, s, EventObjected, parties(PartyPublisher), "the payout is held, and the clock or the checks accepted", states(s), "the hold lasts until the decision", clockCase},
			Transition{mode, s, EventPayoutKept, parties(PartyOperator), "an objection is open", states(s), "the hold is as before", clockHold},
			Transition{mode, s, EventPayoutReversed, parties(PartyOperator), "an objection is open", states(s), "pending → the publisher's wallet, in the split that funded it", ""})
		if mode == ModeExclusive || s != Settled {
			out = append(out, Transition{mode, s, EventCaseClosed, parties(PartyClock), "no operator decided the objection in time", states(s), "", ""})
		}
	}
	return out
}

type transitionKey struct {
	mode  string
	state State
	event Event
}

var byKey = func() map[transitionKey][]State {
	m := map[transitionKey][]State{}
	for _, t := range table {
		k := transitionKey{t.Mode, t.State, t.Event}
		m[k] = append(m[k], t.To...)
	}
	return m
}()

// Legal returns an error unless the table allows the change: a bug, never
// something that a caller did.
func (c Change) Legal() error {
	to := byKey[transitionKey{c.Snapshot.Mode, c.Was, c.Event}]
	if !slices.Contains(to, c.Snapshot.State) {
		return fmt.Errorf("market: %s task: %s + %s → %s is not in the table", c.Snapshot.Mode, c.Was, c.Event, c.Snapshot.State)
	}
	return nil
}
