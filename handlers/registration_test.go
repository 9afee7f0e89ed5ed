package handlers_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/alexedwards/argon2id"

	"guildhall/handlers"
	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// serverIn is a site with the mode of registration, and an operator's key and
// session.
func serverIn(t testing.TB, mode market.RegistrationMode, mutate ...func(*store.Options)) (*server, string, *browser) {
	t.Helper()
	st := storetest.New(t, append(mutate, func(o *store.Options) { o.Registration = mode })...)
	s := newServer(t, func(o *handlers.Options) { o.Store = st })
	s.store = st
	hash, err := argon2id.CreateHash(password, &argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32})
	if err != nil {
		t.Fatal(err)
	}
	r := market.Registration{Kind: market.Human, Handle: unique("chief"), Email: unique("chief") + "@example.org"}
	r.DisplayName = r.Handle
	if _, err := st.RegisterOperator(t.Context(), r, hash); err != nil {
		t.Fatal(err)
	}
	key, err := st.NewOperatorKey(t.Context(), r.Handle, "x")
	if err != nil {
		t.Fatal(err)
	}
	b := s.browser(t)
	b.submit(t, b.get(t, "/login"), "/login", url.Values{"email": {r.Email}, "password": {password}}).want(t, 200, "/market")
	return s, key, b
}

func (s *server) try(t testing.TB, body map[string]any) reply {
	t.Helper()
	if body["handle"] == nil {
		body["handle"] = unique("agent")
	}
	return s.call(t, "", "POST", "/api/v1/agents/register", body)
}

func person(more url.Values) url.Values {
	handle := unique("human")
	v := url.Values{"handle": {handle}, "email": {handle + "@example.org"}, "password": {password}}
	for k := range more {
		v.Set(k, more.Get(k))
	}
	return v
}

func TestRegistrationIsClosed(t *testing.T) {
	t.Parallel()
	s, _, _ := serverIn(t, market.RegistrationClosed)
	if r := s.try(t, map[string]any{}); r.status != 403 || r.code() != "registration_closed" || r.at("fix") == "" {
		t.Errorf("an agent: %d %s", r.status, r.text)
	}
	b := s.browser(t)
	for _, p := range []screen{b.get(t, "/register"), b.send(t, "POST", "/register", person(nil))} {
		p.want(t, 403, "/register").says(t, "h1", "Nobody can create an account")
	}
	for _, path := range []string{"/", "/market", "/login", "/register"} {
		if p := b.get(t, path); p.doc.Find(`a[href^="/register"]`).Length() != 0 || strings.Contains(p.text, "agents/register") || strings.Contains(p.text, "Create an account") || strings.Contains(p.text, "Register with") {
			t.Errorf("%s leads to a form that is closed", path)
		}
	}
	if h := s.want(t, 200, s.call(t, "", "GET", "/api/v1/health", nil)); h.at("registration") != "closed" {
		t.Errorf("health is %s", h.text)
	}
}

func TestRegistrationByInvitation(t *testing.T) {
	t.Parallel()
	s, key, office := serverIn(t, market.RegistrationInvite)
	const at = "/api/v1/admin/invitations"
	for pointer, body := range map[string]map[string]any{"/count": {"count": 0, "uses": 1, "days": 1}, "/uses": {"count": 1, "uses": 1001, "days": 1}, "/days": {"count": 1, "uses": 1, "days": 366}} {
		if r := s.call(t, key, "POST", at, body, "Idempotency-Key", unique("k")); r.status != 422 || r.pointer() != pointer {
			t.Errorf("%v: %d %s", body, r.status, r.text)
		}
	}
	body := map[string]any{"count": 2, "uses": 1, "days": 3, "purpose": "course"}
	made := s.want(t, 201, s.call(t, key, "POST", at, body, "Idempotency-Key", "k"))
	codes := made.at("codes").([]any)
	if again := s.call(t, key, "POST", at, body, "Idempotency-Key", "k"); again.status != 409 || again.header.Get("Location") != made.header.Get("Location") || strings.Contains(again.text, "GHI-") {
		t.Errorf("a retry: %d %s", again.status, again.text)
	}
	if r := s.try(t, map[string]any{}); r.status != 403 || r.code() != "invite_required" || r.pointer() != "/inviteCode" {
		t.Errorf("without a code: %d %s", r.status, r.text)
	}
	if r := s.try(t, map[string]any{"inviteCode": "GHI-BBBBB-BBBBB-BBBBB-BBBBB"}); r.status != 422 || r.code() != "invite_invalid" || r.pointer() != "/inviteCode" {
		t.Errorf("a wrong code: %d %s", r.status, r.text)
	}
	if r := s.want(t, 201, s.try(t, map[string]any{"inviteCode": codes[0]})); r.at("state") != "active" || r.at("wallet.granted") != 1000.0 {
		t.Errorf("with a code: %s", r.text)
	}
	if r := s.try(t, map[string]any{"inviteCode": codes[0]}); r.status != 422 || r.code() != "invite_invalid" {
		t.Errorf("a second time: %d %s", r.status, r.text)
	}
	// A person comes by the link.
	b := s.browser(t)
	form := b.get(t, "/register?invite="+codes[1].(string)).want(t, 200, "/register")
	if form.doc.Find("#inviteCode").AttrOr("value", "") != codes[1] {
		t.Errorf("the link does not fill in its code: %s", form.text)
	}
	refused := b.submit(t, form, "/register", person(url.Values{"inviteCode": {""}})).want(t, 403, "/register")
	refused.says(t, "#inviteCode-fault", "needed")
	wrong := b.submit(t, refused, "/register", person(url.Values{"inviteCode": {"GHI-BBBBB-BBBBB-BBBBB-BBBBB"}})).want(t, 422, "/register")
	wrong.says(t, "#inviteCode-fault", "lets nobody in")
	b.submit(t, wrong, "/register", person(url.Values{"inviteCode": {strings.ToLower(codes[1].(string))}})).want(t, 200, "/market").says(t, "#flash", "1,000 credits")
	for _, path := range []string{at, made.header.Get("Location")} {
		if r := s.want(t, 200, s.call(t, key, "GET", path, nil)); strings.Contains(r.text, "GHI-") || !strings.Contains(r.text, `"used":2`) {
			t.Errorf("%s: %s", path, r.text)
		}
	}
	if strings.Contains(s.log.String(), codes[0].(string)) {
		t.Error("the log has a code")
	}
	// The same on the operators' page.
	list := office.get(t, "/admin/invitations").want(t, 200, "/admin/invitations")
	office.submit(t, list, "/admin/invitations", url.Values{"count": {"0"}}).want(t, 422, "/admin/invitations").says(t, "#count-fault", "1 to 1000")
	shown := office.submit(t, list, "/admin/invitations", url.Values{"count": {"1"}, "uses": {"2"}}).want(t, 201, "/admin/invitations")
	code := strings.TrimSpace(shown.doc.Find("#codes").Text())
	if !strings.HasPrefix(code, "GHI-") || strings.TrimSpace(shown.doc.Find("#links").Text()) != "http://test/register?invite="+code {
		t.Errorf("shown %s", shown.text)
	}
	again := office.get(t, "/admin/invitations")
	action, _ := again.doc.Find(`form[action$="/revoke"]`).First().Attr("action")
	office.submit(t, again, action, nil).want(t, 200, "/admin/invitations").says(t, "#flash", "revoked")
	if r := s.try(t, map[string]any{"inviteCode": code}); r.code() != "invite_invalid" {
		t.Errorf("revoked: %d %s", r.status, r.text)
	}
	s.balanced(t)
}

func TestRegistrationByApproval(t *testing.T) {
	t.Parallel()
	s, key, office := serverIn(t, market.RegistrationApproval)
	made := s.want(t, 201, s.try(t, map[string]any{}))
	agent, id := made.at("apiKey").(string), made.at("account.id").(string)
	if made.at("state") != "pending" || made.at("wallet.granted") != 0.0 {
		t.Errorf("made: %s", made.text)
	}
	publish := func() reply {
		return s.call(t, agent, "POST", "/api/v1/agent/tasks", task(10), "Idempotency-Key", unique("k"))
	}
	if r := publish(); r.status != 403 || r.code() != "approval_pending" || r.at("fix") == "" {
		t.Errorf("publishing: %d %s", r.status, r.text)
	}
	if me := s.want(t, 200, s.call(t, agent, "GET", "/api/v1/agent/me", nil)); me.at("state") != "pending" {
		t.Errorf("it sees %s", me.text)
	}
	file := "/api/v1/admin/accounts/" + id
	if queue := s.want(t, 200, s.call(t, key, "GET", "/api/v1/admin/accounts?state=pending", nil)); queue.at("items.0.id") != id || queue.at("items.1") != nil {
		t.Errorf("the queue is %s", queue.text)
	}
	s.want(t, 200, s.call(t, key, "POST", file+"/refuse", map[string]any{"reason": "No purpose given."}))
	if r := publish(); r.status != 403 || r.code() != "approval_refused" || !strings.Contains(r.text, "No purpose given.") {
		t.Errorf("refused: %d %s", r.status, r.text)
	}
	if me := s.want(t, 200, s.call(t, agent, "GET", "/api/v1/agent/me", nil)); me.at("state") != "refused" || me.at("stateReason") != "No purpose given." {
		t.Errorf("it sees %s", me.text)
	}
	s.want(t, 200, s.call(t, key, "POST", file+"/approve", nil))
	s.want(t, 201, publish())
	if w := s.want(t, 200, s.call(t, agent, "GET", "/api/v1/agent/wallet", nil)); w.at("granted") != 990.0 {
		t.Errorf("it has %s", w.text)
	}
	// A person sees it on every page, and an operator decides there.
	b := s.browser(t)
	form := b.get(t, "/register").want(t, 200, "/register")
	form.says(t, ".notice-info", "approves every new account")
	b.submit(t, form, "/register", person(nil)).want(t, 200, "/market").says(t, ".notice-bar", "waits for an operator")
	if p := b.publishForm(t, nil); p.status != 403 || !strings.Contains(p.doc.Find(".error-summary").Text(), "waits for an operator") {
		t.Errorf("publishing: %d %s", p.status, p.text)
	}
	office.get(t, "/admin/accounts").says(t, ".notice-warn", "1 account waits for approval")
	list := office.get(t, "/admin/accounts?state=pending")
	href, _ := list.doc.Find("tbody a").Attr("href")
	office.submit(t, office.get(t, href), href+"/refuse", url.Values{"reason": {"<b>Who</b> are you?"}}).want(t, 200, href)
	b.get(t, "/console").want(t, 200, "/console").says(t, ".notice-bar", "<b>Who</b> are you?")
	office.submit(t, office.get(t, href), href+"/approve", nil).want(t, 200, href).says(t, "#flash", "is approved")
	if p := b.get(t, "/market"); p.doc.Find(".notice-bar").Length() != 0 || !strings.Contains(p.doc.Find(".purse").Text(), "1,000") {
		t.Errorf("approved: %s", p.text)
	}
	s.balanced(t)
}
