package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// history counts, from deliveries, claims, cases and payouts alone, what every
// account's outcomes must add up to. A split reward says nothing about either
// party; an appeal that was won for the record only pays nothing and counts.
const history = `
	WITH decided AS (
		SELECT d.worker_id, t.publisher_id, t.skills, d.state, d.review ->> 'Decision' AS decision, d.review ->> 'By' AS by,
			CASE WHEN k.outcome = 'split' THEN 0 ELSE COALESCE(y.amount, 0) END AS paid, COALESCE(k.outcome, '') AS outcome
		FROM deliveries d
		JOIN tasks t ON t.id = d.task_id
		LEFT JOIN payouts y ON y.delivery_id = d.id AND y.state <> 'reversed'
		LEFT JOIN cases k ON k.delivery_id = d.id AND k.outcome IN ('overturned', 'reversed', 'split')
		WHERE d.review IS NOT NULL
	), facts AS (
		SELECT worker_id AS account_id, 'worker' AS role, skills,
			(state = 'accepted' AND outcome <> 'split' OR outcome = 'overturned' AND decision = 'reject')::int AS accepted,
			(state IN ('rejected', 'reversed') AND outcome <> 'overturned' OR outcome = 'split' AND decision = 'reject')::int AS rejected, 0 AS abandoned,
			(outcome = 'overturned' AND decision = 'reject')::int AS overturned, 0 AS silent, 0 AS automatic, paid AS credits
		FROM decided
		UNION ALL
		SELECT publisher_id, 'publisher', skills, (decision = 'accept' AND by = 'publisher')::int, (decision = 'reject')::int, 0,
			(outcome = 'overturned' AND decision = 'reject')::int, (decision = 'accept' AND by IN ('silence', 'operator') AND outcome <> 'split')::int,
			(by = 'checks')::int, paid
		FROM decided
		UNION ALL
		SELECT c.worker_id, 'worker', t.skills, 0, 0, 1, 0, 0, 0, 0 FROM claims c JOIN tasks t ON t.id = c.task_id WHERE c.outcome = 'expired'
	)
	SELECT a.handle || ' ' || f.role || ' ' || s.skill AS who,
		concat_ws(' ', sum(accepted), sum(rejected), sum(abandoned), COALESCE(sum(overturned), 0), sum(silent), sum(automatic), sum(credits)) AS counts
	FROM facts f JOIN accounts a ON a.id = f.account_id
	CROSS JOIN LATERAL (SELECT '' AS skill UNION ALL SELECT unnest(f.skills)) s
	GROUP BY 1`

const (
	kept = `
	SELECT a.handle || ' ' || r.role || ' ' || r.skill AS who,
		concat_ws(' ', accepted, rejected, abandoned, overturned, silent, automatic, credits) AS counts
	FROM reputations r JOIN accounts a ON a.id = r.account_id`
	keptDays = `
	SELECT a.handle || ' ' || r.role || ' ' || r.skill AS who,
		concat_ws(' ', sum(accepted), sum(rejected), sum(abandoned), sum(overturned), sum(silent), sum(credits)) AS counts
	FROM reputation_days r JOIN accounts a ON a.id = r.account_id GROUP BY 1`
)

// counts reads lines of who and counts.
func counts(t *testing.T, s *store.Store, query string) map[string]string {
	t.Helper()
	var rows []struct {
		Who    string `db:"who"`
		Counts string `db:"counts"`
	}
	if err := s.DB().SelectContext(t.Context(), &rows, query); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, r := range rows {
		out[r.Who] = r.Counts
	}
	return out
}

// diff says where the lines differ.
func diff(want, got map[string]string) string {
	out := ""
	for who := range want {
		if want[who] != got[who] {
			out += "\n- " + who + ": " + want[who] + "\n+ " + who + ": " + got[who]
		}
	}
	for who := range got {
		if _, ok := want[who]; !ok {
			out += "\n+ " + who + ": " + got[who]
		}
	}
	return out
}

func exec(t testing.TB, s *store.Store, statement string, args ...any) {
	t.Helper()
	if _, err := s.DB().ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func sweep(t testing.TB, s *store.Store) {
	t.Helper()
	if _, err := s.Sweep(t.Context(), 1000); err != nil {
		t.Fatalf("sweep: %v", err)
	}
}

// TestReputationsEqualHistory lets several accounts do what they like, with
// sweeps in between, and then counts the history again.
func TestReputationsEqualHistory(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c), func(o *store.Options) { o.Grant = 1_000_000 })
	publishers := []store.Caller{agent(t, s), agent(t, s), agent(t, s)}
	workers := []store.Caller{agent(t, s), agent(t, s), agent(t, s), agent(t, s)}
	operator := human(t, s)
	exec(t, s, `UPDATE accounts SET operator = true WHERE id = $1`, operator.Account)
	operator.Operator = true
	random := rand.New(rand.NewPCG(5, 20261127))
	ends := map[string]int{}
	for range 160 {
		publisher, worker := publishers[random.IntN(3)], workers[random.IntN(4)]
		d := draft(int64(1 + random.IntN(50)))
		d.Rules = []market.Rule{{Name: "tidy", Kind: market.RuleManual}}
		d.Skills = [][]string{{"csv"}, {"csv", "json"}, {"ocr"}}[random.IntN(3)]
		d.AutoAccept, d.Deadline = random.IntN(6) == 0, new(c.now().Add(30*24*time.Hour))
		if random.IntN(3) == 0 {
			d.Mode, d.MaxAccepted = market.ModeOpen, new(int64(2))
		}
		task, err := s.PublishTask(t.Context(), publisher, d)
		if err != nil {
			t.Fatal(err)
		}
		end := "deliver"
		if d.Mode != market.ModeOpen && random.IntN(6) == 0 {
			end = "abandon"
			if _, err := s.ClaimTask(t.Context(), worker, task.ID); errors.Is(err, market.ErrClaimPaused) {
				end = "paused"
			} else if err != nil {
				t.Fatal(err)
			}
			c.advance(61 * time.Minute)
		} else {
			end = decideSomehow(t, s, &c, random, publisher, worker, operator, task)
		}
		ends[end]++
		if random.IntN(4) == 0 {
			sweep(t, s)
		}
	}
	sweep(t, s)
	sweep(t, s)
	want := counts(t, s, history)
	if d := diff(want, counts(t, s, kept)); d != "" {
		t.Errorf("the reputations differ from the history (-want +got):%s", d)
	}
	for who, n := range want { // days do not keep what was paid by checks alone
		f := strings.Fields(n)
		want[who] = strings.Join(append(f[:5:5], f[6]), " ")
	}
	if d := diff(want, counts(t, s, keptDays)); d != "" {
		t.Errorf("the days differ from the history (-want +got):%s", d)
	}
	for _, end := range []string{"accept", "reject", "overturn", "silence", "reverse", "checks", "abandon"} {
		if ends[end] == 0 {
			t.Errorf("nothing ended by %q: %v", end, ends)
		}
	}
	var left int
	if err := s.DB().Get(&left, `SELECT count(*) FROM new_outcomes`); err != nil || left > 0 {
		t.Errorf("%d outcomes are left (%v)", left, err)
	}
	balanced(t, s)
}

// decideSomehow has a delivery handed in and decided, and says how.
func decideSomehow(t *testing.T, s *store.Store, c *clock, random *rand.Rand, publisher, worker, operator store.Caller, task market.Snapshot) string {
	t.Helper()
	d := handIn(t, s, worker, task)
	if d == nil {
		return "paused"
	}
	if d.State == market.DeliveryAccepted {
		return "checks"
	}
	c.advance(time.Duration(random.IntN(90)) * time.Minute)
	switch random.IntN(5) {
	case 0, 1:
		if _, err := s.AcceptDelivery(t.Context(), publisher, task.ID, d.ID); err != nil {
			t.Fatalf("accept: %v", err)
		}
		return "accept"
	case 2:
		c.advance(73 * time.Hour)
		sweep(t, s)
		if random.IntN(2) == 0 {
			return "silence"
		}
		if _, err := s.ObjectToPayout(t.Context(), publisher, task.ID, d.ID, "This is not what was asked for."); err != nil {
			t.Fatalf("object: %v", err)
		}
		decideCase(t, s, operator, market.CaseReversed)
		return "reverse"
	}
	_, err := s.RejectDelivery(t.Context(), publisher, task.ID, d.ID, market.Rejection{Reason: "No.", Rule: "tidy"})
	if err != nil {
		t.Fatalf("reject: %v", err)
	}
	if random.IntN(2) == 0 {
		return "reject"
	}
	if _, err := s.AppealDelivery(t.Context(), worker, task.ID, d.ID, "It does what was asked for."); err != nil {
		t.Fatalf("appeal: %v", err)
	}
	decideCase(t, s, operator, []market.CaseOutcome{market.CaseOverturned, market.CaseUpheld}[random.IntN(2)])
	return "overturn"
}

// handIn claims where that is needed and delivers what passes; nil while the
// worker is paused.
func handIn(t *testing.T, s *store.Store, worker store.Caller, task market.Snapshot) *market.Delivery {
	t.Helper()
	var l store.Lease
	if task.Mode != market.ModeOpen {
		claimed, err := s.ClaimTask(t.Context(), worker, task.ID)
		if errors.Is(err, market.ErrClaimPaused) {
			return nil
		}
		if err != nil {
			t.Fatalf("claim: %v", err)
		}
		l = store.Lease{Claim: claimed.Claim.ID, Epoch: claimed.Claim.Epoch}
	}
	opened, err := s.OpenDelivery(t.Context(), worker, task.ID, l)
	if err != nil {
		t.Fatalf("open delivery: %v", err)
	}
	after, err := s.Deliver(t.Context(), worker, opened, l, pack(), report(market.VerdictPass))
	if err != nil {
		t.Fatalf("deliver: %v", err)
	}
	return after.Delivery
}

// decideCase decides the only open case.
func decideCase(t *testing.T, s *store.Store, operator store.Caller, o market.CaseOutcome) {
	t.Helper()
	var id market.CaseID
	if err := s.DB().GetContext(t.Context(), &id, `SELECT id FROM cases WHERE closed_at IS NULL`); err != nil {
		t.Fatalf("the open case: %v", err)
	}
	if _, err := s.DecideCase(t.Context(), operator, id, market.Decision{Outcome: o, Note: "So it is."}); err != nil {
		t.Fatalf("decide: %v", err)
	}
}

func human(t testing.TB, s *store.Store) store.Caller {
	t.Helper()
	n := handles.Add(1)
	r := market.Registration{Kind: market.Human, Handle: fmt.Sprintf("human-%d", n), Email: fmt.Sprintf("human-%d@example.com", n), Password: "nothing like the others"}
	if bad := r.Clean(); bad != nil {
		t.Fatalf("registration: %v", bad)
	}
	a, err := s.RegisterHuman(t.Context(), r, "hash")
	if err != nil {
		t.Fatalf("register: %v", err)
	}
	return store.Caller{Actor: market.Actor{Account: a.ID, Kind: a.Kind, Handle: a.Handle}}
}

func TestScoreInSQL(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	var rows []struct {
		Good  int64 `db:"good"`
		All   int64 `db:"total"`
		Score *int  `db:"score"`
	}
	err := s.DB().Select(&rows, `
		SELECT good, total, reputation_score(good, total) AS score
		FROM (SELECT n AS total FROM generate_series(0, 150) n UNION ALL SELECT (1.3 ^ n)::bigint FROM generate_series(20, 60) n) x
		CROSS JOIN LATERAL (SELECT * FROM (SELECT generate_series(-1, least(total, 150)) UNION SELECT total * i / 20 FROM generate_series(0, 20) i) y (good)) z`)
	if err != nil || len(rows) < 10_000 {
		t.Fatalf("%d rows (%v)", len(rows), err)
	}
	for _, r := range rows {
		want, ok := market.Score(r.Good, r.All)
		if ok != (r.Score != nil) || (ok && *r.Score != want) {
			t.Errorf("%d of %d: got %v, want %d", r.Good, r.All, r.Score, want)
		}
	}
}

func TestMedianOfAHundredAnswers(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher, worker := agent(t, s), agent(t, s)
	answers := func(from, to, minutes int) {
		exec(t, s, `
			INSERT INTO new_outcomes (at, account_id, role, kind, counterparty_id, task_id, skills, amount, minutes)
			SELECT now() + n * interval '1 minute', $1, 'publisher', 'accepted', $2, gen_random_uuid(), '{csv}', 1, $5 FROM generate_series($3::int, $4::int) n`,
			publisher.Account, worker.Account, from, to, minutes)
		sweep(t, s)
	}
	median := func() int {
		r, err := s.Reputation(t.Context(), publisher.Account)
		if err != nil {
			t.Fatal(err)
		}
		if r.Publisher.MedianMinutes == nil {
			return -1
		}
		return *r.Publisher.MedianMinutes
	}
	if got := median(); got != -1 {
		t.Errorf("a publisher that answered nothing has a median of %d", got)
	}
	answers(1, 200, 500)
	answers(201, 249, 20)
	if got := median(); got != 500 {
		t.Errorf("49 of the last hundred took 20 minutes: got %d, want 500", got)
	}
	answers(250, 260, 20)
	if got := median(); got != 20 {
		t.Errorf("60 of the last hundred took 20 minutes: got %d, want 20", got)
	}
}

func TestLeaderboards(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	one, two, three, other := agent(t, s), agent(t, s), agent(t, s), agent(t, s)
	add := func(by store.Caller, n int, role, kind string, days int, skills ...string) {
		exec(t, s, `
			INSERT INTO new_outcomes (at, account_id, role, kind, counterparty_id, task_id, skills, amount)
			SELECT now() - $6 * interval '1 day', $1, $4, $5, $2, gen_random_uuid(), $7, CASE $5 WHEN 'accepted' THEN 10 ELSE 0 END FROM generate_series(1, $3)`,
			by.Account, other.Account, n, role, kind, days, skills)
	}
	add(one, 20, "worker", "accepted", 40, "csv")
	add(one, 1, "worker", "rejected", 1, "csv")
	add(two, 5, "worker", "accepted", 10, "csv", "ocr")
	add(three, 1, "worker", "accepted", 1, "ocr")
	add(three, 9, "worker", "abandoned", 10, "ocr")
	add(one, 4, "publisher", "accepted", 2, "csv")
	add(two, 4, "publisher", "accepted", 2, "csv")
	add(two, 1, "publisher", "overturned", 2, "csv")
	sweep(t, s)
	names := map[string]string{one.Handle: "one", two.Handle: "two", three.Handle: "three"}
	for _, c := range []struct {
		board market.Board
		want  string
	}{
		{market.Board{Role: market.RoleWorker, Period: market.PeriodAll}, "1 one 812 20/21 200; 2 two 648 5/5 50; 3 three 22 1/10 10; "},
		{market.Board{Role: market.RoleWorker, Period: market.PeriodMonth}, "1 two 648 5/5 50; 2 three 22 1/10 10; 3 one 0 0/1 0; "},
		{market.Board{Role: market.RoleWorker, Period: market.PeriodWeek}, "1 three 269 1/1 10; 2 one 0 0/1 0; "},
		{market.Board{Role: market.RoleWorker, Period: market.PeriodAll, Skill: "ocr"}, "1 two 648 5/5 50; 2 three 22 1/10 10; "},
		{market.Board{Role: market.RoleWorker, Period: market.PeriodMonth, Skill: "csv"}, "1 two 648 5/5 50; 2 one 0 0/1 0; "},
		{market.Board{Role: market.RolePublisher, Period: market.PeriodAll}, "1 one 596 4/4 40; 2 two 435 4/4 40; "},
		{market.Board{Role: market.RolePublisher, Period: market.PeriodWeek}, "1 one 596 4/4 40; 2 two 435 4/4 40; "},
		{market.Board{Role: market.RolePublisher, Period: market.PeriodAll, Skill: "none"}, ""},
	} {
		lines, err := s.Leaderboard(t.Context(), c.board, 10)
		got := ""
		for _, x := range lines {
			got += fmt.Sprintf("%d %s %d %d/%d %d; ", x.Rank, names[x.Handle], x.Score, x.Accepted, x.N, x.Credits)
		}
		if got != c.want || err != nil {
			t.Errorf("%+v: got %q (%v), want %q", c.board, got, err, c.want)
		}
	}
	if lines, err := s.Leaderboard(t.Context(), market.Board{Role: market.RoleWorker, Period: market.PeriodAll}, 1); len(lines) != 1 || err != nil {
		t.Errorf("got %v (%v), want one line", lines, err)
	}
}
