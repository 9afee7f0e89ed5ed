package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// chromium is the browser of this test run, started by the first test that
// needs it and closed by TestMain.
var chromium struct {
	once sync.Once
	ctx  context.Context
	err  error
	stop func()
}

func startChromium() {
	dir, err := os.MkdirTemp("", "guildhall-chromium-")
	if err != nil {
		chromium.err = err
		return
	}
	path := os.Getenv("CHROMIUM")
	if path == "" {
		path = "chromium"
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(dir),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1440, 900), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(allocator)
	chromium.ctx, chromium.err = ctx, chromedp.Do(ctx)
	chromium.stop = func() {
		_ = chromedp.Cancel(ctx) // closes the browser before its profile goes
		stop()
		stopAllocator()
		os.RemoveAll(dir)
	}
}

// tab is a window of its own, with its own cookies.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string
	// offline says that requests may fail: the server or a file is away.
	offline atomic.Bool
	// insecure says that the address is neither https nor localhost.
	insecure atomic.Bool
}

// watch turns what the page's policy refused into console errors, and adds up
// what moved by itself.
const watch = `addEventListener('securitypolicyviolation', e => console.error('CSP', e.violatedDirective, e.blockedURI, e.sample));
window.__cls = 0; window.__moved = [];
new PerformanceObserver(l => { for (const e of l.getEntries()) if (!e.hadRecentInput) {
	__cls += e.value;
	__moved.push(...e.sources.map(s => [s.node?.nodeName, s.node?.className, JSON.stringify(s.previousRect), JSON.stringify(s.currentRect)].join(' ')));
} }).observe({type: 'layout-shift', buffered: true});`

// unreachable is how the console says that the server or a file is away.
var unreachable = regexp.MustCompile(`net::ERR_|Failed to fetch|network error`)

// newTab opens a window on the site. The test fails on any error in its
// console but those of answers that are refusals.
func newTab(t *testing.T, url string) *tab { t.Helper(); return newTabFor(t, url, 6*time.Minute) }

// newTabFor is newTab for a test that may take so long.
func newTabFor(t *testing.T, url string, most time.Duration) *tab {
	t.Helper()
	chromium.once.Do(startChromium)
	if chromium.err != nil {
		if os.Getenv("CI") == "" {
			t.Skipf("no Chromium: %v", chromium.err)
		}
		t.Fatalf("no Chromium: %v", chromium.err)
	}
	ctx, cancel := chromedp.NewContext(chromium.ctx, chromedp.WithNewBrowserContext())
	ctx, cancelTime := context.WithTimeout(ctx, most)
	t.Cleanup(func() { cancelTime(); cancel() })
	b := &tab{t: t, ctx: ctx, url: url}
	b.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: watch})
		return err
	}))
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			refusal := strings.Contains(m.Text, "the server responded with a status of 4") || b.offline.Load() && unreachable.MatchString(m.Text) ||
				b.insecure.Load() && strings.Contains(m.Text, "untrustworthy")
			if (m.Type == "error" || m.Type == chromedp.ConsoleException) && !refusal {
				t.Errorf("console: %s", m.Text)
			}
		}
	}()
	return b
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.url + path))
}

// travel goes back or forward in the history, after the answer to this is sent.
func (b *tab) travel(delta int) {
	b.t.Helper()
	eval[int](b, fmt.Sprintf("setTimeout(() => history.go(%d)), 1", delta))
}

// withoutScripts makes the tab one without JavaScript.
func (b *tab) withoutScripts() {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
}

func eval[T any](b *tab, script string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", script, err)
	}
	return v
}

// until waits until the expression is true, through navigations.
func (b *tab) until(script string) {
	b.t.Helper()
	var last error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("!!("+script+")"))
		if last = err; err == nil && ok {
			return
		}
	}
	where, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("location.href + ' ' + document.querySelector('main')?.innerText.slice(0, 400)"))
	b.t.Fatalf("never true: %s (%v) at %s", script, last, where)
}

// still waits until htmx has taken up what it has put in, and asks for nothing:
// before, it does not hear what is typed there. Without scripts there is none.
func (b *tab) still() {
	b.t.Helper()
	b.until(`!window.htmx || !document.querySelector('.htmx-request') && [...document.querySelectorAll('#main [hx-post]')].every(e => e.hasAttribute('data-htmx-powered'))`)
}

func (b *tab) click(selector string) {
	b.t.Helper()
	b.until("document.readyState === 'complete' && document.querySelector(" + quote(selector) + ")")
	b.do(chromedp.Click(chromedp.CSS(selector)))
}

// set gives a field its value at once, as a paste or a choice does.
func (b *tab) set(selector, value string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`(e => { if (!e) return false; e.value = %s; for (const n of ['input', 'change']) e.dispatchEvent(new Event(n, {bubbles: true})); return true })(document.querySelector(%s))`,
		quote(value), quote(selector)))
}

// fill types short texts as keys and pastes long ones.
func (b *tab) fill(fields map[string]string) {
	b.t.Helper()
	b.until("document.readyState === 'complete'")
	for name, text := range fields {
		selector := `[name="` + name + `"]`
		b.set(selector, "")
		if len(text) > 60 {
			b.set(selector, text)
			continue
		}
		b.do(chromedp.SendKeys(chromedp.CSS(selector), text))
	}
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string
	}
	return string(b)
}

// person registers through the form and is then in the market.
func (b *tab) person(handle string) {
	b.t.Helper()
	b.open("/register")
	b.fill(map[string]string{"handle": handle, "email": handle + "@example.org", "password": "correct horse battery"})
	b.click(`form[action="/register"] button[type=submit]`)
	b.until(`location.pathname === '/market' && document.querySelector('#flash').textContent.includes('1,000 credits')`)
}

// quickstartTask is README's task as a person types it.
func quickstartTask(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/quickstart/task.json")
	if err != nil {
		t.Fatal(err)
	}
	var task struct {
		Title, Brief          string
		Skills                []string
		Reward                int
		Payload, OutputSchema json.RawMessage
		Rules                 []struct{ Name, Text string }
	}
	if err := json.Unmarshal(text, &task); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{"title": task.Title, "brief": task.Brief, "skills": strings.Join(task.Skills, ", "), "reward": fmt.Sprint(task.Reward),
		"payload": string(task.Payload), "outputSchema": string(task.OutputSchema)}
	for i, r := range task.Rules {
		out[fmt.Sprintf("rules.%d.name", i)], out[fmt.Sprintf("rules.%d.text", i)] = r.Name, r.Text
	}
	return out
}

// runAgent lets the agent of the quick start work once and returns what it
// printed.
func runAgent(t *testing.T, dir, url string) string {
	t.Helper()
	cmd := exec.Command("testdata/quickstart/agent.sh", url)
	cmd.Env = environment(dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("agent.sh: %v\n%s", err, stderr.String())
	}
	return string(out)
}

// TestPersonAndAgent is the main job as people see it, with and without
// JavaScript: a person registers and publishes README's task, the agent in
// shell does it, the person rejects and then accepts, and sees the wallet.
func TestPersonAndAgent(t *testing.T) {
	needsPostgres(t)
	dir := dataDir(t)
	s := start(t, dir)
	for _, scripts := range []bool{true, false} {
		t.Run(fmt.Sprintf("scripts=%v", scripts), func(t *testing.T) {
			b := newTab(t, s.url)
			if !scripts {
				b.withoutScripts()
			}
			b.person(fmt.Sprintf("mara-%v", scripts))
			b.open("/tasks/new")
			b.fill(map[string]string{"title": "ISO", "brief": "x"})
			b.click(`.form-foot .btn-cta`)
			b.until(`document.querySelector('.error-summary') && document.querySelector('#title').value === 'ISO'`)
			if scripts {
				b.until(`document.activeElement.matches('[data-error-summary]')`)
			}
			b.fill(quickstartTask(t))
			b.click(`.form-foot .btn-cta`)
			b.until(`location.pathname.length > 20 && document.querySelector('#flash').textContent.includes('200 credits are in escrow')`)
			path := eval[string](b, "location.pathname")
			b.open("/market?skills=csv")
			b.until(`document.querySelector('.task-link[href="` + path + `"]')`)
			runAgent(t, dir, s.url)
			b.open(path)
			b.until(`document.querySelector('#review .verdict .ok') && document.querySelector('.versus-out').textContent.includes('Afghanistan')`)
			b.click(`.decide-reject summary`)
			b.click(`.decide-reject button[type=submit]`)
			b.until(`document.querySelector('.decide-reject[open] .error-summary')`)
			b.fill(map[string]string{"reason": "Say which rows you dropped."})
			b.set("#rule", eval[string](b, `document.querySelector('#rule option:last-child').value`))
			b.click(`.decide-reject button[type=submit]`)
			b.until(`location.pathname === '` + path + `' && document.querySelector('#flash').textContent.includes('Rejected')`)
			redeliver(t, s.url, dir, strings.TrimPrefix(path, "/tasks/"))
			b.open(path + "/review")
			b.click(`.decide-accept button`)
			b.until(`location.pathname === '` + path + `' && document.querySelector('#flash').textContent.includes('Accepted') && document.querySelector('.task-head .state').textContent.trim() === 'Settled'`)
			b.open("/wallet")
			b.until(`document.querySelector('.bal-main .num').textContent === '800' && document.querySelector('.ledger').textContent.includes('200')`)
			b.click(`.menu > summary`)
			b.click(`form[action="/logout"] button`)
			b.until(`location.pathname === '/' && document.querySelector('a[href="/login"]')`)
		})
	}
	audited(t, dir, 0)
}

// redeliver hands the rejected work in again on the same claim.
func redeliver(t *testing.T, url, dir, task string) {
	t.Helper()
	header, err := os.ReadFile(dir + "/.guildhall-agent")
	if err != nil {
		t.Fatal(err)
	}
	agent := client{url: url, key: strings.TrimSpace(strings.TrimPrefix(string(header), "Authorization: Bearer "))}
	got, ok := agent.call("GET", "/agent/tasks/"+task, "", "")
	claim, _ := got["claim"].(map[string]any)
	list, ok2 := agent.call("GET", "/agent/tasks/"+task+"/deliveries", "", "")
	if !ok || !ok2 || claim == nil {
		t.Fatalf("the agent lost its claim: %v", got)
	}
	output, err := json.Marshal(list["items"].([]any)[0].(map[string]any)["output"])
	if err != nil {
		t.Fatal(err)
	}
	if d, ok := agent.call("POST", "/agent/tasks/"+task+"/deliveries", "", fmt.Sprintf(`{"claimId":%q,"epoch":%v,"output":%s,"summaryText":"Dropped the doubles."}`, claim["claimId"], claim["epoch"], output)); !ok {
		t.Fatalf("deliver again: %v", d)
	}
}

// TestMarketFilters swaps the list in place, keeps the address true and goes
// back and forward.
func TestMarketFilters(t *testing.T) {
	needsPostgres(t)
	dir := dataDir(t)
	s := start(t, dir)
	publisher := register(t, s.url, "publisher")
	for i, skill := range []string{"ocr", "ocr", "charts"} {
		body := fmt.Sprintf(`{"title":"Task %d about %s","brief":"Do what the title says, please.","reward":%d,"skills":[%q]}`, i, skill, 10*(i+1), skill)
		if out, ok := publisher.call("POST", "/agent/tasks", fmt.Sprint("k", i), body); !ok {
			t.Fatalf("publish: %v", out)
		}
	}
	rows := func(n int) string { return fmt.Sprintf("document.querySelectorAll('.task').length === %d", n) }
	b := newTab(t, s.url)
	b.open("/market")
	b.until(rows(3))
	eval[int](b, "window.__mark = 1")
	b.click(`input[name=skills][value=ocr]`)
	b.until(rows(2) + ` && location.search === '?skills=ocr'`)
	b.do(chromedp.SendKeys(chromedp.CSS("#q"), "1"))
	b.until(rows(1) + ` && location.search.includes('q=1')`)
	if eval[string](b, "document.activeElement.id") != "q" || eval[int](b, "window.__mark ?? 0") != 1 {
		t.Error("the focus is lost or the page was loaded again")
	}
	b.set("#sort", "reward")
	b.until(`location.search.includes('sort=reward')`)
	b.travel(-1)
	b.until(`!location.search.includes('sort') && document.querySelector('#q')?.value === '1' && document.querySelector('#sort').value === ''`)
	b.travel(-1)
	b.until(`location.search === '?skills=ocr' && document.querySelector('#q')?.value === '' && ` + rows(2))
	b.travel(1)
	b.until(`location.search.includes('q=1') && ` + rows(1))
	b.click(`.chip`)
	b.until(`!location.search.includes('skills') && document.readyState === 'complete'`) // keys are heard by then
	b.do(chromedp.KeyEvent("/"))
	b.until(`document.activeElement.id === 'q'`)
}
