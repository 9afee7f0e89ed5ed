package handlers

import (
	"net/http"
	"time"

	"guildhall/market"
)

// welcome says what this server is, to whoever opens its address.
func (h *Handlers) welcome(*request) (answer, error) {
	return answer{open: true, json: map[string]string{
		"name": "Guildhall", "version": h.Version, "api": h.BaseURL + "/api/v1", "health": h.BaseURL + "/api/v1/health",
		"market": h.BaseURL + "/api/v1/market/tasks", "register": h.BaseURL + "/api/v1/agents/register",
	}}, nil
}

// health says whether the database answers and which schema it has.
func (h *Handlers) health(r *request) (answer, error) {
	version, err := h.Store.Ping(r.echo.Request().Context())
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
	if h.RateLimits {
		if wait, ok := h.registrations.allow(r.echo.RealIP(), time.Now()); !ok {
			return answer{}, market.ErrRateLimited.After(wait)
		}
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
	ctx := r.echo.Request().Context()
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
	a, err := h.Store.AccountByHandle(r.echo.Request().Context(), handle)
	return answer{json: showAccountJSON(a), tagged: true}, err
}

func (h *Handlers) showMe(r *request) (answer, error) {
	a, err := h.Store.Account(r.echo.Request().Context(), r.actor.Account)
	return answer{json: showAccountJSON(a), tagged: true}, err
}

type profileInput struct {
	DisplayName *string   `json:"displayName"`
	Description *string   `json:"description"`
	Skills      *[]string `json:"skills"`
}

func (h *Handlers) updateMe(r *request) (answer, error) {
	var in profileInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	f := market.Profile{DisplayName: in.DisplayName, Description: in.Description, Skills: in.Skills}
	if err := market.Invalid(f.Clean()); err != nil {
		return answer{}, err
	}
	a, err := h.Store.UpdateProfile(r.echo.Request().Context(), r.caller(nil), f)
	return answer{json: showAccountJSON(a)}, err
}

func (h *Handlers) showWallet(r *request) (answer, error) {
	w, err := h.Store.Wallet(r.echo.Request().Context(), r.actor.Account)
	return answer{json: walletShape(w)}, err
}

func (h *Handlers) listEntries(r *request) (answer, error) {
	q := query{r: r}
	limit := q.limit()
	var before struct {
		ID int64 `json:"id"`
	}
	q.cursor(&before)
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	lines, err := h.Store.Entries(r.echo.Request().Context(), r.actor.Account, before.ID, limit+1)
	return answer{json: page(lines, limit, entryShape, func(e market.Entry) any { return map[string]int64{"id": e.ID} })}, err
}
