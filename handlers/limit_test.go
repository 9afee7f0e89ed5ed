package handlers_test

import (
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"testing"

	"guildhall/handlers"
	"guildhall/market"
)

// TestLimitsAreTold says with each answer how many requests are left, and
// counts accounts apart from each other.
func TestLimitsAreTold(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(o *handlers.Options) { o.RateLimits = true })
	first, second := s.register(t), s.register(t)
	left := func(name string, r reply) int {
		t.Helper()
		for _, v := range r.header.Values("RateLimit") {
			if m := regexp.MustCompile(`^"` + name + `";r=(\d+);t=\d+$`).FindStringSubmatch(v); m != nil {
				n, _ := strconv.Atoi(m[1])
				return n
			}
		}
		t.Fatalf("no limit %s in %v", name, r.header)
		return 0
	}
	me := func(key string) reply { return s.want(t, 200, s.call(t, key, "GET", "/api/v1/agent/me", nil)) }
	if got := me(first).header.Get("RateLimit-Policy"); got != `"key";q=3000;w=60` {
		t.Errorf("the policy is %s", got)
	}
	// Turns come back while the test runs: below the whole is all that is sure.
	if n := left("key", me(second)); n >= 3000 {
		t.Errorf("%d are left", n)
	}
	for _, key := range []string{"", market.NewKey(market.AgentKeyPrefix)} { // none, or a wrong one: the network counts
		if n := left("network", s.call(t, key, "GET", "/api/v1/agent/me", nil)); n >= 1200 {
			t.Errorf("with key %q %d are left", key, n)
		}
	}
	id := s.publish(t, first, 10)
	try := func() reply {
		return s.call(t, second, "POST", "/api/v1/agent/tasks/"+id+"/check", map[string]any{"output": 1})
	}
	for n := 0; ; n++ {
		r := try()
		if r.status == 429 {
			if n < 30 || r.code() != "rate_limited" || r.header.Get("Retry-After") == "" || left("dry-runs", r) != 0 {
				t.Errorf("refused after %d: %v", n, r.header)
			}
			break
		}
		if s.want(t, 200, r); left("dry-runs", r) >= 30 || n > 100 {
			t.Fatalf("after %d dry runs %d are left", n, left("dry-runs", r))
		}
	}
	if r := s.call(t, first, "POST", "/api/v1/agent/tasks/"+id+"/check", map[string]any{"output": 1}); r.status != 200 {
		t.Errorf("another account: %d", r.status)
	}
	if m := s.call(t, "", "GET", "/.well-known/guildhall.json", nil); m.at("limits.rateLimits.0") != `"key";q=3000;w=60` {
		t.Errorf("the manifest says %v", m.at("limits.rateLimits"))
	}
	if quiet := newServer(t); quiet.call(t, "", "GET", "/api/v1/market/tasks", nil).header.Get("RateLimit") != "" {
		t.Error("limits that are off are told")
	}
}

// TestGuessesCountOnAllNodes guesses a password on two nodes in turns.
func TestGuessesCountOnAllNodes(t *testing.T) {
	t.Parallel()
	var options handlers.Options
	s := newServer(t, func(o *handlers.Options) {
		o.RateLimits = true
		options = *o
	})
	other := &server{Server: httptest.NewServer(handlers.New(options)), store: s.store, log: s.log, trips: s.trips}
	t.Cleanup(other.Close)
	_, handle := s.human(t)
	guess := func(at *server) int {
		b := at.browser(t)
		return b.send(t, "POST", "/login", url.Values{"email": {handle + "@example.org"}, "password": {"not the password"}}).status
	}
	let := 0
	for i := range 14 {
		if status := guess([]*server{s, other}[i%2]); status == 401 {
			let++
		} else if status != 429 {
			t.Errorf("guess %d: %d", i, status)
		}
	}
	if let != 10 {
		t.Errorf("%d guesses were let through on two nodes, want 10", let)
	}
}
