package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// seen is true in the browser while the element is on the screen.
func seen(selector string) string {
	return fmt.Sprintf(`(e => e && e.checkVisibility() && (r => r.bottom > 0 && r.top < innerHeight)(e.getBoundingClientRect()))(document.querySelector(%s))`, quote(selector))
}

// TestReadAnOutput folds a document, follows the evidence of a check into what
// is folded, and reads its texts as what they are, with and without JavaScript.
func TestReadAnOutput(t *testing.T) {
	w := theWorld(t)
	for _, scripts := range []bool{true, false} {
		t.Run(fmt.Sprintf("scripts=%v", scripts), func(t *testing.T) {
			b := newTab(t, w.url).as(w.mara)
			if !scripts {
				b.withoutScripts()
			}
			b.open(w.report + "/review")
			b.until(`document.readyState === 'complete' && document.querySelectorAll('.json details[open]').length >= 7`)
			if n := eval[int](b, `document.querySelectorAll('.json details:not([open])').length`); n != 0 {
				t.Errorf("%d parts are folded before anybody asked", n)
			}
			eval[int](b, `(addEventListener('hashchange', () => { window.__went = true }), 1)`)
			for range 2 { // the second time the address stays as it is
				b.clickAt(`#L11`)
				b.until(`!document.querySelector('#L29').checkVisibility() && document.querySelector('#L11').checkVisibility() && getComputedStyle(document.querySelector('#L11').parentElement, '::after').content === '"… 3 items"'`)
				b.clickAt(`.verdict a[href="#L29"]`)
				b.until(seen(`#L29:target`) + ` && document.querySelector('#L29').innerText.trim() === '"gull": 128,'`)
				if scripts {
					b.until(`window.__went`) // a fold before that is undone
				}
			}
			b.clickAt(`#L20`)
			if eval[int](b, `document.querySelectorAll('.json details:not([open])').length`) != 0 {
				t.Error("a line that opens nothing folds something")
			}

			// The report is set, and as it was written on demand.
			b.until(`document.querySelector('.view .prose table') && document.querySelector('.prose').checkVisibility() && !document.querySelector('#Lt0-text').checkVisibility() && document.querySelector('.prose a').rel.includes('noreferrer')`)
			b.clickAt(`[name="Lt0-view"][value=text]`)
			b.until(`!document.querySelector('.prose').checkVisibility() && document.querySelector('#Lt0-text').checkVisibility() && document.querySelector('#Lt0-1').innerText.trim() === '# Birds on the Alster'`)
			b.clickAt(`[name="Lt0-view"][value=set]`)
			b.until(`document.querySelector('.prose').checkVisibility()`)

			// So is the table within the document, and one that is all there is.
			b.until(`document.querySelector('#Lt1-row3').innerText.replace(/\s+/g, ' ').trim() === '3 Mill pond Mute swan 6'`)
			b.open(w.sheet + "/review")
			b.until(`document.readyState === 'complete' && document.querySelectorAll('.grid tbody tr').length === 6 && document.querySelectorAll('.grid thead th').length === 5 && document.querySelector('.grid').checkVisibility()`)
			b.until(`document.querySelector('#Lrow4 td:last-child').innerText === '=SUM(C2:C3)' && document.querySelector('#Lrow2 td:last-child').innerText === 'two adults, two young' && ` + text(".grid caption", "6 rows."))
			b.clickAt(`[name="Lview"][value=text]`)
			b.until(`!document.querySelector('.grid').checkVisibility() && document.querySelector('#L4').innerText.trim() === 'Mill pond,Mute swan,6,"=SUM(C2:C3)"'`)
		})
	}
}

// TestFoldWithKeysAndCopy uses what scripts add to a document: keys that go
// from part to part, a button for all, and a copy that is whole.
func TestFoldWithKeysAndCopy(t *testing.T) {
	w := theWorld(t)
	b := newTab(t, w.url).as(w.mara)
	b.open(w.report + "/review")
	const folded = `document.querySelectorAll('.json details:not([open])').length`
	b.tabTo(`.json summary`)
	b.press(kb.ArrowDown)
	b.until(`document.activeElement.querySelector('#L5')`)
	b.press(kb.ArrowLeft)
	b.until(folded + ` === 1 && !document.querySelector('#L6').checkVisibility()`)
	b.press(kb.ArrowDown)
	b.until(`document.activeElement.querySelector('#L11')`)
	b.press(kb.ArrowUp + kb.ArrowRight)
	b.until(folded + ` === 0`)
	b.press(kb.Enter)
	b.until(folded + ` === 1`)
	b.tabTo(`.view-head [value=set]`) // one stop, not one for each part

	b.clickAt(`[data-fold]`)
	b.until(folded + ` === document.querySelectorAll('.json details').length && ` + text("[data-fold]", "Unfold all"))
	copied := eval[string](b, `(box => { getSelection().selectAllChildren(box); const e = new ClipboardEvent('copy', {bubbles: true, cancelable: true, clipboardData: new DataTransfer()}); box.dispatchEvent(e); return e.clipboardData.getData('text/plain') })(document.querySelector('#Lview .json'))`)
	if want := eval[string](b, `JSON.stringify(`+reportOutput+`, null, 2)`); copied != want {
		t.Errorf("what is folded is copied as %q, want %q", copied, want)
	}
	b.clickAt(`[data-fold]`)
	b.until(folded + ` === 0 && ` + text("[data-fold]", "Fold all"))

	// A link to a line of a text shows the text.
	b.open(w.sheet + "/review#L4")
	b.until(seen(`#L4:target`) + ` && !document.querySelector('.grid').checkVisibility()`)
	b.open(w.sheet + "/review")
	b.until(`document.readyState === 'complete' && document.querySelector('.grid').checkVisibility()`)
}

// TestReadALongOutput opens an output near the limits at a line far down: it
// has its number, its parts fold, and it is where the link leads.
func TestReadALongOutput(t *testing.T) {
	w := theWorld(t)
	id := w.mara.publish(t, map[string]string{"title": "Number ten thousand coins", "brief": "Give every coin of the list a number of its own.", "skills": "json", "reward": "5",
		"rules.0.kind": "manual", "rules.0.name": "numbered", "rules.0.text": "No number is missing.", "claimMinutes": "60", "reviewHours": "72", "maxAttempts": "3"})
	coins := make([]string, 2_490) // of 8 nodes and 9 lines each
	for i := range coins {
		coins[i] = fmt.Sprintf(`{"n":%d,"a":0,"b":0,"c":0,"d":0,"e":0,"f":0}`, i)
	}
	w.worker.deliver(t, id, "["+strings.Join(coins, ",")+"]", "All coins.")
	b := newTab(t, w.url).as(w.mara)
	b.open(id + "/review#L21603")
	b.until(`document.readyState === 'complete' && document.querySelectorAll('.json .line').length === 22412 && document.querySelectorAll('.json details[open]').length === 2490`)
	b.until(seen(`#L21603:target`) + ` && document.querySelector('#L21603').innerText.trim() === '"n": 2400,'`)
	b.clickAt(`#L21602`)
	b.until(`!document.querySelector('#L21603').checkVisibility() && document.querySelector('#L21602').checkVisibility()`)
}
