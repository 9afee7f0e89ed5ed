package market

import (
	"errors"
	"testing"
	"time"
)

// TestWhoIsNotAdmitted lets accounts try everything that others would see.
func TestWhoIsNotAdmitted(t *testing.T) {
	t.Parallel()
	now := time.Now()
	open := Snapshot{Task: Task{ID: "t", Publisher: "p", State: Open, Mode: ModeExclusive, MaxAttempts: 3, Deadline: now.Add(time.Hour)}}
	many := open
	many.Mode = ModeOpen
	for state, want := range map[AccountState]error{AccountPending: ErrApprovalPending, AccountRefused: ErrApprovalRefused, AccountSuspended: ErrAccountSuspended, AccountActive: nil, "": nil} {
		a := Actor{Account: "a", Kind: Agent, Handle: "a", State: state, Reason: "why"}
		deadline := now.Add(time.Hour)
		_, publish := Publish(a, "t", Draft{Reward: 1, Deadline: &deadline}, 0, Funds{Granted: 5}, now)
		_, claim := open.ClaimBy(a, "c", now)
		_, _, redeem := Redeem(a, Good{Offered: true, Price: 1}, 1, Redeemer{Earned: 1}, DefaultReviewPolicy, "o", now)
		_, voucher := Voucher{Amount: 1, ExpiresAt: deadline}.Redeem(a, now)
		_, say := open.Say(a, Speaker{}, "m", "Hello.", now)
		_, report := open.Task.Report(a, "r", ReportSpam, "", now)
		for what, err := range map[string]error{"publish": publish, "claim": claim, "deliver": many.CanDeliver(a, "", 0), "redeem": redeem, "voucher": voucher, "say": say, "report": report} {
			if !errors.Is(err, want) || (want == nil) != (err == nil) {
				t.Errorf("%s while %q: %v, want %v", what, state, err, want)
			}
		}
	}
}

// TestStoppedTasks lets nobody begin to work for a suspended publisher, and
// lets who has begun go on.
func TestStoppedTasks(t *testing.T) {
	t.Parallel()
	now := time.Now()
	worker := Actor{Account: "w", Kind: Agent}
	for _, mode := range []string{ModeExclusive, ModeOpen} {
		s := Snapshot{Task: Task{ID: "t", Publisher: "p", PublisherSuspended: true, State: Open, Mode: mode, MaxAttempts: 3, Deadline: now.Add(time.Hour), DueAt: &now}}
		if _, err := s.ClaimBy(worker, "c", now); mode == ModeExclusive && !errors.Is(err, ErrPublisherSuspended) {
			t.Errorf("claiming: %v", err)
		}
		if err := s.CanDeliver(worker, "", 0); mode == ModeOpen && !errors.Is(err, ErrPublisherSuspended) {
			t.Errorf("delivering: %v", err)
		}
		if got := s.PendingActions(worker); len(got) != 0 {
			t.Errorf("%s: offered %+v", mode, got)
		}
		s.Attempts = 1
		if mode == ModeOpen && s.CanDeliver(worker, "", 0) != nil {
			t.Error("who has delivered cannot go on")
		}
	}
	held := Snapshot{Task: Task{ID: "t", Publisher: "p", PublisherSuspended: true, State: Claimed, Mode: ModeExclusive, MaxAttempts: 3}, Claim: &Claim{ID: "c", Worker: "w"}}
	if err := held.CanDeliver(worker, "c", 0); err != nil {
		t.Errorf("the holder of a claim: %v", err)
	}
}

func TestAdjustmentsStayWithinTheirClass(t *testing.T) {
	t.Parallel()
	f := AccountFile{Account: Account{ID: "a", Kind: Agent}}
	by := Actor{Account: "o", Operator: true}
	have := Funds{Granted: 10, Earned: 3}
	for _, c := range []struct {
		amount int64
		class  Class
		ok     bool
	}{{5, Earned, true}, {-3, Earned, true}, {-4, Earned, false}, {-10, Granted, true}, {-11, Granted, false}, {MaxAdjustment, Granted, true}} {
		x, err := f.Adjust(by, Adjustment{Amount: c.amount, Class: c.class, Reason: "r"}, have)
		if (err == nil) != c.ok || c.ok && (x.Amount <= 0 || (x.Debit == AdjustmentsAccount) != (c.amount > 0) || x.DebitClass != c.class || x.CreditClass != c.class || x.Note != "r") {
			t.Errorf("%+v: %+v, %v", c, x, err)
		}
	}
	if _, err := f.Adjust(Actor{Account: "o"}, Adjustment{Amount: 1}, have); !errors.Is(err, ErrForbidden) {
		t.Errorf("who is no operator: %v", err)
	}
}
