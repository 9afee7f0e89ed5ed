package views

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"guildhall/market"
)

// kindsFor are the kinds that a rule can be changed to, its own among them.
func kindsFor(kind string) []string {
	if slices.Contains(offeredRules, kind) || !slices.Contains(market.RuleKinds(), kind) {
		return offeredRules
	}
	return append(slices.Clone(offeredRules), kind)
}

func wordsID(number int) string { return "rule-words-" + strconv.Itoa(number) }

// inPlace are the attributes of what posts the form to help to write it: with
// scripts the page stays where it is.
func inPlace() templ.Attributes {
	return templ.Attributes{"hx-post": "/tasks/new", "hx-target": "#main", "hx-select": "#main", "hx-swap": "outerHTML", "hx-sync": "closest form:replace"}
}

// liveWords are the attributes of the fields of a rule that a machine checks:
// with scripts its words follow what is typed.
func liveWords(r RuleRow) templ.Attributes {
	if r.Kind == market.RuleManual {
		return nil
	}
	words := "#" + wordsID(r.Number)
	return templ.Attributes{"hx-post": "/tasks/new", "hx-trigger": "change", "hx-vals": `{"words":"1"}`, "hx-encoding": "application/x-www-form-urlencoded",
		"hx-target": words, "hx-select": words, "hx-swap": "outerHTML", "hx-sync": "this:replace"}
}

// ruleWords says what a rule asks, in its publisher's words if there are any.
func ruleWords(ctx context.Context, r market.Rule) string {
	if r.Text != "" {
		return r.Text
	}
	where := T(ctx, "rule.whole")
	if r.Pointer != nil && *r.Pointer != "" {
		where = *r.Pointer
	}
	switch r.Kind {
	case market.RuleCEL:
		return T(ctx, "rule.cel", "Expression", textOr(r.Expression, "…"))
	case market.RuleEquals:
		return T(ctx, "rule.equals", "Where", where, "Value", excerpt(rawOr(r.Equals), 80))
	case market.RuleSHA256:
		return T(ctx, "rule.sha256", "Where", where, "Hash", excerpt(textOr(r.SHA256, "…"), 12))
	case market.RuleRegex:
		return T(ctx, "rule.regex", "Where", where, "Pattern", textOr(r.Pattern, "…"))
	case market.RuleRange:
		return T(ctx, bounds("rule.range", r.Min != nil, r.Max != nil), "Where", where, "Min", rawOr(r.Min), "Max", rawOr(r.Max))
	case market.RuleLength:
		return T(ctx, bounds("rule.length", r.MinLength != nil, r.MaxLength != nil), "Where", where, "Min", numberOr(r.MinLength), "Max", numberOr(r.MaxLength))
	case market.RuleAttachment:
		return attachmentWords(ctx, r)
	case market.RuleHidden:
		return T(ctx, "rule.hidden", "Min", numberOr(r.MinPass), "Count", numberOr(r.Count))
	}
	return T(ctx, "rule.manual")
}

func attachmentWords(ctx context.Context, r market.Rule) string {
	id := "rule.attachment"
	if r.Required != nil && *r.Required {
		id = "rule.attachment_required"
	}
	words := []string{T(ctx, id, "Name", textOr(r.Attachment, "…"))}
	if len(r.MediaTypes) > 0 {
		words = append(words, T(ctx, "rule.attachment_types", "Types", strings.Join(r.MediaTypes, ", ")))
	}
	if r.MaxBytes != nil {
		words = append(words, T(ctx, "rule.attachment_size", "Size", Bytes(*r.MaxBytes)))
	}
	return strings.Join(words, T(ctx, "rule.and"))
}

// bounds chooses the sentence for the bounds that there are.
func bounds(id string, low, high bool) string {
	switch {
	case low && high:
		return id
	case low:
		return id + "_min"
	case high:
		return id + "_max"
	}
	return "rule.unbounded"
}

func textOr(s *string, none string) string {
	if s == nil || *s == "" {
		return none
	}
	return *s
}

func numberOr(n *int64) string {
	if n == nil {
		return "…"
	}
	return Number(*n)
}

func rawOr(raw []byte) string {
	if len(raw) == 0 {
		return "…"
	}
	return string(raw)
}
