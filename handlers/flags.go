package handlers

import (
	"context"
	"net/http"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/views"
)

type flagJSON struct {
	ID        market.FlagID    `json:"id"`
	AccountID market.AccountID `json:"accountId"`
	Account   partyJSON        `json:"account"`
	Kind      market.FlagKind  `json:"kind"`
	Evidence  market.Evidence  `json:"evidence"`
	Reason    string           `json:"reason,omitempty"`
	RaisedBy  *partyJSON       `json:"raisedBy,omitempty"`
	RaisedAt  time.Time        `json:"raisedAt"`
	// HoldUntil is null while the account is frozen.
	HoldUntil *time.Time         `json:"holdUntil"`
	Outcome   market.FlagOutcome `json:"outcome,omitempty"`
	DecidedAt *time.Time         `json:"decidedAt,omitempty"`
	DecidedBy *partyJSON         `json:"decidedBy,omitempty"`
	Note      string             `json:"note,omitempty"`
	// PendingCredits are what the account has to come, OrdersInReview its
	// redemptions that wait.
	PendingCredits market.Credits `json:"pendingCredits"`
	OrdersInReview int64          `json:"ordersInReview"`
}

func flagShape(f market.Flag) flagJSON {
	party := func(handle string) *partyJSON {
		if handle == "" {
			return nil
		}
		return &partyJSON{handle}
	}
	out := flagJSON{ID: f.ID, AccountID: f.Account, Account: partyJSON{f.Handle}, Kind: f.Kind, Evidence: f.Evidence, Reason: f.Reason,
		RaisedBy: party(f.RaisedBy), RaisedAt: f.RaisedAt, Outcome: f.Outcome, DecidedAt: f.DecidedAt, DecidedBy: party(f.Decider), Note: f.Note,
		PendingCredits: f.Pending, OrdersInReview: f.Orders}
	if f.Outcome != market.FlagFrozen {
		out.HoldUntil = &f.HoldUntil
	}
	return out
}

// listFlags is the operators' queue of what looks like fraud.
func (h *Handlers) listFlags(r *request) (answer, error) {
	q := query{r: r}
	state := store.FlagState(q.choice("state", string(store.FlagsOpen), string(store.FlagsOpen), string(store.FlagsHeld), string(store.FlagsClosed)))
	limit := q.limit()
	var after struct {
		ID string    `json:"id"`
		At time.Time `json:"at"`
	}
	q.cursor(&after)
	id := market.FlagID(q.id(after.ID))
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	flags, err := h.Store.Flags(r.ctx(), state, id, after.At, limit+1)
	if err != nil {
		return answer{}, err
	}
	found := page(flags, limit, flagShape, func(f market.Flag) any {
		at := f.RaisedAt
		if f.DecidedAt != nil {
			at = *f.DecidedAt
		}
		return map[string]any{"id": f.ID, "at": at}
	})
	return answer{json: found, page: func(ctx context.Context) (views.Screen, error) {
		return views.Flags(ctx, views.FlagsView{Flags: flags[:len(found.Items)], State: string(state), Next: text(found.NextCursor), Now: time.Now()}), nil
	}}, nil
}

func (h *Handlers) flagScreen(ctx context.Context, id market.FlagID, form views.Form) (views.Screen, error) {
	f, err := h.Store.Flag(ctx, id)
	if err != nil {
		return views.Screen{}, err
	}
	others, err := h.Store.FlagsOf(ctx, f.Account, 20)
	if form.Once == "" {
		form.Once = newRequestID()
	}
	return views.Flag(ctx, views.FlagView{Flag: f, Others: others, Form: form, Now: time.Now()}), err
}

// showFlag is a flag with its evidence.
func (h *Handlers) showFlag(r *request) (answer, error) {
	id, err := pathID[market.FlagID](r, "fid")
	if err != nil {
		return answer{}, err
	}
	f, err := h.Store.Flag(r.ctx(), id)
	return answer{json: flagShape(f), tagged: true, page: func(ctx context.Context) (views.Screen, error) {
		return h.flagScreen(ctx, id, views.Form{})
	}}, err
}

type flagDecisionInput struct {
	Outcome string `json:"outcome"`
	Days    int64  `json:"days"`
	Note    string `json:"note"`
}

// decideFlag makes an operator's decision on a flag.
func (h *Handlers) decideFlag(r *request) (answer, error) {
	id, err := pathID[market.FlagID](r, "fid")
	if err != nil {
		return answer{}, err
	}
	typed := r.form.Get("days")
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		r.form.Set("days", typed)
		return h.flagScreen(ctx, id, views.Form{Values: r.form, Problem: &p})
	}
	if r.form != nil && r.form.Get("outcome") != string(market.FlagExtended) {
		r.form.Set("days", "0") // the field stands there for another choice
	}
	var in flagDecisionInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	d := market.FlagDecision{Outcome: market.FlagOutcome(in.Outcome), Days: in.Days, Note: in.Note}
	if err := r.invalid(d.Clean()); err != nil {
		return answer{}, err
	}
	present := func(v any) answer {
		f := v.(market.Flag)
		return answer{json: flagShape(f), to: "/admin/flags", flash: views.Message{ID: "flash.flag_decided", Args: map[string]any{"Handle": f.Handle}}}
	}
	f, err := h.Store.DecideFlag(r.ctx(), r.caller(present), id, d)
	return present(f), err
}

// flagAccount raises an operator's own flag.
func (h *Handlers) flagAccount(r *request) (answer, error) {
	id, err := accountFileID(r)
	if err != nil {
		return answer{}, err
	}
	h.fileAgain(r, "flag")
	var in reasonInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	if err := r.invalid(nil); err != nil {
		return answer{}, err
	}
	present := func(v any) answer {
		f := v.(market.Flag)
		return answer{status: http.StatusCreated, json: flagShape(f), location: "/api/v1/admin/flags/" + string(f.ID), to: "/admin/flags/" + string(f.ID),
			flash: views.Message{ID: "flash.flagged", Args: map[string]any{"Handle": f.Handle}}}
	}
	f, err := h.Store.FlagAccount(r.ctx(), r.caller(present), id, in.Reason)
	return present(f), err
}
