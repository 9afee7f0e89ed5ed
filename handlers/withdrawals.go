package handlers

import (
	"context"
	"time"

	"guildhall/market"
	"guildhall/views"
)

// shelvedJSON is a code in stock; its text is never shown.
type shelvedJSON struct {
	ID market.CodeID `json:"id"`
	// Fingerprint is the end of one: codes can be told apart by it.
	Fingerprint string     `json:"fingerprint"`
	AddedAt     time.Time  `json:"addedAt"`
	ExpiresAt   *time.Time `json:"expiresAt"`
}

func shelvedShape(c market.Shelved) shelvedJSON {
	return shelvedJSON{ID: c.ID, Fingerprint: c.Print, AddedAt: c.AddedAt, ExpiresAt: c.ExpiresAt}
}

type batchJSON struct {
	AddedAt time.Time `json:"addedAt"`
	Codes   int64     `json:"codes"`
	Free    int64     `json:"free"`
}

// shelfJSON is a page of the codes in stock, with the good's imports.
type shelfJSON struct {
	Items      []shelvedJSON `json:"items"`
	Imports    []batchJSON   `json:"imports"`
	NextCursor *string       `json:"nextCursor"`
}

// maxBatches is how many imports of a good are listed.
const maxBatches = 50

func (h *Handlers) shelfView(ctx context.Context, r *request, limit int, before market.CodeID) (views.ShelfView, error) {
	v := views.ShelfView{Later: before != "", Now: time.Now()}
	id, err := pathID[market.GoodID](r, "gid")
	if err != nil {
		return v, err
	}
	if v.Stocked, err = h.Store.StockedGood(ctx, id); err != nil {
		return v, err
	}
	if v.Batches, err = h.Store.Batches(ctx, id, maxBatches); err != nil {
		return v, err
	}
	v.Codes, err = h.Store.Shelf(ctx, id, before, limit+1)
	return v, err
}

// listCodes are the codes of a good that nobody has ordered.
func (h *Handlers) listCodes(r *request) (answer, error) {
	q := query{r: r}
	limit, before := q.limit(), market.CodeID(q.before())
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	v, err := h.shelfView(r.ctx(), r, limit, before)
	if err != nil {
		return answer{}, err
	}
	found := page(v.Codes, limit, shelvedShape, func(c market.Shelved) any { return map[string]any{"id": c.ID} })
	out := shelfJSON{Items: found.Items, Imports: []batchJSON{}, NextCursor: found.NextCursor}
	for _, b := range v.Batches {
		out.Imports = append(out.Imports, batchJSON(b))
	}
	v.Codes, v.Next = v.Codes[:len(found.Items)], text(found.NextCursor)
	return answer{json: out, page: func(ctx context.Context) (views.Screen, error) { return views.Shelf(ctx, v), nil }}, nil
}

type withdrawInput struct {
	// Codes is the id of one, or the addedAt of an import for all its free ones.
	Codes  string `json:"codes"`
	Reason string `json:"reason"`
}

type withdrawnJSON struct {
	GoodID    market.GoodID `json:"goodId"`
	Withdrawn int64         `json:"withdrawn"`
}

// withdrawCodes takes codes out of stock that nobody has ordered.
func (h *Handlers) withdrawCodes(r *request) (answer, error) {
	id, err := pathID[market.GoodID](r, "gid")
	if err != nil {
		return answer{}, err
	}
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		const shown = 20
		v, err := h.shelfView(ctx, r, shown, "")
		v.Codes = v.Codes[:min(len(v.Codes), shown)]
		v.Form = views.Form{Values: r.form, Problem: &p}
		return views.Shelf(ctx, v), err
	}
	var in withdrawInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	w, bad := market.ReadWithdrawal(in.Codes, in.Reason)
	if err := r.invalid(bad); err != nil {
		return answer{}, err
	}
	present := func(v any) answer {
		n := v.(int64)
		return answer{json: withdrawnJSON{id, n}, to: "/admin/goods/" + string(id) + "/codes",
			flash: views.Message{ID: "flash.withdrawn_codes", Args: map[string]any{"Count": views.Number(n)}}}
	}
	n, err := h.Store.WithdrawCodes(r.ctx(), r.caller(present), id, w)
	return present(n), err
}
