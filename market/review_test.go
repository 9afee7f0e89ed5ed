package market

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestRejectAndWithdrawWithoutTimeOrAttempts(t *testing.T) {
	for _, c := range []struct {
		name     string
		attempts int
		at       time.Time
		reject   State
		withdraw State
	}{
		{"attempts and time left", 2, rejectT, Claimed, Claimed},
		{"a moment before the deadline", 2, deadline.Add(-1), Claimed, Claimed},
		{"no attempts left", 3, rejectT, InReview, Open},
		{"at the deadline", 1, deadline, InReview, Expired},
		{"neither", 3, deadline, InReview, Expired},
	} {
		for _, event := range []string{"reject", "withdraw"} {
			t.Run(event+"/"+c.name, func(t *testing.T) {
				make := func() Snapshot {
					s, _ := standing(t, "in_review pass")
					s.Attempts = c.attempts
					return s
				}
				want, a := c.reject, publisher
				if event == "withdraw" {
					want, a = c.withdraw, holder
				}
				got, err := apply(make(), event, a, c.at)
				must(t, got, err)
				if got.Snapshot.State != want {
					t.Fatalf("got %s, want %s", got.Snapshot.State, want)
				}
				if got.Snapshot.Attempts != c.attempts {
					t.Errorf("attempts %d → %d", c.attempts, got.Snapshot.Attempts)
				}
				checkChange(t, make(), got, c.at)
				d := got.Snapshot.Delivery
				if event == "withdraw" {
					if d.State != DeliveryWithdrawn {
						t.Errorf("delivery %s", d.State)
					}
					return
				}
				by := c.at.Add(24 * time.Hour)
				if got.Snapshot.AppealBy == nil || !got.Snapshot.AppealBy.Equal(by) || d.State != DeliveryRejected ||
					d.Review == nil || !d.Review.AppealBy.Equal(by) || d.Review.Decision != DecisionReject {
					t.Errorf("rejected %+v, review %+v, appeal %v", d.State, d.Review, got.Snapshot.AppealBy)
				}
				if want == InReview && !got.Snapshot.DueAt.Equal(by) {
					t.Errorf("due %v, want %v", got.Snapshot.DueAt, by)
				}
			})
		}
	}
}

func TestRejectionNeedsReasonAndGround(t *testing.T) {
	for _, c := range []struct {
		name string
		r    Rejection
		want string // "" if allowed, else "code pointer fieldcode"
	}{
		{"manual rule", fair, ""},
		{"undecided check", Rejection{Reason: "r", Rule: "rhyme"}, ""},
		{"quote of eight characters", Rejection{Reason: "r", Quote: "the sea."}, ""},
		{"quote across white space", Rejection{Reason: "r", Quote: "a short\n poem about"}, ""},
		{"rule and quote", Rejection{Reason: "r", Rule: "tone", Quote: "the sea."}, ""},
		{"no reason", Rejection{Rule: "tone"}, "reason_required /reason required"},
		{"blank reason", Rejection{Reason: " \n", Rule: "tone"}, "reason_required /reason required"},
		{"reason at its limit", Rejection{Reason: strings.Repeat("é", 4000), Rule: "tone"}, ""},
		{"reason too long", Rejection{Reason: strings.Repeat("é", 4001), Rule: "tone"}, "invalid /reason length"},
		{"no ground", Rejection{Reason: "r"}, "invalid /quote reject_ground"},
		{"unknown rule", Rejection{Reason: "r", Rule: "nope"}, "invalid /rule reject_rule"},
		{"unknown rule beside a quote", Rejection{Reason: "r", Rule: "nope", Quote: "the sea."}, "invalid /rule reject_rule"},
		{"quote of seven characters", Rejection{Reason: "r", Quote: "the sea"}, "invalid /quote reject_quote"},
		{"quote not in the brief", Rejection{Reason: "r", Quote: "about the land"}, "invalid /quote reject_quote"},
		{"false quote beside a rule", Rejection{Reason: "r", Rule: "tone", Quote: "about the land"}, "invalid /quote reject_quote"},
	} {
		s, now := standing(t, "in_review error")
		_, err := s.Reject(publisher, c.r, now)
		got := ""
		var e *Error
		if errors.As(err, &e) {
			got = e.Code
			for _, f := range e.Fields {
				got += " " + f.Pointer + " " + f.Code
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	s, now := standing(t, "in_review pass")
	if _, err := s.Reject(publisher, Rejection{Reason: "r", Rule: "rhyme"}, now); !errors.Is(err, ErrInvalid) {
		t.Errorf("a check that passed is no ground: %v", err)
	}
}
