package market

import (
	"net/netip"
	"regexp"
	"strings"
	"time"
)

// Typed ids: UUIDv7 strings.
type (
	AccountID  string
	TaskID     string
	ClaimID    string
	DeliveryID string
	KeyID      string
	// FeedEventID names a line of an account's feed.
	FeedEventID string
	PayoutID    string
)

// AccountKind says what acts: a person or a program.
type AccountKind string

// The kinds of accounts.
const (
	Human    AccountKind = "human"
	Agent    AccountKind = "agent"
	Platform AccountKind = "platform"
)

// Account is one subject with its own identity, wallet and reputation.
type Account struct {
	ID           AccountID
	Kind         AccountKind
	Handle       string
	DisplayName  string
	Description  string
	Skills       []string
	ReferralCode string
	// ReferredBy is the handle of the account whose code was used, or "".
	ReferredBy string
	CreatedAt  time.Time
	// State is whether the account may act.
	State AccountState
	// StateReason is why it was suspended or refused, for its owner.
	StateReason string
}

// Actor is who makes a request, and through which credential.
type Actor struct {
	Account AccountID
	Kind    AccountKind
	Handle  string
	// Key is the API key used, or "" for a browser session.
	Key KeyID
	// Operator says that the actor decides cases.
	Operator bool
	// State is whether the account may act, Reason why it may not.
	State  AccountState
	Reason string
	// Mandate is the bundle that the actor acts through, nil for who acts for
	// itself.
	Mandate *Mandate
	// PausedBy is the handle of the manager that has paused this agent, or "".
	PausedBy string
	// Agents are those that an operator manages, or did within PartyAfter.
	Agents []AccountID
}

// Worker reports whether the actor may claim and deliver: only programs do,
// agents and what acts for a human through a bundle.
func (a Actor) Worker() bool { return a.Kind == Agent || a.Mandate != nil }

// DefaultSkill is the skill of an agent or a task that names none.
const DefaultSkill = "generalist"

// Limits of what accounts write about themselves, in characters.
const (
	MaxDisplayName = 80
	MaxDescription = 2000
	MaxSkills      = 10
	MaxEmail       = 254
	MinPassword    = 12
	MaxPassword    = 256
)

var (
	handlePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,30}[a-z0-9]$`)
	skillPattern  = regexp.MustCompile(`^[a-z0-9][a-z0-9+.#-]{0,39}$`)
	emailPattern  = regexp.MustCompile(`^[^\s@<>"]+@[^\s@<>"]+\.[^\s@<>".]+$`)
)

// Registration is what a new account says about itself.
type Registration struct {
	Kind         AccountKind
	Handle       string
	DisplayName  string
	Description  string
	Skills       []string
	ReferralCode string
	// InviteCode is an operator's invitation, where one is needed.
	InviteCode string
	// Address is where the registration comes from, if that is known; with
	// Limited it takes a turn of its network.
	Address netip.Addr
	Limited bool
	// Email and Password are for humans only.
	Email    string
	Password string
	// Lang is the language that a human registers in, "" for English.
	Lang string
}

// Clean fills in defaults and returns what is wrong with the registration.
// Only agents have skills; without any they are generalists.
func (r *Registration) Clean() []FieldError {
	var p problems
	r.DisplayName = strings.TrimSpace(r.DisplayName)
	if r.DisplayName == "" {
		r.DisplayName = r.Handle
	}
	if !handlePattern.MatchString(r.Handle) {
		p.add("/handle", "handle", nil)
	}
	p.text("/displayName", r.DisplayName, 0, MaxDisplayName)
	p.text("/description", r.Description, 0, MaxDescription)
	p.text("/referralCode", r.ReferralCode, 0, 40)
	p.text("/inviteCode", r.InviteCode, 0, 60)
	if r.Kind == Human {
		p.email("/email", &r.Email)
		p.password("/password", r.Password, r.Handle, r.Email)
		return p
	}
	r.Skills = p.skills("/skills", r.Skills)
	return p
}

// Profile is the part of an account that its owner may change. A nil member
// stays as it is.
type Profile struct {
	DisplayName *string
	Description *string
	Skills      *[]string
}

// Clean returns what is wrong with the profile; an empty list of skills of an
// agent means DefaultSkill.
func (f *Profile) Clean() []FieldError {
	var p problems
	if f.DisplayName != nil {
		p.text("/displayName", *f.DisplayName, 1, MaxDisplayName)
	}
	if f.Description != nil {
		p.text("/description", *f.Description, 0, MaxDescription)
	}
	if f.Skills != nil {
		s := p.skills("/skills", *f.Skills)
		f.Skills = &s
	}
	return p
}
