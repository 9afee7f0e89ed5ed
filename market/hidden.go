package market

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
)

// Limits of hidden vectors.
const (
	MaxVectors     = 1000
	MaxHiddenBytes = 128 << 10 // of all vectors of a task, as JSON
	MinSalt        = 16
	MaxSalt        = 64
	// MaxHiddenAttempts is how often a worker may learn how many match.
	MaxHiddenAttempts = 5
)

// HiddenVectors are what a rule of kind hidden compares. Only its commitment
// is public until a delivery is rejected: "sha256:" and the hexadecimal SHA-256
// of the salt's bytes followed by the canonical JSON text (RFC 8785) of the
// vectors, an array of objects with pointer and equals.
type HiddenVectors struct {
	// Rule names the rule.
	Rule string `json:"rule"`
	// Salt is 16 to 64 random bytes in base64.
	Salt    string   `json:"salt"`
	Vectors []Vector `json:"vectors"`
}

// Vector is one expected value.
type Vector struct {
	Pointer string          `json:"pointer"`
	Equals  json.RawMessage `json:"equals"`
}

// hidden checks that rules of kind hidden and vectors belong together. That
// the commitments hold is for package verify.
func (p *problems) hidden(rules []Rule, all []HiddenVectors) {
	counts := map[string]int64{}
	for i, r := range rules {
		if r.Kind != RuleHidden {
			continue
		}
		counts[r.Name] = orDefault(r.Count, 0)
		if !slices.ContainsFunc(all, func(h HiddenVectors) bool { return h.Rule == r.Name }) {
			p.add("/rules/"+strconv.Itoa(i), "vectors_missing", nil)
		}
	}
	size, seen := 0, map[string]bool{}
	for i, h := range all {
		at := "/hiddenVectors/" + strconv.Itoa(i)
		count, known := counts[h.Rule]
		switch {
		case !known:
			p.add(at+"/rule", "vectors_rule", nil)
		case seen[h.Rule]:
			p.add(at+"/rule", "duplicate", nil)
		case int64(len(h.Vectors)) != count:
			p.add(at+"/vectors", "vectors_count", map[string]any{"Count": count})
		}
		seen[h.Rule] = true
		if salt, err := base64.StdEncoding.DecodeString(h.Salt); err != nil || len(salt) < MinSalt || len(salt) > MaxSalt {
			p.add(at+"/salt", "salt", map[string]any{"Min": MinSalt, "Max": MaxSalt})
		}
		for j, v := range h.Vectors {
			p.vector(at+"/vectors/"+strconv.Itoa(j), v)
			size += len(v.Pointer) + len(v.Equals)
		}
	}
	if size > MaxHiddenBytes {
		p.add("/hiddenVectors", "vectors_size", map[string]any{"Max": MaxHiddenBytes})
	}
}

func (p *problems) vector(at string, v Vector) {
	if !ValidPointer(v.Pointer) {
		p.add(at+"/pointer", "pointer", map[string]any{"Max": MaxRulePointer})
	}
	if v.Equals == nil {
		p.add(at+"/equals", "required", nil)
	}
}

// HasHidden reports whether a rule needs vectors that are not in the task.
func (t Task) HasHidden() bool { return hasHidden(t.Rules) }

func hasHidden(rules []Rule) bool {
	return slices.ContainsFunc(rules, func(r Rule) bool { return r.Kind == RuleHidden })
}

// maxAttempts is lower where each attempt tells something of what is hidden.
func maxAttempts(rules []Rule) int64 {
	if hasHidden(rules) {
		return MaxHiddenAttempts
	}
	return 10
}
