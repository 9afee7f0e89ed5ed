package market

import (
	"slices"
	"strings"
	"time"
)

// Event names a transition in the task's timeline.
type Event string

// The events of a task. Table says when each may happen.
const (
	EventPublished      Event = "published"
	EventClaimed        Event = "claimed"
	EventRenewed        Event = "claim_renewed"
	EventReleased       Event = "claim_released"
	EventLeaseEnded     Event = "claim_expired"
	EventDelivered      Event = "delivered"
	EventFailed         Event = "delivery_failed"
	EventAccepted       Event = "accepted"
	EventRejected       Event = "rejected"
	EventWithdrawn      Event = "withdrawn"
	EventCancelled      Event = "cancelled"
	EventDeadlinePassed Event = "deadline_passed"
	EventExpired        Event = "expired"
	EventReopened       Event = "reopened"
	EventAppealed       Event = "appealed"
	EventAppealClosed   Event = "appeal_window_closed"
	EventCaseOpened     Event = "case_opened"
	EventCaseClosed     Event = "case_closed"
	EventOverturned     Event = "overturned"
	EventSplit          Event = "split"
	EventUpheld         Event = "upheld"
	EventSilenceAccept  Event = "accepted_by_silence"
	EventAutoAccepted   Event = "accepted_by_checks"
	EventObjected       Event = "objected"
	EventPayoutKept     Event = "payout_kept"
	EventPayoutReversed Event = "payout_reversed"
)

// Events lists every event.
func Events() []Event {
	return []Event{EventPublished, EventClaimed, EventRenewed, EventReleased, EventLeaseEnded, EventDelivered, EventFailed,
		EventAccepted, EventRejected, EventWithdrawn, EventCancelled, EventDeadlinePassed, EventExpired, EventReopened,
		EventAppealed, EventAppealClosed, EventCaseOpened, EventCaseClosed, EventOverturned, EventSplit, EventUpheld,
		EventSilenceAccept, EventAutoAccepted, EventObjected, EventPayoutKept, EventPayoutReversed}
}

// Snapshot is a task with everything that its transitions look at.
type Snapshot struct {
	Task
	// Claim is the live claim, nil if there is none.
	Claim *Claim
	// Delivery is the one asked for; else, in exclusive mode, the pending
	// one, in open mode the actor's own pending one; for the clock it is the
	// one that is due first. Nil if there is none.
	Delivery *Delivery
	// Case is the operator's open case on Delivery, nil if there is none.
	Case *Case
	// Attempts counts the deliveries used up by the worker concerned: the
	// delivery's if there is one, else the actor.
	Attempts int
	// Accepted and Rejected count the task's decided deliveries, of all
	// workers.
	Accepted, Rejected int64
	// Referrer invited the worker concerned and has had no bonus for it yet;
	// else "".
	Referrer AccountID
	// Principals are the humans that those concerned belong to: OneParty.
	Principals Principals
	// Hands are the deciding operator's agents that acted on the task for others,
	// through bundles. Only decisions of cases have them.
	Hands []AccountID
	// Waivable are, in open mode, the actor's own rejections that can still
	// be appealed, and Others all other live deliveries, Delivery in neither.
	Waivable, Others Clocks
	// Done says that the actor was paid for the evergreen task already.
	Done bool
	// CanAppeal is the actor's rejection that can be appealed, nil if there is
	// none; filled in for showing.
	CanAppeal *OpenAppeal
	// Secrets is where the actor stands with the protected fields, nil if
	// that was not looked up; filled in for showing.
	Secrets *SecretStanding
}

// SecretStanding is what a party has to do about protected fields.
type SecretStanding struct {
	// Asked is the state of the holder's own request, "" before there is one.
	Asked SecretState
	// Waiting counts the requests that the publisher has yet to decide.
	Waiting int
}

// OpenAppeal is a rejected delivery and until when it can be appealed.
type OpenAppeal struct {
	Delivery DeliveryID
	By       time.Time
}

// Clocks sums up live deliveries of an open-mode task: those that are pending,
// can be appealed, or are in a case.
type Clocks struct {
	Pending int
	// Live counts all of them.
	Live int
	// Review is when the first review window ends, Window when the first
	// appeal window or case does.
	Review, Window *time.Time
}

func (c Clocks) plus(d Clocks) Clocks {
	return Clocks{Pending: c.Pending + d.Pending, Live: c.Live + d.Live,
		Review: earliest(c.Review, d.Review), Window: earliest(c.Window, d.Window)}
}

// earliest is the first of the times that are set, nil if none is.
func earliest(ts ...*time.Time) *time.Time {
	var first *time.Time
	for _, t := range ts {
		if t != nil && (first == nil || t.Before(*first)) {
			first = t
		}
	}
	return first
}

// Change is a transition to be made true in one transaction.
type Change struct {
	Event    Event
	Snapshot Snapshot // after
	// NewClaim, NewDelivery and NewCase tell an insert from an update.
	NewClaim    bool
	NewDelivery bool
	NewCase     bool
	Transfers   []Transfer
	// Payout is new, unless PayoutChange says what becomes of an old one.
	Payout       *Payout
	PayoutChange PayoutChange
	// Referrer, unless "", has earned the bonus for inviting the payout's
	// account. The store pays it once, whatever is accepted at the same time.
	Referrer AccountID
	// ClaimLimit is how many claims the worker of a new one may hold.
	ClaimLimit int
	// Waive ends the appeal windows of the delivery's worker on this task.
	Waive bool
	// NotSelected ends all other pending deliveries unpaid.
	NotSelected bool
	// ResumeFrom is set when reviews go on that stood still since then: their
	// windows move on by as much.
	ResumeFrom *time.Time
	// Secrets are those of a task that is published.
	Secrets Secrets
	// Sealed is the ciphertext of the protected fields of a task that is
	// published, or "".
	Sealed string
	// Was is the state before, for the market's listing.
	Was State
}

func (s Snapshot) change(e Event) Change { return Change{Event: e, Snapshot: s, Was: s.State} }

// Publish makes a task of a clean draft, funded from the publisher's funds:
// for each slot the reward and, on top, the fee in basis points of it.
func Publish(a Actor, id TaskID, d Draft, feeBPS int, have Funds, now time.Time) (Change, error) {
	if err := a.admitted(); err != nil {
		return Change{}, err
	}
	if err := a.Mandate.Covers(id, d.Skills); err != nil {
		return Change{}, err
	}
	if err := a.unpaused(); err != nil {
		return Change{}, err
	}
	slots, fee := orDefault(d.MaxAccepted, 1), FeeOf(Credits(d.Reward), feeBPS)
	split, err := have.Take(d.Cost(feeBPS))
	if err != nil {
		return Change{}, err
	}
	t := Task{
		ID: id, Publisher: a.Account, PublisherHandle: a.Handle, State: Open, Version: 1,
		Title: d.Title, Brief: d.Brief, Skills: d.Skills, Mode: d.Mode, Reward: Credits(d.Reward), Fee: fee,
		Payload: d.Payload, OutputSchema: d.OutputSchema, Rules: d.Rules, Attachments: d.Attachments, AutoAccept: d.AutoAccept,
		ClaimMinutes: int(orDefault(d.ClaimMinutes, DefaultClaimMinutes)),
		ReviewHours:  int(orDefault(d.ReviewHours, DefaultReviewHours)),
		MaxAttempts:  int(orDefault(d.MaxAttempts, DefaultMaxAttempts)),
		MaxAccepted:  int(slots), Slots: int(slots), Deadline: *d.Deadline, CreatedAt: now, Escrow: split, DueAt: d.Deadline,
	}
	if a.Mandate != nil {
		t.Bundle = a.Mandate.Bundle
	}
	c := Change{Event: EventPublished, Snapshot: Snapshot{Task: t}, Secrets: Secrets{Hidden: d.Hidden, Samples: d.Samples, Reports: d.Reports}}
	if d.Protected != nil {
		first := d.Protected.Protected
		first.Revision = 1
		c.Snapshot.Protected, c.Sealed = &first, d.Protected.Ciphertext
	}
	c.Transfers = transfers(TransferEscrow, split, "", Transfer{
		Debit: WalletAccount(a.Account), Credit: EscrowAccount(id), Account: a.Account, Task: id})
	return c, nil
}

// refund closes the task and gives its publisher back exactly what it holds.
func (c *Change) refund(to State) {
	c.giveBack(c.Snapshot.Escrow)
	c.Snapshot.close(to)
}

// Returned is what comes back to the publisher with the change, fees included.
func (c Change) Returned() Credits {
	var sum Credits
	for _, t := range c.Transfers {
		if t.Kind == TransferRefund || t.Kind == TransferReversal || t.Kind == TransferFeeRefund {
			sum += t.Amount
		}
	}
	return sum
}

// giveBack moves funds of the escrow to the publisher.
func (c *Change) giveBack(f Funds) {
	s := &c.Snapshot
	c.Transfers = append(c.Transfers, transfers(TransferRefund, f, "", Transfer{
		Debit: EscrowAccount(s.ID), Credit: WalletAccount(s.Publisher), Account: s.Publisher, Task: s.ID})...)
	s.Escrow = s.Escrow.minus(f)
}

func (s *Snapshot) close(to State) {
	s.State, s.Escrow, s.Slots, s.Frozen = to, Funds{}, 0, 0
	s.DueAt, s.AppealBy, s.CaseUntil, s.PausedAt = nil, nil, nil, nil
}

// Payment is what a payout of now would be called, and by which terms it is
// made.
type Payment struct {
	ID PayoutID
	Terms
}

// pay uses up one slot for the delivery d: the amount becomes its worker's
// pending payout, the fee for it the platform's, the rest goes back.
func (c *Change) pay(d Delivery, amount Credits, by string, p Payment, now time.Time) {
	s := &c.Snapshot
	slot, _ := s.Escrow.Take(s.Reward + s.Fee) // a live slot is covered: tasks_escrow_slots
	part, _ := slot.Take(amount)
	fee, _ := slot.minus(part).Take(s.Fee * amount / s.Reward)
	kept, class, to := Credits(0), Earned, Earned
	if p.Strict && !s.Established {
		kept, to = part.Granted, ""
	}
	if kept == amount {
		class = Granted
	}
	if d.Review == nil {
		d.Review = &Review{Decision: DecisionAccept, By: by, At: now}
	}
	d.State, d.DueAt = DeliveryAccepted, nil
	c.Payout = &Payout{ID: p.ID, Account: d.Worker, Task: s.ID, Delivery: d.ID, Amount: amount,
		Class: class, Granted: kept, GrantedPart: part.Granted, Fee: fee, AvailableAt: now.Add(p.Hold), HoldReason: HoldSettlement}
	d.Payout = c.Payout
	c.Transfers = append(c.Transfers, transfers(TransferPayout, part, to, Transfer{
		Debit: EscrowAccount(s.ID), Credit: PendingAccount(d.Worker), Account: d.Worker, Counterparty: s.Publisher, Task: s.ID})...)
	c.Transfers = append(c.Transfers, transfers(TransferFee, fee, "", Transfer{
		Debit: EscrowAccount(s.ID), Credit: FeesAccount, Account: PlatformID, Counterparty: s.Publisher, Task: s.ID})...)
	s.Escrow = s.Escrow.minus(part).minus(fee)
	c.giveBack(slot.minus(part).minus(fee))
	s.Slots--
	s.Delivery = &d
	if amount == s.Reward && s.earnsReferral(d.Worker) {
		c.Referrer, s.Referrer = s.Referrer, ""
	}
}

// Free counts the slots that can be paid now.
func (s Snapshot) Free() int { return s.Slots - s.Frozen }

// CanDeliver says whether the actor may deliver, before the checks are run.
// Claim and epoch matter in exclusive mode only.
func (s Snapshot) CanDeliver(a Actor, claimID ClaimID, epoch int64) error {
	if err := a.admitted(); err != nil {
		return err
	}
	if s.Evergreen {
		if err := s.canOnboard(a); err != nil {
			return err
		}
	} else if s.Mode == ModeOpen {
		if err := s.canDeliverOpen(a); err != nil {
			return err
		}
	} else if err := s.Held(a, claimID, epoch); err != nil {
		return err
	} else if err := s.honest(a); err != nil { // the claim may be by another bundle
		return err
	}
	if s.Attempts >= s.MaxAttempts {
		return ErrAttemptsExhausted
	}
	return nil
}

// Deliver hands in a checked package: in exclusive mode on the actor's claim,
// in open mode by any worker. A failing report uses an attempt; a pass or an
// engine error goes to the publisher and waives the appeal of an earlier
// rejection. With AutoAccept a pass is paid at once, and pay says how.
func (s Snapshot) Deliver(a Actor, id DeliveryID, claimID ClaimID, epoch int64, p Package, r Report, pay Payment, now time.Time) (Change, error) {
	if err := s.CanDeliver(a, claimID, epoch); err != nil {
		return Change{}, err
	}
	if s.Evergreen && r.Verdict == VerdictError { // there is nobody to ask
		return Change{}, ErrVerifierUnavailable.After(5 * time.Second)
	}
	d := Delivery{ID: id, Task: s.ID, Worker: a.Account, WorkerHandle: a.Handle,
		State: DeliveryPending, Package: p, Report: r, CreatedAt: now}
	if r.Verdict != VerdictError {
		s.Attempts++
		d.Attempt = s.Attempts
	}
	s.Delivery = &d
	var c Change
	if s.Evergreen {
		c = s.deliverEvergreen(d, pay, now)
	} else if s.Mode == ModeOpen {
		c = s.deliverOpen(d, pay, now)
	} else {
		d.Claim = s.Claim.ID
		c = s.deliverExclusive(d, pay, now)
	}
	c.NewDelivery = true
	return c, nil
}

// reviewer returns an error unless the actor is the one to decide the
// delivery.
func (s Snapshot) reviewer(a Actor) error {
	switch {
	case s.Delivery == nil:
		return ErrNotFound
	case a.Account != s.Publisher && a.Account != s.Delivery.Worker:
		return ErrNotFound
	case a.Account != s.Publisher:
		return ErrForbidden
	}
	return nil
}

// undecided returns an error unless the delivery can still be decided or
// withdrawn.
func (s Snapshot) undecided() error {
	if s.Terminal() || s.Delivery.State != DeliveryPending {
		return ErrDeliveryNotPending
	}
	return nil
}

// Terminal reports whether nothing can follow but what is on record only.
func (s Snapshot) Terminal() bool { return s.State.Terminal() }

// Accept pays the pending delivery one slot: it becomes the worker's pending
// payout, available after the hold. The last slot settles the task. While
// every slot is held by a case it returns ErrSlotFrozen.
func (s Snapshot) Accept(a Actor, p Payment, now time.Time) (Change, error) {
	if err := s.reviewer(a); err != nil {
		return Change{}, err
	}
	if err := s.impartial(a, s.Delivery.Worker); err != nil {
		return Change{}, err
	}
	if err := s.undecided(); err != nil {
		return Change{}, err
	}
	if s.Mode == ModeOpen {
		return s.acceptOpen(p, now)
	}
	return s.settle(EventAccepted, ByPublisher, p, now), nil
}

// Reject refuses the pending delivery; the worker has AppealWindow to appeal,
// and may revise it while attempts and time are left.
func (s Snapshot) Reject(a Actor, r Rejection, now time.Time) (Change, error) {
	if err := s.reviewer(a); err != nil {
		return Change{}, err
	}
	if err := s.checkRejection(r); err != nil {
		return Change{}, err
	}
	if err := s.undecided(); err != nil {
		return Change{}, err
	}
	c := s.change(EventRejected)
	until := now.Add(AppealWindow)
	d := *s.Delivery
	d.State = DeliveryRejected
	d.Review = &Review{Decision: DecisionReject, By: ByPublisher, Reason: r.Reason, Rule: r.Rule, Quote: r.Quote, At: now, AppealBy: &until}
	c.Snapshot.Delivery = &d
	c.endCase(CaseMoot, now)
	if s.Mode == ModeOpen {
		c.Snapshot.Delivery.DueAt = &until
		c.rest(c.everyOther(), now)
		return c, nil
	}
	c.rejectedExclusive(until, now)
	return c, nil
}

func (s Snapshot) checkRejection(r Rejection) error {
	if strings.TrimSpace(r.Reason) == "" {
		e := *ErrReasonRequired
		e.Fields = []FieldError{{Pointer: "/reason", Code: "required"}}
		return &e
	}
	var p problems
	p.text("/reason", r.Reason, 1, 4000)
	named := slices.ContainsFunc(s.Rules, func(x Rule) bool { return x.Kind == RuleManual && x.Name == r.Rule }) ||
		slices.ContainsFunc(s.Delivery.Report.Checks, func(x Check) bool { return x.Verdict == VerdictError && x.Name == r.Rule })
	quote := strings.Join(strings.Fields(r.Quote), " ")
	quoted := len([]rune(quote)) >= 8 && strings.Contains(strings.Join(strings.Fields(s.Brief), " "), quote)
	switch {
	case r.Rule != "" && !named:
		p.add("/rule", "reject_rule", nil)
	case r.Quote != "" && !quoted:
		p.add("/quote", "reject_quote", nil)
	case !named && !quoted:
		p.add("/quote", "reject_ground", nil)
	}
	return Invalid(p)
}

// Withdraw takes the worker's own pending delivery back; the attempt is used.
func (s Snapshot) Withdraw(a Actor, now time.Time) (Change, error) {
	switch {
	case s.Delivery == nil || (a.Account != s.Delivery.Worker && a.Account != s.Publisher):
		return Change{}, ErrNotFound
	case a.Account != s.Delivery.Worker:
		return Change{}, ErrForbidden
	}
	if err := s.undecided(); err != nil {
		return Change{}, err
	}
	c := s.change(EventWithdrawn)
	d := *s.Delivery
	d.State, d.DueAt = DeliveryWithdrawn, nil
	c.Snapshot.Delivery = &d
	c.endCase(CaseMoot, now)
	if s.Mode == ModeOpen {
		c.rest(c.everyOther(), now)
		return c, nil
	}
	c.withdrawnExclusive(now)
	return c, nil
}

// Cancel closes an open task; what is not paid goes back exactly. In open mode
// nothing may be pending, appealable or in a case.
func (s Snapshot) Cancel(a Actor, _ time.Time) (Change, error) {
	switch {
	case a.Account != s.Publisher:
		return Change{}, ErrForbidden
	case s.State == Claimed:
		return Change{}, ErrTaskClaimed
	case s.State == InReview:
		return Change{}, ErrDeliveryPending
	case s.State != Open:
		return Change{}, ErrTaskNotOpen
	case s.Mode == ModeOpen && s.live() > 0:
		return Change{}, ErrDeliveryPending
	}
	c := s.change(EventCancelled)
	c.refund(s.endOf(Cancelled))
	return c, nil
}

// endOf is how a task ends that stops with unpaid slots: settled if any was
// paid.
func (s Snapshot) endOf(otherwise State) State {
	if s.Slots < s.MaxAccepted {
		return Settled
	}
	return otherwise
}

// Due reports whether the clock must act before anything else may.
func (s Snapshot) Due(now time.Time) bool { return s.DueAt != nil && !now.Before(*s.DueAt) }

// Tick makes the transition of a clock that has run out. The snapshot must be
// one for the clock: Delivery is the one that is due first.
func (s Snapshot) Tick(ids ClockIDs, terms Terms, now time.Time) Change {
	if s.Mode == ModeOpen {
		return s.tickOpen(ids, terms, now)
	}
	return s.tickExclusive(ids, terms, now)
}

// ClockIDs are what the clock would call a payout or a case.
type ClockIDs struct {
	Payout PayoutID
	Case   CaseID
}
