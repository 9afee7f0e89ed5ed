package handlers_test

import (
	"net/url"
	"strings"
	"testing"
)

// TestSuspensionByKey stops an agent and lets it go on.
func TestSuspensionByKey(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	judge, agent, worker := s.judge(t), s.register(t), s.register(t)
	task := s.publish(t, agent, 10)
	id := s.account(t, agent)
	file := "/api/v1/admin/accounts/" + id
	send := func(how, reason, once string) reply {
		return s.call(t, judge, "POST", file+"/"+how, map[string]any{"reason": reason}, "Idempotency-Key", once)
	}
	if r := send("suspend", " ", "k0"); r.status != 422 || r.pointer() != "/reason" {
		t.Errorf("without a reason: %d %s", r.status, r.text)
	}
	done := s.want(t, 200, send("suspend", "You sold the same work twice.", "k1"))
	if done.at("state") != "suspended" || done.at("suspension") != "You sold the same work twice." {
		t.Errorf("got %s", done.text)
	}
	if again := send("suspend", "You sold the same work twice.", "k1"); again.status != 200 || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a retry: %d %s", again.status, again.text)
	}
	if again := send("suspend", "Again.", "k2"); again.status != 409 || again.code() != "already_done" {
		t.Errorf("a second time: %d %s", again.status, again.text)
	}
	for _, r := range []reply{s.call(t, agent, "GET", "/api/v1/agent/me", nil), s.call(t, agent, "POST", "/api/v1/agent/tasks/"+task+"/cancel", nil)} {
		if r.status != 403 || r.code() != "account_suspended" || !strings.Contains(r.at("detail").(string), "You sold the same work twice.") || r.at("fix") == "" {
			t.Errorf("its key: %d %s", r.status, r.text)
		}
	}
	if r := s.call(t, worker, "POST", "/api/v1/agent/tasks/"+task+"/claim", nil); r.status != 409 || r.code() != "publisher_suspended" {
		t.Errorf("a claim: %d %s", r.status, r.text)
	}
	seen := s.want(t, 200, s.call(t, "", "GET", "/api/v1/market/tasks/"+task, nil))
	if seen.at("publisher.suspended") != true || strings.Contains(s.call(t, "", "GET", "/api/v1/market/tasks", nil).text, task) {
		t.Errorf("the task is %s", seen.text)
	}
	if a := s.want(t, 200, s.call(t, "", "GET", "/api/v1/accounts/"+s.named(t, id), nil)); a.at("suspended") != true || strings.Contains(a.text, "twice") {
		t.Errorf("everybody sees %s", a.text)
	}
	s.want(t, 200, send("unsuspend", "It was another.", "k3"))
	s.want(t, 201, s.call(t, worker, "POST", "/api/v1/agent/tasks/"+task+"/claim", nil))
	whole := s.want(t, 200, s.call(t, judge, "GET", file, nil))
	if whole.at("state") != "active" || whole.at("wallet.escrow") != 10.0 || whole.at("tasks.claimed") != 1.0 || whole.at("log.0.action") != "account_unsuspended" || whole.at("entries.0.kind") != "escrow" ||
		whole.at("registeredFrom") != "127.0.0.0/24" || whole.at("neighbours").(float64) < 2 {
		t.Errorf("its file is %s", whole.text)
	}
	if r := s.call(t, judge, "GET", "/api/v1/admin/accounts/01a20b77-e936-75e9-8ee4-5120c30a9cda", nil); r.status != 404 {
		t.Errorf("nobody's file: %d", r.status)
	}
	if r := s.call(t, judge, "GET", "/api/v1/admin/accounts?state=nonsense", nil); r.status != 422 || r.at("errors.0.parameter") != "state" {
		t.Errorf("a bad filter: %d %s", r.status, r.text)
	}
	s.balanced(t)
}

// named is the handle of the account.
func (s *server) named(t testing.TB, id string) string {
	t.Helper()
	var handle string
	if err := s.store.DB().Get(&handle, `SELECT handle FROM accounts WHERE id = $1`, id); err != nil {
		t.Fatal(err)
	}
	return handle
}

// TestSuspensionOfAPerson ends what their session can do on the next request,
// and tells them why.
func TestSuspensionOfAPerson(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	office := s.operator(t)
	person, handle := s.human(t)
	list := office.get(t, "/admin/accounts?q="+handle[:len(handle)-1]).want(t, 200, "/admin/accounts")
	href, _ := list.doc.Find("tbody a").First().Attr("href")
	file := office.get(t, href).want(t, 200, href)
	refused := office.submit(t, file, href+"/suspend", url.Values{"reason": {""}}).want(t, 422, href+"/suspend")
	if refused.doc.Find(`.error-summary a[href="#reason"]`).Length() != 1 || refused.doc.Find(`form[action$="/suspend"] #reason`).Length() != 1 || refused.doc.Find(`form[action$="/adjust"] #reason`).Length() != 0 {
		t.Errorf("refused: %s", refused.text)
	}
	done := office.submit(t, refused, href+"/suspend", url.Values{"reason": {"<i>Spam</i> in threads."}}).want(t, 200, href)
	done.says(t, "#flash", handle+" is suspended")
	done.says(t, ".notice-bad", "<i>Spam</i> in threads.")
	for _, path := range []string{"/wallet", "/console", "/tasks/new", "/settings"} {
		person.get(t, path).want(t, 403, path).says(t, "h1", "This account is suspended: <i>Spam</i> in threads.")
	}
	if market := person.get(t, "/market").want(t, 200, "/market"); market.doc.Find(".purse").Length() != 0 || market.doc.Find(`.bar a[href="/login"]`).Length() != 1 ||
		market.doc.Find(`.bar a[href="/register"]`).Length() != 0 {
		t.Error("a suspended person is not shown the market like a stranger")
	}
	login := s.browser(t)
	at := login.get(t, "/login")
	login.submit(t, at, "/login", url.Values{"email": {handle + "@example.org"}, "password": {password}}).want(t, 403, "/login").says(t, ".error-summary", "suspended")
	if got := login.submit(t, at, "/login", url.Values{"email": {handle + "@example.org"}, "password": {"not the password"}}).want(t, 401, "/login"); strings.Contains(got.text, "suspended") {
		t.Error("who does not know the password is told of the suspension")
	}
	office.submit(t, done, href+"/unsuspend", url.Values{"reason": {"Sorry."}}).want(t, 200, href).says(t, "#flash", "can go on")
	person.get(t, "/wallet").want(t, 200, "/wallet")
}

func TestAdjustmentByOperators(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	judge, agent, office := s.judge(t), s.register(t), s.operator(t)
	file := "/api/v1/admin/accounts/" + s.account(t, agent)
	adjust := func(body map[string]any, once string) reply {
		return s.call(t, judge, "POST", file+"/adjust", body, "Idempotency-Key", once)
	}
	for pointer, body := range map[string]map[string]any{"/amount": {"amount": 0, "class": "earned", "reason": "x"}, "/class": {"amount": 1, "class": "gold", "reason": "x"}, "/reason": {"amount": 1, "class": "earned"}} {
		if r := adjust(body, unique("k")); r.status != 422 || r.pointer() != pointer {
			t.Errorf("%v: %d %s", body, r.status, r.text)
		}
	}
	if r := s.call(t, judge, "POST", file+"/adjust", map[string]any{"amount": 1, "class": "earned", "reason": "x"}); r.status != 400 || r.code() != "idempotency_key_required" {
		t.Errorf("without a key: %d %s", r.status, r.text)
	}
	body := map[string]any{"amount": -400, "class": "granted", "reason": "Granted twice."}
	s.want(t, 201, adjust(body, "k1"))
	if again := adjust(body, "k1"); again.status != 201 || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a retry: %d %s", again.status, again.text)
	}
	if r := adjust(map[string]any{"amount": -601, "class": "granted", "reason": "x"}, "k2"); r.status != 409 || r.code() != "insufficient_credits" {
		t.Errorf("more than there is: %d %s", r.status, r.text)
	}
	line := s.want(t, 200, s.call(t, agent, "GET", "/api/v1/agent/wallet/entries?kind=adjustment", nil))
	if line.at("items.0.amount") != -400.0 || line.at("items.0.note") != "Granted twice." || line.at("items.0.balanceAfter") != 600.0 || line.at("items.1") != nil {
		t.Errorf("the ledger says %s", line.text)
	}
	page := "/admin/accounts/" + strings.TrimPrefix(file, "/api/v1/admin/accounts/")
	shown := office.get(t, page)
	refused := office.submit(t, shown, page+"/adjust", url.Values{"amount": {"many"}, "reason": {"A gift."}}).want(t, 422, page+"/adjust")
	refused.says(t, "#amount-fault", "whole number")
	if refused.doc.Find(`form[action$="/adjust"] textarea`).Text() != "A gift." {
		t.Error("what was typed is lost")
	}
	office.submit(t, refused, page+"/adjust", url.Values{"amount": {"25"}, "class": {"earned"}}).want(t, 200, page).says(t, "#flash", "adjusted by +25")
	s.balanced(t)
}
