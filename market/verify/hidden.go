package verify

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	"guildhall/market"
)

// compileHidden compares values that only the server knows. It tells how many
// match and never which.
func compileHidden(r market.Rule) (func(*subject) finding, int, []Problem) {
	return func(s *subject) finding {
		if s.isUndecided { // It would tell without using an attempt.
			return unclear("Not looked at, because another check could not be decided.")
		}
		known, ok := s.vectors()[r.Name]
		if !ok || r.MinPass == nil || r.Count == nil || int64(len(known.Vectors)) != *r.Count {
			return unclear("The hidden values are not at hand.")
		}
		matching := 0
		for _, v := range known.Vectors {
			want, err := decode(v.Equals)
			if err != nil {
				return unclear("The hidden values cannot be decoded.")
			}
			if got, ok := lookUp(s.output, v.Pointer); ok && equal(got, want) {
				matching++
			}
		}
		detail := fmt.Sprintf("hidden: %d of %d hidden values match; at least %d must.", matching, len(known.Vectors), *r.MinPass)
		if int64(matching) < *r.MinPass {
			return fail("", detail)
		}
		return pass(detail)
	}, 0, nil
}

// vectors are the job's hidden vectors by the name of their rule.
func (s *subject) vectors() map[string]market.HiddenVectors {
	if s.hidden == nil {
		s.hidden = map[string]market.HiddenVectors{}
		var all []market.HiddenVectors
		if err := json.Unmarshal(s.job.Hidden, &all); err != nil {
			return s.hidden
		}
		for _, h := range all {
			s.hidden[h.Rule] = h
		}
	}
	return s.hidden
}

// Commitment is what a rule publishes of its hidden vectors beforehand.
func Commitment(h market.HiddenVectors) (string, error) {
	salt, err := base64.StdEncoding.DecodeString(h.Salt)
	if err != nil {
		return "", err
	}
	text, err := canonical(h.Vectors)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append(salt, text...))
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// admitHidden says where commitments do not hold. Problems point into the
// body of the task.
func admitHidden(rules, hidden json.RawMessage) []Problem {
	if p := CheckJSON(hidden, HiddenLimits); p != nil {
		return []Problem{{Pointer: "/hiddenVectors" + p.Pointer, Detail: p.Detail}}
	}
	var all []market.HiddenVectors
	var published []market.Rule
	if json.Unmarshal(hidden, &all) != nil || json.Unmarshal(rules, &published) != nil {
		return []Problem{{Pointer: "/hiddenVectors", Detail: "The hidden vectors cannot be decoded."}}
	}
	commitments := map[string]string{}
	for _, h := range all {
		c, err := Commitment(h)
		if err != nil {
			return []Problem{{Pointer: "/hiddenVectors", Detail: "The hidden vectors have no canonical text."}}
		}
		commitments[h.Rule] = c
	}
	var problems []Problem
	for i, r := range published {
		if r.Kind == market.RuleHidden && given(r.Commitment) != commitments[r.Name] {
			problems = append(problems, Problem{Pointer: "/rules/" + strconv.Itoa(i) + "/commitment",
				Detail: fmt.Sprintf("The salt and vectors of this rule give %s.", commitments[r.Name])})
		}
	}
	return problems
}
