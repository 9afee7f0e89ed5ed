package handlers

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"guildhall/market"
	"guildhall/views"
)

// confirmPath is where the visitor proves again to be the account's owner.
const confirmPath = "/confirm"

// askToConfirm shows the form of a proof to a visitor whose last one is too
// old for a fresh route. What was typed into a form goes along, secrets do not.
func (h *Handlers) askToConfirm(r *request) error {
	req := r.echo.Request()
	if req.Method == http.MethodGet || req.Method == http.MethodHead {
		r.echo.Response().Header().Set("Cache-Control", "no-store")
		return r.echo.Redirect(http.StatusSeeOther, confirmPath+"?"+url.Values{"next": {req.URL.RequestURI()}}.Encode())
	}
	values := url.Values{"next": {refererPath(req)}, "resume": {r.carried()}}
	screen, err := h.confirmScreen(r.ctx(), r, views.Form{Values: values})
	if err != nil {
		return err
	}
	return h.render(r, http.StatusForbidden, screen)
}

// confirmScreen asks for one of the proofs that the account has.
func (h *Handlers) confirmScreen(ctx context.Context, r *request, f views.Form) (views.Screen, error) {
	login, err := h.Store.OwnLogin(ctx, r.actor.Account)
	if err != nil {
		return views.Screen{}, err
	}
	keys, err := h.Store.Passkeys(ctx, r.actor.Account)
	return views.Confirm(ctx, views.ConfirmView{Form: f, TwoSteps: login.TwoSteps, Passkey: h.webauthn != nil && len(keys) > 0}), err
}

// secretFields are those that no page repeats.
var secretFields = []string{"password", "currentPassword", "newPassword", "totp", "credential", "csv", "picture"}

// carried is the form that was sent, without its secrets, as a field of another.
func (r *request) carried() string {
	for _, secret := range secretFields {
		r.form.Del(secret)
	}
	return writeResume(views.ResumeForm{Action: r.echo.Request().URL.Path, Fields: r.form})
}

// showConfirm shows the form of a proof.
func (h *Handlers) showConfirm(r *request) (answer, error) {
	values := url.Values{"next": {r.echo.QueryParam("next")}}
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		return h.confirmScreen(ctx, r, views.Form{Values: values})
	}}, nil
}

type confirmInput struct {
	Password string `json:"password"`
	TOTP     string `json:"totp"`
}

// confirm takes a proof that the visitor is the account's owner, the password
// or a code, and goes on where it was asked for.
func (h *Handlers) confirm(r *request) (answer, error) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		r.form.Del("password")
		r.form.Del("totp")
		return h.confirmScreen(ctx, r, views.Form{Values: r.form, Problem: &p})
	}
	var in confirmInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	var err error
	if in.TOTP != "" && in.Password == "" {
		err = h.checkCode(r, r.actor.Account, in.TOTP)
	} else {
		err = h.provePassword(r, in.Password)
	}
	if err != nil {
		return answer{}, err
	}
	return h.proven(r)
}

// proven notes the proof under a fresh token, and goes on where it was asked
// for.
func (h *Handlers) proven(r *request) (answer, error) {
	ctx := r.ctx()
	if err := h.Store.ProveSession(ctx, r.session.ID); err != nil {
		return answer{}, err
	}
	if err := h.sessions.RenewToken(ctx); err != nil {
		return answer{}, err
	}
	if form, ok := readResume(r.form.Get("resume")); ok {
		return answer{page: func(ctx context.Context) (views.Screen, error) { return views.ResumeProven(ctx, form), nil }}, nil
	}
	return answer{to: localPath(r.form.Get("next"))}, nil
}

// provePassword refuses a password that is not the visitor's.
func (h *Handlers) provePassword(r *request, password string) error {
	if err := h.throttle(r, h.addresses, h.logins, string(r.actor.Account)); err != nil {
		return err
	}
	if len(password) > 4*market.MaxPassword {
		return market.Field("/password", "password_wrong", nil)
	}
	login, err := h.Store.OwnLogin(r.ctx(), r.actor.Account)
	if err != nil {
		return err
	}
	ok, err := h.compare(r.ctx(), password, login.Hash)
	if err == nil && !ok {
		err = market.Field("/password", "password_wrong", nil)
	}
	return err
}

// stale says that the route needs a newer proof of who uses the session.
func (r *request) stale(rt route) bool { return rt.fresh && !r.session.Proven(time.Now()) }
