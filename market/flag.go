package market

import (
	"strings"
	"time"
)

// FlagID names a flag.
type FlagID string

// FlagKind says what looks like fraud.
type FlagKind string

// The kinds of flags: credits go round in a circle; somebody from the same
// network pays; work is accepted faster than anybody can look at it; nearly all
// comes from one publisher; many accounts came from one network in a day; an
// operator says so.
const (
	FlagCircular      FlagKind = "circular"
	FlagRelated       FlagKind = "related"
	FlagInstant       FlagKind = "instant"
	FlagConcentration FlagKind = "concentration"
	FlagSignups       FlagKind = "signups"
	FlagOperator      FlagKind = "operator"
)

// FlagKinds lists them all.
func FlagKinds() []FlagKind {
	return []FlagKind{FlagCircular, FlagRelated, FlagInstant, FlagConcentration, FlagSignups, FlagOperator}
}

// What the rules look for, in the payouts of FlagLook.
const (
	FlagLook = 30 * 24 * time.Hour
	// FlagCredits is the least that each step of a circle, or somebody of the
	// same network, paid.
	FlagCredits = 100
	// InstantSeconds is how fast nobody reviews, InstantTimes how often that
	// must have been for the same two.
	InstantSeconds = 10
	InstantTimes   = 5
	// ConcentrationShare of at least ConcentrationCredits for at least
	// ConcentrationTimes deliveries came from one publisher, in percent.
	ConcentrationShare   = 80
	ConcentrationCredits = 1000
	ConcentrationTimes   = 10
	// SignupsMost is how many accounts of one network in a day are flagged.
	SignupsMost = 8
)

// Hold is how long a flag of the kind holds payouts without an operator: what
// honest accounts do as well holds them for two days, the rest for a week.
func (k FlagKind) Hold() time.Duration {
	if k == FlagConcentration || k == FlagSignups {
		return 48 * time.Hour
	}
	return CaseWindow
}

// Evidence is what a rule found. Which members are set is the kind's.
type Evidence struct {
	// Others are the handles of the other accounts, in the order in which
	// credits went.
	Others []string `json:"others,omitempty"`
	// Credits are what the others paid, or the least of a circle; Of is all
	// that the account got.
	Credits Credits `json:"credits,omitempty"`
	Of      Credits `json:"of,omitempty"`
	// Times counts deliveries, or accounts of the network.
	Times   int64  `json:"times,omitempty"`
	Network string `json:"network,omitempty"`
}

// FlagOutcome is what became of a flag.
type FlagOutcome string

// The outcomes: payouts go on; they are held for longer; for good, and the
// account redeems nothing; nobody decided while the flag held them.
const (
	FlagReleased FlagOutcome = "released"
	FlagExtended FlagOutcome = "extended"
	FlagFrozen   FlagOutcome = "frozen"
	FlagLapsed   FlagOutcome = "lapsed"
)

// FlagOutcomes are those that operators choose from.
func FlagOutcomes() []FlagOutcome { return []FlagOutcome{FlagReleased, FlagExtended, FlagFrozen} }

// Flag is a suspicion about an account, for the operators.
type Flag struct {
	ID       FlagID
	Account  AccountID
	Kind     FlagKind
	Evidence Evidence
	// Reason is that of the operator who raised it.
	Reason   string
	RaisedAt time.Time
	// HoldUntil is until when payouts are held for it.
	HoldUntil time.Time
	// Outcome is "" until somebody decides.
	Outcome   FlagOutcome
	DecidedAt *time.Time
	DecidedBy AccountID
	Note      string
	// The handles are filled in by the store for showing, as is Pending: what
	// the account has to come, and Orders: how many orders of it are in review.
	Handle, RaisedBy, Decider string
	Pending                   Credits
	Orders                    int64
}

// FlagDecision is an operator's answer to a flag.
type FlagDecision struct {
	Outcome FlagOutcome
	// Days is for how long an extended hold goes on, from now.
	Days int64
	Note string
}

// MaxFlagDays bounds how long one decision holds payouts.
const MaxFlagDays = 90

// Clean returns what is wrong with the decision.
func (d FlagDecision) Clean() []FieldError {
	var p problems
	p.text("/note", visible(d.Note), 1, MaxAccountReason)
	names := []string{}
	known := false
	for _, o := range FlagOutcomes() {
		names, known = append(names, string(o)), known || d.Outcome == o
	}
	if !known {
		p.add("/outcome", "choice", map[string]any{"Allowed": strings.Join(names, ", ")})
	}
	if d.Outcome == FlagExtended {
		p.number("/days", d.Days, 1, MaxFlagDays)
	}
	return p
}

// RaiseFlag is an operator's own suspicion, for a reason.
func RaiseFlag(a Actor, id FlagID, about AccountFile, why string, now time.Time) (Flag, error) {
	why, err := reason(why)
	if err != nil {
		return Flag{}, err
	}
	if !a.Operator || a.oneParty(about.ID) || about.Kind == Platform {
		return Flag{}, ErrForbidden
	}
	return Flag{ID: id, Account: about.ID, Handle: about.Handle, Kind: FlagOperator, Reason: why, RaisedBy: a.Handle, RaisedAt: now,
		HoldUntil: now.Add(FlagOperator.Hold())}, nil
}

// Decide is an operator's decision, also on a flag that was extended or frozen
// before. Once it is released, or lapsed, nothing is left to decide.
func (f Flag) Decide(a Actor, d FlagDecision, now time.Time) (Flag, error) {
	if !a.Operator || a.oneParty(f.Account) {
		return f, ErrForbidden
	}
	if err := Invalid(d.Clean()); err != nil {
		return f, err
	}
	if f.Outcome == FlagReleased || f.Outcome == FlagLapsed {
		return f, ErrAlreadyDone
	}
	f.Outcome, f.Note, f.DecidedAt, f.DecidedBy, f.Decider = d.Outcome, d.Note, &now, a.Account, a.Handle
	switch d.Outcome {
	case FlagExtended:
		f.HoldUntil = now.AddDate(0, 0, int(d.Days))
	case FlagFrozen:
		f.HoldUntil = Never
	default:
		f.HoldUntil = now
	}
	return f, nil
}

// HoldFlag is the reason of a hold while there is a flag.
const HoldFlag = "fraud_flag"
