package handlers_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
)

// optional are the public routes that look at a key that is shown to them.
var optional = map[string]bool{"POST /mcp": true, "GET /api/v1/market/tasks": true, "POST /api/v1/handoff/redeem": true}

// TestPolicyOfEndedKeysHolds shows every route that knows a key one that opened
// everything a moment ago: expired, revoked, of a bundle, or of an account that
// is suspended now.
func TestPolicyOfEndedKeysHolds(t *testing.T) {
	t.Parallel()
	var ahead time.Duration
	s := newServerOf(t, func(o *store.Options) { o.Now = func() time.Time { return time.Now().Add(ahead) } })
	mara, _ := s.human(t)
	agent, judge := s.register(t), s.operatorKey(t)
	soon := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	newKey := func(of string, fields string) (key, id string) {
		made := s.want(t, 201, s.call(t, of, "POST", keysAt, `{"name":"b"`+fields+`}`))
		return made.at("apiKey").(string), made.at("key.id").(string)
	}
	all := url.Values{"secret": {"key"}, "days": {"1"}}
	for _, sc := range market.Scopes() {
		all.Add("scopes", string(sc))
	}
	ofBundle := func(owner *browser) (key, id string) {
		b := owner.bundle(t, "/console/bundles/new", all)
		return b.document.at("apiKey").(string), b.id
	}
	suspend := func(account string) {
		s.want(t, 200, s.call(t, judge, "POST", "/api/v1/admin/accounts/"+account+"/suspend", map[string]any{"reason": "x"}))
	}
	expired, _ := newKey(agent, `,"expiresAt":"`+soon+`"`)
	revoked, revokedID := newKey(agent, "")
	late, _ := ofBundle(mara)
	ended, endedID := ofBundle(mara)
	halted := s.register(t)
	pia, piaName := s.human(t)
	herBundle, _ := ofBundle(pia)
	for _, x := range []struct {
		name, key string
		end       func()
		status    int
		code      string
	}{
		{"a revoked key", revoked, func() { s.want(t, 200, s.call(t, agent, "DELETE", keysAt+"/"+revokedID, nil)) }, 401, "unauthenticated"},
		{"the key of a revoked bundle", ended, func() {
			mara.send(t, "POST", "/console/bundles/"+endedID+"/revoke", url.Values{}).want(t, 200, "/console/bundles/"+endedID)
		}, 401, "unauthenticated"},
		{"a suspended agent's key", halted, func() { suspend(s.account(t, halted)) }, 403, "account_suspended"},
		{"the key of a suspended owner's bundle", herBundle, func() {
			a, err := s.store.AccountByHandle(t.Context(), piaName)
			if err != nil {
				t.Fatal(err)
			}
			suspend(string(a.ID))
		}, 403, "account_suspended"},
		{"an expired key", expired, func() { ahead = time.Hour + time.Minute }, 401, "unauthenticated"},
		{"the key of an expired bundle", late, func() { ahead = 24*time.Hour + time.Minute }, 401, "unauthenticated"},
	} {
		s.want(t, 200, s.call(t, x.key, "GET", "/api/v1/agent/me", nil))
		x.end()
		if r := s.call(t, x.key, "GET", "/api/v1/agent/me", nil); r.status != x.status {
			t.Fatalf("%s: got %d %s", x.name, r.status, r.text) // a stream would have no end
		}
		n := 0
		for name, p := range policies {
			if p.auth != "key" && !optional[name] {
				continue
			}
			n++
			if r := s.sendAbsent(t, name, x.key); r.status != x.status || r.code() != x.code {
				t.Errorf("%s with %s: got %d %s", name, x.name, r.status, r.text)
			}
		}
		if n < 60 {
			t.Errorf("%s was shown to %d routes only", x.name, n)
		}
	}
}

// sendAbsent calls a route about things that are not there.
func (s *server) sendAbsent(t testing.TB, name, key string) reply {
	t.Helper()
	method, path, _ := strings.Cut(name, " ")
	var body any
	if policies[name].body {
		body = bodies[name]
	}
	return s.call(t, key, method, absentPath(path), body, "Idempotency-Key", unique("k"))
}

func absentPath(path string) string {
	const absent = "01a20b77-e936-75e9-8ee4-5120c30a9cda"
	parts := strings.Split(path, "/")
	for i, p := range parts {
		switch {
		case p == ":sha256":
			parts[i] = strings.Repeat("ab", 32)
		case strings.HasPrefix(p, ":"):
			parts[i] = absent
		}
	}
	return strings.Join(parts, "/")
}

// TestPolicyOfPausedAgentsHolds: what begins something is refused to a paused
// agent on the very next call, on whatever way, and nothing else is.
func TestPolicyOfPausedAgentsHolds(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	boss, _ := s.human(t)
	paused, handle := s.bind(t, boss)
	publisher := s.register(t)
	exclusive, free := s.publish(t, publisher, 5), s.openTask(t, publisher, 5, 2)
	begins := map[string]string{
		"POST /api/v1/agent/tasks":                "/api/v1/agent/tasks",
		"POST /api/v1/agent/tasks/:id/claim":      "/api/v1/agent/tasks/" + exclusive + "/claim",
		"POST /api/v1/agent/tasks/:id/deliveries": "/api/v1/agent/tasks/" + free + "/deliveries",
	}
	s.want(t, 200, s.call(t, paused, "GET", "/api/v1/agent/me", nil))
	boss.send(t, "POST", agentsAt+"/"+handle+"/pause", url.Values{}).want(t, 200, agentsAt+"/"+handle)
	for name, p := range policies {
		switch {
		case p.auth != "key" && !optional[name], strings.HasSuffix(name, "/stream"): // the stream has no end
			continue
		case begins[name] != "":
			var body any = bodies[name]
			if name == "POST /api/v1/agent/tasks" {
				body = task(5)
			}
			if r := s.call(t, paused, http.MethodPost, begins[name], body, "Idempotency-Key", unique("k")); r.status != 403 || r.code() != "agent_paused" {
				t.Errorf("%s: got %d %s", name, r.status, r.text)
			}
			continue
		}
		if r := s.sendAbsent(t, name, paused); r.status == 401 || r.code() == "agent_paused" {
			t.Errorf("%s: got %d %s", name, r.status, r.text)
		}
	}
	boss.send(t, "POST", agentsAt+"/"+handle+"/resume", url.Values{}).want(t, 200, agentsAt+"/"+handle)
	s.want(t, 201, s.call(t, paused, http.MethodPost, begins["POST /api/v1/agent/tasks/:id/claim"], nil))
	s.balanced(t)
}
