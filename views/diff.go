package views

import (
	"html"
	"strings"

	"github.com/a-h/templ"

	"guildhall/market"
)

// Limits of a comparison: how many pairs of lines are looked at, how many lines
// are shown, how long, and how many that stayed are shown round a change.
const (
	maxPairs    = 4 << 20
	maxDiff     = 400
	maxDiffLine = 400
	diffContext = 3
)

// comparison is what changed between two outputs, line by line as they are
// laid out for reading.
type comparison struct {
	Lines          []diffLine
	Added, Removed int
	// TooLarge says that the lines were not compared, Cut that only the first
	// are here.
	TooLarge, Cut bool
}

// diffLine is a line that stayed (' '), was removed ('-') or added ('+'), or
// stands for those that are left out ('…').
type diffLine struct {
	Kind rune
	Text string
}

func compare(before, after []byte) comparison {
	a, b := strings.Split(Indent(before), "\n"), strings.Split(Indent(after), "\n")
	head := 0
	for head < min(len(a), len(b)) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < min(len(a), len(b))-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	middle, ok := diffMiddle(a[head:len(a)-tail], b[head:len(b)-tail])
	if !ok {
		return comparison{TooLarge: true}
	}
	all := make([]diffLine, 0, head+len(middle)+tail)
	for _, text := range a[:head] {
		all = append(all, diffLine{' ', text})
	}
	all = append(all, middle...)
	for _, text := range a[len(a)-tail:] {
		all = append(all, diffLine{' ', text})
	}
	var c comparison
	for _, l := range middle {
		switch l.Kind {
		case '+':
			c.Added++
		case '-':
			c.Removed++
		}
	}
	c.Lines = nearChanges(all)
	if len(c.Lines) > maxDiff {
		c.Lines, c.Cut = c.Lines[:maxDiff], true
	}
	return c
}

// diffMiddle keeps the longest common subsequence of the lines, unless finding
// it is too much work.
func diffMiddle(a, b []string) ([]diffLine, bool) {
	if len(a)*len(b) > maxPairs {
		return nil, false
	}
	// longest[i][j] is the length of that of a[i:] and b[j:]; it is below
	// the root of maxPairs.
	longest := make([][]uint16, len(a)+1)
	cells := make([]uint16, (len(a)+1)*(len(b)+1))
	for i := range longest {
		longest[i] = cells[i*(len(b)+1):][:len(b)+1]
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			longest[i][j] = max(longest[i+1][j], longest[i][j+1])
			if a[i] == b[j] {
				longest[i][j] = longest[i+1][j+1] + 1
			}
		}
	}
	out := []diffLine{}
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, diffLine{' ', a[i]})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && longest[i+1][j] >= longest[i][j+1]:
			out = append(out, diffLine{'-', a[i]})
			i++
		default:
			out = append(out, diffLine{'+', b[j]})
			j++
		}
	}
	return out, true
}

// nearChanges leaves out the lines that stayed and are far from any change.
func nearChanges(all []diffLine) []diffLine {
	near := make([]bool, len(all))
	for i, l := range all {
		if l.Kind != ' ' {
			for j := max(0, i-diffContext); j <= min(len(all)-1, i+diffContext); j++ {
				near[j] = true
			}
		}
	}
	var out []diffLine
	for i, l := range all {
		switch {
		case near[i] || (i == 0 || near[i-1]) && i+1 < len(all) && near[i+1]: // one line is no more than the sign for it
			out = append(out, l)
		case i == 0 || near[i-1]:
			out = append(out, diffLine{'…', ""})
		}
	}
	return out
}

// diffText is the comparison as text whose lines begin with what became of
// them. The label names the scrolling box.
func diffText(c comparison, label string) templ.Component {
	var b strings.Builder
	b.WriteString(`<pre class="diff" tabindex="0" role="group" aria-label="` + html.EscapeString(label) + `"><code>`)
	for _, l := range c.Lines {
		tag := map[rune]string{'+': "ins", '-': "del"}[l.Kind]
		line := html.EscapeString(string(l.Kind) + " " + cutLine(l.Text))
		if tag != "" {
			line = "<" + tag + ">" + line + "</" + tag + ">"
		}
		b.WriteString(line + "\n")
	}
	b.WriteString("</code></pre>")
	return templ.Raw(b.String())
}

// cutLine is the beginning of a line that is too long to be compared by eye.
func cutLine(text string) string {
	if len(text) <= maxDiffLine {
		return text
	}
	return strings.ToValidUTF8(text[:maxDiffLine], "") + "…"
}

// mended names the checks that the earlier delivery did not pass and this one
// does.
func mended(earlier, now market.Report) string {
	passes := map[string]bool{}
	for _, c := range now.Checks {
		passes[c.Name] = c.Verdict == market.VerdictPass
	}
	var names []string
	for _, c := range earlier.Checks {
		if c.Verdict != market.VerdictPass && passes[c.Name] {
			names = append(names, c.Name)
			passes[c.Name] = false // once
		}
	}
	return strings.Join(names, ", ")
}
