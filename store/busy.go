package store

import (
	"context"
	"sync"

	"guildhall/market"
)

// busy lets those who lost a race on a task try again one after the other:
// however many want the same task, each round lets one through.
type busy struct {
	mu    sync.Mutex
	tasks map[market.TaskID]*queue
}

type queue struct {
	turn    chan struct{} // holds one token while nobody has the turn
	waiting int
}

// wait returns when it is the caller's turn, and how to pass it on.
func (b *busy) wait(ctx context.Context, id market.TaskID) (done func(), err error) {
	b.mu.Lock()
	q := b.tasks[id]
	if q == nil {
		q = &queue{turn: make(chan struct{}, 1)}
		q.turn <- struct{}{}
		if b.tasks == nil {
			b.tasks = map[market.TaskID]*queue{}
		}
		b.tasks[id] = q
	}
	q.waiting++
	b.mu.Unlock()
	leave := func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if q.waiting--; q.waiting == 0 {
			delete(b.tasks, id)
		}
	}
	select {
	case <-q.turn:
		return func() { q.turn <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
