package market

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// The fixtures: one task of 100 credits funded 30 granted + 70 earned, three
// attempts, a lease of an hour, a review window of three days.
var (
	t0       = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	deadline = t0.Add(30 * 24 * time.Hour)
	split    = Funds{Granted: 30, Earned: 70}

	publisher = Actor{Account: "p", Kind: Agent, Handle: "pub"}
	holder    = Actor{Account: "w", Kind: Agent, Handle: "holder"}
	other     = Actor{Account: "o", Kind: Agent, Handle: "other"}
	person    = Actor{Account: "h", Kind: Human, Handle: "person"}
	roles     = []Actor{publisher, holder, other}

	fair = Rejection{Reason: "too dry", Rule: "tone"}
)

const (
	hold  = 48 * time.Hour
	claim = ClaimID("c1")
	brief = "Write a  short poem\nabout the sea."
)

func report(v Verdict) Report {
	return Report{Verdict: v, Passed: v == VerdictPass, Checks: []Check{{Name: "rhyme", Kind: "cel", Verdict: v}}}
}

// must fails the test unless the transition was allowed.
func must(t *testing.T, c Change, err error) Change {
	t.Helper()
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	return c
}

// reload is what the store reads back after a change: an ended claim is gone.
func reload(c Change) Snapshot {
	s := c.Snapshot
	if s.Claim != nil && s.Claim.EndedAt != nil {
		s.Claim = nil
	}
	return s
}

func published(t *testing.T) Snapshot {
	t.Helper()
	end := deadline
	d := Draft{Title: "Poem", Brief: brief, Mode: ModeExclusive, Reward: 100, Deadline: &end,
		Rules: []Rule{{Name: "tone", Kind: RuleManual, Text: "be wet"}}}
	c, err := Publish(publisher, "t1", d, Funds{Granted: 30, Earned: 500}, t0)
	return reload(must(t, c, err))
}

func claimedAt(t *testing.T, s Snapshot, now time.Time) Snapshot {
	t.Helper()
	c, err := s.ClaimBy(holder, claim, now)
	return reload(must(t, c, err))
}

func delivered(t *testing.T, s Snapshot, v Verdict, now time.Time) Snapshot {
	t.Helper()
	c, err := s.Deliver(holder, "d1", s.Claim.ID, s.Claim.Epoch, Package{Output: json.RawMessage(`1`), SummaryText: "x"}, report(v), Payment{"po", hold}, now)
	return reload(must(t, c, err))
}

// claimT, deliverT and rejectT are when the fixtures' transitions happen.
var (
	claimT   = t0.Add(10 * time.Minute)
	deliverT = t0.Add(30 * time.Minute)
	rejectT  = t0.Add(2 * time.Hour)
)

// standing builds a task in the named state by real transitions only, and says
// at which time the table's events happen.
func standing(t *testing.T, name string) (Snapshot, time.Time) {
	t.Helper()
	s := published(t)
	name, s.AutoAccept = strings.CutSuffix(name, " auto")
	switch name {
	case "open":
		return s, t0.Add(time.Minute)
	case "cancelled":
		c, err := s.Cancel(publisher, t0)
		return reload(must(t, c, err)), t0.Add(time.Minute)
	case "expired":
		return reload(s.Tick(ClockIDs{}, hold, deadline)), deadline.Add(time.Minute)
	}
	s = claimedAt(t, s, claimT)
	if name == "claimed" {
		return s, deliverT
	}
	verdict := VerdictPass
	if s.AutoAccept {
		verdict = VerdictError // a pass would settle
	}
	switch name {
	case "in_review error", "in_review case":
		verdict = VerdictError
	case "in_review appeal":
		s.Attempts = s.MaxAttempts - 1
	}
	s = delivered(t, s, verdict, deliverT)
	switch name {
	case "in_review pass", "in_review error":
		return s, rejectT
	case "in_review case":
		at := *s.DueAt
		return reload(s.Tick(ClockIDs{}, hold, at)), at.Add(time.Hour)
	case "in_review appeal", "claimed revise":
		c, err := s.Reject(publisher, fair, rejectT)
		return reload(must(t, c, err)), rejectT.Add(10 * time.Minute)
	case "settled":
		c, err := s.Accept(publisher, "po", hold, rejectT)
		return reload(must(t, c, err)), rejectT.Add(time.Minute)
	}
	t.Fatalf("no state %q", name)
	return Snapshot{}, time.Time{}
}

var events = []string{"claim", "renew", "release", "deliver pass", "deliver fail", "deliver last fail",
	"deliver error", "accept", "reject", "withdraw", "cancel", "tick"}

func apply(s Snapshot, event string, a Actor, now time.Time) (Change, error) {
	deliver := func(v Verdict) (Change, error) {
		return s.Deliver(a, "d2", claim, 0, Package{Output: json.RawMessage(`1`), SummaryText: "x"}, report(v), Payment{"po", hold}, now)
	}
	switch event {
	case "claim":
		return s.ClaimBy(a, "c2", now)
	case "renew":
		return s.Renew(a, claim, 0, now)
	case "release":
		return s.Release(a, claim, 0, now)
	case "deliver pass":
		return deliver(VerdictPass)
	case "deliver fail":
		return deliver(VerdictFail)
	case "deliver last fail":
		s.Attempts = s.MaxAttempts - 1
		return deliver(VerdictFail)
	case "deliver error":
		return deliver(VerdictError)
	case "accept":
		return s.Accept(a, "po", hold, now)
	case "reject":
		return s.Reject(a, fair, now)
	case "withdraw":
		return s.Withdraw(a, now)
	case "cancel":
		return s.Cancel(a, now)
	case "tick":
		return s.Tick(ClockIDs{Payout: "po"}, hold, *s.DueAt), nil
	}
	panic(event)
}

func codeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return "!" + e.Code
	}
	return "!not a market error: " + err.Error()
}

// row is what happens for the publisher, the holder and another agent: a new
// state, or a refusal "!code".
type row [3]string

func all(s string) row { return row{s, s, s} }

// withHeld adds the row of every event that needs a live claim.
func withHeld(m map[string]row, r row) map[string]row {
	for _, e := range []string{"renew", "release", "deliver pass", "deliver fail", "deliver last fail", "deliver error"} {
		if _, ok := m[e]; !ok {
			m[e] = r
		}
	}
	return m
}

var (
	noClaim    = row{"!own_task", "!task_not_open", "!task_not_open"}
	onlyHolder = func(to string) row { return row{"!not_claim_holder", to, "!not_claim_holder"} }
	notPending = row{"!delivery_not_pending", "!forbidden", "!not_found"}
	ownNotPend = row{"!forbidden", "!delivery_not_pending", "!not_found"}
	noCancel   = func(code string) row { return row{code, "!forbidden", "!forbidden"} }
)

func inReviewPending(tick string) map[string]row {
	return withHeld(map[string]row{
		"claim":    noClaim,
		"accept":   {"settled", "!forbidden", "!not_found"},
		"reject":   {"claimed", "!forbidden", "!not_found"},
		"withdraw": {"!forbidden", "claimed", "!not_found"},
		"cancel":   noCancel("!delivery_pending"),
		"tick":     all(tick),
	}, row{"!claim_stale", "!delivery_pending", "!claim_stale"})
}

func over(hasDelivery bool) map[string]row {
	m := map[string]row{"claim": noClaim, "cancel": noCancel("!task_not_open"), "tick": all("never due"),
		"accept": all("!not_found"), "reject": all("!not_found"), "withdraw": all("!not_found")}
	if hasDelivery {
		m["accept"], m["reject"], m["withdraw"] = notPending, notPending, ownNotPend
	}
	return withHeld(m, all("!claim_stale"))
}

// exclusiveWant is the "Exclusive mode" table of lifecycle.md, spelled out.
var exclusiveWant = map[string]map[string]row{
	"open": withHeld(map[string]row{
		"claim":  {"!own_task", "claimed", "claimed"},
		"accept": all("!not_found"), "reject": all("!not_found"), "withdraw": all("!not_found"),
		"cancel": noCancel("cancelled"),
		"tick":   all("expired"),
	}, all("!claim_stale")),
	"claimed": {
		"claim": noClaim, "renew": onlyHolder("claimed"), "release": onlyHolder("open"),
		"deliver pass": onlyHolder("in_review"), "deliver fail": onlyHolder("claimed"),
		"deliver last fail": onlyHolder("open"), "deliver error": onlyHolder("in_review"),
		"accept": all("!not_found"), "reject": all("!not_found"), "withdraw": all("!not_found"),
		"cancel": noCancel("!task_claimed"),
		"tick":   all("open"),
	},
	"claimed revise": { // the rejection can still be appealed
		"claim": noClaim, "renew": onlyHolder("claimed"), "release": onlyHolder("open"),
		"deliver pass": onlyHolder("in_review"), "deliver fail": onlyHolder("claimed"),
		"deliver last fail": onlyHolder("in_review"), "deliver error": onlyHolder("in_review"),
		"accept": notPending, "reject": notPending, "withdraw": ownNotPend,
		"cancel": noCancel("!task_claimed"),
		"tick":   all("in_review"),
	},
	// With autoAccept only a pass is different.
	"claimed auto": {
		"claim": noClaim, "renew": onlyHolder("claimed"), "release": onlyHolder("open"),
		"deliver pass": onlyHolder("settled"), "deliver fail": onlyHolder("claimed"),
		"deliver last fail": onlyHolder("open"), "deliver error": onlyHolder("in_review"),
		"accept": all("!not_found"), "reject": all("!not_found"), "withdraw": all("!not_found"),
		"cancel": noCancel("!task_claimed"),
		"tick":   all("open"),
	},
	"claimed revise auto": {
		"claim": noClaim, "renew": onlyHolder("claimed"), "release": onlyHolder("open"),
		"deliver pass": onlyHolder("settled"), "deliver fail": onlyHolder("claimed"),
		"deliver last fail": onlyHolder("in_review"), "deliver error": onlyHolder("in_review"),
		"accept": notPending, "reject": notPending, "withdraw": ownNotPend,
		"cancel": noCancel("!task_claimed"),
		"tick":   all("in_review"),
	},
	"in_review error auto": inReviewPending("in_review"),
	"in_review case auto":  inReviewPending("open"),
	"in_review pass":       inReviewPending("settled"),
	"in_review error":      inReviewPending("in_review"),
	"in_review case":       inReviewPending("open"),
	"in_review appeal": withHeld(map[string]row{
		"claim": noClaim, "accept": notPending, "reject": notPending, "withdraw": ownNotPend,
		"cancel": noCancel("!delivery_pending"),
		"tick":   all("open"),
	}, all("!claim_stale")),
	"settled":   over(true),
	"cancelled": over(false),
	"expired":   over(false),
}

func TestEveryEventInEveryStateByEveryRole(t *testing.T) {
	for name, byEvent := range exclusiveWant {
		if len(byEvent) != len(events) {
			t.Fatalf("%s: the table has %d events, want %d", name, len(byEvent), len(events))
		}
		for _, event := range events {
			for i, a := range roles {
				t.Run(name+"/"+event+"/"+a.Handle, func(t *testing.T) {
					s, now := standing(t, name)
					if got, _, _ := strings.Cut(name, " "); string(s.State) != got {
						t.Fatalf("fixture is %s", s.State)
					}
					want := byEvent[event][i]
					if want == "never due" {
						if s.DueAt != nil || s.Due(now) || s.Due(now.AddDate(100, 0, 0)) {
							t.Fatalf("a terminal task has a clock: %v", s.DueAt)
						}
						return
					}
					if event == "tick" {
						now = *s.DueAt
						if !s.Due(now) || s.Due(now.Add(-1)) {
							t.Fatalf("Due does not turn at DueAt")
						}
					}
					c, err := apply(s, event, a, now)
					if err != nil {
						if got := codeOf(err); got != want {
							t.Fatalf("got %s, want %s", got, want)
						}
						if !reflect.DeepEqual(c, Change{}) {
							t.Errorf("a refusal returns a change: %+v", c)
						}
						return
					}
					if got := string(c.Snapshot.State); got != want {
						t.Fatalf("got %s, want %s", got, want)
					}
					// The fixture's claim may have been written to; ask anew.
					before, _ := standing(t, name)
					checkChange(t, before, c, now)
				})
			}
		}
	}
}

// checkChange asserts what holds of every change whatever the event.
func checkChange(t *testing.T, before Snapshot, c Change, now time.Time) {
	t.Helper()
	s := c.Snapshot
	if c.Was != before.State {
		t.Errorf("Was = %s, want %s", c.Was, before.State)
	}
	if over := s.State.Terminal(); over != (s.Escrow == Funds{}) || over != (s.DueAt == nil) {
		t.Errorf("terminal %v, escrow %+v, due %v: all three must agree", over, s.Escrow, s.DueAt)
	}
	if s.State.Terminal() && (s.AppealBy != nil || s.CaseUntil != nil) {
		t.Errorf("a terminal task waits: appeal %v, case %v", s.AppealBy, s.CaseUntil)
	}
	if s.DueAt != nil && !s.DueAt.After(now) {
		t.Errorf("due at %v, not after now %v", s.DueAt, now)
	}
	if s.CaseUntil != nil && (s.State != InReview || s.Delivery.State != DeliveryPending || !s.CaseUntil.Equal(*s.DueAt)) {
		t.Errorf("a case until %v in %s, due %v", s.CaseUntil, s.State, s.DueAt)
	}
	checkMoney(t, before, c, now)
	checkClaim(t, before, s, now)
}

func checkMoney(t *testing.T, before Snapshot, c Change, now time.Time) {
	t.Helper()
	s := c.Snapshot
	var out, credited Funds
	for _, x := range c.Transfers {
		if x.Amount <= 0 || x.Debit != EscrowAccount(s.ID) || x.Task != s.ID {
			t.Errorf("odd transfer %+v", x)
		}
		out = out.plus(x.DebitClass, x.Amount)
		credited = credited.plus(x.CreditClass, x.Amount)
	}
	if before.Escrow.Granted-s.Escrow.Granted != out.Granted || before.Escrow.Earned-s.Escrow.Earned != out.Earned {
		t.Errorf("escrow went %+v to %+v, transfers took %+v", before.Escrow, s.Escrow, out)
	}
	credit, kind, account := "", TransferKind(""), AccountID("")
	want := Funds{}
	switch s.State {
	case Settled:
		credit, kind, account = PendingAccount(s.Delivery.Worker), TransferPayout, s.Delivery.Worker
		want = Funds{Earned: before.Escrow.Total()}
	case Cancelled, Expired:
		credit, kind, account = WalletAccount(s.Publisher), TransferRefund, s.Publisher
		want = before.Escrow
	}
	if credited != want {
		t.Errorf("credited %+v, want %+v", credited, want)
	}
	for _, x := range c.Transfers {
		if x.Credit != credit || x.Kind != kind || x.Account != account {
			t.Errorf("transfer %+v, want %s to %s of %s", x, kind, credit, account)
		}
	}
	if (c.Payout != nil) != (s.State == Settled) {
		t.Fatalf("payout %+v in state %s", c.Payout, s.State)
	}
	if c.Payout != nil {
		p := Payout{ID: c.Payout.ID, GrantedPart: before.Escrow.Granted, Account: s.Delivery.Worker, Task: s.ID, Delivery: s.Delivery.ID,
			Amount: before.Escrow.Total(), Class: Earned, AvailableAt: now.Add(hold), HoldReason: HoldSettlement}
		if *c.Payout != p {
			t.Errorf("payout %+v, want %+v", *c.Payout, p)
		}
	}
}

func (f Funds) plus(c Class, n Credits) Funds {
	switch c {
	case Granted:
		f.Granted += n
	case Earned:
		f.Earned += n
	default:
		panic("no class " + c)
	}
	return f
}

// checkClaim: a claim lives exactly while claimed or while its delivery is
// pending, and the epoch rises exactly when one ends.
func checkClaim(t *testing.T, before, s Snapshot, now time.Time) {
	t.Helper()
	pending := s.Delivery != nil && s.Delivery.State == DeliveryPending
	wantLive := s.State == Claimed || s.State == InReview && pending
	live := s.Claim != nil && s.Claim.EndedAt == nil
	if live != wantLive {
		t.Errorf("claim live %v in %s, pending %v", live, s.State, pending)
	}
	ended := before.Claim != nil && !live
	wantEpoch := before.Epoch
	if ended {
		wantEpoch++
		if s.Claim == nil || !s.Claim.EndedAt.Equal(now) || s.Claim.Outcome == "" {
			t.Errorf("ended claim is %+v", s.Claim)
		}
	}
	if s.Epoch != wantEpoch {
		t.Errorf("epoch %d → %d, claim ended: %v", before.Epoch, s.Epoch, ended)
	}
	if live && s.Claim.Epoch != s.Epoch {
		t.Errorf("live claim has epoch %d, task %d", s.Claim.Epoch, s.Epoch)
	}
	if s.State == Claimed {
		if !s.DueAt.Equal(s.Claim.ExpiresAt) {
			t.Errorf("due %v but lease ends %v", s.DueAt, s.Claim.ExpiresAt)
		}
		lease := time.Duration(s.ClaimMinutes) * time.Minute
		if s.Claim.ExpiresAt.After(s.Deadline) || s.Claim.ExpiresAt.After(s.Claim.LeaseFrom.Add(4*lease)) ||
			s.Claim.ExpiresAt.After(now.Add(lease)) {
			t.Errorf("lease to %v passes a cap", s.Claim.ExpiresAt)
		}
	}
}

// TestTransitionsDoNotWriteToTheirReceiver holds package doc to "pure".
func TestTransitionsDoNotWriteToTheirReceiver(t *testing.T) {
	for name := range exclusiveWant {
		for _, event := range events {
			for _, a := range roles {
				t.Run(name+"/"+event+"/"+a.Handle, func(t *testing.T) {
					s, now := standing(t, name)
					if event == "tick" && s.DueAt == nil {
						return
					}
					want, _ := standing(t, name)
					_, _ = apply(s, event, a, now)
					if reflect.DeepEqual(s, want) {
						return
					}
					t.Errorf("receiver changed:\n got %+v\nwant %+v", s, want)
				})
			}
		}
	}
}

func TestPublishMovesTheSplitIntoEscrowGrantedFirst(t *testing.T) {
	end := deadline
	d := Draft{Reward: 100, Deadline: &end}
	c, err := Publish(publisher, "t1", d, Funds{Granted: 30, Earned: 500}, t0)
	must(t, c, err)
	if c.Snapshot.Escrow != split || c.Snapshot.State != Open || !c.Snapshot.DueAt.Equal(deadline) ||
		c.Snapshot.Epoch != 0 || c.Snapshot.Version != 1 {
		t.Errorf("published %+v", c.Snapshot.Task)
	}
	want := []Transfer{
		{Kind: TransferEscrow, Debit: "wallet:p", Credit: "escrow:t1", Amount: 30, DebitClass: Granted, CreditClass: Granted, Account: "p", Task: "t1"},
		{Kind: TransferEscrow, Debit: "wallet:p", Credit: "escrow:t1", Amount: 70, DebitClass: Earned, CreditClass: Earned, Account: "p", Task: "t1"},
	}
	if !slices.Equal(c.Transfers, want) {
		t.Errorf("transfers %+v", c.Transfers)
	}
	if c, err := Publish(publisher, "t1", d, Funds{Granted: 30, Earned: 69}, t0); !errors.Is(err, ErrInsufficientCredits) || len(c.Transfers) != 0 {
		t.Errorf("one credit short: %v, %+v", err, c.Transfers)
	}
}

func TestHumansMayNotWork(t *testing.T) {
	for _, a := range []Actor{person, {Account: publisher.Account, Kind: Human}, {Account: holder.Account, Kind: Human}} {
		for name := range exclusiveWant {
			for _, event := range events[:7] {
				s, now := standing(t, name)
				if _, err := apply(s, event, a, now); !errors.Is(err, ErrForbidden) {
					t.Errorf("%s, %s by %+v: %v", name, event, a, err)
				}
			}
		}
	}
}

func TestClaimNeedsAttemptsAndTimeLeft(t *testing.T) {
	s := published(t)
	s.Attempts = s.MaxAttempts - 1
	if _, err := s.ClaimBy(holder, claim, t0); err != nil {
		t.Errorf("with one attempt left: %v", err)
	}
	s.Attempts = s.MaxAttempts
	if _, err := s.ClaimBy(holder, claim, t0); !errors.Is(err, ErrAttemptsExhausted) {
		t.Errorf("with no attempt left: %v", err)
	}
	s.Attempts = 0
	if _, err := s.ClaimBy(holder, claim, deadline.Add(-1)); err != nil {
		t.Errorf("just before the deadline: %v", err)
	}
	if _, err := s.ClaimBy(holder, claim, deadline); !errors.Is(err, ErrTaskNotOpen) {
		t.Errorf("at the deadline: %v", err)
	}
}

func TestHeldChecksIdThenEpochThenHolder(t *testing.T) {
	s, _ := standing(t, "claimed")
	s.Epoch, s.Claim.Epoch = 4, 4
	cases := []struct {
		name  string
		a     Actor
		id    ClaimID
		epoch int64
		want  error
	}{
		{"right", holder, claim, 4, nil},
		{"unnamed", holder, "", 0, nil},
		{"old epoch", holder, claim, 3, ErrClaimStale},
		{"future epoch", holder, claim, 5, ErrClaimStale},
		{"other id", holder, "c9", 4, ErrClaimStale},
		{"other agent, right claim", other, claim, 4, ErrNotClaimHolder},
		{"other agent, unnamed", other, "", 0, ErrNotClaimHolder},
	}
	for _, c := range cases {
		if err := s.Held(c.a, c.id, c.epoch); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	for _, state := range []string{"open", "in_review appeal", "settled", "cancelled", "expired"} {
		s, _ := standing(t, state)
		if err := s.Held(holder, "", 0); !errors.Is(err, ErrNotClaimHolder) {
			t.Errorf("unnamed in %s: %v", state, err)
		}
	}
}

func TestLeaseIsCappedAtFourLengthsAndTheDeadline(t *testing.T) {
	min := func(n int) time.Time { return t0.Add(time.Duration(n) * time.Minute) }
	steps := func(t *testing.T, s Snapshot, at ...[2]int) {
		t.Helper()
		for _, x := range at {
			c, err := s.Renew(holder, claim, 0, min(x[0]))
			s = reload(must(t, c, err))
			if !s.DueAt.Equal(min(x[1])) || !s.Claim.ExpiresAt.Equal(min(x[1])) {
				t.Errorf("renewed at %d min: ends %v, want %v", x[0], s.DueAt, min(x[1]))
			}
		}
	}
	t.Run("four lengths from the claim", func(t *testing.T) {
		s := claimedAt(t, published(t), t0)
		if !s.DueAt.Equal(min(60)) || !s.Claim.LeaseFrom.Equal(t0) || !s.Claim.ClaimedAt.Equal(t0) {
			t.Fatalf("first lease %+v", s.Claim)
		}
		steps(t, s, [2]int{0, 60}, [2]int{50, 110}, [2]int{109, 169}, [2]int{168, 228}, [2]int{180, 240}, [2]int{181, 240}, [2]int{239, 240})
	})
	t.Run("the deadline", func(t *testing.T) {
		s := published(t)
		s.Deadline = min(90)
		steps(t, claimedAt(t, s, t0), [2]int{29, 89}, [2]int{30, 90}, [2]int{31, 90}, [2]int{89, 90})
		if late := claimedAt(t, s, min(80)); !late.DueAt.Equal(min(90)) {
			t.Errorf("claimed at 80 min: ends %v", late.DueAt)
		}
	})
	t.Run("from a rejection and from a withdrawal anew, on the same claim", func(t *testing.T) {
		for _, event := range []string{"reject", "withdraw"} {
			s := delivered(t, claimedAt(t, published(t), t0), VerdictPass, min(30))
			a := map[string]Actor{"reject": publisher, "withdraw": holder}[event]
			c, err := apply(s, event, a, min(1000))
			s = reload(must(t, c, err))
			if s.Claim.ID != claim || s.Claim.Epoch != 0 || s.Epoch != 0 || !s.Claim.ClaimedAt.Equal(t0) || !s.DueAt.Equal(min(1060)) {
				t.Errorf("%s: %+v", event, s.Claim)
			}
			steps(t, s, [2]int{1050, 1110}, [2]int{1100, 1160}, [2]int{1179, 1239}, [2]int{1181, 1240})
		}
	})
	t.Run("a failed delivery leaves the lease unchanged", func(t *testing.T) {
		s := claimedAt(t, published(t), t0)
		if f := delivered(t, s, VerdictFail, min(59)); !f.DueAt.Equal(min(60)) || !f.Claim.ExpiresAt.Equal(min(60)) {
			t.Errorf("ends %v", f.DueAt)
		}
	})
}

func TestClocksOfEachWait(t *testing.T) {
	cases := []struct {
		state string
		due   time.Time
	}{
		{"open", deadline},
		{"claimed", claimT.Add(time.Hour)},
		{"claimed revise", rejectT.Add(time.Hour)},
		{"in_review pass", deliverT.Add(72 * time.Hour)},
		{"in_review error", deliverT.Add(72 * time.Hour)},
		{"in_review case", deliverT.Add(72*time.Hour + 7*24*time.Hour)},
		{"in_review appeal", rejectT.Add(24 * time.Hour)},
	}
	for _, c := range cases {
		if s, _ := standing(t, c.state); s.DueAt == nil || !s.DueAt.Equal(c.due) {
			t.Errorf("%s is due %v, want %v", c.state, s.DueAt, c.due)
		}
	}
}

func TestTheDeadlineDoesNotInterruptAReview(t *testing.T) {
	s := published(t)
	s.Deadline = t0.Add(time.Hour)
	s = delivered(t, claimedAt(t, s, t0), VerdictPass, t0.Add(59*time.Minute))
	if s.Due(s.Deadline) || s.Due(s.Deadline.Add(48*time.Hour)) {
		t.Errorf("due at the deadline; DueAt %v", s.DueAt)
	}
}

// TestLeave is footnote 1 of the table, for each way that leads to it.
func TestLeave(t *testing.T) {
	last := func(v Verdict) func(Snapshot, time.Time) (Change, error) {
		return func(s Snapshot, now time.Time) (Change, error) {
			s.Attempts = s.MaxAttempts - 1
			return s.Deliver(holder, "d3", claim, 0, Package{}, report(v), Payment{}, now)
		}
	}
	ways := map[string]func(Snapshot, time.Time) (Change, error){
		"last fail": last(VerdictFail),
		"lease end": func(s Snapshot, now time.Time) (Change, error) { return s.Tick(ClockIDs{}, hold, now), nil },
	}
	for name, way := range ways {
		for _, c := range []struct {
			name     string
			appeal   time.Duration // from now; 0: none
			deadline time.Duration // from now
			want     State
		}{
			{"appeal runs, time left", time.Second, time.Second, InReview},
			{"appeal runs, deadline past", time.Second, -time.Second, InReview},
			{"appeal over at this moment, time left", -1, time.Second, Open},
			{"no appeal, time left", 0, 1, Open},
			{"no appeal, at the deadline", 0, 0, Expired},
			{"appeal over, deadline past", -time.Second, -time.Second, Expired},
		} {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				s, now := standing(t, "claimed")
				s.Deadline = now.Add(c.deadline)
				if c.appeal != 0 {
					by := now.Add(c.appeal)
					if c.appeal == -1 {
						by = now
					}
					s.AppealBy = &by
				}
				before := s
				got, err := way(s, now)
				must(t, got, err)
				after := got.Snapshot
				if after.State != c.want {
					t.Fatalf("got %s, want %s", after.State, c.want)
				}
				checkChange(t, before, got, now)
				switch c.want {
				case InReview:
					if !after.DueAt.Equal(*s.AppealBy) || after.AppealBy == nil {
						t.Errorf("due %v, appeal %v", after.DueAt, after.AppealBy)
					}
				case Open:
					if !after.DueAt.Equal(s.Deadline) || after.AppealBy != nil || after.CaseUntil != nil {
						t.Errorf("due %v, appeal %v, case %v", after.DueAt, after.AppealBy, after.CaseUntil)
					}
				}
			})
		}
	}
}

func TestRejectAndWithdrawWithoutTimeOrAttempts(t *testing.T) {
	for _, c := range []struct {
		name     string
		attempts int
		at       time.Time
		reject   State
		withdraw State
	}{
		{"attempts and time left", 2, rejectT, Claimed, Claimed},
		{"a moment before the deadline", 2, deadline.Add(-1), Claimed, Claimed},
		{"no attempts left", 3, rejectT, InReview, Open},
		{"at the deadline", 1, deadline, InReview, Expired},
		{"neither", 3, deadline, InReview, Expired},
	} {
		for _, event := range []string{"reject", "withdraw"} {
			t.Run(event+"/"+c.name, func(t *testing.T) {
				make := func() Snapshot {
					s, _ := standing(t, "in_review pass")
					s.Attempts = c.attempts
					return s
				}
				want, a := c.reject, publisher
				if event == "withdraw" {
					want, a = c.withdraw, holder
				}
				got, err := apply(make(), event, a, c.at)
				must(t, got, err)
				if got.Snapshot.State != want {
					t.Fatalf("got %s, want %s", got.Snapshot.State, want)
				}
				if got.Snapshot.Attempts != c.attempts {
					t.Errorf("attempts %d → %d", c.attempts, got.Snapshot.Attempts)
				}
				checkChange(t, make(), got, c.at)
				d := got.Snapshot.Delivery
				if event == "withdraw" {
					if d.State != DeliveryWithdrawn {
						t.Errorf("delivery %s", d.State)
					}
					return
				}
				by := c.at.Add(24 * time.Hour)
				if got.Snapshot.AppealBy == nil || !got.Snapshot.AppealBy.Equal(by) || d.State != DeliveryRejected ||
					d.Review == nil || !d.Review.AppealBy.Equal(by) || d.Review.Decision != DecisionReject {
					t.Errorf("rejected %+v, review %+v, appeal %v", d.State, d.Review, got.Snapshot.AppealBy)
				}
				if want == InReview && !got.Snapshot.DueAt.Equal(by) {
					t.Errorf("due %v, want %v", got.Snapshot.DueAt, by)
				}
			})
		}
	}
}

func TestAttemptsAreUsedByPassAndFailButNotByError(t *testing.T) {
	for v, want := range map[Verdict]int{VerdictPass: 1, VerdictFail: 1, VerdictError: 0} {
		s := delivered(t, claimedAt(t, published(t), t0), v, deliverT)
		if s.Attempts != want || s.Delivery.Attempt != want {
			t.Errorf("%s: attempts %d, delivery's %d, want %d", v, s.Attempts, s.Delivery.Attempt, want)
		}
	}
	s := claimedAt(t, published(t), t0)
	s.Attempts = s.MaxAttempts
	for _, v := range []Verdict{VerdictPass, VerdictFail, VerdictError} {
		if _, err := s.Deliver(holder, "d", claim, 0, Package{}, report(v), Payment{}, deliverT); !errors.Is(err, ErrAttemptsExhausted) {
			t.Errorf("%s without attempts: %v", v, err)
		}
	}
}

func TestAppealIsWaivedByRedeliveryAndReleaseOnly(t *testing.T) {
	for event, kept := range map[string]bool{"deliver pass": false, "deliver error": false, "release": false,
		"renew": true, "deliver fail": true, "deliver last fail": true} {
		s, now := standing(t, "claimed revise")
		c, err := apply(s, event, holder, now)
		must(t, c, err)
		if got := c.Snapshot.AppealBy != nil; got != kept {
			t.Errorf("%s: appeal kept %v, want %v", event, got, kept)
		}
	}
}

func TestCaseRunsSevenDaysThenReopensOrExpiresAndWithdrawsTheDelivery(t *testing.T) {
	for _, late := range []bool{false, true} {
		s, _ := standing(t, "in_review case")
		if s.CaseUntil == nil || !s.CaseUntil.Equal(*s.DueAt) || s.Escrow != split || s.Delivery.State != DeliveryPending {
			t.Fatalf("case %v, due %v, escrow %+v", s.CaseUntil, s.DueAt, s.Escrow)
		}
		want := Open
		if late {
			want, s.Deadline = Expired, *s.DueAt
		}
		c := s.Tick(ClockIDs{Payout: "po"}, hold, *s.DueAt)
		if c.Event != EventCaseClosed || c.Snapshot.State != want || c.Snapshot.Delivery.State != DeliveryWithdrawn || c.Snapshot.CaseUntil != nil {
			t.Errorf("late %v: %s %s %s %v", late, c.Event, c.Snapshot.State, c.Snapshot.Delivery.State, c.Snapshot.CaseUntil)
		}
		checkChange(t, s, c, *s.DueAt)
	}
}

func TestEventAndClaimOutcomeOfEachTransition(t *testing.T) {
	for _, c := range []struct {
		state, event string
		a            Actor
		want         Event
		outcome      string
	}{
		{"open", "claim", holder, EventClaimed, ""},
		{"open", "cancel", publisher, EventCancelled, ""},
		{"open", "tick", Actor{}, EventExpired, ""},
		{"claimed", "renew", holder, EventRenewed, ""},
		{"claimed", "release", holder, EventReleased, ClaimReleased},
		{"claimed", "deliver pass", holder, EventDelivered, ""},
		{"claimed", "deliver error", holder, EventDelivered, ""},
		{"claimed auto", "deliver pass", holder, EventAutoAccepted, ClaimSettled},
		{"claimed auto", "deliver error", holder, EventDelivered, ""},
		{"claimed", "deliver fail", holder, EventFailed, ""},
		{"claimed", "deliver last fail", holder, EventFailed, ClaimExhausted},
		{"claimed", "tick", Actor{}, EventLeaseEnded, ClaimExpired},
		{"in_review pass", "accept", publisher, EventAccepted, ClaimSettled},
		{"in_review pass", "tick", Actor{}, EventSilenceAccept, ClaimSettled},
		{"in_review pass", "reject", publisher, EventRejected, ""},
		{"in_review pass", "withdraw", holder, EventWithdrawn, ""},
		{"in_review error", "tick", Actor{}, EventCaseOpened, ""},
		{"in_review case", "tick", Actor{}, EventCaseClosed, ClaimClosed},
		{"in_review appeal", "tick", Actor{}, EventReopened, ""},
	} {
		s, now := standing(t, c.state)
		got, err := apply(s, c.event, c.a, now)
		must(t, got, err)
		outcome := ""
		if got.Snapshot.Claim != nil {
			outcome = got.Snapshot.Claim.Outcome
		}
		if got.Event != c.want || outcome != c.outcome {
			t.Errorf("%s/%s: event %s, outcome %q; want %s, %q", c.state, c.event, got.Event, outcome, c.want, c.outcome)
		}
		if got.NewClaim != (c.event == "claim") || got.NewDelivery != strings.HasPrefix(c.event, "deliver") {
			t.Errorf("%s/%s: new claim %v, new delivery %v", c.state, c.event, got.NewClaim, got.NewDelivery)
		}
	}
}

func TestRejectionNeedsReasonAndGround(t *testing.T) {
	for _, c := range []struct {
		name string
		r    Rejection
		want string // "" if allowed, else "code pointer fieldcode"
	}{
		{"manual rule", fair, ""},
		{"undecided check", Rejection{Reason: "r", Rule: "rhyme"}, ""},
		{"quote of eight characters", Rejection{Reason: "r", Quote: "the sea."}, ""},
		{"quote across white space", Rejection{Reason: "r", Quote: "a short\n poem about"}, ""},
		{"rule and quote", Rejection{Reason: "r", Rule: "tone", Quote: "the sea."}, ""},
		{"no reason", Rejection{Rule: "tone"}, "reason_required /reason required"},
		{"blank reason", Rejection{Reason: " \n", Rule: "tone"}, "reason_required /reason required"},
		{"reason at its limit", Rejection{Reason: strings.Repeat("é", 4000), Rule: "tone"}, ""},
		{"reason too long", Rejection{Reason: strings.Repeat("é", 4001), Rule: "tone"}, "invalid /reason length"},
		{"no ground", Rejection{Reason: "r"}, "invalid /quote reject_ground"},
		{"unknown rule", Rejection{Reason: "r", Rule: "nope"}, "invalid /rule reject_rule"},
		{"unknown rule beside a quote", Rejection{Reason: "r", Rule: "nope", Quote: "the sea."}, "invalid /rule reject_rule"},
		{"quote of seven characters", Rejection{Reason: "r", Quote: "the sea"}, "invalid /quote reject_quote"},
		{"quote not in the brief", Rejection{Reason: "r", Quote: "about the land"}, "invalid /quote reject_quote"},
		{"false quote beside a rule", Rejection{Reason: "r", Rule: "tone", Quote: "about the land"}, "invalid /quote reject_quote"},
	} {
		s, now := standing(t, "in_review error")
		_, err := s.Reject(publisher, c.r, now)
		got := ""
		var e *Error
		if errors.As(err, &e) {
			got = e.Code
			for _, f := range e.Fields {
				got += " " + f.Pointer + " " + f.Code
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	s, now := standing(t, "in_review pass")
	if _, err := s.Reject(publisher, Rejection{Reason: "r", Rule: "rhyme"}, now); !errors.Is(err, ErrInvalid) {
		t.Errorf("a check that passed is no ground: %v", err)
	}
}

// TestPendingActionsAreExactlyWhatTheTableAllows: what is offered succeeds, and
// what succeeds is offered.
func TestPendingActionsAreExactlyWhatTheTableAllows(t *testing.T) {
	for name := range exclusiveWant {
		for _, a := range roles {
			s, now := standing(t, name)
			var offered, allowed []string
			for _, x := range s.PendingActions(a) {
				offered = append(offered, x.Name)
			}
			for event, action := range map[string]string{"claim": "claim", "renew": "renew", "release": "release",
				"deliver pass": "deliver", "accept": "accept", "reject": "reject", "withdraw": "withdraw", "cancel": "cancel"} {
				s, _ := standing(t, name)
				if _, err := apply(s, event, a, now); err == nil {
					allowed = append(allowed, action)
				}
			}
			slices.Sort(offered)
			slices.Sort(allowed)
			if !slices.Equal(offered, allowed) {
				t.Errorf("%s, %s: offered %v, allowed %v", name, a.Handle, offered, allowed)
			}
		}
	}
}
