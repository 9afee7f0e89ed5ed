package handlers_test

import (
	"bufio"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"guildhall/handlers"
	"guildhall/market"
)

// stale makes the last proof of every session too old.
func (s *server) stale(t testing.TB) {
	t.Helper()
	if _, err := s.store.DB().Exec(`UPDATE account_sessions SET proven_at = proven_at - interval '11 minutes'`); err != nil {
		t.Fatal(err)
	}
}

// logIn begins another session of the person.
func (s *server) logIn(t testing.TB, handle string) *browser {
	t.Helper()
	b := s.browser(t)
	b.submit(t, b.get(t, "/login"), "/login", url.Values{"email": {handle + "@example.org"}, "password": {password}}).want(t, 200, "/market")
	return b
}

// token is the browser's session cookie.
func (b *browser) token(t testing.TB) string {
	t.Helper()
	at, err := url.Parse(b.s.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.client.Jar.Cookies(at) {
		if c.Name == "session" {
			return c.Value
		}
	}
	return ""
}

// withToken is a browser that holds the session cookie.
func (s *server) withToken(t testing.TB, token string) *browser {
	t.Helper()
	at, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	b := s.browser(t)
	b.client.Jar.SetCookies(at, []*http.Cookie{{Name: "session", Value: token}})
	return b
}

// freshRoutes are those that ask people for a proof of the last minutes: what
// only the owner of an account may do or see.
var freshRoutes = map[string]bool{
	"POST /redeem/orders/:oid/reveal":              true,
	"POST /console/bundles":                        true,
	"POST /console/bundles/:hid/code":              true,
	"POST /console/agents":                         true,
	"POST /console/webhooks":                       true,
	"POST /console/webhooks/:wid/rotate":           true,
	"POST /console/agents/:agent/grant":            true,
	"POST /settings/security/totp/begin":           true,
	"GET /settings/security/totp":                  true,
	"POST /settings/security/totp":                 true,
	"POST /settings/security/totp/off":             true,
	"POST /settings/security/recovery":             true,
	"POST /settings/security/email":                true,
	"POST /settings/security/email/verify":         true,
	"POST /settings/security/passkeys/begin":       true,
	"POST /settings/security/passkeys":             true,
	"POST /settings/security/passkeys/:pid/remove": true,
	"POST /settings/security/sessions/end":         true,
	"POST /settings/security/sessions/:sid/end":    true,
}

// TestFreshRoutesRefuseStaleSessions asks for everything that needs a proof,
// with a session whose last one is eleven minutes old.
func TestFreshRoutesRefuseStaleSessions(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b, _ := s.human(t)
	s.stale(t)
	const absent = "01a20b77-e936-75e9-8ee4-5120c30a9cda"
	for _, r := range handlers.RouteTable() {
		name := r.Method + " " + r.Path
		if r.Fresh != freshRoutes[name] {
			t.Errorf("%s is fresh: %v, want %v", name, r.Fresh, freshRoutes[name])
		}
		delete(freshRoutes, name)
		if !r.Fresh {
			continue
		}
		if r.Auth != "session" && r.Auth != "operator" || !r.Page {
			t.Errorf("%s asks for a proof, but not people", name)
		}
		var parts []string
		for _, part := range strings.Split(r.Path, "/") {
			if strings.HasPrefix(part, ":") {
				part = absent
			}
			parts = append(parts, part)
		}
		path := strings.Join(parts, "/")
		if r.Method == "GET" {
			b.get(t, path).want(t, 200, "/confirm")
			continue
		}
		asked := b.send(t, "POST", path, url.Values{"kept": {"This"}, "password": {"secret-1"}, "newPassword": {"secret-2"}, "currentPassword": {"secret-3"}})
		if asked.status != 403 || asked.doc.Find(`form[action="/confirm"] #password`).Length() != 1 {
			t.Errorf("%s of a stale session: %d", name, asked.status)
			continue
		}
		if resume := asked.doc.Find("[name=resume]").AttrOr("value", ""); !strings.Contains(resume, `"kept":["This"]`) || strings.Contains(asked.text, "secret-") {
			t.Errorf("%s carries %s", name, resume)
		}
	}
	for name := range freshRoutes {
		t.Errorf("%s is not served", name)
	}
}

// TestConfirm proves who asks, with a fresh token, and goes on.
func TestConfirm(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b, handle := s.human(t)
	other := s.logIn(t, handle)
	s.stale(t)
	before := b.token(t)
	page := b.get(t, "/settings/security")
	asked := b.submit(t, page, "/settings/security/sessions/end", nil).want(t, 403, "/settings/security/sessions/end")
	asked.says(t, ".notice", "is kept")
	b.submit(t, asked, "/confirm", url.Values{"password": {"not the password"}}).want(t, 422, "/confirm").says(t, "#password-fault", "not your current")
	offered := b.submit(t, asked, "/confirm", url.Values{"password": {password}}).want(t, 200, "/confirm")
	offered.says(t, "h1", "Confirmed")
	other.get(t, "/wallet").want(t, 200, "/wallet")
	b.submit(t, offered, "/settings/security/sessions/end", nil).want(t, 200, "/settings/security").says(t, "#flash", "other sessions")
	other.get(t, "/wallet").want(t, 200, "/login")
	if after := b.token(t); after == before {
		t.Error("the token is the same after the proof")
	}
	s.withToken(t, before).get(t, "/wallet").want(t, 200, "/login")
	if out := b.submit(t, b.get(t, "/confirm?next=https://evil.example/"), "/confirm", url.Values{"password": {password}}); out.path != "/" {
		t.Errorf("a proof leads to %s", out.path)
	}
	b.submit(t, b.get(t, "/confirm?next=/wallet"), "/confirm", url.Values{"password": {password}}).want(t, 200, "/wallet")
}

// TestPasswordGuessingByConfirm is throttled like the log-in, whatever address
// the guesses say they come from.
func TestPasswordGuessingByConfirm(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(o *handlers.Options) { o.RateLimits = true })
	b, _ := s.human(t)
	last := 0
	for i := range 11 {
		last = b.send(t, "POST", "/confirm", url.Values{"password": {"not the password"}}, "X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i)).status
	}
	if last != 429 {
		t.Errorf("the eleventh guess got %d, want 429", last)
	}
}

// TestSessions lists where a person is logged in, and ends that on the very
// next request.
func TestSessions(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b, handle := s.human(t)
	phone := s.browser(t)
	const agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Version/18.0 Mobile/15E148 Safari/604.1"
	phone.send(t, "POST", "/login", url.Values{"email": {handle + "@example.org"}, "password": {password}}, "User-Agent", agent).want(t, 200, "/market")
	page := b.get(t, "/settings/security").want(t, 200, "/settings/security")
	page.says(t, "tbody", "Safari on iPhone")
	page.says(t, "tbody", "127.0.0.1")
	if n := page.doc.Find("tbody tr").Length(); n != 2 || page.doc.Find("tbody .tag").Length() != 1 {
		t.Errorf("%d sessions are listed, %d of them this one", n, page.doc.Find("tbody .tag").Length())
	}
	page.says(t, ".timeline", "Logged in")
	end := page.doc.Find(`tbody form`).AttrOr("action", "")
	stranger, _ := s.human(t)
	stranger.send(t, "POST", end, url.Values{}).want(t, 404, end)
	phone.get(t, "/wallet").want(t, 200, "/wallet")
	b.submit(t, page, end, nil).want(t, 200, "/settings/security").says(t, ".timeline", "session was ended")
	phone.get(t, "/wallet").want(t, 200, "/login")
	b.send(t, "POST", end, url.Values{}).want(t, 404, end)
	if got := s.fed(t, handle, market.SecuritySessionEnded); got != 1 {
		t.Errorf("the feed has %d lines of the ended session", got)
	}
}

// fed counts the lines of the type in the account's feed.
func (s *server) fed(t testing.TB, handle string, kind market.FeedType) (n int) {
	t.Helper()
	err := s.store.DB().Get(&n, `SELECT count(*) FROM account_events e JOIN accounts a ON a.id = e.account_id WHERE a.handle = $1 AND e.type = $2`, handle, string(kind))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestPasswordChangeRenewsTheToken and ends what began with the old one.
func TestPasswordChangeRenewsTheToken(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b, handle := s.human(t)
	other := s.logIn(t, handle)
	before := b.token(t)
	b.submit(t, b.get(t, "/settings/security"), "/settings/password", url.Values{"currentPassword": {password}, "newPassword": {"another horse battery"}}).want(t, 200, "/settings/security")
	if b.token(t) == before {
		t.Error("the token is the same after the change")
	}
	s.withToken(t, before).get(t, "/wallet").want(t, 200, "/login")
	other.get(t, "/wallet").want(t, 200, "/login")
	b.get(t, "/settings/security").says(t, ".timeline", "Password changed")
	if s.fed(t, handle, market.SecurityPasswordChanged) != 1 {
		t.Error("the feed does not tell of the change")
	}
}

// TestLogInAgainLeavesTheOldSession of the same browser.
func TestLogInAgainLeavesTheOldSession(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b, handle := s.human(t)
	before := b.token(t)
	b.send(t, "POST", "/login", url.Values{"email": {handle + "@example.org"}, "password": {password}}).want(t, 200, "/market")
	s.withToken(t, before).get(t, "/wallet").want(t, 200, "/login")
	if n := b.get(t, "/settings/security").doc.Find("tbody tr").Length(); n != 1 {
		t.Errorf("%d sessions are listed, want 1", n)
	}
}

// TestSessionsGrowOld: none lives longer than 30 days, however much it is used.
func TestSessionsGrowOld(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b, _ := s.human(t)
	if _, err := s.store.DB().Exec(`UPDATE account_sessions SET began_at = began_at - interval '29 days 23 hours'`); err != nil {
		t.Fatal(err)
	}
	b.get(t, "/wallet").want(t, 200, "/wallet")
	if _, err := s.store.DB().Exec(`UPDATE account_sessions SET began_at = began_at - interval '1 hour'`); err != nil {
		t.Fatal(err)
	}
	b.get(t, "/wallet").want(t, 200, "/login")
}

// TestSessionUsesAreNoted apart from the requests.
func TestSessionUsesAreNoted(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(o *handlers.Options) { o.NoteUses = time.Millisecond })
	_, handle := s.human(t)
	b := s.browser(t)
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	b.submit(t, b.get(t, "/login"), "/login", url.Values{"email": {handle + "@example.org"}, "password": {password}}).want(t, 303, "/login")
	if _, err := s.store.DB().Exec(`UPDATE account_sessions SET seen_at = seen_at - interval '2 hours', address = NULL`); err != nil {
		t.Fatal(err)
	}
	b.get(t, "/wallet").want(t, 200, "/wallet")
	for range 100 {
		var noted bool
		if err := s.store.DB().Get(&noted, `SELECT seen_at > now() - interval '1 minute' AND host(address) = '127.0.0.1' FROM account_sessions ORDER BY began_at DESC LIMIT 1`); err != nil {
			t.Fatal(err)
		}
		if noted {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("the use was not written down")
}

// TestStreamEndsWithItsSession: who was logged out is told nothing more.
func TestStreamEndsWithItsSession(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b, handle := s.human(t)
	id := strings.TrimPrefix(b.publishForm(t, nil).path, "/tasks/")
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/tasks/"+id+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Scan()
	other := s.logIn(t, handle)
	other.submit(t, other.get(t, "/settings/security"), "/settings/security/sessions/end", nil).want(t, 200, "/settings/security")
	s.claim(t, s.register(t), id)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data:") {
			t.Fatalf("a stream of an ended session says %s", lines.Text())
		}
	}
}
