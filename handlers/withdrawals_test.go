package handlers_test

import (
	"net/url"
	"strings"
	"testing"
)

// TestWithdrawByKey takes one code and then the rest of an import out of stock.
func TestWithdrawByKey(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	judge := s.judge(t)
	good := s.good(t, judge, 5, "code,expires", "CANARY-1,2199-12-31", "CANARY-2", "CANARY-3")
	at := "/api/v1/admin/goods/" + good
	shelf := s.want(t, 200, s.call(t, judge, "GET", at+"/codes?limit=2", nil))
	if len(shelf.at("items").([]any)) != 2 || shelf.at("imports.0.codes") != 3.0 || shelf.at("imports.0.free") != 3.0 || len(shelf.at("items.0.fingerprint").(string)) != 8 || strings.Contains(shelf.text, "CANARY") {
		t.Fatalf("in stock are %s", shelf.text)
	}
	next := s.want(t, 200, s.call(t, judge, "GET", at+"/codes?limit=2&cursor="+shelf.at("nextCursor").(string), nil))
	if len(next.at("items").([]any)) != 1 || next.at("nextCursor") != nil {
		t.Errorf("the next page is %s", next.text)
	}
	for pointer, body := range map[string]map[string]any{"/codes": {"codes": "all", "reason": "x"}, "/reason": {"codes": shelf.at("items.0.id"), "reason": ""}} {
		if r := s.call(t, judge, "POST", at+"/withdraw", body); r.status != 422 || r.pointer() != pointer {
			t.Errorf("%v: %d %s", body, r.status, r.text)
		}
	}
	one := map[string]any{"codes": shelf.at("items.0.id"), "reason": "Printed wrongly."}
	if r := s.want(t, 200, s.call(t, judge, "POST", at+"/withdraw", one)); r.at("withdrawn") != 1.0 {
		t.Errorf("one: %s", r.text)
	}
	if r := s.call(t, judge, "POST", at+"/withdraw", one); r.status != 409 || r.code() != "codes_taken" {
		t.Errorf("twice: %d %s", r.status, r.text)
	}
	if r := s.want(t, 200, s.call(t, judge, "POST", at+"/withdraw", map[string]any{"codes": shelf.at("imports.0.addedAt"), "reason": "All wrong."})); r.at("withdrawn") != 2.0 {
		t.Errorf("the rest: %s", r.text)
	}
	if g := s.want(t, 200, s.call(t, judge, "GET", at, nil)); g.at("withdrawn") != 3.0 || g.at("stock") != 0.0 || g.at("log.0.reason") != "All wrong." {
		t.Errorf("the good is %s", g.text)
	}
}

func TestWithdrawOnPages(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	judge := s.operator(t)
	path := "/admin/goods/" + s.good(t, s.judge(t), 5, "CANARY-1", "CANARY-2")
	shelf := judge.get(t, path+"/codes").want(t, 200, path+"/codes")
	if shelf.doc.Find(`input[name=codes]`).Length() != 3 || strings.Contains(shelf.text, "CANARY") {
		t.Fatalf("got %s", shelf.text)
	}
	refused := judge.submit(t, shelf, path+"/withdraw", nil).want(t, 422, path+"/withdraw")
	refused.says(t, ".error-summary", "Which codes")
	all, _ := shelf.doc.Find(`input[name=codes]`).First().Attr("value")
	done := judge.submit(t, shelf, path+"/withdraw", url.Values{"codes": {all}, "reason": {"<b>Recalled</b>."}}).want(t, 200, path+"/codes")
	done.says(t, "#flash", "2 codes withdrawn")
	done.says(t, ".empty", "No code is in stock")
	judge.get(t, path).says(t, ".timeline", "2 codes withdrawn")
}
