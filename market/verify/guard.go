package verify

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits bound one JSON text. Every member must be positive.
type Limits struct {
	// Bytes is the size of the whole text.
	Bytes int
	// Depth is how many arrays and objects may lie within one another.
	Depth int
	// Nodes is the number of values, containers included and names not.
	Nodes int
}

// The limits of the JSON texts that users send.
var (
	OutputLimits  = Limits{Bytes: 256 << 10, Depth: 32, Nodes: 20_000}
	SchemaLimits  = Limits{Bytes: 64 << 10, Depth: 32, Nodes: 2_000}
	PayloadLimits = Limits{Bytes: 256 << 10, Depth: 32, Nodes: 20_000}
	// The rules of a task, and its hidden vectors, are arrays of objects that
	// hold what outputs hold.
	RulesLimits  = Limits{Bytes: 256 << 10, Depth: 34, Nodes: 20_000}
	HiddenLimits = Limits{Bytes: 256 << 10, Depth: 36, Nodes: 20_000}
)

// Limits of every number, which keep exact arithmetic cheap.
const (
	maxNumberLength = 64
	maxExponent     = 308
)

// Problem is one reason why a JSON text or a schema is refused.
type Problem struct {
	// Pointer is an RFC 6901 JSON Pointer to the offender, "" for the whole.
	Pointer string `json:"pointer"`
	// Detail is one English sentence of at most 300 characters.
	Detail string `json:"detail"`
}

// CheckJSON returns why raw is not one acceptable JSON value, nil if it is.
// Beyond RFC 8259 and the limits it refuses what readers disagree about or
// cannot hold: invalid UTF-8, half surrogate pairs, U+0000, an object naming
// a member twice, numbers longer than 64 characters, with an exponent beyond
// ±308 or out of the range of a double. What passes, encoding/json accepts.
// The detail never repeats values.
func CheckJSON(raw []byte, limits Limits) *Problem {
	if len(raw) > limits.Bytes {
		return &Problem{Detail: fmt.Sprintf("The JSON is %d bytes long; at most %d are allowed.", len(raw), limits.Bytes)}
	}
	g := guard{text: string(raw), limits: limits}
	if g.value() {
		if g.space(); g.at < len(g.text) {
			g.refuse("There is something after the JSON value, at byte %d.", g.at+1)
		}
	}
	return g.problem
}

// guard reads a JSON text once, left to right. Its methods return false when
// they have set problem.
type guard struct {
	text    string
	at      int
	limits  Limits
	nodes   int
	path    []step
	keys    []string // of all open objects; each knows where its own begin
	problem *Problem
}

// step is one token of the path to the value being read.
type step struct {
	key     string
	index   int
	isIndex bool
}

func (g *guard) refuse(format string, args ...any) bool {
	tokens := make([]string, len(g.path))
	for i, s := range g.path {
		tokens[i] = s.key
		if s.isIndex {
			tokens[i] = strconv.Itoa(s.index)
		}
	}
	g.problem = &Problem{Pointer: pointer(tokens), Detail: fmt.Sprintf(format, args...)}
	return false
}

func (g *guard) malformed(expected string) bool {
	return g.refuse("The JSON is malformed at byte %d: expected %s.", g.at+1, expected)
}

func (g *guard) space() {
	for g.at < len(g.text) {
		switch g.text[g.at] {
		case ' ', '\t', '\r', '\n':
			g.at++
		default:
			return
		}
	}
}

// next skips white space and returns the byte there, 0 at the end.
func (g *guard) next() byte {
	g.space()
	if g.at == len(g.text) {
		return 0
	}
	return g.text[g.at]
}

func (g *guard) value() bool {
	if g.nodes++; g.nodes > g.limits.Nodes {
		g.path = nil // The text is too large as a whole, not here.
		return g.refuse("The JSON has more than %d values.", g.limits.Nodes)
	}
	switch c := g.next(); {
	case c == '{' || c == '[':
		if len(g.path) >= g.limits.Depth {
			return g.refuse("The JSON is nested deeper than %d levels.", g.limits.Depth)
		}
		g.at++
		if c == '{' {
			return g.object()
		}
		return g.array()
	case c == '"':
		_, ok := g.str()
		return ok
	case c == '-' || isDigit(c):
		return g.number()
	}
	return g.word()
}

func (g *guard) word() bool {
	rest := g.text[g.at:]
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(rest, word) {
			g.at += len(word)
			return true
		}
	}
	for _, word := range [...]string{"NaN", "Infinity"} {
		if strings.HasPrefix(rest, word) {
			return g.refuse("JSON has no %s.", word)
		}
	}
	return g.malformed("a value")
}

func (g *guard) array() bool {
	if g.next() == ']' {
		g.at++
		return true
	}
	here := len(g.path)
	g.path = append(g.path, step{isIndex: true})
	for {
		if !g.value() {
			return false
		}
		switch g.next() {
		case ',':
			g.at++
			g.path[here].index++
		case ']':
			g.at++
			g.path = g.path[:here]
			return true
		default:
			g.path = g.path[:here]
			return g.malformed("a comma or the end of the array")
		}
	}
}

func (g *guard) object() bool {
	if g.next() == '}' {
		g.at++
		return true
	}
	here, members := len(g.path), keySet{first: len(g.keys)}
	for {
		if !g.member(&members) {
			return false
		}
		g.path = g.path[:here]
		switch g.next() {
		case ',':
			g.at++
		case '}':
			g.at++
			g.keys = g.keys[:members.first]
			return true
		default:
			return g.malformed("a comma or the end of the object")
		}
	}
}

// member reads one name and its value, and leaves the path one step longer.
func (g *guard) member(members *keySet) bool {
	if g.next() != '"' {
		return g.malformed("a member name in double quotes")
	}
	key, ok := g.str()
	if !ok {
		return false
	}
	g.path = append(g.path, step{key: key})
	if members.has(g.keys, key) {
		return g.refuse("The object has this member twice.")
	}
	g.keys = append(g.keys, key)
	if g.next() != ':' {
		return g.malformed("a colon")
	}
	g.at++
	return g.value()
}

// keySet knows the names of one open object, from first on in guard.keys. It
// compares one by one while they are few, and then keeps a map.
type keySet struct {
	first int
	seen  map[string]struct{}
}

const fewKeys = 16

// has reports whether key is known. The caller then adds it to keys.
func (s *keySet) has(keys []string, key string) bool {
	own := keys[s.first:]
	if len(own) < fewKeys {
		for _, k := range own {
			if k == key {
				return true
			}
		}
		return false
	}
	if s.seen == nil {
		s.seen = make(map[string]struct{}, 2*len(own))
		for _, k := range own {
			s.seen[k] = struct{}{}
		}
	}
	_, known := s.seen[key]
	s.seen[key] = struct{}{}
	return known
}

// str reads a string at its opening quote and returns it unescaped: a part of
// the text itself, unless there are escapes.
func (g *guard) str() (string, bool) {
	g.at++
	var unescaped []byte // nil until the first escape
	start := g.at
	for g.at < len(g.text) {
		switch c := g.text[g.at]; {
		case c == '"':
			piece := g.text[start:g.at]
			g.at++
			if unescaped == nil {
				return piece, true
			}
			return string(append(unescaped, piece...)), true
		case c == '\\':
			unescaped = append(unescaped, g.text[start:g.at]...)
			r, ok := g.escape()
			if !ok {
				return "", false
			}
			unescaped = utf8.AppendRune(unescaped, r)
			start = g.at
		case c < ' ':
			return "", g.refuse("A string holds an unescaped control character, at byte %d.", g.at+1)
		case c < utf8.RuneSelf:
			g.at++
		default:
			r, size := utf8.DecodeRuneInString(g.text[g.at:])
			if r == utf8.RuneError && size == 1 {
				return "", g.refuse("The JSON is not valid UTF-8, at byte %d.", g.at+1)
			}
			g.at += size
		}
	}
	return "", g.malformed("the end of a string")
}

// escape reads one escape at its backslash, or both of a surrogate pair.
func (g *guard) escape() (rune, bool) {
	g.at++
	if g.at == len(g.text) {
		return 0, g.malformed("the end of a string")
	}
	if i := strings.IndexByte(`"\/bfnrt`, g.text[g.at]); i >= 0 {
		g.at++
		return rune("\"\\/\b\f\n\r\t"[i]), true
	}
	r := g.unicode()
	switch {
	case r < 0:
		return 0, g.malformed("an escape that JSON knows")
	case r == 0:
		return 0, g.refuse("A string holds U+0000, which cannot be stored.")
	case !utf16.IsSurrogate(r):
		return r, true
	}
	if g.skip('\\') {
		if pair := utf16.DecodeRune(r, g.unicode()); pair != utf8.RuneError {
			return pair, true
		}
	}
	return 0, g.refuse("A string holds half a surrogate pair, which is no character.")
}

// unicode reads uXXXX, and returns -1 if it is not there.
func (g *guard) unicode() rune {
	if g.at+5 > len(g.text) || g.text[g.at] != 'u' {
		return -1
	}
	var r rune
	for _, c := range []byte(g.text[g.at+1 : g.at+5]) {
		switch letter := c | 0x20; {
		case isDigit(c):
			r = r<<4 | rune(c-'0')
		case 'a' <= letter && letter <= 'f':
			r = r<<4 | rune(letter-'a'+10)
		default:
			return -1
		}
	}
	g.at += 5
	return r
}

func (g *guard) number() bool {
	start := g.at
	g.skip('-')
	if strings.HasPrefix(g.text[g.at:], "Infinity") {
		return g.refuse("JSON has no Infinity.")
	}
	if !g.skip('0') && !g.digits() || g.skip('.') && !g.digits() {
		return g.malformed("a digit")
	}
	mantissa := g.at
	hasExponent := g.skip('e') || g.skip('E')
	if hasExponent {
		_ = g.skip('+') || g.skip('-')
		if !g.digits() {
			return g.malformed("a digit")
		}
	}
	if g.at-start > maxNumberLength {
		return g.refuse("A number is longer than %d characters.", maxNumberLength)
	}
	return !hasExponent || g.exponent(g.text[start:g.at], g.text[mantissa+1:g.at])
}

// exponent checks a number that has one.
func (g *guard) exponent(number, exponent string) bool {
	e, err := strconv.Atoi(exponent)
	if err != nil || e > maxExponent || e < -maxExponent {
		return g.refuse("A number has an exponent beyond ±%d.", maxExponent)
	}
	if f, _ := strconv.ParseFloat(number, 64); math.IsInf(f, 0) {
		return g.refuse("A number is out of the range of a double.")
	}
	return true
}

func (g *guard) skip(c byte) bool {
	if g.at < len(g.text) && g.text[g.at] == c {
		g.at++
		return true
	}
	return false
}

func (g *guard) digits() bool {
	start := g.at
	for g.at < len(g.text) && isDigit(g.text[g.at]) {
		g.at++
	}
	return g.at > start
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
