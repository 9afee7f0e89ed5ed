package store_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"guildhall/market"
	"guildhall/store/storetest"
)

// TestRaceNarrowingAndWebhook: whichever comes first, a bundle has no webhook
// that tells of what it may no longer know.
func TestRaceNarrowingAndWebhook(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	owner := human(t, s)
	task := publish(t, s, owner, 1)
	all := []market.Scope{market.TasksRead, market.WalletRead, market.WebhooksWrite}
	for what, n := range map[string]market.Narrowing{
		"the task":   {Tasks: []market.TaskID{task.ID}},
		"the wallet": {Scopes: []market.Scope{market.TasksRead, market.WebhooksWrite}},
		"webhooks":   {Scopes: []market.Scope{market.TasksRead}},
	} {
		for i := range 8 {
			b, by := handedOver(t, s, owner, func(d *market.BundleDraft) { d.Scopes = all })
			make := func() error {
				_, _, err := s.NewWebhook(t.Context(), by, market.WebhookDraft{URL: "https://example.org/"})
				return err
			}
			var both sync.WaitGroup
			var refused error
			if i == 0 { // the request was let in before
				if _, err := s.NarrowBundle(t.Context(), owner, b.ID, n); err != nil {
					t.Fatal(err)
				}
				refused = make()
			} else {
				both.Go(func() { refused = make() })
				both.Go(func() {
					if _, err := s.NarrowBundle(t.Context(), owner, b.ID, n); err != nil {
						t.Error(err)
					}
				})
				both.Wait()
			}
			left, err := s.Webhooks(t.Context(), by.Actor)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range left {
				if what != "the wallet" || len(w.Types) == 0 || slices.ContainsFunc(market.FeedTypesOf(market.FeedOfMoney), func(x market.FeedType) bool { return slices.Contains(w.Types, x) }) {
					t.Errorf("narrowed to %s, the bundle has a webhook for %v", what, w.Types)
				}
			}
			if refused != nil && !errors.Is(refused, market.ErrBundleLimited) && !errors.Is(refused, market.ErrScopeMissing) {
				t.Errorf("refused with %v", refused)
			}
			if _, err := s.RevokeBundle(t.Context(), owner, b.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestWebhookOfNarrowKey: a key is told of what it may read, and of nothing if
// that is nothing.
func TestWebhookOfNarrowKey(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	owner := human(t, s)
	money := market.FeedTypesOf(market.FeedOfMoney)
	_, reader := handedOver(t, s, owner, func(d *market.BundleDraft) { d.Scopes = []market.Scope{market.WalletRead, market.WebhooksWrite} })
	w, _, err := s.NewWebhook(t.Context(), reader, market.WebhookDraft{URL: "https://example.org/"})
	if err != nil || !slices.Equal(w.Types, money) {
		t.Errorf("a key that reads the wallet is told of %v, %v", w.Types, err)
	}
	_, blind := handedOver(t, s, owner, func(d *market.BundleDraft) { d.Scopes = []market.Scope{market.WebhooksWrite} })
	for _, types := range [][]market.FeedType{nil, {market.FeedWebhookTest}, {market.FeedTypesOf(market.FeedOfTasks)[0]}} {
		if _, _, err := s.NewWebhook(t.Context(), blind, market.WebhookDraft{URL: "https://example.org/", Types: types}); !errors.Is(err, market.ErrScopeMissing) {
			t.Errorf("a key that reads nothing has a webhook for %v: %v", types, err)
		}
	}
}

// TestRevokingNamesWebhooks: who revokes a key learns which webhooks were made
// with it, and so does the owner of a key that leaked.
func TestRevokingNamesWebhooks(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	me := agent(t, s)
	var made []market.WebhookID
	var texts []string
	var keys []market.Key
	for range 2 {
		k, text, err := s.NewKey(t.Context(), me, market.KeyDraft{Name: "spare"})
		if err != nil {
			t.Fatal(err)
		}
		with := me
		with.Key = k.ID
		w, _, err := s.NewWebhook(t.Context(), with, market.WebhookDraft{URL: "https://example.org/"})
		if err != nil || w.MadeBy != k.ID {
			t.Fatalf("made by %q: %v", w.MadeBy, err)
		}
		made, texts, keys = append(made, w.ID), append(texts, text), append(keys, k)
	}
	k, err := s.RevokeKey(t.Context(), me, keys[0].ID, "stolen")
	if err != nil || !slices.Equal(k.Webhooks, made[:1]) {
		t.Errorf("revoked, the key names %v, %v", k.Webhooks, err)
	}
	if err := s.RevokeLeaked(t.Context(), texts[1:], home.From); err != nil {
		t.Fatal(err)
	}
	if w, err := s.Webhook(t.Context(), me.Actor, made[1]); err != nil || w.MadeBy != keys[1].ID {
		t.Errorf("afterwards it is %+v, %v", w, err)
	}
	var told string
	if err := s.DB().Get(&told, `SELECT data ->> 'webhookIds' FROM account_events WHERE account_id = $1 AND type = $2`, me.Account, string(market.FeedKeyRevoked)); err != nil || told != `["`+string(made[1])+`"]` {
		t.Errorf("the owner is told of %s, %v", told, err)
	}
}
