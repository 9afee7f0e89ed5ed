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

// Versions tells the newest version of each task.
func (s *Store) Versions(ctx context.Context, ids []market.TaskID) (map[market.TaskID]int64, error) {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = string(id)
	}
	var rows []struct {
		ID      market.TaskID `db:"id"`
		Version int64         `db:"version"`
	}
	if err := s.db.SelectContext(ctx, &rows, `SELECT id, version FROM tasks WHERE id = ANY ($1::uuid[])`, texts); err != nil {
		return nil, translate(err)
	}
	out := make(map[market.TaskID]int64, len(rows))
	for _, r := range rows {
		out[r.ID] = r.Version
	}
	return out, nil
}
