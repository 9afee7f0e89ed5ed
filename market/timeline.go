package market

import (
	"strings"
	"time"
)

// Happening is one line of a task's timeline: a transition, by whom and
// through which credential.
type Happening struct {
	// Number counts the task's transitions from 1, without gaps.
	Number int64
	At     time.Time
	Event  Event
	// By and Actor are the account that did it and its handle, "" for the
	// clock.
	By    AccountID
	Actor string
	// Via is what the account used, nil for the clock and for who may not know.
	Via *Credential
}

// CredentialKind is a kind of credential that an account acts through.
type CredentialKind string

// The kinds of credentials.
const (
	ViaSession     CredentialKind = "session"
	ViaKey         CredentialKind = "key"
	ViaBundle      CredentialKind = "bundle"
	ViaOperatorKey CredentialKind = "operator_key"
)

// Credential is what somebody acted through. A browser session has no name and
// no prefix.
type Credential struct {
	Kind         CredentialKind
	Name, Prefix string
}

// KeyKind is the kind of the key that begins with the prefix.
func KeyKind(prefix string) CredentialKind {
	switch {
	case strings.HasPrefix(prefix, OperatorKeyPrefix):
		return ViaOperatorKey
	case strings.HasPrefix(prefix, DelegateKeyPrefix):
		return ViaBundle
	}
	return ViaKey
}

// SeenBy is the line as the actor may see it: everybody sees who acted, the
// account itself and operators also through which credential.
func (h Happening) SeenBy(a Actor) Happening {
	if h.By == "" || (h.By != a.Account && !a.Operator) {
		h.Via = nil
	}
	return h
}
