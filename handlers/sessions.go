package handlers

import (
	"context"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/views"
)

// sessionID is what the cookie's session holds: the id of the account's.
const sessionID = "session"

const securityPath = "/settings/security"

// maxActivity bounds the security activity that is shown.
const maxActivity = 20

// origin is where the request comes from.
func (r *request) origin() store.Origin {
	return store.Origin{From: r.address(), Agent: cleanAgent(r.echo.Request().UserAgent()), Lang: views.Language(r.ctx())}
}

// cleanAgent is the browser's name without what is no text.
func cleanAgent(s string) string {
	if !market.ValidText(s) {
		return ""
	}
	return s
}

// beginSession gives who was let in a fresh session, never one that was there.
func (h *Handlers) beginSession(r *request, login store.Login) error {
	ctx := r.ctx()
	if old := h.sessions.GetString(ctx, sessionID); old != "" {
		if err := h.Store.LeaveSession(ctx, market.SessionID(old)); err != nil {
			return err
		}
	}
	id, err := h.Store.BeginSession(ctx, login, r.origin())
	if err != nil {
		return err
	}
	if err := h.sessions.RenewToken(ctx); err != nil {
		return err
	}
	if err := h.sessions.Clear(ctx); err != nil {
		return err
	}
	h.sessions.Put(ctx, sessionID, string(id))
	return nil
}

// goesOn says whether the session that a stream was opened with still lets its
// visitor look: one that was ended, or whose account was suspended, does not.
func (h *Handlers) goesOn(ctx context.Context, r *request) error {
	if r.session.ID == "" {
		return nil
	}
	_, err := h.Store.Visitor(ctx, r.session.ID)
	return err
}

// showSecurity shows how the visitor's account is protected.
func (h *Handlers) showSecurity(r *request) (answer, error) {
	return answer{page: func(ctx context.Context) (views.Screen, error) { return h.security(ctx, r, "", views.Form{}) }}, nil
}

// security is the screen with the form that was refused, "" for none.
func (h *Handlers) security(ctx context.Context, r *request, refused string, f views.Form) (views.Screen, error) {
	v := views.SecurityView{Me: r.session.ID, Refused: refused, Form: f, Now: time.Now()}
	var err error
	if v.Sessions, err = h.Store.Sessions(ctx, r.actor.Account); err != nil {
		return views.Screen{}, err
	}
	if v.Factor, err = h.Store.SecondFactor(ctx, r.actor.Account); err != nil {
		return views.Screen{}, err
	}
	if v.Address, err = h.Store.Address(ctx, r.actor.Account); err != nil {
		return views.Screen{}, err
	}
	if v.Passkeys, err = h.Store.Passkeys(ctx, r.actor.Account); err != nil {
		return views.Screen{}, err
	}
	v.Mails, v.PasskeysOn = h.Store.Mails(), h.webauthn != nil
	v.Activity, err = h.Store.SecurityLog(ctx, r.actor.Account, maxActivity)
	return views.Security(ctx, v), err
}

// endSession ends another of the visitor's browser sessions, or this one.
func (h *Handlers) endSession(r *request) (answer, error) {
	id, err := pathID[market.SessionID](r, "sid")
	if err != nil {
		return answer{}, err
	}
	if err := h.Store.EndSession(r.ctx(), r.by, id, r.origin()); err != nil {
		return answer{}, err
	}
	return answer{to: securityPath, flash: views.Message{ID: "flash.session_ended"}}, nil
}

// endOtherSessions ends all of the visitor's browser sessions but this one.
func (h *Handlers) endOtherSessions(r *request) (answer, error) {
	err := h.Store.EndOtherSessions(r.ctx(), r.by, r.session.ID, r.origin())
	return answer{to: securityPath, flash: views.Message{ID: "flash.sessions_ended"}}, err
}
