package verify

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// maxErrors bounds how much of the library's error tree is read; a schema can
// make it very large.
const maxErrors = 20_000

// violation is one place of a document that does not match.
type violation struct {
	at     []string
	detail string
}

// violations returns where doc does not match and why, in the order of the
// places, at most maxChecks. They never repeat values of doc.
func violations(err *jsonschema.ValidationError, doc any) []Problem {
	c := collector{doc: doc, left: maxErrors}
	c.collect(err, "")
	if len(c.found) == 0 { // An error without a place is one all the same.
		c.add(nil, "", explain(err))
	}
	slices.SortFunc(c.found, func(a, b violation) int {
		return cmp.Or(slices.CompareFunc(a.at, b.at, compareTokens), strings.Compare(a.detail, b.detail))
	})
	problems := make([]Problem, len(c.found))
	for i, v := range c.found {
		problems[i] = Problem{Pointer: pointer(v.at), Detail: clip(v.detail, maxDetail)}
	}
	problems = slices.Compact(problems)
	if rest := len(problems) - maxChecks + 1; rest > 1 {
		problems = problems[:maxChecks]
		problems[maxChecks-1] = Problem{Detail: fmt.Sprintf("%d more violations are not listed.", rest)}
	}
	return problems
}

// compareTokens orders array indexes as numbers.
func compareTokens(a, b string) int {
	i, errA := strconv.Atoi(a)
	j, errB := strconv.Atoi(b)
	if errA == nil && errB == nil {
		return cmp.Or(cmp.Compare(i, j), strings.Compare(a, b))
	}
	return strings.Compare(a, b)
}

type collector struct {
	doc   any
	left  int
	found []violation
}

// collect goes down to the errors that say something: those under allOf,
// references and groups, and under each alternative.
func (c *collector) collect(err *jsonschema.ValidationError, within string) {
	if c.left--; c.left < 0 {
		return
	}
	switch k := err.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		for _, cause := range err.Causes {
			c.collect(cause, within)
		}
	case *kind.AnyOf:
		c.collectAlternatives(err, within, "anyOf")
	case *kind.OneOf:
		if len(k.Subschemas) == 2 {
			c.add(err.InstanceLocation, within, explain(err))
			return
		}
		c.collectAlternatives(err, within, "oneOf")
	case *kind.PropertyNames:
		c.add(c.holder(len(err.InstanceLocation), k.Property), within, explain(err))
	default:
		c.add(err.InstanceLocation, within, explain(err))
	}
}

func (c *collector) collectAlternatives(err *jsonschema.ValidationError, within, keyword string) {
	for i, cause := range err.Causes {
		c.collect(cause, fmt.Sprintf("%sAlternative %d of %s: ", within, i+1, keyword))
	}
}

func (c *collector) add(at []string, within, detail string) {
	c.found = append(c.found, violation{at: at, detail: within + detail})
}

// holder finds the object at a depth that has a member of this name. The
// library's location of a propertyNames error cannot be used: only its length
// is right, its tokens are overwritten by later siblings. When several
// objects have such a member, the result is their nearest common container.
func (c *collector) holder(depth int, name string) []string {
	var common []string
	isFirst := true
	walkContainers(c.doc, nil, depth, func(v any, at []string) {
		object, ok := v.(map[string]any)
		if !ok {
			return
		}
		if _, ok := object[name]; !ok {
			return
		}
		if isFirst {
			common, isFirst = slices.Clone(at), false
			return
		}
		n := 0
		for n < len(common) && common[n] == at[n] {
			n++
		}
		common = common[:n]
	})
	return common
}

// walkContainers calls visit with every value that lies exactly depth levels
// down. The path is only valid during the call.
func walkContainers(v any, at []string, depth int, visit func(v any, at []string)) {
	if len(at) == depth {
		visit(v, at)
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			walkContainers(member, append(at, name), depth, visit)
		}
	case []any:
		for i, item := range v {
			walkContainers(item, append(at, strconv.Itoa(i)), depth, visit)
		}
	}
}
