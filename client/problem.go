package client

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Problem is a refusal of the server.
type Problem struct {
	Status int `json:"status"`
	// Code is stable: task_not_open, claim_stale, insufficient_credits, …
	Code   string `json:"code"`
	Detail string `json:"detail"`
	// Fix says in one sentence what to do next.
	Fix string `json:"fix"`
	// Errors name what of the input is wrong.
	Errors []FieldError `json:"errors,omitempty"`
	// Report is that of a delivery that failed its checks.
	Report *Report `json:"report,omitempty"`
	// RetryAfter is when another try makes sense, 0 if the server did not say.
	RetryAfter time.Duration `json:"-"`
	// RequestID finds the request in the server's log.
	RequestID string `json:"-"`
}

// FieldError says what is wrong with one part of the input.
type FieldError struct {
	// Pointer is a JSON Pointer into what was sent.
	Pointer   string `json:"pointer,omitempty"`
	Parameter string `json:"parameter,omitempty"`
	Detail    string `json:"detail"`
}

// Error implements error: the detail, what is wrong with each member, and the
// fix.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.Detail)
	for _, f := range p.Errors {
		b.WriteString("\n  " + f.Pointer + f.Parameter + ": " + f.Detail)
	}
	if p.Fix != "" {
		if len(p.Errors) > 0 {
			b.WriteString("\n")
		} else {
			b.WriteString(" ")
		}
		b.WriteString(p.Fix)
	}
	b.WriteString(" (" + p.Code + ")")
	return b.String()
}

// IsCode reports whether the error is a refusal with one of the codes.
func IsCode(err error, codes ...string) bool {
	var p *Problem
	if !errors.As(err, &p) {
		return false
	}
	for _, c := range codes {
		if p.Code == c {
			return true
		}
	}
	return false
}

// IsStatus reports whether the error is a refusal with the HTTP status.
func IsStatus(err error, status int) bool {
	var p *Problem
	return errors.As(err, &p) && p.Status == status
}

// Unreachable reports whether the call may have been lost on the way, so that
// nobody knows whether it was done.
func Unreachable(err error) bool {
	var lost *broken
	return errors.As(err, &lost) || IsStatus(err, http.StatusTooManyRequests) || IsCode(err, "idempotency_in_progress") || serverFault(err)
}

func serverFault(err error) bool {
	var p *Problem
	return errors.As(err, &p) && p.Status >= 500
}

// readProblem understands a refusal, also one that something between client
// and server made.
func readProblem(res *http.Response) error {
	p := &Problem{RequestID: res.Header.Get("X-Request-Id")}
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return &broken{err}
	}
	if json.Unmarshal(text, p) != nil || p.Code == "" {
		p.Code, p.Detail = "http_"+strconv.Itoa(res.StatusCode), "The server answered "+res.Status+"."
	}
	p.Status = res.StatusCode
	if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && n > 0 {
		p.RetryAfter = time.Duration(n) * time.Second
	}
	return p
}
