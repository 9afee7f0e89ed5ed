package handlers_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"guildhall/handlers"
	"guildhall/market"
)

// handedOver is a bundle as its owner sees it once.
type handedOver struct {
	id, prompt string
	document   reply
}

// bundle makes a bundle through the form at the address.
func (b *browser) bundle(t testing.TB, form string, fill url.Values) handedOver {
	t.Helper()
	values := url.Values{"name": {"night shift"}, "spendCap": {"700"}}
	for k, v := range fill {
		values[k] = v
	}
	p := b.submit(t, b.get(t, form), "/console/bundles", values)
	if p.status != 201 {
		t.Fatalf("no bundle: %d %s", p.status, strings.Join(strings.Fields(p.doc.Find("main").Text()), " "))
	}
	out := handedOver{prompt: p.doc.Find("#prompt").Text()}
	if err := json.Unmarshal([]byte(p.doc.Find("#document").Text()), &out.document.json); err != nil {
		t.Fatalf("the bundle is no JSON: %v", err)
	}
	href, _ := p.doc.Find(`a.btn[href^="/console/bundles/"]`).Attr("href")
	out.id = strings.TrimPrefix(href, "/console/bundles/")
	return out
}

// redeemed is the key of a bundle that its owner has just made.
func (s *server) redeemed(t testing.TB, b handedOver) string {
	t.Helper()
	return s.want(t, 201, s.call(t, "", "POST", "/api/v1/handoff/redeem", map[string]any{"code": b.document.at("redeemCode")})).at("apiKey").(string)
}

func TestBundle(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, handle := s.human(t)
	mara.get(t, "/console/bundles").says(t, ".empty", "You have handed nothing over yet")
	b := mara.bundle(t, "/console/bundles/new", url.Values{"spendCapPerTask": {"300"}, "days": {"3"}})
	code, _ := b.document.at("redeemCode").(string)
	if !strings.HasPrefix(code, "ghh_") || b.document.at("apiKey") != nil || b.document.at("account") != handle || b.document.at("version") != 1.0 ||
		b.document.at("spendCap") != 700.0 || b.document.at("spendCapPerTask") != 300.0 || b.document.at("redeemUrl") != "http://test/api/v1/handoff/redeem" || b.document.at("prompt") != b.prompt {
		t.Errorf("the bundle is %v", b.document.json)
	}
	if !strings.Contains(b.prompt, code) || !strings.Contains(b.prompt, "tasks:publish") || !strings.Contains(b.prompt, "700 credits") || strings.Contains(b.prompt, "ghd_") {
		t.Errorf("the prompt says %s", b.prompt)
	}
	for _, page := range []string{"/console/bundles", "/console/bundles/" + b.id} {
		if p := mara.get(t, page).want(t, 200, page); strings.Contains(p.text, "ghh_") {
			t.Errorf("%s shows the code again", page)
		}
	}
	if bad := s.call(t, "", "POST", "/api/v1/handoff/redeem", map[string]any{"code": code[:39] + "!"}); bad.status != 404 || bad.code() != "handoff_unknown" {
		t.Errorf("a typo: %d %s", bad.status, bad.text)
	}
	got := s.want(t, 201, s.call(t, "", "POST", "/api/v1/handoff/redeem", map[string]any{"code": " " + code + "\n"}))
	key := got.at("apiKey").(string)
	if !strings.HasPrefix(key, "ghd_") || got.at("account") != handle || got.at("redeemCode") != nil || !strings.Contains(got.at("prompt").(string), key) || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("redeemed: %s", got.text)
	}
	me := s.want(t, 200, s.call(t, key, "GET", "/api/v1/agent/me", nil))
	if me.at("handle") != handle || me.at("kind") != "human" || me.at("bundle.spendCap") != 700.0 || strings.Contains(me.text, key) {
		t.Errorf("me: %s", me.text)
	}
	// It publishes within its caps, and nothing that would widen it is open.
	id := s.publish(t, key, 300)
	if r := s.call(t, key, "POST", "/api/v1/agent/tasks", task(301), "Idempotency-Key", unique("k")); r.status != 403 || r.code() != "spend_cap_exceeded" {
		t.Errorf("beyond the cap of a task: %d %s", r.status, r.text)
	}
	for _, path := range []string{"/api/v1/agent/keys", "/api/v1/agent/vouchers/redeem", "/api/v1/agent/redemptions"} {
		if r := s.call(t, key, "POST", path, `{"name":"x"}`, "Idempotency-Key", unique("k")); r.status != 403 || r.code() != "scope_missing" {
			t.Errorf("%s: %d %s", path, r.status, r.text)
		}
	}
	if r := s.call(t, key, "PATCH", "/api/v1/agent/me", `{"displayName":"x"}`); r.code() != "scope_missing" {
		t.Errorf("the profile: %d %s", r.status, r.text)
	}
	worker := s.register(t)
	did := s.deliver(t, worker, id)
	if r := s.call(t, key, "POST", "/api/v1/agent/tasks/"+id+"/deliveries/"+did+"/accept", nil); r.code() != "scope_missing" {
		t.Errorf("accepting without the scope: %d %s", r.status, r.text)
	}
	s.want(t, 201, s.say(t, key, id, "Well done."))
	// The owner sees all of it, and who did it.
	page := mara.get(t, "/console/bundles/"+b.id).want(t, 200, "/console/bundles/"+b.id)
	page.says(t, "tbody", "Message written")
	page.says(t, "tbody", "Task published, 300 credits into escrow")
	page.says(t, ".facts", "300 of 700 credits")
	mara.get(t, "/tasks/"+id+"/timeline").says(t, "tbody", "bundle “night shift”")
	if l := s.call(t, worker, "GET", "/api/v1/agent/tasks/"+id+"/timeline", nil); strings.Contains(l.text, "night shift") {
		t.Errorf("a stranger sees the bundle: %s", l.text)
	}
	// Narrowed, then revoked: both hold on the very next call.
	p := mara.submit(t, page, "/console/bundles/"+b.id+"/narrow", url.Values{"scopes": {"tasks:read"}, "spendCap": {"300"}})
	p.want(t, 200, "/console/bundles/"+b.id).says(t, "#flash", "narrower")
	if r := s.call(t, key, "POST", "/api/v1/agent/tasks", task(1), "Idempotency-Key", unique("k")); r.code() != "scope_missing" {
		t.Errorf("publishing without the scope: %d %s", r.status, r.text)
	}
	if wider := mara.submit(t, mara.get(t, "/console/bundles/"+b.id), "/console/bundles/"+b.id+"/narrow", url.Values{"scopes": {"tasks:read", "tasks:publish"}}); wider.status != 422 {
		t.Errorf("widened: %d", wider.status)
	}
	mara.submit(t, p, "/console/bundles/"+b.id+"/revoke", nil).want(t, 200, "/console/bundles/"+b.id).says(t, ".state", "Revoked")
	if r := s.call(t, key, "GET", "/api/v1/agent/me", nil); r.status != 401 {
		t.Errorf("the revoked key: %d %s", r.status, r.text)
	}
	s.balanced(t)
}

// TestBundleCodeSentAgain revokes the bundle and says so to its owner.
func TestBundleCodeSentAgain(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, _ := s.human(t)
	b := mara.bundle(t, "/console/bundles/new?preset=watch", nil)
	key := s.redeemed(t, b)
	s.want(t, 200, s.call(t, key, "GET", "/api/v1/agent/me", nil))
	if r := s.call(t, "", "POST", "/api/v1/handoff/redeem", map[string]any{"code": b.document.at("redeemCode")}); r.status != 409 || r.code() != "handoff_used" || strings.Contains(r.text, "ghd_") {
		t.Errorf("a second time: %d %s", r.status, r.text)
	}
	if r := s.call(t, key, "GET", "/api/v1/agent/me", nil); r.status != 401 {
		t.Errorf("the first one's key: %d %s", r.status, r.text)
	}
	mara.get(t, "/console/bundles/"+b.id).says(t, ".notice", "sent a second time")
}

// TestBundleForms refuses what cannot be, keeps what was typed, and shows a
// secret once.
func TestBundleForms(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, _ := s.human(t)
	form := mara.get(t, "/console/bundles/new")
	for field, bad := range map[string]url.Values{
		"name": {"name": {" "}}, "scopes": {"scopes": {}}, "spendCap": {"spendCap": {""}}, "spendCapPerTask": {"spendCapPerTask": {"-1"}},
		"days": {"days": {"367"}}, "tasks": {"tasks": {"nonsense"}}, "skills": {"skills": {"No Such Skill!"}},
	} {
		fill := url.Values{"name": {"the night shift"}, "spendCap": {"1"}}
		for k, v := range bad {
			fill[k] = v
		}
		p := mara.submit(t, form, "/console/bundles", fill)
		if p.status != 422 || p.doc.Find(`#`+field+` ~ .err, #`+field+` .err`).Length() == 0 {
			t.Errorf("%s: %d %s", field, p.status, strings.Join(strings.Fields(p.doc.Find("form .err").Text()), " "))
		}
		if field != "name" && p.doc.Find("#name").AttrOr("value", "") != "the night shift" {
			t.Errorf("%s: the name is lost", field)
		}
	}
	fill := url.Values{"name": {"with key"}, "spendCap": {"5"}, "secret": {"key"}, "tasks": {""}}
	made := mara.submit(t, form, "/console/bundles", fill)
	if made.status != 201 || !strings.Contains(made.text, "ghd_") {
		t.Fatalf("with its key: %d", made.status)
	}
	again := mara.submit(t, form, "/console/bundles", fill)
	if again.status != 200 || !strings.HasPrefix(again.path, "/console/bundles/") || strings.Contains(again.text, made.doc.Find("#document").Text()) {
		t.Errorf("sent twice: %d at %s", again.status, again.path)
	}
	if n := mara.get(t, "/console/bundles").doc.Find(".task").Length(); n != 1 {
		t.Errorf("%d bundles were made, want 1", n)
	}
}

// TestBundleCovers keeps a bundle of one task to it, and the idempotency keys
// of bundles apart.
func TestBundleCovers(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, _ := s.human(t)
	publisher := mara.bundle(t, "/console/bundles/new", nil)
	key := s.redeemed(t, publisher)
	one, two := s.publish(t, key, 10), s.publish(t, key, 10)
	limited := s.redeemed(t, mara.bundle(t, "/console/bundles/new?preset=review&task="+one, url.Values{"scopes": {"tasks:read", "tasks:review", "tasks:publish", "thread:write"}, "tasks": {s.URL + "/tasks/" + one}}))
	worker := s.register(t)
	did := s.deliver(t, worker, one)
	other := s.deliver(t, worker, two)
	s.want(t, 200, s.call(t, limited, "GET", "/api/v1/agent/tasks/"+one, nil))
	for name, r := range map[string]reply{
		"show":    s.call(t, limited, "GET", "/api/v1/agent/tasks/"+two, nil),
		"list":    s.call(t, limited, "GET", "/api/v1/agent/tasks/"+two+"/deliveries", nil),
		"accept":  s.call(t, limited, "POST", "/api/v1/agent/tasks/"+two+"/deliveries/"+other+"/accept", nil),
		"say":     s.say(t, limited, two, "Hello."),
		"publish": s.call(t, limited, "POST", "/api/v1/agent/tasks", task(1), "Idempotency-Key", unique("k")),
	} {
		if r.status != 403 || r.code() != "bundle_limited" {
			t.Errorf("%s: %d %s", name, r.status, r.text)
		}
	}
	if l := s.want(t, 200, s.call(t, limited, "GET", "/api/v1/agent/tasks", nil)); !strings.Contains(l.text, one) || strings.Contains(l.text, two) {
		t.Errorf("it lists %s", l.text)
	}
	s.want(t, 200, s.call(t, limited, "POST", "/api/v1/agent/tasks/"+one+"/deliveries/"+did+"/accept", nil))
	// The same idempotency key of two bundles is two requests.
	second := s.redeemed(t, mara.bundle(t, "/console/bundles/new", nil))
	once := unique("k")
	x := s.want(t, 201, s.call(t, key, "POST", "/api/v1/agent/tasks", task(7), "Idempotency-Key", once))
	y := s.want(t, 201, s.call(t, second, "POST", "/api/v1/agent/tasks", task(7), "Idempotency-Key", once))
	if again := s.call(t, key, "POST", "/api/v1/agent/tasks", task(7), "Idempotency-Key", once); x.at("id") == y.at("id") || again.at("id") != x.at("id") {
		t.Errorf("the ids are %v, %v, %v", x.at("id"), y.at("id"), again.at("id"))
	}
	s.balanced(t)
}

// TestBundleOfASuspendedOwner is dead at once, and the agent is not told why.
func TestBundleOfASuspendedOwner(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, handle := s.human(t)
	key := s.redeemed(t, mara.bundle(t, "/console/bundles/new", nil))
	waiting := mara.bundle(t, "/console/bundles/new", nil)
	a, err := s.store.AccountByHandle(t.Context(), handle)
	if err != nil {
		t.Fatal(err)
	}
	s.want(t, 200, s.call(t, s.operatorKey(t), "POST", "/api/v1/admin/accounts/"+string(a.ID)+"/suspend", map[string]any{"reason": "sold stolen goods"}))
	if r := s.call(t, key, "GET", "/api/v1/agent/me", nil); r.status != 403 || r.code() != "account_suspended" || strings.Contains(r.text, "stolen") {
		t.Errorf("its key: %d %s", r.status, r.text)
	}
	if r := s.call(t, "", "POST", "/api/v1/handoff/redeem", map[string]any{"code": waiting.document.at("redeemCode")}); r.status != 403 || r.code() != "account_suspended" {
		t.Errorf("its code: %d %s", r.status, r.text)
	}
}

// TestBundleInAnAddress is revoked, like any key.
func TestBundleInAnAddress(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, _ := s.human(t)
	b := mara.bundle(t, "/console/bundles/new", nil)
	key := s.redeemed(t, b)
	if r := s.call(t, "", "GET", "/api/v1/market/tasks?key="+key, nil); r.status != 401 || r.code() != "key_in_url" {
		t.Errorf("got %d %s", r.status, r.text)
	}
	mara.get(t, "/console/bundles/"+b.id).says(t, ".state", "Revoked")
	// A code that logs have is worth nothing either.
	waiting := mara.bundle(t, "/console/bundles/new", nil)
	code := waiting.document.at("redeemCode").(string)
	if r := s.call(t, "", "GET", "/api/v1/health?code="+code, nil); r.status != 401 || r.code() != "key_in_url" {
		t.Errorf("a code in an address: %d %s", r.status, r.text)
	}
	if r := s.call(t, "", "POST", "/api/v1/handoff/redeem", map[string]any{"code": code}); r.status != 409 || r.code() != "handoff_expired" {
		t.Errorf("the code then: %d %s", r.status, r.text)
	}
	if strings.Contains(s.log.String(), code) || strings.Contains(s.log.String(), key) {
		t.Error("the log has it")
	}
}

// TestBundleCountsRequests counts what is sent through a bundle, all of it.
func TestBundleCountsRequests(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(o *handlers.Options) { o.NoteUses = 20 * time.Millisecond })
	mara, _ := s.human(t)
	b := mara.bundle(t, "/console/bundles/new", nil)
	key := s.redeemed(t, b)
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() { s.call(t, key, "GET", "/api/v1/agent/me", nil) })
	}
	wg.Wait()
	for n := 0; ; n++ {
		var requests int
		if err := s.store.DB().Get(&requests, `SELECT requests FROM api_keys WHERE bundle_id = $1`, b.id); err != nil {
			t.Fatal(err)
		}
		if requests == 12 {
			break
		}
		if n == 250 {
			t.Fatalf("%d requests are counted, want 12", requests)
		}
		time.Sleep(20 * time.Millisecond)
	}
	mara.get(t, "/console/bundles").says(t, ".task-meta", "12 requests")
}

// TestBundleHearsItsPart lets a bundle read what its scopes cover of the feed,
// and ends its webhooks with it.
func TestBundleHearsItsPart(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, _ := s.human(t)
	b := mara.bundle(t, "/console/bundles/new", url.Values{"scopes": {"tasks:read", "tasks:publish", "webhooks:write"}})
	key := s.redeemed(t, b)
	other := s.redeemed(t, mara.bundle(t, "/console/bundles/new?preset=watch", url.Values{"scopes": {"tasks:read", "webhooks:write"}}))
	id := s.publish(t, key, 10)
	s.deliver(t, s.register(t), id)
	feed := s.want(t, 200, s.call(t, key, "GET", "/api/v1/agent/events?types=delivery.received,delivery.checked&wait=20", nil))
	if !strings.Contains(feed.text, "delivery.received") || strings.Contains(feed.text, "bundle.") || strings.Contains(feed.text, "security.") {
		t.Errorf("it hears %s", feed.text)
	}
	if all := s.want(t, 200, s.call(t, key, "GET", "/api/v1/agent/events", nil)); strings.Contains(all.text, "bundle.") || strings.Contains(all.text, "security.") {
		t.Errorf("of all it hears %s", all.text)
	}
	if r := s.want(t, 200, s.call(t, key, "GET", "/api/v1/agent/events?types=bundle.redeemed", nil)); len(r.at("items").([]any)) != 0 {
		t.Errorf("asked for: %s", r.text)
	}
	if r := s.call(t, key, "POST", "/api/v1/agent/webhooks", map[string]any{"url": "https://example.org/hook", "types": []string{"security.logged_in"}}); r.status != 422 || r.pointer() != "/types/0" {
		t.Errorf("a webhook for more: %d %s", r.status, r.text)
	}
	hook := s.want(t, 201, s.call(t, key, "POST", "/api/v1/agent/webhooks", map[string]any{"url": "https://example.org/hook"}))
	if types, _ := json.Marshal(hook.at("webhook.types")); !strings.Contains(string(types), "delivery.received") || strings.Contains(string(types), "security.") {
		t.Errorf("its webhook sends %s", types)
	}
	at := "/api/v1/agent/webhooks/" + hook.at("webhook.id").(string)
	if r := s.call(t, other, "GET", at, nil); r.status != 404 {
		t.Errorf("another bundle sees it: %d", r.status)
	}
	if r := s.call(t, other, "DELETE", at, nil); r.status != 404 {
		t.Errorf("another bundle deletes it: %d", r.status)
	}
	mara.get(t, "/console"+strings.TrimPrefix(at, "/api/v1/agent")).want(t, 200, "/console"+strings.TrimPrefix(at, "/api/v1/agent"))
	mara.submit(t, mara.get(t, "/console/bundles/"+b.id), "/console/bundles/"+b.id+"/revoke", nil)
	if p := mara.get(t, "/console/webhooks"); p.doc.Find(".task").Length() != 0 {
		t.Error("the webhook of a revoked bundle is still there")
	}
	limited := s.redeemed(t, mara.bundle(t, "/console/bundles/new?preset=watch", url.Values{"scopes": {"tasks:read", "webhooks:write"}, "tasks": {id}}))
	if r := s.call(t, limited, "GET", "/api/v1/agent/events", nil); r.code() != "bundle_limited" {
		t.Errorf("a limited bundle's feed: %d %s", r.status, r.text)
	}
	if r := s.call(t, limited, "POST", "/api/v1/agent/webhooks", map[string]any{"url": "https://example.org/hook"}); r.code() != "bundle_limited" {
		t.Errorf("a limited bundle's webhook: %d %s", r.status, r.text)
	}
}

// TestBundleShowsAllItDid names what is done through a bundle besides tasks.
func TestBundleShowsAllItDid(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, handle := s.human(t)
	b := mara.bundle(t, "/console/bundles/new", url.Values{"scopes": {"tasks:read", "tasks:publish", "secrets:grant", "webhooks:write"}})
	key := s.redeemed(t, b)
	hook := s.want(t, 201, s.call(t, key, "POST", "/api/v1/agent/webhooks", map[string]any{"url": "https://example.org/hook"}))
	s.want(t, 200, s.call(t, key, "DELETE", "/api/v1/agent/webhooks/"+hook.at("webhook.id").(string), nil))
	a, err := s.store.AccountByHandle(t.Context(), handle)
	if err != nil {
		t.Fatal(err)
	}
	id := s.sealedBy(t, string(a.ID), s.register(t))
	asked := s.want(t, 200, s.call(t, key, "GET", "/api/v1/agent/tasks/"+id+"/secret-requests", nil)).at("items.0.id").(string)
	s.want(t, 200, s.call(t, key, "POST", "/api/v1/agent/tasks/"+id+"/secret-requests/"+asked+"/deny", map[string]any{"reason": "Not now."}))
	page := mara.get(t, "/console/bundles/"+b.id).want(t, 200, "/console/bundles/"+b.id)
	for _, words := range []string{"Webhook made", "Webhook changed or ended", "Access to protected fields denied"} {
		page.says(t, "tbody", words)
	}
}

// TestOnePartyOfABundleOverHTTP: an agent that takes a bundle over with its own
// key is told so, and cannot work for what it publishes through it.
func TestOnePartyOfABundleOverHTTP(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, name := s.human(t)
	worker := s.register(t)
	handle := s.handle(t, worker)
	b := mara.bundle(t, "/console/bundles/new", url.Values{"scopes": {"tasks:read", "tasks:publish", "tasks:review"}})
	if !strings.Contains(b.prompt, "Authorization: Bearer gha_…") {
		t.Errorf("the prompt does not ask for the agent's key: %s", b.prompt)
	}
	code := map[string]any{"code": b.document.at("redeemCode")}
	for _, wrong := range []string{"gha_nonsense", market.NewKey(market.AgentKeyPrefix)} {
		if r := s.call(t, wrong, "POST", "/api/v1/handoff/redeem", code); r.status != 401 {
			t.Errorf("with a wrong key: %d %s", r.status, r.text) // and the code is still good
		}
	}
	got := s.want(t, 201, s.call(t, worker, "POST", "/api/v1/handoff/redeem", code))
	if got.at("agent") != handle || got.at("account") != name {
		t.Errorf("redeemed: %s", got.text)
	}
	through := got.at("apiKey").(string)
	if me := s.call(t, through, "GET", "/api/v1/agent/me", nil); me.at("bundle.agent") != handle {
		t.Errorf("me: %s", me.text)
	}
	id := s.publish(t, through, 10)
	if r := s.call(t, worker, "POST", "/api/v1/agent/tasks/"+id+"/claim", nil); r.status != 403 || r.code() != "one_party" || !strings.Contains(r.text, "handoff bundle") {
		t.Errorf("its own task through the bundle: %d %s", r.status, r.text)
	}
	page := mara.get(t, "/console/bundles/"+b.id).want(t, 200, "/console/bundles/"+b.id)
	page.says(t, ".facts", handle)
	page.says(t, ".facts", "count as one party")
	var told string
	if err := s.store.DB().Get(&told, `SELECT data->>'agent' FROM account_events WHERE type = 'bundle.redeemed'`); err != nil || told != handle {
		t.Errorf("the owner was told of %q, %v", told, err)
	}
	// As itself it belongs to rolf: neither it as mara, nor his other agent, works within his party.
	rolf, _ := s.human(t)
	sister, _ := s.bind(t, rolf)
	bound := s.register(t)
	s.bindKey(t, rolf, bound)
	lent := mara.bundle(t, "/console/bundles/new", url.Values{"scopes": {"tasks:read", "tasks:publish", "claims:write", "deliveries:write", "tasks:review"}})
	asMara := s.want(t, 201, s.call(t, bound, "POST", "/api/v1/handoff/redeem", map[string]any{"code": lent.document.at("redeemCode")})).at("apiKey").(string)
	at := strings.TrimPrefix(mara.publishForm(t, nil).path, "/tasks/")
	done := s.deliver(t, sister, at)
	for what, r := range map[string]reply{
		"its sister's task, as mara":                 s.call(t, asMara, "POST", "/api/v1/agent/tasks/"+s.publish(t, sister, 10)+"/claim", nil),
		"what it published as mara, by its sister":   s.call(t, sister, "POST", "/api/v1/agent/tasks/"+s.publish(t, asMara, 10)+"/claim", nil),
		"its sister's delivery, accepted for mara's": s.call(t, asMara, "POST", "/api/v1/agent/tasks/"+at+"/deliveries/"+done+"/accept", nil),
	} {
		if r.status != 403 || r.code() != "one_party" || !strings.Contains(r.text, "handoff bundle") {
			t.Errorf("%s: %d %s", what, r.status, r.text)
		}
	}
	s.claim(t, asMara, s.publish(t, s.register(t), 10))
	// Who holds a bundle's key only is not known by it.
	other := mara.bundle(t, "/console/bundles/new?preset=watch", nil)
	if r := s.want(t, 201, s.call(t, through, "POST", "/api/v1/handoff/redeem", map[string]any{"code": other.document.at("redeemCode")})); r.at("agent") != nil {
		t.Errorf("redeemed with a bundle's key: %s", r.text)
	}
	mara.get(t, "/console/bundles/"+other.id).says(t, ".facts", "It did not say")
	s.balanced(t)
}
