package store

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// seen is what was read in the round trip that checked the caller's key. It
// serves that request's first attempt, like a snapshot loaded by itself: the
// version refuses it if another transition came first.
type seen struct {
	funds    *market.Funds
	task     *market.Snapshot
	delivery market.DeliveryID
	workload *market.Workload
}

const (
	holderColumns = `k.id, k.scopes, k.account_id, a.kind, a.handle, a.operator, ` + stateColumns + `, ` + actorColumns + `, w.granted, w.earned, k.bundle_id, b.tasks, b.skills,
	CASE WHEN b.agent_id IS NOT NULL THEN ARRAY(SELECT party(b.agent_id, NULL, $2)) END`
	selectHolder = `SELECT ` + holderColumns + holderFrom
	// selectClaimant reads besides what a claim of the holder is judged by.
	selectClaimant = `SELECT ` + holderColumns + `, ` + workloadColumns + holderFrom
)

const holderFrom = `
	FROM api_keys k
	JOIN accounts a ON a.id = k.account_id
	JOIN wallets w ON w.account_id = k.account_id
	LEFT JOIN bundles b ON b.id = k.bundle_id
	WHERE k.hash = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $2)`

// workloadColumns are those of market.Workload of the account a, at the time $2.
const workloadColumns = `
	COALESCE((SELECT r.accepted FROM reputations r WHERE r.account_id = a.id AND r.role = 'worker' AND r.skill = ''), 0),
	(SELECT count(*) FROM claims c JOIN tasks t ON t.id = c.task_id
	 WHERE c.worker_id = a.id AND c.ended_at IS NULL AND c.expires_at > $2 AND t.state = 'claimed'),
	ARRAY(SELECT c.ended_at FROM claims c
	 WHERE c.worker_id = a.id AND c.outcome = 'expired' AND c.ended_at > $2::timestamptz - interval '2 days'
	 ORDER BY c.ended_at DESC LIMIT 8)` // market.PauseLook

// workloadTargets is where the workloadColumns go.
func workloadTargets(w *market.Workload) []any { return []any{&w.Accepted, &w.Live, &w.Abandoned} }

// Workload is what the account's next claim is judged by.
func (s *Store) Workload(ctx context.Context, id market.AccountID) (market.Workload, error) {
	var w market.Workload
	err := s.read(ctx, func(c *pgx.Conn) error {
		return c.QueryRow(ctx, `SELECT `+workloadColumns+` FROM accounts a WHERE a.id = $1`, string(id), s.now()).Scan(workloadTargets(&w)...)
	})
	return w, translate(err)
}

// workload is what the caller has seen of its own, else it is loaded.
func (s *Store) workload(ctx context.Context, by Caller) (market.Workload, error) {
	if by.seen.workload != nil {
		return *by.seen.workload, nil
	}
	return s.Workload(ctx, by.Account)
}

// Purpose is what a key is shown for.
type Purpose int

// The purposes: a claim looks at the holder's workload, and the answer to a
// change of a delivery shows nothing of the task.
const (
	ForChange Purpose = iota
	ForClaim
	ForDelivery
)

// Identify finds who holds the API key, as Authenticate does, for a change of
// the task (or none) and its delivery (or none). The key of a suspended account
// is market.ErrAccountSuspended. What the change looks at is
// read in the same round trip: for a claim also the holder's workload.
func (s *Store) Identify(ctx context.Context, key string, id market.TaskID, delivery market.DeliveryID, why Purpose) (Caller, error) {
	if !market.WellFormedKey(key) {
		return Caller{}, market.ErrUnauthenticated
	}
	hash := market.HashKey(key)
	wanted := market.ValidID(string(id)) && (delivery == "" || market.ValidID(string(delivery)))
	var by Caller
	err := s.read(ctx, func(c *pgx.Conn) error {
		var b pgx.Batch
		holder, snapshot := selectHolder, selectSnapshot
		var load market.Workload
		switch why {
		case ForClaim:
			holder = selectClaimant
		case ForDelivery:
			snapshot = bareSnapshot
		}
		b.Queue(holder, hash, s.now())
		if wanted {
			b.Queue(snapshot, nullID(delivery), nil, hash, false, string(id), s.now())
		}
		found := c.SendBatch(ctx, &b)
		defer found.Close()
		var funds market.Funds
		var bundle *market.BundleID
		var mandate market.Mandate
		targets := []any{&by.Key, &by.Scopes, &by.Account, &by.Kind, &by.Handle, &by.Operator, &by.State, &by.Reason, &by.PausedBy, &by.Agents, &funds.Granted, &funds.Earned,
			&bundle, &mandate.Tasks, &mandate.Skills, (*[]market.AccountID)(&mandate.Agent)}
		if why == ForClaim {
			targets = append(targets, workloadTargets(&load)...)
		}
		if err := found.QueryRow().Scan(targets...); err != nil {
			return err
		}
		if bundle != nil {
			mandate.Bundle = *bundle
			by.Mandate = &mandate
		}
		by.Operator = by.Operator && strings.HasPrefix(key, market.OperatorKeyPrefix)
		by.seen = seen{funds: &funds, delivery: delivery}
		if why == ForClaim {
			by.seen.workload = &load
		}
		if !wanted {
			return found.Close()
		}
		snap, err := scanSnapshot(found.QueryRow())
		if err == nil {
			by.seen.task = &snap
		} else if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		return found.Close()
	})
	if err = translate(err); errors.Is(err, market.ErrNotFound) {
		return Caller{}, market.ErrUnauthenticated
	}
	if err == nil && by.State == market.AccountSuspended {
		if by.Mandate != nil {
			by.Reason = "" // the owner's to know
		}
		return Caller{}, market.Suspended(by.Reason)
	}
	return by, err
}

// snapshot is what the caller has seen of the task, else it is loaded. What
// was seen is used once.
func (s *Store) snapshot(ctx context.Context, by *Caller, id market.TaskID, delivery market.DeliveryID) (market.Snapshot, error) {
	snap := by.seen.task
	by.seen.task = nil
	if snap == nil || snap.ID != id || by.seen.delivery != delivery || (delivery != "" && snap.Delivery == nil) {
		return s.load(ctx, by.Account, id, delivery)
	}
	return *snap, s.complete(ctx, snap)
}
