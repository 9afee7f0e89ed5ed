package views

import (
	"bytes"
	"encoding/json"
	"html"
	"regexp"
	"strings"

	"github.com/a-h/templ"
	"github.com/alecthomas/chroma/v2"
	chromahtml "github.com/alecthomas/chroma/v2/formatters/html"
	"github.com/alecthomas/chroma/v2/lexers"
	"github.com/alecthomas/chroma/v2/styles"
	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
)

var (
	markdown = goldmark.New(goldmark.WithExtensions(extension.GFM))
	// policy lets text through, not pictures: they would tell their host who
	// reads a brief.
	policy = func() *bluemonday.Policy {
		p := bluemonday.UGCPolicy()
		p.AllowElements("del")
		p.RequireNoFollowOnLinks(true)
		p.RequireNoReferrerOnLinks(true)
		p.AddTargetBlankToFullyQualifiedLinks(true)
		return p
	}()
	pictures = regexp.MustCompile(`(?i)<img\b[^>]*>`)
	// headings of user text go below those of the page.
	headings = regexp.MustCompile(`(</?)h([1-6])`)
)

// Markdown is text by another account: Markdown without HTML or pictures.
func Markdown(text string) templ.Component {
	var b bytes.Buffer
	if err := markdown.Convert([]byte(text), &b); err != nil {
		return templ.Raw("<p>" + html.EscapeString(text) + "</p>")
	}
	safe := pictures.ReplaceAllString(policy.Sanitize(b.String()), "")
	return templ.Raw(headings.ReplaceAllStringFunc(safe, func(tag string) string {
		level := min(int(tag[len(tag)-1]-'0')+2, 6)
		return tag[:len(tag)-1] + string(rune('0'+level))
	}))
}

var (
	// nothing strips all markup.
	nothing = bluemonday.StrictPolicy()
	// blockEnds keep the words of neighbouring blocks apart.
	blockEnds = strings.NewReplacer("</p>", " ", "</li>", " ", "<br", " <br", "</td>", " ", "</th>", " ", "</h", " </h", "</pre>", " ")
)

// plain is Markdown as bare text, for excerpts: of a long one its beginning.
func plain(text string) string {
	const enough = 1500
	if len(text) > enough {
		text = strings.ToValidUTF8(text[:enough], "")
	}
	var b bytes.Buffer
	if err := markdown.Convert([]byte(text), &b); err != nil {
		return text
	}
	return html.UnescapeString(nothing.Sanitize(blockEnds.Replace(b.String())))
}

// lineLinks are line numbers as links: too small to hit, so only the ids stay.
var lineLinks = regexp.MustCompile(`<a class="lnlinks"[^>]*>(.*?)</a>`)

// maxShown is the longest document that is coloured, in bytes.
const maxShown = 64 << 10

// JSON is a document, indented, with line numbers that can be linked to as
// #prefix12. The label names the scrolling box.
func JSON(raw []byte, prefix, label string) templ.Component {
	text := Indent(raw)
	open := `<pre class="chroma" tabindex="0" role="group" aria-label="` + html.EscapeString(label) + `"`
	if len(text) > maxShown {
		return templ.Raw(open + `><code>` + html.EscapeString(text) + `</code></pre>`)
	}
	tokens, err := chroma.Coalesce(lexers.Get("json")).Tokenise(nil, text)
	if err != nil {
		return templ.Raw(open + `><code>` + html.EscapeString(text) + `</code></pre>`)
	}
	var b strings.Builder
	f := chromahtml.New(chromahtml.WithClasses(true), chromahtml.WithLineNumbers(true), chromahtml.WithLinkableLineNumbers(true, prefix), chromahtml.TabWidth(2))
	if err := f.Format(&b, styles.Fallback, tokens); err != nil {
		return templ.Raw(open + `><code>` + html.EscapeString(text) + `</code></pre>`)
	}
	out := lineLinks.ReplaceAllString(b.String(), "$1")
	return templ.Raw(strings.Replace(out, `<pre class="chroma"`, open, 1))
}

// Indent is the document laid out for reading; one that is not JSON stays.
func Indent(raw []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return b.String()
}
