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

// TestResetLink prints a link that opens the account of who has it.
func TestResetLink(t *testing.T) {
	url := storetest.URL(t)
	admin := func(want int, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		env := []string{"DATABASE_URL=" + url, "GUILDHALL_DATA=" + t.TempDir(), "GUILDHALL_BASE_URL=https://guild.example"}
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
	admin(exitDone, "create", "--handle", "judge", "--email", "judge@example.org")
	for _, who := range []string{"judge", "JUDGE@example.org"} {
		for flag, says := range map[string]bool{"--clear-second-factor": true, "--clear-second-factor=false": false} {
			text := admin(exitDone, "reset-link", flag, who)
			found := regexp.MustCompile(`^https://guild\.example/reset\?token=([A-Z2-7]{26})\n`).FindStringSubmatch(text)
			if found == nil || strings.Contains(text, "second factor") != says {
				t.Fatalf("%s %s prints %s", flag, who, text)
			}
			if l, err := s.ResetOwner(t.Context(), found[1]); err != nil || l.Handle != "judge" {
				t.Errorf("the link is %s's (%v)", l.Handle, err)
			}
		}
	}
	log, err := s.AdminLog(t.Context(), market.ActionFilter{Action: market.ActionResetIssued, Limit: 10})
	if err != nil || len(log) != 4 {
		t.Errorf("the log has %d lines, %v", len(log), err)
	}
	admin(exitFailed, "reset-link", "nobody-here")
	admin(exitFailed, "reset-link", "nobody@example.org")
	admin(exitUsage, "reset-link")
	admin(exitUsage, "reset-link", "judge", "--clear-second-factor")
}
