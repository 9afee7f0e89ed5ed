package handlers

import (
	"context"

	"guildhall/market"
	"guildhall/views"
)

type transitionJSON struct {
	Mode  string         `json:"mode"`
	From  *market.State  `json:"from"`
	Event market.Event   `json:"event"`
	Who   []market.Party `json:"who"`
	Guard string         `json:"guard"`
	To    []market.State `json:"to"`
	Money string         `json:"money"`
	Clock string         `json:"clock"`
}

// showStates is the state machine that the rules run on.
func (h *Handlers) showStates(*request) (answer, error) {
	out := machineJSON{Events: market.Events()}
	for _, s := range market.States() {
		out.States = append(out.States, stateJSON{s, s.Terminal()})
	}
	for _, t := range market.Table() {
		x := transitionJSON{Mode: t.Mode, Event: t.Event, Who: t.Who, Guard: t.Guard, To: t.To, Money: t.Money, Clock: t.Clock}
		if t.State != "" {
			x.From = &t.State
		}
		out.Transitions = append(out.Transitions, x)
	}
	return answer{open: true, json: out, page: func(ctx context.Context) (views.Screen, error) {
		return views.States(ctx), nil
	}}, nil
}

// machineJSON is the whole machine.
type machineJSON struct {
	States      []stateJSON      `json:"states"`
	Events      []market.Event   `json:"events"`
	Transitions []transitionJSON `json:"transitions"`
}

type stateJSON struct {
	Name     market.State `json:"name"`
	Terminal bool         `json:"terminal"`
}
