package market

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"time"
)

// Typed ids of bindings, of the codes that make them and of grants.
type (
	BindingID  string
	BindCodeID string
	RecoveryID string
)

// A code to bind an agent lives for BindCodeLife; who polls what became of it
// waits BindCodeInterval. It is forgotten BindCodeMemory after its end.
const (
	BindCodeLife     = 10 * time.Minute
	BindCodeInterval = 5 * time.Second
	BindCodeMemory   = 24 * time.Hour
)

// MaxSpendLimit is the largest limit of what an agent may spend.
const MaxSpendLimit = 1_000_000_000

// What the accounts of a binding are told.
const (
	FeedBindingConfirmed FeedType = "binding.confirmed"
	FeedBindingEnded     FeedType = "binding.ended"
	FeedBindingPaused    FeedType = "binding.paused"
	FeedBindingResumed   FeedType = "binding.resumed"
	FeedBindingLimited   FeedType = "binding.limited"
	FeedRecoveryGranted  FeedType = "binding.recovery_granted"
	FeedRecoveryLeaked   FeedType = "binding.recovery_leaked"
	FeedRecovered        FeedType = "binding.recovered"
)

var bindingFeed = []FeedKind{
	{FeedBindingConfirmed, FeedOfAccount, "agent and manager", "a human manages the agent from now on"},
	{FeedBindingEnded, FeedOfAccount, "agent and manager", "the binding has ended"},
	{FeedBindingPaused, FeedOfAccount, "agent and manager", "the manager paused the agent: it begins nothing new"},
	{FeedBindingResumed, FeedOfAccount, "agent and manager", "the manager lets the agent go on"},
	{FeedBindingLimited, FeedOfAccount, "agent and manager", "the manager set what the agent may spend"},
	{FeedRecoveryGranted, FeedOfAccount, "agent and manager", "the manager made a recovery grant"},
	{FeedRecoveryLeaked, FeedOfAccount, "agent and manager", "a recovery grant came in an address, and was taken back"},
	{FeedRecovered, FeedOfAccount, "agent and manager", "the agent came back with a recovery grant; its old keys, its webhooks and its encryption key have ended"},
}

// Refusals that are about bindings.
var (
	ErrOneParty         = sentinel(KindForbidden, "one_party")
	ErrAgentPaused      = sentinel(KindForbidden, "agent_paused")
	ErrBindCodeUnknown  = sentinel(KindInvalid, "bind_code_unknown")
	ErrBindCodeUsed     = sentinel(KindConflict, "bind_code_used")
	ErrBindCodeExpired  = sentinel(KindConflict, "bind_code_expired")
	ErrBindCodeReplaced = sentinel(KindConflict, "bind_code_replaced")
	ErrAgentBound       = sentinel(KindConflict, "agent_bound")
	ErrAgentInactive    = sentinel(KindConflict, "agent_inactive")
	ErrLiveWorkTogether = sentinel(KindConflict, "live_work_together")
	ErrSlowDown         = sentinel(KindRateLimited, "slow_down")
	ErrGrantUnknown     = sentinel(KindInvalid, "grant_unknown")
	ErrGrantUsed        = sentinel(KindConflict, "grant_used")
	ErrGrantExpired     = sentinel(KindConflict, "grant_expired")
	ErrGrantRevoked     = sentinel(KindConflict, "grant_revoked")
)

// Paused is ErrAgentPaused with the handle of who paused the agent.
func Paused(by string) *Error { return ErrAgentPaused.With(map[string]any{"By": by}) }

// unpaused refuses an agent that its manager has paused.
func (a Actor) unpaused() error {
	if a.PausedBy != "" {
		return Paused(a.PausedBy)
	}
	return nil
}

// Binding is a human's management of an agent, to which both have said yes.
// Neither's identity, wallet, keys or reputation is the other's.
type Binding struct {
	ID           BindingID
	Human, Agent AccountID
	Manager      string // the human's handle
	Handle       string // the agent's
	BoundAt      time.Time
	EndedAt      *time.Time
	EndedBy      AccountID
	PausedAt     *time.Time
	SpendLimit   *Credits
	Spent        Credits // since there is the limit
	AgentName    string  // the agent's display name
	AgentState   AccountState
}

// Live reports whether the human manages the agent.
func (b Binding) Live() bool { return b.EndedAt == nil }

// PartyUntil is until when the two count as one party after the end at now.
func PartyUntil(now time.Time) time.Time { return now.Add(PartyAfter) }

// Ender says which side ended it: "agent", "manager", or "" while it is live.
func (b Binding) Ender() string {
	switch b.EndedBy {
	case "":
		return ""
	case b.Agent:
		return "agent"
	}
	return "manager"
}

// End is either side's: it lifts the pause and the limit.
func (b Binding) End(a Actor, now time.Time) (Binding, error) {
	switch {
	case a.Account != b.Human && a.Account != b.Agent:
		return b, ErrNotFound
	case !b.Live():
		return b, ErrAlreadyDone
	}
	b.EndedAt, b.EndedBy, b.PausedAt, b.SpendLimit, b.Spent = &now, a.Account, nil, nil, 0
	return b, nil
}

// managed refuses whoever does not manage the agent now.
func (b Binding) managed(a Actor) error {
	if a.Account != b.Human || !b.Live() {
		return ErrNotFound
	}
	return a.admitted()
}

// Pause stops the agent from publishing and from beginning work: what it has
// claimed it may finish or give back.
func (b Binding) Pause(a Actor, now time.Time) (Binding, error) {
	if err := b.managed(a); err != nil {
		return b, err
	}
	if b.PausedAt != nil {
		return b, ErrAlreadyDone
	}
	b.PausedAt = &now
	return b, nil
}

// Resume ends a pause.
func (b Binding) Resume(a Actor) (Binding, error) {
	if err := b.managed(a); err != nil {
		return b, err
	}
	if b.PausedAt == nil {
		return b, ErrAlreadyDone
	}
	b.PausedAt = nil
	return b, nil
}

// Limit sets what the agent may put into escrow from now on, nil for all that
// it has.
func (b Binding) Limit(a Actor, limit *Credits) (Binding, error) {
	if err := b.managed(a); err != nil {
		return b, err
	}
	var p problems
	if limit != nil {
		p.number("/limit", int64(*limit), 0, MaxSpendLimit)
	}
	b.SpendLimit, b.Spent = limit, 0
	return b, Invalid(p)
}

// Left is what the agent may still spend, nil without a limit.
func (b Binding) Left() *Credits {
	if b.SpendLimit == nil {
		return nil
	}
	return new(*b.SpendLimit - b.Spent)
}

// BindCode is an agent's consent to be managed by whoever types the code.
type BindCode struct {
	ID    BindCodeID
	Agent AccountID
	// Key is the one that the code was made with: what its hash shows and how
	// it begins. Once it is revoked, so is the consent.
	Fingerprint, KeyPrefix string
	KeyEnded               bool
	CreatedAt, ExpiresAt   time.Time
	ReplacedAt             *time.Time
	// Binding is "" until the code is used.
	Binding BindingID
}

// BindCodeState is what became of a code.
type BindCodeState string

// The states of codes.
const (
	BindCodePending   BindCodeState = "pending"
	BindCodeConfirmed BindCodeState = "confirmed"
	BindCodeExpired   BindCodeState = "expired"
	BindCodeReplaced  BindCodeState = "replaced"
)

// State is what became of the code.
func (c BindCode) State(now time.Time) BindCodeState {
	switch {
	case c.Binding != "":
		return BindCodeConfirmed
	case c.ReplacedAt != nil && c.ReplacedAt.Before(c.ExpiresAt):
		return BindCodeReplaced
	case c.KeyEnded || !now.Before(c.ExpiresAt):
		return BindCodeExpired
	}
	return BindCodePending
}

// usable refuses a code that nobody can use any more.
func (c BindCode) usable(now time.Time) error {
	switch c.State(now) {
	case BindCodeConfirmed:
		return codeFault(ErrBindCodeUsed)
	case BindCodeReplaced:
		return codeFault(ErrBindCodeReplaced)
	case BindCodeExpired:
		return codeFault(ErrBindCodeExpired)
	}
	return nil
}

// UnknownBindCode is ErrBindCodeUnknown at the field of the code.
func UnknownBindCode() error { return codeFault(ErrBindCodeUnknown) }

func codeFault(e *Error) *Error { return e.at("/code") }

// MintBindCode refuses who cannot be bound: only an agent can, by its own key.
func MintBindCode(a Actor) error {
	if a.Kind != Agent {
		return ErrForbidden
	}
	return a.admitted()
}

// Prospect is an agent that a human may bind, with what decides whether.
type Prospect struct {
	Code       BindCode
	Agent      Account
	Reputation Reputation
	// Bound says that somebody manages the agent already.
	Bound bool
	// Together says that the agent and the human's party have live work with
	// each other.
	Together bool
}

// Bind makes the human the manager of the agent whose code it typed.
func (p Prospect) Bind(a Actor, id BindingID, now time.Time) (Binding, error) {
	if a.Kind != Human {
		return Binding{}, ErrForbidden
	}
	if err := a.admitted(); err != nil {
		return Binding{}, err
	}
	if err := p.Code.usable(now); err != nil {
		return Binding{}, err
	}
	switch {
	case p.Agent.State != AccountActive:
		return Binding{}, ErrAgentInactive
	case p.Bound:
		return Binding{}, ErrAgentBound
	case p.Together:
		return Binding{}, ErrLiveWorkTogether
	}
	return Binding{ID: id, Human: a.Account, Manager: a.Handle, Agent: p.Agent.ID, Handle: p.Agent.Handle, AgentName: p.Agent.DisplayName, AgentState: p.Agent.State, BoundAt: now}, nil
}

// bindAlphabet are the consonants that no two people read differently; codes
// of them spell no word.
const (
	bindAlphabet = "BCDFGHJKLMNPQRSTVWXZ"
	bindSize     = 8
)

// NewBindCode makes a code that people can type.
func NewBindCode() string {
	text := randomText(bindSize, bindAlphabet)
	return text[:bindSize/2] + "-" + text[bindSize/2:]
}

// HashBindCode is the form in which a code is stored and looked up, however it
// was typed. It is false for what cannot be a code.
func HashBindCode(code string) ([]byte, bool) {
	code = voucherFiller.Replace(strings.ToUpper(code))
	if len(code) != bindSize || strings.Trim(code, bindAlphabet) != "" {
		return nil, false
	}
	return HashKey("bind " + code), true
}

// KeyFingerprint is what two people compare to know that they speak of the
// same key: the beginning of the hash of its hash, which opens nothing.
func KeyFingerprint(hash []byte) string {
	sum := sha256.Sum256(hash)
	text := base32.StdEncoding.EncodeToString(sum[:])
	return strings.Join([]string{text[:4], text[4:8], text[8:12], text[12:16]}, " ")
}

// Deed is something that an agent did to a task, and through which key, for
// its manager.
type Deed struct {
	At    time.Time
	Event Event
	Task  TaskID
	Title string
	// KeyName and KeyPrefix are "" if the key is not known any more.
	KeyName, KeyPrefix string
}

// Handed is a delivery of an agent, in short, for its manager.
type Handed struct {
	ID     DeliveryID
	Task   TaskID
	Title  string
	State  DeliveryState
	Amount Credits // paid for it, 0 if nothing was
	At     time.Time
}
