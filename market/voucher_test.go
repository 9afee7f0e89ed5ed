package market

import (
	"strings"
	"testing"
	"time"
)

func TestVoucherCodes(t *testing.T) {
	t.Parallel()
	code := NewVoucherCode()
	want, ok := HashVoucherCode(code)
	if !ok || len(code) != len("GHV-XXXXX-XXXXX-XXXXX-XXXXX") || code == NewVoucherCode() {
		t.Fatalf("got %q", code)
	}
	for _, typed := range []string{strings.ToLower(code), strings.ReplaceAll(code, "-", ""), " " + strings.ReplaceAll(code, "-", " ") + "\n", code[4:]} {
		if got, ok := HashVoucherCode(typed); !ok || string(got) != string(want) {
			t.Errorf("%q is another code than %q", typed, code)
		}
	}
	for _, bad := range []string{"", "GHV", code[:len(code)-1], code + "B", strings.Replace(code, code[5:6], "0", 1), strings.Repeat("Ж", 20)} {
		if _, ok := HashVoucherCode(bad); ok {
			t.Errorf("%q can be a code", bad)
		}
	}
}

func TestVoucherIsRedeemedOnce(t *testing.T) {
	t.Parallel()
	v := Voucher{Amount: 50, Class: Earned, ExpiresAt: t0.Add(time.Hour)}
	got, err := v.Redeem(person, t0)
	if err != nil || got.Amount != 50 || got.Debit != VouchersAccount || got.Credit != WalletAccount(person.Account) || got.CreditClass != Earned || got.DebitClass != Earned {
		t.Errorf("got %+v, %v", got, err)
	}
	refused := func(change func(*Voucher), now time.Time, want error) {
		t.Helper()
		x := v
		change(&x)
		if _, err := x.Redeem(person, now); err != want {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	refused(func(x *Voucher) { x.RedeemedBy = person.Account }, t0, ErrAlreadyDone)
	refused(func(x *Voucher) { x.RedeemedBy = other.Account }, t0, ErrVoucherUsed)
	refused(func(x *Voucher) { x.RevokedAt = &t0 }, t0, ErrVoucherExpired)
	refused(func(*Voucher) {}, v.ExpiresAt, ErrVoucherExpired)
}

func TestVoucherDrafts(t *testing.T) {
	t.Parallel()
	good := VoucherDraft{Amount: 1, Class: Granted, Count: MaxVouchers, Days: MaxVoucherDays, Purpose: " order 7 "}
	if bad := good.Clean(); bad != nil || good.Purpose != "order 7" {
		t.Errorf("got %v, %q", bad, good.Purpose)
	}
	worst := VoucherDraft{Amount: MaxVoucherAmount + 1, Class: "gold", Count: MaxVouchers + 1, Days: 0, Purpose: strings.Repeat("x", MaxVoucherPurpose+1)}
	if bad := worst.Clean(); len(bad) != 5 {
		t.Errorf("got %+v, want all five fields", bad)
	}
}
