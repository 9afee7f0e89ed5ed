package handlers

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"guildhall/market"
	"guildhall/store"
)

// auth is which credential a route asks for.
type auth int

const (
	public auth = iota // none; a credential is not looked at
	key                // an API key
)

// once is how a route treats the Idempotency-Key header.
type once int

const (
	onceIgnored  once = iota // reads, and what is unique by itself
	onceHonoured             // used when sent
	onceRequired             // 400 without it
)

// maxBody bounds request bodies, in bytes.
const maxBody = 1 << 20

// route is one line of the route table: what it does and who may.
type route struct {
	method string
	path   string
	handle func(*request) (answer, error)
	auth   auth
	once   once
	// body says that the route reads a JSON body.
	body bool
}

// request is a request as far as it is understood before its handler runs.
type request struct {
	echo  echo.Context
	actor market.Actor
	by    store.Caller // the actor, with what was read about the task on the way
	body  []byte
	once  string
}

// adapt refuses what no handler should see, in the contract's order, runs the
// handler and writes its answer.
func (h *Handlers) adapt(rt route) echo.HandlerFunc {
	return func(c echo.Context) error {
		a, err := h.run(rt, c)
		if err != nil {
			h.fail(c, err)
			return nil
		}
		return a.write(c)
	}
}

func (h *Handlers) run(rt route, c echo.Context) (answer, error) {
	r := &request{echo: c}
	var err error
	if rt.auth == key {
		id, did := c.Param("id"), c.Param("did")
		if rt.method == http.MethodGet {
			id = "" // reads load what they show
		}
		if r.by, err = h.Store.Identify(c.Request().Context(), bearer(c.Request()), market.TaskID(id), market.DeliveryID(did)); err != nil {
			return answer{}, err
		}
		r.actor = r.by.Actor
	}
	if err := r.read(rt); err != nil {
		return answer{}, err
	}
	if err := r.readOnce(rt.once); err != nil {
		return answer{}, err
	}
	if rt.body && !json.Valid(r.body) {
		return answer{}, market.ErrUnreadable
	}
	a, err := rt.handle(r)
	if err != nil && r.once != "" {
		return h.replay(r, err)
	}
	return a, err
}

// replay looks for the stored answer after an effect was refused: a retry of
// what succeeded is refused by its key or by the state that it changed. A key
// without an answer leaves the refusal as it was.
func (h *Handlers) replay(r *request, refusal error) (answer, error) {
	if errors.Is(refusal, market.ErrIdempotencyInProgress) {
		return answer{}, refusal
	}
	stored, err := h.Store.StoredAnswer(r.echo.Request().Context(), r.caller(nil))
	switch {
	case err == nil:
		return answer{status: stored.Status, location: stored.Location, raw: stored.Body, replayed: true}, nil
	case errors.Is(err, market.ErrIdempotencyReused):
		return answer{}, err
	}
	return answer{}, refusal
}

func (r *request) read(rt route) error {
	req := r.echo.Request()
	if rt.body {
		media, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
		if err != nil || (media != "application/json" && !strings.HasSuffix(media, "+json")) {
			return market.ErrUnsupportedMediaType
		}
	}
	if req.Body == nil {
		return nil
	}
	var err error
	r.body, err = io.ReadAll(http.MaxBytesReader(r.echo.Response(), req.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return market.ErrTooLarge
	case err != nil:
		return market.ErrUnreadable
	}
	return nil
}

func (r *request) readOnce(o once) error {
	k := r.echo.Request().Header.Get("Idempotency-Key")
	switch {
	case o == onceIgnored:
		return nil
	case k == "" && o == onceRequired:
		return market.ErrIdempotencyRequired
	case len(k) > 255 || strings.IndexFunc(k, func(c rune) bool { return c < ' ' || c > '~' }) >= 0:
		return market.ErrIdempotencyMalformed
	}
	r.once = strings.Trim(k, `"`)
	return nil
}

// caller is who asks, with the answer to store if a key was sent.
func (r *request) caller(present func(any) answer) store.Caller {
	by := r.by
	if r.once == "" {
		return by
	}
	hash := sha256.New()
	for _, part := range []string{r.echo.Request().Method, r.echo.Request().URL.Path, string(r.body)} {
		hash.Write([]byte(part + "\n"))
	}
	by.Once = &store.Once{Key: r.once, Hash: hash.Sum(nil)}
	if present != nil {
		by.Once.Answer = func(v any) (store.Answer, error) {
			a := present(v)
			body, err := a.body()
			return store.Answer{Status: a.statusOr(http.StatusOK), Location: a.location, Body: body}, err
		}
	}
	return by
}

// decode reads the body strictly into v: an unknown member, a wrong type or a
// member given twice is an error with its pointer.
func (r *request) decode(v any) error {
	err := jsonv2.Unmarshal(r.body, v, jsonv2.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	var semantic *jsonv2.SemanticError
	if errors.As(err, &semantic) {
		code := "type"
		if errors.Is(err, jsonv2.ErrUnknownName) {
			code = "unknown_member"
		}
		return market.Field(string(semantic.JSONPointer), code, nil)
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return market.Field(string(syntactic.JSONPointer), "duplicate", nil)
		}
		return market.Field(string(syntactic.JSONPointer), "text", nil)
	}
	return market.ErrUnreadable
}

// taskID and deliveryID are the ids of the path; a malformed one names
// nothing.
func (r *request) taskID() (market.TaskID, error) {
	id := r.echo.Param("id")
	if !market.ValidID(id) {
		return "", market.ErrNotFound
	}
	return market.TaskID(id), nil
}

func (r *request) deliveryID() (market.TaskID, market.DeliveryID, error) {
	id, err := r.taskID()
	did := r.echo.Param("did")
	if err == nil && !market.ValidID(did) {
		err = market.ErrNotFound
	}
	return id, market.DeliveryID(did), err
}

// query reads query parameters and collects what is wrong with them.
type query struct {
	r   *request
	bad []market.FieldError
}

func (q *query) fail(name, code string, args map[string]any) {
	q.bad = append(q.bad, market.FieldError{Parameter: name, Code: code, Args: args})
}

func (q *query) text(name string) string { return q.r.echo.QueryParam(name) }

func (q *query) number(name string, fallback, low, high int64) int64 {
	s := q.text(name)
	if s == "" {
		return fallback
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < low || n > high {
		q.fail(name, "range", map[string]any{"Min": low, "Max": high})
	}
	return n
}

func (q *query) choice(name, fallback string, allowed ...string) string {
	s := q.text(name)
	if s == "" {
		return fallback
	}
	for _, a := range allowed {
		if s == a {
			return s
		}
	}
	q.fail(name, "choice", map[string]any{"Allowed": strings.Join(allowed, ", ")})
	return fallback
}

func (q *query) limit() int { return int(q.number("limit", 20, 1, 100)) }

// cursor decodes the opaque cursor into v; cursors are made by encodeCursor.
func (q *query) cursor(v any) bool {
	s := q.text("cursor")
	if s == "" {
		return false
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || jsonv2.Unmarshal(b, v, jsonv2.RejectUnknownMembers(true)) != nil {
		q.fail("cursor", "cursor", nil)
		return false
	}
	return true
}

// id checks an id that came out of a cursor.
func (q *query) id(s string) string {
	if s != "" && !market.ValidID(s) {
		q.fail("cursor", "cursor", nil)
		return ""
	}
	return s
}

func encodeCursor(v any) *string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain strings and numbers
	}
	s := base64.RawURLEncoding.EncodeToString(b)
	return &s
}
