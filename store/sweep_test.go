package store_test

import (
	"context"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// crowd copies the task n times with all that belongs to it: claim, delivery,
// timeline, listing, and an escrow paid from a grant, so that the books stay
// whole.
func crowd(t testing.TB, s *store.Store, of market.Snapshot, n int) {
	t.Helper()
	exec(t, s, `CREATE TABLE IF NOT EXISTS copies (n int, task uuid, claim uuid, delivery uuid)`)
	exec(t, s, `TRUNCATE copies`)
	exec(t, s, `INSERT INTO copies SELECT n, gen_random_uuid(), gen_random_uuid(), gen_random_uuid() FROM generate_series(1, $1::int) n`, n)
	id, publisher, total := string(of.ID), string(of.Publisher), int64(of.Escrow.Total())
	exec(t, s, `
		INSERT INTO tasks (id, publisher_id, state, version, epoch, title, brief, skills, mode, reward, payload, output_schema, rules, attachments,
			claim_minutes, review_hours, max_attempts, max_accepted, deadline, created_at, escrow_granted, escrow_earned, due_at, auto_accept, slots)
		SELECT c.task, publisher_id, state, version, epoch, title, brief, skills, mode, reward, payload, output_schema, rules, attachments,
			claim_minutes, review_hours, max_attempts, max_accepted, deadline, created_at, escrow_granted, escrow_earned, due_at, auto_accept, slots
		FROM tasks, copies c WHERE id = $1`, id)
	exec(t, s, `INSERT INTO task_skills SELECT k.skill, c.task, k.reward, k.deadline FROM task_skills k, copies c WHERE k.task_id = $1`, id)
	exec(t, s, `INSERT INTO task_events SELECT c.task, e.version, e.at, e.event, e.actor_id, e.key_id FROM task_events e, copies c WHERE e.task_id = $1`, id)
	exec(t, s, `
		INSERT INTO claims SELECT c.claim, c.task, k.worker_id, k.epoch, k.claimed_at, k.lease_from, k.expires_at, k.ended_at, k.outcome
		FROM claims k, copies c WHERE k.task_id = $1`, id)
	exec(t, s, `
		INSERT INTO deliveries SELECT c.delivery, c.task, c.claim, d.worker_id, d.state, d.attempt, d.output, d.summary_text, d.attachments, d.report,
			d.review, d.created_at, d.due_at, d.in_case
		FROM deliveries d, copies c WHERE d.task_id = $1`, id)
	exec(t, s, `
		INSERT INTO transfers (at, kind, debit, credit, amount, debit_class, credit_class, account_id, task_id, balance_after)
		SELECT now(), x.kind, x.debit, x.credit, $2, 'granted', 'granted', $1::uuid, x.task, w.granted + w.earned + x.more
		FROM wallets w, copies c, LATERAL (VALUES
			('grant', 'platform:grants', 'wallet:' || $1, NULL::uuid, $2::bigint),
			('escrow', 'wallet:' || $1, 'escrow:' || c.task, c.task, 0)) x (kind, debit, credit, task, more)
		WHERE w.account_id = $1::uuid
		ORDER BY c.n, x.more DESC`, publisher, total)
}

// dueCrowd makes 2n tasks whose clock has run out: n that nobody claimed, n
// whose delivery was not answered.
func dueCrowd(t testing.TB, s *store.Store, c *clock, n int) (publisher, worker store.Caller) {
	t.Helper()
	publisher, worker = agent(t, s), agent(t, s)
	crowd(t, s, publish(t, s, publisher, 10), n-1)
	crowd(t, s, deliver(t, s, worker, publish(t, s, publisher, 10).ID, market.VerdictPass), n-1)
	c.advance(60 * 24 * time.Hour)
	return publisher, worker
}

// caughtUp fails the test unless all of dueCrowd ended as it must.
func caughtUp(t testing.TB, s *store.Store, publisher, worker store.Caller, n int) {
	t.Helper()
	var got struct{ Expired, Settled, Live, Payouts int }
	err := s.DB().Get(&got, `
		SELECT count(*) FILTER (WHERE state = 'expired') AS expired, count(*) FILTER (WHERE state = 'settled') AS settled,
			count(*) FILTER (WHERE due_at IS NOT NULL) AS live, (SELECT count(*) FROM payouts) AS payouts FROM tasks`)
	if err != nil || got.Expired != n || got.Settled != n || got.Live != 0 || got.Payouts != n {
		t.Errorf("got %+v, %v, want %d of each", got, err, n)
	}
	if w := wallet(t, s, publisher); w.Granted != market.Credits(1000-20+10+10*(n-1)) || w.Escrow != 0 {
		t.Errorf("the publisher has %+v", w)
	}
	if w := wallet(t, s, worker); w.EarnedPending+w.EarnedAvailable != market.Credits(10*n) {
		t.Errorf("the worker has %+v", w)
	}
}

// TestKilledSweep ends the connections of two sweeping nodes again and again:
// nothing is lost and nothing settled twice.
func TestKilledSweep(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	const n = 1500
	publisher, worker := dueCrowd(t, s, &c, n)
	done := make(chan map[string]int)
	stop := make(chan struct{})
	go func() {
		done <- race(2, func(int) error {
			for {
				select {
				case <-stop:
					return nil
				default:
					_, _ = s.Sweep(context.Background(), 400) // killed, mostly
				}
			}
		})
	}()
	kills := 0
	for i := range 30 {
		var killed int
		err := s.DB().Get(&killed, `
			SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'`)
		if err == nil {
			kills += killed
		}
		time.Sleep(time.Duration(8*i) * time.Millisecond) // more and more gets done in between
	}
	close(stop)
	<-done
	if kills < 10 {
		t.Fatalf("only %d connections were ended", kills)
	}
	var left int
	if err := s.DB().Get(&left, `SELECT count(*) FROM tasks WHERE due_at IS NOT NULL`); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d kills, %d of %d tasks left", kills, left, 2*n)
	for range 20 {
		if done, err := s.Sweep(t.Context(), 10_000); err != nil {
			t.Fatal(err)
		} else if done == 0 {
			break
		}
	}
	balanced(t, s)
	caughtUp(t, s, publisher, worker, n)
}

// BenchmarkSweep catches up with 100,000 tasks whose clock has run out.
func BenchmarkSweep(b *testing.B) {
	const n = 50_000
	for b.Loop() {
		b.StopTimer()
		var c clock
		s := storetest.New(b, withClock(&c))
		publisher, worker := dueCrowd(b, s, &c, n)
		exec(b, s, `ANALYZE`)
		b.StartTimer()
		for {
			done, err := s.Sweep(b.Context(), 10_000)
			if err != nil {
				b.Fatal(err)
			}
			if done == 0 {
				break
			}
		}
		b.StopTimer()
		caughtUp(b, s, publisher, worker, n)
		b.StartTimer()
	}
	b.ReportMetric(2*n*float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}
