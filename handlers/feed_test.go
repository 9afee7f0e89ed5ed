package handlers_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"guildhall/handlers"
	"guildhall/store"
	"guildhall/store/storetest"
)

const eventsAt = "/api/v1/agent/events"

func (s *server) events(t testing.TB, key, query string) (r reply, types string) {
	t.Helper()
	r = s.want(t, 200, s.call(t, key, "GET", eventsAt+query, nil))
	var list []string
	for _, i := range r.at("items").([]any) {
		list = append(list, i.(map[string]any)["type"].(string))
	}
	return r, strings.Join(list, " ")
}

func TestFeedForPrograms(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, worker := s.register(t), s.register(t)
	begin, types := s.events(t, publisher, "")
	if types != "" || begin.at("cursor") == nil || begin.at("nextCursor") != nil {
		t.Errorf("an empty feed: %s", begin.text)
	}
	id := s.publish(t, publisher, 10)
	s.deliver(t, worker, id)
	s.settle(t)
	r, types := s.events(t, publisher, "?after="+begin.at("cursor").(string))
	if types != "task.claimed delivery.received" || r.at("items.0.taskId") != id || r.at("items.1.data.verdict") != "pass" || r.at("nextCursor") != nil {
		t.Errorf("the publisher's: %s", r.text)
	}
	if again, _ := s.events(t, publisher, "?limit=1"); again.at("nextCursor") == nil || again.at("nextCursor") != again.at("cursor") {
		t.Errorf("of two: %s", again.text)
	}
	if _, types := s.events(t, publisher, "?after="+r.at("items.0.id").(string)); types != "delivery.received" {
		t.Errorf("after the first: %s", types)
	}
	if _, types := s.events(t, publisher, "?types=delivery.received,payout.held"); types != "delivery.received" {
		t.Errorf("of a type: %s", types)
	}
	if _, types := s.events(t, publisher, "?after=latest"); types != "" {
		t.Errorf("after the latest: %s", types)
	}
	for _, bad := range []string{"?after=x", "?types=task.eaten", "?wait=31", "?after=01a20b77-e936-75e9-8ee4-5120c30a9cdb", "?limit=0"} {
		if r := s.call(t, publisher, "GET", eventsAt+bad, nil); r.status != 422 || strings.Contains(r.text, "⟦") {
			t.Errorf("%s: %d %s", bad, r.status, r.text)
		}
	}
	if r := s.call(t, publisher, "GET", eventsAt+"?after=01500b77-e936-75e9-8ee4-5120c30a9cda", nil); r.status != 410 || r.code() != "cursor_expired" {
		t.Errorf("an old place: %d %s", r.status, r.text)
	}
	if r := s.call(t, worker, "GET", eventsAt+"?after="+r.at("items.0.id").(string), nil); r.status != 422 {
		t.Errorf("another's event: %d %s", r.status, r.text)
	}
	s.balanced(t)
}

// settle waits until nothing that others of the test cluster write holds this
// database's feeds back.
func (s *server) settle(t testing.TB) {
	t.Helper()
	var before string
	if err := s.store.DB().Get(&before, `SELECT pg_current_xact_id()::text`); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		var over bool
		if err := s.store.DB().Get(&over, `SELECT pg_snapshot_xmin(pg_current_snapshot()) > $1::text::xid8`, before); err != nil {
			t.Fatal(err)
		}
		if over {
			return
		}
	}
	t.Fatal("an old transaction holds the feeds back")
}

func TestFeedWaits(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, worker := s.register(t), s.register(t)
	id := s.publish(t, publisher, 10)
	began := time.Now()
	if _, types := s.events(t, publisher, "?wait=1"); types != "" || time.Since(began) < time.Second || time.Since(began) > 10*time.Second {
		t.Errorf("waited %s for %q", time.Since(began), types)
	}
	claimed := make(chan struct{})
	go func() {
		defer close(claimed)
		time.Sleep(100 * time.Millisecond)
		s.claim(t, worker, id)
	}()
	began = time.Now()
	if _, types := s.events(t, publisher, "?wait=30"); types != "task.claimed" || time.Since(began) > 20*time.Second {
		t.Errorf("waited %s for %q", time.Since(began), types)
	}
	<-claimed
}

// sse is an open stream; read returns its next event, "" at its end.
type sse struct {
	body io.ReadCloser
	in   *bufio.Reader
}

func (s *server) stream(t testing.TB, key, query string, headers ...string) *sse {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+eventsAt+"/stream"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	r, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != "text/event-stream" || r.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("a stream: %d %v", r.StatusCode, r.Header)
	}
	t.Cleanup(func() { r.Body.Close() })
	return &sse{r.Body, bufio.NewReader(r.Body)}
}

func (e *sse) read(t testing.TB) (id, kind string, data map[string]any) {
	t.Helper()
	stop := time.AfterFunc(20*time.Second, func() { e.body.Close() })
	defer stop.Stop()
	for {
		line, err := e.in.ReadString('\n')
		if err != nil {
			return id, kind, data
		}
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), ": "); name {
		case "id":
			id = value
		case "event":
			kind = value
		case "data":
			if err := json.Unmarshal([]byte(value), &data); err != nil {
				t.Fatal(err)
			}
		case "":
			if kind != "" {
				return id, kind, data
			}
		}
	}
}

// place is where the stream says that it stands, before any event.
func (e *sse) place(t testing.TB) string {
	t.Helper()
	for {
		line, err := e.in.ReadString('\n')
		if err != nil {
			t.Fatal("the stream ended")
		}
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "id: "); ok {
			return id
		}
	}
}

// TestStreamGoesOnBeforeItsFirstEvent: a reader that loses its connection
// before anything came misses nothing.
func TestStreamGoesOnBeforeItsFirstEvent(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, worker := s.register(t), s.register(t)
	for _, query := range []string{"", "?types=task.claimed", "?after=latest"} {
		id := s.publish(t, publisher, 10)
		s.settle(t)
		open := s.stream(t, publisher, query)
		at := open.place(t)
		open.body.Close()
		s.claim(t, worker, id)
		if _, kind, data := s.stream(t, publisher, query, "Last-Event-ID", at).read(t); kind != "task.claimed" || data["taskId"] != id {
			t.Errorf("%s: connected anew it told %s %v", query, kind, data)
		}
	}
}

func TestFeedStream(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	var nodes [2]*server
	for i := range nodes { // two nodes of one site
		nodes[i] = newServerOn(t, url)
	}
	publisher, worker := nodes[0].register(t), nodes[0].register(t)
	before := nodes[0].publish(t, publisher, 10)
	nodes[0].claim(t, worker, before)
	nodes[0].settle(t)
	live := nodes[1].stream(t, publisher, "")
	id := nodes[0].publish(t, publisher, 10)
	nodes[0].claim(t, worker, id)
	first, kind, data := live.read(t)
	if kind != "task.claimed" || data["taskId"] != id || data["id"] != first {
		t.Fatalf("the stream began with %s %v, want what came after it was opened", kind, data)
	}
	nodes[0].settle(t)
	all, _ := nodes[0].events(t, publisher, "")
	again := nodes[1].stream(t, publisher, "", "Last-Event-ID", all.at("items.0.id").(string))
	if got, kind, _ := again.read(t); got != first || kind != "task.claimed" {
		t.Errorf("after the last event came %s %s, want %s", kind, got, first)
	}
	if r := nodes[0].call(t, publisher, "GET", eventsAt+"/stream", nil, "Last-Event-ID", "x"); r.status != 422 {
		t.Errorf("a bad place: %d %s", r.status, r.text)
	}
}

// newServerOn is one of several nodes on a database.
func newServerOn(t testing.TB, url string) *server {
	t.Helper()
	s, err := store.Open(url, store.Options{Grant: 1000, MaxConns: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return newServer(t, func(o *handlers.Options) { o.Store = s }).of(s)
}

// of makes the server's store another one.
func (s *server) of(other *store.Store) *server { s.store = other; return s }

// TestStreamEndsWithItsKey opens streams and a waiting request and takes the
// right to them away.
func TestStreamEndsWithItsKey(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	owner, banned := s.register(t), s.register(t)
	made := s.want(t, 201, s.call(t, owner, "POST", keysAt, map[string]any{"name": "second", "scopes": []string{"tasks:read"}}))
	second := made.at("apiKey").(string)
	own, shared, stopped := s.stream(t, owner, ""), s.stream(t, second, ""), s.stream(t, banned, "")
	waits := make(chan reply, 1)
	go func() { waits <- s.call(t, second, "GET", eventsAt+"?wait=30", nil) }()
	time.Sleep(200 * time.Millisecond)
	s.want(t, 200, s.call(t, owner, "DELETE", keysAt+"/"+made.at("key.id").(string), nil))
	s.want(t, 200, s.call(t, s.operatorKey(t), "POST", "/api/v1/admin/accounts/"+s.account(t, banned)+"/suspend", map[string]any{"reason": "x"}))
	began := time.Now()
	for name, e := range map[string]*sse{"a revoked key": shared, "a suspended account": stopped} {
		for { // what was told before may still come
			if id, _, _ := e.read(t); id == "" {
				break
			}
		}
		if d := time.Since(began); d > 15*time.Second {
			t.Errorf("the stream of %s ended after %s", name, d)
		}
	}
	if r := <-waits; r.status != 401 {
		t.Errorf("the waiting request of a revoked key: %d %s", r.status, r.text)
	}
	id := s.publish(t, owner, 10)
	s.claim(t, s.register(t), id)
	if _, kind, _ := own.read(t); kind != "task.claimed" {
		t.Errorf("the stream of the other key told %q", kind)
	}
}

// TestStreamEndsWhenItsBundleIsNarrowed: a stream that was opened with more
// scopes tells no longer what the bundle may no longer know.
func TestStreamEndsWhenItsBundleIsNarrowed(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, _ := s.human(t)
	b := mara.bundle(t, "/console/bundles/new", url.Values{"scopes": {"tasks:read", "wallet:read"}})
	key := s.redeemed(t, b)
	open := s.stream(t, key, "")
	page := mara.get(t, "/console/bundles/"+b.id)
	if p := mara.submit(t, page, "/console/bundles/"+b.id+"/narrow", url.Values{"scopes": {"tasks:read"}}); p.status != 200 {
		t.Fatalf("narrowed: %d", p.status)
	}
	began := time.Now()
	for {
		_, kind, _ := open.read(t)
		if kind == "" {
			break
		}
		if kind != "bundle.redeemed" {
			t.Errorf("told %q", kind)
		}
	}
	if d := time.Since(began); d > 15*time.Second {
		t.Errorf("the stream ended after %s", d)
	}
	again := s.stream(t, key, "") // with what is left
	s.claim(t, s.register(t), strings.TrimPrefix(mara.publishForm(t, nil).path, "/tasks/"))
	if _, kind, _ := again.read(t); kind != "task.claimed" {
		t.Errorf("a new stream told %q", kind)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	key, other := s.register(t), s.register(t)
	var open []*sse
	for range 10 {
		open = append(open, s.stream(t, key, ""))
	}
	if r := s.call(t, key, "GET", eventsAt+"/stream", nil); r.status != 429 || r.header.Get("Retry-After") == "" {
		t.Errorf("one more: %d %s", r.status, r.text)
	}
	s.stream(t, other, "")
	open[0].body.Close()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		req, err := http.NewRequestWithContext(ctx, "GET", s.URL+eventsAt+"/stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		r, err := s.Client().Do(req)
		cancel()
		if err == nil && r.StatusCode == 200 {
			r.Body.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatal("a closed stream still counts")
		}
	}
}

func TestActivityPage(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, _ := s.human(t)
	mara.get(t, "/console/activity").want(t, 200, "/console/activity").says(t, ".empty h2", "Nothing here yet")
	page := mara.publishForm(t, nil)
	id := strings.TrimPrefix(page.path, "/tasks/")
	s.deliver(t, s.register(t), id)
	list := mara.get(t, "/console/activity").want(t, 200, "/console/activity")
	list.says(t, ".event:first-child p", "A delivery waits for your review")
	list.says(t, ".event:last-child p", "A worker claimed your task")
	if n := list.doc.Find(`.event a[href="/tasks/` + id + `"]`).Length(); n != 2 {
		t.Errorf("%d links to the task, want 2", n)
	}
	if n := mara.get(t, "/console/activity?group=tasks").doc.Find(".event").Length(); n != 1 {
		t.Errorf("%d events about tasks, want 1", n)
	}
	first := mara.get(t, "/console/activity?limit=1")
	next := first.doc.Find(`[rel=next]`).AttrOr("href", "")
	mara.get(t, next).says(t, ".event:last-child p", "A worker claimed your task")
	mara.get(t, "/console/activity?group=x").want(t, 422, "/console/activity")
	if mara.get(t, "/console").doc.Find(`.tabs a[href="/console/activity"]`).Length() != 1 {
		t.Error("the console does not lead to the activity")
	}
}
