package market

import "time"

// The rules of open mode: any number of workers at once, each with at most one
// pending delivery; the publisher decides single deliveries until all slots
// are paid. Each live delivery has a clock of its own, DueAt; the task's is the
// first of them and the deadline.

func (s Snapshot) canDeliverOpen(a Actor) error {
	if err := a.unpaused(); err != nil {
		return err
	}
	if !a.Worker() {
		return ErrForbidden
	}
	if err := s.stranger(a); err != nil {
		return err
	}
	switch {
	case s.State != Open:
		return ErrTaskNotOpen
	case s.stopped():
		return ErrPublisherSuspended
	case s.Delivery != nil && s.Delivery.State == DeliveryPending:
		return ErrDeliveryPending
	}
	return nil
}

func (s Snapshot) deliverOpen(d Delivery, pay Payment, now time.Time) Change {
	s.Delivery = &d
	if d.Report.Verdict == VerdictFail {
		c := s.change(EventFailed)
		d.State = DeliveryFailed
		c.rest(s.everyOther(), now)
		return c
	}
	if s.AutoAccept && d.Report.Verdict == VerdictPass && s.Free() > 0 {
		c := s.change(EventAutoAccepted)
		c.Waive = s.Waivable.Live > 0
		c.pay(d, s.Reward, ByChecks, pay, now)
		c.rest(s.Others, now)
		return c
	}
	c := s.change(EventDelivered)
	c.Waive = s.Waivable.Live > 0
	due := now.Add(s.reviewWindow())
	d.DueAt = &due
	c.rest(s.Others, now)
	return c
}

func (s Snapshot) acceptOpen(p Payment, now time.Time) (Change, error) {
	c := s.change(EventAccepted)
	c.endCase(CaseMoot, now) // its own slot is free again
	if c.Snapshot.Free() <= 0 {
		return Change{}, ErrSlotFrozen
	}
	c.pay(*c.Snapshot.Delivery, s.Reward, ByPublisher, p, now)
	c.rest(s.everyOther(), now)
	return c, nil
}

// everyOther sums up the live deliveries besides Delivery.
func (s Snapshot) everyOther() Clocks { return s.Others.plus(s.Waivable) }

func (c Change) everyOther() Clocks { return c.Snapshot.everyOther() }

// live counts the deliveries that are pending, appealable or in a case.
func (s Snapshot) live() int {
	n := s.everyOther().Live
	if s.Delivery != nil && s.Delivery.DueAt != nil {
		n++
	}
	return n
}

// rest goes on after a transition of an open-mode task: it ends when the last
// slot is paid, or when nothing is left to wait for after the deadline;
// otherwise it takes the next clock. Others are the live deliveries besides
// the snapshot's. While a case holds every slot, reviews stand still.
func (c *Change) rest(others Clocks, now time.Time) {
	s := &c.Snapshot
	d := s.Delivery
	if d != nil && d.DueAt == nil {
		d = nil
	}
	late := s.State == InReview || c.Event == EventDeadlinePassed || c.Event == EventExpired
	switch {
	case s.Slots == 0:
		c.NotSelected = others.Pending > 0
		s.close(Settled)
		return
	case late && d == nil && others.Live == 0:
		c.refund(s.endOf(Expired))
		return
	case late:
		s.State = InReview
	}
	reviews, windows := others.Review, others.Window
	switch {
	case s.Free() <= 0 && s.PausedAt == nil:
		s.PausedAt = &now
	case s.Free() > 0 && s.PausedAt != nil:
		c.ResumeFrom, s.PausedAt = s.PausedAt, nil
		reviews = resumed(reviews, now.Sub(*c.ResumeFrom), now.Add(s.reviewWindow()))
	}
	switch {
	case d == nil:
	case d.State == DeliveryPending && !d.InCase:
		reviews = earliest(reviews, d.DueAt)
	default:
		windows = earliest(windows, d.DueAt)
	}
	if s.Free() <= 0 {
		reviews = nil
	}
	s.DueAt = earliest(reviews, windows)
	if s.State == Open {
		s.DueAt = earliest(s.DueAt, &s.Deadline)
	}
}

// resumed is the end of a review window after a pause, never beyond one that
// begins now: so it is for a delivery that came during the pause.
func resumed(due *time.Time, pause time.Duration, latest time.Time) *time.Time {
	if due == nil {
		return nil
	}
	t := due.Add(pause)
	return earliest(&t, &latest)
}

// tickOpen acts for the delivery that is due first, or for the deadline if
// that came before.
func (s Snapshot) tickOpen(ids ClockIDs, terms Terms, now time.Time) Change {
	d := s.Delivery
	if s.State == Open && (d == nil || d.DueAt.After(s.Deadline)) {
		c := s.change(EventDeadlinePassed)
		if s.live() == 0 {
			c.Event = EventExpired
		}
		c.rest(s.everyOther(), now)
		return c
	}
	switch {
	case d.InCase:
		c := s.change(EventCaseClosed)
		c.closeUnpaid(CaseSilence, now)
		return c
	case d.State == DeliveryRejected:
		c := s.change(EventAppealClosed)
		c.Snapshot.setDue(nil)
		c.rest(s.everyOther(), now)
		return c
	case d.Report.Verdict == VerdictError:
		c := s.change(EventCaseOpened)
		c.openCase(Case{ID: ids.Case, Kind: CaseError}, now)
		return c
	default:
		c := s.change(EventSilenceAccept)
		c.pay(*d, s.Reward, BySilence, Payment{ids.Payout, terms}, now)
		c.rest(s.everyOther(), now)
		return c
	}
}

// setDue sets the clock of the snapshot's delivery.
func (s *Snapshot) setDue(t *time.Time) {
	d := *s.Delivery
	d.DueAt = t
	s.Delivery = &d
}
