package handlers_test

import (
	"net/url"
	"strings"
	"testing"

	"guildhall/market"
)

// TestBadCodeByKey reports a code, is given another, and reports no second one.
func TestBadCodeByKey(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	judge, agent := s.judge(t), s.register(t)
	good := s.good(t, judge, 5, "CANARY-1", "CANARY-2")
	s.earn(t, s.account(t, agent), 5)
	oid := s.want(t, 201, s.redeem(t, agent, good, 5)).at("id").(string)
	at, review := "/api/v1/agent/redemptions/"+oid, "/api/v1/admin/redemptions/"+oid
	bad := map[string]any{"text": "<b>Used</b> by somebody."}
	if r := s.call(t, agent, "POST", at+"/dispute", bad); r.status != 409 || r.code() != "order_pending" {
		t.Errorf("in review: %d %s", r.status, r.text)
	}
	s.want(t, 200, s.call(t, judge, "POST", review+"/approve", nil))
	if r := s.call(t, agent, "POST", at+"/dispute", bad); r.status != 409 || r.code() != "order_unrevealed" {
		t.Errorf("unseen: %d %s", r.status, r.text)
	}
	s.want(t, 200, s.call(t, agent, "POST", at+"/reveal", nil))
	if r := s.call(t, agent, "POST", at+"/dispute", map[string]any{"text": " "}); r.status != 422 || r.pointer() != "/text" {
		t.Errorf("without a word: %d %s", r.status, r.text)
	}
	said := s.want(t, 200, s.call(t, agent, "POST", at+"/dispute", bad, "Idempotency-Key", "k"))
	if said.at("dispute.text") != bad["text"] || said.at("dispute.remedy") != nil || said.at("state") != "fulfilled" || strings.Contains(said.text, "CANARY") {
		t.Errorf("the order is %s", said.text)
	}
	if again := s.call(t, agent, "POST", at+"/dispute", bad, "Idempotency-Key", "k"); again.text != said.text || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a retry: %d %s", again.status, again.text)
	}
	queue := s.want(t, 200, s.call(t, judge, "GET", "/api/v1/admin/redemptions?state=disputed", nil))
	if queue.at("items.0.id") != oid || queue.at("items.0.untrusted.0") != "dispute" || strings.Contains(queue.text, "CANARY") {
		t.Errorf("the queue is %s", queue.text)
	}
	for pointer, body := range map[string]map[string]any{"/remedy": {"remedy": "burnt"}, "/reason": {"remedy": "rejected"}} {
		if r := s.call(t, judge, "POST", review+"/settle", body); r.status != 422 || r.pointer() != pointer {
			t.Errorf("%v: %d %s", body, r.status, r.text)
		}
	}
	done := s.want(t, 200, s.call(t, judge, "POST", review+"/settle", map[string]any{"remedy": "replaced", "reason": "Sorry."}))
	if done.at("dispute.remedy") != "replaced" || done.at("dispute.reason") != "Sorry." || strings.Contains(done.text, "CANARY") {
		t.Errorf("decided: %s", done.text)
	}
	if r := s.call(t, judge, "POST", review+"/settle", map[string]any{"remedy": "refunded"}); r.status != 409 || r.code() != "order_decided" {
		t.Errorf("decided twice: %d %s", r.status, r.text)
	}
	if r := s.want(t, 200, s.call(t, agent, "POST", at+"/reveal", nil)); r.at("code") != "CANARY-2" || r.at("reveals") != 1.0 {
		t.Errorf("the new code: %s", r.text)
	}
	if r := s.call(t, agent, "POST", at+"/dispute", bad); r.status != 409 || r.code() != "order_disputed" {
		t.Errorf("reported twice: %d %s", r.status, r.text)
	}
	if g := s.want(t, 200, s.call(t, judge, "GET", "/api/v1/admin/goods/"+good, nil)); g.at("bad") != 1.0 || g.at("sold") != 1.0 || g.at("stock") != 0.0 {
		t.Errorf("the good is %s", g.text)
	}
	s.balanced(t)
}

// TestBadCodeOnPages reports a code and gives its price back, with forms.
func TestBadCodeOnPages(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	judge := s.operator(t)
	owner, handle := s.human(t)
	a, err := s.store.AccountByHandle(t.Context(), handle)
	if err != nil {
		t.Fatal(err)
	}
	s.earn(t, string(a.ID), 5)
	good := s.good(t, s.judge(t), 5, "CANARY-1")
	path := owner.send(t, "POST", "/redeem/orders", url.Values{"goodId": {good}, "price": {"5"}, "idempotencyKey": {unique("k")}}).path
	review := strings.Replace(path, "/redeem/orders/", "/admin/redemptions/", 1)
	judge.send(t, "POST", review+"/approve", url.Values{}).want(t, 200, "/admin/redemptions")
	if owner.get(t, path).doc.Find(`form[action$="/dispute"]`).Length() != 0 {
		t.Error("a code that nobody saw can be reported")
	}
	owner.send(t, "POST", path+"/reveal", url.Values{})
	if owner.get(t, path).doc.Find(`form[action$="/dispute"] textarea[name=text]`).Length() != 1 {
		t.Error("there is no form to report the code")
	}
	refused := owner.send(t, "POST", path+"/dispute", url.Values{"text": {""}})
	if refused.status != 422 || refused.doc.Find(`details[open] form[action$="/dispute"] #text[aria-invalid=true]`).Length() != 1 {
		t.Errorf("an empty report: %d", refused.status)
	}
	owner.submit(t, owner.get(t, path), path+"/dispute", url.Values{"text": {"<i>Used</i>."}}).want(t, 200, path).says(t, ".notice-warn p", "<i>Used</i>.")
	queue := judge.get(t, "/admin/redemptions?state=disputed")
	queue.says(t, ".task-brief", "<i>Used</i>.")
	queue.says(t, ".choices a[aria-current=page]", "Bad codes")
	undecided := judge.send(t, "POST", review+"/settle", url.Values{"remedy": {string(market.RemedyRejected)}})
	if undecided.status != 422 || undecided.doc.Find(`input[name=remedy][value=rejected][checked]`).Length() != 1 || undecided.doc.Find(`#reason[aria-invalid=true]`).Length() != 1 {
		t.Errorf("a rejection without a word: %d %s", undecided.status, undecided.text)
	}
	judge.submit(t, judge.get(t, review), review+"/settle", url.Values{"remedy": {"refunded"}}).want(t, 200, "/admin/redemptions").says(t, "#flash", "Refunded")
	judge.get(t, review).says(t, ".panel-body strong", "The price went back")
	shown := owner.get(t, path)
	shown.says(t, ".notice-ok strong", "The code was bad; 5 credits went back to you")
	if shown.doc.Find(`form[action$="/reveal"], form[action$="/dispute"]`).Length() != 0 {
		t.Error("a refunded order has forms")
	}
	s.balanced(t)
}
