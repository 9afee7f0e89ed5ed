package market

// Verdict is the outcome of a check or of a whole report.
type Verdict string

// The three verdicts. VerdictError means that the engine could not decide:
// it neither pays nor rejects, and the delivery goes to the publisher.
const (
	VerdictPass  Verdict = "pass"
	VerdictFail  Verdict = "fail"
	VerdictError Verdict = "error"
)

// Check is one check of a delivery, as both sides see it. Its JSON form is
// stored with the delivery and shown as it is.
type Check struct {
	Name    string  `json:"name"`
	Kind    string  `json:"kind"`
	Passed  bool    `json:"passed"`
	Verdict Verdict `json:"verdict"`
	// Detail says in one sentence what was found, at most 300 characters;
	// it never repeats the output.
	Detail string `json:"detail"`
	// Pointer is the RFC 6901 JSON Pointer into the output, "" for the whole.
	Pointer string `json:"pointer"`
}

// Report is the result of every check of one delivery.
type Report struct {
	Verdict Verdict `json:"verdict"`
	Passed  bool    `json:"passed"`
	Checks  []Check `json:"checks"`
	// Millis is how long the engine worked, in milliseconds.
	Millis int64 `json:"ms"`
	// Engine names what judged, and the hashes what it judged by and what it
	// judged; package verify says how they are made. RulesHash is of schema and
	// rules, OutputHash of the output in canonical form: equal outputs have
	// equal hashes, however they are written, and one beyond the limits has
	// none. Reports from before they were noted have none of the three.
	Engine     string `json:"engine,omitempty"`
	RulesHash  string `json:"rulesHash,omitempty"`
	OutputHash string `json:"outputHash,omitempty"`
}

// NewReport sums checks up: any error makes the report an error, else any
// failure makes it a failure. No checks at all pass.
func NewReport(checks []Check, millis int64) Report {
	verdict := VerdictPass
	for _, c := range checks {
		if c.Verdict == VerdictError {
			verdict = VerdictError
			break
		}
		if c.Verdict == VerdictFail {
			verdict = VerdictFail
		}
	}
	if checks == nil {
		checks = []Check{}
	}
	return Report{Verdict: verdict, Passed: verdict == VerdictPass, Checks: checks, Millis: millis}
}
