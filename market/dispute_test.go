package market

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestWhoDisputesACode(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	seen := now.Add(-DisputeWindow)
	early := seen.Add(-time.Microsecond)
	owner := Actor{Account: "p", Kind: Human}
	order := func(s OrderState, revealed *time.Time) Order {
		return Order{Account: "p", State: s, RevealedAt: revealed}
	}
	said := order(OrderFulfilled, &seen)
	said.Dispute.At = &seen
	for name, c := range map[string]struct {
		Order
		by   Actor
		want error
	}{
		"the owner, on the last day": {order(OrderFulfilled, &seen), owner, nil},
		"too late":                   {order(OrderFulfilled, &early), owner, ErrDisputeClosed},
		"unseen":                     {order(OrderFulfilled, nil), owner, ErrOrderUnrevealed},
		"pending":                    {order(OrderPending, nil), owner, ErrOrderPending},
		"refused":                    {order(OrderRefused, nil), owner, ErrOrderRefused},
		"twice":                      {said, owner, ErrOrderDisputed},
		"somebody else":              {order(OrderFulfilled, &seen), Actor{Account: "q", Kind: Human, Operator: true}, ErrNotFound},
		"nobody":                     {Order{State: OrderFulfilled, RevealedAt: &seen}, Actor{}, ErrNotFound},
	} {
		o, err := c.Contest(c.by, " It is used. ", now)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || err == nil && (o.Dispute.Text != "It is used." || !o.Dispute.Open()) {
			t.Errorf("%s: %+v, %v", name, o.Dispute, err)
		}
	}
	for _, text := range []string{"", " \u200b", strings.Repeat("x", MaxDispute+1)} {
		if _, err := order(OrderFulfilled, &seen).Contest(owner, text, now); !errors.Is(err, ErrInvalid) {
			t.Errorf("%.9q: %v", text, err)
		}
	}
}

func TestDisputeIsSettledOnce(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	judge := Actor{Account: "j", Kind: Human, Operator: true}
	asked := Order{ID: "o", Account: "p", Price: 500, State: OrderFulfilled, RevealedAt: &now, Reveals: 3, Dispute: Dispute{At: &now, Text: "Used."}}
	for r, want := range map[Remedy]struct {
		state   OrderState
		reveals int64
		moved   int
	}{RemedyReplaced: {OrderFulfilled, 0, 0}, RemedyRefunded: {OrderRefunded, 3, 1}, RemedyRejected: {OrderFulfilled, 3, 0}} {
		o, moved, err := asked.Settle(judge, r, "Seen.", now)
		if err != nil || o.State != want.state || o.Reveals != want.reveals || (o.RevealedAt == nil) != (want.reveals == 0) || len(moved) != want.moved || o.Dispute.Open() || o.Dispute.SettledBy != "j" {
			t.Errorf("%s: %+v, %v, %v", r, o, moved, err)
		}
		for _, m := range moved {
			if m.Kind != TransferRedeemRefund || m.Amount != 500 || m.Credit != WalletAccount("p") || m.CreditClass != Earned {
				t.Errorf("%s moves %+v", r, m)
			}
		}
		if _, _, err := o.Settle(judge, RemedyRefunded, "", now); !errors.Is(err, ErrOrderDecided) {
			t.Errorf("%s settled again: %v", r, err)
		}
	}
	if _, _, err := asked.Settle(judge, RemedyRefunded, "", now); err != nil {
		t.Errorf("a refund without a note: %v", err)
	}
	for _, by := range []Actor{{Account: "j", Kind: Human}, {Account: "p", Kind: Human, Operator: true}} {
		if _, _, err := asked.Settle(by, RemedyRefunded, "", now); !errors.Is(err, ErrForbidden) {
			t.Errorf("%+v settles: %v", by, err)
		}
	}
	for r, note := range map[Remedy]string{RemedyRejected: " ", "": "x", "burnt": "x", RemedyReplaced: strings.Repeat("x", MaxReason+1)} {
		if _, _, err := asked.Settle(judge, r, note, now); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q with a note of %d: %v", r, len(note), err)
		}
	}
	quiet := asked
	quiet.Dispute = Dispute{}
	if _, _, err := quiet.Settle(judge, RemedyRefunded, "", now); !errors.Is(err, ErrOrderDecided) {
		t.Errorf("what nobody disputes: %v", err)
	}
}
