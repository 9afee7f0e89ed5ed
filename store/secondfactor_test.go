package store_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// twoSteps switches the person's second factor on.
func twoSteps(t testing.TB, s *store.Store, me store.Caller, now time.Time) (secret string, recovery []string) {
	t.Helper()
	if err := s.BeginTOTP(t.Context(), me); err != nil {
		t.Fatal(err)
	}
	secret, err := s.PendingTOTP(t.Context(), me.Account)
	if err != nil {
		t.Fatal(err)
	}
	if recovery, err = s.EnableTOTP(t.Context(), me, appCode(t, secret, now), home); err != nil {
		t.Fatal(err)
	}
	return secret, recovery
}

func appCode(t testing.TB, secret string, at time.Time) string {
	t.Helper()
	code, err := totp.GenerateCode(secret, at)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// atOnce counts how many of n calls of f succeed; the others must be refused as
// a wrong code.
func atOnce(t *testing.T, n int, f func() error) (won int64) {
	t.Helper()
	var count atomic.Int64
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			switch err := f(); {
			case err == nil:
				count.Add(1)
			case !errors.Is(err, market.ErrInvalid):
				t.Error(err)
			}
		})
	}
	all.Wait()
	return count.Load()
}

// TestRaceCodesAreUsedOnce: of twenty log-ins with one code of the app, or one
// recovery code, one gets in.
func TestRaceCodesAreUsedOnce(t *testing.T) {
	t.Parallel()
	c := &clock{}
	s := storetest.New(t, withClock(c))
	me, _ := person(t, s)
	secret, recovery := twoSteps(t, s, me, c.now())
	if err := s.CheckSecondFactor(t.Context(), me.Account, appCode(t, secret, c.now().Add(-30*time.Second)), home); !errors.Is(err, market.ErrInvalid) {
		t.Errorf("a code of before the one that was used: %v", err)
	}
	c.advance(2 * time.Minute)
	for name, code := range map[string]string{"the app's": appCode(t, secret, c.now()), "a recovery code": recovery[0]} {
		if won := atOnce(t, 20, func() error { return s.CheckSecondFactor(t.Context(), me.Account, code, home) }); won != 1 {
			t.Errorf("%s let %d in, want 1", name, won)
		}
	}
	if f, err := s.SecondFactor(t.Context(), me.Account); err != nil || f.CodesLeft != market.RecoveryCodes-1 {
		t.Errorf("left: %+v, %v", f, err)
	}
	other, _ := person(t, s)
	if err := s.CheckSecondFactor(t.Context(), other.Account, recovery[1], home); !errors.Is(err, market.ErrNotFound) {
		t.Errorf("another's recovery code: %v", err)
	}
}

// TestTOTPFollowsRFC6238: the codes of its appendix B in six digits.
func TestTOTPFollowsRFC6238(t *testing.T) {
	t.Parallel()
	const secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	for at, want := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"} {
		if got := appCode(t, secret, time.Unix(at, 0)); got != want {
			t.Errorf("at %d: got %s, want %s", at, got, want)
		}
	}
}

// TestRaceEnrolment: a second factor is switched on once, and its secret does
// not change under it.
func TestRaceEnrolment(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	me, _ := person(t, s)
	if err := s.BeginTOTP(t.Context(), me); err != nil {
		t.Fatal(err)
	}
	secret, err := s.PendingTOTP(t.Context(), me.Account)
	if err != nil {
		t.Fatal(err)
	}
	code := appCode(t, secret, time.Now())
	var on atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := s.EnableTOTP(t.Context(), me, code, home); err == nil {
				on.Add(1)
			} else if !errors.Is(err, market.ErrAlreadyDone) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if on.Load() != 1 {
		t.Errorf("switched on %d times", on.Load())
	}
	if err := s.BeginTOTP(t.Context(), me); !errors.Is(err, market.ErrAlreadyDone) {
		t.Errorf("a new secret under one that is on: %v", err)
	}
}

// TestRekeySealsSecondFactors under the new key, and they still open.
func TestRekeySealsSecondFactors(t *testing.T) {
	t.Parallel()
	keys := store.NewSecretKey()
	vault, err := store.NewVault(func() (string, error) { return keys, nil })
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{}
	s := storetest.New(t, withClock(c), func(o *store.Options) { o.Vault = vault })
	me, _ := person(t, s)
	secret, _ := twoSteps(t, s, me, c.now())
	old := keys
	n, err := s.Rekey(t.Context(), func() error { keys = store.NewSecretKey() + "\n" + old; return nil }, func() error { return nil })
	if err != nil || n != 1 {
		t.Fatalf("sealed %d anew, %v", n, err)
	}
	keys = keys[:len(keys)-len(old)]
	if vault, err = store.NewVault(func() (string, error) { return keys, nil }); err != nil {
		t.Fatal(err)
	}
	c.advance(time.Minute)
	if err := s.CheckSecondFactor(t.Context(), me.Account, appCode(t, secret, c.now()), home); err != nil {
		t.Errorf("after the rotation: %v", err)
	}
	if err := s.CheckKeys(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestRekeyBesideServer changes the key while a server, which knows the old one
// only, seals second factors and mails: all of them are under the new key in the
// end.
func TestRekeyBesideServer(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	var mu sync.Mutex
	keys := store.NewSecretKey()
	load := func() (string, error) { mu.Lock(); defer mu.Unlock(); return keys, nil }
	set := func(text string) { mu.Lock(); defer mu.Unlock(); keys = text }
	open := func() *store.Store {
		v, err := store.NewVault(load)
		if err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(url, store.Options{Grant: 1000, Vault: v, Mail: true, MaxConns: 8})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	s, server := open(), open()
	var people []store.Caller
	var addresses []string
	for range 12 {
		me, l := person(t, s)
		people, addresses = append(people, me), append(addresses, l.Email)
	}
	var all sync.WaitGroup
	sealed := make(chan struct{}, 1000)
	over := make(chan struct{})
	for i := range people {
		all.Go(func() {
			for n := 0; ; n++ {
				if err := errors.Join(server.BeginTOTP(t.Context(), people[i]), server.AskForReset(t.Context(), addresses[i], home)); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-over:
					return
				case sealed <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 3 {
		<-sealed
		old, fresh := keys, store.NewSecretKey()
		if _, err := s.Rekey(t.Context(), func() error { set(fresh + "\n" + old); return nil }, func() error { set(fresh); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	close(over)
	all.Wait()
	if err := errors.Join(server.BeginTOTP(t.Context(), people[0]), server.AskForReset(t.Context(), addresses[0], home)); err != nil {
		t.Error(err)
	}
	if err := open().CheckKeys(t.Context()); err != nil {
		t.Error(err)
	}
	for _, me := range people {
		if _, err := open().PendingTOTP(t.Context(), me.Account); err != nil {
			t.Error(err)
		}
	}
	mails, err := open().TakeMails(t.Context(), 1000)
	if err != nil || len(mails) < len(people) {
		t.Errorf("%d mails can be sent, %v", len(mails), err)
	}
}
