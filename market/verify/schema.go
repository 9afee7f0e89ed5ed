package verify

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp/syntax"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// The dialect of output schemas, and limits that keep compiling cheap.
const (
	dialect        = "https://json-schema.org/draft/2020-12/schema"
	schemaURL      = "urn:guildhall:schema"
	maxPattern     = 256
	maxProgram     = 2_000
	maxExpansion   = 10_000
	maxErrors      = 20
	maxDetail      = 300
	cachedSchemas  = 256
	tooManyDetails = "The schema expands to more than 10,000 subschemas through its references."
)

// AdmitSchema lists why the schema cannot be used; none means it can. Only
// local references are allowed, so a schema never reads a file or the network.
func AdmitSchema(schema []byte) []Problem {
	if p := CheckJSON(schema, SchemaLimits); p != nil {
		return []Problem{*p}
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return []Problem{{Detail: "This is not valid JSON."}}
	}
	a := admission{root: doc, costs: map[string]int{}}
	a.walk(doc, "")
	if len(a.problems) == 0 && a.cost(doc, "") > maxExpansion {
		a.refuse("", tooManyDetails)
	}
	if len(a.problems) > 0 {
		return a.problems
	}
	if _, err := compile(schema); err != nil {
		return []Problem{compileProblem(err)}
	}
	return nil
}

// compileProblem points at the place in the schema when the compiler names it.
func compileProblem(err error) Problem {
	var invalid *jsonschema.SchemaValidationError
	if errors.As(err, &invalid) {
		var v *jsonschema.ValidationError
		if errors.As(invalid.Err, &v) {
			leaf := v
			for len(leaf.Causes) > 0 {
				leaf = leaf.Causes[0]
			}
			return Problem{Pointer: pointer(leaf.InstanceLocation), Detail: describe(leaf)}
		}
	}
	return Problem{Detail: clip("The schema does not compile: " + err.Error())}
}

type admission struct {
	root     any
	problems []Problem
	costs    map[string]int // of reference targets; 0 while being counted
}

func (a *admission) refuse(at, detail string) {
	if len(a.problems) < maxErrors {
		a.problems = append(a.problems, Problem{Pointer: at, Detail: clip(detail)})
	}
}

// walk checks every object of the document for what the engine must not see.
// Members of enum, const, default and examples are data, not schema.
func (a *admission) walk(node any, at string) {
	switch v := node.(type) {
	case map[string]any:
		for name, child := range v {
			here := at + "/" + escape(name)
			a.keyword(name, child, at, here)
			if name != "enum" && name != "const" && name != "default" && name != "examples" {
				a.walk(child, here)
			}
		}
	case []any:
		for i, child := range v {
			a.walk(child, at+"/"+strconv.Itoa(i))
		}
	}
}

func (a *admission) keyword(name string, value any, at, here string) {
	s, isText := value.(string)
	switch {
	case name == "$schema" && isText && s != dialect && s != dialect+"#":
		a.refuse(here, "Only JSON Schema 2020-12 is supported: leave $schema out or set it to "+dialect+".")
	case (name == "$ref" || name == "$dynamicRef") && isText && !strings.HasPrefix(s, "#"):
		a.refuse(here, "Only references inside the schema (#…) are allowed.")
	case name == "$id" && isText && at != "":
		a.refuse(here, "$id is only allowed at the top of the schema.")
	case name == "pattern" && isText:
		a.pattern(s, here)
	case name == "patternProperties":
		if m, ok := value.(map[string]any); ok {
			for p := range m {
				a.pattern(p, here+"/"+escape(p))
			}
		}
	}
}

func (a *admission) pattern(p, here string) {
	if len(p) > maxPattern {
		a.refuse(here, "A pattern may have at most 256 characters.")
		return
	}
	re, err := syntax.Parse(p, syntax.Perl)
	if err != nil {
		a.refuse(here, "The pattern is not valid RE2 (there is no lookahead and no backreference): "+err.Error())
		return
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil || len(prog.Inst) > maxProgram {
		a.refuse(here, "The pattern is too large when compiled.")
	}
}

// cost counts the subschemas that references unfold to, as far as a static
// count can see; recursion counts once.
func (a *admission) cost(node any, at string) int {
	total := 1
	switch v := node.(type) {
	case map[string]any:
		for name, child := range v {
			if ref, ok := child.(string); ok && name == "$ref" {
				total += a.refCost(ref)
			} else if name != "$defs" || at != "" {
				total += a.cost(child, at+"/"+name)
			}
			if total > maxExpansion {
				return maxExpansion + 1
			}
		}
	case []any:
		for _, child := range v {
			if total += a.cost(child, at+"/"); total > maxExpansion {
				return maxExpansion + 1
			}
		}
	}
	return total
}

func (a *admission) refCost(ref string) int {
	if c, ok := a.costs[ref]; ok {
		return c
	}
	a.costs[ref] = 0
	node := a.root
	for _, part := range strings.Split(strings.TrimPrefix(ref, "#"), "/")[1:] {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		switch v := node.(type) {
		case map[string]any:
			node = v[part]
		case []any:
			if i, err := strconv.Atoi(part); err == nil && i >= 0 && i < len(v) {
				node = v[i]
			}
		}
	}
	c := a.cost(node, ref)
	a.costs[ref] = c
	return c
}

// noLoader refuses to read any other document.
type noLoader struct{}

func (noLoader) Load(string) (any, error) {
	return nil, errors.New("references to other documents are not allowed")
}

var cache = struct {
	sync.Mutex
	byHash map[[32]byte]*jsonschema.Schema
}{byHash: map[[32]byte]*jsonschema.Schema{}}

// compile returns the compiled schema, from the cache when it is there.
func compile(schema []byte) (*jsonschema.Schema, error) {
	sum := sha256.Sum256(schema)
	cache.Lock()
	defer cache.Unlock()
	if s := cache.byHash[sum]; s != nil {
		return s, nil
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(noLoader{})
	c.AssertFormat()
	if err := c.AddResource(schemaURL, doc); err != nil {
		return nil, err
	}
	s, err := c.Compile(schemaURL)
	if err != nil {
		return nil, err
	}
	if len(cache.byHash) >= cachedSchemas {
		clear(cache.byHash) // rare, and cheaper than keeping an order
	}
	cache.byHash[sum] = s
	return s, nil
}

func pointer(parts []string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("/" + escape(p))
	}
	return b.String()
}

func escape(s string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(s) }

func clip(s string) string {
	if r := []rune(s); len(r) > maxDetail {
		return string(r[:maxDetail-1]) + "…"
	}
	return s
}

func describe(e *jsonschema.ValidationError) string {
	path := e.ErrorKind.KeywordPath()
	if len(path) == 0 {
		return "The schema allows nothing here."
	}
	return clip(fmt.Sprintf("Does not satisfy %s: %s.", path[len(path)-1], expectation(e.ErrorKind)))
}
