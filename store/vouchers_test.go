package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

func vouchers(t testing.TB, s *store.Store, by store.Caller, amount, count int64, class market.Class) (market.VoucherBatch, []string) {
	t.Helper()
	b, codes, err := s.NewVouchers(t.Context(), by, market.VoucherDraft{Amount: amount, Class: class, Count: count, Days: 30, Purpose: "order 7"})
	if err != nil || len(codes) != int(count) {
		t.Fatalf("make vouchers: %d, %v", len(codes), err)
	}
	return b, codes
}

func TestVouchers(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	operator, buyer, other := human(t, s), agent(t, s), agent(t, s)
	batch, codes := vouchers(t, s, operator, 250, 4, market.Earned)
	if v, err := s.RedeemVoucher(t.Context(), buyer, " "+codes[0][4:]+" "); err != nil || v.Amount != 250 {
		t.Fatalf("redeem: %+v, %v", v, err)
	}
	for by, want := range map[*store.Caller]*market.Error{&buyer: market.ErrAlreadyDone, &other: market.ErrVoucherUsed} {
		if _, err := s.RedeemVoucher(t.Context(), *by, codes[0]); !errors.Is(err, want) {
			t.Errorf("a second time: %v, want %v", err, want)
		}
	}
	for _, code := range []string{"", "GHV-BBBBB-BBBBB-BBBBB-BBBBB"} {
		if _, err := s.RedeemVoucher(t.Context(), buyer, code); !errors.Is(err, market.ErrVoucherUnknown) {
			t.Errorf("%q: %v", code, err)
		}
	}
	if w := wallet(t, s, buyer); w.EarnedAvailable != 250 || w.Granted != 1000 {
		t.Errorf("got %+v", w)
	}
	lines, err := s.Entries(t.Context(), buyer.Account, market.EntryFilter{Kind: market.TransferVoucher, Limit: 5})
	if err != nil || len(lines) != 1 || lines[0].Amount != 250 || lines[0].Class != market.Earned || *lines[0].BalanceAfter != 1250 {
		t.Errorf("the ledger says %+v, %v", lines, err)
	}
	c.advance(31 * 24 * time.Hour)
	if _, err := s.RedeemVoucher(t.Context(), buyer, codes[1]); !errors.Is(err, market.ErrVoucherExpired) {
		t.Errorf("after its time: %v", err)
	}
	got, err := s.VoucherBatches(t.Context(), "", 10)
	if err != nil || len(got) != 1 || got[0].Redeemed != 1 || got[0].Count != 4 || got[0].CreatedBy != operator.Handle || got[0].ID != batch.ID || got[0].Good(c.now()) {
		t.Errorf("the batches are %+v, %v", got, err)
	}
	balanced(t, s)
}

// TestRaceVoucher lets thirty accounts use one code, and an operator revoke
// another batch while its codes are used.
func TestRaceVoucher(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	operator := human(t, s)
	_, codes := vouchers(t, s, operator, 40, 1, market.Granted)
	buyers := make([]store.Caller, 30)
	for i := range buyers {
		buyers[i] = agent(t, s)
	}
	got := race(len(buyers), func(i int) error {
		_, err := s.RedeemVoucher(t.Context(), buyers[i], codes[0])
		return err
	})
	if got["ok"] != 1 || got["voucher_used"] != len(buyers)-1 {
		t.Errorf("one code: %v", got)
	}
	batch, codes := vouchers(t, s, operator, 40, int64(len(buyers)-1), market.Granted)
	got = race(len(buyers), func(i int) error {
		if i == len(codes) {
			_, err := s.RevokeVouchers(t.Context(), operator, batch.ID)
			return err
		}
		_, err := s.RedeemVoucher(t.Context(), buyers[i], codes[i])
		return err
	})
	after, err := s.VoucherBatch(context.Background(), batch.ID)
	if err != nil || after.RevokedAt == nil || after.RevokedBy != operator.Handle || got["ok"] != after.Redeemed+1 || got["ok"]+got["voucher_expired"] != len(buyers) {
		t.Errorf("revoked with %d redeemed, %v: %v", after.Redeemed, got, err)
	}
	if _, err := s.RevokeVouchers(t.Context(), operator, batch.ID); !errors.Is(err, market.ErrAlreadyDone) {
		t.Errorf("revoked again: %v", err)
	}
	log, err := s.AdminActions(t.Context(), string(batch.ID), 10)
	if err != nil || len(log) != 2 || log[0].Action != market.ActionVouchersRevoked || log[1].Action != market.ActionVouchersMade || log[1].Count != int64(len(codes)) || log[1].Actor != operator.Handle {
		t.Errorf("the operators' log says %+v, %v", log, err)
	}
	balanced(t, s)
}

func TestAuditFindsAFalseVoucher(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	buyer := agent(t, s)
	vouchers(t, s, human(t, s), 40, 1, market.Granted)
	exec(t, s, `UPDATE vouchers SET redeemed_by = $1, redeemed_at = now()`, string(buyer.Account))
	r, err := s.Audit(t.Context())
	if err != nil || len(r.Findings) != 1 || r.Findings[0].Check != "voucher" || r.Findings[0].Want != 40 || r.Findings[0].Got != 0 {
		t.Errorf("got %+v, %v", r.Findings, err)
	}
}
