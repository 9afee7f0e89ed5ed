package market

import (
	"encoding/json"
	"path"
	"slices"
	"strconv"
	"strings"
)

// The kinds of rules. All but RuleManual, which the publisher decides, are
// checked by package verify.
const (
	RuleCEL        = "cel"
	RuleEquals     = "equals"
	RuleSHA256     = "sha256"
	RuleRegex      = "regex"
	RuleRange      = "range"
	RuleLength     = "length"
	RuleAttachment = "attachment"
	RuleHidden     = "hidden"
	RuleManual     = "manual"
)

// Rule is a condition on a delivery beyond the output schema: a union of the
// kinds, in which every kind has its own members and refuses those of others.
// Members are pointers where absent is not the same as empty.
type Rule struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	// Text is a sentence for people; for manual rules it is the rule.
	Text string `json:"text,omitempty"`

	// Expression (cel) is a bool over payload, output and attachments.
	Expression *string `json:"expression,omitempty"`
	// Pointer (equals, sha256, regex, range, length) is a JSON Pointer into
	// the output; absent means the whole output.
	Pointer *string `json:"pointer,omitempty"`
	// Equals (equals) is any JSON. Numbers are compared by value.
	Equals json.RawMessage `json:"equals,omitempty"`
	// SHA256 (sha256, attachment) is lower-case hexadecimal. In a rule of
	// kind sha256 it is that of a string's UTF-8 bytes, and of anything
	// else's canonical JSON text (RFC 8785).
	SHA256 *string `json:"sha256,omitempty"`
	// Pattern (regex) is a regular expression of RE2 that must match
	// somewhere in the string.
	Pattern *string `json:"pattern,omitempty"`
	// Min and Max (range) are numbers, both allowed themselves.
	Min json.RawMessage `json:"min,omitempty"`
	Max json.RawMessage `json:"max,omitempty"`
	// MinLength and MaxLength (length) count characters of a string, items of
	// an array or members of an object.
	MinLength *int64 `json:"minLength,omitempty"`
	MaxLength *int64 `json:"maxLength,omitempty"`
	// Attachment (attachment) is a name or a pattern of path.Match; the rest
	// must hold for each attachment that it fits. Required asks for one.
	Attachment *string  `json:"attachment,omitempty"`
	Required   *bool    `json:"required,omitempty"`
	MaxBytes   *int64   `json:"maxBytes,omitempty"`
	MediaTypes []string `json:"mediaTypes,omitempty"`
	// Commitment (hidden) is "sha256:" and the hash of salt and vectors; see
	// HiddenVectors. MinPass of Count vectors must match.
	Commitment *string `json:"commitment,omitempty"`
	Count      *int64  `json:"count,omitempty"`
	MinPass    *int64  `json:"minPass,omitempty"`
}

// Limits of rules. Those of expressions and patterns are in package verify.
const (
	MaxRuleName     = 80
	MaxRuleText     = 2000
	MaxExpression   = 2048
	MaxRulePointer  = 512
	MaxRuleLength   = 1 << 53
	MaxMediaTypes   = 20
	MaxFileName     = 200
	commitmentStart = "sha256:"
)

// At is the rule's JSON Pointer, "" for the whole output.
func (r Rule) At() string {
	if r.Pointer == nil {
		return ""
	}
	return *r.Pointer
}

// kindMembers lists the members of each kind besides name, kind and text.
var kindMembers = map[string][]string{
	RuleCEL:        {"expression"},
	RuleEquals:     {"pointer", "equals"},
	RuleSHA256:     {"pointer", "sha256"},
	RuleRegex:      {"pointer", "pattern"},
	RuleRange:      {"pointer", "min", "max"},
	RuleLength:     {"pointer", "minLength", "maxLength"},
	RuleAttachment: {"attachment", "required", "maxBytes", "mediaTypes", "sha256"},
	RuleHidden:     {"commitment", "count", "minPass"},
	RuleManual:     {},
}

// RuleKinds lists every kind.
func RuleKinds() []string {
	return []string{RuleCEL, RuleEquals, RuleSHA256, RuleRegex, RuleRange, RuleLength, RuleAttachment, RuleHidden, RuleManual}
}

// RuleMembers lists the members of a rule of the kind besides name, kind and
// text.
func RuleMembers(kind string) []string { return slices.Clone(kindMembers[kind]) }

// member is one member of a rule beyond name, kind and text.
type member struct {
	name  string
	given bool
}

func (r Rule) members() []member {
	return []member{
		{"expression", r.Expression != nil}, {"pointer", r.Pointer != nil}, {"equals", r.Equals != nil}, {"sha256", r.SHA256 != nil},
		{"pattern", r.Pattern != nil}, {"min", r.Min != nil}, {"max", r.Max != nil}, {"minLength", r.MinLength != nil},
		{"maxLength", r.MaxLength != nil}, {"attachment", r.Attachment != nil}, {"required", r.Required != nil},
		{"maxBytes", r.MaxBytes != nil}, {"mediaTypes", r.MediaTypes != nil}, {"commitment", r.Commitment != nil},
		{"count", r.Count != nil}, {"minPass", r.MinPass != nil},
	}
}

// CheckRules returns what is wrong with the shape of rules, with pointers as in
// a task.
func CheckRules(rules []Rule) []FieldError {
	var p problems
	p.rules(rules)
	return p
}

// rules checks the shape of rules. Whether they compile is for package verify.
func (p *problems) rules(rules []Rule) {
	if len(rules) > MaxRules {
		p.add("/rules", "too_many", map[string]any{"Max": MaxRules})
	}
	seen := map[string]bool{}
	for i, r := range rules {
		at := "/rules/" + strconv.Itoa(i)
		p.text(at+"/name", r.Name, 1, MaxRuleName)
		low := 0
		if r.Kind == RuleManual {
			low = 1
		}
		p.text(at+"/text", r.Text, low, MaxRuleText)
		p.rule(at, r)
		if seen[r.Name] {
			p.add(at+"/name", "duplicate", nil)
		}
		seen[r.Name] = true
	}
}

func (p *problems) rule(at string, r Rule) {
	own, known := kindMembers[r.Kind]
	if !known {
		p.add(at+"/kind", "rule_kind", map[string]any{"Allowed": strings.Join(RuleKinds(), ", ")})
		return
	}
	for _, m := range r.members() {
		if m.given && !slices.Contains(own, m.name) {
			p.add(at+"/"+m.name, "rule_member", map[string]any{"Kind": r.Kind})
		}
	}
	if slices.Contains(own, "pointer") && !ValidPointer(r.At()) {
		p.add(at+"/pointer", "pointer", map[string]any{"Max": MaxRulePointer})
	}
	switch r.Kind {
	case RuleCEL:
		p.needed(at+"/expression", r.Expression, MaxExpression)
	case RuleEquals:
		if r.Equals == nil {
			p.add(at+"/equals", "required", nil)
		}
	case RuleSHA256:
		p.hash(at+"/sha256", r.SHA256, true)
	case RuleRegex:
		p.needed(at+"/pattern", r.Pattern, MaxExpression)
	case RuleRange:
		p.rangeRule(at, r)
	case RuleLength:
		p.lengthRule(at, r)
	case RuleAttachment:
		p.attachmentRule(at, r)
	case RuleHidden:
		p.hiddenRule(at, r)
	}
}

// needed checks a string that must be there.
func (p *problems) needed(pointer string, s *string, limit int) {
	if s == nil {
		p.add(pointer, "required", nil)
		return
	}
	p.text(pointer, *s, 1, limit)
}

func (p *problems) hash(pointer string, s *string, required bool) {
	switch {
	case s == nil && required:
		p.add(pointer, "required", nil)
	case s != nil && !ValidSHA256(*s):
		p.add(pointer, "sha256", nil)
	}
}

func (p *problems) rangeRule(at string, r Rule) {
	if r.Min == nil && r.Max == nil {
		p.add(at+"/min", "rule_bound", nil)
	}
	if r.Min != nil && !isNumber(r.Min) {
		p.add(at+"/min", "type", nil)
	}
	if r.Max != nil && !isNumber(r.Max) {
		p.add(at+"/max", "type", nil)
	}
}

// isNumber tells JSON numbers from other JSON.
func isNumber(raw json.RawMessage) bool {
	return len(raw) > 0 && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9')
}

func (p *problems) lengthRule(at string, r Rule) {
	if r.MinLength == nil && r.MaxLength == nil {
		p.add(at+"/minLength", "rule_bound", nil)
	}
	p.number(at+"/minLength", orDefault(r.MinLength, 0), 0, MaxRuleLength)
	p.number(at+"/maxLength", orDefault(r.MaxLength, MaxRuleLength), max(0, orDefault(r.MinLength, 0)), MaxRuleLength)
}

func (p *problems) attachmentRule(at string, r Rule) {
	p.needed(at+"/attachment", r.Attachment, MaxFileName)
	if r.Attachment != nil {
		if _, err := path.Match(*r.Attachment, ""); err != nil {
			p.add(at+"/attachment", "file_pattern", nil)
		}
	}
	p.number(at+"/maxBytes", orDefault(r.MaxBytes, 0), 0, MaxAttachmentBytes)
	if len(r.MediaTypes) > MaxMediaTypes {
		p.add(at+"/mediaTypes", "too_many", map[string]any{"Max": MaxMediaTypes})
	}
	for i, m := range r.MediaTypes {
		p.text(at+"/mediaTypes/"+strconv.Itoa(i), m, 1, 120)
	}
	p.hash(at+"/sha256", r.SHA256, false)
}

func (p *problems) hiddenRule(at string, r Rule) {
	switch {
	case r.Commitment == nil:
		p.add(at+"/commitment", "required", nil)
	case !strings.HasPrefix(*r.Commitment, commitmentStart) || !ValidSHA256(strings.TrimPrefix(*r.Commitment, commitmentStart)):
		p.add(at+"/commitment", "commitment", nil)
	}
	if r.Count == nil {
		p.add(at+"/count", "required", nil)
		return
	}
	p.number(at+"/count", *r.Count, 1, MaxVectors)
	if r.MinPass == nil {
		p.add(at+"/minPass", "required", nil)
		return
	}
	p.number(at+"/minPass", *r.MinPass, 1, max(1, *r.Count))
}

// ValidPointer reports whether s is a JSON Pointer (RFC 6901) of at most
// MaxRulePointer bytes.
func ValidPointer(s string) bool {
	if len(s) > MaxRulePointer || !ValidText(s) || s != "" && s[0] != '/' {
		return false
	}
	for i := range len(s) {
		if s[i] == '~' && (i+1 == len(s) || s[i+1] != '0' && s[i+1] != '1') {
			return false
		}
	}
	return true
}
