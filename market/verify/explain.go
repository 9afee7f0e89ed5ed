package verify

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// explain names the keyword and what it expects. The library's own words
// repeat values of the output, so none of them are used. Of the output there
// are only types, counts, positions and a few escaped member names.
func explain(err *jsonschema.ValidationError) string {
	for _, words := range []func(jsonschema.ErrorKind) string{explainValue, explainNumber, explainSize, explainObject, explainLogic} {
		if detail := words(err.ErrorKind); detail != "" {
			return detail
		}
	}
	if _, ok := err.ErrorKind.(*kind.FalseSchema); ok {
		return forbiddenBy(err.SchemaURL) + ": no value is allowed here."
	}
	return "The value does not match the schema."
}

func explainValue(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return fmt.Sprintf("type: expected %s, found %s.", strings.Join(k.Want, " or "), k.Got)
	case *kind.Const:
		return fmt.Sprintf("const: expected %s.", literal(k.Want))
	case *kind.Enum:
		return fmt.Sprintf("enum: expected one of %s.", literals(k.Want))
	case *kind.Format:
		if k.Want == "regex" {
			return fmt.Sprintf("format: expected a regular expression of RE2, at most %d characters long.", maxPatternLength)
		}
		return fmt.Sprintf("format: expected %s.", quote(k.Want))
	case *kind.Pattern:
		return fmt.Sprintf("pattern: expected a match of %s.", strconv.Quote(clip(k.Want, maxDetail-40)))
	}
	return ""
}

func explainNumber(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Minimum:
		return fmt.Sprintf("minimum: expected at least %s.", decimal(k.Want))
	case *kind.Maximum:
		return fmt.Sprintf("maximum: expected at most %s.", decimal(k.Want))
	case *kind.ExclusiveMinimum:
		return fmt.Sprintf("exclusiveMinimum: expected more than %s.", decimal(k.Want))
	case *kind.ExclusiveMaximum:
		return fmt.Sprintf("exclusiveMaximum: expected less than %s.", decimal(k.Want))
	case *kind.MultipleOf:
		return fmt.Sprintf("multipleOf: expected a multiple of %s.", decimal(k.Want))
	}
	return ""
}

func explainSize(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.MinLength:
		return fmt.Sprintf("minLength: expected at least %d characters, found %d.", k.Want, k.Got)
	case *kind.MaxLength:
		return fmt.Sprintf("maxLength: expected at most %d characters, found %d.", k.Want, k.Got)
	case *kind.MinItems:
		return fmt.Sprintf("minItems: expected at least %d items, found %d.", k.Want, k.Got)
	case *kind.MaxItems:
		return fmt.Sprintf("maxItems: expected at most %d items, found %d.", k.Want, k.Got)
	case *kind.MinProperties:
		return fmt.Sprintf("minProperties: expected at least %d members, found %d.", k.Want, k.Got)
	case *kind.MaxProperties:
		return fmt.Sprintf("maxProperties: expected at most %d members, found %d.", k.Want, k.Got)
	case *kind.MinContains:
		return fmt.Sprintf("minContains: expected at least %d matching items, found %d.", k.Want, len(k.Got))
	case *kind.MaxContains:
		return fmt.Sprintf("maxContains: expected at most %d matching items, found %d.", k.Want, len(k.Got))
	}
	return ""
}

func explainObject(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Required:
		return fmt.Sprintf("required: missing %s.", quoteAll(k.Missing))
	case *kind.DependentRequired:
		return fmt.Sprintf("dependentRequired: with %s, missing %s.", quote(k.Prop), quoteAll(k.Missing))
	case *kind.Dependency:
		return fmt.Sprintf("dependencies: with %s, missing %s.", quote(k.Prop), quoteAll(k.Missing))
	case *kind.AdditionalProperties:
		return fmt.Sprintf("additionalProperties: not allowed: %s.", quoteAll(slices.Sorted(slices.Values(k.Properties))))
	case *kind.PropertyNames:
		return fmt.Sprintf("propertyNames: not allowed as a name: %s.", quote(k.Property))
	}
	return ""
}

func explainLogic(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.UniqueItems:
		return fmt.Sprintf("uniqueItems: items %d and %d are equal.", k.Duplicates[0], k.Duplicates[1])
	case *kind.Contains:
		return "contains: no item matches."
	case *kind.Not:
		return "not: the value matches what it must not match."
	case *kind.OneOf:
		return fmt.Sprintf("oneOf: alternatives %d and %d both match.", k.Subschemas[0]+1, k.Subschemas[1]+1)
	}
	return ""
}

// forbiddenBy returns the keyword whose schema is false, from its location.
func forbiddenBy(location string) string {
	_, fragment, _ := strings.Cut(location, "#")
	tokens := strings.Split(fragment, "/")
	for _, token := range slices.Backward(tokens) {
		if _, ok := applicators[token]; ok {
			return token
		}
	}
	return "false"
}
