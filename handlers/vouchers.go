package handlers

import (
	"bytes"
	"context"
	"encoding/csv"
	"net/http"
	"strconv"
	"time"

	"guildhall/market"
	"guildhall/views"
)

type voucherBatchJSON struct {
	ID        market.VoucherBatchID `json:"id"`
	Amount    market.Credits        `json:"amount"`
	Class     market.Class          `json:"class"`
	Count     int                   `json:"count"`
	Redeemed  int                   `json:"redeemed"`
	Purpose   string                `json:"purpose"`
	ExpiresAt time.Time             `json:"expiresAt"`
	CreatedAt time.Time             `json:"createdAt"`
	CreatedBy string                `json:"createdBy"`
	RevokedAt *time.Time            `json:"revokedAt"`
	RevokedBy string                `json:"revokedBy,omitempty"`
	// Codes are in the answer to the request that makes them only.
	Codes []string `json:"codes,omitempty"`
}

func voucherBatchShape(b market.VoucherBatch) voucherBatchJSON {
	return voucherBatchJSON{ID: b.ID, Amount: b.Amount, Class: b.Class, Count: b.Count, Redeemed: b.Redeemed, Purpose: b.Purpose,
		ExpiresAt: b.ExpiresAt, CreatedAt: b.CreatedAt, CreatedBy: b.CreatedBy, RevokedAt: b.RevokedAt, RevokedBy: b.RevokedBy}
}

// listVouchers shows the batches; a page of them has a form for a new one.
func (h *Handlers) listVouchers(r *request) (answer, error) {
	q := query{r: r}
	limit, id := q.limit(), market.VoucherBatchID(q.before())
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	batches, err := h.Store.VoucherBatches(r.ctx(), id, limit+1)
	if err != nil {
		return answer{}, err
	}
	found := page(batches, limit, voucherBatchShape, func(b market.VoucherBatch) any { return map[string]any{"id": b.ID} })
	return answer{json: found, page: func(ctx context.Context) (views.Screen, error) {
		return views.Vouchers(ctx, views.VouchersView{Batches: batches[:len(found.Items)], Next: text(found.NextCursor), Later: id != "",
			Form: voucherForm(nil, nil), Now: time.Now()}), nil
	}}, nil
}

// voucherForm is the form for a batch: as it was sent, or empty.
func voucherForm(values map[string][]string, p *views.Problem) views.Form {
	if values == nil {
		values = map[string][]string{"class": {string(market.Granted)}, "count": {"10"}, "days": {"90"}}
	}
	return views.Form{Values: values, Problem: p, Once: newRequestID()}
}

type vouchersInput struct {
	Amount  int64  `json:"amount"`
	Class   string `json:"class"`
	Count   int64  `json:"count"`
	Days    int64  `json:"days"`
	Purpose string `json:"purpose"`
}

// makeVouchers makes a batch and shows its codes, this once.
func (h *Handlers) makeVouchers(r *request) (answer, error) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		batches, err := h.Store.VoucherBatches(ctx, "", 20)
		return views.Vouchers(ctx, views.VouchersView{Batches: batches, Form: voucherForm(r.form, &p), Now: time.Now()}), err
	}
	var in vouchersInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	d := market.VoucherDraft{Amount: in.Amount, Class: market.Class(in.Class), Count: in.Count, Days: in.Days, Purpose: in.Purpose}
	if err := r.invalid(d.Clean()); err != nil {
		return answer{}, err
	}
	// The codes are not stored, so a retry is told what was made, not the codes.
	made := func(v any) answer {
		b := v.(market.VoucherBatch)
		p := toProblem(market.ErrAlreadyDone, r.echo.Request().URL.Path)
		return answer{status: http.StatusConflict, json: p, location: "/api/v1/admin/vouchers/" + string(b.ID), to: "/admin/vouchers#" + string(b.ID)}
	}
	b, codes, err := h.Store.NewVouchers(r.ctx(), r.caller(made), d)
	if err != nil {
		return answer{}, err
	}
	if r.form.Has("download") {
		return answer{file: &file{"vouchers-" + string(b.ID) + ".csv", "text/csv; charset=utf-8", voucherCSV(b, codes)}}, nil
	}
	shape := voucherBatchShape(b)
	shape.Codes = codes
	return answer{status: http.StatusCreated, location: "/api/v1/admin/vouchers/" + string(b.ID), json: shape,
		page: func(ctx context.Context) (views.Screen, error) {
			return views.VoucherCodes(ctx, views.VoucherCodesView{Batch: b, Codes: codes, Now: time.Now()}), nil
		}}, nil
}

func voucherCSV(b market.VoucherBatch, codes []string) []byte {
	var buf bytes.Buffer
	w := csv.NewWriter(&buf)
	_ = w.Write([]string{"code", "amount", "class", "expiresAt"}) // a buffer takes all
	for _, c := range codes {
		_ = w.Write([]string{c, strconv.FormatInt(int64(b.Amount), 10), string(b.Class), b.ExpiresAt.Format(time.RFC3339)})
	}
	w.Flush()
	return buf.Bytes()
}

func (h *Handlers) showVouchers(r *request) (answer, error) {
	id, err := pathID[market.VoucherBatchID](r, "bid")
	if err != nil {
		return answer{}, err
	}
	b, err := h.Store.VoucherBatch(r.ctx(), id)
	return answer{json: voucherBatchShape(b), tagged: true}, err
}

// revokeVouchers ends a batch.
func (h *Handlers) revokeVouchers(r *request) (answer, error) {
	id, err := pathID[market.VoucherBatchID](r, "bid")
	if err != nil {
		return answer{}, err
	}
	present := func(v any) answer {
		b := v.(market.VoucherBatch)
		return answer{json: voucherBatchShape(b), to: "/admin/vouchers#" + string(b.ID), flash: views.Message{ID: "flash.vouchers_revoked"}}
	}
	b, err := h.Store.RevokeVouchers(r.ctx(), r.caller(present), id)
	return present(b), err
}

type voucherInput struct {
	Code string `json:"code"`
}

// voucherJSON is what a voucher brought.
type voucherJSON struct {
	Amount market.Credits `json:"amount"`
	Class  market.Class   `json:"class"`
}

// redeemVoucher puts a voucher's credits into the caller's wallet.
func (h *Handlers) redeemVoucher(r *request) (answer, error) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		w, err := h.Store.Wallet(ctx, r.actor.Account)
		if err != nil {
			return views.Screen{}, err
		}
		v, err := h.walletView(ctx, r, w, market.EntryFilter{Limit: 20})
		v.Voucher = views.Form{Values: r.form, Problem: &p, Once: newRequestID()}
		return views.Wallet(ctx, v), err
	}
	var in voucherInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	if err := r.invalid(nil); err != nil {
		return answer{}, err
	}
	if err := h.throttle(r, h.addresses, h.vouchers, string(r.actor.Account)); err != nil {
		return answer{}, err
	}
	present := func(v any) answer {
		x := v.(market.Voucher)
		return answer{json: voucherJSON{x.Amount, x.Class}, to: "/wallet",
			flash: views.Message{ID: "flash.voucher_redeemed", Args: map[string]any{"Amount": views.Number(x.Amount)}}}
	}
	v, err := h.Store.RedeemVoucher(r.ctx(), r.caller(present), in.Code)
	return present(v), err
}
