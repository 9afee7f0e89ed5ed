package store_test

import (
	"context"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// handInOutput delivers the output to an open task. The hash stands for that
// of its canonical form, which package verify makes.
func handInOutput(t testing.TB, s *store.Store, worker store.Caller, task market.TaskID, output, hash string) *market.Delivery {
	t.Helper()
	opened, err := s.OpenDelivery(t.Context(), worker, task, store.Lease{})
	if err != nil {
		t.Fatalf("open delivery: %v", err)
	}
	r := report(market.VerdictPass)
	r.OutputHash = hash
	p := market.Package{Output: json.RawMessage(output), SummaryText: "done"}
	after, err := s.Deliver(t.Context(), worker, opened, store.Lease{}, p, r)
	if err != nil {
		t.Fatalf("deliver: %v", err)
	}
	return after.Delivery
}

func TestIdentical(t *testing.T) {
	t.Parallel()
	s := storetest.New(t, func(o *store.Options) { o.Grant = 100_000 })
	publisher, operator := agent(t, s), human(t, s)
	operator.Operator = true
	task, elsewhere := openTask(t, s, publisher, 1, 1).ID, openTask(t, s, publisher, 1, 1).ID
	workers := make([]store.Caller, 13)
	var same []market.Delivery
	for i := range workers {
		workers[i] = agent(t, s)
		same = append(same, *handInOutput(t, s, workers[i], task, "[1]", "sha256:one"))
	}
	alone := handInOutput(t, s, agent(t, s), task, "[2]", "sha256:two")
	unknown := []market.Delivery{*handInOutput(t, s, agent(t, s), task, "[3]", ""), *handInOutput(t, s, agent(t, s), task, "[3]", "")}
	handInOutput(t, s, agent(t, s), elsewhere, "[1]", "sha256:one")
	// The same worker's own are no twins.
	if _, err := s.WithdrawDelivery(t.Context(), workers[1], task, same[1].ID); err != nil {
		t.Fatal(err)
	}
	again := handInOutput(t, s, workers[1], task, "[1]", "sha256:one")
	for name, by := range map[string]store.Caller{"publisher": publisher, "operator": operator} {
		got, err := s.Identical(t.Context(), by.Actor, append(append(same, *alone, *again), unknown...)...)
		if err != nil || len(got) != 14 {
			t.Fatalf("%s: got %d with twins (%v), want 14", name, len(got), err)
		}
		if x := got[same[0].ID]; !x.First || x.Count != 13 || len(x.Twins) != market.ShownTwins || x.Twins[0].ID != same[1].ID ||
			x.Twins[0].State != market.DeliveryWithdrawn || x.Twins[0].Worker != workers[1].Handle {
			t.Errorf("%s: the first one's are %+v", name, x)
		}
		if x := got[again.ID]; x.First || x.Count != 12 || x.Twins[0].ID != same[0].ID || x.Twins[1].ID != same[2].ID {
			t.Errorf("%s: the last one's are %+v", name, x)
		}
	}
	for name, by := range map[string]market.Actor{"worker": workers[0].Actor, "stranger": agent(t, s).Actor, "nobody": {}} {
		if got, err := s.Identical(t.Context(), by, same...); err != nil || len(got) != 0 {
			t.Errorf("a %s is told of %d (%v)", name, len(got), err)
		}
	}
	// As many as there may be are counted no further than is told.
	exec(t, s, `
		INSERT INTO deliveries (id, task_id, worker_id, state, attempt, output, summary_text, attachments, report, created_at)
		SELECT gen_random_uuid(), task_id, $2, 'withdrawn', 0, output, summary_text, attachments, report, now()
		FROM deliveries, generate_series(1, 5000) WHERE id = $1`, same[0].ID, workers[12].Account)
	began := time.Now()
	got, err := s.Identical(t.Context(), publisher.Actor, same...)
	if x := got[same[0].ID]; err != nil || x.Count != market.MaxTwins || len(x.Twins) != market.ShownTwins {
		t.Errorf("with five thousand more: got %d, %d listed (%v)", x.Count, len(x.Twins), err)
	}
	t.Logf("13 of 5,014 equal outputs compared in %s", time.Since(began))
	balanced(t, s)
}

// TestIdenticalReadsLittle: of an open task with a thousand deliveries, half of
// them equal, fifty are compared by short scans of one index, in one query.
func TestIdenticalReadsLittle(t *testing.T) {
	t.Parallel()
	var seen lastQuery
	s := storetest.New(t, func(o *store.Options) { o.Tracer = &seen })
	publisher := agent(t, s)
	task := openTask(t, s, publisher, 1, 1).ID
	like := handInOutput(t, s, agent(t, s), task, "[1]", "sha256:one")
	exec(t, s, `
		INSERT INTO accounts (id, kind, handle, display_name, referral_code, created_at)
		SELECT gen_random_uuid(), 'agent', 'many-' || n, 'x', 'M' || n, now() FROM generate_series(1, 999) n`)
	exec(t, s, `
		INSERT INTO deliveries (id, task_id, worker_id, state, attempt, output, summary_text, attachments, report, created_at)
		SELECT gen_random_uuid(), d.task_id, a.id, 'withdrawn', 0, d.output, d.summary_text, d.attachments,
			CASE WHEN right(a.handle, 1) < '5' THEN d.report ELSE jsonb_set(d.report::jsonb, '{outputHash}', to_jsonb(a.handle))::json END, d.created_at + interval '1 second'
		FROM deliveries d, accounts a WHERE d.id = $1 AND a.handle LIKE 'many-%'`, string(like.ID))
	exec(t, s, `ANALYZE deliveries, accounts, tasks`)
	shown, err := s.Deliveries(t.Context(), publisher.Account, task, "", 50)
	if err != nil || len(shown) != 50 {
		t.Fatalf("%d are shown, %v", len(shown), err)
	}
	before := seen.n
	got, err := s.Identical(t.Context(), publisher.Actor, append(shown, *like)...)
	if err != nil || seen.n != before+1 || !got[like.ID].First || got[like.ID].Count != market.MaxTwins {
		t.Fatalf("%d queries, %+v, %v", seen.n-before, got[like.ID], err)
	}
	var lines []string
	if err := s.DB().Select(&lines, `EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) `+seen.sql, seen.args...); err != nil {
		t.Fatal(err)
	}
	plan := strings.Join(lines, "\n")
	if strings.Contains(plan, "Seq Scan on deliveries") || strings.Count(plan, "deliveries_identical") != 2 {
		t.Errorf("a thousand deliveries are compared by\n%s", plan)
	}
	for _, m := range regexp.MustCompile(`deliveries_identical on.*\(actual rows=(\d+)`).FindAllStringSubmatch(plan, -1) {
		if n, err := strconv.Atoi(m[1]); err != nil || n > market.MaxTwins {
			t.Errorf("%s lines were read for one delivery (%v)", m[1], err)
		}
	}
}

// lastQuery keeps the last statement of a store.
type lastQuery struct {
	n    int
	sql  string
	args []any
}

func (q *lastQuery) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	q.n, q.sql, q.args = q.n+1, d.SQL, d.Args
	return ctx
}

func (*lastQuery) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TestWhatCopyingGains pastes a worker's output into the same open task. A
// publisher who looks pays the original and somebody else, and the copy ends
// unpaid without a rejection; with one reward silence pays whoever came first;
// with a reward left silence pays the copy as well, because nothing is
// rejected by itself.
func TestWhatCopyingGains(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		slots                int64
		looks                bool
		original, copy, rest market.Credits
	}{
		"looks":            {2, true, 50, 0, 50},
		"silent, one left": {1, false, 50, 0, 0},
		"silent, all left": {3, false, 50, 50, 50},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var k clock
			s := storetest.New(t, withClock(&k))
			publisher, original, copier, rest := agent(t, s), agent(t, s), agent(t, s), agent(t, s)
			task := openTask(t, s, publisher, 50, c.slots).ID
			first := handInOutput(t, s, original, task, `{"a":1,"b":2}`, "sha256:one")
			pasted := handInOutput(t, s, copier, task, `{"b":2, "a":1}`, "sha256:one")
			own := handInOutput(t, s, rest, task, `{"a":2,"b":1}`, "sha256:two")
			got, err := s.Identical(t.Context(), publisher.Actor, *first, *pasted, *own)
			if err != nil || !got[first.ID].First || got[pasted.ID].First || got[pasted.ID].Twins[0].ID != first.ID || got[own.ID].Count != 0 {
				t.Errorf("the publisher sees %+v (%v)", got, err)
			}
			pay := func(d *market.Delivery) {
				if _, err := s.AcceptDelivery(t.Context(), publisher, task, d.ID); err != nil {
					t.Fatal(err)
				}
			}
			if c.looks {
				pay(first)
				pay(own)
			}
			k.advance(73 * time.Hour)
			sweep(t, s)
			k.advance(25 * time.Hour)
			sweep(t, s)
			for who, x := range map[string]struct {
				by   store.Caller
				want market.Credits
			}{"original": {original, c.original}, "copier": {copier, c.copy}, "third": {rest, c.rest}} {
				if got := wallet(t, s, x.by).EarnedAvailable; got != x.want {
					t.Errorf("the %s got %d, want %d", who, got, x.want)
				}
			}
			r, err := s.Reputation(t.Context(), copier.Account)
			if err != nil || r.Worker.Rejected != 0 {
				t.Errorf("the copier's record is %+v (%v): nothing rejects by itself", r.Worker, err)
			}
			balanced(t, s)
		})
	}
}
