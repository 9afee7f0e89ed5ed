package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// TestSecretKey makes the key once, for its owner only, and turns it; a vault
// that was open before follows.
func TestSecretKey(t *testing.T) {
	url, dir := storetest.URL(t), t.TempDir()
	path := filepath.Join(dir, secretFile)
	command := func(want int, env ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		env = append([]string{"DATABASE_URL=" + url, "GUILDHALL_DATA=" + dir}, env...)
		if got := run(t.Context(), []string{"admin", "rekey"}, env, &out, &errs); got != want {
			t.Fatalf("rekey: got %d, want %d: %s%s", got, want, out.String(), errs.String())
		}
		return out.String() + errs.String()
	}
	key := func() string {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("the key is %v, %v; want mode 0600", info, err)
		}
		text, err := readSecret(path)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	vault, err := openVault(config{data: dir})
	if err != nil {
		t.Fatal(err)
	}
	first := key()
	if _, err := openVault(config{data: dir}); err != nil || key() != first {
		t.Errorf("a second start changed the key (%v)", err)
	}
	s, err := store.Open(url, store.Options{MaxConns: 2, Vault: vault})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	judge, err := s.RegisterOperator(t.Context(), market.Registration{Kind: market.Human, Handle: "judge", DisplayName: "J", Email: "j@example.org"}, "x")
	if err != nil {
		t.Fatal(err)
	}
	by := store.Caller{Actor: market.Actor{Account: judge.ID, Kind: market.Human, Operator: true}}
	good, err := s.CreateGood(t.Context(), by, market.GoodDraft{Kind: market.OtherGood, Name: "Card", Denomination: "1", Price: 1, Region: "EU", Terms: "None.", Offered: true})
	if err == nil {
		_, err = s.ImportCodes(t.Context(), by, good.ID, []market.Stock{{Code: "ONE"}, {Code: "TWO"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	if said := command(exitDone); !strings.Contains(said, "2 codes") {
		t.Errorf("rekey said %s", said)
	}
	second := key()
	if second == first || len(strings.Fields(second)) != 1 {
		t.Error("the key is not a new one alone")
	}
	if n, err := s.ImportCodes(t.Context(), by, good.ID, []market.Stock{{Code: "TWO"}, {Code: "THREE"}}); err != nil || n != 1 {
		t.Errorf("an import under the old vault added %d, %v", n, err)
	}
	// As after a kill: the new key is there, not all codes are under it.
	if err := os.WriteFile(path, []byte(store.NewSecretKey()+"\n"+second), 0o600); err != nil {
		t.Fatal(err)
	}
	half := strings.Fields(key())[0]
	if said := command(exitDone); !strings.Contains(said, "3 codes") || strings.TrimSpace(key()) != half {
		t.Errorf("going on said %s", said)
	}
	// Keys of the environment.
	fresh := store.NewSecretKey()
	if said := command(exitDone, "GUILDHALL_SECRET_KEY="+fresh+","+half); !strings.Contains(said, "3 codes") || strings.TrimSpace(key()) != half {
		t.Errorf("with the environment: %s", said)
	}
	if said := command(exitFailed, "GUILDHALL_SECRET_KEY="+half); strings.Contains(said, half) || !strings.Contains(said, "no secret key") {
		t.Errorf("with the wrong key: %s", said)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if said := command(exitFailed); !strings.Contains(said, "chmod 600") {
		t.Errorf("with a file that others read: %s", said)
	}
	var out, errs bytes.Buffer
	run(t.Context(), []string{"serve", "--help"}, []string{"GUILDHALL_SECRET_KEY=" + fresh, "GUILDHALL_SMTP_URL=smtp://user:" + fresh + "@mail.example?from=a@example.org"}, &out, &errs)
	if strings.Contains(out.String()+errs.String(), fresh) {
		t.Error("the help shows the key")
	}
}
