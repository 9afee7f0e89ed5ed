package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"
	"cel.dev/cel-go/interpreter"

	"guildhall/market"
)

// Limits of expressions. The cost is what CEL counts while it evaluates, about
// a step each. What it does not count, such as joining strings of the output,
// only the child's memory bounds.
const (
	maxExpressionNodes = 2_000
	maxExpressionDepth = 64
	maxComprehensions  = 2 // within one another
	maxExpressionCost  = 1_000_000
)

// environment is what every expression may use: payload, output, attachments,
// the standard library and ext.Math. Nothing in it tells the time, so that a
// verdict can be reproduced. It is made once; programs share it.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("payload", cel.DynType),
		cel.Variable("output", cel.DynType),
		cel.Variable("attachments", cel.ListType(cel.MapType(cel.StringType, cel.DynType))),
		ext.Math(),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(market.MaxExpression),
		cel.ParserRecursionLimit(maxExpressionDepth),
		cel.ExpressionNestingDepthLimit(maxExpressionDepth),
		cel.ExpressionNodeLimit(maxExpressionNodes),
		cel.RegexProgramSizeLimit(maxPatternProgram),
		cel.ASTValidators(cel.ValidateComprehensionNestingLimit(maxComprehensions)),
	)
})

func compileCEL(r market.Rule) (func(*subject) finding, int, []Problem) {
	expression := given(r.Expression)
	refuse := func(detail string) (func(*subject) finding, int, []Problem) {
		return nil, 0, []Problem{{Pointer: "/expression", Detail: clip(detail, maxDetail)}}
	}
	env, err := environment()
	if err != nil {
		return refuse("The engine has no expressions.")
	}
	parsed, issues := env.Compile(expression)
	if issues.Err() != nil {
		return refuse(explainIssues(issues))
	}
	if got := parsed.OutputType(); !got.IsExactType(cel.BoolType) {
		return refuse(fmt.Sprintf("The expression must give a bool, not %s; compare with == to get one.", visible(got.String())))
	}
	tree := parsed.NativeRep()
	instructions, refusal := readCalls(tree)
	if refusal != "" {
		return refuse(refusal)
	}
	program, err := env.Program(parsed, cel.CostLimit(maxExpressionCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return refuse("The expression cannot be planned.")
	}
	e := celRule{program: program, tree: tree, source: expression}
	return e.check, 4<<10 + len(expression)*192 + instructions*128, nil
}

// readCalls says which call of an expression is not offered, "" if all are, and
// counts the instructions of its patterns.
func readCalls(tree *ast.AST) (instructions int, refusal string) {
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || refusal != "" {
			return
		}
		switch call := e.AsCall(); {
		case call.FunctionName() == "matches":
			var size int
			size, refusal = readPattern(call.Args())
			instructions += size
		case call.IsMemberFunction() && strings.HasPrefix(call.FunctionName(), "get") && len(call.Args()) > 0:
			refusal = "Time zones are not offered: " + call.FunctionName() + "() speaks of UTC."
		}
	}))
	return instructions, refusal
}

// readPattern refuses patterns that come from the output: compiling them takes
// memory that nothing counts.
func readPattern(args []ast.Expr) (size int, refusal string) {
	if len(args) > 0 && args[len(args)-1].Kind() == ast.LiteralKind {
		if pattern, isString := args[len(args)-1].AsLiteral().Value().(string); isString {
			return programSize(pattern)
		}
	}
	return 0, "The pattern of matches() must be written out as a string."
}

// explainIssues says what is wrong with an expression first, and where.
func explainIssues(issues *cel.Issues) string {
	errs := issues.Errors()
	if len(errs) == 0 {
		return "The expression cannot be compiled."
	}
	first := errs[0]
	message := visible(strings.TrimSuffix(first.Message, "."))
	if first.Location.Line() < 1 {
		return "The expression cannot be compiled: " + message + "."
	}
	return fmt.Sprintf("At line %d, character %d: %s.", first.Location.Line(), first.Location.Column()+1, message)
}

// visible takes away what could hide or reorder other characters.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

// celRule is a compiled expression.
type celRule struct {
	program cel.Program
	tree    *ast.AST
	source  string
}

func (e celRule) check(s *subject) finding {
	if s.variables == nil {
		variables, err := celVariables(s)
		if err != nil {
			return unclear("The payload cannot be decoded.")
		}
		s.variables = variables
	}
	value, _, err := e.program.Eval(s.variables)
	if err != nil {
		return e.failed(err)
	}
	if value == types.True {
		return pass("The expression is true.")
	}
	return fail("", "cel: the expression is false: "+visible(clip(e.source, maxDetail-40)))
}

// failed tells what the output caused, which is a failure, from what the
// engine could not do. Messages of the library repeat values of the output, so
// none of their words are used but those that are the same for every output.
func (e celRule) failed(err error) finding {
	var stopped interpreter.EvalCancelledError
	if errors.As(err, &stopped) {
		return unclear("The expression costs too much on this output and was stopped.")
	}
	var caused *types.Err
	if !errors.As(err, &caused) {
		return unclear("The engine failed while it evaluated the expression.")
	}
	reason := "it does not fit the expression"
	for _, known := range []struct{ part, reason string }{
		{"no such key", "a member is missing"}, {"no such overload", "a value has another type than the expression needs"},
		{"index out of bounds", "an index is out of bounds"}, {"division by zero", "it divides by zero"},
		{"modulus by zero", "it divides by zero"}, {"overflow", "a number is out of range"},
		{"no such attribute", "a member is missing"}, {"unsupported", "a value has another type than the expression needs"},
	} {
		if strings.Contains(caused.Error(), known.part) {
			reason = known.reason
			break
		}
	}
	return fail("", fmt.Sprintf("cel: the expression cannot be evaluated on this output: %s%s.", reason, e.place(caused.NodeID())))
}

// place says where a node of the expression stands.
func (e celRule) place(node int64) string {
	at := e.tree.SourceInfo().GetStartLocation(node)
	if node == 0 || at.Line() < 1 {
		return ""
	}
	return fmt.Sprintf(" (line %d, character %d)", at.Line(), at.Column()+1)
}

func celVariables(s *subject) (map[string]any, error) {
	var payload any
	if len(s.job.Payload) > 0 {
		var err error
		if payload, err = decode(s.job.Payload); err != nil {
			return nil, err
		}
	}
	attachments := make([]any, len(s.job.Attachments))
	for i, a := range s.job.Attachments {
		attachments[i] = map[string]any{"name": a.Name, "mediaType": a.MediaType, "bytes": a.Bytes, "sha256": a.SHA256}
	}
	return map[string]any{"payload": celValue(payload), "output": celValue(s.output), "attachments": attachments}, nil
}

// celValue makes decoded JSON what CEL knows. All numbers are double, as CEL
// has it for JSON: if 2 were int and 2.5 double, a rule that multiplies the two
// would fail some right outputs, for arithmetic does not mix them. Comparisons
// do, so output.n == size(output.l) works.
func celValue(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return types.NewErr("number out of range")
		}
		return f
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = celValue(item)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, member := range v {
			out[name] = celValue(member)
		}
		return out
	}
	return v
}
