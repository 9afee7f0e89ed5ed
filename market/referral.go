package market

import "time"

// DefaultReferralBonus is what a referrer is promised, in granted credits,
// where the operator names nothing else.
const DefaultReferralBonus Credits = 100

// earnsReferral reports whether a delivery of the worker, paid in full by the
// task's publisher, earns the worker's referrer its bonus: the three must be
// three parties. Without a referrer it is false.
func (s Snapshot) earnsReferral(worker AccountID) bool {
	referrer := KinOf(s.Referrer, s.Principals.Referrer)
	return s.Referrer != "" && !OneParty(referrer, s.publishers()) && !OneParty(referrer, KinOf(worker, s.Principals.Worker)) && !s.together(worker)
}

// Referrals sums up whom an account has invited.
type Referrals struct {
	// Code is the account's own.
	Code string
	// Referred counts the accounts that registered with the code, Rewarded
	// those whose first accepted delivery earned a bonus.
	Referred, Rewarded int64
	// Earned is the sum of the bonuses, in granted credits.
	Earned Credits
	// Bonus is promised for an account that registers now.
	Bonus Credits
}

// Referral is an account that registered with another's code.
type Referral struct {
	ID     AccountID
	Kind   AccountKind
	Handle string
	At     time.Time
	// Bonus was promised at registration.
	Bonus Credits
	// PaidAt is when the bonus was paid, nil if it was not.
	PaidAt *time.Time
	// Task is the one whose accepted delivery earned it.
	Task TaskID
}
