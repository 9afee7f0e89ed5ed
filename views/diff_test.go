package views

import (
	"fmt"
	"strings"
	"testing"
)

func shown(c comparison) string {
	var b strings.Builder
	for _, l := range c.Lines {
		fmt.Fprintf(&b, "%c%s\n", l.Kind, l.Text)
	}
	return b.String()
}

func TestCompare(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		before, after, want string
		added, removed      int
	}{
		{`{"a":1}`, `{"a":1}`, "…\n", 0, 0},
		{`{"a":1,"b":2}`, `{"b":2,"a":1}`, " {\n-  \"a\": 1,\n-  \"b\": 2\n+  \"b\": 2,\n+  \"a\": 1\n }\n", 2, 2},
		{`[1,2,3,4,5,6,7,8,9]`, `[1,2,3,4,55,6,7,8,9]`, "…\n   2,\n   3,\n   4,\n-  5,\n+  55,\n   6,\n   7,\n   8,\n…\n", 1, 1},
		{`[1,2,3,4]`, `[1,2,3,5]`, " [\n   1,\n   2,\n   3,\n-  4\n+  5\n ]\n", 1, 1},
		{`[1,2]`, `[1,2,3]`, " [\n   1,\n-  2\n+  2,\n+  3\n ]\n", 2, 1},
		{`[]`, `[1]`, "-[]\n+[\n+  1\n+]\n", 3, 1},
		{`1`, `2`, "-1\n+2\n", 1, 1},
		{`["a","b","c"]`, `["b"]`, " [\n-  \"a\",\n-  \"b\",\n-  \"c\"\n+  \"b\"\n ]\n", 1, 3},
	} {
		got := compare([]byte(c.before), []byte(c.after))
		if shown(got) != c.want || got.Added != c.added || got.Removed != c.removed || got.TooLarge || got.Cut {
			t.Errorf("%s to %s: got +%d -%d\n%swant\n%s", c.before, c.after, got.Added, got.Removed, shown(got), c.want)
		}
	}
	// What was compared can be put together again from what is shown.
	before, after := `{"rows":[1,2,3,{"x":"y"},5],"z":null}`, `{"rows":[2,{"x":"z"},3,5,6],"y":[]}`
	var old, now strings.Builder
	for _, l := range compare([]byte(before), []byte(after)).Lines {
		if l.Kind != '+' {
			old.WriteString(l.Text)
		}
		if l.Kind != '-' {
			now.WriteString(l.Text)
		}
	}
	for want, got := range map[string]string{before: old.String(), after: now.String()} {
		if strings.Join(strings.Fields(got), "") != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestCompareIsBounded(t *testing.T) {
	t.Parallel()
	list := func(n, step int) []byte {
		return []byte("[" + strings.TrimSuffix(strings.Repeat(fmt.Sprintf("%d,", step), n), ",") + "]")
	}
	if c := compare(list(3000, 1), list(3000, 2)); !c.TooLarge || len(c.Lines) != 0 {
		t.Errorf("comparing 3000 with 3000 other lines was tried: %d lines", len(c.Lines))
	}
	if c := compare(list(1500, 1), list(1500, 2)); c.TooLarge || !c.Cut || len(c.Lines) != maxDiff || c.Added != 1500 {
		t.Errorf("1500 changed lines are shown as %d, cut %v, added %d", len(c.Lines), c.Cut, c.Added)
	}
	if c := compare(list(200_000, 1), append(list(200_000, 1)[:399_999], []byte(",2]")...)); c.TooLarge || c.Added == 0 {
		t.Error("a long output with one new line was not compared")
	}
	html := new(strings.Builder)
	if err := diffText(compare([]byte(`"<b>"`), []byte(`"`+strings.Repeat("é", 9000)+`"`)), "x").Render(t.Context(), html); err != nil || strings.Contains(html.String(), "<b>") || html.Len() > 2000 {
		t.Errorf("got %d bytes: %.200s (%v)", html.Len(), html, err)
	}
}
