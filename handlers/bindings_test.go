package handlers_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"guildhall/handlers"
	"guildhall/market"
	"guildhall/store"
)

const (
	codesAt    = "/api/v1/agent/bind-codes"
	bindingsAt = "/api/v1/agent/bindings"
	agentsAt   = "/console/agents"
)

func (s *server) mint(t testing.TB, key string) string {
	t.Helper()
	return s.want(t, 201, s.call(t, key, "POST", codesAt, nil)).at("code").(string)
}

// bind makes an agent that the human manages.
func (s *server) bind(t testing.TB, human *browser) (key, handle string) {
	t.Helper()
	key = s.register(t)
	handle = s.handle(t, key)
	s.bindKey(t, human, key)
	return key, handle
}

func (s *server) bindKey(t testing.TB, human *browser, key string) {
	t.Helper()
	confirm := human.submit(t, human.get(t, agentsAt), agentsAt+"/check", url.Values{"code": {s.mint(t, key)}}).want(t, 200, agentsAt+"/check")
	human.submit(t, confirm, agentsAt, nil).want(t, 200, agentsAt+"/"+s.handle(t, key))
}

// typed sends a code as the confirmed form does, and returns the status with
// the code of the refusal's first field.
func (b *browser) typed(t testing.TB, code string) screen {
	t.Helper()
	return b.send(t, "POST", agentsAt, url.Values{"code": {code}})
}

// events are the types of the account's feed, oldest first.
func (s *server) toldTo(t testing.TB, handle string) string {
	t.Helper()
	var types []string
	if err := s.store.DB().Select(&types, `SELECT e.type FROM account_events e JOIN accounts a ON a.id = e.account_id
		WHERE a.handle = $1 AND e.type LIKE 'binding.%' ORDER BY e.xid, e.id`, handle); err != nil {
		t.Fatal(err)
	}
	return strings.Join(types, " ")
}

// row is all that the tables hold of an account itself.
func (s *server) row(t testing.TB, handle string) string {
	t.Helper()
	var out string
	if err := s.store.DB().Get(&out, `
		SELECT concat_ws(E'\n', a::text, w::text,
			(SELECT string_agg(k::text, E'\n' ORDER BY k.id) FROM api_keys k WHERE k.account_id = a.id),
			(SELECT string_agg(r::text, E'\n' ORDER BY r.role, r.skill) FROM reputations r WHERE r.account_id = a.id),
			(SELECT string_agg(x::text, E'\n' ORDER BY x.id) FROM transfers x WHERE x.account_id = a.id))
		FROM accounts a JOIN wallets w ON w.account_id = a.id WHERE a.handle = $1`, handle); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestBinding binds an agent as its human does, and finds nothing of either
// account changed by it.
func TestBinding(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	key := s.register(t)
	handle := s.handle(t, key)
	id := s.publish(t, s.register(t), 10)
	s.deliver(t, key, id)
	human, name := s.human(t)
	minted := s.want(t, 201, s.call(t, key, "POST", codesAt, nil, "Idempotency-Key", "once"))
	code := minted.at("code").(string)
	if !regexp.MustCompile(`^[B-DF-HJ-NP-TV-XZ]{4}-[B-DF-HJ-NP-TV-XZ]{4}$`).MatchString(code) || minted.at("expiresIn") != 600.0 || minted.at("interval") != 5.0 ||
		minted.at("verificationUri") != "http://test/console/agents" || minted.at("state") != "pending" {
		t.Errorf("minted %s", minted.text)
	}
	again := s.call(t, key, "POST", codesAt, nil, "Idempotency-Key", "once")
	if again.status != 409 || again.code() != "already_done" || again.at("bindCode.id") != minted.at("id") || strings.Contains(again.text, code) {
		t.Errorf("a retry: %d %s", again.status, again.text)
	}
	var stored int
	if err := s.store.DB().Get(&stored, `SELECT (SELECT count(*) FROM bind_codes c WHERE c::text LIKE '%' || $1 || '%') + (SELECT count(*) FROM idempotency i WHERE convert_from(i.answer, 'UTF8') LIKE '%' || $1 || '%')`, code); err != nil || stored != 0 {
		t.Errorf("the code stands in %d rows, %v", stored, err)
	}
	poll := codesAt + "/" + minted.at("id").(string)
	if r := s.want(t, 200, s.call(t, key, "GET", poll, nil)); r.at("state") != "pending" || r.at("binding") != nil || strings.Contains(r.text, code) {
		t.Errorf("polled %s", r.text)
	}
	if r := s.call(t, key, "GET", poll, nil); r.status != 429 || r.code() != "slow_down" || r.header.Get("Retry-After") == "" {
		t.Errorf("polled at once again: %d %s", r.status, r.text)
	}
	if r := s.call(t, s.register(t), "GET", poll, nil); r.status != 404 {
		t.Errorf("another agent polls: %d %s", r.status, r.text)
	}

	before := s.row(t, handle) + s.row(t, name)
	human.get(t, agentsAt).want(t, 200, agentsAt).says(t, ".empty", "You manage no agent")
	typed := strings.ToLower(strings.ReplaceAll(code, "-", " "))
	confirm := human.submit(t, human.get(t, agentsAt), agentsAt+"/check", url.Values{"code": {typed}}).want(t, 200, agentsAt+"/check")
	confirm.says(t, "main", handle)
	confirm.says(t, "main", minted.at("fingerprint").(string))
	confirm.says(t, "main", market.KeyHint(key))
	if strings.Contains(confirm.text, key) {
		t.Error("the page shows the key")
	}
	if got := s.toldTo(t, handle); got != "" {
		t.Errorf("looking told %s", got)
	}
	page := human.submit(t, confirm, agentsAt, nil).want(t, 200, agentsAt+"/"+handle)
	page.says(t, "#flash", "You manage "+handle)
	page.says(t, ".strip", "1,000")
	if after := s.row(t, handle) + s.row(t, name); after != before {
		t.Errorf("the binding changed accounts, wallets, keys or reputations:\n%s\n\n%s", before, after)
	}
	if a, b := s.toldTo(t, handle), s.toldTo(t, name); a != "binding.confirmed" || b != a {
		t.Errorf("the agent was told %q, the human %q", a, b)
	}
	human.get(t, agentsAt).says(t, ".tasks", handle)
	time.Sleep(5 * time.Second)
	done := s.want(t, 200, s.call(t, key, "GET", poll, nil))
	if done.at("state") != "confirmed" || done.at("binding.manager") != name || done.at("binding.paused") != false {
		t.Errorf("polled %s", done.text)
	}
	// The same form again leads to the same place, and binds nothing twice.
	human.submit(t, confirm, agentsAt, nil).want(t, 200, agentsAt+"/"+handle)
	list := s.want(t, 200, s.call(t, key, "GET", bindingsAt, nil))
	if items := list.at("items").([]any); len(items) != 1 || list.at("items.0.agent") != handle || list.at("items.0.endedAt") != nil {
		t.Errorf("bindings %s", list.text)
	}
	if me := s.call(t, key, "GET", "/api/v1/agent/me", nil); me.at("binding.manager") != name || me.at("paused") != false {
		t.Errorf("me %s", me.text)
	}
	s.balanced(t)
}

// TestBindingIsRefused types codes that are guessed, used, replaced, expired,
// crosswise, and of who may not be bound.
func TestBindingIsRefused(t *testing.T) {
	t.Parallel()
	var ahead time.Duration
	s := newServerOf(t, func(o *store.Options) { o.Now = func() time.Time { return time.Now().Add(ahead) } })
	one, oneName := s.human(t)
	two, _ := s.human(t)
	refused := func(who *browser, code, want string) {
		t.Helper()
		for _, path := range []string{agentsAt + "/check", agentsAt} {
			p := who.send(t, "POST", path, url.Values{"code": {code}})
			p.says(t, ".error-summary", want)
			if p.status == 200 {
				t.Errorf("%s at %s is taken", code, path)
			}
		}
	}
	a, b := s.register(t), s.register(t)
	for _, guess := range []string{"", "BCDF-GHJK", "BCDFGHJ", "AEIO-UYAE", strings.Repeat("B", 9), "<script>"} {
		refused(one, guess, "There is no such code")
	}
	first := s.mint(t, a)
	codeA, codeB := s.mint(t, a), s.mint(t, b)
	refused(one, first, "made a newer code")
	// Crosswise: each binds one, then both type the other's.
	one.typed(t, codeA).want(t, 200, agentsAt+"/"+s.handle(t, a))
	two.typed(t, codeB).want(t, 200, agentsAt+"/"+s.handle(t, b))
	for code, who := range map[string]*browser{codeA: two, codeB: one} {
		refused(who, code, "was used before")
	}
	refused(one, codeA, "was used before")
	refused(two, s.mint(t, a), "manages this agent already")
	refused(one, s.mint(t, a), "manages this agent already")

	c := s.register(t)
	late := s.mint(t, c)
	ahead = 10*time.Minute + time.Second
	refused(one, late, "no longer valid")
	ahead = 0
	// A code of a key that is revoked is no consent any more.
	second := s.want(t, 201, s.call(t, c, "POST", keysAt, `{"name":"b"}`))
	stolen := s.mint(t, second.at("apiKey").(string))
	s.want(t, 200, s.call(t, c, "DELETE", keysAt+"/"+second.at("key.id").(string), nil))
	refused(one, stolen, "no longer valid")
	// Suspended.
	halted := s.mint(t, c)
	judge := s.operatorKey(t)
	s.want(t, 200, s.call(t, judge, "POST", "/api/v1/admin/accounts/"+s.account(t, c)+"/suspend", map[string]any{"reason": "x"}))
	refused(one, halted, "not active")
	// Live work, either way, also with another agent of the party.
	d := s.register(t)
	own := one.publishForm(t, nil)
	did := s.deliver(t, d, strings.TrimPrefix(own.path, "/tasks/"))
	code := s.mint(t, d)
	refused(one, code, "have work with each other")
	two.typed(t, code).want(t, 200, agentsAt+"/"+s.handle(t, d)) // not with this one
	s.want(t, 200, s.call(t, d, "DELETE", bindingsAt+"/"+s.call(t, d, "GET", bindingsAt, nil).at("items.0.id").(string), nil))
	one.submit(t, one.get(t, own.path), own.path+"/deliveries/"+did+"/accept", nil).want(t, 200, own.path)
	e := s.register(t)
	s.claim(t, a, s.publish(t, e, 10))
	refused(one, s.mint(t, e), "have work with each other")
	// Keys that may not mint: scoped ones, and keys of people.
	scoped := s.want(t, 201, s.call(t, d, "POST", keysAt, map[string]any{"name": "x", "scopes": []string{"tasks:read"}})).at("apiKey").(string)
	if r := s.call(t, scoped, "POST", codesAt, nil); r.status != 403 || r.code() != "scope_missing" {
		t.Errorf("a scoped key mints: %d %s", r.status, r.text)
	}
	if _, err := s.store.DB().Exec(`UPDATE accounts SET approved_at = NULL WHERE handle = $1`, oneName); err != nil {
		t.Fatal(err)
	}
	refused(one, s.mint(t, d), "approval")
	if got := s.toldTo(t, oneName); got != "binding.confirmed" {
		t.Errorf("in the end the human was told %q", got)
	}
}

func TestBindCodesAreThrottled(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(o *handlers.Options) { o.RateLimits = true })
	key := s.register(t)
	code := s.mint(t, key)
	human, _ := s.human(t)
	var last screen
	for range 11 {
		last = human.typed(t, "BCDF-GHJK")
	}
	if last.status != 429 || last.header.Get("Retry-After") == "" {
		t.Errorf("the eleventh guess got %d", last.status)
	}
	if p := human.typed(t, code); p.status != 429 {
		t.Errorf("then the right code got %d", p.status)
	}
	// Whoever has many accounts comes from one address.
	for range 3 {
		other, _ := s.human(t)
		for range 10 {
			last = other.typed(t, "BCDF-GHJK")
		}
	}
	if last.status != 429 {
		t.Errorf("the fortieth guess from an address got %d", last.status)
	}
	var bad reply
	for range 40 {
		bad = s.call(t, "", "POST", "/api/v1/agent/recover", map[string]any{"grant": market.NewKey(market.RecoveryPrefix)})
	}
	if bad.status != 429 {
		t.Errorf("guesses at grants got %d", bad.status)
	}
}

// TestBindingEndsFromTheAgent, and by nobody else.
func TestBindingEndsFromTheAgent(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	human, name := s.human(t)
	key, handle := s.bind(t, human)
	id := s.call(t, key, "GET", bindingsAt, nil).at("items.0.id").(string)
	if r := s.call(t, s.register(t), "DELETE", bindingsAt+"/"+id, nil); r.status != 404 {
		t.Errorf("a stranger: %d %s", r.status, r.text)
	}
	ended := s.want(t, 200, s.call(t, key, "DELETE", bindingsAt+"/"+id, nil, "Idempotency-Key", "end"))
	if ended.at("endedBy") != "agent" || ended.at("endedAt") == nil {
		t.Errorf("ended %s", ended.text)
	}
	if r := s.want(t, 200, s.call(t, key, "DELETE", bindingsAt+"/"+id, nil, "Idempotency-Key", "end")); r.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a retry: %s", r.text)
	}
	if r := s.call(t, key, "DELETE", bindingsAt+"/"+id, nil); r.status != 409 || r.code() != "already_done" {
		t.Errorf("ended twice: %d %s", r.status, r.text)
	}
	if p := human.get(t, agentsAt+"/"+handle); p.status != 404 {
		t.Errorf("the manager's page is %d", p.status)
	}
	if got := s.toldTo(t, name); got != "binding.confirmed binding.ended" {
		t.Errorf("the human was told %q", got)
	}
	var data string
	if err := s.store.DB().Get(&data, `SELECT data::text FROM account_events WHERE type = 'binding.ended' LIMIT 1`); err != nil || !json.Valid([]byte(data)) || !strings.Contains(data, `"by": "agent"`) {
		t.Errorf("the event says %s, %v", data, err)
	}
	s.bindKey(t, human, key) // and again
}

// TestRacesOfBindings: two humans with one code, many recoveries with one
// grant, keys made while an agent is recovered, spending under a limit.
func TestRacesOfBindings(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	humans := make([]*browser, 8)
	for i := range humans {
		humans[i], _ = s.human(t)
	}
	live := func(handle string) (n int) {
		t.Helper()
		if err := s.store.DB().Get(&n, `SELECT count(*) FROM bindings b JOIN accounts a ON a.id = b.agent_id WHERE a.handle = $1 AND b.ended_at IS NULL`, handle); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range 3 {
		key := s.register(t)
		code := s.mint(t, key)
		got := race(len(humans), func(i int) reply {
			p := humans[i].typed(t, code)
			return reply{status: p.status, text: p.text}
		})
		if got["200"] != 1 || got["409"] != len(humans)-1 || live(s.handle(t, key)) != 1 {
			t.Errorf("one code typed by %d got %v", len(humans), got)
		}
		if a := s.toldTo(t, s.handle(t, key)); a != "binding.confirmed" {
			t.Errorf("the agent was told %q", a)
		}
	}
	// Codes made and typed at once: never two managers.
	key := s.register(t)
	handle := s.handle(t, key)
	race(16, func(i int) reply {
		r := s.call(t, key, "POST", codesAt, nil)
		if code, ok := r.at("code").(string); ok {
			humans[i%len(humans)].typed(t, code)
		}
		return r
	})
	if n := live(handle); n > 1 {
		t.Errorf("the agent has %d managers", n)
	}

	key, handle = s.bind(t, humans[0])
	grant := s.grant(t, humans[0], handle)
	got := race(20, func(int) reply {
		return s.call(t, "", "POST", "/api/v1/agent/recover", map[string]any{"grant": grant})
	})
	if got["201"] != 1 || got["409grant_used"] != 19 {
		t.Errorf("20 recoveries got %v", got)
	}
	// Who has a stolen key makes more of them until the last moment.
	for range 5 {
		key, handle = s.bind(t, humans[0])
		grant = s.grant(t, humans[0], handle)
		got = race(12, func(i int) reply {
			if i == 6 {
				return s.call(t, "", "POST", "/api/v1/agent/recover", map[string]any{"grant": grant})
			}
			return s.call(t, key, "POST", keysAt, `{"name":"x"}`)
		})
		var n int
		if err := s.store.DB().Get(&n, `SELECT count(*) FROM api_keys k JOIN accounts a ON a.id = k.account_id WHERE a.handle = $1 AND k.revoked_at IS NULL`, handle); err != nil || n != 1 {
			t.Errorf("%v left %d keys, %v", got, n, err)
		}
	}

	key, handle = s.bind(t, humans[0])
	humans[0].send(t, "POST", agentsAt+"/"+handle+"/limit", url.Values{"limit": {"100"}}).want(t, 200, agentsAt+"/"+handle)
	got = race(30, func(i int) reply {
		return s.call(t, key, "POST", "/api/v1/agent/tasks", task(30), "Idempotency-Key", fmt.Sprint("limit-", i))
	})
	if got["201"] != 3 || got["403spend_cap_exceeded"] != 27 {
		t.Errorf("30 times 30 of 100 got %v", got)
	}
	s.balanced(t)
}

// TestOperatorsSeeBindings in the files of both sides.
func TestOperatorsSeeBindings(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	human, name := s.human(t)
	key, handle := s.bind(t, human)
	me, err := s.store.AccountByHandle(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	judge, judgeName := s.human(t)
	if err := s.store.SetOperator(t.Context(), judgeName, true); err != nil {
		t.Fatal(err)
	}
	for id, other := range map[string]string{s.account(t, key): name, string(me.ID): handle} {
		judge.get(t, "/admin/accounts/"+id).says(t, ".task-rail .facts", other)
		if r := s.call(t, s.operatorKey(t), "GET", "/api/v1/admin/accounts/"+id, nil); r.at("bindings.0.manager") != name || r.at("bindings.0.agent") != handle {
			t.Errorf("the file of %s: %s", id, r.text)
		}
	}
}

// TestOnePartyOverHTTP: what an agent is told at its own party's tasks, with
// what was read along with its key and without.
func TestOnePartyOverHTTP(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	human, _ := s.human(t)
	a, _ := s.bind(t, human)
	b, _ := s.bind(t, human)
	exclusive := strings.TrimPrefix(human.publishForm(t, nil).path, "/tasks/")
	for name, id := range map[string]string{"its manager's task": exclusive, "its sister's": s.publish(t, b, 5)} {
		if r := s.call(t, a, "POST", "/api/v1/agent/tasks/"+id+"/claim", nil); r.status != 403 || r.code() != "one_party" {
			t.Errorf("a claim on %s: %d %s", name, r.status, r.text)
		}
	}
	open := s.openTask(t, b, 5, 2)
	delivery := map[string]any{"output": map[string]any{"sum": 3}, "summaryText": "Added."}
	if r := s.call(t, a, "POST", "/api/v1/agent/tasks/"+open+"/deliveries", delivery); r.status != 403 || r.code() != "one_party" {
		t.Errorf("a delivery to its sister: %d %s", r.status, r.text)
	}
	if r := s.call(t, b, "POST", "/api/v1/agent/tasks/"+open+"/deliveries", delivery); r.code() != "own_task" {
		t.Errorf("a delivery to itself: %d %s", r.status, r.text)
	}
	if page := human.get(t, "/tasks/"+exclusive); page.doc.Find(".task-head .state-ok").Length() != 1 {
		t.Errorf("after all refusals the task is %s", page.doc.Find(".task-head").Text())
	}
}

// TestRoundTripsOfBoundAgents: a manager, a limit and a party cost no round
// trip.
func TestRoundTripsOfBoundAgents(t *testing.T) {
	s := newServer(t)
	one, _ := s.human(t)
	two, _ := s.human(t)
	publisher, handle := s.bind(t, one)
	worker, _ := s.bind(t, two)
	one.send(t, "POST", agentsAt+"/"+handle+"/limit", url.Values{"limit": {"100"}}).want(t, 200, agentsAt+"/"+handle)
	measure := func(name string, want int64, f func()) {
		before := s.trips.n.Load()
		f()
		if got := s.trips.n.Load() - before; got != want {
			t.Errorf("%s took %d round trips, want %d", name, got, want)
		}
	}
	for range 2 {
		var id, delivery string
		var claim reply
		measure("publish", 2, func() { id = s.publish(t, publisher, 10) })
		measure("claim", 2, func() { claim = s.claim(t, worker, id) })
		base := "/api/v1/agent/tasks/" + id + "/deliveries"
		measure("deliver", 2, func() { delivery = s.want(t, 201, s.call(t, worker, "POST", base, pack(claim, 3))).at("id").(string) })
		measure("accept", 2, func() { s.want(t, 200, s.call(t, publisher, "POST", base+"/"+delivery+"/accept", nil)) })
		open := s.openTask(t, publisher, 5, 1)
		measure("deliver in open mode", 2, func() { s.deliverOpen(t, worker, open) })
	}
}
