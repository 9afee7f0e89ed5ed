package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// Secrets are what of the task only its publisher and the engine may know;
// empty if there is nothing. Callers must not show them to anybody else.
func (s *Store) Secrets(ctx context.Context, id market.TaskID) (market.Secrets, error) {
	var out market.Secrets
	err := s.read(ctx, func(c *pgx.Conn) error {
		return c.QueryRow(ctx, `SELECT hidden, samples, sample_reports FROM task_secrets WHERE task_id = $1`, string(id)).Scan(&out.Hidden, &out.Samples, &out.Reports)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return market.Secrets{}, nil
	}
	return out, translate(err)
}
