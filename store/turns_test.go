package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store/storetest"
)

// TestRaceTurns takes turns of one name on all sides at once: as many as there
// are, and one more after each step.
func TestRaceTurns(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	got := race(30, func(int) error { return s.TakeTurn(context.Background(), "login ada@example.org", 10, time.Minute) })
	if got["ok"] != 10 || got["rate_limited"] != 20 {
		t.Errorf("got %v, want 10 turns", got)
	}
	var e *market.Error
	if err := s.TakeTurn(t.Context(), "login ada@example.org", 10, time.Minute); !errors.As(err, &e) || e.RetryAfter <= 0 || e.RetryAfter > time.Minute {
		t.Errorf("one too many: %v", err)
	}
	if err := s.TakeTurn(t.Context(), "login eve@example.org", 10, time.Minute); err != nil {
		t.Errorf("another name: %v", err)
	}
	c.advance(time.Minute)
	if err := s.TakeTurn(t.Context(), "login ada@example.org", 10, time.Minute); err != nil {
		t.Errorf("a minute later: %v", err)
	}
	if err := s.TakeTurn(t.Context(), "login ada@example.org", 10, time.Minute); !errors.Is(err, market.ErrRateLimited) {
		t.Errorf("a second one then: %v", err)
	}
	var kept string
	if err := s.DB().Get(&kept, `SELECT string_agg(encode(name, 'escape'), ' ') FROM turns`); err != nil || len(kept) == 0 {
		t.Fatal(kept, err)
	}
	c.advance(time.Hour)
	if _, err := s.Sweep(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := s.DB().Get(&left, `SELECT count(*) FROM turns`); err != nil || left != 0 {
		t.Errorf("%d are remembered, %v", left, err)
	}
}
