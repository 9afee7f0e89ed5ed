package market

import "time"

// The types of events about tasks.
const (
	FeedTaskClaimed   FeedType = "task.claimed"
	FeedTaskReopened  FeedType = "task.reopened"
	FeedTaskDeadline  FeedType = "task.deadline_passed"
	FeedTaskSettled   FeedType = "task.settled"
	FeedTaskCancelled FeedType = "task.cancelled"
	FeedTaskExpired   FeedType = "task.expired"

	FeedClaimExpired FeedType = "claim.expired"

	FeedDeliveryChecked     FeedType = "delivery.checked"
	FeedDeliveryReceived    FeedType = "delivery.received"
	FeedDeliveryFailed      FeedType = "delivery.failed"
	FeedDeliveryWithdrawn   FeedType = "delivery.withdrawn"
	FeedDeliveryAccepted    FeedType = "delivery.accepted"
	FeedDeliveryRejected    FeedType = "delivery.rejected"
	FeedDeliveryNotSelected FeedType = "delivery.not_selected"
	FeedDeliveryAppealed    FeedType = "delivery.appealed"

	FeedCaseOpened FeedType = "case.opened"
	FeedCaseClosed FeedType = "case.closed"

	FeedPayoutPending   FeedType = "payout.pending"
	FeedPayoutAvailable FeedType = "payout.available"
	FeedPayoutHeld      FeedType = "payout.held"
	FeedPayoutKept      FeedType = "payout.kept"
	FeedPayoutReversed  FeedType = "payout.reversed"

	FeedMessagePosted FeedType = "message.posted"
)

var taskFeed = []FeedKind{
	{FeedTaskClaimed, FeedOfTasks, "publisher", "a worker claimed the task"},
	{FeedTaskReopened, FeedOfTasks, "publisher", "the task is open again"},
	{FeedTaskDeadline, FeedOfTasks, "publisher", "the deadline passed: no new deliveries"},
	{FeedTaskSettled, FeedOfTasks, "publisher", "every reward is paid, or what is left is back"},
	{FeedTaskCancelled, FeedOfTasks, "publisher", "the task was cancelled and refunded"},
	{FeedTaskExpired, FeedOfTasks, "publisher", "the task ended unpaid and was refunded"},
	{FeedClaimExpired, FeedOfTasks, "worker", "the lease ran out: the claim is lost"},
	{FeedDeliveryChecked, FeedOfDeliveries, "worker", "the checks of the own delivery were run"},
	{FeedDeliveryReceived, FeedOfDeliveries, "publisher", "a delivery waits for review"},
	{FeedDeliveryFailed, FeedOfDeliveries, "publisher", "a delivery failed its checks"},
	{FeedDeliveryWithdrawn, FeedOfDeliveries, "publisher", "a delivery was taken back"},
	{FeedDeliveryAccepted, FeedOfDeliveries, "worker; publisher, unless it accepted itself", "a delivery was accepted: by the publisher, silence, checks or an operator"},
	{FeedDeliveryRejected, FeedOfDeliveries, "worker", "the delivery was rejected, and can be appealed until appealBy"},
	{FeedDeliveryNotSelected, FeedOfDeliveries, "worker", "others were paid the last reward"},
	{FeedDeliveryAppealed, FeedOfDeliveries, "publisher", "the worker appealed a rejection"},
	{FeedCaseOpened, FeedOfDeliveries, "publisher and worker", "operators are asked about a delivery"},
	{FeedCaseClosed, FeedOfDeliveries, "publisher and worker", "a case is over"},
	{FeedPayoutPending, FeedOfMoney, "worker", "a reward is paid, and held until availableAt"},
	{FeedPayoutAvailable, FeedOfMoney, "worker", "a reward can be spent"},
	{FeedPayoutHeld, FeedOfMoney, "worker", "the publisher objected: a reward is held until operators decide"},
	{FeedPayoutKept, FeedOfMoney, "worker", "operators left a reward to the worker"},
	{FeedPayoutReversed, FeedOfMoney, "worker", "operators gave a reward back to the publisher"},
	{FeedMessagePosted, FeedOfMessages, "everybody with a part in the thread but the author", "a message was written"},
}

// FeedData is what programs are told of an event about a task: ids, codes,
// amounts and times.
type FeedData struct {
	Claim    ClaimID    `json:"claimId,omitempty"`
	Delivery DeliveryID `json:"deliveryId,omitempty"`
	Case     CaseID     `json:"caseId,omitempty"`
	Payout   PayoutID   `json:"payoutId,omitempty"`
	Verdict  Verdict    `json:"verdict,omitempty"`
	// State is that of the delivery.
	State DeliveryState `json:"state,omitempty"`
	// By is who decided, Cause the transition that led to it.
	By    string `json:"by,omitempty"`
	Cause Event  `json:"cause,omitempty"`
	// Kind and Outcome are those of a case, Share the worker's part of a
	// split, in basis points.
	Kind    CaseKind    `json:"kind,omitempty"`
	Outcome CaseOutcome `json:"outcome,omitempty"`
	Share   int         `json:"share,omitempty"`
	// Amount is of the class, but for the granted part of it.
	Amount  Credits `json:"amount,omitempty"`
	Class   Class   `json:"class,omitempty"`
	Granted Credits `json:"granted,omitempty"`
	// Refund is what went back to the publisher's wallet.
	Refund Credits `json:"refund,omitempty"`
	// AttemptsLeft and ClaimGoesOn say whether the worker can try again.
	AttemptsLeft *int       `json:"attemptsLeft,omitempty"`
	ClaimGoesOn  *bool      `json:"claimGoesOn,omitempty"`
	ExpiresAt    *time.Time `json:"expiresAt,omitempty"`
	DueAt        *time.Time `json:"dueAt,omitempty"`
	AppealBy     *time.Time `json:"appealBy,omitempty"`
	AvailableAt  *time.Time `json:"availableAt,omitempty"`
}

// Notice is an event that an account is to be told.
type Notice struct {
	To   AccountID
	Type FeedType
	Data FeedData
}

// notices collects what a change tells its parties.
type notices struct {
	Change
	out []Notice
}

func (n *notices) publisher(t FeedType, d FeedData) {
	if n.Snapshot.Publisher != PlatformID {
		n.out = append(n.out, Notice{n.Snapshot.Publisher, t, d})
	}
}

// worker tells the worker of the snapshot's delivery.
func (n *notices) worker(t FeedType, d FeedData) {
	n.out = append(n.out, Notice{n.Snapshot.Delivery.Worker, t, d})
}

func (n *notices) both(t FeedType, d FeedData) {
	n.publisher(t, d)
	n.worker(t, d)
}

// noticesOf says for every event of a task whom it tells what; nil is nobody.
// Besides, whatever the event, the end of a task and that it is open again are
// told to its publisher, a payout to the worker, the end of a case to both.
var noticesOf = map[Event]func(*notices){
	EventPublished: nil, // the publisher's own deed
	EventRenewed:   nil, // the worker's own, and the task stays as it was
	EventClaimed: func(n *notices) {
		k := n.Snapshot.Claim
		n.publisher(FeedTaskClaimed, FeedData{Claim: k.ID, ExpiresAt: &k.ExpiresAt})
	},
	EventReleased: besides,
	EventLeaseEnded: func(n *notices) {
		k := n.Snapshot.Claim
		n.out = append(n.out, Notice{k.Worker, FeedClaimExpired, FeedData{Claim: k.ID, ExpiresAt: &k.ExpiresAt}})
	},
	EventDelivered: func(n *notices) { n.checked(); n.received() },
	EventFailed: func(n *notices) {
		n.checked()
		n.publisher(FeedDeliveryFailed, FeedData{Delivery: n.Snapshot.Delivery.ID, Verdict: VerdictFail})
	},
	EventAutoAccepted:   func(n *notices) { n.checked(); n.accepted(); n.acceptedForPublisher() },
	EventAccepted:       func(n *notices) { n.accepted() },
	EventSilenceAccept:  func(n *notices) { n.accepted(); n.acceptedForPublisher() },
	EventRejected:       (*notices).rejected,
	EventWithdrawn:      func(n *notices) { n.publisher(FeedDeliveryWithdrawn, FeedData{Delivery: n.Snapshot.Delivery.ID}) },
	EventCancelled:      besides,
	EventDeadlinePassed: func(n *notices) { n.publisher(FeedTaskDeadline, FeedData{DueAt: n.Snapshot.DueAt}) },
	EventExpired:        besides,
	EventReopened:       besides,
	EventAppealed: func(n *notices) {
		k := n.Snapshot.Case
		n.publisher(FeedDeliveryAppealed, FeedData{Delivery: k.Delivery, Case: k.ID, DueAt: &k.DueAt})
	},
	EventAppealClosed: besides,
	EventCaseOpened: func(n *notices) {
		k := n.Snapshot.Case
		n.both(FeedCaseOpened, FeedData{Delivery: k.Delivery, Case: k.ID, Kind: k.Kind, DueAt: &k.DueAt})
	},
	EventCaseClosed: besides,
	EventUpheld:     besides,
	EventOverturned: (*notices).decidedForWorker,
	EventSplit:      (*notices).decidedForWorker,
	EventObjected: func(n *notices) {
		p := n.Payout
		n.worker(FeedPayoutHeld, FeedData{Payout: p.ID, Delivery: p.Delivery, Case: n.Snapshot.Case.ID, Amount: p.Amount, AvailableAt: &p.AvailableAt})
	},
	EventPayoutKept: func(n *notices) {
		p := n.Payout
		n.worker(FeedPayoutKept, FeedData{Payout: p.ID, Delivery: p.Delivery, Amount: p.Amount, AvailableAt: &p.AvailableAt})
	},
	EventPayoutReversed: func(n *notices) {
		p := n.Payout
		n.worker(FeedPayoutReversed, FeedData{Payout: p.ID, Delivery: p.Delivery, Amount: p.Amount, Class: p.Class, Granted: p.Granted})
	},
}

// besides stands for events that tell only what is told besides.
func besides(*notices) {}

// Notices are what the change tells those concerned. Deliveries that were not
// selected are told by the store, which knows them.
func (c Change) Notices() []Notice {
	tell := noticesOf[c.Event]
	if tell == nil {
		return nil
	}
	n := notices{Change: c}
	tell(&n)
	n.caseClosed()
	n.paid()
	n.state()
	return n.out
}

func (n *notices) checked() {
	s, d := n.Snapshot, n.Snapshot.Delivery
	data := FeedData{Delivery: d.ID, Verdict: d.Report.Verdict, State: d.State}
	if d.State == DeliveryFailed {
		left := max(0, s.MaxAttempts-s.Attempts)
		goesOn := s.State == Claimed
		data.AttemptsLeft = &left
		if s.Mode == ModeExclusive {
			data.ClaimGoesOn = &goesOn
		}
	}
	n.worker(FeedDeliveryChecked, data)
}

func (n *notices) received() {
	s, d := n.Snapshot, n.Snapshot.Delivery
	due := d.DueAt
	if s.Mode == ModeExclusive {
		due = s.DueAt
	}
	n.publisher(FeedDeliveryReceived, FeedData{Delivery: d.ID, Verdict: d.Report.Verdict, DueAt: due})
}

func (n *notices) acceptance() FeedData {
	d := n.Snapshot.Delivery
	return FeedData{Delivery: d.ID, By: d.Review.By}
}

func (n *notices) accepted()             { n.worker(FeedDeliveryAccepted, n.acceptance()) }
func (n *notices) acceptedForPublisher() { n.publisher(FeedDeliveryAccepted, n.acceptance()) }

// decidedForWorker tells of an operator's decision that pays, if it does.
func (n *notices) decidedForWorker() {
	if n.Payout != nil {
		data := n.acceptance()
		data.By = ByOperator
		n.both(FeedDeliveryAccepted, data)
	}
}

func (n *notices) rejected() {
	s, d := n.Snapshot, n.Snapshot.Delivery
	left := max(0, s.MaxAttempts-s.Attempts)
	data := FeedData{Delivery: d.ID, AppealBy: d.Review.AppealBy, AttemptsLeft: &left}
	if s.Mode == ModeExclusive {
		goesOn := s.State == Claimed
		data.ClaimGoesOn = &goesOn
		if goesOn {
			data.ExpiresAt = &s.Claim.ExpiresAt
		}
	}
	n.worker(FeedDeliveryRejected, data)
}

func (n *notices) caseClosed() {
	if k := n.Snapshot.Case; k != nil && k.ClosedAt != nil {
		n.both(FeedCaseClosed, FeedData{Delivery: k.Delivery, Case: k.ID, Kind: k.Kind, Outcome: k.Outcome, Share: k.Share})
	}
}

func (n *notices) paid() {
	p := n.Payout
	if p == nil {
		return
	}
	data := FeedData{Payout: p.ID, Delivery: p.Delivery, Amount: p.Amount, Class: p.Class, Granted: p.Granted}
	switch n.PayoutChange {
	case PayoutAsIs:
		data.AvailableAt = &p.AvailableAt
		n.worker(FeedPayoutPending, data)
	case PayoutAtOnce:
		n.worker(FeedPayoutAvailable, data)
	}
}

// state tells the publisher that the task is over, or open again.
func (n *notices) state() {
	s := n.Snapshot
	data := FeedData{Cause: n.Event, Refund: n.refunded()}
	switch {
	case s.State == n.Was:
	case s.State == Open:
		n.publisher(FeedTaskReopened, data)
	case s.State == Settled:
		n.publisher(FeedTaskSettled, data)
	case s.State == Cancelled:
		n.publisher(FeedTaskCancelled, data)
	case s.State == Expired:
		n.publisher(FeedTaskExpired, data)
	}
}

func (n *notices) refunded() (sum Credits) {
	for _, t := range n.Transfers {
		if t.Kind == TransferRefund {
			sum += t.Amount
		}
	}
	return sum
}
