package store

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// OpenTasks is a page of the market: nothing of suspended accounts. With skills each is one index range scan
// in the chosen order, and the scans are merged.
func (s *Store) OpenTasks(ctx context.Context, f market.Filter) ([]market.Task, error) {
	var reward int64
	var deadline time.Time
	after := any(nil)
	if f.After != nil && f.After.ID != "" {
		reward, deadline, after = f.After.Reward, f.After.Deadline, string(f.After.ID)
	}
	words, part := searchWords(f.Query)
	args := []any{after, reward, deadline, f.Limit, f.Skills, f.AllSkills, f.MinReward, f.MaxReward, words, part, f.Publisher, f.Mode, f.Protected}
	return s.taskList(ctx, listSQL(f.Sort, len(f.Skills) > 0), args...)
}

// searchWords chooses between a word search and, for scripts written without
// spaces, a search in titles.
func searchWords(q string) (words, part string) {
	q = strings.TrimSpace(q)
	if strings.IndexFunc(q, func(r rune) bool {
		return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
	}) >= 0 {
		return "", strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(q)
	}
	return q, ""
}

// order holds the constant SQL of one sort order; x is the scanned table.
type order struct{ key, beyond string }

var orders = map[market.Sort]order{
	market.SortNewest:   {`x.ID DESC`, `x.ID < $1::uuid`},
	market.SortReward:   {`x.reward DESC, x.ID DESC`, `(x.reward, x.ID) < ($2::bigint, $1::uuid)`},
	market.SortDeadline: {`x.deadline, x.ID`, `(x.deadline, x.ID) > ($3::timestamptz, $1::uuid)`},
}

const listFilters = `
	($7::bigint = 0 OR t.reward >= $7::bigint)
	AND ($8::bigint = 0 OR t.reward <= $8::bigint)
	AND (NOT $6::boolean OR t.skills <@ $5::text[])
	AND ($9::text = '' OR t.search @@ websearch_to_tsquery('simple', $9::text))
	AND ($10::text = '' OR t.title ILIKE '%' || $10::text || '%')
	AND ($11::text = '' OR t.publisher_id = (SELECT id FROM accounts WHERE handle = $11::text))
	AND ($12::text = '' OR t.mode = $12::text)
	AND ($13::boolean IS NULL OR (t.protected IS NOT NULL) = $13::boolean)
	AND t.state = 'open' AND NOT t.evergreen
	AND t.publisher_id NOT IN (SELECT id FROM accounts WHERE state = 'suspended')`

// listSQL is put together from constants only.
func listSQL(sort market.Sort, bySkill bool) string {
	o := orders[sort]
	if !bySkill {
		key, beyond := strings.ReplaceAll(strings.ReplaceAll(o.key, "x.ID", "t.id"), "x.", "t."), strings.ReplaceAll(strings.ReplaceAll(o.beyond, "x.ID", "t.id"), "x.", "t.")
		return `
		SELECT ` + taskColumns + `
		FROM tasks t ` + publisherJoin + `
		WHERE ($1::uuid IS NULL OR ` + beyond + `) AND $2::bigint >= 0 AND $3::timestamptz IS NOT NULL AND ` + listFilters + `
		ORDER BY ` + key + `
		LIMIT $4`
	}
	inner := strings.ReplaceAll(o.key, "x.ID", "x.task_id")
	beyond := strings.ReplaceAll(o.beyond, "x.ID", "x.task_id")
	outer := strings.ReplaceAll(o.key, "x.ID", "x.task_id")
	return `
		SELECT ` + taskColumns + `
		FROM (
			SELECT DISTINCT l.task_id, l.reward, l.deadline
			FROM unnest($5::text[]) AS wanted (skill)
			CROSS JOIN LATERAL (
				SELECT x.task_id, x.reward, x.deadline
				FROM task_skills x JOIN tasks t ON t.id = x.task_id
				WHERE x.skill = wanted.skill AND ($1::uuid IS NULL OR ` + beyond + `)
					AND $2::bigint >= 0 AND $3::timestamptz IS NOT NULL AND ` + listFilters + `
				ORDER BY ` + inner + `
				LIMIT $4
			) l
		) x
		JOIN tasks t ON t.id = x.task_id
		` + publisherJoin + `
		ORDER BY ` + outer + `
		LIMIT $4`
}

func (s *Store) taskList(ctx context.Context, query string, args ...any) ([]market.Task, error) {
	return list(ctx, s, func(row pgx.CollectableRow) (market.Task, error) {
		var t market.Task
		err := row.Scan(taskTargets(&t)...)
		return t, err
	}, query, args)
}

// list reads all rows.
func list[T any](ctx context.Context, s *Store, scan pgx.RowToFunc[T], query string, args []any) ([]T, error) {
	var out []T
	err := s.read(ctx, func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, scan)
		return err
	})
	return out, translate(err)
}

// OwnTasks are the tasks that the account published or worked on, newest
// first, older than before ("": from the newest). Each way of having a part in
// a task is one range scan, and the scans are merged. Those that covers is not
// about are left out (nil: none).
func (s *Store) OwnTasks(ctx context.Context, id market.AccountID, role market.Role, state market.State, covers *market.Mandate, before market.TaskID, limit int) ([]market.Task, error) {
	const part = `
		FROM tasks t WHERE ($3 = '' OR t.state = $3) AND ($4::uuid IS NULL OR t.id < $4::uuid)
			AND ($6::uuid[] IS NULL OR t.id = ANY ($6)) AND ($7::text[] IS NULL OR t.skills <@ $7) AND `
	tasks, skills := limits(covers)
	return s.taskList(ctx, `
		SELECT `+taskColumns+`
		FROM (
			(SELECT t.id `+part+` $2 <> 'worker' AND t.publisher_id = $1 ORDER BY t.id DESC LIMIT $5)
			UNION
			(SELECT w.task_id FROM (SELECT DISTINCT task_id FROM claims
				WHERE $2 <> 'publisher' AND worker_id = $1 AND ($4::uuid IS NULL OR task_id < $4::uuid)) w
			 WHERE EXISTS (SELECT 1 `+part+` t.id = w.task_id) ORDER BY w.task_id DESC LIMIT $5)
			UNION
			(SELECT w.task_id FROM (SELECT DISTINCT task_id FROM deliveries
				WHERE $2 <> 'publisher' AND worker_id = $1 AND ($4::uuid IS NULL OR task_id < $4::uuid)) w
			 WHERE EXISTS (SELECT 1 `+part+` t.id = w.task_id) ORDER BY w.task_id DESC LIMIT $5)
		) own
		JOIN tasks t ON t.id = own.id `+publisherJoin+`
		ORDER BY t.id DESC
		LIMIT $5`, id, string(role), string(state), nullID(before), limit, tasks, skills)
}

// Skills counts the open tasks of each skill, most wanted first.
func (s *Store) Skills(ctx context.Context) ([]market.SkillCount, error) {
	var rows []struct {
		Skill   string         `db:"skill"`
		Open    int64          `db:"open"`
		Offered market.Credits `db:"offered"`
		Best    market.Credits `db:"best"`
	}
	err := s.db.SelectContext(ctx, &rows, `
		SELECT skill, count(*) AS open, sum(reward)::bigint AS offered, max(reward) AS best
		FROM task_skills x
		WHERE x.task_id NOT IN (SELECT t.id FROM accounts a JOIN tasks t ON t.publisher_id = a.id WHERE a.state = 'suspended' AND t.state = 'open')
		GROUP BY skill ORDER BY open DESC, skill LIMIT 100`)
	if err != nil {
		return nil, translate(err)
	}
	out := make([]market.SkillCount, 0, len(rows))
	for _, r := range rows {
		out = append(out, market.SkillCount(r))
	}
	return out, nil
}

// Stats counts the market: callers keep the answer for a while. Payouts are
// found by the time in their ids.
func (s *Store) Stats(ctx context.Context) (market.Stats, error) {
	var row struct {
		OpenTasks int64          `db:"open_tasks"`
		Offered   market.Credits `db:"offered"`
		PaidTasks int64          `db:"paid_tasks"`
		Paid      market.Credits `db:"paid"`
	}
	err := s.db.GetContext(ctx, &row, `
		SELECT o.open_tasks, o.offered, p.paid_tasks, p.paid
		FROM (SELECT count(*) AS open_tasks, COALESCE(sum(escrow_granted + escrow_earned), 0)::bigint AS offered
			FROM tasks t WHERE state = 'open' AND NOT evergreen AND t.publisher_id NOT IN (SELECT id FROM accounts WHERE state = 'suspended')) o
		CROSS JOIN (SELECT count(*) AS paid_tasks, COALESCE(sum(amount), 0)::bigint AS paid
			FROM payouts WHERE id >= $1) p`, firstID(s.now().Add(-30*24*time.Hour)))
	return market.Stats(row), translate(err)
}

// firstID is the smallest UUIDv7 of a moment.
func firstID(t time.Time) string {
	ms := fmt.Sprintf("%012x", t.UnixMilli())
	return ms[:8] + "-" + ms[8:] + "-7000-8000-000000000000"
}

// paidColumns are those of the payout of a delivery, if it was paid.
const paidColumns = `, y.id, y.amount, y.class, y.granted, y.available_at, y.hold_reason`

const deliveryFrom = `
	FROM deliveries d
	JOIN accounts dw ON dw.id = d.worker_id
	JOIN tasks t ON t.id = d.task_id
	LEFT JOIN payouts y ON y.delivery_id = d.id`

// Deliveries are the task's deliveries that the account may see, newest
// first, older than before: all for the publisher, a worker's own.
func (s *Store) Deliveries(ctx context.Context, by market.AccountID, id market.TaskID, before market.DeliveryID, limit int) ([]market.Delivery, error) {
	return s.deliveries(ctx, `
		SELECT `+deliveryColumns+paidColumns+deliveryFrom+`
		WHERE d.task_id = $1 AND (t.publisher_id = $2 OR d.worker_id = $2) AND ($3::uuid IS NULL OR d.id < $3::uuid)
		ORDER BY d.id DESC
		LIMIT $4`, id, by, nullID(before), limit)
}

// EarlierDelivery is the last delivery of the same worker to the same task
// before this one: for both of its parties. Nil if there is none.
func (s *Store) EarlierDelivery(ctx context.Context, by market.AccountID, d market.Delivery) (*market.Delivery, error) {
	before, err := s.deliveries(ctx, `
		SELECT `+deliveryColumns+paidColumns+deliveryFrom+`
		WHERE d.task_id = $1 AND d.worker_id = $2 AND d.id < $3 AND $4 IN (t.publisher_id, d.worker_id)
		ORDER BY d.id DESC
		LIMIT 1`, d.Task, d.Worker, d.ID, by)
	if err != nil || len(before) == 0 {
		return nil, err
	}
	return &before[0], nil
}

// DeliveryHistory is Deliveries without outputs and reports, which can be
// large: the decided ones, newest first.
func (s *Store) DeliveryHistory(ctx context.Context, by market.AccountID, id market.TaskID, limit int) ([]market.Delivery, error) {
	light := strings.NewReplacer("d.output", "'null'::json", "d.report", "'{}'::json").Replace(deliveryColumns)
	return s.deliveries(ctx, `
		SELECT `+light+paidColumns+deliveryFrom+`
		WHERE d.task_id = $1 AND (t.publisher_id = $2 OR d.worker_id = $2) AND d.state <> 'pending'
		ORDER BY d.id DESC
		LIMIT $3`, id, by, limit)
}

// Waiting are the task's pending deliveries, the one due first before the
// others, without their outputs: for its publisher.
func (s *Store) Waiting(ctx context.Context, id market.TaskID, limit int) ([]market.Delivery, error) {
	light := strings.Replace(deliveryColumns, "d.output", "'null'::json", 1)
	return s.deliveries(ctx, `
		SELECT `+light+paidColumns+deliveryFrom+`
		WHERE d.task_id = $1 AND d.state = 'pending'
		ORDER BY d.due_at, d.id
		LIMIT $2`, id, limit)
}

// WorkerDeliveries are one worker's deliveries on the task, newest first: for
// operators on a case.
func (s *Store) WorkerDeliveries(ctx context.Context, id market.TaskID, worker market.AccountID, limit int) ([]market.Delivery, error) {
	return s.deliveries(ctx, `
		SELECT `+deliveryColumns+paidColumns+deliveryFrom+`
		WHERE d.task_id = $1 AND d.worker_id = $2
		ORDER BY d.id DESC
		LIMIT $3`, id, worker, limit)
}

func (s *Store) deliveries(ctx context.Context, query string, args ...any) ([]market.Delivery, error) {
	return list(ctx, s, func(row pgx.CollectableRow) (market.Delivery, error) {
		var r deliveryRow
		var payout *market.PayoutID
		var amount, granted *market.Credits
		var class *market.Class
		var available *time.Time
		var hold *string
		if err := row.Scan(append(r.targets(), &payout, &amount, &class, &granted, &available, &hold)...); err != nil {
			return market.Delivery{}, err
		}
		d := *r.delivery()
		if payout != nil {
			d.Payout = &market.Payout{ID: *payout, Account: d.Worker, Task: d.Task, Delivery: d.ID,
				Amount: *amount, Class: *class, Granted: *granted, AvailableAt: *available, HoldReason: *hold}
		}
		return d, nil
	}, query, args)
}
