package store_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// heard takes every call.
type heard chan market.WebhookCall

func (h heard) Send(_ context.Context, c market.WebhookCall) market.WebhookResult {
	h <- c
	return market.WebhookResult{Status: 200}
}

// TestRekeyOfWebhooks turns the key that seals the secrets of webhooks, both of
// one that is being rotated.
func TestRekeyOfWebhooks(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	keys := store.NewSecretKey()
	set := func(text string) error { mu.Lock(); defer mu.Unlock(); keys = text; return nil }
	vault, err := store.NewVault(func() (string, error) { mu.Lock(); defer mu.Unlock(); return keys, nil })
	if err != nil {
		t.Fatal(err)
	}
	s := storetest.New(t, func(o *store.Options) { o.Vault = vault })
	owner := agent(t, s)
	w, first, err := s.NewWebhook(t.Context(), owner, market.WebhookDraft{URL: "https://example.org/"})
	if err != nil {
		t.Fatal(err)
	}
	_, second, err := s.RotateWebhook(t.Context(), owner, w.ID)
	if err != nil {
		t.Fatal(err)
	}
	old, fresh := keys, store.NewSecretKey()
	if n, err := s.Rekey(t.Context(), func() error { return set(fresh + "\n" + old) }, func() error { return set(fresh) }); err != nil || n != 1 {
		t.Fatalf("sealed %d anew, %v; want one webhook", n, err)
	}
	if err := s.CheckKeys(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := s.TestWebhook(t.Context(), owner, w.ID); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	calls := make(heard, 8)
	go s.SendWebhooks(ctx, calls, func(err error) { t.Error(err) })
	select {
	case c := <-calls:
		if !slices.Equal(c.Secrets, []string{second, first}) {
			t.Errorf("signed with %d secrets that are others after the key was turned", len(c.Secrets))
		}
	case <-ctx.Done():
		t.Error("nothing was sent after the key was turned")
	}
	if err := set(store.NewSecretKey()); err != nil {
		t.Fatal(err)
	}
	other, err := store.NewVault(func() (string, error) { return store.NewSecretKey(), nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.WithVault(other).CheckKeys(t.Context()); err == nil {
		t.Error("a missing key is not missed")
	}
}

// TestRaceWebhooks adds many webhooks at once: the account gets as many as it
// may have.
func TestRaceWebhooks(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	owner := agent(t, s)
	var adding sync.WaitGroup
	for range 2 * market.MaxWebhooks {
		adding.Go(func() { _, _, _ = s.NewWebhook(t.Context(), owner, market.WebhookDraft{URL: "https://example.org/"}) }) // half of them fail
	}
	adding.Wait()
	all, err := s.Webhooks(t.Context(), owner.Actor)
	if err != nil || len(all) != market.MaxWebhooks {
		t.Errorf("%d webhooks, %v; want %d", len(all), err, market.MaxWebhooks)
	}
}
