package verify

import (
	"errors"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"guildhall/market"
)

// checkSchema holds a decoded output against a schema: one check that passed,
// or one for each place that does not match, at most maxChecks.
func (e *Engine) checkSchema(raw []byte, output any) []market.Check {
	schema, problems := e.schemas.compile(raw)
	if len(problems) > 0 {
		return []market.Check{undecided("schema", "schema", "The task's schema cannot be used: "+problems[0].Detail)}
	}
	err := schema.Validate(output)
	if err == nil {
		return []market.Check{{
			Name: "schema", Kind: "schema", Passed: true, Verdict: market.VerdictPass, Detail: "The output matches the schema.",
		}}
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return []market.Check{undecided("schema", "schema", "The engine failed while it checked the output.")}
	}
	found := violations(invalid, output)
	checks := make([]market.Check, len(found))
	for i, p := range found {
		checks[i] = market.Check{
			Name: "schema", Kind: "schema", Verdict: market.VerdictFail, Detail: p.Detail, Pointer: p.Pointer,
		}
	}
	return checks
}
