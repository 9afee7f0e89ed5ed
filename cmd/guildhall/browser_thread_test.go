package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// lastMessage is the newest one on the page.
const lastMessage = `[...document.querySelectorAll('.msg')].at(-1)`

// TestThread is a talk between a person in a browser and an agent by API,
// seen by a stranger in another window, all without loading a page again.
func TestThread(t *testing.T) {
	w := theWorld(t)
	m, agent := join(t, w.url, fresh("thread")), register(t, w.url, fresh("asker"))
	path := m.publish(t, wordsTask("Translate what we talk about", 20, false))
	say := func(text string) { agent.must(t, "POST", "/agent"+path+"/thread", `{"text":`+quote(text)+`}`) }
	b, stranger := newTab(t, w.url).as(m), newTab(t, w.url)
	for _, x := range []*tab{b, stranger} {
		x.open(path)
		x.until(`document.readyState === 'complete' && document.querySelector('#status .live') && document.querySelector('#thread .thread-none')`)
		eval[int](x, "window.__mark = 1")
	}
	// Something is being typed when a message comes, with what it should not do.
	b.do(chromedp.SendKeys(chromedp.CSS("#text"), "The year is"))
	say("Which *year*? <img src=x onerror=\"window.__hurt = 1\"><script>window.__hurt = 1</script> [now](javascript:window.__hurt=1)\n\n![x](" + w.url + "/static/x.png)\n\n<svg onload=\"window.__hurt = 1\">")
	for _, x := range []*tab{b, stranger} {
		x.until(`window.__mark === 1 && document.querySelector('.msg .prose em')?.textContent === 'year' && document.querySelector('#thread-h .count:not(.count-off)').textContent.trim() === '1 new'`)
		if bad := eval[int](x, `document.querySelectorAll('.msg .prose :is(img, script, svg, [href^=javascript])').length + (window.__hurt ?? 0)`); bad != 0 {
			t.Errorf("the message did %d things", bad)
		}
	}
	if got := eval[string](b, `document.activeElement.id + ' ' + document.querySelector('#text').value`); got != "text The year is" {
		t.Errorf("after the message the page has %q", got)
	}
	// The console is told that it was seen.
	other := newTab(t, w.url).as(m)
	other.open("/console")
	other.until(`document.querySelector('.task') && !document.querySelector('.task .count')`)
	b.do(chromedp.SendKeys(chromedp.CSS("#text"), " 2026."))
	b.click(`.ask button`)
	b.until(`!window.__mark && location.pathname === '` + path + `' && document.querySelector('#flash').textContent.includes('in the thread') && document.querySelectorAll('.msg').length === 2 && document.readyState === 'complete'`)
	b.until(lastMessage + `.matches(':target') && ` + lastMessage + `.querySelector('.tag-pub') && ` + lastMessage + `.textContent.includes('The year is 2026.')`)
	stranger.until(`window.__mark === 1 && document.querySelectorAll('.msg').length === 2`)

	// A link to a message leads there without loading the page again, and from
	// anywhere else.
	eval[int](b, "window.__mark = 2")
	first := eval[string](b, `document.querySelector('.msg').id`)
	b.do(chromedp.SendKeys(chromedp.CSS("#text"), "Not sent yet"))
	b.click(`.msg [data-here]`)
	b.until(`window.__mark === 2 && location.hash === '#` + first + `' && document.querySelector('.msg:target')?.id === '` + first + `' && document.querySelector('#text').value === 'Not sent yet'`)
	link := eval[string](b, `document.querySelector('.msg [data-here]').getAttribute('href')`)
	stranger.open(link)
	stranger.until(`document.querySelector('.msg:target')?.id === '` + first + `' && document.querySelector('.msg:target').getBoundingClientRect().top >= 0`)
	if plain, lit := eval[string](stranger, `getComputedStyle(`+lastMessage+`).backgroundColor`), eval[string](stranger, `getComputedStyle(document.querySelector('.msg:target')).backgroundColor`); plain == lit {
		t.Errorf("the message that was linked to looks like the others: %s", lit)
	}

	// A status that changes in between leaves the thread as it is, and the other
	// way round.
	agent.must(t, "POST", "/agent"+path+"/claim", "")
	say("Thank you, I am at work.")
	b.until(`window.__mark === 2 && document.querySelectorAll('.msg').length === 3 && document.querySelector('#status .step-now').textContent.includes('An agent is working') && document.querySelectorAll('#status, #thread-part, #thread-h').length === 3 && document.querySelector('#text').value === 'Not sent yet'`)

	// After the end the publisher is still answered, without loading again.
	other.open(path)
	claim := agent.must(t, "GET", "/agent"+path, "")["claim"].(map[string]any)
	did := agent.must(t, "POST", "/agent"+path+"/deliveries", fmt.Sprintf(`{"claimId":%q,"epoch":%v,"output":%s,"summaryText":"Done."}`, claim["claimId"], claim["epoch"], words))["id"].(string)
	if res := m.post(t, path+"/deliveries/"+did+"/accept", url.Values{}); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("accept: %s", res.Status)
	}
	other.until(`!document.querySelector('#status .live') && document.querySelector('#status .step-now') === null`)
	say("That was a pleasure.")
	other.until(lastMessage + `.textContent.includes('a pleasure')`)
	for _, width := range []int64{320, 1440} {
		b.width(width)
		b.fits(path, width)
	}
}

// TestUnreadThread shows in the console, and in the title of the task, what
// has been written since the task was last looked at.
func TestUnreadThread(t *testing.T) {
	w := theWorld(t)
	m, agent := join(t, w.url, fresh("unread")), register(t, w.url, fresh("asker"))
	path := m.publish(t, wordsTask("Translate what nobody reads", 20, false))
	agent.must(t, "POST", "/agent"+path+"/claim", "")
	for _, text := range []string{"One.", "Two."} {
		agent.must(t, "POST", "/agent"+path+"/thread", `{"text":`+quote(text)+`}`)
	}
	b := newTab(t, w.url).as(m)
	badge := `document.querySelector('.task .count')`
	b.open("/console")
	b.until(badge + `?.textContent.trim() === '2 new'`)
	b.click(`.task-link`) // and is fetched ahead on the way there
	b.until(`document.title.startsWith('(2) Translate') && document.querySelector('.task-head .count').textContent.trim() === '2 new messages' && document.querySelectorAll('.msg .count').length === 2`)
	b.until(`document.querySelector('#status')._htmx?.sse`)
	other := newTab(t, w.url).as(m)
	for range 20 { // the stream tells the server while this page loads
		other.open("/console")
		other.until(`document.querySelector('.task')`)
		if !eval[bool](other, "!!"+badge) {
			break
		}
	}
	other.until(`!` + badge)
	other.open(path)
	other.until(`document.title.startsWith('Translate') && !document.querySelector('.msg .count')`)
}

// TestThreadWithoutScripts writes and reports as a browser without JavaScript.
func TestThreadWithoutScripts(t *testing.T) {
	w := theWorld(t)
	m, visitor := join(t, w.url, fresh("plain")), join(t, w.url, fresh("visitor"))
	path := m.publish(t, wordsTask("Translate without scripts", 20, false))
	b := newTab(t, w.url).as(m)
	b.withoutScripts()
	b.open(path)
	b.click(`.ask button`)
	b.until(`document.querySelector('#thread .error-summary') && document.querySelector('#text-fault')`)
	b.fill(map[string]string{"text": "Take your *time*."})
	b.click(`.ask button`)
	b.until(`location.pathname === '` + path + `' && document.querySelector('.msg:target em')?.textContent === 'time'`)
	v := newTab(t, w.url).as(visitor)
	v.withoutScripts()
	v.open(path)
	v.click(`.report summary`)
	v.set("#reason", "spam")
	v.click(`.report button`)
	v.until(`location.pathname === '` + path + `' && ` + flashText + `.includes('operator')`)
	v.do(chromedp.Reload())
	v.until(`document.querySelector('.report') && !` + flashText)
	v.click(`.msg [href*="report="]`)
	v.until(`document.querySelector('.report[open] blockquote')?.textContent.includes('Take your')`)
	v.set("#reason", "other")
	v.click(`.report button`)
	v.until(`document.querySelector('.msg:target em') && ` + flashText + `.includes('this message')`)
	if !strings.Contains(eval[string](v, `document.querySelector('.msg').innerText`), "Take your time.") {
		t.Error("the visitor does not read the message")
	}
}
