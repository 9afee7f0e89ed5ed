package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"guildhall/client"
	"guildhall/handlers"
	"guildhall/market/verify/pool"
	"guildhall/store/storetest"
)

const workerEnv = "GUILDHALL_TEST_VERIFY_WORKER"

func TestMain(m *testing.M) {
	if os.Getenv(workerEnv) != "" {
		os.Exit(pool.WorkerMain())
	}
	os.Exit(storetest.Main(m))
}

// site is a market on a database of its own, as it is served.
func site(t *testing.T) http.Handler {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	verifier := pool.New(pool.Options{Command: []string{"/proc/self/exe"}, Env: []string{workerEnv + "=1"}, Workers: 1, Logger: quiet})
	t.Cleanup(verifier.Close)
	return handlers.New(handlers.Options{Store: storetest.New(t), Verifier: verifier, Logger: quiet, BaseURL: "http://test", Version: "test"})
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// agent is a client of a fresh account.
func agent(t *testing.T, url, handle string) *client.Client {
	t.Helper()
	c, err := client.New(url, "", client.Options{Patience: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Register(t.Context(), client.Registration{Handle: handle})
	if err != nil {
		t.Fatal(err)
	}
	if c, err = c.With(r.APIKey); err != nil {
		t.Fatal(err)
	}
	return c
}

// must is the value, or the end of the test.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func task() map[string]any {
	return map[string]any{"title": "Count rows", "brief": "Count the rows of the file.", "skills": []string{"csv"}, "reward": 20,
		"outputSchema": json.RawMessage(`{"type":"object","required":["rows"]}`), "rules": json.RawMessage(`[{"name":"tone","kind":"manual","text":"Be exact."}]`)}
}

// TestCycle goes through everything that a publisher and a worker do.
func TestCycle(t *testing.T) {
	t.Parallel()
	url := serve(t, site(t))
	publisher, worker := agent(t, url, "publisher"), agent(t, url, "worker")
	ctx := t.Context()

	file := must[client.Blob](t)(publisher.Upload(ctx, strings.NewReader("a\nb\nc\n")))
	draft := task()
	attached := client.Attachment{Name: "rows.csv", MediaType: file.MediaType, Bytes: file.Bytes, SHA256: file.SHA256}
	draft["attachments"] = []client.Attachment{attached}
	if dry := must[client.DryRun](t)(publisher.CheckPublish(ctx, draft)); !dry.Valid || dry.Escrow != 20 {
		t.Errorf("the dry run got %+v, want a valid task that takes 20", dry)
	}
	published := must[client.Task](t)(publisher.Publish(ctx, "first", draft))
	if again := must[client.Task](t)(publisher.Publish(ctx, "first", draft)); again.ID != published.ID {
		t.Errorf("the same key published %s and %s", published.ID, again.ID)
	}
	found := must[client.Page[client.Task]](t)(worker.Market(ctx, client.Filter{Skills: []string{"csv"}, MinReward: 20, Mode: "exclusive"}))
	if len(found.Items) != 1 || found.Items[0].ID != published.ID {
		t.Fatalf("the market lists %+v", found.Items)
	}
	if none := must[client.Page[client.Task]](t)(worker.Market(ctx, client.Filter{MinReward: 21})); len(none.Items) != 0 {
		t.Errorf("the market lists %d tasks for more than 20", len(none.Items))
	}
	held := must[client.Held](t)(worker.Claim(ctx, published.ID, "k"))
	if same := must[client.Held](t)(worker.Claim(ctx, published.ID, "k")); same.Claim.ClaimID != held.Claim.ClaimID || held.Claim.Epoch == nil {
		t.Errorf("the same key claimed %+v and %+v", held.Claim, same.Claim)
	}
	must[client.Held](t)(worker.Renew(ctx, published.ID, held.Claim))
	var got bytes.Buffer
	if err := worker.Download(ctx, held.Task.Attachments[0], &got); err != nil || got.String() != "a\nb\nc\n" {
		t.Errorf("the attachment is %q (%v)", got.String(), err)
	}
	wrong := held.Task.Attachments[0]
	wrong.Bytes--
	if err := worker.Download(ctx, wrong, &got); !errors.Is(err, client.ErrNotTheFile) {
		t.Errorf("a file of another size got %v, want ErrNotTheFile", err)
	}
	if r := must[client.Report](t)(worker.Check(ctx, published.ID, json.RawMessage(`[]`), nil)); r.Passed || r.Failed() == "" {
		t.Errorf("the dry run of a wrong output got %+v", r)
	}
	must[client.Message](t)(worker.Say(ctx, published.ID, "At work."))
	if said := must[client.Page[client.Message]](t)(publisher.Thread(ctx, published.ID, client.Paging{})); len(said.Items) != 1 || said.Items[0].Text != "At work." {
		t.Errorf("the thread is %+v", said.Items)
	}
	pack := client.Package{ClaimID: held.Claim.ClaimID, Epoch: held.Claim.Epoch, Output: json.RawMessage(`{"rows":3,"note":"<&>"}`), SummaryText: "Three."}
	first := must[client.Delivery](t)(worker.Deliver(ctx, published.ID, "d1", pack))
	if same := must[client.Delivery](t)(worker.Deliver(ctx, published.ID, "d1", pack)); same.ID != first.ID {
		t.Errorf("the same key delivered %s and %s", first.ID, same.ID)
	}
	must[client.Delivery](t)(worker.Withdraw(ctx, published.ID, first.ID))
	second := must[client.Delivery](t)(worker.Deliver(ctx, published.ID, "d2", pack))
	rejected := must[client.Delivery](t)(publisher.Reject(ctx, published.ID, second.ID, client.Rejection{Reason: "Be exact, please.", Rule: "tone"}))
	if rejected.Review == nil || rejected.Review.Decision != "reject" {
		t.Errorf("the rejection is %+v", rejected.Review)
	}
	third := must[client.Delivery](t)(worker.Deliver(ctx, published.ID, "d3", pack))
	must[client.Delivery](t)(publisher.Accept(ctx, published.ID, third.ID))
	if all := must[client.Page[client.Delivery]](t)(publisher.Deliveries(ctx, published.ID, client.Paging{})); len(all.Items) != 3 {
		t.Errorf("the task has %d deliveries, want 3", len(all.Items))
	}
	if w := must[client.Wallet](t)(worker.Wallet(ctx)); w.Earned.Pending != 20 || len(w.Holds) != 1 {
		t.Errorf("the worker's wallet is %+v, want 20 pending", w)
	}
	if lines := must[client.Page[client.Entry]](t)(publisher.Entries(ctx, "", client.Paging{Limit: 1})); len(lines.Items) != 1 || lines.NextCursor == "" {
		t.Errorf("one line of the ledger and a way on were expected, got %+v", lines)
	}
	other := must[client.Task](t)(publisher.Publish(ctx, "other", task()))
	taken := must[client.Held](t)(worker.Claim(ctx, other.ID, "k2"))
	must[client.Task](t)(worker.Release(ctx, other.ID, taken.Claim))
	if ended := must[client.Task](t)(publisher.Cancel(ctx, other.ID)); ended.State != "cancelled" || len(ended.Raw) == 0 {
		t.Errorf("the cancelled task is %q", ended.State)
	}
	if mine := must[client.Page[client.Task]](t)(publisher.OwnTasks(ctx, "publisher", "settled", client.Paging{})); len(mine.Items) != 1 {
		t.Errorf("%d settled tasks, want 1", len(mine.Items))
	}
	if me := must[client.Me](t)(worker.Me(ctx)); me.Handle != "worker" || me.State != "active" || me.Reputation.Accepted != 0 && me.Reputation.Accepted != 1 {
		t.Errorf("the worker is %+v", me)
	}
}

// TestRefusals are problems with a code and what to do.
func TestRefusals(t *testing.T) {
	t.Parallel()
	url := serve(t, site(t))
	publisher, stranger := agent(t, url, "publisher"), must[*client.Client](t)(client.New(url, "", client.Options{}))
	draft := task()
	draft["reward"], draft["titel"] = 0, "x"
	_, err := publisher.Publish(t.Context(), "k", draft)
	var p *client.Problem
	if !errors.As(err, &p) || p.Status != 422 || p.Code != "invalid" || len(p.Errors) == 0 || p.Errors[0].Pointer != "/titel" || p.Fix == "" || p.RequestID == "" {
		t.Fatalf("a misspelt member got %#v", err)
	}
	if _, err := stranger.Me(t.Context()); !client.IsCode(err, "unauthenticated") || client.Unreachable(err) {
		t.Errorf("no key got %v", err)
	}
	published := must[client.Task](t)(publisher.Publish(t.Context(), "k", task()))
	if _, err := publisher.Claim(t.Context(), published.ID, "c"); !client.IsCode(err, "own_task") {
		t.Errorf("claiming an own task got %v", err)
	}
	if seen := must[client.Task](t)(stranger.Task(t.Context(), published.ID)); seen.ID != published.ID {
		t.Errorf("a stranger sees %q", seen.ID)
	}
}

// flaky lets requests through to the site, and then loses their answers, or
// does not even listen, as often as it is told.
type flaky struct {
	site http.Handler
	mu   sync.Mutex
	// plan is what happens to the next requests: "lose", "busy", "full".
	plan []string
	seen map[string]int
}

// will says what happens to the next requests.
func (f *flaky) will(plan ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan = plan
}

func (f *flaky) count(request string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen[request]
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.seen[r.Method+" "+r.URL.Path]++
	next := ""
	if len(f.plan) > 0 {
		next, f.plan = f.plan[0], f.plan[1:]
	}
	f.mu.Unlock()
	switch next {
	case "lose":
		f.site.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case "busy":
		http.Error(w, "upstream is away", http.StatusBadGateway)
	case "full":
		w.Header().Set("Retry-After", "1")
		http.Error(w, "", http.StatusTooManyRequests)
	default:
		f.site.ServeHTTP(w, r)
	}
}

// TestTriesAgain loses answers on the way: what bears a key is done once, and
// what must not be said twice is said once.
func TestTriesAgain(t *testing.T) {
	t.Parallel()
	f := &flaky{site: site(t), seen: map[string]int{}}
	c := agent(t, serve(t, f), "publisher")
	begun := time.Now()
	f.will("lose", "busy", "full")
	must[client.Task](t)(c.Publish(t.Context(), client.NewKey(), task()))
	if got := time.Since(begun); got < time.Second {
		t.Errorf("Retry-After was not waited for: %s", got)
	}
	if mine := must[client.Page[client.Task]](t)(c.OwnTasks(t.Context(), "publisher", "", client.Paging{})); len(mine.Items) != 1 {
		t.Errorf("%d tasks were published, want 1", len(mine.Items))
	}
	f.will("lose", "lose")
	if _, err := c.RedeemHandoff(t.Context(), "ghh_x"); !client.Unreachable(err) || f.count("POST /api/v1/handoff/redeem") != 1 {
		t.Errorf("the code was sent %d times (%v), want once", f.count("POST /api/v1/handoff/redeem"), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	f.will("busy", "busy", "busy", "busy", "busy")
	if _, err := c.Me(ctx); err == nil {
		t.Error("a call went on after its context had ended")
	}
}

// TestKeyStaysAtHome has the server lead elsewhere.
func TestKeyStaysAtHome(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	other := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Header.Get("Authorization") }))
	home := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other, http.StatusTemporaryRedirect) }))
	c := must[*client.Client](t)(client.New(home, "gha_secret", client.Options{Patience: -1}))
	_, err := c.Me(t.Context())
	if err == nil || strings.Contains(err.Error(), "gha_secret") {
		t.Errorf("a redirect to another host got %v", err)
	}
	if len(asked) != 0 {
		t.Errorf("the other host was asked with %q", <-asked)
	}
	for address, private := range map[string]bool{"https://guild.example": true, "http://127.0.0.1:8080": true, "http://[::1]:8080": true, "http://localhost": true, "http://guild.example": false, "http://10.0.0.1": false} {
		if c := must[*client.Client](t)(client.New(address, "", client.Options{})); c.Private() != private {
			t.Errorf("the way to %s is private: %v, want %v", address, c.Private(), private)
		}
	}
	for _, bad := range []string{"", "guild.example", "ftp://guild.example", "http://user:pw@guild.example"} {
		if _, err := client.New(bad, "", client.Options{}); err == nil {
			t.Errorf("%q was taken for an address", bad)
		}
	}
	if _, err := client.New(home, "gha_a\nb", client.Options{}); err == nil || strings.Contains(err.Error(), "gha_") {
		t.Errorf("a key of two lines got %v", err)
	}
}

// TestNeedsNothing holds the package to the standard library, so that others
// can import it alone.
func TestNeedsNothing(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if path := strings.Trim(i.Path.Value, `"`); strings.Contains(path, ".") || strings.HasPrefix(path, "guildhall") {
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
}
