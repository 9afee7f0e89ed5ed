package market

import "time"

// OutcomeKind says how a piece of work ended for one of its two parties.
type OutcomeKind string

// The kinds of outcomes. A worker's are accepted, rejected, abandoned,
// overturned and reversed; a publisher's are accepted, rejected, silent,
// automatic, overturned and reversed.
const (
	OutcomeAccepted OutcomeKind = "accepted"
	OutcomeRejected OutcomeKind = "rejected"
	// OutcomeAbandoned is a claim whose lease ran out.
	OutcomeAbandoned OutcomeKind = "abandoned"
	// OutcomeOverturned is a rejection that an operator undid: the worker's
	// rejected becomes accepted, and it counts against the publisher.
	OutcomeOverturned OutcomeKind = "overturned"
	// OutcomeSilent is paid because the publisher did not answer in time.
	OutcomeSilent OutcomeKind = "silent"
	// OutcomeAutomatic is paid by checks alone: the publisher was not asked.
	OutcomeAutomatic OutcomeKind = "automatic"
	// OutcomeReversed is a payment without the publisher's yes that an
	// operator undid: the worker's accepted becomes rejected.
	OutcomeReversed OutcomeKind = "reversed"
)

// Outcome is one fact about an account, from which its reputation is made. It
// never changes; a later one may undo it.
type Outcome struct {
	Account      AccountID
	Role         Role
	Kind         OutcomeKind
	Counterparty AccountID
	Task         TaskID
	// Delivery is "" if the outcome is about a claim.
	Delivery DeliveryID
	// Skills are the task's.
	Skills []string
	// Amount is what was paid, or given back.
	Amount Credits
	// Minutes is how long the publisher took to answer, nil if they did not.
	Minutes *int
}

// Outcomes are what the change says about its two parties: nothing, if they
// count as one.
func (c Change) Outcomes() []Outcome {
	if c.Snapshot.Evergreen { // nobody's record is made of it
		return nil
	}
	switch c.Event {
	case EventLeaseEnded:
		return c.outcomes(c.Snapshot.Claim.Worker, OutcomeAbandoned, "")
	case EventAccepted:
		return c.decided(OutcomeAccepted, OutcomeAccepted)
	case EventRejected:
		return c.decided(OutcomeRejected, OutcomeRejected)
	case EventSilenceAccept:
		return c.decided(OutcomeAccepted, OutcomeSilent)
	case EventAutoAccepted:
		return c.decided(OutcomeAccepted, OutcomeAutomatic)
	case EventPayoutReversed:
		return c.decided(OutcomeReversed, OutcomeReversed)
	case EventOverturned:
		switch r := c.Snapshot.Delivery.Review; {
		case r != nil && r.Decision == DecisionReject:
			return c.decided(OutcomeOverturned, OutcomeOverturned)
		case c.Payout != nil:
			// There was no rejection: the checks could not be run, and the
			// publisher did not answer.
			return c.decided(OutcomeAccepted, OutcomeSilent)
		}
	}
	return nil
}

// decided are the outcomes of a decision on the snapshot's delivery.
func (c Change) decided(worker, publisher OutcomeKind) []Outcome {
	d := c.Snapshot.Delivery
	out := c.outcomes(d.Worker, worker, publisher)
	for i := range out {
		out[i].Delivery = d.ID
		if c.Payout != nil {
			out[i].Amount = c.Payout.Amount
		}
		if out[i].Role == RolePublisher && (c.Event == EventAccepted || c.Event == EventRejected) {
			minutes := int(d.Review.At.Sub(d.CreatedAt) / time.Minute)
			out[i].Minutes = &minutes
		}
	}
	return out
}

// outcomes makes one for each of the two whose kind is not "".
func (c Change) outcomes(worker AccountID, ofWorker, ofPublisher OutcomeKind) []Outcome {
	t := c.Snapshot.Task
	if c.Snapshot.together(worker) {
		return nil
	}
	out := []Outcome{{Account: worker, Role: RoleWorker, Kind: ofWorker, Counterparty: t.Publisher, Task: t.ID, Skills: t.Skills}}
	if ofPublisher != "" {
		out = append(out, Outcome{Account: t.Publisher, Role: RolePublisher, Kind: ofPublisher, Counterparty: worker, Task: t.ID, Skills: t.Skills})
	}
	return out
}
