package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program is the built binary; tests start it as an operator would.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "guildhall-bin-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "guildhall")
		if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
			return 1
		}
		code := m.Run()
		if chromium.stop != nil {
			chromium.stop()
		}
		shared.stop()
		return code
	}())
}

// dataDir is a data directory that PostgreSQL's own user can reach: the
// folders of t.TempDir are closed to it when the tests run as root.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "guildhall-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// site is a running `guildhall serve`.
type site struct {
	cmd *exec.Cmd
	url string
	out output
}

// output is what a running program printed so far.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func environment(dir string, more ...string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GUILDHALL_DATA=" + dir, "GUILDHALL_RATE_LIMITS=off", "GUILDHALL_SMTP_URL=smtp://127.0.0.1:1?from=guildhall@example.org"}, more...)
}

func start(t *testing.T, dir string, more ...string) *site {
	t.Helper()
	return startAt(t, dir, "127.0.0.1:0", more...)
}

func startAt(t *testing.T, dir, addr string, more ...string) *site {
	t.Helper()
	s, err := launch(dir, addr, more...)
	t.Cleanup(s.stop)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var listens = regexp.MustCompile(`(?m)^Guildhall listens on (http://\S+)$`)

// launch returns the server when it answers, or what it printed. The address
// is the one that it prints, so that a free port cannot be lost to somebody
// else. More is added to its environment.
func launch(dir, addr string, more ...string) (*site, error) {
	s := &site{}
	s.cmd = exec.Command(program, "serve", "--addr", addr)
	s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr = environment(dir, more...), &s.out, &s.out
	if err := s.cmd.Start(); err != nil {
		return s, err
	}
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		found := listens.FindStringSubmatch(s.out.String())
		if found == nil {
			continue
		}
		s.url = found[1]
		if res, err := http.Get(s.url + "/api/v1/health"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return s, nil
			}
		}
	}
	return s, fmt.Errorf("the server did not come up:\n%s", s.out.String())
}

// stop is Ctrl-C; the server must end, and its database with it.
func (s *site) stop() {
	if s.cmd.Process != nil && s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Signal(os.Interrupt)
		_ = s.cmd.Wait()
	}
}

func (s *site) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func needsPostgres(t *testing.T) {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if _, err := exec.LookPath("initdb"); err != nil && len(found) == 0 {
		if os.Getenv("CI") == "" {
			t.Skip("no PostgreSQL on this machine")
		}
		t.Fatal("no PostgreSQL on this machine")
	}
}

// TestQuickStart runs what README tells a newcomer to run.
func TestQuickStart(t *testing.T) {
	needsPostgres(t)
	dir := dataDir(t)
	s := start(t, dir)
	script := func(name string, args ...string) string {
		cmd := exec.Command("testdata/quickstart/"+name, args...)
		cmd.Env = environment(dir)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, stderr.String())
		}
		return strings.TrimSpace(string(out))
	}
	task := script("publisher.sh", "publish", s.url)
	delivered := script("agent.sh", s.url)
	if !strings.Contains(delivered, `"verdict": "pass"`) || !strings.Contains(delivered, task) {
		t.Fatalf("the agent printed %s", delivered)
	}
	paid := script("publisher.sh", "accept", task, s.url)
	if !strings.Contains(paid, `"amount": 200`) {
		t.Errorf("accepting printed %s", paid)
	}
	audited(t, dir, 0)
	second := exec.Command(program, "serve", "--addr", "127.0.0.1:0")
	second.Env = environment(dir)
	if out, err := second.CombinedOutput(); err == nil || !strings.Contains(string(out), dir) {
		t.Errorf("a second serve on the same data got %v: %s", err, out)
	}
	s.stop()
	if code := s.cmd.ProcessState.ExitCode(); code != exitDone {
		t.Errorf("Ctrl-C ended with %d:\n%s", code, s.out.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "postgres", "postmaster.pid")); !os.IsNotExist(err) {
		t.Errorf("PostgreSQL still runs after Ctrl-C (%v)", err)
	}
}

func audited(t *testing.T, dir string, want int) {
	t.Helper()
	cmd := exec.Command(program, "audit")
	cmd.Env = environment(dir)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != want {
		t.Errorf("audit got %v, want exit %d: %s", err, want, out)
	}
}

type client struct {
	url, key string
}

// call returns the JSON answer of a request that was acknowledged.
func (c client) call(method, path, once, body string) (map[string]any, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.url+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		return nil, false
	}
	req.Header.Set("Content-Type", "application/json")
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	if once != "" {
		req.Header.Set("Idempotency-Key", once)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, false
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	var out map[string]any
	return out, err == nil && json.Unmarshal(text, &out) == nil && res.StatusCode < 300
}

func register(t *testing.T, url, handle string) client {
	t.Helper()
	out, ok := client{url: url}.call("POST", "/agents/register", "", `{"handle":"`+handle+`"}`)
	if !ok {
		t.Fatalf("register %s: %v", handle, out)
	}
	return client{url: url, key: out["apiKey"].(string)}
}

// TestKilledServerKeepsWhatItAcknowledged kills the server -9 in the middle of
// publishing, claiming and accepting, starts it again and looks for every
// acknowledged call.
func TestKilledServerKeepsWhatItAcknowledged(t *testing.T) {
	needsPostgres(t)
	dir := dataDir(t)
	s := start(t, dir)
	const pairs, rounds, middle = 8, 63, 1000 // 2,016 calls
	var mu sync.Mutex
	wanted := map[string]string{} // task → last acknowledged state
	calls := 0
	note := func(task, state string) {
		mu.Lock()
		defer mu.Unlock()
		wanted[task] = state
		calls++
		if calls == middle {
			_ = s.cmd.Process.Signal(syscall.SIGKILL)
		}
	}
	var publishers [pairs]client
	var wg sync.WaitGroup
	for p := range pairs {
		publisher, worker := register(t, s.url, fmt.Sprintf("publisher-%d", p)), register(t, s.url, fmt.Sprintf("worker-%d", p))
		publishers[p] = publisher
		wg.Go(func() {
			for i := range rounds {
				task, ok := publisher.call("POST", "/agent/tasks", fmt.Sprintf("k%d", i), `{"title":"Count","brief":"Count to ten, please.","reward":1}`)
				if !ok {
					return
				}
				id := task["id"].(string)
				note(id, "open")
				claim, ok := worker.call("POST", "/agent/tasks/"+id+"/claim", "", "")
				if !ok {
					return
				}
				note(id, "claimed")
				lease := claim["claim"].(map[string]any)
				d, ok := worker.call("POST", "/agent/tasks/"+id+"/deliveries", "", fmt.Sprintf(`{"claimId":%q,"epoch":%v,"output":10,"summaryText":"ten"}`, lease["claimId"], lease["epoch"]))
				if !ok {
					return
				}
				note(id, "in_review")
				if _, ok := publisher.call("POST", "/agent/tasks/"+id+"/deliveries/"+d["id"].(string)+"/accept", "", ""); !ok {
					return
				}
				note(id, "settled")
			}
		})
	}
	wg.Wait()
	s.kill()
	if calls < middle || calls > middle+100 {
		t.Fatalf("%d calls were acknowledged; the kill did not come in the middle", calls)
	}
	again := start(t, dir)
	order := map[string]int{"open": 0, "claimed": 1, "in_review": 2, "settled": 3}
	for task, state := range wanted {
		got, ok := client{url: again.url, key: publishers[0].key}.call("GET", "/agent/tasks/"+task, "", "")
		now, _ := got["state"].(string)
		// A call may have been done although its answer was lost: one step on.
		if !ok || order[now] < order[state] || order[now] > order[state]+1 {
			t.Errorf("task %s was acknowledged as %s and is %q", task, state, now)
		}
	}
	audited(t, dir, 0)
}

func TestConfiguration(t *testing.T) {
	dir := dataDir(t)
	for _, c := range []struct {
		args []string
		env  string
		want string
	}{
		{[]string{"serve"}, "GUILDHALL_ADR=1", "GUILDHALL_ADR"},
		{[]string{"serve"}, "GUILDHALL_HOLD=soon", "GUILDHALL_HOLD"},
		{[]string{"serve"}, "GUILDHALL_GRANT=-1", "GUILDHALL_GRANT"},
		{[]string{"serve", "--rate-limits=maybe"}, "X=1", "GUILDHALL_RATE_LIMITS"},
		{[]string{"serve", "--registration=maybe"}, "X=1", "GUILDHALL_REGISTRATION"},
		{[]string{"serve"}, "GUILDHALL_TRUSTED_PROXIES=10.0.0.0/33", "GUILDHALL_TRUSTED_PROXIES"},
		{[]string{"serve"}, "GUILDHALL_SECRET_KEY=c2hvcnQ=", "GUILDHALL_SECRET_KEY"},
		{[]string{"serve"}, "GUILDHALL_SMTP_URL=http://user:hidden-word@mail.example", "GUILDHALL_SMTP_URL"},
		{[]string{"serve"}, "GUILDHALL_REDEEM_AUTO=-1", "GUILDHALL_REDEEM_AUTO"},
		{[]string{"serve"}, "GUILDHALL_METRICS_ADDR=9090", "GUILDHALL_METRICS_ADDR"},
		{[]string{"serve", "now"}, "X=1", "now"},
		{[]string{"serve", "now"}, "GUILDHALL_SERVER=http://127.0.0.1:1", "now"},
		{[]string{"migrate"}, "X=1", "migrate needs"},
		{[]string{"fly"}, "X=1", "fly"},
		{nil, "X=1", "Usage"},
	} {
		cmd := exec.Command(program, c.args...)
		cmd.Env = environment(dir, c.env)
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != exitUsage || !strings.Contains(string(out), c.want) || strings.Contains(string(out), "hidden-word") {
			t.Errorf("%v with %s: exit %d, want %d naming %s: %s", c.args, c.env, cmd.ProcessState.ExitCode(), exitUsage, c.want, out)
		}
	}
}
