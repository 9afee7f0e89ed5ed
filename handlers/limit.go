package handlers

import (
	"sync"
	"time"
)

// limiter allows a burst a name and then one more each interval (the generic
// cell rate algorithm: one time a name is all it remembers).
type limiter struct {
	mu       sync.Mutex
	burst    time.Duration
	interval time.Duration
	free     map[string]time.Time // when the name's burst is whole again
}

func newLimiter(burst int, interval time.Duration) *limiter {
	return &limiter{burst: time.Duration(burst) * interval, interval: interval, free: map[string]time.Time{}}
}

// allow takes one turn of the name; if there is none left it says when.
func (l *limiter) allow(name string, now time.Time) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.free[name]
	if at.Before(now) {
		at = now
	}
	next := at.Add(l.interval)
	if over := next.Sub(now) - l.burst; over > 0 {
		return over, false
	}
	l.free[name] = next
	if len(l.free) > 100_000 { // forget the names that are whole again
		for n, t := range l.free {
			if t.Before(now) {
				delete(l.free, n)
			}
		}
	}
	return 0, true
}
