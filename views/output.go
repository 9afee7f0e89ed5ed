package views

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"github.com/a-h/templ"
)

// Bounds of what is read beside the document itself: how many of its texts,
// and how long Markdown may be to be set.
const (
	maxTexts    = 5
	maxMarkdown = 32 << 10
)

// outputView is an output for reading: the document, unless it is one text,
// and the texts of several lines in it, which JSON writes in one.
type outputView struct {
	Raw   []byte
	Whole bool
	Texts []outputText
}

// outputText is a text in an output. At most one of Grid and Markdown is set:
// how it can be shown instead of as it is.
type outputText struct {
	// Pointer leads to it, Line is where the laid out document has it.
	Pointer  string
	Line     int
	Text     string
	Grid     *grid
	Ragged   *ragged
	Markdown bool
	// Long says that it would be set as Markdown if it were shorter and flatter, Hidden
	// that it has characters that nobody sees.
	Long, Hidden bool
}

func (t outputText) formatted() bool { return t.Grid != nil || t.Markdown }

// readOutput finds the texts of an output. What the task's schema says of
// their contentMediaType goes before what they look like.
func readOutput(raw, schema []byte) outputView {
	v := outputView{Raw: raw}
	if nesting(raw) > maxNesting {
		return v
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v.collect(d, "", schema)
	v.Whole = len(v.Texts) == 1 && v.Texts[0].Pointer == ""
	return v
}

// collect reads one value and what the schema says of it.
func (v *outputView) collect(d *json.Decoder, at string, schema []byte) {
	token, err := d.Token()
	if err != nil {
		return
	}
	switch value := token.(type) {
	case string:
		if len(v.Texts) < maxTexts && strings.Contains(strings.TrimSpace(value), "\n") {
			t := readText(value, mediaType(schema))
			t.Pointer = at
			if at != "" {
				t.Line = LineOf(v.Raw, at)
			}
			v.Texts = append(v.Texts, t)
		}
	case json.Delim:
		for i := 0; d.More(); i++ {
			name := strconv.Itoa(i)
			if value == '{' {
				token, err := d.Token()
				if err != nil {
					return
				}
				name, _ = token.(string)
			}
			v.collect(d, at+"/"+pointerEscapes.Replace(name), subschema(schema, value == '{', name))
		}
		_, _ = d.Token() // its end, or the error that More met
	}
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// schemaNode is what of a JSON Schema tells what a text is.
type schemaNode struct {
	ContentMediaType string                     `json:"contentMediaType"`
	Properties       map[string]json.RawMessage `json:"properties"`
	Items            json.RawMessage            `json:"items"`
}

// subschema is what the schema says of a member, nil if nothing.
func subschema(schema []byte, member bool, name string) []byte {
	var n schemaNode
	if len(schema) == 0 || json.Unmarshal(schema, &n) != nil {
		return nil
	}
	if member {
		return n.Properties[name]
	}
	return n.Items
}

// mediaType is what the schema says a text is, without parameters.
func mediaType(schema []byte) string {
	var n schemaNode
	if len(schema) == 0 || json.Unmarshal(schema, &n) != nil {
		return ""
	}
	name, _, _ := strings.Cut(n.ContentMediaType, ";")
	return strings.ToLower(strings.TrimSpace(name))
}

// readText decides how a text can be shown.
func readText(text, media string) outputText {
	t := outputText{Text: text, Hidden: strings.IndexFunc(strings.TrimPrefix(text, "\ufeff"), isHidden) >= 0}
	if media == "" || media == "text/csv" || media == "text/tab-separated-values" {
		t.Grid, t.Ragged = readGrid(text, media != "")
	}
	if t.Grid == nil && t.Ragged == nil && (media == "text/markdown" || media == "" && looksLikeMarkdown(text)) {
		t.Long = len(text) > maxMarkdown || nested.MatchString(text)
		t.Markdown = !t.Long
	}
	return t
}

// signs are what Markdown is known by, and how well.
var signs = []struct {
	pattern *regexp.Regexp
	weight  int
}{
	{regexp.MustCompile(`(?m)^#{1,6} \S`), 2},
	{regexp.MustCompile(`\A\s*#{1,6} .*\n\s*\n`), 1},
	{regexp.MustCompile("(?m)^```"), 2},
	{regexp.MustCompile(`(?m)^\|? ?:?-{3,}:? ?\|`), 2},
	{regexp.MustCompile(`(?m)^ {0,3}(?:[-*+]|\d{1,3}\.) \S.*\n(?:.*\n){0,3}? {0,3}(?:[-*+]|\d{1,3}\.) \S`), 1},
	{regexp.MustCompile(`\[[^\]\n]+\]\([^)\s]+\)`), 1},
	{regexp.MustCompile(`\*\*\S[^*\n]*\*\*`), 1},
	{regexp.MustCompile("`[^`\n]+`"), 1},
	{regexp.MustCompile(`(?m)^> \S`), 1},
}

// nested finds what would be set in many boxes within one another, which costs
// more than it shows.
var nested = regexp.MustCompile(`(?m)^(?:[ \t]*(?:>|(?:[-*+]|\d{1,9}[.)])[ \t])){20}`)

// looksLikeMarkdown asks for more than one sign: a heading alone may be a
// comment of a program.
func looksLikeMarkdown(text string) bool {
	if len(text) > maxColoured {
		text = text[:maxColoured]
	}
	sum := 0
	for _, s := range signs {
		if s.pattern.MatchString(text) {
			sum += s.weight
		}
	}
	return sum >= 3
}

func plainNumber(n int) string { return strconv.Itoa(n) }

// lineLink leads to a line of a document.
func lineLink(prefix string, n int) templ.SafeURL {
	return templ.SafeURL("#" + prefix + strconv.Itoa(n))
}
