package handlers

import (
	"context"
	"encoding/json"
	"time"

	"guildhall/market"
	"guildhall/views"
)

// loggedJSON is a line of the operators' log with what it is about.
type loggedJSON struct {
	ID     int64           `json:"id"`
	At     time.Time       `json:"at"`
	Actor  string          `json:"actor"`
	Key    string          `json:"key,omitempty"`
	Action string          `json:"action"`
	Object string          `json:"object,omitempty"`
	Reason string          `json:"reason,omitempty"`
	Detail json.RawMessage `json:"detail,omitempty"`
}

func loggedShape(a market.AdminAction) loggedJSON {
	return loggedJSON{ID: a.ID, At: a.At, Actor: a.Actor, Key: a.Key, Action: a.Action, Object: a.Subject, Reason: a.Reason, Detail: a.Detail}
}

// listActions shows what operators did, the newest first.
func (h *Handlers) listActions(r *request) (answer, error) {
	q := query{r: r}
	var before struct {
		ID int64 `json:"id"`
	}
	f := market.ActionFilter{Operator: q.text("operator"), Action: q.choice("action", "", market.AdminActions()...), Subject: q.text("object"), Limit: q.limit() + 1}
	q.cursor(&before)
	f.Before = before.ID
	if f.Operator != "" && !market.ValidHandle(f.Operator) {
		q.fail("operator", "handle", nil)
	}
	if f.Subject != "" && !market.ValidID(f.Subject) {
		q.fail("object", "not_id", nil)
	}
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	log, err := h.Store.AdminLog(r.ctx(), f)
	if err != nil {
		return answer{}, err
	}
	found := page(log, f.Limit-1, loggedShape, func(a market.AdminAction) any { return map[string]int64{"id": a.ID} })
	return answer{json: found, page: func(ctx context.Context) (views.Screen, error) {
		return views.AdminLog(ctx, views.AdminLogView{Log: log[:len(found.Items)], Filter: f, Next: text(found.NextCursor), Now: time.Now()}), nil
	}}, nil
}
