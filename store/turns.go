package store

import (
	"context"
	"crypto/sha256"
	"time"
)

// TakeTurn takes one turn of the name, which has burst of them at once and one
// more each step, whichever node asks. One too many is market.ErrRateLimited
// with when there is another.
func (s *Store) TakeTurn(ctx context.Context, name string, burst int, step time.Duration) error {
	who := sha256.Sum256([]byte(name))
	_, err := s.db.ExecContext(ctx, `SELECT take_turn($1, $2, make_interval(secs => $3), $4)`, who[:], burst, step.Seconds(), s.now())
	return translate(err)
}

// forgetTurns forgets who may try as often again as at first.
func (s *Store) forgetTurns(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM turns WHERE whole_at <= $1`, s.now())
	return translate(err)
}
