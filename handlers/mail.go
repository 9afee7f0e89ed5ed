package handlers

import (
	"context"
	"net/url"
	"strings"
	"time"

	"guildhall/market"
	"guildhall/views"
)

// sessionReset is the token of a link for a new password, as long as its form
// is open: it does not stay in the address.
const sessionReset = "reset"

// askedAtOnce bounds the links that are made at the same time.
const askedAtOnce = 16

// askForReset shows the form for a forgotten password.
func (h *Handlers) askForReset(*request) (answer, error) {
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		return views.Forgot(ctx, views.ForgotView{Mails: h.Store.Mails()}), nil
	}}, nil
}

type addressInput struct {
	Email string `json:"email"`
}

// sendReset sends a link for a new password. Whether the address has an account
// is seen neither in the answer nor in how long it takes: the link is made
// afterwards.
func (h *Handlers) sendReset(r *request) (answer, error) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		return views.Forgot(ctx, views.ForgotView{Mails: h.Store.Mails(), Form: views.Form{Values: r.form, Problem: &p}}), nil
	}
	var in addressInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	if err := r.invalid(market.CheckAddress("/email", &in.Email)); err != nil {
		return answer{}, err
	}
	if err := h.throttle(r, h.addresses, h.links, strings.ToLower(in.Email)); err != nil {
		return answer{}, err
	}
	if h.Store.Mails() {
		from := r.origin() // the request is over by then
		h.afterwards(r, func(ctx context.Context) error { return h.Store.AskForReset(ctx, in.Email, from) })
	}
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		return views.Forgot(ctx, views.ForgotView{Mails: h.Store.Mails(), Sent: true, Form: views.Form{Values: r.form}}), nil
	}}, nil
}

// afterwards does what the answer must not wait for. If too much is under way
// it is left out: the visitor asks again.
func (h *Handlers) afterwards(r *request, do func(context.Context) error) {
	select {
	case h.asking <- struct{}{}:
	default:
		h.Logger.Warn("too many links are asked for at once")
		return
	}
	ctx := context.WithoutCancel(r.ctx())
	go func() {
		defer func() { <-h.asking }()
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if err := do(ctx); err != nil {
			h.Logger.Error("a link was not made", "error", err)
		}
	}()
}

// showReset shows the form for a new password to who has a link. The link's
// token moves into the session first, and out of the address.
func (h *Handlers) showReset(r *request) (answer, error) {
	if token := r.echo.QueryParam("token"); token != "" {
		h.sessions.Put(r.ctx(), sessionReset, token)
		return answer{to: "/reset"}, nil
	}
	return answer{page: func(ctx context.Context) (views.Screen, error) { return h.resetScreen(ctx, views.Form{}) }}, nil
}

func (h *Handlers) resetScreen(ctx context.Context, f views.Form) (views.Screen, error) {
	owner, err := h.Store.ResetOwner(ctx, h.sessions.GetString(ctx, sessionReset))
	return views.Reset(ctx, views.ResetView{Form: f, Handle: owner.Handle}), err
}

type resetInput struct {
	New string `json:"newPassword"`
}

// reset sets the new password. Who did it is not logged in by that: a second
// factor stays needed.
func (h *Handlers) reset(r *request) (answer, error) {
	ctx := r.ctx()
	token := h.sessions.GetString(ctx, sessionReset)
	owner, err := h.Store.ResetOwner(ctx, token)
	if err != nil {
		return answer{}, err
	}
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		return h.resetScreen(ctx, views.Form{Problem: &p})
	}
	var in resetInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	if err := r.invalid(market.CheckPassword("/newPassword", in.New, owner.Handle)); err != nil {
		return answer{}, err
	}
	if err := h.throttle(r, h.addresses, h.logins, string(owner.Account)); err != nil {
		return answer{}, err
	}
	hash, err := h.hash(ctx, in.New)
	if err != nil {
		return answer{}, err
	}
	if err := h.Store.Reset(ctx, token, hash, r.origin()); err != nil {
		return answer{}, err
	}
	if err := h.sessions.Destroy(ctx); err != nil {
		return answer{}, err
	}
	return answer{to: "/login", flash: views.Message{ID: "flash.password_reset"}}, nil
}

// showVerify asks who came by a link to say that the address is theirs: a
// mail program that looks at links changes nothing.
func (h *Handlers) showVerify(r *request) (answer, error) {
	token := r.echo.QueryParam("token")
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		return views.Verify(ctx, views.Form{Values: url.Values{"token": {token}}}), nil
	}}, nil
}

type tokenInput struct {
	Token string `json:"token"`
}

// verify takes the proof that the visitor reads mail to an address.
func (h *Handlers) verify(r *request) (answer, error) {
	var in tokenInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	err := h.Store.Verify(r.ctx(), r.by, in.Token, r.origin())
	return answer{to: securityPath, flash: views.Message{ID: "flash.address_verified"}}, err
}

// changeAddress asks for a proof of the visitor's new address, which takes the
// place of the old one afterwards; where no mail is sent, at once.
func (h *Handlers) changeAddress(r *request) (answer, error) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		return h.security(ctx, r, "email", views.Form{Values: r.form, Problem: &p})
	}
	var in addressInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	if err := r.invalid(market.CheckAddress("/email", &in.Email)); err != nil {
		return answer{}, err
	}
	if err := h.throttle(r, h.addresses, h.links, string(r.actor.Account)); err != nil {
		return answer{}, err
	}
	if err := h.Store.AskToVerify(r.ctx(), r.by, in.Email, r.origin()); err != nil {
		return answer{}, atField(err)
	}
	message := "flash.address_changed"
	if h.Store.Mails() {
		message = "flash.address_asked"
	}
	return answer{to: securityPath, flash: views.Message{ID: message}}, nil
}

// askToVerify sends a link to the visitor's own address again.
func (h *Handlers) askToVerify(r *request) (answer, error) {
	if !h.Store.Mails() {
		return answer{}, market.ErrNotFound
	}
	if err := h.throttle(r, h.addresses, h.links, string(r.actor.Account)); err != nil {
		return answer{}, err
	}
	login, err := h.Store.OwnLogin(r.ctx(), r.actor.Account)
	if err != nil {
		return answer{}, err
	}
	err = h.Store.AskToVerify(r.ctx(), r.by, login.Email, r.origin())
	return answer{to: securityPath, flash: views.Message{ID: "flash.address_asked"}}, err
}
