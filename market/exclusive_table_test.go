package market

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// row is what happens for the publisher, the holder and another agent: a new
// state, or a refusal "!code".
type row [3]string

func all(s string) row { return row{s, s, s} }

// complete adds to every state what is the same in most: nobody but an operator
// knows of decisions, and there is nothing to appeal or to object to.
func complete(byState map[string]map[string]row) map[string]map[string]row {
	for _, m := range byState {
		appeal, object := all("!not_found"), all("!not_found")
		if m["accept"] != all("!not_found") {
			appeal = row{"!forbidden", "!appeal_closed", "!not_found"}
			object = row{"!objection_closed", "!forbidden", "!not_found"}
		}
		for e, r := range map[string]row{"appeal": appeal, "object": object} {
			if _, ok := m[e]; !ok {
				m[e] = r
			}
		}
		for _, e := range decisions {
			m[e] = all("!not_found")
		}
	}
	return byState
}

// withHeld adds the row of every event that needs a live claim.
func withHeld(m map[string]row, r row) map[string]row {
	for _, e := range []string{"renew", "release", "deliver pass", "deliver fail", "deliver last fail", "deliver error"} {
		if _, ok := m[e]; !ok {
			m[e] = r
		}
	}
	return m
}

var (
	noClaim    = row{"!own_task", "!task_not_open", "!task_not_open"}
	onlyHolder = func(to string) row { return row{"!not_claim_holder", to, "!not_claim_holder"} }
	notPending = row{"!delivery_not_pending", "!forbidden", "!not_found"}
	ownNotPend = row{"!forbidden", "!delivery_not_pending", "!not_found"}
	onlyAppeal = row{"!forbidden", "in_review", "!not_found"}
	noCancel   = func(code string) row { return row{code, "!forbidden", "!forbidden"} }
)

func inReviewPending(tick string) map[string]row {
	return withHeld(map[string]row{
		"claim":    noClaim,
		"accept":   {"settled", "!forbidden", "!not_found"},
		"reject":   {"claimed", "!forbidden", "!not_found"},
		"withdraw": {"!forbidden", "claimed", "!not_found"},
		"cancel":   noCancel("!delivery_pending"),
		"tick":     all(tick),
	}, row{"!claim_stale", "!delivery_pending", "!claim_stale"})
}

func over(hasDelivery bool) map[string]row {
	m := map[string]row{"claim": noClaim, "cancel": noCancel("!task_not_open"), "tick": all("never due"),
		"accept": all("!not_found"), "reject": all("!not_found"), "withdraw": all("!not_found")}
	if hasDelivery {
		m["accept"], m["reject"], m["withdraw"] = notPending, notPending, ownNotPend
	}
	return withHeld(m, all("!claim_stale"))
}

// exclusiveWant is the "Exclusive mode" table of lifecycle.md, spelled out.
var exclusiveWant = complete(map[string]map[string]row{
	"open": withHeld(map[string]row{
		"claim":  {"!own_task", "claimed", "claimed"},
		"accept": all("!not_found"), "reject": all("!not_found"), "withdraw": all("!not_found"),
		"cancel": noCancel("cancelled"),
		"tick":   all("expired"),
	}, all("!claim_stale")),
	"claimed": {
		"claim": noClaim, "renew": onlyHolder("claimed"), "release": onlyHolder("open"),
		"deliver pass": onlyHolder("in_review"), "deliver fail": onlyHolder("claimed"),
		"deliver last fail": onlyHolder("open"), "deliver error": onlyHolder("in_review"),
		"accept": all("!not_found"), "reject": all("!not_found"), "withdraw": all("!not_found"),
		"cancel": noCancel("!task_claimed"),
		"tick":   all("open"),
	},
	"claimed revise": { // the rejection can still be appealed
		"claim": noClaim, "renew": onlyHolder("claimed"), "release": onlyHolder("open"),
		"deliver pass": onlyHolder("in_review"), "deliver fail": onlyHolder("claimed"),
		"deliver last fail": onlyHolder("in_review"), "deliver error": onlyHolder("in_review"),
		"accept": notPending, "reject": notPending, "withdraw": ownNotPend,
		"cancel": noCancel("!task_claimed"),
		"tick":   all("in_review"), "appeal": onlyAppeal,
	},
	// With autoAccept only a pass is different.
	"claimed auto": {
		"claim": noClaim, "renew": onlyHolder("claimed"), "release": onlyHolder("open"),
		"deliver pass": onlyHolder("settled"), "deliver fail": onlyHolder("claimed"),
		"deliver last fail": onlyHolder("open"), "deliver error": onlyHolder("in_review"),
		"accept": all("!not_found"), "reject": all("!not_found"), "withdraw": all("!not_found"),
		"cancel": noCancel("!task_claimed"),
		"tick":   all("open"),
	},
	"claimed revise auto": {
		"claim": noClaim, "renew": onlyHolder("claimed"), "release": onlyHolder("open"),
		"deliver pass": onlyHolder("settled"), "deliver fail": onlyHolder("claimed"),
		"deliver last fail": onlyHolder("in_review"), "deliver error": onlyHolder("in_review"),
		"accept": notPending, "reject": notPending, "withdraw": ownNotPend,
		"cancel": noCancel("!task_claimed"),
		"tick":   all("in_review"), "appeal": onlyAppeal,
	},
	"in_review error auto": inReviewPending("in_review"),
	"in_review case auto":  inReviewPending("open"),
	"in_review pass":       inReviewPending("settled"),
	"in_review error":      inReviewPending("in_review"),
	"in_review case":       inReviewPending("open"),
	"in_review appeal": withHeld(map[string]row{
		"claim": noClaim, "accept": notPending, "reject": notPending, "withdraw": ownNotPend,
		"cancel": noCancel("!delivery_pending"), "appeal": onlyAppeal,
		"tick": all("open"),
	}, all("!claim_stale")),
	"in_review appealed": withHeld(map[string]row{
		"claim": noClaim, "accept": notPending, "reject": notPending, "withdraw": ownNotPend,
		"cancel": noCancel("!delivery_pending"), "appeal": {"!forbidden", "!already_done", "!not_found"},
		"tick": all("open"), // seven days of silence
	}, all("!claim_stale")),
	"settled":          over(true),
	"settled silent":   with(over(true), "object", row{"settled", "!forbidden", "!not_found"}),
	"settled objected": with(over(true), "object", row{"!already_done", "!forbidden", "!not_found"}),
	"settled kept":     with(over(true), "object", row{"!already_done", "!forbidden", "!not_found"}),
	"settled reversed": over(true),
	"cancelled":        over(false),
	"expired":          over(false),
})

func with(m map[string]row, event string, r row) map[string]row {
	m[event] = r
	return m
}

// judgeWant is what an operator's decisions do, those of the other kind of
// case being invalid; elsewhere there is nothing to decide.
var judgeWant = map[string]map[string]string{
	"in_review case":      {"uphold": "open", "overturn": "settled", "split": "settled"},
	"in_review case auto": {"uphold": "open", "overturn": "settled", "split": "settled"},
	"in_review appealed":  {"uphold": "open", "overturn": "settled", "split": "settled"},
	"settled objected":    {"keep": "settled", "reverse": "settled"},
}

// ofJudge is the answer to a person who is no party.
func ofJudge(decided map[string]map[string]string, state, event string) string {
	switch {
	case slices.Contains(decisions, event) && decided[state] != nil:
		return cmp.Or(decided[state][event], "!invalid")
	case slices.Contains(decisions, event):
		return "!not_found"
	case slices.Contains([]string{"accept", "reject", "withdraw", "appeal", "object"}, event):
		return "!not_found"
	}
	return "!forbidden"
}

func TestEveryEventInEveryStateByEveryRole(t *testing.T) {
	for name, byEvent := range exclusiveWant {
		if len(byEvent) != len(events) {
			t.Fatalf("%s: the table has %d events, want %d", name, len(byEvent), len(events))
		}
		for _, event := range events {
			for i, a := range cast {
				t.Run(name+"/"+event+"/"+a.Handle, func(t *testing.T) {
					s, now := standing(t, name)
					if got, _, _ := strings.Cut(name, " "); string(s.State) != got {
						t.Fatalf("fixture is %s", s.State)
					}
					want := ofJudge(judgeWant, name, event)
					if i < len(roles) || event == "tick" {
						want = byEvent[event][i%len(roles)]
					}
					if want == "never due" {
						if s.DueAt != nil || s.Due(now) || s.Due(now.AddDate(100, 0, 0)) {
							t.Fatalf("a terminal task has a clock: %v", s.DueAt)
						}
						return
					}
					if event == "tick" {
						now = *s.DueAt
						if !s.Due(now) || s.Due(now.Add(-1)) {
							t.Fatalf("Due does not turn at DueAt")
						}
					}
					c, err := apply(s, event, a, now)
					if err != nil {
						if got := codeOf(err); got != want {
							t.Fatalf("got %s, want %s", got, want)
						}
						if !reflect.DeepEqual(c, Change{}) {
							t.Errorf("a refusal returns a change: %+v", c)
						}
						return
					}
					if got := string(c.Snapshot.State); got != want {
						t.Fatalf("got %s, want %s", got, want)
					}
					// The fixture's claim may have been written to; ask anew.
					before, _ := standing(t, name)
					checkChange(t, before, c, now)
				})
			}
		}
	}
}

// TestTransitionsDoNotWriteToTheirReceiver holds package doc to "pure".
func TestTransitionsDoNotWriteToTheirReceiver(t *testing.T) {
	for name := range exclusiveWant {
		for _, event := range events {
			for _, a := range cast {
				t.Run(name+"/"+event+"/"+a.Handle, func(t *testing.T) {
					s, now := standing(t, name)
					if event == "tick" && s.DueAt == nil {
						return
					}
					want, _ := standing(t, name)
					_, _ = apply(s, event, a, now)
					if reflect.DeepEqual(s, want) {
						return
					}
					t.Errorf("receiver changed:\n got %+v\nwant %+v", s, want)
				})
			}
		}
	}
}

// TestPendingActionsAreExactlyWhatTheTableAllows: what is offered succeeds, and
// what succeeds is offered.
func TestPendingActionsAreExactlyWhatTheTableAllows(t *testing.T) {
	for name := range exclusiveWant {
		for _, a := range roles {
			s, now := standing(t, name)
			var offered, allowed []string
			for _, x := range s.PendingActions(a) {
				offered = append(offered, x.Name)
			}
			for event, action := range map[string]string{"claim": "claim", "renew": "renew", "release": "release",
				"deliver pass": "deliver", "accept": "accept", "reject": "reject", "withdraw": "withdraw", "cancel": "cancel"} {
				s, _ := standing(t, name)
				if _, err := apply(s, event, a, now); err == nil {
					allowed = append(allowed, action)
				}
			}
			slices.Sort(offered)
			slices.Sort(allowed)
			if !slices.Equal(offered, allowed) {
				t.Errorf("%s, %s: offered %v, allowed %v", name, a.Handle, offered, allowed)
			}
		}
	}
}
