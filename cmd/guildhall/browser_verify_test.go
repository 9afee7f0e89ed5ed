package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
)

// text is true in the browser if the element shows the text.
func text(selector, want string) string {
	return fmt.Sprintf("document.querySelector(%s)?.innerText.replace(/\\s+/g, ' ').includes(%s)", quote(selector), quote(want))
}

// addRule adds a rule of the kind and fills it in.
func (b *tab) addRule(number int, kind string, fields map[string]string) {
	b.t.Helper()
	b.set(`[name=newRule]`, kind)
	b.click(`[name=addRule]`)
	b.until(fmt.Sprintf(`document.querySelector('[name="rules.%d.kind"]')?.value === %s`, number, quote(kind)))
	b.still()
	for member, value := range fields {
		b.set(fmt.Sprintf(`[id="rules.%d.%s"]`, number, member), value)
	}
}

// openSamples opens the samples as a click on their title does.
func (b *tab) openSamples() {
	b.t.Helper()
	b.click(`#samples > summary`)
	b.until(`document.querySelector('#samples').open`)
}

// clickAt clicks in the middle of the window, where nothing covers the element.
func (b *tab) clickAt(selector string) {
	b.t.Helper()
	x, y := b.centre(selector)
	b.do(chromedp.MouseClickXY(x, y))
}

// TestRuleBuilder adds rules, reads them in words, tries them and changes
// their kind, without the page being loaded again.
func TestRuleBuilder(t *testing.T) {
	w := theWorld(t)
	m := join(t, w.url, fresh("builder"))
	b := newTab(t, w.url).as(m)
	b.publishByHand("Count the birds")
	b.set(`[id="rules.0.name"]`, "tone")
	b.set(`[id="rules.0.text"]`, "Says which birds.")
	eval[int](b, "window.__mark = 1")
	b.addRule(1, "range", map[string]string{"name": "few", "pointer": "/birds", "max": "10"})
	// Words follow what is typed, and nothing that was typed is lost.
	b.until(text("#rule-words-1", "/birds is at most 10"))
	b.set(`[id="rules.1.min"]`, "2")
	b.until(text("#rule-words-1", "/birds lies between 2 and 10"))
	b.until(`window.__mark === 1 && document.querySelector('#title').value === 'Count the birds' && document.querySelector('[id="rules.0.text"]').value === 'Says which birds.'`)

	b.openSamples()
	try := func(sample, verdict string) {
		t.Helper()
		b.set(`[id="samples.pass.0"]`, sample)
		b.click(`[name=trySamples]`)
		b.until(text(".sample-result", verdict) + ` && document.querySelector('[id="samples.pass.0"]').value === ` + quote(sample))
	}
	try(`{"birds": 12}`, "Fails, but should pass: Failed: few range: expected at most 10. /birds")
	b.until(text("#samples [role=status]", "0 of 1 sample"))
	try(`{"birds": 4}`, "Passes every check, as it should.")
	b.until(text("#samples [role=status]", "1 of 1 sample"))

	// Another kind keeps what it has in common.
	b.set(`[name="rules.1.kind"]`, "regex")
	b.until(`document.querySelector('[id="rules.1.pattern"]') && !document.querySelector('[id="rules.1.max"]') && document.querySelector('[id="rules.1.pointer"]').value === '/birds'`)
	b.still()
	b.set(`[id="rules.1.pattern"]`, "^[a-z]+$")
	b.until(text("#rule-words-1", "/birds matches ^[a-z]+$"))
	try(`{"birds": "two"}`, "Passes every check, as it should.")
	try(`{"birds": "Two"}`, "Fails, but should pass: Failed: few")
	b.set(`[id="rules.1.pattern"]`, "(")
	b.click(`[name=trySamples]`)
	b.until(`document.activeElement.matches('.error-summary') && ` + text(`[id="rules.1.pattern-fault"]`, "regular expression"))
	b.click(`[name=dropRule][value="1"]`)
	b.until(`document.querySelectorAll('.rule-row').length === 1 && document.querySelector('[id="rules.0.name"]').value === 'tone'`)
	if eval[int](b, "window.__mark ?? 0") != 1 || published(t, m) != 0 {
		t.Error("helping loaded the page again or published the task")
	}
}

// TestPublishWithoutAReview tries samples of both sorts until they do what they
// should, with and without JavaScript, and publishes a task that pays at once.
func TestPublishWithoutAReview(t *testing.T) {
	w := theWorld(t)
	agent := register(t, w.url, fresh("quick"))
	for _, scripts := range []bool{true, false} {
		t.Run(fmt.Sprintf("scripts=%v", scripts), func(t *testing.T) {
			m := join(t, w.url, fresh("trusting"))
			b := newTab(t, w.url).as(m)
			if !scripts {
				b.withoutScripts()
			}
			b.publishByHand("Count the birds")
			b.set("#outputSchema", `{"type":"object","required":["birds"],"properties":{"birds":{"type":"integer"}}}`)
			b.addRule(1, "range", map[string]string{"name": "few", "pointer": "/birds", "max": "10"})
			if scripts {
				b.openSamples()
			} else {
				b.click(`#samples > summary`)
			}
			b.clickAt(`#autoAccept`)
			b.set("#reward", "25")
			b.click(`.form-foot .btn-cta`)
			b.until(text("#autoAccept-fault", "at least one that must pass and one that must fail") + ` && document.querySelector('#autoAccept').checked && document.querySelector('#samples').open`)
			b.set(`[id="samples.pass.0"]`, `{"birds": 11}`)
			b.set(`[id="samples.fail.0"]`, `{"birds": "many"}`)
			b.click(`[name=addSample][value=fail]`)
			b.set(`[id="samples.fail.1"]`, `{"birds": 9}`)
			b.click(`[name=trySamples]`)
			b.until(text("#samples [role=status]", "1 of 3 samples"))
			results := eval[[]string](b, `[...document.querySelectorAll('.sample-result')].map(e => e.innerText.replace(/\s+/g, ' ').trim())`)
			for i, want := range []string{"Fails, but should pass: Failed: few", "Fails, as it should: Failed: schema", "Passes every check, but should fail."} {
				if len(results) != 3 || !strings.HasPrefix(results[i], want) {
					t.Fatalf("the samples say %q, want %q", results, want)
				}
			}
			// Publishing says the same, and keeps what was typed.
			b.click(`.form-foot .btn-cta`)
			b.until(text(".error-summary", "Must fail 2: This sample should fail but passes every check.") + ` && ` + text(`[id="samples.pass.0-fault"]`, "few /birds") + ` && document.querySelector('[id="samples.fail.1"]').value === '{"birds": 9}'`)
			b.set(`[id="samples.pass.0"]`, `{"birds": 9}`)
			b.set(`[id="samples.fail.1"]`, `{"birds": 11}`)
			b.click(`[name=trySamples]`)
			b.until(text("#samples [role=status]", "3 of 3 samples") + ` && document.querySelector('#autoAccept').checked`)
			if n := published(t, m); n != 0 {
				t.Fatalf("%d tasks are published before anybody said so", n)
			}
			b.click(`.form-foot .btn-cta`)
			b.until(`location.pathname.length > 20 && ` + text(".ticket", "none: paid when its checks pass"))
			path := eval[string](b, "location.pathname")
			b.click(`#samples > summary`)
			b.until(text("[id='samples.fail.0']", "Fails, as it should: Failed: schema") + ` && ` + text("[id='samples.fail.0'] .json", `"many"`) + ` && ` + text("[id='samples.pass.0']", "Passes every check, as it should."))
			stranger := newTab(t, w.url)
			stranger.open(path)
			stranger.until(`document.querySelector('#status')`)
			if eval[bool](stranger, `document.documentElement.outerHTML.includes('many')`) {
				t.Error("the task shows its samples to everybody")
			}
			agent.deliver(t, path, `{"birds": 7}`, "Seven.")
			b.open(path)
			b.until(text(".task-head .state", "Settled") + ` && ` + text("#status", "Passed its checks, accepted and paid at once"))
			b.open("/wallet")
			b.until(`document.querySelector('.bal-main .num').textContent === '975'`)
		})
	}
}

// TestFailsThenPasses sees why an agent's first delivery failed, what it
// changed in the second, and accepts that.
func TestFailsThenPasses(t *testing.T) {
	w := theWorld(t)
	m, agent := join(t, w.url, fresh("reader")), register(t, w.url, fresh("learner"))
	b := newTab(t, w.url).as(m)
	b.publishByHand("Name the capitals")
	b.addRule(1, "length", map[string]string{"name": "three of them", "pointer": "/capitals", "minLength": "3"})
	b.addRule(2, "regex", map[string]string{"name": "a code", "pointer": "/country", "pattern": "^[A-Z]{2}$"})
	b.addRule(3, "equals", map[string]string{"name": "version", "pointer": "/v", "equals": "1"})
	b.click(`.form-foot .btn-cta`)
	b.until(`location.pathname.length > 20 && document.querySelector('#status')`)
	path := eval[string](b, "location.pathname")
	claim := agent.must(t, "POST", "/agent"+path+"/claim", "")["claim"].(map[string]any)
	agent.deliverFails(t, path, claim, `{"v":1,"country":"za","capitals":["Pretoria","Cape Town"]}`)

	b.open(path)
	b.until(text(".status", "Delivery failed its checks") + ` && ` + text(".table-rows .state-failed, .table-rows .state", "Failed"))
	b.click(`a[href^="` + path + `/deliveries/"]`)
	b.until(`document.querySelectorAll('.verdict.is-bad').length === 2 && document.querySelectorAll('.verdict:not(.is-bad)').length === 1`)
	failed := eval[string](b, "location.pathname")
	for i, want := range []struct{ rule, evidence, line string }{{"three of them", "length: expected at least 3 items, found 2.", `"capitals"`}, {"a code", "regex", `"country"`}} {
		check := eval[string](b, fmt.Sprintf(`document.querySelectorAll('.verdict.is-bad')[%d].innerText.replace(/\s+/g, ' ')`, i))
		if !strings.Contains(check, want.rule) || !strings.Contains(check, want.evidence) {
			t.Errorf("check %d says %q, want %q and %q", i, check, want.rule, want.evidence)
		}
		// The evidence leads to the line of the output.
		line := eval[string](b, fmt.Sprintf(`document.querySelector(document.querySelectorAll('.verdict.is-bad')[%d].querySelector('a').getAttribute('href')).closest('.line').innerText`, i))
		if !strings.Contains(line, want.line) {
			t.Errorf("the evidence of %s leads to %q, want %q", want.rule, line, want.line)
		}
	}

	agent.must(t, "POST", "/agent"+path+"/deliveries", packed(t, claim, `{"v":1,"country":"ZA","capitals":["Pretoria","Cape Town","Bloemfontein"]}`, "All three."))
	b.open(path + "/review")
	b.until(text(".score", "3/3") + ` && document.querySelectorAll('.verdict.is-bad').length === 0`)
	removed := eval[string](b, `[...document.querySelectorAll('#changes del')].map(e => e.innerText.trim()).join('|')`)
	added := eval[string](b, `[...document.querySelectorAll('#changes ins')].map(e => e.innerText.trim()).join('|')`)
	if !strings.Contains(removed, `"za"`) || strings.Contains(removed, "Pretoria") || !strings.Contains(added, `"ZA"`) || !strings.Contains(added, "Bloemfontein") {
		t.Errorf("between the attempts went %q and came %q", removed, added)
	}
	b.until(text("#changes", "passes now: three of them, a code") + ` && document.querySelector('#changes a').getAttribute('href') === ` + quote(failed))
	b.click(`.decide-accept button`)
	b.until(`location.pathname === '` + path + `' && ` + text(".task-head .state", "Settled"))
}

// TestFilesThereAndBack sends files with the form, also with one that was
// refused, and downloads one as the browser does.
func TestFilesThereAndBack(t *testing.T) {
	w := theWorld(t)
	m := join(t, w.url, fresh("archivist"))
	dir := dataDir(t)
	page := []byte("<!doctype html><script>document.title = 'run'</script>\x00\xff\r\n")
	local, second := filepath.Join(dir, "notes & scans.html"), filepath.Join(dir, "second.csv")
	for path, content := range map[string][]byte{local: page, second: []byte("a,b\n1,2\n")} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	choose := func(b *tab, path string) {
		t.Helper()
		b.until(`document.readyState === 'complete' && document.querySelector('#attachments')`)
		b.do(chromedp.SetUploadFiles(chromedp.CSS("#attachments"), []string{path}))
	}
	b := newTab(t, w.url).as(m)
	b.publishByHand("x") // too short
	choose(b, local)
	b.click(`.form-foot .btn-cta`)
	b.until(`document.querySelector('.error-summary') && ` + text(".checks", "notes & scans.html"))
	b.fill(map[string]string{"title": "Read the scans"})
	choose(b, second)
	// A file goes along when the form is only helped with, and stays.
	b.addRule(1, "range", map[string]string{"name": "few", "max": "10"})
	b.until(`document.querySelector('#title').value === 'Read the scans' && ` + text(".checks", "second.csv"))
	b.click(`.form-foot .btn-cta`)
	b.until(`location.pathname.length > 20 && document.querySelectorAll('.attach a').length === 2`)
	if listed := eval[string](b, `document.querySelector('.attach').innerText`); !strings.Contains(listed, "notes & scans.html") || !strings.Contains(listed, "second.csv") || !strings.Contains(listed, fmt.Sprint(len(page))) {
		t.Errorf("the task lists %q", listed)
	}
	href := eval[string](b, `document.querySelector('.attach a').getAttribute('href')`)
	sum := sha256.Sum256(page)
	if !strings.HasPrefix(href, "/attachments/"+hex.EncodeToString(sum[:])) {
		t.Errorf("the file is at %s, want its own hash", href)
	}

	// The browser saves it under its name and shows nothing of it.
	if _, err := chromedp.CallBrowser(b.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{Behavior: browser.SetDownloadBehaviorBehaviorAllow,
		BrowserContextID: chromedp.FromContext(b.ctx).BrowserContextID, DownloadPath: dir}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(local); err != nil {
		t.Fatal(err)
	}
	task := eval[string](b, "location.href")
	b.click(`.attach a`)
	var saved []byte
	b.until(`document.readyState === 'complete'`)
	for range 200 {
		if saved, _ = os.ReadFile(local); len(saved) == len(page) {
			break
		}
		eval[int](b, `new Promise(done => setTimeout(() => done(1), 50))`)
	}
	if string(saved) != string(page) {
		files, _ := os.ReadDir(dir)
		t.Errorf("the browser saved %q, want what was sent; the folder holds %v", saved, files)
	}
	if now := eval[string](b, "location.href + ' ' + document.title"); !strings.HasPrefix(now, task+" ") || strings.Contains(now, "run") {
		t.Errorf("the download led to %s", now)
	}
	res := m.request(t, http.MethodGet, href, nil)
	body, err := io.ReadAll(res.Body)
	if err != nil || string(body) != string(page) {
		t.Errorf("the file is %q (%v)", body, err)
	}
	for header, want := range map[string]string{"Content-Disposition": "attachment; filename*=UTF-8''notes%20&%20scans.html", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"} {
		if got := res.Header.Get(header); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
}
