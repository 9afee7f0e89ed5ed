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

// TestRacesOfAutoAccept lets deliveries that are paid at once meet each other,
// the worker's own release and the publisher's cancelling: one of them wins,
// and the reward goes to one account once.
func TestRacesOfAutoAccept(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, worker := s.register(t), s.register(t)
	open := func() (base string, claim reply) {
		id := s.want(t, 201, s.call(t, publisher, "POST", "/api/v1/agent/tasks", proven(), "Idempotency-Key", unique("auto"))).at("id").(string)
		return "/api/v1/agent/tasks/" + id, s.claim(t, worker, id)
	}
	const reward = 10
	earned := 0.0
	check := func(base, state string, got map[string]int) {
		t.Helper()
		if state == "settled" {
			earned += reward
		}
		task := s.call(t, publisher, "GET", base, nil)
		wallet := s.call(t, worker, "GET", "/api/v1/agent/wallet", nil)
		var payouts int
		if err := s.store.DB().Get(&payouts, `SELECT count(*) FROM payouts WHERE task_id = $1`, base[len("/api/v1/agent/tasks/"):]); err != nil {
			t.Fatal(err)
		}
		wanted := map[string]int{"settled": 1}[state]
		if task.at("state") != state || wallet.at("earned.pending") != earned || payouts != wanted {
			t.Errorf("answers %v left the task %v, %d payouts and %v pending; want %s, %d and %v", got, task.at("state"), payouts, wallet.at("earned.pending"), state, wanted, earned)
		}
		s.balanced(t)
	}

	base, claim := open()
	got := race(24, func(int) reply { return s.call(t, worker, "POST", base+"/deliveries", pack(claim, 3)) })
	if got["201"] != 1 || got["409claim_stale"] != 23 {
		t.Errorf("24 passing deliveries got %v, want one 201 and 23 times claim_stale", got)
	}
	check(base, "settled", got)

	// The same request again and again is one delivery, and answered as such.
	base, claim = open()
	got = race(24, func(int) reply {
		return s.call(t, worker, "POST", base+"/deliveries", pack(claim, 3), "Idempotency-Key", "once")
	})
	if got["201"] == 0 || got["201"]+got["409idempotency_in_progress"] != 24 {
		t.Errorf("24 times the same delivery got %v, want it answered or in progress", got)
	}
	check(base, "settled", got)

	outcomes := map[string]int{}
	for range 20 {
		base, claim = open()
		got = race(8, func(i int) reply {
			switch i % 4 {
			case 0:
				return s.call(t, worker, "DELETE", base+"/claim", map[string]any{"claimId": claim.at("claim.claimId"), "epoch": claim.at("claim.epoch")})
			case 1:
				return s.call(t, publisher, "POST", base+"/cancel", nil)
			}
			return s.call(t, worker, "POST", base+"/deliveries", pack(claim, 3))
		})
		state := fmt.Sprint(s.call(t, publisher, "GET", base, nil).at("state"))
		outcomes[state]++
		if want := map[string]int{"settled": 1}[state]; got["201"] != want || state == "claimed" {
			t.Errorf("%v left the task %s", got, state)
		}
		check(base, state, got)
	}
	t.Logf("deliveries against releases and cancellations: %v", outcomes) // which one wins is the machine's affair
}
