package market

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// The fixtures: one task of 100 credits funded 30 granted + 70 earned, three
// attempts, a lease of an hour, a review window of three days.
var (
	t0       = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	deadline = t0.Add(30 * 24 * time.Hour)
	split    = Funds{Granted: 30, Earned: 70}

	publisher = Actor{Account: "p", Kind: Agent, Handle: "pub"}
	holder    = Actor{Account: "w", Kind: Agent, Handle: "holder"}
	other     = Actor{Account: "o", Kind: Agent, Handle: "other"}
	person    = Actor{Account: "h", Kind: Human, Handle: "person"}
	judge     = Actor{Account: "j", Kind: Human, Handle: "judge", Operator: true}
	roles     = []Actor{publisher, holder, other}
	cast      = append(slices.Clone(roles), judge)

	fair = Rejection{Reason: "too dry", Rule: "tone"}
)

const (
	hold  = 48 * time.Hour
	claim = ClaimID("c1")
	// A split gives the worker 33 of 100: 33.99 rounded down.
	splitShare = 3399
	brief      = "Write a  short poem\nabout the sea."
)

func report(v Verdict) Report {
	return Report{Verdict: v, Passed: v == VerdictPass, Checks: []Check{{Name: "rhyme", Kind: "cel", Verdict: v}}}
}

// must fails the test unless the transition was allowed.
func must(t *testing.T, c Change, err error) Change {
	t.Helper()
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	return c
}

// reload is what the store reads back after a change: an ended claim and a closed
// case are gone.
func reload(c Change) Snapshot {
	s := c.Snapshot
	if s.Claim != nil && s.Claim.EndedAt != nil {
		s.Claim = nil
	}
	if s.Case != nil && s.Case.ClosedAt != nil {
		s.Case = nil
	}
	return s
}

func published(t *testing.T) Snapshot {
	t.Helper()
	end := deadline
	d := Draft{Title: "Poem", Brief: brief, Mode: ModeExclusive, Reward: 100, Deadline: &end,
		Rules: []Rule{{Name: "tone", Kind: RuleManual, Text: "be wet"}}}
	c, err := Publish(publisher, "t1", d, 0, Funds{Granted: 30, Earned: 500}, t0)
	return reload(must(t, c, err))
}

func claimedAt(t *testing.T, s Snapshot, now time.Time) Snapshot {
	t.Helper()
	c, err := s.ClaimBy(holder, claim, now)
	return reload(must(t, c, err))
}

func delivered(t *testing.T, s Snapshot, v Verdict, now time.Time) Snapshot {
	t.Helper()
	c, err := s.Deliver(holder, "d1", s.Claim.ID, s.Claim.Epoch, Package{Output: json.RawMessage(`1`), SummaryText: "x"}, report(v), Payment{"po", Terms{Hold: hold}}, now)
	return reload(must(t, c, err))
}

// claimT, deliverT and rejectT are when the fixtures' transitions happen.
var (
	claimT   = t0.Add(10 * time.Minute)
	deliverT = t0.Add(30 * time.Minute)
	rejectT  = t0.Add(2 * time.Hour)
)

// standing builds a task in the named state by real transitions only, and says
// at which time the table's events happen.
func standing(t *testing.T, name string) (Snapshot, time.Time) {
	t.Helper()
	s := published(t)
	name, s.AutoAccept = strings.CutSuffix(name, " auto")
	switch name {
	case "open":
		return s, t0.Add(time.Minute)
	case "cancelled":
		c, err := s.Cancel(publisher, t0)
		return reload(must(t, c, err)), t0.Add(time.Minute)
	case "expired":
		return reload(s.Tick(ClockIDs{}, Terms{Hold: hold}, deadline)), deadline.Add(time.Minute)
	}
	s = claimedAt(t, s, claimT)
	if name == "claimed" {
		return s, deliverT
	}
	verdict := VerdictPass
	if s.AutoAccept {
		verdict = VerdictError // a pass would settle
	}
	switch name {
	case "in_review error", "in_review case":
		verdict = VerdictError
	case "in_review appeal", "in_review appealed":
		s.Attempts = s.MaxAttempts - 1
	}
	s = delivered(t, s, verdict, deliverT)
	switch name {
	case "in_review pass", "in_review error":
		return s, rejectT
	case "in_review case":
		at := *s.DueAt
		return reload(s.Tick(ClockIDs{}, Terms{Hold: hold}, at)), at.Add(time.Hour)
	case "in_review appeal", "claimed revise":
		c, err := s.Reject(publisher, fair, rejectT)
		return reload(must(t, c, err)), rejectT.Add(10 * time.Minute)
	case "settled":
		c, err := s.Accept(publisher, Payment{"po", Terms{Hold: hold}}, rejectT)
		return reload(must(t, c, err)), rejectT.Add(time.Minute)
	case "in_review appealed":
		c, err := s.Reject(publisher, fair, rejectT)
		c, err = reload(must(t, c, err)).Appeal(holder, "k1", "unfair", rejectT.Add(10*time.Minute))
		return reload(must(t, c, err)), rejectT.Add(20 * time.Minute)
	case "settled silent", "settled objected", "settled kept", "settled reversed":
		at := *s.DueAt
		s = reload(s.Tick(ClockIDs{Payout: "po"}, Terms{Hold: hold}, at))
		if name == "settled silent" {
			return s, at.Add(hold - time.Second)
		}
		c, err := s.Object(publisher, "k1", "not what it says", at.Add(time.Hour))
		s = reload(must(t, c, err))
		if name != "settled objected" {
			event, _ := strings.CutPrefix(name, "settled ")
			c, err = apply(s, map[string]string{"kept": "keep", "reversed": "reverse"}[event], judge, at.Add(2*time.Hour))
			s = reload(must(t, c, err))
		}
		return s, at.Add(3 * time.Hour)
	}
	t.Fatalf("no state %q", name)
	return Snapshot{}, time.Time{}
}

var events = []string{"claim", "renew", "release", "deliver pass", "deliver fail", "deliver last fail",
	"deliver error", "accept", "reject", "withdraw", "cancel", "tick", "appeal", "object", "uphold", "overturn", "split", "keep", "reverse"}

// decisions are the events of an operator.
var decisions = events[len(events)-5:]

func apply(s Snapshot, event string, a Actor, now time.Time) (Change, error) {
	deliver := func(v Verdict) (Change, error) {
		return s.Deliver(a, "d2", claim, 0, Package{Output: json.RawMessage(`1`), SummaryText: "x"}, report(v), Payment{"po", Terms{Hold: hold}}, now)
	}
	switch event {
	case "claim":
		return s.ClaimBy(a, "c2", now)
	case "renew":
		return s.Renew(a, claim, 0, now)
	case "release":
		return s.Release(a, claim, 0, now)
	case "deliver pass":
		return deliver(VerdictPass)
	case "deliver fail":
		return deliver(VerdictFail)
	case "deliver last fail":
		s.Attempts = s.MaxAttempts - 1
		return deliver(VerdictFail)
	case "deliver error":
		return deliver(VerdictError)
	case "accept":
		return s.Accept(a, Payment{"po", Terms{Hold: hold}}, now)
	case "reject":
		return s.Reject(a, fair, now)
	case "withdraw":
		return s.Withdraw(a, now)
	case "cancel":
		return s.Cancel(a, now)
	case "appeal":
		return s.Appeal(a, "k2", "unfair", now)
	case "object":
		return s.Object(a, "k2", "not what it says", now)
	case "uphold", "overturn", "split", "keep", "reverse":
		outcome := map[string]CaseOutcome{"uphold": CaseUpheld, "overturn": CaseOverturned, "split": CaseSplit, "keep": CaseKept, "reverse": CaseReversed}
		return s.Decide(a, Decision{Outcome: outcome[event], Share: splitShare, Note: "so be it"}, Payment{"po", Terms{Hold: hold}}, now)
	case "tick":
		return s.Tick(ClockIDs{Payout: "po"}, Terms{Hold: hold}, *s.DueAt), nil
	}
	panic(event)
}

func codeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return "!" + e.Code
	}
	return "!not a market error: " + err.Error()
}
