package market

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"
)

// outcomeChange is a change of the kind, on a delivery that was handed in 90
// minutes before it was decided.
func outcomeChange(e Event, worker AccountID, decision string, paid Credits) Change {
	c := Change{Event: e, Snapshot: Snapshot{
		Task:     Task{ID: "t1", Publisher: "p", Skills: []string{"csv"}},
		Claim:    &Claim{ID: claim, Worker: worker},
		Delivery: &Delivery{ID: "d1", Worker: worker, CreatedAt: t0},
	}}
	if decision != "" {
		c.Snapshot.Delivery.Review = &Review{Decision: decision, At: t0.Add(90*time.Minute + 59*time.Second)}
	}
	if paid > 0 {
		c.Payout = &Payout{Amount: paid}
	}
	return c
}

func TestOutcomesOfEveryEvent(t *testing.T) {
	told := func(e Event, worker AccountID, decision string, paid Credits) string {
		out := ""
		for _, o := range outcomeChange(e, worker, decision, paid).Outcomes() {
			minutes := ""
			if o.Minutes != nil {
				minutes = fmt.Sprintf(" in %d min", *o.Minutes)
			}
			out += fmt.Sprintf("%s %s %s %s/%s %d%s; ", o.Role, o.Account, o.Kind, o.Counterparty, o.Delivery, o.Amount, minutes)
			if o.Task != "t1" || !reflect.DeepEqual(o.Skills, []string{"csv"}) {
				t.Errorf("%s: an outcome of task %s with skills %v", e, o.Task, o.Skills)
			}
		}
		return out
	}
	want := map[Event]string{
		EventAccepted:       "worker w accepted p/d1 100; publisher p accepted w/d1 100 in 90 min; ",
		EventRejected:       "worker w rejected p/d1 0; publisher p rejected w/d1 0 in 90 min; ",
		EventSilenceAccept:  "worker w accepted p/d1 100; publisher p silent w/d1 100; ",
		EventAutoAccepted:   "worker w accepted p/d1 100; publisher p automatic w/d1 100; ",
		EventLeaseEnded:     "worker w abandoned p/ 0; ",
		EventOverturned:     "worker w overturned p/d1 100; publisher p overturned w/d1 100; ",
		EventPayoutReversed: "worker w reversed p/d1 100; publisher p reversed w/d1 100; ",
	}
	for _, e := range Events() {
		decision, paid := DecisionAccept, Credits(100)
		if e == EventRejected {
			paid = 0
		}
		if e == EventRejected || e == EventOverturned {
			decision = DecisionReject
		}
		if got := told(e, "w", decision, paid); got != want[e] {
			t.Errorf("%s: got %q, want %q", e, got, want[e])
		}
		if got := told(e, "p", decision, paid); got != "" {
			t.Errorf("%s of one party: got %q, want nothing", e, got)
		}
	}
	// An operator who decides what nobody rejected undoes no rejection.
	if got, want := told(EventOverturned, "w", DecisionAccept, 100), "worker w accepted p/d1 100; publisher p silent w/d1 100; "; got != want {
		t.Errorf("overturned without a rejection: got %q, want %q", got, want)
	}
	if got := told(EventOverturned, "w", "", 0); got != "" {
		t.Errorf("overturned without a rejection or a slot: got %q, want nothing", got)
	}
	// For the record only, after the slots are gone.
	if got, want := told(EventOverturned, "w", DecisionReject, 0), "worker w overturned p/d1 0; publisher p overturned w/d1 0; "; got != want {
		t.Errorf("overturned for the record: got %q, want %q", got, want)
	}
}

func TestScore(t *testing.T) {
	if got, ok := Score(0, 0); ok {
		t.Errorf("nothing has a score of %d, want none", got)
	}
	for _, c := range []struct{ good, all, want int }{
		{0, 1, 0}, {1, 1, 269}, {0, 100, 0}, {5, 5, 648}, {10, 10, 787}, {5, 10, 269}, {100, 100, 973}, {90, 100, 839}, {1000, 1000, 997}, {999_999, 1_000_000, 999},
	} {
		if got, ok := Score(int64(c.good), int64(c.all)); got != c.want || !ok {
			t.Errorf("%d of %d: got %d, want %d", c.good, c.all, got, c.want)
		}
	}
	// More of the same raises it, a worse share lowers it, and it stays below
	// the share itself and near the posterior's quantile where that is easy.
	for n := 1; n < 200; n++ {
		all, _ := Score(int64(n), int64(n))
		more, _ := Score(int64(n+1), int64(n+1))
		less, _ := Score(int64(n-1), int64(n))
		if more < all || less > all || all >= 1000 {
			t.Errorf("%d of %d has %d, one more %d, one worse %d", n, n, all, more, less)
		}
		if beta := 1000 * math.Pow(.05, 1/float64(n+1)); math.Abs(beta-float64(all)) > 60 {
			t.Errorf("%d of %d has %d, the posterior's quantile is %.0f", n, n, all, beta)
		}
	}
}

func TestPublisherRecord(t *testing.T) {
	var r Record
	if _, ok := r.ResponseRate(); ok {
		t.Error("a publisher that was never asked has a response rate")
	}
	if _, ok := r.AcceptRate(); ok {
		t.Error("a publisher that was never asked has an accept rate")
	}
	r.Counts = Counts{Accepted: 6, Rejected: 1, Silent: 2, Automatic: 50, Overturned: 1}
	answers, _ := r.ResponseRate()
	accepts, _ := r.AcceptRate()
	if answers != .777 || accepts != .888 {
		t.Errorf("got %v answered and %v accepted, want 0.777 and 0.888", answers, accepts)
	}
	if good, all := r.Trials(RolePublisher); good != 6 || all != 10 {
		t.Errorf("got %d of %d, want 6 of 10: an overturned rejection counts twice", good, all)
	}
	if good, all := (Counts{Accepted: 3, Rejected: -1, Abandoned: 2}).Trials(RoleWorker); good != 3 || all != 5 {
		t.Errorf("got %d of %d, want 3 of 5", good, all)
	}
}

func TestPeriods(t *testing.T) {
	now := time.Date(2026, 3, 8, 23, 59, 0, 0, time.FixedZone("", -2*60*60)) // the 9th in UTC
	if got, ok := PeriodWeek.Since(now); !ok || got.Format(time.DateOnly) != "2026-03-03" {
		t.Errorf("the week begins %v, want the 3rd", got)
	}
	if got, ok := PeriodMonth.Since(now); !ok || got.Format(time.DateOnly) != "2026-02-08" {
		t.Errorf("the month begins %v, want 8 February", got)
	}
	if got, ok := PeriodAll.Since(now); ok {
		t.Errorf("all time begins %v", got)
	}
}

func TestClaimLimit(t *testing.T) {
	s := published(t)
	for _, c := range []struct {
		live, accepted int
		want           error
	}{{0, 0, nil}, {9, 0, nil}, {10, 0, ErrClaimLimit}, {10, 1, nil}, {11, 1, ErrClaimLimit}, {99, 90, nil}, {100, 90, ErrClaimLimit}, {100, 5000, ErrClaimLimit}} {
		w := Workload{Live: c.live, Accepted: int64(c.accepted)}
		got, err := s.ClaimWithin(w, holder, claim, claimT)
		if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("with %d live and %d accepted: got %v, want %v", c.live, c.accepted, err, c.want)
		}
		if err == nil && got.ClaimLimit != min(100, 10+c.accepted) {
			t.Errorf("with %d accepted the limit is %d", c.accepted, got.ClaimLimit)
		}
	}
	// What is wrong with the task comes first.
	if _, err := s.ClaimWithin(Workload{Live: 10}, publisher, claim, claimT); !errors.Is(err, ErrOwnTask) {
		t.Errorf("one's own task: got %v, want %v", err, ErrOwnTask)
	}
}

func TestPauseAfterAbandoning(t *testing.T) {
	s := published(t)
	times := func(hours ...float64) []time.Time {
		out := make([]time.Time, len(hours))
		for i, h := range hours {
			out[i] = claimT.Add(-time.Duration(h * float64(time.Hour)))
		}
		return out
	}
	for _, c := range []struct {
		ago  []float64
		want time.Duration // from now; 0: no pause
	}{
		{nil, 0},
		{[]float64{0, 0}, 0},
		{[]float64{0, 1, 2}, time.Hour},
		{[]float64{.5, 1, 2}, 30 * time.Minute},
		{[]float64{1, 1, 2}, 0},
		{[]float64{0, 1, 24}, 0}, // the third is a day away
		{[]float64{0, 1, 2, 3}, 2 * time.Hour},
		{[]float64{0, 1, 2, 3, 4, 5, 6}, 16 * time.Hour},
		{[]float64{0, 1, 2, 3, 4, 5, 6, 7}, 24 * time.Hour},
		// The pause stays as it was told although the first ones are over a day old.
		{[]float64{20, 21, 22, 23, 24, 25, 26, 40}, 4 * time.Hour},
	} {
		w := Workload{Abandoned: times(c.ago...)}
		until := w.PausedUntil(claimT)
		_, err := s.ClaimWithin(w, holder, claim, claimT)
		if c.want == 0 {
			if until != nil || err != nil {
				t.Errorf("%v: got a pause until %v (%v), want none", c.ago, until, err)
			}
			continue
		}
		var e *Error
		if until == nil || !until.Equal(claimT.Add(c.want)) || !errors.As(err, &e) || !errors.Is(err, ErrClaimPaused) || e.RetryAfter != c.want {
			t.Errorf("%v: got a pause until %v (%v), want %v", c.ago, until, err, c.want)
		}
	}
}

func TestMassRejectionRule(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rejected, paid int64
		want           bool
	}{{0, 0, true}, {MostRejections - 1, 0, true}, {MostRejections, 0, false}, {MostRejections, 2, false}, {MostRejections, 3, true}, {13, 3, false}, {400, 100, true}, {401, 100, false}} {
		if err := (Judgements{Rejected: c.rejected, Paid: c.paid}).MayReject(); (err == nil) != c.want {
			t.Errorf("%d rejected, %d paid: %v", c.rejected, c.paid, err)
		}
	}
}
