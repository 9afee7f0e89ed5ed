package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// identical finds the twins of some deliveries: for each two range scans of
// deliveries_identical that end early, however many are equal.
const identical = `
	SELECT d.id, n.count, (d.created_at, d.id) < (x.created_at, x.id), x.id, w.handle, x.state, x.created_at
	FROM deliveries d
	JOIN tasks t ON t.id = d.task_id
	CROSS JOIN LATERAL (
		SELECT count(*) AS count FROM (
			SELECT 1 FROM deliveries x
			WHERE x.task_id = d.task_id AND x.output_hash = d.output_hash AND x.claim_id IS NULL AND x.worker_id <> d.worker_id
			LIMIT $4) enough
	) n
	CROSS JOIN LATERAL (
		SELECT x.id, x.worker_id, x.state, x.created_at FROM deliveries x
		WHERE x.task_id = d.task_id AND x.output_hash = d.output_hash AND x.claim_id IS NULL AND x.worker_id <> d.worker_id
		ORDER BY x.created_at, x.id
		LIMIT $5
	) x
	JOIN accounts w ON w.id = x.worker_id
	WHERE d.id = ANY ($1::uuid[]) AND d.claim_id IS NULL AND (t.publisher_id = $2 OR $3)
	ORDER BY d.id, x.created_at, x.id`

// Identical finds which of the deliveries have twins: for the publisher of
// their task and for operators; nobody else is told of any. In exclusive mode
// workers follow one another, and nothing is compared.
func (s *Store) Identical(ctx context.Context, by market.Actor, ds ...market.Delivery) (map[market.DeliveryID]market.Identical, error) {
	ids := make([]string, 0, len(ds))
	for _, d := range ds {
		if d.Claim == "" {
			ids = append(ids, string(d.ID))
		}
	}
	out := map[market.DeliveryID]market.Identical{}
	if len(ids) == 0 || by.Account == "" {
		return out, nil
	}
	_, err := list(ctx, s, func(row pgx.CollectableRow) (market.Twin, error) {
		var of market.DeliveryID
		var count int
		var before bool
		var x market.Twin
		if err := row.Scan(&of, &count, &before, &x.ID, &x.Worker, &x.State, &x.CreatedAt); err != nil {
			return x, err
		}
		same, known := out[of]
		if !known {
			same.Count, same.First = count, before
		}
		same.Twins = append(same.Twins, x)
		out[of] = same
		return x, nil
	}, identical, []any{ids, string(by.Account), by.Operator, market.MaxTwins, market.ShownTwins})
	return out, err
}
