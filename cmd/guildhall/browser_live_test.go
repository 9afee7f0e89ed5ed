package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// TestLiveStatus watches a task while an agent claims it, and again after the
// server was away.
func TestLiveStatus(t *testing.T) {
	needsPostgres(t)
	dir := dataDir(t)
	s := start(t, dir)
	m, agent := join(t, s.url, "watcher"), register(t, s.url, "steady")
	path := m.publish(t, wordsTask("Watch me", 30, false))
	b := newTab(t, s.url).as(m)
	b.open(path)
	b.until(`document.readyState === 'complete' && document.querySelector('#status .live')`)
	eval[int](b, "window.__mark = 1")
	changed := `document.querySelector('#status .notice a[href="` + path + `"]')`
	if eval[bool](b, "!!"+changed) {
		t.Error("something happened before anything did")
	}
	agent.must(t, "POST", "/agent"+path+"/claim", "")
	b.until(`window.__mark === 1 && document.querySelector('#status .step-now').textContent.includes('An agent is working') && ` + changed)
	b.offline.Store(true)
	s.stop()
	startAt(t, dir, strings.TrimPrefix(s.url, "http://"))
	claim := agent.must(t, "GET", "/agent"+path, "")["claim"].(map[string]any)
	agent.must(t, "POST", "/agent"+path+"/deliveries", fmt.Sprintf(`{"claimId":%q,"epoch":%v,"output":%s,"summaryText":"Done."}`, claim["claimId"], claim["epoch"], words))
	b.until(`window.__mark === 1 && document.querySelector('#status .step-now').textContent.includes('In review')`)
	b.click(`#status .notice a`)
	b.until(`!window.__mark && location.pathname === '` + path + `' && document.querySelector('#review') && document.readyState === 'complete' && !` + changed)
	// What the decision of another tab does is seen here too, and ends the stream.
	other := newTab(t, s.url).as(m)
	other.open(path)
	other.click(`.decide-accept button`)
	b.until(`!document.querySelector('#status .live') && document.querySelector('#status .step-now') === null && ` + changed)
}

// TestTooManyWatchers gives a page no stream; the status that it was served
// with stays.
func TestTooManyWatchers(t *testing.T) {
	needsPostgres(t)
	s := start(t, dataDir(t))
	m := join(t, s.url, "crowd")
	path := m.publish(t, wordsTask("Watch me", 30, false))
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode == http.StatusTooManyRequests {
			break
		}
	}
	b := newTab(t, s.url)
	tr := b.traffic()
	b.open(path)
	b.settle()
	refused := false
	for _, x := range tr.take() {
		refused = refused || x.stream()
	}
	b.until(`document.querySelector('#status .steps .step-now') && document.querySelectorAll('main').length === 1 && document.querySelectorAll('h1').length === 1`)
	if !refused {
		t.Error("the page did not ask for a stream")
	}
}

// TestCopy copies with and without the permission to.
func TestCopy(t *testing.T) {
	w := theWorld(t)
	b := newTab(t, w.url)
	for _, setting := range []browser.PermissionSetting{browser.PermissionSettingGranted, browser.PermissionSettingDenied} {
		t.Run(string(setting), func(t *testing.T) {
			allow := func(name string, setting browser.PermissionSetting) {
				_, err := chromedp.CallBrowser(b.ctx, browser.SetPermission, browser.SetPermissionParams{Permission: &browser.PermissionDescriptor{Name: name},
					Setting: setting, Origin: w.url, BrowserContextID: chromedp.FromContext(b.ctx).BrowserContextID})
				if err != nil {
					t.Fatal(err)
				}
			}
			allow("clipboard-write", setting)
			allow("clipboard-read", browser.PermissionSettingGranted)
			b.open("/")
			eval[string](b, `navigator.clipboard.writeText('nothing').catch(() => {}).then(() => '')`)
			b.click(`[data-copy="#start-agent"]`)
			b.until(`document.querySelector('[data-copy="#start-agent"] [data-label]').textContent === 'Copied' && document.querySelector('#live').textContent === 'Copied'`)
			if text := eval[string](b, `navigator.clipboard.readText()`); !strings.HasPrefix(text, "curl "+w.url+"/api/v1/agents/register") {
				t.Errorf("the clipboard holds %q", text)
			}
			b.until(`document.querySelector('[data-copy="#start-agent"] [data-label]').textContent === 'Copy' && document.querySelector('#live').textContent === ''`)
		})
	}
}

// TestPlurals counts none, one and many.
func TestPlurals(t *testing.T) {
	w := theWorld(t)
	b := newTab(t, w.url)
	for lang, want := range map[string][3]string{"en": {"0 tasks", "1 task", "4 tasks"}, "zh-CN": {"0 个任务", "1 个任务", "4 个任务"}} {
		for i, q := range []string{"nothing-like-this", "%22drawer+7%22", "&publisher=atelier&minReward=65"} {
			b.open("/market?lang=" + lang + "&q=" + q)
			if got := eval[string](b, `document.querySelector('.results-count').textContent.trim()`); got != want[i] {
				t.Errorf("%s %s: %q; want %q", lang, q, got, want[i])
			}
		}
	}
}

// TestLongWords holds pages together that other accounts try to push apart.
func TestLongWords(t *testing.T) {
	w := theWorld(t)
	m, agent := join(t, w.url, fresh("long")), register(t, w.url, fresh("long"))
	title, word := strings.Repeat("W", 140), strings.Repeat("m", 200)
	task := wordsTask(title, 10, false)
	task["brief"] = word + "\n\n`" + word + "`\n\n- " + word + "\n\n> " + word + "\n\n```\n" + word + "\n```\n\n| a | b |\n|---|---|\n| " + word + " | " + word + " |\n"
	task["payload"] = `{"` + word + `":"` + word + `"}`
	task["skills"] = strings.Repeat("s", 40)
	task["rules.0.name"], task["rules.0.text"] = strings.Repeat("R", 80), word
	m.post(t, "/settings", map[string][]string{"displayName": {strings.Repeat("N", 80)}, "description": {word}})
	open, pending, settled := m.publish(t, task), m.publish(t, task), m.publish(t, task)
	agent.deliver(t, pending, `{"`+word+`":"`+word+`"}`, word)
	decided := settled + "/deliveries/" + agent.deliver(t, settled, `"`+word+`"`, word)
	m.post(t, decided+"/reject", map[string][]string{"reason": {word}, "rule": {task["rules.0.name"]}})
	b := newTab(t, w.url).as(m)
	for _, p := range []string{"/market?publisher=" + m.handle, open, pending, pending + "/review", settled, decided, "/console", "/wallet", "/settings", "/agents/" + m.handle, "/market?q=" + word} {
		for _, width := range []int64{320, 1440} {
			b.width(width)
			b.open(p)
			b.until(`document.readyState === 'complete' && document.querySelector('h1')`)
			b.fits(p, width)
			// Nothing that can be read is cut off where no scroll bar leads.
			if cut := eval[[]string](b, fmt.Sprintf(`[...document.querySelectorAll('main *')].filter(e => e.checkVisibility() && e.childElementCount === 0 && e.textContent.trim() && !e.closest('.vh, pre, table, .table-wrap, .tabs, textarea, select')
				&& e.getBoundingClientRect().right > %d).map(e => e.outerHTML.slice(0, 80))`, width)); len(cut) > 0 {
				t.Errorf("%s at %d is cut: %q", p, width, cut)
			}
		}
	}
}

// TestReducedMotion moves nothing for those who asked for that.
func TestReducedMotion(t *testing.T) {
	w := theWorld(t)
	b := newTab(t, w.url)
	moving := `[...document.querySelectorAll('*')].filter(e => { const s = getComputedStyle(e); return [s.transitionDuration, s.animationDuration].some(d => d.split(',').some(x => parseFloat(x) > .001)) }).length`
	b.open(w.open)
	if eval[int](b, moving) == 0 {
		t.Error("nothing moves; this test looks at nothing")
	}
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}})
	for _, p := range []string{"/", "/market", w.open} {
		b.open(p)
		b.until(`document.readyState === 'complete'`)
		if n := eval[int](b, moving); n > 0 {
			t.Errorf("%s: %d elements move", p, n)
		}
	}
}

// TestWithoutFonts loads pages whose typefaces never come.
func TestWithoutFonts(t *testing.T) {
	w := theWorld(t)
	b := newTab(t, w.url)
	b.offline.Store(true)
	call(b, network.Enable, network.EnableParams{})
	call(b, network.SetBlockedURLs, network.SetBlockedURLsParams{URLPatterns: []*network.BlockPattern{{URLPattern: w.url + "/*.woff2", Block: true}}})
	b.open("/market")
	b.until(`document.readyState === 'complete' && document.querySelectorAll('.task').length > 10 && [...document.fonts].every(f => f.status !== 'loaded')`)
	b.click(`input[name=skills][value=ocr]`)
	b.until(`location.search === '?skills=ocr' && document.querySelector('.chip')`)
	b.click(`.task-link`)
	b.until(`location.pathname.startsWith('/tasks/') && document.querySelector('#status')`)
	for _, width := range []int64{320, 1440} {
		b.width(width)
		b.open(w.open)
		if f := b.facts(); f.Shift >= 0.01 {
			t.Errorf("without typefaces the page moves: %+v", f)
		}
		b.fits(w.open, width)
	}
}
