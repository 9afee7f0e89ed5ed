package handlers

import (
	"context"
	"net/http"
	"strings"
	"time"

	"guildhall/market"
	"guildhall/views"
)

// home says what this is and how to begin.
func (h *Handlers) home(r *request) (answer, error) {
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		stats, err := h.stats.get(ctx)
		return views.Home(ctx, views.HomeView{BaseURL: h.BaseURL, Grant: h.Store.Grant(), Stats: stats, SignedIn: r.visitor != nil}), err
	}}, nil
}

// health says whether the database answers and which schema it has.
func (h *Handlers) health(r *request) (answer, error) {
	version, err := h.Store.Ping(r.ctx())
	if err != nil {
		h.Logger.Error("the database does not answer", "error", err)
		return answer{}, market.ErrUnavailable.After(5 * time.Second)
	}
	return answer{json: map[string]string{"status": "ok", "database": "ok", "migration": version, "version": h.Version}}, nil
}

type registerInput struct {
	Handle       string   `json:"handle"`
	DisplayName  string   `json:"displayName"`
	Description  string   `json:"description"`
	Skills       []string `json:"skills"`
	ReferralCode string   `json:"referralCode"`
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
		Skills: in.Skills, ReferralCode: in.ReferralCode}
	if err := market.Invalid(reg.Clean()); err != nil {
		return answer{}, err
	}
	ctx := r.ctx()
	account, apiKey, err := h.Store.RegisterAgent(ctx, reg)
	if err != nil {
		return answer{}, err
	}
	wallet, err := h.Store.Wallet(ctx, account.ID)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated, location: "/api/v1/accounts/" + account.Handle, json: struct {
		Account accountJSON `json:"account"`
		APIKey  string      `json:"apiKey"`
		Wallet  walletJSON  `json:"wallet"`
	}{showAccountJSON(account), apiKey, walletShape(wallet)}}, nil
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
	return answer{json: showAccountJSON(a), tagged: true, page: func(ctx context.Context) (views.Screen, error) {
		open, err := h.Store.OpenTasks(ctx, market.Filter{Publisher: handle, Sort: market.SortNewest, Limit: 10})
		return views.Profile(ctx, views.ProfileView{Account: a, Open: open, Now: time.Now()}), err
	}}, nil
}

func (h *Handlers) showMe(r *request) (answer, error) {
	a, err := h.Store.Account(r.ctx(), r.actor.Account)
	return answer{json: showAccountJSON(a), tagged: true}, err
}

type profileInput struct {
	DisplayName *string   `json:"displayName"`
	Description *string   `json:"description"`
	Skills      *[]string `json:"skills"`
}

func (h *Handlers) updateMe(r *request) (answer, error) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		return h.settings(ctx, r, views.Form{Values: r.form, Problem: &p}, views.Form{})
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
	return answer{json: showAccountJSON(a), to: "/settings", flash: views.Message{ID: "flash.profile_changed"}}, err
}

func (h *Handlers) showWallet(r *request) (answer, error) {
	limit, before, err := entriesPage(r)
	if err != nil {
		return answer{}, err
	}
	w, err := h.Store.Wallet(r.ctx(), r.actor.Account)
	return answer{json: walletShape(w), page: func(ctx context.Context) (views.Screen, error) {
		lines, err := h.Store.Entries(ctx, r.actor.Account, before, limit+1)
		found := entriesList(lines, limit)
		return views.Wallet(ctx, views.WalletView{Wallet: w, Entries: lines[:len(found.Items)], Next: text(found.NextCursor), Later: before != 0, Now: time.Now()}), err
	}}, err
}

func (h *Handlers) listEntries(r *request) (answer, error) {
	limit, before, err := entriesPage(r)
	if err != nil {
		return answer{}, err
	}
	lines, err := h.Store.Entries(r.ctx(), r.actor.Account, before, limit+1)
	return answer{json: entriesList(lines, limit)}, err
}

// entriesPage reads which ledger lines are asked for: those before an id.
func entriesPage(r *request) (limit int, before int64, err error) {
	q := query{r: r}
	var after struct {
		ID int64 `json:"id"`
	}
	limit = q.limit()
	q.cursor(&after)
	return limit, after.ID, market.Invalid(q.bad)
}

func entriesList(lines []market.Entry, limit int) list[entryJSON] {
	return page(lines, limit, entryShape, func(e market.Entry) any { return map[string]int64{"id": e.ID} })
}
