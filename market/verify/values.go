package verify

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"guildhall/market"
)

// The rules on one value of the output: equals, sha256, regex, range, length.

// lookUp follows a JSON Pointer through decoded JSON.
func lookUp(doc any, pointer string) (any, bool) {
	if pointer == "" {
		return doc, true
	}
	for _, token := range strings.Split(pointer, "/")[1:] {
		switch v := doc.(type) {
		case map[string]any:
			member, ok := v[unescapeToken(token)]
			if !ok {
				return nil, false
			}
			doc = member
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(v) || token != strconv.Itoa(i) {
				return nil, false
			}
			doc = v[i]
		default:
			return nil, false
		}
	}
	return doc, true
}

var pointerUnescapes = strings.NewReplacer("~1", "/", "~0", "~")

func unescapeToken(token string) string {
	if !strings.Contains(token, "~") {
		return token
	}
	return pointerUnescapes.Replace(token)
}

// onValue makes the check of a rule on the value at its pointer. test returns
// what is wrong with the value, "" if nothing is.
func onValue(r market.Rule, passed string, test func(v any) string) func(*subject) finding {
	at := r.At()
	return func(s *subject) finding {
		v, ok := lookUp(s.output, at)
		if !ok {
			return fail(at, "There is no value at this place.")
		}
		if wrong := test(v); wrong != "" {
			return fail(at, wrong)
		}
		return finding{verdict: market.VerdictPass, detail: passed, pointer: at}
	}
}

// typeOf names a decoded value's type as JSON Schema does.
func typeOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case json.Number:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "object"
}

func compileEquals(r market.Rule) (func(*subject) finding, int, []Problem) {
	want, err := decode(r.Equals)
	if err != nil {
		return nil, 0, []Problem{{Pointer: "/equals", Detail: "The value cannot be decoded."}}
	}
	differs := fmt.Sprintf("equals: expected %s.", literal(want))
	return onValue(r, "The value equals the expected one.", func(v any) string {
		if equal(v, want) {
			return ""
		}
		return differs
	}), 4 * len(r.Equals), nil
}

// equal compares decoded JSON as JSON Schema does: numbers by value, arrays in
// order, objects without.
func equal(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		return ok && sameNumber(a, b)
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !equal(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name, member := range a {
			other, ok := b[name]
			if !ok || !equal(member, other) {
				return false
			}
		}
		return true
	}
	return a == b
}

func sameNumber(a, b json.Number) bool {
	if a == b {
		return true
	}
	x, okX := rational(a)
	y, okY := rational(b)
	return okX && okY && x.Cmp(y) == 0
}

// rational is a guarded number, whose size the guard bounds.
func rational(n json.Number) (*big.Rat, bool) { return new(big.Rat).SetString(n.String()) }

func compileSHA256(r market.Rule) (func(*subject) finding, int, []Problem) {
	want := given(r.SHA256)
	return onValue(r, "The value has the expected SHA-256.", func(v any) string {
		got, err := hashValue(v)
		if err != nil || got != want {
			return "sha256: the value has another SHA-256 than " + quote(want[:min(len(want), 16)]+"…") + "."
		}
		return ""
	}), 0, nil
}

// hashValue is the SHA-256 of a string's bytes, of anything else's canonical
// JSON text.
func hashValue(v any) (string, error) {
	text, isString := v.(string)
	raw := []byte(text)
	if !isString {
		var err error
		if raw, err = canonical(v); err != nil {
			return "", err
		}
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}

// canonical is a value's canonicalText.
func canonical(v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return canonicalText(raw)
}

func compileRegex(r market.Rule) (func(*subject) finding, int, []Problem) {
	pattern := given(r.Pattern)
	size, refusal := programSize(pattern)
	if refusal != "" {
		return nil, 0, []Problem{{Pointer: "/pattern", Detail: refusal}}
	}
	compiled, err := regexp.Compile(pattern)
	if err != nil {
		return nil, 0, []Problem{{Pointer: "/pattern", Detail: explainPattern(err)}}
	}
	expected := fmt.Sprintf("regex: expected a match of %s.", strconv.Quote(clip(pattern, maxDetail-40)))
	return onValue(r, "The value matches the pattern.", func(v any) string {
		text, isString := v.(string)
		switch {
		case !isString:
			return fmt.Sprintf("regex: expected a string, found %s.", typeOf(v))
		case !compiled.MatchString(text):
			return expected
		}
		return ""
	}), size * 128, nil
}

func compileRange(r market.Rule) (func(*subject) finding, int, []Problem) {
	low, okLow := bound(r.Min)
	high, okHigh := bound(r.Max)
	switch {
	case !okLow:
		return nil, 0, []Problem{{Pointer: "/min", Detail: "The bound is not a number."}}
	case !okHigh:
		return nil, 0, []Problem{{Pointer: "/max", Detail: "The bound is not a number."}}
	case low != nil && high != nil && low.Cmp(high) > 0:
		return nil, 0, []Problem{{Pointer: "/max", Detail: "max is less than min, so nothing can pass."}}
	}
	return onValue(r, "The number is in the range.", func(v any) string {
		n, isNumber := v.(json.Number)
		if !isNumber {
			return fmt.Sprintf("range: expected a number, found %s.", typeOf(v))
		}
		x, ok := rational(n)
		switch {
		case !ok:
			return "range: expected a number."
		case low != nil && x.Cmp(low) < 0:
			return fmt.Sprintf("range: expected at least %s.", decimal(low))
		case high != nil && x.Cmp(high) > 0:
			return fmt.Sprintf("range: expected at most %s.", decimal(high))
		}
		return ""
	}), 0, nil
}

// bound reads a bound of a range, nil if there is none.
func bound(raw json.RawMessage) (*big.Rat, bool) {
	if raw == nil {
		return nil, true
	}
	v, err := decode(raw)
	if err != nil {
		return nil, false
	}
	n, isNumber := v.(json.Number)
	if !isNumber {
		return nil, false
	}
	return rational(n)
}

func compileLength(r market.Rule) (func(*subject) finding, int, []Problem) {
	return onValue(r, "The length is within the bounds.", func(v any) string {
		var n int
		var unit string
		switch v := v.(type) {
		case string:
			n, unit = utf8.RuneCountInString(v), "characters"
		case []any:
			n, unit = len(v), "items"
		case map[string]any:
			n, unit = len(v), "members"
		default:
			return fmt.Sprintf("length: expected a string, an array or an object, found %s.", typeOf(v))
		}
		switch {
		case r.MinLength != nil && int64(n) < *r.MinLength:
			return fmt.Sprintf("length: expected at least %d %s, found %d.", *r.MinLength, unit, n)
		case r.MaxLength != nil && int64(n) > *r.MaxLength:
			return fmt.Sprintf("length: expected at most %d %s, found %d.", *r.MaxLength, unit, n)
		}
		return ""
	}), 0, nil
}
