package handlers

import (
	"context"
	"sync"
	"time"

	"guildhall/market"
	"guildhall/store"
)

// watchEvery is how often the tasks that somebody watches are looked at: one
// query a node, however many watch.
const watchEvery = time.Second

// Bounds on who may watch at once: on this node, and from one address.
const (
	maxWatchers        = 2000
	maxWatchersAddress = 20
)

// watchers tell who looks at a task that it has changed.
type watchers struct {
	pulses func(context.Context, []market.TaskID) (map[market.TaskID]store.Pulse, error)

	mu        sync.Mutex
	tasks     map[market.TaskID]map[chan store.Pulse]bool
	addresses map[string]int
	total     int
	running   bool
}

func newWatchers(pulses func(context.Context, []market.TaskID) (map[market.TaskID]store.Pulse, error)) *watchers {
	return &watchers{pulses: pulses, tasks: map[market.TaskID]map[chan store.Pulse]bool{}, addresses: map[string]int{}}
}

// watch returns a channel that receives the task's present pulse whenever it
// is looked at, and how to stop. It returns market.ErrRateLimited to an address
// that watches too much.
func (w *watchers) watch(id market.TaskID, address string) (<-chan store.Pulse, func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.total >= maxWatchers || w.addresses[address] >= maxWatchersAddress {
		return nil, nil, tooOften(time.Minute)
	}
	c := make(chan store.Pulse, 1)
	if w.tasks[id] == nil {
		w.tasks[id] = map[chan store.Pulse]bool{}
	}
	w.tasks[id][c] = true
	w.total++
	w.addresses[address]++
	if !w.running {
		w.running = true
		go w.run()
	}
	return c, func() { w.leave(id, c, address) }, nil
}

func (w *watchers) leave(id market.TaskID, c chan store.Pulse, address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.tasks[id], c)
	if len(w.tasks[id]) == 0 {
		delete(w.tasks, id)
	}
	w.total--
	if w.addresses[address]--; w.addresses[address] == 0 {
		delete(w.addresses, address)
	}
}

// run looks at the watched tasks until nobody watches any.
func (w *watchers) run() {
	for {
		time.Sleep(watchEvery)
		ids, ok := w.watched()
		if !ok {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		found, err := w.pulses(ctx, ids)
		cancel()
		if err != nil {
			continue // the next look will tell
		}
		w.tell(found)
	}
}

func (w *watchers) watched() (ids []market.TaskID, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.tasks {
		ids = append(ids, id)
	}
	w.running = len(ids) > 0
	return ids, w.running
}

// tell passes pulses on; who has not read the last one gets the newer.
func (w *watchers) tell(found map[market.TaskID]store.Pulse) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, pulse := range found {
		for c := range w.tasks[id] {
			select {
			case <-c:
			default:
			}
			c <- pulse
		}
	}
}
