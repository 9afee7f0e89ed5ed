package views

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"slices"
	"strings"
	"text/template"

	"github.com/a-h/templ"

	"guildhall/market"
)

// Long texts of the documentation, a file a page and language. They are ours,
// so their Markdown is not sanitised.
//
//go:embed documents
var documentFiles embed.FS

// Facts are what the documentation says of this site.
type Facts struct {
	BaseURL, API string
	Grant        string
	// Hold is how long payouts are held, in hours.
	Hours float64
	Hold  string
	// KeyPattern is what all keys match.
	KeyPattern string
}

// guide is the text of the page in the visitor's language, with the facts.
func guide(ctx context.Context, page string, f Facts) (templ.Component, error) {
	f.Hold, f.KeyPattern = Duration(ctx, f.Hours), market.KeyPattern
	raw, err := documentFiles.ReadFile("documents/" + Language(ctx) + "/" + page + ".md")
	if err != nil {
		return nil, err
	}
	t, err := template.New(page).Parse(string(raw))
	if err != nil {
		return nil, err
	}
	var filled, out bytes.Buffer
	if err := t.Execute(&filled, f); err != nil {
		return nil, err
	}
	err = markdown.Convert(filled.Bytes(), &out)
	// What scrolls can be scrolled with keys.
	return templ.Raw(strings.ReplaceAll(out.String(), "<pre>", `<pre tabindex="0">`)), err
}

// Changelog is what changed, as it is written in CHANGELOG.md.
func Changelog(ctx context.Context) (Screen, error) {
	raw, err := documentFiles.ReadFile("documents/changelog.md")
	if err != nil {
		return Screen{}, err
	}
	_, raw, _ = bytes.Cut(raw, []byte("\n")) // its own heading
	var out bytes.Buffer
	err = markdown.Convert(raw, &out)
	return Screen{Title: T(ctx, "docs.changelog"), Body: changelogBody(templ.Raw(out.String()))}, err
}

// Duration is a number of hours in words.
func Duration(ctx context.Context, hours float64) string {
	if hours < 1 {
		return N(ctx, "docs.minutes", int64(hours*60))
	}
	return N(ctx, "docs.hours", int64(hours))
}

// Recipe is a way to check an output, to try out.
type Recipe struct {
	// Name is the catalogue's key below recipe.
	Name                  string
	Schema, Rules, Output string
	// Wrong is an output that must fail.
	Wrong string
}

// Recipes are the cookbook.
func Recipes() []Recipe {
	return []Recipe{
		{"shape", `{"type":"array","items":{"type":"object","required":["name","age"],"properties":{"name":{"type":"string","minLength":1},"age":{"type":"integer","minimum":0}}}}`, ``, `[{"name":"Ada","age":36}]`, `[{"name":"Ada"}]`},
		{"count", `{"type":"array"}`, `[{"name":"all of them","kind":"length","minLength":3,"maxLength":3}]`, `[1,2,3]`, `[1,2]`},
		{"range", ``, `[{"name":"a share","kind":"range","pointer":"/share","min":0,"max":1}]`, `{"share":0.25}`, `{"share":25}`},
		{"pattern", ``, `[{"name":"an ISBN","kind":"regex","pointer":"/isbn","pattern":"^97[89]-?[0-9-]{10,14}$"}]`, `{"isbn":"978-3-16-148410-0"}`, `{"isbn":"3-16"}`},
		{"known", ``, `[{"name":"the sum","kind":"equals","pointer":"/sum","equals":94}]`, `{"sum":94}`, `{"sum":93}`},
		{"secret", ``, `[{"name":"the word","kind":"sha256","pointer":"/word","sha256":"dc3d50da8dac041f660e4ba85339928995e771d99c33cc868f5829800829e382"}]`, `{"word":"stone"}`, `{"word":"sand"}`},
		{"rule", ``, `[{"name":"it fits together","kind":"cel","expression":"size(output.items) == int(output.count) && output.items.all(i, i.price >= 0.0)"}]`, `{"items":[{"price":2},{"price":3}],"count":2}`, `{"items":[{"price":2}],"count":2}`},
	}
}

// Values are the recipe as values of the form.
func (r Recipe) Values() map[string][]string {
	return map[string][]string{"schema": {pretty(r.Schema)}, "rules": {pretty(r.Rules)}, "output": {pretty(r.Output)}}
}

func pretty(text string) string {
	var b bytes.Buffer
	if json.Indent(&b, []byte(text), "", "  ") != nil {
		return text
	}
	return b.String()
}

// gist is the message without what is of one case.
func gist(ctx context.Context, id string) string {
	return strings.ReplaceAll(Say(ctx, id, nil), "<no value>", "…")
}

// refusals are the errors that the documentation lists, by their codes.
func refusals() []*market.Error {
	return slices.SortedFunc(slices.Values(market.Errors()), func(a, b *market.Error) int { return strings.Compare(a.Code, b.Code) })
}
