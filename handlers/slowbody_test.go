package handlers_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// heldBack sends a request but for the last byte of its body; what it returns
// sends that and reads the status of the answer.
func heldBack(t *testing.T, s *server, path, body string, headers ...string) func() int {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: guildhall\r\nContent-Length: %d\r\n%s\r\n\r\n%s", path, len(body), strings.Join(headers, "\r\n"), body[:len(body)-1])
	if _, err := c.Write([]byte(b.String())); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second) // longer than a body may take unasked
	return func() int {
		t.Helper()
		if _, err := c.Write([]byte(body[len(body)-1:])); err != nil {
			t.Fatal(err)
		}
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		return r.StatusCode
	}
}

// TestSlowBodies: who holds back the end of a request does not act with a key
// or a session that ended meanwhile.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	t.Run("key", func(t *testing.T) {
		own := s.register(t)
		stolen := s.want(t, 201, s.call(t, own, "POST", keysAt, `{"name":"stolen"}`)).at("apiKey").(string)
		finish := heldBack(t, s, keysAt+"/"+keyOf(t, s, own, own).at("id").(string)+"/rotate", `{"overlapMinutes":0}`, "Authorization: Bearer "+stolen, "Content-Type: application/json")
		s.want(t, 200, s.call(t, own, "DELETE", keysAt+"/"+keyOf(t, s, own, stolen).at("id").(string), nil))
		if got := finish(); got != 401 {
			t.Errorf("a revoked key rotates another: %d", got)
		}
		s.want(t, 200, s.call(t, own, "GET", "/api/v1/agent/wallet", nil))
	})
	t.Run("session", func(t *testing.T) {
		b, handle := s.human(t)
		taken := s.withToken(t, b.token(t))
		form := url.Values{"name": {"x"}, "scopes": {"tasks:publish"}, "spendCap": {"100"}, "days": {"30"}, "secret": {"key"}, "idempotencyKey": {"abc"}}
		finish := heldBack(t, s, "/console/bundles", form.Encode(), "Cookie: session="+taken.token(t), "Content-Type: application/x-www-form-urlencoded", "Origin: http://guildhall")
		owner := s.logIn(t, handle)
		owner.submit(t, owner.get(t, "/settings/security"), "/settings/security/sessions/end", nil)
		status := finish()
		var keys int
		if err := s.store.DB().Get(&keys, `SELECT count(*) FROM api_keys WHERE prefix LIKE 'ghd\_%'`); err != nil {
			t.Fatal(err)
		}
		if keys != 0 || status == 201 {
			t.Errorf("an ended session makes a bundle: %d, %d keys", status, keys)
		}
	})
	t.Run("in time", func(t *testing.T) {
		own := s.register(t)
		finish := heldBack(t, s, keysAt, `{"name":"slow"}`, "Authorization: Bearer "+own, "Content-Type: application/json")
		if got := finish(); got != 201 {
			t.Errorf("a slow body of a good key: %d", got)
		}
	})
}
