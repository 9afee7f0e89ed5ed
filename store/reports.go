package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// ReportTask keeps the caller's report of the task for the operators. One that
// is open already is market.ErrAlreadyDone.
func (s *Store) ReportTask(ctx context.Context, by Caller, id market.TaskID, reason, text string) (market.TaskReport, error) {
	t, err := s.snapshot(ctx, &by, id, "")
	if err != nil {
		return market.TaskReport{}, err
	}
	r, err := t.Report(by.Actor, newID[market.ReportID](), reason, text, s.now())
	if err != nil {
		return market.TaskReport{}, err
	}
	return r, s.keepReport(ctx, by, r, "")
}

// ReportMessage is ReportTask for one message of the task's thread. One that is
// not of it is an invalid /message.
func (s *Store) ReportMessage(ctx context.Context, by Caller, id market.TaskID, message market.MessageID, reason, text string) (market.TaskReport, error) {
	t, err := s.snapshot(ctx, &by, id, "")
	if err != nil {
		return market.TaskReport{}, err
	}
	m, err := s.Message(ctx, id, message)
	if errors.Is(err, market.ErrNotFound) {
		err = market.Invalid([]market.FieldError{{Pointer: "/message", Code: "message"}})
	}
	if err != nil {
		return market.TaskReport{}, err
	}
	r, err := t.ReportMessage(by.Actor, m, newID[market.ReportID](), reason, text, s.now())
	if err != nil {
		return market.TaskReport{}, err
	}
	return r, s.keepReport(ctx, by, r, m.ID)
}

func (s *Store) keepReport(ctx context.Context, by Caller, r market.TaskReport, message market.MessageID) error {
	var b batch
	if err := b.once(by, r, r.At); err != nil {
		return err
	}
	b.Queue(`
		INSERT INTO task_reports (id, task_id, reporter_id, at, reason, text, state, message_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		string(r.ID), string(r.Task), string(r.Reporter), r.At, r.Reason, r.Text, r.State, nullID(message))
	b.acted(by, market.BundleReported, r.Task, r.At)
	return s.commit(ctx, &b)
}

const reportColumns = `
	r.id, r.task_id, t.title, t.publisher_id, p.handle, r.reporter_id, a.handle, r.at, r.reason, r.text, r.state,
	(SELECT count(*) FROM task_reports o WHERE o.task_id = r.task_id AND o.state = 'open'),
	d.at, d.outcome, d.note, b.handle,
	m.id, m.number, m.author_id, ma.handle, m.at, m.text, m.clarification`

const reportFrom = `
	FROM task_reports r
	JOIN tasks t ON t.id = r.task_id
	JOIN accounts p ON p.id = t.publisher_id
	JOIN accounts a ON a.id = r.reporter_id
	LEFT JOIN report_decisions d ON d.report_id = r.id
	LEFT JOIN accounts b ON b.id = d.operator_id
	LEFT JOIN messages m ON m.id = r.message_id
	LEFT JOIN accounts ma ON ma.id = m.author_id`

// TaskReports are the operators' queue: the open reports, newest first, or the
// closed ones, the one closed last before the others. After and the time at
// which that was closed are those of the last one seen.
func (s *Store) TaskReports(ctx context.Context, closed bool, after market.ReportID, at time.Time, limit int) ([]market.TaskReport, error) {
	if closed {
		return s.taskReports(ctx, `
			SELECT `+reportColumns+reportFrom+`
			WHERE d.at IS NOT NULL AND ($1::uuid IS NULL OR (d.at, d.report_id) < ($2, $1::uuid))
			ORDER BY d.at DESC, d.report_id DESC LIMIT $3`, nullID(after), at, limit)
	}
	return s.taskReports(ctx, `
		SELECT `+reportColumns+reportFrom+`
		WHERE r.state = 'open' AND ($1::uuid IS NULL OR r.id < $1::uuid)
		ORDER BY r.id DESC LIMIT $2`, nullID(after), limit)
}

// TaskReport is one report; to who is no operator there is none.
func (s *Store) TaskReport(ctx context.Context, by market.Actor, id market.ReportID) (market.TaskReport, error) {
	found, err := s.taskReports(ctx, `SELECT `+reportColumns+reportFrom+` WHERE r.id = $1 AND $2`, string(id), by.Operator)
	if err == nil && len(found) == 0 {
		err = market.ErrNotFound
	}
	if err != nil {
		return market.TaskReport{}, err
	}
	return found[0], nil
}

// ReportsOf are reports of the task, open ones before closed ones, each newest
// first.
func (s *Store) ReportsOf(ctx context.Context, id market.TaskID, limit int) ([]market.TaskReport, error) {
	return s.taskReports(ctx, `
		SELECT `+reportColumns+reportFrom+`
		WHERE r.task_id = $1
		ORDER BY r.state = 'open' DESC, r.id DESC LIMIT $2`, string(id), limit)
}

// OpenReports counts the open reports.
func (s *Store) OpenReports(ctx context.Context) (int64, error) {
	var n int64
	err := s.db.GetContext(ctx, &n, `SELECT count(*) FROM task_reports WHERE state = 'open'`)
	return n, translate(err)
}

// DecideReport makes an operator's decision on the report, or on all open ones
// of its task. Of concurrent decisions one wins; the others are
// market.ErrAlreadyDone.
func (s *Store) DecideReport(ctx context.Context, by Caller, id market.ReportID, d market.ReportDecision) (market.TaskReport, error) {
	r, err := s.TaskReport(ctx, by.Actor, id)
	if err != nil {
		return r, err
	}
	if r.Hands, err = s.hands(ctx, by.Actor, r.Task); err != nil {
		return r, err
	}
	now := s.now()
	if r, err = r.Decide(by.Actor, d, now); err != nil {
		return r, err
	}
	if r.Open--; d.All {
		r.Open = 0
	}
	var b batch
	if err := b.once(by, r, now); err != nil {
		return r, err
	}
	// The decision's primary key lets one commit.
	b.Queue(`
		WITH decided AS (
			INSERT INTO report_decisions (report_id, at, operator_id, key_id, outcome, note)
			SELECT id, $3, $4, $5, $6, $7 FROM task_reports WHERE id = $1 OR ($2 AND task_id = $8 AND state = 'open')
			RETURNING report_id
		)
		INSERT INTO account_events (id, account_id, at, type, task_id, data)
		SELECT feed_id($3), r.reporter_id, $3, $9, r.task_id, jsonb_build_object('reportId', r.id, 'outcome', $6::text)
		FROM decided JOIN task_reports r ON r.id = decided.report_id`,
		string(id), d.All, now, string(by.Account), nullID(by.Key), string(d.Outcome), d.Note, string(r.Task), string(market.FeedReportDecided))
	b.toldMore = true
	b.Queue(`
		UPDATE task_reports r SET state = 'closed' FROM report_decisions d
		WHERE d.report_id = r.id AND r.task_id = $1 AND r.state = 'open'`, string(r.Task))
	b.log(by, market.ActionReportDecided, string(id), d.Note, map[string]any{"outcome": d.Outcome, "all": d.All}, now)
	return r, s.commit(ctx, &b)
}

func (s *Store) taskReports(ctx context.Context, query string, args ...any) ([]market.TaskReport, error) {
	return list(ctx, s, func(row pgx.CollectableRow) (market.TaskReport, error) {
		var r market.TaskReport
		var at *time.Time
		var outcome *market.ReportOutcome
		var note, operator *string
		var m reportedMessage
		err := row.Scan(&r.ID, &r.Task, &r.TaskTitle, &r.Publisher, &r.PublisherHandle, &r.Reporter, &r.ReporterHandle, &r.At, &r.Reason, &r.Text, &r.State,
			&r.Open, &at, &outcome, &note, &operator, &m.id, &m.number, &m.author, &m.handle, &m.at, &m.text, &m.clarification)
		r.Message = m.of(r.Task)
		if at != nil {
			r.Decision = &market.ReportDecision{At: *at, Outcome: *outcome, Note: *note, By: *operator}
		}
		return r, err
	}, query, args)
}

// reportedMessage are the columns of the message of a report, all NULL if it is
// about the task.
type reportedMessage struct {
	id            *market.MessageID
	number        *int64
	author        *market.AccountID
	handle, text  *string
	at            *time.Time
	clarification *bool
}

func (m reportedMessage) of(t market.TaskID) *market.Message {
	if m.id == nil {
		return nil
	}
	return &market.Message{ID: *m.id, Task: t, Number: *m.number, Author: *m.author, AuthorHandle: *m.handle, At: *m.at, Text: *m.text, Clarification: *m.clarification}
}
