package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"guildhall/market"
)

var typeMap = pgtype.NewMap()

// texts scans text[].
type texts []string

func (t *texts) Scan(src any) error { return typeMap.SQLScanner((*[]string)(t)).Scan(src) }

func toDocument(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs of strings and numbers
	}
	return string(b)
}

// The rows below are read by pgx itself: through database/sql and sqlx a task
// cost twice the time.

const taskColumns = `
	t.id, t.publisher_id, p.handle AS publisher, p.suspended_at IS NOT NULL, t.state, t.version, t.epoch, t.title, t.brief, t.skills, t.mode,
	t.reward, t.fee, p.established_at IS NOT NULL, t.evergreen, t.protected, t.payload, t.output_schema, t.rules, t.attachments, t.auto_accept, t.claim_minutes, t.review_hours, t.max_attempts,
	t.max_accepted, t.deadline, t.created_at, t.slots, t.frozen, t.paused_at, t.escrow_granted, t.escrow_earned, t.due_at, t.appeal_by, t.case_until, COALESCE(t.bundle_id::text, ''), ` + recordColumns

// taskTargets is where the taskColumns go.
func taskTargets(t *market.Task) []any {
	return []any{
		&t.ID, &t.Publisher, &t.PublisherHandle, &t.PublisherSuspended, &t.State, &t.Version, &t.Epoch, &t.Title, &t.Brief, &t.Skills, &t.Mode,
		&t.Reward, &t.Fee, &t.Established, &t.Evergreen, &t.Protected, &t.Payload, &t.OutputSchema, &t.Rules, &t.Attachments, &t.AutoAccept, &t.ClaimMinutes, &t.ReviewHours, &t.MaxAttempts,
		&t.MaxAccepted, &t.Deadline, &t.CreatedAt, &t.Slots, &t.Frozen, &t.PausedAt, &t.Escrow.Granted, &t.Escrow.Earned, &t.DueAt, &t.AppealBy, &t.CaseUntil, &t.Bundle,
		&t.PublisherRecord.Accepted, &t.PublisherRecord.Rejected, &t.PublisherRecord.Silent, &t.PublisherRecord.Overturned,
		&t.PublisherRecord.Automatic, &t.PublisherRecord.MedianMinutes,
	}
}

const deliveryColumns = `
	d.id, d.task_id, d.claim_id, d.worker_id, dw.handle, d.state, d.attempt, d.output, d.summary_text,
	d.attachments, d.report, d.review, d.created_at, d.due_at, d.in_case`

// deliveryRow is a delivery of an outer join: all nil if there is none.
type deliveryRow struct {
	id                     *market.DeliveryID
	task                   *market.TaskID
	claim                  *market.ClaimID
	worker                 *market.AccountID
	handle, state, summary *string
	attempt                *int
	output                 json.RawMessage
	attachments            []market.Attachment
	report                 *market.Report
	review                 *market.Review
	created, due           *time.Time
	inCase                 *bool
}

// targets is where the deliveryColumns go.
func (r *deliveryRow) targets() []any {
	return []any{&r.id, &r.task, &r.claim, &r.worker, &r.handle, &r.state, &r.attempt, &r.output, &r.summary,
		&r.attachments, &r.report, &r.review, &r.created, &r.due, &r.inCase}
}

// delivery is nil for an outer join without a match.
func (r *deliveryRow) delivery() *market.Delivery {
	if r.id == nil {
		return nil
	}
	d := &market.Delivery{ID: *r.id, Task: *r.task, Worker: *r.worker, WorkerHandle: *r.handle,
		State: market.DeliveryState(*r.state), Attempt: *r.attempt,
		Package: market.Package{Output: r.output, SummaryText: *r.summary, Attachments: r.attachments},
		Report:  *r.report, Review: r.review, CreatedAt: *r.created, DueAt: r.due, InCase: *r.inCase}
	if r.claim != nil {
		d.Claim = *r.claim
	}
	return d
}

const claimColumns = `
	c.id, c.worker_id, cw.handle, c.claimed_at, c.lease_from, c.expires_at`

// claimRow is a live claim of an outer join: all nil if there is none.
type claimRow struct {
	id                         *market.ClaimID
	worker                     *market.AccountID
	handle                     *string
	claimed, leaseFrom, expiry *time.Time
}

// targets is where the claimColumns go.
func (r *claimRow) targets() []any {
	return []any{&r.id, &r.worker, &r.handle, &r.claimed, &r.leaseFrom, &r.expiry}
}

// claim is nil for an outer join without a match.
func (r *claimRow) claim(t market.Task) *market.Claim {
	if r.id == nil {
		return nil
	}
	return &market.Claim{ID: *r.id, Task: t.ID, Worker: *r.worker, WorkerHandle: *r.handle, Epoch: t.Epoch,
		ClaimedAt: *r.claimed, LeaseFrom: *r.leaseFrom, ExpiresAt: *r.expiry}
}

// selectSnapshots reads tasks with their live claim and one delivery: the named
// one ($1); else, for the clock ($4), the one that is due first; else in
// exclusive mode the pending one, in open mode the actor's own pending one.
// Attempts are those of the delivery's worker, else of the actor, who is named
// ($2) or known by the hash of a key ($3). Of an open task its other live
// deliveries are summed up: first the actor's own that can be appealed. Who is
// of whose party is told as of now ($6).
const selectSnapshots = `
	SELECT ` + taskColumns + `, ` + deliveryColumns + `, ` + claimColumns + `,
		(SELECT count(*) FROM deliveries u
		 WHERE u.task_id = t.id AND u.attempt > 0 AND u.worker_id = COALESCE(d.worker_id, me.id)),
		(SELECT f.referred_by FROM accounts f
		 WHERE f.id = COALESCE(d.worker_id, me.id) AND f.referral_paid_at IS NULL AND f.referral_bonus > 0),
		` + decidedColumns + `,
		own.live, own.due, o.live, o.pending, o.review, o.due, ` +
	publishersOf + `, ` + principalsOf + `COALESCE(d.worker_id, c.worker_id, me.id)), ` + principalsOf + `(SELECT f.referred_by FROM accounts f
		 WHERE f.id = COALESCE(d.worker_id, me.id) AND f.referral_paid_at IS NULL AND f.referral_bonus > 0))
	FROM tasks t
	CROSS JOIN (SELECT COALESCE($2::uuid, (SELECT k.account_id FROM api_keys k WHERE k.hash = $3::bytea)) AS id) me
	` + publisherJoin + `
	LEFT JOIN claims c ON c.task_id = t.id AND c.ended_at IS NULL
	LEFT JOIN accounts cw ON cw.id = c.worker_id
	LEFT JOIN deliveries d ON d.task_id = t.id AND d.id = CASE
		WHEN $1::uuid IS NOT NULL THEN $1::uuid
		WHEN t.mode = 'exclusive' AND $4::boolean THEN (
			SELECT x.id FROM deliveries x WHERE x.task_id = t.id AND (x.state = 'pending' OR x.in_case) LIMIT 1)
		WHEN t.mode = 'exclusive' THEN (
			SELECT x.id FROM deliveries x WHERE x.task_id = t.id AND x.state = 'pending' AND x.claim_id IS NOT NULL)
		WHEN $4::boolean THEN (
			SELECT x.id FROM deliveries x
			WHERE x.task_id = t.id AND x.due_at IS NOT NULL AND NOT (t.paused_at IS NOT NULL AND x.state = 'pending' AND NOT x.in_case)
			ORDER BY x.due_at, x.id LIMIT 1)
		ELSE (
			SELECT x.id FROM deliveries x
			WHERE x.task_id = t.id AND x.worker_id = me.id AND x.state = 'pending' AND x.claim_id IS NULL)
		END
	LEFT JOIN accounts dw ON dw.id = d.worker_id
	LEFT JOIN LATERAL (
		SELECT count(*) AS live, min(x.due_at) AS due FROM deliveries x
		WHERE t.mode = 'open' AND x.task_id = t.id AND x.due_at IS NOT NULL AND x.id IS DISTINCT FROM d.id
			AND x.worker_id = me.id AND x.state = 'rejected' AND NOT x.in_case
	) own ON true
	LEFT JOIN LATERAL (
		SELECT count(*) AS live, count(*) FILTER (WHERE x.state = 'pending') AS pending,
			min(x.due_at) FILTER (WHERE x.state = 'pending' AND NOT x.in_case) AS review,
			min(x.due_at) FILTER (WHERE x.state <> 'pending' OR x.in_case) AS due
		FROM deliveries x
		WHERE t.mode = 'open' AND x.task_id = t.id AND x.due_at IS NOT NULL AND x.id IS DISTINCT FROM d.id
			AND NOT COALESCE(x.worker_id = me.id AND x.state = 'rejected' AND NOT x.in_case, false)
	) o ON true`

// selectSnapshot is selectSnapshots of one task ($5).
const (
	selectSnapshot = selectSnapshots + ofTask
	ofTask         = `
	WHERE t.id = $5`
)

// scanSnapshot reads what selectSnapshots found.
func scanSnapshot(row pgx.Row) (market.Snapshot, error) {
	var s market.Snapshot
	var d deliveryRow
	var c claimRow
	var referrer *market.AccountID
	targets := append(append(append(taskTargets(&s.Task), d.targets()...), c.targets()...), &s.Attempts, &referrer, &s.Accepted, &s.Rejected,
		&s.Waivable.Live, &s.Waivable.Window, &s.Others.Live, &s.Others.Pending, &s.Others.Review, &s.Others.Window,
		&s.Principals.Publisher, &s.Principals.Worker, &s.Principals.Referrer)
	if err := row.Scan(targets...); err != nil {
		return market.Snapshot{}, err
	}
	s.Delivery, s.Claim = d.delivery(), c.claim(s.Task)
	if referrer != nil {
		s.Referrer = *referrer
	}
	return s, nil
}

// load reads a task for the actor as selectSnapshots says. An absent task, or
// an absent named delivery, is market.ErrNotFound.
func (s *Store) load(ctx context.Context, actor market.AccountID, id market.TaskID, delivery market.DeliveryID) (market.Snapshot, error) {
	return s.loadOne(ctx, nullID(delivery), nullID(actor), nil, false, string(id), s.now())
}

// loadForClock reads a task with the delivery that is due first.
func (s *Store) loadForClock(ctx context.Context, id market.TaskID) (market.Snapshot, error) {
	return s.loadOne(ctx, nil, nil, nil, true, string(id), s.now())
}

func (s *Store) loadOne(ctx context.Context, args ...any) (market.Snapshot, error) {
	var snap market.Snapshot
	err := s.read(ctx, func(c *pgx.Conn) error {
		var err error
		snap, err = scanSnapshot(c.QueryRow(ctx, selectSnapshot, args...))
		return err
	})
	if err == nil && args[0] != nil && snap.Delivery == nil {
		err = sql.ErrNoRows
	}
	if err != nil {
		return market.Snapshot{}, translate(err)
	}
	return snap, s.complete(ctx, &snap)
}

// nullID makes an absent id NULL.
func nullID[T ~string](id T) any {
	if id == "" {
		return nil
	}
	return string(id)
}
