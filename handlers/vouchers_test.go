package handlers_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"guildhall/handlers"
)

// TestVouchersInJSON makes a batch through an operator's key, uses it, and
// looks for its codes everywhere they must not be.
func TestVouchersInJSON(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	_, handle := s.human(t)
	if err := s.store.SetOperator(t.Context(), handle, true); err != nil {
		t.Fatal(err)
	}
	key, err := s.store.NewOperatorKey(t.Context(), handle, "till")
	if err != nil {
		t.Fatal(err)
	}
	const at = "/api/v1/admin/vouchers"
	body := `{"amount":75,"class":"earned","count":3,"days":30,"purpose":"order 7"}`
	for bad, pointer := range map[string]string{`{"class":"earned","count":3,"days":30}`: "/amount", `{"amount":1,"class":"gold","count":1,"days":1}`: "/class",
		`{"amount":1,"class":"earned","count":1001,"days":1}`: "/count", `{"amount":1,"class":"earned","count":1,"days":1,"purpose":"\u0000"}`: "/purpose"} {
		if r := s.call(t, key, "POST", at, bad, "Idempotency-Key", unique("key")); r.status != 422 || r.at("errors.0.pointer") != pointer {
			t.Errorf("%s: %d %s, want 422 at %s", bad, r.status, r.text, pointer)
		}
	}
	if r := s.call(t, key, "POST", at, body); r.status != 400 || r.code() != "idempotency_key_required" {
		t.Errorf("without a key: %d %s", r.status, r.text)
	}
	once := unique("key")
	made := s.want(t, 201, s.call(t, key, "POST", at, body, "Idempotency-Key", once))
	codes := made.at("codes").([]any)
	if len(codes) != 3 || made.at("redeemed") != 0.0 || made.header.Get("Location") != at+"/"+made.at("id").(string) || made.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("made: %s", made.text)
	}
	again := s.call(t, key, "POST", at, body, "Idempotency-Key", once)
	if again.status != 409 || again.code() != "already_done" || again.header.Get("Location") != made.header.Get("Location") || strings.Contains(again.text, "GHV-") {
		t.Errorf("a retry: %d %s", again.status, again.text)
	}
	for _, path := range []string{at, made.header.Get("Location")} {
		if r := s.want(t, 200, s.call(t, key, "GET", path, nil)); strings.Contains(r.text, "GHV-") || !strings.Contains(r.text, `"purpose":"order 7"`) {
			t.Errorf("%s: %s", path, r.text)
		}
	}
	code := codes[0].(string)
	if strings.Contains(s.log.String(), code) {
		t.Error("the log has the code")
	}
	var kept int
	if err := s.store.DB().Get(&kept, `SELECT count(*) FROM idempotency WHERE convert_from(answer, 'UTF8') LIKE '%' || $1 || '%'`, code); err != nil || kept != 0 {
		t.Errorf("%d stored answers have the code, %v", kept, err)
	}
	buyer := s.register(t)
	const redeem = "/api/v1/agent/vouchers/redeem"
	use := func(key, code, once string) reply {
		return s.call(t, key, "POST", redeem, map[string]string{"code": code}, "Idempotency-Key", once)
	}
	first := s.want(t, 200, use(buyer, strings.ToLower(code), "buy-1"))
	if first.at("amount") != 75.0 || first.at("class") != "earned" {
		t.Errorf("redeemed: %s", first.text)
	}
	if r := use(buyer, strings.ToLower(code), "buy-1"); r.status != 200 || r.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a retry: %d %s", r.status, r.text)
	}
	for want, r := range map[string]reply{"already_done": use(buyer, code, "buy-2"), "voucher_used": use(s.register(t), code, "buy-3"),
		"voucher_unknown": use(buyer, "GHV-BBBBB-BBBBB-BBBBB-BBBBB", "buy-4")} {
		if r.code() != want {
			t.Errorf("got %d %s, want %s", r.status, r.text, want)
		}
	}
	s.want(t, 200, s.call(t, key, "POST", made.header.Get("Location")+"/revoke", nil))
	if r := use(buyer, codes[1].(string), "buy-5"); r.status != 409 || r.code() != "voucher_expired" {
		t.Errorf("revoked: %d %s", r.status, r.text)
	}
	if w := s.call(t, buyer, "GET", "/api/v1/agent/wallet", nil); w.at("earned.available") != 75.0 {
		t.Errorf("the wallet is %s", w.text)
	}
	s.balanced(t)
}

func TestVoucherGuessesAreThrottled(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(o *handlers.Options) { o.RateLimits = true })
	key, limited := s.register(t), 0
	for range 15 {
		r := s.call(t, key, "POST", "/api/v1/agent/vouchers/redeem", `{"code":"GHV-BBBBB-BBBBB-BBBBB-BBBBB"}`, "Idempotency-Key", unique("key"))
		if r.status == http.StatusTooManyRequests && r.header.Get("Retry-After") != "" {
			limited++
		}
	}
	if limited != 5 {
		t.Errorf("%d of 15 guesses were stopped, want 5", limited)
	}
}

func TestVoucherPages(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	o := s.operator(t)
	page := o.get(t, "/admin/vouchers").want(t, 200, "/admin/vouchers")
	page.says(t, ".empty", "No vouchers yet")
	o.submit(t, page, "/admin/vouchers", url.Values{"amount": {"0"}}).want(t, 422, "/admin/vouchers").says(t, "#amount-fault", "1")
	shown := o.submit(t, page, "/admin/vouchers", url.Values{"amount": {"120"}, "count": {"2"}, "purpose": {"<b>fair</b>"}}).want(t, 201, "/admin/vouchers")
	codes := strings.Fields(shown.doc.Find("#codes").Text())
	if len(codes) != 2 {
		t.Fatalf("the codes are %q", codes)
	}
	list := o.get(t, "/admin/vouchers")
	list.says(t, ".task", "<b>fair</b>")
	list.says(t, ".task", "0 of 2 redeemed")
	if strings.Contains(list.text, codes[0]) {
		t.Error("the list shows a code")
	}
	// The same form sent again makes nothing and shows nothing.
	o.submit(t, page, "/admin/vouchers", url.Values{"amount": {"120"}, "count": {"2"}, "purpose": {"<b>fair</b>"}}).want(t, 200, "/admin/vouchers").says(t, "h1", "Vouchers")
	csv := o.submit(t, list, "/admin/vouchers", url.Values{"amount": {"5"}, "count": {"3"}, "download": {"csv"}})
	if lines := strings.Split(strings.TrimSpace(csv.text), "\n"); len(lines) != 4 || !strings.HasPrefix(lines[1], "GHV-") || !strings.HasPrefix(csv.header.Get("Content-Disposition"), "attachment") {
		t.Errorf("the file is %q", csv.text)
	}

	b, _ := s.human(t)
	wallet := b.get(t, "/wallet")
	refused := b.submit(t, wallet, "/wallet/vouchers", url.Values{"code": {"GHV-BBBBB"}}).want(t, 422, "/wallet/vouchers")
	refused.says(t, "#code-fault", "no such voucher")
	if v, _ := refused.doc.Find("#code").Attr("value"); v != "GHV-BBBBB" {
		t.Errorf("what was typed is lost: %q", v)
	}
	done := b.submit(t, refused, "/wallet/vouchers", url.Values{"code": {strings.ToLower(codes[0])}}).want(t, 200, "/wallet")
	done.says(t, ".flash", "120 credits are in your wallet")
	done.says(t, ".bal-main", "1,120")
	b.submit(t, done, "/wallet/vouchers", url.Values{"code": {codes[0]}}).want(t, 409, "/wallet/vouchers")
	batch, _ := o.get(t, "/admin/vouchers").doc.Find(".task").Last().Attr("id")
	o.submit(t, o.get(t, "/admin/vouchers"), "/admin/vouchers/"+batch+"/revoke", nil).want(t, 200, "/admin/vouchers").says(t, ".task .state", "Revoked by")
	s.balanced(t)
}
