package main

import (
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/pquerna/otp/totp"
)

// fillSecurity makes people who protect their accounts.
func (w *world) fillSecurity(t *testing.T, dir string) {
	t.Helper()
	w.careful, w.guarded = join(t, w.url, "careful"), join(t, w.url, "guarded")
	w.guarded.logInFrom(t, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Version/18.0 Mobile/15E148 Safari/604.1")
	w.guarded.logInFrom(t, "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0")
	w.guarded.enrol(t)
	made := exec.Command(program, "admin", "reset-link", "newcomer")
	made.Env = environment(dir)
	out, err := made.Output()
	if err != nil {
		t.Fatalf("make a link: %v", err)
	}
	link, err := url.Parse(strings.Fields(string(out))[0])
	if err != nil {
		t.Fatal(err)
	}
	w.reset = link.RequestURI()
}

// logInFrom begins another session of the person, in that browser.
func (m member) logInFrom(t *testing.T, agent string) {
	t.Helper()
	form := url.Values{"email": {m.email()}, "password": {password}}
	req, err := http.NewRequest("POST", m.url+"/login", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("User-Agent", agent)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusSeeOther {
		t.Fatalf("log in as %s: %s", m.handle, res.Status)
	}
}

// beginTOTP returns the secret that waits for its first code.
func (m member) beginTOTP(t *testing.T) string {
	t.Helper()
	m.post(t, "/settings/security/totp/begin", url.Values{})
	res := m.request(t, "GET", "/settings/security/totp", nil)
	defer res.Body.Close()
	doc, err := goquery.NewDocumentFromReader(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(doc.Find("#secret").Text(), " ", "")
}

// enrol switches the person's second factor on and returns its secret.
func (m member) enrol(t *testing.T) string {
	t.Helper()
	secret := m.beginTOTP(t)
	code, err := totp.GenerateCode(secret, time.Now().Add(-30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if res := m.post(t, "/settings/security/totp", url.Values{"totp": {code}}); res.StatusCode != http.StatusOK {
		t.Fatalf("switch on the second factor of %s: %s", m.handle, res.Status)
	}
	return secret
}
