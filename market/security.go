package market

import "time"

// SessionID names a browser session of an account.
type SessionID string

// How long a browser session lives without being used, and at most; how long
// it counts as proven that its owner uses it; how long the owner is shown what
// happened to the account.
const (
	SessionIdle       = 24 * time.Hour
	SessionLife       = 30 * 24 * time.Hour
	ProofLasts        = 10 * time.Minute
	SecurityRetention = 90 * 24 * time.Hour
)

// MaxUserAgent bounds what is kept of a browser's name, in bytes.
const MaxUserAgent = 300

// Session is a browser session as its owner sees it.
type Session struct {
	ID SessionID
	// SeenAt is when it was last used, give or take a minute; ProvenAt is when
	// who uses it last proved to be the owner.
	BeganAt, SeenAt, ProvenAt time.Time
	// Address is the last one it was used from, "" if unknown; Agent is what the
	// browser said of itself.
	Address, Agent string
}

// Proven says whether what only the owner may do can be done now.
func (s Session) Proven(now time.Time) bool { return now.Sub(s.ProvenAt) < ProofLasts }

// Over says whether the session's life has ended, however much it is used.
func (s Session) Over(now time.Time) bool { return now.Sub(s.BeganAt) >= SessionLife }

// What accounts are told about their security. The first is only in the list of
// recent activity, not in the feed.
const (
	SecurityLoggedIn        FeedType = "security.logged_in"
	SecuritySessionEnded    FeedType = "security.session_ended"
	SecuritySessionsEnded   FeedType = "security.sessions_ended"
	SecurityPasswordChanged FeedType = "security.password_changed"
	// SecurityBundleReused says that a bundle's code was sent a second time.
	SecurityBundleReused FeedType = "security.bundle_reused"
	// SecurityBundleLeaked says that a bundle's key or code came in an address.
	SecurityBundleLeaked FeedType = "security.bundle_leaked"
)

// SecurityEvent is something that happened to an account's security.
type SecurityEvent struct {
	ID   string
	At   time.Time
	What FeedType
	// Address and Agent are those of who did it, "" if unknown.
	Address, Agent string
	// Detail names what it was done to, such as a passkey.
	Detail string
}

// SecurityEvents lists everything that can happen to an account's security.
func SecurityEvents() []FeedType {
	return []FeedType{SecurityLoggedIn, SecuritySessionEnded, SecuritySessionsEnded, SecurityPasswordChanged,
		SecurityBundleReused, SecurityBundleLeaked,
		SecurityTOTPEnabled, SecurityTOTPDisabled, SecurityTOTPFailed, SecurityTOTPCleared, SecurityRecoveryRenewed, SecurityRecoveryUsed,
		SecurityResetAsked, SecurityPasswordReset, SecurityAddressVerified, SecurityAddressChanged,
		SecurityPasskeyAdded, SecurityPasskeyRemoved, SecurityPasskeyCloned}
}

var securityFeed = []FeedKind{
	{SecurityLoggedIn, FeedOfAccount, "owner", "Somebody logged in to your account."},
	{SecuritySessionEnded, FeedOfAccount, "owner", "A browser session was ended."},
	{SecuritySessionsEnded, FeedOfAccount, "owner", "All other browser sessions were ended."},
	{SecurityPasswordChanged, FeedOfAccount, "owner", "Your password was changed."},
	{SecurityBundleReused, FeedOfAccount, "owner", "A bundle's code was sent a second time."},
	{SecurityBundleLeaked, FeedOfAccount, "owner", "A bundle's key or code came in an address, where logs have it."},
	{SecurityTOTPEnabled, FeedOfAccount, "owner", "A second step of the log-in was set up."},
	{SecurityTOTPDisabled, FeedOfAccount, "owner", "The second step of the log-in was switched off."},
	{SecurityRecoveryRenewed, FeedOfAccount, "owner", "New recovery codes were made."},
	{SecurityRecoveryUsed, FeedOfAccount, "owner", "A recovery code was used."},
	{SecurityTOTPFailed, FeedOfAccount, "owner", "The second step of a log-in failed."},
	{SecurityTOTPCleared, FeedOfAccount, "owner", "An operator removed the second step of the log-in."},
	{SecurityResetAsked, FeedOfAccount, "owner", "A new password was asked for."},
	{SecurityPasswordReset, FeedOfAccount, "owner", "Your password was set anew."},
	{SecurityAddressVerified, FeedOfAccount, "owner", "Your e-mail address was confirmed."},
	{SecurityAddressChanged, FeedOfAccount, "owner", "Your e-mail address was changed."},
	{SecurityPasskeyAdded, FeedOfAccount, "owner", "A passkey was added."},
	{SecurityPasskeyRemoved, FeedOfAccount, "owner", "A passkey was removed."},
	{SecurityPasskeyCloned, FeedOfAccount, "owner", "A passkey may have been copied."},
}
