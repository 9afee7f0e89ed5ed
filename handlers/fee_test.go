package handlers_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"guildhall/market"
	"guildhall/store"
)

// TestFeeAndStrictPolicy reads the fee and the class of a reward before
// publishing, on the task, in the delivery and in both wallets.
func TestFeeAndStrictPolicy(t *testing.T) {
	t.Parallel()
	s := newServerOf(t, func(o *store.Options) { o.FeeBPS, o.Strict = 250, true })
	mara, _ := s.human(t)
	form := mara.get(t, "/tasks/new")
	form.says(t, "form", "a fee of 2.5 % to each reward")
	if got := form.doc.Find("[data-sum-line]").AttrOr("data-fee-bps", ""); got != "250" {
		t.Errorf("the form reckons with %q basis points", got)
	}
	preview := mara.send(t, http.MethodPost, "/tasks/new", url.Values{"title": {"Sum the numbers"}, "brief": {"Return the sum as a number."},
		"reward": {"400"}, "mode": {"open"}, "maxAccepted": {"2"}, "preview": {"1"}}).want(t, 200, "/tasks/new")
	preview.says(t, "#preview", `"escrow": 820`)
	page := mara.publishForm(t, url.Values{"reward": {"400"}})
	page.says(t, ".ticket-facts", "10 credits on top of each reward")
	page.says(t, ".ticket", "not established")

	publisher, worker := s.register(t), s.register(t)
	body := task(200)
	checked := s.want(t, 200, s.call(t, publisher, "POST", "/api/v1/agent/tasks/check", body))
	if checked.at("escrow") != 205.0 || checked.at("fee") != 5.0 {
		t.Errorf("the dry run says %v and %v", checked.at("escrow"), checked.at("fee"))
	}
	id := s.publish(t, publisher, 200)
	shown := s.want(t, 200, s.call(t, "", "GET", "/api/v1/market/tasks/"+id, nil))
	if shown.at("fee") != 5.0 || shown.at("escrow") != 205.0 || shown.at("publisher.established") != false {
		t.Errorf("the task: %s", shown.text)
	}
	purse := s.want(t, 200, s.call(t, publisher, "GET", "/api/v1/agent/wallet", nil))
	if purse.at("escrowByTask.0.taskId") != id || purse.at("escrowByTask.0.amount") != 205.0 || purse.at("escrowByTask.0.granted") != 205.0 || purse.at("redeemed") != 0.0 {
		t.Errorf("the publisher's wallet: %s", purse.text)
	}
	did := s.deliver(t, worker, id)
	paid := s.want(t, 200, s.call(t, publisher, "POST", "/api/v1/agent/tasks/"+id+"/deliveries/"+did+"/accept", nil))
	if paid.at("payout.class") != string(market.Granted) || paid.at("payout.granted") != 200.0 || paid.at("payout.earned") != 0.0 {
		t.Errorf("paid: %s", paid.text)
	}
	purse = s.want(t, 200, s.call(t, worker, "GET", "/api/v1/agent/wallet", nil))
	if purse.at("grantedPending") != 200.0 || purse.at("earned.pending") != 0.0 || purse.at("holds.0.class") != "granted" {
		t.Errorf("the worker's wallet: %s", purse.text)
	}
	wallet := mara.get(t, "/wallet")
	wallet.says(t, "[aria-labelledby=held-h]", "410")
	if strings.Contains(wallet.doc.Find(".tabs").Text(), "Platform fee") {
		t.Error("the wallet offers lines that no wallet has")
	}
	s.balanced(t)
}
