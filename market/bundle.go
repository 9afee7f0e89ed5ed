package market

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// A handoff bundle lets an agent act for a human's account: within scopes, a
// cap on what it may put into escrow, and until a time. Its holder gets the
// rights of the owner that the scopes name, never more.

// BundleID names a bundle, BundleActionID a line of its timeline.
type (
	BundleID       string
	BundleActionID string
)

// Limits of a bundle.
const (
	MaxBundleName  = 60
	MaxBundleTasks = 20
	MaxBundleLife  = 366 * 24 * time.Hour
	// BundleLife is how long a bundle lasts unless its owner says otherwise.
	BundleLife = 30 * 24 * time.Hour
	// CodeLife is for how long a redeem code can be exchanged for its key.
	CodeLife = 15 * time.Minute
	// MaxSpendCap bounds what a bundle may spend, in credits.
	MaxSpendCap = 1_000_000_000
	// MaxLiveBundles is how many bundles of one account can be live at once.
	MaxLiveBundles = 100
)

// Why a bundle was revoked. RevokedInURL is one more reason.
const (
	BundleRevokedByOwner = "owner"
	BundleCodeReused     = "code_reused"
)

// BundleState says whether a bundle opens anything.
type BundleState string

// The states of bundles.
const (
	BundleWaiting BundleState = "waiting" // its code was not exchanged yet
	BundleLapsed  BundleState = "lapsed"  // its code was not exchanged in time
	BundleLive    BundleState = "live"
	BundleExpired BundleState = "expired"
	BundleRevoked BundleState = "revoked"
)

// Bundle is a handoff bundle without its secrets.
type Bundle struct {
	ID      BundleID
	Account AccountID
	Name    string
	Scopes  []Scope
	// SpendCap is what it may have in escrow and in rewards paid, all in all;
	// Spent is what it has. What is refunded is not spent.
	SpendCap, Spent Credits
	// TaskCap bounds the escrow of one task, 0 for SpendCap only.
	TaskCap Credits
	// Tasks are the only ones that it covers, Skills the only ones that a task
	// may ask for; nil for any.
	Tasks         []TaskID
	Skills        []string
	CreatedAt     time.Time
	ExpiresAt     time.Time
	RevokedAt     *time.Time
	RevokedReason string
	// CodeExpiresAt is nil for a bundle that came with its key.
	CodeExpiresAt *time.Time
	RedeemedAt    *time.Time
	RedeemedFrom  string
	// Agent redeemed it, AgentHandle is its handle: "" unless it said which it
	// is.
	Agent       AccountID
	AgentHandle string
	// KeyPrefix is "" until there is a key.
	KeyPrefix    string
	LastUsedAt   *time.Time
	LastUsedFrom string
	Requests     int64
}

// State is what the bundle is good for at the time.
func (b Bundle) State(now time.Time) BundleState {
	switch {
	case b.RevokedAt != nil:
		return BundleRevoked
	case !b.ExpiresAt.After(now):
		return BundleExpired
	case b.RedeemedAt != nil || b.KeyPrefix != "":
		return BundleLive
	case b.CodeExpiresAt != nil && b.CodeExpiresAt.After(now):
		return BundleWaiting
	}
	return BundleLapsed
}

// PartyUntil is until when the agent that redeemed the bundle counts as one
// party with its owner.
func (b Bundle) PartyUntil() time.Time {
	end := b.ExpiresAt
	if b.RevokedAt != nil && b.RevokedAt.Before(end) {
		end = *b.RevokedAt
	}
	return PartyUntil(end)
}

// Limited reports whether the bundle covers some tasks only.
func (b Bundle) Limited() bool { return b.Tasks != nil || b.Skills != nil }

// Ended reports whether the bundle is over for good.
func (b Bundle) Ended(now time.Time) bool {
	state := b.State(now)
	return state == BundleRevoked || state == BundleExpired
}

// BundleAction is a line of a bundle's timeline: what happened to it or was
// done through it.
type BundleAction struct {
	ID     BundleActionID
	At     time.Time
	Action string
	Task   TaskID
	// Title is the task's.
	Title  string
	Amount Credits
}

// What happens to a bundle. What is done through it is named by the event of
// the task, or is one of the last six; BundleSecret stands before what happens
// to protected fields.
const (
	BundleMinted       = "minted"
	BundleRedeemed     = "redeemed"
	BundleReused       = "code_reused"
	BundleKeyLeaked    = "key_leaked"
	BundleCodeLeaked   = "code_leaked"
	BundleRecoded      = "code_made"
	BundleNarrowed     = "narrowed"
	BundleWasRevoked   = "revoked"
	BundleSaid         = "message"
	BundleReported     = "report"
	BundleUploadedFile = "upload"
	BundleHookMade     = "webhook_made"
	BundleHookChanged  = "webhook_changed"
	BundleSecret       = "secret_"
)

// What an account is told about its bundles.
const (
	FeedBundleRedeemed FeedType = "bundle.redeemed"
	FeedBundleRevoked  FeedType = "bundle.revoked"
	// FeedBundleReused says that a code was sent a second time, and that the
	// bundle was therefore revoked.
	FeedBundleReused FeedType = "bundle.code_reused"
)

var bundleFeed = []FeedKind{
	{FeedBundleRedeemed, FeedOfAccount, "owner", "an agent exchanged a bundle's code for its key"},
	{FeedBundleRevoked, FeedOfAccount, "owner", "a bundle was revoked"},
	{FeedBundleReused, FeedOfAccount, "owner", "a bundle's code was sent a second time, and the bundle was revoked"},
}

// Preset is a usual choice of scopes.
type Preset struct {
	Name   string
	Scopes []Scope
}

// Presets are the usual choices, the first one the default.
func Presets() []Preset {
	return []Preset{
		{"publish", []Scope{TasksRead, TasksPublish, ThreadWrite, WalletRead}},
		{"review", []Scope{TasksRead, TasksReview, ThreadWrite}},
		{"watch", []Scope{TasksRead, WalletRead}},
		{"work", []Scope{TasksRead, ClaimsWrite, DeliveriesWrite, ThreadWrite}},
	}
}

// BundleDraft is what a new bundle is to be.
type BundleDraft struct {
	Name      string
	Scopes    []Scope
	SpendCap  int64
	TaskCap   int64
	ExpiresAt time.Time
	Tasks     []TaskID
	Skills    []string
	// WithKey puts the key itself into the bundle, not a code for it.
	WithKey bool
}

// Clean trims the draft and lists what is wrong with it.
func (d *BundleDraft) Clean(now time.Time) []FieldError {
	var p problems
	d.Name = strings.TrimSpace(d.Name)
	p.text("/name", d.Name, 1, MaxBundleName)
	p.scopes("/scopes", &d.Scopes)
	publishes := slices.Contains(d.Scopes, TasksPublish)
	if !publishes {
		d.SpendCap, d.TaskCap = 0, 0
	}
	if publishes {
		p.number("/spendCap", d.SpendCap, 1, MaxSpendCap)
		p.number("/spendCapPerTask", d.TaskCap, 0, MaxSpendCap)
	}
	d.ExpiresAt = d.ExpiresAt.UTC().Truncate(time.Microsecond)
	if !d.ExpiresAt.After(now) || d.ExpiresAt.After(now.Add(MaxBundleLife+time.Minute)) {
		p.add("/expiresAt", "bundle_expiry", nil)
	}
	p.taskIDs("/tasks", d.Tasks)
	if len(d.Skills) > 0 {
		d.Skills = p.skills("/skills", d.Skills)
	}
	return p
}

// taskIDs checks the tasks that a bundle is limited to.
func (p *problems) taskIDs(pointer string, ids []TaskID) {
	if len(ids) > MaxBundleTasks {
		p.add(pointer, "too_many", map[string]any{"Max": MaxBundleTasks})
	}
	for i, id := range ids {
		if !ValidID(string(id)) {
			p.add(pointer+"/"+strconv.Itoa(i), "task_id", nil)
		}
	}
}

// scopes checks that there are scopes, and sorts them.
func (p *problems) scopes(pointer string, list *[]Scope) {
	if len(*list) == 0 {
		p.add(pointer, "required", nil)
	}
	for i, s := range *list {
		if !slices.Contains(Scopes(), s) {
			p.add(pointer+"/"+strconv.Itoa(i), "choice", map[string]any{"Allowed": scopeNames()})
		}
	}
	*list = slices.Compact(slices.Sorted(slices.Values(*list)))
}

// Narrowing is what is left of a bundle; a nil member stays as it is.
type Narrowing struct {
	Scopes    []Scope
	SpendCap  *int64
	TaskCap   *int64
	ExpiresAt *time.Time
	// Tasks and Skills are of those that the bundle has, if it is limited to
	// some; one that is not can be.
	Tasks  []TaskID
	Skills []string
}

// Narrow takes rights away from the bundle. It returns ErrBundleEnded if there
// are none left, and what is wrong if the bundle would be wider than it is.
func (b Bundle) Narrow(n Narrowing, now time.Time) (Bundle, error) {
	if b.Ended(now) {
		return b, ErrBundleEnded
	}
	var p problems
	if n.Scopes != nil {
		p.scopes("/scopes", &n.Scopes)
		for _, s := range n.Scopes {
			if !slices.Contains(b.Scopes, s) {
				p.add("/scopes", "wider", nil)
				break
			}
		}
		b.Scopes = n.Scopes
	}
	if n.SpendCap != nil {
		p.number("/spendCap", *n.SpendCap, int64(b.Spent), int64(b.SpendCap))
		b.SpendCap = Credits(*n.SpendCap)
	}
	if n.TaskCap != nil && Credits(*n.TaskCap) != b.TaskCap {
		most := int64(b.TaskCap)
		if most == 0 {
			most = MaxSpendCap
		}
		p.number("/spendCapPerTask", *n.TaskCap, 1, most)
		b.TaskCap = Credits(*n.TaskCap)
	}
	if n.ExpiresAt != nil {
		end := n.ExpiresAt.UTC().Truncate(time.Microsecond)
		switch {
		case end.After(b.ExpiresAt):
			p.add("/expiresAt", "wider", nil)
		case !end.After(now):
			p.add("/expiresAt", "bundle_expiry", nil)
		}
		b.ExpiresAt = end
	}
	if len(n.Tasks) > 0 || n.Tasks != nil && b.Tasks != nil {
		p.taskIDs("/tasks", n.Tasks)
		b.Tasks = fewer(&p, "/tasks", b.Tasks, n.Tasks)
	}
	if len(n.Skills) > 0 || n.Skills != nil && b.Skills != nil {
		b.Skills = fewer(&p, "/skills", b.Skills, p.skills("/skills", n.Skills))
	}
	return b, Invalid(p)
}

// fewer refuses a list that is not of what was there; nil was for any.
func fewer[T comparable](p *problems, pointer string, was, now []T) []T {
	if was != nil && (len(now) == 0 || slices.ContainsFunc(now, func(x T) bool { return !slices.Contains(was, x) })) {
		p.add(pointer, "wider", nil)
	}
	return now
}

// Revoke ends the bundle.
func (b Bundle) Revoke(reason string, now time.Time) (Bundle, error) {
	if b.RevokedAt != nil {
		return b, ErrAlreadyDone
	}
	b.RevokedAt, b.RevokedReason = &now, reason
	return b, nil
}

// Redeem exchanges the bundle's code for its key. A code that was exchanged
// before is ErrHandoffUsed: who has it now may be a stranger, so the bundle is
// to be revoked. The agent, "" if it did not say which it is, counts as one
// party with the owner from now on: one that has live work together with the
// owner's party gets ErrLiveWorkTogether, and the code stays good.
func (b Bundle) Redeem(agent AccountID, together bool, now time.Time) (Bundle, error) {
	switch {
	case b.RedeemedAt != nil:
		return b, ErrHandoffUsed
	case b.Ended(now), !b.CodeExpiresAt.After(now):
		return b, ErrHandoffExpired
	case agent != "" && together:
		return b, ErrLiveWorkTogether
	}
	b.RedeemedAt, b.Agent = &now, agent
	return b, nil
}

// Recode gives a bundle that nobody has redeemed a new code.
func (b Bundle) Recode(now time.Time) (Bundle, error) {
	switch {
	case b.Ended(now):
		return b, ErrBundleEnded
	case b.RedeemedAt != nil || b.KeyPrefix != "": // who waited for the lock sees the first alone
		return b, ErrAlreadyDone
	}
	end := now.Add(CodeLife)
	b.CodeExpiresAt = &end
	return b, nil
}

// Mandate is which bundle an actor acts through, and what it covers.
type Mandate struct {
	Bundle BundleID
	Tasks  []TaskID
	Skills []string
	// Agent is who redeemed the bundle, with its principals: nil if it did not
	// say who it is.
	Agent Kin
}

// Limited reports whether the mandate covers some tasks only.
func (m *Mandate) Limited() bool { return m != nil && (m.Tasks != nil || m.Skills != nil) }

// Covers returns ErrBundleLimited for a task that the mandate is not about. The
// mandate of who acts for itself is nil and covers all.
func (m *Mandate) Covers(id TaskID, skills []string) error {
	if m == nil {
		return nil
	}
	if m.Tasks != nil && !slices.Contains(m.Tasks, id) {
		return ErrBundleLimited
	}
	for _, s := range skills {
		if m.Skills != nil && !slices.Contains(m.Skills, s) {
			return ErrBundleLimited
		}
	}
	return nil
}

// HandoffPrefix starts a redeem code, which is made like a key and is none.
const HandoffPrefix = "ghh_"
