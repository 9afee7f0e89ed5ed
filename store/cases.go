package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

const caseColumns = `
	k.id, k.task_id, k.delivery_id, k.kind, k.opened_by, COALESCE(ka.handle, ''), k.text, k.frozen, k.opened_at, k.due_at, k.available_at,
	k.closed_at, COALESCE(k.outcome, ''), k.share, k.note, k.decided_by, COALESCE(kd.handle, '')`

const caseFrom = `
	FROM cases k
	LEFT JOIN accounts ka ON ka.id = k.opened_by
	LEFT JOIN accounts kd ON kd.id = k.decided_by`

func scanCase(row pgx.Row) (market.Case, error) {
	var k market.Case
	var by, decider *market.AccountID
	err := row.Scan(&k.ID, &k.Task, &k.Delivery, &k.Kind, &by, &k.Handle, &k.Text, &k.Frozen, &k.OpenedAt, &k.DueAt, &k.AvailableAt,
		&k.ClosedAt, &k.Outcome, &k.Share, &k.Note, &decider, &k.Decider)
	if by != nil {
		k.OpenedBy = *by
	}
	if decider != nil {
		k.DecidedBy = *decider
	}
	return k, err
}

// complete adds what few snapshots have: the delivery's open case and its
// payout.
func (s *Store) complete(ctx context.Context, snap *market.Snapshot) error {
	d := snap.Delivery
	if d == nil || (!d.InCase && d.State != market.DeliveryAccepted) {
		return nil
	}
	return s.read(ctx, func(c *pgx.Conn) error {
		var b pgx.Batch
		b.Queue(`SELECT `+caseColumns+caseFrom+` WHERE k.delivery_id = $1 AND k.closed_at IS NULL`, string(d.ID))
		b.Queue(`SELECT id, account_id, amount, class, granted, granted_part, fee_granted, fee_earned, available_at, hold_reason FROM payouts WHERE delivery_id = $1`, string(d.ID))
		found := c.SendBatch(ctx, &b)
		defer found.Close()
		k, err := scanCase(found.QueryRow())
		if err == nil {
			snap.Case = &k
		} else if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		y := market.Payout{Task: snap.ID, Delivery: d.ID}
		err = found.QueryRow().Scan(&y.ID, &y.Account, &y.Amount, &y.Class, &y.Granted, &y.GrantedPart, &y.Fee.Granted, &y.Fee.Earned, &y.AvailableAt, &y.HoldReason)
		if err == nil {
			x := *d
			x.Payout = &y
			snap.Delivery = &x
		} else if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		return found.Close()
	})
}

// AppealDelivery puts the caller's rejected delivery before the operators and
// freezes a slot for it. Of concurrent appeals one wins; the others get
// market.ErrAlreadyDone.
func (s *Store) AppealDelivery(ctx context.Context, by Caller, id market.TaskID, delivery market.DeliveryID, text string) (market.Snapshot, error) {
	k := newID[market.CaseID]()
	return s.transition(ctx, by, id, delivery, func(t market.Snapshot, now time.Time) (market.Change, error) {
		return t.Appeal(by.Actor, k, text, now)
	})
}

// ObjectToPayout holds the payout of a delivery that the publisher did not
// accept by an own decision until the operators decide. It returns
// market.ErrObjectionClosed once the hold is over, whoever is faster.
func (s *Store) ObjectToPayout(ctx context.Context, by Caller, id market.TaskID, delivery market.DeliveryID, text string) (market.Snapshot, error) {
	k := newID[market.CaseID]()
	return s.transition(ctx, by, id, delivery, func(t market.Snapshot, now time.Time) (market.Change, error) {
		return t.Object(by.Actor, k, text, now)
	})
}

// DecideCase makes an operator's decision. Of concurrent decisions, and of a
// decision and the clock, one wins; the others get market.ErrCaseClosed.
func (s *Store) DecideCase(ctx context.Context, by Caller, id market.CaseID, d market.Decision) (market.Snapshot, error) {
	k, err := s.Case(ctx, by.Actor, id)
	if err != nil {
		return market.Snapshot{}, err
	}
	hands, err := s.hands(ctx, by.Actor, k.Task)
	if err != nil {
		return market.Snapshot{}, err
	}
	pay := market.Payment{ID: newID[market.PayoutID](), Terms: s.opts.Terms}
	return s.transition(ctx, by, k.Task, k.Delivery, func(t market.Snapshot, now time.Time) (market.Change, error) {
		t.Hands = hands
		if t.Case == nil || t.Case.ID != id {
			return market.Change{}, market.ErrCaseClosed
		}
		return t.Decide(by.Actor, d, pay, now)
	})
}

// hands are those of the operator's agents that acted on the task for somebody
// else, through a bundle.
func (s *Store) hands(ctx context.Context, a market.Actor, id market.TaskID) ([]market.AccountID, error) {
	if !a.Operator || len(a.Agents) == 0 {
		return nil, nil
	}
	agents := make([]string, len(a.Agents))
	for i, id := range a.Agents {
		agents[i] = string(id)
	}
	return list(ctx, s, pgx.RowTo[market.AccountID], `
		SELECT DISTINCT b.agent_id::text FROM bundles b
		WHERE b.agent_id = ANY($1::uuid[]) AND b.party_until > $2 AND (
			EXISTS (SELECT 1 FROM tasks t WHERE t.id = $3 AND t.bundle_id = b.id)
			OR EXISTS (SELECT 1 FROM bundle_actions x WHERE x.bundle_id = b.id AND x.task_id = $3))`,
		[]any{agents, s.now(), string(id)})
}

// Case is one case, for operators and the parties of its delivery; else
// market.ErrNotFound.
func (s *Store) Case(ctx context.Context, by market.Actor, id market.CaseID) (market.Case, error) {
	cases, err := s.cases(ctx, `
		SELECT `+caseColumns+caseFrom+`
		JOIN tasks t ON t.id = k.task_id
		JOIN deliveries d ON d.id = k.delivery_id
		WHERE k.id = $1 AND ($3 OR $2::uuid IN (t.publisher_id, d.worker_id))`, string(id), nullID(by.Account), by.Operator)
	if err == nil && len(cases) == 0 {
		err = market.ErrNotFound
	}
	if err != nil {
		return market.Case{}, err
	}
	return cases[0], nil
}

// Cases are the operators' queue: the open cases, the one due first before the
// others, or the closed ones, newest first. After and its time are those of
// the last one seen.
func (s *Store) Cases(ctx context.Context, closed bool, after market.CaseID, at time.Time, limit int) ([]market.Case, error) {
	if closed {
		return s.cases(ctx, `
			SELECT `+caseColumns+caseFrom+`
			WHERE k.closed_at IS NOT NULL AND ($1::uuid IS NULL OR (k.closed_at, k.id) < ($2, $1::uuid))
			ORDER BY k.closed_at DESC, k.id DESC LIMIT $3`, nullID(after), at, limit)
	}
	return s.cases(ctx, `
		SELECT `+caseColumns+caseFrom+`
		WHERE k.closed_at IS NULL AND ($1::uuid IS NULL OR (k.due_at, k.id) > ($2, $1::uuid))
		ORDER BY k.due_at, k.id LIMIT $3`, nullID(after), at, limit)
}

// TaskCases are all cases of the task that the account may see, oldest first.
func (s *Store) TaskCases(ctx context.Context, by market.Actor, id market.TaskID) ([]market.Case, error) {
	return s.cases(ctx, `
		SELECT `+caseColumns+caseFrom+`
		JOIN tasks t ON t.id = k.task_id
		JOIN deliveries d ON d.id = k.delivery_id
		WHERE k.task_id = $1 AND ($3 OR $2::uuid IN (t.publisher_id, d.worker_id))
		ORDER BY k.opened_at, k.id LIMIT 500`, string(id), nullID(by.Account), by.Operator)
}

// CaseTasks are the tasks of the cases, by id, with their titles and rewards.
func (s *Store) CaseTasks(ctx context.Context, cases []market.Case) (map[market.TaskID]market.Task, error) {
	ids := make([]string, len(cases))
	for i, k := range cases {
		ids[i] = string(k.Task)
	}
	tasks, err := s.taskList(ctx, `
		SELECT `+taskColumns+`
		FROM tasks t `+publisherJoin+`
		WHERE t.id = ANY ($1::uuid[])`, ids)
	out := make(map[market.TaskID]market.Task, len(tasks))
	for _, t := range tasks {
		out[t.ID] = t
	}
	return out, err
}

func (s *Store) cases(ctx context.Context, query string, args ...any) ([]market.Case, error) {
	return list(ctx, s, func(row pgx.CollectableRow) (market.Case, error) { return scanCase(row) }, query, args)
}

// closeCases ends cases that no operator decided in time and that no task's
// clock ends.
func (s *Store) closeCases(ctx context.Context, limit int) (int, error) {
	now := s.now()
	due, err := s.cases(ctx, `
		SELECT `+caseColumns+caseFrom+`
		JOIN tasks t ON t.id = k.task_id
		WHERE k.closed_at IS NULL AND k.due_at <= $1 AND (k.kind = 'objection' OR t.due_at IS NULL)
		ORDER BY k.due_at LIMIT $2`, now, limit)
	if err != nil {
		return 0, err
	}
	var failed []error // one case that cannot close must not hold up the others
	for _, k := range due {
		_, err := s.transition(ctx, Caller{}, k.Task, k.Delivery, func(t market.Snapshot, now time.Time) (market.Change, error) {
			if t.Case == nil || t.Case.ID != k.ID {
				return market.Change{}, market.ErrCaseClosed
			}
			return t.TickCase(now), nil
		})
		if err != nil && !errors.Is(err, market.ErrCaseClosed) {
			failed = append(failed, fmt.Errorf("the clock of case %s: %w", k.ID, err))
		}
	}
	return len(due), errors.Join(failed...)
}
