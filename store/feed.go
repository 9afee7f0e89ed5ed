package store

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

const insertFeedEvent = `
	INSERT INTO account_events (id, account_id, at, type, task_id, data) VALUES ($1, $2, $3, $4, $5, $6)`

// tell queues a line of the account's feed, in the transaction of what it
// tells. The task may be "".
func (b *batch) tell(account market.AccountID, kind market.FeedType, task market.TaskID, data map[string]any, now time.Time) {
	if data == nil {
		data = map[string]any{}
	}
	b.Queue(insertFeedEvent, string(newID[market.FeedEventID]()), string(account), now, string(kind), nullID(task), toDocument(data))
	b.told = append(b.told, account)
}

var (
	insertNotices = part{"tell", `
		INSERT INTO account_events (id, account_id, at, type, task_id, data)
		SELECT x.id, x.account, $1::timestamptz, x.type, $2::uuid, x.data::jsonb
		FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::text[]) x (id, account, type, data)`}
	// tellNotSelected sees the deliveries as they were before.
	tellNotSelected = part{"tellothers", `
		INSERT INTO account_events (id, account_id, at, type, task_id, data)
		SELECT feed_id($3), d.worker_id, $3, $4, d.task_id, jsonb_build_object('deliveryId', d.id)
		FROM deliveries d
		WHERE d.task_id = $1 AND d.id <> $2 AND d.state = 'pending' AND d.due_at IS NOT NULL`}
)

// tell adds the lines that a change writes into the feeds of its parties.
func (e *effect) tell(c market.Change, now time.Time) {
	all := c.Notices()
	if len(all) == 0 {
		return
	}
	ids, to, types, data := make([]string, len(all)), make([]string, len(all)), make([]string, len(all)), make([]string, len(all))
	for i, n := range all {
		ids[i], to[i], types[i], data[i] = string(newID[market.FeedEventID]()), string(n.To), string(n.Type), toDocument(n.Data)
		e.told = append(e.told, n.To)
	}
	e.add(insertNotices, now, c.Snapshot.ID, ids, to, types, data)
}

// FeedCursor is a place in an account's feed. The order is that of
// transactions, then of ids: below the oldest transaction that is running
// nothing is missing any more, so nobody reads beyond that.
type FeedCursor struct {
	// XID is the transaction of the event, 0 if only its id is known.
	XID uint64
	ID  market.FeedEventID
}

// idTime is when the UUIDv7 was made.
func idTime(id market.FeedEventID) time.Time {
	if len(id) != 36 {
		return time.Time{}
	}
	ms, _ := strconv.ParseInt(string(id[:8]+id[9:13]), 16, 64)
	return time.UnixMilli(ms)
}

const noEvent market.FeedEventID = "00000000-0000-0000-0000-000000000000"

// FeedPlace completes a cursor of which only the event's id is known; the
// empty one is the beginning. A place that is older than what is kept is
// market.ErrCursorExpired, another account's event market.ErrNotFound.
func (s *Store) FeedPlace(ctx context.Context, id market.AccountID, at FeedCursor) (FeedCursor, error) {
	if at.ID == "" || at.ID == noEvent {
		return FeedCursor{ID: noEvent}, nil
	}
	if idTime(at.ID).Before(s.now().Add(-market.FeedRetention)) {
		return at, market.ErrCursorExpired
	}
	if at.XID > 0 {
		return at, nil
	}
	var xid string
	err := s.db.GetContext(ctx, &xid, `SELECT xid::text FROM account_events WHERE id = $1 AND account_id = $2`, at.ID, id)
	if err == nil {
		at.XID, err = strconv.ParseUint(xid, 10, 64)
	}
	return at, translate(err)
}

// FeedEnd is the place behind all that can be read now.
func (s *Store) FeedEnd(ctx context.Context) (FeedCursor, error) {
	var xmin string
	err := s.db.GetContext(ctx, &xmin, `SELECT feed_horizon()::text`)
	if err != nil {
		return FeedCursor{}, translate(err)
	}
	n, err := strconv.ParseUint(xmin, 10, 64)
	return FeedCursor{XID: n - 1, ID: newID[market.FeedEventID]()}, err
}

// Placed is an event with its place.
type Placed struct {
	market.FeedEvent
	At FeedCursor
}

// readFeed is a page of the feed. Events of transactions that are not all over
// wait. The text of xid must not be named so: the order would be that of texts.
const readFeed = `
	SELECT xid::text AS place, id, at, type, task_id, data FROM account_events
	WHERE account_id = $1 AND (xid, id) > ($2::text::xid8, $3::uuid) AND xid < feed_horizon()
	ORDER BY xid, id LIMIT $4`

func scanPlaced(row pgx.CollectableRow) (Placed, error) {
	var p Placed
	var xid string
	var task *market.TaskID
	var data json.RawMessage
	if err := row.Scan(&xid, &p.ID, &p.FeedEvent.At, &p.Type, &task, &data); err != nil {
		return p, err
	}
	if task != nil {
		p.Task = *task
	}
	var err error
	p.At.ID = p.ID
	if p.At.XID, err = strconv.ParseUint(xid, 10, 64); err != nil {
		return p, err
	}
	return p, json.Unmarshal(data, &p.Data)
}

// Feed is what can be read now beyond the place, oldest first, at most limit,
// and the place that was read to. With types it passes over all others.
func (s *Store) Feed(ctx context.Context, id market.AccountID, after FeedCursor, types []market.FeedType, limit int) ([]Placed, FeedCursor, error) {
	if after.ID == "" {
		after.ID = noEvent
	}
	var out []Placed
	for {
		found, err := list(ctx, s, scanPlaced, readFeed, []any{string(id), strconv.FormatUint(after.XID, 10), string(after.ID), limit})
		if err != nil {
			return nil, after, err
		}
		for _, p := range found {
			if after = p.At; wanted(types, p.Type) {
				if out = append(out, p); len(out) == limit {
					return out, after, nil
				}
			}
		}
		if len(found) < limit {
			return out, after, nil
		}
	}
}

func wanted(types []market.FeedType, t market.FeedType) bool {
	for _, w := range types {
		if w == t {
			return true
		}
	}
	return len(types) == 0
}

// How often a reader looks again for an event that is there, but not to be
// read while older transactions run.
const (
	soonest = 3 * time.Millisecond
	latest  = 250 * time.Millisecond
)

// AwaitFeed is Feed, and waits until there is something or ctx ends; then
// nothing is no error.
func (s *Store) AwaitFeed(ctx context.Context, id market.AccountID, after FeedCursor, types []market.FeedType, limit int) ([]Placed, FeedCursor, error) {
	w := s.hub.join(id, after)
	defer s.hub.leave(w)
	for pause := soonest; ; {
		events, at, err := s.Feed(ctx, id, after, types, limit)
		if ctx.Err() != nil {
			return nil, after, nil
		}
		if err != nil || len(events) > 0 {
			return events, at, err
		}
		after = at
		s.hub.move(w, after)
		hidden, err := s.feedGoesOn(ctx, id, after)
		if err != nil && ctx.Err() == nil {
			return nil, after, err
		}
		var again <-chan time.Time // without it only what is told wakes
		if hidden {
			again = time.After(pause)
			pause = min(2*pause, latest)
		} else {
			pause = soonest
		}
		select {
		case <-ctx.Done():
			return nil, after, nil
		case <-w.wake:
		case <-again:
		}
	}
}

// feedGoesOn reports whether there is an event beyond the place, to be read yet
// or not.
func (s *Store) feedGoesOn(ctx context.Context, id market.AccountID, after FeedCursor) (bool, error) {
	var more bool
	err := s.db.GetContext(ctx, &more, `SELECT EXISTS (SELECT 1 FROM account_events WHERE account_id = $1 AND (xid, id) > ($2::text::xid8, $3::uuid))`,
		id, strconv.FormatUint(after.XID, 10), after.ID)
	return more, translate(err)
}

// RecentFeed is the feed for people: the newest first, older than the place
// ("" is the newest), of the types if there are any.
func (s *Store) RecentFeed(ctx context.Context, id market.AccountID, before FeedCursor, types []market.FeedType, limit int) ([]Placed, error) {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = string(t)
	}
	return list(ctx, s, scanPlaced, `
		SELECT xid::text AS place, id, at, type, task_id, data FROM account_events
		WHERE account_id = $1 AND ($3::uuid IS NULL OR (xid, id) < ($2::text::xid8, $3::uuid)) AND (cardinality($4::text[]) = 0 OR type = ANY ($4::text[]))
		ORDER BY xid DESC, id DESC LIMIT $5`, []any{string(id), strconv.FormatUint(before.XID, 10), nullID(before.ID), names, limit})
}

// pruneBatch is how many old events one transaction forgets: a long one would
// hold all feeds back.
const pruneBatch = 2000

// pruneFeed forgets events that are older than is kept.
func (s *Store) pruneFeed(ctx context.Context) error {
	for {
		done, err := s.db.ExecContext(ctx, `
			DELETE FROM account_events WHERE id IN (
				SELECT id FROM account_events WHERE id < $1 ORDER BY id LIMIT $2)`, firstID(s.now().Add(-market.FeedRetention)), pruneBatch)
		if err != nil {
			return translate(err)
		}
		if n, err := done.RowsAffected(); n < pruneBatch || err != nil {
			return translate(err)
		}
	}
}

// FeedHeld is for how long the oldest transaction has been writing, which all
// feeds wait for; 0 if none is.
func (s *Store) FeedHeld(ctx context.Context) (time.Duration, error) {
	var seconds float64
	err := s.db.GetContext(ctx, &seconds, `
		SELECT COALESCE(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 FROM pg_stat_activity WHERE backend_xid IS NOT NULL`)
	return time.Duration(seconds * float64(time.Second)), translate(err)
}

// TaskTitles are those of tasks, for showing events about them.
func (s *Store) TaskTitles(ctx context.Context, ids []market.TaskID) (map[market.TaskID]string, error) {
	var rows []struct {
		ID    market.TaskID `db:"id"`
		Title string        `db:"title"`
	}
	out := make(map[market.TaskID]string, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	err := s.db.SelectContext(ctx, &rows, `SELECT id, title FROM tasks WHERE id = ANY ($1::uuid[])`, plainIDs(ids))
	for _, r := range rows {
		out[r.ID] = r.Title
	}
	return out, translate(err)
}
