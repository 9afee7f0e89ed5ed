package verify

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"guildhall/market"
)

// Job is one verification.
type Job struct {
	// Schema is the task's JSON Schema 2020-12; empty means none.
	Schema json.RawMessage
	// Rules is the JSON array of the task's market.Rules; empty means none.
	Rules json.RawMessage
	// Payload is the task's, for expressions; empty is null.
	Payload json.RawMessage
	// Output is what the worker delivered.
	Output json.RawMessage
	// Attachments describe the files delivered with it.
	Attachments []market.Attachment
	// Hidden is the JSON array of the task's market.HiddenVectors. Rules that
	// need them are passed over in a DryRun, else undecided without them.
	Hidden json.RawMessage
	DryRun bool
}

// Engine runs jobs one after the other and remembers compiled schemas and
// rules, and what both hash to. It is not safe for concurrent use.
type Engine struct {
	schemas   *cache[*jsonschema.Schema]
	rules     *cache[[]rule]
	contracts *cache[string]
}

// NewEngine returns an engine that remembers nothing yet.
func NewEngine() *Engine {
	return &Engine{schemas: newCache(compileSchema), rules: newCache(compileRules), contracts: newCache(compileHash)}
}

// Run runs one job on an engine of its own.
func Run(job Job) market.Report { return NewEngine().Run(job) }

// Run guards the output and then holds it against the schema, every rule in
// order, and last the rules on attachments. It always returns a report; what
// the engine cannot decide is a check whose verdict is error.
func (e *Engine) Run(job Job) market.Report {
	began := time.Now()
	var r market.Report
	if p := CheckJSON(job.Output, OutputLimits); p != nil {
		r = market.NewReport([]market.Check{{Name: "output", Kind: "json", Verdict: market.VerdictFail, Detail: p.Detail, Pointer: p.Pointer}}, 0)
	} else {
		r = market.NewReport(e.checks(job), 0)
		r.OutputHash = hashJSON(job.Output)
	}
	r.Engine = Version
	r.RulesHash, _ = e.contracts.compile(job.contract()) // a contract that is no JSON has none
	r.Millis = time.Since(began).Milliseconds()
	return r
}

// checks looks at a guarded output.
func (e *Engine) checks(job Job) []market.Check {
	if len(job.Schema) == 0 && len(job.Rules) == 0 {
		return nil
	}
	output, err := decode(job.Output)
	if err != nil {
		return []market.Check{undecided("output", "json", "The output cannot be decoded.")}
	}
	var checks []market.Check
	if len(job.Schema) > 0 {
		checks = contained("schema", "schema", func() []market.Check { return e.checkSchema(job.Schema, output) })
	}
	if len(job.Rules) > 0 {
		checks = append(checks, e.checkRules(job, output)...)
	}
	return checks
}

// contained turns a panic of a rule's library into a check without a verdict.
func contained(name, kind string, rule func() []market.Check) (checks []market.Check) {
	defer func() {
		if recover() != nil {
			checks = []market.Check{undecided(name, kind, "The engine failed while it checked the output.")}
		}
	}()
	return rule()
}

func undecided(name, kind, detail string) market.Check {
	return market.Check{Name: name, Kind: kind, Verdict: market.VerdictError, Detail: clip(detail, maxDetail)}
}

// decode reads guarded JSON and keeps numbers as they were written.
func decode(raw []byte) (any, error) {
	return jsonschema.UnmarshalJSON(bytes.NewReader(raw))
}
