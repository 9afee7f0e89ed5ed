//go:build screenshots

package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/chromedp/chromedp"

	"guildhall/cmd/guildhall/demo"
)

// TestScreenshots writes a picture of every screen of a market filled by
// `guildhall demo`, for people to look at.
func TestScreenshots(t *testing.T) {
	needsPostgres(t)
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" {
		folder = "tmp/screenshots"
	}
	if !filepath.IsAbs(folder) {
		folder = filepath.Join("..", "..", folder)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	dir := dataDir(t)
	if out, code := demoRun(t, dir, "--password", password); code != exitDone {
		t.Fatalf("demo: %s", out)
	}
	w := demoWorld(t, start(t, dir).url)
	w.fillCases(t, dir)
	w.fillOutputs(t)
	w.fillBundles(t)
	w.fillBindings(t)
	w.fillSecurity(t, dir)
	w.fillWebhooks(t)
	w.fillSealed(t)
	all := screens(w)
	for _, lang := range []string{"en", "zh-CN"} {
		for _, theme := range []string{"light", "dark"} {
			t.Run(lang+"-"+theme, func(t *testing.T) {
				for _, s := range all {
					t.Run(s.name, func(t *testing.T) {
						b := newTab(t, w.url).as(s.who)
						b.cookie("lang", lang)
						b.cookie("theme", theme)
						for _, width := range []int64{1440, 390} {
							b.width(width)
							s.show(b)
							b.settle()
							picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
							if err != nil {
								t.Fatal(err)
							}
							name := fmt.Sprintf("%s-%s-%s-%d.png", s.name, lang, theme, width)
							if err := os.WriteFile(filepath.Join(folder, name), picture, 0o644); err != nil {
								t.Fatal(err)
							}
						}
					})
				}
			})
		}
	}
	t.Logf("%d screens are in %s", len(all), folder)
}

// demoWorld finds in the demo's market what the screens show.
func demoWorld(t *testing.T, site string) *world {
	t.Helper()
	m := member{url: site, handle: demo.Handle}
	res := m.post(t, "/login", url.Values{"email": {demo.Email}, "password": {password}})
	for _, c := range res.Cookies() {
		if c.Name == "session" {
			m.session = c.Value
		}
	}
	links := func(path, selector string) (out []string) {
		page, err := goquery.NewDocumentFromReader(m.request(t, http.MethodGet, path, nil).Body)
		if err != nil {
			t.Fatal(err)
		}
		page.Find(selector).Each(func(_ int, a *goquery.Selection) { out = append(out, a.AttrOr("href", "")) })
		return out
	}
	// first is the first of the account's tasks in the state whose page has a
	// match of the selector.
	first := func(state, selector string) string {
		for _, path := range links("/console?state="+state, ".task-link") {
			if page := links(path, selector); len(page) > 0 {
				return path
			}
		}
		t.Fatalf("the demo has no task that is %s with %s", state, selector)
		return ""
	}
	w := &world{url: site, mara: m, newcomer: join(t, site, "newcomer"), agent: demo.Freelance,
		worker: register(t, site, "lexicon"), atelier: register(t, site, "atelier")}
	const delivery = `a[href*="/deliveries/"]`
	w.open, w.claimed = first("open", "h1"), first("claimed", "h1")
	w.pending, w.settled = first("in_review", ".decide-accept"), first("settled", delivery)
	w.accepted = links(w.settled, delivery)[0]
	w.many = first("open", "#review tbody a")
	w.waiting = links(w.many, "#review tbody a")[0]
	for _, state := range []string{"in_review", "settled", "open", "claimed", "expired"} {
		for _, path := range links("/console?state="+state, ".task-link") {
			for _, d := range links(path, delivery) {
				if len(links(d, ".notice-bad")) > 0 {
					w.rejected, w.refused = path, d
				}
			}
		}
	}
	if w.refused == "" {
		t.Fatal("the demo has no rejected delivery")
	}
	return w
}
