package verify

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"guildhall/market"
)

// FuzzAdmitRules holds rules to three promises: nothing panics, what is said
// is short, and what was admitted can be used on any output.
func FuzzAdmitRules(f *testing.F) {
	for _, seed := range [][2]string{
		{`[{"name":"a","kind":"cel","expression":"output.x == 1 && payload.all(p, p > 0) && attachments.exists(f, f.bytes > 1)"}]`, `{"x":1}`},
		{`[{"name":"a","kind":"cel","expression":"output.s.matches('^a+$') || math.greatest(1, output.n) > 1.5 || has(output.t)"}]`, `{"s":"aa","n":2}`},
		{`[{"name":"a","kind":"cel","expression":"timestamp(output.t).getFullYear() > duration('1h').getHours() ? true : type(output) == map"}]`, `{"t":"2026-01-01T00:00:00Z"}`},
		{`[{"name":"a","kind":"cel","expression":"{'a':[1u,2u]}.a.map(x, x * 2u).exists_one(x, x == 4u) && b'a' != b'b' && -9223372036854775808 < 0"}]`, `1`},
		{`[{"name":"a","kind":"cel","expression":"string(output).startsWith(\"\\u202e\") && int('1') in [1, 2] && size(output + output) > 3"}]`, `"ab"`},
		{`[{"name":"a","kind":"equals","pointer":"/a~1b/0","equals":{"n":1.0,"m":[null]}},{"name":"b","kind":"equals"}]`, `{"a/b":[{"m":[null],"n":1}]}`},
		{`[{"name":"a","kind":"sha256","pointer":"/x","sha256":"4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce"}]`, `{"x":3}`},
		{`[{"name":"a","kind":"regex","pattern":"^(a|b{2,5})*$"},{"name":"m","kind":"manual","text":"x"}]`, `"abb"`},
		{`[{"name":"a","kind":"range","min":-1e308,"max":1e-308},{"name":"b","kind":"range","pointer":"/0","min":2}]`, `[1e-308,"x"]`},
		{`[{"name":"a","kind":"length","minLength":1,"maxLength":2},{"name":"b","kind":"length"}]`, `"é"`},
		{`[{"name":"a","kind":"attachment","attachment":"[a-c]?*.csv","required":true,"maxBytes":9,"mediaTypes":["text/*"],"sha256":"x"}]`, `1`},
		{`[{"name":"h","kind":"hidden","commitment":"sha256:00","count":1,"minPass":1},{"name":"x","kind":"wasm"}]`, `1`},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	files := []market.Attachment{{Name: "abc.csv", MediaType: "text/csv; charset=utf-8", Bytes: 9, SHA256: "x"}}
	f.Fuzz(func(t *testing.T, rules, output []byte) {
		if len(output) > 1<<10 { // Joining long values is for the child's memory limit.
			return
		}
		problems := Admit(Admission{Rules: rules})
		for _, p := range problems {
			if strings.Contains(p.Detail, "The rule cannot be compiled.") || utf8.RuneCountInString(p.Detail) > maxDetail || !utf8.ValidString(p.Detail) {
				t.Errorf("%q: got %+v", rules, p)
			}
		}
		r := Run(Job{Rules: rules, Output: output, Payload: json.RawMessage(`[1,2]`), Attachments: files, DryRun: true})
		for _, c := range r.Checks {
			if utf8.RuneCountInString(c.Detail) > maxDetail || len(c.Pointer) > maxPointer || !utf8.ValidString(c.Detail) {
				t.Errorf("%q with %q: got %+v, want it short", rules, output, c)
			}
			if c.Verdict == market.VerdictError && len(problems) == 0 && !strings.Contains(c.Detail, "costs too much") {
				t.Errorf("%q with %q: admitted, but got %+v", rules, output, c)
			}
		}
	})
}

// FuzzExpression looks closer at expressions, which a fuzzer seldom finds
// within JSON.
func FuzzExpression(f *testing.F) {
	for _, seed := range []string{
		`output.x == 1`, `output.l.all(x, x > 0 && x in payload)`, `output.s.matches("^a[0-9]{1,3}$")`, `size(output) > 0 ? has(output.x) : false`,
		`math.greatest([1, 2.5, 3u]) == 3`, `output.l.map(x, x > 1, [x, x]).exists(y, y == [2, 2])`, `{"a": 1, 'b': 2u}["a"] == 1`, `type(output.n) == double`,
		`string(output.l[0]) + b"\x61" == "1a"`, `duration("1h30m") > timestamp(0) - timestamp("1970-01-01T00:00:00Z")`, `!(-1 / 0 == 1)`, "true\n// comment\n", `output['x'].y.?z`,
		`output.s + output.s == "aa"`, `dyn(output).x == null`, `9223372036854775807 + 1 > 0`, `output.l[?0] == 1`, `r"\d" == '''a'''`, `google.protobuf.Timestamp{seconds: 1} == timestamp(1)`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, expression string) {
		if !utf8.ValidString(expression) || strings.ContainsRune(expression, 0) {
			return // Package market refuses it.
		}
		check, _, problems := compileOne(market.Rule{Name: "r", Kind: market.RuleCEL, Expression: &expression})
		for _, p := range problems {
			if p.Pointer != "/expression" || utf8.RuneCountInString(p.Detail) > maxDetail || !utf8.ValidString(p.Detail) {
				t.Errorf("%q: got %+v", expression, p)
			}
		}
		if len(problems) > 0 {
			return
		}
		output, err := decode([]byte(`{"x":1,"l":[1,2,3],"s":"a","n":1.5,"o":{"p":null}}`))
		if err != nil {
			t.Fatal(err)
		}
		job := Job{Payload: json.RawMessage(`[1,2]`)}
		first := check(&subject{job: job, output: output})
		if again := check(&subject{job: job, output: output}); again != first {
			t.Errorf("%q: got %+v, before %+v", expression, again, first)
		}
		if first.verdict == market.VerdictError && !strings.Contains(first.detail, "costs too much") {
			t.Errorf("%q: got %+v", expression, first)
		}
	})
}
