package market

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Typed ids of webhooks.
type (
	// WebhookID names a webhook.
	WebhookID string
	// WebhookDeliveryID names what was, or is to be, sent to a webhook.
	WebhookDeliveryID string
)

// Limits of webhooks.
const (
	MaxWebhooks   = 10
	MaxWebhookURL = 2000
	// WebhookOverlap is for how long a rotated secret signs beside the new one.
	WebhookOverlap = 24 * time.Hour
	// WebhookPatience is for how long a webhook may only fail before it is
	// switched off.
	WebhookPatience = 5 * 24 * time.Hour
	// WebhookLog is for how long what was sent is kept.
	WebhookLog = 30 * 24 * time.Hour
)

// Why a webhook is off.
const (
	WebhookGone    = "gone"    // it answered 410
	WebhookFailing = "failing" // nothing else for WebhookPatience
)

// The types of events about webhooks.
const (
	FeedWebhookDisabled FeedType = "webhook.disabled"
	FeedWebhookTest     FeedType = "webhook.test"
)

var webhookFeed = []FeedKind{
	{FeedWebhookDisabled, FeedOfAccount, "owner", "a webhook was switched off: it answered 410, or failed for five days"},
	{FeedWebhookTest, FeedOfAccount, "one webhook, and no feed", "somebody asked for a test"},
}

// Webhook is an address that an account's events are sent to.
type Webhook struct {
	ID      WebhookID
	Account AccountID
	// Bundle is the one that it was made through, "" for the account itself.
	Bundle BundleID
	// MadeBy is the key that it was made with, "" for a page or unknown.
	MadeBy KeyID
	URL    string
	// Types are those that are sent, all of them if there are none.
	Types     []FeedType
	CreatedAt time.Time
	// OldUntil is until when the secret before this one signs too.
	OldUntil *time.Time
	// DisabledAt and Disabled say since when and why nothing is sent.
	DisabledAt *time.Time
	Disabled   string
	// FailingSince is when the first failure was after the last success.
	FailingSince *time.Time
}

// WebhookDraft is what a new webhook is to be.
type WebhookDraft struct {
	URL   string
	Types []FeedType
}

// Clean lists what is wrong with the draft; allowed says which hosts the
// operator lets be reached besides public ones, private which are plainly not
// public.
func (d *WebhookDraft) Clean(allowed, private func(host string) bool) []FieldError {
	var p problems
	d.URL = strings.TrimSpace(d.URL)
	p.text("/url", d.URL, 1, MaxWebhookURL)
	u, err := url.Parse(d.URL)
	switch {
	case len(p) > 0:
	case err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" || !plainPort(u.Port()):
		p.add("/url", "webhook_url", nil)
	case u.Scheme != "https" && (u.Scheme != "http" || !allowed(u.Hostname())):
		p.add("/url", "webhook_https", nil)
	case private(u.Hostname()):
		p.add("/url", "webhook_private", nil)
	}
	for i, t := range d.Types {
		if !KnownFeedType(t) {
			p.add("/types/"+strconv.Itoa(i), "feed_type", nil)
		}
	}
	d.Types = slices.Compact(slices.Sorted(slices.Values(d.Types)))
	return p
}

// plainPort reports whether programs may be asked to connect to the port: those
// of the web, and those that no service of old has.
func plainPort(port string) bool {
	n, err := strconv.Atoi(port)
	return port == "" || err == nil && (n == 80 || n == 443 || n >= 1024)
}

// WebhookState is where a delivery to a webhook stands.
type WebhookState string

// The states: still to be sent, or sent again; taken by the receiver; given up.
const (
	WebhookPending WebhookState = "pending"
	WebhookSent    WebhookState = "sent"
	WebhookFailed  WebhookState = "failed"
)

// WebhookDelivery is an event on its way to a webhook.
type WebhookDelivery struct {
	ID      WebhookDeliveryID
	Webhook WebhookID
	// Event is the id that the receiver sees, the same each time.
	Event    FeedEventID
	Type     FeedType
	At       time.Time
	State    WebhookState
	Attempts int
	// Status is the receiver's last answer, 0 for none; Error why there was
	// none; Millis how long it took.
	Status int
	Error  string
	Millis int64
	// LastAt is when it was sent last, NextAt when it will be again.
	LastAt, NextAt *time.Time
}

// webhookWaits is after how long a failed delivery is sent again: about three
// days in all.
var webhookWaits = []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour}

// WebhookWait is after how long to send again after so many attempts, give or
// take a fifth (luck is from 0 to 1); false if that was enough.
func WebhookWait(attempts int, luck float64) (time.Duration, bool) {
	if attempts < 1 || attempts > len(webhookWaits) {
		return 0, false
	}
	return time.Duration(float64(webhookWaits[attempts-1]) * (0.8 + 0.4*luck)), true
}

// WebhookCall is what is sent to a webhook once.
type WebhookCall struct {
	URL     string
	ID      FeedEventID
	At      time.Time
	Body    []byte
	Secrets []string
}

// Why a call had no answer that counts.
const (
	CallBlocked  = "blocked"  // the address is not a public one
	CallRedirect = "redirect" // it answered with a redirect, which is not followed
	CallTimeout  = "timeout"
	CallRefused  = "unreachable" // no such name, no connection, no TLS
)

// WebhookResult is how a call went. What the receiver wrote is not kept.
type WebhookResult struct {
	Status int
	Error  string
	Took   time.Duration
}

// OK reports whether the receiver took the event.
func (r WebhookResult) OK() bool { return r.Error == "" && r.Status >= 200 && r.Status < 300 }

const secretPrefix = "whsec_"

// NewWebhookSecret is a secret to sign with, of 32 bytes.
func NewWebhookSecret() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return secretPrefix + base64.StdEncoding.EncodeToString(key)
}

// Signature is the webhook-signature of the call: one for each secret.
func (c WebhookCall) Signature() string {
	var all []string
	for _, s := range c.Secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, secretPrefix))
		if err != nil {
			continue // they are made by NewWebhookSecret
		}
		h := hmac.New(sha256.New, key)
		h.Write([]byte(string(c.ID) + "." + c.Timestamp() + "."))
		h.Write(c.Body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(h.Sum(nil)))
	}
	return strings.Join(all, " ")
}

// Timestamp is the webhook-timestamp of the call: the second of the attempt.
func (c WebhookCall) Timestamp() string { return strconv.FormatInt(c.At.Unix(), 10) }

// Within narrows the draft to what a key with the scopes may read. It returns
// ErrInvalid if it names a type beyond them, ErrScopeMissing if they let it read
// none.
func (d *WebhookDraft) Within(scopes []Scope) error {
	may := FeedTypesWithin(scopes)
	if may == nil {
		return nil
	}
	if len(may) == 0 { // no types would be all
		return Permit(scopes, TasksRead, WalletRead)
	}
	if len(d.Types) == 0 {
		d.Types = may
		return nil
	}
	for i, t := range d.Types {
		if !slices.Contains(may, t) {
			return Field("/types/"+strconv.Itoa(i), "feed_scope", nil)
		}
	}
	return nil
}
