package handlers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"guildhall/views"
)

// answer is what a handler has to say, before it is written.
type answer struct {
	status   int // 0: 200
	json     any
	location string
	// tagged answers bear an ETag: single resources.
	tagged bool
	// open answers may be kept by shared caches for a moment; all others are
	// private to the caller.
	open bool
	raw  []byte
	// contentType is that of raw, where it is no JSON of the API: a document
	// that everybody may read.
	contentType string
	replayed    bool
	// page is what people see instead, made only when asked for.
	page func(context.Context) (views.Screen, error)
	// file is downloaded instead of shown.
	file *file
	// stream writes what is long or never ends, instead of anything else.
	stream func(http.ResponseWriter) error
	// to is where a page's form leads when it was done, with a message that
	// is shown there once.
	to    string
	flash views.Message
}

// file is what a page's link downloads.
type file struct {
	name, contentType string
	body              []byte
}

func (a answer) statusOr(fallback int) int {
	if a.status == 0 {
		return fallback
	}
	return a.status
}

// body is the JSON text of the answer.
func (a answer) body() ([]byte, error) {
	if a.raw != nil || a.json == nil {
		return a.raw, nil
	}
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	err := e.Encode(a.json)
	return buf.Bytes(), err
}

// write sends the answer: rendered first, so that a failure is a whole error.
func (a answer) write(c echo.Context) error {
	body, err := a.body()
	if err != nil {
		return err
	}
	status, header := a.statusOr(http.StatusOK), c.Response().Header()
	header.Set("Vary", "Authorization")
	header.Set("Cache-Control", "no-store")
	if a.open {
		header.Set("Cache-Control", "public, max-age=2")
	}
	if a.location != "" {
		header.Set("Location", a.location)
	}
	if a.replayed {
		header.Set("Idempotent-Replayed", "true")
	}
	if a.contentType != "" {
		header.Set("Access-Control-Allow-Origin", "*")
		header.Set("Cross-Origin-Resource-Policy", "cross-origin")
		header.Set("Vary", "Accept-Encoding")
	}
	if a.tagged || a.contentType != "" {
		sum := sha256.Sum256(body)
		tag := `"` + hex.EncodeToString(sum[:12]) + `"`
		header.Set("ETag", tag)
		header.Set("Cache-Control", "private, no-cache")
		if a.contentType != "" {
			header.Set("Cache-Control", "public, max-age=300")
		}
		if matches(c.Request().Header.Get("If-None-Match"), tag) {
			c.Response().WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	if len(body) == 0 {
		c.Response().WriteHeader(status)
		return nil
	}
	if a.contentType != "" {
		return c.Blob(status, a.contentType, body)
	}
	contentType := "application/json"
	if status >= http.StatusBadRequest {
		contentType = "application/problem+json"
	}
	return c.Blob(status, contentType, body)
}

func matches(header, tag string) bool {
	for _, t := range strings.Split(header, ",") {
		if t = strings.TrimPrefix(strings.TrimSpace(t), "W/"); t == tag || t == "*" {
			return true
		}
	}
	return false
}

// list is a page of a collection.
type list[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"nextCursor"`
}

// page cuts items, read one beyond the limit, to the limit and makes the
// cursor of the next page of the last one kept.
func page[T, J any](items []T, limit int, show func(T) J, cursor func(T) any) list[J] {
	out := list[J]{Items: make([]J, 0, min(len(items), limit))}
	for i, item := range items {
		if i == limit {
			out.NextCursor = encodeCursor(cursor(items[limit-1]))
			break
		}
		out.Items = append(out.Items, show(item))
	}
	return out
}
