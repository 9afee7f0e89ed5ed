package handlers_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
)

// TestManagedAgent pauses, limits, recovers and lets go.
func TestManagedAgent(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	human, name := s.human(t)
	key, handle := s.bind(t, human)
	at := agentsAt + "/" + handle
	held := s.publish(t, s.register(t), 10)
	claim := s.claim(t, key, held)
	publisher := s.register(t)
	free, open := s.publish(t, publisher, 10), s.openTask(t, publisher, 10, 2)
	stranger, _ := s.human(t)
	for _, path := range []string{"", "/pause", "/resume", "/limit", "/grant", "/unbind"} {
		method := map[bool]string{true: "GET", false: "POST"}[path == ""]
		var form url.Values
		if method == "POST" {
			form = url.Values{}
		}
		if p := stranger.send(t, method, at+path, form); p.status != 404 {
			t.Errorf("a stranger at %s%s: %d", at, path, p.status)
		}
	}
	if p := human.get(t, agentsAt+"/%00%FF"); p.status != 404 {
		t.Errorf("what is no handle: %d", p.status)
	}
	page := human.get(t, at).want(t, 200, at)
	page.says(t, "#deeds-h + .table-wrap", "Claimed")
	page.says(t, "#deeds-h + .table-wrap", market.KeyHint(key))
	page.says(t, "#keys-h + .table-wrap", "first")
	if strings.Contains(page.text, key) {
		t.Error("the page shows a key")
	}

	human.submit(t, page, at+"/pause", nil).want(t, 200, at).says(t, ".notice-warn", "paused")
	for path, body := range map[string]any{"/" + free + "/claim": nil, "": task(5), "/" + open + "/deliveries": map[string]any{"output": map[string]any{"sum": 3}, "summaryText": "x"}} {
		r := s.call(t, key, "POST", "/api/v1/agent/tasks"+path, body, "Idempotency-Key", unique("k"))
		if r.status != 403 || r.code() != "agent_paused" || !strings.Contains(r.at("detail").(string), name) {
			t.Errorf("paused, %s: %d %s", path, r.status, r.text)
		}
	}
	if me := s.call(t, key, "GET", "/api/v1/agent/me", nil); me.at("paused") != true || me.at("pausedBy") != name {
		t.Errorf("me %s", me.text)
	}
	if p := human.send(t, "POST", at+"/pause", url.Values{}); p.status != 409 {
		t.Errorf("paused twice: %d", p.status)
	}
	s.want(t, 200, s.call(t, key, "POST", "/api/v1/agent/tasks/"+held+"/claim/renew", nil))
	s.want(t, 201, s.call(t, key, "POST", "/api/v1/agent/tasks/"+held+"/deliveries", pack(claim, 3)))
	human.submit(t, human.get(t, at), at+"/resume", nil).want(t, 200, at)
	s.want(t, 201, s.call(t, key, "POST", "/api/v1/agent/tasks/"+free+"/claim", nil))
	s.want(t, 200, s.call(t, key, "DELETE", "/api/v1/agent/tasks/"+free+"/claim", nil))

	human.submit(t, human.get(t, at), at+"/limit", url.Values{"limit": {"-1"}}).want(t, 422, at+"/limit").says(t, ".error-summary", "1000000000")
	human.submit(t, human.get(t, at), at+"/limit", url.Values{"limit": {"25"}}).want(t, 200, at)
	spent := s.publish(t, key, 20)
	over := s.call(t, key, "POST", "/api/v1/agent/tasks", task(6), "Idempotency-Key", unique("k"))
	if over.status != 403 || over.code() != "spend_cap_exceeded" || !strings.Contains(over.at("detail").(string), "5 credits") {
		t.Errorf("over the limit: %d %s", over.status, over.text)
	}
	s.want(t, 200, s.call(t, key, "POST", "/api/v1/agent/tasks/"+spent+"/cancel", nil))
	human.get(t, at).says(t, "main", "20 of 25 credits spent")
	human.submit(t, human.get(t, at), at+"/limit", url.Values{"limit": {""}}).want(t, 200, at)
	s.publish(t, key, 26)

	grant := s.grant(t, human, handle)
	got := s.want(t, 201, s.call(t, "", "POST", "/api/v1/agent/recover", map[string]any{"grant": grant}))
	fresh := got.at("apiKey").(string)
	if !market.WellFormedKey(fresh) || got.at("agent") != handle || got.at("key.scopes") != nil || got.at("revoked") != 1.0 {
		t.Errorf("recovered %s", got.text)
	}
	s.want(t, 401, s.call(t, key, "GET", "/api/v1/agent/me", nil))
	if k := keyOf(t, s, fresh, key); k.at("revokedReason") != "recovered" {
		t.Errorf("the old key: %v", k.json)
	}
	if r := s.call(t, "", "POST", "/api/v1/agent/recover", map[string]any{"grant": grant}); r.status != 409 || r.code() != "grant_used" {
		t.Errorf("used twice: %d %s", r.status, r.text)
	}
	unused := s.grant(t, human, handle)
	human.submit(t, human.get(t, at), at+"/limit", url.Values{"limit": {"0"}}).want(t, 200, at)
	human.submit(t, human.get(t, at), at+"/pause", nil).want(t, 200, at)
	human.submit(t, human.get(t, at), at+"/unbind", nil).want(t, 200, agentsAt).says(t, "#flash", "no longer manage")
	if p := human.get(t, at); p.status != 404 {
		t.Errorf("after the end the page is %d", p.status)
	}
	if r := s.call(t, "", "POST", "/api/v1/agent/recover", map[string]any{"grant": unused}); r.status != 409 || r.code() != "grant_revoked" {
		t.Errorf("after the end: %d %s", r.status, r.text)
	}
	s.publish(t, fresh, 5) // neither paused nor limited
	var usable int
	if err := s.store.DB().Get(&usable, `SELECT count(*) FROM recovery_grants WHERE used_at IS NULL AND revoked_at IS NULL`); err != nil || usable != 0 {
		t.Errorf("%d grants are left, %v", usable, err)
	}
	const all = "binding.confirmed binding.paused binding.resumed binding.limited binding.limited binding.recovery_granted binding.recovered binding.recovery_granted binding.limited binding.paused binding.ended"
	if a, h := s.toldTo(t, handle), s.toldTo(t, name); a != all || h != all {
		t.Errorf("the agent was told %q, the human %q", a, h)
	}
	human.get(t, agentsAt).says(t, ".split-main .table", handle)
	s.balanced(t)
}

// grant is a recovery grant as the page shows it, once.
func (s *server) grant(t testing.TB, human *browser, handle string) string {
	t.Helper()
	at := agentsAt + "/" + handle
	page := human.get(t, at)
	shown := human.submit(t, page, at+"/grant", nil).want(t, 200, at+"/grant")
	grant := regexp.MustCompile(market.KeyPattern).FindString(shown.doc.Find("#grant").Text())
	if !market.WellFormedGrant(grant) {
		t.Fatalf("the page shows %s", shown.doc.Find("main").Text())
	}
	if again := human.submit(t, page, at+"/grant", nil).want(t, 200, at); strings.Contains(again.text, grant) {
		t.Error("the grant is shown twice")
	}
	return grant
}

// TestRecoveryGrants that are wrong, old, replaced or leaked open nothing; a
// pause stays.
func TestRecoveryGrants(t *testing.T) {
	t.Parallel()
	var ahead time.Duration
	s := newServerOf(t, func(o *store.Options) { o.Now = func() time.Time { return time.Now().Add(ahead) } })
	human, _ := s.human(t)
	key, handle := s.bind(t, human)
	recover := func(grant string) reply {
		return s.call(t, "", "POST", "/api/v1/agent/recover", map[string]any{"grant": grant})
	}
	for _, bad := range []string{"", "ghr_x", key, market.NewKey(market.RecoveryPrefix), market.NewKey(market.AgentKeyPrefix)} {
		if r := recover(bad); r.status != 422 || r.code() != "grant_unknown" || r.pointer() != "/grant" {
			t.Errorf("%q: %d %s", bad, r.status, r.text)
		}
	}
	first := s.grant(t, human, handle)
	second := s.grant(t, human, handle)
	if r := recover(first); r.code() != "grant_revoked" {
		t.Errorf("replaced: %s", r.text)
	}
	s.call(t, "", "GET", "/api/v1/market/tasks?x="+second, nil)
	if strings.Contains(s.log.String(), second) {
		t.Error("the log has a grant")
	}
	if r := recover(second); r.code() != "grant_revoked" {
		t.Errorf("leaked: %s", r.text)
	}
	late := s.grant(t, human, handle)
	ahead = time.Hour + time.Second
	if r := recover(late); r.code() != "grant_expired" {
		t.Errorf("late: %s", r.text)
	}
	ahead = 0
	good := s.grant(t, human, handle)
	s.want(t, 200, s.call(t, key, "GET", "/api/v1/agent/me", nil))
	human.send(t, "POST", agentsAt+"/"+handle+"/pause", url.Values{}).want(t, 200, agentsAt+"/"+handle)
	fresh := s.want(t, 201, recover(good)).at("apiKey").(string)
	if r := s.call(t, fresh, "POST", "/api/v1/agent/tasks", task(5), "Idempotency-Key", "k"); r.code() != "agent_paused" {
		t.Errorf("recovered while paused: %s", r.text)
	}
	halted := s.grant(t, human, handle)
	s.want(t, 200, s.call(t, s.operatorKey(t), "POST", "/api/v1/admin/accounts/"+s.account(t, fresh)+"/suspend", map[string]any{"reason": "x"}))
	if r := recover(halted); r.status != 403 || r.code() != "account_suspended" {
		t.Errorf("suspended: %d %s", r.status, r.text)
	}
}
