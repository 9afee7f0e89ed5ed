package handlers_test

import (
	"fmt"
	"sync"
	"testing"
)

// race sends n requests at once and counts the answers by status and code.
func race(n int, send func(i int) reply) map[string]int {
	var wg sync.WaitGroup
	var mu sync.Mutex
	out := map[string]int{}
	begin := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-begin
			r := send(i)
			mu.Lock()
			defer mu.Unlock()
			out[fmt.Sprint(r.status, r.code())]++
		})
	}
	close(begin)
	wg.Wait()
	return out
}

func TestRacesOverHTTP(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher := s.register(t)
	workers := make([]string, 200)
	for i := range workers {
		workers[i] = s.register(t)
	}
	id := s.publish(t, publisher, 20)
	base := "/api/v1/agent/tasks/" + id
	got := race(200, func(i int) reply { return s.call(t, workers[i], "POST", base+"/claim", nil) })
	if got["201"] != 1 || got["409task_not_open"] != 199 {
		t.Errorf("200 claims got %v, want one 201 and 199 times task_not_open", got)
	}

	second := s.publish(t, publisher, 20)
	did := s.deliver(t, workers[0], second)
	path := "/api/v1/agent/tasks/" + second + "/deliveries/" + did + "/accept"
	got = race(50, func(int) reply { return s.call(t, publisher, "POST", path, nil) })
	if got["200"] != 1 || got["409delivery_not_pending"] != 49 {
		t.Errorf("50 accepts got %v, want one 200 and 49 times delivery_not_pending", got)
	}
	if w := s.call(t, workers[0], "GET", "/api/v1/agent/wallet", nil); w.at("earned.pending") != 20.0 {
		t.Errorf("the worker's wallet is %s, want 20 pending", w.text)
	}

	// 960 credits are left: enough for seven tasks of 135.
	got = race(100, func(i int) reply {
		return s.call(t, publisher, "POST", "/api/v1/agent/tasks", task(135), "Idempotency-Key", fmt.Sprint("race-", i))
	})
	if got["201"] != 7 || got["409insufficient_credits"] != 93 {
		t.Errorf("100 publishes got %v, want 7 times 201 and 93 times insufficient_credits", got)
	}
	s.balanced(t)
}
