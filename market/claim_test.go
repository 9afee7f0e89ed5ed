package market

import (
	"errors"
	"testing"
	"time"
)

func TestHumansMayNotWork(t *testing.T) {
	for _, a := range []Actor{person, {Account: publisher.Account, Kind: Human}, {Account: holder.Account, Kind: Human}} {
		for name := range exclusiveWant {
			for _, event := range events[:7] {
				s, now := standing(t, name)
				if _, err := apply(s, event, a, now); !errors.Is(err, ErrForbidden) {
					t.Errorf("%s, %s by %+v: %v", name, event, a, err)
				}
			}
		}
	}
}

func TestClaimNeedsAttemptsAndTimeLeft(t *testing.T) {
	s := published(t)
	s.Attempts = s.MaxAttempts - 1
	if _, err := s.ClaimBy(holder, claim, t0); err != nil {
		t.Errorf("with one attempt left: %v", err)
	}
	s.Attempts = s.MaxAttempts
	if _, err := s.ClaimBy(holder, claim, t0); !errors.Is(err, ErrAttemptsExhausted) {
		t.Errorf("with no attempt left: %v", err)
	}
	s.Attempts = 0
	if _, err := s.ClaimBy(holder, claim, deadline.Add(-1)); err != nil {
		t.Errorf("just before the deadline: %v", err)
	}
	if _, err := s.ClaimBy(holder, claim, deadline); !errors.Is(err, ErrTaskNotOpen) {
		t.Errorf("at the deadline: %v", err)
	}
}

func TestHeldChecksIdThenEpochThenHolder(t *testing.T) {
	s, _ := standing(t, "claimed")
	s.Epoch, s.Claim.Epoch = 4, 4
	cases := []struct {
		name  string
		a     Actor
		id    ClaimID
		epoch int64
		want  error
	}{
		{"right", holder, claim, 4, nil},
		{"unnamed", holder, "", 0, nil},
		{"old epoch", holder, claim, 3, ErrClaimStale},
		{"future epoch", holder, claim, 5, ErrClaimStale},
		{"other id", holder, "c9", 4, ErrClaimStale},
		{"other agent, right claim", other, claim, 4, ErrNotClaimHolder},
		{"other agent, unnamed", other, "", 0, ErrNotClaimHolder},
	}
	for _, c := range cases {
		if err := s.Held(c.a, c.id, c.epoch); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	for _, state := range []string{"open", "in_review appeal", "settled", "cancelled", "expired"} {
		s, _ := standing(t, state)
		if err := s.Held(holder, "", 0); !errors.Is(err, ErrNotClaimHolder) {
			t.Errorf("unnamed in %s: %v", state, err)
		}
	}
}

func TestLeaseIsCappedAtFourLengthsAndTheDeadline(t *testing.T) {
	min := func(n int) time.Time { return t0.Add(time.Duration(n) * time.Minute) }
	steps := func(t *testing.T, s Snapshot, at ...[2]int) {
		t.Helper()
		for _, x := range at {
			c, err := s.Renew(holder, claim, 0, min(x[0]))
			s = reload(must(t, c, err))
			if !s.DueAt.Equal(min(x[1])) || !s.Claim.ExpiresAt.Equal(min(x[1])) {
				t.Errorf("renewed at %d min: ends %v, want %v", x[0], s.DueAt, min(x[1]))
			}
		}
	}
	t.Run("four lengths from the claim", func(t *testing.T) {
		s := claimedAt(t, published(t), t0)
		if !s.DueAt.Equal(min(60)) || !s.Claim.LeaseFrom.Equal(t0) || !s.Claim.ClaimedAt.Equal(t0) {
			t.Fatalf("first lease %+v", s.Claim)
		}
		steps(t, s, [2]int{0, 60}, [2]int{50, 110}, [2]int{109, 169}, [2]int{168, 228}, [2]int{180, 240}, [2]int{181, 240}, [2]int{239, 240})
	})
	t.Run("the deadline", func(t *testing.T) {
		s := published(t)
		s.Deadline = min(90)
		steps(t, claimedAt(t, s, t0), [2]int{29, 89}, [2]int{30, 90}, [2]int{31, 90}, [2]int{89, 90})
		if late := claimedAt(t, s, min(80)); !late.DueAt.Equal(min(90)) {
			t.Errorf("claimed at 80 min: ends %v", late.DueAt)
		}
	})
	t.Run("from a rejection and from a withdrawal anew, on the same claim", func(t *testing.T) {
		for _, event := range []string{"reject", "withdraw"} {
			s := delivered(t, claimedAt(t, published(t), t0), VerdictPass, min(30))
			a := map[string]Actor{"reject": publisher, "withdraw": holder}[event]
			c, err := apply(s, event, a, min(1000))
			s = reload(must(t, c, err))
			if s.Claim.ID != claim || s.Claim.Epoch != 0 || s.Epoch != 0 || !s.Claim.ClaimedAt.Equal(t0) || !s.DueAt.Equal(min(1060)) {
				t.Errorf("%s: %+v", event, s.Claim)
			}
			steps(t, s, [2]int{1050, 1110}, [2]int{1100, 1160}, [2]int{1179, 1239}, [2]int{1181, 1240})
		}
	})
	t.Run("a failed delivery leaves the lease unchanged", func(t *testing.T) {
		s := claimedAt(t, published(t), t0)
		if f := delivered(t, s, VerdictFail, min(59)); !f.DueAt.Equal(min(60)) || !f.Claim.ExpiresAt.Equal(min(60)) {
			t.Errorf("ends %v", f.DueAt)
		}
	})
}
