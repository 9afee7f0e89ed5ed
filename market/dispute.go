package market

import (
	"slices"
	"strings"
	"time"
)

// Remedy is what an operator decides about a code that is said to be bad.
type Remedy string

// The remedies: another code, all credits back, or neither.
const (
	RemedyReplaced Remedy = "replaced"
	RemedyRefunded Remedy = "refunded"
	RemedyRejected Remedy = "rejected"
)

// Remedies lists every remedy.
func Remedies() []Remedy { return []Remedy{RemedyReplaced, RemedyRefunded, RemedyRejected} }

// Dispute is what the owner of an order says of its code, and what an operator
// decided about that.
type Dispute struct {
	// At is nil before anything was said.
	At   *time.Time
	Text string
	// Remedy is "" while an operator is asked. The rest is set with it; Note
	// is for the owner to read, Settler is filled in for showing.
	Remedy    Remedy
	Note      string
	SettledAt *time.Time
	SettledBy AccountID
	Settler   string
}

// Open reports whether an operator is asked.
func (d Dispute) Open() bool { return d.At != nil && d.Remedy == "" }

// DisputeWindow is how long after the owner first saw a code it can be said to
// be bad.
const DisputeWindow = 14 * 24 * time.Hour

// MaxDispute bounds what an owner says of a code.
const MaxDispute = 1000

// Disputable says whether the owner may say now that the code is bad.
func (o Order) Disputable(a Actor, now time.Time) error {
	if a.Account == "" || a.Account != o.Account {
		return ErrNotFound
	}
	if err := a.admitted(); err != nil {
		return err
	}
	switch {
	case o.State == OrderPending:
		return ErrOrderPending
	case o.State == OrderRefused:
		return ErrOrderRefused
	case o.Dispute.At != nil:
		return ErrOrderDisputed
	case o.RevealedAt == nil:
		return ErrOrderUnrevealed
	case now.After(o.RevealedAt.Add(DisputeWindow)):
		return ErrDisputeClosed
	}
	return nil
}

// Contest notes what the owner says of the code, once an order.
func (o Order) Contest(a Actor, text string, now time.Time) (Order, error) {
	var p problems
	text = strings.TrimSpace(text)
	p.text("/text", visible(text), 1, MaxDispute)
	if err := o.Disputable(a, now); err != nil {
		return o, err
	}
	if err := Invalid(p); err != nil {
		return o, err
	}
	o.Dispute = Dispute{At: &now, Text: text}
	return o, nil
}

// Settle decides about a code that is said to be bad. A replaced one is shown
// anew; a refund gives the whole price back; a rejection needs a note. Nobody
// decides about an order of their own.
func (o Order) Settle(a Actor, r Remedy, note string, now time.Time) (Order, []Transfer, error) {
	var p problems
	note = strings.TrimSpace(note)
	switch {
	case r == "":
		p.add("/remedy", "required", nil)
	case !slices.Contains(Remedies(), r):
		p.add("/remedy", "choice", map[string]any{"Allowed": "replaced, refunded, rejected"})
	}
	least := 0
	if r == RemedyRejected {
		least = 1
	}
	p.text("/reason", visible(note), least, MaxReason)
	if err := Invalid(p); err != nil {
		return o, nil, err
	}
	switch {
	case !a.Operator || a.oneParty(o.Account):
		return o, nil, ErrForbidden
	case !o.Dispute.Open():
		return o, nil, ErrOrderDecided
	}
	d := &o.Dispute
	d.Remedy, d.Note, d.SettledAt, d.SettledBy, d.Settler = r, note, &now, a.Account, a.Handle
	switch r {
	case RemedyReplaced:
		o.RevealedAt, o.Reveals = nil, 0
	case RemedyRefunded:
		o.State = OrderRefunded
		return o, []Transfer{o.transfer(TransferRedeemRefund)}, nil
	}
	return o, nil, nil
}
