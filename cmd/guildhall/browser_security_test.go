package main

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/pquerna/otp/totp"
)

// namedSite is a site under a name, as browsers want it for passkeys.
func namedSite(t *testing.T) string {
	t.Helper()
	needsPostgres(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	url := "http://localhost:" + port
	startAt(t, dataDir(t), addr, "GUILDHALL_BASE_URL="+url)
	return url
}

// TestPasskeyInTheBrowser registers one with the browser's authenticator, logs
// out, logs in with it, proves with it, and is refused after it was removed.
func TestPasskeyInTheBrowser(t *testing.T) {
	b := newTab(t, namedSite(t))
	call(b, webauthn.Enable, webauthn.EnableParams{})
	call(b, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true}})
	b.person("passkeeper")
	b.open("/settings/security")
	b.click(`form[action$="/passkeys/begin"] button`)
	b.until(`document.querySelector('[data-passkey=create]')`)
	b.fill(map[string]string{"name": "This browser"})
	b.click(`form[action="/settings/security/passkeys"] button`)
	b.until(`location.pathname === '/settings/security' && document.querySelector('#flash .flash') && document.querySelector('form[action$="/remove"]')`)

	logOut := func() {
		t.Helper()
		b.send(`form[action="/logout"]`, "")
		b.until(`location.pathname === '/' && document.querySelector('.bar a[href="/login"]')`)
	}
	logOut()
	b.open("/login?next=/wallet")
	b.click(`form[action="/login/passkey"] button`)
	b.until(`location.pathname === '/wallet' && document.querySelector('.purse')`)

	b.open("/confirm?next=/referrals")
	b.click(`form[action="/confirm/passkey"] button`)
	b.until(`location.pathname === '/referrals'`)

	b.open("/settings/security")
	b.click(`form[action$="/remove"] button`)
	b.until(`document.querySelector('#flash .flash') && !document.querySelector('form[action$="/remove"]')`)
	logOut()
	b.open("/login")
	b.click(`form[action="/login/passkey"] button`)
	b.until(`location.pathname === '/login/passkey/finish' && document.querySelector('.error-page')`)
}

// TestPasskeyOfNoDevice says so, and lets one try again or take the password.
func TestPasskeyOfNoDevice(t *testing.T) {
	url := namedSite(t)
	b := newTab(t, url)
	call(b, webauthn.Enable, webauthn.EnableParams{})
	call(b, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: false, AutomaticPresenceSimulation: true}})
	b.person("nodevice")
	b.open("/settings/security")
	b.click(`form[action$="/passkeys/begin"] button`)
	b.until(`document.querySelector('[data-passkey=create]')`)
	b.fill(map[string]string{"name": "Refused"})
	b.click(`form[action="/settings/security/passkeys"] button`)
	b.until(`document.querySelector('[data-passkey-failed]').checkVisibility() && location.pathname === '/settings/security/passkeys/begin'`)

	quiet := newTab(t, url)
	quiet.withoutScripts()
	quiet.open("/login")
	quiet.click(`form[action="/login/passkey"] button`)
	quiet.until(`document.querySelector('noscript') && document.querySelector('a[href="/login"]')`)
}

// TestSecondStepInTheBrowser switches it on by hand and logs in with it, all
// without JavaScript.
func TestSecondStepInTheBrowser(t *testing.T) {
	w := theWorld(t)
	b := newTab(t, w.url)
	b.withoutScripts()
	handle := fmt.Sprintf("stepper-%d", time.Now().UnixNano()%1e6)
	b.person(handle)
	b.open("/settings/security")
	b.click(`form[action$="/totp/begin"] button`)
	b.until(`document.querySelector('svg[role=img] path') && document.querySelector('#secret')`)
	secret := strings.ReplaceAll(eval[string](b, `document.querySelector('#secret').textContent`), " ", "")
	code := func(steps int) string {
		t.Helper()
		c, err := totp.GenerateCode(secret, time.Now().Add(time.Duration(steps)*30*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	b.fill(map[string]string{"totp": code(-1)})
	b.click(`form[action="/settings/security/totp"] button`)
	b.until(`document.querySelector('#codes')`)
	if n := len(strings.Fields(eval[string](b, `document.querySelector('#codes').textContent`))); n != 10 {
		t.Errorf("%d recovery codes are shown", n)
	}
	b.click(`main .page-actions a`)
	b.until(`location.pathname === '/settings/security' && document.querySelector('.state-ok')`)
	b.send(`form[action="/logout"]`, "")
	b.until(`document.querySelector('.bar a[href="/login"]')`)
	b.open("/login?next=/wallet")
	b.fill(map[string]string{"email": handle + "@example.org", "password": password})
	b.click(`form[action="/login"] button`)
	b.until(`document.querySelector('form[action="/login/code"]')`)
	b.fill(map[string]string{"totp": "000000"})
	b.click(`form[action="/login/code"] button`)
	b.until(`document.querySelector('#totp-fault')`)
	b.fill(map[string]string{"totp": code(0)})
	b.click(`form[action="/login/code"] button`)
	b.until(`location.pathname === '/wallet' && document.querySelector('.purse')`)
}
