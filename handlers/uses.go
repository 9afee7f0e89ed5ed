package handlers

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
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

// uses remember where keys were used, until they are written down: outside the
// requests, and lost if the server stops before.
type uses struct {
	write func(context.Context, map[market.KeyID]store.KeyUse) error
	every time.Duration

	mu      sync.Mutex
	pending map[market.KeyID]store.KeyUse
	written map[market.KeyID]time.Time
}

func (u *uses) note(id market.KeyID, from netip.Addr) {
	now := time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	if now.Sub(u.written[id]) < noteKey {
		return
	}
	if u.pending == nil {
		u.pending = map[market.KeyID]store.KeyUse{}
		time.AfterFunc(u.every, u.flush)
	}
	u.pending[id] = store.KeyUse{At: now.UTC(), From: from}
}

// flush writes what is pending; what cannot be written is forgotten, the next
// use will tell.
func (u *uses) flush() {
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

// keysInURL finds the API keys in the path and the query.
func keysInURL(r *http.Request) []string {
	query, err := url.QueryUnescape(r.URL.RawQuery)
	if err != nil {
		query = r.URL.RawQuery
	}
	return market.KeysIn(r.URL.Path + " " + query)
}

// refuseLeak ends the keys that an address contains and tells so.
func (h *Handlers) refuseLeak(w http.ResponseWriter, r *http.Request, keys []string) {
	if err := h.Store.RevokeLeaked(r.Context(), keys); err != nil {
		h.Logger.Error("a key in an address was not revoked", "requestId", w.Header().Get("X-Request-Id"), "error", err)
		h.refuse(w, r, market.ErrUnavailable)
		return
	}
	clean := *r.URL
	clean.Path, clean.RawPath, clean.RawQuery = market.WithoutKeys(r.URL.Path), "", ""
	r = r.Clone(r.Context())
	r.URL = &clean
	h.refuse(w, r, market.ErrKeyInURL)
}
