package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/preload"
	"github.com/chromedp/chromedp"
)

const flashText = `document.querySelector('#flash').textContent.trim()`

// published counts the member's open tasks, by the API.
func published(t *testing.T, m member) int {
	t.Helper()
	return len(client{url: m.url}.must(t, "GET", "/market/tasks?publisher="+m.handle, "")["items"].([]any))
}

// publishByHand fills the form as far as it must be.
func (b *tab) publishByHand(title string) {
	b.t.Helper()
	b.open("/tasks/new")
	b.fill(map[string]string{"title": title, "brief": "Say what you see on the picture."})
}

// centre of the element, scrolled into view.
func (b *tab) centre(selector string) (x, y float64) {
	b.t.Helper()
	b.until("document.readyState === 'complete' && document.querySelector(" + quote(selector) + ")")
	at := fmt.Sprintf(`(e => { e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] })(document.querySelector(%s))`, quote(selector))
	for was := []float64(nil); ; {
		is := eval[[]float64](b, at)
		if slices.Equal(is, was) {
			return is[0], is[1]
		}
		was = is
		b.frame()
	}
}

// frame waits until the browser has drawn once more: only then does it scroll
// to the end of a link, and give scripts what waited behind a click.
func (b *tab) frame() {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatJpeg})
		return err
	}))
}

// clickTwice is an impatient hand.
func (b *tab) clickTwice(selector string) {
	b.t.Helper()
	x, y := b.centre(selector)
	b.do(chromedp.MouseClickXY(x, y), chromedp.MouseClickXY(x, y, chromedp.ClickCount(2)))
}

// TestMessageOnce shows what a form did on the next page, and only there.
func TestMessageOnce(t *testing.T) {
	w := theWorld(t)
	m := join(t, w.url, fresh("flash"))
	path := m.publish(t, wordsTask("Cancel me", 10, false))
	b := newTab(t, w.url).as(m)
	b.open("/console")
	b.open(path)
	b.click(`form[action$="/cancel"] button`)
	b.until(`document.querySelector('.task-head .state').textContent.trim() === 'Cancelled' && ` + flashText)
	b.do(chromedp.Reload())
	b.until(`document.querySelector('.task-head .state') && !` + flashText)
	b.travel(-1)
	b.until(`document.querySelector('h1') && !` + flashText)

	// A page fetched ahead while the pointer rests on its link must not use
	// the message up.
	call(b, preload.Enable, cdp.Empty{})
	ready := make(chan string, 20)
	if err := chromedp.Listen(b.ctx, func(event any) {
		if e, ok := event.(*preload.EventPrefetchStatusUpdated); ok && (e.Status == preload.IngStatusReady || e.Status == preload.IngStatusFailure) {
			ready <- fmt.Sprint(e.Status, " ", e.PrefetchURL)
		}
	}); err != nil {
		t.Fatal(err)
	}
	b.open("/market")
	x, y := b.centre(`.task-link`)
	b.cookie("flash", base64.RawURLEncoding.EncodeToString([]byte(`{"id":"flash.cancelled"}`)))
	b.do(chromedp.MouseEvent("mouseMoved", x-3, y), chromedp.MouseEvent("mouseMoved", x, y))
	select {
	case got := <-ready:
		if !strings.Contains(got, "Ready") || !strings.Contains(got, "/tasks/") {
			t.Fatalf("the link under the pointer was not fetched ahead: %s", got)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the link under the pointer was not fetched ahead")
	}
	kept := false
	for _, c := range call(b, network.GetCookies, network.GetCookiesParams{URLs: []string{b.url}}).Cookies {
		kept = kept || c.Name == "flash" && c.Value != ""
	}
	if !kept {
		t.Error("fetching a page ahead used the message up")
	}
	b.do(chromedp.MouseClickXY(x, y))
	b.until(`location.pathname.startsWith('/tasks/') && document.readyState === 'complete'`)
	if how := eval[string](b, `performance.getEntriesByType('navigation')[0].deliveryType`); how != "navigational-prefetch" {
		t.Errorf("the page fetched ahead was not used: %q", how)
	}
	b.open("/wallet")
	b.until(`document.querySelector('.balances') && ` + flashText)
	b.open("/wallet")
	b.until(`document.querySelector('.balances') && !` + flashText)
}

// TestBackAndForward publishes and walks through the history.
func TestBackAndForward(t *testing.T) {
	w := theWorld(t)
	m := join(t, w.url, fresh("history"))
	b := newTab(t, w.url).as(m)
	b.open("/market")
	b.click(`input[name=skills][value=csv]`)
	b.until(`location.search === '?skills=csv' && document.querySelectorAll('.task').length < 20 && document.querySelector('.chip')`)
	count := eval[string](b, `document.querySelector('.results-count').textContent`)
	b.click(`.task-link`)
	b.until(`location.pathname.startsWith('/tasks/') && document.querySelector('#status')`)
	b.travel(-1)
	b.until(`location.search === '?skills=csv' && document.querySelector('input[name=skills][value=csv]').checked && document.querySelector('.results-count').textContent === ` + quote(count))
	b.publishByHand("Describe the picture")
	b.click(`.form-foot .btn-cta`)
	b.until(`location.pathname.length > 20 && ` + flashText)
	path := eval[string](b, "location.pathname")
	for range 2 {
		b.do(chromedp.Reload())
		b.until(`location.pathname === '` + path + `' && document.querySelector('#status') && !` + flashText)
	}
	b.travel(-1)
	b.until(`location.pathname === '/tasks/new' && document.querySelector('.publish') && !` + flashText)
	b.travel(1)
	b.until(`location.pathname === '` + path + `' && document.querySelector('.task-head .state').textContent.trim() === 'Open'`)
	if n := published(t, m); n != 1 {
		t.Errorf("%d tasks are published; want 1", n)
	}
	// A refused form comes back with what was typed, also when loaded again.
	b.publishByHand("No")
	b.click(`.form-foot .btn-cta`)
	for range 2 {
		b.until(`document.readyState === 'complete' && document.querySelector('.error-summary') && document.querySelector('#title').value === 'No' && document.querySelector('#brief').value.startsWith('Say what')`)
		b.do(chromedp.Reload())
	}
}

// TestImpatience clicks twice, and sends twice past the script that prevents
// it: one task, one payout.
func TestImpatience(t *testing.T) {
	w := theWorld(t)
	m := join(t, w.url, fresh("impatient"))
	agent := register(t, w.url, fresh("steady"))
	b := newTab(t, w.url).as(m)
	for i, publish := range []func(){
		func() { b.clickTwice(`.form-foot .btn-cta`) },
		func() {
			eval[int](b, `(f => { f.submit(); f.submit(); return 1 })(document.querySelector('.publish'))`)
		},
	} {
		b.publishByHand(fmt.Sprint("Describe picture ", i))
		publish()
		b.until(`location.pathname.length > 20 && document.querySelector('#status')`)
		if n := published(t, m); n != i+1 {
			t.Fatalf("%d tasks are published; want %d", n, i+1)
		}
	}
	paid := 0
	for i, accept := range []func(){
		func() { b.clickTwice(`.decide-accept button`) },
		func() {
			eval[int](b, `(f => { f.submit(); f.submit(); return 1 })(document.querySelector('.decide-accept'))`)
		},
	} {
		path := m.publish(t, wordsTask(fmt.Sprint("Pay once ", i), 30, false))
		agent.deliver(t, path, words, "Done.")
		b.open(path)
		b.until(`document.readyState === 'complete' && document.querySelector('.decide-accept')`)
		accept()
		b.until(`document.readyState === 'complete' && document.querySelector('.task-head .state')?.textContent.trim() === 'Settled'`)
		paid += 30
		wallet := agent.must(t, "GET", "/agent/wallet", "")
		if holds, sum := wallet["holds"].([]any), wallet["earned"].(map[string]any)["pending"]; len(holds) != i+1 || sum != float64(paid) {
			t.Fatalf("%d payouts of %v; want %d of %d", len(holds), sum, i+1, paid)
		}
	}
}

// TestSessionEndsWhileTyping sends a form without a session, logs in and sends
// the same again.
func TestSessionEndsWhileTyping(t *testing.T) {
	w := theWorld(t)
	m := join(t, w.url, fresh("sleepy"))
	b := newTab(t, w.url).as(m)
	b.publishByHand("Describe what was nearly lost")
	call(b, network.DeleteCookies, network.DeleteCookiesParams{Name: "session", URL: b.url})
	b.click(`.form-foot .btn-cta`)
	b.until(`document.querySelector('form[action="/login"] [name=resume]') && document.readyState === 'complete'`)
	b.fill(map[string]string{"email": m.email(), "password": password})
	b.click(`form[action="/login"] button`)
	b.until(`document.querySelector('form[action="/tasks"] [name=title]')?.value === 'Describe what was nearly lost'`)
	b.click(`form[action="/tasks"] button`)
	b.until(`location.pathname.length > 20 && document.querySelector('h1')?.textContent === 'Describe what was nearly lost' && ` + flashText)
	if n := published(t, m); n != 1 {
		t.Errorf("%d tasks are published; want 1", n)
	}
}

// TestPreferencesStay changes theme and language where one stands.
func TestPreferencesStay(t *testing.T) {
	w := theWorld(t)
	b := newTab(t, w.url)
	const query = "/market?minReward=50&q=drawer&skills=csv"
	b.open(query)
	here := `document.readyState === 'complete' && location.pathname + location.search === '` + query + `' && document.querySelector('#q').value === 'drawer' && document.querySelector('input[name=skills][value=csv]').checked && `
	for _, step := range [][2]string{
		{`[name=theme][value=dark]`, `document.documentElement.dataset.theme === 'dark' && getComputedStyle(document.body).colorScheme !== 'light'`},
		{`[name=lang][value="zh-CN"]`, `document.documentElement.lang === 'zh-CN' && document.documentElement.dataset.theme === 'dark' && /[\u4e00-\u9fff]/.test(document.querySelector('h1').textContent)`},
		{`[name=theme][value=light]`, `document.documentElement.dataset.theme === 'light' && document.documentElement.lang === 'zh-CN'`},
		{`[name=lang][value=en]`, `document.documentElement.lang === 'en'`},
		{`[name=theme][value=""]`, `document.documentElement.dataset.theme === ''`},
	} {
		b.click(`.menu > summary`)
		b.click(step[0])
		b.until(here + step[1])
	}
	// After a filter was swapped in place the way back is that of the address.
	b.open("/market")
	b.click(`input[name=skills][value=ocr]`)
	b.until(`location.search === '?skills=ocr' && document.querySelector('.chip')`)
	b.click(`.menu > summary`)
	b.click(`[name=theme][value=dark]`)
	b.until(`document.readyState === 'complete' && document.documentElement.dataset.theme === 'dark'`)
	if at := eval[string](b, "location.search"); at != "?skills=ocr" {
		t.Errorf("choosing a theme led to %s", at)
	}
}
