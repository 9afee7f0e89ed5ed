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
	case s.State == Open && a.Worker() && s.Attempts < s.MaxAttempts && !s.stopped():
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
