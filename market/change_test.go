package market

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// checkChange asserts what holds of every change whatever the event.
func checkChange(t *testing.T, before Snapshot, c Change, now time.Time) {
	t.Helper()
	s := c.Snapshot
	if c.Was != before.State {
		t.Errorf("Was = %s, want %s", c.Was, before.State)
	}
	if over := s.State.Terminal(); over != (s.Escrow == Funds{}) || over != (s.DueAt == nil) {
		t.Errorf("terminal %v, escrow %+v, due %v: all three must agree", over, s.Escrow, s.DueAt)
	}
	if s.State.Terminal() && (s.AppealBy != nil || s.CaseUntil != nil) {
		t.Errorf("a terminal task waits: appeal %v, case %v", s.AppealBy, s.CaseUntil)
	}
	if s.DueAt != nil && !s.DueAt.After(now) {
		t.Errorf("due at %v, not after now %v", s.DueAt, now)
	}
	if s.CaseUntil != nil && (s.State != InReview || s.Case == nil || !s.Delivery.InCase || !s.CaseUntil.Equal(*s.DueAt)) {
		t.Errorf("a case until %v in %s, due %v", s.CaseUntil, s.State, s.DueAt)
	}
	checkMoney(t, before, c, now)
	checkClaim(t, before, s, now)
}

func checkMoney(t *testing.T, before Snapshot, c Change, now time.Time) {
	t.Helper()
	s := c.Snapshot
	if before.Terminal() {
		checkHeld(t, before, c)
		return
	}
	var out, credited Funds
	for _, x := range c.Transfers {
		if x.Amount <= 0 || x.Debit != EscrowAccount(s.ID) || x.Task != s.ID {
			t.Errorf("odd transfer %+v", x)
		}
		out = out.plus(x.DebitClass, x.Amount)
		credited = credited.plus(x.CreditClass, x.Amount)
	}
	if before.Escrow.Granted-s.Escrow.Granted != out.Granted || before.Escrow.Earned-s.Escrow.Earned != out.Earned {
		t.Errorf("escrow went %+v to %+v, transfers took %+v", before.Escrow, s.Escrow, out)
	}
	// A split of 33.99 % takes 30 granted and 3 earned of the 100; what it
	// leaves goes back as it came.
	var paid, back Funds
	var funded Credits
	switch {
	case c.Event == EventSplit:
		paid, back, funded = Funds{Earned: 33}, Funds{Earned: 67}, 30
	case s.State == Settled:
		paid, funded = Funds{Earned: before.Escrow.Total()}, before.Escrow.Granted
	case s.State == Cancelled, s.State == Expired:
		back = before.Escrow
	}
	if want := (Funds{Granted: paid.Granted + back.Granted, Earned: paid.Earned + back.Earned}); credited != want {
		t.Errorf("credited %+v, want %+v", credited, want)
	}
	var got Funds
	for _, x := range c.Transfers {
		switch {
		case x.Kind == TransferPayout && x.Credit == PendingAccount(s.Delivery.Worker) && x.Account == s.Delivery.Worker:
			got = got.plus(x.CreditClass, x.Amount)
		case x.Kind == TransferRefund && x.Credit == WalletAccount(s.Publisher) && x.Account == s.Publisher && x.DebitClass == x.CreditClass:
		default:
			t.Errorf("odd transfer %+v", x)
		}
	}
	if got != paid {
		t.Errorf("paid %+v, want %+v", got, paid)
	}
	if (c.Payout != nil) != (s.State == Settled) {
		t.Fatalf("payout %+v in state %s", c.Payout, s.State)
	}
	if c.Payout != nil {
		p := Payout{ID: c.Payout.ID, GrantedPart: funded, Account: s.Delivery.Worker, Task: s.ID, Delivery: s.Delivery.ID,
			Amount: paid.Total(), Class: Earned, AvailableAt: now.Add(hold), HoldReason: HoldSettlement}
		if *c.Payout != p {
			t.Errorf("payout %+v, want %+v", *c.Payout, p)
		}
	}
}

// checkHeld: what follows the settlement moves nothing, but a reversal, which
// gives back what was funded as it was funded.
func checkHeld(t *testing.T, before Snapshot, c Change) {
	t.Helper()
	var want []Transfer
	if c.Event == EventPayoutReversed {
		x := Transfer{Kind: TransferReversal, Debit: "pending:w", DebitClass: Earned, Credit: "wallet:p", Account: "p", Counterparty: "w", Task: "t1"}
		x.Amount, x.CreditClass = 30, Granted
		y := x
		y.Amount, y.CreditClass = 70, Earned
		want = []Transfer{x, y}
	}
	if !slices.Equal(c.Transfers, want) {
		t.Errorf("transfers %+v, want %+v", c.Transfers, want)
	}
	if c.Snapshot.Task.Escrow != before.Escrow || c.PayoutChange == PayoutAsIs && c.Payout != nil {
		t.Errorf("a settled task pays again: %+v", c)
	}
}

func (f Funds) plus(c Class, n Credits) Funds {
	switch c {
	case Granted:
		f.Granted += n
	case Earned:
		f.Earned += n
	default:
		panic("no class " + c)
	}
	return f
}

// checkClaim: a claim lives exactly while claimed or while its delivery is
// pending, and the epoch rises exactly when one ends.
func checkClaim(t *testing.T, before, s Snapshot, now time.Time) {
	t.Helper()
	pending := s.Delivery != nil && s.Delivery.State == DeliveryPending
	wantLive := s.State == Claimed || s.State == InReview && pending
	live := s.Claim != nil && s.Claim.EndedAt == nil
	if live != wantLive {
		t.Errorf("claim live %v in %s, pending %v", live, s.State, pending)
	}
	ended := before.Claim != nil && !live
	wantEpoch := before.Epoch
	if ended {
		wantEpoch++
		if s.Claim == nil || !s.Claim.EndedAt.Equal(now) || s.Claim.Outcome == "" {
			t.Errorf("ended claim is %+v", s.Claim)
		}
	}
	if s.Epoch != wantEpoch {
		t.Errorf("epoch %d → %d, claim ended: %v", before.Epoch, s.Epoch, ended)
	}
	if live && s.Claim.Epoch != s.Epoch {
		t.Errorf("live claim has epoch %d, task %d", s.Claim.Epoch, s.Epoch)
	}
	if s.State == Claimed {
		if !s.DueAt.Equal(s.Claim.ExpiresAt) {
			t.Errorf("due %v but lease ends %v", s.DueAt, s.Claim.ExpiresAt)
		}
		lease := time.Duration(s.ClaimMinutes) * time.Minute
		if s.Claim.ExpiresAt.After(s.Deadline) || s.Claim.ExpiresAt.After(s.Claim.LeaseFrom.Add(4*lease)) ||
			s.Claim.ExpiresAt.After(now.Add(lease)) {
			t.Errorf("lease to %v passes a cap", s.Claim.ExpiresAt)
		}
	}
}

func TestPublishMovesTheSplitIntoEscrowGrantedFirst(t *testing.T) {
	end := deadline
	d := Draft{Reward: 100, Deadline: &end}
	c, err := Publish(publisher, "t1", d, 0, Funds{Granted: 30, Earned: 500}, t0)
	must(t, c, err)
	if c.Snapshot.Escrow != split || c.Snapshot.State != Open || !c.Snapshot.DueAt.Equal(deadline) ||
		c.Snapshot.Epoch != 0 || c.Snapshot.Version != 1 {
		t.Errorf("published %+v", c.Snapshot.Task)
	}
	want := []Transfer{
		{Kind: TransferEscrow, Debit: "wallet:p", Credit: "escrow:t1", Amount: 30, DebitClass: Granted, CreditClass: Granted, Account: "p", Task: "t1"},
		{Kind: TransferEscrow, Debit: "wallet:p", Credit: "escrow:t1", Amount: 70, DebitClass: Earned, CreditClass: Earned, Account: "p", Task: "t1"},
	}
	if !slices.Equal(c.Transfers, want) {
		t.Errorf("transfers %+v", c.Transfers)
	}
	if c, err := Publish(publisher, "t1", d, 0, Funds{Granted: 30, Earned: 69}, t0); !errors.Is(err, ErrInsufficientCredits) || len(c.Transfers) != 0 {
		t.Errorf("one credit short: %v, %+v", err, c.Transfers)
	}
}

func TestEventAndClaimOutcomeOfEachTransition(t *testing.T) {
	for _, c := range []struct {
		state, event string
		a            Actor
		want         Event
		outcome      string
	}{
		{"open", "claim", holder, EventClaimed, ""},
		{"open", "cancel", publisher, EventCancelled, ""},
		{"open", "tick", Actor{}, EventExpired, ""},
		{"claimed", "renew", holder, EventRenewed, ""},
		{"claimed", "release", holder, EventReleased, ClaimReleased},
		{"claimed", "deliver pass", holder, EventDelivered, ""},
		{"claimed", "deliver error", holder, EventDelivered, ""},
		{"claimed auto", "deliver pass", holder, EventAutoAccepted, ClaimSettled},
		{"claimed auto", "deliver error", holder, EventDelivered, ""},
		{"claimed", "deliver fail", holder, EventFailed, ""},
		{"claimed", "deliver last fail", holder, EventFailed, ClaimExhausted},
		{"claimed", "tick", Actor{}, EventLeaseEnded, ClaimExpired},
		{"in_review pass", "accept", publisher, EventAccepted, ClaimSettled},
		{"in_review pass", "tick", Actor{}, EventSilenceAccept, ClaimSettled},
		{"in_review pass", "reject", publisher, EventRejected, ""},
		{"in_review pass", "withdraw", holder, EventWithdrawn, ""},
		{"in_review error", "tick", Actor{}, EventCaseOpened, ""},
		{"in_review case", "tick", Actor{}, EventCaseClosed, ClaimClosed},
		{"in_review appeal", "tick", Actor{}, EventReopened, ""},
		{"claimed revise", "appeal", holder, EventAppealed, ClaimAppealed},
		{"in_review appeal", "appeal", holder, EventAppealed, ""}, // it had ended
		{"in_review appealed", "tick", Actor{}, EventCaseClosed, ""},
		{"in_review appealed", "uphold", judge, EventUpheld, ""},
		{"in_review case", "uphold", judge, EventUpheld, ClaimClosed},
		{"in_review case", "overturn", judge, EventOverturned, ClaimSettled},
		{"in_review case", "split", judge, EventSplit, ClaimSettled},
		{"settled silent", "object", publisher, EventObjected, ""},
		{"settled objected", "keep", judge, EventPayoutKept, ""},
		{"settled objected", "reverse", judge, EventPayoutReversed, ""},
	} {
		s, now := standing(t, c.state)
		got, err := apply(s, c.event, c.a, now)
		must(t, got, err)
		outcome := ""
		if got.Snapshot.Claim != nil {
			outcome = got.Snapshot.Claim.Outcome
		}
		if got.Event != c.want || outcome != c.outcome {
			t.Errorf("%s/%s: event %s, outcome %q; want %s, %q", c.state, c.event, got.Event, outcome, c.want, c.outcome)
		}
		if got.NewClaim != (c.event == "claim") || got.NewDelivery != strings.HasPrefix(c.event, "deliver") {
			t.Errorf("%s/%s: new claim %v, new delivery %v", c.state, c.event, got.NewClaim, got.NewDelivery)
		}
	}
}
