package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"guildhall/db/cluster"
	"guildhall/market"
	"guildhall/store"
)

// beside opens the store of the running site in dir, with its secret key.
func beside(t *testing.T, dir string) *store.Store {
	t.Helper()
	private, err := cluster.Attach(t.Context(), cluster.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	vault, err := openVault(config{data: dir})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(private.URL(databaseName), store.Options{Vault: vault, Review: market.DefaultReviewPolicy, MaxConns: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// earn gives the accounts earned credits that are available.
func earn(t *testing.T, s *store.Store, amount int, ids ...market.AccountID) {
	t.Helper()
	for _, id := range ids {
		_, err := s.DB().Exec(`
			WITH w AS (UPDATE wallets SET earned = earned + $2 WHERE account_id = $1 RETURNING granted + earned AS total)
			INSERT INTO transfers (at, kind, debit, credit, amount, debit_class, credit_class, account_id, balance_after)
			SELECT now(), 'grant', 'platform:grants', 'wallet:' || $1::uuid, $2, 'earned', 'earned', $1, total FROM w`, string(id), amount)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// each runs f for every i below n, a few at a time.
func each(n, atOnce int, f func(i int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range atOnce {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

type placed struct {
	status   int
	code     string // of a problem
	secret   string
	location string
}

// place orders over HTTP; a lost answer has status 0.
func (c client) place(good market.GoodID, once string) placed {
	req, err := http.NewRequest("POST", c.url+"/api/v1/agent/redemptions", strings.NewReader(fmt.Sprintf(`{"goodId":%q,"price":100}`, good)))
	if err != nil {
		return placed{}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Idempotency-Key", once)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return placed{}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	var out struct{ Code, State string }
	if err != nil || json.Unmarshal(text, &out) != nil {
		return placed{}
	}
	p := placed{status: res.StatusCode, location: res.Header.Get("Location")}
	if p.status == 201 {
		p.secret = out.Code
	} else {
		p.code = out.Code
	}
	return p
}

// TestKilledServerSellsNoCodeTwice kills the server -9 in the middle of 500
// orders for 100 codes, starts it again, and sends them all once more.
func TestKilledServerSellsNoCodeTwice(t *testing.T) {
	needsPostgres(t)
	dir := dataDir(t)
	site := start(t, dir)
	s := beside(t, dir)
	const orders, codes, middle = 500, 100, 40
	judge, err := s.RegisterOperator(t.Context(), market.Registration{Kind: market.Human, Handle: "judge", DisplayName: "J", Email: "j@example.org"}, "x")
	if err != nil {
		t.Fatal(err)
	}
	by := store.Caller{Actor: market.Actor{Account: judge.ID, Kind: market.Human, Operator: true}}
	stock := func(price int64, tag string, n int) market.GoodID {
		g, err := s.CreateGood(t.Context(), by, market.GoodDraft{Kind: market.GiftCard, Name: tag, Denomination: "1", Price: price, Region: "EU", Terms: "None.", Offered: true})
		var list []market.Stock
		for i := range n {
			list = append(list, market.Stock{Code: fmt.Sprintf("%s-%d", tag, i)})
		}
		if err == nil {
			_, err = s.ImportCodes(t.Context(), by, g.ID, list)
		}
		if err != nil {
			t.Fatal(err)
		}
		return g.ID
	}
	first, good := stock(1, "FIRST", orders), stock(100, "CODE", codes)
	ids, keys := make([]market.AccountID, orders), make([]string, orders)
	each(orders, 4, func(i int) {
		a, key, err := s.RegisterAgent(t.Context(), market.Registration{Kind: market.Agent, Handle: fmt.Sprintf("buyer-%d", i), DisplayName: "B"})
		if err != nil {
			t.Error(err)
			return
		}
		ids[i], keys[i] = a.ID, key
		earn(t, s, 101, a.ID)
		// The first order of an account waits for a review.
		o, err := s.Redeem(t.Context(), store.Caller{Actor: market.Actor{Account: a.ID, Kind: a.Kind}}, first, 1, false)
		if err == nil {
			_, err = s.ApproveOrder(t.Context(), by, o.ID)
		}
		if err != nil {
			t.Error(err)
		}
	})
	if t.Failed() {
		return
	}
	var mu sync.Mutex
	secrets := map[string]int{} // code → buyer
	note := func(i int, p placed) {
		mu.Lock()
		defer mu.Unlock()
		if p.status != 201 {
			return
		}
		if other, sold := secrets[p.secret]; p.secret == "" || (sold && other != i) {
			t.Errorf("%q was sold to %d and %d", p.secret, other, i)
		}
		if secrets[p.secret] = i; len(secrets) == middle {
			_ = site.cmd.Process.Signal(syscall.SIGKILL)
		}
	}
	lost := 0
	each(orders, 64, func(i int) {
		p := client{url: site.url, key: keys[i]}.place(good, "order")
		note(i, p)
		if p.status == 0 {
			mu.Lock()
			lost++
			mu.Unlock()
		}
	})
	site.kill()
	if len(secrets) < middle || lost == 0 {
		t.Fatalf("%d orders were acknowledged and %d lost; the kill did not come in the middle", len(secrets), lost)
	}
	before := len(secrets)
	again := start(t, dir)
	fulfilled, refused := 0, 0
	each(orders, 64, func(i int) {
		c := client{url: again.url, key: keys[i]}
		p := c.place(good, "order")
		if p.status == 409 && p.code == "already_done" { // before the kill, acknowledged or not
			shown, ok := c.call("POST", strings.TrimPrefix(p.location, "/api/v1")+"/reveal", "", "")
			if !ok {
				t.Errorf("buyer %d cannot see the code: %v", i, shown)
				return
			}
			p = placed{status: 201, secret: shown["code"].(string)}
		}
		note(i, p)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case p.status == 201:
			fulfilled++
		case p.status == 409 && p.code == "out_of_stock":
			refused++
		default:
			t.Errorf("buyer %d got %+v", i, p)
		}
	})
	t.Logf("%d orders were acknowledged before the kill, %d answers were lost", before, lost)
	if fulfilled != codes || refused != orders-codes || len(secrets) != codes {
		t.Errorf("%d fulfilled, %d refused, %d codes", fulfilled, refused, len(secrets))
	}
	after := beside(t, dir)
	var spent int64
	if err := after.DB().Get(&spent, `SELECT 100 * $1::bigint - sum(w.earned) FROM wallets w JOIN accounts a ON a.id = w.account_id WHERE a.kind = 'agent'`, orders); err != nil || spent != 100*codes {
		t.Errorf("%d credits were spent, %v; want %d", spent, err, 100*codes)
	}
	audited(t, dir, 0)
}
