package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"guildhall/market"
	"guildhall/views"
)

// statuses is the one place that gives kinds of errors their status.
var statuses = map[market.Kind]int{
	market.KindInternal:         http.StatusInternalServerError,
	market.KindUnreadable:       http.StatusBadRequest,
	market.KindUnauthenticated:  http.StatusUnauthorized,
	market.KindForbidden:        http.StatusForbidden,
	market.KindNotFound:         http.StatusNotFound,
	market.KindMethod:           http.StatusMethodNotAllowed,
	market.KindConflict:         http.StatusConflict,
	market.KindPrecondition:     http.StatusPreconditionFailed,
	market.KindTooLarge:         http.StatusRequestEntityTooLarge,
	market.KindUnsupportedMedia: http.StatusUnsupportedMediaType,
	market.KindInvalid:          http.StatusUnprocessableEntity,
	market.KindRateLimited:      http.StatusTooManyRequests,
	market.KindGone:             http.StatusGone,
	market.KindUnavailable:      http.StatusServiceUnavailable,
}

// problem is RFC 9457 with our members.
type problem struct {
	Type     string         `json:"type"`
	Title    string         `json:"title"`
	Status   int            `json:"status"`
	Detail   string         `json:"detail"`
	Instance string         `json:"instance"`
	Code     string         `json:"code"`
	Fix      string         `json:"fix"`
	Errors   []problemField `json:"errors,omitempty"`
	Report   *market.Report `json:"report,omitempty"`
	// Scope is the one that the key lacks.
	Scope string `json:"scope,omitempty"`
}

type problemField struct {
	Pointer   *string `json:"pointer,omitempty"`
	Parameter string  `json:"parameter,omitempty"`
	Detail    string  `json:"detail"`
}

// toProblem puts an error into words. JSON speaks English.
func toProblem(e *market.Error, instance string) problem {
	ctx := views.WithLanguage(context.Background(), "en")
	status := statuses[e.Kind]
	p := problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Instance: instance, Code: e.Code,
		Detail: views.Say(ctx, "error."+e.Code, e.Args), Fix: views.Say(ctx, "error."+e.Code+"_fix", e.Args), Report: e.Report}
	p.Scope, _ = e.Args["Scope"].(string)
	if len(e.Fields) > 0 {
		p.Errors = fieldProblems(e.Fields)
	}
	return p
}

// fieldProblems puts what is wrong with fields into words. JSON speaks English.
func fieldProblems(fields []market.FieldError) []problemField {
	ctx := views.WithLanguage(context.Background(), "en")
	out := make([]problemField, len(fields))
	for i, f := range fields {
		out[i] = problemField{Parameter: f.Parameter, Detail: views.Say(ctx, "invalid."+f.Code, f.Args)}
		if f.Parameter == "" {
			out[i].Pointer = &f.Pointer
		}
	}
	return out
}

// pageProblem puts an error into words for people: those of the catalogue's
// section for pages where programs need others.
func pageProblem(ctx context.Context, e *market.Error, requestID string) views.Problem {
	say := func(id string) string {
		if views.Has("problem." + id) {
			return views.Say(ctx, "problem."+id, e.Args)
		}
		return views.Say(ctx, "error."+id, e.Args)
	}
	p := views.Problem{Status: statuses[e.Kind], Code: e.Code, Detail: say(e.Code), Fix: say(e.Code + "_fix"), RequestID: requestID}
	for _, f := range e.Fields {
		p.Fields = append(p.Fields, views.FieldProblem{Pointer: f.Pointer, Detail: views.Say(ctx, "invalid."+f.Code, f.Args)})
	}
	return p
}

// fail answers an error. What is not a refusal of ours is logged whole and
// shown as one fixed sentence.
func (h *Handlers) fail(c echo.Context, err error) {
	known := h.known(c, err)
	if c.Request().URL.Path == mcpPath && known.Kind == market.KindUnauthenticated { // where clients learn how to get in
		c.Response().Header().Set("WWW-Authenticate", `Bearer realm="guildhall", resource_metadata="`+h.BaseURL+resourcePath+`"`)
	}
	writeProblem(c.Response(), c.Request(), known)
}

func (h *Handlers) known(c echo.Context, err error) *market.Error {
	var known *market.Error
	if errors.As(err, &known) {
		if known.Kind == market.KindUnavailable || known.Kind == market.KindInternal {
			h.Logger.Error("request failed", "requestId", c.Response().Header().Get("X-Request-Id"), "error", err)
		}
		return known
	}
	if errors.Is(err, context.Canceled) {
		return market.ErrUnavailable // the visitor has gone
	}
	h.Logger.Error("request failed", "requestId", c.Response().Header().Get("X-Request-Id"), "error", err)
	return market.ErrInternal
}

func setRetryAfter(header http.Header, e *market.Error) {
	if e.Kind == market.KindRateLimited || e.Kind == market.KindUnavailable || e.RetryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(e.RetryAfter.Seconds())))))
	}
}

func writeProblem(w http.ResponseWriter, r *http.Request, e *market.Error) {
	p := toProblem(e, r.URL.Path)
	header := w.Header()
	if e.Kind == market.KindUnauthenticated && header.Get("WWW-Authenticate") == "" {
		header.Set("WWW-Authenticate", `Bearer realm="guildhall"`)
	}
	setRetryAfter(header, e)
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // plain strings and numbers
	}
	header.Set("Content-Type", "application/problem+json")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the visitor may have gone
}
