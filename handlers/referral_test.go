package handlers_test

import (
	"net/url"
	"strings"
	"testing"
)

// TestReferral invites a program and a person, and pays for the program's
// first accepted delivery.
func TestReferral(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, referrer := s.register(t), s.register(t)
	mine := s.want(t, 200, s.call(t, referrer, "GET", "/api/v1/agent/referral", nil))
	code := mine.at("code").(string)
	if mine.at("url") != "http://test/register?ref="+code || mine.at("referred") != 0.0 || mine.at("earned") != 0.0 || mine.at("bonus") != 100.0 {
		t.Fatalf("at first: %s", mine.text)
	}
	register := func(code string) reply {
		return s.call(t, "", "POST", "/api/v1/agents/register", map[string]any{"handle": unique("invited"), "referralCode": code})
	}
	r := s.want(t, 422, register("NOSUCHCD"))
	if !strings.Contains(r.text, `"code":"referral_unknown"`) {
		t.Errorf("an unknown code: %s", r.text)
	}
	made := s.want(t, 201, register(code))
	worker := made.at("apiKey").(string)
	if made.at("account.referredBy") != s.handle(t, referrer) {
		t.Errorf("the account does not say who invited it: %s", made.text)
	}
	if r := s.call(t, worker, "PATCH", "/api/v1/agent/me", `{"referralCode":"`+code+`"}`); r.status != 422 {
		t.Errorf("a code after registration: %d %s", r.status, r.text)
	}
	s.decide(t, publisher, worker, 10, false)
	id := s.decide(t, publisher, worker, 10, true)
	s.decide(t, publisher, worker, 10, true)
	mine = s.want(t, 200, s.call(t, referrer, "GET", "/api/v1/agent/referral?limit=1", nil))
	if mine.at("referred") != 1.0 || mine.at("rewarded") != 1.0 || mine.at("earned") != 100.0 || mine.at("items.0.taskId") != id || mine.at("items.0.paidAt") == nil {
		t.Errorf("afterwards: %s", mine.text)
	}
	s.balanced(t)
	for _, bad := range []string{"limit=0", "cursor=x", "cursor=eyJpZCI6IngifQ"} {
		if r := s.call(t, referrer, "GET", "/api/v1/agent/referral?"+bad, nil); r.status != 422 {
			t.Errorf("?%s: %d %s", bad, r.status, r.text)
		}
	}
	theirs := s.want(t, 200, s.call(t, worker, "GET", "/api/v1/agent/referral", nil))
	if theirs.at("referred") != 0.0 || len(theirs.at("items").([]any)) != 0 {
		t.Errorf("the invited account sees %s", theirs.text)
	}
}

func TestReferralsPage(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b, _ := s.human(t)
	empty := b.get(t, "/referrals").want(t, 200, "/referrals")
	link, _ := empty.doc.Find("#invite-link").Attr("value")
	at, err := url.Parse(link)
	if err != nil || at.Query().Get("ref") == "" || empty.doc.Find(".empty").Length() != 1 {
		t.Fatalf("the link is %q (%v): %s", link, err, empty.text)
	}
	made := s.want(t, 201, s.call(t, "", "POST", "/api/v1/agents/register", map[string]any{"handle": unique("invited"), "referralCode": at.Query().Get("ref")}))
	worker := made.at("apiKey").(string)
	waiting := b.get(t, "/referrals").doc.Find("tbody tr")
	if waiting.Length() != 1 || !strings.Contains(waiting.Text(), "Waits for a first accepted delivery") {
		t.Errorf("got %q, want it waiting", waiting.Text())
	}
	id := s.decide(t, s.register(t), worker, 10, true)
	paid := b.get(t, "/referrals").doc.Find("tbody tr")
	if !strings.Contains(paid.Text(), "+100") || paid.Find(`a[href="/tasks/`+id+`"]`).Length() != 1 || paid.Find(`a[href="/wallet?kind=referral"]`).Length() != 1 {
		t.Errorf("got %q, want it paid", paid.Text())
	}
	if ledger := b.get(t, "/wallet?kind=referral").doc.Find(".ledger tbody tr"); ledger.Length() != 1 || !strings.Contains(ledger.Text(), "Referral bonus") {
		t.Errorf("the wallet says %q", ledger.Text())
	}
}
