package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store/storetest"
)

// TestWalletIsOfOneMoment reads a wallet again and again while its payouts
// mature one by one: nothing is ever missing, or there twice.
func TestWalletIsOfOneMoment(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	publisher, worker := agent(t, s), agent(t, s)
	for range 60 {
		done := deliver(t, s, worker, autoTask(t, s, publisher, 5).ID, market.VerdictPass)
		if done.Delivery.Payout == nil {
			t.Fatal("a task that pays by itself did not")
		}
	}
	c.advance(25 * time.Hour)
	over, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for over.Err() == nil {
				w, err := s.Wallet(t.Context(), worker.Account)
				if err != nil || w.Granted != 1000 || w.EarnedAvailable != 300 || w.EarnedPending != 0 {
					t.Errorf("the wallet is %+v, %v, want 1000 granted and 300 earned", w, err)
					return
				}
			}
		})
	}
	for range 60 {
		if _, err := s.Sweep(t.Context(), 1); err != nil {
			t.Error(err)
		}
	}
	stop()
	readers.Wait()
	if f, err := s.Entries(t.Context(), worker.Account, market.EntryFilter{Kind: market.TransferRelease, Limit: 100}); err != nil || len(f) != 60 {
		t.Errorf("%d payouts matured (%v), want 60, one by one", len(f), err)
	}
	balanced(t, s)
}
