package handlers_test

import (
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"guildhall/handlers"
	"guildhall/market"
	"guildhall/views"
)

// TestRecipes tries every recipe of the cookbook with its right and its wrong
// output.
func TestRecipes(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b := s.browser(t)
	for _, r := range views.Recipes() {
		page := b.get(t, "/docs/rules?recipe="+r.Name).want(t, 200, "/docs/rules")
		b.submit(t, page, "/docs/rules", nil).want(t, 200, "/docs/rules").says(t, "#try [role=status] > p", "Passes")
		b.submit(t, page, "/docs/rules", url.Values{"output": {r.Wrong}}).want(t, 200, "/docs/rules").says(t, "#try [role=status] > p", "Fails")
	}
	page := b.get(t, "/docs/rules")
	for name, bad := range map[string]url.Values{"schema": {"schema": {"{"}}, "output": {"output": {""}}, "rules": {"rules": {`[{"name":"x","kind":"nothing"}]`}}} {
		got := b.submit(t, page, "/docs/rules", bad)
		if got.status != 422 || got.doc.Find("#"+name+"-fault").Length() != 1 {
			t.Errorf("%s: %d %s", name, got.status, strings.Join(strings.Fields(got.doc.Find(".error-summary").Text()), " "))
		}
	}
	for _, bad := range []url.Values{{"schema": {`{"type":"nothing"}`}}, {"rules": {`[{"name":"x","kind":"cel","expression":"output +"}]`}}, {"rules": {`{}`}}, {"rules": {`[1]`}}} {
		if got := b.submit(t, page, "/docs/rules", bad); got.status != 422 || got.doc.Find(".error-summary li").Length() == 0 {
			t.Errorf("%v: %d", bad, got.status)
		}
	}
}

// TestTrialsAreThrottled lets one address try so often only.
func TestTrialsAreThrottled(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(o *handlers.Options) { o.RateLimits = true })
	b := s.browser(t)
	for n := 0; ; n++ {
		got := b.send(t, "POST", "/docs/rules", url.Values{"output": {"1"}})
		if got.status == 429 {
			if n < 10 || got.header.Get("Retry-After") == "" {
				t.Errorf("refused after %d", n)
			}
			break
		}
		if got.status != 200 || n > 20 {
			t.Fatalf("try %d: %d", n, got.status)
		}
	}
}

// TestDocs are whole in both languages, and list every refusal.
func TestDocs(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b := s.browser(t)
	errors := b.get(t, "/docs/errors").want(t, 200, "/docs/errors")
	for _, e := range market.Errors() {
		row := errors.doc.Find("#" + e.Code)
		if row.Length() != 1 || strings.Contains(row.Text(), "<no value>") {
			t.Errorf("%s: %q", e.Code, row.Text())
		}
	}
	var headings []int
	for _, lang := range []string{"en", "zh-CN"} {
		for i, page := range []string{"agents", "people", "secrets", "webhooks"} {
			p := b.get(t, "/docs/"+page+"?lang="+lang).want(t, 200, "/docs/"+page)
			n := p.doc.Find(".prose h2").Length()
			if lang == "en" {
				headings = append(headings, n)
			} else if n != headings[i] || n == 0 {
				t.Errorf("%s has %d headings in Chinese, %d in English", page, n, headings[i])
			}
			if strings.Contains(p.text, "{{") || strings.Contains(p.text, "<no value>") || !strings.Contains(p.text, "/api/v1") && page != "people" {
				t.Errorf("%s in %s has holes", page, lang)
			}
		}
	}
	if log := b.get(t, "/docs/changelog?lang=en").want(t, 200, "/docs/changelog"); log.doc.Find(".prose li").Length() < 10 {
		t.Error("the changelog is empty")
	}
	if !strings.Contains(b.get(t, "/docs/agents?lang=zh-CN").text, market.KeyPattern) {
		t.Error("the pattern of keys is nowhere to be found")
	}
	prompt := b.get(t, "/docs/agents?lang=en").doc.Find("#prompt").Text()
	if !strings.Contains(prompt, "http://test/skill.md") {
		t.Errorf("the prompt is %q", prompt)
	}
}

// TestWebhookExample holds the example of the documentation against the code
// that signs, and runs the shell's way to verify it.
func TestWebhookExample(t *testing.T) {
	t.Parallel()
	page := newServer(t).browser(t).get(t, "/docs/webhooks?lang=en").want(t, 200, "/docs/webhooks")
	value := func(name string) string {
		return page.doc.Find(".prose td:contains('" + name + "') + td").First().Text()
	}
	n, err := strconv.ParseInt(value("webhook-timestamp"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	call := market.WebhookCall{ID: market.FeedEventID(value("webhook-id")), At: time.Unix(n, 0), Body: []byte(value("body")), Secrets: []string{value("secret")}}
	if got := call.Signature(); got != value("webhook-signature") {
		t.Errorf("it is signed %s, the page says %s", got, value("webhook-signature"))
	}
	shell := page.doc.Find("code.language-sh").Text()
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	cmd := exec.Command("bash", "-euc", shell)
	cmd.Env = append(os.Environ(), "SECRET="+value("secret"), "ID="+value("webhook-id"), "TIMESTAMP="+value("webhook-timestamp"), "BODY="+value("body"))
	out, err := cmd.Output()
	if err != nil || "v1,"+strings.TrimSpace(string(out)) != value("webhook-signature") {
		t.Errorf("the shell makes %s, %v", out, err)
	}
}
