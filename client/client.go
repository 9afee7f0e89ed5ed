package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxAnswer bounds what is read of one JSON answer, in bytes: a page of a
// hundred deliveries with the largest outputs is below it.
const maxAnswer = 64 << 20

// maxTry is how long one try may take: longer than any long poll.
const maxTry = 90 * time.Second

// Options are how a client behaves; the zero value is ready for use.
type Options struct {
	// HTTP sends the requests; nil for one of the client's own. Its redirects
	// are followed only where the key may go.
	HTTP *http.Client
	// Patience is for how long a call is tried again, in all; 0 for a minute,
	// negative for a single try.
	Patience time.Duration
	// UserAgent names the program.
	UserAgent string
}

// Client is a marketplace and the account to act for. It is safe for use by
// several goroutines at once.
type Client struct {
	base      *url.URL
	key       string
	http      *http.Client
	patience  time.Duration
	userAgent string
}

// New returns a client of the server at the address, such as
// https://guild.example. The key may be "" for what is public. It is sent to
// this server only, and no error or log of this package bears it.
func New(base, key string, o Options) (*Client, error) {
	u, err := url.Parse(strings.TrimSuffix(strings.TrimSuffix(strings.TrimSpace(base), "/"), "/api/v1"))
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("%q is no http or https address of a server", base)
	}
	if strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return nil, errors.New("the key has characters that no key has")
	}
	c := &Client{base: u, key: key, patience: o.Patience, userAgent: o.UserAgent}
	if c.patience == 0 {
		c.patience = time.Minute
	}
	if c.userAgent == "" {
		c.userAgent = "guildhall-client"
	}
	own := http.Client{Transport: http.DefaultTransport}
	if t, ok := own.Transport.(*http.Transport); ok && o.HTTP == nil {
		t = t.Clone()
		t.MaxIdleConnsPerHost = 16 // all connections go to one host
		own.Transport = t
	}
	if o.HTTP != nil {
		own = *o.HTTP
	}
	own.CheckRedirect, own.Jar = c.checkRedirect, nil
	c.http = &own
	return c, nil
}

// Host is the server's host and port.
func (c *Client) Host() string { return c.base.Host }

// Private reports whether nobody between here and the server reads what is
// sent: it is encrypted, or does not leave the machine.
func (c *Client) Private() bool {
	name := c.base.Hostname()
	ip := net.ParseIP(name)
	return c.base.Scheme == "https" || name == "localhost" || ip != nil && ip.IsLoopback()
}

// HasKey reports whether the client acts for an account.
func (c *Client) HasKey() bool { return c.key != "" }

// KeyIn reports whether the text contains the client's key, which is for the
// server only.
func (c *Client) KeyIn(text []byte) bool { return c.key != "" && bytes.Contains(text, []byte(c.key)) }

// With is the same client with another key.
func (c *Client) With(key string) (*Client, error) {
	return New(c.base.String(), key, Options{HTTP: c.http, Patience: c.patience, UserAgent: c.userAgent})
}

// WithPatience is the same client that tries calls again for so long; see
// Options.
func (c *Client) WithPatience(d time.Duration) *Client {
	other := *c
	other.patience = d
	return &other
}

// checkRedirect follows a server only to itself: the standard library would
// show the key to every host below the same name.
func (c *Client) checkRedirect(req *http.Request, via []*http.Request) error {
	if req.URL.Host != c.base.Host || req.URL.Scheme != c.base.Scheme || len(via) > 5 {
		return fmt.Errorf("%w to %s://%s, which does not get the key", errElsewhere, req.URL.Scheme, req.URL.Host)
	}
	return nil
}

var errElsewhere = errors.New("the server leads elsewhere,")

// NewKey returns a fresh Idempotency-Key.
func NewKey() string { return rand.Text() }

// call is a request that has not been sent.
type call struct {
	method, path string
	query        url.Values
	in           any
	// once is the Idempotency-Key, "" for none.
	once string
	// unsafe calls must not be made twice: only a connection that never came
	// about is tried again.
	unsafe bool
}

// do makes the call until it is answered or the patience is at its end.
func (c *Client) do(ctx context.Context, q call, out any) error {
	var body []byte
	if q.in != nil {
		var err error
		if body, err = encode(q.in); err != nil {
			return err
		}
	}
	return c.again(ctx, q.unsafe, func() error {
		var sent io.Reader
		if body != nil {
			sent = bytes.NewReader(body)
		}
		ctx, cancel := context.WithTimeout(ctx, maxTry)
		defer cancel()
		res, err := c.send(ctx, q, sent, int64(len(body)), "application/json")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		return decode(res.Body, out)
	})
}

// encode writes the same bytes for the same value, so that a request that is
// made again is the same request.
func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return buf.Bytes(), err
}

func decode(body io.Reader, out any) error {
	text, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	switch {
	case err != nil:
		return &broken{err}
	case len(text) > maxAnswer:
		return errors.New("the answer is too large")
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("the answer is not what a Guildhall server says: %w", err)
	}
	return nil
}

// broken is a failure between client and server.
type broken struct{ err error }

func (b *broken) Error() string { return b.err.Error() }
func (b *broken) Unwrap() error { return b.err }

// send makes one request and returns its answer if it was a success.
func (c *Client) send(ctx context.Context, q call, body io.Reader, size int64, mediaType string) (*http.Response, error) {
	u := *c.base
	u.Path += "/api/v1" + q.path
	u.RawQuery = q.query.Encode()
	req, err := http.NewRequestWithContext(ctx, q.method, u.String(), body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", mediaType)
		req.ContentLength = size
	}
	req.Header.Set("User-Agent", c.userAgent)
	req.Header.Set("Accept", "application/json")
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	if q.once != "" {
		req.Header.Set("Idempotency-Key", q.once)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, &broken{err}
	}
	if res.StatusCode >= 300 {
		defer res.Body.Close()
		return nil, readProblem(res)
	}
	return res, nil
}

// again makes a try until it succeeds, fails for good, or the patience ends.
func (c *Client) again(ctx context.Context, unsafe bool, try func() error) error {
	deadline := time.Now().Add(c.patience)
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		err := try()
		wait, retry := worthAnother(err, unsafe, pause)
		if !retry || ctx.Err() != nil || time.Now().Add(wait).After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// worthAnother says whether a try can be followed by another, and when.
func worthAnother(err error, unsafe bool, pause time.Duration) (time.Duration, bool) {
	if err == nil || errors.Is(err, errElsewhere) {
		return 0, false
	}
	pause += mathrand.N(pause/2 + 1)
	var lost *broken
	if errors.As(err, &lost) {
		var op *net.OpError
		refused := errors.As(err, &op) && op.Op == "dial"
		return pause, refused || !unsafe
	}
	var p *Problem
	if !errors.As(err, &p) {
		return 0, false
	}
	switch {
	case p.Status == http.StatusTooManyRequests, p.Status == http.StatusServiceUnavailable && !unsafe:
		return max(p.RetryAfter, pause), true
	case p.Code == "idempotency_in_progress", p.Status >= 500 && !unsafe:
		return pause, true
	}
	return 0, false
}

// Page is a part of a list.
type Page[T any] struct {
	Items []T `json:"items"`
	// NextCursor leads to the next part, "" after the last.
	NextCursor string `json:"nextCursor"`
}

// Paging is which part of a list is wanted.
type Paging struct {
	// Limit is how many items, 1 to 100; 0 for the server's choice.
	Limit  int
	Cursor string
}

func (p Paging) values() url.Values {
	v := url.Values{}
	if p.Limit > 0 {
		v.Set("limit", strconv.Itoa(p.Limit))
	}
	set(v, "cursor", p.Cursor)
	return v
}

func set(v url.Values, name, value string) {
	if value != "" {
		v.Set(name, value)
	}
}

// taskPath is the path of an own task, with more behind it.
func taskPath(id string, more ...string) string {
	path := "/agent/tasks/" + url.PathEscape(id)
	for _, m := range more {
		path += "/" + url.PathEscape(m)
	}
	return path
}
