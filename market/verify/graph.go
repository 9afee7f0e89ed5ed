package verify

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	dialect = "https://json-schema.org/draft/2020-12/schema"
	// maxExpansion is how many schemas there may be when every reference is
	// written out. A reference that leads back to where it is counts once.
	maxExpansion = 10_000
	// maxCount bounds keywords such as maxLength; the library wraps larger
	// numbers around.
	maxCount = 1 << 53
)

// form is how the value of a keyword holds schemas.
type form int

const (
	oneSchema form = iota
	listOfSchemas
	mapOfSchemas
)

// reach is what the schemas under a keyword apply to.
type reach int

const (
	inPlace reach = iota // the same value
	below                // a part of the value
	unused               // nothing, until a reference leads there
)

// applicators are the keywords of 2020-12 whose values hold schemas, and the
// two that the library still takes from older drafts.
var applicators = map[string]struct {
	form
	reach
}{
	"allOf":                 {listOfSchemas, inPlace},
	"anyOf":                 {listOfSchemas, inPlace},
	"oneOf":                 {listOfSchemas, inPlace},
	"not":                   {oneSchema, inPlace},
	"if":                    {oneSchema, inPlace},
	"then":                  {oneSchema, inPlace},
	"else":                  {oneSchema, inPlace},
	"dependentSchemas":      {mapOfSchemas, inPlace},
	"dependencies":          {mapOfSchemas, inPlace},
	"properties":            {mapOfSchemas, below},
	"patternProperties":     {mapOfSchemas, below},
	"additionalProperties":  {oneSchema, below},
	"propertyNames":         {oneSchema, below},
	"items":                 {oneSchema, below},
	"prefixItems":           {listOfSchemas, below},
	"contains":              {oneSchema, below},
	"unevaluatedItems":      {oneSchema, below},
	"unevaluatedProperties": {oneSchema, below},
	"contentSchema":         {oneSchema, unused},
	"$defs":                 {mapOfSchemas, unused},
	"definitions":           {mapOfSchemas, unused},
}

var counts = []string{
	"minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains", "minProperties", "maxProperties",
}

// schemaNode is one schema of the document.
type schemaNode struct {
	pointer string
	inPlace []*schemaNode
	below   []*schemaNode
}

// schemaGraph is what there is to know of a schema before it is compiled:
// its subschemas and references, never what lies in const, enum, default or
// examples.
type schemaGraph struct {
	root         *schemaNode
	nodes        map[string]*schemaNode // by pointer
	order        []*schemaNode          // from the root down
	anchors      map[string]*schemaNode
	references   []reference
	instructions int // of all patterns
	problems     []Problem
}

type reference struct {
	from     *schemaNode
	keyword  string
	fragment string
}

// readSchema reads a decoded schema and collects every reason to refuse it.
// What the schema of schemas will find wrong anyway is passed over.
func readSchema(doc any) *schemaGraph {
	g := &schemaGraph{nodes: map[string]*schemaNode{}, anchors: map[string]*schemaNode{}}
	if g.root = g.read("", doc); g.root == nil {
		g.refuse("", "The schema must be an object or a boolean.")
		return g
	}
	if g.instructions > maxSchemaPrograms {
		g.refuse("", "The patterns compile to %d instructions in all; at most %d are allowed.", g.instructions, maxSchemaPrograms)
	}
	for _, r := range g.references {
		g.resolve(r)
	}
	g.refuseLoops()
	if expansion(g.root, map[*schemaNode]int{}) > maxExpansion {
		g.refuse("", "The schema is longer than %d schemas when its references are written out.", maxExpansion)
	}
	return g
}

func (g *schemaGraph) refuse(pointer, format string, args ...any) {
	g.problems = append(g.problems, Problem{Pointer: fit(pointer), Detail: clip(fmt.Sprintf(format, args...), maxDetail)})
}

// read returns the node of a schema, nil if v is none.
func (g *schemaGraph) read(at string, v any) *schemaNode {
	object, isObject := v.(map[string]any)
	if _, isBool := v.(bool); !isBool && !isObject {
		return nil
	}
	n := &schemaNode{pointer: at}
	g.nodes[at] = n
	g.order = append(g.order, n)
	g.readIdentity(n, object)
	g.readValues(n, object)
	for _, keyword := range slices.Sorted(maps.Keys(object)) {
		a, ok := applicators[keyword]
		if !ok {
			continue
		}
		children := g.readChildren(at+"/"+keyword, object[keyword], a.form)
		switch a.reach {
		case inPlace:
			n.inPlace = append(n.inPlace, children...)
		case below:
			n.below = append(n.below, children...)
		}
	}
	return n
}

func (g *schemaGraph) readChildren(at string, value any, f form) []*schemaNode {
	var nodes []*schemaNode
	add := func(at string, v any) {
		if n := g.read(at, v); n != nil {
			nodes = append(nodes, n)
		}
	}
	if f == oneSchema {
		add(at, value)
		return nodes
	}
	switch value := value.(type) {
	case []any:
		if f == listOfSchemas {
			for i, v := range value {
				add(at+"/"+strconv.Itoa(i), v)
			}
		}
	case map[string]any:
		if f == mapOfSchemas {
			for _, name := range slices.Sorted(maps.Keys(value)) {
				add(at+"/"+escapeToken(name), value[name])
			}
		}
	}
	return nodes
}

// readIdentity reads the keywords that name schemas and refer to them.
func (g *schemaGraph) readIdentity(n *schemaNode, object map[string]any) {
	if v, ok := object["$schema"]; ok && v != dialect {
		g.refuse(n.pointer+"/$schema", "$schema must be absent or %s.", dialect)
	}
	if v, ok := object["$id"]; ok {
		if n.pointer != "" {
			g.refuse(n.pointer+"/$id", "$id may stand at the root only, because references stay within the schema.")
		} else if id, isString := v.(string); !isString || strings.Contains(strings.TrimSuffix(id, "#"), "#") {
			g.refuse("/$id", "$id must be a URI without a fragment.")
		}
	}
	for _, keyword := range []string{"$anchor", "$dynamicAnchor"} {
		if name, ok := object[keyword].(string); ok {
			if other := g.anchors[name]; other != nil && other != n {
				g.refuse(n.pointer+"/"+keyword, "Two schemas have this anchor.")
			}
			g.anchors[name] = n
		}
	}
	for _, keyword := range []string{"$ref", "$dynamicRef"} {
		if text, ok := object[keyword].(string); ok {
			g.readReference(n, keyword, text)
		}
	}
	for _, keyword := range []string{"$recursiveRef", "$recursiveAnchor"} {
		if _, ok := object[keyword]; ok {
			g.refuse(n.pointer+"/"+keyword, "%s is not part of JSON Schema 2020-12.", keyword)
		}
	}
}

func (g *schemaGraph) readReference(n *schemaNode, keyword, text string) {
	fragment, isLocal := strings.CutPrefix(text, "#")
	if !isLocal {
		g.refuse(n.pointer+"/"+keyword, "%s must begin with # and stay within the schema; nothing is loaded.", keyword)
		return
	}
	g.references = append(g.references, reference{n, keyword, fragment})
}

// readValues reads the keywords whose values could be too large.
func (g *schemaGraph) readValues(n *schemaNode, object map[string]any) {
	if pattern, ok := object["pattern"].(string); ok {
		g.readPattern(n.pointer+"/pattern", pattern)
	}
	if members, ok := object["patternProperties"].(map[string]any); ok {
		for pattern := range members {
			g.readPattern(n.pointer+"/patternProperties/"+escapeToken(pattern), pattern)
		}
	}
	for _, keyword := range counts {
		if number, ok := object[keyword].(json.Number); ok {
			if f, err := number.Float64(); err != nil || f > maxCount {
				g.refuse(n.pointer+"/"+keyword, "%s is too large.", keyword)
			}
		}
	}
}

func (g *schemaGraph) readPattern(at, pattern string) {
	size, refusal := programSize(pattern)
	if refusal != "" {
		g.refuse(at, "%s", refusal)
	}
	g.instructions += size
}

// resolve makes a reference an edge. It may only lead to where a schema
// stands: anywhere else it would turn data into schemas that nobody read.
func (g *schemaGraph) resolve(r reference) {
	fragment, err := url.PathUnescape(r.fragment)
	target := g.anchors[fragment]
	if fragment == "" || strings.HasPrefix(fragment, "/") {
		target = g.nodes[fragment]
	}
	if err != nil || target == nil {
		g.refuse(r.from.pointer+"/"+r.keyword, "%s leads to no schema of this document; keep shared schemas under $defs.", r.keyword)
		return
	}
	r.from.inPlace = append(r.from.inPlace, target)
}

// refuseLoops refuses schemas that apply themselves to the same value for
// ever. Going into the value, as trees do, is fine.
func (g *schemaGraph) refuseLoops() {
	done := map[*schemaNode]bool{} // false while on the way
	var visit func(n *schemaNode)
	visit = func(n *schemaNode) {
		finished, seen := done[n]
		if seen {
			if !finished {
				g.refuse(n.pointer, "The schema applies itself to the same value without end.")
			}
			return
		}
		done[n] = false
		for _, next := range n.inPlace {
			visit(next)
		}
		done[n] = true
	}
	for _, n := range g.order {
		visit(n)
	}
}

// expansion counts the schemas from n on with references written out, and
// stops counting a little above maxExpansion.
func expansion(n *schemaNode, known map[*schemaNode]int) int {
	if size, ok := known[n]; ok {
		return size
	}
	known[n] = 1 // for references that lead back here
	size := 1
	for _, next := range n.inPlace {
		size = min(size+expansion(next, known), maxExpansion+1)
	}
	for _, next := range n.below {
		size = min(size+expansion(next, known), maxExpansion+1)
	}
	known[n] = size
	return size
}

// weight estimates the memory of the compiled schema in bytes.
func (g *schemaGraph) weight() int { return len(g.nodes)*2048 + g.instructions*128 }
