package market

import "time"

// Action is a next step that a party can take now.
type Action struct {
	Name string
	// Due is when the clock acts instead, nil if it does not.
	Due *time.Time
	// Delivery is the one concerned, "" if it is the task or several.
	Delivery DeliveryID
}

// PendingActions are the actor's next steps on the task, the most urgent
// first.
func (s Snapshot) PendingActions(a Actor) []Action {
	out := []Action{}
	add := func(due *time.Time, d DeliveryID, names ...string) {
		for _, n := range names {
			out = append(out, Action{Name: n, Due: due, Delivery: d})
		}
	}
	pending := s.Delivery != nil && s.Delivery.State == DeliveryPending && !s.Terminal()
	own := a.Account != "" && a.Account == s.Publisher
	if s.CanAppeal != nil {
		add(&s.CanAppeal.By, s.CanAppeal.Delivery, "appeal")
	}
	if s.Secrets != nil {
		s.Secrets.actions(own, s.Claim != nil && s.Claim.EndedAt == nil && s.Claim.Worker == a.Account, func(name string) { add(s.DueAt, "", name) })
	}
	switch {
	case s.Evergreen:
		if s.canOnboard(a) == nil && s.Attempts < s.MaxAttempts {
			add(nil, "", "deliver")
		}
	case s.Mode == ModeOpen && own:
		if all := s.everyOther(); all.Pending > 0 {
			add(all.Review, "", "review")
		}
		if s.State == Open && s.live() == 0 {
			add(s.DueAt, "", "cancel")
		}
	case s.Mode == ModeOpen && pending && a.Account == s.Delivery.Worker:
		add(s.Delivery.DueAt, s.Delivery.ID, "withdraw")
	case s.Mode == ModeOpen:
		if s.State == Open && a.Worker() && s.Attempts < s.MaxAttempts && !s.stopped() {
			add(&s.Deadline, "", "deliver")
		}
	case s.State == Open && own:
		add(s.DueAt, "", "cancel")
	case s.State == Open && a.Worker() && s.Attempts < s.MaxAttempts && !s.stopped() && !s.beyond(a):
		add(s.DueAt, "", "claim")
	case s.State == Claimed && s.Claim != nil && s.Claim.Worker == a.Account:
		add(s.DueAt, "", "deliver", "renew", "release")
	case pending && own:
		add(s.DueAt, s.Delivery.ID, "accept", "reject")
	case pending && a.Account == s.Delivery.Worker:
		add(s.DueAt, s.Delivery.ID, "withdraw")
	}
	return out
}

// actions are the publisher's or the holder's next steps about the protected
// fields. A holder that was refused has none, and one that waits.
func (x SecretStanding) actions(own, holds bool, add func(string)) {
	switch {
	case own && x.Waiting > 0:
		add("decide_secrets")
	case !holds:
	case x.Asked == SecretGranted:
		add("fetch_secrets")
	case x.Asked == "" || x.Asked == SecretExpired || x.Asked == SecretStale:
		add("request_secrets")
	}
}
