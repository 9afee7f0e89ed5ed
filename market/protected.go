package market

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Protected fields are values of a task that only its publisher and the agents
// that it grants them to can read. The platform keeps ciphertext of the age
// format, recipients, names and who was granted what; package
// market/protected knows the format.

// EncryptionKeyID names a recipient that an account has registered,
// SecretRequestID a request for a task's protected fields.
type (
	EncryptionKeyID string
	SecretRequestID string
)

// Limits of protected fields.
const (
	MaxProtectedNames  = 20
	MaxOwnerRecipients = 10
	// MaxSealed bounds an armored ciphertext, in bytes.
	MaxSealed = 64 << 10
	// MaxRecipient bounds a recipient: post-quantum ones have 1,959 characters.
	MaxRecipient = 2100
	// ChallengeLife is how long a new encryption key can be confirmed.
	ChallengeLife = 24 * time.Hour
	// GrantLife is how long a grant can be fetched unless its publisher says
	// otherwise, MaxGrantLife at most.
	GrantLife    = 7 * 24 * time.Hour
	MaxGrantLife = 90 * 24 * time.Hour
	// The id of a protected task is chosen by its publisher: it may be this
	// old, and this much ahead of the clock.
	idAge, idAhead = 24 * time.Hour, time.Minute
)

var protectedName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,39}$`)

// Protected is what everybody may see of a task's protected fields.
type Protected struct {
	// Revision rises when the publisher seals the values anew.
	Revision int `json:"revision"`
	// Names are in plain text, and stay as they are.
	Names []string `json:"names"`
	// OwnerRecipients are who can open the publisher's own copy: its devices
	// and its recovery key.
	OwnerRecipients []string `json:"ownerRecipients"`
	// SignerKey is the publisher's Ed25519 key in base64: every bundle is
	// signed with it.
	SignerKey string `json:"signerKey"`
}

// Fingerprint is what people compare of a recipient or a signer's key.
func Fingerprint(key string) string {
	sum := sha256.Sum256([]byte(key))
	text := base32.StdEncoding.EncodeToString(sum[:])[:16]
	return text[:4] + "-" + text[4:8] + "-" + text[8:12] + "-" + text[12:]
}

// Hash is the SHA-256 of the revision: of the task's id, the revision's
// number, names, the signer's key and the owner's recipients, each on a line
// of its own. An agent remembers it when it claims.
func (p Protected) Hash(id TaskID) string {
	lines := append([]string{"guildhall.protected/v1", string(id), strconv.Itoa(p.Revision), strings.Join(p.Names, ","), p.SignerKey}, p.OwnerRecipients...)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n") + "\n"))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// ProtectedDraft is a sealed revision as its publisher sends it.
type ProtectedDraft struct {
	Protected
	// TaskID is the id that the new task will have: the ciphertext names it,
	// so that it cannot be shown as another task's.
	TaskID TaskID
	// Ciphertext is an armored age file.
	Ciphertext string
}

// protected checks a draft's protected fields, but for what is in the age file
// and in its recipients: package market/protected does that.
func (p *problems) protected(d *ProtectedDraft, mode string, now time.Time) {
	if d == nil {
		return
	}
	if mode != ModeExclusive {
		p.add("/protectedFields", "protected_mode", nil)
	}
	p.names("/protectedFields/names", d.Names)
	p.sealed("/protectedFields", *d)
	if at, ok := idTime(string(d.TaskID)); !ok || at.After(now.Add(idAhead)) || at.Before(now.Add(-idAge)) {
		p.add("/protectedFields/taskId", "protected_task_id", nil)
	}
}

func (p *problems) names(at string, names []string) {
	if len(names) == 0 {
		p.add(at, "required", nil)
	}
	if len(names) > MaxProtectedNames {
		p.add(at, "too_many", map[string]any{"Max": MaxProtectedNames})
	}
	seen := map[string]bool{}
	for i, n := range names {
		switch {
		case !protectedName.MatchString(n):
			p.add(at+"/"+strconv.Itoa(i), "protected_name", nil)
		case seen[n]:
			p.add(at+"/"+strconv.Itoa(i), "duplicate_name", nil)
		}
		seen[n] = true
	}
}

// sealed checks what every revision brings.
func (p *problems) sealed(at string, d ProtectedDraft) {
	if len(d.Ciphertext) > MaxSealed {
		p.add(at+"/ciphertext", "sealed_size", map[string]any{"Max": MaxSealed >> 10})
	}
	switch n := len(d.OwnerRecipients); {
	case n == 0:
		p.add(at+"/ownerRecipients", "required", nil)
	case n > MaxOwnerRecipients:
		p.add(at+"/ownerRecipients", "too_many", map[string]any{"Max": MaxOwnerRecipients})
	}
	if key, err := base64.StdEncoding.DecodeString(d.SignerKey); err != nil || len(key) != 32 {
		p.add(at+"/signerKey", "signer_key", nil)
	}
}

// CheckRevision returns what is wrong with a revision that is to follow.
func (d ProtectedDraft) CheckRevision() []FieldError {
	var p problems
	p.sealed("", d)
	return p
}

// idTime is when the UUIDv7 was made.
func idTime(id string) (time.Time, bool) {
	if !ValidID(id) || id[14] != '7' || !strings.ContainsRune("89ab", rune(id[19])) {
		return time.Time{}, false
	}
	ms, err := strconv.ParseInt(id[:8]+id[9:13], 16, 64)
	return time.UnixMilli(ms), err == nil
}

// Reseal is the next revision of a task's protected fields: the same names,
// sealed anew by its publisher.
func (s Snapshot) Reseal(a Actor, d ProtectedDraft) (Protected, error) {
	if err := s.OwnsSecrets(a); err != nil {
		return Protected{}, err
	}
	if d.Revision != s.Protected.Revision+1 {
		return Protected{}, ErrRevisionChanged
	}
	next := d.Protected
	next.Names = s.Protected.Names
	return next, nil
}

// OwnsSecrets returns an error unless the actor is the publisher of a task
// with protected fields.
func (s Snapshot) OwnsSecrets(a Actor) error {
	switch {
	case a.Account != s.Publisher:
		return ErrForbidden
	case s.Protected == nil:
		return ErrNotFound
	}
	return nil
}

// HoldsSecrets returns market.ErrNotFound unless the actor holds the live claim
// of a task with protected fields: who does not has no business with them.
func (s Snapshot) HoldsSecrets(a Actor) error {
	if s.Protected == nil || s.Claim == nil || s.Claim.EndedAt != nil || s.Claim.Worker != a.Account || a.Account == "" {
		return ErrNotFound
	}
	return a.admitted()
}

// RecipientKind is a type of age recipient that we accept.
type RecipientKind string

// The kinds of recipients: classic, and post-quantum.
const (
	X25519 RecipientKind = "x25519"
	Hybrid RecipientKind = "mlkem768x25519"
)

// EncryptionKey is a recipient of an account. It counts once its owner has
// proven to hold the identity behind it.
type EncryptionKey struct {
	ID          EncryptionKeyID
	Recipient   string
	Kind        RecipientKind
	CreatedAt   time.Time
	ConfirmedAt *time.Time
	// ReplacedAt is when another key took its place.
	ReplacedAt *time.Time
	// ConfirmBy is until when it can be confirmed.
	ConfirmBy time.Time
}

// Live reports whether bundles may be sealed to the key.
func (k EncryptionKey) Live() bool { return k.ConfirmedAt != nil && k.ReplacedAt == nil }

// KeyChallenge is what proves that an account holds an identity: a nonce that was
// encrypted to it, of which the platform keeps the hash.
type KeyChallenge struct {
	// Sealed is the armored age file, NonceHash the SHA-256 of its text.
	Sealed    string
	NonceHash []byte
}

// NonceHash is the only form in which a challenge's answer is stored.
func NonceHash(nonce string) []byte {
	sum := sha256.Sum256([]byte(strings.TrimSpace(nonce)))
	return sum[:]
}

// SecretState is where a request for protected fields stands.
type SecretState string

// The states of a request. SecretStale: the agent's key changed. SecretEnded:
// the claim did. SecretExpired is a grant whose time is over.
const (
	SecretPending SecretState = "pending"
	SecretGranted SecretState = "granted"
	SecretDenied  SecretState = "denied"
	SecretRevoked SecretState = "revoked"
	SecretStale   SecretState = "stale"
	SecretEnded   SecretState = "ended"
	SecretExpired SecretState = "expired"
)

// SecretRequest is the request of a claim's holder for the protected fields.
type SecretRequest struct {
	ID     SecretRequestID
	Task   TaskID
	Claim  ClaimID
	Worker AccountID
	Handle string
	// Score is the worker's reputation, nil before it has one.
	Score       *int
	Key         EncryptionKey
	State       SecretState
	RequestedAt time.Time
	DecidedAt   *time.Time
	// Reason is why it was denied or revoked, for the agent.
	Reason string
	// Revision, Bundle and ExpiresAt are those of the grant.
	Revision  int
	Bundle    string
	ExpiresAt *time.Time
	FetchedAt *time.Time
	Fetches   int
	// Familiar compares the key with that of the last grant by the same
	// publisher to the same agent.
	Familiar Familiarity
}

// Familiarity is how well a publisher knows an agent's key.
type Familiarity string

// A key is the first that the publisher meets of the agent, the same as last
// time, or another one.
const (
	FirstTime  Familiarity = "first_time"
	SameKey    Familiarity = "same"
	ChangedKey Familiarity = "changed"
)

// At is the state at a moment: grants run out by themselves.
func (r SecretRequest) At(now time.Time) SecretState {
	if r.State == SecretGranted && r.ExpiresAt != nil && !now.Before(*r.ExpiresAt) {
		return SecretExpired
	}
	return r.State
}

// Grant gives the agent a bundle of a revision until a moment. It may follow a
// refusal or another grant, but no change of the key and no end of the claim.
func (r SecretRequest) Grant(p Protected, revision int, bundle string, until, now time.Time) (SecretRequest, error) {
	switch {
	case r.State == SecretEnded:
		return r, ErrClaimStale
	case r.State == SecretStale || !r.Key.Live():
		return r, ErrKeyRotated
	case revision != p.Revision:
		return r, ErrRevisionChanged
	}
	r.State, r.Revision, r.Bundle, r.ExpiresAt, r.DecidedAt, r.Reason = SecretGranted, revision, bundle, &until, &now, ""
	return r, nil
}

// Refuse denies a request, or revokes what was granted: what was fetched is not
// forgotten by that.
func (r SecretRequest) Refuse(to SecretState, reason string, now time.Time) (SecretRequest, error) {
	if (to == SecretDenied) != (r.State == SecretPending) || (to == SecretRevoked && r.State != SecretGranted) {
		return r, ErrRequestDecided
	}
	r.State, r.Reason, r.DecidedAt, r.Bundle, r.ExpiresAt = to, reason, &now, "", nil
	return r, nil
}

// Fetch is the bundle of a grant that can be fetched now, for the account that
// holds the key now.
func (r SecretRequest) Fetch(now time.Time) (SecretRequest, error) {
	switch {
	case r.State == SecretStale || (r.ID != "" && !r.Key.Live()):
		return r, ErrKeyRotated
	case r.At(now) != SecretGranted:
		return r, ErrAccessNotGranted
	}
	r.Fetches++
	if r.FetchedAt == nil {
		r.FetchedAt = &now
	}
	return r, nil
}

// SecretEvent is a line of the audit trail of a task's protected fields.
type SecretEvent struct {
	At    time.Time
	Event string
	// Actor is the handle of who did it, "" for the platform.
	Actor     string
	RequestID SecretRequestID
	Worker    string
	// Fingerprint is that of the agent's key.
	Fingerprint string
	Revision    int
}

// What is told about protected fields.
const (
	FeedSecretRequested FeedType = "secret.requested"
	FeedSecretGranted   FeedType = "secret.granted"
	FeedSecretDenied    FeedType = "secret.denied"
	FeedSecretRevoked   FeedType = "secret.revoked"
	FeedSecretRotated   FeedType = "secret.rotated"
)

// MaxSecretReason bounds why a request is denied or revoked, in characters.
const MaxSecretReason = 1000

// CheckSecretReason returns what is wrong with such a reason; none is needed.
func CheckSecretReason(reason string) []FieldError {
	var p problems
	p.text("/reason", reason, 0, MaxSecretReason)
	return p
}

var secretFeed = []FeedKind{
	{FeedSecretRequested, FeedOfTasks, "publisher", "a worker asked for the protected fields"},
	{FeedSecretGranted, FeedOfTasks, "worker", "the protected fields can be fetched"},
	{FeedSecretDenied, FeedOfTasks, "worker", "the publisher does not give access to the protected fields"},
	{FeedSecretRevoked, FeedOfTasks, "worker", "access to the protected fields has ended"},
	{FeedSecretRotated, FeedOfTasks, "publisher", "a worker's encryption key changed, so its access ended"},
}
