package handlers_test

import (
	"fmt"
	"math"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"guildhall/handlers"
	"guildhall/market"
)

// codeAt is the app's code at the moment that many steps from now.
func codeAt(t testing.TB, secret string, steps int) string {
	t.Helper()
	code, err := totp.GenerateCode(secret, time.Now().Add(time.Duration(steps)*30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// enrol switches the person's second factor on and returns its secret and the
// recovery codes. The code before the present one is used up by it.
func (b *browser) enrol(t testing.TB) (secret string, recovery []string) {
	t.Helper()
	page := b.submit(t, b.get(t, "/settings/security"), "/settings/security/totp/begin", nil).want(t, 200, "/settings/security/totp")
	secret = strings.ReplaceAll(page.doc.Find("#secret").Text(), " ", "")
	if page.doc.Find("svg[role=img] path").AttrOr("d", "") == "" {
		t.Error("the page has no picture of the secret")
	}
	b.submit(t, page, "/settings/security/totp", url.Values{"totp": {"000 0000"}}).want(t, 422, "/settings/security/totp").says(t, "#totp-fault", "wrong")
	done := b.submit(t, page, "/settings/security/totp", url.Values{"totp": {codeAt(t, secret, -1)}}).want(t, 200, "/settings/security/totp")
	return secret, strings.Fields(done.doc.Find("#codes").Text())
}

// TestTOTP switches the second step on, logs in with it, and off again.
func TestTOTP(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b, handle := s.human(t)
	secret, recovery := b.enrol(t)
	if len(recovery) != market.RecoveryCodes {
		t.Fatalf("got %d recovery codes", len(recovery))
	}
	b.get(t, "/settings/security/totp").want(t, 404, "/settings/security/totp") // shown until it is on
	b.get(t, "/settings/security").says(t, ".panel", "10 recovery codes are left")

	other := s.browser(t)
	login := func(path string) screen {
		t.Helper()
		return other.submit(t, other.get(t, path), "/login", url.Values{"email": {handle + "@example.org"}, "password": {password}}).want(t, 200, "/login")
	}
	at := login("/login?next=/wallet")
	half := other.token(t)
	other.get(t, "/wallet").want(t, 200, "/login") // half a log-in opens nothing
	other.get(t, "/settings/security").want(t, 200, "/login")
	wrong := other.submit(t, at, "/login/code", url.Values{"totp": {"12345"}}).want(t, 422, "/login/code")
	wrong.says(t, "#totp-fault", "wrong")
	if wrong.doc.Find("#totp").AttrOr("value", "") != "" {
		t.Error("the page repeats the code")
	}
	other.submit(t, wrong, "/login/code", url.Values{"totp": {codeAt(t, secret, -1)}}).want(t, 422, "/login/code") // used when it was switched on
	code := codeAt(t, secret, 0)
	other.submit(t, wrong, "/login/code", url.Values{"totp": {code[:3] + " " + code[3:]}}).want(t, 200, "/wallet")
	if other.token(t) == half {
		t.Error("the token is the same after the second step")
	}
	s.withToken(t, half).get(t, "/wallet").want(t, 200, "/login")

	// The same code again, then a recovery code, once.
	other = s.browser(t)
	at = login("/login")
	other.submit(t, at, "/login/code", url.Values{"totp": {code}}).want(t, 422, "/login/code")
	other.submit(t, at, "/login/code", url.Values{"totp": {strings.ToUpper(recovery[3])}}).want(t, 200, "/market")
	other = s.browser(t)
	at = login("/login")
	other.submit(t, at, "/login/code", url.Values{"totp": {recovery[3]}}).want(t, 422, "/login/code")
	b.get(t, "/settings/security").says(t, ".timeline", "Logged in with a recovery code")

	// New recovery codes end the old ones.
	fresh := strings.Fields(b.submit(t, b.get(t, "/settings/security"), "/settings/security/recovery", nil).want(t, 200, "/settings/security/recovery").doc.Find("#codes").Text())
	other.submit(t, at, "/login/code", url.Values{"totp": {recovery[4]}}).want(t, 422, "/login/code")
	other.submit(t, at, "/login/code", url.Values{"totp": {fresh[4]}}).want(t, 200, "/market")

	b.submit(t, b.get(t, "/settings/security"), "/settings/security/totp/off", nil).want(t, 200, "/settings/security").says(t, "#flash", "off")
	s.logIn(t, handle)
	b.send(t, "POST", "/settings/security/recovery", url.Values{}).want(t, 404, "/settings/security/recovery")
	for _, kind := range []market.FeedType{market.SecurityTOTPEnabled, market.SecurityTOTPDisabled, market.SecurityRecoveryRenewed} {
		if n := s.fed(t, handle, kind); n != 1 {
			t.Errorf("the feed has %d lines of %s", n, kind)
		}
	}
	for _, secret := range append(recovery, secret, code, half) {
		if strings.Contains(s.log.String(), secret) {
			t.Error("the log holds a secret")
		}
	}
}

// TestTOTPSecretsAreSealed: the database holds neither the secret nor a code.
func TestTOTPSecretsAreSealed(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b, _ := s.human(t)
	secret, recovery := b.enrol(t)
	var all string
	if err := s.store.DB().Get(&all, `SELECT string_agg(f::text, ' ') || (SELECT string_agg(r::text, ' ') FROM recovery_codes r) || (SELECT string_agg(encode(data, 'escape'), ' ') FROM sessions) FROM second_factors f`); err != nil {
		t.Fatal(err)
	}
	for _, text := range append(recovery, secret) {
		if strings.Contains(all, text) || strings.Contains(all, fmt.Sprintf("%x", text)) {
			t.Error("the database holds a secret in the clear")
		}
	}
}

// TestCodesAreThrottled whatever address they say they come from.
func TestCodesAreThrottled(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(o *handlers.Options) { o.RateLimits = true })
	b, handle := s.human(t)
	b.enrol(t) // takes a turn
	other := s.browser(t)
	other.submit(t, other.get(t, "/login"), "/login", url.Values{"email": {handle + "@example.org"}, "password": {password}})
	var last screen
	for i := range 5 {
		values := url.Values{"totp": {"000000"}, "next": {""}}
		last = other.send(t, "POST", "/login/code", values, "X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i))
	}
	last.want(t, 429, "/login/code").says(t, ".error-summary", "too often")
}

// TestHalfALogInEnds: with time, with a change of the password, and with the
// suspension of the account.
func TestHalfALogInEnds(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b, handle := s.human(t)
	secret, recovery := b.enrol(t)
	begin := func(word string) (*browser, screen) {
		t.Helper()
		other := s.browser(t)
		return other, other.submit(t, other.get(t, "/login"), "/login", url.Values{"email": {handle + "@example.org"}, "password": {word}}).want(t, 200, "/login")
	}
	other, at := begin(password)
	const fresh = "another horse battery"
	b.submit(t, b.get(t, "/settings/security"), "/settings/password", url.Values{"currentPassword": {password}, "newPassword": {fresh}}).want(t, 200, "/settings/security")
	other.submit(t, at, "/login/code", url.Values{"totp": {codeAt(t, secret, 0)}}).want(t, 200, "/login").says(t, "#flash", "log in again")
	other.get(t, "/wallet").want(t, 200, "/login")

	other, at = begin(fresh)
	a, err := s.store.AccountByHandle(t.Context(), handle)
	if err != nil {
		t.Fatal(err)
	}
	s.want(t, 200, s.call(t, s.judge(t), "POST", "/api/v1/admin/accounts/"+string(a.ID)+"/suspend", map[string]any{"reason": "Spam."}))
	other.submit(t, at, "/login/code", url.Values{"totp": {recovery[0]}}).want(t, 403, "/login/code").says(t, ".error-summary", "suspended")
	other.get(t, "/wallet").want(t, 200, "/login")
	s.browser(t).send(t, "POST", "/login/code", url.Values{"totp": {codeAt(t, secret, 0)}}).want(t, 200, "/login")
}

// TestConfirmByCode proves who asks without the password.
func TestConfirmByCode(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b, _ := s.human(t)
	secret, _ := b.enrol(t)
	s.stale(t)
	page := b.get(t, "/confirm?next=/wallet")
	b.submit(t, page, "/confirm", url.Values{"totp": {codeAt(t, secret, -1)}}).want(t, 422, "/confirm")
	b.submit(t, page, "/confirm", url.Values{"totp": {codeAt(t, secret, 0)}}).want(t, 200, "/wallet")
	b.get(t, "/settings/security/totp").want(t, 404, "/settings/security/totp")
}

// TestLogInCarriesTheFormOverBothSteps, so that nothing typed is lost.
func TestLogInCarriesTheFormOverBothSteps(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b, handle := s.human(t)
	secret, _ := b.enrol(t)
	form := b.get(t, "/tasks/new")
	if _, err := s.store.DB().Exec(`DELETE FROM sessions`); err != nil {
		t.Fatal(err)
	}
	asked := b.submit(t, form, "/tasks", url.Values{"title": {"Typed before"}, "brief": {"Return the sum as a number."}, "reward": {"7"}}).want(t, 401, "/tasks")
	second := b.submit(t, asked, "/login", url.Values{"email": {handle + "@example.org"}, "password": {password}}).want(t, 200, "/login")
	offered := b.submit(t, second, "/login/code", url.Values{"totp": {codeAt(t, secret, 0)}}).want(t, 200, "/login/code")
	b.submit(t, offered, "/tasks", nil).says(t, "h1", "Typed before")
}

var recoveryShape = regexp.MustCompile(`^[2-9a-hj-km-np-z]{4}(-[2-9a-hj-km-np-z]{4}){3}$`)

func TestRecoveryCodesCanBeRead(t *testing.T) {
	t.Parallel()
	for range 100 {
		if c := market.NewRecoveryCode(); !recoveryShape.MatchString(c) {
			t.Errorf("got %q", c)
		}
	}
}

// TestUnknownAddressesCostAsMuch: what takes long is the password's hash, which
// needs 19 MiB at a time. A wrong one is hashed once, whoever it is for.
func TestUnknownAddressesCostAsMuch(t *testing.T) { // alone: it counts what the process allocates
	s := newServer(t)
	_, handle := s.human(t)
	b := s.browser(t)
	b.get(t, "/login")
	allocated := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.TotalAlloc
	}
	const one = 19 << 20
	for _, email := range []string{handle + "@example.org", handle + "@example.com"} {
		least := uint64(math.MaxUint64) // what else goes on only adds
		for range 3 {
			before := allocated()
			b.send(t, "POST", "/login", url.Values{"email": {email}, "password": {"not the password"}}).want(t, 401, "/login")
			least = min(least, allocated()-before)
		}
		if least < one || least > 2*one-1 {
			t.Errorf("%s: %d MiB, want those of one hash", email, least>>20)
		}
	}
}

// TestForgottenPasswordsKeepTheirSecret: the answer waits for nothing that only
// an account needs. Nobody can read an address meanwhile.
func TestForgottenPasswordsKeepTheirSecret(t *testing.T) {
	t.Parallel()
	s := newServerOf(t, mailing)
	_, handle := s.human(t)
	b := s.browser(t)
	b.get(t, "/forgot")
	tx, err := s.store.DB().Beginx()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.Exec(`LOCK TABLE logins`); err != nil {
		t.Fatal(err)
	}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		for _, email := range []string{handle + "@example.org", handle + "@example.com"} {
			b.send(t, "POST", "/forgot", url.Values{"email": {email}}).want(t, 200, "/forgot").says(t, ".lede", "If this address has an account")
		}
	}()
	select {
	case <-answered:
	case <-time.After(20 * time.Second):
		t.Error("the answer waits for what only an account needs")
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	<-answered
	s.mailed(t, market.MailReset, handle+"@example.org")
}
