package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// earn gives the account earned credits that are available.
func earn(t testing.TB, s *store.Store, amount int, to ...store.Caller) {
	t.Helper()
	for _, by := range to {
		exec(t, s, `
			WITH w AS (UPDATE wallets SET earned = earned + $2 WHERE account_id = $1 RETURNING granted + earned AS total)
			INSERT INTO transfers (at, kind, debit, credit, amount, debit_class, credit_class, account_id, balance_after)
			SELECT now(), 'grant', 'platform:grants', 'wallet:' || $1::uuid, $2, 'earned', 'earned', $1, total FROM w`, string(by.Account), amount)
	}
}

func operator(t testing.TB, s *store.Store) store.Caller {
	t.Helper()
	r := market.Registration{Kind: market.Human, Handle: fmt.Sprintf("judge-%d", handles.Add(1)), Email: fmt.Sprintf("judge-%d@example.org", handles.Load()), Password: "correct horse battery"}
	if bad := r.Clean(); bad != nil {
		t.Fatalf("registration: %v", bad)
	}
	a, err := s.RegisterOperator(t.Context(), r, "x")
	if err != nil {
		t.Fatal(err)
	}
	return store.Caller{Actor: market.Actor{Account: a.ID, Kind: a.Kind, Handle: a.Handle, Operator: true}}
}

func goodDraft(price int64) market.GoodDraft {
	return market.GoodDraft{Kind: market.GiftCard, Name: "Book shop card", Denomination: "€ 10", Price: price, Region: "EU", Terms: "Valid in every shop.", Offered: true}
}

// stock makes a good with n codes "TAG-0", "TAG-1"…
func stock(t testing.TB, s *store.Store, judge store.Caller, price int64, tag string, n int) market.Good {
	t.Helper()
	g, err := s.CreateGood(t.Context(), judge, goodDraft(price))
	if err != nil {
		t.Fatalf("create a good: %v", err)
	}
	var codes []market.Stock
	for i := range n {
		codes = append(codes, market.Stock{Code: fmt.Sprintf("%s-%d", tag, i)})
	}
	if added, err := s.ImportCodes(t.Context(), judge, g.ID, codes); err != nil || added != n {
		t.Fatalf("import: %d, %v", added, err)
	}
	return g
}

// proven has a fulfilled order, so that its next one needs no review.
func proven(t testing.TB, s *store.Store, judge store.Caller, buyers ...store.Caller) {
	t.Helper()
	g := stock(t, s, judge, 1, fmt.Sprintf("FIRST%d", handles.Add(1)), len(buyers))
	earn(t, s, 1, buyers...)
	for _, by := range buyers {
		o, err := s.Redeem(t.Context(), by, g.ID, 1, false)
		if err != nil || o.State != market.OrderPending || !slices.Equal(o.Reasons, []string{market.ReviewFirst}) {
			t.Fatalf("the first order is %+v, %v", o, err)
		}
		if _, err := s.ApproveOrder(t.Context(), judge, o.ID); err != nil {
			t.Fatalf("approve: %v", err)
		}
	}
}

func left(t testing.TB, s *store.Store, id market.GoodID) int64 {
	t.Helper()
	g, err := s.Good(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return g.Stock
}

func TestRedemption(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	judge, buyer := operator(t, s), agent(t, s)
	g := stock(t, s, judge, 100, "CODE", 3)
	earn(t, s, 250, buyer)
	first, err := s.Redeem(t.Context(), buyer, g.ID, 100, true)
	if err != nil || first.State != market.OrderPending || first.Code != "" || first.Reveals != 0 {
		t.Fatalf("the first order is %+v, %v", first, err)
	}
	if w := wallet(t, s, buyer); w.EarnedAvailable != 150 || w.Granted != 1000 || left(t, s, g.ID) != 2 {
		t.Errorf("an order in review left %+v and %d codes", w, left(t, s, g.ID))
	}
	if _, err := s.RevealOrder(t.Context(), buyer, first.ID); !errors.Is(err, market.ErrOrderPending) {
		t.Errorf("revealing it: %v", err)
	}
	balanced(t, s)
	done, err := s.ApproveOrder(t.Context(), judge, first.ID)
	if err != nil || done.State != market.OrderFulfilled {
		t.Fatalf("approve: %+v, %v", done, err)
	}
	if _, err := s.RefuseOrder(t.Context(), judge, first.ID, "Late."); !errors.Is(err, market.ErrOrderDecided) {
		t.Errorf("refusing what is fulfilled: %v", err)
	}
	shown, err := s.RevealOrder(t.Context(), buyer, first.ID)
	if err != nil || shown.Code != "CODE-0" || shown.Reveals != 1 {
		t.Errorf("the code is %+v, %v", shown, err)
	}
	if again, err := s.RevealOrder(t.Context(), buyer, first.ID); err != nil || again.Code != "CODE-0" || again.Reveals != 2 {
		t.Errorf("a second time, proven: %+v, %v", again, err)
	}
	if _, err := s.RevealOrder(t.Context(), judge, first.ID); !errors.Is(err, market.ErrNotFound) {
		t.Errorf("an operator sees the code: %v", err)
	}
	second, err := s.Redeem(t.Context(), buyer, g.ID, 100, true)
	if err != nil || second.State != market.OrderFulfilled || second.Code != "CODE-1" || second.Reveals != 1 {
		t.Errorf("the second order is %+v, %v", second, err)
	}
	if _, err := s.Redeem(t.Context(), buyer, g.ID, 100, true); !errors.Is(err, market.ErrInsufficientCredits) {
		t.Errorf("with granted credits only: %v", err)
	}
	lines, err := s.Entries(t.Context(), buyer.Account, market.EntryFilter{Kind: market.TransferRedeem, Limit: 10})
	if err != nil || len(lines) != 2 || lines[0].Order != second.ID || lines[0].Amount != -100 || lines[0].Class != market.Earned || *lines[0].BalanceAfter != 1050 {
		t.Errorf("the ledger says %+v, %v", lines, err)
	}
	balanced(t, s)
}

func TestRefusedOrderGivesAllBack(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	judge, buyer := operator(t, s), agent(t, s)
	g := stock(t, s, judge, 100, "CODE", 1)
	earn(t, s, 100, buyer)
	o, err := s.Redeem(t.Context(), buyer, g.ID, 100, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Redeem(t.Context(), buyer, g.ID, 100, true); !errors.Is(err, market.ErrInsufficientCredits) {
		t.Errorf("a second order: %v", err)
	}
	got := race(8, func(i int) error {
		if i%2 == 0 {
			_, err := s.ApproveOrder(t.Context(), agent(t, s), o.ID) // no operator
			return err
		}
		_, err := s.RefuseOrder(t.Context(), judge, o.ID, "Looks like a farm.")
		return err
	})
	if got["ok"] != 1 {
		t.Errorf("got %v, want one refusal", got)
	}
	after, err := s.Order(t.Context(), buyer.Actor, o.ID)
	if err != nil || after.State != market.OrderRefused || after.Refusal != "Looks like a farm." || after.Decider != judge.Handle {
		t.Errorf("the order is %+v, %v", after, err)
	}
	if w := wallet(t, s, buyer); w.EarnedAvailable != 100 || left(t, s, g.ID) != 1 {
		t.Errorf("after the refusal: %+v and %d codes", w, left(t, s, g.ID))
	}
	log, err := s.AdminActions(t.Context(), string(o.ID), 10)
	if err != nil || len(log) != 1 || log[0].Action != market.ActionOrderRefused || log[0].Actor != judge.Handle || log[0].Reason != "Looks like a farm." {
		t.Errorf("the log says %+v, %v", log, err)
	}
	balanced(t, s)
}

// TestRace500OrdersFor100Codes: 100 are fulfilled, 400 refused, no code is sold
// twice, and all credits are accounted for.
func TestRace500OrdersFor100Codes(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	judge := operator(t, s)
	buyers := make([]store.Caller, 500)
	for i := range buyers {
		buyers[i] = agent(t, s)
	}
	proven(t, s, judge, buyers...)
	g := stock(t, s, judge, 100, "CODE", 100)
	earn(t, s, 100, buyers...)
	var mu sync.Mutex
	codes := map[string]int{}
	got := race(len(buyers), func(i int) error {
		o, err := s.Redeem(t.Context(), buyers[i], g.ID, 100, true)
		if err == nil {
			mu.Lock()
			codes[o.Code]++
			mu.Unlock()
		}
		return err
	})
	if got["ok"] != 100 || got["out_of_stock"] != 400 || len(codes) != 100 || left(t, s, g.ID) != 0 {
		t.Errorf("got %v, %d codes, %d left", got, len(codes), left(t, s, g.ID))
	}
	var spent int64
	for _, by := range buyers {
		spent += 100 - int64(wallet(t, s, by).EarnedAvailable)
	}
	if spent != 100*100 {
		t.Errorf("%d credits were spent, want 10000", spent)
	}
	balanced(t, s)
}

// TestRaceOfOneAccount: an account cannot spend its credits twice, nor slip
// through the policy by ordering at once.
func TestRaceOfOneAccount(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	judge, buyer := operator(t, s), agent(t, s)
	proven(t, s, judge, buyer)
	g := stock(t, s, judge, 10, "CODE", 20)
	earn(t, s, 75, buyer)
	got := race(20, func(int) error {
		_, err := s.Redeem(t.Context(), buyer, g.ID, 10, true)
		return err
	})
	if got["ok"] != 7 {
		t.Errorf("got %v, want 7 orders of 75 credits", got)
	}
	orders, err := s.Orders(t.Context(), buyer.Account, "", 50)
	states := map[market.OrderState]int{}
	for _, o := range orders {
		states[o.State]++
	}
	// The one of proven counts as recent.
	if err != nil || states[market.OrderFulfilled] != market.MaxRecent || states[market.OrderPending] != 8-market.MaxRecent {
		t.Errorf("got %v, %v", states, err)
	}
	balanced(t, s)
}

func TestOrderIsRefusedForAReason(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	judge, buyer := operator(t, s), agent(t, s)
	proven(t, s, judge, buyer)
	g := stock(t, s, judge, 100, "CODE", 0)
	soon := time.Now().Add(time.Hour)
	if _, err := s.ImportCodes(t.Context(), judge, g.ID, []market.Stock{{Code: "SOON", ExpiresAt: &soon}}); err != nil {
		t.Fatal(err)
	}
	earn(t, s, 300, buyer)
	if _, err := s.Redeem(t.Context(), buyer, g.ID, 99, true); !errors.Is(err, market.ErrPriceChanged) {
		t.Errorf("another price: %v", err)
	}
	if _, err := s.Redeem(t.Context(), buyer, market.GoodID(judge.Account), 100, true); !errors.Is(err, market.ErrNotFound) {
		t.Errorf("no such good: %v", err)
	}
	c.advance(2 * time.Hour)
	if _, err := s.Redeem(t.Context(), buyer, g.ID, 100, true); !errors.Is(err, market.ErrOutOfStock) {
		t.Errorf("with an expired code only: %v", err)
	}
	if stocked, err := s.StockedGood(t.Context(), g.ID); err != nil || stocked.Expired != 1 || stocked.Stock != 0 {
		t.Errorf("the stock is %+v, %v", stocked, err)
	}
	off := goodDraft(100)
	off.Offered = false
	if _, err := s.ChangeGood(t.Context(), judge, g.ID, 1, off); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ChangeGood(t.Context(), judge, g.ID, 1, off); !errors.Is(err, market.ErrGoodChanged) {
		t.Errorf("a change of an old version: %v", err)
	}
	if _, err := s.Redeem(t.Context(), buyer, g.ID, 100, true); !errors.Is(err, market.ErrNotOffered) {
		t.Errorf("not offered: %v", err)
	}
	if w := wallet(t, s, buyer); w.EarnedAvailable != 300 {
		t.Errorf("after all refusals the account has %d, want 300", w.EarnedAvailable)
	}
	balanced(t, s)
}

// TestExpiredInReview: a held code that ends before the review is exchanged; if
// there is no other the order still waits, and can be refused.
func TestExpiredInReview(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	judge, one, two := operator(t, s), agent(t, s), agent(t, s)
	g := stock(t, s, judge, 100, "LONG", 1)
	soon := time.Now().Add(time.Hour)
	if _, err := s.ImportCodes(t.Context(), judge, g.ID, []market.Stock{{Code: "A", ExpiresAt: &soon}, {Code: "B", ExpiresAt: &soon}}); err != nil {
		t.Fatal(err)
	}
	earn(t, s, 100, one, two)
	var orders []market.Order
	for _, by := range []store.Caller{one, two} {
		o, err := s.Redeem(t.Context(), by, g.ID, 100, true)
		if err != nil || o.CodeExpiresAt == nil {
			t.Fatalf("got %+v, %v; want a code that ends first", o, err)
		}
		orders = append(orders, o)
	}
	c.advance(2 * time.Hour)
	if o, err := s.ApproveOrder(t.Context(), judge, orders[0].ID); err != nil || o.CodeExpiresAt != nil {
		t.Errorf("approved with %+v, %v; want the code that does not end", o, err)
	}
	if shown, err := s.RevealOrder(t.Context(), one, orders[0].ID); err != nil || shown.Code != "LONG-0" {
		t.Errorf("the code is %q, %v", shown.Code, err)
	}
	if _, err := s.ApproveOrder(t.Context(), judge, orders[1].ID); !errors.Is(err, market.ErrOutOfStock) {
		t.Errorf("without another code: %v", err)
	}
	if o, err := s.Order(t.Context(), two.Actor, orders[1].ID); err != nil || o.State != market.OrderPending {
		t.Errorf("the order is %+v, %v; want it to wait", o, err)
	}
	balanced(t, s)
	if _, err := s.RefuseOrder(t.Context(), judge, orders[1].ID, "The code has ended."); err != nil {
		t.Fatal(err)
	}
	balanced(t, s)
}

// TestDuePayoutsCanBeRedeemed before the sweep has moved them, and held ones
// cannot.
func TestDuePayoutsCanBeRedeemed(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	judge, publisher, worker := operator(t, s), agent(t, s), agent(t, s)
	g := stock(t, s, judge, 200, "CODE", 1)
	task := publish(t, s, publisher, 200)
	d := deliver(t, s, worker, task.ID, market.VerdictPass)
	if _, err := s.AcceptDelivery(t.Context(), publisher, task.ID, d.Delivery.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Redeem(t.Context(), worker, g.ID, 200, true); !errors.Is(err, market.ErrInsufficientCredits) {
		t.Errorf("with what is held: %v", err)
	}
	c.advance(25 * time.Hour)
	if _, err := s.Redeem(t.Context(), worker, g.ID, 200, true); err != nil {
		t.Errorf("with what is due: %v", err)
	}
	balanced(t, s)
}

// TestAuditFindsFalseOrders: an order that was never paid, one whose code is
// gone, one that was not given back.
func TestAuditFindsFalseOrders(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	judge := operator(t, s)
	buyers := []store.Caller{agent(t, s), agent(t, s), agent(t, s)}
	g := stock(t, s, judge, 1, "CODE", 3)
	earn(t, s, 1, buyers...)
	var ids []string
	for _, by := range buyers {
		o, err := s.Redeem(t.Context(), by, g.ID, 1, false)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, string(o.ID))
	}
	balanced(t, s)
	exec(t, s, `UPDATE redemptions SET price = 2 WHERE id = $1`, ids[0])
	exec(t, s, `UPDATE goods_codes SET order_id = NULL WHERE order_id = $1`, ids[1])
	exec(t, s, `UPDATE redemptions SET state = 'refused', refusal = 'x', decided_at = now(), decided_by = account_id WHERE id = $1`, ids[2])
	r, err := s.Audit(t.Context())
	var got []string
	for _, f := range r.Findings {
		got = append(got, f.Check+" "+strings.TrimPrefix(f.Subject, "order:"))
	}
	slices.Sort(got)
	want := []string{"order_code " + ids[1], "order_code " + ids[2], "redeem " + ids[0], "redeem_refund " + ids[2]}
	slices.Sort(want)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

// TestOrderOnce: a key orders once, also when it is sent twice at once.
func TestOrderOnce(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	judge, buyer := operator(t, s), agent(t, s)
	g := stock(t, s, judge, 10, "CODE", 5)
	earn(t, s, 100, buyer)
	buyer.Once = &store.Once{Key: "k", Hash: []byte("h"), Answer: func(v any) (store.Answer, error) {
		return store.Answer{Status: 201, Body: []byte(v.(market.Order).ID)}, nil
	}}
	got := race(6, func(int) error {
		_, err := s.Redeem(t.Context(), buyer, g.ID, 10, true)
		return err
	})
	if got["ok"] != 1 || wallet(t, s, buyer).EarnedAvailable != 90 || left(t, s, g.ID) != 4 {
		t.Errorf("got %v, %d codes left", got, left(t, s, g.ID))
	}
	if a, err := s.StoredAnswer(t.Context(), buyer); err != nil || !bytes.Contains(a.Body, []byte("-")) {
		t.Errorf("the answer is %q, %v", a.Body, err)
	}
	balanced(t, s)
}
