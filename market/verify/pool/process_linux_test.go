package pool

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/market/verify"
)

// These tests look at processes, so none runs beside another test.

var parentPattern = regexp.MustCompile(`(?m)^PPid:\s+(\d+)$`)

// childrenOf lists the living children of a process.
func childrenOf(t *testing.T, parent int) []int {
	t.Helper()
	living, _ := offspringOf(t, parent)
	return living
}

// offspringOf also lists the children that have ended and wait to be reaped.
func offspringOf(t *testing.T, parent int) (living, dead []int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		status, err := os.ReadFile(file)
		if err != nil {
			continue // It has just ended.
		}
		m := parentPattern.FindSubmatch(status)
		if m == nil || string(m[1]) != strconv.Itoa(parent) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(status), "State:\tZ") {
			dead = append(dead, pid)
		} else {
			living = append(living, pid)
		}
	}
	return living, dead
}

// eventually waits for what must come true soon.
func eventually(t *testing.T, what string, isTrue func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !isTrue(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen in time", what)
		}
	}
}

func onlyChild(t *testing.T) int {
	t.Helper()
	var pids []int
	eventually(t, "one child", func() bool {
		pids = childrenOf(t, os.Getpid())
		return len(pids) == 1
	})
	return pids[0]
}

// TestThousandJobsOneProcess looks for what grows with each job: memory, files
// and processes. Outputs are large and all different, so that keeping any part
// of a job shows.
func TestThousandJobsOneProcess(t *testing.T) {
	p := newPool(t, nil)
	run(t, p, "", `1`)
	first := onlyChild(t)
	padding := strings.Repeat("x", 100<<10)
	var before usage
	for i := range 1_000 {
		// Every kind of rule, some of them new to the child.
		rules := fmt.Sprintf(`[{"name":"a","kind":"cel","expression":"output.n == %d && %d >= 0"},{"name":"b","kind":"equals","pointer":"/one","equals":1},
			{"name":"c","kind":"range","pointer":"/one","min":1},{"name":"d","kind":"regex","pointer":"/pad","pattern":"^%d$"},{"name":"e","kind":"cel","expression":"output.x == 1"}]`, i%300, i%300, i%300)
		output := fmt.Sprintf(`{"n":%d,"one":1,"pad":"%d%s"}`, i%300, i, padding)
		r, err := p.Verify(t.Context(), verify.Job{Schema: json.RawMessage(`{"type":"object"}`), Rules: json.RawMessage(rules), Output: json.RawMessage(output)})
		if err != nil || r.Verdict != market.VerdictFail || len(r.Checks) != 6 || !r.Checks[1].Passed {
			t.Fatalf("got %+v (%v), want a failure with six checks", r, err)
		}
		if i == 500 {
			before = usageOf(t, first)
		}
	}
	if got := onlyChild(t); got != first {
		t.Errorf("got child %d after 1,000 jobs, want still %d", got, first)
	}
	after := usageOf(t, first)
	t.Logf("after 500 jobs %+v, after 1,000 %+v", before, after)
	// Keeping one output in five would be 10 MB more in the server, keeping one
	// in two 25 in the child, where only the kernel's view is to be had.
	if after.child > before.child+24<<10 || after.server > before.server+8<<10 {
		t.Errorf("memory grew from %+v to %+v", before, after)
	}
	if after.childFiles != before.childFiles || after.serverFiles > before.serverFiles {
		t.Errorf("open files grew from %+v to %+v", before, after)
	}
	p.Close()
	if got := childrenOf(t, os.Getpid()); len(got) != 0 {
		t.Errorf("got children %v after Close, want none", got)
	}
}

// usage is what the server and a child hold: memory in kB, and open files.
type usage struct{ child, server, childFiles, serverFiles int }

func usageOf(t *testing.T, child int) usage {
	t.Helper()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{child: residentMemory(t, child), server: int(m.HeapAlloc >> 10), childFiles: filesOf(t, child), serverFiles: filesOf(t, os.Getpid())}
}

func filesOf(t *testing.T, pid int) int {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

// TestDeadChildrenLeaveNothing has every job kill its child: none may stay,
// not even to be reaped, nor may its pipes.
func TestDeadChildrenLeaveNothing(t *testing.T) {
	p := newPool(t, func(o *Options) { o.Env = []string{dyingEnv} })
	wantEngineError(t, run(t, p, "", `1`), "too much time or memory")
	before := filesOf(t, os.Getpid())
	for range 50 {
		wantEngineError(t, run(t, p, "", `1`), "too much time or memory")
	}
	if after := filesOf(t, os.Getpid()); after > before {
		t.Errorf("%d files are open after 50 dead children, %d after the first", after, before)
	}
	if living, dead := offspringOf(t, os.Getpid()); len(living)+len(dead) > 0 {
		t.Errorf("children %v live and %v wait to be reaped, want none", living, dead)
	}
}

// TestSpentChildrenAreReplaced has every child ask for it.
func TestSpentChildrenAreReplaced(t *testing.T) {
	p := newPool(t, func(o *Options) { o.Env = []string{spentEnv} })
	for range 10 {
		if r := run(t, p, "", `1`); !r.Passed {
			t.Errorf("got %+v from a child at its end, want its pass", r)
		}
		if living, dead := offspringOf(t, os.Getpid()); len(living)+len(dead) > 0 {
			t.Fatalf("children %v live and %v wait to be reaped, want none", living, dead)
		}
	}
}

var residentPattern = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)

// residentMemory returns what a process holds, in kB.
func residentMemory(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := residentPattern.FindSubmatch(status)
	if m == nil {
		t.Fatalf("no memory in the status of %d", pid)
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestKilledDuringJobCostsOneJob(t *testing.T) {
	p := newPool(t, func(o *Options) { o.Workers = 2 })
	result := make(chan market.Report, 1)
	go func() { result <- run(t, p, recursion, nested(32)) }()
	victim := onlyChild(t)
	time.Sleep(100 * time.Millisecond) // Past its start.
	if r := run(t, p, "", `1`); !r.Passed {
		t.Errorf("got %+v from the other child, want a pass", r)
	}
	if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wantEngineError(t, <-result, "")
	for range 3 {
		if r := run(t, p, "", `1`); !r.Passed {
			t.Errorf("got %+v after a child was killed, want a pass", r)
		}
	}
	if got := childrenOf(t, os.Getpid()); slices.Contains(got, victim) || len(got) != 1 {
		t.Errorf("got children %v, want one and not %d", got, victim)
	}
}

func TestKilledDuringRulesCostsOneJob(t *testing.T) {
	p := newPool(t, nil)
	var rules []string
	for i := range 20 {
		rules = append(rules, fmt.Sprintf(`{"name":"r%d","kind":"cel","expression":"output.all(a, output.all(b, a + b > %d))"}`, i, i-100))
	}
	slow := "[" + strings.Join(rules, ",") + "]"
	runRules(t, p, `[{"name":"r","kind":"equals","equals":1}]`, `1`)
	victim := onlyChild(t)
	result := make(chan market.Report, 1)
	go func() { result <- runRules(t, p, slow, repeated("1", 5_000)) }()
	time.Sleep(100 * time.Millisecond) // In the middle of it.
	if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wantEngineError(t, <-result, "")
	if r := runRules(t, p, `[{"name":"r","kind":"cel","expression":"output == 1"}]`, `1`); !r.Passed {
		t.Errorf("got %+v after a child was killed, want a pass by a new one", r)
	}
	if got := childrenOf(t, os.Getpid()); slices.Contains(got, victim) || len(got) != 1 {
		t.Errorf("got children %v, want one and not %d", got, victim)
	}
}

func TestKilledWhileIdleCostsNothing(t *testing.T) {
	p := newPool(t, nil)
	run(t, p, "", `1`)
	victim := onlyChild(t)
	if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the child", func() bool { return len(childrenOf(t, os.Getpid())) == 0 })
	time.Sleep(50 * time.Millisecond) // The pool has seen it too.
	if r := run(t, p, "", `1`); !r.Passed {
		t.Errorf("got %+v, want a pass by a new child", r)
	}
}

func TestServerKilledLeavesNoChild(t *testing.T) {
	server := exec.Command(testOptions().Command[0])
	server.Env = []string{serverEnv}
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("got %q, %v from the server, want it ready", line, err)
	}
	time.Sleep(200 * time.Millisecond) // Its child computes.
	children := childrenOf(t, server.Process.Pid)
	if len(children) != 1 {
		t.Fatalf("got children %v of the server, want one", children)
	}
	if err := server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = server.Wait() // It was killed, as it says.
	began := time.Now()
	eventually(t, "the end of the server's child", func() bool { return !exists(children[0]) })
	if took := time.Since(began); took > 1500*time.Millisecond { // it computes for 200 ms of at least 2 s by then
		t.Errorf("the child outlived its server by %v, want it killed at once and not by its CPU time", took)
	}
}

// exists reports whether a process runs; one that only waits to be reaped
// does not.
func exists(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && !strings.Contains(string(status), "State:\tZ")
}

func TestChildIsConfined(t *testing.T) {
	p := newPool(t, nil)
	run(t, p, "", `1`)
	pid := onlyChild(t)
	read := func(name string) string {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	limits := read("limits")
	wanted := []string{`Max file size +0 +0`, `Max core file size +0 +0`, `Max open files +16 +16`, `Max cpu time +120 +120`}
	if !raceEnabled {
		wanted = append(wanted, `Max data size +402653184 +402653184`)
	}
	for _, want := range wanted {
		if !regexp.MustCompile(want).MatchString(limits) {
			t.Errorf("got limits\n%s\nwant %s", limits, want)
		}
	}
	for _, thread := range threadsOf(t, pid) {
		if !thread.isBarred {
			t.Errorf("thread %d of the child %d may gain privileges", thread.id, pid)
		}
	}
	if got := read("environ"); got != workerEnv+"\x00" {
		t.Errorf("got environment %q, want only %s", got, workerEnv)
	}
	// The main thread does not count: it cannot end, and keeps what it was
	// given if the nursery of an earlier test ran on it.
	eventually(t, "that only the nursery's thread cannot gain privileges", func() bool {
		n := 0
		for _, thread := range threadsOf(t, os.Getpid()) {
			if thread.id != os.Getpid() && thread.isBarred {
				n++
			}
		}
		return n <= 1
	})
}

type thread struct {
	id       int
	isBarred bool
}

func threadsOf(t *testing.T, pid int) []thread {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	var threads []thread
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/status", pid, id))
		if err != nil {
			continue // It has just ended.
		}
		threads = append(threads, thread{id: id, isBarred: strings.Contains(string(status), "NoNewPrivs:\t1")})
	}
	return threads
}

func TestCPULimit(t *testing.T) {
	var log logBuffer
	p := newPool(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	for range 3 { // A little use before: the limit is from now on, not from the start.
		run(t, p, recursion, nested(16))
	}
	wantEngineError(t, run(t, p, recursion, nested(32)), "too much time or memory")
	if !strings.Contains(log.String(), "out of CPU time") {
		t.Errorf("got log %q, want the CPU limit as the reason", log.String())
	}
}

func TestMemoryLimit(t *testing.T) {
	if raceEnabled {
		t.Skip("The race detector's child has no memory limit.")
	}
	var log logBuffer
	p := newPool(t, func(o *Options) {
		o.Env = []string{hungryEnv}
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	wantEngineError(t, run(t, p, "", `1`), "too much time or memory")
	if !strings.Contains(log.String(), "memory") {
		t.Errorf("got log %q, want the memory limit as the reason", log.String())
	}
}
