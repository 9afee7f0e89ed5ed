package handlers_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"guildhall/handlers"
	"guildhall/market"
	"guildhall/store"
	"guildhall/store/hook"
	"guildhall/store/storetest"
)

const webhooksAt = "/api/v1/agent/webhooks"

// here lets webhooks reach the receivers of tests.
var here = hook.Allow{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}

func allowHere(o *handlers.Options) { o.WebhookAllow = here }

// webhook makes a webhook of the account that nothing is sent to.
func (s *server) webhook(t testing.TB, id market.AccountID) string {
	t.Helper()
	by := store.Caller{Actor: market.Actor{Account: id}}
	w, _, err := s.store.NewWebhook(t.Context(), by, market.WebhookDraft{URL: "https://example.org/<script>"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.store.TestWebhook(t.Context(), by, w.ID); err != nil {
		t.Fatal(err)
	}
	return string(w.ID)
}

// sending sends the store's webhooks until the test ends, or stop is called.
func sending(t testing.TB, s *store.Store, sender store.Sender) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		s.SendWebhooks(ctx, sender, func(err error) { t.Errorf("send: %v", err) })
		close(done)
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// hit is one call that a receiver got.
type hit struct {
	id, kind string
	header   http.Header
	body     []byte
}

// receiver is somebody's program.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	hits   []hit
	answer func(n int, h hit) int // the status
}

func newReceiver(t testing.TB, answer func(n int, h hit) int) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		var in struct{ Type string }
		_ = json.Unmarshal(body, &in) // checked where it matters
		h := hit{req.Header.Get("webhook-id"), in.Type, req.Header, body}
		r.mu.Lock()
		r.hits = append(r.hits, h)
		n := len(r.hits)
		r.mu.Unlock()
		w.WriteHeader(r.answer(n, h))
	}))
	t.Cleanup(r.Close)
	return r
}

func always(status int) func(int, hit) int { return func(int, hit) int { return status } }

// wait returns the first n calls.
func (r *receiver) wait(t testing.TB, n int) []hit {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		r.mu.Lock()
		got := slices.Clone(r.hits)
		r.mu.Unlock()
		if len(got) >= n {
			return got
		}
	}
	t.Fatalf("the receiver got %d calls, want %d", len(r.hits), n)
	return nil
}

// settled waits until the newest delivery of the webhook has been recorded.
func (s *server) logged(t testing.TB, key, id string, ok func(reply) bool) reply {
	t.Helper()
	var r reply
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if r = s.want(t, 200, s.call(t, key, "GET", webhooksAt+"/"+id+"/deliveries", nil)); ok(r) {
			return r
		}
	}
	t.Fatalf("the log does not get there: %s", r.text)
	return r
}

func TestWebhooks(t *testing.T) {
	t.Parallel()
	s := newServer(t, allowHere)
	sending(t, s.store, hook.New(hook.Options{Allow: here}))
	publisher, worker := s.register(t), s.register(t)
	in := newReceiver(t, always(204))
	for bad, pointer := range map[string]string{`{"url":""}`: "/url", `{"url":"http://example.org/"}`: "/url", `{"url":"https://a:b@example.org/"}`: "/url", `{"url":"https://example.org:25/"}`: "/url",
		`{"url":"https://127.0.0.2/"}`: "/url", `{"url":"https://[::ffff:10.0.0.1]/"}`: "/url", `{"url":"https://169.254.169.254/"}`: "/url", `{"url":"https://LocalHost./"}`: "/url",
		`{"url":"https://example.org/#x"}`: "/url", `{"url":"javascript:alert(1)"}`: "/url", `{"url":"https://example.org/","types":["task.eaten"]}`: "/types/0"} {
		if r := s.call(t, publisher, "POST", webhooksAt, bad); r.status != 422 || r.pointer() != pointer || strings.Contains(r.text, "⟦") {
			t.Errorf("%s: %d %s", bad, r.status, r.text)
		}
	}
	once := unique("k")
	body := map[string]any{"url": in.URL, "types": []string{"delivery.received", "webhook.test"}}
	made := s.want(t, 201, s.call(t, publisher, "POST", webhooksAt, body, "Idempotency-Key", once))
	id, secret := made.at("webhook.id").(string), made.at("secret").(string)
	again := s.call(t, publisher, "POST", webhooksAt, body, "Idempotency-Key", once)
	if !strings.HasPrefix(secret, "whsec_") || again.status != 409 || again.code() != "already_done" || again.at("webhook.id") != id || strings.Contains(again.text, secret) {
		t.Errorf("made %s, a retry: %s", made.text, again.text)
	}
	if r := s.want(t, 200, s.call(t, publisher, "GET", webhooksAt, nil)); r.at("items.0.id") != id || strings.Contains(r.text, "whsec_") || r.at("items.0.types.0") != "delivery.received" {
		t.Errorf("the list: %s", r.text)
	}
	task := s.publish(t, publisher, 10)
	s.deliver(t, worker, task)
	got := in.wait(t, 1)[0] // task.claimed is of no wanted type
	verify, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := verify.Verify(got.body, got.header); err != nil {
		t.Errorf("another's verifier: %v", err)
	}
	var event struct {
		Type      string
		Timestamp time.Time
		Data      struct{ ID, Type, TaskID string }
	}
	if err := json.Unmarshal(got.body, &event); err != nil || event.Type != "delivery.received" || event.Data.ID != got.id || event.Data.TaskID != task || time.Since(event.Timestamp) > time.Minute {
		t.Errorf("the body: %s, %v", got.body, err)
	}
	if _, types := s.events(t, publisher, ""); types != "task.claimed delivery.received" {
		t.Errorf("the feed: %s", types)
	}
	// While it is rotated, both secrets sign.
	rotated := s.want(t, 200, s.call(t, publisher, "POST", webhooksAt+"/"+id+"/rotate", nil))
	if rotated.at("webhook.oldSecretUntil") == nil || rotated.at("secret") == secret {
		t.Errorf("rotated: %s", rotated.text)
	}
	s.want(t, 202, s.call(t, publisher, "POST", webhooksAt+"/"+id+"/test", nil))
	got = in.wait(t, 2)[1]
	for _, sec := range []string{secret, rotated.at("secret").(string)} {
		verify, err := standardwebhooks.NewWebhook(sec)
		if err != nil {
			t.Fatal(err)
		}
		if err := verify.Verify(got.body, got.header); err != nil || got.kind != "webhook.test" {
			t.Errorf("a %s with one of two secrets: %v", got.kind, err)
		}
	}
	// The log, and once more with the same id.
	log := s.logged(t, publisher, id, func(r reply) bool { return r.at("items.0.state") == "sent" && r.at("items.1.state") == "sent" })
	first := log.at("items.1.id").(string)
	if log.at("items.1.status") != 204.0 || log.at("items.1.attempts") != 1.0 || log.at("items.1.ms") == nil || log.at("items.1.error") != nil {
		t.Errorf("the log: %s", log.text)
	}
	s.want(t, 202, s.call(t, publisher, "POST", webhooksAt+"/"+id+"/deliveries/"+first+"/redeliver", nil))
	if hits := in.wait(t, 3); hits[2].id != hits[0].id || string(hits[2].body) != string(hits[0].body) {
		t.Errorf("sent again: %s, first %s", hits[2].body, hits[0].body)
	}
	for _, path := range []string{"", "/deliveries"} {
		if r := s.call(t, worker, "GET", webhooksAt+"/"+id+path, nil); r.status != 404 {
			t.Errorf("another's webhook%s: %d", path, r.status)
		}
	}
	for _, path := range []string{"/rotate", "/test", "/enable", "/deliveries/" + first + "/redeliver"} {
		if r := s.call(t, worker, "POST", webhooksAt+"/"+id+path, nil); r.status != 404 {
			t.Errorf("another's webhook%s: %d", path, r.status)
		}
	}
	var plain int
	if err := s.store.DB().Get(&plain, `SELECT count(*) FROM webhooks WHERE position(convert_to(substr($1, 7), 'UTF8') IN sealed) > 0`, secret); err != nil || plain != 0 {
		t.Errorf("%d secrets lie open, %v", plain, err)
	}
	s.want(t, 200, s.call(t, publisher, "DELETE", webhooksAt+"/"+id, nil))
	if r := s.call(t, publisher, "GET", webhooksAt+"/"+id, nil); r.status != 404 {
		t.Errorf("deleted: %d", r.status)
	}
	for range market.MaxWebhooks {
		s.want(t, 201, s.call(t, worker, "POST", webhooksAt, map[string]any{"url": "https://example.org/"}))
	}
	if r := s.call(t, worker, "POST", webhooksAt, map[string]any{"url": "https://example.org/"}); r.status != 409 || r.code() != "too_many_webhooks" {
		t.Errorf("one more: %d %s", r.status, r.text)
	}
	if strings.Contains(s.log.String(), "whsec_") {
		t.Error("the log holds a secret")
	}
}

// jump is a clock that tests move.
type jump struct {
	mu sync.Mutex
	by time.Duration
}

func (j *jump) now() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return time.Now().Add(j.by)
}

func (j *jump) on(d time.Duration) { j.mu.Lock(); j.by += d; j.mu.Unlock() }

// TestWebhooksThatFail follows a receiver that fails until it is given up, one
// that is gone, and one that fails for days.
func TestWebhooksThatFail(t *testing.T) {
	t.Parallel()
	var j jump
	s := newServerOf(t, func(o *store.Options) { o.Now = j.now }, allowHere)
	sending(t, s.store, hook.New(hook.Options{Allow: here}))
	owner := s.register(t)
	up := make(chan struct{})
	failing := newReceiver(t, func(int, hit) int {
		select {
		case <-up:
			return 200
		default:
			return 500
		}
	})
	gone := newReceiver(t, always(410))
	add := func(url string) string {
		return s.want(t, 201, s.call(t, owner, "POST", webhooksAt, map[string]any{"url": url})).at("webhook.id").(string)
	}
	ping := func(id string) { s.want(t, 202, s.call(t, owner, "POST", webhooksAt+"/"+id+"/test", nil)) }
	id := add(failing.URL)
	ping(id)
	var waits []time.Duration
	for n := 1; ; n++ {
		hits := failing.wait(t, n)
		if hits[n-1].id != hits[0].id {
			t.Fatalf("attempt %d has another id", n)
		}
		r := s.logged(t, owner, id, func(r reply) bool { return r.at("items.0.attempts") == float64(n) })
		if r.at("items.0.status") != 500.0 {
			t.Fatalf("attempt %d: %s", n, r.text)
		}
		if r.at("items.0.state") == "failed" {
			break
		}
		next, err := time.Parse(time.RFC3339Nano, r.at("items.0.nextAt").(string))
		if err != nil {
			t.Fatal(err)
		}
		waits = append(waits, next.Sub(j.now()))
		j.on(next.Sub(j.now()) + time.Second)
	}
	total := time.Duration(0)
	for i, w := range waits {
		total += w
		least, _ := market.WebhookWait(i+1, 0)
		most, _ := market.WebhookWait(i+1, 1)
		if w < least-10*time.Second || w > most { // the clock went on while it was read
			t.Errorf("wait %d is %s, want %s to %s", i, w, least, most)
		}
	}
	if len(waits) != 9 || total < 58*time.Hour || total > 92*time.Hour {
		t.Errorf("%d waits, %s in all: %v", len(waits), total, waits)
	}
	if r := s.want(t, 200, s.call(t, owner, "GET", webhooksAt+"/"+id, nil)); r.at("failingSince") == nil || r.at("disabledAt") != nil {
		t.Errorf("after three days: %s", r.text)
	}
	j.on(3 * 24 * time.Hour) // and more than five days of failing
	ping(id)
	s.logged(t, owner, id, func(r reply) bool { return r.at("items.0.attempts") == 1.0 })
	if r := s.want(t, 200, s.call(t, owner, "GET", webhooksAt+"/"+id, nil)); r.at("disabledReason") != "failing" {
		t.Errorf("after six days: %s", r.text)
	}
	if r := s.call(t, owner, "POST", webhooksAt+"/"+id+"/test", nil); r.status != 409 || r.code() != "webhook_disabled" {
		t.Errorf("a test of one that is off: %d %s", r.status, r.text)
	}
	s.settle(t) // else a new one may still be told that the first was switched off
	other := add(gone.URL)
	ping(other)
	gone.wait(t, 1)
	s.logged(t, owner, other, func(r reply) bool { return r.at("items.0.attempts") == 1.0 })
	if r := s.want(t, 200, s.call(t, owner, "GET", webhooksAt+"/"+other, nil)); r.at("disabledReason") != "gone" {
		t.Errorf("gone: %s", r.text)
	}
	s.settle(t)
	if r, types := s.events(t, owner, ""); types != "webhook.disabled webhook.disabled" || r.at("items.0.data.webhookId") != id || r.at("items.1.data.reason") != "gone" {
		t.Errorf("the feed: %s", r.text)
	}
	// Switched on again, it is sent what happened meanwhile.
	close(up)
	before := len(failing.wait(t, 1))
	s.want(t, 200, s.call(t, owner, "POST", webhooksAt+"/"+id+"/enable", nil))
	hits := failing.wait(t, before+3)[before:]
	if hits[0].kind != "webhook.disabled" || hits[1].kind != "webhook.disabled" || hits[2].kind != "webhook.test" { // the test waits for its next attempt
		t.Errorf("after it was switched on: %s, %s, %s", hits[0].kind, hits[1].kind, hits[2].kind)
	}
}

// killed is a node that dies after it has sent and before it writes that down.
type killed struct {
	inner store.Sender
	kill  func()
}

func (k killed) Send(ctx context.Context, c market.WebhookCall) market.WebhookResult {
	r := k.inner.Send(ctx, c)
	k.kill()
	return r
}

// TestWebhookOfAKilledNode: what a node has sent, and not written down, another
// sends again with the same id.
func TestWebhookOfAKilledNode(t *testing.T) {
	t.Parallel()
	var j jump
	s := newServerOf(t, func(o *store.Options) { o.Now = j.now }, allowHere)
	owner := s.register(t)
	in := newReceiver(t, always(200))
	id := s.want(t, 201, s.call(t, owner, "POST", webhooksAt, map[string]any{"url": in.URL})).at("webhook.id").(string)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		s.store.SendWebhooks(ctx, killed{hook.New(hook.Options{Allow: here}), cancel}, func(error) {})
		close(done)
	}()
	s.want(t, 202, s.call(t, owner, "POST", webhooksAt+"/"+id+"/test", nil))
	<-done
	first := in.wait(t, 1)
	// A node that is killed does not let go of the webhook either.
	if _, err := s.store.DB().Exec(`UPDATE webhooks SET busy_by = gen_random_uuid(), busy_until = $1`, j.now().Add(45*time.Second)); err != nil {
		t.Fatal(err)
	}
	sending(t, s.store, hook.New(hook.Options{Allow: here}))
	time.Sleep(300 * time.Millisecond)
	if got := in.wait(t, 1); len(got) != 1 {
		t.Errorf("another node sent while the webhook was taken: %d calls", len(got))
	}
	j.on(time.Minute)
	if got := in.wait(t, 2); got[1].id != first[0].id || string(got[1].body) != string(first[0].body) {
		t.Errorf("sent %s, then %s", first[0].body, got[1].body)
	}
	s.logged(t, owner, id, func(r reply) bool { return r.at("items.0.state") == "sent" })
}

// TestWebhooksOfSeveralNodes: every event comes once, in order, and never two
// at once, however many nodes send.
func TestWebhooksOfSeveralNodes(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	key := store.NewSecretKey()
	var nodes []*store.Store
	for range 3 {
		vault, err := store.NewVault(func() (string, error) { return key, nil })
		if err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(url, store.Options{Grant: 100_000, MaxConns: 12, Vault: vault})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		sending(t, s, hook.New(hook.Options{Allow: here}))
		nodes = append(nodes, s)
	}
	s := newServer(t, allowHere, func(o *handlers.Options) { o.Store = nodes[0] }).of(nodes[0])
	publisher, workers := s.register(t), []string{s.register(t), s.register(t), s.register(t)}
	var running, most sync.Map
	in := newReceiver(t, func(_ int, h hit) int {
		if _, loaded := running.LoadOrStore("one", true); loaded {
			most.Store("two", true)
		}
		time.Sleep(15 * time.Millisecond)
		running.Delete("one")
		return 200
	})
	s.want(t, 201, s.call(t, publisher, "POST", webhooksAt, map[string]any{"url": in.URL}))
	const each = 4
	var acting sync.WaitGroup
	for _, w := range workers {
		acting.Go(func() {
			for range each {
				id := s.publish(t, publisher, 1)
				s.deliver(t, w, id)
			}
		})
	}
	acting.Wait()
	s.settle(t)
	r, _ := s.events(t, publisher, "?limit=100")
	var want []string
	for _, e := range r.at("items").([]any) {
		want = append(want, e.(map[string]any)["id"].(string))
	}
	hits := in.wait(t, len(want))
	time.Sleep(500 * time.Millisecond)
	hits = in.wait(t, len(hits))
	var got []string
	for _, h := range hits {
		got = append(got, h.id)
	}
	if len(want) != 2*each*len(workers) || !slices.Equal(got, want) {
		t.Errorf("sent %v, want %v", got, want)
	}
	if _, two := most.Load("two"); two {
		t.Error("two calls at once")
	}
}

// TestWebhookOfASuspendedAccount: nothing is sent while it is.
func TestWebhookOfASuspendedAccount(t *testing.T) {
	t.Parallel()
	s := newServer(t, allowHere)
	owner := s.register(t)
	in := newReceiver(t, always(200))
	id := s.want(t, 201, s.call(t, owner, "POST", webhooksAt, map[string]any{"url": in.URL})).at("webhook.id").(string)
	s.want(t, 202, s.call(t, owner, "POST", webhooksAt+"/"+id+"/test", nil))
	operator, account := s.operatorKey(t), s.account(t, owner)
	s.want(t, 200, s.call(t, operator, "POST", "/api/v1/admin/accounts/"+account+"/suspend", map[string]any{"reason": "x"}))
	sending(t, s.store, hook.New(hook.Options{Allow: here}))
	time.Sleep(time.Second)
	if got := in.wait(t, 0); len(got) != 0 {
		t.Errorf("%d calls while the account is suspended", len(got))
	}
	s.want(t, 200, s.call(t, operator, "POST", "/api/v1/admin/accounts/"+account+"/unsuspend", map[string]any{"reason": "x"}))
	got := in.wait(t, 3)
	if got[0].kind != "webhook.test" || got[1].kind != "account.suspended" || got[2].kind != "account.reinstated" {
		t.Errorf("afterwards: %s, %s, %s", got[0].kind, got[1].kind, got[2].kind)
	}
}

func TestWebhookPages(t *testing.T) {
	t.Parallel()
	s := newServer(t, allowHere)
	sending(t, s.store, hook.New(hook.Options{Allow: here}))
	mara, _ := s.human(t)
	in := newReceiver(t, always(200))
	page := mara.get(t, "/console/webhooks").want(t, 200, "/console/webhooks")
	page.says(t, ".empty h3", "No webhooks yet")
	mara.submit(t, page, "/console/webhooks", url.Values{"url": {"http://example.org/"}}).want(t, 422, "/console/webhooks")
	shown := mara.submit(t, page, "/console/webhooks", url.Values{"url": {in.URL}, "types": {"webhook.test, delivery.received"}}).want(t, 201, "/console/webhooks")
	secret := strings.TrimSpace(shown.doc.Find("#secret").Text())
	path := shown.doc.Find(`a.btn[href^="/console/webhooks/"]`).AttrOr("href", "")
	one := mara.get(t, path).want(t, 200, path)
	if strings.Contains(one.text, secret) || !strings.HasPrefix(secret, "whsec_") {
		t.Errorf("the secret %q is shown again", secret)
	}
	one.says(t, ".empty h3", "Nothing here yet")
	mara.submit(t, one, path+"/test", nil).want(t, 200, path)
	in.wait(t, 1)
	var row screen
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if row = mara.get(t, path); strings.Contains(row.doc.Find("tbody").Text(), "200 in") {
			break
		}
	}
	row.says(t, "tbody th", "webhook.test")
	again := row.doc.Find(`form[action$="/redeliver"]`).AttrOr("action", "")
	mara.submit(t, row, again, nil).want(t, 200, path)
	if hits := in.wait(t, 2); hits[1].id != hits[0].id {
		t.Errorf("sent again as %s, first %s", hits[1].id, hits[0].id)
	}
	rotated := mara.submit(t, row, path+"/rotate", nil).want(t, 200, path+"/rotate")
	if next := strings.TrimSpace(rotated.doc.Find("#secret").Text()); next == secret || !strings.HasPrefix(next, "whsec_") {
		t.Errorf("rotated to %q", next)
	}
	mara.submit(t, row, path+"/delete", nil).want(t, 200, "/console/webhooks").says(t, ".flash", "The webhook is deleted.")
}
