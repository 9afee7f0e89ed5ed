package store

import (
	"cmp"
	"context"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// PostMessage adds the caller's message to the task's thread. Of concurrent
// clarifications by one agent one is written; the others are
// market.ErrClarificationUsed.
func (s *Store) PostMessage(ctx context.Context, by Caller, id market.TaskID, text string) (market.Message, error) {
	t, err := s.current(ctx, by, id, "")
	if err != nil {
		return market.Message{}, err
	}
	st, err := s.standing(ctx, by.Account, t.Task)
	if err != nil {
		return market.Message{}, err
	}
	now := s.now()
	m, err := t.Say(by.Actor, st, newID[market.MessageID](), text, now)
	if err != nil {
		return market.Message{}, err
	}
	var b batch
	// One writer of a thread at a time: the next number is the last one's
	// successor, so numbers have no gaps and appear in order. Before anything is
	// written, so that the feeds have them in that order too.
	b.Queue(`SELECT pg_advisory_xact_lock(hashtextextended($1, 1))`, string(id))
	if err := b.once(by, m, now); err != nil {
		return market.Message{}, err
	}
	b.Queue(`
		INSERT INTO messages (id, task_id, number, author_id, key_id, at, text, clarification)
		SELECT $1, $2, COALESCE(max(number), 0) + 1, $3, $4, $5, $6, $7 FROM messages WHERE task_id = $2`,
		string(m.ID), string(id), string(m.Author), nullID(by.Key), m.At, m.Text, m.Clarification)
	b.acted(by, market.BundleSaid, id, now)
	b.Queue(tellThread, string(m.ID), string(id), string(m.Author), now, string(market.FeedMessagePosted))
	b.toldMore = true
	return m, s.commit(ctx, &b)
}

// tellThread tells everybody with a part in the thread but the author.
const tellThread = `
	INSERT INTO account_events (id, account_id, at, type, task_id, data)
	SELECT feed_id($4), p.account, $4, $5, $2, jsonb_build_object('messageId', m.id, 'number', m.number)
	FROM messages m, (
		SELECT publisher_id AS account FROM tasks WHERE id = $2
		UNION SELECT worker_id FROM claims WHERE task_id = $2
		UNION SELECT worker_id FROM deliveries WHERE task_id = $2
		UNION SELECT author_id FROM messages WHERE task_id = $2 AND clarification
	) p
	WHERE m.id = $1 AND p.account <> $3`

// standing is what the account has done on the task; its publisher needs none.
func (s *Store) standing(ctx context.Context, id market.AccountID, t market.Task) (market.Speaker, error) {
	var row struct {
		Worked bool `db:"worked"`
		Asked  bool `db:"asked"`
	}
	if id == t.Publisher {
		return market.Speaker{}, nil
	}
	err := s.db.GetContext(ctx, &row, `
		SELECT EXISTS (SELECT 1 FROM claims WHERE worker_id = $2 AND task_id = $1)
				OR EXISTS (SELECT 1 FROM deliveries WHERE worker_id = $2 AND task_id = $1) AS worked,
			EXISTS (SELECT 1 FROM messages WHERE task_id = $1 AND author_id = $2 AND clarification) AS asked`, t.ID, id)
	return market.Speaker(row), translate(err)
}

// ThreadQuery chooses messages of a thread.
type ThreadQuery struct {
	// Newest lists the newest first instead of the oldest.
	Newest bool
	// From is the number of a message: only those beyond it, in the order of
	// the list. 0 begins at its beginning.
	From int64
	// After keeps only messages written after this one; "" keeps all.
	After market.MessageID
	Limit int
}

const oneMessage = `
	SELECT m.id, m.task_id, m.number, m.author_id, a.handle, m.at, m.text, m.clarification
	FROM messages m JOIN accounts a ON a.id = m.author_id
	WHERE m.task_id = $1`

const selectMessages = oneMessage + `
		AND ($3::uuid IS NULL OR m.number > (SELECT number FROM messages WHERE task_id = $1 AND id = $3::uuid))`

// Messages are those of the task's thread that are asked for. An After that is
// not of the thread is market.ErrNotFound, like an absent task.
func (s *Store) Messages(ctx context.Context, id market.TaskID, q ThreadQuery) ([]market.Message, error) {
	order := ` AND m.number > $2 ORDER BY m.number LIMIT $4`
	if q.Newest {
		order = ` AND ($2 = 0 OR m.number < $2) ORDER BY m.number DESC LIMIT $4`
	}
	found, err := list(ctx, s, scanMessage, selectMessages+order, []any{string(id), q.From, nullID(q.After), q.Limit})
	if err != nil || len(found) > 0 {
		return found, err
	}
	var there bool
	err = s.db.GetContext(ctx, &there, `
		SELECT true FROM tasks t
		WHERE t.id = $1 AND ($2::uuid IS NULL OR EXISTS (SELECT 1 FROM messages WHERE task_id = $1 AND id = $2::uuid))`, id, nullID(q.After))
	return nil, translate(err)
}

func scanMessage(row pgx.CollectableRow) (market.Message, error) {
	var m market.Message
	err := row.Scan(&m.ID, &m.Task, &m.Number, &m.Author, &m.AuthorHandle, &m.At, &m.Text, &m.Clarification)
	return m, err
}

// Message is one of the task's thread; of any other, and of what is no id, it is
// market.ErrNotFound.
func (s *Store) Message(ctx context.Context, task market.TaskID, id market.MessageID) (market.Message, error) {
	if !market.ValidID(string(id)) {
		return market.Message{}, market.ErrNotFound
	}
	found, err := list(ctx, s, scanMessage, oneMessage+` AND m.id = $2`, []any{string(task), string(id)})
	if err != nil || len(found) == 0 {
		return market.Message{}, cmp.Or(err, error(market.ErrNotFound))
	}
	return found[0], nil
}

// party says that the account $1 has a part in the thread of task t: it
// published the task, worked on it, or asked about it.
const party = `(t.publisher_id = $1
	OR EXISTS (SELECT 1 FROM claims c WHERE c.worker_id = $1 AND c.task_id = t.id)
	OR EXISTS (SELECT 1 FROM deliveries d WHERE d.worker_id = $1 AND d.task_id = t.id)
	OR EXISTS (SELECT 1 FROM messages q WHERE q.task_id = t.id AND q.author_id = $1 AND q.clarification))`

// Threads tell the account about the threads of those tasks that it has a part
// in.
func (s *Store) Threads(ctx context.Context, id market.AccountID, tasks []market.TaskID) (map[market.TaskID]market.Thread, error) {
	out := make(map[market.TaskID]market.Thread, len(tasks))
	if len(tasks) == 0 || id == "" {
		return out, nil
	}
	var rows []struct {
		Task     market.TaskID `db:"id"`
		Messages int64         `db:"messages"`
		Unread   int64         `db:"unread"`
		ReadTo   int64         `db:"read_to"`
	}
	err := s.db.SelectContext(ctx, &rows, `
		SELECT t.id, COALESCE(r.read_to, 0) AS read_to,
			COALESCE((SELECT max(number) FROM messages m WHERE m.task_id = t.id), 0) AS messages,
			(SELECT count(*) FROM messages m
			 WHERE m.task_id = t.id AND m.number > COALESCE(r.read_to, 0) AND m.author_id <> $1) AS unread
		FROM tasks t
		LEFT JOIN thread_reads r ON r.task_id = t.id AND r.account_id = $1
		WHERE t.id = ANY ($2::uuid[]) AND `+party, id, plainIDs(tasks))
	for _, r := range rows {
		out[r.Task] = market.Thread{Messages: r.Messages, Unread: r.Unread, ReadTo: r.ReadTo}
	}
	return out, translate(err)
}

// ReadThread remembers that the account has seen the task's thread up to the
// message of that number, if it has a part in it.
func (s *Store) ReadThread(ctx context.Context, id market.AccountID, task market.TaskID, number int64) error {
	_, err := s.db.ExecContext(ctx, `
		INSERT INTO thread_reads (account_id, task_id, read_to)
		SELECT $1, t.id, LEAST($3, (SELECT max(number) FROM messages m WHERE m.task_id = t.id))
		FROM tasks t
		WHERE t.id = $2 AND EXISTS (SELECT 1 FROM messages m WHERE m.task_id = t.id) AND `+party+`
		ON CONFLICT ON CONSTRAINT thread_reads_pkey DO UPDATE SET read_to = EXCLUDED.read_to
			WHERE thread_reads.read_to < EXCLUDED.read_to`, id, task, number)
	return translate(err)
}
