package store_test

import (
	"errors"
	"fmt"
	"testing"

	"guildhall/market"
	"guildhall/store/storetest"
)

func TestWithdrawCodes(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	judge, buyer := operator(t, s), agent(t, s)
	proven(t, s, judge, buyer)
	g := stock(t, s, judge, 10, "OLD", 4)
	if _, err := s.ImportCodes(t.Context(), judge, g.ID, []market.Stock{{Code: "NEW-0"}, {Code: "NEW-1"}}); err != nil {
		t.Fatal(err)
	}
	earn(t, s, 20, buyer)
	sold, err := s.Redeem(t.Context(), buyer, g.ID, 10, true)
	if err != nil {
		t.Fatal(err)
	}
	shelf, err := s.Shelf(t.Context(), g.ID, "", 10)
	batches, err2 := s.Batches(t.Context(), g.ID, 10)
	if err = errors.Join(err, err2); err != nil || len(shelf) != 5 || len(batches) != 2 || batches[0].Codes != 2 || batches[0].Free != 2 || batches[1].Codes != 4 || batches[1].Free != 3 || len(shelf[0].Print) != 8 {
		t.Fatalf("on the shelf are %+v, %+v, %v", shelf, batches, err)
	}
	take := func(w market.Withdrawal) (int64, error) {
		w.Reason = "The shop recalled it."
		return s.WithdrawCodes(t.Context(), judge, g.ID, w)
	}
	one := market.Withdrawal{Code: shelf[0].ID}
	if n, err := take(one); err != nil || n != 1 {
		t.Errorf("one code: %d, %v", n, err)
	}
	if n, err := take(one); !errors.Is(err, market.ErrCodesTaken) {
		t.Errorf("twice: %d, %v", n, err)
	}
	all := market.Withdrawal{AddedAt: batches[1].AddedAt}
	if n, err := take(all); err != nil || n != 3 {
		t.Errorf("an import: %d, %v", n, err)
	}
	if n, err := take(all); !errors.Is(err, market.ErrCodesTaken) {
		t.Errorf("an import twice: %d, %v", n, err)
	}
	var soldCode market.CodeID
	if err := s.DB().QueryRow(`SELECT id FROM goods_codes WHERE order_id = $1`, string(sold.ID)).Scan(&soldCode); err != nil {
		t.Fatal(err)
	}
	if n, err := take(market.Withdrawal{Code: soldCode}); !errors.Is(err, market.ErrCodesTaken) {
		t.Errorf("a sold code: %d, %v", n, err)
	}
	other := stock(t, s, judge, 10, "OTHER", 1)
	if n, err := s.WithdrawCodes(t.Context(), judge, other.ID, market.Withdrawal{Code: shelf[1].ID, Reason: "x"}); !errors.Is(err, market.ErrNotFound) {
		t.Errorf("another good's code: %d, %v", n, err)
	}
	now, err := s.StockedGood(t.Context(), g.ID)
	if err != nil || now.Stock != 1 || now.Sold != 1 || now.Withdrawn != 4 || now.Expired != 0 {
		t.Errorf("the stock is %+v, %v", now, err)
	}
	if added, err := s.ImportCodes(t.Context(), judge, g.ID, []market.Stock{{Code: "OLD-1"}}); err != nil || added != 0 {
		t.Errorf("a withdrawn code came back: %d, %v", added, err)
	}
	if log, err := s.AdminActions(t.Context(), string(g.ID), 10); err != nil || len(log) != 6 || log[2].Action != market.ActionCodesWithdrawn || log[1].Count != 3 || log[2].Count != 1 || log[2].Reason != "The shop recalled it." {
		t.Errorf("the log says %+v, %v", log, err)
	}
	balanced(t, s)
}

// TestRaceWithdraw: while codes are ordered an operator withdraws them. Each is
// sold or withdrawn, none both, and nobody pays for one that is gone.
func TestRaceWithdraw(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	judge, buyer := operator(t, s), agent(t, s)
	proven(t, s, judge, buyer)
	earn(t, s, 1000, buyer)
	for try := range 8 {
		g := stock(t, s, judge, 1, fmt.Sprintf("TRY%d", try), 3)
		batches, err := s.Batches(t.Context(), g.ID, 1)
		if err != nil {
			t.Fatal(err)
		}
		shelf, err := s.Shelf(t.Context(), g.ID, "", 3)
		if err != nil {
			t.Fatal(err)
		}
		taken := make([]int64, 10)
		ordered := make([]bool, 10)
		race(10, func(i int) error {
			var err error
			switch {
			case i < 5:
				_, err = s.Redeem(t.Context(), buyer, g.ID, 1, true)
				ordered[i] = err == nil
			case i < 8:
				taken[i], err = s.WithdrawCodes(t.Context(), judge, g.ID, market.Withdrawal{Code: shelf[i-5].ID, Reason: "x"})
			default:
				taken[i], err = s.WithdrawCodes(t.Context(), judge, g.ID, market.Withdrawal{AddedAt: batches[0].AddedAt, Reason: "x"})
			}
			if err != nil && !errors.Is(err, market.ErrOutOfStock) && !errors.Is(err, market.ErrCodesTaken) {
				t.Errorf("%d: %v", i, err)
			}
			return err
		})
		var gone, sold int64
		for i := range taken {
			gone += taken[i]
			if ordered[i] {
				sold++
			}
		}
		now, err := s.StockedGood(t.Context(), g.ID)
		if err != nil || gone+sold != 3 || now.Withdrawn != gone || now.Sold+now.Held != sold || now.Stock != 0 {
			t.Errorf("%d withdrawn, %d ordered, the stock is %+v, %v", gone, sold, now, err)
		}
	}
	balanced(t, s)
}
