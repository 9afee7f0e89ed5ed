package market

import (
	"strings"
	"time"
)

// AccountState is whether an account may act. The zero value counts as active.
type AccountState string

// The states of accounts.
const (
	// AccountPending waits for an operator's approval, AccountRefused was
	// not given it: both may look around, and do nothing that others see.
	AccountPending   AccountState = "pending"
	AccountRefused   AccountState = "refused"
	AccountActive    AccountState = "active"
	AccountSuspended AccountState = "suspended"
)

// AccountStates lists every state.
func AccountStates() []AccountState {
	return []AccountState{AccountActive, AccountPending, AccountRefused, AccountSuspended}
}

// MaxAccountReason is the length of the longest reason for a suspension, a
// refusal or an adjustment, in characters.
const MaxAccountReason = 500

// admitted refuses an account that was not let in, or is not any more.
func (a Actor) admitted() error {
	switch a.State {
	case AccountPending:
		return ErrApprovalPending
	case AccountRefused:
		return ErrApprovalRefused.With(map[string]any{"Reason": a.Reason})
	case AccountSuspended:
		return Suspended(a.Reason)
	}
	return nil
}

// Suspended is ErrAccountSuspended with the reason.
func Suspended(reason string) *Error {
	return ErrAccountSuspended.With(map[string]any{"Reason": reason})
}

// AccountFile is an account as operators see it.
type AccountFile struct {
	Account
	// Email is a person's, "" for an agent.
	Email    string
	Operator bool
	// ApprovedAt is when the account was let in, nil while it waits or if it
	// was refused.
	ApprovedAt  *time.Time
	RefusedAt   *time.Time
	Refusal     string
	SuspendedAt *time.Time
	// Suspension is the reason that the account's owner reads.
	Suspension string
	// VerifiedAt is when operators said that they know who is behind it, and
	// EstablishedAt when it became established: see Terms.
	VerifiedAt, EstablishedAt *time.Time
	// From is the block of addresses that it was registered from, "" if that is
	// not known, or not any more.
	From string
}

// reason reads what an operator gives as a reason.
func reason(text string) (string, error) {
	text = strings.TrimSpace(text)
	var p problems
	p.text("/reason", visible(text), 1, MaxAccountReason)
	return text, Invalid(p)
}

// judgeable refuses who may not decide about the account: nobody decides about
// their own, and operators are not decided about while they have the role.
func (f AccountFile) judgeable(a Actor) error {
	switch {
	case !a.Operator || a.oneParty(f.ID) || f.Kind == Platform:
		return ErrForbidden
	case f.Operator:
		return ErrOperatorAccount
	}
	return nil
}

// Suspend stops the account, for a reason that its owner reads.
func (f AccountFile) Suspend(a Actor, why string, now time.Time) (AccountFile, error) {
	why, err := reason(why)
	if err != nil {
		return f, err
	}
	if err := f.judgeable(a); err != nil {
		return f, err
	}
	if f.SuspendedAt != nil {
		return f, ErrAlreadyDone
	}
	f.SuspendedAt, f.Suspension = &now, why
	return f.settled(), nil
}

// Unsuspend lets the account act again, as it could before.
func (f AccountFile) Unsuspend(a Actor, why string) (AccountFile, string, error) {
	why, err := reason(why)
	if err != nil {
		return f, why, err
	}
	if err := f.judgeable(a); err != nil {
		return f, why, err
	}
	if f.SuspendedAt == nil {
		return f, why, ErrAlreadyDone
	}
	f.SuspendedAt, f.Suspension = nil, ""
	return f.settled(), why, nil
}

// Verify says that operators know who is behind the account.
func (f AccountFile) Verify(a Actor, why string, now time.Time) (AccountFile, string, error) {
	why, err := f.known(a, why, false)
	if err == nil {
		f.VerifiedAt = &now
	}
	return f, why, err
}

// Unverify takes that back: the account is not established then either.
func (f AccountFile) Unverify(a Actor, why string) (AccountFile, string, error) {
	why, err := f.known(a, why, true)
	if err == nil {
		f.VerifiedAt, f.EstablishedAt = nil, nil
	}
	return f, why, err
}

// known refuses what is not to be decided, or is so already.
func (f AccountFile) known(a Actor, why string, verified bool) (string, error) {
	why, err := reason(why)
	switch {
	case err != nil:
		return why, err
	case !a.Operator || a.oneParty(f.ID) || f.Kind == Platform:
		return why, ErrForbidden
	case (f.VerifiedAt != nil) != verified:
		return why, ErrAlreadyDone
	}
	return why, nil
}

// Approve lets the account in, which waits or was refused before, and gives it
// what every new account is granted.
func (f AccountFile) Approve(a Actor, grant Credits, now time.Time) (AccountFile, []Transfer, error) {
	if err := f.judgeable(a); err != nil {
		return f, nil, err
	}
	if f.ApprovedAt != nil {
		return f, nil, ErrAlreadyDone
	}
	f.ApprovedAt, f.RefusedAt, f.Refusal = &now, nil, ""
	return f.settled(), Welcome(f.ID, grant), nil
}

// Welcome is what a new account is granted: at once, or when it is approved.
func Welcome(id AccountID, grant Credits) []Transfer {
	return transfers(TransferGrant, Funds{Granted: grant}, "", Transfer{Debit: GrantsAccount, Credit: WalletAccount(id), Account: id})
}

// Refuse does not let the account in that waits, for a reason that its owner
// reads.
func (f AccountFile) Refuse(a Actor, why string, now time.Time) (AccountFile, error) {
	why, err := reason(why)
	if err != nil {
		return f, err
	}
	if err := f.judgeable(a); err != nil {
		return f, err
	}
	if f.ApprovedAt != nil || f.RefusedAt != nil {
		return f, ErrAlreadyDone
	}
	f.RefusedAt, f.Refusal = &now, why
	return f.settled(), nil
}

// settled is the file with the state that follows from its times, as the
// database derives it.
func (f AccountFile) settled() AccountFile {
	switch {
	case f.SuspendedAt != nil:
		f.State, f.StateReason = AccountSuspended, f.Suspension
	case f.ApprovedAt != nil:
		f.State, f.StateReason = AccountActive, ""
	case f.RefusedAt != nil:
		f.State, f.StateReason = AccountRefused, f.Refusal
	default:
		f.State, f.StateReason = AccountPending, ""
	}
	return f
}

// AdjustmentsAccount is the other side of what operators put right.
const AdjustmentsAccount = "platform:adjustments"

// MaxAdjustment bounds one adjustment, either way.
const MaxAdjustment = 1_000_000_000

// Adjustment is what an operator wants a wallet to be put right by.
type Adjustment struct {
	// Amount is signed: what is negative leaves the wallet.
	Amount int64
	Class  Class
	Reason string
}

// Clean trims the adjustment and lists what is wrong with it.
func (x *Adjustment) Clean() []FieldError {
	var p problems
	x.Reason = strings.TrimSpace(x.Reason)
	if x.Amount == 0 {
		p.add("/amount", "not_zero", nil)
	} else {
		p.number("/amount", x.Amount, -MaxAdjustment, MaxAdjustment)
	}
	if x.Class != Granted && x.Class != Earned {
		p.add("/class", "choice", map[string]any{"Allowed": string(Granted) + ", " + string(Earned)})
	}
	p.text("/reason", visible(x.Reason), 1, MaxAccountReason)
	return p
}

// Adjust moves credits between the platform and the account's wallet, which
// has the funds: never more out of it than there is of the class. The reason
// stands on the line that the owner reads.
func (f AccountFile) Adjust(a Actor, x Adjustment, have Funds) (Transfer, error) {
	if !a.Operator || a.oneParty(f.ID) || f.Kind == Platform {
		return Transfer{}, ErrForbidden
	}
	t := Transfer{Kind: TransferAdjustment, Debit: AdjustmentsAccount, Credit: WalletAccount(f.ID), Amount: Credits(x.Amount),
		DebitClass: x.Class, CreditClass: x.Class, Account: f.ID, Note: x.Reason}
	if x.Amount > 0 {
		return t, nil
	}
	t.Debit, t.Credit, t.Amount = t.Credit, t.Debit, -t.Amount
	there := have.Granted
	if x.Class == Earned {
		there = have.Earned
	}
	if there < t.Amount {
		return Transfer{}, ErrInsufficientCredits.With(map[string]any{"Needed": t.Amount, "Available": there})
	}
	return t, nil
}

// AccountFilter chooses accounts for operators.
type AccountFilter struct {
	// Query is the beginning of a handle or of an e-mail address, an id, or a
	// block of addresses; "" for all.
	Query string
	// State is "" for all.
	State AccountState
	// Before is the last one seen, "" for none.
	Before AccountID
	Limit  int
}

// Activity is what an account has done, in numbers.
type Activity struct {
	// Tasks counts those that it published, Deliveries those that it made.
	Tasks      map[State]int64
	Deliveries map[DeliveryState]int64
	// Invited counts the accounts that came with its code.
	Invited int64
	// Reversed counts its payouts that operators took back, Objections open
	// ones against its payouts, Reports open ones of its tasks.
	Reversed, Objections, Reports int64
	// Keys counts its API keys that are valid.
	Keys int64
	// Neighbours counts the other accounts from the same block of addresses.
	Neighbours int64
}
