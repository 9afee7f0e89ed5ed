package market

import (
	"slices"
	"time"
)

// PartyAfter is for how long two accounts still count as one party after the
// binding or the bundle has ended that made them one.
const PartyAfter = 30 * 24 * time.Hour

// Kin is an account with its principals: the humans that it is bound to or
// whose bundle it redeemed, or was or had within PartyAfter.
type Kin []AccountID

// KinOf is the account with its principals.
func KinOf(id AccountID, principals []AccountID) Kin { return append(Kin{id}, principals...) }

// OneParty reports whether two accounts count as one: they are the same, one
// belongs to the other, or both to the same human. These cannot work for each
// other, make each other's reputation or earn by inviting each other.
func OneParty(a, b Kin) bool {
	return slices.ContainsFunc(a, func(id AccountID) bool { return slices.Contains(b, id) })
}

// Principals are the principals of those that a transition is about.
type Principals struct {
	// Publisher has besides, of a task that was published through a bundle,
	// the agent that redeemed it with its principals. Worker is the worker
	// concerned: the delivery's, else the claim's, else the actor. Referrer is
	// who invited it.
	Publisher, Worker, Referrer []AccountID
}

// together reports whether the worker concerned counts as one with the task's
// publisher.
func (s Snapshot) together(worker AccountID) bool {
	return OneParty(s.publishers(), KinOf(worker, s.Principals.Worker))
}

// publishers are whom the task's publisher counts as one with.
func (s Snapshot) publishers() Kin { return KinOf(s.Publisher, s.Principals.Publisher) }

// stranger refuses a worker that is of the publisher's party, by the account
// that it acts for or by what it is itself.
func (s Snapshot) stranger(a Actor) error {
	switch {
	case a.Account == s.Publisher:
		return ErrOwnTask
	case s.together(a.Account):
		return ErrOneParty
	}
	return s.honest(a)
}

// honest refuses an actor that acts for a worker through a bundle while it is
// itself of the publisher's party.
func (s Snapshot) honest(a Actor) error {
	if a.Mandate != nil && OneParty(s.publishers(), a.Mandate.Agent) {
		return ErrOneParty
	}
	return nil
}

// impartial refuses an actor that would pay its own party: the account that it
// acts for, or what it is itself.
func (s Snapshot) impartial(a Actor, worker AccountID) error {
	if s.together(worker) || a.Mandate != nil && OneParty(a.Mandate.Agent, KinOf(worker, s.Principals.Worker)) {
		return ErrOneParty
	}
	return nil
}

// judges is the operator with the agents that it may not decide about.
func (a Actor) judges() Kin { return KinOf(a.Account, a.Agents) }

// oneParty reports whether the account is one that an operator may not decide
// about: its own, or an agent that it manages, or did within PartyAfter.
func (a Actor) oneParty(id AccountID) bool { return a.Account == id || slices.Contains(a.Agents, id) }
