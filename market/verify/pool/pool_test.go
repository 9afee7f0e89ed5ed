package pool

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/market/verify"
)

// The test binary is also the worker, one that dies of every job, one that
// asks to be replaced after each, one that takes all memory, and a server.
const (
	workerEnv = "GUILDHALL_TEST_VERIFY=worker"
	dyingEnv  = "GUILDHALL_TEST_VERIFY=dying"
	spentEnv  = "GUILDHALL_TEST_VERIFY=spent"
	hungryEnv = "GUILDHALL_TEST_VERIFY=hungry"
	serverEnv = "GUILDHALL_TEST_VERIFY=server"
)

func TestMain(m *testing.M) {
	switch "GUILDHALL_TEST_VERIFY=" + os.Getenv("GUILDHALL_TEST_VERIFY") {
	case workerEnv:
		os.Exit(WorkerMain())
	case dyingEnv:
		var r request
		_ = writeFrame(os.Stdout, greeting{Protocol: protocol})
		_ = readFrame(os.Stdin, maxRequest, &r)
		os.Exit(1)
	case spentEnv:
		_ = writeFrame(os.Stdout, greeting{Protocol: protocol})
		for r := (request{}); readFrame(os.Stdin, maxRequest, &r) == nil; {
			a := work(verify.NewEngine(), r)
			a.Retire = true
			_ = writeFrame(os.Stdout, a)
		}
		select {} // as stubborn as can be
	case hungryEnv:
		_ = confine()
		_ = writeFrame(os.Stdout, greeting{Protocol: protocol})
		for all := [][]byte{}; ; {
			all = append(all, make([]byte, 16<<20))
		}
	case serverEnv:
		serverMain()
	}
	os.Exit(m.Run())
}

// serverMain computes until it is killed.
func serverMain() {
	p := New(testOptions())
	_, _ = p.Verify(context.Background(), verify.Job{Output: json.RawMessage(`1`)})
	fmt.Println("ready")
	for {
		_, _ = p.Verify(context.Background(), verify.Job{Schema: json.RawMessage(recursion), Output: json.RawMessage(nested(32))})
	}
}

func testOptions() Options {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return Options{Command: []string{exe}, Env: []string{workerEnv}, Workers: 1, Timeout: 30 * time.Second, Logger: slog.New(slog.DiscardHandler)}
}

func newPool(t testing.TB, change func(*Options)) *Pool {
	t.Helper()
	o := testOptions()
	if change != nil {
		change(&o)
	}
	p := New(o)
	t.Cleanup(p.Close)
	return p
}

func run(t testing.TB, p *Pool, schema, output string) market.Report {
	t.Helper()
	r, err := p.Verify(t.Context(), verify.Job{Schema: json.RawMessage(schema), Output: json.RawMessage(output)})
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	return r
}

func wantEngineError(t testing.TB, r market.Report, detail string) {
	t.Helper()
	if r.Verdict != market.VerdictError || r.Passed || len(r.Checks) != 1 || r.Checks[0].Kind != "engine" {
		t.Fatalf("got %+v, want one engine error", r)
	}
	if got := r.Checks[0].Detail; !strings.Contains(got, detail) {
		t.Errorf("got detail %q, want one with %q", got, detail)
	}
	if r.Engine != verify.Version || r.RulesHash == "" || r.OutputHash == "" {
		t.Errorf("got %+v, want it to name what was not judged", r)
	}
}

func doubling(levels int) string {
	defs := []string{`"a0":{"type":"string"}`}
	for i := 1; i <= levels; i++ {
		defs = append(defs, fmt.Sprintf(`"a%d":{"allOf":[{"$ref":"#/$defs/a%d"},{"$ref":"#/$defs/a%d"}]}`, i, i-1, i-1))
	}
	return fmt.Sprintf(`{"$defs":{%s},"$ref":"#/$defs/a%d"}`, strings.Join(defs, ","), levels)
}

// recursion doubles with each level of the output, which nothing static sees.
const recursion = `{"items":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}}`

func nested(levels int) string {
	return strings.Repeat("[", levels) + strings.Repeat("]", levels)
}

func TestVerify(t *testing.T) {
	t.Parallel()
	p := newPool(t, nil)
	const schema = `{"type":"object","required":["rows"],"properties":{"rows":{"items":{"properties":{"n":{"minimum":1}}}}}}`
	for _, c := range []struct {
		schema, output string
		verdict        market.Verdict
		pointer        string
	}{
		{schema, `{"rows":[{"n":1}]}`, market.VerdictPass, ""},
		{schema, `{"rows":[{"n":1},{"n":0}]}`, market.VerdictFail, "/rows/1/n"},
		{schema, `{}`, market.VerdictFail, ""},
		{schema, `{"rows":[}`, market.VerdictFail, "/rows/0"},
		{schema, "\"\xff\"", market.VerdictFail, ""},
		{`{"type":7}`, `1`, market.VerdictError, ""},
		{schema, `"` + strings.Repeat("x", 2<<20) + `"`, market.VerdictFail, ""},
		{`"` + strings.Repeat("x", 2<<20) + `"`, `1`, market.VerdictError, ""},
	} {
		r := run(t, p, c.schema, c.output)
		if len(r.Checks) != 1 || r.Verdict != c.verdict || r.Checks[0].Pointer != c.pointer {
			t.Errorf("%.80s: got %+v, want %s at %q", c.output, r, c.verdict, c.pointer)
		}
		if want := verify.OutputHash([]byte(c.output)); r.Engine != verify.Version || r.OutputHash != want {
			t.Errorf("%.80s: got %q and %q, want the engine and %q", c.output, r.Engine, r.OutputHash, want)
		}
	}
	if r := run(t, p, "", `[1]`); !r.Passed || len(r.Checks) != 0 {
		t.Errorf("got %+v without a schema, want a pass without checks", r)
	}
}

func TestBombsCostOnlyThemselves(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(o *Options) { o.Timeout = 3 * time.Second })
	for _, c := range []struct {
		name, schema, output string
		want                 market.Verdict
	}{
		{"exponent", `{"minimum":1}`, `1e10000000`, market.VerdictFail},
		{"exponent in the schema", `{"minimum":1e10000000}`, `1`, market.VerdictError},
		{"file", `{"$ref":"file:///etc/passwd"}`, `1`, market.VerdictError},
		{"http", `{"$ref":"http://127.0.0.1/"}`, `1`, market.VerdictError},
		{"another draft", `{"$schema":"http://127.0.0.1/"}`, `1`, market.VerdictError},
		{"doubling", doubling(26), `1`, market.VerdictError},
		{"recursion", recursion, nested(32), market.VerdictError},
		{"errors without end", `{"items":{"allOf":[{"$ref":"#"},{"$ref":"#"}]},"maxItems":0}`, nested(32), market.VerdictError},
		{"errors by the thousand", doubling(11), `1`, market.VerdictFail},
		{"errors of a recursion", `{"items":{"allOf":[{"$ref":"#"},{"$ref":"#"}]},"type":"null"}`, nested(11), market.VerdictFail},
		{"a nested quantifier", `{"pattern":"(a+)+$"}`, `"` + strings.Repeat("a", 100_000) + `!"`, market.VerdictFail},
		{"lookahead", `{"pattern":"(?=a)"}`, `"a"`, market.VerdictError},
		{"repetition", `{"pattern":"` + strings.Repeat("a{1000}", 1000) + `"}`, `"a"`, market.VerdictError},
		{"format regex", `{"format":"regex"}`, `"` + strings.Repeat("a{1000}", 1000) + `"`, market.VerdictFail},
		{"nesting", `{}`, nested(9_999), market.VerdictFail},
		{"more nesting", `{}`, nested(10_001), market.VerdictFail},
		{"duplicates", `{}`, `{"a":1,"\u0061":2}`, market.VerdictFail},
		{"uniqueItems", `{"uniqueItems":true}`, numbers(19_000), market.VerdictPass},
		{"invalid UTF-8", `{}`, "\"\xff\"", market.VerdictFail},
		{"NaN", `{}`, `NaN`, market.VerdictFail},
		{"trailing data", `{}`, `1 2`, market.VerdictFail},
	} {
		r := run(t, p, c.schema, c.output)
		if r.Verdict != c.want {
			t.Errorf("%s: got %+v, want %s", c.name, r, c.want)
		}
		if size := len(fmt.Sprint(r)); size > 20_000 || len(r.Checks) > 20 || strings.Contains(fmt.Sprint(r), "root:") {
			t.Errorf("%s: got a report of %d bytes and %d checks: %.300v", c.name, size, len(r.Checks), r)
		}
		if r := run(t, p, `{"type":"string"}`, `"x"`); !r.Passed {
			t.Fatalf("after %s: got %+v, want a pass", c.name, r)
		}
	}
}

func numbers(n int) string {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprint(i)
	}
	return "[" + strings.Join(items, ",") + "]"
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	var log logBuffer
	p := newPool(t, func(o *Options) {
		o.Timeout = 300 * time.Millisecond
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	began := time.Now()
	wantEngineError(t, run(t, p, recursion, nested(32)), "too long")
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("got an answer after %v, want it soon after the timeout", took)
	}
	if !strings.Contains(log.String(), "verify worker lost") {
		t.Errorf("got log %q, want the loss of the worker", log.String())
	}
	if problems, err := p.Admit(t.Context(), verify.Admission{Schema: json.RawMessage(`{}`)}); err != nil || len(problems) != 0 {
		t.Errorf("got %v, %v after a timeout, want a schema admitted", problems, err)
	}
}

func TestAdmit(t *testing.T) {
	t.Parallel()
	p := newPool(t, nil)
	for _, c := range []struct{ schema, want string }{
		{`{"type":"object"}`, "none"},
		{`{"properties":{"a":{"$ref":"file:///etc/passwd"}}}`, "/properties/a/$ref"},
		{`{"minimum":1e999999}`, "/minimum"},
		{doubling(20), ""},
		{`{`, ""},
		{`7`, ""},
		{`"` + strings.Repeat("x", 2<<20) + `"`, ""},
	} {
		got, err := p.Admit(t.Context(), verify.Admission{Schema: json.RawMessage(c.schema)})
		if err != nil {
			t.Fatalf("%.60s: %v", c.schema, err)
		}
		switch {
		case c.want == "none" && len(got) != 0:
			t.Errorf("%.60s: got %+v, want no problem", c.schema, got)
		case c.want != "none" && (len(got) == 0 || got[0].Pointer != "/outputSchema"+c.want):
			t.Errorf("%.60s: got %+v, want a problem at %q", c.schema, got, c.want)
		}
	}
}

func TestAdmitThatKills(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(o *Options) { o.Env = []string{dyingEnv} })
	got, err := p.Admit(t.Context(), verify.Admission{Schema: json.RawMessage(`{}`)})
	if err != nil || len(got) != 1 || !strings.Contains(got[0].Detail, "too expensive to compile") {
		t.Errorf("got %v, %v from a child that dies of it, want one problem", got, err)
	}
}

func TestCannotStart(t *testing.T) {
	t.Parallel()
	for name, command := range map[string][]string{
		"none":    nil,
		"missing": {"/nonexistent/program"},
		"silent":  {"/bin/true"},
	} {
		p := newPool(t, func(o *Options) { o.Command = command })
		wantEngineError(t, run(t, p, "", `1`), "could not be started")
		if problems, err := p.Admit(t.Context(), verify.Admission{Schema: json.RawMessage(`{}`)}); !errors.Is(err, errStart) {
			t.Errorf("%s: got %v, %v, want errStart", name, problems, err)
		}
	}
}

func TestCallerGivesUp(t *testing.T) {
	t.Parallel()
	p := newPool(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := p.Verify(ctx, verify.Job{Schema: json.RawMessage(recursion), Output: json.RawMessage(nested(32))})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v while computing, want the caller's deadline", err)
	}
	if _, err := p.Verify(ctx, verify.Job{Output: json.RawMessage(`1`)}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v with an ended context, want its error", err)
	}
	if r := run(t, p, "", `1`); !r.Passed {
		t.Errorf("got %+v for the next caller, want a pass", r)
	}
}

func TestConcurrentJobsKeepApart(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(o *Options) { o.Workers = 3 })
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			job := verify.Job{Schema: json.RawMessage(fmt.Sprintf(`{"const":%d}`, i%7)), Output: json.RawMessage(fmt.Sprint(i % 14))}
			if i%20 == 0 { // Some callers leave, and must hurt nobody else.
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				defer cancel()
				_, _ = p.Verify(ctx, job)
				return
			}
			r, err := p.Verify(t.Context(), job)
			if want := i%14 < 7; err != nil || r.Passed != want {
				t.Errorf("job %d: got %+v (%v), want passed %v", i, r, err, want)
			}
		})
	}
	wg.Wait()
}

func TestRetire(t *testing.T) {
	t.Parallel()
	var in, out bytes.Buffer
	for range 2 {
		if err := writeFrame(&in, request{Output: []byte(`1`)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := serve(&in, &out); err != nil {
		t.Fatal(err)
	}
	var g greeting
	var a answer
	if err := errors.Join(readFrame(&out, maxAnswer, &g), readFrame(&out, maxAnswer, &a)); err != nil {
		t.Fatal(err)
	}
	if a.Retire || a.Report == nil || !a.Report.Passed {
		t.Errorf("got %+v, want a pass by a child that stays", a)
	}
	if !isSpent(maxJobs, 0, 0) || !isSpent(1, maxHeap+1, 0) || !isSpent(1, 0, maxLifeTime+1) || isSpent(maxJobs-1, maxHeap, maxLifeTime) {
		t.Error("a child does not retire exactly above its bounds")
	}
}

func TestFrames(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"too long":  "\x7f\xff\xff\xff{}",
		"cut short": "\x00\x00\x00\x09{}",
		"not JSON":  "\x00\x00\x00\x02{]",
	} {
		var a answer
		if err := readFrame(strings.NewReader(raw), maxAnswer, &a); err == nil {
			t.Errorf("%s: got %+v, want an error", name, a)
		}
	}
}

func TestExcerpt(t *testing.T) {
	t.Parallel()
	var e excerpt
	write := func(s string) {
		if n, err := e.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatalf("got %d, %v, want all of %d bytes written", n, err, len(s))
		}
	}
	write("begin")
	if got := e.String(); got != "begin" {
		t.Errorf("got %q, want what was written", got)
	}
	write(strings.Repeat(".", 3*excerptPart))
	write("end")
	if got := e.String(); !strings.HasPrefix(got, "begin") || !strings.HasSuffix(got, "..end") || len(got) > 2*excerptPart+16 {
		t.Errorf("got %d bytes, want the beginning and the end", len(got))
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	p := newPool(t, nil)
	run(t, p, "", `1`)
	p.Close()
	if _, err := p.Verify(t.Context(), verify.Job{Output: json.RawMessage(`1`)}); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v from a closed pool, want ErrClosed", err)
	}
	if _, err := p.Admit(t.Context(), verify.Admission{Schema: json.RawMessage(`{}`)}); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v from a closed pool, want ErrClosed", err)
	}
	p.Close()
}

func TestCloseDuringJobs(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(o *Options) { o.Workers = 2 })
	results := make(chan error, 4)
	for range cap(results) {
		go func() {
			_, err := p.Verify(context.Background(), verify.Job{Schema: json.RawMessage(recursion), Output: json.RawMessage(nested(32))})
			results <- err
		}()
	}
	time.Sleep(200 * time.Millisecond)
	p.Close()
	for range cap(results) {
		if err := <-results; !errors.Is(err, ErrClosed) {
			t.Errorf("got %v from a job cut off by Close, want ErrClosed", err)
		}
	}
}

func TestNoGoroutinesLeak(t *testing.T) {
	before := runtime.NumGoroutine()
	p := New(testOptions())
	for range 1_000 {
		if r := run(t, p, `{"type":"integer"}`, `1`); !r.Passed {
			t.Fatalf("got %+v, want a pass", r)
		}
	}
	during := runtime.NumGoroutine()
	p.Close()
	if during > before+5 {
		t.Errorf("got %d goroutines with one child, %d before", during, before)
	}
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("got %d goroutines after Close, want %d", after, before)
	}
}

// logBuffer is a bytes.Buffer for concurrent use.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
