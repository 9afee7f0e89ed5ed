package store_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// disputed is a revealed order of a good with n codes, whose owner says that
// the code is bad.
func disputed(t testing.TB, s *store.Store, judge, buyer store.Caller, tag string, n int) market.Order {
	t.Helper()
	g := stock(t, s, judge, 100, tag, n)
	earn(t, s, 100, buyer)
	o, err := s.Redeem(t.Context(), buyer, g.ID, 100, true)
	if err != nil {
		t.Fatal(err)
	}
	if o.State == market.OrderPending {
		if _, err := s.ApproveOrder(t.Context(), judge, o.ID); err != nil {
			t.Fatal(err)
		}
		if o, err = s.RevealOrder(t.Context(), buyer, o.ID); err != nil {
			t.Fatal(err)
		}
	}
	if o, err = s.DisputeOrder(t.Context(), buyer, o.ID, "The shop says it is used."); err != nil || !o.Dispute.Open() {
		t.Fatalf("dispute: %+v, %v", o, err)
	}
	return o
}

func TestBadCodeIsReplaced(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	judge, buyer := operator(t, s), agent(t, s)
	o := disputed(t, s, judge, buyer, "CODE", 2)
	if queue, err := s.ReviewQueue(t.Context(), market.ReviewDisputed, "", 10); err != nil || len(queue) != 1 || queue[0].ID != o.ID || queue[0].Dispute.Text != "The shop says it is used." {
		t.Errorf("the queue is %+v, %v", queue, err)
	}
	after, err := s.SettleDispute(t.Context(), judge, o.ID, market.RemedyReplaced, "Sorry.")
	if err != nil || after.State != market.OrderFulfilled || after.Reveals != 0 {
		t.Fatalf("replaced: %+v, %v", after, err)
	}
	shown, err := s.RevealOrder(t.Context(), buyer, o.ID)
	if err != nil || shown.Code != "CODE-1" || shown.Reveals != 1 || shown.Dispute.Note != "Sorry." || shown.Dispute.Settler != judge.Handle {
		t.Errorf("the new code is %+v, %v", shown, err)
	}
	g, err := s.StockedGood(t.Context(), o.Good)
	if err != nil || g.Stock != 0 || g.Sold != 1 || g.Bad != 1 || g.Expired != 0 {
		t.Errorf("the stock is %+v, %v", g, err)
	}
	if _, err := s.DisputeOrder(t.Context(), buyer, o.ID, "Again."); !errors.Is(err, market.ErrOrderDisputed) {
		t.Errorf("a second dispute: %v", err)
	}
	if queue, err := s.ReviewQueue(t.Context(), market.ReviewDisputed, "", 10); err != nil || len(queue) != 0 {
		t.Errorf("the queue is %+v, %v", queue, err)
	}
	if log, err := s.AdminActions(t.Context(), string(o.ID), 10); err != nil || len(log) != 2 || log[0].Action != market.ActionCodeReplaced || log[0].Reason != "Sorry." {
		t.Errorf("the log says %+v, %v", log, err)
	}
	if w := wallet(t, s, buyer); w.EarnedAvailable != 0 {
		t.Errorf("the wallet is %+v", w)
	}
	balanced(t, s)
}

// TestNothingToReplaceWith: without another code nothing changes, and all can
// go back instead. The bad code is never sold again.
func TestNothingToReplaceWith(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	judge, buyer := operator(t, s), agent(t, s)
	o := disputed(t, s, judge, buyer, "CODE", 1)
	if _, err := s.SettleDispute(t.Context(), judge, o.ID, market.RemedyReplaced, ""); !errors.Is(err, market.ErrOutOfStock) {
		t.Fatalf("replaced by nothing: %v", err)
	}
	if got, err := s.Order(t.Context(), buyer.Actor, o.ID); err != nil || !got.Dispute.Open() || got.Reveals != 1 {
		t.Errorf("it left %+v, %v", got, err)
	}
	balanced(t, s)
	before := wallet(t, s, buyer).Redeemed
	after, err := s.SettleDispute(t.Context(), judge, o.ID, market.RemedyRefunded, "")
	if err != nil || after.State != market.OrderRefunded || wallet(t, s, buyer).EarnedAvailable != 100 {
		t.Fatalf("refunded: %+v, %v", after, err)
	}
	if got := wallet(t, s, buyer).Redeemed; got != before-100 {
		t.Errorf("%d redeemed before the refund of 100, %d after", before, got)
	}
	if _, err := s.RevealOrder(t.Context(), buyer, o.ID); !errors.Is(err, market.ErrOrderRefunded) {
		t.Errorf("revealing a refunded order: %v", err)
	}
	if _, err := s.Redeem(t.Context(), buyer, o.Good, 100, true); !errors.Is(err, market.ErrOutOfStock) {
		t.Errorf("the bad code is sold: %v", err)
	}
	balanced(t, s)
}

func TestDisputeIsRejected(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	judge, buyer := operator(t, s), agent(t, s)
	o := disputed(t, s, judge, buyer, "CODE", 2)
	if _, err := s.SettleDispute(t.Context(), judge, o.ID, market.RemedyRejected, ""); !errors.Is(err, market.ErrInvalid) {
		t.Errorf("without a reason: %v", err)
	}
	if _, err := s.SettleDispute(t.Context(), judge, o.ID, market.RemedyRejected, "It was used by you."); err != nil {
		t.Fatal(err)
	}
	if shown, err := s.RevealOrder(t.Context(), buyer, o.ID); err != nil || shown.Code != "CODE-0" || shown.Dispute.Note != "It was used by you." || left(t, s, o.Good) != 1 {
		t.Errorf("it left %+v, %v", shown, err)
	}
	balanced(t, s)
}

func TestRaceDispute(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	judge, buyer := operator(t, s), agent(t, s)
	g := stock(t, s, judge, 100, "CODE", 1)
	proven(t, s, judge, buyer)
	earn(t, s, 100, buyer)
	o, err := s.Redeem(t.Context(), buyer, g.ID, 100, true)
	if err != nil {
		t.Fatal(err)
	}
	got := race(6, func(int) error {
		_, err := s.DisputeOrder(t.Context(), buyer, o.ID, "Used.")
		return err
	})
	if got["ok"] != 1 || got[market.ErrOrderDisputed.Code] != 5 {
		t.Errorf("got %v", got)
	}
}

// TestRaceSettle: of operators who decide at once one wins, and the order is
// as that one says, while its owner looks at the code.
func TestRaceSettle(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	judges, buyer := []store.Caller{operator(t, s), operator(t, s)}, agent(t, s)
	for try := range 6 {
		had := wallet(t, s, buyer).EarnedAvailable
		o := disputed(t, s, judges[0], buyer, strings.Repeat("R", try+1), 8)
		won := make([]market.Remedy, 7)
		got := race(7, func(i int) error {
			if i == 6 {
				if _, err := s.RevealOrder(t.Context(), buyer, o.ID); err != nil && !errors.Is(err, market.ErrOrderRefunded) {
					t.Errorf("reveal: %v", err)
				}
				return market.ErrNotFound
			}
			r := market.Remedies()[i%3]
			after, err := s.SettleDispute(t.Context(), judges[i%2], o.ID, r, "Seen.")
			if err == nil {
				won[i] = after.Dispute.Remedy
			}
			return err
		})
		if got["ok"] != 1 || got[market.ErrOrderDecided.Code] != 5 {
			t.Fatalf("got %v", got)
		}
		end, err := s.Order(t.Context(), buyer.Actor, o.ID)
		back := market.Credits(0)
		if end.State == market.OrderRefunded {
			back = 100
		}
		if w := wallet(t, s, buyer).EarnedAvailable - had; err != nil || !slices.Contains(won, end.Dispute.Remedy) || w != back {
			t.Errorf("%v won, the order is %+v, %v and %d went back", won, end, err, w)
		}
		balanced(t, s)
	}
}

// TestAuditFindsFalseRemedies: a refund without credits, one whose code could
// be sold again, a replacement that kept the bad code.
func TestAuditFindsFalseRemedies(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	judge, buyer := operator(t, s), agent(t, s)
	var ids []string
	for i, r := range []market.Remedy{market.RemedyRefunded, market.RemedyReplaced, market.RemedyRejected} {
		o := disputed(t, s, judge, buyer, string(rune('A'+i)), 2)
		if _, err := s.SettleDispute(t.Context(), judge, o.ID, r, "Seen."); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, string(o.ID))
	}
	balanced(t, s)
	exec(t, s, `UPDATE goods_codes SET bad_of = NULL WHERE bad_of = $1`, ids[0])
	exec(t, s, `UPDATE goods_codes SET order_id = NULL WHERE order_id = $1`, ids[1])
	exec(t, s, `UPDATE redemptions SET state = 'refunded', remedy = 'refunded' WHERE id = $1`, ids[2])
	r, err := s.Audit(t.Context())
	var got []string
	for _, f := range r.Findings {
		got = append(got, f.Check+" "+strings.TrimPrefix(f.Subject, "order:"))
	}
	slices.Sort(got)
	want := []string{"bad_code " + ids[0], "bad_code " + ids[2], "order_code " + ids[1], "order_code " + ids[2], "redeem_refund " + ids[2]}
	slices.Sort(want)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

// TestDisputeWindow: two weeks from the first look.
func TestDisputeWindow(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	judge, buyer := operator(t, s), agent(t, s)
	o := disputed(t, s, judge, buyer, "CODE", 1)
	exec(t, s, `UPDATE redemptions SET disputed_at = NULL, dispute = NULL, revealed_at = $2 WHERE id = $1`, string(o.ID), time.Now().Add(-market.DisputeWindow-time.Minute))
	if _, err := s.DisputeOrder(t.Context(), buyer, o.ID, "Used."); !errors.Is(err, market.ErrDisputeClosed) {
		t.Errorf("after two weeks: %v", err)
	}
	if _, err := s.DisputeOrder(t.Context(), judge, o.ID, "Used."); !errors.Is(err, market.ErrNotFound) {
		t.Errorf("by an operator: %v", err)
	}
}
