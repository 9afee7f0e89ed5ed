package store

import (
	"context"
	"time"

	"guildhall/market"
)

// Timeline lists what happened to the task, oldest first.
func (s *Store) Timeline(ctx context.Context, id market.TaskID) ([]market.Happening, error) {
	var rows []struct {
		At    time.Time    `db:"at"`
		Event market.Event `db:"event"`
		Actor *string      `db:"actor"`
	}
	err := s.db.SelectContext(ctx, &rows, `
		SELECT e.at, e.event, a.handle AS actor
		FROM task_events e LEFT JOIN accounts a ON a.id = e.actor_id
		WHERE e.task_id = $1
		ORDER BY e.version
		LIMIT 500`, id)
	if err != nil {
		return nil, translate(err)
	}
	out := make([]market.Happening, 0, len(rows))
	for _, r := range rows {
		h := market.Happening{At: r.At, Event: r.Event}
		if r.Actor != nil {
			h.Actor = *r.Actor
		}
		out = append(out, h)
	}
	return out, nil
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

func plainIDs(ids []market.TaskID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = string(id)
	}
	return out
}
