package market

import "time"

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
	Holds  []Payout
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

// RedemptionsAccount takes the price of goods.
const RedemptionsAccount = "platform:redemptions"

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

	TransferRedeem       TransferKind = "redeem"        // wallet → platform, for a good
	TransferRedeemRefund TransferKind = "redeem_refund" // platform → wallet, for a refused order

	TransferAdjustment TransferKind = "adjustment" // platform ↔ wallet, by an operator
)

// TransferKinds lists every kind.
func TransferKinds() []TransferKind {
	return []TransferKind{TransferGrant, TransferEscrow, TransferRefund, TransferPayout, TransferRelease, TransferReversal, TransferReferral,
		TransferVoucher, TransferRedeem, TransferRedeemRefund, TransferAdjustment}
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
	// are still pending.
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

// Payout is an earned reward: pending until AvailableAt, then released.
type Payout struct {
	ID       PayoutID
	Account  AccountID
	Task     TaskID
	Delivery DeliveryID
	Amount   Credits
	Class    Class
	// GrantedPart is how much of it was granted credits in the escrow.
	GrantedPart Credits
	AvailableAt time.Time
	HoldReason  string
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
