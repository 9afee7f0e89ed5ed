package market

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestOneParty(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		a, b Kin
		want bool
	}{
		{"itself", KinOf("a", nil), KinOf("a", nil), true},
		{"two strangers", KinOf("a", nil), KinOf("b", nil), false},
		{"an agent and its manager", KinOf("a", []AccountID{"h"}), KinOf("h", nil), true},
		{"two agents of one human", KinOf("a", []AccountID{"h"}), KinOf("b", []AccountID{"x", "h"}), true},
		{"two managers of one agent, one after the other", KinOf("h", nil), KinOf("x", nil), false},
		{"agents of two humans", KinOf("a", []AccountID{"h"}), KinOf("b", []AccountID{"x"}), false},
	} {
		if got := OneParty(c.a, c.b); got != c.want || OneParty(c.b, c.a) != got {
			t.Errorf("%s: %v, want %v both ways", c.name, got, c.want)
		}
	}
}

// related is the snapshot as it would be if publisher and worker were bound to
// one human.
func related(s Snapshot) Snapshot {
	s.Principals = Principals{Publisher: []AccountID{"boss"}, Worker: []AccountID{"boss"}}
	return s
}

// TestOnePartyInTheRules: no claim, no delivery in open mode, no acceptance, no
// outcome and no bonus; a claim that there is all the same can be ended.
func TestOnePartyInTheRules(t *testing.T) {
	t.Parallel()
	s, now := standing(t, "open")
	if _, err := related(s).ClaimBy(holder, "c", now); !errors.Is(err, ErrOneParty) {
		t.Errorf("a claim: %v", err)
	}
	if _, err := related(s).ClaimBy(publisher, "c", now); !errors.Is(err, ErrOwnTask) {
		t.Errorf("a claim on one's own: %v", err)
	}
	s.Mode = ModeOpen
	if err := related(s).CanDeliver(holder, "", 0); !errors.Is(err, ErrOneParty) {
		t.Errorf("a delivery in open mode: %v", err)
	}
	if err := s.CanDeliver(holder, "", 0); err != nil {
		t.Errorf("a stranger's delivery: %v", err)
	}
	claimed, now := standing(t, "claimed")
	if _, err := related(claimed).Release(holder, claim, claimed.Epoch, now); err != nil {
		t.Errorf("giving a claim back: %v", err)
	}
	if c := related(claimed).Tick(ClockIDs{}, Terms{Hold: hold}, *claimed.DueAt); len(c.Outcomes()) != 0 {
		t.Errorf("an abandoned claim says %+v", c.Outcomes())
	}
	waiting, now := standing(t, "in_review pass")
	waiting.Referrer = other.Account
	pay := Payment{"po", Terms{Hold: hold}}
	if _, err := related(waiting).Accept(publisher, pay, now); !errors.Is(err, ErrOneParty) {
		t.Errorf("an acceptance: %v", err)
	}
	c := related(waiting).Tick(ClockIDs{Payout: "po"}, Terms{Hold: hold}, *waiting.DueAt)
	if c.Event != EventSilenceAccept || len(c.Outcomes()) != 0 || c.Referrer != "" {
		t.Errorf("%s by silence says %+v and pays %q", c.Event, c.Outcomes(), c.Referrer)
	}
	if rejected, err := related(waiting).Reject(publisher, fair, now); err != nil || len(rejected.Outcomes()) != 0 {
		t.Errorf("a rejection says %+v, %v", rejected.Outcomes(), err)
	}
	for name, b := range map[string]Principals{"of the publisher's": {Publisher: []AccountID{"boss"}, Referrer: []AccountID{"boss"}},
		"of the worker's": {Worker: []AccountID{"boss"}, Referrer: []AccountID{"boss"}}, "of nobody's": {Referrer: []AccountID{"boss"}}} {
		waiting.Principals = b
		accepted, err := waiting.Accept(publisher, pay, now)
		if got := must(t, accepted, err).Referrer != ""; got != (name == "of nobody's") || len(accepted.Outcomes()) != 2 {
			t.Errorf("a referrer %s party: bonus %v, outcomes %+v", name, got, accepted.Outcomes())
		}
	}
}

// TestOnePartyBehindABundle: an agent that acts through a bundle is itself as
// well as whom it acts for, on whichever side.
func TestOnePartyBehindABundle(t *testing.T) {
	t.Parallel()
	through := func(a Actor, agent ...AccountID) Actor {
		a.Mandate = &Mandate{Bundle: "b", Agent: agent}
		return a
	}
	for _, c := range []struct {
		name      string
		agent     []AccountID // through whom the worker works
		publisher []AccountID // besides itself
		want      error
	}{
		{"nobody knows who", nil, []AccountID{"boss"}, nil},
		{"the publisher's own agent", []AccountID{"hand", publisher.Account}, nil, ErrOneParty},
		{"of the publisher's manager", []AccountID{"hand", "boss"}, []AccountID{"boss"}, ErrOneParty},
		{"of somebody else's", []AccountID{"hand", "boss"}, []AccountID{"chief"}, nil},
	} {
		s, now := standing(t, "open")
		s.Principals.Publisher = c.publisher
		worker := through(holder, c.agent...)
		if _, err := s.ClaimBy(worker, "c", now); !errors.Is(err, c.want) {
			t.Errorf("%s: a claim: %v, want %v", c.name, err, c.want)
		}
		s.Mode = ModeOpen
		if err := s.CanDeliver(worker, "", 0); !errors.Is(err, c.want) {
			t.Errorf("%s: a delivery in open mode: %v, want %v", c.name, err, c.want)
		}
		held, _ := standing(t, "claimed")
		held.Principals.Publisher = c.publisher
		if err := held.CanDeliver(worker, claim, held.Epoch); !errors.Is(err, c.want) {
			t.Errorf("%s: a delivery on a claim: %v, want %v", c.name, err, c.want)
		}
	}
	waiting, now := standing(t, "in_review pass")
	waiting.Principals.Worker = []AccountID{"boss"}
	for name, want := range map[AccountID]error{"boss": ErrOneParty, "chief": nil} {
		by := through(publisher, "hand", name)
		if _, err := waiting.Accept(by, Payment{"po", Terms{Hold: hold}}, now); !errors.Is(err, want) {
			t.Errorf("an acceptance through an agent of %s: %v, want %v", name, err, want)
		}
		if _, err := waiting.Reject(by, fair, now); err != nil { // who pays nobody may be of any party
			t.Errorf("a rejection through an agent of %s: %v", name, err)
		}
	}
}

// TestPausedAgent begins nothing, and ends what it began.
func TestPausedAgent(t *testing.T) {
	t.Parallel()
	paused := holder
	paused.PausedBy = "boss"
	stopped := func(what string, err error) {
		t.Helper()
		var e *Error
		if !errors.As(err, &e) || e.Code != "agent_paused" || e.Args["By"] != "boss" {
			t.Errorf("%s: %v", what, err)
		}
	}
	s, now := standing(t, "open")
	_, err := s.ClaimBy(paused, "c", now)
	stopped("a claim", err)
	end := deadline
	_, err = Publish(paused, "t", Draft{Title: "x", Reward: 1, Deadline: &end}, 0, Funds{Granted: 10}, t0)
	stopped("publishing", err)
	s.Mode = ModeOpen
	stopped("a delivery in open mode", s.CanDeliver(paused, "", 0))
	s.Evergreen = true
	stopped("the challenge", s.CanDeliver(paused, "", 0))
	claimed, now := standing(t, "claimed")
	if _, err := claimed.Renew(paused, claim, claimed.Epoch, now); err != nil {
		t.Errorf("renewing: %v", err)
	}
	if _, err := claimed.Deliver(paused, "d", claim, claimed.Epoch, Package{Output: json.RawMessage(`1`), SummaryText: "x"}, report(VerdictPass), Payment{"po", Terms{}}, now); err != nil {
		t.Errorf("delivering on a claim: %v", err)
	}
}
