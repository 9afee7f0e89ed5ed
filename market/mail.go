package market

import (
	"crypto/rand"
	"crypto/sha256"
	"time"
)

// MailID names a mail that waits to be sent.
type MailID string

// MailKind is what a mail is about; its words are in the catalogues.
type MailKind string

// The kinds of mails. A notice tells what happened to an account's security.
const (
	MailReset  MailKind = "reset"
	MailVerify MailKind = "verify"
	MailMoved  MailKind = "moved"
	MailNotice MailKind = "notice"
)

// MailKinds lists every kind.
func MailKinds() []MailKind { return []MailKind{MailReset, MailVerify, MailMoved, MailNotice} }

// How long the links of mails are good, and how long it makes sense to try to
// send a notice.
const (
	ResetLasts  = time.Hour
	VerifyLasts = 24 * time.Hour
	NoticeLasts = 3 * 24 * time.Hour
)

// MailLasts is how long a mail of the kind is tried.
func MailLasts(k MailKind) time.Duration {
	switch k {
	case MailReset:
		return ResetLasts
	case MailVerify:
		return VerifyLasts
	}
	return NoticeLasts
}

// Mail is a mail that waits to be sent.
type Mail struct {
	ID   MailID
	Kind MailKind
	// To is the address, Lang the language its owner reads, Handle the account.
	To, Lang, Handle string
	At               time.Time
	Attempts         int
	// Args are what its words need; a link's Token among them opens something.
	Args map[string]string
}

// NewLinkToken is what a link in a mail holds: 130 random bits.
func NewLinkToken() string { return rand.Text() }

// HashLinkToken is what is kept of it.
func HashLinkToken(token string) []byte {
	sum := sha256.Sum256([]byte("link " + token))
	return sum[:]
}

// Address is what an account's owner sees of the e-mail address.
type Address struct {
	Email string
	// VerifiedAt is when mail to it was last proved to be read, nil for never.
	VerifiedAt *time.Time
	// Waiting is an address that takes its place when that is proved, "" if none.
	Waiting string
}

// CheckAddress cleans an e-mail address and says what is wrong with it.
func CheckAddress(pointer string, address *string) []FieldError {
	var p problems
	p.email(pointer, address)
	return p
}

// What accounts are told about their password and address.
const (
	SecurityResetAsked      FeedType = "security.reset_asked"
	SecurityPasswordReset   FeedType = "security.password_reset"
	SecurityAddressVerified FeedType = "security.address_verified"
	SecurityAddressChanged  FeedType = "security.address_changed"
)
