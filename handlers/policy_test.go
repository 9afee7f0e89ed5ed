package handlers_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"guildhall/handlers"
	"guildhall/market"
)

// policy is what each route promises, written apart from the route table: a
// route that is missing here, or says otherwise there, fails.
type policy struct {
	auth  string // public, key, session
	once  string // ignored, honoured, required
	body  bool
	owner string // "": no object; all: everybody who is known; parties: publisher and worker; owner: whose order it is; publisher, worker: the role
}

var sitePolicies = map[string]policy{
	"GET /":                                  {"public", "ignored", false, ""},
	"GET /market":                            {"public", "ignored", false, ""},
	"GET /market/skills":                     {"public", "ignored", false, ""},
	"GET /leaderboard":                       {"public", "ignored", false, ""},
	"GET /register":                          {"public", "ignored", false, ""},
	"POST /register":                         {"public", "ignored", true, ""},
	"GET /login":                             {"public", "ignored", false, ""},
	"POST /login":                            {"public", "ignored", true, ""},
	"POST /logout":                           {"public", "ignored", false, ""},
	"POST /preferences":                      {"public", "ignored", true, ""},
	"GET /tasks/new":                         {"session", "ignored", false, ""},
	"POST /tasks/new":                        {"session", "ignored", true, ""},
	"POST /tasks":                            {"session", "required", true, ""},
	"GET /tasks/:id":                         {"public", "ignored", false, "all"},
	"GET /tasks/:id/timeline":                {"public", "ignored", false, "all"},
	"GET /tasks/:id/events":                  {"public", "ignored", false, "all"},
	"POST /tasks/:id/thread":                 {"session", "honoured", true, "publisher"},
	"POST /tasks/:id/report":                 {"session", "honoured", true, "all"},
	"POST /tasks/:id/cancel":                 {"session", "honoured", false, "publisher"},
	"GET /tasks/:id/review":                  {"session", "ignored", false, "publisher"},
	"GET /tasks/:id/deliveries/:did":         {"session", "ignored", false, "parties"},
	"POST /tasks/:id/deliveries/:did/accept": {"session", "honoured", false, "publisher"},
	"POST /tasks/:id/deliveries/:did/reject": {"session", "honoured", true, "publisher"},
	"POST /tasks/:id/deliveries/:did/object": {"session", "honoured", true, "publisher"},
	"GET /docs/states":                       {"public", "ignored", false, ""},
	"POST /wallet/vouchers":                  {"session", "required", true, ""},
	"GET /attachments/:sha256":               {"public", "ignored", false, "all"},
	"GET /agents/:handle":                    {"public", "ignored", false, "all"},
	"GET /settings":                          {"session", "ignored", false, ""},
	"POST /settings":                         {"session", "ignored", true, ""},
	"POST /settings/password":                {"session", "ignored", true, ""},
	"GET /console":                           {"session", "ignored", false, ""},
	"GET /wallet/entries.csv":                {"session", "ignored", false, ""},
	"GET /referrals":                         {"session", "ignored", false, ""},
	"GET /wallet":                            {"session", "ignored", false, ""},
	"GET /redeem":                            {"session", "ignored", false, ""},
	"GET /redeem/orders":                     {"session", "ignored", false, ""},
	"POST /redeem/orders":                    {"session", "required", true, ""},
	"GET /redeem/orders/:oid":                {"session", "ignored", false, "owner"},
	"POST /redeem/orders/:oid/reveal":        {"session", "ignored", true, "owner"},
	"GET /goods/:gid/picture":                {"public", "ignored", false, "all"},
	"POST /redeem/orders/:oid/dispute":       {"session", "honoured", true, "owner"},

	"GET /api/v1/health": {"public", "ignored", false, ""},
	"POST /api/v1/agent/tasks/:id/deliveries/:did/appeal": {"key", "honoured", true, "worker"},
	"POST /api/v1/agent/tasks/:id/deliveries/:did/object": {"key", "honoured", true, "publisher"},
	"GET /api/v1/state-machine":                           {"public", "ignored", false, ""},
	"GET /api/v1/agent/catalog":                           {"key", "ignored", false, ""},
	"GET /api/v1/agent/redemptions":                       {"key", "ignored", false, ""},
	"POST /api/v1/agent/redemptions":                      {"key", "required", true, ""},
	"GET /api/v1/agent/redemptions/:oid":                  {"key", "ignored", false, "owner"},
	"POST /api/v1/agent/redemptions/:oid/reveal":          {"key", "ignored", false, "owner"},
	"POST /api/v1/agent/redemptions/:oid/dispute":         {"key", "honoured", true, "owner"},
	"GET /api/v1/market/tasks":                            {"public", "ignored", false, ""},
	"GET /api/v1/market/tasks/:id":                        {"public", "ignored", false, "all"},
	"GET /api/v1/market/tasks/:id/thread":                 {"public", "ignored", false, "all"},
	"GET /api/v1/market/tasks/:id/timeline":               {"public", "ignored", false, "all"},
	"POST /api/v1/market/tasks/:id/report":                {"key", "honoured", true, "all"},
	"GET /api/v1/market/stats":                            {"public", "ignored", false, ""},
	"GET /api/v1/market/skills":                           {"public", "ignored", false, ""},
	"GET /api/v1/leaderboard":                             {"public", "ignored", false, ""},
	"GET /api/v1/accounts/:handle":                        {"public", "ignored", false, "all"},
	"POST /api/v1/agents/register":                        {"public", "ignored", true, ""},
	"GET /api/v1/agent/me":                                {"key", "ignored", false, ""},
	"PATCH /api/v1/agent/me":                              {"key", "ignored", true, ""},
	"GET /api/v1/agent/keys":                              {"key", "ignored", false, ""},
	"POST /api/v1/agent/keys":                             {"key", "honoured", true, ""},
	"DELETE /api/v1/agent/keys/:keyId":                    {"key", "honoured", false, ""},
	"POST /api/v1/agent/keys/:keyId/rotate":               {"key", "honoured", false, ""},
	"GET /api/v1/agent/wallet":                            {"key", "ignored", false, ""},
	"GET /api/v1/agent/wallet/entries":                    {"key", "ignored", false, ""},
	"POST /api/v1/agent/vouchers/redeem":                  {"key", "required", true, ""},
	"GET /api/v1/agent/referral":                          {"key", "ignored", false, ""},
	"POST /api/v1/agent/attachments":                      {"key", "ignored", false, ""},
	"GET /api/v1/agent/attachments/:sha256":               {"key", "ignored", false, "all"},
	"GET /api/v1/agent/tasks":                             {"key", "ignored", false, ""},
	"POST /api/v1/agent/tasks":                            {"key", "required", true, ""},
	"POST /api/v1/agent/tasks/check":                      {"key", "ignored", true, ""},
	"POST /api/v1/agent/tasks/:id/check":                  {"key", "ignored", true, "all"},
	"GET /api/v1/agent/tasks/:id":                         {"key", "ignored", false, "all"},
	"POST /api/v1/agent/tasks/:id/cancel":                 {"key", "honoured", false, "publisher"},
	"POST /api/v1/agent/tasks/:id/claim":                  {"key", "honoured", false, "all"},
	"POST /api/v1/agent/tasks/:id/claim/renew":            {"key", "honoured", false, "holder"},
	"DELETE /api/v1/agent/tasks/:id/claim":                {"key", "honoured", false, "holder"},
	"GET /api/v1/agent/tasks/:id/timeline":                {"key", "ignored", false, "all"},
	"GET /api/v1/agent/tasks/:id/thread":                  {"key", "ignored", false, "all"},
	"POST /api/v1/agent/tasks/:id/thread":                 {"key", "honoured", true, "all"},
	"GET /api/v1/agent/tasks/:id/deliveries":              {"key", "ignored", false, "all"},
	"POST /api/v1/agent/tasks/:id/deliveries":             {"key", "honoured", true, "holder"},
	"GET /api/v1/agent/tasks/:id/deliveries/:did":         {"key", "ignored", false, "parties"},
	"DELETE /api/v1/agent/tasks/:id/deliveries/:did":      {"key", "honoured", false, "worker"},
	"POST /api/v1/agent/tasks/:id/deliveries/:did/accept": {"key", "honoured", false, "publisher"},
	"POST /api/v1/agent/tasks/:id/deliveries/:did/reject": {"key", "honoured", true, "publisher"},
}

// scopes are those that each let a key with scopes in. A key route that is
// missing here takes a key without scopes.
var scopes = map[string]string{
	"POST /api/v1/market/tasks/:id/report":                "thread:write",
	"GET /api/v1/agent/me":                                "tasks:read",
	"GET /api/v1/agent/wallet":                            "wallet:read",
	"GET /api/v1/agent/wallet/entries":                    "wallet:read",
	"GET /api/v1/agent/referral":                          "wallet:read",
	"POST /api/v1/agent/attachments":                      "tasks:publish deliveries:write",
	"GET /api/v1/agent/attachments/:sha256":               "tasks:read",
	"GET /api/v1/agent/tasks":                             "tasks:read",
	"POST /api/v1/agent/tasks":                            "tasks:publish",
	"POST /api/v1/agent/tasks/check":                      "tasks:publish",
	"GET /api/v1/agent/tasks/:id":                         "tasks:read",
	"POST /api/v1/agent/tasks/:id/check":                  "deliveries:write",
	"POST /api/v1/agent/tasks/:id/cancel":                 "tasks:publish",
	"POST /api/v1/agent/tasks/:id/claim":                  "claims:write",
	"POST /api/v1/agent/tasks/:id/claim/renew":            "claims:write",
	"DELETE /api/v1/agent/tasks/:id/claim":                "claims:write",
	"GET /api/v1/agent/tasks/:id/timeline":                "tasks:read",
	"GET /api/v1/agent/tasks/:id/thread":                  "tasks:read",
	"POST /api/v1/agent/tasks/:id/thread":                 "thread:write",
	"GET /api/v1/agent/tasks/:id/deliveries":              "tasks:read",
	"POST /api/v1/agent/tasks/:id/deliveries":             "deliveries:write",
	"GET /api/v1/agent/tasks/:id/deliveries/:did":         "tasks:read",
	"DELETE /api/v1/agent/tasks/:id/deliveries/:did":      "deliveries:write",
	"POST /api/v1/agent/tasks/:id/deliveries/:did/accept": "tasks:review",
	"POST /api/v1/agent/tasks/:id/deliveries/:did/reject": "tasks:review",
	"POST /api/v1/agent/tasks/:id/deliveries/:did/appeal": "deliveries:write",
	"POST /api/v1/agent/tasks/:id/deliveries/:did/object": "tasks:review",
}

// bodies are valid ones, so that a refusal is about who asks.
var bodies = map[string]string{
	"POST /api/v1/admin/goods/:gid/withdraw":              `{"codes":"01a20b77-e936-75e9-8ee4-5120c30a9cda","reason":"x"}`,
	"POST /api/v1/admin/redemptions/:oid/settle":          `{"remedy":"refunded"}`,
	"POST /api/v1/agent/redemptions/:oid/dispute":         `{"text":"Used."}`,
	"POST /api/v1/admin/accounts/:aid/refuse":             `{"reason":"x"}`,
	"POST /api/v1/admin/invitations":                      `{"count":1,"uses":1,"days":1}`,
	"POST /api/v1/admin/accounts/:aid/suspend":            `{"reason":"x"}`,
	"POST /api/v1/admin/accounts/:aid/unsuspend":          `{"reason":"x"}`,
	"POST /api/v1/admin/accounts/:aid/adjust":             `{"amount":1,"class":"earned","reason":"x"}`,
	"POST /api/v1/agent/tasks/:id/deliveries":             `{"claimId":"00000000-0000-7000-8000-000000000000","epoch":0,"output":1,"summaryText":"x"}`,
	"POST /api/v1/agent/tasks/:id/deliveries/:did/reject": `{"reason":"no","rule":"tidy"}`,
	"POST /api/v1/agent/tasks/:id/thread":                 `{"text":"Hello."}`,
	"POST /api/v1/market/tasks/:id/report":                `{"reason":"spam"}`,
	"POST /api/v1/agent/tasks":                            `{}`,
	"POST /api/v1/agent/tasks/check":                      `{}`,
	"POST /api/v1/agent/tasks/:id/check":                  `{"output":1}`,
	"PATCH /api/v1/agent/me":                              `{}`,
	"POST /api/v1/agent/keys":                             `{"name":"x"}`,
	"POST /api/v1/agent/tasks/:id/deliveries/:did/appeal": `{"text":"unfair"}`,
	"POST /api/v1/agent/tasks/:id/deliveries/:did/object": `{"text":"bad"}`,
	"POST /api/v1/agent/redemptions":                      `{"goodId":"01a20b77-e936-75e9-8ee4-5120c30a9cda","price":1}`,
	"POST /api/v1/admin/redemptions/:oid/refuse":          `{"reason":"x"}`,
	"POST /api/v1/admin/goods":                            `{}`,
	"PUT /api/v1/admin/goods/:gid":                        `{}`,
	"POST /api/v1/admin/goods/:gid/codes":                 `{"csv":"x"}`,
	"POST /api/v1/admin/cases/:kid/decide":                `{"outcome":"upheld","note":"x"}`,
	"POST /api/v1/admin/vouchers":                         `{"amount":1,"class":"granted","count":1,"days":1}`,
	"POST /api/v1/agent/vouchers/redeem":                  `{"code":"GHV-BBBBB-BBBBB-BBBBB-BBBBB"}`,
	"POST /api/v1/admin/reports/:rid/decide":              `{"outcome":"dismissed","note":"x"}`,
}

// open lists what may be changed without a credential.
var open = map[string]bool{"POST /api/v1/agents/register": true, "POST /register": true, "POST /login": true, "POST /logout": true, "POST /preferences": true}

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
		if page := !strings.HasPrefix(r.Path, "/api/"); page != r.Page || (page && r.Auth == "key") || (!page && r.Auth == "session") {
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
		return strings.NewReplacer(":id", id, ":did", did, ":oid", order, ":keyId", absent, ":gid", absent, ":aid", absent, ":handle", "nobody-here", ":sha256", strings.Repeat("ab", 32)).Replace(path)
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
	const absent = "01a20b77-e936-75e9-8ee4-5120c30a9cda"
	for name, p := range policies {
		method, path, _ := strings.Cut(name, " ")
		if strings.HasPrefix(path, "/api/") {
			continue
		}
		send := func(b *browser, id, did string) screen {
			var form url.Values
			if method == "POST" {
				form = url.Values{"reason": {"No."}, "rule": {"tidy"}, "idempotencyKey": {unique("k")}}
			}
			// A key opens no page.
			return b.send(t, method, strings.NewReplacer(":id", id, ":did", did, ":oid", oid, ":gid", absent, ":aid", absent, ":handle", "nobody-here", ":sha256", strings.Repeat("ab", 32)).Replace(path), form, "Authorization", "Bearer "+publisher)
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
// those that it takes, and one with these alone.
func TestPolicyOfScopesHolds(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	owner := s.register(t)
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
			made[name] = s.want(t, 201, s.call(t, owner, "POST", "/api/v1/agent/keys", map[string]any{"name": "scoped", "scopes": list})).at("apiKey").(string)
		}
		return made[name]
	}
	for name, p := range policies {
		if p.auth != "key" {
			continue
		}
		method, path, _ := strings.Cut(name, " ")
		path = strings.NewReplacer(":id", absent, ":did", absent, ":oid", absent, ":keyId", absent, ":sha256", strings.Repeat("ab", 32)).Replace(path)
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
		for _, sc := range wanted {
			if r := send(keyWith(func(one string) bool { return one == sc })); r.code() == "scope_missing" || r.status == 401 {
				t.Errorf("%s with %s: got %d %s", name, sc, r.status, r.text)
			}
		}
	}
}
