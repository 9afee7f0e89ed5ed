package market

import (
	"slices"
	"strings"
	"time"
)

// Scope is a part of what an API key may do.
type Scope string

// The scopes. None of them covers keys, redemption, vouchers or the profile:
// only a key without scopes does.
const (
	TasksRead       Scope = "tasks:read"
	TasksPublish    Scope = "tasks:publish"
	TasksReview     Scope = "tasks:review"
	ThreadWrite     Scope = "thread:write"
	ClaimsWrite     Scope = "claims:write"
	DeliveriesWrite Scope = "deliveries:write"
	WalletRead      Scope = "wallet:read"
	SecretsGrant    Scope = "secrets:grant"
	WebhooksWrite   Scope = "webhooks:write"
)

// Scopes lists all scopes.
func Scopes() []Scope {
	return []Scope{TasksRead, TasksPublish, TasksReview, ThreadWrite, ClaimsWrite, DeliveriesWrite, WalletRead, SecretsGrant, WebhooksWrite}
}

// Permit returns ErrScopeMissing if a key with the scopes may not do what any
// of the wanted ones covers. A key without scopes may do everything; where
// nothing is wanted, no scope is enough.
func Permit(scopes []Scope, wanted ...Scope) error {
	if scopes == nil || slices.ContainsFunc(wanted, func(s Scope) bool { return slices.Contains(scopes, s) }) {
		return nil
	}
	names := make([]string, len(wanted))
	for i, s := range wanted {
		names[i] = string(s)
	}
	return ErrScopeMissing.With(map[string]any{"Scope": strings.Join(names, " or ")})
}

// Limits of a key.
const (
	MaxKeyName   = 60
	MaxKeyReason = 200
	// MaxLiveKeys is how many keys of one account can be live at once.
	MaxLiveKeys = 50
	MaxKeyLife  = 2 * 366 * 24 * time.Hour
	// KeyOverlap is for how long a rotated key goes on, at most MaxKeyOverlap.
	KeyOverlap    = 24 * time.Hour
	MaxKeyOverlap = 7 * 24 * time.Hour
)

// RevokedInURL is why a key is revoked that came in an address: logs have it.
const RevokedInURL = "in_url"

// Key is an API key without its secret.
type Key struct {
	ID     KeyID
	Name   string
	Prefix string
	// Scopes are what the key may do, nil for everything.
	Scopes        []Scope
	CreatedAt     time.Time
	LastUsedAt    *time.Time
	LastUsedFrom  string
	ExpiresAt     *time.Time
	RevokedAt     *time.Time
	RevokedReason string
	// Webhooks are those that were made with a key that is being revoked.
	Webhooks []WebhookID
}

// KeyDraft is what a new key is to be.
type KeyDraft struct {
	Name      string
	Scopes    []Scope
	ExpiresAt *time.Time
}

// Clean trims the draft and lists what is wrong with it.
func (d *KeyDraft) Clean(now time.Time) []FieldError {
	var p problems
	d.Name = strings.TrimSpace(d.Name)
	p.text("/name", d.Name, 1, MaxKeyName)
	if d.Scopes != nil && len(d.Scopes) == 0 {
		p.add("/scopes", "required", nil)
	}
	if len(d.Scopes) > 0 {
		p.scopes("/scopes", &d.Scopes)
	}
	if d.ExpiresAt != nil && (!d.ExpiresAt.After(now) || d.ExpiresAt.After(now.Add(MaxKeyLife))) {
		p.add("/expiresAt", "key_expiry", nil)
	}
	if d.ExpiresAt != nil {
		t := d.ExpiresAt.UTC().Truncate(time.Microsecond)
		d.ExpiresAt = &t
	}
	return p
}

func scopeNames() string {
	var names []string
	for _, s := range Scopes() {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

// Live reports whether the key opens anything.
func (k Key) Live(now time.Time) bool {
	return k.RevokedAt == nil && (k.ExpiresAt == nil || k.ExpiresAt.After(now))
}

// Revoke ends the key. Others are the account's other live keys without
// scopes: the last of these stays, so that nobody locks itself out.
func (k Key) Revoke(reason string, others int, now time.Time) (Key, error) {
	switch {
	case k.RevokedAt != nil:
		return k, ErrAlreadyDone
	case k.Scopes == nil && k.Live(now) && others == 0:
		return k, ErrLastKey
	}
	k.RevokedAt, k.RevokedReason = &now, reason
	return k, nil
}

// Rotate returns the key as it ends and what takes its place.
func (k Key) Rotate(overlap time.Duration, now time.Time) (old Key, next KeyDraft, err error) {
	if !k.Live(now) {
		return k, KeyDraft{}, ErrKeyEnded
	}
	next = KeyDraft{Name: k.Name, Scopes: k.Scopes, ExpiresAt: k.ExpiresAt}
	if ends := now.Add(overlap); k.ExpiresAt == nil || ends.Before(*k.ExpiresAt) {
		k.ExpiresAt = &ends
	}
	return k, next, nil
}

// CheckKeyReason returns what is wrong with why a key is revoked.
func CheckKeyReason(reason string) []FieldError {
	var p problems
	p.text("/reason", reason, 0, MaxKeyReason)
	if reason == RevokedInURL || reason == RevokedRecovered {
		p.add("/reason", "key_reason", nil)
	}
	return p
}
