package market

import "time"

// The rules of exclusive mode: one worker at a time, by a claim.

// beyond reports whether the task has protected fields that the actor could
// never be given: they are encrypted to an account's own key, which who acts
// through a bundle does not have.
func (s Snapshot) beyond(a Actor) bool { return a.Mandate != nil && s.Protected != nil }

// ClaimBy gives the open task to the worker for one lease.
func (s Snapshot) ClaimBy(a Actor, id ClaimID, now time.Time) (Change, error) {
	if err := a.admitted(); err != nil {
		return Change{}, err
	}
	if err := a.unpaused(); err != nil {
		return Change{}, err
	}
	if !a.Worker() {
		return Change{}, ErrForbidden
	}
	if err := s.stranger(a); err != nil {
		return Change{}, err
	}
	switch {
	case s.beyond(a):
		return Change{}, ErrOwnKeyRequired
	case s.Mode == ModeOpen:
		return Change{}, ErrOpenMode
	case s.State != Open || !now.Before(s.Deadline):
		return Change{}, ErrTaskNotOpen
	case s.stopped():
		return Change{}, ErrPublisherSuspended
	case s.Attempts >= s.MaxAttempts:
		return Change{}, ErrAttemptsExhausted
	}
	c := s.change(EventClaimed)
	c.NewClaim = true
	c.Snapshot.Claim = &Claim{ID: id, Task: s.ID, Worker: a.Account, WorkerHandle: a.Handle, Epoch: s.Epoch, ClaimedAt: now}
	c.Snapshot.lease(now)
	if s.Protected != nil {
		c.Snapshot.Secrets = &SecretStanding{}
	}
	return c, nil
}

// stopped says that nobody begins to work on the task, because its publisher
// is suspended. Who has a claim, or has delivered to it before, goes on.
func (s Snapshot) stopped() bool {
	return s.PublisherSuspended && (s.Mode != ModeOpen || s.Attempts == 0)
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
	case s.Mode == ModeOpen:
		return ErrOpenMode
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
	c.Snapshot.AppealBy = nil // waived
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

func (s Snapshot) deliverExclusive(d Delivery, pay Payment, now time.Time) Change {
	s.Delivery = &d
	if s.AutoAccept && d.Report.Verdict == VerdictPass {
		c := s.settle(EventAutoAccepted, ByChecks, pay, now)
		return c
	}
	c := s.change(EventDelivered)
	if d.Report.Verdict == VerdictFail {
		c.Event, d.State = EventFailed, DeliveryFailed
		c.Snapshot.Delivery = &d
		if s.Attempts >= s.MaxAttempts {
			c.Snapshot.endClaim(ClaimExhausted, now)
			c.leave(now)
		}
		return c
	}
	due := now.Add(s.reviewWindow())
	c.Snapshot.State, c.Snapshot.DueAt, c.Snapshot.AppealBy = InReview, &due, nil
	return c
}

func (s Snapshot) reviewWindow() time.Duration { return time.Duration(s.ReviewHours) * time.Hour }

// settle pays the delivery the task's only slot.
func (s Snapshot) settle(e Event, by string, p Payment, now time.Time) Change {
	c := s.change(e)
	c.pay(*s.Delivery, s.Reward, by, p, now)
	c.Snapshot.endClaim(ClaimSettled, now)
	c.endCase(CaseMoot, now)
	c.Snapshot.close(Settled)
	return c
}

// rejectedExclusive goes on after a rejection: while attempts and time are
// left the worker keeps the same claim to revise; otherwise the claim ends.
func (c *Change) rejectedExclusive(until, now time.Time) {
	s := &c.Snapshot
	s.AppealBy = &until
	if s.Attempts < s.MaxAttempts && now.Before(s.Deadline) {
		s.lease(now)
		return
	}
	s.endClaim(ClaimRejected, now)
	s.State, s.DueAt = InReview, &until
}

func (c *Change) withdrawnExclusive(now time.Time) {
	s := &c.Snapshot
	if now.Before(s.Deadline) && s.Attempts < s.MaxAttempts {
		s.lease(now)
		return
	}
	s.endClaim(ClaimWithdrawn, now)
	c.leave(now)
}

func (s Snapshot) tickExclusive(ids ClockIDs, terms Terms, now time.Time) Change {
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
	case s.CaseUntil != nil:
		c := s.change(EventCaseClosed)
		c.closeUnpaid(CaseSilence, now)
		return c
	case pending && s.Delivery.Report.Verdict != VerdictError:
		return s.settle(EventSilenceAccept, BySilence, Payment{ids.Payout, terms}, now)
	case pending:
		c := s.change(EventCaseOpened)
		c.openCase(Case{ID: ids.Case, Kind: CaseError}, now)
		return c
	default:
		c := s.change(EventReopened)
		c.leave(now)
		return c
	}
}
