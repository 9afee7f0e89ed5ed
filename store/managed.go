package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// Deeds are the latest transitions that the account has made of the tasks it
// had a part in last, newest first.
func (s *Store) Deeds(ctx context.Context, id market.AccountID, limit int) ([]market.Deed, error) {
	return list(ctx, s, func(row pgx.CollectableRow) (d market.Deed, err error) {
		return d, row.Scan(&d.At, &d.Event, &d.Task, &d.Title, &d.KeyName, &d.KeyPrefix)
	}, `
		SELECT e.at, e.event, e.task_id, t.title, COALESCE(k.name, ''), COALESCE(k.prefix, '')
		FROM (
			(SELECT id FROM tasks WHERE publisher_id = $1 ORDER BY id DESC LIMIT $2)
			UNION SELECT task_id FROM (SELECT task_id FROM claims WHERE worker_id = $1 ORDER BY id DESC LIMIT $2) c
			UNION SELECT task_id FROM (SELECT task_id FROM deliveries WHERE worker_id = $1 ORDER BY id DESC LIMIT $2) d
		) own
		JOIN tasks t ON t.id = own.id
		JOIN task_events e ON e.task_id = own.id AND e.actor_id = $1
		LEFT JOIN api_keys k ON k.id = e.key_id
		ORDER BY e.at DESC, e.task_id, e.version DESC
		LIMIT $2`, []any{string(id), limit})
}

// Handed are the account's latest deliveries, newest first.
func (s *Store) Handed(ctx context.Context, id market.AccountID, limit int) ([]market.Handed, error) {
	return list(ctx, s, func(row pgx.CollectableRow) (h market.Handed, err error) {
		return h, row.Scan(&h.ID, &h.Task, &h.Title, &h.State, &h.Amount, &h.At)
	}, `
		SELECT d.id, d.task_id, t.title, d.state, COALESCE(y.amount, 0), d.created_at
		FROM deliveries d
		JOIN tasks t ON t.id = d.task_id
		LEFT JOIN payouts y ON y.delivery_id = d.id AND y.state <> 'reversed'
		WHERE d.worker_id = $1
		ORDER BY d.id DESC
		LIMIT $2`, []any{string(id), limit})
}
