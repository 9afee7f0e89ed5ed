package market

import (
	"strings"
	"time"
)

type (
	// VoucherID names a voucher; its code is another thing.
	VoucherID string
	// VoucherBatchID names vouchers that were made together.
	VoucherBatchID string
)

// Limits of a batch of vouchers.
const (
	MaxVouchers       = 1000
	MaxVoucherAmount  = 1_000_000
	MaxVoucherDays    = 730
	MaxVoucherPurpose = 200
)

// VoucherDraft is what an operator wants a batch to be.
type VoucherDraft struct {
	// Amount is that of one voucher, in credits of the class.
	Amount int64
	Class  Class
	Count  int64
	// Days is for how long they can be redeemed.
	Days    int64
	Purpose string
}

// Clean trims the draft and lists what is wrong with it.
func (d *VoucherDraft) Clean() []FieldError {
	var p problems
	d.Purpose = strings.TrimSpace(d.Purpose)
	p.number("/amount", d.Amount, 1, MaxVoucherAmount)
	p.number("/count", d.Count, 1, MaxVouchers)
	p.number("/days", d.Days, 1, MaxVoucherDays)
	p.text("/purpose", d.Purpose, 0, MaxVoucherPurpose)
	if d.Class != Granted && d.Class != Earned {
		p.add("/class", "choice", map[string]any{"Allowed": string(Granted) + ", " + string(Earned)})
	}
	return p
}

// VoucherBatch are vouchers that an operator made together.
type VoucherBatch struct {
	ID      VoucherBatchID
	Amount  Credits
	Class   Class
	Count   int
	Purpose string
	// Redeemed counts those that were.
	Redeemed  int
	ExpiresAt time.Time
	CreatedAt time.Time
	// CreatedBy and RevokedBy are handles of operators.
	CreatedBy string
	RevokedBy string
	// RevokedAt is when the batch was ended, nil if it was not.
	RevokedAt *time.Time
}

// Good reports whether vouchers of the batch can be redeemed.
func (b VoucherBatch) Good(now time.Time) bool { return b.RevokedAt == nil && now.Before(b.ExpiresAt) }

// Voucher is credits that whoever has its code can take, once.
type Voucher struct {
	ID        VoucherID
	Batch     VoucherBatchID
	Amount    Credits
	Class     Class
	ExpiresAt time.Time
	RevokedAt *time.Time
	// RedeemedBy is "" while nobody has taken it.
	RedeemedBy AccountID
}

// Redeem moves the voucher's credits into the actor's wallet. It returns
// ErrAlreadyDone if the actor has taken it before, ErrVoucherUsed if somebody
// else has, ErrVoucherExpired if its time is over or its batch was revoked.
func (v Voucher) Redeem(a Actor, now time.Time) (Transfer, error) {
	if err := a.admitted(); err != nil {
		return Transfer{}, err
	}
	switch {
	case v.RedeemedBy == a.Account:
		return Transfer{}, ErrAlreadyDone
	case v.RedeemedBy != "":
		return Transfer{}, ErrVoucherUsed
	case v.RevokedAt != nil || !now.Before(v.ExpiresAt):
		return Transfer{}, ErrVoucherExpired
	}
	return Transfer{Kind: TransferVoucher, Debit: VouchersAccount, Credit: WalletAccount(a.Account), Amount: v.Amount,
		DebitClass: v.Class, CreditClass: v.Class, Account: a.Account}, nil
}

// voucherAlphabet has no letters that are read as others, and no vowels that
// make words.
const voucherAlphabet = "BCDFGHJKLMNPQRSTVWXZ23456789"

const voucherSize = 20

// voucherFiller takes out what a code may be typed with.
var voucherFiller = strings.NewReplacer("-", "", " ", "", "\t", "", "\r", "", "\n", "")

// NewVoucherCode makes a code of 96 random bits, in groups that people can
// type.
func NewVoucherCode() string { return newCode("GHV") }

func newCode(prefix string) string {
	text := randomText(voucherSize, voucherAlphabet)
	groups := []string{prefix}
	for i := 0; i < len(text); i += 5 {
		groups = append(groups, text[i:i+5])
	}
	return strings.Join(groups, "-")
}

// HashVoucherCode is the form in which a code is stored and looked up. How it
// was typed does not matter: upper or lower case, with or without dashes and
// spaces. It is false for what cannot be a code.
func HashVoucherCode(code string) ([]byte, bool) { return hashCode("voucher ", "GHV", code) }

func hashCode(kind, prefix, code string) ([]byte, bool) {
	code = strings.TrimPrefix(voucherFiller.Replace(strings.ToUpper(code)), prefix)
	if len(code) != voucherSize || strings.Trim(code, voucherAlphabet) != "" {
		return nil, false
	}
	return HashKey(kind + code), true
}
