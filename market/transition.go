package market

import (
	"slices"
	"strings"
	"time"
)

// Event names a transition in the task's timeline.
type Event string

// The events of a task.
const (
	EventPublished     Event = "published"
	EventClaimed       Event = "claimed"
	EventRenewed       Event = "claim_renewed"
	EventReleased      Event = "claim_released"
	EventLeaseEnded    Event = "claim_expired"
	EventDelivered     Event = "delivered"
	EventFailed        Event = "delivery_failed"
	EventAccepted      Event = "accepted"
	EventRejected      Event = "rejected"
	EventWithdrawn     Event = "withdrawn"
	EventCancelled     Event = "cancelled"
	EventExpired       Event = "expired"
	EventReopened      Event = "reopened"
	EventCaseOpened    Event = "case_opened"
	EventCaseClosed    Event = "case_closed"
	EventSilenceAccept Event = "accepted_by_silence"
	EventAutoAccepted  Event = "accepted_by_checks"
)

// Events lists every event.
func Events() []Event {
	return []Event{EventPublished, EventClaimed, EventRenewed, EventReleased, EventLeaseEnded, EventDelivered, EventFailed, EventAccepted,
		EventRejected, EventWithdrawn, EventCancelled, EventExpired, EventReopened, EventCaseOpened, EventCaseClosed, EventSilenceAccept, EventAutoAccepted}
}

// Happening is one line of a task's timeline.
type Happening struct {
	At    time.Time
	Event Event
	// Actor is the handle of who did it, "" for the clock.
	Actor string
}

// Snapshot is a task with everything that its transitions look at.
type Snapshot struct {
	Task
	// Claim is the live claim, nil if there is none.
	Claim *Claim
	// Delivery is the one asked for, else the pending one, else nil.
	Delivery *Delivery
	// Attempts counts the deliveries used up by the worker concerned: the
	// delivery's if there is one, else the actor.
	Attempts int
}

// Change is a transition to be made true in one transaction.
type Change struct {
	Event    Event
	Snapshot Snapshot // after
	// NewClaim and NewDelivery tell an insert from an update.
	NewClaim    bool
	NewDelivery bool
	Transfers   []Transfer
	Payout      *Payout
	// Secrets are those of a task that is published.
	Secrets Secrets
	// Was is the state before, for the market's listing.
	Was State
}

func (s Snapshot) change(e Event) Change { return Change{Event: e, Snapshot: s, Was: s.State} }

// Publish makes a task of a clean draft, funded from the publisher's funds.
func Publish(a Actor, id TaskID, d Draft, have Funds, now time.Time) (Change, error) {
	slots := orDefault(d.MaxAccepted, 1)
	split, err := have.Take(Credits(d.Reward * slots))
	if err != nil {
		return Change{}, err
	}
	t := Task{
		ID: id, Publisher: a.Account, PublisherHandle: a.Handle, State: Open, Version: 1,
		Title: d.Title, Brief: d.Brief, Skills: d.Skills, Mode: d.Mode, Reward: Credits(d.Reward),
		Payload: d.Payload, OutputSchema: d.OutputSchema, Rules: d.Rules, Attachments: d.Attachments, AutoAccept: d.AutoAccept,
		ClaimMinutes: int(orDefault(d.ClaimMinutes, DefaultClaimMinutes)),
		ReviewHours:  int(orDefault(d.ReviewHours, DefaultReviewHours)),
		MaxAttempts:  int(orDefault(d.MaxAttempts, DefaultMaxAttempts)),
		MaxAccepted:  int(slots), Deadline: *d.Deadline, CreatedAt: now, Escrow: split, DueAt: d.Deadline,
	}
	c := Change{Event: EventPublished, Snapshot: Snapshot{Task: t}, Secrets: Secrets{Hidden: d.Hidden, Samples: d.Samples}}
	c.Transfers = transfers(TransferEscrow, split, "", Transfer{
		Debit: WalletAccount(a.Account), Credit: EscrowAccount(id), Account: a.Account, Task: id})
	return c, nil
}

// ClaimBy gives the open task to the worker for one lease.
func (s Snapshot) ClaimBy(a Actor, id ClaimID, now time.Time) (Change, error) {
	switch {
	case !a.Worker():
		return Change{}, ErrForbidden
	case a.Account == s.Publisher:
		return Change{}, ErrOwnTask
	case s.State != Open || !now.Before(s.Deadline):
		return Change{}, ErrTaskNotOpen
	case s.Attempts >= s.MaxAttempts:
		return Change{}, ErrAttemptsExhausted
	}
	c := s.change(EventClaimed)
	c.NewClaim = true
	c.Snapshot.Claim = &Claim{ID: id, Task: s.ID, Worker: a.Account, WorkerHandle: a.Handle, Epoch: s.Epoch, ClaimedAt: now}
	c.Snapshot.lease(now)
	return c, nil
}

// lease starts a lease now.
func (s *Snapshot) lease(now time.Time) {
	c := *s.Claim
	c.LeaseFrom = now
	s.Claim, s.State = &c, Claimed
	s.extend(now)
}

// extend moves the end of the lease as far as its cap and the deadline allow.
func (s *Snapshot) extend(now time.Time) {
	step := time.Duration(s.ClaimMinutes) * time.Minute
	end := now.Add(step)
	for _, cap := range []time.Time{s.Claim.LeaseFrom.Add(leaseCap * step), s.Deadline} {
		if cap.Before(end) {
			end = cap
		}
	}
	c := *s.Claim
	c.ExpiresAt = end
	s.Claim, s.DueAt = &c, &end
}

// Held returns an error unless the actor holds the live claim. An empty
// claimID leaves id and epoch unchecked.
func (s Snapshot) Held(a Actor, claimID ClaimID, epoch int64) error {
	switch {
	case !a.Worker():
		return ErrForbidden
	case s.State == InReview && s.Delivery != nil && s.Delivery.State == DeliveryPending && s.Delivery.Worker == a.Account:
		return ErrDeliveryPending
	case claimID != "" && (s.State != Claimed || s.Claim.ID != claimID || s.Claim.Epoch != epoch):
		return ErrClaimStale
	case s.State != Claimed || s.Claim.Worker != a.Account:
		return ErrNotClaimHolder
	}
	return nil
}

// Renew extends the holder's lease.
func (s Snapshot) Renew(a Actor, claimID ClaimID, epoch int64, now time.Time) (Change, error) {
	if err := s.Held(a, claimID, epoch); err != nil {
		return Change{}, err
	}
	c := s.change(EventRenewed)
	c.Snapshot.extend(now)
	return c, nil
}

// Release gives the task back. It waives an appeal.
func (s Snapshot) Release(a Actor, claimID ClaimID, epoch int64, now time.Time) (Change, error) {
	if err := s.Held(a, claimID, epoch); err != nil {
		return Change{}, err
	}
	c := s.change(EventReleased)
	c.Snapshot.endClaim(ClaimReleased, now)
	c.Snapshot.AppealBy = nil
	c.leave(now)
	return c, nil
}

func (s *Snapshot) endClaim(outcome string, now time.Time) {
	if s.Claim == nil {
		return
	}
	c := *s.Claim
	c.EndedAt, c.Outcome = &now, outcome
	s.Claim = &c
	s.Epoch++
}

// leave moves a task without a claim on: to wait for an appeal, to be open
// again, or to expire with a refund.
func (c *Change) leave(now time.Time) {
	s := &c.Snapshot
	switch {
	case s.AppealBy != nil && now.Before(*s.AppealBy):
		s.State, s.DueAt = InReview, s.AppealBy
	case now.Before(s.Deadline):
		s.State, s.AppealBy, s.CaseUntil = Open, nil, nil
		s.DueAt = &s.Deadline
	default:
		c.refund(Expired)
	}
}

// refund closes the task and gives its publisher back exactly what it holds.
func (c *Change) refund(to State) {
	s := &c.Snapshot
	c.Transfers = append(c.Transfers, transfers(TransferRefund, s.Escrow, "", Transfer{
		Debit: EscrowAccount(s.ID), Credit: WalletAccount(s.Publisher), Account: s.Publisher, Task: s.ID})...)
	s.close(to)
}

func (s *Snapshot) close(to State) {
	s.State, s.Escrow = to, Funds{}
	s.DueAt, s.AppealBy, s.CaseUntil = nil, nil, nil
}

// CanDeliver says whether the actor may deliver, before the checks are run.
func (s Snapshot) CanDeliver(a Actor, claimID ClaimID, epoch int64) error {
	if err := s.Held(a, claimID, epoch); err != nil {
		return err
	}
	if s.Attempts >= s.MaxAttempts {
		return ErrAttemptsExhausted
	}
	return nil
}

// Payment is what a payout of now would be called, and how long it is held.
type Payment struct {
	ID   PayoutID
	Hold time.Duration
}

// Deliver hands in a checked package on the actor's claim. A failing report
// keeps the claim while attempts are left; a pass or an engine error goes to
// the publisher and waives the appeal of an earlier rejection. With AutoAccept
// a pass settles the task at once, and pay says how.
func (s Snapshot) Deliver(a Actor, id DeliveryID, claimID ClaimID, epoch int64, p Package, r Report, pay Payment, now time.Time) (Change, error) {
	if err := s.CanDeliver(a, claimID, epoch); err != nil {
		return Change{}, err
	}
	d := &Delivery{ID: id, Task: s.ID, Claim: s.Claim.ID, Worker: a.Account, WorkerHandle: a.Handle,
		State: DeliveryPending, Package: p, Report: r, CreatedAt: now}
	if r.Verdict != VerdictError {
		s.Attempts++
		d.Attempt = s.Attempts
	}
	if s.AutoAccept && r.Verdict == VerdictPass {
		s.Delivery = d
		c := s.settle(EventAutoAccepted, pay.ID, pay.Hold, now)
		c.NewDelivery = true
		return c, nil
	}
	c := s.change(EventDelivered)
	c.NewDelivery, c.Snapshot.Delivery = true, d
	if r.Verdict == VerdictFail {
		c.Event, d.State = EventFailed, DeliveryFailed
		if s.Attempts >= s.MaxAttempts {
			c.Snapshot.endClaim(ClaimExhausted, now)
			c.leave(now)
		}
		return c, nil
	}
	due := now.Add(time.Duration(s.ReviewHours) * time.Hour)
	c.Snapshot.State, c.Snapshot.DueAt, c.Snapshot.AppealBy = InReview, &due, nil
	return c, nil
}

// decidable returns an error unless the publisher may decide the delivery.
func (s Snapshot) decidable(a Actor) error {
	switch {
	case s.Delivery == nil:
		return ErrNotFound
	case a.Account != s.Publisher && a.Account != s.Delivery.Worker:
		return ErrNotFound
	case a.Account != s.Publisher:
		return ErrForbidden
	case s.State != InReview || s.Delivery.State != DeliveryPending:
		return ErrDeliveryNotPending
	}
	return nil
}

// Accept settles the task: the escrow becomes the worker's pending payout,
// available after the hold.
func (s Snapshot) Accept(a Actor, id PayoutID, hold time.Duration, now time.Time) (Change, error) {
	if err := s.decidable(a); err != nil {
		return Change{}, err
	}
	return s.settle(EventAccepted, id, hold, now), nil
}

func (s Snapshot) settle(e Event, id PayoutID, hold time.Duration, now time.Time) Change {
	c := s.change(e)
	d := *s.Delivery
	d.State, d.Review = DeliveryAccepted, &Review{Decision: DecisionAccept, At: now}
	c.Payout = &Payout{ID: id, Account: d.Worker, Task: s.ID, Delivery: d.ID, Amount: s.Escrow.Total(),
		Class: Earned, AvailableAt: now.Add(hold), HoldReason: HoldSettlement}
	d.Payout = c.Payout
	c.Transfers = transfers(TransferPayout, s.Escrow, Earned, Transfer{
		Debit: EscrowAccount(s.ID), Credit: PendingAccount(d.Worker), Account: d.Worker, Counterparty: s.Publisher, Task: s.ID})
	c.Snapshot.Delivery = &d
	c.Snapshot.endClaim(ClaimSettled, now)
	c.Snapshot.close(Settled)
	return c
}

// Reject refuses the pending delivery. While attempts and time are left the
// worker keeps the same claim to revise it; otherwise the claim ends. Either
// way the worker has AppealWindow to appeal.
func (s Snapshot) Reject(a Actor, r Rejection, now time.Time) (Change, error) {
	if err := s.decidable(a); err != nil {
		return Change{}, err
	}
	if err := s.checkRejection(r); err != nil {
		return Change{}, err
	}
	c := s.change(EventRejected)
	until := now.Add(AppealWindow)
	d := *s.Delivery
	d.State = DeliveryRejected
	d.Review = &Review{Decision: DecisionReject, Reason: r.Reason, Rule: r.Rule, Quote: r.Quote, At: now, AppealBy: &until}
	c.Snapshot.Delivery, c.Snapshot.AppealBy, c.Snapshot.CaseUntil = &d, &until, nil
	if s.Attempts < s.MaxAttempts && now.Before(s.Deadline) {
		c.Snapshot.lease(now)
		return c, nil
	}
	c.Snapshot.endClaim(ClaimRejected, now)
	c.Snapshot.State, c.Snapshot.DueAt = InReview, &until
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
	case s.State != InReview || s.Delivery.State != DeliveryPending:
		return Change{}, ErrDeliveryNotPending
	}
	c := s.change(EventWithdrawn)
	d := *s.Delivery
	d.State = DeliveryWithdrawn
	c.Snapshot.Delivery, c.Snapshot.CaseUntil = &d, nil
	if now.Before(s.Deadline) && s.Attempts < s.MaxAttempts {
		c.Snapshot.lease(now)
		return c, nil
	}
	c.Snapshot.endClaim(ClaimWithdrawn, now)
	c.leave(now)
	return c, nil
}

// Cancel closes an open task with an exact refund.
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
	}
	c := s.change(EventCancelled)
	c.refund(Cancelled)
	return c, nil
}

// Due reports whether the clock must act before anything else may.
func (s Snapshot) Due(now time.Time) bool { return s.DueAt != nil && !now.Before(*s.DueAt) }

// Tick makes the transition of a clock that has run out. The snapshot's
// Delivery must be the pending one, if there is one.
func (s Snapshot) Tick(id PayoutID, hold time.Duration, now time.Time) Change {
	pending := s.Delivery != nil && s.Delivery.State == DeliveryPending
	switch {
	case s.State == Open:
		c := s.change(EventExpired)
		c.refund(Expired)
		return c
	case s.State == Claimed:
		c := s.change(EventLeaseEnded)
		c.Snapshot.endClaim(ClaimExpired, now)
		c.leave(now)
		return c
	case pending && s.Delivery.Report.Verdict != VerdictError:
		return s.settle(EventSilenceAccept, id, hold, now)
	case pending && s.CaseUntil == nil:
		c := s.change(EventCaseOpened)
		until := now.Add(CaseWindow)
		c.Snapshot.CaseUntil, c.Snapshot.DueAt = &until, &until
		return c
	case pending:
		c := s.change(EventCaseClosed)
		d := *s.Delivery
		d.State = DeliveryWithdrawn
		c.Snapshot.Delivery = &d
		c.Snapshot.endClaim(ClaimClosed, now)
		c.leave(now)
		return c
	default:
		c := s.change(EventReopened)
		c.leave(now)
		return c
	}
}

// Action is a next step that a party can take now.
type Action struct {
	Name string
	// Due is when the clock acts instead, nil if it does not.
	Due *time.Time
}

// PendingActions are the actor's next steps on the task.
func (s Snapshot) PendingActions(a Actor) []Action {
	var names []string
	switch {
	case s.State == Open && a.Account == s.Publisher:
		names = []string{"cancel"}
	case s.State == Open && a.Worker() && s.Attempts < s.MaxAttempts:
		names = []string{"claim"}
	case s.State == Claimed && s.Claim != nil && s.Claim.Worker == a.Account:
		names = []string{"deliver", "renew", "release"}
	case s.State == InReview && s.Delivery != nil && s.Delivery.State == DeliveryPending && a.Account == s.Publisher:
		names = []string{"accept", "reject"}
	case s.State == InReview && s.Delivery != nil && s.Delivery.State == DeliveryPending && a.Account == s.Delivery.Worker:
		names = []string{"withdraw"}
	}
	out := make([]Action, 0, len(names))
	for _, n := range names {
		out = append(out, Action{Name: n, Due: s.DueAt})
	}
	return out
}
