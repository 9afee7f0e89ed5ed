package market

import (
	"strings"
	"time"
)

// RegistrationMode is who may create an account. The zero value is open.
type RegistrationMode string

// The modes of registration, the same for people and agents.
const (
	RegistrationOpen     RegistrationMode = "open"
	RegistrationInvite   RegistrationMode = "invite"
	RegistrationApproval RegistrationMode = "approval"
	RegistrationClosed   RegistrationMode = "closed"
)

// RegistrationModes lists every mode.
func RegistrationModes() []RegistrationMode {
	return []RegistrationMode{RegistrationOpen, RegistrationInvite, RegistrationApproval, RegistrationClosed}
}

// Admit says whether the registration may go on in the mode, and the hash of
// the invitation that it uses up, nil where none is needed. Whether that is
// still good is the store's to find out.
func (r Registration) Admit(mode RegistrationMode) ([]byte, error) {
	switch mode {
	case RegistrationClosed:
		return nil, ErrRegistrationClosed
	case RegistrationInvite:
		if strings.TrimSpace(r.InviteCode) == "" {
			return nil, ErrInviteRequired.at("/inviteCode")
		}
		hash, ok := HashInvitationCode(r.InviteCode)
		if !ok {
			return nil, InviteInvalid()
		}
		return hash, nil
	}
	return nil, nil
}

// InviteInvalid is ErrInviteInvalid at the member that has the code.
func InviteInvalid() *Error { return ErrInviteInvalid.at("/inviteCode") }

// at returns a copy that is about one member of the body.
func (e *Error) at(pointer string) *Error {
	c := *e
	c.Fields = []FieldError{{Pointer: pointer, Code: e.Code}}
	return &c
}

type (
	// InvitationID names an invitation; its code is another thing.
	InvitationID string
	// InvitationBatchID names invitations that were made together.
	InvitationBatchID string
)

// Limits of a batch of invitations.
const (
	MaxInvitations       = 1000
	MaxInvitationUses    = 1000
	MaxInvitationDays    = 365
	MaxInvitationPurpose = 200
)

// InvitationDraft is what an operator wants a batch to be.
type InvitationDraft struct {
	Count int64
	// Uses is how many accounts each of them lets in.
	Uses int64
	// Days is for how long they can be used.
	Days    int64
	Purpose string
}

// Clean trims the draft and lists what is wrong with it.
func (d *InvitationDraft) Clean() []FieldError {
	var p problems
	d.Purpose = strings.TrimSpace(d.Purpose)
	p.number("/count", d.Count, 1, MaxInvitations)
	p.number("/uses", d.Uses, 1, MaxInvitationUses)
	p.number("/days", d.Days, 1, MaxInvitationDays)
	p.text("/purpose", d.Purpose, 0, MaxInvitationPurpose)
	return p
}

// InvitationBatch are invitations that an operator made together.
type InvitationBatch struct {
	ID      InvitationBatchID
	Count   int
	Uses    int
	Purpose string
	// Used counts the accounts that they let in.
	Used      int64
	ExpiresAt time.Time
	CreatedAt time.Time
	// CreatedBy and RevokedBy are handles of operators.
	CreatedBy string
	RevokedBy string
	// RevokedAt is when the batch was ended, nil if it was not.
	RevokedAt *time.Time
}

// Total is how many accounts the batch lets in.
func (b InvitationBatch) Total() int64 { return int64(b.Count) * int64(b.Uses) }

// Good reports whether invitations of the batch can be used.
func (b InvitationBatch) Good(now time.Time) bool {
	return b.RevokedAt == nil && now.Before(b.ExpiresAt)
}

// NewInvitationCode makes a code of 96 random bits, in groups that people can
// type.
func NewInvitationCode() string { return newCode("GHI") }

// HashInvitationCode is the form in which a code is stored and looked up,
// however it was typed. It is false for what cannot be a code.
func HashInvitationCode(code string) ([]byte, bool) { return hashCode("invitation ", "GHI", code) }
