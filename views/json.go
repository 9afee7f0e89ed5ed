package views

import (
	"bytes"
	"context"
	"encoding/json"
	"html"
	"io"
	"strconv"
	"strings"

	"github.com/a-h/templ"
)

// Bounds of what is laid out for reading: how deep a document may be nested,
// how many of its lines are numbered, how long it may be to be coloured, in
// bytes, and how many of its parts fold.
const (
	maxNesting  = 64
	maxLines    = 40_000
	maxColoured = 64 << 10
	maxFolds    = 2_500
	// longLines is from where on parts are laid out only when they come near:
	// such a one is not printed, nor in the picture of a whole page.
	longLines = 2_000
)

// JSON is a document, laid out with line numbers that can be linked to as
// #prefix12, and with parts that fold. Numbers and marks are not text: what is
// selected, copied or read out is the document. The label names the scrolling
// box.
func JSON(raw []byte, prefix, label string) templ.Component {
	return templ.ComponentFunc(func(ctx context.Context, w io.Writer) error {
		return writeLines(w, newDocument(ctx, Indent(raw), true), prefix, label)
	})
}

// textLines is a text with line numbers as JSON has them.
func textLines(text, prefix, label string) templ.Component {
	return templ.ComponentFunc(func(ctx context.Context, w io.Writer) error {
		return writeLines(w, newDocument(ctx, text, false), prefix, label)
	})
}

// Indent is the document laid out for reading, with what is not visible in it
// escaped. One that is not JSON, or that laying out would blow up, stays.
func Indent(raw []byte) string {
	var b bytes.Buffer
	if nesting(raw) > maxNesting || json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return escapeHidden(b.String())
}

// nesting is how deep arrays and objects lie within one another.
func nesting(raw []byte) int {
	deepest, depth, quoted := 0, 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// document is a text in lines, and what of it folds.
type document struct {
	lines    []string
	coloured bool
	// opens has, for a line that begins a part that folds, what to say of the
	// part while it is folded; closes is true for the line that ends one.
	opens  map[int]string
	closes map[int]bool
}

func newDocument(ctx context.Context, text string, isJSON bool) document {
	d := document{lines: strings.SplitAfterN(text, "\n", maxLines+1), coloured: isJSON && len(text) <= maxColoured, opens: map[int]string{}, closes: map[int]bool{}}
	if last := len(d.lines) - 1; last > 0 && d.lines[last] == "" {
		d.lines = d.lines[:last] // the end of the line before it
	}
	if !isJSON || len(d.lines) > maxLines {
		return d
	}
	blocks, deepest := blocksOf(d.lines)
	said := map[int]string{}
	for _, b := range blocks {
		if b.depth > deepest {
			continue
		}
		if said[b.items] == "" {
			said[b.items] = N(ctx, "output.items", int64(b.items))
		}
		d.opens[b.from], d.closes[b.to] = said[b.items], true
	}
	return d
}

// block is an array or object inside a document, from its first line to its
// last.
type block struct{ from, to, depth, items int }

// blocksOf are the blocks of an indented document that are worth folding, and
// down to which depth there are not too many.
func blocksOf(lines []string) (blocks []block, deepest int) {
	var open []block
	var perDepth [maxNesting + 1]int
	for i, line := range lines {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if line[0] == '}' || line[0] == ']' {
			if len(open) == 0 {
				return nil, 0 // no JSON
			}
			b := open[len(open)-1]
			open = open[:len(open)-1]
			if b.to = i; b.depth > 0 && b.to-b.from > 2 {
				blocks = append(blocks, b)
				perDepth[min(b.depth, maxNesting)]++
			}
			continue
		}
		if len(open) > 0 {
			open[len(open)-1].items++
		}
		if last := line[len(line)-1]; last == '{' || last == '[' {
			open = append(open, block{from: i, depth: len(open)})
		}
	}
	for sum := 0; deepest < maxNesting; deepest++ {
		if sum += perDepth[deepest+1]; sum > maxFolds {
			break
		}
	}
	return blocks, deepest
}

// writeLines writes the box with the lines of the document.
func writeLines(w io.Writer, d document, prefix, label string) error {
	var b strings.Builder
	class := "json"
	if len(d.lines) > longLines {
		class += " json-long"
	}
	b.WriteString(`<div class="` + class + `" tabindex="0" role="group" aria-label="` + html.EscapeString(label) + `"><div>`)
	if len(d.lines) > maxLines {
		b.WriteString(html.EscapeString(strings.Join(d.lines, "")))
		d.lines = nil
	}
	for i, line := range d.lines {
		if d.closes[i] {
			b.WriteString("</details>")
		}
		words, folds := d.opens[i]
		if folds {
			b.WriteString(`<details open><summary data-in="` + html.EscapeString(words) + `">`)
		}
		n := strconv.Itoa(i + 1)
		b.WriteString(`<span class="line" id="` + prefix + n + `" data-n="` + n + `">`)
		if d.coloured {
			colour(&b, line)
		} else {
			b.WriteString(html.EscapeString(line))
		}
		b.WriteString("</span>")
		if folds {
			b.WriteString("</summary>")
		}
	}
	b.WriteString("</div></div>")
	_, err := io.WriteString(w, b.String())
	return err
}

// colour writes a line of an indented document: an optional name, then the
// beginning or the end of a value.
func colour(b *strings.Builder, line string) {
	text := strings.TrimLeft(line, " ")
	b.WriteString(line[:len(line)-len(text)])
	if end := quoteEnd(text); end > 0 && strings.HasPrefix(text[end:], ": ") {
		span(b, "nt", text[:end])
		b.WriteString(": ")
		text = text[end+2:]
	}
	end := strings.IndexAny(text, ",\n")
	class := "mi"
	if strings.HasPrefix(text, `"`) {
		end, class = quoteEnd(text), "s2"
	}
	if end < 0 {
		end = len(text)
	}
	if end == 0 || strings.ContainsRune("{}[]", rune(text[0])) {
		class = ""
	}
	span(b, class, text[:end])
	b.WriteString(html.EscapeString(text[end:]))
}

func span(b *strings.Builder, class, text string) {
	text = html.EscapeString(text)
	if class != "" {
		text = `<span class="` + class + `">` + text + `</span>`
	}
	b.WriteString(text)
}

// quoteEnd is where the string that the text begins with ends; 0 if none does.
func quoteEnd(text string) int {
	if !strings.HasPrefix(text, `"`) {
		return 0
	}
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}
