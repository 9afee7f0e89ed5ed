package views

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/a-h/templ"
)

// drawn is the component as a browser has it.
func drawn(t *testing.T, c templ.Component) *goquery.Document {
	t.Helper()
	var b strings.Builder
	if err := c.Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	page, err := goquery.NewDocumentFromReader(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// TestJSONIsItsText holds that what is shown, folded or not, is the document
// and nothing else, and that each line has its place.
func TestJSONIsItsText(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		`1`, `"a"`, `[]`, `{}`, `null`, `[{}]`, `{"a":1}`,
		`{"a":{"b":[1,2,3],"c":"} ] {"},"d":[[],{},[[1,2],[3,4]]],"e":"x\"y\\","f":"<script>&amp;</script>"}`,
		`["{","[","a: b","\"k\": {",{"\"": {"x":1,"y":2,"z":3}}, -1.5e3, true]`,
		`{"<b onclick=x>":["` + "\u2028\u202e" + `"]}`,
		`[` + strings.Repeat(`{"id":1,"tags":["a","b"],"more":{"x":null,"y":false}},`, 150) + `0]`,
	} {
		page := drawn(t, JSON([]byte(raw), "L", "It"))
		text := page.Find(".json").Text()
		if want := Indent([]byte(raw)); text != want {
			t.Fatalf("%.80s: shown as %.200q, want %.200q", raw, text, want)
		}
		var got, want any
		if json.Unmarshal([]byte(text), &got) != nil || json.Unmarshal([]byte(raw), &want) != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%.80s: shown as another value", raw)
		}
		for i, line := range strings.Split(text, "\n") {
			if at := page.Find(fmt.Sprintf("#L%d.line", i+1)); at.Length() != 1 || strings.TrimSuffix(at.Text(), "\n") != line || at.AttrOr("data-n", "") != fmt.Sprint(i+1) {
				t.Fatalf("%.80s: line %d is %q, want %q", raw, i+1, at.Text(), line)
			}
		}
		if n := page.Find("script, b, details:not([open])").Length(); n != 0 {
			t.Errorf("%.80s: %d elements of the document, or folded", raw, n)
		}
		if n := page.Find("summary").Length(); n > maxFolds {
			t.Errorf("%.80s: %d parts fold, more than %d", raw, n, maxFolds)
		}
	}
	page := drawn(t, JSON([]byte(`{"a":{"b":1,"c":[1,2]},"d":[1],"e":[]}`), "L", `"It"`))
	if n := page.Find("summary"); n.Length() != 2 || n.First().AttrOr("data-in", "") != "… 2 items" || page.Find("details details").Length() != 1 {
		t.Errorf("%d parts fold, want the object and the array within it", n.Length())
	}
	if page.Find(".json").AttrOr("aria-label", "") != `"It"` {
		t.Error("the box lost its label")
	}
}

// TestHostileDocuments are drawn soon, without growing beyond reason.
func TestHostileDocuments(t *testing.T) {
	t.Parallel()
	bomb := strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000)
	for name, raw := range map[string]string{
		"deep":             bomb,
		"deep and long":    strings.Repeat(`{"a":[`, 60_000),
		"many lines":       `[` + strings.Repeat("1,", 400_000) + `1]`,
		"many objects":     `[` + strings.Repeat(`{"a":{"b":[1,2,3]}},`, 19_000) + `1]`,
		"a long line":      `"` + strings.Repeat("a", 900_000) + `"`,
		"many lines text":  `"` + strings.Repeat(`a\n`, 100_000) + `"`,
		"a long table":     `"a,b\n` + strings.Repeat(`1,2\n`, 100_000) + `"`,
		"a wide table":     `"` + strings.Repeat(`a,`, 200_000) + `b\n1,2"`,
		"quotes":           `"a,b\n\"` + strings.Repeat(`1,2\n`, 100_000) + `"`,
		"a long heading":   `"# a\n\n` + strings.Repeat("`x` ", 200_000) + `"`,
		"nested quotes":    `"# a\n\n` + strings.Repeat(">", 32_000) + " `x`" + `"`,
		"brackets":         `"# a\n\n` + strings.Repeat("[", 32_000) + "`x`" + `"`,
		"stars":            `"# a\n\n` + strings.Repeat("*a **b ", 4_500) + "`x`" + `"`,
		"nested lists":     `"# a\n\n` + strings.Repeat("- ", 16_000) + "`x`" + `"`,
		"links":            `"# a\n\n` + strings.Repeat("[a](", 8_000) + "`x`" + `"`,
		"a table of pipes": `"|a|b|\n|---|---|\n` + strings.Repeat(`|||||||||\n`, 2_500) + `# x"`,
		"no JSON":          `{"a":`,
		"members":          `{` + strings.Repeat(`"`+strings.Repeat("/", 40)+`":"a\nb",`, 3_000) + `"x":"a\nb"}`,
	} {
		t.Run(name, func(t *testing.T) {
			before := time.Now()
			var b strings.Builder
			v := readOutput([]byte(raw), nil)
			if err := outputViewer(v, "L").Render(t.Context(), &b); err != nil {
				t.Fatal(err)
			}
			took := time.Since(before)
			t.Logf("%d bytes are %d bytes in %v", len(raw), b.Len(), took)
			if took > 10*time.Second || b.Len() > 8<<20 {
				t.Errorf("drawing took %v and gave %d bytes", took, b.Len())
			}
			_ = LineOf([]byte(raw), "/0/0/0")
		})
	}
}

func TestReadGrid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"plain", "a,b\n1,2\n3,4\n", "a|b 2:1|2 3:3|4"},
		{"Windows lines", "a,b\r\n1,2\r\n", "a|b 2:1|2"},
		{"semicolons", "a;b\n1,5;2\n", "a|b 2:1,5|2"},
		{"tabs", "a\tb\n1\t2\n", "a|b 2:1|2"},
		{"a mark at the beginning", "\ufeffa,b\n1,2\n", "a|b 2:1|2"},
		{"quotes and lines in cells", "a,b\n\"x\ny\",\"\"\"q\"\"\"\n3,4", "a|b 2:x\ny|\"q\" 4:3|4"},
		{"blank lines", "a,b\n\n1,2\n\n3,4\n", "a|b 3:1|2 5:3|4"},
		{"formulas are text", "a,b\n=HYPERLINK(\"\"x\"\"),+1\n", "bad quotes 2"},
		{"quoted formulas", "a,b\n\"=HYPERLINK(\"\"http://x\"\")\",@SUM(A1)\n", "a|b 2:=HYPERLINK(\"http://x\")|@SUM(A1)"},
		{"HTML is text", "a,b\n<script>x</script>,<img src=x>\n", "a|b 2:<script>x</script>|<img src=x>"},
		{"hidden characters", "a,b\n\u202etxt.exe,\u200bx\n", "a|b 2:⟨U+202E⟩txt.exe|⟨U+200B⟩x"},
		{"NUL", "a,b\n\x00,x\n", "a|b 2:⟨U+0000⟩|x"},
		{"ragged", "a,b\n1,2\n1,2,3\n", "ragged 3: 3 for 2"},
		{"short", "a,b,c\n1,2,3\n1\n", "ragged 3: 1 for 3"},
		{"an open quote", "a,b\n1,2\n\"3,4\n5,6\n", "bad quotes 3"},
		{"prose", "Dear Mara, hello\nThe work, is done\n", "-"},
		{"a sentence", "First,then.\nSecond,then.\n", "-"},
		{"one line", "a,b\n", "-"},
		{"one column", "a\nb\nc\n", "-"},
		{"a program", "f(a,b){\ng(c,d)\n", "-"},
		{"names twice", "a,a\n1,2\n", "-"},
		{"no names", ",\n1,2\n", "-"},
		{"a list", "- a,b\n- c,d\n", "-"},
		{"empty", "", "-"},
		{"quote only", `"`, "-"},
	} {
		g, r := readGrid(c.text, false)
		got := "-"
		if g != nil {
			got = strings.Join(g.Head, "|")
			for _, row := range g.Rows {
				got += fmt.Sprintf(" %d:%s", row.Line, strings.Join(row.Cells, "|"))
			}
		} else if r != nil && r.Values > 0 {
			got = fmt.Sprintf("ragged %d: %d for %d", r.Line, r.Values, r.Want)
		} else if r != nil {
			got = fmt.Sprintf("bad quotes %d", r.Line)
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	// What is declared need not look like it.
	if g, _ := readGrid("Dear Mara, hello\nThe work, is done\n", true); g == nil || g.Head[1] != " hello" {
		t.Error("a declared table is shown as text")
	}
	if g, _ := readGrid("a\nb\n", true); g == nil || g.AllRows != 1 {
		t.Error("a declared column is shown as text")
	}
	wide := strings.Repeat("x,", 99)
	var head []string
	for i := range 100 {
		head = append(head, fmt.Sprint("c", i))
	}
	g, _ := readGrid(strings.Join(head, ",")+"\n"+strings.Repeat(wide+strings.Repeat("é", 10_000)+"\n", 300), false)
	if g == nil || len(g.Head) != maxColumns || len(g.Rows) != maxRows || g.AllColumns != 100 || g.AllRows != 300 || len(g.Rows[0].Cells) != maxColumns {
		t.Fatal("a large table is not cut to its beginning")
	}
	if words := gridWords(t.Context(), *g); words != "The first 200 of 300 rows; the text has all. The first 40 of 100 columns." {
		t.Errorf("it says %q", words)
	}
	g, _ = readGrid("a,b\n1,"+strings.Repeat("é", 10_000)+"\n", false)
	if g == nil || !g.Cut || len(g.Rows[0].Cells[1]) != 2*maxCell+len("…") {
		t.Error("a long cell is not shortened")
	}
}

func TestReadOutput(t *testing.T) {
	t.Parallel()
	const csv, md, prose = `"a,b\n1,2\n"`, `"# Birds\n\n- two **herons**\n- a kite\n"`, `"One line.\nAnother, with a comma.\n"`
	for _, c := range []struct{ raw, schema, want string }{
		{csv, "", "whole grid"},
		{md, "", "whole markdown"},
		{prose, "", "whole text"},
		{`"one line"`, "", ""},
		{`{"a":1,"rows":` + csv + `,"report":[` + md + `]}`, "", "/rows@3 grid, /report/0@5 markdown"},
		{`{"a/b~":` + prose + `}`, "", "/a~1b~0@2 text"},
		{csv, `{"type":"string","contentMediaType":"text/plain"}`, "whole text"},
		{prose, `{"contentMediaType":"text/markdown; charset=utf-8"}`, "whole markdown"},
		{`"a,b\n1\n"`, `{"contentMediaType":"text/csv"}`, "whole ragged"},
		{`{"x":["a\nb"]}`, `{"properties":{"x":{"items":{"contentMediaType":"Text/CSV"}}}}`, "/x/0@3 grid"},
		{`{"x":"a\nb"}`, `{"properties":{"x":true}}`, "/x@2 text"},
		{`{"x":"# a comment\nimport os\n"}`, "", "/x@2 text"},
		{`["a\nb","a\nb","a\nb","a\nb","a\nb","a\nb"]`, "", "/0@2 text, /1@3 text, /2@4 text, /3@5 text, /4@6 text"},
	} {
		v := readOutput([]byte(c.raw), []byte(c.schema))
		var got []string
		for _, x := range v.Texts {
			where, what := fmt.Sprintf("%s@%d", x.Pointer, x.Line), "text"
			if v.Whole {
				where = "whole"
			}
			switch {
			case x.Grid != nil:
				what = "grid"
			case x.Ragged != nil:
				what = "ragged"
			case x.Markdown:
				what = "markdown"
			}
			got = append(got, where+" "+what)
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: got %q, want %q", c.raw, got, c.want)
		}
	}
}

// TestTextsOfStrangers holds that nothing in a text becomes a part of the page.
func TestTextsOfStrangers(t *testing.T) {
	t.Parallel()
	raw, err := json.Marshal(map[string]string{
		"csv": "a,b\n<script>alert(1)</script>,\"=cmd|' /C calc'!A0\"\n\u202eevil,http://x.example\n",
		"md":  "# Report\n\n<script>alert(1)</script>\n\n![x](http://spy.example/p.png) [in](javascript:alert(1)) [out](https://x.example) <b hx-get=/x>b</b>\n\n- `a`\n- \u202eb\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	page := drawn(t, outputViewer(readOutput(raw, nil), "L"))
	if n := page.Find("script, img, [hx-get], a[href^='javascript']").Length(); n != 0 {
		t.Errorf("%d elements are the stranger's", n)
	}
	if links := page.Find(".view-set a"); links.Length() != 1 || links.AttrOr("href", "") != "https://x.example" || !strings.Contains(links.AttrOr("rel", ""), "nofollow") || !strings.Contains(links.AttrOr("rel", ""), "noreferrer") {
		t.Errorf("%d links, want the one to https without a referrer", links.Length())
	}
	text := page.Text()
	if strings.Contains(text, "\u202e") || strings.Count(text, "⟨U+202E⟩") != 6 || !strings.Contains(text, `\u202e`) || page.Find(".view-note").Length() != 2 {
		t.Errorf("hidden characters are not marked: %q", text)
	}
	if page.Find("#Lt0-row2 td").Eq(1).Text() != "=cmd|' /C calc'!A0" || page.Find("#Lt0-1.line").Text() != "a,b\n" {
		t.Error("a cell or a line is not where it should be")
	}
}
