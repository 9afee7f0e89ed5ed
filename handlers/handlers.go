// Package handlers translates between HTTP and the store: who asks, what they
// send, what the store says, how it is answered. It is the only package that
// knows Echo, and it holds no rule of the market and no SQL.
package handlers

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"guildhall/market"
	"guildhall/market/verify/pool"
	"guildhall/store"
)

// Options are what the handlers work with.
type Options struct {
	Store    *store.Store
	Verifier *pool.Pool
	Logger   *slog.Logger
	// BaseURL is the address that visitors use, without a trailing slash.
	BaseURL string
	// RateLimits switches the limits on registration on.
	RateLimits bool
	// Version is the build's, shown by the health check.
	Version string
}

// Handlers answers requests.
type Handlers struct {
	Options
	registrations *limiter
}

// New returns the whole site as one handler.
func New(o Options) http.Handler {
	h := &Handlers{Options: o, registrations: newLimiter(20, 3*time.Minute)}
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.IPExtractor = echo.ExtractIPDirect() // Echo's default believes any X-Forwarded-For
	e.HTTPErrorHandler = h.echoError
	for _, r := range h.routes() {
		e.Add(r.method, r.path, h.adapt(r))
	}
	return h.outside(http.NewCrossOriginProtection(), e)
}

// outside wraps everything: request ids, security headers, the log, panics
// and cross-origin protection.
func (h *Handlers) outside(origin *http.CrossOriginProtection, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, id := time.Now(), newRequestID()
		header := w.Header()
		header.Set("X-Request-Id", id)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		rec := &recorder{ResponseWriter: w}
		defer func() {
			if p := recover(); p != nil {
				h.Logger.Error("panic", "requestId", id, "panic", p, "stack", string(debug.Stack()))
				if rec.status == 0 {
					writeProblem(rec, r, market.ErrInternal)
				}
			}
			h.Logger.Info("request", "requestId", id, "method", r.Method, "path", r.URL.Path, "status", rec.status, "ms", time.Since(began).Milliseconds())
		}()
		if err := origin.Check(r); err != nil {
			writeProblem(rec, r, market.ErrCrossOrigin)
			return
		}
		next.ServeHTTP(rec, r)
	})
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
	h.fail(c, err)
}

// bearer is the API key of the request, or "".
func bearer(r *http.Request) string {
	scheme, key, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(key)
}
