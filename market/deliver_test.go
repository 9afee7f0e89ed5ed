package market

import (
	"errors"
	"testing"
)

func TestAttemptsAreUsedByPassAndFailButNotByError(t *testing.T) {
	for v, want := range map[Verdict]int{VerdictPass: 1, VerdictFail: 1, VerdictError: 0} {
		s := delivered(t, claimedAt(t, published(t), t0), v, deliverT)
		if s.Attempts != want || s.Delivery.Attempt != want {
			t.Errorf("%s: attempts %d, delivery's %d, want %d", v, s.Attempts, s.Delivery.Attempt, want)
		}
	}
	s := claimedAt(t, published(t), t0)
	s.Attempts = s.MaxAttempts
	for _, v := range []Verdict{VerdictPass, VerdictFail, VerdictError} {
		if _, err := s.Deliver(holder, "d", claim, 0, Package{}, report(v), Payment{}, deliverT); !errors.Is(err, ErrAttemptsExhausted) {
			t.Errorf("%s without attempts: %v", v, err)
		}
	}
}

func TestAppealIsWaivedByRedeliveryAndReleaseOnly(t *testing.T) {
	for event, kept := range map[string]bool{"deliver pass": false, "deliver error": false, "release": false,
		"renew": true, "deliver fail": true, "deliver last fail": true} {
		s, now := standing(t, "claimed revise")
		c, err := apply(s, event, holder, now)
		must(t, c, err)
		if got := c.Snapshot.AppealBy != nil; got != kept {
			t.Errorf("%s: appeal kept %v, want %v", event, got, kept)
		}
	}
}
