package handlers

import (
	"fmt"
	"math"
	"sync"
	"time"

	"guildhall/market"
)

// limiter allows a burst a name and then one more each interval (the generic
// cell rate algorithm: one time a name is all it remembers).
type limiter struct {
	// called is the policy's name, for who is limited.
	called   string
	turns    int
	interval time.Duration
	// together limiters count on all nodes, in the database: guesses.
	together bool

	mu   sync.Mutex
	free map[string]time.Time // when the name's burst is whole again
}

func newLimiter(called string, burst int, interval time.Duration) *limiter {
	return &limiter{called: called, turns: burst, interval: interval, free: map[string]time.Time{}}
}

// onAllNodes makes the limiter count on all nodes together.
func (l *limiter) onAllNodes() *limiter {
	l.together = true
	return l
}

// burst is how long a whole burst takes to come back.
func (l *limiter) burst() time.Duration { return time.Duration(l.turns) * l.interval }

// policy is the limit as the RateLimit-Policy header says it.
func (l *limiter) policy() string {
	return fmt.Sprintf(`"%s";q=%d;w=%d`, l.called, l.turns, int(math.Ceil(l.burst().Seconds())))
}

// allow takes one turn of the name; if there is none left it says when.
func (l *limiter) allow(name string, now time.Time) (wait time.Duration, ok bool) {
	_, wait, ok = l.take(name, now)
	return wait, ok
}

// take takes one turn of the name and says how many are left and, if there is
// none, when.
func (l *limiter) take(name string, now time.Time) (left int, wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.free[name]
	if at.Before(now) {
		at = now
	}
	next := at.Add(l.interval)
	if over := next.Sub(now) - l.burst(); over > 0 {
		return 0, over, false
	}
	l.free[name] = next
	if len(l.free) > 100_000 { // forget the names that are whole again
		for n, t := range l.free {
			if t.Before(now) {
				delete(l.free, n)
			}
		}
	}
	return int((l.burst() - next.Sub(now)) / l.interval), l.interval, true
}

// turn takes one turn of the name, and tells how many are left.
func (h *Handlers) turn(r *request, l *limiter, name string) error {
	if !h.RateLimits {
		return nil
	}
	left, wait, ok := l.take(name, time.Now())
	header := r.echo.Response().Header()
	header.Add("RateLimit-Policy", l.policy())
	header.Add("RateLimit", fmt.Sprintf(`"%s";r=%d;t=%d`, l.called, left, int(math.Ceil(wait.Seconds()))))
	switch {
	case !ok:
		return market.TooOften(wait)
	case l.together:
		return h.Store.TakeTurn(r.ctx(), l.called+" "+name, l.turns, l.interval)
	}
	return nil
}

// throttle takes a turn of the address, or its network, and, if it is not
// empty, of the name.
func (h *Handlers) throttle(r *request, byAddress, byName *limiter, name string) error {
	if err := h.turn(r, byAddress, market.Network(r.address()).String()); err != nil || name == "" {
		return err
	}
	return h.turn(r, byName, name)
}

// calls counts what programs ask: by their key, or by their network without
// one.
func (h *Handlers) calls(rt route, r *request) error {
	switch {
	case rt.page || IsDocument(rt.path):
		return nil
	case r.actor.Key != "":
		return h.turn(r, h.byKey, string(r.actor.Key))
	}
	return h.turn(r, h.byNetwork, market.Network(r.address()).String())
}
