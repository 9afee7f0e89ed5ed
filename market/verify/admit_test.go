package verify

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func doubling(levels int) string {
	defs := []string{`"a0":{"type":"string"}`}
	for i := 1; i <= levels; i++ {
		defs = append(defs, fmt.Sprintf(`"a%d":{"allOf":[{"$ref":"#/$defs/a%d"},{"$ref":"#/$defs/a%d"}]}`, i, i-1, i-1))
	}
	return fmt.Sprintf(`{"$defs":{%s},"$ref":"#/$defs/a%d"}`, strings.Join(defs, ","), levels)
}

func TestAdmitSchemaAccepts(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{
		`true`, `false`, `{}`, `{"type":"object"}`,
		`{"$schema":"https://json-schema.org/draft/2020-12/schema","$id":"https://example.com/order.json","title":"Order"}`,
		`{"$id":"https://json-schema.org/draft/2020-12/schema","type":"string"}`,
		`{"$id":"x","$ref":"#/$defs/a","$defs":{"a":{"type":"string"}}}`,
		`{"$ref":"#/definitions/a~1b%20c","definitions":{"a/b c":{"type":"string"}}}`,
		`{"$ref":"#here","$defs":{"a":{"$anchor":"here","type":"string"}}}`,
		`{"$dynamicAnchor":"node","properties":{"children":{"items":{"$dynamicRef":"#node"}}}}`,
		`{"items":{"$ref":"#"}}`,
		`{"items":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}}`, // Only the child's limits contain it.
		`{"properties":{"a":{"prefixItems":[{},{"type":"null"}]},"b":{"$ref":"#/properties/a/prefixItems/1"}}}`,
		`{"properties":{"$ref":{"type":"string"},"$schema":{"const":"x"},"$id":true,"pattern":{"type":"string"}}}`,
		`{"const":{"$ref":"http://example.com","$schema":"x","pattern":"(?="},"enum":[{"$id":1}],"default":{"$ref":1},"examples":[{"$ref":"file:///"}]}`,
		`{"pattern":"^[A-Z]{3}-\\d+$","format":"date-time"}`,
		`{"pattern":"` + strings.Repeat("a", 256) + `"}`,
		`{"format":"no such format"}`,
		`{"maxLength":9007199254740992,"minItems":1e3}`,
		`{"multipleOf":0.01,"minimum":-1e308}`,
		doubling(11),
	} {
		if problems := AdmitSchema([]byte(schema)); len(problems) != 0 {
			t.Errorf("%.100s: got %+v, want it admitted", schema, problems)
		}
	}
}

func TestAdmitSchemaRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ schema, pointer, detail string }{
		{``, "", "malformed"},
		{`{`, "", "malformed"},
		{`7`, "", "must be an object or a boolean"},
		{`[]`, "", "must be an object or a boolean"},
		{`null`, "", "must be an object or a boolean"},
		{`{"type":"string","type":"string"}`, "/type", "twice"},
		{`{"minimum":1e10000000}`, "/minimum", "exponent"},
		{`{"const":1e10000000}`, "/const", "exponent"},
		{`{"type":"strin"}`, "/type", "enum: expected one of"},
		{`{"properties":{"a":{"type":["string","strin"]}}}`, "/properties/a/type/1", "Alternative 2 of anyOf: enum"},
		{`{"minLength":-1}`, "/minLength", "minimum: expected at least 0"},
		{`{"maxLength":1e300}`, "/maxLength", "too large"},
		{`{"multipleOf":0}`, "/multipleOf", "exclusiveMinimum"},
		{`{"items":[{}]}`, "/items", "type: expected boolean or object, found array"},
		{`{"properties":{"a":1}}`, "/properties/a", "type:"},
		{`{"allOf":[]}`, "/allOf", "minItems"},
		{`{"required":["a","a"]}`, "/required", "uniqueItems"},
		{`{"$schema":"http://json-schema.org/draft-07/schema#"}`, "/$schema", "2020-12"},
		{`{"$schema":"https://json-schema.org/draft/2020-12/schema#"}`, "/$schema", "2020-12"},
		{`{"$schema":"https://example.com/own"}`, "/$schema", "2020-12"},
		{`{"$schema":7}`, "/$schema", "2020-12"},
		{`{"properties":{"a":{"$schema":"file:///etc/passwd"}}}`, "/properties/a/$schema", "2020-12"},
		{`{"properties":{"a":{"$ref":"file:///etc/passwd"}}}`, "/properties/a/$ref", "nothing is loaded"},
		{`{"$ref":"http://127.0.0.1:1/"}`, "/$ref", "nothing is loaded"},
		{`{"$ref":"other.json#/a"}`, "/$ref", "nothing is loaded"},
		{`{"$ref":"https://json-schema.org/draft/2020-12/schema"}`, "/$ref", "nothing is loaded"},
		{`{"$dynamicRef":"https://example.com/#x"}`, "/$dynamicRef", "nothing is loaded"},
		{`{"$recursiveRef":"#"}`, "/$recursiveRef", "not part of"},
		{`{"$ref":"#/$defs/none"}`, "/$ref", "leads to no schema"},
		{`{"$ref":"#none"}`, "/$ref", "leads to no schema"},
		{`{"$ref":"#/%zz"}`, "/$ref", "leads to no schema"},
		{`{"$ref":"#/x","x":{"pattern":"(?=a)"}}`, "/$ref", "leads to no schema"},
		{`{"$ref":"#/const","const":{"type":"string"}}`, "/$ref", "leads to no schema"},
		{`{"$ref":7}`, "/$ref", "type: expected string"},
		{`{"$id":"https://example.com/#a"}`, "/$id", "without a fragment"},
		{`{"$id":7}`, "/$id", "without a fragment"},
		{`{"$defs":{"a":{"$id":"file:///etc/"}}}`, "/$defs/a/$id", "root only"},
		{`{"$anchor":"1 x"}`, "/$anchor", "pattern:"},
		{`{"$defs":{"a":{"$anchor":"x"},"b":{"$dynamicAnchor":"x"}}}`, "/$defs/b/$dynamicAnchor", "Two schemas"},
		{`{"$ref":"#"}`, "", "without end"},
		{`{"properties":{"a":{"$ref":"#/$defs/b"}},"$defs":{"b":{"anyOf":[{"type":"null"},{"$ref":"#/$defs/c"}]},"c":{"not":{"$ref":"#/$defs/b"}}}}`, "/$defs/b", "without end"},
		{`{"pattern":"(?=a)"}`, "/pattern", "no lookahead"},
		{`{"pattern":"(a)\\1"}`, "/pattern", "no lookahead, lookbehind or backreferences"},
		{`{"patternProperties":{"~/(":{}}}`, "/patternProperties/~0~1(", "missing closing )"},
		{`{"pattern":"` + strings.Repeat("a", 257) + `"}`, "/pattern", "longer than 256"},
		{`{"pattern":"` + strings.Repeat("a{1000}", 1000) + `"}`, "/pattern", "longer than 256"},
		{`{"pattern":"` + strings.Repeat("a{1000}", 30) + `"}`, "/pattern", "at most 2000"},
		{`{"patternProperties":{"((a{10}){10}){20}":{}}}`, "/patternProperties/((a{10}){10}){20}", "repeat count"},
		{`{"$defs":{"a":{"properties":{"b":{"pattern":"[a"}}}}}`, "/$defs/a/properties/b/pattern", "RE2"},
		{patterns(51), "", "at most 50000"},
		{doubling(13), "", "longer than 10000 schemas"},
		{doubling(26), "", "longer than 10000 schemas"},
		{strings.Repeat(`{"items":`, 32) + `{}` + strings.Repeat(`}`, 32), strings.Repeat("/items", 32), "deeper than 32"},
		{`{"enum":[` + strings.Repeat("1,", 2_000) + `1]}`, "", "more than 2000 values"},
		{`{"title":"` + strings.Repeat("x", 64<<10) + `"}`, "", "at most 65536"},
	} {
		problems := AdmitSchema([]byte(c.schema))
		if len(problems) == 0 {
			t.Errorf("%.100s: got it admitted, want %q", c.schema, c.detail)
			continue
		}
		found := false
		for _, p := range problems {
			found = found || p.Pointer == c.pointer && strings.Contains(p.Detail, c.detail)
			if utf8.RuneCountInString(p.Detail) > maxDetail {
				t.Errorf("%.100s: got a detail of %d characters", c.schema, utf8.RuneCountInString(p.Detail))
			}
		}
		if !found {
			t.Errorf("%.100s: got %+v, want %q at %q", c.schema, problems, c.detail, c.pointer)
		}
	}
}

func patterns(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = `{"pattern":"a{995}"}`
	}
	return `{"allOf":[` + strings.Join(all, ",") + `]}`
}

func TestAdmitSchemaNamesAllProblemsInOrder(t *testing.T) {
	t.Parallel()
	schema := []byte(`{"properties":{"b":{"$ref":"x"},"a":{"pattern":"["}},"$schema":"x"}`)
	first := AdmitSchema(schema)
	var pointers []string
	for _, p := range first {
		pointers = append(pointers, p.Pointer)
	}
	if want := []string{"/$schema", "/properties/a/pattern", "/properties/b/$ref"}; !reflect.DeepEqual(pointers, want) {
		t.Errorf("got problems at %q, want %q", pointers, want)
	}
	for range 20 {
		if again := AdmitSchema(schema); !reflect.DeepEqual(again, first) {
			t.Fatalf("got %+v, before %+v", again, first)
		}
	}
	many := `{"allOf":[` + strings.TrimSuffix(strings.Repeat(`{"$ref":"x"},`, 50), ",") + `]}`
	if got := len(AdmitSchema([]byte(many))); got != maxChecks {
		t.Errorf("got %d problems, want %d", got, maxChecks)
	}
}

func FuzzAdmitSchema(f *testing.F) {
	for _, seed := range []string{
		`{}`, `true`, doubling(3), `{"items":{"$ref":"#"}}`, `{"pattern":"a{5}","patternProperties":{"^x":false}}`,
		`{"$id":"a","$anchor":"b","$ref":"#b"}`, `{"if":{"type":"null"},"then":false,"dependentSchemas":{"a":{}}}`,
		`{"$dynamicAnchor":"x","properties":{"a":{"$dynamicRef":"#x"}}}`, `{"dependencies":{"a":["b"],"c":{}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, schema []byte) {
		problems := AdmitSchema(schema)
		for _, p := range problems {
			if p.Detail == "The schema cannot be compiled." {
				t.Errorf("%q: the library panicked", schema)
			}
			if strings.Contains(p.Detail, "must stay within the schema") {
				t.Errorf("%q: the library tried to load something", schema)
			}
		}
		if len(problems) > 0 {
			return
		}
		// What was admitted can be used.
		for _, c := range Run(Job{Schema: schema, Output: []byte(`{"a":{"b":[1,"x",null]},"c":true}`)}).Checks {
			if c.Verdict == "error" {
				t.Errorf("%q: admitted, but got %+v", schema, c)
			}
		}
	})
}
