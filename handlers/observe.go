package handlers

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Served is a request that was answered, in words of the route table: nothing
// in it was written by whoever sent it, so that it can label a metric.
type Served struct {
	// Method is "other" for one that no route has.
	Method string
	// Route is the pattern of the path, StaticRoute for files, "" for no route.
	Route  string
	Status int
	Took   time.Duration
	// Stream says that the answer lasts as long as somebody reads it.
	Stream bool
}

// StaticRoute stands for all static files.
const StaticRoute = "/static/*"

var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

type servedKey struct{}

// observed is the request with a place where its route will write itself down,
// nil if nobody wants to know.
func (h *Handlers) observed(r *http.Request) (*http.Request, *Served) {
	if h.Observe == nil {
		return r, nil
	}
	s := &Served{Method: "other"}
	if slices.Contains(methods, r.Method) {
		s.Method = r.Method
	}
	if strings.HasPrefix(r.URL.Path, "/static/") {
		s.Route = StaticRoute
	}
	return r.WithContext(context.WithValue(r.Context(), servedKey{}, s)), s
}

// matched writes down which route answers.
func matched(ctx context.Context, rt route) {
	if s, ok := ctx.Value(servedKey{}).(*Served); ok {
		s.Route, s.Stream = rt.path, rt.stream
	}
}

func (h *Handlers) observe(s *Served, status int, took time.Duration) {
	if s != nil {
		s.Status, s.Took = status, took
		h.Observe(*s)
	}
}
