package work_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/uuid"

	"guildhall/client"
	"guildhall/cmd/guildhall/work"
	"guildhall/handlers"
	"guildhall/market"
	"guildhall/market/protected"
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

// world is a market with a publisher and a worker.
type world struct {
	url               string
	store             *store.Store
	publisher, worker *client.Client
	options           work.Options

	mu     sync.Mutex
	events []work.Event
	keys   map[string]string // by handle
	// feed answers for the account's events, if it is set.
	feed http.HandlerFunc
	// lose is how many answers to such requests get lost, seen how many came.
	lose, seen map[string]int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	verifier := pool.New(pool.Options{Command: []string{"/proc/self/exe"}, Env: []string{workerEnv + "=1"}, Workers: 1, Logger: quiet})
	t.Cleanup(verifier.Close)
	w := &world{store: storetest.New(t), lose: map[string]int{}, seen: map[string]int{}, keys: map[string]string{}}
	site := handlers.New(handlers.Options{Store: w.store, Verifier: verifier, Logger: quiet, BaseURL: "http://test", Version: "test"})
	s := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		if w.loses(in.Method + " " + in.URL.Path[strings.LastIndex(in.URL.Path, "/")+1:]) {
			site.ServeHTTP(httptest.NewRecorder(), in)
			panic(http.ErrAbortHandler)
		}
		if w.feed != nil && strings.HasSuffix(in.URL.Path, "/agent/events") {
			w.feed(out, in)
			return
		}
		site.ServeHTTP(out, in)
	}))
	t.Cleanup(s.Close)
	w.url = s.URL
	w.publisher, w.worker = w.agent(t, "publisher"), w.agent(t, "worker")
	w.options = work.Options{Client: w.worker, Errs: io.Discard, State: filepath.Join(t.TempDir(), "state"), Concurrency: 1, Poll: 100 * time.Millisecond,
		Env: os.Environ(), MaxFailures: 3, FirstPause: time.Minute, Tell: func(e work.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		}}
	return w
}

func (w *world) loses(request string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[request]++
	w.lose[request]--
	return w.lose[request] >= 0
}

func (w *world) count(request string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[request]
}

func (w *world) agent(t *testing.T, handle string) *client.Client {
	t.Helper()
	c, err := client.New(w.url, "", client.Options{Patience: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Register(t.Context(), client.Registration{Handle: handle})
	if err != nil {
		t.Fatal(err)
	}
	w.keys[handle] = r.APIKey
	if c, err = c.With(r.APIKey); err != nil {
		t.Fatal(err)
	}
	return c
}

// task is one that wants {"n": 1}, and pays at once.
func task(change map[string]any) map[string]any {
	t := map[string]any{"title": "Say one", "brief": "Say one, please.", "reward": 5, "autoAccept": true,
		"outputSchema": json.RawMessage(`{"type":"object","required":["n"],"properties":{"n":{"const":1}}}`),
		"samples":      json.RawMessage(`{"pass":[{"n":1}],"fail":[{"n":2}]}`)}
	for k, v := range change {
		t[k] = v
	}
	return t
}

// free is a task that takes any output.
func free(change map[string]any) map[string]any {
	t := map[string]any{"title": "Say something", "brief": "Say something, please.", "reward": 5}
	for k, v := range change {
		t[k] = v
	}
	return t
}

func (w *world) publish(t *testing.T, draft map[string]any) string {
	t.Helper()
	p, err := w.publisher.Publish(t.Context(), client.NewKey(), draft)
	if err != nil {
		t.Fatal(err)
	}
	return p.ID
}

// script makes the worker's program.
func (w *world) script(t *testing.T, text string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "solve.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.options.Command = []string{path}
}

// run works until there is nothing left.
func (w *world) run(t *testing.T) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := work.Run(ctx, w.options)
	if ctx.Err() != nil {
		t.Fatalf("the worker does not end: %+v", w.all(""))
	}
	return err
}

// all are the events of the name so far, or of any.
func (w *world) all(name string) (out []work.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if name == "" || e.Event == name {
			out = append(out, e)
		}
	}
	return out
}

func (w *world) deliveries(t *testing.T, id string) []client.Delivery {
	t.Helper()
	page, err := w.publisher.Deliveries(t.Context(), id, client.Paging{})
	if err != nil {
		t.Fatal(err)
	}
	return page.Items
}

func (w *world) state(t *testing.T, id string) string {
	t.Helper()
	task, err := w.publisher.Task(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return task.State
}

func (w *world) audited(t *testing.T) {
	t.Helper()
	report, err := w.store.Audit(t.Context())
	if err != nil || report.Sum != 0 || len(report.Findings) > 0 {
		t.Errorf("the books are not whole: %+v (%v)", report, err)
	}
}

// TestLostAnswers loses the answers to a claim and to deliveries, ends the
// worker in between, and starts another: one that would ask under another key
// would be paid twice for the task in open mode.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	open := w.publish(t, task(map[string]any{"mode": "open", "maxAccepted": 2}))
	closed := w.publish(t, task(nil))
	w.script(t, `echo x >> "$RUNS"; echo '{"n":1}'`)
	runs := filepath.Join(t.TempDir(), "runs")
	w.options.Env = append(w.options.Env, "RUNS="+runs)
	w.lose["POST claim"], w.lose["POST deliveries"] = 3, 6
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- work.Run(ctx, w.options) }()
	for w.count("POST deliveries") < 2 {
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := w.run(t); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{open, closed} {
		if got := w.deliveries(t, id); len(got) != 1 || got[0].State != "accepted" {
			t.Errorf("the task has %d deliveries, want one that is accepted", len(got))
		}
	}
	if text, _ := os.ReadFile(runs); len(text) != 4 {
		t.Errorf("the program ran %d times, want twice: what it printed is kept", len(text)/2)
	}
	w.audited(t)
}

// TestWhatProgramsSay goes through the ways in which a program can end.
func TestWhatProgramsSay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, script string
		task         map[string]any
		event, said  string
		state        string
		output       string
	}{
		{"text becomes a string", `printf 'Größe "1"\n'`, free(nil), work.Delivered, "", "in_review", `"Größe \"1\""`},
		{"JSON stays as it is", `echo ' {"a":[1.50,"<"]} '`, free(nil), work.Delivered, "", "in_review", `{"a":[1.50,"<"]}`},
		{"75 gives it back", `exit 75`, free(nil), work.GivenBack, "gave the task back", "open", ""},
		{"others fail", `exit 3`, free(nil), work.Failed, "exit status 3", "open", ""},
		{"nothing is no output", `exit 0`, free(nil), work.Failed, "printed nothing", "open", ""},
		{"too much is no output", `head -c 300000 /dev/zero; sleep 20`, free(nil), work.Failed, "more than", "open", ""},
		{"bytes are no output", `printf '\377'`, free(nil), work.Failed, "neither JSON nor text", "open", ""},
		{"too long", `sleep 30 & wait`, free(nil), work.Failed, "--timeout", "open", ""},
		{"a wrong output costs no attempt", `echo '{"n":2}'`, task(nil), work.Failed, "does not pass", "open", ""},
		{"no pipe is waited for", `mkfifo "$SUMMARY_FILE"; echo 1`, free(nil), work.Failed, "summary.txt is not a plain file", "open", ""},
		{"no summary elsewhere", `ln -s /etc/hostname "$SUMMARY_FILE"; echo 1`, free(nil), work.Failed, "summary.txt is not a plain file", "open", ""},
		{"no file by another name", `echo x > "$TASK_DIR/x"; ln "$TASK_DIR/x" "$OUTBOX_DIR/x"; echo 1`, free(nil), work.Failed, "not a plain file", "open", ""},
		{"no file elsewhere", `ln -s /etc/hostname "$OUTBOX_DIR/x"; echo 1`, free(nil), work.Failed, "not a plain file", "open", ""},
		{"no outbox elsewhere", `rmdir "$OUTBOX_DIR"; ln -s /etc "$OUTBOX_DIR"; echo 1`, free(nil), work.Failed, "replaced its outbox", "open", ""},
		{"not the key as output", `echo "{\"key\":\"$KEY\"}"`, free(nil), work.Failed, "the worker's key", "open", ""},
		{"not the key in the summary", `echo "See $KEY" > "$SUMMARY_FILE"; echo 1`, free(nil), work.Failed, "the worker's key", "open", ""},
		{"not the key in a file", `head -c 65530 /dev/zero > "$OUTBOX_DIR/x"; printf %s "$KEY" >> "$OUTBOX_DIR/x"; echo 1`, free(nil), work.Failed, "the worker's key", "open", ""},
		{"open mode", `echo '{"n":1}'`, task(map[string]any{"mode": "open"}), work.Delivered, "", "settled", `{"n":1}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := w.publish(t, c.task)
			w.script(t, c.script)
			w.options.Timeout, w.options.Env = 2*time.Second, append(w.options.Env, "KEY="+w.keys["worker"])
			if err := w.run(t); err != nil {
				t.Fatal(err)
			}
			got := w.all(c.event)
			if len(got) != 1 || !strings.Contains(got[0].Detail, c.said) {
				t.Errorf("the worker told %+v, want %s because %q", w.all(""), c.event, c.said)
			}
			if state := w.state(t, id); state != c.state {
				t.Errorf("the task is %s, want %s", state, c.state)
			}
			all := w.deliveries(t, id)
			if c.output == "" && len(all) > 0 || c.output != "" && (len(all) != 1 || string(all[0].Output) != c.output) {
				t.Errorf("the deliveries are %+v, want %s", all, c.output)
			}
			if err := w.run(t); err != nil || len(w.all(c.event)) != 1 {
				t.Errorf("a second run took the task on again (%v)", err)
			}
		})
	}
}

// TestPausesAfterFailures does not burn through the market with a program that
// does not work.
func TestPausesAfterFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 5 {
		w.publish(t, free(nil))
	}
	w.script(t, "exit 1")
	err := w.run(t)
	if err == nil || !strings.Contains(err.Error(), "3 tasks in a row failed") || len(w.all(work.Failed)) != 3 || len(w.all(work.Waiting)) != 1 {
		t.Errorf("the worker ended with %v after %d failures and %d pauses, want 3 and 1", err, len(w.all(work.Failed)), len(w.all(work.Waiting)))
	}
	w.script(t, "echo 1")
	w.options.Retry = true
	if err := w.run(t); err != nil || len(w.all(work.Delivered)) != 5 {
		t.Errorf("with --retry %d tasks were delivered (%v), want 5", len(w.all(work.Delivered)), err)
	}
}

// TestLimits holds the worker to its numbers.
func TestLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var ids []string
	for range 8 {
		ids = append(ids, w.publish(t, free(nil)))
	}
	w.publish(t, free(map[string]any{"reward": 4}))
	w.options.Concurrency, w.options.MaxTasks, w.options.Filter.MinReward = 3, 7, 5
	w.script(t, `mkdir "$AT/$$"; ls "$AT" | wc -l >> "$AT.most"; sleep 0.3; rmdir "$AT/$$"; echo "$TASK_ID"`)
	at := filepath.Join(t.TempDir(), "at")
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	w.options.Env = append(slices.Grow(w.options.Env, 20), "AT="+at) // room that programs could share
	if err := w.run(t); err != nil || len(w.all(work.Delivered)) != 7 {
		t.Errorf("%d tasks were delivered (%v), want 7", len(w.all(work.Delivered)), err)
	}
	text, _ := os.ReadFile(at + ".most")
	most := 0
	for _, s := range strings.Fields(string(text)) {
		n, _ := strconv.Atoi(s)
		most = max(most, n)
	}
	if most != 3 {
		t.Errorf("%d programs ran at once, want 3", most)
	}
	w.options.MaxTasks, w.options.Budget, w.options.Concurrency = 0, time.Nanosecond, 1
	if err := w.run(t); err != nil || len(w.all(work.Delivered)) != 8 {
		t.Errorf("%d tasks were delivered with a budget for one more (%v), want 8", len(w.all(work.Delivered)), err)
	}
	for _, id := range ids {
		if all := w.deliveries(t, id); len(all) != 1 || string(all[0].Output) != `"`+id+`"` {
			t.Errorf("task %s got %+v, want its own id", id, all)
		}
	}
	w.options.Budget = 0
	if err := w.run(t); err != nil || len(w.all(work.Delivered)) != 8 {
		t.Errorf("%d tasks were delivered, want 8: the ninth pays too little", len(w.all(work.Delivered)))
	}
}

// gone waits until the process has ended.
func gone(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	pid, convErr := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || convErr != nil {
		t.Fatal(err, convErr)
	}
	for deadline := time.Now().Add(20 * time.Second); !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH); time.Sleep(10 * time.Millisecond) {
		if stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); strings.Contains(string(stat), ") Z ") {
			return // ended, and nobody's child to wait for
		}
		if time.Now().After(deadline) {
			t.Fatal("a process of the program still runs")
		}
	}
}

// started waits until the program has written its file.
func started(t *testing.T, file string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if text, _ := os.ReadFile(file); len(text) > 0 && text[len(text)-1] == '\n' {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the program does not start")
		}
	}
}

// TestFiles come to the program under names that stay in its folder, and what
// it leaves is attached.
func TestFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, err := w.publisher.Upload(t.Context(), strings.NewReader("a,b\n"))
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string) map[string]any {
		return map[string]any{"name": name, "mediaType": b.MediaType, "bytes": b.Bytes, "sha256": b.SHA256}
	}
	elsewhere := map[string]any{"name": "far.csv", "mediaType": "text/csv", "bytes": 3, "sha256": strings.Repeat("ab", 32), "url": "http://127.0.0.1:1/far.csv"}
	id := w.publish(t, free(map[string]any{"attachments": []any{file("rows.csv"), file("../../rows.csv"), elsewhere}}))
	w.script(t, `cd "$TASK_DIR" && ls && cat ./rows.csv > "$OUTBOX_DIR/copy.csv"`)
	if err := w.run(t); err != nil {
		t.Fatal(err)
	}
	all := w.deliveries(t, id)
	if len(all) != 1 || string(all[0].Output) != `"_.._rows.csv\nrows.csv"` || len(all[0].Attachments) != 1 || all[0].Attachments[0].SHA256 != b.SHA256 || all[0].Attachments[0].Name != "copy.csv" {
		t.Errorf("the deliveries are %+v (%+v)", all, w.all(""))
	}
}

// TestOnboarding finds the passphrase wherever it stands in the message.
func TestOnboarding(t *testing.T) {
	t.Parallel()
	if id, err := onboard(t, newWorld(t)); err != nil || id != "" {
		t.Errorf("without a challenge: %q, %v", id, err)
	}
	w := newWorld(t)
	operator, err := w.store.RegisterOperator(t.Context(), market.Registration{Kind: market.Human, Handle: "judge", Email: "judge@example.org"}, "x")
	if err != nil {
		t.Fatal(err)
	}
	c := market.DefaultChallenge()
	c.Message, c.Passphrase = "Say «größer als 7, Freund» and enter.", "größer als 7, Freund"
	by := store.Caller{Actor: market.Actor{Account: operator.ID, Handle: operator.Handle, Kind: market.Human, Operator: true}}
	if err := w.store.SetChallenge(t.Context(), by, &c); err != nil {
		t.Fatal(err)
	}
	if id, err := onboard(t, w); err != nil || id == "" {
		t.Errorf("the challenge got %q, %v", id, err)
	}
	if id, err := onboard(t, w); err != nil || id != "" {
		t.Errorf("once done: %q, %v", id, err)
	}
	w.audited(t)
}

func onboard(t *testing.T, w *world) (string, error) {
	t.Helper()
	me, err := w.worker.Me(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return work.Onboard(t.Context(), w.worker, me)
}

// TestEnvironment keeps settings and the key from the program.
func TestEnvironment(t *testing.T) {
	got := work.ProgramEnv([]string{"PATH=/bin", "GUILDHALL_KEY=gha_1", "GUILDHALL_SERVER=x", "COPY=Bearer gha_1"}, "gha_1")
	if len(got) != 1 || got[0] != "PATH=/bin" {
		t.Errorf("the program's environment is %v", got)
	}
}

// TestLeavesProtectedTasks does not claim what its program cannot read.
func TestLeavesProtectedTasks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	_, signer, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	own := uuid.Must(uuid.NewV7()).String()
	sealed, err := protected.Seal(protected.Payload{Origin: w.url, Task: own, Rev: 1, To: protected.ToOwner, IssuedAt: time.Now().UTC().Truncate(time.Second),
		Values: map[string]string{"token": "t"}}, signer, id.Recipient().String())
	if err != nil {
		t.Fatal(err)
	}
	w.publish(t, free(map[string]any{"protectedFields": map[string]any{"taskId": own, "names": []string{"token"}, "ciphertext": sealed,
		"ownerRecipients": []string{id.Recipient().String()}, "signerKey": base64.StdEncoding.EncodeToString(signer.Public().(ed25519.PublicKey))}}))
	plain := w.publish(t, free(nil))
	w.script(t, "echo 1")
	if err := w.run(t); err != nil {
		t.Fatal(err)
	}
	if got := w.all(work.Claimed); len(got) != 1 || got[0].TaskID != plain || w.state(t, own) != "open" {
		t.Errorf("claimed %+v, and the protected task is %s", got, w.state(t, own))
	}
}
