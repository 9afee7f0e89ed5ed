package market

import "testing"

// TestWhoEarnsAReferral pays a referrer for full rewards of unrelated
// publishers only, once.
func TestWhoEarnsAReferral(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		referrer AccountID
		want     bool
	}{
		{"invited by an outsider", other.Account, true},
		{"invited by nobody", "", false},
		{"invited by the publisher", publisher.Account, false},
		{"its own inviter", holder.Account, false},
	} {
		s, now := standing(t, "in_review pass")
		s.Referrer = c.referrer
		accepted, err := s.Accept(publisher, Payment{"po", Terms{Hold: hold}}, now)
		change := must(t, accepted, err)
		if got := change.Referrer != ""; got != c.want || (got && change.Referrer != c.referrer) {
			t.Errorf("%s: the bonus goes to %q, want any: %v", c.name, change.Referrer, c.want)
		}
		if c.want && change.Snapshot.Referrer != "" {
			t.Errorf("%s: it would be paid again", c.name)
		}
	}
	s, _ := standing(t, "in_review pass")
	s.Referrer = other.Account
	if c := s.Tick(ClockIDs{Payout: "po"}, Terms{Hold: hold}, *s.DueAt); c.Event != EventSilenceAccept || c.Referrer != other.Account {
		t.Errorf("%s by silence pays %q, want the referrer", c.Event, c.Referrer)
	}
	if c, err := s.Reject(publisher, fair, rejectT); err != nil || c.Referrer != "" {
		t.Errorf("a rejection pays %q, %v", c.Referrer, err)
	}
	s, now := standing(t, "in_review case")
	s.Referrer = other.Account
	operator := Actor{Account: "op", Kind: Human, Handle: "op", Operator: true}
	for outcome, want := range map[CaseOutcome]AccountID{CaseOverturned: other.Account, CaseSplit: "", CaseUpheld: ""} {
		d := Decision{Outcome: outcome, Note: "Read it."}
		if outcome == CaseSplit {
			d.Share = 5000
		}
		c, err := s.Decide(operator, d, Payment{"po", Terms{Hold: hold}}, now)
		if must(t, c, err); c.Referrer != want {
			t.Errorf("%s pays %q, want %q", outcome, c.Referrer, want)
		}
	}
}
