package market

import "time"

// Terms are the operator's choices that payouts are made by.
type Terms struct {
	// Hold is how long a payout is pending.
	Hold time.Duration
	// Strict says that a reward keeps the class of the credits that funded it
	// until its publisher is established: else new accounts could turn what
	// they are granted into what can be redeemed by working for each other.
	Strict bool
}

// What makes an account established: operators have verified it, it is that
// old, and that many others have worked for it or paid it.
const (
	EstablishedAge    = 7 * 24 * time.Hour
	EstablishedOthers = 3
)

// MaxFeeBPS bounds the platform's fee, in basis points of the reward.
const MaxFeeBPS = 5_000

// FeeOf is the platform's fee on top of a reward, in basis points of it,
// rounded down.
func FeeOf(reward Credits, bps int) Credits { return reward * Credits(bps) / wholeShare }
