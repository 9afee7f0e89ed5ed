package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/url"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"guildhall/market"
	"guildhall/store"
	"guildhall/views"
)

// sessionPasskey is what a passkey was asked to sign, and by whom it may be.
const sessionPasskey = "passkey"

// newWebAuthn knows the site as browsers do. It is nil where they offer no
// passkeys: without TLS, except on this machine, or without a name.
func newWebAuthn(baseURL string) *webauthn.WebAuthn {
	u, err := url.Parse(baseURL)
	if err != nil || net.ParseIP(u.Hostname()) != nil || u.Scheme != "https" && u.Hostname() != "localhost" {
		return nil
	}
	w, err := webauthn.New(&webauthn.Config{RPID: u.Hostname(), RPDisplayName: "Guildhall", RPOrigins: []string{u.Scheme + "://" + u.Host},
		AttestationPreference:  protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationRequired}})
	if err != nil {
		return nil
	}
	return w
}

// owner is an account as the protocol sees it: by its id alone, for names are
// shown to whoever holds the device.
type owner struct {
	id       market.AccountID
	handle   string
	passkeys []market.Passkey
}

func (o owner) WebAuthnID() []byte          { return []byte(o.id) }
func (o owner) WebAuthnName() string        { return o.handle }
func (o owner) WebAuthnDisplayName() string { return o.handle }

func (o owner) WebAuthnCredentials() []webauthn.Credential {
	var out []webauthn.Credential
	for _, p := range o.passkeys {
		var c webauthn.Credential
		if json.Unmarshal(p.Record, &c) == nil { // written by us
			out = append(out, c)
		}
	}
	return out
}

// passkey is the one with the credential's id.
func (o owner) passkey(credential []byte) (market.Passkey, bool) {
	for _, p := range o.passkeys {
		if bytes.Equal(p.Credential, credential) {
			return p, true
		}
	}
	return market.Passkey{}, false
}

// asked keeps what a passkey is asked to sign, in the session and as good for
// one answer, and returns the options as the browser takes them.
func (h *Handlers) asked(ctx context.Context, options any, session *webauthn.SessionData) (string, error) {
	if err := h.Store.KeepChallenge(ctx, session.Challenge); err != nil {
		return "", err
	}
	kept, err := json.Marshal(session)
	if err != nil {
		return "", err
	}
	h.sessions.Put(ctx, sessionPasskey, string(kept))
	text, err := json.Marshal(options)
	return string(text), err
}

// answered is what the passkey was asked to sign, which no other answer can be
// to.
func (h *Handlers) answered(ctx context.Context) (webauthn.SessionData, error) {
	var session webauthn.SessionData
	if err := json.Unmarshal([]byte(h.sessions.PopString(ctx, sessionPasskey)), &session); err != nil {
		return session, market.ErrPasskey
	}
	return session, h.Store.UseChallenge(ctx, session.Challenge)
}

// refusedPasskey hides what exactly was wrong with an answer from who sent it.
func (h *Handlers) refusedPasskey(err error) error {
	var known *market.Error
	if errors.As(err, &known) {
		return err
	}
	h.Logger.Info("a passkey was refused", "error", err)
	return market.ErrPasskey
}

func (h *Handlers) ownerOf(ctx context.Context, id market.AccountID, handle string) (owner, error) {
	keys, err := h.Store.Passkeys(ctx, id)
	return owner{id, handle, keys}, err
}

// beginPasskey asks the visitor's device for a new passkey.
func (h *Handlers) beginPasskey(r *request) (answer, error) {
	return h.newPasskey(r, views.Form{})
}

func (h *Handlers) newPasskey(r *request, f views.Form) (answer, error) {
	if h.webauthn == nil {
		return answer{}, market.ErrPasskeysOff
	}
	ctx := r.ctx()
	me, err := h.ownerOf(ctx, r.actor.Account, r.actor.Handle)
	if err != nil {
		return answer{}, err
	}
	options, session, err := h.webauthn.BeginRegistration(me, webauthn.WithExclusions(webauthn.Credentials(me.WebAuthnCredentials()).CredentialDescriptors()))
	if err != nil {
		return answer{}, err
	}
	text, err := h.asked(ctx, options.Response, session)
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		return views.NewPasskey(ctx, views.PasskeyView{Form: f, Options: text}), nil
	}}, err
}

type passkeyInput struct {
	Name string `json:"name"`
	// Credential is the device's answer, as its browser writes it.
	Credential string `json:"credential"`
}

// addPasskey keeps a new passkey.
func (h *Handlers) addPasskey(r *request) (answer, error) {
	if h.webauthn == nil {
		return answer{}, market.ErrPasskeysOff
	}
	ctx := r.ctx()
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		a, err := h.newPasskey(r, views.Form{Values: url.Values{"name": {r.form.Get("name")}}, Problem: &p})
		if err != nil {
			return views.Screen{}, err
		}
		return a.page(ctx)
	}
	var in passkeyInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	if err := r.invalid(market.CleanPasskeyName(&in.Name)); err != nil {
		return answer{}, err
	}
	session, err := h.answered(ctx)
	if err != nil {
		return answer{}, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes([]byte(in.Credential))
	if err != nil {
		return answer{}, h.refusedPasskey(err)
	}
	c, err := h.webauthn.CreateCredential(owner{id: r.actor.Account, handle: r.actor.Handle}, session, parsed)
	if err != nil {
		return answer{}, h.refusedPasskey(err)
	}
	record, err := json.Marshal(c)
	if err != nil {
		return answer{}, err
	}
	err = h.Store.AddPasskey(ctx, r.by, market.Passkey{Name: in.Name, Credential: c.ID, Record: record, SignCount: int64(c.Authenticator.SignCount)}, r.origin())
	return answer{to: securityPath, flash: views.Message{ID: "flash.passkey_added"}}, err
}

// removePasskey forgets a passkey of the visitor.
func (h *Handlers) removePasskey(r *request) (answer, error) {
	id, err := pathID[market.PasskeyID](r, "pid")
	if err != nil {
		return answer{}, err
	}
	err = h.Store.RemovePasskey(r.ctx(), r.by, id, r.origin())
	return answer{to: securityPath, flash: views.Message{ID: "flash.passkey_removed"}}, err
}

// askPasskey asks the device for a signature of any passkey of this site, and
// sends the answer to the action.
func (h *Handlers) askPasskey(r *request, action string) (answer, error) {
	if h.webauthn == nil {
		return answer{}, market.ErrPasskeysOff
	}
	if err := h.throttle(r, h.addresses, nil, ""); err != nil {
		return answer{}, err
	}
	ctx := r.ctx()
	options, session, err := h.webauthn.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return answer{}, err
	}
	text, err := h.asked(ctx, options.Response, session)
	f := views.Form{Values: url.Values{"next": {r.form.Get("next")}, "resume": {r.form.Get("resume")}}}
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		return views.AskPasskey(ctx, views.PasskeyView{Form: f, Options: text, Action: action}), nil
	}}, err
}

// signed is the log-in of the account whose passkey has signed.
func (h *Handlers) signed(r *request) (login store.Login, err error) {
	if h.webauthn == nil {
		return login, market.ErrPasskeysOff
	}
	ctx := r.ctx()
	var in passkeyInput
	if err := r.decode(&in); err != nil {
		return login, err
	}
	session, err := h.answered(ctx)
	if err != nil {
		return login, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(in.Credential))
	if err != nil {
		return login, h.refusedPasskey(err)
	}
	var used market.Passkey
	find := func(credential, handle []byte) (webauthn.User, error) {
		if !market.ValidID(string(handle)) {
			return nil, market.ErrPasskey
		}
		if login, err = h.Store.OwnLogin(ctx, market.AccountID(handle)); errors.Is(err, market.ErrNotFound) {
			return nil, market.ErrPasskey
		} else if err != nil {
			return nil, err
		}
		me, err := h.ownerOf(ctx, login.Account, login.Handle)
		used, _ = me.passkey(credential)
		return me, err
	}
	_, c, err := h.webauthn.ValidatePasskeyLogin(find, session, parsed)
	if err != nil || used.ID == "" {
		return store.Login{}, h.refusedPasskey(errors.Join(err, errUnknownPasskey(used)))
	}
	used.SignCount = int64(parsed.Response.AuthenticatorData.Counter)
	if used.Record, err = json.Marshal(c); err != nil {
		return store.Login{}, err
	}
	return login, h.Store.UsePasskey(ctx, used, r.origin())
}

func errUnknownPasskey(p market.Passkey) error {
	if p.ID == "" {
		return market.ErrPasskey
	}
	return nil
}

// askToLogInByPasskey begins a log-in with a passkey.
func (h *Handlers) askToLogInByPasskey(r *request) (answer, error) {
	return h.askPasskey(r, "/login/passkey/finish")
}

// logInByPasskey begins the session of who has the passkey: it proves two
// things, the device and who holds it, so no second step follows.
func (h *Handlers) logInByPasskey(r *request) (answer, error) {
	login, err := h.signed(r)
	if err != nil {
		return answer{}, err
	}
	return h.enter(r, login)
}

// askToConfirmByPasskey begins a proof with a passkey.
func (h *Handlers) askToConfirmByPasskey(r *request) (answer, error) {
	return h.askPasskey(r, confirmPath+"/passkey/finish")
}

// confirmByPasskey takes a signature as the proof that the visitor is the
// account's owner.
func (h *Handlers) confirmByPasskey(r *request) (answer, error) {
	login, err := h.signed(r)
	if err != nil {
		return answer{}, err
	}
	if login.Account != r.actor.Account {
		return answer{}, market.ErrPasskey
	}
	return h.proven(r)
}
