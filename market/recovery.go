package market

import (
	"strings"
	"time"
)

// RecoveryPrefix starts a recovery grant, RecoveryLife is how long it lives.
const (
	RecoveryPrefix = "ghr_"
	RecoveryLife   = time.Hour
)

// RevokedRecovered is why a key is revoked whose agent was given a new one by
// its manager's grant.
const RevokedRecovered = "recovered"

// Recovery is a manager's grant of one new key to its agent.
type Recovery struct {
	ID        RecoveryID
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    *time.Time
	RevokedAt *time.Time
}

// Live reports whether the grant can still be used.
func (r Recovery) Live(now time.Time) bool {
	return r.UsedAt == nil && r.RevokedAt == nil && now.Before(r.ExpiresAt)
}

// Use takes the grant for the agent of the binding. A paused agent may: it
// stays paused. A suspended one has no use for a key.
func (r Recovery) Use(b Binding, state AccountState, reason string, now time.Time) error {
	switch {
	case r.UsedAt != nil:
		return ErrGrantUsed.at("/grant")
	case r.RevokedAt != nil || !b.Live():
		return ErrGrantRevoked.at("/grant")
	case !now.Before(r.ExpiresAt):
		return ErrGrantExpired.at("/grant")
	case state == AccountSuspended:
		return Suspended(reason)
	}
	return nil
}

// Grant refuses who may not make a recovery grant for the agent.
func (b Binding) Grant(a Actor) error { return b.managed(a) }

// UnknownGrant is ErrGrantUnknown at the field of the grant.
func UnknownGrant() error { return ErrGrantUnknown.at("/grant") }

// WellFormedGrant reports whether the text can be a recovery grant.
func WellFormedGrant(text string) bool {
	return strings.HasPrefix(text, RecoveryPrefix) && wellFormed(text, RecoveryPrefix)
}
