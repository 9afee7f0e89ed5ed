package main

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// checkup is what is looked at on every page, at one width.
const checkup = `axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'], resultTypes: ['violations'], preload: false}).then(r => JSON.stringify(
	r.violations.map(v => ({rule: v.id, help: v.help, nodes: v.nodes.map(n => n.html.slice(0, 160) + ' — ' + n.failureSummary)}))))`

type violation struct {
	Rule, Help string
	Nodes      []string
}

// page facts that hold at every width.
type pageFacts struct {
	Headings    int
	Shift       float64
	Lang, Theme string
	Bytes       int
	Moved       []string
}

// TestAccessibility looks at every screen in both themes, both languages, wide
// and narrow: axe finds nothing, nothing shifts, nothing scrolls sideways,
// there is one h1, the console is silent (newTab) and the HTML is small.
// Each theme goes with one language, as colours do not depend on words; with
// SCREENS=all in the environment each goes with both.
func TestAccessibility(t *testing.T) {
	w := theWorld(t)
	axe, err := os.ReadFile("../../static/src/testing/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	type view struct {
		lang, theme string
		width       int64 // at which pages are loaded
	}
	views := []view{{"en", "light", 1440}, {"zh-CN", "dark", 390}}
	if os.Getenv("SCREENS") == "all" {
		views = append(views, view{"en", "dark", 390}, view{"zh-CN", "light", 1440})
	}
	for _, v := range views {
		t.Run(v.lang+"-"+v.theme, func(t *testing.T) {
			t.Parallel()
			worst, largest := 0.0, 0
			tabs := map[string]*tab{}
			for _, s := range screens(w) {
				b := tabs[s.who.handle]
				if b == nil {
					b = newTabFor(t, w.url, 25*time.Minute).as(s.who)
					b.cookie("lang", v.lang)
					b.cookie("theme", v.theme)
					tabs[s.who.handle] = b
				}
				b.width(v.width)
				s.show(b)
				facts := b.facts()
				worst, largest = max(worst, facts.Shift), max(largest, facts.Bytes)
				if facts.Headings != 1 || facts.Shift >= 0.01 || facts.Lang != v.lang || facts.Theme != v.theme || facts.Bytes == 0 || facts.Bytes > 12<<10 {
					t.Errorf("%s: %+v", s.name, facts)
				}
				eval[int](b, string(axe)+";1")
				for _, width := range []int64{v.width, 1440 + 390 - v.width} {
					b.width(width)
					for _, found := range b.violations() {
						t.Errorf("%s at %d: %s: %s\n\t%q", s.name, width, found.Rule, found.Help, found.Nodes)
					}
					b.fits(s.name, width)
				}
				for _, width := range []int64{375, 360, 320} {
					b.width(width)
					b.fits(s.name, width)
				}
			}
			t.Logf("%d screens, largest shift %.4f, largest page %d bytes", len(screens(w)), worst, largest)
		})
	}
}

func (b *tab) width(w int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(w, 900))
}

func (b *tab) violations() (out []violation) {
	b.t.Helper()
	if err := json.Unmarshal([]byte(eval[string](b, checkup)), &out); err != nil {
		b.t.Fatal(err)
	}
	return out
}

// fits reports a page that is wider than the window.
func (b *tab) fits(name string, width int64) {
	b.t.Helper()
	type wide struct {
		Width int64
		Who   []string
	}
	got := eval[wide](b, fmt.Sprintf(`(w => ({width: document.documentElement.scrollWidth, who: document.documentElement.scrollWidth <= w ? [] :
		[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > w + 1).slice(0, 5).map(e => e.tagName + '.' + e.className)}))(%d)`, width))
	if got.Width > width {
		b.t.Errorf("%s at %d is %d wide: %v", name, width, got.Width, got.Who)
	}
	if cut := eval[[]string](b, `[...document.querySelectorAll('.bar a, .bar button, .btn')].filter(e => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1).map(e => e.outerHTML.slice(0, 120))`); len(cut) > 0 {
		b.t.Errorf("%s at %d does not show all of %q", name, width, cut)
	}
}

// facts are read when the fonts are there and two frames are drawn.
func (b *tab) facts() pageFacts {
	b.t.Helper()
	return eval[pageFacts](b, `document.fonts.ready.then(() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done({
		headings: document.querySelectorAll('h1').length, shift: __cls, moved: __moved, lang: document.documentElement.lang, theme: document.documentElement.dataset.theme,
		bytes: performance.getEntriesByType('navigation')[0].encodedBodySize})))))`)
}
