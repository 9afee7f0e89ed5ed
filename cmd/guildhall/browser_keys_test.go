package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp/kb"
)

// press types keys into whatever has the focus. A key goes down with its text,
// as on a keyboard: chromedp sends the text afterwards, which then reaches
// whatever the key has moved the focus to.
func (b *tab) press(keys string) {
	b.t.Helper()
	for _, r := range keys {
		events := kb.Encode(r)
		if len(events) == 3 {
			events[0].Text, events[0].UnmodifiedText = events[1].Text, events[1].UnmodifiedText
			events = []*input.DispatchKeyEventParams{events[0], events[2]}
		}
		for _, e := range events {
			call(b, input.DispatchKeyEvent, *e)
		}
	}
}

// focusShows reports whether one can see where the focus is: an outline of two
// pixels on the element, on what it lays over its row, or on its label.
const focusShows = `(e => [getComputedStyle(e), getComputedStyle(e, '::after'), getComputedStyle(e.closest('label, .task') ?? e)].some(s => s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2)
	&& e.matches(':focus-visible, :focus-within'))(document.activeElement)`

// tabTo goes forward with the Tab key until the selector has the focus, and
// looks at every stop on the way whether it can be seen.
func (b *tab) tabTo(selector string) {
	b.t.Helper()
	b.until("document.readyState === 'complete'")
	var stops []string
	for range 80 {
		b.press(kb.Tab)
		type stop struct {
			There, Seen bool
			Name        string
		}
		s := eval[stop](b, fmt.Sprintf(`({there: document.activeElement.matches(%s), seen: document.activeElement === document.body || %s, name: document.activeElement.outerHTML.slice(0, 90)})`, quote(selector), focusShows))
		if !s.Seen {
			b.t.Errorf("the focus cannot be seen on %s", s.Name)
		}
		if s.There {
			return
		}
		stops = append(stops, s.Name)
	}
	b.t.Fatalf("Tab never comes to %s: %q", selector, stops)
}

// TestKeyboardOnly registers, publishes and cancels without a mouse.
func TestKeyboardOnly(t *testing.T) {
	w := theWorld(t)
	b := newTab(t, w.url)
	b.open("/")
	b.until("document.readyState === 'complete'")
	b.press(kb.Tab)
	b.until(`document.activeElement.matches('.skip') && document.activeElement.getBoundingClientRect().top >= 0`)
	b.press(kb.Enter)
	b.until(`location.hash === '#main'`)
	b.press(kb.Tab)
	b.until(`document.activeElement.matches('main a') && ` + focusShows)
	b.open("/")
	b.tabTo(`a[href="/register"]`)
	b.press(kb.Enter)
	b.until(`location.pathname === '/register'`)
	b.tabTo("#handle")
	ada := member{handle: fresh("ada")}
	b.press(ada.handle)
	b.tabTo("#email")
	b.press(ada.email())
	b.tabTo("#password")
	b.press("short\r")
	// The refusal takes the focus; its first link leads to the field.
	b.until(`document.activeElement.matches('[data-error-summary]') && document.querySelector('#password[aria-invalid=true]')`)
	b.tabTo(".error-summary a")
	b.press(kb.Enter)
	b.until(`document.activeElement.id === 'password' && ` + focusShows)
	b.press(password + "\r")
	b.until(`location.pathname === '/market' && document.querySelector('#flash').textContent.includes('ada')`)

	b.tabTo(`a[href="/tasks/new"]`)
	b.press(kb.Enter)
	b.until(`location.pathname === '/tasks/new'`)
	b.tabTo("#title")
	b.press("No")
	b.tabTo(".form-foot .btn-cta")
	b.press(kb.Enter)
	b.until(`document.activeElement.matches('[data-error-summary]')`)
	b.tabTo(".error-summary a")
	b.press(kb.Enter)
	b.until(`document.activeElement.id === 'title'`)
	b.press(kb.End + " more empty titles")
	b.tabTo("#brief")
	b.press("Find a title that says what the task is about.")
	b.tabTo(".form-foot .btn-cta")
	b.press(" ")
	b.until(`location.pathname.length > 20 && document.querySelector('#flash').textContent.includes('100 credits')`)
	path := eval[string](b, "location.pathname")
	b.tabTo(`form[action="` + path + `/cancel"] button`)
	b.press(kb.Enter)
	b.until(`location.pathname === '` + path + `' && document.querySelector('.task-head .state').textContent.trim() === 'Cancelled'`)
	if got := eval[string](b, "document.title"); !strings.HasPrefix(got, "No more empty titles") {
		t.Errorf("the title typed is %q", got)
	}
}

// TestShortcuts presses the keys that do something everywhere.
func TestShortcuts(t *testing.T) {
	w := theWorld(t)
	b := newTab(t, w.url).as(w.newcomer)
	b.open("/market")
	b.tabTo(".menu > summary")
	b.press(kb.Enter)
	b.until(`document.querySelector('.menu').open`)
	b.tabTo(".menu-out button")
	b.press(kb.Escape)
	b.until(`!document.querySelector('.menu').open && document.activeElement.matches('.menu > summary')`)
	b.press("/")
	b.until(`document.activeElement.id === 'q' && document.activeElement.value === ''`)
	b.press("drawer 7\r")
	b.until(`location.search === '?q=drawer+7' && document.querySelectorAll('.task').length === 1`)
	b.press("/") // in a field it is a letter
	b.until(`document.querySelector('#q').value === 'drawer 7/'`)
	// Every filter can be reached and used: a box by Space, rewards by arrows.
	b.open("/market")
	b.tabTo(`input[name=skills]`)
	b.press(" ")
	b.until(`location.search.startsWith('?skills=')`)
	b.tabTo(`input[name=minReward]`)
	b.press(kb.ArrowRight)
	b.until(`location.search.includes('minReward=50')`)
	b.tabTo(".chip")
	b.press(kb.Enter)
	b.until(`location.search === '?minReward=50'`)
	b.tabTo(".task-link")
	b.press(kb.Enter)
	b.until(`location.pathname.startsWith('/tasks/') && document.querySelector('#status')`)
	b.tabTo("pre")
	b.tabTo(".foot a")
}
