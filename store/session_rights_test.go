package store_test

import (
	"errors"
	"sync"
	"testing"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// TestRaceSignOutAndMinting: when signing out everywhere is answered, no ended
// session makes anything that outlives it any more.
func TestRaceSignOutAndMinting(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	me, l := person(t, s)
	mine := agent(t, s)
	bind(t, s, me, mine)
	waiting, _, err := s.NewBundle(t.Context(), me, bundleDraft(func(d *market.BundleDraft) { d.WithKey = false }))
	if err != nil {
		t.Fatal(err)
	}
	mints := map[string]func(store.Caller) error{
		"a bundle": func(by store.Caller) error {
			_, _, err := s.NewBundle(t.Context(), by, bundleDraft())
			return err
		},
		"a code": func(by store.Caller) error {
			_, _, err := s.RecodeBundle(t.Context(), by, waiting.ID)
			return err
		},
		"a webhook": func(by store.Caller) error {
			_, _, err := s.NewWebhook(t.Context(), by, market.WebhookDraft{URL: "https://example.org/"})
			return err
		},
		"a grant": func(by store.Caller) error {
			_, _, err := s.GrantRecovery(t.Context(), by, mine.Handle)
			return err
		},
		"a passkey": func(by store.Caller) error {
			return s.AddPasskey(t.Context(), by, market.Passkey{Name: "thief", Credential: []byte(by.Session), Record: []byte("{}")}, home)
		},
	}
	for what, mint := range mints {
		for i := range 3 {
			thief := me
			if thief.Session, err = s.BeginSession(t.Context(), l, home); err != nil {
				t.Fatal(err)
			}
			var both sync.WaitGroup
			if i == 0 { // it was let in before
				if err := s.EndOtherSessions(t.Context(), me, "", home); err != nil {
					t.Fatal(err)
				}
			} else {
				both.Go(func() {
					if err := s.EndOtherSessions(t.Context(), me, "", home); err != nil {
						t.Error(err)
					}
				})
			}
			err := mint(thief)
			both.Wait()
			if i == 0 && !errors.Is(err, market.ErrUnauthenticated) || i > 0 && err != nil && !errors.Is(err, market.ErrUnauthenticated) {
				t.Errorf("%s by a session that has ended: %v", what, err)
			}
			if err := mint(thief); !errors.Is(err, market.ErrUnauthenticated) {
				t.Errorf("%s afterwards: %v", what, err)
			}
		}
	}
}
