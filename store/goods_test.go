package store_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

func TestImportIsAllOrNothingAndOnce(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	judge := operator(t, s)
	g, other := stock(t, s, judge, 100, "CODE", 3), stock(t, s, judge, 100, "OTHER", 1)
	added, err := s.ImportCodes(t.Context(), judge, g.ID, []market.Stock{{Code: "CODE-1"}, {Code: "NEW"}, {Code: "NEW"}, {Code: "OTHER-0"}})
	if err != nil || added != 1 {
		t.Errorf("added %d, %v; want the new one", added, err)
	}
	if n := left(t, s, g.ID) + left(t, s, other.ID); n != 5 {
		t.Errorf("there are %d codes", n)
	}
	if _, err := s.ImportCodes(t.Context(), judge, market.GoodID(judge.Account), []market.Stock{{Code: "X"}}); !errors.Is(err, market.ErrNotFound) {
		t.Errorf("into no good: %v", err)
	}
	log, err := s.AdminActions(t.Context(), string(g.ID), 10)
	if err != nil || len(log) != 3 || log[0].Action != market.ActionCodesImported || log[0].Count != 1 || log[2].Action != market.ActionGoodCreated {
		t.Errorf("the log says %+v, %v", log, err)
	}
	got := race(4, func(i int) error {
		codes := []market.Stock{{Code: "R1"}, {Code: "R2"}, {Code: "R3"}}
		if i%2 == 0 {
			slices.Reverse(codes)
		}
		_, err := s.ImportCodes(t.Context(), judge, g.ID, codes)
		return err
	})
	if got["ok"] != 4 || left(t, s, g.ID) != 7 {
		t.Errorf("four at once: %v, %d codes", got, left(t, s, g.ID))
	}
}

// dump is all that the database holds about codes.
func dump(t testing.TB, s *store.Store) string {
	t.Helper()
	var rows []string
	for _, table := range []string{"goods_codes", "redemptions", "admin_actions", "idempotency", "transfers"} {
		var part []string
		if err := s.DB().Select(&part, `SELECT x::text || encode(convert_to(x::text, 'UTF8'), 'escape') FROM `+table+` x`); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, part...)
	}
	return strings.Join(rows, "\n")
}

func TestCodesAreSealed(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	judge, buyer, thief := operator(t, s), agent(t, s), agent(t, s)
	proven(t, s, judge, buyer, thief)
	g := stock(t, s, judge, 100, "CANARY", 3)
	earn(t, s, 300, buyer, thief)
	mine, err := s.Redeem(t.Context(), buyer, g.ID, 100, true)
	if err != nil || mine.Code != "CANARY-0" {
		t.Fatalf("got %+v, %v", mine, err)
	}
	secret := []byte("CANARY")
	text := dump(t, s)
	for _, form := range []string{string(secret), fmt.Sprintf("%x", secret), base64.StdEncoding.EncodeToString(secret)} {
		if strings.Contains(text, form) {
			t.Errorf("the database holds the code as %q", form)
		}
	}
	theirs, err := s.Redeem(t.Context(), thief, g.ID, 100, false)
	if err != nil {
		t.Fatal(err)
	}
	// A code copied into another row, or changed in one bit, opens nowhere.
	for name, q := range map[string]string{
		"copied": `UPDATE goods_codes c SET sealed = x.sealed, nonce = x.nonce FROM goods_codes x WHERE c.order_id = $1 AND x.order_id = $2`,
		"nonce":  `UPDATE goods_codes c SET nonce = set_byte(nonce, 0, get_byte(nonce, 0) # 1) WHERE order_id = $1 AND $2::uuid IS NOT NULL`,
		"tag":    `UPDATE goods_codes c SET sealed = set_byte(sealed, length(sealed) - 1, get_byte(sealed, length(sealed) - 1) # 128) WHERE order_id = $1 AND $2::uuid IS NOT NULL`,
		"short":  `UPDATE goods_codes c SET nonce = ''::bytea WHERE order_id = $1 AND $2::uuid IS NOT NULL`,
		"key":    `UPDATE goods_codes c SET key_id = 'nonsense' WHERE order_id = $1 AND $2::uuid IS NOT NULL`,
	} {
		exec(t, s, `CREATE TABLE IF NOT EXISTS kept AS SELECT * FROM goods_codes`)
		exec(t, s, q, string(theirs.ID), string(mine.ID))
		o, err := s.RevealOrder(t.Context(), thief, theirs.ID)
		if !errors.Is(err, store.ErrVault) || !errors.Is(err, market.ErrCodeUnreadable) || o.Code != "" {
			t.Errorf("%s: got %q, %v", name, o.Code, err)
		}
		if err != nil && strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: the error holds the code: %v", name, err)
		}
		exec(t, s, `UPDATE goods_codes c SET sealed = k.sealed, nonce = k.nonce, key_id = k.key_id FROM kept k WHERE k.id = c.id`)
	}
	if o, err := s.RevealOrder(t.Context(), thief, theirs.ID); err != nil || o.Code != "CANARY-1" {
		t.Errorf("restored: %q, %v", o.Code, err)
	}
	// What cannot be read is not sold.
	exec(t, s, `UPDATE goods_codes SET sealed = set_byte(sealed, 0, get_byte(sealed, 0) # 1) WHERE order_id IS NULL`)
	before := wallet(t, s, buyer)
	if _, err := s.Redeem(t.Context(), buyer, g.ID, 100, true); !errors.Is(err, market.ErrCodeUnreadable) {
		t.Errorf("an unreadable code: %v", err)
	}
	if after := wallet(t, s, buyer); after.EarnedAvailable != before.EarnedAvailable || left(t, s, g.ID) != 1 {
		t.Errorf("it cost %d credits", before.EarnedAvailable-after.EarnedAvailable)
	}
	balanced(t, s)
}

// TestRekey turns the key while orders and imports go on, breaks off in the
// middle, and goes on; a second server follows.
func TestRekey(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	var mu sync.Mutex
	keys := store.NewSecretKey()
	load := func() (string, error) { mu.Lock(); defer mu.Unlock(); return keys, nil }
	set := func(text string) error { mu.Lock(); defer mu.Unlock(); keys = text; return nil }
	open := func() *store.Store {
		v, err := store.NewVault(load)
		if err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(url, store.Options{Grant: 1000, Vault: v, Review: market.DefaultReviewPolicy, MaxConns: 8})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	s, server := open(), open()
	judge, buyer := operator(t, s), agent(t, s)
	proven(t, s, judge, buyer)
	g := stock(t, s, judge, 1, "CODE", 1200)
	earn(t, s, 100, buyer)
	old, fresh := keys, store.NewSecretKey()
	// Killed after the first batch.
	ctx, cancel := context.WithCancel(t.Context())
	exec(t, s, `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$`)
	exec(t, s, `CREATE TRIGGER slow AFTER UPDATE ON goods_codes FOR EACH STATEMENT EXECUTE FUNCTION slow()`)
	go func() {
		for n := 0; n < 2 && ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
			_ = server.DB().Get(&n, `SELECT count(DISTINCT key_id) FROM goods_codes`) // asked again
		}
		cancel()
	}()
	if _, err := s.Rekey(ctx, func() error { return set(fresh + "\n" + old) }, func() error { return set(fresh) }); err == nil {
		t.Fatal("the rotation was not broken off")
	}
	exec(t, s, `DROP TRIGGER slow ON goods_codes`)
	if strings.Fields(keys)[0] != fresh || len(strings.Fields(keys)) != 2 {
		t.Fatal("the old key is gone before the codes need it no more")
	}
	// In the middle nothing is lost, and doubles are still found.
	if n, err := server.ImportCodes(t.Context(), judge, g.ID, []market.Stock{{Code: "CODE-0"}, {Code: "CODE-1100"}, {Code: "LATE"}}); err != nil || n != 1 {
		t.Errorf("an import in the middle added %d, %v; want 1", n, err)
	}
	o, err := server.Redeem(t.Context(), buyer, g.ID, 1, true)
	if err != nil || !strings.HasPrefix(o.Code, "CODE-") {
		t.Fatalf("an order in the middle: %+v, %v", o, err)
	}
	n, err := s.Rekey(t.Context(), func() error { return nil }, func() error { return set(fresh) })
	if err != nil || n == 0 || n >= 1200 {
		t.Errorf("the second run sealed %d anew, %v; want the rest", n, err)
	}
	var names []string
	if err := s.DB().Select(&names, `SELECT DISTINCT key_id FROM goods_codes`); err != nil || len(names) != 1 {
		t.Errorf("the codes are under %v, %v", names, err)
	}
	if again, err := server.RevealOrder(t.Context(), buyer, o.ID); err != nil || again.Code != o.Code {
		t.Errorf("afterwards the code is %q, %v", again.Code, err)
	}
	if n, err := s.Rekey(t.Context(), func() error { return nil }, func() error { return nil }); err != nil || n != 0 {
		t.Errorf("once more: %d, %v", n, err)
	}
	if n, err := server.ImportCodes(t.Context(), judge, g.ID, []market.Stock{{Code: "CODE-7"}}); err != nil || n != 0 {
		t.Errorf("a double afterwards: %d, %v", n, err)
	}
	if err := s.CheckKeys(t.Context()); err != nil {
		t.Error(err)
	}
	_ = set(store.NewSecretKey())
	if err := open().CheckKeys(t.Context()); err == nil || strings.Contains(err.Error(), fresh) {
		t.Errorf("with another key: %v", err)
	}
	balanced(t, s)
}
