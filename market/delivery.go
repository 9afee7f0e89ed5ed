package market

import (
	"encoding/json"
	"time"
)

// Claim is a lease on an exclusive task.
type Claim struct {
	ID     ClaimID
	Task   TaskID
	Worker AccountID
	// WorkerHandle is filled in by the store for showing.
	WorkerHandle string
	Epoch        int64
	ClaimedAt    time.Time
	// LeaseFrom is when the present lease began; renewals are capped from it.
	LeaseFrom time.Time
	ExpiresAt time.Time
	// EndedAt and Outcome are set when the claim is over.
	EndedAt *time.Time
	Outcome string
}

// How claims end.
const (
	ClaimReleased  = "released"
	ClaimExpired   = "expired"
	ClaimExhausted = "exhausted"
	ClaimRejected  = "rejected"
	ClaimWithdrawn = "withdrawn"
	ClaimSettled   = "settled"
	ClaimClosed    = "closed"
	ClaimAppealed  = "appealed"
)

// DeliveryState is where a delivery stands.
type DeliveryState string

// The states of a delivery. DeliveryNotSelected is pending when others took
// the last slot; DeliveryReversed was accepted, then an operator gave its
// payout back.
const (
	DeliveryPending   DeliveryState = "pending"
	DeliveryAccepted  DeliveryState = "accepted"
	DeliveryRejected  DeliveryState = "rejected"
	DeliveryWithdrawn DeliveryState = "withdrawn"
	DeliveryFailed    DeliveryState = "failed"

	DeliveryNotSelected DeliveryState = "not_selected"
	DeliveryReversed    DeliveryState = "reversed"
)

// Limits of a delivery.
const MaxSummary = 4000

// Package is what a worker hands in.
type Package struct {
	Output      json.RawMessage
	SummaryText string
	Attachments []Attachment
}

// Clean returns what is wrong with the package; the output is checked by
// package verify.
func (d Package) Clean() []FieldError {
	p := problems(d.CleanFiles())
	p.text("/summaryText", d.SummaryText, 1, MaxSummary)
	return p
}

// CleanFiles is Clean for a package that is only tried and has no summary yet.
func (d Package) CleanFiles() []FieldError {
	var p problems
	if len(d.Output) == 0 {
		p.add("/output", "required", nil)
	}
	p.attachments("/attachments", d.Attachments)
	return p
}

// Delivery is a package handed in, with the report of its checks.
type Delivery struct {
	ID     DeliveryID
	Task   TaskID
	Claim  ClaimID
	Worker AccountID
	// WorkerHandle is filled in by the store for showing.
	WorkerHandle string
	State        DeliveryState
	// Attempt counts this worker's attempts on the task from 1; 0 if the
	// engine could not decide, which uses none.
	Attempt int
	Package
	Report    Report
	Review    *Review
	Payout    *Payout
	CreatedAt time.Time
	// DueAt is, in open mode, when the delivery's clock acts: the end of its
	// review, of its appeal window, or of its case.
	DueAt *time.Time
	// InCase says that operators are asked about it.
	InCase bool
}

// Decisions of a review.
const (
	DecisionAccept = "accept"
	DecisionReject = "reject"
)

// Who accepted or rejected.
const (
	ByPublisher = "publisher"
	BySilence   = "silence"
	ByChecks    = "checks"
	ByOperator  = "operator"
)

// Review is the decision on a delivery.
type Review struct {
	Decision string
	// By is who decided; "" in old records.
	By     string
	Reason string
	Rule   string
	Quote  string
	At     time.Time
	// AppealBy is until when a rejection can be appealed.
	AppealBy *time.Time
}

// Rejection is why a publisher refuses a delivery: in words, and by naming a
// manual rule or an undecided check, or by quoting the brief.
type Rejection struct {
	Reason string
	Rule   string
	Quote  string
}
