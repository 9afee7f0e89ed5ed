package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

var wide = Limits{Bytes: 1 << 20, Depth: 10_000, Nodes: 1 << 20}

func TestCheckJSONAccepts(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		`null`, ` true `, `-0`, `0.5e-3`, `1E+308`, `""`, `"é \u00e9 \ud83d\ude00"`, `[]`, "{\n\t}", `[[],{}]`,
		`{"a":{"a":1},"b":[{"a":1},{"a":2}]}`, strings.Repeat("9", 64), `{"":1," ":2}`,
		strings.Repeat("[", 32) + strings.Repeat("]", 32),
		"[" + strings.Repeat("1,", 19_998) + "1]",
		`"` + strings.Repeat("x", 256<<10-2) + `"`,
	} {
		if p := CheckJSON([]byte(raw), OutputLimits); p != nil {
			t.Errorf("%.60s: got %+v, want it accepted", raw, p)
		}
	}
}

func TestCheckJSONRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("k", 600)
	for _, c := range []struct{ raw, pointer, detail string }{
		{``, "", "malformed at byte 1: expected a value"},
		{` `, "", "malformed at byte 2"},
		{`1 2`, "", "something after the JSON value, at byte 3"},
		{`{}]`, "", "something after"},
		{`{"a":1,"b":{"c":[1,2,{"d":1,"d":2}]}}`, "/b/c/2/d", "twice"},
		{`{"a":1,"\u0061":2}`, "/a", "twice"},
		{`{"\/":1,"~":[0,{"/":1,"\u002f":1}]}`, "/~0/1/~1", "twice"},
		{manyKeys(40) + `,"k3":1}`, "/k3", "twice"},
		{manyKeys(40) + `,"k39":1}`, "/k39", "twice"},
		{`{"a":[1,{"b":1e10000000}]}`, "/a/1/b", "exponent"},
		{`1e309`, "", "exponent"},
		{`1e-309`, "", "exponent"},
		{`1e99999999999999999999`, "", "exponent"},
		{`10e308`, "", "range of a double"},
		{strings.Repeat("9", 65), "", "longer than 64"},
		{`0.` + strings.Repeat("0", 63), "", "longer than 64"},
		{"[\"ok\",\"a\xffb\"]", "/1", "UTF-8, at byte 9"},
		{"{\"a\xff\":1}", "", "UTF-8"},
		{"\"\xed\xa0\x80\"", "", "UTF-8"},
		{`["\ud800"]`, "/0", "surrogate"},
		{`["\ud800\u0041"]`, "/0", "surrogate"},
		{`["\udc00\ud800"]`, "/0", "surrogate"},
		{`{"a":"x\u0000"}`, "/a", "U+0000"},
		{`{"\u0000":1}`, "", "U+0000"},
		{"[\"a\nb\"]", "/0", "control character"},
		{"\"\x00\"", "", "control character"},
		{`[NaN]`, "/0", "no NaN"},
		{`[Infinity]`, "/0", "no Infinity"},
		{`[1,-Infinity]`, "/1", "no Infinity"},
		{`[1,]`, "/1", "expected a value"},
		{`[1 2]`, "", "a comma or the end of the array"},
		{`{"a":1,}`, "", "a member name"},
		{`{"a" 1}`, "/a", "a colon"},
		{`{"a":1 "b":2}`, "", "a comma or the end of the object"},
		{`{a:1}`, "", "a member name"},
		{`'a'`, "", "expected a value"},
		{`"abc`, "", "the end of a string"},
		{`"abc\`, "", "the end of a string"},
		{`"\x41"`, "", "an escape"},
		{`"\u00g0"`, "", "an escape"},
		{`"\u00`, "", "an escape"},
		{`01`, "", "something after"},
		{`.5`, "", "expected a value"},
		{`1.`, "", "a digit"},
		{`1e`, "", "a digit"},
		{`-`, "", "a digit"},
		{`+1`, "", "expected a value"},
		{`tru`, "", "expected a value"},
		{"\ufeff1", "", "expected a value"},
		{`// a comment`, "", "expected a value"},
		{strings.Repeat("[", 33) + strings.Repeat("]", 33), strings.Repeat("/0", 32), "deeper than 32"},
		{strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999), strings.Repeat("/0", 32), "deeper than 32"},
		{strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001), strings.Repeat("/0", 32), "deeper than 32"},
		{"[" + strings.Repeat("1,", 19_999) + "1]", "", "more than 20000 values"},
		{`"` + strings.Repeat("x", 256<<10-1) + `"`, "", "262145 bytes"},
		{`{"a":{"` + long + `":[NaN]}}`, "/a", "no NaN"},
	} {
		p := CheckJSON([]byte(c.raw), OutputLimits)
		if p == nil {
			t.Errorf("%.60s: got it accepted, want %q", c.raw, c.detail)
			continue
		}
		if p.Pointer != c.pointer || !strings.Contains(p.Detail, c.detail) {
			t.Errorf("%.60s: got %+v, want %q at %q", c.raw, *p, c.detail, c.pointer)
		}
	}
}

func manyKeys(n int) string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf(`"k%d":%d`, i, i)
	}
	return "{" + strings.Join(keys, ",")
}

func FuzzCheckJSON(f *testing.F) {
	for _, seed := range []string{
		``, `null`, `[1,2.5,-3e7,true]`, `{"a":{"b":["\u0041","\ud83d\ude00","\ud800"]},"a":1}`, "\"\xff\"", `1e400`, `10e308`,
		`{"a":1,"\u0061":2}`, `[NaN]`, `1 2`, `[[[[]]]]`, "\ufeff1", `"\u0000"`, `{"":0}`, manyKeys(20) + `,"k1":0}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := CheckJSON(raw, wide)
		if p != nil && (utf8.RuneCountInString(p.Detail) > maxDetail || len(p.Pointer) > maxPointer || !utf8.ValidString(p.Pointer+p.Detail)) {
			t.Errorf("%q: got %+v, which is too long or not UTF-8", raw, *p)
		}
		standard := json.Valid(raw)
		if p == nil {
			var v any
			if err := json.Unmarshal(raw, &v); !standard || err != nil {
				t.Fatalf("%q: accepted, but encoding/json says %v", raw, err)
			}
			if hashJSON(raw) == "" {
				t.Errorf("%q: accepted, but it has no canonical text", raw)
			}
		}
		refusal, unsure := "", false
		if standard {
			refusal, unsure = strictness(raw)
		}
		switch {
		case unsure:
		case p == nil && refusal != "":
			t.Errorf("%q: accepted, want it refused: %s", raw, refusal)
		case p != nil && standard && refusal == "":
			t.Errorf("%q: got %+v, but encoding/json accepts it", raw, *p)
		}
	})
}

var (
	exponentPattern = regexp.MustCompile(`[eE]\+?0*([1-9][0-9]{3,}|309|3[1-9][0-9]|[4-9][0-9]{2})$|[eE]-0*([1-9][0-9]{3,}|309|3[1-9][0-9]|[4-9][0-9]{2})$`)
	escapePattern   = regexp.MustCompile(`\\u(0000|[dD][89a-fA-F])`)
)

// strictness says why valid JSON must be refused all the same, by other means
// than the guard's. It is unsure of surrogates, which it cannot pair.
func strictness(raw []byte) (refusal string, unsure bool) {
	if !utf8.Valid(raw) {
		return "UTF-8", false
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	type object struct {
		keys  map[string]bool
		isKey bool
	}
	var open []*object // nil for arrays
	nodes := 0
	for {
		token, err := d.Token()
		if err == io.EOF {
			return refusal, unsure || escapePattern.Match(raw) || nodes > wide.Nodes
		}
		if err != nil {
			return refusal, true
		}
		var top *object
		if len(open) > 0 {
			top = open[len(open)-1]
		}
		if key, ok := token.(string); ok && top != nil && top.isKey {
			if top.keys[key] {
				refusal = "a duplicate"
			}
			top.keys[key], top.isKey = true, false
			continue
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			open = open[:len(open)-1]
			continue
		}
		nodes++
		if top != nil {
			top.isKey = true // The next token but for containers, which come back here.
		}
		switch token := token.(type) {
		case json.Number:
			if _, err := token.Float64(); err != nil || len(token) > 64 || exponentPattern.MatchString(string(token)) {
				refusal = "a number"
			}
		case json.Delim:
			var o *object
			if token == '{' {
				o = &object{keys: map[string]bool{}, isKey: true}
			}
			open = append(open, o)
		}
	}
}

func BenchmarkCheckJSON(b *testing.B) {
	for name, raw := range map[string]string{
		"10KB":        `{"items":[` + strings.TrimSuffix(strings.Repeat(`{"id":"ABC-123","name":"An item of the list","price":12.25,"tags":["new","sold"]},`, 120), ",") + `]}`,
		"256KB-keys":  manyKeys(15_000) + "}",
		"256KB-slash": `"` + strings.Repeat(`\n`, 128<<10-8) + `"`,
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				if p := CheckJSON([]byte(raw), OutputLimits); p != nil {
					b.Fatal(p)
				}
			}
		})
	}
}
