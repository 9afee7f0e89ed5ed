package verify

import (
	"encoding/json"
	"slices"
	"strconv"

	"guildhall/market"
)

// subject is what rules look at.
type subject struct {
	job    Job
	output any
	// variables are those of expressions, made when one is met.
	variables map[string]any
	// hidden are the vectors by the name of their rule.
	hidden map[string]market.HiddenVectors
	// isUndecided says that a check before was an error.
	isUndecided bool
}

// finding is what a rule says of a subject.
type finding struct {
	verdict market.Verdict
	detail  string
	pointer string
}

func pass(detail string) finding { return finding{verdict: market.VerdictPass, detail: detail} }

func fail(pointer, detail string) finding {
	return finding{verdict: market.VerdictFail, detail: detail, pointer: pointer}
}

func unclear(detail string) finding { return finding{verdict: market.VerdictError, detail: detail} }

// rule is a rule in compiled form.
type rule struct {
	name, kind string
	check      func(*subject) finding
}

// compileRule makes one rule's check, or says why the rule is refused, with
// pointers into the rule. The weight estimates the memory of the check.
type compileRule func(r market.Rule) (check func(*subject) finding, weight int, problems []Problem)

// ruleKinds are the kinds that a machine checks. Rules of kind manual are the
// publisher's to decide, and have no check.
var ruleKinds = map[string]compileRule{
	market.RuleCEL:        compileCEL,
	market.RuleEquals:     compileEquals,
	market.RuleSHA256:     compileSHA256,
	market.RuleRegex:      compileRegex,
	market.RuleRange:      compileRange,
	market.RuleLength:     compileLength,
	market.RuleAttachment: compileAttachment,
	market.RuleHidden:     compileHidden,
}

// compileRules compiles a JSON array of market.Rules. Problems point into it.
// A rule with a problem is compiled to a check that decides nothing.
func compileRules(raw []byte) (rules []rule, weight int, problems []Problem) {
	if p := CheckJSON(raw, RulesLimits); p != nil {
		return nil, 0, []Problem{*p}
	}
	var all []market.Rule
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, 0, []Problem{{Detail: "The rules cannot be decoded."}}
	}
	for i, r := range all {
		if r.Kind == market.RuleManual {
			continue
		}
		check, size, found := compileOne(r)
		if len(found) > 0 {
			detail := found[0].Detail
			check = func(*subject) finding { return unclear("The rule cannot be used: " + detail) }
		}
		for _, p := range found {
			problems = append(problems, Problem{Pointer: "/" + strconv.Itoa(i) + p.Pointer, Detail: clip(p.Detail, maxDetail)})
		}
		rules = append(rules, rule{name: r.Name, kind: r.Kind, check: check})
		weight += size + 1024
	}
	slices.SortStableFunc(rules, func(a, b rule) int { return turn(a) - turn(b) })
	return rules, weight, problems
}

// turn puts rules in order: attachments come last, and after them what is
// hidden, which says nothing if another check is undecided.
func turn(r rule) int {
	switch r.kind {
	case market.RuleAttachment:
		return 1
	case market.RuleHidden:
		return 2
	}
	return 0
}

func compileOne(r market.Rule) (check func(*subject) finding, weight int, problems []Problem) {
	defer func() {
		if recover() != nil {
			problems = []Problem{{Detail: "The rule cannot be compiled."}}
		}
	}()
	compile, known := ruleKinds[r.Kind]
	if !known {
		return nil, 0, []Problem{{Pointer: "/kind", Detail: "This kind of rule is not known."}}
	}
	return compile(r)
}

// checkRules holds a decoded output against every rule.
func (e *Engine) checkRules(job Job, output any) []market.Check {
	rules, problems := e.rules.compile(job.Rules)
	if len(problems) > 0 && rules == nil {
		return []market.Check{undecided("rules", "rules", "The task's rules cannot be used: "+problems[0].Detail)}
	}
	s := &subject{job: job, output: output}
	var checks []market.Check
	for _, r := range rules {
		if r.kind == market.RuleHidden && job.DryRun {
			continue
		}
		found := contained(r.name, r.kind, func() []market.Check { return []market.Check{r.report(r.check(s))} })
		s.isUndecided = s.isUndecided || found[0].Verdict == market.VerdictError
		checks = append(checks, found...)
	}
	return checks
}

func (r rule) report(f finding) market.Check {
	return market.Check{Name: r.name, Kind: r.kind, Passed: f.verdict == market.VerdictPass, Verdict: f.verdict,
		Detail: clip(f.detail, maxDetail), Pointer: fit(f.pointer)}
}

// given is the string, or "" where a rule lacks it: package market refuses
// such rules when they are published.
func given(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
