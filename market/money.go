package market

import (
	"slices"
	"time"
)

// Credits is a whole number of credits.
type Credits int64

// Class says where credits came from. Only earned credits can be redeemed.
type Class string

// The two classes.
const (
	Granted Class = "granted"
	Earned  Class = "earned"
)

// Funds are credits by class.
type Funds struct {
	Granted Credits
	Earned  Credits
}

// Total is the sum over both classes.
func (f Funds) Total() Credits { return f.Granted + f.Earned }

func (f Funds) minus(g Funds) Funds { return Funds{f.Granted - g.Granted, f.Earned - g.Earned} }

// Take splits an amount over the classes, granted first. It returns
// ErrInsufficientCredits if the funds do not cover it.
func (f Funds) Take(amount Credits) (Funds, error) {
	if f.Total() < amount {
		return Funds{}, ErrInsufficientCredits.With(map[string]any{"Needed": amount, "Available": f.Total()})
	}
	g := min(f.Granted, amount)
	return Funds{Granted: g, Earned: amount - g}, nil
}

// Wallet is what an account owns, as its owner sees it at one moment.
type Wallet struct {
	// Granted and Earned.Available can be spent now.
	Granted         Credits
	EarnedAvailable Credits
	// GrantedPending and EarnedPending are paid out but still held.
	GrantedPending Credits
	EarnedPending  Credits
	// Escrow is what the account's own live tasks hold.
	Escrow Credits
	// Redeemed is what was ever paid for goods, less what was given back.
	Redeemed Credits
	Holds    []Payout
}

// Held is what one live task of its publisher holds.
type Held struct {
	Task  TaskID
	Title string
	State State
	Funds Funds
}

// Ledger account names. A transfer's debit and credit are such names.
func WalletAccount(id AccountID) string  { return "wallet:" + string(id) }
func PendingAccount(id AccountID) string { return "pending:" + string(id) }
func EscrowAccount(id TaskID) string     { return "escrow:" + string(id) }

// GrantsAccount issues granted credits, VouchersAccount those of vouchers.
const (
	GrantsAccount   = "platform:grants"
	VouchersAccount = "platform:vouchers"
)

// RedemptionsAccount takes the price of goods, FeesAccount the platform's fees.
const (
	RedemptionsAccount = "platform:redemptions"
	FeesAccount        = "platform:fees"
)

// PlatformID is the account that stands for the operators' site itself.
const PlatformID AccountID = "00000000-0000-7000-8000-000000000001"

// TransferKind says why credits moved.
type TransferKind string

// The kinds of transfers.
const (
	TransferGrant   TransferKind = "grant"   // platform → wallet, at registration
	TransferEscrow  TransferKind = "escrow"  // wallet → escrow, at publish
	TransferRefund  TransferKind = "refund"  // escrow → wallet
	TransferPayout  TransferKind = "payout"  // escrow → pending
	TransferRelease TransferKind = "release" // pending → wallet, after the hold

	TransferReversal TransferKind = "reversal" // pending → the publisher's wallet, by an operator
	TransferReferral TransferKind = "referral" // platform → the referrer's wallet
	TransferVoucher  TransferKind = "voucher"  // platform → wallet, for a code

	TransferOnboarding TransferKind = "onboarding" // platform → wallet, for the challenge

	TransferFee       TransferKind = "fee"        // escrow → platform, with a payout
	TransferFeeRefund TransferKind = "fee_refund" // platform → the publisher's wallet, with a reversal

	TransferRedeem       TransferKind = "redeem"        // wallet → platform, for a good
	TransferRedeemRefund TransferKind = "redeem_refund" // platform → wallet, for a refused order

	TransferAdjustment TransferKind = "adjustment" // platform ↔ wallet, by an operator
)

// TransferKinds lists every kind.
func TransferKinds() []TransferKind {
	return []TransferKind{TransferGrant, TransferEscrow, TransferRefund, TransferPayout, TransferRelease, TransferReversal, TransferReferral,
		TransferVoucher, TransferOnboarding, TransferFee, TransferFeeRefund, TransferRedeem, TransferRedeemRefund, TransferAdjustment}
}

// WalletKinds are those that a wallet has lines of.
func WalletKinds() []TransferKind {
	return slices.DeleteFunc(TransferKinds(), func(k TransferKind) bool { return k == TransferFee })
}

// Transfer moves a positive amount from the debit to the credit account. The
// class may change on the way; the amount cannot.
type Transfer struct {
	Kind        TransferKind
	Debit       string
	Credit      string
	Amount      Credits
	DebitClass  Class
	CreditClass Class
	// Account owns the wallet or the pending side of the transfer.
	Account      AccountID
	Counterparty AccountID
	Task         TaskID
	// Order is the one that a redemption, or its refund, is for.
	Order OrderID
	// Note is why an operator adjusted a wallet.
	Note string
}

// Entry is one ledger line as the owner of a wallet sees it.
type Entry struct {
	ID     int64
	At     time.Time
	Kind   TransferKind
	Amount Credits // signed: negative leaves the wallet
	Class  Class
	// BalanceAfter is the spendable total after this line, nil on lines that
	// touch only what is pending: a payout, and one that was taken back.
	BalanceAfter *Credits
	Task         TaskID
	// TaskTitle is filled in by the store for showing.
	TaskTitle string
	Order     OrderID
	// Counterparty is a handle, or "".
	Counterparty string
	// Note is the reason of an adjustment, or "".
	Note string
}

// EntryFilter chooses ledger lines.
type EntryFilter struct {
	// Kind is "" for all.
	Kind TransferKind
	// Before is the id that all lines are older than, 0 for none.
	Before int64
	Limit  int
}

// Payout is a reward of a delivery: pending until AvailableAt, then released.
type Payout struct {
	ID       PayoutID
	Account  AccountID
	Task     TaskID
	Delivery DeliveryID
	Amount   Credits
	// Class is granted if all of it is; Granted is how much is.
	Class   Class
	Granted Credits
	// GrantedPart is how much of it was granted credits in the escrow, and
	// Fee what the platform took from there, by class.
	GrantedPart Credits
	Fee         Funds
	AvailableAt time.Time
	HoldReason  string
}

// Parts are the payout as one of each class that it has.
func (p Payout) Parts() []Payout {
	granted, earned := p, p
	granted.Class, granted.Amount = Granted, p.Granted
	earned.Class, earned.Amount = Earned, p.Amount-p.Granted
	return slices.DeleteFunc([]Payout{earned, granted}, func(x Payout) bool { return x.Amount == 0 })
}

// HoldSettlement is the ordinary reason of a hold: time to find mistakes.
const HoldSettlement = "settlement_hold"

// HoldSuspended is that of payouts of a suspended account.
const HoldSuspended = "account_suspended"

func transfers(kind TransferKind, f Funds, to Class, t Transfer) []Transfer {
	var out []Transfer
	add := func(amount Credits, class Class) {
		if amount == 0 {
			return
		}
		x := t
		x.Kind, x.Amount, x.DebitClass, x.CreditClass = kind, amount, class, class
		if to != "" {
			x.CreditClass = to
		}
		out = append(out, x)
	}
	add(f.Granted, Granted)
	add(f.Earned, Earned)
	return out
}
