package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// sweepBatch is how many tasks one transaction of the sweep moves.
const sweepBatch = 200

// Sweep lets every clock act that has run out, at most about limit times,
// counts new outcomes into reputations, finds who is established, and forgets idempotency keys and
// sessions that are over. A task whose next clock has run out as well is taken
// again, so that one pass catches up with any downtime. It may run on several nodes at once: each takes tasks and payouts
// that no other has. It returns how much it did: nothing while another store
// holds the clocks.
func (s *Store) Sweep(ctx context.Context, limit int) (int, error) {
	if held, err := s.clocksHeld(ctx); held || err != nil {
		return 0, err
	}
	var failed []error
	done := 0
	for done < limit {
		n, err := s.sweepTasks(ctx, min(limit-done, sweepBatch))
		done += n
		if err != nil {
			failed = append(failed, err)
			break
		}
		if n == 0 {
			break
		}
	}
	for _, do := range []func(context.Context, int) (int, error){s.closeCases, s.releaseAny} {
		n, err := do(ctx, limit)
		done += n
		failed = append(failed, err)
	}
	failed = append(failed, s.foldAll(ctx), s.sealAll(ctx), s.establish(ctx))
	_, err := s.db.ExecContext(ctx, `DELETE FROM idempotency WHERE created_at < $1`, s.now().Add(-idempotencyWindow))
	failed = append(failed, translate(err))
	failed = append(failed, s.collect(ctx, limit), s.forgetNetworks(ctx), s.forgetBindCodes(ctx), s.forgetSessions(ctx), s.forgetMails(ctx), s.forgetChallenges(ctx), s.pruneFeed(ctx), s.pruneWebhooks(ctx), s.forgetTurns(ctx))
	_, err = s.db.ExecContext(ctx, `DELETE FROM sessions WHERE expiry < $1`, s.now())
	return done, errors.Join(append(failed, translate(err))...)
}

// Lag is for how long the oldest thing has been due that a sweep has not
// settled yet: a task's clock, a payout that nothing holds, or a case; 0 if
// nothing is due.
func (s *Store) Lag(ctx context.Context) (time.Duration, error) {
	var oldest *time.Time
	now := s.now()
	err := s.db.GetContext(ctx, &oldest, `
		SELECT LEAST(
			(SELECT min(due_at) FROM tasks WHERE due_at IS NOT NULL),
			(SELECT min(available_at) FROM payouts WHERE state = 'pending' AND account_id NOT IN (
				SELECT id FROM accounts WHERE state = 'suspended' UNION ALL SELECT id FROM accounts WHERE held_until > $1)),
			(SELECT min(due_at) FROM cases WHERE closed_at IS NULL))`, now)
	if err != nil || oldest == nil || oldest.After(now) {
		return 0, translate(err)
	}
	return now.Sub(*oldest), nil
}

// forgetNetworks forgets where old accounts were registered from, and networks
// that may register as often again as any other.
func (s *Store) forgetNetworks(ctx context.Context) error {
	now := s.now()
	_, err := s.db.ExecContext(ctx, `UPDATE accounts SET registered_from = NULL WHERE registered_from IS NOT NULL AND id < $1`, firstID(now.Add(-market.BlockRetention)))
	if err == nil {
		_, err = s.db.ExecContext(ctx, `DELETE FROM registration_turns WHERE whole_at <= $1`, now)
	}
	return translate(err)
}

func (s *Store) releaseAny(ctx context.Context, limit int) (int, error) {
	return s.release(ctx, "", limit)
}

// lockDue chooses due tasks that no other sweep has. An advisory lock, not one
// of the row: whoever changes a task writes its event before the row, so a
// sweep that locked rows first could deadlock with them.
const lockDue = `
	SELECT id FROM (SELECT id FROM tasks WHERE due_at <= $1 ORDER BY due_at LIMIT $2 * 8) due
	WHERE pg_try_advisory_xact_lock(hashtextextended(id::text, 7461))
	LIMIT $2`

// sweepTasks moves up to limit due tasks, each one step, in one transaction:
// chosen, loaded, decided by package market and written in a round trip each.
// If a task was changed meanwhile the whole batch is taken task by task.
func (s *Store) sweepTasks(ctx context.Context, limit int) (int, error) {
	now := s.now()
	var due []string
	err := s.onConn(ctx, func(c *pgx.Conn) error {
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) (err error) {
			rows, err := tx.Query(ctx, lockDue, now, limit)
			if err != nil {
				return err
			}
			if due, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(due) == 0 {
				return err
			}
			return s.tickAll(ctx, tx, due, now)
		})
	})
	if err == nil && len(due) > 0 {
		s.hub.ring(nil, true)
	}
	if err = translate(err); err == nil || ctx.Err() != nil || errors.Is(err, market.ErrUnavailable) {
		return len(due), err
	}
	var failed []error // one task that cannot move must not hold up the others
	for _, id := range due {
		if err := s.tick(ctx, market.TaskID(id)); err != nil {
			failed = append(failed, fmt.Errorf("the clock of task %s: %w", id, err))
		}
	}
	return len(due), errors.Join(failed...)
}

// tickAll makes the transitions of the tasks' clocks. Wallets come last and in
// order, so that two sweeps never wait for each other.
func (s *Store) tickAll(ctx context.Context, tx pgx.Tx, ids []string, now time.Time) error {
	rows, err := tx.Query(ctx, bareSnapshots+` WHERE t.id = ANY ($5::uuid[])`, nil, nil, nil, true, ids, now)
	if err != nil {
		return err
	}
	snaps, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (market.Snapshot, error) { return scanSnapshot(row) })
	if err != nil {
		return err
	}
	if err := addCases(ctx, tx, snaps); err != nil {
		return err
	}
	var b batch
	var money []market.Transfer
	var referred, changes []market.Change
	for _, was := range snaps {
		if !was.Due(now) {
			continue
		}
		c := was.Tick(clockIDs(), s.opts.Terms, now)
		_, e, err := effectOf(Caller{}, was, c, now)
		if err != nil {
			return err
		}
		b.effect(e)
		money = append(money, c.Transfers...)
		changes = append(changes, c)
		if c.Referrer != "" {
			referred = append(referred, c)
		}
	}
	b.unspend(changes...)
	slices.SortStableFunc(money, func(x, y market.Transfer) int { return cmp.Compare(x.Account, y.Account) })
	b.post(money, now)
	slices.SortStableFunc(referred, func(x, y market.Change) int { return cmp.Compare(x.Referrer, y.Referrer) })
	for _, c := range referred {
		b.refer(c, now)
	}
	return tx.SendBatch(ctx, &b.Batch).Close()
}

// addCases adds the open cases of the snapshots' deliveries.
func addCases(ctx context.Context, tx pgx.Tx, snaps []market.Snapshot) error {
	at := map[market.DeliveryID]int{}
	var ids []string
	for i, s := range snaps {
		if s.Delivery != nil && s.Delivery.InCase {
			at[s.Delivery.ID] = i
			ids = append(ids, string(s.Delivery.ID))
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT `+caseColumns+caseFrom+` WHERE k.delivery_id = ANY ($1::uuid[]) AND k.closed_at IS NULL`, ids)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (market.Case, error) { return scanCase(row) })
	for _, k := range found {
		snaps[at[k.Delivery]].Case = &k
	}
	return err
}
