package handlers

import (
	"context"
	"net/http"
	"time"

	"guildhall/market"
	"guildhall/views"
)

type invitationBatchJSON struct {
	ID        market.InvitationBatchID `json:"id"`
	Count     int                      `json:"count"`
	Uses      int                      `json:"uses"`
	Used      int64                    `json:"used"`
	Purpose   string                   `json:"purpose"`
	ExpiresAt time.Time                `json:"expiresAt"`
	CreatedAt time.Time                `json:"createdAt"`
	CreatedBy string                   `json:"createdBy"`
	RevokedAt *time.Time               `json:"revokedAt"`
	RevokedBy string                   `json:"revokedBy,omitempty"`
	// Codes are in the answer to the request that makes them only.
	Codes []string `json:"codes,omitempty"`
}

func invitationBatchShape(b market.InvitationBatch) invitationBatchJSON {
	return invitationBatchJSON{ID: b.ID, Count: b.Count, Uses: b.Uses, Used: b.Used, Purpose: b.Purpose,
		ExpiresAt: b.ExpiresAt, CreatedAt: b.CreatedAt, CreatedBy: b.CreatedBy, RevokedAt: b.RevokedAt, RevokedBy: b.RevokedBy}
}

// invitationsView is a page of the batches, with the form for a new one.
func (h *Handlers) invitationsView(batches []market.InvitationBatch, f views.Form) views.InvitationsView {
	if f.Values == nil {
		f.Values = map[string][]string{"count": {"1"}, "uses": {"1"}, "days": {"14"}}
	}
	f.Once = newRequestID()
	return views.InvitationsView{Batches: batches, Mode: h.Store.Registration(), Form: f, Now: time.Now()}
}

// listInvitations shows the batches; a page of them has a form for a new one.
func (h *Handlers) listInvitations(r *request) (answer, error) {
	q := query{r: r}
	limit, id := q.limit(), market.InvitationBatchID(q.before())
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	batches, err := h.Store.InvitationBatches(r.ctx(), id, limit+1)
	if err != nil {
		return answer{}, err
	}
	found := page(batches, limit, invitationBatchShape, func(b market.InvitationBatch) any { return map[string]any{"id": b.ID} })
	return answer{json: found, page: func(ctx context.Context) (views.Screen, error) {
		v := h.invitationsView(batches[:len(found.Items)], views.Form{})
		v.Next, v.Later = text(found.NextCursor), id != ""
		return views.Invitations(ctx, v), nil
	}}, nil
}

type invitationsInput struct {
	Count   int64  `json:"count"`
	Uses    int64  `json:"uses"`
	Days    int64  `json:"days"`
	Purpose string `json:"purpose"`
}

// makeInvitations makes a batch and shows its codes, this once.
func (h *Handlers) makeInvitations(r *request) (answer, error) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		batches, err := h.Store.InvitationBatches(ctx, "", 20)
		return views.Invitations(ctx, h.invitationsView(batches, views.Form{Values: r.form, Problem: &p})), err
	}
	var in invitationsInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	d := market.InvitationDraft{Count: in.Count, Uses: in.Uses, Days: in.Days, Purpose: in.Purpose}
	if err := r.invalid(d.Clean()); err != nil {
		return answer{}, err
	}
	// The codes are not stored, so a retry is told what was made, not the codes.
	made := func(v any) answer {
		b := v.(market.InvitationBatch)
		p := toProblem(market.ErrAlreadyDone, r.echo.Request().URL.Path)
		return answer{status: http.StatusConflict, json: p, location: "/api/v1/admin/invitations/" + string(b.ID), to: "/admin/invitations#" + string(b.ID)}
	}
	b, codes, err := h.Store.NewInvitations(r.ctx(), r.caller(made), d)
	if err != nil {
		return answer{}, err
	}
	shape := invitationBatchShape(b)
	shape.Codes = codes
	return answer{status: http.StatusCreated, location: "/api/v1/admin/invitations/" + string(b.ID), json: shape,
		page: func(ctx context.Context) (views.Screen, error) {
			return views.InvitationCodes(ctx, views.InvitationCodesView{Batch: b, Codes: codes, BaseURL: h.BaseURL}), nil
		}}, nil
}

func (h *Handlers) showInvitations(r *request) (answer, error) {
	id, err := pathID[market.InvitationBatchID](r, "iid")
	if err != nil {
		return answer{}, err
	}
	b, err := h.Store.InvitationBatch(r.ctx(), id)
	return answer{json: invitationBatchShape(b), tagged: true}, err
}

// revokeInvitations ends a batch.
func (h *Handlers) revokeInvitations(r *request) (answer, error) {
	id, err := pathID[market.InvitationBatchID](r, "iid")
	if err != nil {
		return answer{}, err
	}
	present := func(v any) answer {
		b := v.(market.InvitationBatch)
		return answer{json: invitationBatchShape(b), to: "/admin/invitations#" + string(b.ID), flash: views.Message{ID: "flash.invitations_revoked"}}
	}
	b, err := h.Store.RevokeInvitations(r.ctx(), r.caller(present), id)
	return present(b), err
}
