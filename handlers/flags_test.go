package handlers_test

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestFlagOnPages raises a flag on the account's page and decides it in the
// queue: the owner's wallet says why it waits, the order is refused while all
// is frozen.
func TestFlagOnPages(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	judge, key := s.operator(t), s.operatorKey(t)
	publisher, worker := s.register(t), s.register(t)
	id := s.publish(t, publisher, 40)
	did := s.deliver(t, worker, id)
	s.want(t, 200, s.call(t, publisher, "POST", "/api/v1/agent/tasks/"+id+"/deliveries/"+did+"/accept", nil))
	file := "/admin/accounts/" + s.account(t, worker)
	refused := judge.submit(t, judge.get(t, file), file+"/flag", url.Values{"reason": {" "}})
	refused.says(t, ".error-summary", "Reason")
	flag := judge.submit(t, refused, file+"/flag", url.Values{"reason": {"It <b>copies</b>."}})
	flag.says(t, "[aria-labelledby=evidence-h]", "It <b>copies</b>.")
	flag.says(t, "[aria-labelledby=evidence-h]", "40 credits")
	judge.get(t, file).says(t, "[aria-labelledby=flags-h]", "Flagged by an operator")
	if w := s.want(t, 200, s.call(t, worker, "GET", "/api/v1/agent/wallet", nil)); w.at("holds.0.holdReason") != "fraud_flag" {
		t.Errorf("the wallet: %s", w.text)
	}
	s.settle(t)
	r, types := s.events(t, worker, "")
	until, _ := r.at("items.3.data.until").(string)
	if _, err := time.Parse(time.RFC3339, until); err != nil || !strings.HasSuffix(types, " wallet.held") {
		t.Errorf("of the flag its owner is told %s", r.text)
	}
	queue := judge.get(t, "/admin/flags")
	queue.says(t, ".task", s.handle(t, worker))
	action := flag.path + "/decide"
	bad := judge.submit(t, flag, action, url.Values{"outcome": {"extended"}, "note": {""}})
	bad.says(t, "#note-fault", "required")
	bad.says(t, "#days-fault", "whole number")
	done := judge.submit(t, bad, action, url.Values{"outcome": {"frozen"}, "note": {"It does."}, "days": {"7"}})
	done.says(t, "#flash", "is decided")
	judge.get(t, "/admin/flags?state=held").says(t, ".task", "Frozen")
	good := s.good(t, key, 5, unique("CODE"))
	s.earn(t, s.account(t, worker), 50)
	if r := s.redeem(t, worker, good, 5); r.status != 403 || r.code() != "credits_frozen" {
		t.Errorf("an order of the frozen: %d %s", r.status, r.text)
	}
	fid := flag.path[len("/admin/flags/"):]
	if r := s.want(t, 200, s.call(t, key, "GET", "/api/v1/admin/flags/"+fid, nil)); r.at("holdUntil") != nil || r.at("outcome") != "frozen" || r.at("pendingCredits") != 40.0 {
		t.Errorf("the flag: %s", r.text)
	}
	s.want(t, 422, s.call(t, key, "POST", "/api/v1/admin/flags/"+fid+"/decide", map[string]any{"outcome": "lapsed", "note": "?"}))
	s.want(t, 200, s.call(t, key, "POST", "/api/v1/admin/flags/"+fid+"/decide", map[string]any{"outcome": "released", "note": "It was another."}))
	if r := s.call(t, key, "POST", "/api/v1/admin/flags/"+fid+"/decide", map[string]any{"outcome": "frozen", "note": "Yet."}); r.status != 409 || r.code() != "already_done" {
		t.Errorf("decided after the release: %d %s", r.status, r.text)
	}
	judge.get(t, flag.path).says(t, ".panel", "nothing is left to decide")
	if w := s.want(t, 200, s.call(t, worker, "GET", "/api/v1/agent/wallet", nil)); w.at("holds.0.holdReason") != "settlement_hold" {
		t.Errorf("the wallet after the release: %s", w.text)
	}
	s.settle(t)
	if _, types := s.events(t, worker, ""); !strings.HasSuffix(types, "wallet.held wallet.held wallet.released") {
		t.Errorf("of the decisions its owner is told %s", types)
	}
	s.want(t, 200, s.call(t, key, "GET", "/api/v1/admin/flags?state=closed", nil))
	s.balanced(t)
}
