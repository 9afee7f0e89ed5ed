package handlers_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// png is the smallest picture.
var png, _ = base64.StdEncoding.DecodeString("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")

// judge is an operator's key.
func (s *server) judge(t testing.TB) string {
	t.Helper()
	_, handle := s.human(t)
	if err := s.store.SetOperator(t.Context(), handle, true); err != nil {
		t.Fatal(err)
	}
	key, err := s.store.NewOperatorKey(t.Context(), handle, "x")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// good makes a good with the codes.
func (s *server) good(t testing.TB, judge string, price int, codes ...string) string {
	t.Helper()
	made := s.want(t, 201, s.call(t, judge, "POST", "/api/v1/admin/goods", map[string]any{"kind": "gift_card", "name": "Book card", "denomination": "€ 10",
		"price": price, "region": "EU", "terms": "Valid in every shop.", "offered": true}))
	id := made.at("id").(string)
	if len(codes) > 0 {
		s.want(t, 200, s.call(t, judge, "POST", "/api/v1/admin/goods/"+id+"/codes", map[string]any{"csv": strings.Join(codes, "\n")}))
	}
	return id
}

// earn gives the account earned credits that are available.
func (s *server) earn(t testing.TB, id string, amount int) {
	t.Helper()
	_, err := s.store.DB().Exec(`
		WITH w AS (UPDATE wallets SET earned = earned + $2 WHERE account_id = $1 RETURNING granted + earned AS total)
		INSERT INTO transfers (at, kind, debit, credit, amount, debit_class, credit_class, account_id, balance_after)
		SELECT now(), 'grant', 'platform:grants', 'wallet:' || $1::uuid, $2, 'earned', 'earned', $1, total FROM w`, id, amount)
	if err != nil {
		t.Fatal(err)
	}
}

func (s *server) account(t testing.TB, key string) string {
	t.Helper()
	return s.want(t, 200, s.call(t, key, "GET", "/api/v1/agent/me", nil)).at("id").(string)
}

// order is a fulfilled order of the agent.
func (s *server) order(t testing.TB, key string) string {
	t.Helper()
	judge := s.judge(t)
	s.earn(t, s.account(t, key), 5)
	good := s.good(t, judge, 5, unique("CODE"))
	o := s.want(t, 201, s.redeem(t, key, good, 5))
	s.want(t, 200, s.call(t, judge, "POST", "/api/v1/admin/redemptions/"+o.at("id").(string)+"/approve", nil))
	return o.at("id").(string)
}

func (s *server) redeem(t testing.TB, key, good string, price int, once ...string) reply {
	t.Helper()
	return s.call(t, key, "POST", "/api/v1/agent/redemptions", map[string]any{"goodId": good, "price": price}, "Idempotency-Key", append(once, unique("once"))[0])
}

// TestRedeemByKey orders, is reviewed once, then served at once, and sees each
// code in the answer once and later on request.
func TestRedeemByKey(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	judge, agent := s.judge(t), s.register(t)
	good := s.good(t, judge, 100, "code,expires", "CANARY-1,2199-12-31", "CANARY-2,", "CANARY-3")
	s.earn(t, s.account(t, agent), 350)
	seen := s.want(t, 200, s.call(t, agent, "GET", "/api/v1/agent/catalog", nil))
	if seen.at("items.0.id") != good || seen.at("items.0.stock") != 3.0 || seen.at("items.0.price") != 100.0 || seen.at("nextCursor") != nil {
		t.Errorf("the catalogue is %s", seen.text)
	}
	if r := s.call(t, agent, "POST", "/api/v1/agent/redemptions", map[string]any{"goodId": good, "price": 100}); r.status != 400 || r.code() != "idempotency_key_required" {
		t.Errorf("without a key: %d %s", r.status, r.code())
	}
	if r := s.redeem(t, agent, good, 90); r.status != 409 || r.code() != "price_changed" || !strings.Contains(r.text, "from 90 to 100") {
		t.Errorf("another price: %d %s", r.status, r.text)
	}
	if r := s.redeem(t, agent, "nonsense", 90); r.status != 404 {
		t.Errorf("no good: %d %s", r.status, r.text)
	}
	first := s.want(t, 201, s.redeem(t, agent, good, 100, "k1"))
	at := first.header.Get("Location")
	if first.at("state") != "pending_review" || first.at("reasons.0") != "first_redemption" || first.at("code") != nil || first.at("codeExpiresAt") != "2200-01-01T00:00:00Z" {
		t.Errorf("the first order is %s", first.text)
	}
	if again := s.redeem(t, agent, good, 100, "k1"); again.text != first.text || again.status != 201 || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a retry got %d %s", again.status, again.text)
	}
	if r := s.call(t, agent, "POST", at+"/reveal", nil); r.status != 409 || r.code() != "order_pending" {
		t.Errorf("revealing it: %d %s", r.status, r.code())
	}
	queue := s.want(t, 200, s.call(t, judge, "GET", "/api/v1/admin/redemptions", nil))
	oid := first.at("id").(string)
	review := "/api/v1/admin/redemptions/" + oid
	if queue.at("items.0.id") != oid || queue.at("items.0.account") != s.handle(t, agent) || len(queue.at("items").([]any)) != 1 {
		t.Errorf("the queue is %s", queue.text)
	}
	if r := s.call(t, judge, "POST", review+"/refuse", map[string]any{"reason": " "}); r.status != 422 || r.pointer() != "/reason" {
		t.Errorf("a refusal without a reason: %d %s", r.status, r.text)
	}
	s.want(t, 200, s.call(t, judge, "POST", review+"/approve", nil))
	if r := s.call(t, judge, "POST", review+"/approve", nil); r.status != 409 || r.code() != "order_decided" {
		t.Errorf("approving twice: %d %s", r.status, r.code())
	}
	if shown := s.want(t, 200, s.call(t, judge, "GET", review, nil)); shown.at("log.0.action") != "order_approved" || shown.at("history.fulfilled") != 1.0 || strings.Contains(shown.text, "CANARY") {
		t.Errorf("the operator sees %s", shown.text)
	}
	for range 2 {
		if r := s.want(t, 200, s.call(t, agent, "POST", at+"/reveal", nil)); r.at("code") != "CANARY-1" || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("revealed: %s, %s", r.text, r.header.Get("Cache-Control"))
		}
	}
	if r := s.want(t, 200, s.call(t, agent, "GET", at, nil)); r.at("code") != nil || r.at("reveals") != 2.0 {
		t.Errorf("the order is %s", r.text)
	}
	second := s.want(t, 201, s.redeem(t, agent, good, 100, "k2"))
	if second.at("state") != "fulfilled" || second.at("code") != "CANARY-2" || second.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the second order is %s", second.text)
	}
	again := s.redeem(t, agent, good, 100, "k2")
	if again.status != 409 || again.code() != "already_done" || again.at("instance") != second.header.Get("Location") || strings.Contains(again.text, "CANARY") ||
		again.header.Get("Location") != second.header.Get("Location") || again.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("a retry of a shown code got %d %s", again.status, again.text)
	}
	if r := s.redeem(t, agent, good, 99, "k2"); r.status != 422 || r.code() != "idempotency_key_reused" {
		t.Errorf("another order with its key: %d %s", r.status, r.code())
	}
	s.want(t, 201, s.redeem(t, agent, good, 100))
	if r := s.redeem(t, agent, good, 100); r.status != 409 || r.code() != "insufficient_credits" {
		t.Errorf("without earned credits: %d %s", r.status, r.text)
	}
	s.earn(t, s.account(t, agent), 100)
	if r := s.redeem(t, agent, good, 100); r.status != 409 || r.code() != "out_of_stock" {
		t.Errorf("without codes: %d %s", r.status, r.text)
	}
	if mine := s.want(t, 200, s.call(t, agent, "GET", "/api/v1/agent/redemptions?limit=2", nil)); len(mine.at("items").([]any)) != 2 || mine.at("nextCursor") == nil || strings.Contains(mine.text, "CANARY") {
		t.Errorf("the orders are %s", mine.text)
	}
	if lines := s.want(t, 200, s.call(t, agent, "GET", "/api/v1/agent/wallet/entries?kind=redeem", nil)); lines.at("items.2.orderId") != oid || lines.at("items.2.amount") != -100.0 {
		t.Errorf("the ledger says %s", lines.text)
	}
	var kept int
	if err := s.store.DB().Get(&kept, `SELECT count(*) FROM idempotency WHERE encode(answer, 'escape') LIKE '%CANARY%'`); err != nil || kept != 0 {
		t.Errorf("%d stored answers hold a code, %v", kept, err)
	}
	if strings.Contains(s.log.String(), "CANARY") {
		t.Error("the log holds a code")
	}
	s.balanced(t)
}

// TestGoodsByKey makes, changes and stocks a good; a file with a bad line adds
// nothing and is refused by line, without what stands in it.
func TestGoodsByKey(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	judge := s.judge(t)
	body := map[string]any{"kind": "top_up", "name": "Phone", "denomination": "20", "price": 50, "region": "EU", "terms": "None.", "offered": false, "picture": png}
	made := s.want(t, 201, s.call(t, judge, "POST", "/api/v1/admin/goods", body))
	at := made.header.Get("Location")
	if r := s.call(t, judge, "POST", "/api/v1/admin/goods", map[string]any{"kind": "gold", "picture": "bm90IGEgcGljdHVyZQ=="}); r.status != 422 || len(r.at("errors").([]any)) != 7 {
		t.Errorf("a bad good: %d %s", r.status, r.text)
	}
	picture := made.at("picture").(string)
	res, err := s.Client().Get(s.URL + picture)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got, _ := io.ReadAll(res.Body); !bytes.Equal(got, png) || res.Header.Get("Content-Type") != "image/png" || res.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("the picture is %d bytes of %s", len(got), res.Header.Get("Content-Type"))
	}
	delete(body, "picture")
	body["offered"], body["price"], body["version"] = true, 60, 1
	if changed := s.want(t, 200, s.call(t, judge, "PUT", at, body)); changed.at("price") != 60.0 || changed.at("version") != 2.0 || changed.at("picture") == picture || changed.at("picture") == nil {
		t.Errorf("changed: %s", changed.text)
	}
	if r := s.call(t, judge, "PUT", at, body); r.status != 409 || r.code() != "good_changed" {
		t.Errorf("changing an old version: %d %s", r.status, r.code())
	}
	send := func(text string) reply { return s.call(t, judge, "POST", at+"/codes", map[string]any{"csv": text}) }
	for text, want := range map[string]string{
		"":                           "no codes",
		"code\n":                     "no codes",
		"SECRET-1\nSECRET-2,soon\n":  "line 2",
		"SECRET-1,2020-01-01\n":      "already ended",
		"SECRET-1,,\n":               "3 columns",
		"SECRET-1\n\"\"\n,\n":        "Line 2",
		"SECRET-1\n\"SECRET-2\nx":    "cannot be read",
		"SECRET-1\nSECRET\t2\n":      "not printable",
		strings.Repeat(",\n", 30):    "10 more",
		strings.Repeat("x\n", 10001): "at most 10000",
	} {
		if r := send(text); r.status != 422 || r.pointer() != "/csv" || !strings.Contains(r.text, want) || strings.Contains(r.text, "SECRET") {
			t.Errorf("%.30q: %d %.300s", text, r.status, r.text)
		}
	}
	if r := s.want(t, 200, send("\ufeffCode,Expires\r\nA-1\r\nA-2,2199-01-01T12:00:00+02:00\r\nA-1\r\n\"A,3\"\r\n")); r.at("added") != 3.0 || r.at("duplicates") != 1.0 || r.at("stock") != 3.0 {
		t.Errorf("got %s", r.text)
	}
	if r := s.want(t, 200, send("A-1\nA-4")); r.at("added") != 1.0 || r.at("duplicates") != 1.0 {
		t.Errorf("again: %s", r.text)
	}
	if list := s.want(t, 200, s.call(t, judge, "GET", "/api/v1/admin/goods", nil)); list.at("items.0.stock") != 4.0 {
		t.Errorf("the goods are %s", list.text)
	}
	if one := s.want(t, 200, s.call(t, judge, "GET", at, nil)); one.at("log.0.action") != "codes_imported" || one.at("log.0.added") != 1.0 || one.at("log.3.action") != "good_created" {
		t.Errorf("the log is %s", one.text)
	}
	if r := s.call(t, judge, "POST", "/api/v1/admin/goods/01a20b77-e936-75e9-8ee4-5120c30a9cda/codes", map[string]any{"csv": "X"}); r.status != 404 {
		t.Errorf("codes for nothing: %d %s", r.status, r.text)
	}
}

// upload sends a form with a file, as a browser does.
func (b *browser) upload(t testing.TB, path, field, name string, content []byte, more url.Values) screen {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile(field, name)
	if err == nil {
		_, err = part.Write(content)
	}
	for k := range more {
		err = form.WriteField(k, more.Get(k))
	}
	if err != nil || form.Close() != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", b.s.URL+path, &body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", form.FormDataContentType())
	req.Header.Set("Origin", b.s.URL)
	return b.do(t, req)
}

// TestRedeemOnPages makes a good, adds codes from a file, orders, reviews and
// reveals, all without JavaScript.
func TestRedeemOnPages(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	judge := s.operator(t)
	b, handle := s.human(t)
	a, err := s.store.AccountByHandle(t.Context(), handle)
	if err != nil {
		t.Fatal(err)
	}
	b.get(t, "/redeem").want(t, 200, "/redeem").says(t, ".empty", "nothing to redeem")
	bad := judge.submit(t, judge.get(t, "/admin/goods/new"), "/admin/goods", url.Values{"name": {"Book card"}}).want(t, 422, "/admin/goods")
	bad.says(t, ".error-summary", "Price in credits")
	made := judge.upload(t, "/admin/goods", "picture", "card.png", png, url.Values{"kind": {"gift_card"}, "name": {"Book card"}, "denomination": {"€ 10"}, "price": {"100"},
		"region": {"EU"}, "terms": {"Valid in <b>every</b> shop.\nOnce."}, "offered": {"on"}, "idempotencyKey": {unique("k")}})
	if made.status != 200 || !strings.HasPrefix(made.path, "/admin/goods/") {
		t.Fatalf("got %d at %s", made.status, made.path)
	}
	codes := made.path + "/codes"
	refused := judge.upload(t, codes, "csv", "codes.csv", []byte("CANARY-1\nCANARY-2,never\n"), nil)
	refused.want(t, 422, codes).says(t, ".error-summary", "line 2")
	judge.upload(t, codes, "csv", "codes.csv", []byte("CANARY-1\nCANARY-2\nCANARY-2\n"), nil).want(t, 200, made.path).says(t, "#flash", "2 codes added, 1 doubles")
	judge.get(t, "/admin/goods").says(t, "tbody", "Book card")
	short := b.get(t, "/redeem")
	short.says(t, ".good", "100 credits more are needed")
	s.earn(t, string(a.ID), 250)
	shop := b.get(t, "/redeem")
	shop.says(t, ".good", "Valid in <b>every</b> shop.")
	if src, _ := shop.doc.Find(".good img").Attr("src"); !strings.HasPrefix(src, "/goods/") {
		t.Errorf("the picture is at %q", src)
	}
	ordered := b.submit(t, shop, "/redeem/orders", nil)
	ordered.says(t, "#flash", "A person looks at it first")
	ordered.says(t, ".notice", "set aside")
	if again := b.submit(t, shop, "/redeem/orders", nil); again.path != ordered.path {
		t.Errorf("sending the form twice led to %s, want %s", again.path, ordered.path)
	}
	waiting := judge.get(t, "/admin/redemptions")
	waiting.says(t, ".task", "First redemption")
	review := strings.Replace(ordered.path, "/redeem/orders/", "/admin/redemptions/", 1)
	judge.get(t, ordered.path).want(t, 404, ordered.path) // an operator's own orders only
	page := judge.get(t, review).want(t, 200, review)
	again := judge.submit(t, page, review+"/refuse", url.Values{"reason": {""}}).want(t, 422, review+"/refuse")
	again.says(t, ".error-summary", "required")
	judge.submit(t, again, review+"/approve", nil).want(t, 200, "/admin/redemptions").says(t, "#flash", "Approved")
	ready := b.get(t, ordered.path)
	reveal := ordered.path + "/reveal"
	shown := b.submit(t, ready, reveal, nil).want(t, 200, reveal)
	shown.says(t, "#code", "CANARY-1")
	if shown.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the page with the code may be kept: %s", shown.header.Get("Cache-Control"))
	}
	later := b.get(t, ordered.path)
	if strings.Contains(later.text, "CANARY") {
		t.Error("the code is on the page afterwards")
	}
	later.says(t, "form", "shown once")
	s.stale(t)
	asked := b.submit(t, later, reveal, nil).want(t, 403, reveal)
	if strings.Contains(asked.text, "CANARY") {
		t.Error("a stale session is shown the code")
	}
	wrong := b.submit(t, asked, "/confirm", url.Values{"password": {"not the password"}}).want(t, 422, "/confirm")
	wrong.says(t, "#password-fault", "not your current")
	offered := b.submit(t, wrong, "/confirm", url.Values{"password": {password}}).want(t, 200, "/confirm")
	b.submit(t, offered, reveal, nil).want(t, 200, reveal).says(t, "#code", "CANARY-1")
	b.submit(t, later, reveal, nil).want(t, 200, reveal).says(t, "#code", "CANARY-1")
	second := b.submit(t, b.get(t, "/redeem"), "/redeem/orders", nil)
	second.says(t, "#flash", "ready below")
	b.get(t, "/redeem/orders").says(t, "tbody", "Fulfilled")
	b.get(t, "/wallet?kind=redeem").says(t, ".ledger", "−100")
	if sold := b.get(t, "/redeem"); !strings.Contains(sold.doc.Find(".good").Text(), "Out of stock") {
		t.Error("the catalogue does not say that it is sold out")
	}
	if strings.Contains(s.log.String(), "CANARY") || strings.Contains(s.log.String(), password) {
		t.Error("the log holds a secret")
	}
	s.balanced(t)
}

// TestRefusalIsExplained gives the price back and shows the reason.
func TestRefusalIsExplained(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	judge := s.operator(t)
	b, handle := s.human(t)
	a, err := s.store.AccountByHandle(t.Context(), handle)
	if err != nil {
		t.Fatal(err)
	}
	s.good(t, s.judge(t), 100, "CODE-1")
	s.earn(t, string(a.ID), 100)
	ordered := b.submit(t, b.get(t, "/redeem"), "/redeem/orders", nil)
	review := strings.Replace(ordered.path, "/redeem/orders/", "/admin/redemptions/", 1)
	judge.submit(t, judge.get(t, review), review+"/refuse", url.Values{"reason": {"Account looks shared."}}).want(t, 200, "/admin/redemptions")
	after := b.get(t, ordered.path)
	after.says(t, ".notice", "100 credits went back")
	after.says(t, ".notice", "Account looks shared.")
	if w, err := s.store.Wallet(t.Context(), a.ID); err != nil || w.EarnedAvailable != 100 {
		t.Errorf("the wallet is %+v, %v", w, err)
	}
	judge.get(t, "/admin/redemptions?state=decided").says(t, ".task", "Refused")
	s.balanced(t)
}

// TestRaceRedeem: 40 programs order 10 codes.
func TestRaceRedeem(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	judge := s.judge(t)
	var keys, codes []string
	for i := range 40 {
		keys = append(keys, s.register(t))
		s.earn(t, s.account(t, keys[i]), 10)
		if i < 10 {
			codes = append(codes, fmt.Sprint("CODE-", i))
		}
	}
	good := s.good(t, judge, 10, codes...)
	got := make(chan string, len(keys))
	for _, key := range keys {
		go func() { r := s.redeem(t, key, good, 10); got <- fmt.Sprint(r.status, r.code()) }()
	}
	count := map[string]int{}
	for range keys {
		count[<-got]++
	}
	if count["201"] != 10 || count["409out_of_stock"] != 30 {
		t.Errorf("got %v", count)
	}
	s.balanced(t)
}
