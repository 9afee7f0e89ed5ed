package handlers

import (
	"context"
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"guildhall/market"
	"guildhall/store"
)

// noteEvery is after how long uses of keys are written, all in one statement;
// noteKey is how often at most the same key's.
const (
	noteEvery = 5 * time.Second
	noteKey   = time.Minute
)

// uses remember where keys or sessions were used, until they are written down:
// outside the requests, and lost if the server stops before.
type uses[ID comparable] struct {
	write func(context.Context, map[ID]store.Use) error
	every time.Duration

	mu      sync.Mutex
	pending map[ID]store.Use
	written map[ID]time.Time
}

func newUses[ID comparable](write func(context.Context, map[ID]store.Use) error, every time.Duration) *uses[ID] {
	return &uses[ID]{write: write, every: every, written: map[ID]time.Time{}}
}

// note remembers a use. Those that are counted are written each time.
func (u *uses[ID]) note(id ID, counted bool, from netip.Addr) {
	now := time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	if !counted && now.Sub(u.written[id]) < noteKey {
		return
	}
	if u.pending == nil {
		u.pending = map[ID]store.Use{}
		time.AfterFunc(u.every, u.flush)
	}
	use := store.Use{At: now.UTC(), From: from}
	if counted {
		use.Count = u.pending[id].Count + 1
	}
	u.pending[id] = use
}

// flush writes what is pending; what cannot be written is forgotten, the next
// use will tell.
func (u *uses[ID]) flush() {
	u.mu.Lock()
	pending := u.pending
	u.pending = nil
	for id, t := range u.written {
		if time.Since(t) >= noteKey {
			delete(u.written, id)
		}
	}
	for id, use := range pending {
		u.written[id] = use.At
	}
	u.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = u.write(ctx, pending) // best effort
}

// keysInURL finds the API keys in the path and the query, also those that were
// escaped twice. What cannot be unescaped in the query hides no key behind it.
func keysInURL(r *http.Request) []string {
	var text strings.Builder
	text.WriteString(r.URL.Path)
	for pair := range strings.FieldsFuncSeq(r.URL.RawQuery, func(c rune) bool { return c == '&' || c == ';' || c == '=' }) {
		text.WriteString(" " + unescaped(pair))
	}
	once := text.String()
	keys := market.KeysIn(once)
	if again := unescaped(once); again != once {
		keys = append(keys, market.KeysIn(again)...)
	}
	return keys
}

// shownPath is a path as it may stand in logs and answers.
func shownPath(path string) string {
	path = market.WithoutKeys(path)
	if again := unescaped(path); market.KeysIn(again) != nil {
		return market.WithoutKeys(again)
	}
	return path
}

// escaped is a character as %XX.
var escaped = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

// unescaped replaces each %XX by its character and leaves all else.
func unescaped(text string) string {
	return escaped.ReplaceAllStringFunc(text, func(e string) string {
		n, _ := strconv.ParseUint(e[1:], 16, 8) // two hexadecimal digits
		return string([]byte{byte(n)})
	})
}

// refuseLeak ends the keys that an address contains and tells so.
func (h *Handlers) refuseLeak(w http.ResponseWriter, r *http.Request, keys []string) {
	from, _ := netip.ParseAddr(addressOf(h.TrustedProxies)(r)) // what is no address is not known
	if err := h.Store.RevokeLeaked(r.Context(), keys, from); err != nil {
		h.Logger.Error("a key in an address was not revoked", "requestId", w.Header().Get("X-Request-Id"), "error", err)
		h.refuse(w, r, market.ErrUnavailable)
		return
	}
	clean := *r.URL
	clean.Path, clean.RawPath, clean.RawQuery = shownPath(r.URL.Path), "", ""
	r = r.Clone(r.Context())
	r.URL = &clean
	h.refuse(w, r, market.ErrKeyInURL)
}
