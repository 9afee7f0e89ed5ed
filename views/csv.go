package views

import (
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a table: how many of its rows and columns are shown, and how many
// characters of a cell.
const (
	maxRows    = 200
	maxColumns = 40
	maxCell    = 400
)

// grid is the beginning of a text in comma-separated values, or in values that
// semicolons or tabs separate.
type grid struct {
	Head []string
	Rows []gridRow
	// Numbers says of each column whether it has nothing else.
	Numbers []bool
	// AllRows and AllColumns count what there is, beside what is here; Cut says
	// that cells are shortened.
	AllRows, AllColumns int
	Cut                 bool
}

// gridRow is a record and the line where it begins.
type gridRow struct {
	Line  int
	Cells []string
}

// ragged is why a text is no table: the record that begins in the line has
// another number of values than the first, or, with none, quotes are wrong.
type ragged struct{ Line, Values, Want int }

// readGrid reads the text as a table. Unless it is declared to be one it must
// look so: prose has commas too. What begins as a table and does not go on as
// one is ragged.
func readGrid(text string, declared bool) (*grid, *ragged) {
	text = strings.TrimPrefix(text, "\ufeff")
	comma, width := separator(text)
	if width == 0 || !declared && width < 2 {
		return nil, nil
	}
	r := csv.NewReader(strings.NewReader(text))
	r.Comma, r.FieldsPerRecord, r.ReuseRecord = comma, -1, true
	var g grid
	for n := 0; ; n++ {
		record, err := r.Read()
		if err == io.EOF {
			break
		}
		var broken *csv.ParseError
		if errors.As(err, &broken) {
			return nil, &ragged{Line: broken.StartLine}
		}
		line, _ := r.FieldPos(0)
		if n == 0 && !declared && !plausibleHead(record) || n == 1 && !declared && len(record) != width {
			return nil, nil
		}
		if len(record) != width {
			return nil, &ragged{Line: line, Values: len(record), Want: width}
		}
		switch {
		case n == 0:
			g.Head = g.cells(record)
		case n <= maxRows:
			g.Rows = append(g.Rows, gridRow{Line: line, Cells: g.cells(record)})
		}
		g.AllRows, g.AllColumns = n, width
	}
	if g.AllRows == 0 {
		return nil, nil
	}
	g.Numbers = make([]bool, len(g.Head))
	for i := range g.Head {
		g.Numbers[i] = !slices.ContainsFunc(g.Rows, func(r gridRow) bool { return r.Cells[i] != "" && !isNumber(r.Cells[i]) })
	}
	return &g, nil
}

// isNumber reports whether a cell is set as a number.
func isNumber(cell string) bool {
	return strings.Trim(cell, "0123456789.,-+% ") == "" && strings.ContainsAny(cell, "0123456789")
}

// separator is what separates most values in the first record, and how many
// values that gives.
func separator(text string) (comma rune, width int) {
	for _, c := range []rune{',', ';', '\t'} {
		r := csv.NewReader(strings.NewReader(text))
		r.Comma = c
		if record, err := r.Read(); err == nil && len(record) > width {
			comma, width = c, len(record)
		}
	}
	return comma, width
}

// plausibleHead reports whether the values could name columns: all different,
// short, and without what sentences and programs have.
func plausibleHead(names []string) bool {
	seen := map[string]bool{}
	for _, name := range names {
		odd := strings.ContainsAny(name, "{}[]<>=!?;\"\\") || strings.Count(name, "(") != strings.Count(name, ")") || strings.HasSuffix(name, ".")
		if name == "" || seen[name] || odd || utf8.RuneCountInString(name) > 60 || unicode.IsSpace(rune(name[0])) || strings.HasPrefix(name, "#") || strings.HasPrefix(name, "- ") {
			return false
		}
		seen[name] = true
	}
	return true
}

// cells are the values of a record as they are shown: a copy.
func (g *grid) cells(record []string) []string {
	out := slices.Clone(record[:min(len(record), maxColumns)])
	for i, cell := range out {
		if utf8.RuneCountInString(cell) > maxCell {
			cell, g.Cut = string([]rune(cell)[:maxCell])+"…", true
		}
		out[i] = markHidden(strings.ToValidUTF8(cell, "\ufffd"))
	}
	return out
}
