package handlers_test

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"guildhall/handlers"
	"guildhall/market"
	"guildhall/store"
)

func mailing(o *store.Options) { o.Mail = true }

// mailed waits for a mail of the kind to the address and returns it.
func (s *server) mailed(t testing.TB, kind market.MailKind, to string) market.Mail {
	t.Helper()
	for range 200 {
		if _, err := s.store.DB().Exec(`UPDATE mails SET next_at = made_at`); err != nil {
			t.Fatal(err)
		}
		mails, err := s.store.TakeMails(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mails {
			if m.Kind == kind && m.To == to {
				if err := s.store.MailSent(t.Context(), m.ID); err != nil {
					t.Fatal(err)
				}
				return m
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no mail %s to %s", kind, to)
	return market.Mail{}
}

// waiting is how many mails were not sent.
func (s *server) waiting(t testing.TB) (n int) {
	t.Helper()
	if err := s.store.DB().Get(&n, `SELECT count(*) FROM mails`); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestForgottenPassword sends a link, which works once; the second factor stays
// needed, and all sessions end.
func TestForgottenPassword(t *testing.T) {
	t.Parallel()
	s := newServerOf(t, mailing)
	b, handle := s.human(t)
	secret, _ := b.enrol(t)
	email := handle + "@example.org"
	nobody := s.browser(t)
	sent := nobody.submit(t, nobody.get(t, "/forgot"), "/forgot", url.Values{"email": {strings.ToUpper(email)}}).want(t, 200, "/forgot")
	sent.says(t, ".lede", "If this address has an account")
	unknown := nobody.submit(t, nobody.get(t, "/forgot"), "/forgot", url.Values{"email": {strings.ToUpper(handle) + "@EXAMPLE.COM"}}).want(t, 200, "/forgot")
	if a, b := requestID.ReplaceAllString(sent.text, ""), requestID.ReplaceAllString(unknown.text, ""); strings.ReplaceAll(a, ".ORG", "") != strings.ReplaceAll(b, ".COM", "") {
		t.Error("a known and an unknown address are told apart")
	}
	token := s.mailed(t, market.MailReset, email).Args["Token"]
	page := nobody.get(t, "/reset?token="+token).want(t, 200, "/reset")
	checkPage(t, "/reset", page)
	page.says(t, ".lede", handle)
	if strings.Contains(page.text, token) {
		t.Error("the page holds the token")
	}
	nobody.submit(t, page, "/reset", url.Values{"newPassword": {"short"}}).want(t, 422, "/reset").says(t, "#newPassword-fault", "12 to 256")
	const fresh = "another horse battery"
	done := nobody.submit(t, page, "/reset", url.Values{"newPassword": {fresh}}).want(t, 200, "/login")
	done.says(t, "#flash", "is changed")
	b.get(t, "/wallet").want(t, 200, "/login")
	nobody.get(t, "/reset?token="+token).want(t, 409, "/reset").says(t, "h1", "no longer valid")
	nobody.send(t, "POST", "/reset", url.Values{"newPassword": {"a third horse battery"}}).want(t, 409, "/reset")

	nobody.submit(t, done, "/login", url.Values{"email": {email}, "password": {password}}).want(t, 401, "/login")
	second := nobody.submit(t, done, "/login", url.Values{"email": {email}, "password": {fresh}}).want(t, 200, "/login")
	nobody.get(t, "/wallet").want(t, 200, "/login")
	nobody.submit(t, second, "/login/code", url.Values{"totp": {codeAt(t, secret, 0)}}).want(t, 200, "/market")
	if strings.Contains(s.log.String(), token) || strings.Contains(s.log.String(), fresh) {
		t.Error("the log holds a secret")
	}
	if s.fed(t, handle, market.SecurityPasswordReset) != 1 {
		t.Error("the feed does not tell of it")
	}
	var stored string
	if err := s.store.DB().Get(&stored, `SELECT COALESCE(string_agg(k::text, ''), '') || COALESCE((SELECT string_agg(m::text, '') FROM mails m), '') FROM mail_links k`); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(stored, token) || strings.Contains(stored, fmt.Sprintf("%x", token)) {
		t.Error("the database holds the token")
	}
}

// TestResetAsksAreThrottled, by address of the mail and of the visitor,
// whatever that says.
func TestResetAsksAreThrottled(t *testing.T) {
	t.Parallel()
	s := newServerOf(t, mailing, func(o *handlers.Options) { o.RateLimits = true })
	b := s.browser(t)
	ask := func(email string, i int) int {
		return b.send(t, "POST", "/forgot", url.Values{"email": {email}}, "X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i)).status
	}
	for i := range 5 {
		if got := ask("sam@example.org", i); got != 200 {
			t.Fatalf("ask %d: %d", i, got)
		}
	}
	if got := ask("SAM@example.org", 9); got != 429 {
		t.Errorf("the sixth for an address: %d", got)
	}
	last := 0
	for i := range 30 {
		last = ask(fmt.Sprintf("sam-%d@example.org", i), i)
	}
	if last != 429 {
		t.Errorf("many addresses from one: %d", last)
	}
}

// TestWithoutMail the page says who can help, and an address changes at once.
func TestWithoutMail(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b, handle := s.human(t)
	s.browser(t).get(t, "/forgot").says(t, ".lede", "operator")
	s.browser(t).send(t, "POST", "/forgot", url.Values{"email": {handle + "@example.org"}}).want(t, 200, "/forgot")
	_, other := s.human(t)
	page := b.get(t, "/settings/security")
	b.submit(t, page, "/settings/security/email", url.Values{"email": {strings.ToUpper(other) + "@example.org"}}).want(t, 409, "/settings/security/email").says(t, "#email-fault", "has an account")
	b.submit(t, page, "/settings/security/email", url.Values{"email": {"not an address"}}).want(t, 422, "/settings/security/email").says(t, "#email-fault", "e-mail")
	b.submit(t, page, "/settings/security/email", url.Values{"email": {handle + "@example.net"}}).want(t, 200, "/settings/security").says(t, "#address-h ~ *, .panel", handle+"@example.net")
	again := s.browser(t)
	again.submit(t, again.get(t, "/login"), "/login", url.Values{"email": {handle + "@example.net"}, "password": {password}}).want(t, 200, "/market")
	b.send(t, "POST", "/settings/security/email/verify", url.Values{}).want(t, 404, "/settings/security/email/verify")
	if n := s.waiting(t); n != 0 {
		t.Errorf("%d mails are queued", n)
	}
}

// TestVerification: a link at registration, from its own session only; a new
// address takes effect when it is proved, and the old one is told.
func TestVerification(t *testing.T) {
	t.Parallel()
	s := newServerOf(t, mailing)
	b := s.browser(t)
	handle := unique("human")
	email := handle + "@example.org"
	b.send(t, "POST", "/register?lang=zh-CN", url.Values{"handle": {handle}, "email": {email}, "password": {password}}).want(t, 200, "/market")
	first := s.mailed(t, market.MailVerify, email)
	if first.Lang != "zh-CN" || first.Handle != handle {
		t.Errorf("the mail is %+v", first)
	}
	verified := func() (yes bool) {
		t.Helper()
		if err := s.store.DB().Get(&yes, `SELECT verified_at IS NOT NULL FROM accounts WHERE handle = $1`, handle); err != nil {
			t.Fatal(err)
		}
		return yes
	}
	page := b.get(t, "/verify?token="+first.Args["Token"]).want(t, 200, "/verify")
	if verified() {
		t.Error("looking at the link has verified the address")
	}
	stranger, _ := s.human(t)
	stranger.submit(t, stranger.get(t, "/verify?token="+first.Args["Token"]), "/verify", nil).want(t, 409, "/verify")
	b.submit(t, page, "/verify", nil).want(t, 200, "/settings/security").says(t, "#address-h + .state-ok", "Confirmed")
	if !verified() {
		t.Error("the account is not verified")
	}
	b.submit(t, page, "/verify", nil).want(t, 409, "/verify")

	moved := handle + "@example.net"
	asked := b.submit(t, b.get(t, "/settings/security"), "/settings/security/email", url.Values{"email": {moved}}).want(t, 200, "/settings/security")
	asked.says(t, ".notice", moved)
	link := s.mailed(t, market.MailVerify, moved).Args["Token"]
	s.logIn(t, handle) // the old address until then
	b.submit(t, b.get(t, "/verify?token="+link), "/verify", nil).want(t, 200, "/settings/security")
	if old := s.mailed(t, market.MailMoved, email); old.Args["Email"] != moved {
		t.Errorf("the old address is told %+v", old)
	}
	if told := s.mailed(t, market.MailNotice, moved); told.Args["What"] != string(market.SecurityAddressChanged) {
		t.Errorf("the notice is %+v", told)
	}
	other := s.browser(t)
	other.submit(t, other.get(t, "/login"), "/login", url.Values{"email": {email}, "password": {password}}).want(t, 401, "/login")
	other.submit(t, other.get(t, "/login"), "/login", url.Values{"email": {moved}, "password": {password}}).want(t, 200, "/market")

	// What operators took back no mail brings again.
	a, err := s.store.AccountByHandle(t.Context(), handle)
	if err != nil {
		t.Fatal(err)
	}
	s.want(t, 200, s.call(t, s.judge(t), "POST", "/api/v1/admin/accounts/"+string(a.ID)+"/unverify", map[string]any{"reason": "It was another."}))
	b.submit(t, b.get(t, "/settings/security"), "/settings/security/email", url.Values{"email": {email}}).want(t, 200, "/settings/security")
	b.submit(t, b.get(t, "/verify?token="+s.mailed(t, market.MailVerify, email).Args["Token"]), "/verify", nil).want(t, 200, "/settings/security")
	if verified() {
		t.Error("a mail has verified what operators took back")
	}
}

// TestANewAddressOfSomebodyElse is refused when it would take effect.
func TestANewAddressOfSomebodyElse(t *testing.T) {
	t.Parallel()
	s := newServerOf(t, mailing)
	b, handle := s.human(t)
	wanted := unique("wanted") + "@example.org"
	b.submit(t, b.get(t, "/settings/security"), "/settings/security/email", url.Values{"email": {wanted}}).want(t, 200, "/settings/security")
	link := s.mailed(t, market.MailVerify, wanted).Args["Token"]
	quick := s.browser(t)
	quick.submit(t, quick.get(t, "/register"), "/register", url.Values{"handle": {unique("quick")}, "email": {wanted}, "password": {password}}).want(t, 200, "/market")
	b.submit(t, b.get(t, "/verify?token="+link), "/verify", nil).want(t, 409, "/verify")
	s.logIn(t, handle)
}

// TestOldLinksEnd: a newer link, a used one and a change of the address end
// earlier ones.
func TestOldLinksEnd(t *testing.T) {
	t.Parallel()
	s := newServerOf(t, mailing)
	_, handle := s.human(t)
	email := handle + "@example.org"
	var tokens []string
	for range 2 {
		if err := s.store.AskForReset(t.Context(), email, store.Origin{}); err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, s.mailed(t, market.MailReset, email).Args["Token"])
	}
	if err := s.store.Reset(t.Context(), tokens[0], "hash", store.Origin{}); err != nil {
		t.Fatal(err)
	}
	if err := s.store.Reset(t.Context(), tokens[1], "hash", store.Origin{}); err == nil {
		t.Error("another link works after one was used")
	}
	token, err := s.store.IssueReset(t.Context(), handle, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.store.DB().Exec(`UPDATE mail_links SET expires_at = now() WHERE used_at IS NULL`); err != nil {
		t.Fatal(err)
	}
	b := s.browser(t)
	b.get(t, "/reset?token="+token).want(t, 409, "/reset")
	if err := s.store.Reset(t.Context(), token, "hash", store.Origin{}); err == nil {
		t.Error("a link works after its time")
	}
}

// TestRaceReset: of twenty who use one link at once, one sets the password.
func TestRaceReset(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	_, handle := s.human(t)
	token, err := s.store.IssueReset(t.Context(), handle+"@example.org", false)
	if err != nil {
		t.Fatal(err)
	}
	won := make(chan string, 20)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			hash := fmt.Sprint("hash-", i)
			if err := s.store.Reset(t.Context(), token, hash, store.Origin{}); err == nil {
				won <- hash
			}
		})
	}
	all.Wait()
	close(won)
	winner := <-won
	if more, ok := <-won; ok || winner == "" {
		t.Errorf("%q and %q both set a password", winner, more)
	}
	a, err := s.store.AccountByHandle(t.Context(), handle)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := s.store.OwnLogin(t.Context(), a.ID); err != nil || l.Hash != winner {
		t.Errorf("the hash is %s, want %s (%v)", l.Hash, winner, err)
	}
}

// TestResetLinkOfOperators removes a lost second factor if it says so, and is in
// the operators' log.
func TestResetLinkOfOperators(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b, handle := s.human(t)
	b.enrol(t)
	token, err := s.store.IssueReset(t.Context(), handle, true)
	if err != nil {
		t.Fatal(err)
	}
	const fresh = "another horse battery"
	other := s.browser(t)
	done := other.submit(t, other.get(t, "/reset?token="+token), "/reset", url.Values{"newPassword": {fresh}}).want(t, 200, "/login")
	other.submit(t, done, "/login", url.Values{"email": {handle + "@example.org"}, "password": {fresh}}).want(t, 200, "/market")
	other.get(t, "/settings/security").says(t, ".timeline", "Second step removed")
	office := s.operator(t)
	office.get(t, "/admin/log").says(t, "tbody", "Link for a new password")
	if strings.Contains(office.get(t, "/admin/log").text, token) {
		t.Error("the operators' log holds the token")
	}
}

// TestNoticesGoToProvenAddressesOnly: an address that nobody has confirmed may
// be a stranger's.
func TestNoticesGoToProvenAddressesOnly(t *testing.T) {
	t.Parallel()
	s := newServerOf(t, mailing)
	b, handle := s.human(t)
	email := handle + "@example.org"
	link := s.mailed(t, market.MailVerify, email)
	before := s.waiting(t)
	b.send(t, "POST", "/settings/security/sessions/end", url.Values{}).want(t, 200, "/settings/security")
	if n := s.waiting(t); n != before {
		t.Errorf("%d mails went to an address that was not proved", n-before)
	}
	b.submit(t, b.get(t, "/verify?token="+link.Args["Token"]), "/verify", nil).want(t, 200, "/settings/security")
	b.send(t, "POST", "/settings/security/sessions/end", url.Values{}).want(t, 200, "/settings/security")
	if m := s.mailed(t, market.MailNotice, email); m.Args["What"] != string(market.SecuritySessionsEnded) || m.Args["Address"] != "127.0.0.1" {
		t.Errorf("the notice is %+v", m)
	}
}
