package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"guildhall/market"
)

// Job is one verification.
type Job struct {
	// Schema is a JSON Schema 2020-12; empty checks only that Output is JSON.
	Schema json.RawMessage `json:"schema,omitempty"`
	Output json.RawMessage `json:"output"`
}

// Run checks the output. A panic in an engine becomes an error verdict.
func Run(job Job) (r market.Report) {
	began := time.Now()
	defer func() {
		if p := recover(); p != nil {
			r = Failure("The engine failed on this output.")
		}
		r.Millis = time.Since(began).Milliseconds()
	}()
	if p := CheckJSON(job.Output, OutputLimits); p != nil {
		return market.NewReport([]market.Check{{Name: "output", Kind: "json", Verdict: market.VerdictFail, Detail: clip(p.Detail), Pointer: p.Pointer}}, 0)
	}
	if len(job.Schema) == 0 {
		return market.NewReport(nil, 0)
	}
	return market.NewReport(checkSchema(job), 0)
}

// Failure is the report of an engine that could not decide.
func Failure(detail string) market.Report {
	return market.NewReport([]market.Check{{Name: "engine", Kind: "engine", Verdict: market.VerdictError, Detail: detail}}, 0)
}

func checkSchema(job Job) []market.Check {
	s, err := compile(job.Schema)
	if err != nil {
		return []market.Check{{Name: "schema", Kind: "schema", Verdict: market.VerdictError, Detail: "The schema does not compile."}}
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(job.Output))
	if err != nil {
		return []market.Check{{Name: "output", Kind: "json", Verdict: market.VerdictFail, Detail: "This is not valid JSON."}}
	}
	err = s.Validate(value)
	if err == nil {
		return []market.Check{{Name: "schema", Kind: "schema", Passed: true, Verdict: market.VerdictPass, Detail: "The output matches the schema."}}
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return []market.Check{{Name: "schema", Kind: "schema", Verdict: market.VerdictError, Detail: "The engine could not decide."}}
	}
	return leaves(invalid, nil)
}

// leaves turns the innermost errors into checks, at most maxErrors.
func leaves(e *jsonschema.ValidationError, out []market.Check) []market.Check {
	if len(out) >= maxErrors {
		return out
	}
	if len(e.Causes) == 0 {
		return append(out, market.Check{Name: "schema", Kind: "schema", Verdict: market.VerdictFail, Detail: describe(e), Pointer: pointer(e.InstanceLocation)})
	}
	for _, c := range e.Causes {
		out = leaves(c, out)
	}
	return out
}

var english = message.NewPrinter(language.English)

// expectation says what was wanted. Kinds whose own words repeat the output
// get words of ours, so that a hostile output cannot fill the report.
func expectation(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Pattern:
		return fmt.Sprintf("must match %q", k.Want)
	case *kind.Format:
		return "must be a valid " + k.Want
	case *kind.Enum:
		return "must be one of the values that the schema lists"
	case *kind.Const:
		return "must be the value that the schema gives"
	case *kind.AdditionalProperties:
		names := k.Properties
		if len(names) > 5 {
			names = names[:5]
		}
		return "these members are not allowed: " + fmt.Sprintf("%q", names)
	case *kind.PropertyNames:
		return "a member name is not allowed"
	}
	return strings.TrimSuffix(k.LocalizedString(english), ".")
}
