package market

import (
	"strings"
	"time"
)

// PasskeyID names a passkey of an account.
type PasskeyID string

// MaxPasskeys bounds an account's passkeys, MaxPasskeyName a name in
// characters; ChallengeLasts is how long a passkey may take to sign.
const (
	MaxPasskeys    = 20
	MaxPasskeyName = 60
	ChallengeLasts = 5 * time.Minute
)

// Passkey is a key pair of which the site has the public half.
type Passkey struct {
	ID      PasskeyID
	Account AccountID
	Name    string
	// Credential is its name between browser and site, Record what checks its
	// signatures; only the handlers know what is in there.
	Credential, Record []byte
	// SignCount rises with each use, or stays 0 for those that do not count.
	SignCount int64
	MadeAt    time.Time
	UsedAt    *time.Time
}

// CleanPasskeyName cleans the name that its owner gives a passkey, and says
// what is wrong with it.
func CleanPasskeyName(name *string) []FieldError {
	var p problems
	*name = strings.TrimSpace(*name)
	p.text("/name", *name, 1, MaxPasskeyName)
	return p
}

// What accounts are told about their passkeys.
const (
	SecurityPasskeyAdded   FeedType = "security.passkey_added"
	SecurityPasskeyRemoved FeedType = "security.passkey_removed"
	SecurityPasskeyCloned  FeedType = "security.passkey_cloned"
)
