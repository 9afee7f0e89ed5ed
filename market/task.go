package market

import (
	"encoding/json"
	"strconv"
	"time"
)

// State is where a task stands in its life.
type State string

// The states of a task. The last three are terminal.
const (
	Open      State = "open"
	Claimed   State = "claimed"
	InReview  State = "in_review"
	Settled   State = "settled"
	Cancelled State = "cancelled"
	Expired   State = "expired"
)

// Terminal reports whether nothing can follow.
func (s State) Terminal() bool { return s == Settled || s == Cancelled || s == Expired }

// States lists every state, in the order of a life.
func States() []State { return []State{Open, Claimed, InReview, Settled, Cancelled, Expired} }

// ModeExclusive is one worker at a time, by a claim; ModeOpen is any number at
// once, each delivering by itself.
const (
	ModeExclusive = "exclusive"
	ModeOpen      = "open"
)

// Defaults and limits of a task.
const (
	DefaultDeadline     = 30 * 24 * time.Hour
	MaxDeadline         = 90 * 24 * time.Hour
	DefaultClaimMinutes = 60
	DefaultReviewHours  = 72
	DefaultMaxAttempts  = 3
	MaxReward           = 1_000_000
	MaxSlots            = 1000
	MaxRules            = 20
	MaxAttachments      = 20
	MaxAttachmentBytes  = 100 << 20
	// AppealWindow is how long a rejection can be appealed.
	AppealWindow = 24 * time.Hour
	// CaseWindow is how long an undecided case may stay with the operator.
	CaseWindow = 7 * 24 * time.Hour
	// leaseCap is how often a lease can be renewed, in lengths of a lease.
	leaseCap = 4
)

// Attachment describes a file by its content.
type Attachment struct {
	Name      string `json:"name"`
	MediaType string `json:"mediaType"`
	Bytes     int64  `json:"bytes"`
	SHA256    string `json:"sha256"`
	URL       string `json:"url,omitempty"`
}

// Task is funded work: a brief, a payload, an output contract and a reward.
type Task struct {
	ID        TaskID
	Publisher AccountID
	// PublisherHandle is filled in by the store for showing.
	PublisherHandle string
	// Established says that the publisher is: see Terms.Strict.
	Established bool
	// PublisherSuspended is filled in by the store: nobody begins to work then.
	PublisherSuspended bool
	// PublisherRecord is filled in by the store for showing.
	PublisherRecord Record
	State           State
	// Version rises by one with every transition; it decides races.
	Version int64
	// Epoch rises whenever a claim ends, so that a former holder's writes
	// are told apart.
	Epoch int64

	Title  string
	Brief  string
	Skills []string
	Mode   string
	Reward Credits
	// Fee is the platform's, on top of each reward; fixed at publish.
	Fee          Credits
	Payload      json.RawMessage
	OutputSchema json.RawMessage // nil: any JSON
	Rules        []Rule
	Attachments  []Attachment
	// AutoAccept settles a delivery at once that passes its checks.
	AutoAccept   bool
	ClaimMinutes int
	ReviewHours  int
	MaxAttempts  int
	MaxAccepted  int
	Deadline     time.Time
	CreatedAt    time.Time

	// Evergreen is the platform's own onboarding task: no escrow, no clock, no
	// end, paid out of what the platform grants.
	Evergreen bool
	// Bundle is what it was published through, "" for the publisher's own hand.
	Bundle BundleID

	// Protected is nil for a task without protected fields.
	Protected *Protected

	// Slots are the rewards that are not paid yet, Frozen those of them that
	// operators' cases hold.
	Slots, Frozen int
	// PausedAt is since when reviews stand still because every slot is frozen;
	// open mode only.
	PausedAt *time.Time

	// Escrow is what the task still holds, in the split that funded it.
	Escrow Funds
	// DueAt is when the clock acts next; nil in terminal states.
	DueAt *time.Time
	// AppealBy is set while a rejection can still be appealed.
	AppealBy *time.Time
	// CaseUntil is set while an undecided error waits for the operator.
	CaseUntil *time.Time
}

// Draft is a task as its publisher writes it. Zero numbers mean defaults.
type Draft struct {
	Title        string
	Brief        string
	Skills       []string
	Mode         string
	Reward       int64
	Payload      json.RawMessage
	OutputSchema json.RawMessage
	Rules        []Rule
	Hidden       []HiddenVectors
	Samples      *Samples
	Reports      *SampleReports // what the checks say of the samples
	Attachments  []Attachment
	AutoAccept   bool
	ClaimMinutes *int64
	ReviewHours  *int64
	MaxAttempts  *int64
	MaxAccepted  *int64
	Deadline     *time.Time
	Protected    *ProtectedDraft
}

// Cost is what publishing takes: for each slot the reward and the fee in basis
// points of it.
func (d Draft) Cost(feeBPS int) Credits {
	return (Credits(d.Reward) + FeeOf(Credits(d.Reward), feeBPS)) * Credits(orDefault(d.MaxAccepted, 1))
}

func orDefault(n *int64, d int64) int64 {
	if n == nil {
		return d
	}
	return *n
}

// Clean fills in defaults and returns what is wrong with the draft. Payload,
// outputSchema, and whether rules compile, are checked by package verify.
func (d *Draft) Clean(now time.Time) []FieldError {
	var p problems
	p.text("/title", d.Title, 3, 140)
	p.text("/brief", d.Brief, 10, 20_000)
	d.Skills = p.skills("/skills", d.Skills)
	if d.Mode == "" {
		d.Mode = ModeExclusive
	}
	slots := int64(1)
	switch d.Mode {
	case ModeExclusive:
	case ModeOpen:
		slots = MaxSlots
	default:
		p.add("/mode", "mode", nil)
	}
	p.number("/reward", d.Reward, 1, MaxReward)
	p.number("/claimMinutes", orDefault(d.ClaimMinutes, DefaultClaimMinutes), 5, 10_080)
	p.number("/reviewHours", orDefault(d.ReviewHours, DefaultReviewHours), 1, 336)
	p.number("/maxAttempts", orDefault(d.MaxAttempts, DefaultMaxAttempts), 1, maxAttempts(d.Rules))
	p.number("/maxAccepted", orDefault(d.MaxAccepted, 1), 1, slots)
	if d.AutoAccept {
		p.autoAccept(*d)
	}
	if d.Deadline == nil {
		t := now.Add(DefaultDeadline)
		d.Deadline = &t
	}
	if !d.Deadline.After(now) || d.Deadline.After(now.Add(MaxDeadline)) {
		p.add("/deadline", "deadline", map[string]any{"Days": int(MaxDeadline.Hours() / 24)})
	}
	utc := d.Deadline.UTC().Truncate(time.Microsecond) // as it is stored
	d.Deadline = &utc
	p.rules(d.Rules)
	p.hidden(d.Rules, d.Hidden)
	p.attachments("/attachments", d.Attachments)
	p.samples(d.Samples)
	p.protected(d.Protected, d.Mode, now)
	return p
}

func (p *problems) attachments(pointer string, as []Attachment) {
	if len(as) > MaxAttachments {
		p.add(pointer, "too_many", map[string]any{"Max": MaxAttachments})
	}
	for i, a := range as {
		at := pointer + "/" + strconv.Itoa(i)
		p.text(at+"/name", a.Name, 1, MaxFileName)
		p.text(at+"/mediaType", a.MediaType, 1, 120)
		p.text(at+"/url", a.URL, 0, 2000)
		p.number(at+"/bytes", a.Bytes, 0, MaxAttachmentBytes)
		if !ValidSHA256(a.SHA256) {
			p.add(at+"/sha256", "sha256", nil)
		}
		if a.URL != "" && !isWebURL(a.URL) {
			p.add(at+"/url", "url", nil)
		}
	}
}
