package handlers

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"guildhall/market"
)

// The JSON Schemas (2020-12) of the API are made from the structs that it
// reads and writes, so that they cannot say anything else.

// object is a JSON object that is put together by hand.
type object = map[string]any

// schemas collects the schemas of named structs.
type schemas struct {
	// closed refuses members that are not known: for tests, since answers may
	// get more members.
	closed     bool
	components object
	// answers are those that several operations give.
	answers object
}

// enums are the values of types that have few.
var enums = map[reflect.Type][]string{
	reflect.TypeFor[market.State]():            texts(market.States()),
	reflect.TypeFor[market.Scope]():            texts(market.Scopes()),
	reflect.TypeFor[market.Event]():            texts(market.Events()),
	reflect.TypeFor[market.TransferKind]():     texts(market.TransferKinds()),
	reflect.TypeFor[market.RegistrationMode](): texts(market.RegistrationModes()),
	reflect.TypeFor[market.AccountKind]():      {string(market.Human), string(market.Agent), string(market.Platform)},
	reflect.TypeFor[market.Class]():            {string(market.Granted), string(market.Earned)},
	reflect.TypeFor[market.Verdict]():          {string(market.VerdictPass), string(market.VerdictFail), string(market.VerdictError)},
	reflect.TypeFor[market.DeliveryState]():    {"pending", "accepted", "rejected", "withdrawn", "not_selected", "failed"},
}

func texts[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, x := range list {
		out[i] = string(x)
	}
	return out
}

// componentName is the type as the document calls it.
func componentName(t reflect.Type) string {
	name := strings.TrimSuffix(t.Name(), "JSON")
	return strings.ToUpper(name[:1]) + name[1:]
}

// of is the schema of the type.
func (s *schemas) of(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[json.RawMessage](), t == reflect.TypeFor[rawJSON]():
		return object{} // any JSON
	case enums[t] != nil:
		return object{"type": "string", "enum": enums[t]}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return nullable(s.of(t.Elem()))
	case reflect.String:
		if strings.HasSuffix(t.Name(), "ID") {
			return object{"type": "string", "format": "uuid"}
		}
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		return s.component(t)
	}
	return object{}
}

// nullable is the schema or null.
func nullable(of object) object {
	if kind, ok := of["type"].(string); ok {
		of["type"] = []string{kind, "null"}
		if values, ok := of["enum"].([]string); ok {
			all := make([]any, 0, len(values)+1)
			for _, v := range values {
				all = append(all, v)
			}
			of["enum"] = append(all, nil)
		}
		return of
	}
	if len(of) == 0 {
		return of
	}
	return object{"anyOf": []any{of, object{"type": "null"}}}
}

// component is a reference to the struct's schema, which is made once.
func (s *schemas) component(t reflect.Type) object {
	switch {
	case t.Name() == "":
		return s.object(t, "")
	case strings.HasPrefix(t.Name(), "list["):
		return s.object(t, "List")
	}
	name := componentName(t)
	if s.components[name] == nil {
		s.components[name] = true // a struct may contain itself
		s.components[name] = s.object(t, name)
	}
	return object{"$ref": "#/components/schemas/" + name}
}

func (s *schemas) object(t reflect.Type, name string) object {
	members, required := object{}, []string{}
	s.members(t, name, members, &required)
	out := object{"type": "object", "properties": members}
	if len(required) > 0 {
		out["required"] = required
	}
	// What is read knows its members; what is written may get more.
	if s.closed || strings.HasSuffix(name, "Input") {
		out["additionalProperties"] = false
	}
	if about := structures[name]; about != "" {
		out["description"] = about
	}
	return out
}

// members adds those of the struct, and of the structs in it.
func (s *schemas) members(t reflect.Type, name string, to object, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				s.members(inner.Elem(), name, to, new([]string)) // all or none of them
				continue
			}
			s.members(inner, name, to, required)
			continue
		}
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == "" || tag == "-" {
			continue
		}
		optional := strings.Contains(options, "omit")
		shape := s.of(f.Type)
		if optional && f.Type.Kind() == reflect.Pointer {
			shape = s.of(f.Type.Elem())
		}
		m := inputs[name+"."+tag]
		if strings.HasSuffix(name, "Input") {
			optional = !m.required
			if f.Type.Kind() == reflect.Pointer { // null and absent are the same
				shape = nullable(s.of(f.Type.Elem()))
			}
		}
		to[tag] = m.limit(nullableMembers[name+"."+tag], shape, words(name, tag))
		if !optional {
			*required = append(*required, tag)
		}
	}
}

// words describe a member: of this struct, or what the name always means.
func words(name, tag string) string {
	if w := vocabulary[name+"."+tag]; w != "" {
		return w
	}
	return vocabulary[tag]
}

// limits are what a member of an input must keep to.
type limits struct {
	required  bool
	min, max  int64 // of a number
	low, high int   // characters of a text, items of a list
	values    []string
}

func (m limits) limit(null bool, shape object, about string) object {
	if null {
		shape = nullable(shape)
	}
	if m.max != 0 {
		shape["minimum"], shape["maximum"] = m.min, m.max
	}
	if m.high != 0 {
		if _, list := shape["items"]; list {
			shape["minItems"], shape["maxItems"] = m.low, m.high
		} else {
			shape["minLength"], shape["maxLength"] = m.low, m.high
		}
	}
	if m.values != nil {
		shape["enum"] = m.values
	}
	if about != "" {
		shape["description"] = about
	}
	return shape
}
