package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// shared is the world of this test run, made by the first test that needs it
// and stopped by TestMain.
var shared worldOnce

type worldOnce struct {
	once sync.Once
	dir  string
	site *site
	w    *world
}

func (o *worldOnce) stop() {
	if o.site != nil {
		o.site.stop()
	}
	if o.dir != "" {
		os.RemoveAll(o.dir)
	}
}

// world is a site with something on every page. Tests that change anything
// make their own accounts and tasks there, so that none sees another's.
type world struct {
	url string
	// mara has a task in every state, newcomer has nothing.
	mara, newcomer member
	// worker claims and delivers, atelier fills the market.
	worker, atelier client
	// agent is the worker's handle
	agent string
	// paths of mara's tasks
	open, claimed, pending, settled, rejected string
	// paths of decided deliveries
	accepted, refused string
	// judge decides cases; many is mara's task in open mode with waiting its
	// first delivery, unfair and undone the pages of an open and a decided case
	judge                         member
	many, waiting, unfair, undone string
	// copied is a delivery whose output another agent had handed in before
	copied string
	// reported is the page of an open report, of a task that has two; insulted
	// that of a report of a message on open
	reported, insulted string
	// good is an operator's page of a good; ordered, coded and turned are mara's
	// orders: in review, fulfilled and refused; held is ordered for operators
	good, ordered, coded, turned, held string
	// soldOut is an operator's page of a good without codes
	soldOut string
	// bad is mara's order whose code is said to be bad, faulty is a revealed
	// one, doubted the operators' page of bad, back was refunded
	bad, faulty, doubted, back string
	// sheet and report are mara's tasks with deliveries that wait: a table, and
	// a document with a table and Markdown in it; sampled has samples
	sheet, report, sampled string
	// hook is the page of mara's webhook, which cannot be reached
	hook string
	// banned was suspended, halted is its task, stopped its page for operators;
	// file is the worker's
	banned                member
	halted, stopped, file string
	// flag is the page of a flag of it
	flag string
	// keeper manages agents
	keeper member
	// waiter waits for approval, patient is its page for operators; turnedAway
	// was not approved
	waiter, turnedAway member
	patient            string
	// bundle is the page of a bundle of mara's that is used, leaked that of one
	// whose code was sent twice
	bundle, leaked string
	// guarded has a second factor and more than one session, careful is somebody
	// else each time
	guarded, careful member
	// reset is the path of a link for a new password
	reset string
	// sealed is mara's task with protected fields that the worker asked for
	sealed string
}

func theWorld(t *testing.T) *world {
	t.Helper()
	needsPostgres(t)
	shared.once.Do(func() {
		var err error
		if shared.dir, err = os.MkdirTemp("", "guildhall-world-"); err != nil {
			t.Fatal(err)
		}
		if shared.site, err = launch(shared.dir, "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		w := fill(t, shared.site.url)
		w.fillCases(t, shared.dir)
		w.fillOutputs(t)
		w.fillBundles(t)
		w.fillBindings(t)
		w.fillSecurity(t, shared.dir)
		w.fillWebhooks(t)
		w.fillSealed(t)
		shared.w = w
	})
	if shared.w == nil {
		t.Fatal("the site that the tests share did not start")
	}
	return shared.w
}

// member is a person with a session.
type member struct{ url, handle, session string }

func (m member) email() string { return m.handle + "@example.org" }

const password = "correct horse battery"

// join registers a person as the form does, only faster.
func join(t *testing.T, site, handle string) member {
	t.Helper()
	m := member{url: site, handle: handle}
	res := m.post(t, "/register", url.Values{"handle": {handle}, "email": {m.email()}, "password": {password}})
	for _, c := range res.Cookies() {
		if c.Name == "session" {
			m.session = c.Value
		}
	}
	if m.session == "" {
		t.Fatalf("register %s: %s", handle, res.Status)
	}
	return m
}

func (m member) request(t *testing.T, method, path string, body io.Reader) *http.Response {
	t.Helper()
	req, err := http.NewRequest(method, m.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if m.session != "" {
		req.AddCookie(&http.Cookie{Name: "session", Value: m.session})
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

// post sends a form; the answer is the redirect itself.
func (m member) post(t *testing.T, path string, form url.Values) *http.Response {
	t.Helper()
	return m.request(t, http.MethodPost, path, strings.NewReader(form.Encode()))
}

// publish returns the path of the member's new task.
func (m member) publish(t *testing.T, fields map[string]string) string {
	t.Helper()
	form := url.Values{"idempotencyKey": {rand.Text()}}
	for name, value := range fields {
		form.Set(name, value)
	}
	res := m.post(t, "/tasks", form)
	path := res.Header.Get("Location")
	if res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(path, "/tasks/") {
		t.Fatalf("publish %v: %s", fields, res.Status)
	}
	return path
}

// must is call where a refusal is the end of the test.
func (c client) must(t *testing.T, method, path, body string) map[string]any {
	t.Helper()
	out, ok := c.call(method, path, rand.Text(), body)
	if !ok {
		t.Fatalf("%s %s: %v", method, path, out)
	}
	return out
}

// deliver claims the task at the path and delivers the output.
func (c client) deliver(t *testing.T, path, output, summary string) string {
	t.Helper()
	claim := c.must(t, "POST", "/agent"+path+"/claim", "")["claim"].(map[string]any)
	return c.must(t, "POST", "/agent"+path+"/deliveries", packed(t, claim, output, summary))["id"].(string)
}

// deliverFails hands in an output that must fail its checks, on the claim.
func (c client) deliverFails(t *testing.T, path string, claim map[string]any, output string) {
	t.Helper()
	out, ok := c.call("POST", "/agent"+path+"/deliveries", "", packed(t, claim, output, "Done."))
	if ok || out["code"] != "verification_failed" {
		t.Fatalf("delivering %s: %v", output, out)
	}
}

func packed(t *testing.T, claim map[string]any, output, summary string) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"claimId": claim["claimId"], "epoch": claim["epoch"], "output": json.RawMessage(output), "summaryText": summary})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// wordsTask asks for words; checked asks a machine to look at them.
func wordsTask(title string, reward int, checked bool) map[string]string {
	f := map[string]string{"title": title, "brief": "Translate the words of the payload.\n\n- keep their **order**\n- `en` is the word, `zh` its translation",
		"skills": "translation, json", "reward": fmt.Sprint(reward), "payload": `{"words":["guild","hall"]}`, "rules.0.kind": "manual", "rules.0.name": "tone", "rules.0.text": "The words are what people say.",
		"claimMinutes": "60", "reviewHours": "72", "maxAttempts": "3"}
	if checked {
		f["outputSchema"] = `{"type":"object","required":["words"],"properties":{"words":{"type":"array","minItems":2,"items":{"type":"object","required":["en","zh"]}}}}`
	}
	return f
}

const words = `{"words":[{"en":"guild","zh":"行会"},{"en":"hall","zh":"大厅"}]}`

func fill(t *testing.T, site string) *world {
	t.Helper()
	w := &world{url: site, mara: join(t, site, "mara"), newcomer: join(t, site, "newcomer"), worker: register(t, site, "lexicon"), atelier: register(t, site, "atelier"), agent: "lexicon"}
	w.worker.must(t, "PATCH", "/agent/me", `{"displayName":"Lexicon","description":"Translates **short** texts.","skills":["translation","json"]}`)
	w.mara.post(t, "/settings", url.Values{"displayName": {"Mara Lind"}, "description": {"Runs a small *dictionary*."}})
	skills := []string{"ocr", "csv", "json", "charts", "translation", "go", "sql", "web", "audio", "video", "maps", "law", "chemistry"}
	for i := range 24 {
		w.atelier.must(t, "POST", "/agent/tasks", fmt.Sprintf(`{"title":"Sort the parts of drawer %d","brief":"Every part once, by size, with the drawer that it belongs to.","reward":%d,"skills":[%q,%q]}`,
			i+1, 5+i*3, skills[i%len(skills)], skills[(i*5+3)%len(skills)]))
	}
	w.open = w.mara.publish(t, wordsTask("Translate the signs of the hall", 120, true))
	w.claimed = w.mara.publish(t, wordsTask("Translate the opening hours", 40, false))
	w.pending = w.mara.publish(t, wordsTask("Translate the door plates", 150, true))
	w.settled = w.mara.publish(t, wordsTask("Translate the menu", 90, true))
	w.rejected = w.mara.publish(t, wordsTask("Translate the letter", 60, true))
	w.atelier.must(t, "POST", "/agent"+w.open+"/thread", `{"text":"The sign at the side door says `+"`Guild-hall`"+`, with a hyphen. **One word or two?**"}`)
	w.mara.post(t, w.open+"/thread", url.Values{"text": {"One word. The hyphen is the painter's:\n\n> guildhall\n\n| en | zh |\n|---|---|\n| guildhall | 行会大厅 |"}})
	w.worker.must(t, "POST", "/agent"+w.open+"/thread", `{"text":"请问需要繁体字吗？"}`)
	w.worker.must(t, "POST", "/agent"+w.claimed+"/claim", "")
	w.worker.must(t, "POST", "/agent"+w.claimed+"/thread", `{"text":"I begin with the winter hours."}`)
	claim := w.worker.must(t, "POST", "/agent"+w.pending+"/claim", "")["claim"].(map[string]any)
	w.worker.deliverFails(t, w.pending, claim, `{"words":[{"en":"guild","zh":"公会"}]}`)
	w.worker.must(t, "POST", "/agent"+w.pending+"/deliveries", packed(t, claim, words, "Both words, in their order."))
	decide := func(task, how string, form url.Values) string {
		path := task + "/deliveries/" + w.worker.deliver(t, task, words, "Both words.")
		if res := w.mara.post(t, path+"/"+how, form); res.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s: %s", how, res.Status)
		}
		return path
	}
	w.accepted = decide(w.settled, "accept", url.Values{})
	w.refused = decide(w.rejected, "reject", url.Values{"reason": {"Nobody says it like this."}, "rule": {"tone"}})
	return w
}

// as gives the tab the member's session.
func (b *tab) as(m member) *tab {
	b.t.Helper()
	b.cookie("session", m.session)
	return b
}

func (b *tab) cookie(name, value string) {
	b.t.Helper()
	call(b, network.SetCookie, network.SetCookieParams{Name: name, Value: value, URL: b.url})
}

// call sends a DevTools command to the tab.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	out, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.t.Fatalf("%s: %v", command.Method, err)
	}
	return out
}

// fresh is a handle that no other test, and no other run of this one, has.
func fresh(name string) string { return name + "-" + strings.ToLower(rand.Text()[:8]) }

// operator makes the person of the site in dir one who decides cases.
func operator(t *testing.T, dir string, m member) {
	t.Helper()
	grant := exec.Command(program, "admin", "grant", "--handle", m.handle)
	grant.Env = environment(dir)
	if out, err := grant.CombinedOutput(); err != nil {
		t.Fatalf("make %s an operator: %v: %s", m.handle, err, out)
	}
}

// manyTask asks for words in open mode, with two rewards.
func manyTask(title string) map[string]string {
	f := wordsTask(title, 15, true)
	f["mode"], f["maxAccepted"] = "open", "2"
	return f
}

// deliverOpen delivers to the open-mode task at the path.
func (c client) deliverOpen(t *testing.T, path, summary string) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"output": json.RawMessage(words), "summaryText": summary})
	if err != nil {
		t.Fatal(err)
	}
	return path + "/deliveries/" + c.must(t, "POST", "/agent"+path+"/deliveries", string(body))["id"].(string)
}

// appeal appeals the rejected delivery at the path and returns its case's page.
func (c client) appeal(t *testing.T, path, text string) string {
	t.Helper()
	d := c.must(t, "POST", "/agent"+path+"/appeal", fmt.Sprintf(`{"text":%q}`, text))
	return "/admin/cases/" + d["cases"].([]any)[0].(map[string]any)["id"].(string)
}

// invite registers two agents with the member's code, of which one earns it
// the bonus.
func (w *world) invite(t *testing.T, m member) {
	t.Helper()
	page, err := goquery.NewDocumentFromReader(m.request(t, http.MethodGet, "/referrals", nil).Body)
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(page.Find("#invite-link").AttrOr("value", ""), "ref=")
	out := w.worker.must(t, "POST", "/agents/register", fmt.Sprintf(`{"handle":%q,"referralCode":%q}`, "fledgling", code))
	w.worker.must(t, "POST", "/agents/register", fmt.Sprintf(`{"handle":%q,"referralCode":%q}`, "late-riser", code))
	guest := client{url: w.url, key: out["apiKey"].(string)}
	task := "/tasks/" + w.atelier.must(t, "POST", "/agent/tasks", `{"title":"Count the drawers","brief":"All of them, once.","reward":7}`)["id"].(string)
	w.atelier.must(t, "POST", "/agent"+task+"/deliveries/"+guest.deliver(t, task, `24`, "Counted twice.")+"/accept", "")
}

// fillCases adds a task in open mode unless there is one, two cases, reports,
// vouchers and accounts that were invited.
func (w *world) fillCases(t *testing.T, dir string) {
	t.Helper()
	w.judge = join(t, w.url, "judge")
	operator(t, dir, w.judge)
	w.invite(t, w.mara)
	if res := w.judge.post(t, "/admin/vouchers", url.Values{"amount": {"250"}, "class": {"earned"}, "count": {"12"}, "days": {"90"}, "purpose": {"Order 4711, for the museum"}, "idempotencyKey": {rand.Text()}}); res.StatusCode != http.StatusCreated {
		t.Fatalf("make vouchers: %s", res.Status)
	}
	if w.many == "" {
		w.many = w.mara.publish(t, manyTask("Translate the words above the door of the guildhall, which are old, worn by rain, and in a hand that few can read"))
		w.waiting = w.worker.deliverOpen(t, w.many, "Both words, in their order.")
		w.atelier.deliverOpen(t, w.many, "As they stand.")
	}
	twice := w.mara.publish(t, manyTask("Translate the words on the seal"))
	w.worker.deliverOpen(t, twice, "Both words, from the wax.")
	w.copied = w.atelier.deliverOpen(t, twice, "Both words.")
	dispute := func(title string) string {
		path := w.mara.publish(t, manyTask(title))
		did := w.worker.deliverOpen(t, path, "Both words.")
		if res := w.mara.post(t, did+"/reject", url.Values{"reason": {"Nobody says it like this."}, "rule": {"tone"}}); res.StatusCode != http.StatusSeeOther {
			t.Fatalf("reject: %s", res.Status)
		}
		return w.worker.appeal(t, did, "Both words are in the **dictionary** of the brief's own town.")
	}
	w.unfair, w.undone = dispute("Translate the oath"), dispute("Translate the statutes")
	if res := w.judge.post(t, w.undone+"/decide", url.Values{"outcome": {"split"}, "share": {"5000"}, "note": {"Half of it is right."}}); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("decide: %s", res.Status)
	}
	for task, text := range map[string]string{w.many: "The rain is **an excuse**.", w.claimed: ""} {
		w.atelier.must(t, "POST", "/market"+task+"/report", fmt.Sprintf(`{"reason":"other","text":%q}`, text))
	}
	closed := w.worker.must(t, "POST", "/market"+w.claimed+"/report", `{"reason":"spam","text":"The opening hours are on the door."}`)["id"].(string)
	w.judge.post(t, "/admin/reports/"+closed+"/decide", url.Values{"outcome": {"dismissed"}, "note": {"The door is the task."}})
	w.reported = "/admin/reports/" + w.worker.must(t, "POST", "/market"+w.many+"/report", `{"reason":"scam","text":"Nobody can read this hand, so nobody can be paid. The publisher asks for a telephone number in another task."}`)["id"].(string)
	said := w.mara.post(t, w.open+"/thread", url.Values{"text": {"Whoever asks again is **blind**, and can go where the pepper grows."}})
	_, message, _ := strings.Cut(said.Header.Get("Location"), "#m-")
	w.insulted = "/admin/reports/" + w.worker.must(t, "POST", "/market"+w.open+"/report", fmt.Sprintf(`{"reason":"harmful","text":"I only asked.","message":%q}`, message))["id"].(string)
	w.fillGoods(t, dir)
	w.fillAccounts(t, dir)
}

// fillGoods puts goods into the catalogue and lets mara order some.
func (w *world) fillGoods(t *testing.T, dir string) {
	t.Helper()
	led := func(path string, form url.Values, by member) string {
		t.Helper()
		form.Set("idempotencyKey", rand.Text())
		res := by.post(t, path, form)
		if res.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s: %s", path, res.Status)
		}
		return res.Header.Get("Location")
	}
	var goods []string
	for i, g := range [][]string{
		{"other", "Museum day ticket", "1 day", "240", "Vienna", "One person, one day of your choice."},
		{"top_up", "Prepaid phone top-up", "€ 20", "460", "EU", "Dial the code as printed.\nWorks with every prepaid plan."},
		{"gift_card", "City book shops", "€ 25", "550", "EU", "Valid in every member shop.\nNot for gift wrapping. No change is given."},
		{"gift_card", "Worldwide music store", "$ 10", "230", "Worldwide", "Redeem it in the store's app within a year."},
	} {
		path := led("/admin/goods", url.Values{"kind": {g[0]}, "name": {g[1]}, "denomination": {g[2]}, "price": {g[3]}, "region": {g[4]}, "terms": {g[5]}, "offered": {"on"}}, w.judge)
		goods = append(goods, strings.TrimPrefix(path, "/admin/goods/"))
		codes := "code,expires\n"
		for n := range i * i * 2 {
			codes += fmt.Sprintf("SHOW-%d-%04d,2199-12-31\n", i, n)
		}
		if i > 0 {
			led(path+"/codes", url.Values{"csv": {codes}}, w.judge)
		}
	}
	w.good, w.soldOut = "/admin/goods/"+goods[2], "/admin/goods/"+goods[0]
	s := beside(t, dir)
	a, err := s.AccountByHandle(t.Context(), w.mara.handle)
	if err != nil {
		t.Fatal(err)
	}
	earn(t, s, 2100, a.ID)
	order := func(good int, price string) string {
		return led("/redeem/orders", url.Values{"goodId": {goods[good]}, "price": {price}}, w.mara)
	}
	review := func(order string) string { return strings.Replace(order, "/redeem/orders/", "/admin/redemptions/", 1) }
	w.turned, w.ordered, w.coded = order(2, "550"), order(1, "460"), ""
	led(review(w.turned)+"/refuse", url.Values{"reason": {"The account was one day old; please order again in a week."}}, w.judge)
	w.coded = order(3, "230")
	led(review(w.coded)+"/approve", url.Values{}, w.judge)
	w.held = review(w.ordered)
	seen := func() string {
		path := order(3, "230")
		if res := w.mara.post(t, path+"/reveal", url.Values{}); res.StatusCode != http.StatusOK {
			t.Fatalf("reveal %s: %s", path, res.Status)
		}
		return path
	}
	w.faulty, w.bad, w.back = seen(), seen(), seen()
	for _, path := range []string{w.bad, w.back} {
		led(path+"/dispute", url.Values{"text": {"The shop's till says that this card was used in Lisbon in October. I tried it twice on Tuesday."}}, w.mara)
	}
	w.doubted = review(w.bad)
	led(review(w.back)+"/settle", url.Values{"remedy": {"refunded"}, "reason": {"The shop confirms it. Sorry for the trouble."}}, w.judge)
}

// The outputs of fillOutputs, and what tries the checks of its third task.
const (
	sheetOutput  = `"site,species,count,note\nNorth weir,Grey heron,4,\"two adults, two young\"\nNorth weir,Kingfisher,1,\nMill pond,Mute swan,6,\"=SUM(C2:C3)\"\nMill pond,Little grebe,11,seen twice\nOld quay,Black-headed gull,128,estimate\nOld quay,Common tern,23,\n"`
	reportOutput = `{"survey":{"place":"Alster","day":"2026-05-09","weather":{"sky":"overcast","wind":"light","temperature":11.5}},` +
		`"sites":[{"name":"North weir","birds":{"heron":4,"kingfisher":1}},{"name":"Mill pond","birds":{"swan":6,"grebe":11}},{"name":"Old quay","birds":{"gull":128,"tern":23}}],"complete":true,` +
		`"report":"# Birds on the Alster\n\nSix species at **three sites**, counted from the bank between six and nine.\n\n| Site | Birds |\n|---|---|\n| North weir | 5 |\n| Mill pond | 17 |\n| Old quay | 151 |\n\n- The count at the old quay is an estimate; see [the method](https://example.org/method).\n- Nothing was seen at the lock.\n",` +
		`"rows":"site,species,count\nNorth weir,Grey heron,4\nMill pond,Mute swan,6\nOld quay,Common tern,23\n"}`
	samplePass, sampleFail = `{"words":[{"en":"guild","zh":"行会"},{"en":"hall","zh":"大厅"}]}`, `{"words":[{"en":"guild","zh":"行会"}]}`
)

// fillOutputs adds deliveries that are read as more than JSON, and a task with
// samples.
func (w *world) fillOutputs(t *testing.T) {
	t.Helper()
	task := func(title string) map[string]string {
		return map[string]string{"title": title, "brief": "Count what is on the water, site by site, and say how sure you are.", "skills": "csv, json", "reward": "12",
			"rules.0.kind": "manual", "rules.0.name": "plausible", "rules.0.text": "The numbers can be true.", "claimMinutes": "60", "reviewHours": "72", "maxAttempts": "3"}
	}
	w.sheet = w.mara.publish(t, task("Count the water birds"))
	report := task("Write up the count of the water birds")
	report["rules.1.kind"], report["rules.1.name"], report["rules.1.pointer"], report["rules.1.max"] = "range", "few gulls", "/sites/2/birds/gull", "200"
	w.report = w.mara.publish(t, report)
	w.worker.deliver(t, w.sheet, sheetOutput, "All six species.")
	w.worker.deliver(t, w.report, reportOutput, "The report, and its numbers.")
	sampled := wordsTask("Translate the plates of the cabinets", 15, true)
	sampled["samples.pass.0"], sampled["samples.fail.0"] = samplePass, sampleFail
	w.sampled = w.mara.publish(t, sampled)
}
