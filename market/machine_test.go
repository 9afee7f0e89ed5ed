package market

import (
	"slices"
	"testing"
)

// step is a transition that a rule made, or a line of the table allows.
type step struct {
	mode  string
	was   State
	event Event
	to    State
}

func stepOf(c Change) step { return step{c.Snapshot.Mode, c.Was, c.Event, c.Snapshot.State} }

// partyOf says what the actor is to the task of the change.
func partyOf(a Actor, c Change) []Party {
	switch {
	case a.Account == "":
		return []Party{PartyClock}
	case a.Account == c.Snapshot.Publisher:
		return []Party{PartyPublisher}
	case a.Operator:
		return []Party{PartyOperator}
	case c.Snapshot.Claim != nil && a.Account == c.Snapshot.Claim.Worker, c.Snapshot.Delivery != nil && a.Account == c.Snapshot.Delivery.Worker:
		return []Party{PartyHolder, PartyWorker}
	}
	return []Party{PartyWorker}
}

// everyChange calls f with each change that the rules allow in a state of the
// fixtures.
func everyChange(t *testing.T, f func(a Actor, c Change)) {
	t.Helper()
	for name := range exclusiveWant {
		for _, event := range events {
			for _, a := range cast {
				s, now := standing(t, name)
				if event == "tick" {
					if s.DueAt == nil {
						continue
					}
					now, a = *s.DueAt, Actor{}
				}
				if c, err := apply(s, event, a, now); err == nil {
					f(a, c)
				}
				if s.Deadline = now; event != "tick" && s.State == InReview {
					if c, err := apply(s, event, a, now); err == nil {
						f(a, c)
					}
				}
			}
		}
		// What the clock does to a task after its deadline, and to a case that
		// is no task's.
		s, _ := standing(t, name)
		if s.DueAt != nil {
			s.Deadline = *s.DueAt
			f(Actor{}, s.Tick(ClockIDs{Payout: "po", Case: "k9"}, Terms{Hold: hold}, *s.DueAt))
		}
		if s.Case != nil && s.Case.Kind == CaseObjection {
			f(Actor{}, s.TickCase(s.Case.DueAt))
		}
	}
	for name, byEvent := range openWant {
		for _, event := range openEvents {
			for _, a := range cast {
				w := standingOpen(t, name)
				switch want := byEvent[event][0]; {
				case want == "never due", want == "no such case":
					continue
				case event == "tick", event == "case silence":
					a = Actor{}
				}
				if _, c, err := tryOpen(w, event, a); err == nil {
					f(a, c)
				}
			}
		}
	}
}

// TestTableAndRulesAllowTheSame: no rule makes a change that the table lacks,
// and each state that a line leads to is reached by some rule, at the hands of
// whom the line names.
func TestTableAndRulesAllowTheSame(t *testing.T) {
	made := map[step]bool{}
	everyChange(t, func(a Actor, c Change) {
		if err := c.Legal(); err != nil {
			t.Error(err)
		}
		made[stepOf(c)] = true
		k := step{mode: c.Snapshot.Mode, was: c.Was, event: c.Event}
		for _, line := range table {
			if (step{mode: line.Mode, was: line.State, event: line.Event}) != k {
				continue
			}
			if !slices.ContainsFunc(partyOf(a, c), func(p Party) bool { return slices.Contains(line.Who, p) }) {
				t.Errorf("%+v was made by %q, the table allows %v", stepOf(c), a.Handle, line.Who)
			}
		}
	})
	for _, mode := range []string{ModeExclusive, ModeOpen} {
		for seed := range 500 {
			w := newWorld(t, mode, uint64(100_000+seed))
			for range 60 {
				w.jump()
				w.catchUp()
				w.event(walkers)
			}
			w.runOut()
			for s := range w.made {
				made[s] = true
			}
		}
	}
	allowed := map[step]bool{}
	for _, line := range table {
		for _, to := range line.To {
			s := step{line.Mode, line.State, line.Event, to}
			allowed[s] = true
			if !made[s] {
				t.Errorf("the table has %+v, no rule makes it", s)
			}
		}
	}
	for s := range made {
		if !allowed[s] {
			t.Errorf("a rule makes %+v, the table has no line for it", s)
		}
	}
}

// TestLegalRefusesWhatHasNoLine tries all that could be said.
func TestLegalRefusesWhatHasNoLine(t *testing.T) {
	all := []State{"", Open, Claimed, InReview, Settled, Cancelled, Expired}
	lines, legal := map[step]bool{}, 0
	for _, line := range Table() {
		for _, to := range line.To {
			lines[step{line.Mode, line.State, line.Event, to}] = true
		}
	}
	for _, mode := range []string{ModeExclusive, ModeOpen} {
		for _, was := range all {
			for _, e := range Events() {
				for _, to := range all {
					c := Change{Event: e, Was: was}
					c.Snapshot.Mode, c.Snapshot.State = mode, to
					if got, want := c.Legal() == nil, lines[step{mode, was, e, to}]; got != want {
						t.Errorf("%s: %s + %s → %s: legal %v, want %v", mode, was, e, to, got, want)
					} else if got {
						legal++
					}
				}
			}
		}
	}
	if legal != len(lines) {
		t.Errorf("%d changes are legal, the table has %d", legal, len(lines))
	}
}

// TestNoTerminalStateGoesOnAndEveryOtherHasAClock reads the table alone: what
// is over stays over, and nothing waits for a person for ever.
func TestNoTerminalStateGoesOnAndEveryOtherHasAClock(t *testing.T) {
	clocked := map[[2]string]bool{}
	for _, line := range table {
		if line.State.Terminal() && !slices.Equal(line.To, []State{line.State}) {
			t.Errorf("%s task: %s + %s leads to %v", line.Mode, line.State, line.Event, line.To)
		}
		if slices.Contains(line.Who, PartyClock) {
			clocked[[2]string{line.Mode, string(line.State)}] = true
		}
	}
	for _, line := range table {
		for _, to := range line.To {
			if !to.Terminal() && !clocked[[2]string{line.Mode, string(to)}] {
				t.Errorf("%s task: nothing ends %s but a person", line.Mode, to)
			}
		}
	}
}

// TestTheClockAloneEndsEveryState lets nobody act any more: every task ends,
// with an empty escrow, and every case is closed.
func TestTheClockAloneEndsEveryState(t *testing.T) {
	for name := range exclusiveWant {
		s, _ := standing(t, name)
		for n := 0; !s.Terminal(); n++ {
			if s.DueAt == nil || n > maxTicksExclusive {
				t.Fatalf("%s: %s is due %v after %d ticks", name, s.State, s.DueAt, n)
			}
			s = reload(s.Tick(ClockIDs{Payout: "po", Case: "k9"}, Terms{Hold: hold}, *s.DueAt))
		}
		if s.Escrow != (Funds{}) || s.DueAt != nil {
			t.Errorf("%s ended %s with %+v, due %v", name, s.State, s.Escrow, s.DueAt)
		}
	}
	for name := range openWant {
		w := standingOpen(t, name)
		w.runOut()
		for _, k := range w.cases {
			if k.ClosedAt == nil {
				t.Errorf("%s: case %s is never closed", name, k.ID)
			}
		}
	}
}
