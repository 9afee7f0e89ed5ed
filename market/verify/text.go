package verify

import (
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of what a report or a problem says.
const (
	maxDetail  = 300 // characters
	maxPointer = 512 // bytes
	maxChecks  = 20
	maxQuoted  = 60 // characters of one name or value of a schema
	maxListed  = 10
)

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// escapeToken makes a member name a token of a pointer.
func escapeToken(name string) string { return pointerEscapes.Replace(name) }

// pointer joins tokens to an RFC 6901 pointer of bounded length.
func pointer(tokens []string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteByte('/')
		b.WriteString(escapeToken(t))
	}
	return fit(b.String())
}

// fit returns a pointer that is longer than maxPointer as one to its nearest
// container that is not: member names come from users, and reports are stored.
func fit(pointer string) string {
	if len(pointer) <= maxPointer {
		return pointer
	}
	return pointer[:strings.LastIndexByte(pointer[:maxPointer+1], '/')]
}

// clip cuts s to at most limit characters.
func clip(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit-1]) + "…"
}

// quote shows a name or a string of a schema: short, and without characters
// that could hide or reorder others.
func quote(s string) string { return strconv.Quote(clip(s, maxQuoted)) }

// listing shows the first few of items.
func listing(items []string) string {
	rest := len(items) - maxListed
	if rest <= 0 {
		return strings.Join(items, ", ")
	}
	return strings.Join(items[:maxListed], ", ") + " and " + strconv.Itoa(rest) + " more"
}

func quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quote(n)
	}
	return listing(quoted)
}

// literal shows a value of a schema as JSON.
func literal(v any) string {
	if s, ok := v.(string); ok {
		return quote(s)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return "a value"
	}
	text := strconv.Quote(string(raw)) // escapes what could hide or reorder
	return clip(strings.ReplaceAll(text[1:len(text)-1], `\"`, `"`), maxQuoted)
}

func literals(values []any) string {
	shown := make([]string, len(values))
	for i, v := range values {
		if i > maxListed {
			break // listing shows no more; only their number counts
		}
		shown[i] = literal(v)
	}
	return listing(shown)
}

// decimal shows a number of a schema.
func decimal(r *big.Rat) string {
	if r.IsInt() && r.Num().BitLen() < 64 {
		return r.Num().String()
	}
	f, _ := r.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}
