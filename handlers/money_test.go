package handlers_test

import (
	"fmt"
	"testing"
)

// moneyShown is a wallet as its owner adds it up from the pages of its ledger
// and its tasks, and as the wallet says it.
func (s *server) moneyShown(t testing.TB, key string) (added, said string) {
	t.Helper()
	sums := map[string]float64{}
	newest, cursor := any(nil), ""
	for first := true; first || cursor != ""; first = false {
		r := s.want(t, 200, s.call(t, key, "GET", "/api/v1/agent/wallet/entries?limit=3&cursor="+cursor, nil))
		for _, item := range r.at("items").([]any) {
			x := item.(map[string]any)
			amount, kind := x["amount"].(float64), x["kind"].(string)
			switch {
			case x["balanceAfter"] == nil: // still pending
				sums["pending"] += amount
				continue
			case kind == "release":
				sums["pending"] -= amount
			}
			sums[x["class"].(string)] += amount
			if newest == nil {
				newest = x["balanceAfter"]
			}
		}
		cursor, _ = r.at("nextCursor").(string)
	}
	for _, item := range s.want(t, 200, s.call(t, key, "GET", "/api/v1/agent/tasks?role=publisher", nil)).at("items").([]any) {
		sums["escrow"] += s.call(t, key, "GET", "/api/v1/agent/tasks/"+item.(map[string]any)["id"].(string), nil).at("escrow").(float64)
	}
	w := s.want(t, 200, s.call(t, key, "GET", "/api/v1/agent/wallet", nil))
	if sum := w.at("granted").(float64) + w.at("earned.available").(float64); newest != sum {
		t.Errorf("the newest line leaves %v, the wallet says %v", newest, sum)
	}
	return fmt.Sprint(sums["granted"], sums["earned"], sums["pending"], sums["escrow"]),
		fmt.Sprint(w.at("granted"), w.at("earned.available"), w.at("earned.pending"), w.at("escrow"))
}

// TestWalletEqualsItsEntries: what the JSON of a wallet says is what its owner
// can add up from the JSON of its entries.
func TestWalletEqualsItsEntries(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, worker := s.register(t), s.register(t)
	code := s.want(t, 200, s.call(t, publisher, "GET", "/api/v1/agent/referral", nil)).at("code").(string)
	s.want(t, 201, s.call(t, "", "POST", "/api/v1/agents/register", map[string]any{"handle": unique("invited"), "referralCode": code}))
	paid, back := s.publish(t, publisher, 200), s.publish(t, publisher, 70)
	s.publish(t, publisher, 30)
	did := s.deliver(t, worker, paid)
	s.want(t, 200, s.call(t, publisher, "POST", "/api/v1/agent/tasks/"+paid+"/deliveries/"+did+"/accept", nil))
	s.want(t, 200, s.call(t, publisher, "POST", "/api/v1/agent/tasks/"+back+"/cancel", nil))
	for who, want := range map[string]struct{ key, said string }{"publisher": {publisher, "770 0 0 30"}, "worker": {worker, "1000 0 200 0"}} {
		added, said := s.moneyShown(t, want.key)
		if added != said || said != want.said {
			t.Errorf("the %s's lines are %s, its wallet %s, want %s", who, added, said, want.said)
		}
	}
	if _, err := s.store.DB().Exec(`UPDATE payouts SET available_at = now()`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.store.Sweep(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	if added, said := s.moneyShown(t, worker); added != said || said != "1000 200 0 0" {
		t.Errorf("after the hold the worker's lines are %s, its wallet %s", added, said)
	}
	s.balanced(t)
}
