package market

import "time"

// Limits of what one worker may hold at once.
const (
	// FirstClaims is how many claims a worker may hold that has nothing
	// accepted yet; each accepted delivery allows one more, up to MaxClaims.
	FirstClaims = 10
	MaxClaims   = 100
	// PauseAfter claims abandoned within PauseWindow, a pause of FirstPause
	// begins, twice as long with each further one, up to MaxPause.
	PauseAfter  = 3
	PauseWindow = 24 * time.Hour
	FirstPause  = time.Hour
	MaxPause    = 24 * time.Hour
	// PauseLook is how many of the latest abandoned claims matter: with that
	// many the pause is at its longest.
	PauseLook = 8
)

// Workload is what a worker's next claim is judged by.
type Workload struct {
	// Live counts the claims it works on: those with a delivery that waits
	// for its publisher are not among them.
	Live     int
	Accepted int64
	// Abandoned are the times of the latest claims whose lease ran out,
	// latest first, at most PauseLook.
	Abandoned []time.Time
}

// Limit is how many claims the worker may hold.
func (w Workload) Limit() int { return int(min(MaxClaims, FirstClaims+w.Accepted)) }

// PausedUntil is when the worker may claim again after abandoning too many
// claims, or nil if it may now. Only what lies within PauseWindow of the
// latest one counts, so that a pause that was told stays as it is.
func (w Workload) PausedUntil(now time.Time) *time.Time {
	n := 0
	for _, at := range w.Abandoned {
		if w.Abandoned[0].Sub(at) < PauseWindow {
			n++
		}
	}
	if n < PauseAfter {
		return nil
	}
	until := w.Abandoned[0].Add(min(MaxPause, FirstPause<<(n-PauseAfter)))
	if !now.Before(until) {
		return nil
	}
	return &until
}

// mayClaim returns why the worker may not hold one more claim, or nil.
func (w Workload) mayClaim(now time.Time) error {
	if until := w.PausedUntil(now); until != nil {
		return ErrClaimPaused.With(map[string]any{"Until": until.UTC().Format(time.RFC3339), "Count": PauseAfter}).After(until.Sub(now))
	}
	if w.Live >= w.Limit() {
		return w.overLimit()
	}
	return nil
}

func (w Workload) overLimit() error {
	return ErrClaimLimit.With(map[string]any{"Live": w.Live, "Limit": w.Limit(), "First": FirstClaims, "Max": MaxClaims})
}

// Full is ErrClaimLimit for a worker that other claims have filled meanwhile.
func (w Workload) Full() error {
	w.Live = max(w.Live, w.Limit())
	return w.overLimit()
}

// ClaimWithin is ClaimBy for a worker with the workload. That the limit holds
// against other claims of the moment is the store's business.
func (s Snapshot) ClaimWithin(w Workload, a Actor, id ClaimID, now time.Time) (Change, error) {
	c, err := s.ClaimBy(a, id, now)
	if err == nil {
		err = w.mayClaim(now)
	}
	if err != nil {
		return Change{}, err
	}
	c.ClaimLimit = w.Limit()
	return c, nil
}

// Limits of how a publisher may judge.
const (
	// RejectionLook is how far back a publisher's decisions are looked at.
	RejectionLook = 7 * 24 * time.Hour
	// With MostRejections or more within it, one in PaidShare must have been
	// paid as well before another can be rejected.
	MostRejections = 10
	PaidShare      = 4
)

// Judgements are a publisher's latest decisions, within RejectionLook, on
// deliveries of unrelated workers.
type Judgements struct {
	// Rejected counts work that had passed its checks: several attempts of one
	// worker at a task are one, and so are equal outputs of many, so that junk
	// stops nobody. What an operator has upheld does not count.
	Rejected int64
	// Paid counts what was accepted, by the publisher, by silence or by checks.
	Paid int64
}

// MayReject returns ErrMassRejection if the publisher rejects nearly all that
// it gets, else nil. It can still accept, or object to a payout that silence
// made, which an operator decides.
func (j Judgements) MayReject() error {
	if j.Rejected >= MostRejections && j.Paid*PaidShare < j.Rejected {
		return ErrMassRejection.With(map[string]any{"Rejected": j.Rejected, "Paid": j.Paid, "Days": int(RejectionLook.Hours() / 24),
			"Needed": (j.Rejected+PaidShare-1)/PaidShare - j.Paid})
	}
	return nil
}
