package handlers_test

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"guildhall/handlers"
)

var requestID = regexp.MustCompile(`[0-9a-f]{24}`)

func TestRegistrationForm(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	_, handle := s.human(t)
	b := s.browser(t)
	form := b.get(t, "/register?next=/tasks/new")
	for name, c := range map[string]struct {
		fill            url.Values
		status          int
		selector, wants string
	}{
		"short password": {url.Values{"handle": {"sam-1"}, "email": {"sam@example.org"}, "password": {"short"}}, 422, "#password-fault", "12 to 256"},
		"own name":       {url.Values{"handle": {"sam-smith"}, "email": {"sam@example.org"}, "password": {"sam-smith-sam-smith"}}, 422, "#password-fault", "handle"},
		"bad e-mail":     {url.Values{"handle": {"sam-1"}, "email": {"sam"}, "password": {password}}, 422, "#email-fault", "e-mail"},
		"taken handle":   {url.Values{"handle": {handle}, "email": {"sam@example.org"}, "password": {password}}, 409, "#handle-fault", "taken"},
		"taken e-mail":   {url.Values{"handle": {"sam-1"}, "email": {strings.ToUpper(handle) + "@example.org"}, "password": {password}}, 409, "#email-fault", "has an account"},
		"bad referral":   {url.Values{"handle": {"sam-1"}, "email": {"sam@example.org"}, "password": {password}, "referralCode": {"NOPE"}}, 422, "#referralCode-fault", "no such code"},
	} {
		page := b.submit(t, form, "/register", c.fill).want(t, c.status, "/register")
		page.says(t, c.selector, c.wants)
		if strings.Contains(page.text, c.fill.Get("password")) {
			t.Errorf("%s: the page repeats the password", name)
		}
		if got := page.doc.Find("#email").AttrOr("value", ""); got != c.fill.Get("email") {
			t.Errorf("%s: the address is now %q", name, got)
		}
	}
	b.submit(t, form, "/register", url.Values{"handle": {"sam-1"}, "email": {"sam@example.org"}, "password": {password}}).want(t, 200, "/tasks/new")
	b.get(t, "/login").want(t, 200, "/market")
	s.balanced(t)
}

func TestLogIn(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	owner, handle := s.human(t)
	b := s.browser(t)
	at, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	// A cookie that somebody else put there is not adopted.
	b.client.Jar.SetCookies(at, []*http.Cookie{{Name: "session", Value: "chosen-by-somebody-else"}})
	form := b.get(t, "/login?next=%2Fwallet")
	wrong := b.submit(t, form, "/login", url.Values{"email": {handle + "@example.org"}, "password": {"not the password"}}).want(t, 401, "/login")
	unknown := b.submit(t, form, "/login", url.Values{"email": {handle + "@example.com"}, "password": {"not the password"}}).want(t, 401, "/login")
	if w, u := requestID.ReplaceAllString(wrong.text, ""), strings.ReplaceAll(requestID.ReplaceAllString(unknown.text, ""), "example.com", "example.org"); w != u {
		t.Error("a wrong password and an unknown address are told apart")
	}
	for _, c := range []string{"WWW-Authenticate"} {
		if wrong.header.Get(c) != "" {
			t.Errorf("the page bears %s", c)
		}
	}
	b.submit(t, form, "/login", url.Values{"email": {strings.ToUpper(handle) + "@example.org"}, "password": {password}}).want(t, 200, "/wallet")
	var token string
	for _, c := range b.client.Jar.Cookies(at) {
		if c.Name == "session" {
			token = c.Value
		}
	}
	if token == "" || token == "chosen-by-somebody-else" {
		t.Errorf("the session is %q, want a fresh one", token)
	}
	if strings.Contains(s.log.String(), token) || strings.Contains(s.log.String(), password) {
		t.Error("the log holds a secret")
	}
	var stored int
	if err := s.store.DB().Get(&stored, `SELECT count(*) FROM sessions WHERE token = $1`, token); err != nil || stored != 0 {
		t.Errorf("the database holds the token itself (%d, %v)", stored, err)
	}
	b.submit(t, b.get(t, "/wallet"), "/logout", nil).want(t, 200, "/")
	b.client.Jar.SetCookies(at, []*http.Cookie{{Name: "session", Value: token}})
	b.get(t, "/wallet").want(t, 200, "/login")
	owner.get(t, "/wallet").want(t, 200, "/wallet") // other sessions live on
	if p := b.get(t, "/login?next=https://evil.example/"); strings.Contains(b.submit(t, p, "/login", url.Values{"email": {handle + "@example.org"}, "password": {password}}).path, "evil") {
		t.Error("the log-in leads to another site")
	}
}

func TestLogInIsThrottled(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(o *handlers.Options) { o.RateLimits = true })
	_, handle := s.human(t)
	b := s.browser(t)
	form := b.get(t, "/login")
	fill := url.Values{"email": {handle + "@example.org"}, "password": {"not the password"}}
	for range 10 {
		b.submit(t, form, "/login", fill).want(t, 401, "/login")
	}
	fill.Set("email", strings.ToUpper(handle)+"@example.org")
	page := b.submit(t, form, "/login", fill).want(t, 429, "/login")
	page.says(t, ".error-summary", "too often")
	if page.header.Get("Retry-After") == "" {
		t.Error("the refusal lacks Retry-After")
	}
	fill.Set("password", password)
	b.submit(t, form, "/login", fill).want(t, 429, "/login")
	b.submit(t, form, "/login", url.Values{"email": {"else@example.org"}, "password": {"not the password"}}).want(t, 401, "/login")
}

func TestSessionThatEndedKeepsTheForm(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, handle := s.human(t)
	form := mara.get(t, "/tasks/new")
	if _, err := s.store.DB().Exec(`DELETE FROM sessions`); err != nil {
		t.Fatal(err)
	}
	asked := mara.submit(t, form, "/tasks", url.Values{"title": {"Typed before"}, "brief": {"Return the sum as a number."}, "reward": {"7"}})
	asked.want(t, 401, "/tasks").says(t, ".notice", "What you typed is kept")
	offered := mara.submit(t, asked, "/login", url.Values{"email": {handle + "@example.org"}, "password": {password}}).want(t, 200, "/login")
	mara.submit(t, offered, "/tasks", nil).says(t, "h1", "Typed before")
	s.balanced(t)
}

func TestSettings(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, handle := s.human(t)
	other := s.browser(t)
	other.submit(t, other.get(t, "/login"), "/login", url.Values{"email": {handle + "@example.org"}, "password": {password}}).want(t, 200, "/market")
	page := mara.get(t, "/settings")
	bad := mara.submit(t, page, "/settings", url.Values{"displayName": {""}, "description": {"Kept"}}).want(t, 422, "/settings")
	bad.says(t, "#displayName-fault", "required")
	bad.says(t, "#description", "Kept")
	mara.submit(t, page, "/settings", url.Values{"displayName": {"Mara L."}, "description": {"I *edit*."}}).want(t, 200, "/settings")
	profile := s.browser(t).get(t, "/agents/"+handle).want(t, 200, "/agents/"+handle)
	profile.says(t, "h1", "Mara L.")
	profile.says(t, ".prose em", "edit")
	page = mara.get(t, "/settings/security")
	const fresh = "another horse battery"
	wrong := mara.submit(t, page, "/settings/password", url.Values{"currentPassword": {"not the password"}, "newPassword": {fresh}}).want(t, 422, "/settings/password")
	wrong.says(t, "#currentPassword-fault", "not your current")
	mara.submit(t, page, "/settings/password", url.Values{"currentPassword": {password}, "newPassword": {"short"}}).want(t, 422, "/settings/password").says(t, "#newPassword-fault", "12 to 256")
	mara.submit(t, page, "/settings/password", url.Values{"currentPassword": {password}, "newPassword": {fresh}}).want(t, 200, "/settings/security")
	mara.get(t, "/wallet").want(t, 200, "/wallet")
	other.get(t, "/wallet").want(t, 200, "/login") // ended with the old password
	form := other.get(t, "/login")
	other.submit(t, form, "/login", url.Values{"email": {handle + "@example.org"}, "password": {password}}).want(t, 401, "/login")
	other.submit(t, form, "/login", url.Values{"email": {handle + "@example.org"}, "password": {fresh}}).want(t, 200, "/market")
}

// TestOnlyTrustedProxiesNameVisitors sends log-ins from one address that
// claims to be many.
func TestOnlyTrustedProxiesNameVisitors(t *testing.T) {
	t.Parallel()
	_, here, err := net.ParseCIDR("127.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		trusted []*net.IPNet
		last    int
	}{"nobody is trusted": {nil, 429}, "the proxy is trusted": {[]*net.IPNet{here}, 401}} {
		s := newServer(t, func(o *handlers.Options) { o.RateLimits, o.TrustedProxies = true, c.trusted })
		b := s.browser(t)
		var last screen
		for i := range 31 {
			last = b.send(t, "POST", "/login", url.Values{"email": {fmt.Sprintf("a%d@example.org", i)}, "password": {"not the password"}}, "X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i))
		}
		if last.status != c.last {
			t.Errorf("%s: the 31st log-in got %d, want %d", name, last.status, c.last)
		}
	}
}
