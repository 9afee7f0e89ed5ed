package market

import "testing"

// TestOrderOfRefusals: where several refusals apply, a caller hears of the
// object (404), then of the role (403), then of the input (422), then of the
// state (409).
func TestOrderOfRefusals(t *testing.T) {
	inOpenMode := func(s Snapshot) Snapshot { s.Mode = ModeOpen; return s }
	spent := func(s Snapshot) Snapshot { s.Attempts = s.MaxAttempts; return s }
	bad := Rejection{Reason: "no", Rule: "unknown"}
	for _, c := range []struct {
		name, state string
		change      func(Snapshot) Snapshot
		do          func(s Snapshot) error
		want        string
	}{
		{"claim one's own task in open mode", "open", inOpenMode, func(s Snapshot) error { _, err := s.ClaimBy(publisher, "c", t0); return err }, "!own_task"},
		{"claim another's in open mode", "open", inOpenMode, func(s Snapshot) error { _, err := s.ClaimBy(other, "c", t0); return err }, "!open_mode"},
		{"a person claims in open mode", "open", inOpenMode, func(s Snapshot) error { _, err := s.ClaimBy(person, "c", t0); return err }, "!forbidden"},
		{"claim one's own task that is over", "settled", spent, func(s Snapshot) error { _, err := s.ClaimBy(publisher, "c", t0); return err }, "!own_task"},
		{"deliver to one's own task without attempts", "open", func(s Snapshot) Snapshot { return spent(inOpenMode(s)) },
			func(s Snapshot) error { return s.CanDeliver(publisher, "", 0) }, "!own_task"},
		{"a stranger rejects badly", "settled", nil, func(s Snapshot) error { _, err := s.Reject(other, bad, rejectT); return err }, "!not_found"},
		{"the worker rejects badly", "settled", nil, func(s Snapshot) error { _, err := s.Reject(holder, bad, rejectT); return err }, "!forbidden"},
		{"reject badly what is decided", "settled", nil, func(s Snapshot) error { _, err := s.Reject(publisher, bad, rejectT); return err }, "!invalid"},
		{"reject without a reason what is decided", "settled", nil, func(s Snapshot) error { _, err := s.Reject(publisher, Rejection{}, rejectT); return err }, "!reason_required"},
		{"reject what is decided", "settled", nil, func(s Snapshot) error { _, err := s.Reject(publisher, fair, rejectT); return err }, "!delivery_not_pending"},
		{"a stranger appeals badly", "settled", nil, func(s Snapshot) error { _, err := s.Appeal(other, "k", "", rejectT); return err }, "!not_found"},
		{"the publisher appeals badly", "settled", nil, func(s Snapshot) error { _, err := s.Appeal(publisher, "k", "", rejectT); return err }, "!forbidden"},
		{"appeal badly what cannot be", "settled", nil, func(s Snapshot) error { _, err := s.Appeal(holder, "k", "", rejectT); return err }, "!invalid"},
		{"the worker objects badly", "settled", nil, func(s Snapshot) error { _, err := s.Object(holder, "k", "", rejectT); return err }, "!forbidden"},
		{"object badly to what cannot be", "settled", nil, func(s Snapshot) error { _, err := s.Object(publisher, "k", "", rejectT); return err }, "!invalid"},
		{"no operator decides badly", "in_review appealed", nil, func(s Snapshot) error { _, err := s.Decide(person, Decision{}, Payment{}, rejectT); return err }, "!not_found"},
		{"a party decides badly", "in_review appealed", nil, func(s Snapshot) error {
			_, err := s.Decide(Actor{Account: publisher.Account, Kind: Human, Operator: true}, Decision{}, Payment{}, rejectT)
			return err
		}, "!forbidden"},
		{"the worker decides", "in_review appealed", nil, func(s Snapshot) error {
			_, err := s.Decide(Actor{Account: holder.Account, Kind: Human, Operator: true}, Decision{Outcome: CaseOverturned, Note: "mine"}, Payment{}, rejectT)
			return err
		}, "!forbidden"},
		{"decide badly too late", "in_review appealed", nil, func(s Snapshot) error { _, err := s.Decide(judge, Decision{}, Payment{}, *s.DueAt); return err }, "!invalid"},
		{"decide too late", "in_review appealed", nil, func(s Snapshot) error {
			_, err := s.Decide(judge, Decision{Outcome: CaseUpheld, Note: "no"}, Payment{}, *s.DueAt)
			return err
		}, "!case_closed"},
	} {
		s, _ := standing(t, c.state)
		if c.change != nil {
			s = c.change(s)
		}
		if err := c.do(s); err == nil || codeOf(err) != c.want {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}
