package handlers

import (
	"context"
	"errors"
	"net/url"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/views"
)

// What a session holds between the two steps of a log-in: who gave the right
// password, in which epoch, and when. It opens nothing.
const (
	halfAccount = "halfAccount"
	halfEpoch   = "halfEpoch"
	halfAt      = "halfAt"
)

// halfLife is how long the second step may take.
const halfLife = 10 * time.Minute

// askForCode remembers, under a fresh token, who gave the right password, and
// shows the form of the second step.
func (h *Handlers) askForCode(r *request, login store.Login) (answer, error) {
	ctx := r.ctx()
	if err := h.sessions.RenewToken(ctx); err != nil {
		return answer{}, err
	}
	h.sessions.Put(ctx, halfAccount, string(login.Account))
	h.sessions.Put(ctx, halfEpoch, login.Epoch)
	h.sessions.Put(ctx, halfAt, time.Now().UnixMicro())
	f := views.Form{Values: url.Values{"next": {r.form.Get("next")}, "resume": {r.form.Get("resume")}}}
	return answer{page: func(ctx context.Context) (views.Screen, error) { return views.LogInCode(ctx, f), nil }}, nil
}

// half is who is between the two steps of a log-in. It returns market.ErrLogin
// if nobody is, or it took too long, or the password was changed meanwhile.
func (h *Handlers) half(ctx context.Context) (store.Login, error) {
	id := market.AccountID(h.sessions.GetString(ctx, halfAccount))
	if id == "" || time.Since(time.UnixMicro(h.sessions.GetInt64(ctx, halfAt))) > halfLife {
		return store.Login{}, market.ErrLogin
	}
	login, err := h.Store.OwnLogin(ctx, id)
	if err == nil && login.Epoch != h.sessions.GetInt64(ctx, halfEpoch) {
		err = market.ErrLogin
	}
	return login, err
}

type codeInput struct {
	TOTP string `json:"totp"`
}

// logInCode is the second step of a log-in.
func (h *Handlers) logInCode(r *request) (answer, error) {
	ctx := r.ctx()
	login, err := h.half(ctx)
	if errors.Is(err, market.ErrLogin) {
		return answer{to: "/login?" + url.Values{"next": {localPath(r.form.Get("next"))}}.Encode(), flash: views.Message{ID: "flash.login_again"}}, nil
	} else if err != nil {
		return answer{}, err
	}
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		r.form.Del("totp")
		return views.LogInCode(ctx, views.Form{Values: r.form, Problem: &p}), nil
	}
	var in codeInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	if err := h.checkCode(r, login.Account, in.TOTP); err != nil {
		return answer{}, err
	}
	return h.enter(r, login)
}

// checkCode takes a code of the account's second factor, a few in a while.
func (h *Handlers) checkCode(r *request, id market.AccountID, typed string) error {
	if err := h.throttle(r, h.addresses, h.codes, string(id)); err != nil {
		return err
	}
	if len(typed) > 100 || !market.ValidText(typed) {
		return market.CodeWrong()
	}
	err := h.Store.CheckSecondFactor(r.ctx(), id, typed, r.origin())
	if errors.Is(err, market.ErrNotFound) { // switched off meanwhile
		err = market.CodeWrong()
	}
	return err
}

// beginTOTP makes the secret for an app.
func (h *Handlers) beginTOTP(r *request) (answer, error) {
	err := h.Store.BeginTOTP(r.ctx(), r.by)
	return answer{to: securityPath + "/totp"}, err
}

// showTOTP shows the secret that waits for its first code.
func (h *Handlers) showTOTP(r *request) (answer, error) {
	return answer{page: func(ctx context.Context) (views.Screen, error) { return h.enrol(ctx, r, views.Form{}) }}, nil
}

func (h *Handlers) enrol(ctx context.Context, r *request, f views.Form) (views.Screen, error) {
	secret, err := h.Store.PendingTOTP(ctx, r.actor.Account)
	if err != nil {
		return views.Screen{}, err
	}
	site := h.BaseURL
	if u, err := url.Parse(h.BaseURL); err == nil && u.Host != "" {
		site = u.Host
	}
	qr, err := views.EnrolQR(site, r.actor.Handle, secret)
	return views.EnrolTOTP(ctx, views.EnrolView{Form: f, Secret: secret, QR: qr}), err
}

// enableTOTP switches the second factor on and shows the recovery codes.
func (h *Handlers) enableTOTP(r *request) (answer, error) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		return h.enrol(ctx, r, views.Form{Problem: &p})
	}
	var in codeInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	if err := h.throttle(r, h.addresses, h.codes, string(r.actor.Account)); err != nil {
		return answer{}, err
	}
	code, ok := market.TOTPCode(in.TOTP)
	if !ok {
		return answer{}, market.CodeWrong()
	}
	codes, err := h.Store.EnableTOTP(r.ctx(), r.by, code, r.origin())
	return recoveryAnswer(codes), err
}

func recoveryAnswer(codes []string) answer {
	return answer{page: func(ctx context.Context) (views.Screen, error) { return views.RecoveryCodes(ctx, codes), nil }}
}

// renewRecovery shows fresh recovery codes.
func (h *Handlers) renewRecovery(r *request) (answer, error) {
	codes, err := h.Store.RenewRecoveryCodes(r.ctx(), r.by, r.origin())
	return recoveryAnswer(codes), err
}

// disableTOTP switches the second factor off.
func (h *Handlers) disableTOTP(r *request) (answer, error) {
	err := h.Store.DisableTOTP(r.ctx(), r.by, r.origin())
	return answer{to: securityPath, flash: views.Message{ID: "flash.totp_disabled"}}, err
}
