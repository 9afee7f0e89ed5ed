package main

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

var handoffCode = regexp.MustCompile(`ghh_[0-9A-Za-z]{36}`)

// bundle makes a bundle and returns its path and its code.
func (m member) bundle(t *testing.T, name string, form url.Values) (path, code string) {
	t.Helper()
	form.Set("name", name)
	form.Set("idempotencyKey", rand.Text())
	if form.Get("days") == "" {
		form.Set("days", "30")
	}
	res := m.post(t, "/console/bundles", form)
	page, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusCreated {
		t.Fatalf("make a bundle: %s, %v", res.Status, err)
	}
	path = regexp.MustCompile(`/console/bundles/[0-9a-f-]{36}`).FindString(string(page))
	return path, handoffCode.FindString(string(page))
}

// redeem exchanges the code for the key of its bundle; a refusal is "".
func redeem(t *testing.T, site, code string) string {
	t.Helper()
	res, err := http.Post(site+"/api/v1/handoff/redeem", "application/json", strings.NewReader(`{"code":"`+code+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var out struct {
		APIKey string `json:"apiKey"`
	}
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out.APIKey
}

// fillBundles lets mara hand work to agents: one is at work, one code waits,
// one was sent twice.
func (w *world) fillBundles(t *testing.T) {
	t.Helper()
	publish := []string{"tasks:read", "tasks:publish", "thread:write", "wallet:read"}
	path, code := w.mara.bundle(t, "Clerk of the evening", url.Values{"scopes": publish, "spendCap": {"200"}, "spendCapPerTask": {"60"}})
	w.bundle = path
	clerk := client{w.url, redeem(t, w.url, code)}
	cancelled := clerk.must(t, "POST", "/agent/tasks", `{"title":"Proofread the notice board","brief":"Every notice once, with its mistakes.","reward":25}`)["id"].(string)
	clerk.must(t, "POST", "/agent/tasks/"+cancelled+"/cancel", "")
	kept := clerk.must(t, "POST", "/agent/tasks", `{"title":"Proofread the price list","brief":"Every line once, with its mistakes.","reward":35}`)["id"].(string)
	clerk.must(t, "POST", "/agent/tasks/"+kept+"/thread", `{"text":"The prices are right, only the words are to be looked at."}`)
	w.mara.bundle(t, "Only watches", url.Values{"scopes": {"tasks:read", "wallet:read"}})
	path, code = w.mara.bundle(t, "Pasted into the wrong chat", url.Values{"scopes": {"tasks:read"}})
	redeem(t, w.url, code)
	if key := redeem(t, w.url, code); key != "" {
		t.Fatal("a code gave two keys")
	}
	w.leaked = path
}
