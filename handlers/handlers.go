// Package handlers translates between HTTP and the store: who asks, what they
// send, what the store says, how it is answered. It is the only package that
// knows Echo, and it holds no rule of the market and no SQL.
package handlers

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"guildhall/market"
	"guildhall/market/verify/pool"
	"guildhall/static"
	"guildhall/store"
	"guildhall/store/hook"
)

// Options are what the handlers work with.
type Options struct {
	Store    *store.Store
	Verifier *pool.Pool
	Logger   *slog.Logger
	// BaseURL is the address that visitors use, without a trailing slash.
	BaseURL string
	// RateLimits switches the limits on registration, log-in and dry runs on.
	RateLimits bool
	// TrustedProxies are believed when they say for whom they forward.
	TrustedProxies []*net.IPNet
	// Version is the build's, shown by the health check.
	Version string
	// SecurityContact is where flaws are reported, for
	// /.well-known/security.txt (RFC 9116); "" for no such document.
	SecurityContact string
	// Observe, if set, is told of every request that was answered.
	Observe func(Served)
	// Done ends streams when it is closed, so that the server can stop; nil
	// never does.
	Done <-chan struct{}
	// WebhookAllow are the hosts that webhooks may reach besides public ones.
	WebhookAllow hook.Allow
	// NoteUses is after how long uses of keys and sessions are written down, together; 0
	// for five seconds.
	NoteUses time.Duration
}

// pollSlack is by how much too early an agent may ask again: clocks differ, and
// so does the way.
const pollSlack = time.Second

// countEvery is how old the market's numbers may be, rankEvery leaderboards.
const (
	countEvery = 5 * time.Second
	rankEvery  = 15 * time.Second
)

// Handlers answers requests.
type Handlers struct {
	Options
	sessions *scs.SessionManager
	// registrations throttles attempts, and so guesses at invitations; how many
	// succeed is the store's to count.
	registrations *limiter
	// logins and addresses throttle guessing: by e-mail address and by where
	// it comes from.
	logins    *limiter
	uploads   *limiter
	addresses *limiter
	// codes throttles guesses at the second step of a log-in, by account.
	codes *limiter
	// links throttles how often mail is sent to an address; asking bounds how
	// many links are made at once.
	links  *limiter
	asking chan struct{}
	// dryRuns throttles checks that no attempt or reward pays for, by account.
	dryRuns *limiter
	// byKey and byNetwork bound what programs ask, with a key and without.
	byKey, byNetwork *limiter
	// trials throttles the checks of the documentation, by address.
	trials *limiter
	// talk throttles messages and reports, vouchers guesses at codes, both by
	// account.
	talk, vouchers *limiter
	// bindings throttles codes of bindings, made and guessed, by account, and
	// polls how often an agent asks what became of one.
	bindings, polls *limiter
	documents       documentSet
	mcp             http.Handler
	hashing         chan struct{}
	// webauthn is nil where browsers offer no passkeys.
	webauthn  *webauthn.WebAuthn
	watchers  *watchers
	followers *followers
	uses      *uses[market.KeyID]
	// seen are the uses of browser sessions.
	seen       *uses[market.SessionID]
	skills     *memo[[]market.SkillCount]
	stats      *memo[market.Stats]
	onboarding *memo[*market.Task]
	boards     *boards
}

// New returns the whole site as one handler.
func New(o Options) http.Handler {
	h := &Handlers{Options: o, byKey: newLimiter("key", 3000, 20*time.Millisecond), byNetwork: newLimiter("network", 1200, 50*time.Millisecond),
		registrations: newLimiter("registrations", 60, time.Minute),
		logins:        newLimiter("logins", 10, 2*time.Minute).onAllNodes(), addresses: newLimiter("guesses", 30, 20*time.Second), uploads: newLimiter("uploads", 120, 5*time.Second), dryRuns: newLimiter("dry-runs", 30, 5*time.Second), trials: newLimiter("trials", 10, 10*time.Second), codes: newLimiter("second-factors", 5, 5*time.Minute).onAllNodes(), links: newLimiter("links", 5, 15*time.Minute).onAllNodes(), asking: make(chan struct{}, askedAtOnce),
		talk: newLimiter("messages", 20, 5*time.Second), vouchers: newLimiter("vouchers", 10, time.Minute),
		bindings: newLimiter("bindings", 10, time.Minute), polls: newLimiter("polls", 1, market.BindCodeInterval-pollSlack),
		hashing: make(chan struct{}, hashesAtOnce)}
	h.sessions, h.webauthn = h.newSessions(), newWebAuthn(o.BaseURL)
	h.watchers = newWatchers(o.Store.Pulses)
	h.followers = newFollowers(o.Store.LiveKeys)
	h.uses = newUses(o.Store.NoteKeyUses, cmp.Or(o.NoteUses, noteEvery))
	h.seen = newUses(o.Store.NoteSessionUses, cmp.Or(o.NoteUses, noteEvery))
	h.skills, h.stats = newMemo(countEvery, o.Store.Skills), newMemo(countEvery, o.Store.Stats)
	h.onboarding = newMemo(countEvery, o.Store.Onboarding)
	h.boards = &boards{count: o.Store.Leaderboard}
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.IPExtractor = addressOf(o.TrustedProxies)
	e.HTTPErrorHandler = h.echoError
	compress := middleware.GzipWithConfig(middleware.GzipConfig{Level: 5, MinLength: 512})
	for _, r := range h.routes() {
		var around []echo.MiddlewareFunc
		if (r.page || IsDocument(r.path)) && !r.stream {
			around = append(around, compress)
		}
		e.Add(r.method, r.path, h.adapt(r), around...)
		if r.method == http.MethodGet && !r.endless() { // an endless answer has no head
			e.Add(http.MethodHead, r.path, h.adapt(r), around...)
		}
	}
	h.mcp = h.newMCP(e)
	return h.outside(http.NewCrossOriginProtection(), h.split(e))
}

// addressOf tells where a request comes from. Echo's default believes any
// X-Forwarded-For; this one only what a trusted proxy says.
func addressOf(trusted []*net.IPNet) echo.IPExtractor {
	if len(trusted) == 0 {
		return echo.ExtractIPDirect()
	}
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, n := range trusted {
		options = append(options, echo.TrustIPRange(n))
	}
	return echo.ExtractIPFromXFFHeader(options...)
}

// split sends static files and programs past the sessions, which are only for
// pages.
func (h *Handlers) split(site http.Handler) http.Handler {
	files, pages := static.Handler(), h.sessions.LoadAndSave(site)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/static/"):
			files.ServeHTTP(w, r)
		case isAPI(r):
			site.ServeHTTP(w, r)
		default:
			pages.ServeHTTP(w, r.WithContext(language(r)))
		}
	})
}

func isAPI(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/api/") || r.URL.Path == mcpPath || IsDocument(r.URL.Path)
}

// The policies of answers to programs and of pages: nothing inline anywhere.
const (
	apiPolicy  = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
	pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
		"manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

// vaultPolicy is that of pages that seal and open protected fields: their
// script calls nobody, and no text becomes code.
var vaultPolicy = strings.Replace(pagePolicy, "connect-src 'self'", "connect-src 'none'", 1) + "; require-trusted-types-for 'script'; trusted-types 'none'"

// outside wraps everything: request ids, security headers, the log, panics
// and cross-origin protection.
func (h *Handlers) outside(origin *http.CrossOriginProtection, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, id := time.Now(), newRequestID()
		header := w.Header()
		header.Set("X-Request-Id", id)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "same-origin")
		header.Set("Content-Security-Policy", apiPolicy)
		if !isAPI(r) {
			header.Set("Content-Security-Policy", pagePolicy)
			header.Set("Speculation-Rules", `"/static/speculation.json"`)
		}
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		rec := &recorder{ResponseWriter: w}
		r, served := h.observed(r)
		defer func() {
			if p := recover(); p != nil {
				h.Logger.Error("panic", "requestId", id, "panic", p, "stack", string(debug.Stack()))
				if rec.status == 0 {
					h.refuse(rec, r, market.ErrInternal)
				}
			}
			h.Logger.Info("request", "requestId", id, "method", r.Method, "path", shownPath(r.URL.Path), "status", rec.status, "ms", time.Since(began).Milliseconds())
			h.observe(served, rec.status, time.Since(began))
		}()
		if keys := keysInURL(r); keys != nil {
			h.refuseLeak(rec, r, keys)
			return
		}
		if err := origin.Check(r); err != nil {
			h.refuse(rec, r, market.ErrCrossOrigin)
			return
		}
		next.ServeHTTP(rec, r)
	})
}

// refuse answers from outside any route.
func (h *Handlers) refuse(w http.ResponseWriter, r *http.Request, e *market.Error) {
	if isAPI(r) {
		writeProblem(w, r, e)
		return
	}
	h.writeProblemPage(w, r.WithContext(language(r)), e)
}

// recorder remembers the status for the log.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func newRequestID() string {
	b := make([]byte, 12)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// echoError answers what Echo refuses by itself: unknown paths and methods.
func (h *Handlers) echoError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	var he *echo.HTTPError
	if errors.As(err, &he) {
		switch he.Code {
		case http.StatusNotFound:
			err = market.ErrNotFound
		case http.StatusMethodNotAllowed:
			err = market.ErrMethodNotAllowed
		}
	}
	if isAPI(c.Request()) {
		h.fail(c, err)
		return
	}
	r := &request{echo: c}
	if e := h.identifyVisitor(route{page: true}, r); e != nil {
		err = e
	}
	_ = h.failPage(route{page: true}, r, err) // the visitor may have gone
}

// bearer is the API key of the request, or "".
func bearer(r *http.Request) string {
	scheme, key, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(key)
}
