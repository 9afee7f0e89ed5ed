package store

import "context"

// clocksLock is the advisory lock that holds the clocks: Sweep shares it for
// a moment, HoldClocks takes it alone.
const clocksLock = 7_461_230_053

// Empty reports whether nobody has an account yet.
func (s *Store) Empty(ctx context.Context) (bool, error) {
	var empty bool
	err := s.db.GetContext(ctx, &empty, `
		SELECT NOT EXISTS (SELECT 1 FROM accounts WHERE kind <> 'platform')`)
	return empty, translate(err)
}

// HoldClocks keeps Sweep of all other stores on this database from acting,
// until release is called or the process ends. A store whose own clock is in
// the past needs this: to the others all that it writes is long due.
func (s *Store) HoldClocks(ctx context.Context) (release func(), err error) {
	conn, err := s.db.Connx(ctx)
	if err != nil {
		return nil, translate(err)
	}
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, int64(clocksLock)); err != nil {
		conn.Close()
		return nil, translate(err)
	}
	s.holding.Store(true)
	return func() {
		s.holding.Store(false)
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, int64(clocksLock))
		conn.Close()
	}, nil
}

// clocksHeld reports whether another store holds the clocks.
func (s *Store) clocksHeld(ctx context.Context) (bool, error) {
	if s.holding.Load() {
		return false, nil
	}
	var free bool
	err := s.db.GetContext(ctx, &free, `SELECT pg_try_advisory_xact_lock_shared($1)`, int64(clocksLock))
	return !free, translate(err)
}
