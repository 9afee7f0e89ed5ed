package verify

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"guildhall/market"
)

func hexOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// checked runs one rule and returns "verdict pointer detail".
func checked(t *testing.T, rule string, job Job) string {
	t.Helper()
	job.Rules = json.RawMessage(`[` + rule + `]`)
	r := Run(job)
	if len(r.Checks) != 1 {
		t.Fatalf("%s: got %+v, want one check", rule, r)
	}
	c := r.Checks[0]
	if c.Passed != (c.Verdict == market.VerdictPass) || utf8.RuneCountInString(c.Detail) > maxDetail || !strings.HasSuffix(c.Detail, ".") && !strings.HasSuffix(c.Detail, "…") && c.Kind != "cel" {
		t.Errorf("%s: got an odd check %+v", rule, c)
	}
	return string(c.Verdict) + " " + c.Pointer + " " + c.Detail
}

func TestRules(t *testing.T) {
	t.Parallel()
	const output = `{"a":{"b/c":[1,"two",null,{"d":1e2}]},"~":"é日","n":-0.5,"big":12345678901234567890,"one":1,"code":"ABC-12","e":{},"t":true}`
	passes := func(rule string) [3]string { return [3]string{rule, "pass"} }
	fails := func(rule, want string) [3]string { return [3]string{rule, "fail", want} }
	for _, c := range [][3]string{
		passes(`{"name":"r","kind":"equals","pointer":"/a/b~1c/0","equals":1.0}`),
		passes(`{"name":"r","kind":"equals","pointer":"/a/b~1c/3/d","equals":100}`),
		passes(`{"name":"r","kind":"equals","pointer":"/a/b~1c/2","equals":null}`),
		passes(`{"name":"r","kind":"equals","pointer":"/a","equals":{"b/c":[1,"two",null,{"d":100}]}}`),
		passes(`{"name":"r","kind":"equals","pointer":"/big","equals":12345678901234567890}`),
		passes(`{"name":"r","kind":"equals","equals":` + output + `}`),
		fails(`{"name":"r","kind":"equals","pointer":"/big","equals":12345678901234567891}`, "/big equals: expected 12345678901234567891."),
		fails(`{"name":"r","kind":"equals","pointer":"/t","equals":"true"}`, `/t equals: expected "true".`),
		fails(`{"name":"r","kind":"equals","pointer":"/a/b~1c","equals":[1,"two",null]}`, `/a/b~1c equals: expected [1,"two",null].`),
		fails(`{"name":"r","kind":"equals","pointer":"/e","equals":{"x":1}}`, `/e equals: expected {"x":1}.`),
		fails(`{"name":"r","kind":"equals","pointer":"/none","equals":1}`, "/none There is no value at this place."),
		fails(`{"name":"r","kind":"equals","pointer":"/a/b~1c/01","equals":"two"}`, "/a/b~1c/01 There is no value at this place."),
		fails(`{"name":"r","kind":"equals","pointer":"/a/b~1c/4","equals":1}`, "/a/b~1c/4 There is no value at this place."),
		fails(`{"name":"r","kind":"equals","pointer":"/n/x","equals":1}`, "/n/x There is no value at this place."),

		passes(`{"name":"r","kind":"sha256","pointer":"/~0","sha256":"` + hexOf("é日") + `"}`),
		passes(`{"name":"r","kind":"sha256","pointer":"/a","sha256":"` + hexOf(`{"b/c":[1,"two",null,{"d":100}]}`) + `"}`),
		passes(`{"name":"r","kind":"sha256","pointer":"/n","sha256":"` + hexOf(`-0.5`) + `"}`),
		fails(`{"name":"r","kind":"sha256","pointer":"/t","sha256":"`+hexOf("false")+`"}`, `/t sha256: the value has another SHA-256 than "fcbcf165908dd18a…".`),

		passes(`{"name":"r","kind":"regex","pointer":"/code","pattern":"^[A-Z]{3}-\\d+$"}`),
		fails(`{"name":"r","kind":"regex","pointer":"/code","pattern":"^\"x"}`, `/code regex: expected a match of "^\"x".`),
		fails(`{"name":"r","kind":"regex","pointer":"/n","pattern":"."}`, "/n regex: expected a string, found number."),

		passes(`{"name":"r","kind":"range","pointer":"/n","min":-0.5,"max":-0.5}`),
		passes(`{"name":"r","kind":"range","pointer":"/big","min":12345678901234567890}`),
		fails(`{"name":"r","kind":"range","pointer":"/big","min":12345678901234567891}`, "/big range: expected at least 1.2345678901234567e+19."),
		fails(`{"name":"r","kind":"range","pointer":"/n","min":0}`, "/n range: expected at least 0."),
		fails(`{"name":"r","kind":"range","pointer":"/n","max":-1}`, "/n range: expected at most -1."),
		fails(`{"name":"r","kind":"range","pointer":"/code","max":1}`, "/code range: expected a number, found string."),

		passes(`{"name":"r","kind":"length","pointer":"/~0","minLength":2,"maxLength":2}`),
		passes(`{"name":"r","kind":"length","pointer":"/e","maxLength":0}`),
		fails(`{"name":"r","kind":"length","pointer":"/~0","minLength":3}`, "/~0 length: expected at least 3 characters, found 2."),
		fails(`{"name":"r","kind":"length","pointer":"/a/b~1c","maxLength":3}`, "/a/b~1c length: expected at most 3 items, found 4."),
		fails(`{"name":"r","kind":"length","pointer":"/a","minLength":2}`, "/a length: expected at least 2 members, found 1."),
		fails(`{"name":"r","kind":"length","pointer":"/t","minLength":2}`, "/t length: expected a string, an array or an object, found boolean."),

		passes(`{"name":"r","kind":"cel","expression":"output.a['b/c'][0] == 1 && size(output.e) == 0"}`),
		passes(`{"name":"r","kind":"cel","expression":"output.n == -0.5 && output.big > 1e18 && payload.want == output.code"}`),
		passes(`{"name":"r","kind":"cel","expression":"attachments.exists(f, f.name == 'a.csv' && f.bytes == 10 && f.mediaType == 'text/csv' && size(f.sha256) == 64)"}`),
		passes(`{"name":"r","kind":"cel","expression":"output.code.matches('^[A-Z]+-[0-9]+$') && math.abs(output.n) < 1.0"}`),
		passes(`{"name":"r","kind":"cel","expression":"output.a['b/c'][3].d == 100"}`),
		// How a number is written makes no difference.
		passes(`{"name":"r","kind":"cel","expression":"output.one + output.n == 0.5 && output.one * 2.0 == 2.0 && 2.0 * output.n < 0 && int(output.one) % 2 == 1"}`),
		passes(`{"name":"r","kind":"cel","expression":"output.a['b/c'][output.one] == 'two' && payload.list.map(x, x * 1.5) == [1.5, 2.25]"}`),
		fails(`{"name":"r","kind":"cel","expression":"output.n + 1 == output.one"}`, " cel: the expression cannot be evaluated on this output: a value has another type than the expression needs (line 1, character 10)."),
		passes(`{"name":"r","kind":"cel","expression":"has(output.t) && !has(output.u) && output.a['b/c'][2] == null"}`),
		fails(`{"name":"r","kind":"cel","expression":"output.t == false"}`, " cel: the expression is false: output.t == false"),
		fails(`{"name":"r","kind":"cel","expression":"output.missing > 1"}`, " cel: the expression cannot be evaluated on this output: a member is missing (line 1, character 7)."),
		fails(`{"name":"r","kind":"cel","expression":"output.code + 1 == 2"}`, " cel: the expression cannot be evaluated on this output: a value has another type than the expression needs (line 1, character 13)."),
		fails(`{"name":"r","kind":"cel","expression":"1 / (int(output.one) - 1) == 2"}`, " cel: the expression cannot be evaluated on this output: it divides by zero (line 1, character 3)."),
		fails(`{"name":"r","kind":"cel","expression":"output.a['b/c'][9] == 1"}`, " cel: the expression cannot be evaluated on this output: an index is out of bounds (line 1, character 16)."),

		passes(`{"name":"r","kind":"attachment","attachment":"a.csv","required":true,"maxBytes":10,"mediaTypes":["text/*"],"sha256":"` + hexOf("x") + `"}`),
		passes(`{"name":"r","kind":"attachment","attachment":"*.csv","required":true,"mediaTypes":["TEXT/csv; charset=utf-8"]}`),
		passes(`{"name":"r","kind":"attachment","attachment":"b.csv","maxBytes":1}`),
		fails(`{"name":"r","kind":"attachment","attachment":"b.csv","required":true}`, ` attachment: none is named "b.csv".`),
		fails(`{"name":"r","kind":"attachment","attachment":"*","maxBytes":9}`, ` attachment "a.csv": expected at most 9 bytes, found 10.`),
		fails(`{"name":"r","kind":"attachment","attachment":"*","mediaTypes":["text/plain","image/*"]}`, ` attachment "a.csv": expected a media type of "text/plain", "image/*".`),
		fails(`{"name":"r","kind":"attachment","attachment":"*","sha256":"`+hexOf("y")+`"}`, ` attachment "a.csv": it has another SHA-256.`),
	} {
		got := checked(t, c[0], Job{Output: json.RawMessage(output), Payload: json.RawMessage(`{"want":"ABC-12","list":[1,1.5]}`),
			Attachments: []market.Attachment{{Name: "a.csv", MediaType: "text/csv", Bytes: 10, SHA256: hexOf("x")}}})
		if verdict, detail, _ := strings.Cut(got, " "); verdict != c[1] || c[2] != "" && detail != c[2] {
			t.Errorf("%s:\ngot  %s\nwant %s %s", c[0], got, c[1], c[2])
		}
	}
}

func TestRulesThatDecideNothing(t *testing.T) {
	t.Parallel()
	for rule, want := range map[string]string{
		`{"name":"r","kind":"wasm"}`:                                                                          "not known",
		`{"name":"r","kind":"regex","pattern":"(?=a)"}`:                                                       "cannot be used",
		`{"name":"r","kind":"hidden","commitment":"x","count":1,"minPass":1}`:                                 "not at hand",
		`{"name":"r","kind":"cel","expression":"output.all(x, output.all(y, x + y >= 0))"}`:                   "costs too much",
		`{"name":"r","kind":"cel","expression":"output"}`:                                                     "must give a bool",
		`{"name":"r","kind":"cel","expression":"output.exists(x, output.exists(y, x * y == 7777777777777))"}`: "costs too much",
	} {
		got := checked(t, rule, Job{Output: json.RawMessage("[" + strings.TrimSuffix(strings.Repeat("1,", 2_000), ",") + "]")})
		if !strings.HasPrefix(got, "error ") || !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want an error with %q", rule, got, want)
		}
	}
	for _, rules := range []string{`{`, `7`, `[{"name":7}]`, `[` + strings.Repeat(`[`, 40) + `]`} {
		if r := Run(Job{Rules: json.RawMessage(rules), Output: json.RawMessage(`1`)}); r.Verdict != market.VerdictError || len(r.Checks) != 1 {
			t.Errorf("%.40s: got %+v, want one error", rules, r)
		}
	}
}

func TestAllChecksAreReportedInOrder(t *testing.T) {
	t.Parallel()
	r := Run(Job{Schema: json.RawMessage(`{"type":"object"}`), Output: json.RawMessage(`[1]`),
		Hidden: json.RawMessage(`[{"rule":"h","salt":"","vectors":[{"pointer":"/0","equals":1}]}]`),
		Rules: json.RawMessage(`[{"name":"h","kind":"hidden","count":1,"minPass":1},
			{"name":"file","kind":"attachment","attachment":"*","required":true},
			{"name":"tidy","kind":"manual","text":"Be tidy."},
			{"name":"one","kind":"equals","equals":1},{"name":"two","kind":"length","minLength":1}]`)})
	var got []string
	for _, c := range r.Checks {
		got = append(got, c.Name+" "+c.Kind+" "+string(c.Verdict))
	}
	want := []string{"schema schema fail", "one equals fail", "two length pass", "file attachment fail", "h hidden pass"}
	if r.Verdict != market.VerdictFail || !reflect.DeepEqual(got, want) {
		t.Errorf("got %s %q, want fail %q", r.Verdict, got, want)
	}
}

func TestHiddenTellsOnlyCounts(t *testing.T) {
	t.Parallel()
	h := market.HiddenVectors{Rule: "gold", Salt: "AAECAwQFBgcICQoLDA0ODw==", Vectors: []market.Vector{
		{Pointer: "/a", Equals: json.RawMessage(`"CANARY"`)}, {Pointer: "/b", Equals: json.RawMessage(`4711`)}, {Pointer: "/c", Equals: json.RawMessage(`[ 1.0 ]`)}}}
	commitment, err := Commitment(h)
	if err != nil {
		t.Fatal(err)
	}
	// What the documents say, written out.
	salt := "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"
	if want := "sha256:" + hexOf(salt+`[{"equals":"CANARY","pointer":"/a"},{"equals":4711,"pointer":"/b"},{"equals":[1],"pointer":"/c"}]`); commitment != want {
		t.Errorf("got commitment %s, want %s", commitment, want)
	}
	hidden, err := json.Marshal([]market.HiddenVectors{h})
	if err != nil {
		t.Fatal(err)
	}
	rules := json.RawMessage(`[{"name":"gold","kind":"hidden","commitment":"` + commitment + `","count":3,"minPass":2}]`)
	if problems := Admit(Admission{Rules: rules, Hidden: hidden}); len(problems) != 0 {
		t.Errorf("got %+v, want the commitment to hold", problems)
	}
	changed := json.RawMessage(strings.Replace(string(hidden), "4711", "4712", 1))
	if problems := Admit(Admission{Rules: rules, Hidden: changed}); len(problems) != 1 || problems[0].Pointer != "/rules/0/commitment" {
		t.Errorf("got %+v for another vector, want a problem with the commitment", problems)
	}
	for output, want := range map[string]string{
		`{"a":"CANARY","b":4711.0,"c":[1]}`: "pass hidden: 3 of 3 hidden values match; at least 2 must.",
		`{"a":"CANARY","b":4711}`:           "pass hidden: 2 of 3 hidden values match; at least 2 must.",
		`{"b":4711}`:                        "fail hidden: 1 of 3 hidden values match; at least 2 must.",
		`[]`:                                "fail hidden: 0 of 3 hidden values match; at least 2 must.",
	} {
		r := Run(Job{Rules: rules, Hidden: hidden, Output: json.RawMessage(output)})
		if got := string(r.Checks[0].Verdict) + " " + r.Checks[0].Detail; got != want || r.Checks[0].Pointer != "" {
			t.Errorf("%s: got %q, want %q", output, got, want)
		}
	}
	if r := Run(Job{Rules: rules, Output: json.RawMessage(`{}`), DryRun: true}); !r.Passed || len(r.Checks) != 0 {
		t.Errorf("a dry run got %+v, want nothing of what is hidden", r)
	}
	// An error uses no attempt, so it must not tell how many match.
	both := json.RawMessage(`[{"name":"x","kind":"wasm"},` + string(rules[1:]))
	r := Run(Job{Rules: both, Hidden: hidden, Output: json.RawMessage(`{"b":4711}`)})
	if r.Verdict != market.VerdictError || strings.Contains(fmt.Sprint(r.Checks), "of 3") {
		t.Errorf("got %+v beside an error, want no count", r)
	}
}

func TestRulesNeverRepeatValues(t *testing.T) {
	t.Parallel()
	rules := `[{"name":"a","kind":"equals","pointer":"/x","equals":1},{"name":"b","kind":"regex","pointer":"/x","pattern":"^a$"},
		{"name":"c","kind":"range","pointer":"/x","min":99999},{"name":"d","kind":"length","pointer":"/x","minLength":99},
		{"name":"e","kind":"sha256","pointer":"/x","sha256":"` + hexOf("") + `"},
		{"name":"f","kind":"cel","expression":"output.y[output.x] == 1"},{"name":"g","kind":"cel","expression":"timestamp(output.x) == timestamp(output.x)"},
		{"name":"h","kind":"cel","expression":"int(output.x) / 0 == 1"},{"name":"i","kind":"cel","expression":"output.x == 1"},
		{"name":"j","kind":"cel","expression":"duration(output.x) > duration('1s')"},{"name":"k","kind":"cel","expression":"output.x.nothing"}]`
	for _, value := range []string{`"CANARY 4711["`, `4711`, `["CANARY 4711"]`, `{"a":"CANARY 4711"}`} {
		r := Run(Job{Rules: json.RawMessage(rules), Output: json.RawMessage(`{"x":` + value + `,"y":{}}`)})
		if got := fmt.Sprintf("%+v", r.Checks); strings.Contains(got, "CANARY") || strings.Contains(got, "4711") || len(r.Checks) != 11 {
			t.Errorf("%s: got %s, which repeats it", value, got)
		}
	}
}

func TestAdmitRefusesRulesThatCannotCompile(t *testing.T) {
	t.Parallel()
	cel := func(expression string) string {
		text, _ := json.Marshal(expression)
		return `{"name":"r","kind":"cel","expression":` + string(text) + `}`
	}
	for _, c := range []struct{ rule, pointer, detail string }{
		{`{"name":"r","kind":"regex","pattern":"(?=a)"}`, "/pattern", "no lookahead"},
		{`{"name":"r","kind":"regex","pattern":"` + strings.Repeat("a", 257) + `"}`, "/pattern", "longer than 256"},
		{`{"name":"r","kind":"regex","pattern":"((a{10}){10}){10}b{999}c{999}"}`, "/pattern", "at most 2000"},
		{`{"name":"r","kind":"range","min":2,"max":1}`, "/max", "less than min"},
		{`{"name":"r","kind":"range","min":1e10000000}`, "/min", "exponent"},
		{`{"name":"r","kind":"equals","equals":1e10000000}`, "/equals", "exponent"},
		{`{"name":"r","kind":"equals","equals":{"a":{"b":1,"b":2}}}`, "/equals/a/b", "twice"},
		{`{"name":"r","kind":"attachment","attachment":"[a"}`, "/attachment", "malformed"},
		{cel(`output.`), "/expression", "At line 1, character 8"},
		{cel("true &&\n nothing"), "/expression", "At line 2, character 2: undeclared reference to 'nothing'"},
		{cel(`output.ok`), "/expression", "must give a bool, not dyn"},
		{cel(`size(output)`), "/expression", "must give a bool, not int"},
		{cel(`now() > timestamp(0)`), "/expression", "undeclared reference to 'now'"},
		{cel(`output.s.matches(output.p)`), "/expression", "written out"},
		{cel(`matches("x", output.p)`), "/expression", "written out"},
		{cel(`"x".matches("a" + "b")`), "/expression", "written out"},
		{cel(`"x".matches("(?=a)")`), "/expression", "RE2"},
		{cel(`"x".matches("` + strings.Repeat("a{1000}", 30) + `")`), "/expression", "exceeds limit of 2000"},
		{cel(`timestamp(output.t).getHours("Europe/Berlin") == 1`), "/expression", "Time zones"},
		{cel(`["a"].join(",") == "a"`), "/expression", "undeclared reference to 'join'"},
		{cel(`"a".format(["b"]) == "a"`), "/expression", "undeclared reference"},
		{cel(`"a".replace("a", "aa") == "a"`), "/expression", "undeclared reference"},
		{cel(`"a,b".split(",") == ["a", "b"]`), "/expression", "undeclared reference"},
		{cel(`lists.range(1000000000) == []`), "/expression", "undeclared reference"},
		{cel(`output.all(a, a.all(b, b.all(c, c > 0)))`), "/expression", "nesting limit"},
		{cel(strings.Repeat("(", 300) + "true" + strings.Repeat(")", 300)), "/expression", ""},
		{cel(strings.Repeat("-(", 100) + "1" + strings.Repeat(")", 100) + " == 1"), "/expression", ""},
		{cel("1" + strings.Repeat("+1", 300) + " == 301"), "/expression", ""},
		{cel(strings.Repeat("true||", 400) + "true"), "/expression", ""},
		{cel("[" + strings.TrimSuffix(strings.Repeat("1,", 1020), ",") + "] == [" + "]"), "/expression", "none"},
		{cel(`"\u202e" == output.x \u202e`), "/expression", "At line"},
	} {
		problems := Admit(Admission{Rules: json.RawMessage(`[{"name":"m","kind":"manual","text":"x"},` + c.rule + `]`)})
		if c.detail == "none" {
			if len(problems) != 0 {
				t.Errorf("%.80s: got %+v, want it admitted", c.rule, problems)
			}
			continue
		}
		if len(problems) == 0 || problems[0].Pointer != "/rules/1"+c.pointer || !strings.Contains(problems[0].Detail, c.detail) {
			t.Errorf("%.80s: got %+v, want %q at %s", c.rule, problems, c.detail, c.pointer)
			continue
		}
		if d := problems[0].Detail; utf8.RuneCountInString(d) > maxDetail || strings.ContainsRune(d, 0x202e) {
			t.Errorf("%.80s: got the detail %q", c.rule, d)
		}
	}
	got := Admit(Admission{Schema: json.RawMessage(`{"minLength":-1}`), Payload: json.RawMessage(`{"a":1e999}`), Rules: json.RawMessage(`[` + cel(`1`) + `]`)})
	var pointers []string
	for _, p := range got {
		pointers = append(pointers, p.Pointer)
	}
	if want := []string{"/payload/a", "/outputSchema/minLength", "/rules/0/expression"}; !reflect.DeepEqual(pointers, want) {
		t.Errorf("got problems at %q, want %q", pointers, want)
	}
}

func TestEngineRemembersRules(t *testing.T) {
	t.Parallel()
	e := NewEngine()
	for i := range 2 * maxCached {
		rules := json.RawMessage(fmt.Sprintf(`[{"name":"r","kind":"cel","expression":"output == %d"}]`, i))
		for range 2 {
			if r := e.Run(Job{Rules: rules, Output: json.RawMessage(fmt.Sprint(i))}); !r.Passed {
				t.Fatalf("got %+v, want a pass", r)
			}
		}
	}
	if got := e.rules.recent.Len(); got != maxCached || len(e.rules.entries) != maxCached || e.rules.weight > maxCachedWeight {
		t.Errorf("got %d rules remembered of weight %d, want %d", got, e.rules.weight, maxCached)
	}
}
