package verify

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemaURL is the name under which the library knows the schema. Nothing is
// ever loaded from it.
const schemaURL = "urn:guildhall:schema"

// AdmitSchema returns every reason to refuse a schema when a task is
// published, none if it is fine. Beyond what JSON Schema 2020-12 demands:
//
//   - "$schema" is absent or exactly the URL of 2020-12;
//   - "$ref" and "$dynamicRef" begin with "#" and lead to a schema of the same
//     document. Nothing is ever loaded;
//   - "$id" may stand at the root only. It is ignored: with local references
//     alone it has no effect;
//   - the schema stays below SchemaLimits, the limits of patterns, and
//     10,000 schemas after all references are written out.
//
// Formats are asserted; formats that the library does not know are ignored.
func AdmitSchema(schema json.RawMessage) []Problem {
	_, problems := compile(schema)
	return problems
}

func compile(raw []byte) (compiled compiledSchema, problems []Problem) {
	defer func() {
		if recover() != nil {
			problems = []Problem{{Detail: "The schema cannot be compiled."}}
		}
	}()
	if p := CheckJSON(raw, SchemaLimits); p != nil {
		return compiled, []Problem{*p}
	}
	doc, err := decode(raw)
	if err != nil {
		return compiled, []Problem{{Detail: "The schema cannot be decoded."}}
	}
	read := readSchema(doc)
	if len(read.problems) > 0 {
		return compiled, fewest(read.problems)
	}
	if object, ok := doc.(map[string]any); ok {
		delete(object, "$id")
	}
	schema, err := compileDocument(doc)
	if err != nil {
		return compiled, explainSchema(err, doc)
	}
	return compiledSchema{schema: schema, weight: read.weight()}, nil
}

func compileDocument(doc any) (*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(noLoader{})
	c.UseRegexpEngine(compilePattern)
	if err := c.AddResource(schemaURL, doc); err != nil {
		return nil, err
	}
	return c.Compile(schemaURL)
}

// noLoader refuses to load anything: the library's own reads files.
type noLoader struct{}

func (noLoader) Load(string) (any, error) {
	return nil, errors.New("references must stay within the schema")
}

// explainSchema says why the library refused a schema, mostly because it does
// not match the schema of schemas.
func explainSchema(err error, doc any) []Problem {
	var refused *jsonschema.SchemaValidationError
	var invalid *jsonschema.ValidationError
	if errors.As(err, &refused) && errors.As(refused.Err, &invalid) {
		return violations(invalid, doc)
	}
	return []Problem{{Detail: clip("The schema cannot be compiled: "+literal(err.Error())+".", maxDetail)}}
}

// fewest sorts problems by place and keeps the first maxChecks.
func fewest(problems []Problem) []Problem {
	slices.SortFunc(problems, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.Pointer, b.Pointer), strings.Compare(a.Detail, b.Detail))
	})
	return problems[:min(len(problems), maxChecks)]
}
