package handlers

import (
	"context"
	"time"

	"guildhall/market"
	"guildhall/views"
)

// disputeJSON is what the owner says of a code, and what came of it.
type disputeJSON struct {
	Text string    `json:"text"`
	At   time.Time `json:"at"`
	// Remedy is null while an operator is asked; Reason is for the owner.
	Remedy    *market.Remedy `json:"remedy"`
	Reason    string         `json:"reason,omitempty"`
	DecidedAt *time.Time     `json:"decidedAt"`
}

func disputeShape(d market.Dispute) *disputeJSON {
	if d.At == nil {
		return nil
	}
	out := &disputeJSON{Text: d.Text, At: *d.At, Reason: d.Note, DecidedAt: d.SettledAt}
	if d.Remedy != "" {
		out.Remedy = &d.Remedy
	}
	return out
}

// orderView is the order as its owner sees it.
func orderView(r *request, o market.Order) views.OrderView {
	now := time.Now()
	return views.OrderView{Order: o, Disputable: o.Disputable(r.actor, now) == nil, Now: now}
}

type disputeInput struct {
	Text string `json:"text"`
}

// disputeOrder notes that the owner says that the code is bad.
func (h *Handlers) disputeOrder(r *request) (answer, error) {
	id, err := pathID[market.OrderID](r, "oid")
	if err != nil {
		return answer{}, err
	}
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		o, err := h.ownOrder(ctx, r)
		v := orderView(r, o)
		v.Form = views.Form{Values: r.form, Problem: &p}
		return views.Order(ctx, v), err
	}
	var in disputeInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	present := func(v any) answer {
		o := v.(market.Order)
		return answer{json: orderShape(o), to: ordersPath + string(o.ID), flash: views.Message{ID: "flash.disputed"}}
	}
	o, err := h.Store.DisputeOrder(r.ctx(), r.caller(present), id, in.Text)
	return present(o), err
}

type settleInput struct {
	Remedy market.Remedy `json:"remedy"`
	Reason string        `json:"reason"`
}

// settleDispute decides about a code that is said to be bad.
func (h *Handlers) settleDispute(r *request) (answer, error) {
	id, err := pathID[market.OrderID](r, "oid")
	if err != nil {
		return answer{}, err
	}
	h.reviewAgain(r)
	var in settleInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	present := func(v any) answer {
		o := v.(market.Order)
		return answer{json: reviewShape(o), to: "/admin/redemptions?state=disputed", flash: views.Message{ID: "flash.dispute_" + string(o.Dispute.Remedy)}}
	}
	o, err := h.Store.SettleDispute(r.ctx(), r.caller(present), id, in.Remedy, in.Reason)
	return present(o), err
}
