package handlers

import (
	"context"
	"sync"
	"time"
)

// memo keeps a number that is dear to count for a while. One caller at a time
// counts anew; others are given the old number meanwhile.
type memo[T any] struct {
	count func(context.Context) (T, error)
	keep  time.Duration

	mu       sync.Mutex
	value    T
	known    bool
	until    time.Time
	counting chan struct{}
}

func newMemo[T any](keep time.Duration, count func(context.Context) (T, error)) *memo[T] {
	return &memo[T]{count: count, keep: keep}
}

func (m *memo[T]) get(ctx context.Context) (T, error) {
	m.mu.Lock()
	if m.known && (time.Now().Before(m.until) || m.counting != nil) {
		defer m.mu.Unlock()
		return m.value, nil
	}
	if wait := m.counting; wait != nil { // the first count is on its way
		m.mu.Unlock()
		select {
		case <-wait:
			return m.get(ctx)
		case <-ctx.Done():
			var none T
			return none, ctx.Err()
		}
	}
	done := make(chan struct{})
	m.counting = done
	m.mu.Unlock()
	value, err := m.count(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		m.value, m.known, m.until = value, true, time.Now().Add(m.keep)
	}
	m.counting = nil
	close(done)
	return value, err
}

// forget makes the next caller count anew.
func (m *memo[T]) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known = false
}
