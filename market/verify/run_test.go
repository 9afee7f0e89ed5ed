package verify

import (
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"guildhall/market"
)

func run(schema, output string) market.Report {
	return Run(Job{Schema: json.RawMessage(schema), Output: json.RawMessage(output)})
}

// unnamed is a report without what says how it came about.
func unnamed(r market.Report) market.Report {
	return market.Report{Verdict: r.Verdict, Passed: r.Passed, Checks: r.Checks}
}

func TestRunPasses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ schema, output string }{
		{`{"type":"object","required":["a"],"properties":{"a":{"minimum":1}}}`, `{"a":1,"b":[]}`},
		{`{"type":"integer"}`, `1.0`},
		{`{"const":1}`, `1.00`},
		{`{"multipleOf":0.01}`, `19.99`},
		{`{"maximum":1e308}`, `1e308`},
		{`{"uniqueItems":true}`, `[1,"1",[1],{"a":1},{"a":2}]`},
		{`{"format":"date-time"}`, `"2026-11-24T00:00:00Z"`},
		{`{"format":"no such format"}`, `"x"`},
		{`{"anyOf":[{"type":"null"},{"type":"string"}]}`, `null`},
		{`{"$dynamicAnchor":"node","properties":{"children":{"items":{"$dynamicRef":"#node"}}},"required":["id"]}`, `{"id":1,"children":[{"id":2}]}`},
		{`true`, `null`},
	} {
		want := market.Report{Verdict: market.VerdictPass, Passed: true, Checks: []market.Check{{
			Name: "schema", Kind: "schema", Passed: true, Verdict: market.VerdictPass, Detail: "The output matches the schema.",
		}}}
		got := unnamed(run(c.schema, c.output))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s with %s: got %+v, want a pass", c.schema, c.output, got)
		}
	}
	if got := run("", `{}`); !got.Passed || len(got.Checks) != 0 {
		t.Errorf("got %+v without a schema, want a pass without checks", got)
	}
}

func TestRunFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		schema, output string
		want           []string // pointer, space, detail
	}{
		{`{"type":["string","null"]}`, `{}`, []string{" type: expected null or string, found object."}},
		{`{"properties":{"a":{"items":{"type":"string"}}}}`, `{"a":["x",1,"y",2]}`, []string{
			"/a/1 type: expected string, found number.", "/a/3 type: expected string, found number."}},
		{`{"items":{"type":"string"}}`, `[0,"","","","","","","","","",0]`, []string{
			"/0 type: expected string, found number.", "/10 type: expected string, found number."}},
		{`{"required":["a","b\u202e"]}`, `{}`, []string{` required: missing "a", "b\u202e".`}},
		{`{"properties":{"a/b":{"properties":{"c~d":{"minimum":2}}}}}`, `{"a/b":{"c~d":1}}`, []string{"/a~1b/c~0d minimum: expected at least 2."}},
		{`{"maximum":2,"exclusiveMinimum":5,"multipleOf":0.5}`, `3.3`, []string{
			" exclusiveMinimum: expected more than 5.", " maximum: expected at most 2.", " multipleOf: expected a multiple of 0.5."}},
		{`{"exclusiveMaximum":1e300}`, `1e301`, []string{" exclusiveMaximum: expected less than 1e+300."}},
		{`{"minLength":3}`, `"é!"`, []string{" minLength: expected at least 3 characters, found 2."}},
		{`{"maxLength":1}`, `"éa"`, []string{" maxLength: expected at most 1 characters, found 2."}},
		{`{"minItems":2}`, `[1]`, []string{" minItems: expected at least 2 items, found 1."}},
		{`{"maxItems":0}`, `[1]`, []string{" maxItems: expected at most 0 items, found 1."}},
		{`{"minProperties":1}`, `{}`, []string{" minProperties: expected at least 1 members, found 0."}},
		{`{"maxProperties":0}`, `{"a":1}`, []string{" maxProperties: expected at most 0 members, found 1."}},
		{`{"pattern":"^a\"$"}`, `"b"`, []string{` pattern: expected a match of "^a\"$".`}},
		{`{"format":"email"}`, `"b"`, []string{` format: expected "email".`}},
		{`{"format":"regex"}`, `"(?=a)"`, []string{" format: expected a regular expression of RE2, at most 256 characters long."}},
		{`{"format":"regex"}`, `"` + strings.Repeat("a{1000}", 1000) + `"`, []string{" format: expected a regular expression of RE2, at most 256 characters long."}},
		{`{"const":{"a":"x"}}`, `1`, []string{` const: expected {"a":"x"}.`}},
		{`{"enum":["a",1,null]}`, `2`, []string{` enum: expected one of "a", 1, null.`}},
		{`{"enum":[0,1,2,3,4,5,6,7,8,9,10,11,12]}`, `-1`, []string{" enum: expected one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 3 more."}},
		{`{"uniqueItems":true}`, `[1,2,1.0]`, []string{" uniqueItems: items 0 and 2 are equal."}},
		{`{"additionalProperties":false}`, `{"b":1,"a":1}`, []string{` additionalProperties: not allowed: "a", "b".`}},
		{`{"unevaluatedProperties":false}`, `{"b":1}`, []string{"/b unevaluatedProperties: no value is allowed here."}},
		{`{"prefixItems":[true],"items":false}`, `[1,2]`, []string{"/1 items: no value is allowed here."}},
		{`{"properties":{"a":false}}`, `{"a":1}`, []string{"/a properties: no value is allowed here."}},
		{`false`, `1`, []string{" false: no value is allowed here."}},
		{`{"contains":{"type":"string"}}`, `[1,2,3]`, []string{" contains: no item matches."}},
		{`{"contains":{"type":"string"},"minContains":2}`, `["",1]`, []string{" minContains: expected at least 2 matching items, found 1."}},
		{`{"contains":{"type":"string"},"maxContains":1}`, `["",""]`, []string{" maxContains: expected at most 1 matching items, found 2."}},
		{`{"dependentRequired":{"a":["b"]}}`, `{"a":1}`, []string{` dependentRequired: with "a", missing "b".`}},
		{`{"not":{"type":"null"}}`, `null`, []string{" not: the value matches what it must not match."}},
		{`{"oneOf":[{"type":"number"},{"type":"null"},{"minimum":1}]}`, `1`, []string{" oneOf: alternatives 1 and 3 both match."}},
		{`{"anyOf":[{"type":"null"},{"required":["b"],"properties":{"a":{"type":"null"}}}]}`, `{"a":1}`, []string{
			" Alternative 1 of anyOf: type: expected null, found object.",
			` Alternative 2 of anyOf: required: missing "b".`,
			"/a Alternative 2 of anyOf: type: expected null, found number."}},
		{`{"if":{"type":"number"},"then":{"minimum":2}}`, `1`, []string{" minimum: expected at least 2."}},
		{`{"allOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/a"}],"$defs":{"a":{"type":"null"}}}`, `1`, []string{" type: expected null, found number."}},
		// The library names the place of the last sibling here.
		{`{"properties":{"x":{"items":{"propertyNames":{"pattern":"^a"},"additionalProperties":true}}}}`, `{"x":[{"a":1},{"b":1},{"a":2}]}`, []string{
			`/x/1 propertyNames: not allowed as a name: "b".`}},
		{`{"items":{"propertyNames":{"pattern":"^a"}}}`, `[{"b":1},{"a":{}},{"b":2}]`, []string{` propertyNames: not allowed as a name: "b".`}},
	} {
		got := run(c.schema, c.output)
		var found []string
		for _, check := range got.Checks {
			if check.Name != "schema" || check.Kind != "schema" || check.Verdict != market.VerdictFail || check.Passed {
				t.Errorf("%s: got %+v, want a failed check of the schema", c.schema, check)
			}
			found = append(found, check.Pointer+" "+check.Detail)
		}
		if got.Verdict != market.VerdictFail || !reflect.DeepEqual(found, c.want) {
			t.Errorf("%s with %.60s:\ngot  %q\nwant %q", c.schema, c.output, found, c.want)
		}
	}
}

func TestRunGuardsTheOutput(t *testing.T) {
	t.Parallel()
	got := unnamed(run(`{"minimum":1}`, `{"a":[1e10000000]}`))
	want := market.Report{Verdict: market.VerdictFail, Checks: []market.Check{{
		Name: "output", Kind: "json", Verdict: market.VerdictFail, Detail: "A number has an exponent beyond ±308.", Pointer: "/a/0",
	}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestRunWithABadSchemaDecidesNothing(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{`{`, `7`, `{"$ref":"file:///etc/passwd"}`, `{"$schema":"http://127.0.0.1/"}`, `{"pattern":"(?=a)"}`, doubling(26)} {
		got := run(schema, `1`)
		if got.Verdict != market.VerdictError || len(got.Checks) != 1 || strings.Contains(fmt.Sprint(got), "root:") {
			t.Errorf("%.60s: got %+v, want one error", schema, got)
		}
	}
}

func TestPanicDecidesNothing(t *testing.T) {
	t.Parallel()
	got := contained("schema", "schema", func() []market.Check { panic("secret") })
	if len(got) != 1 || got[0].Verdict != market.VerdictError || strings.Contains(got[0].Detail, "secret") {
		t.Errorf("got %+v, want one error that hides the panic", got)
	}
}

func TestReportsAreBounded(t *testing.T) {
	t.Parallel()
	items := strings.TrimSuffix(strings.Repeat("1,", 500), ",")
	got := run(`{"items":{"type":"string"}}`, "["+items+"]")
	if len(got.Checks) != maxChecks || got.Checks[maxChecks-1].Detail != "481 more violations are not listed." {
		t.Errorf("got %d checks, the last %+v", len(got.Checks), got.Checks[len(got.Checks)-1])
	}
	exact := run(`{"items":{"type":"string"}}`, "["+items[:2*maxChecks-1]+"]")
	if len(exact.Checks) != maxChecks || exact.Checks[maxChecks-1].Pointer != "/19" {
		t.Errorf("got %+v, want %d places", exact.Checks, maxChecks)
	}
	long := strings.Repeat("ü", 5_000)
	for _, c := range []struct{ schema, output string }{
		{`{"additionalProperties":{"additionalProperties":false}}`, `{"` + long + `":{"` + long + `":1}}`},
		{`{"propertyNames":{"maxLength":1}}`, `{"` + long + `":1}`},
		{`{"required":["` + long + `"]}`, `{}`},
		{`{"enum":["` + long + `",["` + long + `"]]}`, `1`},
		{`{"const":["` + long + `"]}`, `1`},
		{doubling(11), `1`},
	} {
		for _, check := range run(c.schema, c.output).Checks {
			if utf8.RuneCountInString(check.Detail) > maxDetail || len(check.Pointer) > maxPointer || !utf8.ValidString(check.Detail+check.Pointer) {
				t.Errorf("%.60s: got %+v, want it short", c.schema, check)
			}
		}
	}
}

func TestReportsNeverRepeatValues(t *testing.T) {
	t.Parallel()
	schema := `{"anyOf":[
		{"const":1},{"enum":["a"]},{"pattern":"^a$"},{"format":"email"},{"format":"date"},{"format":"uri"},{"format":"ipv4"},{"format":"regex"},
		{"minLength":999},{"maxLength":1},{"not":{"type":"string"}},{"type":"null"},{"minimum":900001,"type":"number"},{"multipleOf":7,"type":"number"}]}`
	for _, value := range []string{`"CANARY 4711["`, `4711`, `["CANARY 4711"]`, `{"a":"CANARY 4711"}`} {
		got := fmt.Sprintf("%+v", run(`{"items":`+schema+`,"uniqueItems":true}`, `[`+value+`,`+value+`]`).Checks)
		if strings.Contains(got, "CANARY") || strings.Contains(got, "4711") {
			t.Errorf("%s: got %s, which repeats it", value, got)
		}
	}
}

func TestRunIsReproducible(t *testing.T) {
	t.Parallel()
	schema := `{"additionalProperties":{"type":"string","minLength":2},"required":["z"],"propertyNames":{"maxLength":1}}`
	output := `{"a":1,"b":"","cc":2,"dd":3,"e":[],"f":{},"g":null,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"n":1,"o":1,"p":1,"q":1,"r":1,"s":1,"t":1,"u":1}`
	first := run(schema, output).Checks
	for range 20 {
		if again := run(schema, output).Checks; !reflect.DeepEqual(again, first) {
			t.Fatalf("got %+v, before %+v", again, first)
		}
	}
}

func TestEngineRemembersSchemas(t *testing.T) {
	t.Parallel()
	e := NewEngine()
	job := func(i int) Job {
		return Job{Schema: json.RawMessage(fmt.Sprintf(`{"const":%d}`, i)), Output: json.RawMessage(fmt.Sprint(i))}
	}
	for i := range 2 * maxCached {
		if r := e.Run(job(i)); !r.Passed {
			t.Fatalf("got %+v, want a pass", r)
		}
		e.Run(job(0)) // Used all the time, so never forgotten.
	}
	first, _ := e.schemas.compile(job(0).Schema)
	second, _ := e.schemas.compile(job(0).Schema)
	if got := e.schemas.recent.Len(); got != maxCached || len(e.schemas.entries) != maxCached || first != second {
		t.Errorf("got %d schemas remembered, want %d", got, maxCached)
	}
	if _, problems := e.schemas.compile([]byte(`7`)); len(problems) == 0 || e.schemas.recent.Len() != maxCached {
		t.Error("a refused schema was remembered")
	}
}

func TestEngineForgetsHeavySchemas(t *testing.T) {
	t.Parallel()
	e := NewEngine()
	for i := range 40 {
		schema := strings.Replace(patterns(45), `{`, fmt.Sprintf(`{"title":"%d",`, i), 1)
		if r := e.Run(Job{Schema: json.RawMessage(schema), Output: json.RawMessage(`1`)}); !r.Passed {
			t.Fatalf("got %+v, want a pass", r)
		}
	}
	if e.schemas.weight > maxCachedWeight || len(e.schemas.entries) >= 40 {
		t.Errorf("got %d schemas of %d bytes remembered, want at most %d bytes", len(e.schemas.entries), e.schemas.weight, maxCachedWeight)
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > 3*maxCachedWeight {
		t.Errorf("got %d bytes in use for an estimate of %d", m.HeapAlloc, e.schemas.weight)
	}
	runtime.KeepAlive(e)
}
