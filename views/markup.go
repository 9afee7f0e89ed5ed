package views

import (
	"bytes"
	"html"
	"regexp"
	"strings"

	"github.com/a-h/templ"
	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

var (
	markdown = goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(renderer.WithNodeRenderers(util.Prioritized(tags{}, 1))))
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

// tags shows HTML in Markdown as the text that it is: who writes <year> means
// it.
type tags struct{}

func (tags) RegisterFuncs(r renderer.NodeRendererFuncRegisterer) {
	r.Register(ast.KindRawHTML, func(w util.BufWriter, source []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
		if entering {
			writeText(w, source, n.(*ast.RawHTML).Segments)
		}
		return ast.WalkContinue, nil
	})
	r.Register(ast.KindHTMLBlock, func(w util.BufWriter, source []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
		block := n.(*ast.HTMLBlock)
		if !entering {
			return ast.WalkContinue, nil
		}
		_, _ = w.WriteString("<p>")
		writeText(w, source, block.Lines())
		if block.HasClosure() {
			_, _ = w.WriteString(html.EscapeString(string(block.ClosureLine.Value(source))))
		}
		_, err := w.WriteString("</p>\n")
		return ast.WalkContinue, err
	})
}

func writeText(w util.BufWriter, source []byte, lines *text.Segments) {
	for i := range lines.Len() {
		line := lines.At(i)
		_, _ = w.WriteString(html.EscapeString(string(line.Value(source)))) // the end of the block tells of an error
	}
}

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
