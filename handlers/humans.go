package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/alexedwards/argon2id"

	"guildhall/market"
	"guildhall/store"
	"guildhall/views"
)

// hashesAtOnce bounds the memory that hashing passwords may take.
const hashesAtOnce = 2

// hashing is what OWASP recommends for argon2id.
var hashing = &argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// nobody is the hash that a log-in with an unknown address is compared with,
// so that it takes as long as any other.
const nobody = "$argon2id$v=19$m=19456,t=2,p=1$YXNkZmFzZGZhc2RmYXNkZg$MMFzrjhNR79SZ5ZvrRgCRYBXZCWqXQ4qDTRBkEFyDO0"

// hash waits for its turn and hashes the password.
func (h *Handlers) hash(ctx context.Context, password string) (string, error) {
	select {
	case h.hashing <- struct{}{}:
		defer func() { <-h.hashing }()
		return argon2id.CreateHash(password, hashing)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// compare waits for its turn and reports whether the password is the hash's.
func (h *Handlers) compare(ctx context.Context, password, hash string) (bool, error) {
	select {
	case h.hashing <- struct{}{}:
		defer func() { <-h.hashing }()
		return argon2id.ComparePasswordAndHash(password, hash)
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// address is where the request comes from, as far as it can be believed.
func (r *request) address() netip.Addr {
	a, _ := netip.ParseAddr(r.echo.RealIP()) // what is no address is one name for all
	return a
}

func tooOften(wait time.Duration) error { return market.TooOften(wait) }

type humanInput struct {
	Handle       string `json:"handle"`
	DisplayName  string `json:"displayName"`
	Email        string `json:"email"`
	Password     string `json:"password"`
	ReferralCode string `json:"referralCode"`
	InviteCode   string `json:"inviteCode"`
}

// askToRegister shows the form for a new human account.
func (h *Handlers) askToRegister(r *request) (answer, error) {
	if r.visitor != nil {
		return answer{to: "/market"}, nil
	}
	if h.closed() {
		return answer{}, market.ErrRegistrationClosed
	}
	q := r.echo.QueryParams()
	form := url.Values{"referralCode": {q.Get("ref")}, "inviteCode": {q.Get("invite")}, "next": {q.Get("next")}}
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		return views.Register(ctx, h.registerView(views.Form{Values: form})), nil
	}}, nil
}

// closed says that nobody can create an account.
func (h *Handlers) closed() bool { return h.Store.Registration() == market.RegistrationClosed }

func (h *Handlers) registerView(f views.Form) views.RegisterView {
	return views.RegisterView{Form: f, Grant: h.Store.Grant(), Mode: h.Store.Registration()}
}

// registerHuman makes a human account and begins its session.
func (h *Handlers) registerHuman(r *request) (answer, error) {
	if h.closed() {
		return answer{}, market.ErrRegistrationClosed
	}
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		r.form.Del("password")
		return views.Register(ctx, h.registerView(views.Form{Values: r.form, Problem: &p})), nil
	}
	var in humanInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	reg := market.Registration{Kind: market.Human, Handle: strings.TrimSpace(in.Handle), DisplayName: in.DisplayName,
		Email: in.Email, Password: in.Password, ReferralCode: strings.TrimSpace(in.ReferralCode), InviteCode: strings.TrimSpace(in.InviteCode), Address: r.address(), Limited: h.RateLimits, Lang: views.Language(r.ctx())}
	if err := r.invalid(reg.Clean()); err != nil {
		return answer{}, err
	}
	if _, err := reg.Admit(h.Store.Registration()); err != nil {
		return answer{}, err
	}
	if err := h.throttle(r, h.registrations, nil, ""); err != nil {
		return answer{}, err
	}
	hash, err := h.hash(r.ctx(), in.Password)
	if err != nil {
		return answer{}, err
	}
	account, err := h.Store.RegisterHuman(r.ctx(), reg, hash)
	if err != nil {
		return answer{}, atField(err)
	}
	if err := h.beginSession(r, store.Login{Account: account.ID}); err != nil {
		return answer{}, err
	}
	if account.State == market.AccountPending {
		return answer{to: nextPath(r.form), flash: views.Message{ID: "flash.registered_pending", Args: map[string]any{"Handle": account.Handle}}}, nil
	}
	return answer{to: nextPath(r.form), flash: views.Message{ID: "flash.registered", Args: map[string]any{"Handle": account.Handle, "Amount": views.Number(h.Store.Grant())}}}, nil
}

// atField points refusals that are about one field at it.
func atField(err error) error {
	pointer := map[string]string{"handle_taken": "/handle", "email_taken": "/email", "referral_unknown": "/referralCode"}
	var known *market.Error
	if !errors.As(err, &known) || pointer[known.Code] == "" {
		return err
	}
	e := *known
	e.Fields = []market.FieldError{{Pointer: pointer[known.Code], Code: known.Code}}
	return &e
}

// nextPath is where a form of the log-in pages leads.
func nextPath(form url.Values) string {
	if next := localPath(form.Get("next")); next != "/" {
		return next
	}
	return "/market"
}

type loginInput struct {
	Email    string `json:"email"`
	Password string `json:"password"`
}

func (h *Handlers) logInScreen(ctx context.Context, f views.Form) views.Screen {
	return views.LogIn(ctx, views.LogInView{Form: f, Closed: h.closed(), Passkeys: h.webauthn != nil})
}

// askToLogIn shows the log-in form.
func (h *Handlers) askToLogIn(r *request) (answer, error) {
	next := r.echo.QueryParam("next")
	if r.visitor != nil {
		return answer{to: nextPath(url.Values{"next": {next}})}, nil
	}
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		return h.logInScreen(ctx, views.Form{Values: url.Values{"next": {next}}}), nil
	}}, nil
}

// logIn begins a session. An unknown address and a wrong password get the
// same answer after the same time.
func (h *Handlers) logIn(r *request) (answer, error) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		r.form.Del("password")
		return h.logInScreen(ctx, views.Form{Values: r.form, Problem: &p}), nil
	}
	var in loginInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	email := strings.TrimSpace(in.Email)
	if len(email) > market.MaxEmail || len(in.Password) > 4*market.MaxPassword || !market.ValidText(email) {
		return answer{}, market.ErrLogin
	}
	if err := h.throttle(r, h.addresses, h.logins, strings.ToLower(email)); err != nil {
		return answer{}, err
	}
	ctx := r.ctx()
	login, err := h.Store.Login(ctx, email)
	if errors.Is(err, market.ErrNotFound) {
		login.Hash = nobody
	} else if err != nil {
		return answer{}, err
	}
	ok, err := h.compare(ctx, in.Password, login.Hash)
	if err != nil {
		return answer{}, err
	}
	if !ok || login.Account == "" {
		return answer{}, market.ErrLogin
	}
	return h.letIn(r, login)
}

// letIn goes on with who gave the right password: to the second step, if the
// account has one. A suspended account is told so.
func (h *Handlers) letIn(r *request, login store.Login) (answer, error) {
	if err := login.Suspended(); err != nil {
		return answer{}, err
	}
	if login.TwoSteps {
		return h.askForCode(r, login)
	}
	return h.enter(r, login)
}

// enter begins the session of who has passed all steps of the log-in.
func (h *Handlers) enter(r *request, login store.Login) (answer, error) {
	if err := login.Suspended(); err != nil {
		return answer{}, err
	}
	if err := h.beginSession(r, login); err != nil {
		return answer{}, err
	}
	if form, ok := readResume(r.form.Get("resume")); ok {
		return answer{page: func(ctx context.Context) (views.Screen, error) { return views.Resume(ctx, form), nil }}, nil
	}
	return answer{to: nextPath(r.form)}, nil
}

// showSettings shows the forms for the visitor's own account.
func (h *Handlers) showSettings(r *request) (answer, error) {
	return answer{page: func(ctx context.Context) (views.Screen, error) { return h.settings(ctx, r, views.Form{}) }}, nil
}

// settings is the screen with the form of the profile, which holds what is
// stored unless it was refused.
func (h *Handlers) settings(ctx context.Context, r *request, profile views.Form) (views.Screen, error) {
	a, err := h.Store.Account(ctx, r.actor.Account)
	if profile.Values == nil {
		profile.Values = url.Values{"displayName": {a.DisplayName}, "description": {a.Description}}
	}
	return views.Settings(ctx, views.SettingsView{Account: a, Profile: profile, BaseURL: h.BaseURL}), err
}

type passwordInput struct {
	Current string `json:"currentPassword"`
	New     string `json:"newPassword"`
}

// changePassword replaces the password and ends all other sessions. The old
// password is the proof of who asks.
func (h *Handlers) changePassword(r *request) (answer, error) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		return h.security(ctx, r, "password", views.Form{Problem: &p})
	}
	var in passwordInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	if err := r.invalid(market.CheckPassword("/newPassword", in.New, r.actor.Handle)); err != nil {
		return answer{}, err
	}
	if err := h.throttle(r, h.addresses, h.logins, string(r.actor.Account)); err != nil {
		return answer{}, err
	}
	ctx := r.ctx()
	login, err := h.Store.OwnLogin(ctx, r.actor.Account)
	if err != nil {
		return answer{}, err
	}
	if ok, err := h.compare(ctx, in.Current, login.Hash); err != nil || !ok {
		return answer{}, errors.Join(err, market.Field("/currentPassword", "password_wrong", nil))
	}
	hash, err := h.hash(ctx, in.New)
	if err != nil {
		return answer{}, err
	}
	if err := h.Store.ChangePassword(ctx, r.by, login.Hash, hash, r.session.ID, r.origin()); err != nil {
		return answer{}, err
	}
	if err := h.sessions.RenewToken(ctx); err != nil {
		return answer{}, err
	}
	return answer{to: securityPath, flash: views.Message{ID: "flash.password_changed"}}, nil
}

// logOut ends the session on the server.
func (h *Handlers) logOut(r *request) (answer, error) {
	if id := h.sessions.GetString(r.ctx(), sessionID); id != "" {
		if err := h.Store.LeaveSession(r.ctx(), market.SessionID(id)); err != nil {
			return answer{}, err
		}
	}
	if err := h.sessions.Destroy(r.ctx()); err != nil {
		return answer{}, err
	}
	return answer{to: "/", flash: views.Message{ID: "flash.logged_out"}}, nil
}

// askForLogin shows the log-in form to a stranger who wants a page of an
// account. What was typed into a form meanwhile goes along and is offered
// again afterwards.
func (h *Handlers) askForLogin(r *request) error {
	req := r.echo.Request()
	if req.Method == http.MethodGet || req.Method == http.MethodHead {
		r.echo.Response().Header().Set("Cache-Control", "no-store")
		return r.echo.Redirect(http.StatusSeeOther, "/login?"+url.Values{"next": {req.URL.RequestURI()}}.Encode())
	}
	p := pageProblem(r.ctx(), market.ErrUnauthenticated, "")
	values := url.Values{"next": {refererPath(req)}}
	if resume := r.carried(); len(r.form) > 0 {
		values.Set("resume", resume)
	}
	return h.render(r, http.StatusUnauthorized, h.logInScreen(r.ctx(), views.Form{Values: values, Problem: &p}))
}

func writeResume(f views.ResumeForm) string {
	b, err := json.Marshal(f)
	if err != nil {
		panic(err) // plain strings
	}
	return string(b)
}

func readResume(text string) (views.ResumeForm, bool) {
	var f views.ResumeForm
	if text == "" || json.Unmarshal([]byte(text), &f) != nil {
		return f, false
	}
	return f, f.Action != "/" && localPath(f.Action) == f.Action
}
