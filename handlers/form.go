package handlers

import (
	"encoding/json"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"guildhall/market"
)

// formTime is how a datetime-local field writes a moment, in UTC.
const formTime = "2006-01-02T15:04"

// decodeForm reads a form into the same struct that the JSON API reads. Fields
// are named like members, list items "rules.0.name"; fields that the struct
// lacks are not looked at. Blank fields are absent members. It returns what
// could not be read.
func decodeForm(form url.Values, v any) (bad []market.FieldError) {
	formStruct(form, reflect.ValueOf(v).Elem(), "", &bad)
	return bad
}

var timeType = reflect.TypeFor[time.Time]()

func formStruct(form url.Values, v reflect.Value, prefix string, bad *[]market.FieldError) {
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		formField(form, v.Field(i), prefix+name, bad)
	}
}

func formField(form url.Values, v reflect.Value, name string, bad *[]market.FieldError) {
	// Browsers send line ends as CRLF; what was typed had LF.
	text := strings.ReplaceAll(form.Get(name), "\r\n", "\n")
	refuse := func(code string) {
		*bad = append(*bad, market.FieldError{Pointer: "/" + strings.ReplaceAll(name, ".", "/"), Code: code})
	}
	switch {
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8: // JSON as it was typed
		if text = strings.TrimSpace(text); text == "" {
			return
		}
		if !json.Valid([]byte(text)) {
			refuse("json")
			return
		}
		v.SetBytes([]byte(text))
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Slice: // "name.0", "name.1"…
		for i := range maxRows {
			if row := name + "." + strconv.Itoa(i); strings.TrimSpace(form.Get(row)) != "" {
				item := reflect.New(v.Type().Elem()).Elem()
				formField(form, item, row, bad)
				v.Set(reflect.Append(v, item))
			}
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.String:
		words := strings.FieldsFunc(strings.Join(form[name], " "), func(c rune) bool { return c == ',' || c == '，' || c == '、' || c <= ' ' })
		if len(words) > 0 {
			v.Set(reflect.ValueOf(words))
		}
	case v.Kind() == reflect.Slice:
		formRows(form, v, name, bad)
	case v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct && v.Type().Elem() != timeType:
		if anyTyped(form, name+".") {
			v.Set(reflect.New(v.Type().Elem()))
			formStruct(form, v.Elem(), name+".", bad)
		}
	case v.Kind() == reflect.Pointer:
		if strings.TrimSpace(text) != "" {
			p := reflect.New(v.Type().Elem())
			formField(form, p.Elem(), name, bad)
			v.Set(p)
		}
	case v.Type() == timeType:
		t, err := time.Parse(formTime, strings.TrimSpace(text))
		if err != nil {
			refuse("time")
		}
		v.Set(reflect.ValueOf(t))
	case v.Kind() == reflect.Int64:
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err != nil {
			refuse("number")
		}
		v.SetInt(n)
	case v.Kind() == reflect.Bool:
		v.SetBool(text != "")
	default:
		v.SetString(text)
	}
}

// maxRows is more rows than any list of a form may have.
const maxRows = 50

// formRows reads "name.0.member", "name.1.member"…: rows whose fields are all
// blank are left out, the others keep their number so that refusals point at
// the row that was typed.
func formRows(form url.Values, v reflect.Value, name string, bad *[]market.FieldError) {
	for i := range maxRows {
		row, prefix := reflect.New(v.Type().Elem()).Elem(), name+"."+strconv.Itoa(i)+"."
		if !rowTyped(form, row.Type(), prefix) {
			continue
		}
		formStruct(form, row, prefix, bad)
		v.Set(reflect.Append(v, row))
	}
}

// anyTyped reports whether a field whose name begins so holds anything.
func anyTyped(form url.Values, prefix string) bool {
	for name := range form {
		if strings.HasPrefix(name, prefix) && strings.TrimSpace(form.Get(name)) != "" {
			return true
		}
	}
	return false
}

func rowTyped(form url.Values, t reflect.Type, prefix string) bool {
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name != "kind" && strings.TrimSpace(form.Get(prefix+name)) != "" {
			return true
		}
	}
	return false
}
