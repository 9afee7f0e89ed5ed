package verify

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Limits of regular expressions. RE2 is linear when it matches; what costs is
// compiling repetitions, which the size of the program measures.
const (
	maxPatternLength  = 256
	maxPatternProgram = 2_000
	// maxSchemaPrograms is for all patterns of one schema together.
	maxSchemaPrograms = 50_000
)

// programSize returns the number of instructions of a pattern, or the sentence
// that says why it is refused.
func programSize(pattern string) (size int, refusal string) {
	if utf8.RuneCountInString(pattern) > maxPatternLength {
		return 0, fmt.Sprintf("The pattern is longer than %d characters.", maxPatternLength)
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0, explainPattern(err)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 0, explainPattern(err)
	}
	if len(program.Inst) > maxPatternProgram {
		return 0, fmt.Sprintf("The pattern repeats too much: it compiles to %d instructions; at most %d are allowed.", len(program.Inst), maxPatternProgram)
	}
	return len(program.Inst), ""
}

func explainPattern(err error) string {
	reason := "it cannot be compiled"
	var bad *syntax.Error
	if errors.As(err, &bad) {
		reason = bad.Code.String() + " " + quote(bad.Expr)
	}
	return "The pattern is not a regular expression that Go's RE2 knows: " + reason + ". RE2 has no lookahead, lookbehind or backreferences."
}

// compilePattern is the library's regular expression engine. The library also
// calls it with strings of outputs, where a schema says format "regex".
func compilePattern(pattern string) (jsonschema.Regexp, error) {
	if _, refusal := programSize(pattern); refusal != "" {
		return nil, errors.New(refusal)
	}
	return regexp.Compile(pattern)
}
