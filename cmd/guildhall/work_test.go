package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	api "guildhall/client"
	"guildhall/cmd/guildhall/work"
)

// terminal is a person's shell: a home, and the server's address.
type terminal struct {
	home, url string
}

func newTerminal(t *testing.T, url string) terminal { return terminal{t.TempDir(), url} }

// command is the program as it is typed there.
func (s terminal) command(args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.home, "GUILDHALL_SERVER=" + s.url}
	return cmd
}

// run returns what the command printed, and fails unless it ends with the code.
func (s terminal) run(t *testing.T, code int, stdin string, args ...string) string {
	t.Helper()
	cmd := s.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("guildhall %s ended with %d (%v), want %d: %s%s", strings.Join(args, " "), got, err, code, out.String(), errs.String())
	}
	if code != exitDone {
		return errs.String()
	}
	return out.String()
}

// solver writes the program that the worker calls.
func (s terminal) solver(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(s.home, "solve.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// key is the one that the shell's commands found or made.
func (s terminal) key(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(s.home, ".config/guildhall/*.key"))
	if len(found) != 1 {
		t.Fatalf("the key files are %v, want one", found)
	}
	info, err := os.Stat(found[0])
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the key file has the mode %v (%v), want 0600", info.Mode(), err)
	}
	text, err := os.ReadFile(found[0])
	if err != nil || !strings.HasPrefix(string(text), "gh") {
		t.Fatalf("the key file is %d bytes (%v)", len(text), err)
	}
	return strings.TrimSpace(string(text))
}

// events are the lines of JSON that a worker printed.
func events(t *testing.T, printed string) (list []work.Event) {
	t.Helper()
	for line := range strings.Lines(printed) {
		var e work.Event
		if !strings.HasSuffix(line, "\n") {
			continue // killed in the middle of it
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Event == "" || e.At.IsZero() {
			t.Fatalf("the worker printed %q (%v)", line, err)
		}
		list = append(list, e)
	}
	return list
}

func named(list []work.Event, name string) (out []work.Event) {
	for _, e := range list {
		if e.Event == name {
			out = append(out, e)
		}
	}
	return out
}

// speaker is an account that the test itself speaks for.
func speaker(t *testing.T, url, handle string) *api.Client {
	t.Helper()
	c, err := api.New(url, register(t, url, handle).key, api.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// echoTask wants its number back, and is paid at once.
func echoTask(n int) map[string]any {
	return map[string]any{"title": "Say " + strconv.Itoa(n), "brief": "Give the number back, please.", "skills": []string{"echo"}, "reward": 1,
		"payload": map[string]int{"n": n}, "outputSchema": json.RawMessage(`{"type":"object","required":["n"]}`),
		"rules":      json.RawMessage(`[{"name":"same","kind":"cel","expression":"output.n == payload.n"}]`),
		"samples":    map[string]any{"pass": []any{map[string]int{"n": n}}, "fail": []any{map[string]int{"n": -1}}},
		"autoAccept": true, "maxAttempts": 1}
}

// echoScript solves it.
const echoScript = `exec sed -n 's/.*"payload":{"n":\([0-9]*\)}.*/{"n":\1}/p'` + "\n"

// publishEcho publishes it. In open mode there is a reward for a second
// delivery, which nobody else will make.
func publishEcho(t *testing.T, c *api.Client, n int, open bool) string {
	t.Helper()
	draft := echoTask(n)
	if open {
		draft["mode"], draft["maxAccepted"] = "open", 2
	}
	task, err := c.Publish(t.Context(), "echo-"+strconv.Itoa(n), draft)
	if err != nil {
		t.Fatal(err)
	}
	return task.ID
}

// deliveredOnce holds each task to one delivery, which is paid.
func deliveredOnce(t *testing.T, c *api.Client, tasks []string) {
	t.Helper()
	for _, id := range tasks {
		task, err := c.Task(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		all, err := c.Deliveries(t.Context(), id, api.Paging{})
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"exclusive": "settled", "open": "open"}[task.Mode]
		if task.State != want || len(all.Items) != 1 || all.Items[0].State != "accepted" {
			t.Errorf("task %s is %s with %d deliveries, want %s with one", id, task.State, len(all.Items), want)
		}
	}
}

// TestWorkFromAShell does what README's section of that name says.
func TestWorkFromAShell(t *testing.T) {
	needsPostgres(t)
	dir := dataDir(t)
	site := start(t, dir)
	publisher, worker := newTerminal(t, site.url), newTerminal(t, site.url)
	refused := publisher.run(t, exitFailed, "", "wallet")
	if !strings.Contains(refused, "no key") || !strings.Contains(refused, "guildhall work") {
		t.Errorf("without a key: %s", refused)
	}
	publisher.run(t, exitDone, "", "work", "--onboard", "--handle", "atlas")
	publisher.key(t)
	var wallet api.Wallet
	if err := json.Unmarshal([]byte(publisher.run(t, exitDone, "", "wallet")), &wallet); err != nil || wallet.Granted != 2000 {
		t.Errorf("after the onboarding challenge the wallet is %+v (%v), want 2000 granted", wallet, err)
	}
	published := func(task string) api.Task {
		t.Helper()
		var out api.Task
		if err := json.Unmarshal([]byte(publisher.run(t, exitDone, task, "publish", "-")), &out); err != nil || out.ID == "" {
			t.Fatalf("publish printed no task: %v", err)
		}
		return out
	}
	const task = `{"title":"Count\u001b[31m lines","brief":"Count the lines, please.","skills":["csv"],"reward":50,"outputSchema":{"type":"object"},
		"rules":[{"name":"tone","kind":"manual","text":"Be exact."}]}`
	if said := publisher.run(t, exitDone, task, "publish", "-", "--check"); !strings.Contains(said, `"valid":true`) {
		t.Errorf("publish --check printed %s", said)
	}
	if said := publisher.run(t, exitFailed, `{"title":"x"}`, "publish", "-"); !strings.Contains(said, "/brief") || !strings.Contains(said, "(invalid)") {
		t.Errorf("a bad task got %s", said)
	}
	first := published(task)

	solve := worker.solver(t, `env > "$HOME/env"; cat > "$HOME/stdin"; printf 'Counted.' > "$SUMMARY_FILE"
echo a,b > "$OUTBOX_DIR/rows.csv"; [ -f "$REVIEW_FILE" ] && cp "$REVIEW_FILE" "$HOME/review"; echo '{"rows":3}'`)
	said := worker.run(t, exitDone, "", "work", "--exec", solve, "--skills", "csv,json", "--once", "--handle", "brass")
	list := events(t, said)
	if done := named(list, work.Delivered); len(done) != 1 || done[0].TaskID != first.ID || done[0].State != "pending" || len(done[0].Untrusted) != 1 {
		t.Fatalf("the worker printed %s", said)
	}
	key := worker.key(t)
	env, err := os.ReadFile(filepath.Join(worker.home, "env"))
	if err != nil || strings.Contains(string(env), "GUILDHALL_") || strings.Contains(string(env), key) || !strings.Contains(string(env), "TASK_ID="+first.ID) {
		t.Errorf("the program's environment is %s (%v)", env, err)
	}
	stdin, _ := os.ReadFile(filepath.Join(worker.home, "stdin"))
	var given api.Task
	if err := json.Unmarshal(stdin, &given); err != nil || given.ID != first.ID || len(given.OutputSchema) == 0 {
		t.Errorf("the program read %s (%v)", stdin, err)
	}
	if strings.Contains(said, key) {
		t.Error("the worker printed its key")
	}
	if again := worker.run(t, exitDone, "", "work", "--exec", solve, "--once"); len(named(events(t, again), work.Claimed)) != 0 {
		t.Errorf("the task was taken on twice: %s", again)
	}

	var d api.Delivery
	if err := json.Unmarshal([]byte(publisher.run(t, exitDone, "", "review", first.ID)), &d); err != nil || d.State != "pending" || d.SummaryText != "Counted." || len(d.Attachments) != 1 || d.Attachments[0].Name != "rows.csv" {
		t.Fatalf("review shows %+v (%v)", d, err)
	}
	publisher.run(t, exitDone, "", "review", first.ID, d.ID, "--reject", "--reason", "Be exact, please.", "--rule", "tone")
	said = worker.run(t, exitDone, "", "work", "--exec", solve, "--once")
	if revised := named(events(t, said), work.Revising); len(revised) != 1 || len(named(events(t, said), work.Delivered)) != 1 {
		t.Errorf("after the rejection the worker printed %s", said)
	}
	if review, err := os.ReadFile(filepath.Join(worker.home, "review")); err != nil || !strings.Contains(string(review), "Be exact, please.") {
		t.Errorf("the program read the review %s (%v)", review, err)
	}
	publisher.run(t, exitDone, "", "review", "--accept", first.ID)
	if err := json.Unmarshal([]byte(worker.run(t, exitDone, "", "wallet")), &wallet); err != nil || wallet.Earned.Pending != 50 {
		t.Errorf("the worker's wallet is %+v (%v), want 50 pending", wallet, err)
	}
	if said := publisher.run(t, exitDone, "", "tasks", "--state", "settled"); !strings.Contains(said, first.ID) {
		t.Errorf("tasks printed %s", said)
	}
	if said := publisher.run(t, exitDone, "", "wallet", "--entries"); !strings.Contains(said, `"balanceAfter"`) {
		t.Errorf("wallet --entries printed %s", said)
	}

	// A bundle of a person is taken over once, and its key is kept.
	mara := join(t, site.url, "mara-shell")
	_, code := mara.bundle(t, "Clerk", url.Values{"scopes": {"tasks:read", "wallet:read"}})
	clerk := newTerminal(t, site.url)
	if said := clerk.run(t, exitDone, code+"\n", "handoff", "redeem", "-"); strings.Contains(said, "ghd_") || !strings.Contains(said, "mara-shell") {
		t.Errorf("handoff redeem printed %s", said)
	}
	if !strings.HasPrefix(clerk.key(t), "ghd_") {
		t.Error("the key in the file is not the bundle's")
	}
	clerk.run(t, exitDone, "", "tasks")
	if said := clerk.run(t, exitFailed, "", "handoff", "redeem", code); !strings.Contains(said, "holds a key already") {
		t.Errorf("a second redeem got %s", said)
	}
	clerk.run(t, exitDone, "", "tasks") // the second try did not reach the server, which would have revoked it
	// An agent that has a key of its own says by it who takes the bundle over.
	_, code = mara.bundle(t, "Deputy", url.Values{"scopes": {"tasks:read"}})
	deputy := filepath.Join(worker.home, "deputy.key")
	if said := worker.run(t, exitDone, code+"\n", "handoff", "redeem", "-", "--key-file", deputy); !strings.Contains(said, `"agent":"`) || strings.Contains(said, key) {
		t.Errorf("handoff redeem with a key of its own printed %s", said)
	}
	if held, err := os.ReadFile(deputy); err != nil || !strings.HasPrefix(string(held), "ghd_") || !strings.HasPrefix(worker.key(t), "gha_") {
		t.Errorf("the key in the other file is not the bundle's, or the agent's own is gone (%v)", err)
	}
	audited(t, dir, 0)
}

// TestTwoFirstRunsMakeOneAccount with one key file.
func TestTwoFirstRunsMakeOneAccount(t *testing.T) {
	needsPostgres(t)
	dir := dataDir(t)
	site := start(t, dir)
	s := newTerminal(t, site.url)
	var said [4]string
	var wg sync.WaitGroup
	for i := range said {
		wg.Go(func() {
			said[i] = s.run(t, exitDone, "", "work", "--onboard", "--state", filepath.Join(s.home, strconv.Itoa(i)))
		})
	}
	wg.Wait()
	if n := strings.Count(strings.Join(said[:], ""), `"registered"`); n != 1 {
		t.Errorf("%d accounts were made, want 1: %s", n, said)
	}
	audited(t, dir, 0)
}

// TestHiddenCharactersAreShown: JSON on a terminal obeys nobody, and stays what
// it is.
func TestHiddenCharactersAreShown(t *testing.T) {
	const said = "{\n  \"title\": \"Ev\u202eil\u009b31m 好\U000e0041 \u200b\"\n}\n"
	shown := escapedHidden(said)
	if want := "{\n  \"title\": \"Ev\\u202eil\\u009b31m 好\\udb40\\udc41 \\u200b\"\n}\n"; shown != want {
		t.Errorf("shown as %q, want %q", shown, want)
	}
	var before, after any
	if json.Unmarshal([]byte(said), &before) != nil || json.Unmarshal([]byte(shown), &after) != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("%v became %v", before, after)
	}
}

// TestWrongUsageOfRemoteCommands ends with 2 and says what is wrong.
func TestWrongUsageOfRemoteCommands(t *testing.T) {
	s := newTerminal(t, "http://127.0.0.1:1")
	for _, c := range []struct{ args, want string }{
		{"work", "--exec"},
		{"work --exec ./x --mode shut", "--mode"},
		{"work --exec ./x --concurrency 0", "--concurrency"},
		{"work --exec 'x", "quote"},
		{"work --exec ./x now", "guildhall work"},
		{"work --server ftp://x --exec ./x", "--server"},
		{"publish", "guildhall publish"},
		{"tasks --role=", ""},
		{"review", "guildhall review"},
		{"review T --accept --reject", "not both"},
		{"review T --reject --reason x", "--rule"},
		{"handoff", "redeem"},
		{"handoff redeem abc", "ghh_"},
	} {
		code := exitUsage
		if c.want == "" { // right usage without a server
			code = exitFailed
		}
		if said := s.run(t, code, "", strings.Fields(c.args)...); !strings.Contains(said, c.want) {
			t.Errorf("%s printed %s, want %q", c.args, said, c.want)
		}
	}
	cmd := s.command("wallet")
	cmd.Env = append(cmd.Env, "GUILDHALL_KEYS=x")
	if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != exitUsage || !strings.Contains(string(out), "GUILDHALL_KEYS") {
		t.Errorf("a misspelt setting got %s", out)
	}
	empty := filepath.Join(s.home, "empty.key")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := s.run(t, exitFailed, "", "wallet", "--key-file", empty); !strings.Contains(said, "is empty") {
		t.Errorf("an empty key file got %s", said)
	}
	open := filepath.Join(s.home, "open.key")
	if err := os.WriteFile(open, []byte("gha_secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	if said := s.run(t, exitFailed, "", "wallet", "--key-file", open); !strings.Contains(said, "read by others") || strings.Contains(said, "gha_secret") {
		t.Errorf("a key that others can read got %s", said)
	}
}

// TestKilledWorkerDeliversOnce kills a worker -9 twenty times in the middle of
// tasks. At the end each task has one delivery, which is paid.
func TestKilledWorkerDeliversOnce(t *testing.T) {
	needsPostgres(t)
	dir := dataDir(t)
	site := start(t, dir)
	publisher := speaker(t, site.url, "atlas")
	worker := newTerminal(t, site.url)
	solve := worker.solver(t, "sleep 0.$(($(date +%N | tail -c 2) % 4))5\n"+echoScript)
	args := []string{"work", "--exec", solve, "--skills", "echo", "--concurrency", "3", "--poll", "200ms", "--handle", "brass"}
	var tasks []string
	var said strings.Builder
	for killed := 0; killed < 20; {
		for range 2 {
			tasks = append(tasks, publishEcho(t, publisher, len(tasks), len(tasks)%2 == 1))
		}
		cmd := worker.command(args...)
		var out output
		cmd.Stdout, cmd.Stderr = &out, os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		within(t, "the worker starts", func() bool { return strings.Contains(out.String(), work.Started) })
		time.Sleep(time.Duration(20+rand.IntN(500)) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		said.WriteString(out.String())
		if unfinished(t, worker) > 0 {
			killed++
		}
		if len(tasks) > 200 {
			t.Fatal("the kills do not come in the middle of tasks")
		}
	}
	said.WriteString(worker.run(t, exitDone, "", append(args, "--once")...))
	deliveredOnce(t, publisher, tasks)
	list := events(t, said.String())
	times := map[string]int{}
	for _, e := range named(list, work.Delivered) {
		if times[e.TaskID]++; times[e.TaskID] > 1 {
			t.Errorf("task %s was delivered twice", e.TaskID)
		}
	}
	if len(named(list, work.Resumed)) == 0 || len(named(list, work.Failed)) > 0 || len(named(list, work.Lost)) > 0 {
		t.Errorf("%d tasks were resumed, %d failed, %d were lost; want some, none, none", len(named(list, work.Resumed)), len(named(list, work.Failed)), len(named(list, work.Lost)))
	}
	t.Logf("%d tasks, %d resumed", len(tasks), len(named(list, work.Resumed)))

	// The program of a worker that is killed ends with it.
	publishEcho(t, publisher, len(tasks), false)
	pid := filepath.Join(worker.home, "pid")
	worker.solver(t, `echo $$ > "$HOME/pid"; exec sleep 60`)
	cmd := worker.command(args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	running := func() bool {
		text, err := os.ReadFile(pid)
		n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		stat, _ := os.ReadFile("/proc/" + strconv.Itoa(n) + "/stat")
		return err == nil && n > 0 && syscall.Kill(n, 0) == nil && !strings.Contains(string(stat), ") Z ")
	}
	within(t, "the program runs", running)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	within(t, "the program has ended", func() bool { return !running() })
	audited(t, dir, 0)
}

// within waits for what will soon be.
func within(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// unfinished counts the tasks that the worker left in the middle.
func unfinished(t *testing.T, s terminal) (n int) {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(s.home, ".config/guildhall/*.work/tasks/*.json"))
	for _, name := range found {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), `"step":"done"`) {
			n++
		}
	}
	return n
}

// TestManyWorkersDeliverOnce has eight workers compete for a thousand tasks, or
// as many as WORKLOAD says.
func TestManyWorkersDeliverOnce(t *testing.T) {
	needsPostgres(t)
	load := 1000
	if n, err := strconv.Atoi(os.Getenv("WORKLOAD")); err == nil {
		load = n
	}
	dir := dataDir(t)
	site := start(t, dir, "GUILDHALL_GRANT=100000")
	publisher := speaker(t, site.url, "atlas")
	tasks := make([]string, load)
	var wg sync.WaitGroup
	for p := range 4 {
		wg.Go(func() {
			for i := p; i < load; i += 4 {
				tasks[i] = publishEcho(t, publisher, i, false)
			}
		})
	}
	wg.Wait()
	begun := time.Now()
	var mu sync.Mutex
	times, workers := map[string]int{}, 0
	for i := range 8 {
		wg.Go(func() {
			s := newTerminal(t, site.url)
			said := s.run(t, exitDone, "", "work", "--exec", s.solver(t, echoScript), "--skills", "echo", "--concurrency", "2", "--poll", "500ms",
				"--once", "--handle", fmt.Sprintf("worker-%d", i))
			mu.Lock()
			defer mu.Unlock()
			done := named(events(t, said), work.Delivered)
			for _, e := range done {
				times[e.TaskID]++
			}
			if len(done) > 0 {
				workers++
			}
		})
	}
	wg.Wait()
	took := time.Since(begun)
	t.Logf("%d tasks by %d workers in %.1f s, %.0f a second", load, workers, took.Seconds(), float64(load)/took.Seconds())
	for _, id := range tasks {
		if times[id] != 1 {
			t.Errorf("task %s was delivered %d times, want once", id, times[id])
		}
	}
	if workers < 8 {
		t.Errorf("%d workers delivered something, want all 8", workers)
	}
	deliveredOnce(t, publisher, tasks)
	audited(t, dir, 0)
}
