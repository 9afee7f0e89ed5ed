package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// selectTimeline reads lines of a timeline. A transition keeps its key; an
// account without one had a browser session, and no account is the clock.
const selectTimeline = `
	SELECT e.version, e.at, e.event, e.actor_id, a.handle, k.name, k.prefix
	FROM task_events e
	LEFT JOIN accounts a ON a.id = e.actor_id
	LEFT JOIN api_keys k ON k.id = e.key_id
	WHERE e.task_id = $1`

// Timeline lists what happened to the task, as the actor may see it: oldest
// first, beyond the line of that number (0: from the first). An absent task is
// market.ErrNotFound.
func (s *Store) Timeline(ctx context.Context, by market.Actor, id market.TaskID, after int64, limit int) ([]market.Happening, error) {
	found, err := s.timeline(ctx, by, selectTimeline+` AND e.version > $2 ORDER BY e.version LIMIT $3`, string(id), after, limit)
	if err != nil || len(found) > 0 {
		return found, err
	}
	var there bool
	err = s.db.GetContext(ctx, &there, `SELECT true FROM tasks WHERE id = $1`, id)
	return nil, translate(err)
}

// RecentTimeline is how the task began and the newest lines, oldest first.
func (s *Store) RecentTimeline(ctx context.Context, by market.Actor, id market.TaskID, newest int) ([]market.Happening, error) {
	return s.timeline(ctx, by, selectTimeline+`
		AND (e.version = 1 OR e.version > (SELECT version FROM tasks WHERE id = $1) - $2) ORDER BY e.version`, string(id), newest)
}

func (s *Store) timeline(ctx context.Context, by market.Actor, query string, args ...any) ([]market.Happening, error) {
	return list(ctx, s, func(row pgx.CollectableRow) (market.Happening, error) {
		var h market.Happening
		var actor *market.AccountID
		var handle, name, prefix *string
		if err := row.Scan(&h.Number, &h.At, &h.Event, &actor, &handle, &name, &prefix); err != nil || actor == nil {
			return h, err
		}
		h.By, h.Actor, h.Via = *actor, *handle, &market.Credential{Kind: market.ViaSession}
		if prefix != nil {
			h.Via = &market.Credential{Kind: market.KeyKind(*prefix), Name: *name, Prefix: *prefix}
		}
		return h.SeenBy(by), nil
	}, query, args)
}

// Pulse changes whenever somebody who looks at a task would see it change.
type Pulse struct {
	// Version is that of the task, Messages how many its thread has.
	Version, Messages int64
}

// Pulses tell the present pulse of each task.
func (s *Store) Pulses(ctx context.Context, ids []market.TaskID) (map[market.TaskID]Pulse, error) {
	var rows []struct {
		ID       market.TaskID `db:"id"`
		Version  int64         `db:"version"`
		Messages int64         `db:"messages"`
	}
	if err := s.db.SelectContext(ctx, &rows, `
		SELECT t.id, t.version, COALESCE((SELECT max(number) FROM messages m WHERE m.task_id = t.id), 0) AS messages
		FROM tasks t
		WHERE t.id = ANY ($1::uuid[])`, plainIDs(ids)); err != nil {
		return nil, translate(err)
	}
	out := make(map[market.TaskID]Pulse, len(rows))
	for _, r := range rows {
		out[r.ID] = Pulse{r.Version, r.Messages}
	}
	return out, nil
}

// plainIDs are the ids as the driver takes them; nil stays nil.
func plainIDs(ids []market.TaskID) []string {
	if ids == nil {
		return nil
	}
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = string(id)
	}
	return out
}
