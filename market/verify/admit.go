package verify

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"guildhall/market"
)

// schemaURL is the name under which the library knows the schema. Nothing is
// ever loaded from it.
const schemaURL = "urn:guildhall:schema"

// Admission is what a publisher wants checked before a task opens.
type Admission struct {
	Schema  json.RawMessage
	Payload json.RawMessage
	// Rules is a JSON array of market.Rules whose shape is right.
	Rules json.RawMessage
	// Hidden is a JSON array of market.HiddenVectors.
	Hidden json.RawMessage
}

// Admit returns every reason to refuse a task when it is published, with
// pointers into its JSON: what AdmitSchema says, a payload beyond
// PayloadLimits, rules that do not compile, commitments that do not hold.
func Admit(a Admission) []Problem {
	var problems []Problem
	add := func(member string, found []Problem) {
		for _, p := range found {
			problems = append(problems, Problem{Pointer: fit(member + p.Pointer), Detail: p.Detail})
		}
	}
	if len(a.Payload) > 0 {
		if p := CheckJSON(a.Payload, PayloadLimits); p != nil {
			add("/payload", []Problem{*p})
		}
	}
	if len(a.Schema) > 0 {
		add("/outputSchema", AdmitSchema(a.Schema))
	}
	if len(a.Rules) > 0 {
		_, _, found := compileRules(a.Rules)
		add("/rules", found)
	}
	if len(a.Hidden) > 0 {
		add("", admitHidden(a.Rules, a.Hidden))
	}
	return problems
}

// Oversized is the checks of a job whose documents are too long to be sent to
// a child, nil for all others. It looks at lengths alone.
func Oversized(job Job) []market.Check {
	if len(job.Output) > OutputLimits.Bytes {
		p := CheckJSON(job.Output, OutputLimits)
		return []market.Check{{Name: "output", Kind: "json", Verdict: market.VerdictFail, Detail: p.Detail}}
	}
	problems := OversizedAdmission(Admission{Schema: job.Schema, Payload: job.Payload, Rules: job.Rules, Hidden: job.Hidden})
	if len(problems) == 0 {
		return nil
	}
	return []market.Check{undecided("engine", "engine", "The task cannot be checked: "+problems[0].Detail)}
}

// OversizedAdmission is the problems of documents that are too long to be sent
// to a child. It looks at lengths alone.
func OversizedAdmission(a Admission) []Problem {
	var problems []Problem
	for _, d := range []struct {
		member string
		raw    json.RawMessage
		limits Limits
	}{{"/payload", a.Payload, PayloadLimits}, {"/outputSchema", a.Schema, SchemaLimits}, {"/rules", a.Rules, RulesLimits}, {"/hiddenVectors", a.Hidden, HiddenLimits}} {
		if len(d.raw) > d.limits.Bytes {
			problems = append(problems, Problem{Pointer: d.member, Detail: CheckJSON(d.raw, d.limits).Detail})
		}
	}
	return problems
}

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
	_, _, problems := compileSchema(schema)
	return problems
}

func compileSchema(raw []byte) (schema *jsonschema.Schema, weight int, problems []Problem) {
	defer func() {
		if recover() != nil {
			problems = []Problem{{Detail: "The schema cannot be compiled."}}
		}
	}()
	if p := CheckJSON(raw, SchemaLimits); p != nil {
		return nil, 0, []Problem{*p}
	}
	doc, err := decode(raw)
	if err != nil {
		return nil, 0, []Problem{{Detail: "The schema cannot be decoded."}}
	}
	read := readSchema(doc)
	if len(read.problems) > 0 {
		return nil, 0, fewest(read.problems)
	}
	if object, ok := doc.(map[string]any); ok {
		delete(object, "$id")
	}
	schema, err = compileDocument(doc)
	if err != nil {
		return nil, 0, explainSchema(err, doc)
	}
	return schema, read.weight(), nil
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
