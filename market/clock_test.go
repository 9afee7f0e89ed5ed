package market

import (
	"testing"
	"time"
)

func TestClocksOfEachWait(t *testing.T) {
	cases := []struct {
		state string
		due   time.Time
	}{
		{"open", deadline},
		{"claimed", claimT.Add(time.Hour)},
		{"claimed revise", rejectT.Add(time.Hour)},
		{"in_review pass", deliverT.Add(72 * time.Hour)},
		{"in_review error", deliverT.Add(72 * time.Hour)},
		{"in_review case", deliverT.Add(72*time.Hour + 7*24*time.Hour)},
		{"in_review appeal", rejectT.Add(24 * time.Hour)},
	}
	for _, c := range cases {
		if s, _ := standing(t, c.state); s.DueAt == nil || !s.DueAt.Equal(c.due) {
			t.Errorf("%s is due %v, want %v", c.state, s.DueAt, c.due)
		}
	}
}

func TestTheDeadlineDoesNotInterruptAReview(t *testing.T) {
	s := published(t)
	s.Deadline = t0.Add(time.Hour)
	s = delivered(t, claimedAt(t, s, t0), VerdictPass, t0.Add(59*time.Minute))
	if s.Due(s.Deadline) || s.Due(s.Deadline.Add(48*time.Hour)) {
		t.Errorf("due at the deadline; DueAt %v", s.DueAt)
	}
}

// TestLeave is footnote 1 of the table, for each way that leads to it.
func TestLeave(t *testing.T) {
	last := func(v Verdict) func(Snapshot, time.Time) (Change, error) {
		return func(s Snapshot, now time.Time) (Change, error) {
			s.Attempts = s.MaxAttempts - 1
			return s.Deliver(holder, "d3", claim, 0, Package{}, report(v), Payment{}, now)
		}
	}
	ways := map[string]func(Snapshot, time.Time) (Change, error){
		"last fail": last(VerdictFail),
		"lease end": func(s Snapshot, now time.Time) (Change, error) {
			return s.Tick(ClockIDs{}, Terms{Hold: hold}, now), nil
		},
	}
	for name, way := range ways {
		for _, c := range []struct {
			name     string
			appeal   time.Duration // from now; 0: none
			deadline time.Duration // from now
			want     State
		}{
			{"appeal runs, time left", time.Second, time.Second, InReview},
			{"appeal runs, deadline past", time.Second, -time.Second, InReview},
			{"appeal over at this moment, time left", -1, time.Second, Open},
			{"no appeal, time left", 0, 1, Open},
			{"no appeal, at the deadline", 0, 0, Expired},
			{"appeal over, deadline past", -time.Second, -time.Second, Expired},
		} {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				s, now := standing(t, "claimed")
				s.Deadline = now.Add(c.deadline)
				if c.appeal != 0 {
					by := now.Add(c.appeal)
					if c.appeal == -1 {
						by = now
					}
					s.AppealBy = &by
				}
				before := s
				got, err := way(s, now)
				must(t, got, err)
				after := got.Snapshot
				if after.State != c.want {
					t.Fatalf("got %s, want %s", after.State, c.want)
				}
				checkChange(t, before, got, now)
				switch c.want {
				case InReview:
					if !after.DueAt.Equal(*s.AppealBy) || after.AppealBy == nil {
						t.Errorf("due %v, appeal %v", after.DueAt, after.AppealBy)
					}
				case Open:
					if !after.DueAt.Equal(s.Deadline) || after.AppealBy != nil || after.CaseUntil != nil {
						t.Errorf("due %v, appeal %v, case %v", after.DueAt, after.AppealBy, after.CaseUntil)
					}
				}
			})
		}
	}
}

func TestCaseRunsSevenDaysThenReopensOrExpiresAndWithdrawsTheDelivery(t *testing.T) {
	for _, late := range []bool{false, true} {
		s, _ := standing(t, "in_review case")
		if s.CaseUntil == nil || !s.CaseUntil.Equal(*s.DueAt) || s.Escrow != split || s.Delivery.State != DeliveryPending {
			t.Fatalf("case %v, due %v, escrow %+v", s.CaseUntil, s.DueAt, s.Escrow)
		}
		want := Open
		if late {
			want, s.Deadline = Expired, *s.DueAt
		}
		c := s.Tick(ClockIDs{Payout: "po"}, Terms{Hold: hold}, *s.DueAt)
		if c.Event != EventCaseClosed || c.Snapshot.State != want || c.Snapshot.Delivery.State != DeliveryWithdrawn || c.Snapshot.CaseUntil != nil {
			t.Errorf("late %v: %s %s %s %v", late, c.Event, c.Snapshot.State, c.Snapshot.Delivery.State, c.Snapshot.CaseUntil)
		}
		checkChange(t, s, c, *s.DueAt)
	}
}
