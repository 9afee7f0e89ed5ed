package verify_test

import (
	"encoding/json"
	"strings"
	"testing"

	"guildhall/market/verify"
)

func TestInferSchema(t *testing.T) {
	for name, c := range map[string]struct{ examples, want string }{
		"number":          {`1`, `{"type":"integer"}`},
		"mixed numbers":   {`1 2.5`, `{"type":"number"}`},
		"maybe null":      {`"a" null`, `{"type":["null","string"]}`},
		"list":            {`[1, "a"]`, `{"type":"array","items":{"type":["integer","string"]}}`},
		"empty list":      {`[]`, `{"type":"array"}`},
		"optional member": {`{"a":1,"b":true} {"a":2}`, `{"type":"object","required":["a"],"properties":{"a":{"type":"integer"},"b":{"type":"boolean"}},"additionalProperties":false}`},
		"rows":            {`[{"x":1},{"x":2,"y":null}]`, `{"type":"array","items":{"type":"object","required":["x"],"properties":{"x":{"type":"integer"},"y":{"type":"null"}},"additionalProperties":false}}`},
	} {
		got, problem := verify.InferSchema([]byte(c.examples))
		if problem != nil {
			t.Errorf("%s: %v", name, problem)
			continue
		}
		var a, b map[string]any
		if json.Unmarshal(got, &a) != nil || json.Unmarshal([]byte(c.want), &b) != nil {
			t.Fatalf("%s: not JSON: %s", name, got)
		}
		delete(a, "$schema")
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b)
		if string(x) != string(y) {
			t.Errorf("%s: got %s, want %s", name, x, y)
		}
		// The schema is admitted, and its examples pass it.
		if ps := verify.AdmitSchema(got); ps != nil {
			t.Errorf("%s: the schema is refused: %v", name, ps)
		}
		d := json.NewDecoder(strings.NewReader(c.examples))
		for d.More() {
			var example json.RawMessage
			if err := d.Decode(&example); err != nil {
				t.Fatal(err)
			}
			if r := verify.Run(verify.Job{Schema: got, Output: example}); !r.Passed {
				t.Errorf("%s: %s fails its own schema: %+v", name, example, r)
			}
		}
	}
	for _, bad := range []string{"", "  ", "{", "1 x", `{"a":1,"a":2}`, `1e999999`} {
		if got, problem := verify.InferSchema([]byte(bad)); problem == nil {
			t.Errorf("%q got %s, want a refusal", bad, got)
		}
	}
}

func FuzzInferSchema(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":null}]} [] "x"`))
	f.Fuzz(func(t *testing.T, examples []byte) {
		got, problem := verify.InferSchema(examples)
		if problem == nil && !json.Valid(got) {
			t.Errorf("%q made %q", examples, got)
		}
	})
}
