package handlers

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/alexedwards/scs/postgresstore"
	"github.com/alexedwards/scs/v2"
	"github.com/labstack/echo/v4"

	"guildhall/market"
	"guildhall/store"
	"guildhall/views"
)

// Cookies that hold no secret.
const (
	langCookie  = "lang"
	themeCookie = "theme"
	flashCookie = "flash"
)

// newSessions keeps sessions in the database, under a hash of their token.
func (h *Handlers) newSessions() *scs.SessionManager {
	s := scs.New()
	s.Store = postgresstore.NewWithCleanupInterval(h.Store.DB().DB, 0) // store.Sweep forgets what is over
	s.HashTokenInStore = true
	s.IdleTimeout, s.Lifetime = market.SessionIdle, market.SessionLife
	s.Cookie.Name = "session"
	if h.secure() {
		s.Cookie.Name, s.Cookie.Secure = "__Host-session", true
	}
	s.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) {
		h.Logger.Error("the sessions cannot be read", "requestId", w.Header().Get("X-Request-Id"), "error", err)
		h.writeProblemPage(w, r, market.ErrUnavailable.After(5*time.Second))
	}
	return s
}

// secure says that visitors come over https.
func (h *Handlers) secure() bool { return strings.HasPrefix(h.BaseURL, "https://") }

func (h *Handlers) cookie(name, value string, age time.Duration) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: int(age.Seconds()), HttpOnly: true, Secure: h.secure(), SameSite: http.SameSiteLaxMode}
}

// identifyVisitor finds out whose session it is, and what they can spend.
func (h *Handlers) identifyVisitor(rt route, r *request) error {
	ctx := r.ctx()
	if id := h.sessions.GetString(ctx, sessionID); id != "" {
		v, err := h.Store.Visitor(ctx, market.SessionID(id))
		switch {
		case err == nil:
			r.by, r.actor, r.session = store.Caller{Actor: v.Actor, Session: v.Session.ID}, v.Actor, v.Session
			r.visitor = &views.Visitor{Handle: v.Handle, Spendable: v.Spendable, Operator: v.Operator, State: v.State, Reason: v.Reason}
			h.seen.note(v.Session.ID, false, r.address())
		case errors.Is(err, market.ErrAccountSuspended):
			// It looks around like a stranger, and is told why at its own pages.
			r.banned = true
			if rt.auth == session || rt.auth == operator {
				return err
			}
		case !errors.Is(err, market.ErrNotFound):
			return err
		}
	}
	if (rt.auth == session || rt.auth == operator) && r.visitor == nil {
		if r.echo.Request().Method != http.MethodGet && r.form == nil {
			// What was typed goes along to the log-in form, files do not.
			if _ = r.read(rt); r.multipart != "" {
				_ = h.readFiles(rt, r)
			}
		}
		return market.ErrUnauthenticated
	}
	if rt.auth == operator && !r.actor.Operator {
		return market.ErrForbidden
	}
	return nil
}

// writePage answers a visitor: a redirect after a form, else a whole page.
func (h *Handlers) writePage(r *request, a answer) error {
	if a.to != "" {
		if a.flash.ID != "" {
			r.echo.SetCookie(h.cookie(flashCookie, encodeFlash(a.flash), time.Minute))
		}
		r.echo.Response().Header().Set("Cache-Control", "no-store")
		return r.echo.Redirect(http.StatusSeeOther, a.to)
	}
	if a.stream != nil {
		if err := a.stream(r.echo.Response()); err != nil {
			h.Logger.Debug("a stream ended", "error", err)
		}
		return nil
	}
	if f := a.file; f != nil {
		r.echo.Response().Header().Set("Cache-Control", "no-store")
		r.echo.Response().Header().Set("Content-Disposition", `attachment; filename="`+f.name+`"`)
		return r.echo.Blob(http.StatusOK, f.contentType, f.body)
	}
	screen, err := a.page(r.ctx())
	if err != nil {
		return h.failPage(route{page: true}, r, err)
	}
	return h.render(r, a.statusOr(http.StatusOK), screen)
}

// failPage shows a refusal: in the form that it is about, or as a page.
func (h *Handlers) failPage(rt route, r *request, err error) error {
	known := h.known(r.echo, err)
	if (rt.auth == session || rt.auth == operator) && errors.Is(known, market.ErrUnauthenticated) {
		return h.askForLogin(r)
	}
	if rt.fresh && errors.Is(known, market.ErrReauthenticate) {
		if err = h.askToConfirm(r); err == nil {
			return nil
		}
		known = h.known(r.echo, err)
	}
	header := r.echo.Response().Header()
	header.Del("WWW-Authenticate")
	setRetryAfter(header, known)
	p := pageProblem(r.ctx(), known, header.Get("X-Request-Id"))
	if r.again != nil && known.Kind != market.KindNotFound && known.Kind != market.KindInternal {
		screen, err := r.again(r.ctx(), p)
		if err == nil {
			return h.render(r, p.Status, screen)
		}
		p = pageProblem(r.ctx(), h.known(r.echo, err), p.RequestID)
	}
	return h.render(r, p.Status, views.ProblemScreen(r.ctx(), p))
}

// writeProblemPage shows a refusal from outside any route.
func (h *Handlers) writeProblemPage(w http.ResponseWriter, r *http.Request, e *market.Error) {
	ctx := r.Context()
	setRetryAfter(w.Header(), e)
	p := pageProblem(ctx, e, w.Header().Get("X-Request-Id"))
	var buf bytes.Buffer
	if err := views.Layout(h.chrome(r, nil), views.ProblemScreen(ctx, p)).Render(ctx, &buf); err != nil {
		h.Logger.Error("render", "error", err)
	}
	pageHeaders(w.Header())
	w.WriteHeader(p.Status)
	_, _ = w.Write(buf.Bytes()) // the visitor may have gone
}

func pageHeaders(header http.Header) {
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Add("Vary", "Cookie, Accept-Language, HX-Request, HX-Request-Type")
}

// render shows the screen in the layout, rendered first so that a failure is
// a whole error page.
func (h *Handlers) render(r *request, status int, screen views.Screen) error {
	page := h.chrome(r.echo.Request(), r.visitor)
	page.Closed = page.Closed || r.banned // no other account is offered
	if status == http.StatusOK {
		page.Flash = h.takeFlash(r.echo)
	}
	var buf bytes.Buffer
	if err := views.Layout(page, screen).Render(r.ctx(), &buf); err != nil {
		return err
	}
	header := r.echo.Response().Header()
	pageHeaders(header)
	if screen.Vault {
		header.Set("Content-Security-Policy", vaultPolicy)
		header.Del("Speculation-Rules")
	}
	return r.echo.HTMLBlob(status, buf.Bytes())
}

// chrome is what surrounds every screen.
func (h *Handlers) chrome(r *http.Request, v *views.Visitor) views.Page {
	p := views.Page{Lang: views.Language(r.Context()), Path: r.URL.RequestURI(), BaseURL: h.BaseURL, Visitor: v, Closed: h.closed()}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		p.Path = localPath(refererPath(r))
	}
	if c, err := r.Cookie(themeCookie); err == nil && (c.Value == "dark" || c.Value == "light") {
		p.Theme = c.Value
	}
	return p
}

func refererPath(r *http.Request) string {
	u, err := url.Parse(r.Referer())
	if err != nil || u.Host != r.Host {
		return "/"
	}
	return u.RequestURI()
}

// localPath is the path if it stays on this site, else "/".
func localPath(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		return "/"
	}
	return path
}

func encodeFlash(m views.Message) string {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // plain strings
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// takeFlash reads the message of the last form and forgets it. A prefetch, and
// a swap that does not show messages, must not eat it.
func (h *Handlers) takeFlash(c echo.Context) views.Message {
	var m views.Message
	cookie, err := c.Cookie(flashCookie)
	if err != nil || strings.HasPrefix(c.Request().Header.Get("Sec-Purpose"), "prefetch") {
		return m
	}
	c.SetCookie(h.cookie(flashCookie, "", -time.Second))
	if b, err := base64.RawURLEncoding.DecodeString(cookie.Value); err == nil {
		_ = json.Unmarshal(b, &m) // a broken one says nothing
	}
	return m
}

// language chooses the language of a page: ?lang=, the cookie, the browser's.
func language(r *http.Request) context.Context {
	want := r.URL.Query().Get("lang")
	if c, err := r.Cookie(langCookie); want == "" && err == nil {
		want = c.Value
	}
	return views.WithLanguage(r.Context(), views.MatchLanguage(want, r.Header.Get("Accept-Language")))
}

// withoutLanguage drops ?lang= from an address, which would win over what was
// chosen.
func withoutLanguage(path string) string {
	u, err := url.Parse(path)
	if err != nil || !u.Query().Has("lang") {
		return path
	}
	q := u.Query()
	q.Del("lang")
	u.RawQuery = q.Encode()
	return u.String()
}

// setPreferences remembers language and theme in this browser.
func (h *Handlers) setPreferences(r *request) (answer, error) {
	if v := r.form.Get("lang"); v != "" {
		r.echo.SetCookie(h.cookie(langCookie, views.MatchLanguage(v, ""), 365*24*time.Hour))
	}
	if r.form.Has("theme") {
		v := r.form.Get("theme")
		if v != "dark" && v != "light" {
			v = ""
		}
		r.echo.SetCookie(h.cookie(themeCookie, v, 365*24*time.Hour))
	}
	return answer{to: withoutLanguage(localPath(r.form.Get("back")))}, nil
}
