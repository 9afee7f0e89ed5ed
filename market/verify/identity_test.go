package verify

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"guildhall/market"
)

func TestOutputHashIsOfTheCanonicalText(t *testing.T) {
	t.Parallel()
	for canonical, written := range map[string][]string{
		`{"a":[1,{"b":null,"c":"x"}],"d":true}`: {
			`{"a":[1,{"b":null,"c":"x"}],"d":true}`,
			"{ \"d\" : true,\n\t\"a\":[1.0,{\"c\":\"\\u0078\",\"b\":null}]}\r\n",
			`{"d":true,"a":[1e0,{"c":"x","b":null}]}`,
			`{"d":true,"\u0061":[10e-1,{"c":"x","b":null}]}`,
		},
		`0`:                        {`0`, `-0`, `0.0`, `0e5`},
		`100`:                      {`100`, `1e2`, `1E+2`, `100.0`},
		`1e+300`:                   {`1e300`, `10e299`},
		`"é/<&\u0007"`:             {`"é/<&\u0007"`, `"\u00e9\/\u003c\u0026\u0007"`},
		`{"":0,"A":1,"a":2,"é":3}`: {`{"é":3,"a":2,"A":1,"":0}`},
		// RFC 8785 sorts UTF-16, in which an emoji stands before U+FB33.
		"{\"\U0001f600\":1,\"\ufb33\":2}": {"{\"\ufb33\":2,\"\\ud83d\\ude00\":1}"},
		`[]`:                              {`[]`, ` [ ] `},
	} {
		want := "sha256:" + hexOf(canonical)
		for _, w := range written {
			if got := OutputHash([]byte(w)); got != want {
				t.Errorf("%s: got %s, want %s, the hash of %s", w, got, want, canonical)
			}
			r := Run(Job{Output: json.RawMessage(w)})
			if r.OutputHash != want {
				t.Errorf("%s: a report says %s, want %s", w, r.OutputHash, want)
			}
		}
	}
	first := OutputHash([]byte(`{"a":[1,2]}`))
	for _, other := range []string{`{"a":[2,1]}`, `{"a":[1,"2"]}`, `{"b":[1,2]}`, `{"a":[1,2],"b":null}`, `[1,2]`, `{"a":[1,2.0000001]}`} {
		if OutputHash([]byte(other)) == first {
			t.Errorf("%s has the hash of another output", other)
		}
	}
	for _, refused := range []string{``, `{`, `{"a":1,"a":1}`, `1e999`, "\"\xff\"", strings.Repeat("[", 33) + strings.Repeat("]", 33), `"` + strings.Repeat("x", 256<<10) + `"`} {
		if got := OutputHash([]byte(refused)); got != "" {
			t.Errorf("%.40q: got %s, want no hash", refused, got)
		}
		if r := Run(Job{Output: json.RawMessage(refused)}); r.OutputHash != "" || r.Engine != Version {
			t.Errorf("%.40q: got %+v, want an engine and no hash", refused, r)
		}
	}
}

func TestOutputHashLeavesTheOutputAlone(t *testing.T) {
	t.Parallel()
	output := []byte(`{ "b": 1.0, "a": 2 }`)
	OutputHash(output)
	if got := string(output); got != `{ "b": 1.0, "a": 2 }` {
		t.Errorf("the output became %s", got)
	}
}

func TestReportsNameWhatJudged(t *testing.T) {
	t.Parallel()
	const schema, rules = `{"type":"object"}`, `[{"name":"r","kind":"equals","pointer":"/a","equals":1}]`
	want := "sha256:" + hexOf(`{"outputSchema":{"type":"object"},"rules":[{"equals":1,"kind":"equals","name":"r","pointer":"/a"}]}`)
	job := Job{Schema: json.RawMessage(schema), Rules: json.RawMessage(rules), Output: json.RawMessage(`{"a":1}`)}
	e := NewEngine()
	for range 3 {
		if r := e.Run(job); r.Engine != Version || r.RulesHash != want || r.OutputHash != OutputHash(job.Output) {
			t.Errorf("got %+v, want the rules %s", r, want)
		}
	}
	if got := e.contracts.recent.Len(); got != 1 {
		t.Errorf("%d hashes are remembered, want 1", got)
	}
	if r := e.Run(Job{Output: job.Output}); r.RulesHash != "sha256:"+hexOf(`{"outputSchema":null,"rules":[]}`) {
		t.Errorf("got %+v, want the hash of no rules", r)
	}
	// Hidden values, samples and attachments are not the rules.
	dry := job
	dry.DryRun, dry.Payload, dry.Attachments = true, json.RawMessage(`{}`), []market.Attachment{{Name: "a"}}
	if r := e.Run(dry); r.RulesHash != want {
		t.Errorf("got %s for the same rules, want %s", r.RulesHash, want)
	}
	for name, other := range map[string]Job{
		"rules":  {Schema: job.Schema, Rules: json.RawMessage(strings.Replace(rules, "1", "2", 1)), Output: job.Output},
		"schema": {Schema: json.RawMessage(`{"type":"array"}`), Rules: job.Rules, Output: job.Output},
	} {
		if r := e.Run(other); r.RulesHash == want || r.RulesHash == "" {
			t.Errorf("other %s got the hash %q", name, r.RulesHash)
		}
	}
	if r := e.Run(Job{Schema: json.RawMessage(`{`), Output: job.Output}); r.RulesHash != "" || r.Engine != Version {
		t.Errorf("got %+v for what is no JSON, want no hash", r)
	}
	failed := market.NewReport([]market.Check{{Name: "engine", Kind: "engine", Verdict: market.VerdictError}}, 7)
	if r := Identify(failed, job); r.Engine != Version || r.RulesHash != want || r.OutputHash != OutputHash(job.Output) || r.Millis != 7 || r.Verdict != market.VerdictError {
		t.Errorf("got %+v, want it identified", r)
	}
}

// TestVersionNamesTheLibraries fails when a library that decides is raised:
// write its version into Version.
func TestVersionNamesTheLibraries(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for module, name := range map[string]string{"cel.dev/cel-go": "cel-go", "github.com/santhosh-tekuri/jsonschema/v6": "jsonschema"} {
		m := regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(module) + ` (\S+)$`).FindSubmatch(mod)
		if m == nil || !strings.Contains(Version+" ", " "+name+"/"+string(m[1])+" ") {
			t.Errorf("Version is %q, but go.mod has %s %s", Version, module, m)
		}
	}
}
