package handlers

import (
	"context"
	"net/http"
	"time"

	"guildhall/market"
	"guildhall/views"
)

type goodJSON struct {
	ID           market.GoodID   `json:"id"`
	Kind         market.GoodKind `json:"kind"`
	Name         string          `json:"name"`
	Denomination string          `json:"denomination"`
	Price        market.Credits  `json:"price"`
	Region       string          `json:"region"`
	Terms        string          `json:"terms"`
	// Picture is an address below the site's own, absent without one.
	Picture string `json:"picture,omitempty"`
	Stock   int64  `json:"stock"`
}

func goodShape(g market.Good) goodJSON {
	return goodJSON{ID: g.ID, Kind: g.Kind, Name: g.Name, Denomination: g.Denomination, Price: g.Price, Region: g.Region, Terms: g.Terms,
		Picture: views.PicturePath(g), Stock: g.Stock}
}

type orderJSON struct {
	ID           market.OrderID    `json:"id"`
	GoodID       market.GoodID     `json:"goodId"`
	Kind         market.GoodKind   `json:"kind"`
	Name         string            `json:"name"`
	Denomination string            `json:"denomination"`
	Region       string            `json:"region"`
	Terms        string            `json:"terms"`
	Price        market.Credits    `json:"price"`
	State        market.OrderState `json:"state"`
	// Reasons is why an operator looks at the order.
	Reasons   []string   `json:"reasons"`
	CreatedAt time.Time  `json:"createdAt"`
	DecidedAt *time.Time `json:"decidedAt"`
	// Reason is why the order was refused.
	Reason        string     `json:"reason,omitempty"`
	CodeExpiresAt *time.Time `json:"codeExpiresAt"`
	RevealedAt    *time.Time `json:"revealedAt"`
	Reveals       int64      `json:"reveals"`
	// Code is only in the answers that reveal it.
	Code string `json:"code,omitempty"`
	// Dispute is what the owner says of the code.
	Dispute *disputeJSON `json:"dispute,omitempty"`
}

func orderShape(o market.Order) orderJSON {
	return orderJSON{ID: o.ID, GoodID: o.Good, Kind: o.Kind, Name: o.Name, Denomination: o.Denomination, Region: o.Region, Terms: o.Terms, Price: o.Price,
		State: o.State, Reasons: o.Reasons, CreatedAt: o.At, DecidedAt: o.DecidedAt, Reason: o.Refusal, CodeExpiresAt: o.CodeExpiresAt,
		RevealedAt: o.RevealedAt, Reveals: o.Reveals, Code: o.Code, Dispute: disputeShape(o.Dispute)}
}

const ordersPath = "/redeem/orders/"

// listCatalog shows what earned credits can be redeemed for.
func (h *Handlers) listCatalog(r *request) (answer, error) {
	q := query{r: r}
	kind := market.GoodKind(q.choice("kind", "", kinds()...))
	limit, before := q.limit(), market.GoodID(q.before())
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	goods, err := h.Store.Catalog(r.ctx(), kind, before, limit+1)
	if err != nil {
		return answer{}, err
	}
	found := page(goods, limit, goodShape, func(g market.Good) any { return map[string]any{"id": g.ID} })
	return answer{json: found, page: func(ctx context.Context) (views.Screen, error) {
		return h.catalogScreen(ctx, r, views.CatalogView{Goods: goods[:len(found.Items)], Kind: kind, Next: text(found.NextCursor), Later: before != ""})
	}}, nil
}

func kinds() []string {
	var out []string
	for _, k := range market.GoodKinds() {
		out = append(out, string(k))
	}
	return out
}

// latestOrders is how many orders stand below the catalogue.
const latestOrders = 5

func (h *Handlers) catalogScreen(ctx context.Context, r *request, v views.CatalogView) (views.Screen, error) {
	w, err := h.Store.Wallet(ctx, r.actor.Account)
	if err != nil {
		return views.Screen{}, err
	}
	v.Earned, v.Pending, v.Once, v.Now = w.EarnedAvailable, w.EarnedPending, newRequestID(), time.Now()
	v.Orders, err = h.Store.Orders(ctx, r.actor.Account, "", latestOrders)
	return views.Catalog(ctx, v), err
}

type redeemInput struct {
	GoodID market.GoodID `json:"goodId"`
	// Price is what the caller saw: another one is refused, not charged.
	Price int64 `json:"price"`
}

// redeem orders one code. Programs see it in the answer if the order is
// fulfilled at once, people on the order's page.
func (h *Handlers) redeem(r *request) (answer, error) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		goods, err := h.Store.Catalog(ctx, "", "", 20)
		if err != nil {
			return views.Screen{}, err
		}
		return h.catalogScreen(ctx, r, views.CatalogView{Goods: goods, Problem: &p})
	}
	var in redeemInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	if err := r.invalid(nil); err != nil {
		return answer{}, err
	}
	if !market.ValidID(string(in.GoodID)) {
		return answer{}, market.ErrNotFound
	}
	o, err := h.Store.Redeem(r.ctx(), r.caller(ordered), in.GoodID, market.Credits(in.Price), r.form == nil)
	return ordered(o), err
}

// ordered answers with a new order. What is stored for a retry has no code:
// that is already done, and the resource says where it can be seen again.
func ordered(v any) answer {
	o := v.(market.Order)
	at := "/api/v1/agent/redemptions/" + string(o.ID)
	a := answer{status: http.StatusCreated, json: orderShape(o), location: at, to: ordersPath + string(o.ID), flash: views.Message{ID: "flash.redeemed"}}
	switch {
	case o.State == market.OrderPending:
		a.flash.ID = "flash.redeem_review"
	case o.Reveals > 0 && o.Code == "":
		done := toProblem(market.ErrAlreadyDone, at)
		a.status, a.json = done.Status, done
	}
	return a
}

// listOrders is a page of the caller's orders.
func (h *Handlers) listOrders(r *request) (answer, error) {
	q := query{r: r}
	limit, before := q.limit(), market.OrderID(q.before())
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	orders, err := h.Store.Orders(r.ctx(), r.actor.Account, before, limit+1)
	if err != nil {
		return answer{}, err
	}
	found := page(orders, limit, orderShape, func(o market.Order) any { return map[string]any{"id": o.ID} })
	return answer{json: found, page: func(ctx context.Context) (views.Screen, error) {
		return views.Orders(ctx, views.OrdersView{Orders: orders[:len(found.Items)], Next: text(found.NextCursor), Later: before != "", Now: time.Now()}), nil
	}}, nil
}

// ownOrder is the order of the path if it is the caller's own.
func (h *Handlers) ownOrder(ctx context.Context, r *request) (market.Order, error) {
	id, err := pathID[market.OrderID](r, "oid")
	if err != nil {
		return market.Order{}, err
	}
	o, err := h.Store.Order(ctx, r.actor, id)
	if err == nil && o.Account != r.actor.Account {
		err = market.ErrNotFound // operators have pages of their own
	}
	return o, err
}

func (h *Handlers) showOrder(r *request) (answer, error) {
	o, err := h.ownOrder(r.ctx(), r)
	return answer{json: orderShape(o), tagged: true, page: func(ctx context.Context) (views.Screen, error) {
		return views.Order(ctx, orderView(r, o)), nil
	}}, err
}

// revealOrder shows the code to its owner: a program's key says who asks, a
// person has proved it in the last minutes.
func (h *Handlers) revealOrder(r *request) (answer, error) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		o, err := h.ownOrder(ctx, r)
		v := orderView(r, o)
		v.Problem = &p
		return views.Order(ctx, v), err
	}
	id, err := pathID[market.OrderID](r, "oid")
	if err != nil {
		return answer{}, err
	}
	o, err := h.Store.RevealOrder(r.ctx(), r.by, id)
	return answer{json: orderShape(o), page: func(ctx context.Context) (views.Screen, error) {
		return views.Order(ctx, orderView(r, o)), nil
	}}, err
}

// showPicture is the picture of a good.
func (h *Handlers) showPicture(r *request) (answer, error) {
	id, err := pathID[market.GoodID](r, "gid")
	if err != nil {
		return answer{}, err
	}
	content, mediaType, err := h.Store.Picture(r.ctx(), id)
	return answer{stream: func(w http.ResponseWriter) error {
		w.Header().Set("Content-Type", mediaType)
		w.Header().Set("Cache-Control", "public, max-age=86400") // its address has the good's version
		_, err := w.Write(content)
		return err
	}}, err
}

// heldOrderJSON is an order as operators see it.
type heldOrderJSON struct {
	orderJSON
	Account   string      `json:"account"`
	DecidedBy string      `json:"decidedBy,omitempty"`
	History   *pastJSON   `json:"history,omitempty"`
	Log       []actedJSON `json:"log,omitempty"`
	Untrusted []string    `json:"untrusted"`
}

// pastJSON is what an account's orders are judged by.
type pastJSON struct {
	Fulfilled int64          `json:"fulfilled"`
	Recent    int64          `json:"recent"`
	Spent     market.Credits `json:"spent"`
	Flagged   bool           `json:"flagged"`
}

// actedJSON is a line of the operators' log.
type actedJSON struct {
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"`
	Action string    `json:"action"`
	Reason string    `json:"reason,omitempty"`
	Added  int64     `json:"added,omitempty"`
}

func logShape(log []market.AdminAction) []actedJSON {
	out := []actedJSON{}
	for _, a := range log {
		out = append(out, actedJSON{At: a.At, Actor: a.Actor, Action: a.Action, Reason: a.Reason, Added: a.Count})
	}
	return out
}

func reviewShape(o market.Order) heldOrderJSON {
	o.Code = ""
	return heldOrderJSON{orderJSON: orderShape(o), Account: o.Handle, DecidedBy: o.Decider, Untrusted: []string{"dispute"}}
}

// listReviews is the operators' queue: who waits longest comes first.
func (h *Handlers) listReviews(r *request) (answer, error) {
	q := query{r: r}
	which := market.ReviewFilter(q.choice("state", "open", "open", "disputed", "decided"))
	limit, after := q.limit(), market.OrderID(q.before())
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	orders, err := h.Store.ReviewQueue(r.ctx(), which, after, limit+1)
	if err != nil {
		return answer{}, err
	}
	found := page(orders, limit, reviewShape, func(o market.Order) any { return map[string]any{"id": o.ID} })
	return answer{json: found, page: func(ctx context.Context) (views.Screen, error) {
		return views.Reviews(ctx, views.ReviewsView{Orders: orders[:len(found.Items)], Which: which, Next: text(found.NextCursor), Now: time.Now()}), nil
	}}, nil
}

// maxLog bounds the lines of the log that are shown with what they are about.
const maxLog = 50

func (h *Handlers) reviewView(ctx context.Context, r *request) (views.ReviewOrderView, error) {
	v := views.ReviewOrderView{Now: time.Now()}
	id, err := pathID[market.OrderID](r, "oid")
	if err != nil {
		return v, err
	}
	if v.Order, err = h.Store.Order(ctx, r.actor, id); err != nil {
		return v, err
	}
	if v.Account, err = h.Store.Account(ctx, v.Order.Account); err != nil {
		return v, err
	}
	if v.Past, err = h.Store.Redeemer(ctx, v.Order.Account); err != nil {
		return v, err
	}
	if v.Earlier, err = h.Store.Orders(ctx, v.Order.Account, "", 20); err != nil {
		return v, err
	}
	v.Log, err = h.Store.AdminActions(ctx, string(id), maxLog)
	return v, err
}

func (h *Handlers) showReview(r *request) (answer, error) {
	v, err := h.reviewView(r.ctx(), r)
	shape := reviewShape(v.Order)
	shape.History = &pastJSON{v.Past.Fulfilled, v.Past.Recent, v.Past.Spent, v.Past.Flagged}
	shape.Log = logShape(v.Log)
	return answer{json: shape, tagged: true, page: func(ctx context.Context) (views.Screen, error) { return views.ReviewOrder(ctx, v), nil }}, err
}

// reviewAgain shows the order's page with why the decision was refused.
func (h *Handlers) reviewAgain(r *request) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		v, err := h.reviewView(ctx, r)
		v.Form = views.Form{Values: r.form, Problem: &p}
		return views.ReviewOrder(ctx, v), err
	}
}

func reviewed(message string) func(any) answer {
	return func(v any) answer {
		return answer{json: reviewShape(v.(market.Order)), to: "/admin/redemptions", flash: views.Message{ID: message}}
	}
}

func (h *Handlers) approveOrder(r *request) (answer, error) {
	id, err := pathID[market.OrderID](r, "oid")
	if err != nil {
		return answer{}, err
	}
	h.reviewAgain(r)
	present := reviewed("flash.order_approved")
	o, err := h.Store.ApproveOrder(r.ctx(), r.caller(present), id)
	return present(o), err
}

type refusalInput struct {
	Reason string `json:"reason"`
}

func (h *Handlers) refuseOrder(r *request) (answer, error) {
	id, err := pathID[market.OrderID](r, "oid")
	if err != nil {
		return answer{}, err
	}
	h.reviewAgain(r)
	var in refusalInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	present := reviewed("flash.order_refused")
	o, err := h.Store.RefuseOrder(r.ctx(), r.caller(present), id, in.Reason)
	return present(o), err
}
