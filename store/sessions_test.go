package store_test

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// person registers a human account and returns its log-in.
func person(t testing.TB, s *store.Store) (store.Caller, store.Login) {
	t.Helper()
	handle := fmt.Sprintf("person-%d", handles.Add(1))
	r := market.Registration{Kind: market.Human, Handle: handle, Email: handle + "@example.org", Password: "correct horse battery"}
	if bad := r.Clean(); bad != nil {
		t.Fatalf("registration: %v", bad)
	}
	a, err := s.RegisterHuman(t.Context(), r, "hash-0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.OwnLogin(t.Context(), a.ID)
	if err != nil {
		t.Fatal(err)
	}
	return store.Caller{Actor: market.Actor{Account: a.ID, Kind: a.Kind, Handle: a.Handle}}, l
}

var home = store.Origin{From: netip.MustParseAddr("192.0.2.7"), Agent: "Firefox", Lang: "en"}

// TestRaceLogInAndPasswordChange: whoever was let in by the old password has no
// session after the change, whichever came first.
func TestRaceLogInAndPasswordChange(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	me, l := person(t, s)
	keep, err := s.BeginSession(t.Context(), l, home)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		hash, next := fmt.Sprint("hash-", i), fmt.Sprint("hash-", i+1)
		l, err := s.OwnLogin(t.Context(), me.Account)
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if _, err := s.BeginSession(t.Context(), l, home); err != nil && !errors.Is(err, market.ErrLogin) {
					t.Error(err)
				}
			})
		}
		all.Go(func() {
			if err := s.ChangePassword(t.Context(), me, hash, next, keep, home); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		if left, err := s.Sessions(t.Context(), me.Account); err != nil || len(left) != 1 || left[0].ID != keep {
			t.Fatalf("after change %d the sessions are %+v, %v", i, left, err)
		}
	}
	if err := s.ChangePassword(t.Context(), me, "hash-0", "x", keep, home); !errors.Is(err, market.ErrLogin) {
		t.Errorf("a change with an old hash: %v", err)
	}
}

// TestSessionsAreForgotten when they are over, and what happened long ago.
func TestSessionsAreForgotten(t *testing.T) {
	t.Parallel()
	c := &clock{}
	s := storetest.New(t, withClock(c))
	me, l := person(t, s)
	used, err := s.BeginSession(t.Context(), l, home)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.BeginSession(t.Context(), l, home); err != nil {
		t.Fatal(err)
	}
	count := func() (sessions, events int) {
		t.Helper()
		if _, err := s.Sweep(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		for table, n := range map[string]*int{"account_sessions": &sessions, "security_log": &events} {
			if err := s.DB().Get(n, `SELECT count(*) FROM `+table); err != nil {
				t.Fatal(err)
			}
		}
		return sessions, events
	}
	c.advance(23 * time.Hour)
	if err := s.NoteSessionUses(t.Context(), map[market.SessionID]store.Use{used: {At: c.now().UTC(), From: netip.MustParseAddr("192.0.2.8")}}); err != nil {
		t.Fatal(err)
	}
	if n, events := count(); n != 2 || events != 2 {
		t.Errorf("before a day: %d sessions, %d events", n, events)
	}
	c.advance(2*time.Hour + time.Minute)
	if n, _ := count(); n != 1 {
		t.Errorf("after a day: %d sessions, want the one that was used", n)
	}
	if left, err := s.Sessions(t.Context(), me.Account); err != nil || len(left) != 1 || left[0].ID != used || left[0].Address != "192.0.2.8" {
		t.Errorf("the sessions are %+v, %v", left, err)
	}
	if err := s.NoteSessionUses(t.Context(), map[market.SessionID]store.Use{used: {At: c.now().UTC().Add(market.SessionLife)}}); err != nil {
		t.Fatal(err)
	}
	c.advance(market.SessionLife)
	if n, _ := count(); n != 0 {
		t.Errorf("after 30 days of use: %d sessions", n)
	}
	c.advance(market.SecurityRetention)
	if _, events := count(); events != 0 {
		t.Errorf("after 90 days: %d events", events)
	}
}
