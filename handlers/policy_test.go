package handlers_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"guildhall/handlers"
	"guildhall/market"
	"guildhall/store"
)

func TestPolicyListsEveryRoute(t *testing.T) {
	served := map[string]bool{}
	for _, r := range handlers.RouteTable() {
		name := r.Method + " " + r.Path
		served[name] = true
		want, ok := policies[name]
		if !ok {
			t.Errorf("%s has no policy", name)
			continue
		}
		if r.Auth != want.auth || r.Once != want.once || r.Body != want.body {
			t.Errorf("%s is served as %+v, the policy says %+v", name, r, want)
		}
		if got := strings.Trim(fmt.Sprint(r.Scopes), "[]"); got != scopes[name] {
			t.Errorf("%s takes the scopes %q, the policy says %q", name, got, scopes[name])
		}
		if r.Method != "GET" && r.Auth == "public" && !open[name] {
			t.Errorf("%s changes something without a credential", name)
		}
		if page := !strings.HasPrefix(r.Path, "/api/") && !handlers.IsDocument(r.Path) && r.Path != "/mcp"; page != r.Page || (page && r.Auth == "key") || (!page && r.Auth == "session") {
			t.Errorf("%s mixes pages and programs: %+v", name, r)
		}
	}
	for name := range policies {
		if !served[name] {
			t.Errorf("%s has a policy but is not served", name)
		}
	}
}

func TestPolicyHolds(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, worker, stranger := s.register(t), s.register(t), s.register(t)
	id := s.publish(t, publisher, 10)
	did := s.deliver(t, worker, id)
	oid := s.order(t, worker)
	s.want(t, 200, s.call(t, worker, "POST", "/api/v1/agent/redemptions/"+oid+"/reveal", nil))
	const absent = "01a20b77-e936-75e9-8ee4-5120c30a9cda"
	at := func(path, id, did string) string {
		order := oid
		if id == absent {
			order = absent
		}
		return strings.NewReplacer(":id", id, ":did", did, ":oid", order, ":rid", absent, ":keyId", absent, ":bcid", absent, ":bindingId", absent, ":gid", absent, ":aid", absent, ":wid", absent, ":wdid", absent, ":handle", "nobody-here", ":sha256", strings.Repeat("ab", 32)).Replace(path)
	}
	send := func(name, key, id, did string) reply {
		method, path, _ := strings.Cut(name, " ")
		var body any
		if policies[name].body {
			body = bodies[name]
		}
		var headers []string
		if policies[name].once == "required" {
			headers = []string{"Idempotency-Key", unique("k")}
		}
		return s.call(t, key, method, at(path, id, did), body, headers...)
	}
	for name, p := range policies {
		if !strings.Contains(name, "/api/") {
			continue // TestPolicyOfPagesHolds
		}
		if p.auth == "operator" {
			if r := send(name, publisher, id, did); r.status != 403 {
				t.Errorf("%s with an agent's key: got %d %s, want 403", name, r.status, r.text)
			}
			if r := send(name, "", id, did); r.status != 401 {
				t.Errorf("%s without a key: got %d %s, want 401", name, r.status, r.text)
			}
			continue
		}
		if p.auth == "key" {
			for _, key := range []string{"", "gha_nonsense", stranger[:len(stranger)-1] + map[bool]string{true: "y", false: "x"}[stranger[len(stranger)-1] == 'x'], strings.Replace(stranger, "gha_", "ghd_", 1)} {
				if r := send(name, key, id, did); r.status != 401 || r.code() != "unauthenticated" || r.header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s with key %.8q: got %d, want 401", name, key, r.status)
				}
			}
			if r := s.call(t, "", strings.Fields(name)[0], at(strings.Fields(name)[1], id, did)+"?apiKey="+market.NewKey(market.AgentKeyPrefix), nil); r.status != 401 {
				t.Errorf("%s: a key in the query got %d, want 401", name, r.status)
			}
		}
		if strings.Contains(name, ":") {
			if r := send(name, stranger, absent, absent); r.status != 404 {
				t.Errorf("%s on nothing: got %d %s, want 404", name, r.status, r.text)
			}
		}
		switch p.owner {
		case "publisher":
			want := 404
			if !strings.Contains(name, ":did") {
				want = 403 // tasks are public; deliveries are not
			}
			if r := send(name, stranger, id, did); r.status != want {
				t.Errorf("%s by a stranger: got %d %s, want %d", name, r.status, r.text, want)
			}
			if r := send(name, worker, id, did); r.status != 403 {
				t.Errorf("%s by the worker: got %d %s, want 403", name, r.status, r.text)
			}
		case "parties", "worker":
			if r := send(name, stranger, id, did); r.status != 404 {
				t.Errorf("%s by a stranger: got %d %s, want 404", name, r.status, r.text)
			}
			if p.owner == "worker" {
				if r := send(name, publisher, id, did); r.status != 403 {
					t.Errorf("%s by the publisher: got %d %s, want 403", name, r.status, r.text)
				}
			}
		case "owner":
			if r := send(name, stranger, id, did); r.status != 404 {
				t.Errorf("%s by a stranger: got %d %s, want 404", name, r.status, r.text)
			}
			if r := send(name, worker, id, did); r.status != 200 {
				t.Errorf("%s by its owner: got %d %s, want 200", name, r.status, r.text)
			}
		case "holder":
			if r := send(name, stranger, id, did); r.status != 409 {
				t.Errorf("%s by a stranger: got %d %s, want 409", name, r.status, r.text)
			}
		}
	}
	if l := s.call(t, stranger, "GET", "/api/v1/agent/tasks/"+id+"/deliveries", nil); l.status != 200 || strings.Contains(l.text, did) {
		t.Errorf("a stranger sees deliveries: %s", l.text)
	}
	if d := s.call(t, publisher, "GET", "/api/v1/agent/tasks/"+id+"/deliveries/"+did, nil); d.at("state") != "pending" {
		t.Errorf("after all refusals the delivery is %v, want pending", d.at("state"))
	}
	// A delivery is only found under its own task.
	other := s.publish(t, publisher, 10)
	if r := s.call(t, publisher, "POST", "/api/v1/agent/tasks/"+other+"/deliveries/"+did+"/accept", nil); r.status != 404 {
		t.Errorf("accepting under another task got %d, want 404", r.status)
	}
	s.balanced(t)
}

// TestPolicyOfPagesHolds sends a stranger without a session to the log-in, and
// one with a session away from what is not theirs.
func TestPolicyOfPagesHolds(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, worker := s.register(t), s.register(t)
	id := s.publish(t, publisher, 10)
	did := s.deliver(t, worker, id)
	oid := s.order(t, worker)
	nobody := s.browser(t)
	stranger, _ := s.human(t)
	owner, _ := s.human(t)
	hid := owner.bundle(t, "/console/bundles/new", nil).id
	const absent = "01a20b77-e936-75e9-8ee4-5120c30a9cda"
	for name, p := range policies {
		method, path, _ := strings.Cut(name, " ")
		if strings.HasPrefix(path, "/api/") || handlers.IsDocument(path) || path == "/mcp" {
			continue
		}
		send := func(b *browser, id, did string) screen {
			var form url.Values
			if method == "POST" {
				form = url.Values{"reason": {"No."}, "rule": {"tidy"}, "idempotencyKey": {unique("k")}}
			}
			// A key opens no page.
			return b.send(t, method, strings.NewReplacer(":id", id, ":did", did, ":oid", oid, ":hid", hid, ":rid", absent, ":gid", absent, ":aid", absent, ":sid", absent, ":pid", absent, ":wid", absent, ":wdid", absent, ":handle", "nobody-here", ":agent", "nobody-here", ":sha256", strings.Repeat("ab", 32)).Replace(path), form, "Authorization", "Bearer "+publisher)
		}
		if p.auth == "operator" {
			if got := send(stranger, id, did); got.status != 403 {
				t.Errorf("%s by somebody who is no operator: got %d, want 403", name, got.status)
			}
			continue
		}
		if p.auth == "session" {
			got := send(nobody, id, did)
			if wantsLogIn := got.doc.Find(`form[action="/login"]`).Length() == 1; !wantsLogIn || (method == "POST") != (got.status == 401) {
				t.Errorf("%s without a session: got %d at %s, want the log-in", name, got.status, got.path)
			}
		}
		if strings.Contains(path, ":") {
			if got := send(stranger, absent, absent); got.status != 404 {
				t.Errorf("%s on nothing: got %d, want 404", name, got.status)
			}
		}
		want := 0
		switch {
		case p.owner == "parties", p.owner == "owner", strings.Contains(path, ":did"):
			want = 404
		case p.owner == "publisher":
			want = 403
		}
		if want == 0 {
			continue // open to all; and a stranger who logs out is no longer one
		}
		if got := send(stranger, id, did); got.status != want {
			t.Errorf("%s by a stranger: got %d, want %d", name, got.status, want)
		}
	}
	if d := s.call(t, publisher, "GET", "/api/v1/agent/tasks/"+id+"/deliveries/"+did, nil); d.at("state") != "pending" {
		t.Errorf("after all refusals the delivery is %v, want pending", d.at("state"))
	}
	// A session opens no programs' route.
	if got := stranger.get(t, "/api/v1/agent/me"); got.status != 401 {
		t.Errorf("a session got %d from the API, want 401", got.status)
	}
	s.balanced(t)
}

// TestPolicyOfScopesHolds shows every key route a key with all scopes but
// those that it takes, and one with these alone: an agent's and a bundle's.
func TestPolicyOfScopesHolds(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	agent := s.register(t)
	_, handle := s.human(t)
	a, err := s.store.AccountByHandle(t.Context(), handle)
	if err != nil {
		t.Fatal(err)
	}
	owner := store.Caller{Actor: market.Actor{Account: a.ID, Kind: a.Kind, Handle: a.Handle}}
	s.policyOfScopes(t, func(list []string) string {
		return s.want(t, 201, s.call(t, agent, "POST", "/api/v1/agent/keys", map[string]any{"name": "scoped", "scopes": list})).at("apiKey").(string)
	})
	s.policyOfScopes(t, func(list []string) string {
		d := market.BundleDraft{Name: "scoped", SpendCap: 1000, ExpiresAt: time.Now().Add(time.Hour), WithKey: true}
		for _, sc := range list {
			d.Scopes = append(d.Scopes, market.Scope(sc))
		}
		_, key, err := s.store.NewBundle(t.Context(), owner, d)
		if err != nil {
			t.Fatal(err)
		}
		return key
	})
}

func (s *server) policyOfScopes(t *testing.T, newKey func([]string) string) {
	const absent = "01a20b77-e936-75e9-8ee4-5120c30a9cda"
	made := map[string]string{}
	keyWith := func(which func(string) bool) string {
		var list []string
		for _, sc := range market.Scopes() {
			if which(string(sc)) {
				list = append(list, string(sc))
			}
		}
		name := strings.Join(list, " ")
		if made[name] == "" {
			made[name] = newKey(list)
		}
		return made[name]
	}
	for name, p := range policies {
		if p.auth != "key" {
			continue
		}
		method, path, _ := strings.Cut(name, " ")
		path = strings.NewReplacer(":id", absent, ":did", absent, ":oid", absent, ":rid", absent, ":keyId", absent, ":bcid", absent, ":bindingId", absent, ":wid", absent, ":wdid", absent, ":sha256", strings.Repeat("ab", 32)).Replace(path)
		send := func(key string) reply {
			var body any
			if p.body {
				body = bodies[name]
			}
			return s.call(t, key, method, path, body, "Idempotency-Key", unique("k"))
		}
		wanted := strings.Fields(scopes[name])
		lacking := send(keyWith(func(sc string) bool { return !slices.Contains(wanted, sc) }))
		named, _ := lacking.at("scope").(string)
		if lacking.status != 403 || lacking.code() != "scope_missing" || named != strings.Join(wanted, " or ") || !strings.Contains(lacking.at("detail").(string), named) {
			t.Errorf("%s without its scope: got %d %s", name, lacking.status, lacking.text)
		}
		if strings.HasSuffix(name, "/stream") {
			continue // it has no end: TestFeedStream
		}
		for _, sc := range wanted {
			// A webhook tells of what its key may read: of something.
			also := map[string]string{"POST /api/v1/agent/webhooks": string(market.TasksRead)}[name]
			if r := send(keyWith(func(one string) bool { return one == sc || one == also })); r.code() == "scope_missing" || r.status == 401 {
				t.Errorf("%s with %s: got %d %s", name, sc, r.status, r.text)
			}
		}
	}
}
