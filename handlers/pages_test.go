package handlers_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"guildhall/handlers"
	"guildhall/store"
)

// browser is a visitor without JavaScript: cookies, pages and forms.
type browser struct {
	s      *server
	client *http.Client
}

// screen is a page that was loaded.
type screen struct {
	status int
	path   string // after redirects
	header http.Header
	text   string
	doc    *goquery.Document
}

func (s *server) browser(t testing.TB) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{s: s, client: &http.Client{Jar: jar, Transport: s.Client().Transport}}
}

func (b *browser) send(t testing.TB, method, path string, form url.Values, headers ...string) screen {
	t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(t.Context(), method, b.s.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", b.s.URL)
		req.Header.Set("Referer", b.s.URL+path)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return b.do(t, req)
}

func (b *browser) do(t testing.TB, req *http.Request) screen {
	t.Helper()
	res, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return screen{res.StatusCode, res.Request.URL.Path, res.Header, string(text), doc}
}

func (b *browser) get(t testing.TB, path string) screen {
	t.Helper()
	return b.send(t, http.MethodGet, path, nil)
}

// submit fills in the form of a page that holds the action and sends it, with
// what its fields hold already.
func (b *browser) submit(t testing.TB, on screen, action string, fill url.Values) screen {
	t.Helper()
	form := on.doc.Find(`form[action="` + action + `"]`)
	if form.Length() != 1 {
		t.Fatalf("%s has %d forms for %s", on.path, form.Length(), action)
	}
	values := url.Values{}
	form.Find("input, textarea, select").Each(func(_ int, f *goquery.Selection) {
		name, _ := f.Attr("name")
		value, _ := f.Attr("value")
		if f.Is("textarea") {
			value = f.Text()
		}
		if f.Is("select") {
			value, _ = f.Find("option[selected]").Attr("value")
		}
		if _, checked := f.Attr("checked"); checked || !f.Is("[type=radio], [type=checkbox]") {
			values.Add(name, value)
		}
	})
	for k, v := range fill {
		if form.Find(`[name="`+k+`"]`).Length() == 0 {
			t.Fatalf("the form for %s has no field %s", action, k)
		}
		values[k] = v
	}
	return b.send(t, http.MethodPost, action, values)
}

func (p screen) want(t testing.TB, status int, path string) screen {
	t.Helper()
	if p.status != status || p.path != path {
		t.Fatalf("got %d at %s, want %d at %s: %s", p.status, p.path, status, path, strings.Join(strings.Fields(p.doc.Find("main").Text()), " "))
	}
	return p
}

func (p screen) says(t testing.TB, selector, text string) {
	t.Helper()
	if got := strings.Join(strings.Fields(p.doc.Find(selector).Text()), " "); !strings.Contains(got, text) {
		t.Errorf("%s: %s says %q, want %q", p.path, selector, got, text)
	}
}

const password = "correct horse battery"

// human registers a person through the form.
func (s *server) human(t testing.TB) (*browser, string) {
	t.Helper()
	b, handle := s.browser(t), unique("human")
	page := b.submit(t, b.get(t, "/register"), "/register", url.Values{"handle": {handle}, "email": {handle + "@example.org"}, "password": {password}})
	page.want(t, 200, "/market").says(t, "#flash", "1,000 credits")
	return b, handle
}

// publishForm publishes the task of the API tests through the form.
func (b *browser) publishForm(t testing.TB, fill url.Values) screen {
	t.Helper()
	values := url.Values{"title": {"Sum the numbers"}, "brief": {"Return the sum as a number."}, "skills": {"csv"}, "reward": {"200"},
		"payload": {`{"n":[1,2]}`}, "outputSchema": {`{"type":"object","required":["sum"],"properties":{"sum":{"const":3}}}`},
		"rules.0.name": {"tidy"}, "rules.0.text": {"The summary is clear."}}
	for k, v := range fill {
		values[k] = v
	}
	return b.submit(t, b.get(t, "/tasks/new"), "/tasks", values)
}

func TestPersonPublishesReviewsAndPays(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, _ := s.human(t)
	worker := s.register(t)
	page := mara.publishForm(t, nil)
	page.says(t, "#flash", "200 credits are in escrow")
	page.says(t, ".purse", "800")
	id := strings.TrimPrefix(page.path, "/tasks/")
	base := "/api/v1/agent/tasks/" + id
	if again := mara.get(t, page.path); again.doc.Find(".flash").Length() != 0 {
		t.Error("the message is shown twice")
	}
	found := mara.get(t, "/market?skills=csv&skills=absent&sort=reward")
	if found.doc.Find(`.tasks a[href="`+page.path+`"]`).Length() != 1 {
		t.Errorf("the market lacks the task: %s", found.doc.Find("#results").Text())
	}
	if only := mara.get(t, "/market?mode=open").want(t, 200, "/market"); only.doc.Find(".task").Length() != 0 || only.doc.Find(".chip-clear").Length() != 1 {
		t.Errorf("a market of the other mode shows %s", only.doc.Find("#results").Text())
	}
	if only := mara.get(t, "/market?mode=exclusive&hasProtected=false"); only.doc.Find(".task").Length() != 1 {
		t.Errorf("a market of its mode shows %s", only.doc.Find("#results").Text())
	}
	mara.get(t, "/market?hasProtected=true").want(t, 200, "/market").says(t, ".empty", "Nothing matches")
	claim := s.claim(t, worker, id)
	first := s.want(t, 201, s.call(t, worker, "POST", base+"/deliveries", pack(claim, 3))).at("id").(string)
	review := mara.get(t, "/tasks/"+id+"/review").want(t, 200, "/tasks/"+id+"/review")
	review.says(t, ".verdict", "tidy")
	review.says(t, ".versus-out .json", `"sum"`)
	action := "/tasks/" + id + "/deliveries/" + first
	refused := mara.submit(t, review, action+"/reject", url.Values{"quote": {"Return the sum"}}).want(t, 422, action+"/reject")
	refused.says(t, ".error-summary", "needs a reason")
	if q := refused.doc.Find("#quote").Text(); q != "Return the sum" {
		t.Errorf("the quote that was typed is now %q", q)
	}
	done := mara.submit(t, refused, action+"/reject", url.Values{"reason": {"Say how."}, "rule": {"tidy"}, "quote": {""}}).want(t, 200, "/tasks/"+id)
	done.says(t, "#flash", "Rejected")
	mara.get(t, action).says(t, ".notice-bad", "Say how.")
	second := s.want(t, 201, s.call(t, worker, "POST", base+"/deliveries", pack(claim, 3))).at("id").(string)
	panel := mara.get(t, "/tasks/"+id)
	panel.says(t, ".decide-accept button", "Accept and pay 200 credits")
	paid := mara.submit(t, panel, "/tasks/"+id+"/deliveries/"+second+"/accept", nil).want(t, 200, "/tasks/"+id)
	paid.says(t, "#flash", "Accepted. 200 credits")
	paid.says(t, ".task-head .state", "Settled")
	// The same button again: the answer is the same, nothing is paid twice.
	mara.submit(t, panel, "/tasks/"+id+"/deliveries/"+second+"/accept", nil).want(t, 200, "/tasks/"+id)
	wallet := mara.get(t, "/wallet")
	wallet.says(t, ".bal-main", "800")
	wallet.says(t, ".ledger", "\u2212200")
	if only := mara.get(t, "/wallet?kind=grant"); only.doc.Find(".ledger tbody tr").Length() != 1 {
		t.Errorf("grants only: %s", only.doc.Find(".ledger").Text())
	}
	sheet := mara.get(t, "/wallet/entries.csv")
	if !strings.HasPrefix(sheet.text, "id,at,kind,class,amount,balanceAfter,taskId,counterparty,note\n") || strings.Count(sheet.text, "\n") != 3 ||
		!strings.Contains(sheet.text, ",escrow,granted,-200,800,"+id) || !strings.Contains(sheet.header.Get("Content-Disposition"), "attachment") {
		t.Errorf("got the sheet %v %s", sheet.header, sheet.text)
	}
	if w := s.call(t, worker, "GET", "/api/v1/agent/wallet", nil); w.at("earned.pending") != 200.0 {
		t.Errorf("got %s, want 200 pending", w.text)
	}
	mara.get(t, "/console").says(t, ".tasks", "Settled")
	s.balanced(t)
}

func TestPersonCancels(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, _ := s.human(t)
	page := mara.publishForm(t, nil)
	done := mara.submit(t, page, page.path+"/cancel", nil).want(t, 200, page.path)
	done.says(t, ".purse", "1,000")
	again := mara.submit(t, page, page.path+"/cancel", nil) // the same key: the same answer
	again.want(t, 200, page.path)
	taken := mara.publishForm(t, nil)
	s.claim(t, s.register(t), strings.TrimPrefix(taken.path, "/tasks/"))
	refused := mara.submit(t, taken, taken.path+"/cancel", nil).want(t, 409, taken.path+"/cancel")
	refused.says(t, ".error-summary", "An agent is working on the task")
	refused.says(t, ".task-head .state", "Claimed")
	s.balanced(t)
}

func TestLanguageAndTheme(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b := s.browser(t)
	if lang := b.send(t, "GET", "/market", nil, "Accept-Language", "zh-TW,zh;q=0.9,en;q=0.5").doc.Find("html").AttrOr("lang", ""); lang != "zh-CN" {
		t.Errorf("a Chinese browser gets %q", lang)
	}
	page := b.get(t, "/market?sort=reward")
	if page.doc.Find("html").AttrOr("lang", "") != "en" {
		t.Error("no preference is not English")
	}
	page = b.send(t, "POST", "/preferences", url.Values{"lang": {"zh-CN"}, "back": {"/market?sort=reward"}}).want(t, 200, "/market")
	page.says(t, "h1", "先付款")
	if page.doc.Find(`#sort option[selected]`).AttrOr("value", "") != "reward" {
		t.Error("the switch lost the place")
	}
	page = b.send(t, "POST", "/preferences", url.Values{"lang": {"en"}, "back": {"/market?lang=zh-CN&sort=reward"}}).want(t, 200, "/market")
	if page.doc.Find("html").AttrOr("lang", "") != "en" || page.doc.Find(`#sort option[selected]`).AttrOr("value", "") != "reward" {
		t.Error("a shared link's language wins over the one that was chosen")
	}
	b.send(t, "POST", "/preferences", url.Values{"lang": {"zh-CN"}, "back": {"/"}})
	page = b.send(t, "POST", "/preferences", url.Values{"theme": {"dark"}, "back": {"//evil.example"}}).want(t, 200, "/")
	if page.doc.Find("html").AttrOr("data-theme", "") != "dark" || page.doc.Find("html").AttrOr("lang", "") != "zh-CN" {
		t.Error("the theme is not dark, or the language is lost")
	}
}

// TestEveryPageIsWhole looks at every page in both languages: nothing inline,
// no missing message, no key, the headers of the policy.
func TestEveryPageIsWhole(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, handle := s.human(t)
	const hostile = `"><script>alert(1)</script><img src=x onerror=alert(1)>{{.}}`
	page := mara.publishForm(t, url.Values{"title": {hostile}, "brief": {hostile + "\n\n# Head\n\n[a](javascript:alert(1)) ![p](https://example.org/p.png)\n\n<b onclick=x>bold</b>"},
		"payload": {`{"a":"</script><script>alert(1)</script>"}`}, "rules.0.name": {hostile[:40]}, "rules.0.text": {hostile}})
	id := strings.TrimPrefix(page.path, "/tasks/")
	worker := s.register(t)
	claim := s.claim(t, worker, id)
	body := pack(claim, 3)
	body["summaryText"] = hostile
	did := s.want(t, 201, s.call(t, worker, "POST", "/api/v1/agent/tasks/"+id+"/deliveries", body)).at("id").(string)
	owner := s.register(t)
	other := s.publish(t, owner, 10)
	rejected := s.deliver(t, worker, other)
	if err := s.store.SetOperator(t.Context(), handle, true); err != nil {
		t.Fatal(err)
	}
	kid := s.appeal(t, owner, worker, other, rejected)
	rid := ""
	for _, key := range []string{owner, worker} {
		rid = s.want(t, 201, s.call(t, key, "POST", "/api/v1/market/tasks/"+id+"/report", map[string]any{"reason": "other", "text": hostile})).at("id").(string)
	}
	fid := s.want(t, 201, s.call(t, s.operatorKey(t), "POST", "/api/v1/admin/accounts/"+s.account(t, worker)+"/flag", map[string]any{"reason": hostile})).at("id").(string)
	good := strings.TrimPrefix(mara.upload(t, "/admin/goods", "picture", "x.png", png, url.Values{"kind": {"other"}, "name": {hostile}, "denomination": {hostile[:40]}, "price": {"10"},
		"region": {hostile}, "terms": {hostile}, "offered": {"on"}}).path, "/admin/goods/")
	mara.upload(t, "/admin/goods/"+good+"/codes", "csv", "x.csv", []byte("A\nB"), nil)
	me, err := s.store.AccountByHandle(t.Context(), handle)
	if err != nil {
		t.Fatal(err)
	}
	s.earn(t, string(me.ID), 10)
	oid := strings.TrimPrefix(mara.submit(t, mara.get(t, "/redeem"), "/redeem/orders", nil).path, "/redeem/orders/")
	mara.send(t, "POST", "/settings/security/totp/begin", url.Values{}).want(t, 200, "/settings/security/totp")
	hid := mara.bundle(t, "/console/bundles/new?preset=work", url.Values{"name": {hostile[:50]}}).id
	_, bound := s.bind(t, mara)
	wid := s.webhook(t, me.ID)
	sealed := s.sealedBy(t, string(me.ID), worker)
	for _, r := range handlers.RouteTable() {
		if r.Method != "GET" || strings.HasPrefix(r.Path, "/api/") || handlers.IsDocument(r.Path) || r.Endless || strings.HasSuffix(r.Path, ".csv") || strings.HasSuffix(r.Path, ":sha256") || strings.HasSuffix(r.Path, "/picture") || r.Path == "/reset" {
			continue
		}
		path := strings.NewReplacer(":id/vault", sealed+"/vault", ":id", id, ":did", did, ":kid", kid, ":rid", rid, ":gid", good, ":oid", oid, ":hid", hid, ":aid", string(me.ID), ":fid", fid, ":wid", wid, ":handle", handle, ":agent", bound).Replace(r.Path)
		for _, lang := range []string{"en", "zh-CN"} {
			visitor := mara
			if r.Path == "/login" || r.Path == "/register" {
				visitor = s.browser(t)
			}
			p := visitor.get(t, path+"?lang="+lang).want(t, 200, path)
			checkPage(t, r.Path+" "+lang, p)
			if p.doc.Find("html").AttrOr("lang", "") != lang {
				t.Errorf("%s is not in %s", path, lang)
			}
		}
	}
	for _, p := range []screen{mara.get(t, "/nothing").want(t, 404, "/nothing"), mara.get(t, "/tasks/1").want(t, 404, "/tasks/1"), mara.get(t, "/market?minReward=x").want(t, 422, "/market"),
		mara.send(t, "DELETE", "/market", nil).want(t, 405, "/market"),
		mara.send(t, "POST", "/tasks", url.Values{}, "Sec-Fetch-Site", "cross-site").want(t, 403, "/tasks"),
		mara.send(t, "POST", "/tasks", url.Values{"brief": {strings.Repeat("x", 4<<20)}}).want(t, 413, "/tasks"),
		mara.send(t, "POST", "/tasks", url.Values{}, "Content-Type", "application/json").want(t, 415, "/tasks")} {
		checkPage(t, p.path, p)
	}
}

func checkPage(t *testing.T, name string, p screen) {
	t.Helper()
	csp := p.header.Get("Content-Security-Policy")
	if strings.Contains(csp, "unsafe") || !strings.Contains(csp, "script-src 'self'") || !strings.Contains(csp, "frame-ancestors 'none'") ||
		p.header.Get("X-Content-Type-Options") != "nosniff" || p.header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(p.header.Get("Content-Type"), "text/html") ||
		!strings.Contains(strings.Join(p.header.Values("Vary"), ","), "Accept-Language") {
		t.Errorf("%s: headers %v", name, p.header)
	}
	if strings.Contains(p.text, "⟦") {
		t.Errorf("%s lacks a message: %s", name, p.text[strings.Index(p.text, "⟦"):][:60])
	}
	p.doc.Find("*").Each(func(_ int, e *goquery.Selection) {
		for _, a := range e.Nodes[0].Attr {
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") || strings.HasPrefix(strings.ToLower(strings.TrimSpace(a.Val)), "javascript:") {
				t.Errorf("%s: %s has %s=%q", name, goquery.NodeName(e), a.Key, a.Val)
			}
		}
	})
	if p.doc.Find("script:not([src]), style, main img, iframe, object, base").Not(`img[src^="/goods/"]`).Length() != 0 {
		t.Errorf("%s has inline code or user markup", name)
	}
	if p.doc.Find("h1").Length() != 1 || p.doc.Find("title").Text() == "" || p.doc.Find("main").Length() != 1 {
		t.Errorf("%s has no one heading and title", name)
	}
}

func TestStatusIsLive(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	s := newServer(t, func(o *handlers.Options) { o.Done = done })
	worker := s.register(t)
	id := s.publish(t, s.register(t), 10)
	res, err := s.Client().Get(s.URL + "/tasks/" + id + "/events?v=1")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Content-Encoding") != "" || res.Header.Get("X-Accel-Buffering") != "no" {
		t.Errorf("got headers %v", res.Header)
	}
	s.claim(t, worker, id)
	var event strings.Builder
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "data: ") {
		event.WriteString(lines.Text() + "\n")
	}
	if data := lines.Text(); !strings.Contains(event.String(), "id: 2\n") || !strings.Contains(data, "Claimed by") || !strings.Contains(data, "Something happened") {
		t.Errorf("got %q %q, want the status after the claim", event.String(), data)
	}
	close(done)
	for lines.Scan() { // the stream ends, else the test hangs
	}
	bad := s.call(t, "", "GET", "/tasks/"+id+"/events?v=x", nil)
	if bad.status != 422 {
		t.Errorf("a bad version got %d", bad.status)
	}
}

func TestWatchersAreBounded(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	id := s.publish(t, s.register(t), 10)
	for i := range 21 {
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		req, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/tasks/"+id+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		if want := map[bool]int{true: 200, false: 429}[i < 20]; res.StatusCode != want {
			t.Errorf("stream %d got %d, want %d", i, res.StatusCode, want)
		}
	}
}

func TestDatabaseIsAway(t *testing.T) {
	t.Parallel()
	away, err := store.Open("postgres:///guildhall?host="+t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { away.Close() })
	s := &server{log: &syncBuffer{}}
	s.Server = httptest.NewServer(handlers.New(handlers.Options{Store: away, Logger: slog.New(slog.NewTextHandler(s.log, nil)), BaseURL: "http://test"}))
	t.Cleanup(s.Close)
	for _, cookie := range []string{"", "session=x"} {
		page := s.browser(t).send(t, "GET", "/market", nil, "Cookie", cookie).want(t, 503, "/market")
		page.says(t, "h1", "The database does not answer")
		if page.header.Get("Retry-After") == "" {
			t.Error("the page lacks Retry-After")
		}
		checkPage(t, "away", page)
	}
	if r := s.call(t, "", "GET", "/api/v1/health", nil); r.status != 503 || r.code() != "database_unavailable" {
		t.Errorf("health got %d %s", r.status, r.text)
	}
}
