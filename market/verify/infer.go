package verify

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
)

// InferSchema makes a JSON Schema that fits all the example outputs, written
// one after the other: types, members, and which of them every example has.
// It is a draft for a person to tighten. It returns why the examples are
// refused instead: one is not acceptable JSON, or there is none.
func InferSchema(examples []byte) (json.RawMessage, *Problem) {
	d := json.NewDecoder(bytes.NewReader(examples))
	var seen shape
	for {
		var raw json.RawMessage
		switch err := d.Decode(&raw); {
		case err == io.EOF && seen.count == 0:
			return nil, &Problem{Detail: "There is no example."}
		case err == io.EOF:
			return encodeShape(&seen), nil
		case err != nil:
			return nil, &Problem{Detail: "The examples are not JSON values, one after the other."}
		}
		if p := CheckJSON(raw, OutputLimits); p != nil {
			return nil, p
		}
		value, err := decode(raw)
		if err != nil {
			return nil, &Problem{Detail: "The examples are not JSON values, one after the other."}
		}
		seen.add(value)
	}
}

// shape is what was seen at one place of the examples.
type shape struct {
	count   int
	types   map[string]bool
	objects int
	members map[string]*shape
	items   *shape
}

func (s *shape) add(value any) {
	if s.types == nil {
		s.types, s.members = map[string]bool{}, map[string]*shape{}
	}
	s.count++
	switch v := value.(type) {
	case nil:
		s.types["null"] = true
	case bool:
		s.types["boolean"] = true
	case string:
		s.types["string"] = true
	case json.Number:
		s.types[numberType(v)] = true
	case []any:
		s.types["array"] = true
		for _, item := range v {
			if s.items == nil {
				s.items = &shape{}
			}
			s.items.add(item)
		}
	case map[string]any:
		s.types["object"] = true
		s.objects++
		for name, member := range v {
			if s.members[name] == nil {
				s.members[name] = &shape{}
			}
			s.members[name].add(member)
		}
	}
}

func numberType(n json.Number) string {
	if strings.ContainsAny(n.String(), ".eE") {
		return "number"
	}
	return "integer"
}

// schema is the shape as a document whose members have a fixed order.
type schema struct {
	Schema               string             `json:"$schema,omitempty"`
	Type                 any                `json:"type"`
	Required             []string           `json:"required,omitempty"`
	Properties           map[string]*schema `json:"properties,omitempty"`
	AdditionalProperties *bool              `json:"additionalProperties,omitempty"`
	Items                *schema            `json:"items,omitempty"`
}

func encodeShape(s *shape) json.RawMessage {
	out := s.schema()
	out.Schema = "https://json-schema.org/draft/2020-12/schema"
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(out); err != nil {
		panic(err) // strings, lists and maps
	}
	return bytes.TrimSpace(b.Bytes())
}

func (s *shape) schema() *schema {
	out := &schema{Type: s.typeNames()}
	if s.objects > 0 {
		closed := false
		out.AdditionalProperties, out.Properties = &closed, map[string]*schema{}
		for name, member := range s.members {
			out.Properties[name] = member.schema()
			if member.count == s.objects {
				out.Required = append(out.Required, name)
			}
		}
		slices.Sort(out.Required)
	}
	if s.items != nil {
		out.Items = s.items.schema()
	}
	return out
}

// typeNames is one name or the list of them; every integer is a number.
func (s *shape) typeNames() any {
	var names []string
	for name := range s.types {
		if name != "integer" || !s.types["number"] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) == 1 {
		return names[0]
	}
	return names
}
