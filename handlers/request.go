package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"guildhall/market"
	"guildhall/store"
	"guildhall/views"
)

// auth is which credential a route asks for.
type auth int

const (
	public   auth = iota // none; an API key is not looked at, a session is
	key                  // an API key
	session              // a browser session
	operator             // an operator's browser session, or an operator's key
)

// once is how a route treats the Idempotency-Key header.
type once int

const (
	onceIgnored  once = iota // reads, and what is unique by itself
	onceHonoured             // used when sent
	onceRequired             // 400 without it
)

// maxBody bounds JSON bodies, in bytes; maxForm those of forms, whose
// encoding makes the same text up to three times as long.
const (
	maxBody = 1 << 20
	maxForm = 3 << 20
)

// route is one line of the route table: what it does and who may.
type route struct {
	method string
	path   string
	handle func(*request) (answer, error)
	auth   auth
	once   once
	// body says that the route reads a JSON body, or a form if it is a page's.
	body bool
	// page routes answer people with HTML and know them by their session; all
	// others answer programs with JSON and know them by their key.
	page bool
	// stream routes send what is long or never ends, and are not compressed.
	stream bool
	// files says that a page's form may bring files.
	files bool
	// inline says that those files are read as fields, and kept nowhere.
	inline bool
	// optional says that a program may show its key on a public route.
	optional bool
	// scopes each let a key with scopes in; without any, only keys without
	// scopes may.
	scopes []market.Scope
	// purpose is what is read along with the caller's key.
	purpose store.Purpose
	// fresh routes are a person's that need a proof of the last minutes that the
	// session's user is the account's owner.
	fresh bool
	// upload routes read their body themselves, as it comes.
	upload bool
}

// request is a request as far as it is understood before its handler runs.
type request struct {
	echo  echo.Context
	actor market.Actor
	by    store.Caller // the actor, with what was read about the task on the way
	body  []byte
	once  string
	// form is the body of a page's form, faults what in it could not be read.
	form   url.Values
	faults []market.FieldError
	// multipart is the boundary of a form with files that is still to be read.
	multipart string
	// page says that people ask, not programs.
	page bool
	// visitor is who looks at a page, nil for a stranger.
	visitor *views.Visitor
	// session is the visitor's browser session.
	session market.Session
	// banned says that the visitor's account is suspended.
	banned bool
	// again shows the form of a page with what was typed and why it was
	// refused; without it a refusal has a page of its own.
	again func(context.Context, views.Problem) (views.Screen, error)
}

func (r *request) ctx() context.Context { return r.echo.Request().Context() }

// adapt refuses what no handler should see, in the contract's order, runs the
// handler and writes its answer.
func (h *Handlers) adapt(rt route) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := &request{echo: c, page: rt.page}
		matched(r.ctx(), rt)
		a, err := h.run(rt, r)
		switch {
		case rt.page && err != nil:
			return h.failPage(rt, r, err)
		case rt.page:
			return h.writePage(r, a)
		case err != nil:
			h.fail(c, err)
			return nil
		}
		if a.stream != nil {
			return a.stream(c.Response())
		}
		return a.write(c)
	}
}

// slowBody is how long a body may take before it is asked again who sent it:
// else who holds back its end would act with a key or a session after it ended.
const slowBody = 500 * time.Millisecond

func (h *Handlers) run(rt route, r *request) (answer, error) {
	unknown := h.identify(rt, r)
	if unknown == nil && r.actor.Key != "" {
		h.uses.note(r.actor.Key, r.actor.Mandate != nil, r.address())
	}
	if err := h.calls(rt, r); err != nil { // who shows a wrong key takes turns too
		return answer{}, err
	}
	if unknown != nil {
		return answer{}, unknown
	}
	began := time.Now()
	err := r.read(rt)
	if r.multipart != "" {
		err = h.readFiles(rt, r)
	}
	if err == nil && time.Since(began) > slowBody {
		r.by, r.actor, r.visitor, r.session, r.banned = store.Caller{}, market.Actor{}, nil, market.Session{}, false
		err = h.identify(rt, r)
	}
	if err != nil {
		return answer{}, err
	}
	if r.stale(rt) {
		return answer{}, market.ErrReauthenticate
	}
	if err := r.readOnce(rt); err != nil {
		return answer{}, err
	}
	if rt.body && !rt.page && !json.Valid(r.body) {
		return answer{}, market.ErrUnreadable
	}
	if rt.auth == key || rt.auth == operator {
		if err := market.Permit(r.by.Scopes, rt.scopes...); err != nil {
			return answer{}, err
		}
		if err := h.covered(r); err != nil {
			return answer{}, err
		}
	}
	a, err := rt.handle(r)
	if err != nil && r.once != "" {
		return h.replay(r, err)
	}
	return a, err
}

// identify finds out who asks. For a change through a key, what it looks at is
// read in the same round trip; reads load what they show.
func (h *Handlers) identify(rt route, r *request) (err error) {
	switch {
	case rt.page:
		return h.identifyVisitor(rt, r)
	case rt.auth == key || rt.auth == operator || rt.optional && bearer(r.echo.Request()) != "":
		id, did := r.echo.Param("id"), r.echo.Param("did")
		if rt.method == http.MethodGet {
			id = ""
		}
		r.by, err = h.Store.Identify(r.ctx(), bearer(r.echo.Request()), market.TaskID(id), market.DeliveryID(did), rt.purpose)
		r.actor = r.by.Actor
		// An operator's key opens the operators' routes, and no key others'; on
		// a public one it is nobody's.
		switch {
		case err != nil || (rt.auth == operator) == r.actor.Operator:
		case rt.optional:
			r.by, r.actor = store.Caller{}, market.Actor{}
		default:
			err = market.ErrForbidden
		}
	}
	return err
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
		return answer{status: stored.Status, location: stored.Location, to: stored.Location, raw: stored.Body, replayed: true}, nil
	case errors.Is(err, market.ErrIdempotencyReused):
		return answer{}, err
	}
	return answer{}, refusal
}

func (r *request) read(rt route) error {
	if rt.upload {
		return nil
	}
	req, limit := r.echo.Request(), int64(maxBody)
	if rt.page {
		limit = maxForm
	}
	if rt.body || (rt.page && req.Method == http.MethodPost) {
		media, params, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
		if rt.files && media == echo.MIMEMultipartForm && params["boundary"] != "" {
			r.multipart = params["boundary"]
			return nil
		}
		form := media == echo.MIMEApplicationForm
		if err != nil || form != rt.page || (!form && media != "application/json" && !strings.HasSuffix(media, "+json")) {
			return market.ErrUnsupportedMediaType
		}
	}
	if req.Body == nil {
		return nil
	}
	var err error
	r.body, err = io.ReadAll(http.MaxBytesReader(r.echo.Response(), req.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return market.ErrTooLarge
	case err != nil:
		return market.ErrUnreadable
	}
	if rt.page && req.Method == http.MethodPost {
		if r.form, err = url.ParseQuery(string(r.body)); err != nil {
			return market.ErrUnreadable
		}
	}
	return nil
}

// onceField is the hidden field that carries a page's idempotency key.
const onceField = "idempotencyKey"

func (r *request) readOnce(rt route) error {
	k := r.echo.Request().Header.Get("Idempotency-Key")
	if rt.page {
		k = r.form.Get(onceField)
	}
	switch {
	case rt.once == onceIgnored:
		return nil
	case k == "" && rt.once == onceRequired:
		return market.ErrIdempotencyRequired
	case len(k) > 255 || strings.IndexFunc(k, func(c rune) bool { return c < ' ' || c > '~' }) >= 0:
		return market.ErrIdempotencyMalformed
	}
	r.once = strings.Trim(k, `"`)
	return nil
}

// invalid is the refusal of all fields that are wrong, or nil: those of a form
// that could not be read, and of the others those that say something else.
func (r *request) invalid(bad []market.FieldError) error {
	all := slices.Clone(r.faults)
	for _, f := range bad {
		if !slices.ContainsFunc(r.faults, func(known market.FieldError) bool { return known.Pointer == f.Pointer }) {
			all = append(all, f)
		}
	}
	return market.Invalid(all)
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
	by.Once = &store.Once{Key: apart(by, r.once), Hash: hash.Sum(nil)}
	if present != nil {
		by.Once.Answer = func(v any) (store.Answer, error) {
			a := present(v)
			if r.form != nil {
				return store.Answer{Status: http.StatusSeeOther, Location: a.to, Body: []byte{}}, nil
			}
			body, err := a.body()
			return store.Answer{Status: a.statusOr(http.StatusOK), Location: a.location, Body: body}, err
		}
	}
	return by
}

// decode reads the body strictly into v: an unknown member, a wrong type or a
// member given twice is an error with its pointer. A form is read into the
// same struct; what cannot be read waits for invalid, so that people see all
// that is wrong at once.
func (r *request) decode(v any) error {
	if r.form != nil {
		r.faults = decodeForm(r.form, v)
		return nil
	}
	return decodeStrictly(r.body, "", v)
}

// decodeStrictly reads JSON that stands at the pointer of the body.
func decodeStrictly(text []byte, at string, v any) error {
	err := jsonv2.Unmarshal(text, v, jsonv2.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	var semantic *jsonv2.SemanticError
	if errors.As(err, &semantic) {
		code := "type"
		if errors.Is(err, jsonv2.ErrUnknownName) {
			code = "unknown_member"
		}
		return market.Field(at+string(semantic.JSONPointer), code, nil)
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return market.Field(at+string(syntactic.JSONPointer), "duplicate", nil)
		}
		return market.Field(at+string(syntactic.JSONPointer), "text", nil)
	}
	return market.ErrUnreadable
}

// pathID is an id of the path; a malformed one names nothing.
func pathID[T ~string](r *request, name string) (T, error) {
	id := r.echo.Param(name)
	if !market.ValidID(id) {
		return "", market.ErrNotFound
	}
	return T(id), nil
}

// taskID and deliveryID are those of a task's path.
func (r *request) taskID() (market.TaskID, error) { return pathID[market.TaskID](r, "id") }

func (r *request) deliveryID() (market.TaskID, market.DeliveryID, error) {
	id, err := r.taskID()
	if err != nil {
		return "", "", err
	}
	did, err := pathID[market.DeliveryID](r, "did")
	return id, did, err
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

// before is the cursor of a list that is ordered by id.
func (q *query) before() string {
	var c struct {
		ID string `json:"id"`
	}
	q.cursor(&c)
	return q.id(c.ID)
}

func encodeCursor(v any) *string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain strings and numbers
	}
	s := base64.RawURLEncoding.EncodeToString(b)
	return &s
}
