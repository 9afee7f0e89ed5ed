package store_test

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// TestKeysEnd follows keys to their ends: by time, by rotation and by leaking.
func TestKeysEnd(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	by := agent(t, s)
	ends := c.now().Add(time.Hour).Truncate(time.Microsecond)
	k, text, err := s.NewKey(t.Context(), by, market.KeyDraft{Name: "b", Scopes: []market.Scope{market.WalletRead}, ExpiresAt: &ends})
	if err != nil {
		t.Fatal(err)
	}
	opens := func(text string) bool {
		got, err := s.Identify(t.Context(), text, "", "", store.ForChange)
		if err != nil && !errors.Is(err, market.ErrUnauthenticated) {
			t.Fatal(err)
		}
		return err == nil && got.Account == by.Account
	}
	if got, err := s.Identify(t.Context(), text, "", "", store.ForChange); err != nil || len(got.Scopes) != 1 || got.Scopes[0] != market.WalletRead {
		t.Errorf("identified as %+v, %v", got, err)
	}
	next, newer, err := s.RotateKey(t.Context(), by, k.ID, 10*time.Minute)
	if err != nil || next.Name != "b" || len(next.Scopes) != 1 || !next.ExpiresAt.Equal(ends) || !opens(text) || !opens(newer) {
		t.Fatalf("rotated: %+v, %v", next, err)
	}
	c.advance(10 * time.Minute)
	if opens(text) || !opens(newer) {
		t.Error("after the overlap the old key still opens, or the new one does not")
	}
	c.advance(51 * time.Minute)
	if opens(newer) {
		t.Error("an expired key opens")
	}
	// The account's only key without scopes is revoked all the same if it leaks.
	all, err := s.Keys(t.Context(), by.Account, "", 10)
	if err != nil || len(all) != 3 {
		t.Fatalf("the keys are %+v, %v", all, err)
	}
	if _, err := s.RevokeKey(t.Context(), by, all[2].ID, ""); !errors.Is(err, market.ErrLastKey) {
		t.Errorf("the last key: %v", err)
	}
	d, leaked, err := s.NewKey(t.Context(), by, market.KeyDraft{Name: "c"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RevokeLeaked(t.Context(), []string{leaked, market.NewKey(market.AgentKeyPrefix)}, netip.Addr{}); err != nil || opens(leaked) {
		t.Errorf("a leaked key opens, %v", err)
	}
	if all, err = s.Keys(t.Context(), by.Account, "", 1); err != nil || all[0].ID != d.ID || all[0].RevokedReason != market.RevokedInURL {
		t.Errorf("the leaked key is %+v, %v", all, err)
	}
	if _, err := s.RevokeKey(t.Context(), agent(t, s), d.ID, ""); !errors.Is(err, market.ErrNotFound) {
		t.Errorf("another's key: %v", err)
	}
}

// TestNoteKeyUses writes uses down, and not again within a minute.
func TestNoteKeyUses(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	by := agent(t, s)
	k, _, err := s.NewKey(t.Context(), by, market.KeyDraft{Name: "b"})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().UTC().Truncate(time.Second)
	for _, u := range []struct {
		at   time.Time
		from string
		want string
	}{{at, "192.0.2.7", "192.0.2.7"}, {at.Add(59 * time.Second), "192.0.2.8", "192.0.2.7"}, {at.Add(time.Minute), "fe80::1%eth0", "fe80::1"}} {
		if err := s.NoteKeyUses(t.Context(), map[market.KeyID]store.Use{k.ID: {At: u.at, From: netip.MustParseAddr(u.from)}}); err != nil {
			t.Fatal(err)
		}
		all, err := s.Keys(t.Context(), by.Account, "", 1)
		if err != nil || all[0].LastUsedFrom != u.want {
			t.Errorf("after %s from %s: %+v, %v", u.at, u.from, all, err)
		}
	}
}

// TestRaceLastKey revokes all keys of an account at once: one stays.
func TestRaceLastKey(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	for range 5 {
		by := agent(t, s)
		for range 7 {
			if _, _, err := s.NewKey(t.Context(), by, market.KeyDraft{Name: "b"}); err != nil {
				t.Fatal(err)
			}
		}
		all, err := s.Keys(t.Context(), by.Account, "", 10)
		if err != nil || len(all) != 8 {
			t.Fatalf("%d keys, %v", len(all), err)
		}
		errs := make([]error, len(all))
		var wg sync.WaitGroup
		for i, k := range all {
			wg.Go(func() { _, errs[i] = s.RevokeKey(t.Context(), by, k.ID, "") })
		}
		wg.Wait()
		kept := 0
		for _, err := range errs {
			switch {
			case errors.Is(err, market.ErrLastKey):
				kept++
			case err != nil:
				t.Errorf("revoke: %v", err)
			}
		}
		if kept != 1 {
			t.Errorf("%d keys are kept, want 1", kept)
		}
	}
}

// TestRaceNewKeys makes keys at once up to the most that an account has.
func TestRaceNewKeys(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	by := agent(t, s) // with one key
	got := race(market.MaxLiveKeys+10, func(int) error {
		_, _, err := s.NewKey(context.Background(), by, market.KeyDraft{Name: "x"})
		return err
	})
	if got["ok"] != market.MaxLiveKeys-1 || got["too_many_keys"] != 11 {
		t.Errorf("got %v, want %d keys more", got, market.MaxLiveKeys-1)
	}
}

// TestARevokedKeyTouchesNoOther: what was read before the key ended does not
// let it rotate or revoke another.
func TestARevokedKeyTouchesNoOther(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	owner := withKey(t, s, agent(t, s))
	made, text, err := s.NewKey(t.Context(), owner, market.KeyDraft{Name: "stolen"})
	if err != nil {
		t.Fatal(err)
	}
	thief, err := s.Identify(t.Context(), text, "", "", store.ForChange)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.RevokeKey(t.Context(), owner, made.ID, "stolen"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.NewKey(t.Context(), owner, market.KeyDraft{Name: "not the last"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.RotateKey(t.Context(), thief, owner.Key, 0); !errors.Is(err, market.ErrUnauthenticated) {
		t.Errorf("rotating: %v", err)
	}
	if _, err := s.RevokeKey(t.Context(), thief, owner.Key, ""); !errors.Is(err, market.ErrUnauthenticated) {
		t.Errorf("revoking: %v", err)
	}
}
