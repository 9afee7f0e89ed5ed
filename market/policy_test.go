package market

import "testing"

// TestStrictKeepsClasses pays a reward of 30 granted and 70 earned credits by
// both policies, before and after the publisher is established.
func TestStrictKeepsClasses(t *testing.T) {
	for _, c := range []struct {
		name                string
		strict, established bool
		granted             Credits
	}{
		{"standard", false, false, 0},
		{"strict, new", true, false, 30},
		{"strict, established", true, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := delivered(t, claimedAt(t, published(t), t0), VerdictPass, deliverT)
			s.Established = c.established
			done, err := s.Accept(publisher, Payment{"po", Terms{Hold: hold, Strict: c.strict}}, deliverT)
			y := must(t, done, err).Payout
			if y.Granted != c.granted || y.GrantedPart != 30 || y.Class != Earned || y.Amount != 100 {
				t.Errorf("payout %+v, want %d granted", y, c.granted)
			}
			var got Funds
			for _, x := range done.Transfers {
				got = got.plus(x.CreditClass, x.Amount)
			}
			if want := (Funds{Granted: c.granted, Earned: 100 - c.granted}); got != want {
				t.Errorf("credited %+v, want %+v", got, want)
			}
			parts := y.Parts()
			if len(parts) != 1+min(int(c.granted), 1) || parts[0].Class != Earned || parts[0].Amount != 100-c.granted {
				t.Errorf("parts %+v", parts)
			}
		})
	}
	t.Run("granted alone", func(t *testing.T) {
		s := delivered(t, claimedAt(t, published(t), t0), VerdictPass, deliverT)
		s.Escrow = Funds{Granted: 100}
		done, err := s.Accept(publisher, Payment{"po", Terms{Strict: true}}, deliverT)
		if y := must(t, done, err).Payout; y.Class != Granted || y.Granted != 100 || len(y.Parts()) != 1 {
			t.Errorf("payout %+v, want all of it granted", y)
		}
	})
}

// TestFee takes the fee with a payment, a part of it with a part, and gives it
// back with what is not paid and with a reversal.
func TestFee(t *testing.T) {
	if FeeOf(199, 250) != 4 || FeeOf(1, 250) != 0 || FeeOf(1_000_000, 10_000) != 1_000_000 {
		t.Error("a fee is the reward in basis points, rounded down")
	}
	end, slots := deadline, int64(3)
	d := Draft{Title: "Poem", Brief: brief, Mode: ModeOpen, Reward: 100, MaxAccepted: &slots, Deadline: &end}
	if _, err := Publish(publisher, "t1", d, 500, Funds{Granted: 110, Earned: 204}, t0); err == nil {
		t.Error("three rewards of 100 with fees of 5 cost less than 315")
	}
	c, err := Publish(publisher, "t1", d, 500, Funds{Granted: 110, Earned: 500}, t0)
	s := must(t, c, err).Snapshot
	if s.Fee != 5 || s.Escrow != (Funds{Granted: 110, Earned: 205}) {
		t.Fatalf("a fee of %d, escrow %+v", s.Fee, s.Escrow)
	}
	change := s.change(EventAccepted)
	change.pay(Delivery{ID: "d", Worker: "w"}, 100, ByPublisher, Payment{ID: "po"}, t0)
	if y := change.Payout; y.Fee != (Funds{Granted: 5}) || change.Snapshot.Escrow != (Funds{Granted: 5, Earned: 205}) {
		t.Errorf("the whole: fee %+v, escrow %+v", y.Fee, change.Snapshot.Escrow)
	}
	change = change.Snapshot.change(EventSplit)
	change.pay(Delivery{ID: "e", Worker: "w"}, 50, ByOperator, Payment{ID: "pu"}, t0)
	if y := change.Payout; y.Fee != (Funds{Earned: 2}) || change.Snapshot.Escrow != (Funds{Earned: 105}) {
		t.Errorf("a half: fee %+v, escrow %+v", y.Fee, change.Snapshot.Escrow)
	}
	for _, x := range change.Transfers {
		if x.Kind == TransferFee && (x.Credit != FeesAccount || x.Account != PlatformID || x.Amount != 2) {
			t.Errorf("fee %+v", x)
		}
	}
	done := s
	done.Delivery = &Delivery{ID: "d", Worker: "w", State: DeliveryAccepted, Payout: &Payout{ID: "po", Account: "w", Amount: 100, GrantedPart: 100, Fee: Funds{Granted: 3, Earned: 2}}}
	done.Case = &Case{Kind: CaseObjection, DueAt: deadline}
	var back Funds
	for _, x := range done.decideObjection(judge, Decision{Outcome: CaseReversed, Note: "so be it"}, t0).Transfers {
		if x.Kind == TransferFeeRefund {
			back = back.plus(x.DebitClass, x.Amount)
		}
	}
	if back != (Funds{Granted: 3, Earned: 2}) {
		t.Errorf("a reversal gives back %+v of the fee", back)
	}
}
