package market

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// openEvents are the events of open mode, and those that only exclusive mode
// has.
var openEvents = append(slices.Clone(events), "case silence")

var (
	onlyPublisher = func(to string) row { return row{to, "!forbidden", "!not_found"} }
	onlyWorker    = func(to string) row { return row{"!forbidden", to, "!not_found"} }
	noObject      = onlyPublisher("!objection_closed")
	noAppeal      = onlyWorker("!appeal_closed")
	// may is what a worker's delivery does, for the holder and for another.
	may = func(holder, other string) row { return row{"!own_task", holder, other} }
)

// rows fills up what is the same in most states of open mode. D1 says how the
// holder's delivery stands: "" for none, pending, or decided.
func rows(state, d1 string, m map[string]row) map[string]row {
	add := func(r row, events ...string) {
		for _, e := range events {
			if _, ok := m[e]; !ok {
				m[e] = r
			}
		}
	}
	add(row{"!own_task", "!open_mode", "!open_mode"}, "claim")
	add(all("!open_mode"), "renew", "release")
	if state != "open" {
		add(may("!task_not_open", "!task_not_open"), "deliver pass", "deliver fail", "deliver last fail", "deliver error")
	}
	add(m["deliver fail"], "deliver last fail")
	add(m["deliver pass"], "deliver error")
	switch d1 {
	case "":
		add(all("!not_found"), "accept", "reject", "withdraw", "appeal", "object")
	case "decided":
		add(onlyPublisher("!delivery_not_pending"), "accept", "reject")
		add(onlyWorker("!delivery_not_pending"), "withdraw")
	}
	add(noAppeal, "appeal")
	add(noObject, "object")
	switch state {
	case "open", "in_review":
		add(noCancel("!delivery_pending"), "cancel")
	default:
		add(noCancel("!task_not_open"), "cancel")
		add(all("never due"), "tick")
	}
	add(all("no such case"), "case silence")
	for _, e := range decisions {
		m[e] = all("!not_found")
	}
	return m
}

// openWant is the "Open mode" table of lifecycle.md, spelled out: what happens
// for the publisher, the worker of the delivery d1 and another worker.
var openWant = map[string]map[string]row{
	"open": rows("open", "", map[string]row{
		"deliver pass": may("open/pending, RW", "open/pending, RW"),
		"deliver fail": may("open/failed, D", "open/failed, D"),
		"cancel":       noCancel("cancelled back 200"),
		"tick":         all("expired back 200"),
	}),
	"open auto": rows("open", "", map[string]row{
		"deliver pass":  may("open/accepted pay 100, D", "open/accepted pay 100, D"),
		"deliver fail":  may("open/failed, D", "open/failed, D"),
		"deliver error": may("open/pending, RW", "open/pending, RW"),
		"cancel":        noCancel("cancelled back 200"),
		"tick":          all("expired back 200"),
	}),
	"open failed": rows("open", "decided", map[string]row{
		"deliver pass": may("open/pending, RW", "open/pending, RW"),
		"deliver fail": may("open/failed, D", "open/failed, D"),
		"cancel":       noCancel("cancelled back 200"),
		"tick":         all("expired back 200"),
	}),
	"open pending": rows("open", "pending", map[string]row{
		"deliver pass": may("!delivery_pending", "open/pending, as before"),
		"deliver fail": may("!delivery_pending", "open/failed, as before"),
		"accept":       onlyPublisher("open/accepted pay 100, D"),
		"reject":       onlyPublisher("open/rejected, AW"),
		"withdraw":     onlyWorker("open/withdrawn, D"),
		"tick":         all("open/accepted pay 100, D"),
	}),
	"open rival": rows("open", "pending", map[string]row{ // the earliest is taken
		"deliver pass": may("!delivery_pending", "open/pending, as before"),
		"deliver fail": may("!delivery_pending", "open/failed, as before"),
		"accept":       onlyPublisher("open/accepted pay 100, the other's"),
		"reject":       onlyPublisher("open/rejected, AW"),
		"withdraw":     onlyWorker("open/withdrawn, the other's"),
		"tick":         all("open/accepted pay 100, the other's"),
	}),
	"open last": rows("open", "pending", map[string]row{
		"deliver pass": may("!delivery_pending", "open/pending, as before"),
		"deliver fail": may("!delivery_pending", "open/failed, as before"),
		"accept":       onlyPublisher("settled/accepted pay 100 others out"),
		"reject":       onlyPublisher("open/rejected, AW"),
		"withdraw":     onlyWorker("open/withdrawn, the other's"),
		"tick":         all("settled/accepted pay 100 others out"),
	}),
	"open error": rows("open", "pending", map[string]row{
		"deliver pass": may("!delivery_pending", "open/pending, as before"),
		"deliver fail": may("!delivery_pending", "open/failed, as before"),
		"accept":       onlyPublisher("open/accepted pay 100, D"),
		"reject":       onlyPublisher("open/rejected, AW"),
		"withdraw":     onlyWorker("open/withdrawn, D"),
		"tick":         all("open/pending freeze, 7 d"),
	}),
	"open error case": rows("open", "pending", map[string]row{
		"deliver pass": may("!delivery_pending", "open/pending, RW"),
		"deliver fail": may("!delivery_pending", "open/failed, as before"),
		"accept":       onlyPublisher("open/accepted pay 100 unfreeze, D"),
		"reject":       onlyPublisher("open/rejected unfreeze, AW"),
		"withdraw":     onlyWorker("open/withdrawn unfreeze, D"),
		"tick":         all("open/withdrawn unfreeze, D"),
	}),
	"open rejected": rows("open", "decided", map[string]row{
		"deliver pass": may("open/pending waive, RW", "open/pending, as before"),
		"deliver fail": may("open/failed, as before", "open/failed, as before"),
		"appeal":       onlyWorker("open/rejected freeze, 7 d"),
		"tick":         all("open/rejected, D"),
	}),
	"open appealed": rows("open", "decided", map[string]row{
		"deliver pass": may("open/pending, RW", "open/pending, RW"),
		"deliver fail": may("open/failed, as before", "open/failed, as before"),
		"appeal":       onlyWorker("!already_done"),
		"tick":         all("open/rejected unfreeze, D"),
	}),
	// The only slot is held by the appeal of d0: reviews stand still.
	"open frozen": rows("open", "pending", map[string]row{
		"deliver pass": may("!delivery_pending", "open/pending, as before"),
		"deliver fail": may("!delivery_pending", "open/failed, as before"),
		"accept":       onlyPublisher("!slot_frozen"),
		"reject":       onlyPublisher("open/rejected, AW"),
		"withdraw":     onlyWorker("open/withdrawn, as before"),
		"tick":         all("open/rejected unfreeze, the other's moved on"),
	}),
	"open frozen auto": rows("open", "pending", map[string]row{
		"deliver pass": may("!delivery_pending", "open/pending, as before"),
		"deliver fail": may("!delivery_pending", "open/failed, as before"),
		"accept":       onlyPublisher("!slot_frozen"),
		"reject":       onlyPublisher("open/rejected, AW"),
		"withdraw":     onlyWorker("open/withdrawn, as before"),
		"tick":         all("open/rejected unfreeze, the other's moved on"),
	}),
	"open frozen rejected": rows("open", "decided", map[string]row{
		"deliver pass": may("open/pending waive, the other's", "open/pending, as before"),
		"deliver fail": may("open/failed, as before", "open/failed, as before"),
		"appeal":       onlyWorker("open/rejected record, the other's"),
		"tick":         all("open/rejected, the other's"),
	}),
	"open frozen appealed": rows("open", "decided", map[string]row{
		"deliver pass": may("open/pending, as before", "open/pending, as before"),
		"deliver fail": may("open/failed, as before", "open/failed, as before"),
		"appeal":       onlyWorker("!already_done"),
		"tick":         all("open/rejected unfreeze, the other's"),
	}),
	"open paid": rows("open", "decided", map[string]row{
		"deliver pass": may("open/pending, RW", "open/pending, RW"),
		"deliver fail": may("open/failed, D", "open/failed, D"),
		"cancel":       noCancel("settled back 100"),
		"tick":         all("settled back 100"),
	}),
	"open silent": rows("open", "decided", map[string]row{
		"deliver pass": may("open/pending, RW", "open/pending, RW"),
		"deliver fail": may("open/failed, D", "open/failed, D"),
		"cancel":       noCancel("settled back 100"),
		"object":       onlyPublisher("open/accepted hold, D"),
		"tick":         all("settled back 100"),
	}),
	"open objected": rows("open", "decided", map[string]row{
		"deliver pass": may("open/pending, RW", "open/pending, RW"),
		"deliver fail": may("open/failed, D", "open/failed, D"),
		"cancel":       noCancel("settled back 100"),
		"object":       onlyPublisher("!already_done"),
		"tick":         all("settled back 100"),
		"case silence": all("open/accepted, D"),
	}),
	"in_review pending": rows("in_review", "pending", map[string]row{
		"accept":   onlyPublisher("settled/accepted pay 100 back 100"),
		"reject":   onlyPublisher("in_review/rejected, AW"),
		"withdraw": onlyWorker("expired/withdrawn back 200"),
		"tick":     all("settled/accepted pay 100 back 100"),
	}),
	"in_review rival": rows("in_review", "pending", map[string]row{
		"accept":   onlyPublisher("in_review/accepted pay 100, the other's"),
		"reject":   onlyPublisher("in_review/rejected, AW"),
		"withdraw": onlyWorker("in_review/withdrawn, the other's"),
		"tick":     all("in_review/accepted pay 100, the other's"),
	}),
	"in_review last": rows("in_review", "pending", map[string]row{
		"accept":   onlyPublisher("settled/accepted pay 100 others out"),
		"reject":   onlyPublisher("in_review/rejected, AW"),
		"withdraw": onlyWorker("in_review/withdrawn, the other's"),
		"tick":     all("settled/accepted pay 100 others out"),
	}),
	"in_review error": rows("in_review", "pending", map[string]row{
		"accept":   onlyPublisher("settled/accepted pay 100 back 100"),
		"reject":   onlyPublisher("in_review/rejected, AW"),
		"withdraw": onlyWorker("expired/withdrawn back 200"),
		"tick":     all("in_review/pending freeze, 7 d"),
	}),
	"in_review error case": rows("in_review", "pending", map[string]row{
		"accept":   onlyPublisher("settled/accepted pay 100 back 100"),
		"reject":   onlyPublisher("in_review/rejected unfreeze, AW"),
		"withdraw": onlyWorker("expired/withdrawn back 200"),
		"tick":     all("expired/withdrawn back 200"),
	}),
	"in_review rejected": rows("in_review", "decided", map[string]row{
		"appeal": onlyWorker("in_review/rejected freeze, 7 d"),
		"tick":   all("expired/rejected back 200"),
	}),
	"in_review appealed": rows("in_review", "decided", map[string]row{
		"appeal": onlyWorker("!already_done"),
		"tick":   all("expired/rejected back 200"),
	}),
	"in_review frozen": rows("in_review", "pending", map[string]row{
		"accept":   onlyPublisher("!slot_frozen"),
		"reject":   onlyPublisher("in_review/rejected, AW"),
		"withdraw": onlyWorker("in_review/withdrawn, as before"),
		"tick":     all("in_review/rejected unfreeze, the other's moved on"),
	}),
	"in_review frozen appealed": rows("in_review", "decided", map[string]row{
		"appeal": onlyWorker("!already_done"),
		"tick":   all("in_review/rejected unfreeze, the other's"),
	}),
	// The case that held the slot is closed; this one never held any.
	"in_review frozen appealed alone": rows("in_review", "decided", map[string]row{
		"appeal": onlyWorker("!already_done"),
		"tick":   all("expired/rejected back 100"),
	}),
	"in_review rival appealed": rows("in_review", "decided", map[string]row{
		"appeal": onlyWorker("!already_done"),
		"tick":   all("in_review/accepted pay 100, the other's"),
	}),
	"in_review rival silent": rows("in_review", "decided", map[string]row{
		"object": onlyPublisher("in_review/accepted hold, as before"),
		"tick":   all("settled/accepted pay 100"),
	}),
	"in_review rival objected": rows("in_review", "decided", map[string]row{
		"object": onlyPublisher("!already_done"),
		"tick":   all("settled/accepted pay 100"),
	}),
	// The other slot is paid.
	"in_review pending paid": rows("in_review", "pending", map[string]row{
		"accept":   onlyPublisher("settled/accepted pay 100"),
		"reject":   onlyPublisher("in_review/rejected, AW"),
		"withdraw": onlyWorker("settled/withdrawn back 100"),
		"tick":     all("settled/accepted pay 100"),
	}),
	"in_review rejected paid": rows("in_review", "decided", map[string]row{
		"appeal": onlyWorker("in_review/rejected freeze, 7 d"),
		"tick":   all("settled/rejected back 100"),
	}),
	"in_review appealed paid": rows("in_review", "decided", map[string]row{
		"appeal": onlyWorker("!already_done"),
		"tick":   all("settled/rejected back 100"),
	}),
	"settled": rows("settled", "decided", map[string]row{}),
	"settled rejected": rows("settled", "decided", map[string]row{
		"appeal": onlyWorker("settled/rejected record"),
	}),
	"settled appealed": rows("settled", "decided", map[string]row{
		"appeal":       onlyWorker("!already_done"),
		"case silence": all("settled/rejected"),
	}),
	"settled silent": rows("settled", "decided", map[string]row{
		"object": onlyPublisher("settled/accepted hold"),
	}),
	"settled objected": rows("settled", "decided", map[string]row{
		"object":       onlyPublisher("!already_done"),
		"case silence": all("settled/accepted"),
	}),
	"cancelled": rows("cancelled", "", map[string]row{}),
	"expired":   rows("expired", "", map[string]row{}),
}

// openJudgeWant is what an operator's decision about d1 does.
var openJudgeWant = map[string]map[string]string{
	"open error case":                 {"uphold": "open/withdrawn unfreeze, D", "overturn": "open/accepted pay 100 unfreeze, D", "split": "open/accepted pay 33 back 67 unfreeze, D"},
	"open appealed":                   {"uphold": "open/rejected unfreeze, D", "overturn": "open/accepted pay 100 unfreeze, D", "split": "open/accepted pay 33 back 67 unfreeze, D"},
	"open frozen appealed":            {"uphold": "open/rejected, as before", "overturn": "open/rejected, as before", "split": "open/rejected, as before"},
	"in_review error case":            {"uphold": "expired/withdrawn back 200", "overturn": "settled/accepted pay 100 back 100", "split": "settled/accepted pay 33 back 167"},
	"in_review appealed":              {"uphold": "expired/rejected back 200", "overturn": "settled/accepted pay 100 back 100", "split": "settled/accepted pay 33 back 167"},
	"in_review appealed paid":         {"uphold": "settled/rejected back 100", "overturn": "settled/accepted pay 100", "split": "settled/accepted pay 33 back 67"},
	"settled appealed":                {"uphold": "settled/rejected", "overturn": "settled/rejected", "split": "settled/rejected"},
	"in_review frozen appealed":       {"uphold": "in_review/rejected, as before", "overturn": "in_review/rejected, as before", "split": "in_review/rejected, as before"},
	"in_review frozen appealed alone": {"uphold": "expired/rejected back 100", "overturn": "expired/rejected back 100", "split": "expired/rejected back 100"},
	"in_review rival appealed":        {"uphold": "in_review/rejected unfreeze, as before", "overturn": "in_review/accepted pay 100 unfreeze, as before", "split": "in_review/accepted pay 33 back 67 unfreeze, as before"},
	"in_review rival objected":        {"keep": "in_review/accepted hold, as before", "reverse": "in_review/reversed return 100, as before"},
	"open objected":                   {"keep": "open/accepted hold, D", "reverse": "open/reversed return 100, D"},
	"settled objected":                {"keep": "settled/accepted hold", "reverse": "settled/reversed return 100"},
}

// TestEveryEventInEveryStateByEveryRoleInOpenMode also commits every change, so
// that the books and all else that must be true are looked at after each.
func TestEveryEventInEveryStateByEveryRoleInOpenMode(t *testing.T) {
	for name, byEvent := range openWant {
		if len(byEvent) != len(openEvents) {
			t.Fatalf("%s: the table has %d events, want %d", name, len(byEvent), len(openEvents))
		}
		for _, event := range openEvents {
			for i, a := range cast {
				t.Run(name+"/"+event+"/"+a.Handle, func(t *testing.T) {
					w := standingOpen(t, name)
					if got, _, _ := strings.Cut(name, " "); string(w.task.State) != got {
						t.Fatalf("fixture is %s", w.task.State)
					}
					want := byEvent[event][i%len(roles)]
					if a.Operator && event != "tick" && event != "case silence" {
						want = ofJudge(openJudgeWant, name, event)
					}
					switch want {
					case "never due":
						if w.task.DueAt != nil {
							t.Fatalf("a terminal task has a clock: %v", w.task.DueAt)
						}
						return
					case "no such case":
						return
					}
					before, c, err := tryOpen(w, event, a)
					if err != nil {
						if got := codeOf(err); got != want {
							t.Fatalf("got %s, want %s", got, want)
						}
						if !reflect.DeepEqual(c, Change{}) {
							t.Errorf("a refusal returns a change: %+v", c)
						}
						return
					}
					if got := w.told(before, c); got != want {
						t.Fatalf("got  %s\nwant %s", got, want)
					}
					if event == "deliver last fail" {
						return // the world has not seen the attempts before
					}
					w.ticking = event == "tick"
					w.commit(c)
				})
			}
		}
	}
}
