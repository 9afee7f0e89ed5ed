package handlers_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"guildhall/handlers"
	"guildhall/market"
	"guildhall/store"
)

// office is a site with an operator's key and session, and others to decide
// about.
type office struct {
	*server
	key               string
	page              *browser
	publisher, worker string
}

// aCase is an open case.
func (o *office) aCase(t *testing.T) string {
	id := o.publish(t, o.publisher, 10)
	return o.appeal(t, o.publisher, o.worker, id, o.deliver(t, o.worker, id))
}

// anOrder waits for an operator.
func (o *office) anOrder(t *testing.T) string {
	agent := o.register(t)
	o.earn(t, o.account(t, agent), 5)
	return o.want(t, 201, o.redeem(t, agent, o.good(t, o.key, 5, unique("CODE")), 5)).at("id").(string)
}

// aDispute is an order whose owner says that its code is bad.
func (o *office) aDispute(t *testing.T) string {
	agent := o.register(t)
	id := o.order(t, agent)
	o.want(t, 200, o.call(t, agent, "POST", "/api/v1/agent/redemptions/"+id+"/reveal", nil))
	o.want(t, 200, o.call(t, agent, "POST", "/api/v1/agent/redemptions/"+id+"/dispute", map[string]any{"text": "The shop says it is used."}))
	return id
}

// pending is an account that waits, as if it had come while operators approved.
func (o *office) pending(t *testing.T) string {
	id := o.account(t, o.register(t))
	if _, err := o.store.DB().Exec(`UPDATE accounts SET approved_at = NULL WHERE id = $1`, id); err != nil {
		t.Fatal(err)
	}
	return id
}

// deeds do what each operators' route does once: what it is about (in place of
// the path's parameter), what is sent, and the action that the log must have.
var deeds = map[string]func(*testing.T, *office) (subject string, body map[string]any, action string){
	"POST /admin/cases/:kid/decide": func(t *testing.T, o *office) (string, map[string]any, string) {
		return o.aCase(t), map[string]any{"outcome": "upheld", "note": "It is untidy."}, market.ActionCaseDecided
	},
	"POST /admin/reports/:rid/decide": func(t *testing.T, o *office) (string, map[string]any, string) {
		id := o.publish(t, o.publisher, 1)
		r := o.want(t, 201, o.call(t, o.worker, "POST", "/api/v1/market/tasks/"+id+"/report", map[string]any{"reason": "spam"}))
		return r.at("id").(string), map[string]any{"outcome": "dismissed", "note": "It is not."}, market.ActionReportDecided
	},
	"POST /admin/books": func(*testing.T, *office) (string, map[string]any, string) {
		return "", nil, market.ActionBooksRecomputed
	},
	"POST /admin/vouchers": func(*testing.T, *office) (string, map[string]any, string) {
		return "", map[string]any{"amount": 1, "class": "earned", "count": 1, "days": 1}, market.ActionVouchersMade
	},
	"POST /admin/vouchers/:bid/revoke": func(t *testing.T, o *office) (string, map[string]any, string) {
		b := o.want(t, 201, o.call(t, o.key, "POST", "/api/v1/admin/vouchers", map[string]any{"amount": 1, "class": "earned", "count": 1, "days": 1}, "Idempotency-Key", unique("k")))
		return b.at("id").(string), nil, market.ActionVouchersRevoked
	},
	"POST /admin/redemptions/:oid/approve": func(t *testing.T, o *office) (string, map[string]any, string) {
		return o.anOrder(t), nil, market.ActionOrderApproved
	},
	"POST /admin/redemptions/:oid/refuse": func(t *testing.T, o *office) (string, map[string]any, string) {
		return o.anOrder(t), map[string]any{"reason": "Not yet."}, market.ActionOrderRefused
	},
	"POST /admin/redemptions/:oid/settle": func(t *testing.T, o *office) (string, map[string]any, string) {
		return o.aDispute(t), map[string]any{"remedy": "refunded"}, market.ActionOrderRefunded
	},
	"POST /admin/goods": func(*testing.T, *office) (string, map[string]any, string) {
		return "", map[string]any{"kind": "other", "name": "Ticket", "denomination": "1 day", "price": 5, "region": "EU", "terms": "One person."}, market.ActionGoodCreated
	},
	"PUT /admin/goods/:gid":  changeAGood,
	"POST /admin/goods/:gid": changeAGood,
	"POST /admin/goods/:gid/codes": func(t *testing.T, o *office) (string, map[string]any, string) {
		return o.good(t, o.key, 5), map[string]any{"csv": unique("CODE")}, market.ActionCodesImported
	},
	"POST /admin/goods/:gid/withdraw": func(t *testing.T, o *office) (string, map[string]any, string) {
		id := o.good(t, o.key, 5, unique("CODE"))
		shelf := o.want(t, 200, o.call(t, o.key, "GET", "/api/v1/admin/goods/"+id+"/codes", nil))
		return id, map[string]any{"codes": shelf.at("items.0.id"), "reason": "Recalled."}, market.ActionCodesWithdrawn
	},
	"POST /admin/invitations": func(*testing.T, *office) (string, map[string]any, string) {
		return "", map[string]any{"count": 1, "uses": 1, "days": 1}, market.ActionInvitationsMade
	},
	"POST /admin/invitations/:iid/revoke": func(t *testing.T, o *office) (string, map[string]any, string) {
		b := o.want(t, 201, o.call(t, o.key, "POST", "/api/v1/admin/invitations", map[string]any{"count": 1, "uses": 1, "days": 1}, "Idempotency-Key", unique("k")))
		return b.at("id").(string), nil, market.ActionInvitationsRevoked
	},
	"POST /admin/accounts/:aid/approve": func(t *testing.T, o *office) (string, map[string]any, string) {
		return o.pending(t), nil, market.ActionAccountApproved
	},
	"POST /admin/accounts/:aid/refuse": func(t *testing.T, o *office) (string, map[string]any, string) {
		return o.pending(t), map[string]any{"reason": "Who are you?"}, market.ActionAccountRefused
	},
	"POST /admin/accounts/:aid/suspend": func(t *testing.T, o *office) (string, map[string]any, string) {
		return o.account(t, o.register(t)), map[string]any{"reason": "Spam."}, market.ActionAccountSuspended
	},
	"POST /admin/accounts/:aid/unsuspend": func(t *testing.T, o *office) (string, map[string]any, string) {
		id := o.account(t, o.register(t))
		o.want(t, 200, o.call(t, o.key, "POST", "/api/v1/admin/accounts/"+id+"/suspend", map[string]any{"reason": "Spam."}))
		return id, map[string]any{"reason": "It was another."}, market.ActionAccountUnsuspended
	},
	"POST /admin/accounts/:aid/verify": func(t *testing.T, o *office) (string, map[string]any, string) {
		return o.account(t, o.register(t)), map[string]any{"reason": "We have met."}, market.ActionVerified
	},
	"POST /admin/accounts/:aid/unverify": func(t *testing.T, o *office) (string, map[string]any, string) {
		id := o.account(t, o.register(t))
		o.want(t, 200, o.call(t, o.key, "POST", "/api/v1/admin/accounts/"+id+"/verify", map[string]any{"reason": "We have met."}))
		return id, map[string]any{"reason": "It was another."}, market.ActionUnverified
	},
	"POST /admin/accounts/:aid/flag": func(t *testing.T, o *office) (string, map[string]any, string) {
		return o.account(t, o.register(t)), map[string]any{"reason": "It copies."}, market.ActionFlagRaised
	},
	"POST /admin/flags/:fid/decide": func(t *testing.T, o *office) (string, map[string]any, string) {
		id := o.account(t, o.register(t))
		f := o.want(t, 201, o.call(t, o.key, "POST", "/api/v1/admin/accounts/"+id+"/flag", map[string]any{"reason": "It copies."}))
		return f.at("id").(string), map[string]any{"outcome": "extended", "days": 3, "note": "Wait."}, market.ActionFlagDecided
	},
	"POST /admin/onboarding": setTheChallenge,
	"PUT /admin/onboarding":  setTheChallenge,
	"POST /admin/onboarding/off": func(t *testing.T, o *office) (string, map[string]any, string) {
		if err := o.store.SetChallenge(t.Context(), store.Caller{}, &market.Challenge{Brief: "Say the word.", Message: "word", Passphrase: "word", Reward: 1}); err != nil {
			t.Fatal(err)
		}
		return "", nil, market.ActionChallengeOff
	},
	"DELETE /admin/onboarding": func(*testing.T, *office) (string, map[string]any, string) { return "", nil, market.ActionChallengeOff },
	"POST /admin/accounts/:aid/adjust": func(t *testing.T, o *office) (string, map[string]any, string) {
		return o.account(t, o.register(t)), map[string]any{"amount": -7, "class": "granted", "reason": "Paid twice."}, market.ActionWalletAdjusted
	},
}

func changeAGood(t *testing.T, o *office) (string, map[string]any, string) {
	return o.good(t, o.key, 5), map[string]any{"version": 1, "kind": "other", "name": "Ticket", "denomination": "1 day", "price": 6, "region": "EU", "terms": "One person."},
		market.ActionGoodChanged
}

func setTheChallenge(*testing.T, *office) (string, map[string]any, string) {
	return "", map[string]any{"brief": "Say the word.", "message": "The word is swordfish.", "passphrase": "swordfish", "reward": 3}, market.ActionChallengeSet
}

// do sends the deed to the route, through the key or the page.
func (o *office) do(t *testing.T, r handlers.RouteInfo, subject string, body map[string]any) int {
	t.Helper()
	parts := strings.Split(r.Path, "/")
	for i, p := range parts {
		if strings.HasPrefix(p, ":") {
			parts[i] = subject
		}
	}
	path := strings.Join(parts, "/")
	if !r.Page {
		var sent any
		if body != nil {
			sent = body
		}
		return o.call(t, o.key, r.Method, path, sent, "Idempotency-Key", unique("k")).status
	}
	form := url.Values{"idempotencyKey": {unique("k")}}
	for k, v := range body {
		form.Set(k, fmt.Sprint(v))
	}
	return o.page.send(t, r.Method, path, form).status
}

// TestEveryDeedOfOperatorsIsLogged does what every operators' route does that
// changes something. A route without a deed here fails.
func TestEveryDeedOfOperatorsIsLogged(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	o := &office{server: s, key: s.judge(t), page: s.operator(t), publisher: s.register(t), worker: s.register(t)}
	tried := 0
	for _, r := range handlers.RouteTable() {
		if r.Auth != "operator" || r.Method == "GET" {
			continue
		}
		tried++
		name := r.Method + " " + strings.TrimPrefix(r.Path, "/api/v1")
		deed := deeds[name]
		if deed == nil {
			t.Errorf("%s has no deed in this test", name)
			continue
		}
		subject, body, action := deed(t, o)
		before, err := s.store.AdminLog(t.Context(), market.ActionFilter{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		status := o.do(t, r, subject, body)
		after, err := s.store.AdminLog(t.Context(), market.ActionFilter{Limit: 1000})
		if err != nil || status >= 400 || len(after) != len(before)+1 || after[0].Action != action || (after[0].Key == "") != r.Page || subject != "" && after[0].Subject != subject {
			t.Errorf("%s %s answered %d and left %d lines, the last %+v, %v", r.Method, r.Path, status, len(after)-len(before), after[0], err)
		}
	}
	if tried < 20 {
		t.Errorf("tried %d routes only", tried)
	}
	s.balanced(t)
}

func TestLogOfOperators(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	judge, page := s.judge(t), s.operator(t)
	agent := s.account(t, s.register(t))
	for _, reason := range []string{"<b>Spam</b>.", "Enough."} {
		how := map[bool]string{true: "suspend", false: "unsuspend"}[reason != "Enough."]
		s.want(t, 200, s.call(t, judge, "POST", "/api/v1/admin/accounts/"+agent+"/"+how, map[string]any{"reason": reason}))
	}
	s.want(t, 201, s.call(t, judge, "POST", "/api/v1/admin/accounts/"+agent+"/adjust", map[string]any{"amount": 30, "class": "earned", "reason": "Lost."}, "Idempotency-Key", "k"))
	first := s.want(t, 200, s.call(t, judge, "GET", "/api/v1/admin/log?limit=1", nil))
	if first.at("items.0.action") != "wallet_adjusted" || first.at("items.0.object") != agent || first.at("items.0.detail.amount") != 30.0 || !strings.HasPrefix(first.at("items.0.key").(string), "gho_") {
		t.Errorf("got %s", first.text)
	}
	next := s.want(t, 200, s.call(t, judge, "GET", "/api/v1/admin/log?limit=1&cursor="+first.at("nextCursor").(string), nil))
	if next.at("items.0.action") != "account_unsuspended" || next.at("items.0.reason") != "Enough." {
		t.Errorf("got %s", next.text)
	}
	for query, want := range map[string]int{"?action=account_suspended": 1, "?object=" + agent: 3, "?operator=nobody": 0, "?operator=" + first.at("items.0.actor").(string): 3} {
		if got := s.want(t, 200, s.call(t, judge, "GET", "/api/v1/admin/log"+query, nil)); len(got.at("items").([]any)) != want {
			t.Errorf("%s: %s", query, got.text)
		}
	}
	for _, query := range []string{"?action=nonsense", "?object=1", "?operator=!", "?cursor=x"} {
		if got := s.call(t, judge, "GET", "/api/v1/admin/log"+query, nil); got.status != 422 {
			t.Errorf("%s: %d %s", query, got.status, got.text)
		}
	}
	shown := page.get(t, "/admin/log?limit=2").want(t, 200, "/admin/log")
	if shown.doc.Find("tbody tr").Length() != 2 || shown.doc.Find(`tbody a[href="/admin/accounts/`+agent+`"]`).Length() != 2 || shown.doc.Find(`.pager a[rel=next]`).Length() != 1 {
		t.Errorf("got %s", shown.text)
	}
	page.get(t, "/admin/log?action=account_suspended").says(t, "tbody tr", "<b>Spam</b>.")
}
