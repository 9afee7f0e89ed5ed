package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"guildhall/market"
)

var typeMap = pgtype.NewMap()

// texts scans text[].
type texts []string

func (t *texts) Scan(src any) error { return typeMap.SQLScanner((*[]string)(t)).Scan(src) }

// document scans json, keeping NULL as nil.
type document []byte

func (d *document) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*d = nil
	case []byte:
		*d = append(document(nil), v...)
	case string:
		*d = document(v)
	default:
		return fmt.Errorf("store: cannot scan %T as a document", src)
	}
	return nil
}

// Value makes a document a json parameter.
func (d document) Value() (driver.Value, error) {
	if d == nil {
		return nil, nil
	}
	return string(d), nil
}

func (d document) into(v any) error {
	if d == nil {
		return nil
	}
	return json.Unmarshal(d, v)
}

func toDocument(v any) document {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs of strings and numbers
	}
	return b
}

const taskColumns = `
	t.id, t.publisher_id, p.handle AS publisher, t.state, t.version, t.epoch, t.title, t.brief, t.skills, t.mode,
	t.reward, t.payload, t.output_schema, t.rules, t.attachments, t.claim_minutes, t.review_hours, t.max_attempts,
	t.max_accepted, t.deadline, t.created_at, t.escrow_granted, t.escrow_earned, t.due_at, t.appeal_by, t.case_until`

type taskRow struct {
	ID            market.TaskID    `db:"id"`
	PublisherID   market.AccountID `db:"publisher_id"`
	Publisher     string           `db:"publisher"`
	State         market.State     `db:"state"`
	Version       int64            `db:"version"`
	Epoch         int64            `db:"epoch"`
	Title         string           `db:"title"`
	Brief         string           `db:"brief"`
	Skills        texts            `db:"skills"`
	Mode          string           `db:"mode"`
	Reward        market.Credits   `db:"reward"`
	Payload       document         `db:"payload"`
	OutputSchema  document         `db:"output_schema"`
	Rules         document         `db:"rules"`
	Attachments   document         `db:"attachments"`
	ClaimMinutes  int              `db:"claim_minutes"`
	ReviewHours   int              `db:"review_hours"`
	MaxAttempts   int              `db:"max_attempts"`
	MaxAccepted   int              `db:"max_accepted"`
	Deadline      time.Time        `db:"deadline"`
	CreatedAt     time.Time        `db:"created_at"`
	EscrowGranted market.Credits   `db:"escrow_granted"`
	EscrowEarned  market.Credits   `db:"escrow_earned"`
	DueAt         *time.Time       `db:"due_at"`
	AppealBy      *time.Time       `db:"appeal_by"`
	CaseUntil     *time.Time       `db:"case_until"`
}

func (r taskRow) task() (market.Task, error) {
	t := market.Task{
		ID: r.ID, Publisher: r.PublisherID, PublisherHandle: r.Publisher, State: r.State, Version: r.Version, Epoch: r.Epoch,
		Title: r.Title, Brief: r.Brief, Skills: r.Skills, Mode: r.Mode, Reward: r.Reward,
		Payload: json.RawMessage(r.Payload), OutputSchema: json.RawMessage(r.OutputSchema),
		ClaimMinutes: r.ClaimMinutes, ReviewHours: r.ReviewHours, MaxAttempts: r.MaxAttempts, MaxAccepted: r.MaxAccepted,
		Deadline: r.Deadline, CreatedAt: r.CreatedAt, Escrow: market.Funds{Granted: r.EscrowGranted, Earned: r.EscrowEarned},
		DueAt: r.DueAt, AppealBy: r.AppealBy, CaseUntil: r.CaseUntil,
	}
	if err := r.Rules.into(&t.Rules); err != nil {
		return t, fmt.Errorf("read the rules of task %s: %w", r.ID, err)
	}
	if err := r.Attachments.into(&t.Attachments); err != nil {
		return t, fmt.Errorf("read the attachments of task %s: %w", r.ID, err)
	}
	return t, nil
}

const deliveryColumns = `
	d.id AS d_id, d.task_id AS d_task_id, d.claim_id AS d_claim_id, d.worker_id AS d_worker_id, dw.handle AS d_worker,
	d.state AS d_state, d.attempt AS d_attempt, d.output AS d_output, d.summary_text AS d_summary_text,
	d.attachments AS d_attachments, d.report AS d_report, d.review AS d_review, d.created_at AS d_created_at,
	y.id AS y_id, y.amount AS y_amount, y.class AS y_class, y.available_at AS y_available_at, y.hold_reason AS y_hold_reason`

type deliveryRow struct {
	ID          sql.NullString `db:"d_id"`
	TaskID      sql.NullString `db:"d_task_id"`
	ClaimID     sql.NullString `db:"d_claim_id"`
	WorkerID    sql.NullString `db:"d_worker_id"`
	Worker      sql.NullString `db:"d_worker"`
	State       sql.NullString `db:"d_state"`
	Attempt     sql.NullInt64  `db:"d_attempt"`
	Output      document       `db:"d_output"`
	SummaryText sql.NullString `db:"d_summary_text"`
	Attachments document       `db:"d_attachments"`
	Report      document       `db:"d_report"`
	Review      document       `db:"d_review"`
	CreatedAt   sql.NullTime   `db:"d_created_at"`
	PayoutID    sql.NullString `db:"y_id"`
	Amount      sql.NullInt64  `db:"y_amount"`
	Class       sql.NullString `db:"y_class"`
	AvailableAt sql.NullTime   `db:"y_available_at"`
	HoldReason  sql.NullString `db:"y_hold_reason"`
}

func (r deliveryRow) delivery() (*market.Delivery, error) {
	if !r.ID.Valid {
		return nil, nil //nolint:nilnil // an outer join without a match
	}
	d := &market.Delivery{
		ID: market.DeliveryID(r.ID.String), Task: market.TaskID(r.TaskID.String), Claim: market.ClaimID(r.ClaimID.String),
		Worker: market.AccountID(r.WorkerID.String), WorkerHandle: r.Worker.String, State: market.DeliveryState(r.State.String),
		Attempt: int(r.Attempt.Int64), CreatedAt: r.CreatedAt.Time,
	}
	d.Output, d.SummaryText = json.RawMessage(r.Output), r.SummaryText.String
	for doc, into := range map[*document]any{&r.Attachments: &d.Attachments, &r.Report: &d.Report, &r.Review: &d.Review} {
		if err := doc.into(into); err != nil {
			return nil, fmt.Errorf("read delivery %s: %w", r.ID.String, err)
		}
	}
	if r.PayoutID.Valid {
		d.Payout = &market.Payout{ID: market.PayoutID(r.PayoutID.String), Account: d.Worker, Task: d.Task, Delivery: d.ID,
			Amount: market.Credits(r.Amount.Int64), Class: market.Class(r.Class.String),
			AvailableAt: r.AvailableAt.Time, HoldReason: r.HoldReason.String}
	}
	return d, nil
}

type snapshotRow struct {
	taskRow
	deliveryRow
	ClaimID   sql.NullString `db:"c_id"`
	ClaimBy   sql.NullString `db:"c_worker_id"`
	Claimant  sql.NullString `db:"c_worker"`
	ClaimedAt sql.NullTime   `db:"c_claimed_at"`
	LeaseFrom sql.NullTime   `db:"c_lease_from"`
	ExpiresAt sql.NullTime   `db:"c_expires_at"`
	Attempts  int            `db:"attempts"`
}

func (r snapshotRow) snapshot() (market.Snapshot, error) {
	t, err := r.task()
	if err != nil {
		return market.Snapshot{}, err
	}
	d, err := r.delivery()
	if err != nil {
		return market.Snapshot{}, err
	}
	s := market.Snapshot{Task: t, Delivery: d, Attempts: r.Attempts}
	if r.ClaimID.Valid {
		s.Claim = &market.Claim{ID: market.ClaimID(r.ClaimID.String), Task: t.ID, Worker: market.AccountID(r.ClaimBy.String),
			WorkerHandle: r.Claimant.String, Epoch: t.Epoch, ClaimedAt: r.ClaimedAt.Time, LeaseFrom: r.LeaseFrom.Time, ExpiresAt: r.ExpiresAt.Time}
	}
	return s, nil
}

// load reads a task with its live claim and one delivery: the named one, else
// the pending one. Attempts are those of the delivery's worker, else of the
// actor. An absent task, or an absent named delivery, is market.ErrNotFound.
func (s *Store) load(ctx context.Context, actor market.AccountID, id market.TaskID, delivery market.DeliveryID) (market.Snapshot, error) {
	var row snapshotRow
	err := s.db.GetContext(ctx, &row, `
		SELECT `+taskColumns+`, `+deliveryColumns+`,
			c.id AS c_id, c.worker_id AS c_worker_id, cw.handle AS c_worker,
			c.claimed_at AS c_claimed_at, c.lease_from AS c_lease_from, c.expires_at AS c_expires_at,
			(SELECT count(*) FROM deliveries u
			 WHERE u.task_id = t.id AND u.worker_id = COALESCE(d.worker_id, $2::uuid) AND u.attempt > 0) AS attempts
		FROM tasks t
		JOIN accounts p ON p.id = t.publisher_id
		LEFT JOIN claims c ON c.task_id = t.id AND c.ended_at IS NULL
		LEFT JOIN accounts cw ON cw.id = c.worker_id
		LEFT JOIN deliveries d ON d.task_id = t.id
			AND CASE WHEN $3::uuid IS NULL THEN d.state = 'pending' ELSE d.id = $3::uuid END
		LEFT JOIN accounts dw ON dw.id = d.worker_id
		LEFT JOIN payouts y ON y.delivery_id = d.id
		WHERE t.id = $1`, id, nullID(actor), nullID(delivery))
	if err != nil {
		return market.Snapshot{}, translate(err)
	}
	if delivery != "" && !row.deliveryRow.ID.Valid {
		return market.Snapshot{}, market.ErrNotFound
	}
	return row.snapshot()
}

// nullID makes an absent id NULL.
func nullID[T ~string](id T) any {
	if id == "" {
		return nil
	}
	return string(id)
}
