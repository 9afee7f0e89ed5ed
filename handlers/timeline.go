package handlers

import (
	"context"
	"time"

	"guildhall/market"
	"guildhall/views"
)

type happeningJSON struct {
	Number int64        `json:"number"`
	At     time.Time    `json:"at"`
	Event  market.Event `json:"event"`
	// Actor is the handle of who did it; without one it was the clock.
	Actor string `json:"actor,omitempty"`
	// Credential is for the account that used it, and for operators.
	Credential *credentialJSON `json:"credential,omitempty"`
}

type credentialJSON struct {
	Kind   market.CredentialKind `json:"kind"`
	Name   string                `json:"name,omitempty"`
	Prefix string                `json:"prefix,omitempty"`
}

func happeningShape(x market.Happening) happeningJSON {
	out := happeningJSON{Number: x.Number, At: x.At, Event: x.Event, Actor: x.Actor}
	if x.Via != nil {
		out.Credential = &credentialJSON{Kind: x.Via.Kind, Name: x.Via.Name, Prefix: x.Via.Prefix}
	}
	return out
}

// showMarketTimeline is the timeline as everybody may see it.
func (h *Handlers) showMarketTimeline(r *request) (answer, error) {
	a, err := h.showTimeline(r)
	a.open = true
	return a, err
}

// showTimeline lists the transitions of a task, oldest first: when, which, by
// whom and, to the account itself, through which credential.
func (h *Handlers) showTimeline(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	q := query{r: r}
	limit, after := q.limit(), q.number("after", 0, 0, 1<<53)
	var from struct {
		Number int64 `json:"n"`
	}
	if q.cursor(&from) {
		after = max(after, from.Number)
	}
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	lines, err := h.Store.Timeline(r.ctx(), r.actor, id, after, limit+1)
	if err != nil {
		return answer{}, err
	}
	found := page(lines, limit, happeningShape, func(x market.Happening) any { return map[string]any{"n": x.Number} })
	return answer{json: found, page: func(ctx context.Context) (views.Screen, error) {
		s, err := h.Store.Task(ctx, r.actor, id)
		v := views.TimelineView{Task: s.Task, Lines: lines[:len(found.Items)], Next: text(found.NextCursor), Later: after > 0, Now: time.Now()}
		return views.Timeline(ctx, v), err
	}}, nil
}
