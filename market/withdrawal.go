package market

import (
	"strings"
	"time"
)

// Shelved is a code that nobody has ordered, as operators see it: never its
// text.
type Shelved struct {
	ID CodeID
	// Print is the end of its fingerprint, by which it can be told from others.
	Print     string
	AddedAt   time.Time
	ExpiresAt *time.Time
}

// Batch is what one import added to a good.
type Batch struct {
	// AddedAt names the import.
	AddedAt time.Time
	// Codes counts all of it, Free what can still be withdrawn.
	Codes, Free int64
}

// Withdrawal is which codes of a good are taken out of its stock, and why.
type Withdrawal struct {
	// Code is one of them, "" for all free ones of the import of AddedAt.
	Code    CodeID
	AddedAt time.Time
	Reason  string
}

// ReadWithdrawal reads which codes are meant: the id of one, or when an import
// added them.
func ReadWithdrawal(codes, reason string) (Withdrawal, []FieldError) {
	var p problems
	w := Withdrawal{Reason: strings.TrimSpace(reason)}
	at, err := time.Parse(time.RFC3339Nano, codes)
	switch {
	case codes == "":
		p.add("/codes", "required", nil)
	case ValidID(codes):
		w.Code = CodeID(codes)
	case err != nil:
		p.add("/codes", "codes", nil)
	}
	w.AddedAt = at
	p.text("/reason", visible(w.Reason), 1, MaxReason)
	return w, p
}
