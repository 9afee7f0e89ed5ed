package store

import (
	"context"
	"errors"
	"time"

	"guildhall/market"
)

// PublishTask funds and opens a task of a clean draft. It returns
// market.ErrInsufficientCredits if the publisher's available credits do not
// cover it; of concurrent publishes as many succeed as the wallet can fund.
func (s *Store) PublishTask(ctx context.Context, by Caller, d market.Draft) (market.Snapshot, error) {
	id := newID[market.TaskID]()
	if d.Protected != nil {
		id = d.Protected.TaskID // the ciphertext names it
	}
	after, err := s.publishAs(ctx, by, id, d)
	if d.Protected != nil && errors.Is(err, errRaceLost) {
		err = market.Field("/protectedFields/taskId", "protected_task_id", nil) // another task has it
	}
	return after, err
}

func (s *Store) publishAs(ctx context.Context, by Caller, id market.TaskID, d market.Draft) (market.Snapshot, error) {
	if have := by.seen.funds; have != nil {
		now := s.now()
		change, err := market.Publish(by.Actor, id, d, s.opts.FeeBPS, *have, now)
		// Granted credits go first whatever has come since; a split must be
		// made of what is there now.
		if err == nil && change.Snapshot.Escrow.Earned == 0 {
			if after, err := s.apply(ctx, by, market.Snapshot{}, change, now); !errors.Is(err, errFundsMoved) {
				return after, err
			}
		}
	}
	released := false
	for range maxRaces {
		have, err := s.funds(ctx, by.Account)
		if err != nil {
			return market.Snapshot{}, err
		}
		now := s.now()
		change, err := market.Publish(by.Actor, id, d, s.opts.FeeBPS, have, now)
		if errors.Is(err, market.ErrInsufficientCredits) && !released {
			released = true // payouts whose hold is over may cover it
			if _, err := s.release(ctx, by.Account, 10_000); err != nil {
				return market.Snapshot{}, err
			}
			continue
		}
		if err != nil {
			return market.Snapshot{}, err
		}
		after, err := s.apply(ctx, by, market.Snapshot{}, change, now)
		if !errors.Is(err, errFundsMoved) {
			return after, err
		}
	}
	return market.Snapshot{}, market.ErrUnavailable.After(time.Second)
}

// CancelTask closes an open task of the caller with an exact refund.
func (s *Store) CancelTask(ctx context.Context, by Caller, id market.TaskID) (market.Snapshot, error) {
	return s.transition(ctx, by, id, "", func(t market.Snapshot, now time.Time) (market.Change, error) {
		return t.Cancel(by.Actor, now)
	})
}

// ClaimTask leases the open task to the caller. Of any number of concurrent
// callers one wins; the others get market.ErrTaskNotOpen. Of concurrent claims
// of one worker as many succeed as it may hold; the others get
// market.ErrClaimLimit.
func (s *Store) ClaimTask(ctx context.Context, by Caller, id market.TaskID) (market.Snapshot, error) {
	load, err := s.workload(ctx, by)
	if err != nil {
		return market.Snapshot{}, err
	}
	claim := newID[market.ClaimID]()
	after, err := s.transition(ctx, by, id, "", func(t market.Snapshot, now time.Time) (market.Change, error) {
		return t.ClaimWithin(load, by.Actor, claim, now)
	})
	if errors.Is(err, market.ErrClaimLimit) {
		err = load.Full()
	}
	return after, err
}

// Lease names the claim that a write relies on. An empty Claim means the
// caller's own live one.
type Lease struct {
	Claim market.ClaimID
	Epoch int64
	// Missing is what the caller left out, for a delivery on an exclusive
	// task, where it must name its claim.
	Missing []market.FieldError
}

// RenewClaim extends the caller's lease.
func (s *Store) RenewClaim(ctx context.Context, by Caller, id market.TaskID, l Lease) (market.Snapshot, error) {
	return s.transition(ctx, by, id, "", func(t market.Snapshot, now time.Time) (market.Change, error) {
		if err := s.addSecrets(ctx, by.Account, &t); err != nil {
			return market.Change{}, err
		}
		return t.Renew(by.Actor, l.Claim, l.Epoch, now)
	})
}

// ReleaseClaim gives the task back to the market.
func (s *Store) ReleaseClaim(ctx context.Context, by Caller, id market.TaskID, l Lease) (market.Snapshot, error) {
	return s.transition(ctx, by, id, "", func(t market.Snapshot, now time.Time) (market.Change, error) {
		return t.Release(by.Actor, l.Claim, l.Epoch, now)
	})
}

// Task is the task as it is now. A clock that has run out acts first.
func (s *Store) Task(ctx context.Context, by market.Actor, id market.TaskID) (market.Snapshot, error) {
	t, err := s.current(ctx, Caller{Actor: by}, id, "")
	if err != nil || by.Account == "" {
		return t, err
	}
	if err := s.addDone(ctx, by.Account, &t); err != nil {
		return t, err
	}
	if err := s.addSecrets(ctx, by.Account, &t); err != nil {
		return t, err
	}
	return t, s.addAppeal(ctx, by.Account, &t)
}

// TaskWith is Task with one of its deliveries, if the actor may see that: its
// parties, and operators if there is a case about it. Else it returns
// market.ErrNotFound.
func (s *Store) TaskWith(ctx context.Context, by market.Actor, id market.TaskID, delivery market.DeliveryID) (market.Snapshot, error) {
	t, err := s.current(ctx, Caller{Actor: by}, id, delivery)
	if err != nil {
		return t, err
	}
	if by.Account != t.Publisher && by.Account != t.Delivery.Worker {
		asked := false
		if by.Operator {
			err = s.db.GetContext(ctx, &asked, `SELECT EXISTS (SELECT 1 FROM cases WHERE delivery_id = $1)`, string(delivery))
		}
		if err == nil && !asked {
			err = market.ErrNotFound
		}
	}
	return t, translate(err)
}

// addAppeal adds the actor's rejection that can still be appealed.
func (s *Store) addAppeal(ctx context.Context, by market.AccountID, t *market.Snapshot) error {
	if t.Publisher == by || (t.AppealBy == nil && t.Waivable.Live == 0) {
		return nil
	}
	var row struct {
		ID market.DeliveryID `db:"id"`
		By time.Time         `db:"appeal_by"`
	}
	err := s.db.GetContext(ctx, &row, `
		SELECT id, COALESCE(due_at, $3::timestamptz) AS appeal_by FROM deliveries
		WHERE task_id = $1 AND worker_id = $2 AND state = 'rejected' AND NOT in_case AND (claim_id IS NOT NULL OR due_at > $4)
		ORDER BY CASE WHEN claim_id IS NULL THEN due_at END, id DESC
		LIMIT 1`, string(t.ID), string(by), t.AppealBy, s.now())
	switch err = translate(err); {
	case errors.Is(err, market.ErrNotFound):
		return nil
	case err == nil:
		t.CanAppeal = &market.OpenAppeal{Delivery: row.ID, By: row.By}
	}
	return err
}

func (s *Store) current(ctx context.Context, by Caller, id market.TaskID, delivery market.DeliveryID) (market.Snapshot, error) {
	for range maxRaces {
		snap, err := s.snapshot(ctx, &by, id, delivery)
		if err != nil || !snap.Due(s.now()) {
			return snap, err
		}
		if err := s.tick(ctx, id); err != nil {
			return market.Snapshot{}, err
		}
	}
	return market.Snapshot{}, market.ErrUnavailable.After(time.Second)
}

// OpenDelivery is the first half of delivering: it says whether the caller may
// deliver now and returns the task whose contract the package must satisfy.
func (s *Store) OpenDelivery(ctx context.Context, by Caller, id market.TaskID, l Lease) (market.Snapshot, error) {
	t, err := s.current(ctx, by, id, "")
	if err != nil {
		return market.Snapshot{}, err
	}
	if t.Mode == market.ModeExclusive && len(l.Missing) > 0 {
		return t, market.Invalid(l.Missing)
	}
	if err := s.addDone(ctx, by.Account, &t); err != nil {
		return t, err
	}
	return t, t.CanDeliver(by.Actor, l.Claim, l.Epoch)
}

// Deliver is the second half: it stores the checked package. The claim is
// judged again, so a lease that ended during the checks is
// market.ErrClaimStale. A failing package is stored too; see the delivery's
// state. With autoAccept a pass settles the task in the same transaction, so of
// concurrent deliveries one is paid. The task is the one that OpenDelivery returned.
func (s *Store) Deliver(ctx context.Context, by Caller, t market.Snapshot, l Lease, p market.Package, r market.Report) (market.Snapshot, error) {
	id, pay := newID[market.DeliveryID](), market.Payment{ID: newID[market.PayoutID](), Terms: s.opts.Terms}
	decide := func(t market.Snapshot, now time.Time) (market.Change, error) {
		return t.Deliver(by.Actor, id, l.Claim, l.Epoch, p, r, pay, now)
	}
	after, err := s.decideAndCommit(ctx, by, t, decide, s.now())
	if errors.Is(err, errRaceLost) {
		by.seen = seen{} // as old as the task that lost
		return s.transition(ctx, by, t.ID, "", decide)
	}
	return after, err
}

// AcceptDelivery pays the pending delivery one reward, pending for the hold;
// the last one settles the task. Of concurrent decisions on a delivery one
// wins, the others get market.ErrDeliveryNotPending; of accepts on an open task
// as many as there are slots.
func (s *Store) AcceptDelivery(ctx context.Context, by Caller, id market.TaskID, delivery market.DeliveryID) (market.Snapshot, error) {
	pay := market.Payment{ID: newID[market.PayoutID](), Terms: s.opts.Terms}
	return s.transition(ctx, by, id, delivery, func(t market.Snapshot, now time.Time) (market.Change, error) {
		return t.Accept(by.Actor, pay, now)
	})
}

// RejectDelivery refuses the pending delivery; the worker may revise it while
// attempts and time are left.
func (s *Store) RejectDelivery(ctx context.Context, by Caller, id market.TaskID, delivery market.DeliveryID, r market.Rejection) (market.Snapshot, error) {
	return s.transition(ctx, by, id, delivery, func(t market.Snapshot, now time.Time) (market.Change, error) {
		c, err := t.Reject(by.Actor, r, now)
		if err != nil {
			return c, err
		}
		j, err := s.Judgements(ctx, by.Account)
		if err == nil {
			err = j.MayReject()
		}
		return c, err
	})
}

// Judgements are the publisher's latest decisions.
func (s *Store) Judgements(ctx context.Context, publisher market.AccountID) (market.Judgements, error) {
	var j market.Judgements
	err := s.db.QueryRowxContext(ctx, `SELECT rejected, paid FROM judgements($1, $2)`, publisher, s.now().Add(-market.RejectionLook)).Scan(&j.Rejected, &j.Paid)
	return j, translate(err)
}

// WithdrawDelivery takes the caller's own pending delivery back.
func (s *Store) WithdrawDelivery(ctx context.Context, by Caller, id market.TaskID, delivery market.DeliveryID) (market.Snapshot, error) {
	return s.transition(ctx, by, id, delivery, func(t market.Snapshot, now time.Time) (market.Change, error) {
		return t.Withdraw(by.Actor, now)
	})
}
