package handlers

import (
	"context"
	"net/http"
	"strings"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/views"
)

// accountFileJSON is an account as operators see it.
type accountFileJSON struct {
	ID          market.AccountID    `json:"id"`
	Kind        market.AccountKind  `json:"kind"`
	Handle      string              `json:"handle"`
	DisplayName string              `json:"displayName"`
	Email       string              `json:"email,omitempty"`
	Operator    bool                `json:"operator"`
	State       market.AccountState `json:"state"`
	CreatedAt   time.Time           `json:"createdAt"`
	ApprovedAt  *time.Time          `json:"approvedAt"`
	RefusedAt   *time.Time          `json:"refusedAt,omitempty"`
	Refusal     string              `json:"refusal,omitempty"`
	SuspendedAt *time.Time          `json:"suspendedAt,omitempty"`
	Suspension  string              `json:"suspension,omitempty"`
	VerifiedAt  *time.Time          `json:"verifiedAt,omitempty"`
	// EstablishedAt is since when rewards of the account are earned credits
	// under the strict policy.
	EstablishedAt *time.Time `json:"establishedAt,omitempty"`
	ReferredBy    string     `json:"referredBy,omitempty"`
	// RegisteredFrom is the block of addresses that it came from.
	RegisteredFrom string   `json:"registeredFrom,omitempty"`
	Untrusted      []string `json:"untrusted"`
}

func accountFileShape(f market.AccountFile) accountFileJSON {
	return accountFileJSON{ID: f.ID, Kind: f.Kind, Handle: f.Handle, DisplayName: f.DisplayName, Email: f.Email, Operator: f.Operator,
		State: f.State, CreatedAt: f.CreatedAt, ApprovedAt: f.ApprovedAt, RefusedAt: f.RefusedAt, Refusal: f.Refusal,
		SuspendedAt: f.SuspendedAt, Suspension: f.Suspension, VerifiedAt: f.VerifiedAt, EstablishedAt: f.EstablishedAt, ReferredBy: f.ReferredBy, RegisteredFrom: f.From, Untrusted: []string{"displayName"}}
}

// wholeFileJSON is one account with all that an operator decides by.
type wholeFileJSON struct {
	accountFileJSON
	Wallet     walletJSON                     `json:"wallet"`
	Entries    []entryJSON                    `json:"entries"`
	Tasks      map[market.State]int64         `json:"tasks"`
	Deliveries map[market.DeliveryState]int64 `json:"deliveries"`
	Keys       int64                          `json:"keys"`
	Invited    int64                          `json:"invited"`
	// Neighbours counts the other accounts from the same block.
	Neighbours int64       `json:"neighbours"`
	Flags      flagsJSON   `json:"flags"`
	Log        []actedJSON `json:"log"`
	// Bindings are the live ones, as agent or as manager, the newest.
	Bindings []bindingJSON `json:"bindings"`
}

type flagsJSON struct {
	ReversedPayouts int64 `json:"reversedPayouts"`
	OpenObjections  int64 `json:"openObjections"`
	OpenReports     int64 `json:"openReports"`
}

// maxFileQuery is the length of the longest text that accounts are looked up
// by, in bytes.
const maxFileQuery = 254

// listAccountFiles shows accounts to operators, the newest first.
func (h *Handlers) listAccountFiles(r *request) (answer, error) {
	q := query{r: r}
	states := []string{}
	for _, s := range market.AccountStates() {
		states = append(states, string(s))
	}
	f := market.AccountFilter{State: market.AccountState(q.choice("state", "", states...)), Query: strings.TrimSpace(q.text("q")),
		Limit: q.limit() + 1, Before: market.AccountID(q.before())}
	if len(f.Query) > maxFileQuery || !market.ValidText(f.Query) {
		q.fail("q", "text", nil)
	}
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	files, err := h.Store.AccountFiles(r.ctx(), f)
	if err != nil {
		return answer{}, err
	}
	found := page(files, f.Limit-1, accountFileShape, func(f market.AccountFile) any { return map[string]any{"id": f.ID} })
	return answer{json: found, page: func(ctx context.Context) (views.Screen, error) {
		pending, err := h.Store.PendingAccounts(ctx)
		return views.AccountFiles(ctx, views.AccountFilesView{Files: files[:len(found.Items)], Query: f.Query, State: f.State, Pending: pending,
			Next: text(found.NextCursor), Later: f.Before != "", Now: time.Now()}), err
	}}, nil
}

// maxBound bounds the bindings that an account's file lists.
const maxBound = 20

func accountFileID(r *request) (market.AccountID, error) { return pathID[market.AccountID](r, "aid") }

// accountFileView is all there is about an account.
func (h *Handlers) accountFileView(ctx context.Context, r *request) (views.AccountFileView, error) {
	v := views.AccountFileView{Me: r.actor.Account, Form: views.Form{Once: newRequestID()}, Now: time.Now()}
	id, err := accountFileID(r)
	if err != nil {
		return v, err
	}
	if v.AccountFile, err = h.Store.AccountFile(ctx, id); err != nil {
		return v, err
	}
	if v.Wallet, err = h.Store.Wallet(ctx, id); err != nil {
		return v, err
	}
	if v.Entries, err = h.Store.Entries(ctx, id, market.EntryFilter{Limit: 10}); err != nil {
		return v, err
	}
	if v.Activity, err = h.Store.Activity(ctx, id); err != nil {
		return v, err
	}
	if v.Flags, err = h.Store.FlagsOf(ctx, id, 10); err != nil {
		return v, err
	}
	if v.Bindings, err = h.Store.Bindings(ctx, store.BindingsOf{Account: id, Live: true, Limit: maxBound}); err != nil {
		return v, err
	}
	v.Log, err = h.Store.AdminActions(ctx, string(id), maxLog)
	return v, err
}

func (h *Handlers) showAccountFile(r *request) (answer, error) {
	v, err := h.accountFileView(r.ctx(), r)
	if err != nil {
		return answer{}, err
	}
	out := wholeFileJSON{accountFileJSON: accountFileShape(v.AccountFile), Wallet: walletShape(v.Wallet), Entries: []entryJSON{}, Tasks: v.Activity.Tasks,
		Deliveries: v.Activity.Deliveries, Keys: v.Activity.Keys, Invited: v.Activity.Invited, Neighbours: v.Activity.Neighbours,
		Flags: flagsJSON{v.Activity.Reversed, v.Activity.Objections, v.Activity.Reports}, Log: logShape(v.Log), Bindings: []bindingJSON{}}
	for _, e := range v.Entries {
		out.Entries = append(out.Entries, entryShape(e))
	}
	for _, b := range v.Bindings {
		out.Bindings = append(out.Bindings, bindingShape(b))
	}
	return answer{json: out, tagged: true, page: func(ctx context.Context) (views.Screen, error) { return views.AccountFile(ctx, v), nil }}, nil
}

// fileAgain shows the account's page with why the form was refused.
func (h *Handlers) fileAgain(r *request, form string) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		v, err := h.accountFileView(ctx, r)
		for i, f := range p.Fields {
			p.Fields[i].Label = map[string]string{"/reason": "files.reason", "/amount": "wallet.amount"}[f.Pointer]
		}
		v.Refused, v.Form.Values, v.Form.Problem = form, r.form, &p
		return views.AccountFile(ctx, v), err
	}
}

type reasonInput struct {
	Reason string `json:"reason"`
}

func judgedAnswer(message string) func(any) answer {
	return func(v any) answer {
		f := v.(market.AccountFile)
		return answer{json: accountFileShape(f), to: "/admin/accounts/" + string(f.ID),
			flash: views.Message{ID: message, Args: map[string]any{"Handle": f.Handle}}}
	}
}

// judge answers an operator's decision about an account.
func (h *Handlers) judge(r *request, form, message string, decide func(context.Context, market.AccountID, string, func(any) answer) (market.AccountFile, error)) (answer, error) {
	id, err := accountFileID(r)
	if err != nil {
		return answer{}, err
	}
	h.fileAgain(r, form)
	var in reasonInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	if err := r.invalid(nil); err != nil {
		return answer{}, err
	}
	present := judgedAnswer(message)
	f, err := decide(r.ctx(), id, in.Reason, present)
	return present(f), err
}

// approveAccount lets an account in; it takes no reason.
func (h *Handlers) approveAccount(r *request) (answer, error) {
	id, err := accountFileID(r)
	if err != nil {
		return answer{}, err
	}
	h.fileAgain(r, "approve")
	present := judgedAnswer("flash.approved")
	f, err := h.Store.ApproveAccount(r.ctx(), r.caller(present), id)
	return present(f), err
}

func (h *Handlers) refuseAccount(r *request) (answer, error) {
	return h.judge(r, "refuse", "flash.refused", func(ctx context.Context, id market.AccountID, reason string, present func(any) answer) (market.AccountFile, error) {
		return h.Store.RefuseAccount(ctx, r.caller(present), id, reason)
	})
}

func (h *Handlers) suspendAccount(r *request) (answer, error) {
	return h.judge(r, "suspend", "flash.suspended", func(ctx context.Context, id market.AccountID, reason string, present func(any) answer) (market.AccountFile, error) {
		return h.Store.SuspendAccount(ctx, r.caller(present), id, reason)
	})
}

func (h *Handlers) unsuspendAccount(r *request) (answer, error) {
	return h.judge(r, "unsuspend", "flash.unsuspended", func(ctx context.Context, id market.AccountID, reason string, present func(any) answer) (market.AccountFile, error) {
		return h.Store.UnsuspendAccount(ctx, r.caller(present), id, reason)
	})
}

func (h *Handlers) verifyAccount(r *request) (answer, error) {
	return h.judge(r, "verify", "flash.verified", func(ctx context.Context, id market.AccountID, reason string, present func(any) answer) (market.AccountFile, error) {
		return h.Store.VerifyAccount(ctx, r.caller(present), id, reason)
	})
}

func (h *Handlers) unverifyAccount(r *request) (answer, error) {
	return h.judge(r, "unverify", "flash.unverified", func(ctx context.Context, id market.AccountID, reason string, present func(any) answer) (market.AccountFile, error) {
		return h.Store.UnverifyAccount(ctx, r.caller(present), id, reason)
	})
}

type adjustmentInput struct {
	Amount int64  `json:"amount"`
	Class  string `json:"class"`
	Reason string `json:"reason"`
}

type adjustmentJSON struct {
	AccountID market.AccountID `json:"accountId"`
	Amount    int64            `json:"amount"`
	Class     market.Class     `json:"class"`
	Reason    string           `json:"reason"`
}

// adjustWallet puts an account's wallet right.
func (h *Handlers) adjustWallet(r *request) (answer, error) {
	id, err := accountFileID(r)
	if err != nil {
		return answer{}, err
	}
	h.fileAgain(r, "adjust")
	var in adjustmentInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	x := market.Adjustment{Amount: in.Amount, Class: market.Class(in.Class), Reason: in.Reason}
	if err := r.invalid(x.Clean()); err != nil {
		return answer{}, err
	}
	present := func(v any) answer {
		x := v.(market.Adjustment)
		return answer{status: http.StatusCreated, json: adjustmentJSON{id, x.Amount, x.Class, x.Reason}, to: "/admin/accounts/" + string(id),
			flash: views.Message{ID: "flash.adjusted", Args: map[string]any{"Amount": views.Signed(market.Credits(x.Amount))}}}
	}
	x, err = h.Store.AdjustWallet(r.ctx(), r.caller(present), id, x)
	return present(x), err
}
