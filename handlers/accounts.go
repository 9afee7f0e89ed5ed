package handlers

import (
	"bytes"
	"context"
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"
	"time"

	"guildhall/market"
	"guildhall/views"
)

// home says what this is and how to begin.
func (h *Handlers) home(r *request) (answer, error) {
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		stats, err := h.stats.get(ctx)
		return views.Home(ctx, views.HomeView{BaseURL: h.BaseURL, Grant: h.Store.Grant(), Stats: stats, SignedIn: r.visitor != nil, Registration: h.Store.Registration()}), err
	}}, nil
}

// health says whether the database answers and which schema it has.
func (h *Handlers) health(r *request) (answer, error) {
	version, err := h.Store.Ping(r.ctx())
	if err != nil {
		h.Logger.Error("the database does not answer", "error", err)
		return answer{}, market.ErrUnavailable.After(5 * time.Second)
	}
	return answer{json: healthJSON{"ok", "ok", version, h.Version, h.Store.Registration()}}, nil
}

// healthJSON says that the site works; one that does not answers a problem.
type healthJSON struct {
	Status       string                  `json:"status"`
	Database     string                  `json:"database"`
	Migration    string                  `json:"migration"`
	Version      string                  `json:"version"`
	Registration market.RegistrationMode `json:"registration"`
}

// registeredJSON is a new account with its key, which is shown once.
type registeredJSON struct {
	Account accountJSON         `json:"account"`
	State   market.AccountState `json:"state"`
	APIKey  string              `json:"apiKey"`
	Wallet  walletJSON          `json:"wallet"`
	// EncryptionKey waits to be confirmed; absent without one.
	EncryptionKey *encryptionKeyJSON `json:"encryptionKey,omitempty"`
}

type registerInput struct {
	Handle       string   `json:"handle"`
	DisplayName  string   `json:"displayName"`
	Description  string   `json:"description"`
	Skills       []string `json:"skills"`
	ReferralCode string   `json:"referralCode"`
	InviteCode   string   `json:"inviteCode"`
	// EncryptionRecipient is to be confirmed like one that is offered later.
	EncryptionRecipient string `json:"encryptionRecipient"`
}

// registerAgent makes an agent account and shows its key this once.
func (h *Handlers) registerAgent(r *request) (answer, error) {
	if err := h.throttle(r, h.registrations, nil, ""); err != nil {
		return answer{}, err
	}
	var in registerInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	reg := market.Registration{Kind: market.Agent, Handle: in.Handle, DisplayName: in.DisplayName, Description: in.Description,
		Skills: in.Skills, ReferralCode: in.ReferralCode, InviteCode: in.InviteCode,
		Address: r.address(), Limited: h.RateLimits}
	offered, bad := offeredKey("/encryptionRecipient", in.EncryptionRecipient)
	if err := market.Invalid(append(reg.Clean(), bad...)); err != nil {
		return answer{}, err
	}
	ctx := r.ctx()
	account, apiKey, err := h.Store.RegisterAgent(ctx, reg, offered.OfferedKey)
	if err != nil {
		return answer{}, err
	}
	wallet, err := h.Store.Wallet(ctx, account.ID)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated, location: "/api/v1/accounts/" + account.Handle, json: registeredJSON{showAccountJSON(account, market.Reputation{}), account.State, apiKey, walletShape(wallet), offered.shape(account.CreatedAt)}}, nil
}

func (h *Handlers) showAccount(r *request) (answer, error) {
	handle := r.echo.Param("handle")
	if !market.ValidHandle(handle) {
		return answer{}, market.ErrNotFound
	}
	a, err := h.Store.AccountByHandle(r.ctx(), handle)
	if err != nil {
		return answer{}, err
	}
	rep, err := h.Store.Reputation(r.ctx(), a.ID)
	if err != nil {
		return answer{}, err
	}
	return answer{json: showAccountJSON(a, rep), tagged: true, page: func(ctx context.Context) (views.Screen, error) {
		open, err := h.Store.OpenTasks(ctx, market.Filter{Publisher: handle, Sort: market.SortNewest, Limit: 10})
		return views.Profile(ctx, views.ProfileView{Account: a, Reputation: rep, Open: open, Now: time.Now()}), err
	}}, nil
}

func (h *Handlers) showMe(r *request) (answer, error) {
	a, err := h.Store.Account(r.ctx(), r.actor.Account)
	if err != nil {
		return answer{}, err
	}
	me, err := h.me(r, a)
	return answer{json: me, tagged: true}, err
}

// meJSON is an account as itself sees it.
type meJSON struct {
	accountJSON
	// State says whether the account may act, StateReason why it may not.
	State       market.AccountState `json:"state"`
	StateReason string              `json:"stateReason,omitempty"`
	Claims      holdingsJSON        `json:"claims"`
	// Bundle is the one that the request acts through, if it does.
	Bundle *handoffJSON `json:"bundle,omitempty"`
	// Paused says that the manager has stopped it for now, PausedBy who that is.
	Paused   bool   `json:"paused"`
	PausedBy string `json:"pausedBy,omitempty"`
	// Binding is by whom the agent is managed, null if by nobody.
	Binding        *bindingJSON `json:"binding"`
	PendingActions []stepJSON   `json:"pendingActions"`
}

func (h *Handlers) me(r *request, a market.Account) (meJSON, error) {
	rep, err := h.Store.Reputation(r.ctx(), a.ID)
	if err != nil {
		return meJSON{}, err
	}
	w, err := h.Store.Workload(r.ctx(), a.ID)
	if err != nil {
		return meJSON{}, err
	}
	bundle, err := h.bundleOf(r)
	if err != nil {
		return meJSON{}, err
	}
	out := meJSON{accountJSON: showAccountJSON(a, rep), State: a.State, StateReason: a.StateReason, Claims: holdingsJSON{w.Live, w.Limit(), w.PausedUntil(time.Now())}, Bundle: bundle}
	if bundle != nil {
		out.StateReason = "" // the owner's to know
	}
	b, err := h.Store.BindingOf(r.ctx(), a.ID)
	if err != nil {
		return meJSON{}, err
	}
	if b != nil {
		out.Binding = new(bindingShape(*b))
		if out.Paused = b.PausedAt != nil; out.Paused {
			out.PausedBy = b.Manager
		}
	}
	out.PendingActions, err = h.nextSteps(r.ctx(), a)
	return out, err
}

type profileInput struct {
	DisplayName *string   `json:"displayName"`
	Description *string   `json:"description"`
	Skills      *[]string `json:"skills"`
}

func (h *Handlers) updateMe(r *request) (answer, error) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		return h.settings(ctx, r, views.Form{Values: r.form, Problem: &p})
	}
	var in profileInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	f := market.Profile{DisplayName: in.DisplayName, Description: in.Description, Skills: in.Skills}
	if r.form != nil { // a person has no skills, and an emptied field is meant
		f.Skills = nil
		f.DisplayName, f.Description = new(r.form.Get("displayName")), new(strings.ReplaceAll(r.form.Get("description"), "\r\n", "\n"))
	}
	if err := r.invalid(f.Clean()); err != nil {
		return answer{}, err
	}
	a, err := h.Store.UpdateProfile(r.ctx(), r.caller(nil), f)
	if err != nil {
		return answer{}, err
	}
	me, err := h.me(r, a)
	return answer{json: me, to: "/settings", flash: views.Message{ID: "flash.profile_changed"}}, err
}

func (h *Handlers) showWallet(r *request) (answer, error) {
	f, err := entryFilter(r)
	if err != nil {
		return answer{}, err
	}
	w, err := h.Store.Wallet(r.ctx(), r.actor.Account)
	if err != nil {
		return answer{}, err
	}
	held, err := h.Store.Holding(r.ctx(), r.actor.Account, maxHeld)
	return answer{json: walletShape(w).withHeld(held), page: func(ctx context.Context) (views.Screen, error) {
		v, err := h.walletView(ctx, r, w, f)
		v.Held = held
		return views.Wallet(ctx, v), err
	}}, err
}

// walletView is the wallet with a page of its ledger and the form for vouchers.
func (h *Handlers) walletView(ctx context.Context, r *request, w market.Wallet, f market.EntryFilter) (views.WalletView, error) {
	found, lines, err := h.entries(ctx, r, f)
	return views.WalletView{Wallet: w, Kind: f.Kind, Entries: lines, Next: text(found.NextCursor), Later: f.Before != 0,
		Voucher: views.Form{Once: newRequestID()}, Now: time.Now()}, err
}

func (h *Handlers) listEntries(r *request) (answer, error) {
	f, err := entryFilter(r)
	if err != nil {
		return answer{}, err
	}
	found, _, err := h.entries(r.ctx(), r, f)
	return answer{json: found}, err
}

// entryFilter reads which ledger lines are asked for.
func entryFilter(r *request) (market.EntryFilter, error) {
	q := query{r: r}
	var before struct {
		ID int64 `json:"id"`
	}
	f := market.EntryFilter{Limit: q.limit()}
	kinds := []string{}
	for _, k := range market.WalletKinds() {
		kinds = append(kinds, string(k))
	}
	f.Kind = market.TransferKind(q.choice("kind", "", kinds...))
	q.cursor(&before)
	f.Before = before.ID
	return f, market.Invalid(q.bad)
}

// entries is a page of the caller's ledger, as a list and as its lines.
func (h *Handlers) entries(ctx context.Context, r *request, f market.EntryFilter) (list[entryJSON], []market.Entry, error) {
	limit := f.Limit
	f.Limit++
	lines, err := h.Store.Entries(ctx, r.actor.Account, f)
	found := page(lines, limit, entryShape, func(e market.Entry) any { return map[string]int64{"id": e.ID} })
	return found, lines[:len(found.Items)], err
}

// maxDownload bounds the lines of a downloaded ledger: the newest.
const maxDownload = 50_000

// downloadEntries is the caller's ledger as a spreadsheet.
func (h *Handlers) downloadEntries(r *request) (answer, error) {
	f, err := entryFilter(r)
	if err != nil {
		return answer{}, err
	}
	f.Limit, f.Before = maxDownload, 0
	lines, err := h.Store.Entries(r.ctx(), r.actor.Account, f)
	if err != nil {
		return answer{}, err
	}
	var b bytes.Buffer
	out := csv.NewWriter(&b)
	_ = out.Write([]string{"id", "at", "kind", "class", "amount", "balanceAfter", "taskId", "counterparty", "note"}) // a buffer takes all
	for _, e := range lines {
		balance := ""
		if e.BalanceAfter != nil {
			balance = strconv.FormatInt(int64(*e.BalanceAfter), 10)
		}
		_ = out.Write([]string{strconv.FormatInt(e.ID, 10), e.At.Format(time.RFC3339Nano), string(e.Kind), string(e.Class),
			strconv.FormatInt(int64(e.Amount), 10), balance, string(e.Task), e.Counterparty, e.Note})
	}
	out.Flush()
	return answer{file: &file{name: "guildhall-ledger.csv", contentType: "text/csv; charset=utf-8", body: b.Bytes()}}, nil
}
