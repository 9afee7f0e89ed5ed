package store

import (
	"context"
	"errors"
	"time"

	"guildhall/market"
)

// rule decides on a transition of the snapshot at the given time.
type rule func(s market.Snapshot, now time.Time) (market.Change, error)

// maxRaces bounds how often one call tries again after losing a race. Each
// loss means that another transition committed, so losing this often in a row
// means the task is being hammered.
const maxRaces = 10

// transition loads the task, lets the rule decide and commits the change. A
// clock that has run out acts first, so no caller depends on the sweep. If
// another transition comes first the task is loaded and judged again.
func (s *Store) transition(ctx context.Context, by Caller, id market.TaskID, delivery market.DeliveryID, decide rule) (market.Snapshot, error) {
	for n := range maxRaces {
		if n == 1 { // the task is wanted: stand in line
			done, err := s.busy.wait(ctx, id)
			if err != nil {
				return market.Snapshot{}, err
			}
			defer done()
		}
		now := s.now()
		snap, err := s.snapshot(ctx, &by, id, delivery)
		if err != nil {
			return market.Snapshot{}, err
		}
		done, err := s.decideAndCommit(ctx, by, snap, decide, now)
		if !errors.Is(err, errRaceLost) {
			return done, err
		}
	}
	return market.Snapshot{}, market.ErrUnavailable.After(time.Second)
}

func (s *Store) decideAndCommit(ctx context.Context, by Caller, snap market.Snapshot, decide rule, now time.Time) (market.Snapshot, error) {
	if snap.Due(now) {
		if err := s.tick(ctx, snap.ID); err != nil {
			return market.Snapshot{}, err
		}
		return market.Snapshot{}, errRaceLost
	}
	change, err := decide(snap, now)
	if err != nil {
		return market.Snapshot{}, err
	}
	return s.apply(ctx, by, snap, change, now)
}

// tick makes the transition of a clock that has run out, if it still has.
func (s *Store) tick(ctx context.Context, id market.TaskID) error {
	snap, err := s.loadForClock(ctx, id)
	if err != nil {
		return err
	}
	now := s.now()
	if !snap.Due(now) {
		return nil
	}
	_, err = s.apply(ctx, Caller{}, snap, snap.Tick(clockIDs(), s.opts.Terms, now), now)
	if errors.Is(err, errRaceLost) {
		return nil
	}
	return err
}

func clockIDs() market.ClockIDs {
	return market.ClockIDs{Payout: newID[market.PayoutID](), Case: newID[market.CaseID]()}
}

// apply makes a change true in one transaction and returns the snapshot after.
func (s *Store) apply(ctx context.Context, by Caller, was market.Snapshot, c market.Change, now time.Time) (market.Snapshot, error) {
	after, e, err := effectOf(by, was, c, now)
	if err != nil {
		return market.Snapshot{}, err
	}
	var b batch
	if err := b.once(by, after, now); err != nil {
		return market.Snapshot{}, err
	}
	if c.PayoutChange == market.PayoutHeld || c.PayoutChange == market.PayoutReversed {
		b.Queue(`SELECT hold_payout($1, $2)`, string(c.Payout.ID), now)
	}
	if c.Event == market.EventRejected {
		b.Queue(`SELECT begin_rejection($1, $2, $3, $4)`, string(after.Publisher), now.Add(-market.RejectionLook), market.MostRejections, market.PaidShare)
	}
	b.spend(by, c, now)
	if c.Event == market.EventPublished && by.Kind == market.Agent {
		b.Queue(`SELECT begin_publish($1, $2)`, string(by.Account), int64(after.Escrow.Total()))
	}
	b.effect(e)
	if k := after.Case; k != nil && k.ClosedAt != nil && k.DecidedBy != "" {
		b.log(by, market.ActionCaseDecided, string(k.ID), k.Note, map[string]any{"outcome": k.Outcome, "share": k.Share}, now)
	}
	b.unspend(c)
	b.post(c.Transfers, now) // last: the wallet is the contended row
	b.refer(c, now)
	return after, s.commit(ctx, &b)
}

// effectOf is the statement that makes a change true, but for wallets, and the
// snapshot after it.
func effectOf(by Caller, was market.Snapshot, c market.Change, now time.Time) (market.Snapshot, effect, error) {
	var e effect
	after := c.Snapshot
	if c.Event != market.EventPublished {
		after.Version++
	}
	if err := c.Legal(); err != nil {
		return after, e, err
	}
	e.add(insertEvent, after.ID, after.Version, now, c.Event, nullID(by.Account), nullID(by.Key)) // first: it decides races
	e.task(c, after)
	e.listing(c.Was, after.Task)
	e.protected(by, was.Claim, c, now) // listed before the claim, it runs behind it: the order of a grant's locks
	e.claim(by, was.Claim, c)
	e.delivery(by, was.Delivery, c)
	e.others(c, now)
	e.operators(c)
	e.payout(c)
	switch {
	case c.Event == market.EventPublished:
		e.attach(by.Account, after.ID, "", after.Attachments)
	case c.NewDelivery:
		e.attach(by.Account, after.ID, after.Delivery.ID, after.Delivery.Attachments)
	}
	e.outcomes(c, now)
	if by.Mandate != nil {
		amount := market.Credits(0)
		if c.Event == market.EventPublished {
			amount = after.Escrow.Total()
		}
		e.add(insertBundleAction, actedArgs(by.Mandate.Bundle, string(c.Event), after.ID, amount, now)...)
	}
	e.post(c.Transfers, now)
	e.tell(c, now)
	return after, e, nil
}

var (
	insertEvent = part{"event", `
		INSERT INTO task_events (task_id, version, at, event, actor_id, key_id) VALUES ($1, $2, $3, $4, $5, $6)`}
	insertTask = part{"newtask", `
		INSERT INTO tasks (id, publisher_id, state, version, title, brief, skills, mode, reward, payload, output_schema,
			rules, attachments, auto_accept, claim_minutes, review_hours, max_attempts, max_accepted, deadline, created_at,
			escrow_granted, escrow_earned, due_at, slots, fee, evergreen, bundle_id, protected)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28)`}
	insertSecrets = part{"secrets", `
		INSERT INTO task_secrets (task_id, hidden, samples, sample_reports) VALUES ($1, $2, $3, $4)`}
	updateTask = part{"task", `
		UPDATE tasks SET state = $2, version = $3, epoch = $4, escrow_granted = $5, escrow_earned = $6,
			due_at = $7, appeal_by = $8, case_until = $9, slots = $10, frozen = $11, paused_at = $12
		WHERE id = $1`}
	insertListing = part{"list", `
		INSERT INTO task_skills (skill, task_id, reward, deadline)
		SELECT s, $1, $2, $3 FROM unnest($4::text[]) s`}
	deleteListing = part{"unlist", `
		DELETE FROM task_skills WHERE task_id = $1`}
	insertClaim = part{"newclaim", `
		INSERT INTO claims (id, task_id, worker_id, epoch, claimed_at, lease_from, expires_at)
		SELECT $1, $2, $3, $4, $5, $6, $7 FROM begin_claim($3, $8, $5), begin_work($3, $9, $10, $11, $5)`}
	updateClaim = part{"claim", `
		UPDATE claims SET lease_from = $2, expires_at = $3, ended_at = $4, outcome = $5 WHERE id = $1`}
	insertDelivery = part{"newdelivery", `
		INSERT INTO deliveries (id, task_id, claim_id, worker_id, state, attempt, output, summary_text, attachments, report, review, created_at, due_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`}
	insertOpenDelivery = part{"opendelivery", `
		INSERT INTO deliveries (id, task_id, claim_id, worker_id, state, attempt, output, summary_text, attachments, report, review, created_at, due_at)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13 FROM begin_work($4, $14, $15, $16, $12)`}
	updateDelivery = part{"delivery", `
		UPDATE deliveries SET state = $2, review = $3, due_at = $4, in_case = $5 WHERE id = $1`}
	waiveAppeals = part{"waive", `
		UPDATE deliveries SET due_at = NULL
		WHERE task_id = $1 AND worker_id = $2 AND id <> $3 AND state = 'rejected' AND due_at IS NOT NULL AND NOT in_case`}
	notSelected = part{"notselected", `
		UPDATE deliveries SET state = 'not_selected', due_at = NULL
		WHERE task_id = $1 AND id <> $2 AND state = 'pending' AND due_at IS NOT NULL`}
	resumeReviews = part{"resume", `
		UPDATE deliveries SET due_at = LEAST(due_at + ($3::timestamptz - $4::timestamptz), $5::timestamptz)
		WHERE task_id = $1 AND id <> $2 AND state = 'pending' AND NOT in_case AND due_at IS NOT NULL`}
	insertCase = part{"newcase", `
		INSERT INTO cases (id, task_id, delivery_id, kind, opened_by, text, frozen, opened_at, due_at, available_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`}
	updateCase = part{"case", `
		UPDATE cases SET closed_at = $2, outcome = $3, share = $4, note = $5, decided_by = $6 WHERE id = $1`}
	insertPayout = part{"payout", `
		INSERT INTO payouts (id, account_id, task_id, delivery_id, amount, class, available_at, hold_reason, granted_part, granted, fee_granted, fee_earned, state)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`}
	holdPayout = part{"hold", `
		UPDATE payouts SET available_at = $2, hold_reason = $3 WHERE id = $1 AND state = 'pending'`}
	reversePayout = part{"reverse", `
		UPDATE payouts SET state = 'reversed' WHERE id = $1 AND state = 'pending'`}
)

func (e *effect) task(c market.Change, t market.Snapshot) {
	if c.Event != market.EventPublished {
		e.add(updateTask, t.ID, t.State, t.Version, t.Epoch, t.Escrow.Granted, t.Escrow.Earned, t.DueAt, t.AppealBy, t.CaseUntil,
			t.Slots, t.Frozen, t.PausedAt)
		return
	}
	e.add(insertTask, t.ID, t.Publisher, t.State, t.Version, t.Title, t.Brief, t.Skills, t.Mode, t.Reward, rawJSON(t.Payload), rawJSON(t.OutputSchema),
		toDocument(orEmpty(t.Rules)), toDocument(orEmpty(t.Attachments)), t.AutoAccept, t.ClaimMinutes, t.ReviewHours, t.MaxAttempts, t.MaxAccepted,
		t.Deadline, t.CreatedAt, t.Escrow.Granted, t.Escrow.Earned, t.DueAt, t.Slots, t.Fee, t.Evergreen, nullID(t.Bundle), document(t.Protected))
	if secrets := c.Secrets; !secrets.Empty() {
		var hidden, samples, reports any
		if len(secrets.Hidden) > 0 {
			hidden = toDocument(secrets.Hidden)
		}
		if secrets.Samples != nil {
			samples = toDocument(secrets.Samples)
			if secrets.Reports != nil {
				reports = toDocument(secrets.Reports)
			}
		}
		e.add(insertSecrets, t.ID, hidden, samples, reports)
	}
}

// listing keeps the rows that the market is read from: open tasks only.
func (e *effect) listing(was market.State, t market.Task) {
	switch {
	case t.Evergreen: // shown apart
	case t.State == market.Open && was != market.Open:
		e.add(insertListing, t.ID, t.Reward, t.Deadline, t.Skills)
	case t.State != market.Open && was == market.Open:
		e.add(deleteListing, t.ID)
	}
}

// claim writes the claim if the change has one of its own: rules replace what
// they change and leave the rest of the snapshot as it was.
func (e *effect) claim(by Caller, was *market.Claim, c market.Change) {
	k := c.Snapshot.Claim
	switch {
	case c.NewClaim:
		e.add(insertClaim, k.ID, k.Task, k.Worker, k.Epoch, k.ClaimedAt, k.LeaseFrom, k.ExpiresAt, c.ClaimLimit,
			mandateID(by.Actor), c.Snapshot.Publisher, nullID(c.Snapshot.Bundle))
	case k != was:
		e.add(updateClaim, k.ID, k.LeaseFrom, k.ExpiresAt, k.EndedAt, nullID(k.Outcome))
	}
}

func (e *effect) delivery(by Caller, was *market.Delivery, c market.Change) {
	d := c.Snapshot.Delivery
	if d == nil || d == was {
		return
	}
	var review any
	if d.Review != nil {
		review = toDocument(d.Review)
	}
	switch {
	case c.NewDelivery:
		args := []any{d.ID, d.Task, nullID(d.Claim), d.Worker, d.State, d.Attempt, rawJSON(d.Output), d.SummaryText,
			toDocument(orEmpty(d.Attachments)), toDocument(d.Report), review, d.CreatedAt, d.DueAt}
		if d.Claim == "" {
			e.add(insertOpenDelivery, append(args, mandateID(by.Actor), c.Snapshot.Publisher, nullID(c.Snapshot.Bundle))...)
		} else {
			e.add(insertDelivery, args...)
		}
	default:
		e.add(updateDelivery, d.ID, d.State, review, d.DueAt, d.InCase)
	}
}

// others changes the deliveries besides the snapshot's.
func (e *effect) others(c market.Change, now time.Time) {
	s := c.Snapshot
	if c.Waive {
		e.add(waiveAppeals, s.ID, s.Delivery.Worker, s.Delivery.ID)
	}
	if c.NotSelected {
		e.add(notSelected, s.ID, s.Delivery.ID)
		e.add(tellNotSelected, s.ID, s.Delivery.ID, now, market.FeedDeliveryNotSelected)
		e.toldMore = true
	}
	if c.ResumeFrom != nil && !c.NotSelected && s.Others.Pending+s.Waivable.Pending > 0 {
		e.add(resumeReviews, s.ID, s.Delivery.ID, now, *c.ResumeFrom, now.Add(time.Duration(s.ReviewHours)*time.Hour))
	}
}

// operators writes the case that the change opens or closes.
func (e *effect) operators(c market.Change) {
	k := c.Snapshot.Case
	switch {
	case k == nil:
	case c.NewCase:
		e.add(insertCase, k.ID, k.Task, k.Delivery, k.Kind, nullID(k.OpenedBy), k.Text, k.Frozen, k.OpenedAt, k.DueAt, k.AvailableAt)
	case k.ClosedAt != nil:
		e.add(updateCase, k.ID, k.ClosedAt, k.Outcome, k.Share, k.Note, nullID(k.DecidedBy))
	}
}

func (e *effect) payout(c market.Change) {
	p := c.Payout
	switch {
	case p == nil:
	case c.PayoutChange == market.PayoutHeld:
		e.add(holdPayout, p.ID, p.AvailableAt, p.HoldReason)
	case c.PayoutChange == market.PayoutReversed:
		e.add(reversePayout, p.ID)
	default:
		state := "pending"
		if c.PayoutChange == market.PayoutAtOnce {
			state = "available"
		}
		e.add(insertPayout, p.ID, p.Account, p.Task, p.Delivery, p.Amount, p.Class, p.AvailableAt, p.HoldReason, p.GrantedPart, p.Granted, p.Fee.Granted, p.Fee.Earned, state)
	}
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func rawJSON(raw []byte) any {
	if len(raw) == 0 {
		return nil
	}
	return string(raw)
}
