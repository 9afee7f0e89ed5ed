package market

import (
	"slices"
	"strings"
	"time"
)

// CaseID names an operator's case.
type CaseID string

// CaseKind says why an operator is asked.
type CaseKind string

// The kinds of cases: a worker appeals a rejection; the engine could not decide
// and the publisher did not; the publisher objects to a payout that is held.
const (
	CaseAppeal    CaseKind = "appeal"
	CaseError     CaseKind = "error"
	CaseObjection CaseKind = "objection"
)

// CaseOutcome says how a case ended.
type CaseOutcome string

// The outcomes of cases. Upheld leaves things as they are against the worker,
// overturned pays the worker, split pays a part. For an objection: kept leaves
// the payout to the worker and reversed gives it back. Silence is that no
// operator decided in time, moot that the parties did first.
const (
	CaseUpheld     CaseOutcome = "upheld"
	CaseOverturned CaseOutcome = "overturned"
	CaseSplit      CaseOutcome = "split"
	CaseKept       CaseOutcome = "kept"
	CaseReversed   CaseOutcome = "reversed"
	CaseSilence    CaseOutcome = "silence"
	CaseMoot       CaseOutcome = "moot"
)

// Case is a question to the operators about one delivery, undecided for
// CaseWindow at most.
type Case struct {
	ID       CaseID
	Task     TaskID
	Delivery DeliveryID
	Kind     CaseKind
	// OpenedBy is who asked, "" for the clock; Handle is filled in by the
	// store for showing.
	OpenedBy AccountID
	Handle   string
	Text     string
	// Frozen says that the case holds a slot of the task. Without one it is
	// for the record and the reputation only.
	Frozen   bool
	OpenedAt time.Time
	DueAt    time.Time
	// AvailableAt is, for an objection, when the payout was due before.
	AvailableAt *time.Time
	// The rest is set when the case is closed.
	ClosedAt *time.Time
	Outcome  CaseOutcome
	// Share is the worker's part of a split, in basis points of the reward.
	Share     int
	Note      string
	DecidedBy AccountID
	// Decider is filled in by the store for showing.
	Decider string
}

// Decision is an operator's answer to a case.
type Decision struct {
	Outcome CaseOutcome
	// Share is the worker's part of a split, in basis points.
	Share int64
	Note  string
}

// Limits of cases.
const (
	MaxCaseText = 4000
	wholeShare  = 10_000
)

// Clean returns what is wrong with the decision about a case of the kind.
func (d Decision) Clean(kind CaseKind, reward Credits) []FieldError {
	var p problems
	p.text("/note", visible(d.Note), 1, MaxCaseText)
	allowed := []CaseOutcome{CaseUpheld, CaseOverturned, CaseSplit}
	if kind == CaseObjection {
		allowed = []CaseOutcome{CaseKept, CaseReversed}
	}
	known := false
	names := make([]string, len(allowed))
	for i, o := range allowed {
		names[i] = string(o)
		known = known || d.Outcome == o
	}
	switch {
	case !known:
		p.add("/outcome", "choice", map[string]any{"Allowed": strings.Join(names, ", ")})
	case d.Outcome == CaseSplit:
		p.number("/share", d.Share, 1, wholeShare-1)
		if len(p) == 0 && part(reward, int(d.Share)) < 1 {
			p.add("/share", "share_small", nil)
		}
	}
	return p
}

// part is a share of the reward, rounded down.
func part(reward Credits, share int) Credits { return reward * Credits(share) / wholeShare }

// openCase puts the snapshot's delivery before the operators and holds a slot
// for it, if one is free.
func (c *Change) openCase(k Case, now time.Time) {
	s := &c.Snapshot
	k.Task, k.Delivery, k.OpenedAt, k.DueAt = s.ID, s.Delivery.ID, now, now.Add(CaseWindow)
	k.Frozen = !s.Terminal() && s.Free() > 0
	if k.Frozen {
		s.Frozen++
	}
	d := *s.Delivery
	d.InCase, d.DueAt = true, &k.DueAt
	c.NewCase, s.Case, s.Delivery = true, &k, &d
	switch {
	case s.Terminal():
	case s.Mode == ModeOpen:
		c.rest(c.everyOther(), now)
	default:
		d.DueAt = nil // the task's own clock
		s.State, s.AppealBy, s.CaseUntil, s.DueAt = InReview, nil, &k.DueAt, &k.DueAt
	}
}

// endCase closes the open case, if there is one, and lets go of its slot.
func (c *Change) endCase(o CaseOutcome, now time.Time) {
	s := &c.Snapshot
	if s.Case == nil || s.Case.ClosedAt != nil {
		return
	}
	k := *s.Case
	k.ClosedAt, k.Outcome = &now, o
	if k.Frozen && s.Frozen > 0 {
		s.Frozen--
	}
	d := *s.Delivery
	d.InCase = false
	if d.State != DeliveryPending {
		d.DueAt = nil
	}
	s.Case, s.Delivery, s.CaseUntil = &k, &d, nil
}

// closeUnpaid ends the case without payment. A delivery that nobody could
// decide is withdrawn; a rejection stands.
func (c *Change) closeUnpaid(o CaseOutcome, now time.Time) {
	s := &c.Snapshot
	d := *s.Delivery
	if d.State == DeliveryPending {
		d.State = DeliveryWithdrawn
	}
	d.DueAt = nil
	s.Delivery = &d
	c.endCase(o, now)
	switch {
	case s.Terminal():
	case s.Mode == ModeOpen:
		c.rest(c.everyOther(), now)
	default:
		s.endClaim(ClaimClosed, now)
		c.leave(now)
	}
}

// Appeal asks the operators about the worker's rejected delivery, once, within
// AppealWindow and before a redelivery or a release waived it. It ends the
// claim and holds a slot; if none is left, it is for the record only.
func (s Snapshot) Appeal(a Actor, id CaseID, text string, now time.Time) (Change, error) {
	switch {
	case s.Delivery == nil || (a.Account != s.Delivery.Worker && a.Account != s.Publisher):
		return Change{}, ErrNotFound
	case a.Account != s.Delivery.Worker:
		return Change{}, ErrForbidden
	}
	var p problems
	p.text("/text", visible(text), 1, MaxCaseText)
	if err := Invalid(p); err != nil {
		return Change{}, err
	}
	if s.Delivery.InCase && s.Delivery.State == DeliveryRejected {
		return Change{}, ErrAlreadyDone
	}
	if !s.Appealable(now) {
		return Change{}, ErrAppealClosed
	}
	c := s.change(EventAppealed)
	if !s.Terminal() {
		c.Snapshot.endClaim(ClaimAppealed, now)
	}
	c.openCase(Case{ID: id, Kind: CaseAppeal, OpenedBy: a.Account, Handle: a.Handle, Text: text}, now)
	return c, nil
}

// Appealable reports whether the snapshot's delivery can be appealed now.
func (s Snapshot) Appealable(now time.Time) bool {
	d := s.Delivery
	if d == nil || d.State != DeliveryRejected || d.InCase || s.State == Cancelled || s.State == Expired {
		return false
	}
	by := s.AppealBy
	if s.Mode == ModeOpen {
		by = d.DueAt
	}
	return by != nil && !now.After(*by) && d.Review != nil && d.Review.AppealBy != nil && d.Review.AppealBy.Equal(*by)
}

// Decide makes an operator's decision on the open case of the delivery: the
// worker gets the held slot, a part of it, or nothing. A party decides
// nothing. Without a held slot only the record changes. Once the case is due
// the clock alone closes it.
func (s Snapshot) Decide(a Actor, d Decision, p Payment, now time.Time) (Change, error) {
	switch {
	case !a.Operator || s.Delivery == nil || s.Case == nil:
		return Change{}, ErrNotFound
	case OneParty(s.publishers(), a.judges()) || a.oneParty(s.Delivery.Worker) || slices.ContainsFunc(s.Hands, a.oneParty):
		return Change{}, ErrForbidden
	}
	if err := Invalid(d.Clean(s.Case.Kind, s.Reward)); err != nil {
		return Change{}, err
	}
	if !now.Before(s.Case.DueAt) {
		return Change{}, ErrCaseClosed
	}
	if s.Case.Kind == CaseObjection {
		return s.decideObjection(a, d, now), nil
	}
	var c Change
	share := s.Reward
	switch d.Outcome {
	case CaseOverturned:
		c = s.change(EventOverturned)
	case CaseSplit:
		c, share = s.change(EventSplit), part(s.Reward, int(d.Share))
	default:
		c = s.change(EventUpheld)
		c.closeUnpaid(CaseUpheld, now)
		c.Snapshot.decided(a, d)
		return c, nil
	}
	held := s.Case.Frozen && !s.Terminal()
	c.endCase(d.Outcome, now)
	c.Snapshot.decided(a, d)
	switch {
	case !held:
		if !s.Terminal() {
			c.rest(c.everyOther(), now)
		}
		return c, nil
	case s.Delivery.Review == nil:
		x := *c.Snapshot.Delivery
		x.Review = &Review{Decision: DecisionAccept, By: ByOperator, Reason: d.Note, At: now}
		c.Snapshot.Delivery = &x
	}
	c.pay(*c.Snapshot.Delivery, share, ByOperator, p, now)
	if s.Mode == ModeOpen {
		c.rest(c.everyOther(), now)
	} else {
		c.Snapshot.endClaim(ClaimSettled, now)
		c.Snapshot.close(Settled)
	}
	return c, nil
}

// decided writes the decision into the closed case.
func (s *Snapshot) decided(a Actor, d Decision) {
	k := *s.Case
	k.Note, k.DecidedBy, k.Decider = d.Note, a.Account, a.Handle
	if d.Outcome == CaseSplit {
		k.Share = int(d.Share)
	}
	s.Case = &k
}

// TickCase closes a case that no operator decided in time and that no task's
// clock closes: an objection, or an appeal for the record of a task that is
// over. A payout that was held for it goes on by itself.
func (s Snapshot) TickCase(now time.Time) Change {
	c := s.change(EventCaseClosed)
	if s.Case.Kind != CaseObjection {
		c.closeUnpaid(CaseSilence, now)
		return c
	}
	k, d := *s.Case, *s.Delivery
	k.ClosedAt, k.Outcome, d.InCase = &now, CaseSilence, false
	c.Snapshot.Case, c.Snapshot.Delivery = &k, &d
	return c
}

// PayoutChange says what becomes of a payout that is held.
type PayoutChange string

// The changes of a payout: none but that it may be new, held longer or again as
// before, given back.
const (
	PayoutAsIs     PayoutChange = ""
	PayoutHeld     PayoutChange = "held"
	PayoutReversed PayoutChange = "reversed"
	// PayoutAtOnce is a new payout that is in the wallet already.
	PayoutAtOnce PayoutChange = "at_once"
)

// HoldObjection is the reason of a hold while an objection is open.
const HoldObjection = "objection"

// Object asks the operators about a payout that is still held, of a delivery
// that the publisher did not accept by an own decision: once. The hold then
// lasts until they decide, CaseWindow at most. The snapshot's delivery must
// bear its payout.
func (s Snapshot) Object(a Actor, id CaseID, text string, now time.Time) (Change, error) {
	d := s.Delivery
	switch {
	case d == nil || (a.Account != s.Publisher && a.Account != d.Worker):
		return Change{}, ErrNotFound
	case a.Account != s.Publisher:
		return Change{}, ErrForbidden
	}
	var p problems
	p.text("/text", visible(text), 1, MaxCaseText)
	if err := Invalid(p); err != nil {
		return Change{}, err
	}
	switch {
	case d.State == DeliveryAccepted && (d.InCase || d.Payout != nil && d.Payout.HoldReason != HoldSettlement):
		return Change{}, ErrAlreadyDone
	case !s.Objectionable(now):
		return Change{}, ErrObjectionClosed
	}
	c := s.change(EventObjected)
	y, x := *d.Payout, *d
	before := y.AvailableAt
	k := Case{ID: id, Task: s.ID, Delivery: d.ID, Kind: CaseObjection, OpenedBy: a.Account, Handle: a.Handle, Text: text,
		OpenedAt: now, DueAt: now.Add(CaseWindow), AvailableAt: &before}
	y.AvailableAt, y.HoldReason = k.DueAt, HoldObjection
	if before.After(y.AvailableAt) {
		y.AvailableAt = before
	}
	x.InCase, x.Payout = true, &y
	c.NewCase, c.Snapshot.Case, c.Snapshot.Delivery = true, &k, &x
	c.Payout, c.PayoutChange = &y, PayoutHeld
	return c, nil
}

// Objectionable reports whether the publisher can object to the payout of the
// snapshot's delivery now.
func (s Snapshot) Objectionable(now time.Time) bool {
	d := s.Delivery
	return d != nil && d.State == DeliveryAccepted && d.Payout != nil && !d.InCase && d.Payout.HoldReason == HoldSettlement &&
		now.Before(d.Payout.AvailableAt) && d.Review != nil && (d.Review.By == BySilence || d.Review.By == ByChecks)
}

// decideObjection gives the payout back to the publisher, in the split that
// funded it, or lets it go to the worker when it would have without objection.
func (s Snapshot) decideObjection(a Actor, d Decision, now time.Time) Change {
	k, x := *s.Case, *s.Delivery
	y := *x.Payout
	k.ClosedAt, k.Outcome = &now, d.Outcome
	x.InCase, x.Payout = false, &y
	c := s.change(EventPayoutKept)
	if d.Outcome == CaseReversed {
		c.Event, c.PayoutChange = EventPayoutReversed, PayoutReversed
		from := Funds{Granted: y.GrantedPart, Earned: y.Amount - y.GrantedPart}
		for _, t := range transfers(TransferReversal, from, "", Transfer{
			Debit: PendingAccount(y.Account), Credit: WalletAccount(s.Publisher), Account: s.Publisher, Counterparty: y.Account, Task: s.ID}) {
			if y.Granted == 0 {
				t.DebitClass = Earned
			}
			c.Transfers = append(c.Transfers, t)
		}
		c.Transfers = append(c.Transfers, transfers(TransferFeeRefund, y.Fee, "", Transfer{
			Debit: FeesAccount, Credit: WalletAccount(s.Publisher), Account: s.Publisher, Task: s.ID})...)
		x.State = DeliveryReversed
	} else {
		c.PayoutChange = PayoutHeld
		y.HoldReason, y.AvailableAt = HoldObjected, now
		if k.AvailableAt != nil && k.AvailableAt.After(now) {
			y.AvailableAt = *k.AvailableAt
		}
	}
	c.Payout = &y
	c.Snapshot.Case, c.Snapshot.Delivery = &k, &x
	c.Snapshot.decided(a, d)
	return c
}

// HoldObjected marks a payout that an objection was decided on: there is no
// second one.
const HoldObjected = "objection_decided"
