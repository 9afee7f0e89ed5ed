package handlers_test

import (
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"guildhall/market"
	"guildhall/market/protected"
	"guildhall/static"
)

// TestSealingIsAskedFor: a form that wants protected fields publishes nothing
// before they are sealed, whatever else it brings.
func TestSealingIsAskedFor(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, _ := s.human(t)
	form := url.Values{"title": {"Check the staging site"}, "brief": {"Log in with the token and count."}, "reward": {"10"}, "protect": {"on"}, "idempotencyKey": {unique("k")}}
	step := mara.send(t, "POST", "/tasks", form).want(t, 200, "/tasks")
	csp := step.header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "require-trusted-types-for 'script'; trusted-types 'none'") || !strings.Contains(csp, "connect-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("the policy of the page is %q", csp)
	}
	if scripts := step.doc.Find("script"); scripts.Length() != 2 || !strings.Contains(scripts.First().AttrOr("src", ""), "vault-") || scripts.First().AttrOr("integrity", "") == "" || strings.Contains(step.text, "htmx-") {
		t.Errorf("the page loads %d scripts", scripts.Length())
	}
	if !strings.Contains(step.text, static.Digest("vault.js")) {
		t.Error("the page does not show the digest of its script")
	}
	if n := step.doc.Find(`#vault textarea[name], #vault input[type=text][name], #vault input[type=file][name]`).Length(); n != 0 {
		t.Errorf("%d fields for secrets have names and would be sent", n)
	}
	if got := step.doc.Find(`input[name="title"]`).AttrOr("value", ""); got != "Check the staging site" || step.doc.Find(`input[name="idempotencyKey"]`).Length() != 1 {
		t.Error("the task does not go along")
	}
	// Scripts did nothing: the form is sent as it is.
	sent := url.Values{}
	step.doc.Find("#vault form input[name]").Each(func(_ int, in *goquery.Selection) {
		sent.Add(in.AttrOr("name", ""), in.AttrOr("value", ""))
	})
	mara.send(t, "POST", "/tasks", sent).want(t, 200, "/tasks")
	for name, change := range map[string]func(url.Values){
		"open mode": func(f url.Values) { f.Set("mode", "open") },
		"plain text": func(f url.Values) {
			f.Set("protectedFields.taskId", newTaskID())
			f.Set("protectedFields.names", "apiToken")
			f.Set("protectedFields.ciphertext", canary)
			f.Set("protectedFields.ownerRecipients", newSealer(t).id.Recipient().String())
			f.Set("protectedFields.signerKey", newSealer(t).public())
		},
	} {
		f := url.Values{}
		for k, v := range form {
			f[k] = v
		}
		change(f)
		refused := mara.send(t, "POST", "/tasks", f).want(t, 422, "/tasks")
		if strings.Contains(refused.text, canary) {
			t.Errorf("%s: the page repeats what was sent", name)
		}
		if said, lost := refused.doc.Find(".error-summary").Text(), f.Has("protectedFields.ciphertext"); strings.Contains(said, "still here") == lost || strings.Contains(said, "type them once more") != lost {
			t.Errorf("%s: of what was typed it says %q", name, said)
		}
	}
	// What would be refused in the end is so before values are typed.
	for name, c := range map[string]struct {
		fields url.Values
		status int
		says   string
	}{
		"too dear":        {url.Values{"reward": {"900000"}}, 409, "900000"},
		"a sample passes": {url.Values{"outputSchema": {`{"type": "integer"}`}, "samples.fail.0": {"7"}}, 422, "must fail"},
	} {
		f := maps.Clone(form)
		maps.Copy(f, c.fields)
		if refused := mara.send(t, "POST", "/tasks", f).want(t, c.status, "/tasks"); refused.doc.Find("#vault").Length() != 0 || !strings.Contains(refused.text, c.says) {
			t.Errorf("%s: %s", name, refused.doc.Find(".error-summary").Text())
		}
	}
	if console := mara.get(t, "/console"); console.doc.Find(".task").Length() != 0 {
		t.Error("something was published")
	}
	// Sealed, it is.
	v, id := newSealer(t), newTaskID()
	to := v.id.Recipient().String()
	for k, value := range map[string]string{"taskId": id, "names": "apiToken", "ciphertext": v.seal(t, id, 1, protected.ToOwner, to), "ownerRecipients": to, "signerKey": v.public()} {
		form.Set("protectedFields."+k, value)
	}
	mara.send(t, "POST", "/tasks", form).want(t, 200, "/tasks/"+id)
	page := mara.get(t, "/tasks/"+id+"/vault").want(t, 200, "/tasks/"+id+"/vault")
	if !strings.Contains(page.doc.Find("#vault").AttrOr("data-ciphertext", ""), "AGE ENCRYPTED FILE") {
		t.Error("the publisher's page lacks its own copy")
	}
	other, _ := s.human(t)
	if refused := other.get(t, "/tasks/"+id+"/vault").want(t, 403, "/tasks/"+id+"/vault"); strings.Contains(refused.text, "AGE ENCRYPTED FILE") {
		t.Error("another person sees the ciphertext")
	}
	if shown := other.get(t, "/tasks/"+id).want(t, 200, "/tasks/"+id); !strings.Contains(shown.text, market.Fingerprint(v.public())) || strings.Contains(shown.text, "AGE ENCRYPTED FILE") {
		t.Error("others see too little or too much of the task's protected fields")
	}
}

// TestGrantOnPages grants until the moment of the form, and keeps what was
// typed if that is too late.
func TestGrantOnPages(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, handle := s.human(t)
	worker, v, id := s.register(t), newSealer(t), newTaskID()
	to := v.id.Recipient().String()
	mara.send(t, "POST", "/tasks", url.Values{"title": {"Check the staging site"}, "brief": {"Log in with the token and count."}, "reward": {"10"}, "protect": {"on"},
		"idempotencyKey": {unique("k")}, "protectedFields.taskId": {id}, "protectedFields.names": {"apiToken"}, "protectedFields.ciphertext": {v.seal(t, id, 1, protected.ToOwner, to)},
		"protectedFields.ownerRecipients": {to}, "protectedFields.signerKey": {v.public()}}).want(t, 200, "/tasks/"+id)
	s.claim(t, worker, id)
	agent, recipient := x25519Key(t)
	s.want(t, 200, s.confirmKey(t, worker, recipient, agent))
	base := "/api/v1/agent/tasks/" + id
	s.want(t, 201, s.call(t, worker, "POST", base+"/secret-access", nil))
	page := mara.get(t, "/tasks/"+id+"/vault").want(t, 200, "/tasks/"+id+"/vault")
	action := page.doc.Find(`form[action$="/grant"]`).AttrOr("action", "")
	offered, err := time.Parse("2006-01-02T15:04", page.doc.Find(`[name="expiresAt"]`).AttrOr("value", ""))
	if life := time.Until(offered); err != nil || life < 6*24*time.Hour || life > 7*24*time.Hour {
		t.Errorf("%s offers a grant until %s (%v)", handle, offered, err)
	}
	form := url.Values{"idempotencyKey": {unique("k")}, "revision": {"1"}, "bundle": {v.seal(t, id, 1, market.Fingerprint(recipient), recipient)}, "expiresAt": {"2199-01-01T00:00"}}
	refused := mara.send(t, "POST", action, form).want(t, 422, action)
	if got := refused.doc.Find(`#expiresAt[aria-invalid="true"]`).AttrOr("value", ""); got != "2199-01-01T00:00" || refused.doc.Find(`.error-summary a[href="#expiresAt"]`).Length() != 1 {
		t.Errorf("refused, the field has %q", got)
	}
	refused.says(t, ".error-summary", "It can be fetched until")
	refused.says(t, ".error-summary", "type it once more")
	long := strings.Repeat("é", 1001)
	refused = mara.send(t, "POST", strings.Replace(action, "/grant", "/deny", 1), url.Values{"idempotencyKey": {unique("k")}, "reason": {long}}).want(t, 422, strings.Replace(action, "/grant", "/deny", 1))
	if refused.doc.Find(`#reason`).AttrOr("value", "") != long || refused.doc.Find(`#expiresAt`).AttrOr("value", "") == "" {
		t.Error("what was typed is lost, or what the other field offers")
	}
	refused.says(t, ".error-summary", "Reason")
	refused.says(t, ".error-summary", "Everything you typed is still here")
	until := time.Now().UTC().Add(36 * time.Hour).Truncate(time.Minute)
	form.Set("expiresAt", until.Format("2006-01-02T15:04"))
	form.Set("idempotencyKey", unique("k"))
	mara.send(t, "POST", action, form).want(t, 200, "/tasks/"+id+"/vault")
	if got := s.want(t, 200, s.call(t, worker, "GET", base+"/secret-bundle", nil)); got.at("expiresAt") != until.Format(time.RFC3339) {
		t.Errorf("granted until %v, want %s", got.at("expiresAt"), until)
	}
}
