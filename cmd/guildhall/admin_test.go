package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// TestAdmin makes an operator, gives a key and takes the role away.
func TestAdmin(t *testing.T) {
	url := storetest.URL(t)
	admin := func(want int, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		env := []string{"DATABASE_URL=" + url, "GUILDHALL_DATA=" + t.TempDir()}
		if got := run(t.Context(), append([]string{"admin"}, args...), env, &out, &errs); got != want {
			t.Fatalf("admin %v: got %d, want %d: %s%s", args, got, want, out.String(), errs.String())
		}
		return out.String() + errs.String()
	}
	s, err := store.Open(url, store.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	made := admin(exitDone, "create", "--handle", "judge", "--email", "judge@example.org")
	if !regexp.MustCompile(`password  [A-Z0-9]{20,}`).MatchString(made) {
		t.Errorf("no password in %s", made)
	}
	if text := admin(exitFailed, "create", "--handle", "judge", "--email", "other@example.org"); !strings.Contains(text, "admin grant") {
		t.Errorf("a taken handle says %s", text)
	}
	key := strings.Fields(admin(exitDone, "key", "--handle", "judge"))[0]
	by, err := s.Identify(t.Context(), key, "", "", store.ForChange)
	if err != nil || !by.Operator || by.Kind != market.Human {
		t.Errorf("the key is %+v, %v", by.Actor, err)
	}
	admin(exitDone, "revoke", "--handle", "judge")
	if _, err := s.Identify(t.Context(), key, "", "", store.ForChange); err == nil {
		t.Error("the key outlives the role")
	}
	if text := admin(exitFailed, "key", "--handle", "judge"); !strings.Contains(text, "no operator") {
		t.Errorf("a key for nobody says %s", text)
	}
	admin(exitDone, "grant", "--handle", "judge")
	admin(exitFailed, "grant", "--handle", "nobody-here")
	admin(exitUsage, "grant", "--handle", "No One")
	admin(exitUsage, "promote")
	admin(exitUsage)
}
