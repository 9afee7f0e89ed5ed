// Package verify holds the engines that check deliveries: bytes in, report
// out. It knows no database, no HTTP and no clock but its own stopwatch.
//
// The engines can be made to panic, to loop or to eat the machine by hostile
// input, so servers run them in child processes: see package pool.
package verify

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits bound a JSON document.
type Limits struct {
	Bytes int
	Depth int
	Nodes int
}

// The limits of what accounts send.
var (
	OutputLimits  = Limits{Bytes: 256 << 10, Depth: 32, Nodes: 20_000}
	PayloadLimits = Limits{Bytes: 256 << 10, Depth: 32, Nodes: 20_000}
	SchemaLimits  = Limits{Bytes: 64 << 10, Depth: 32, Nodes: 2_000}
)

// Numbers longer or larger than this break big-number arithmetic.
const (
	maxNumberChars = 64
	maxExponent    = 308
)

// Problem is one reason why a document is refused.
type Problem struct {
	// Pointer is an RFC 6901 JSON Pointer into the document.
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

// CheckJSON reports the first reason why raw is not one JSON value within the
// limits, or nil: invalid UTF-8 and duplicate names are refused too, since
// readers differ in what they make of them. Objects, arrays, names and plain
// values each count as a node.
func CheckJSON(raw []byte, limits Limits) *Problem {
	if len(raw) > limits.Bytes {
		return &Problem{Detail: "The document is " + strconv.Itoa(len(raw)) + " bytes long; the limit is " + strconv.Itoa(limits.Bytes) + "."}
	}
	d := jsontext.NewDecoder(bytes.NewReader(raw))
	values := 0 // finished at the top level
	for nodes := 0; ; {
		token, err := d.ReadToken()
		if errors.Is(err, io.EOF) && values == 1 {
			return nil
		}
		if err != nil {
			return syntaxProblem(d, err)
		}
		if d.StackDepth() == 0 {
			if values++; values > 1 {
				return &Problem{Detail: "There is more than one JSON value."}
			}
		}
		if p := tokenProblem(d, token, limits); p != nil {
			return p
		}
		if token.Kind() == '}' || token.Kind() == ']' {
			continue
		}
		if nodes++; nodes > limits.Nodes {
			return &Problem{Pointer: string(d.StackPointer()), Detail: "The document has too many values; the limit is " + strconv.Itoa(limits.Nodes) + "."}
		}
	}
}

func tokenProblem(d *jsontext.Decoder, token jsontext.Token, limits Limits) *Problem {
	if d.StackDepth() > limits.Depth {
		return &Problem{Pointer: string(d.StackPointer()), Detail: "The document is nested deeper than " + strconv.Itoa(limits.Depth) + " levels."}
	}
	if token.Kind() == '0' && hugeNumber(token.String()) {
		return &Problem{Pointer: string(d.StackPointer()), Detail: "The number is longer than 64 characters or its exponent is over 308."}
	}
	return nil
}

func syntaxProblem(d *jsontext.Decoder, err error) *Problem {
	p := &Problem{Pointer: string(d.StackPointer()), Detail: "This is not valid JSON."}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		p.Pointer = string(syntactic.JSONPointer)
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		p.Detail = "The object has the same member twice."
	}
	return p
}

func hugeNumber(s string) bool {
	if len(s) > maxNumberChars {
		return true
	}
	i := strings.IndexAny(s, "eE")
	if i < 0 {
		return false
	}
	n, err := strconv.Atoi(strings.TrimPrefix(s[i+1:], "+"))
	return err != nil || n > maxExponent || n < -maxExponent
}
