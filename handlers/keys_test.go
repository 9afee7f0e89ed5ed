package handlers_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"guildhall/handlers"
	"guildhall/market"
)

const keysAt = "/api/v1/agent/keys"

// keyOf is the list's entry with the prefix of the key.
func keyOf(t testing.TB, s *server, by, key string) reply {
	t.Helper()
	l := s.want(t, 200, s.call(t, by, "GET", keysAt, nil))
	if strings.Contains(l.text, by) || strings.Contains(l.text, "hash") {
		t.Fatalf("the list shows a secret: %s", l.text)
	}
	for _, i := range l.at("items").([]any) {
		if k := i.(map[string]any); k["prefix"] == market.KeyHint(key) {
			return reply{json: k}
		}
	}
	t.Fatalf("no %s in %s", market.KeyHint(key), l.text)
	return reply{}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	first := s.register(t)
	for bad, pointer := range map[string]string{`{"name":" "}`: "/name", `{"name":"x","scopes":[]}`: "/scopes", `{"name":"x","scopes":["tasks:read","keys"]}`: "/scopes/1",
		`{"name":"x","expiresAt":"2020-01-01T00:00:00Z"}`: "/expiresAt", `{"name":"x","expiresAt":"2099-01-01T00:00:00Z"}`: "/expiresAt", `{"name":"` + strings.Repeat("x", 61) + `"}`: "/name"} {
		if r := s.call(t, first, "POST", keysAt, bad); r.status != 422 || r.at("errors.0.pointer") != pointer {
			t.Errorf("%s: %d %s, want 422 at %s", bad, r.status, r.text, pointer)
		}
	}
	once := unique("key")
	body := map[string]any{"name": "night shift", "scopes": []string{"wallet:read"}, "expiresAt": time.Now().Add(time.Hour).UTC()}
	made := s.want(t, 201, s.call(t, first, "POST", keysAt, body, "Idempotency-Key", once))
	second := made.at("apiKey").(string)
	again := s.call(t, first, "POST", keysAt, body, "Idempotency-Key", once)
	if again.status != 409 || again.code() != "already_done" || again.at("key.id") != made.at("key.id") || strings.Contains(again.text, second) {
		t.Errorf("a retry: %d %s", again.status, again.text)
	}
	var kept int
	if err := s.store.DB().Get(&kept, `SELECT count(*) FROM idempotency WHERE convert_from(answer, 'UTF8') LIKE '%' || $1 || '%'`, second); err != nil || kept != 0 {
		t.Errorf("%d stored answers have the key, %v", kept, err)
	}
	if k := keyOf(t, s, first, first); k.at("current") != true || k.at("name") != "first" || k.at("scopes") != nil {
		t.Errorf("the first: %v", k.json)
	}
	if k := keyOf(t, s, first, second); k.at("current") != false || k.at("scopes.0") != "wallet:read" || k.at("expiresAt") == nil {
		t.Errorf("the second: %v", k.json)
	}
	s.want(t, 200, s.call(t, second, "GET", "/api/v1/agent/wallet", nil))
	own := keysAt + "/" + keyOf(t, s, first, first).at("id").(string)
	if r := s.call(t, first, "DELETE", own, nil); r.status != 409 || r.code() != "last_key" {
		t.Errorf("the last key: %d %s", r.status, r.text)
	}
	if r := s.call(t, s.register(t), "DELETE", own, nil); r.status != 404 {
		t.Errorf("another's key: %d %s", r.status, r.text)
	}
	gone := s.want(t, 200, s.call(t, first, "DELETE", keysAt+"/"+made.at("key.id").(string)+"?reason=lost", nil, "Idempotency-Key", "gone"))
	if again := s.want(t, 200, s.call(t, first, "DELETE", keysAt+"/"+made.at("key.id").(string)+"?reason=lost", nil, "Idempotency-Key", "gone")); again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a retry: %s", again.text)
	}
	if gone.at("revokedReason") != "lost" || gone.at("revokedAt") == nil {
		t.Errorf("revoked: %s", gone.text)
	}
	s.want(t, 401, s.call(t, second, "GET", "/api/v1/agent/wallet", nil))
	if r := s.call(t, first, "DELETE", keysAt+"/"+made.at("key.id").(string), nil); r.code() != "already_done" {
		t.Errorf("revoked again: %s", r.text)
	}
}

func TestKeysRotate(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	first := s.register(t)
	at := keysAt + "/" + keyOf(t, s, first, first).at("id").(string)
	if r := s.call(t, first, "POST", at+"/rotate", `{"overlapMinutes":10081}`); r.status != 422 {
		t.Errorf("too long: %d %s", r.status, r.text)
	}
	next := s.want(t, 201, s.call(t, first, "POST", at+"/rotate", nil)).at("apiKey").(string)
	left, err := time.Parse(time.RFC3339Nano, keyOf(t, s, next, first).at("expiresAt").(string))
	if d := time.Until(left); err != nil || d < 23*time.Hour || d > 24*time.Hour {
		t.Errorf("the old key ends in %s, %v", d, err)
	}
	if k := keyOf(t, s, next, next); k.at("name") != "first" || k.at("expiresAt") != nil {
		t.Errorf("the new key: %v", k.json)
	}
	s.want(t, 200, s.call(t, first, "GET", keysAt, nil))
	if r := s.call(t, next, "POST", at+"/rotate", nil); r.status != 409 || r.code() != "already_done" {
		t.Errorf("rotated twice: %d %s", r.status, r.text)
	}
	second := keysAt + "/" + keyOf(t, s, next, next).at("id").(string)
	third := s.want(t, 201, s.call(t, next, "POST", second+"/rotate", `{"overlapMinutes":0}`)).at("apiKey").(string)
	s.want(t, 401, s.call(t, next, "GET", keysAt, nil))
	if r := s.call(t, third, "POST", second+"/rotate", nil); r.status != 409 || r.code() != "key_ended" {
		t.Errorf("an expired key: %d %s", r.status, r.text)
	}
}

// TestRaceKeys rotates a key many times at once, revokes two keys that are
// each other's last, and uses a key while it is revoked.
func TestRaceKeys(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	first := s.register(t)
	at := keysAt + "/" + keyOf(t, s, first, first).at("id").(string)
	together := func(n int, f func(int) reply) map[int]int {
		var mu sync.Mutex
		var wg sync.WaitGroup
		got := map[int]int{}
		for i := range n {
			wg.Go(func() {
				r := f(i)
				mu.Lock()
				got[r.status]++
				mu.Unlock()
			})
		}
		wg.Wait()
		return got
	}
	if got := together(8, func(int) reply { return s.call(t, first, "POST", at+"/rotate", nil) }); got[201] != 1 || got[409] != 7 {
		t.Errorf("eight rotations: %v", got)
	}
	for range 5 {
		a := s.register(t)
		b := s.want(t, 201, s.call(t, a, "POST", keysAt, `{"name":"b"}`)).at("apiKey").(string)
		keys := []string{a, b}
		ids := []string{keyOf(t, s, a, a).at("id").(string), keyOf(t, s, a, b).at("id").(string)}
		if got := together(2, func(i int) reply { return s.call(t, keys[i], "DELETE", keysAt+"/"+ids[i], nil) }); got[200] != 1 || got[409] != 1 {
			t.Errorf("each other's last: %v", got)
		}
	}
	owner := s.register(t)
	victim := s.want(t, 201, s.call(t, owner, "POST", keysAt, `{"name":"v"}`))
	key := victim.at("apiKey").(string)
	together(9, func(i int) reply {
		if i == 0 {
			r := s.call(t, owner, "DELETE", keysAt+"/"+victim.at("key.id").(string), nil)
			if after := s.call(t, key, "GET", "/api/v1/agent/wallet", nil); after.status != 401 {
				t.Errorf("a revoked key got %d", after.status)
			}
			return r
		}
		r := s.call(t, key, "GET", "/api/v1/agent/wallet", nil)
		if r.status != 200 && r.status != 401 {
			t.Errorf("in use: %d %s", r.status, r.text)
		}
		return r
	})
}

// TestKeyInURL leaks keys in every part of an address: they are worthless
// after that, and the log has none of them.
func TestKeyInURL(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, address := range []string{"/api/v1/market/tasks?api_key=KEY", "/api/v1/agent/tasks/KEY", "/KEY", "/market?q=x%20KEY", "/static/KEY", "/api/v1/health?KEY=1", "/market?q=%ZZ&a=KEY",
		"/market?a=ONCE", "/market?q=%ZZ&a=ONCE", "/market?q=TWICE", "/api/v1/agent/tasks/TWICE", "/api/v1/health?TWICE;x=%Z"} {
		key := s.register(t)
		once := strings.Replace(key, "_", "%5F", 1)
		twice := strings.ReplaceAll(once, "%", "%25")
		r := s.call(t, "", http.MethodGet, strings.NewReplacer("KEY", key, "ONCE", once, "TWICE", twice).Replace(address), nil)
		if r.status != 401 || strings.Contains(r.text, key[4:]) || (strings.HasPrefix(address, "/api/") && r.code() != "key_in_url") {
			t.Errorf("%s: %d %s", address, r.status, r.text)
		}
		s.want(t, 401, s.call(t, key, "GET", keysAt, nil))
		var reason string
		if err := s.store.DB().Get(&reason, `SELECT revoked_reason FROM api_keys WHERE hash = $1`, market.HashKey(key)); err != nil || reason != "in_url" {
			t.Errorf("%s: revoked for %q, %v", address, reason, err)
		}
		if strings.Contains(s.log.String(), key[4:]) {
			t.Errorf("%s: the log has the key", address)
		}
	}
	key := s.register(t)
	wrong := key[:39] + map[bool]string{true: "y", false: "x"}[key[39] == 'x']
	if r := s.call(t, key, "GET", "/api/v1/market/tasks?q="+wrong, nil); r.code() == "key_in_url" {
		t.Errorf("what is no key: %s", r.text)
	}
}

func TestKeyUseIsNoted(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(o *handlers.Options) { o.NoteUses = 50 * time.Millisecond })
	key := s.register(t)
	var k reply
	for range 100 {
		if k = keyOf(t, s, key, key); k.at("lastUsedAt") != nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if k.at("lastUsedAt") == nil || k.at("lastUsedFrom") != "127.0.0.1" {
		t.Fatalf("the key is %v", k.json)
	}
	was := k.at("lastUsedAt")
	time.Sleep(200 * time.Millisecond)
	if k = keyOf(t, s, key, key); k.at("lastUsedAt") != was {
		t.Errorf("written again within a minute: %v, was %v", k.at("lastUsedAt"), was)
	}
}
