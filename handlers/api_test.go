package handlers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/handlers"
	"guildhall/market/verify/pool"
	"guildhall/store"
	"guildhall/store/storetest"
)

const workerEnv = "GUILDHALL_TEST_VERIFY_WORKER"

func TestMain(m *testing.M) {
	if os.Getenv(workerEnv) != "" {
		os.Exit(pool.WorkerMain())
	}
	os.Exit(storetest.Main(m))
}

// server is the site on a database of its own.
type server struct {
	*httptest.Server
	store *store.Store
	trips *trips
	log   *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// trips counts round trips: queries and pipelined batches.
type trips struct{ n atomic.Int64 }

func (c *trips) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.n.Add(1)
	return ctx
}
func (c *trips) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (c *trips) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	c.n.Add(1)
	return ctx
}
func (c *trips) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (c *trips) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

func newServer(t testing.TB, mutate ...func(*handlers.Options)) *server {
	t.Helper()
	return newServerOf(t, func(*store.Options) {}, mutate...)
}

// newServerOf is newServer on a store with other options.
func newServerOf(t testing.TB, options func(*store.Options), mutate ...func(*handlers.Options)) *server {
	t.Helper()
	s := &server{trips: &trips{}, log: &syncBuffer{}}
	s.store = storetest.New(t, func(o *store.Options) { o.Tracer = s.trips }, options)
	verifier := pool.New(pool.Options{Command: []string{"/proc/self/exe"}, Env: []string{workerEnv + "=1"}, Workers: 2, Logger: slog.New(slog.NewTextHandler(s.log, nil))})
	t.Cleanup(verifier.Close)
	o := handlers.Options{Store: s.store, Verifier: verifier, Logger: slog.New(slog.NewTextHandler(s.log, nil)), BaseURL: "http://test", Version: "test",
		NoteUses: time.Hour} // a write between two requests would be counted as theirs
	for _, m := range mutate {
		m(&o)
	}
	s.Server = httptest.NewServer(handlers.New(o))
	s.Client().Transport.(*http.Transport).MaxIdleConnsPerHost = 64
	t.Cleanup(s.Close)
	return s
}

// reply is a response that was read to its end.
type reply struct {
	status int
	header http.Header
	text   string
	json   map[string]any
}

// at walks into the JSON: "claim.epoch".
func (r reply) at(path string) any {
	var v any = r.json
	for _, p := range strings.Split(path, ".") {
		if list, ok := v.([]any); ok {
			if n, err := strconv.Atoi(p); err == nil && n < len(list) {
				v = list[n]
				continue
			}
			return nil
		}
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[p]
	}
	return v
}

func (r reply) code() string { s, _ := r.at("code").(string); return s }

func (r reply) pointer() string {
	list, _ := r.at("errors").([]any)
	if len(list) == 0 {
		return "none"
	}
	s, _ := list[0].(map[string]any)["pointer"].(string)
	return s
}

func (s *server) call(t testing.TB, key, method, path string, body any, headers ...string) reply {
	t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, s.URL+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if _, bench := t.(*testing.B); !bench && strings.HasPrefix(path, "/api/v1/") {
		if err := documented.check(method, path, res.StatusCode, res.Header, text); err != nil {
			t.Error(err)
		}
	}
	r := reply{status: res.StatusCode, header: res.Header, text: string(text)}
	_ = json.Unmarshal(text, &r.json) // lists and empty answers stay nil
	return r
}

func (s *server) want(t testing.TB, status int, r reply) reply {
	t.Helper()
	if r.status != status {
		t.Fatalf("got %d %s, want %d", r.status, r.text, status)
	}
	return r
}

var serial atomic.Int64

func unique(prefix string) string { return fmt.Sprintf("%s-%d", prefix, serial.Add(1)) }

func (s *server) register(t testing.TB) string {
	t.Helper()
	r := s.want(t, 201, s.call(t, "", "POST", "/api/v1/agents/register", map[string]any{"handle": unique("agent"), "skills": []string{"csv"}}))
	return r.at("apiKey").(string)
}

func task(reward int) map[string]any {
	return map[string]any{"title": "Sum the numbers", "brief": "Return the sum as a number.", "skills": []string{"csv"}, "reward": reward,
		"payload": map[string]any{"n": []int{1, 2}}, "outputSchema": map[string]any{"type": "object", "required": []string{"sum"}, "properties": map[string]any{"sum": map[string]any{"const": 3}}},
		"rules": []any{map[string]any{"name": "tidy", "kind": "manual", "text": "The summary is clear."}}}
}

func (s *server) publish(t testing.TB, key string, reward int) string {
	t.Helper()
	r := s.want(t, 201, s.call(t, key, "POST", "/api/v1/agent/tasks", task(reward), "Idempotency-Key", unique("key")))
	return r.at("id").(string)
}

func (s *server) claim(t testing.TB, key, id string) reply {
	t.Helper()
	return s.want(t, 201, s.call(t, key, "POST", "/api/v1/agent/tasks/"+id+"/claim", nil))
}

func pack(claim reply, sum int) map[string]any {
	return map[string]any{"claimId": claim.at("claim.claimId"), "epoch": claim.at("claim.epoch"), "output": map[string]any{"sum": sum}, "summaryText": "Added."}
}

func (s *server) deliver(t testing.TB, key, id string) string {
	t.Helper()
	claim := s.claim(t, key, id)
	return s.want(t, 201, s.call(t, key, "POST", "/api/v1/agent/tasks/"+id+"/deliveries", pack(claim, 3))).at("id").(string)
}

func (s *server) balanced(t testing.TB) {
	t.Helper()
	r, err := s.store.Audit(context.Background())
	if err != nil || r.Sum != 0 || len(r.Findings) > 0 || r.Transfers == 0 {
		t.Errorf("the books are not whole: %+v (%v)", r, err)
	}
}

func TestMainJob(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, worker := s.register(t), s.register(t)
	id := s.publish(t, publisher, 200)
	base := "/api/v1/agent/tasks/" + id
	found := s.want(t, 200, s.call(t, "", "GET", "/api/v1/market/tasks?skills=csv,absent", nil))
	if !strings.Contains(found.text, id) {
		t.Fatalf("the market lacks the task: %s", found.text)
	}
	claim := s.claim(t, worker, id)
	if s.call(t, "", "GET", "/api/v1/market/tasks/"+id, nil).at("claim.claimId") != nil {
		t.Error("everybody can read the claim's id")
	}
	bad := s.want(t, 422, s.call(t, worker, "POST", base+"/deliveries", pack(claim, 4)))
	if bad.code() != "verification_failed" || bad.at("report.verdict") != "fail" {
		t.Errorf("got %s, want the report", bad.text)
	}
	d := s.want(t, 201, s.call(t, worker, "POST", base+"/deliveries", pack(claim, 3)))
	if d.at("attempt") != 2.0 || d.at("state") != "pending" {
		t.Errorf("got %s, want the second attempt pending", d.text)
	}
	path := base + "/deliveries/" + d.at("id").(string)
	if r := s.call(t, publisher, "POST", path+"/reject", map[string]any{"reason": ""}); r.code() != "reason_required" {
		t.Errorf("got %s, want reason_required", r.text)
	}
	if r := s.call(t, publisher, "POST", path+"/reject", map[string]any{"reason": "No.", "quote": "never in the brief"}); r.status != 422 || r.pointer() != "/quote" {
		t.Errorf("got %s, want a refused quote", r.text)
	}
	s.want(t, 200, s.call(t, publisher, "POST", path+"/reject", map[string]any{"reason": "Say how.", "rule": "tidy"}))
	again := s.want(t, 201, s.call(t, worker, "POST", base+"/deliveries", pack(claim, 3)))
	done := s.want(t, 200, s.call(t, publisher, "POST", base+"/deliveries/"+again.at("id").(string)+"/accept", nil))
	if done.at("payout.amount") != 200.0 || done.at("payout.class") != "earned" {
		t.Errorf("got %s, want a payout of 200 earned", done.text)
	}
	if w := s.call(t, worker, "GET", "/api/v1/agent/wallet", nil); w.at("earned.pending") != 200.0 || w.at("granted") != 1000.0 {
		t.Errorf("got wallet %s", w.text)
	}
	if l := s.call(t, publisher, "GET", "/api/v1/agent/wallet/entries", nil); !strings.Contains(l.text, `"amount":-200`) {
		t.Errorf("got entries %s", l.text)
	}
	s.balanced(t)
}

func TestRetrySendsOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher := s.register(t)
	var wg sync.WaitGroup
	var created, replayed, busy atomic.Int64
	for range 20 {
		wg.Go(func() {
			r := s.call(t, publisher, "POST", "/api/v1/agent/tasks", task(600), "Idempotency-Key", "same")
			switch {
			case r.status == 201 && r.header.Get("Idempotent-Replayed") == "true":
				replayed.Add(1)
			case r.status == 201:
				created.Add(1)
			case r.code() == "idempotency_in_progress":
				busy.Add(1)
			default:
				t.Errorf("got %d %s", r.status, r.text)
			}
		})
	}
	wg.Wait()
	if created.Load() != 1 || created.Load()+replayed.Load()+busy.Load() != 20 {
		t.Errorf("got %d created, %d replayed, %d in progress", created.Load(), replayed.Load(), busy.Load())
	}
	// The wallet cannot fund a second one; the retry is answered all the same.
	r := s.want(t, 201, s.call(t, publisher, "POST", "/api/v1/agent/tasks", task(600), "Idempotency-Key", "same"))
	if r.header.Get("Idempotent-Replayed") != "true" || r.header.Get("Location") != "/api/v1/agent/tasks/"+r.at("id").(string) {
		t.Errorf("the retry was not the first answer again: %v", r.header)
	}
	if r := s.call(t, publisher, "POST", "/api/v1/agent/tasks", task(1), "Idempotency-Key", "same"); r.status != 422 || r.code() != "idempotency_key_reused" {
		t.Errorf("another request under the key got %d %s", r.status, r.text)
	}
	if r := s.call(t, publisher, "POST", "/api/v1/agent/tasks", task(1)); r.status != 400 || r.code() != "idempotency_key_required" {
		t.Errorf("no key got %d %s", r.status, r.text)
	}
	s.balanced(t)
}

func TestFailedDeliveryIsReplayed(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, worker := s.register(t), s.register(t)
	id := s.publish(t, publisher, 5)
	claim := s.claim(t, worker, id)
	path := "/api/v1/agent/tasks/" + id + "/deliveries"
	first := s.want(t, 422, s.call(t, worker, "POST", path, pack(claim, 4), "Idempotency-Key", "k"))
	second := s.want(t, 422, s.call(t, worker, "POST", path, pack(claim, 4), "Idempotency-Key", "k"))
	if second.header.Get("Idempotent-Replayed") != "true" || first.text != second.text {
		t.Errorf("got %s, want the first answer again", second.text)
	}
	if l := s.call(t, worker, "GET", path, nil); strings.Count(l.text, `"state":"failed"`) != 1 {
		t.Errorf("got %s, want one attempt", l.text)
	}
}

func TestHostileOutputIsStored(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, worker := s.register(t), s.register(t)
	body := task(5)
	body["outputSchema"] = map[string]any{"additionalProperties": map[string]any{"type": "string"}}
	id := s.want(t, 201, s.call(t, publisher, "POST", "/api/v1/agent/tasks", body, "Idempotency-Key", "k")).at("id").(string)
	claim := s.claim(t, worker, id)
	send := func(output string) reply {
		return s.call(t, worker, "POST", "/api/v1/agent/tasks/"+id+"/deliveries",
			fmt.Sprintf(`{"claimId":%q,"epoch":0,"output":%s,"summaryText":"x"}`, claim.at("claim.claimId"), output))
	}
	// The report points at a member whose name holds NUL.
	if r := send(`{"a\u0000b":1}`); r.status != 422 || r.code() != "verification_failed" {
		t.Errorf("got %d %s, want the report", r.status, r.text)
	}
	if r := send(`{"a":"\ud800"}`); r.status != 422 || r.code() != "invalid" {
		t.Errorf("a lone surrogate got %d %s, want 422", r.status, r.text)
	}
	if r := send(`{"a":"\u202e <script>"}`); r.status != 201 {
		t.Errorf("got %d %s, want it kept", r.status, r.text)
	}
}

func TestDeadlineIsAnsweredAsItIsStored(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	key := s.register(t)
	body := task(1)
	at := time.Now().Add(48 * time.Hour).Truncate(time.Second).Add(123456789)
	body["deadline"] = at.In(time.FixedZone("", 2*60*60)).Format(time.RFC3339Nano)
	r := s.want(t, 201, s.call(t, key, "POST", "/api/v1/agent/tasks", body, "Idempotency-Key", "k"))
	want := at.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano)
	stored := s.call(t, key, "GET", "/api/v1/agent/tasks/"+r.at("id").(string), nil)
	if r.at("deadline") != want || stored.at("deadline") != want {
		t.Errorf("got %v when published and %v when read, want %s", r.at("deadline"), stored.at("deadline"), want)
	}
}

func TestRoundTrips(t *testing.T) {
	s := newServer(t)
	publisher, worker := s.register(t), s.register(t)
	measure := func(name string, want int64, f func()) {
		before := s.trips.n.Load()
		f()
		if got := s.trips.n.Load() - before; got != want {
			t.Errorf("%s took %d round trips, want %d", name, got, want)
		}
	}
	for range 2 { // the second time all statements are prepared
		var id, delivery string
		var claim reply
		measure("publish", 2, func() { id = s.publish(t, publisher, 10) })
		measure("claim", 2, func() { claim = s.claim(t, worker, id) })
		base := "/api/v1/agent/tasks/" + id + "/deliveries"
		measure("deliver", 2, func() { delivery = s.want(t, 201, s.call(t, worker, "POST", base, pack(claim, 3))).at("id").(string) })
		measure("accept", 2, func() { s.want(t, 200, s.call(t, publisher, "POST", base+"/"+delivery+"/accept", nil)) })
	}
}

func TestConventions(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	key := s.register(t)
	id := s.publish(t, key, 1)
	tasks := "/api/v1/agent/tasks"
	with := func(member string, v any) map[string]any { m := task(1); m[member] = v; return m }
	once := func() []string { return []string{"Idempotency-Key", unique("k")} }
	for name, c := range map[string]struct {
		got     reply
		status  int
		code    string
		pointer string
	}{
		"unknown member":  {s.call(t, key, "POST", tasks, with("owner", 1), once()...), 422, "invalid", "/owner"},
		"wrong type":      {s.call(t, key, "POST", tasks, with("reward", "ten"), once()...), 422, "invalid", "/reward"},
		"fraction":        {s.call(t, key, "POST", tasks, with("reward", 1.5), once()...), 422, "invalid", "/reward"},
		"zero reward":     {s.call(t, key, "POST", tasks, with("reward", 0), once()...), 422, "invalid", "/reward"},
		"NUL":             {s.call(t, key, "POST", tasks, with("title", "a\x00bcd"), once()...), 422, "invalid", "/title"},
		"mode":            {s.call(t, key, "POST", tasks, with("mode", "closed"), once()...), 422, "invalid", "/mode"},
		"remote schema":   {s.call(t, key, "POST", tasks, with("outputSchema", map[string]any{"$ref": "file:///etc/passwd"}), once()...), 422, "invalid", "/outputSchema/$ref"},
		"rule kind":       {s.call(t, key, "POST", tasks, with("rules", []any{map[string]any{"name": "a", "kind": "wasm", "text": "x"}}), once()...), 422, "invalid", "/rules/0/kind"},
		"rule member":     {s.call(t, key, "POST", tasks, with("rules", []any{map[string]any{"name": "a", "kind": "cel", "expression": "true", "pattern": "x"}}), once()...), 422, "invalid", "/rules/0/pattern"},
		"unknown in rule": {s.call(t, key, "POST", tasks, with("rules", []any{map[string]any{"name": "a", "kind": "cel", "expr": "true"}}), once()...), 422, "invalid", "/rules/0/expr"},
		"bad expression":  {s.call(t, key, "POST", tasks, with("rules", []any{map[string]any{"name": "a", "kind": "cel", "expression": "now() > 1"}}), once()...), 422, "invalid", "/rules/0/expression"},
		"large payload":   {s.call(t, key, "POST", tasks, with("payload", strings.Repeat("x", 256<<10)), once()...), 422, "invalid", "/payload"},
		"not enough":      {s.call(t, key, "POST", tasks, with("reward", 5000), once()...), 409, "insufficient_credits", "none"},
		"not JSON":        {s.call(t, key, "POST", tasks, "{", once()...), 400, "unreadable", "none"},
		"form":            {s.call(t, key, "POST", tasks, "a=b", append(once(), "Content-Type", "application/x-www-form-urlencoded")...), 415, "unsupported_media_type", "none"},
		"too large":       {s.call(t, key, "POST", tasks, `{"title":"`+strings.Repeat("x", 1<<20)+`"}`, once()...), 413, "too_large", "none"},
		"absent route":    {s.call(t, key, "GET", "/api/v1/nothing", nil), 404, "not_found", "none"},
		"wrong method":    {s.call(t, key, "PUT", tasks, nil), 405, "method_not_allowed", "none"},
		"malformed id":    {s.call(t, key, "GET", tasks+"/1", nil), 404, "not_found", "none"},
		"bad parameter":   {s.call(t, key, "GET", tasks+"?limit=0", nil), 422, "invalid", ""},
		"bad cursor":      {s.call(t, key, "GET", "/api/v1/market/tasks?cursor=x", nil), 422, "invalid", ""},
		"own task":        {s.call(t, key, "POST", tasks+"/"+id+"/claim", nil), 403, "own_task", "none"},
		"unknown referee": {s.call(t, "", "POST", "/api/v1/agents/register", map[string]any{"handle": unique("x"), "referralCode": "NOPE"}), 422, "referral_unknown", "none"},
		"NUL in referral": {s.call(t, "", "POST", "/api/v1/agents/register", map[string]any{"handle": unique("x"), "referralCode": "a\x00"}), 422, "invalid", "/referralCode"},
		"NUL in search":   {s.call(t, "", "GET", "/api/v1/market/tasks?q=a%00", nil), 422, "invalid", ""},
		"bytes in search": {s.call(t, "", "GET", "/api/v1/market/tasks?q=%ff", nil), 422, "invalid", ""},
		"NUL publisher":   {s.call(t, "", "GET", "/api/v1/market/tasks?publisher=a%00", nil), 422, "invalid", ""},
		"cross origin":    {s.call(t, key, "POST", tasks, task(1), append(once(), "Sec-Fetch-Site", "cross-site")...), 403, "cross_origin", "none"},
	} {
		if c.got.status != c.status || c.got.code() != c.code || c.got.pointer() != c.pointer {
			t.Errorf("%s: got %d %s at %q, want %d %s at %q: %s", name, c.got.status, c.got.code(), c.got.pointer(), c.status, c.code, c.pointer, c.got.text)
		}
		if c.got.header.Get("Content-Type") != "application/problem+json" || c.got.header.Get("X-Request-Id") == "" || c.got.at("fix") == "" || strings.Contains(c.got.text, "⟦") {
			t.Errorf("%s: not a whole problem: %s", name, c.got.text)
		}
	}
	one := s.want(t, 200, s.call(t, key, "GET", tasks+"/"+id, nil))
	s.want(t, 304, s.call(t, key, "GET", tasks+"/"+id, nil, "If-None-Match", one.header.Get("ETag")))
	if strings.Contains(s.log.String(), key) {
		t.Error("the log holds an API key")
	}
}

func TestRegistrationIsLimited(t *testing.T) {
	t.Parallel()
	home := []*net.IPNet{{IP: net.IPv4(127, 0, 0, 1), Mask: net.CIDRMask(32, 32)}}
	s := newServer(t, func(o *handlers.Options) { o.RateLimits, o.TrustedProxies = true, home })
	from := func(address string) reply {
		return s.call(t, "", "POST", "/api/v1/agents/register", map[string]any{"handle": unique("agent")}, "X-Forwarded-For", address)
	}
	for range 20 {
		s.want(t, 201, from("203.0.113.9"))
	}
	if r := from("203.0.113.9"); r.status != 429 || r.code() != "rate_limited" || r.header.Get("Retry-After") == "" {
		t.Errorf("got %d %s, want 429 with Retry-After", r.status, r.text)
	}
	s.want(t, 201, from("203.0.113.10"))
	for range 21 { // the machine itself
		s.register(t)
	}
}
