package pool

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/market/verify"
)

func runRules(t testing.TB, p *Pool, rules, output string) market.Report {
	t.Helper()
	r, err := p.Verify(t.Context(), verify.Job{Rules: json.RawMessage(rules), Output: json.RawMessage(output)})
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	return r
}

func celRule(expression string) string {
	text, err := json.Marshal(expression)
	if err != nil {
		panic(err) // a string
	}
	return `[{"name":"bomb","kind":"cel","expression":` + string(text) + `}]`
}

// TestRuleBombsCostOnlyThemselves sends what could eat the machine, as
// published rules and as outputs against rules that were admitted.
func TestRuleBombsCostOnlyThemselves(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(o *Options) { o.Timeout = 5 * time.Second })
	long := `{"s":"` + strings.Repeat("x", 200_000) + `","n":[` + strings.TrimSuffix(strings.Repeat("1,", 2_000), ",") + `]}`
	const pass, fail, undecided = market.VerdictPass, market.VerdictFail, market.VerdictError
	eaten := []market.Verdict{undecided}
	if raceEnabled {
		eaten = append(eaten, pass) // The race detector's child has no memory limit.
	}
	for _, c := range []struct {
		name, rules, output string
		want                []market.Verdict // one of these
	}{
		{"a loop of 2,000 by 2,000", celRule(`output.n.all(a, output.n.all(b, a + b > 0))`), long, []market.Verdict{undecided}},
		{"joining strings that cost nothing", celRule(`[1,2,3,4,5,6,7,8,9,10,11,12].all(x, size(output.s + output.s + output.s + output.s + output.s + output.s) > x)`), long, []market.Verdict{pass, undecided}},
		{"a string joined 3,600 times", celRule(joined("output.s")), long, eaten},
		{"the same of a known type", celRule(joined("string(output.s)")), long, []market.Verdict{undecided}},
		{"a list joined 3,600 times", celRule(joined("output.n")), long, []market.Verdict{undecided, pass}},
		{"three loops", celRule(`output.all(a, a.all(b, b.all(c, c > 0)))`), `[]`, []market.Verdict{undecided}},
		{"a pattern of the output", celRule(`"x".matches(output)`), `"` + strings.Repeat("a{1000}", 1000) + `"`, []market.Verdict{undecided}},
		{"a pattern that repeats", celRule(`"x".matches("` + strings.Repeat("a{1000}", 250) + `")`), `1`, []market.Verdict{undecided}},
		{"a rule's pattern that repeats", `[{"name":"bomb","kind":"regex","pattern":"` + strings.Repeat("a{1000}", 1000) + `"}]`, `"a"`, []market.Verdict{undecided}},
		{"a nested quantifier", `[{"name":"bomb","kind":"regex","pattern":"^(a+)+$"}]`, `"` + strings.Repeat("a", 100_000) + `!"`, []market.Verdict{fail}},
		{"a slow pattern on a long string", `[{"name":"bomb","kind":"regex","pattern":"^((x?){20}){20}y$"}]`, `"` + strings.Repeat("x", 200_000) + `"`, []market.Verdict{undecided, fail}},
		{"deep brackets", celRule(strings.Repeat("(", 1_000) + "true" + strings.Repeat(")", 1_000)), `1`, []market.Verdict{undecided}},
		{"deep lists", celRule(strings.Repeat("[", 1_000) + strings.Repeat("]", 1_000) + " == []"), `1`, []market.Verdict{undecided}},
		{"an exponent", `[{"name":"bomb","kind":"range","min":1e10000000}]`, `1`, []market.Verdict{undecided}},
		{"an exponent of the output", `[{"name":"bomb","kind":"range","min":1}]`, `1e10000000`, []market.Verdict{fail}},
		{"numbers that are long", `[{"name":"bomb","kind":"equals","equals":` + repeated("1e308", 9_000) + `}]`, repeated("10e307", 9_000), []market.Verdict{pass, undecided}},
		{"a rule that is long", `[{"name":"bomb","kind":"equals","equals":"` + strings.Repeat("x", 1<<20) + `"}]`, `1`, []market.Verdict{undecided}},
		{"rules without end", `[` + strings.TrimSuffix(strings.Repeat(`{"name":"b","kind":"length","minLength":0},`, 6_000), ",") + `]`, `1`, []market.Verdict{undecided}},
		{"hashes of all", `[` + strings.TrimSuffix(strings.Repeat(`{"name":"b","kind":"sha256","sha256":"x"},`, 20), ",") + `]`, long, []market.Verdict{fail}},
		{"a time zone from a file", celRule(`timestamp(0).getHours("../../etc/passwd") == 1`), `1`, []market.Verdict{undecided}},
	} {
		began := time.Now()
		r := runRules(t, p, c.rules, c.output)
		got := false
		for _, v := range c.want {
			got = got || r.Verdict == v
		}
		if !got {
			t.Errorf("%s: got %+v, want %v", c.name, r, c.want)
		}
		t.Logf("%s: %s in %v: %.100s", c.name, r.Verdict, time.Since(began).Round(time.Millisecond), r.Checks[0].Detail)
		if r := runRules(t, p, `[{"name":"r","kind":"equals","equals":1}]`, `1`); !r.Passed {
			t.Fatalf("after %s: got %+v, want a pass", c.name, r)
		}
	}
}

// joined joins a value to itself 60 times, and what comes of it again: the
// cost of that is counted for strings whose type is known only.
func joined(start string) string {
	sum := strings.TrimSuffix(strings.Repeat("x + ", 60), " + ")
	return fmt.Sprintf(`size([%s].map(x, %s).map(x, %s)[0]) > 0`, start, sum, sum)
}

func repeated(item string, n int) string {
	return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
}

func TestVerifyPassesEverythingOn(t *testing.T) {
	t.Parallel()
	p := newPool(t, nil)
	job := verify.Job{
		Schema: json.RawMessage(`{"type":"object"}`), Payload: json.RawMessage(`{"n":2}`), Output: json.RawMessage(`{"n":2}`),
		Attachments: []market.Attachment{{Name: "a", MediaType: "text/plain", Bytes: 3, SHA256: "x"}},
		Hidden:      json.RawMessage(`[{"rule":"h","salt":"","vectors":[{"pointer":"/n","equals":2}]}]`),
		Rules: json.RawMessage(`[{"name":"c","kind":"cel","expression":"payload.n == output.n && attachments[0].bytes == 3"},
			{"name":"a","kind":"attachment","attachment":"a","required":true},{"name":"h","kind":"hidden","count":1,"minPass":1}]`),
	}
	r, err := p.Verify(t.Context(), job)
	if err != nil || !r.Passed || len(r.Checks) != 4 {
		t.Errorf("got %+v (%v), want four passes", r, err)
	}
	job.DryRun = true
	if r, err = p.Verify(t.Context(), job); err != nil || !r.Passed || len(r.Checks) != 3 {
		t.Errorf("got %+v (%v), want three passes without what is hidden", r, err)
	}
	a := verify.Admission{Schema: job.Schema, Payload: job.Payload, Rules: job.Rules, Hidden: job.Hidden}
	problems, err := p.Admit(t.Context(), a)
	if err != nil || len(problems) != 1 || problems[0].Pointer != "/rules/2/commitment" {
		t.Errorf("got %+v (%v), want a problem with the commitment", problems, err)
	}
	a.Rules, a.Payload = json.RawMessage(`"`+strings.Repeat("x", 1<<20)+`"`), json.RawMessage(`"`+strings.Repeat("x", 1<<20)+`"`)
	if problems, err = p.Admit(t.Context(), a); err != nil || len(problems) != 2 || problems[0].Pointer != "/payload" || problems[1].Pointer != "/rules" {
		t.Errorf("got %+v (%v), want payload and rules refused by their length", problems, err)
	}
}

func TestAdmitRulesThatKill(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(o *Options) { o.Env = []string{dyingEnv} })
	for _, c := range []struct{ schema, rules, want string }{{``, `[]`, "/rules"}, {`{}`, ``, "/outputSchema"}, {`{}`, `[]`, ""}} {
		got, err := p.Admit(t.Context(), verify.Admission{Schema: json.RawMessage(c.schema), Rules: json.RawMessage(c.rules)})
		if err != nil || len(got) != 1 || got[0].Pointer != c.want || !strings.Contains(got[0].Detail, "too expensive") {
			t.Errorf("got %v, %v from a child that dies of it, want one problem at %q", got, err, c.want)
		}
	}
}
