package pool

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"guildhall/market"
	"guildhall/market/verify"
)

func TestMain(m *testing.M) {
	if os.Getenv("GUILDHALL_TEST_VERIFY_WORKER") != "" {
		os.Exit(WorkerMain())
	}
	os.Exit(m.Run())
}

func newPool(t testing.TB, workers int) *Pool {
	t.Helper()
	p := New(Options{Command: []string{"/proc/self/exe"}, Env: []string{"GUILDHALL_TEST_VERIFY_WORKER=1"}, Workers: workers})
	t.Cleanup(p.Close)
	return p
}

func check(t testing.TB, p *Pool, schema, output string) market.Report {
	t.Helper()
	r, err := p.Verify(context.Background(), verify.Job{Schema: json.RawMessage(schema), Output: json.RawMessage(output)})
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return r
}

func TestVerifyPointsAtWhatIsWrong(t *testing.T) {
	t.Parallel()
	p := newPool(t, 1)
	schema := `{"type":"object","required":["rows"],"properties":{"rows":{"type":"array","items":{"type":"object","properties":{"n":{"minimum":1}}}}}}`
	if r := check(t, p, schema, `{"rows":[{"n":1}]}`); !r.Passed || len(r.Checks) != 1 {
		t.Errorf("got %+v, want a pass", r)
	}
	r := check(t, p, schema, `{"rows":[{"n":1},{"n":0}]}`)
	if r.Verdict != market.VerdictFail || r.Checks[0].Pointer != "/rows/1/n" {
		t.Errorf("got %+v, want a failure at /rows/1/n", r)
	}
	if r := check(t, p, schema, `{}`); r.Verdict != market.VerdictFail || !strings.Contains(r.Checks[0].Detail, "rows") {
		t.Errorf("got %+v, want the missing member named", r)
	}
	if r := check(t, p, "", `[1]`); !r.Passed {
		t.Errorf("got %+v without a schema, want a pass", r)
	}
}

func doubling(levels int) string {
	defs := []string{`"a0":{"type":"string"}`}
	for i := 1; i <= levels; i++ {
		defs = append(defs, fmt.Sprintf(`"a%d":{"allOf":[{"$ref":"#/$defs/a%d"},{"$ref":"#/$defs/a%d"}]}`, i, i-1, i-1))
	}
	return fmt.Sprintf(`{"$defs":{%s},"$ref":"#/$defs/a%d"}`, strings.Join(defs, ","), levels)
}

func TestBombsCostOnlyThemselves(t *testing.T) {
	t.Parallel()
	p := newPool(t, 1)
	nested := strings.Repeat("[", 24) + strings.Repeat("]", 24)
	for name, c := range map[string]struct {
		schema, output string
		want           market.Verdict
	}{
		"huge exponent":    {`{"minimum":1}`, `1e10000000`, market.VerdictFail},
		"deep":             {`{}`, strings.Repeat("[", 9999) + strings.Repeat("]", 9999), market.VerdictFail},
		"duplicate member": {`{}`, `{"a":1,"\u0061":2}`, market.VerdictFail},
		"not UTF-8":        {`{}`, "\"\xff\"", market.VerdictFail},
		"two values":       {`{}`, `1 2`, market.VerdictFail},
		"recursion":        {`{"items":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}}`, nested, market.VerdictError},
		"doubling":         {doubling(26), `"x"`, market.VerdictError},
	} {
		if r := check(t, p, c.schema, c.output); r.Verdict != c.want {
			t.Errorf("%s: got %+v, want %s", name, r, c.want)
		}
		if r := check(t, p, `{"type":"string"}`, `"x"`); !r.Passed {
			t.Fatalf("after %s: got %+v, want a pass", name, r)
		}
	}
}

func TestAdmitSchema(t *testing.T) {
	t.Parallel()
	p := newPool(t, 1)
	for schema, want := range map[string]string{
		`{"type":"object"}`: "none",
		`{"$schema":"https://json-schema.org/draft/2020-12/schema"}`: "none",
		`{"$schema":"http://json-schema.org/draft-07/schema#"}`:      "/$schema",
		`{"properties":{"a":{"$ref":"file:///etc/passwd"}}}`:         "/properties/a/$ref",
		`{"$ref":"https://example.com/x"}`:                           "/$ref",
		`{"properties":{"a":{"pattern":"(?=x)"}}}`:                   "/properties/a/pattern",
		`{"pattern":"` + strings.Repeat("(a{1000})", 28) + `"}`:      "/pattern",
		`{"type":"nonsense"}`:                                        "/type",
		`{"minimum":1e999999}`:                                       "/minimum",
		doubling(20):                                                 "",
		`{`:                                                          "",
		`7`:                                                          "",
	} {
		got, err := p.AdmitSchema(t.Context(), json.RawMessage(schema))
		if err != nil {
			t.Fatalf("%.60s: %v", schema, err)
		}
		switch {
		case want == "none" && len(got) != 0:
			t.Errorf("%.60s: got %+v, want no problem", schema, got)
		case want != "none" && (len(got) == 0 || got[0].Pointer != want):
			t.Errorf("%.60s: got %+v, want a problem at %q", schema, got, want)
		}
	}
}

func TestKilledWorkerCostsOneJob(t *testing.T) {
	t.Parallel()
	p := newPool(t, 1)
	check(t, p, "", `1`)
	w := <-p.slots
	w.kill()
	p.slots <- w
	if r := check(t, p, "", `1`); r.Verdict != market.VerdictError {
		t.Errorf("got %+v from a dead worker, want an error", r)
	}
	if r := check(t, p, "", `1`); !r.Passed {
		t.Errorf("got %+v from its replacement, want a pass", r)
	}
}

func TestConcurrentJobsKeepApart(t *testing.T) {
	t.Parallel()
	p := newPool(t, 2)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			r, err := p.Verify(context.Background(), verify.Job{Schema: json.RawMessage(fmt.Sprintf(`{"const":%d}`, i%7)), Output: json.RawMessage(fmt.Sprint(i % 14))})
			if want := i%14 < 7; err != nil || r.Passed != want {
				t.Errorf("job %d: got %+v (%v), want passed %v", i, r, err, want)
			}
		})
	}
	wg.Wait()
}

func BenchmarkVerify10KB(b *testing.B) {
	p := newPool(b, 2)
	var rows []string
	for i := range 68 {
		rows = append(rows, fmt.Sprintf(`{"id":%d,"name":%q}`, i, strings.Repeat("x", 120)))
	}
	job := verify.Job{Output: json.RawMessage(`{"items":[` + strings.Join(rows, ",") + `]}`),
		Schema: json.RawMessage(`{"type":"object","required":["items"],"properties":{"items":{"type":"array","items":{"type":"object","required":["id","name"],"properties":{"id":{"type":"integer","minimum":0},"name":{"type":"string","minLength":1}}}}}}`)}
	for b.Loop() {
		if r, err := p.Verify(b.Context(), job); err != nil || !r.Passed {
			b.Fatal(r, err)
		}
	}
}
