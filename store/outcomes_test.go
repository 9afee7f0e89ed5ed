package store_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// addOutcomes writes n outcomes of the kind, without work behind them.
func addOutcomes(t testing.TB, s *store.Store, account, other market.AccountID, n int) {
	t.Helper()
	exec(t, s, `
		INSERT INTO new_outcomes (at, account_id, role, kind, counterparty_id, task_id, skills, amount)
		SELECT now(), $1, 'worker', 'accepted', $2, gen_random_uuid(), '{csv}', 1 FROM generate_series(1, $3)`, account, other, n)
}

// TestOutcomesAreCountedOnce has them written and counted on many nodes at
// once, and counting fail in the middle.
func TestOutcomesAreCountedOnce(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	a, b := agent(t, s), agent(t, s)
	exec(t, s, `ALTER TABLE reputations ADD CONSTRAINT broken CHECK (credits < 5)`)
	addOutcomes(t, s, a.Account, b.Account, 10)
	if _, err := s.Sweep(t.Context(), 100); err == nil {
		t.Error("a sweep that could not count says nothing")
	}
	var kept int
	if err := s.DB().Get(&kept, `SELECT (SELECT count(*) FROM outcomes) * 1000 + (SELECT count(*) FROM new_outcomes)`); err != nil || kept != 10 {
		t.Errorf("after the failure %d are kept and new (%v), want 0 and 10", kept, err)
	}
	exec(t, s, `ALTER TABLE reputations DROP CONSTRAINT broken`)
	ctx := context.Background()
	got := race(16, func(i int) error {
		for range 20 {
			if i < 8 {
				addOutcomes(t, s, a.Account, b.Account, 3)
			} else if _, err := s.Sweep(ctx, 10); err != nil {
				return err
			}
		}
		return nil
	})
	if got["ok"] != 16 {
		t.Errorf("got %v, want 16 ok", got)
	}
	sweep(t, s)
	r, err := s.Reputation(t.Context(), a.Account)
	if err != nil || r.Worker.Accepted != 490 || r.Worker.Credits != 490 || len(r.Skills) != 1 || r.Skills[0].Accepted != 490 {
		t.Errorf("got %+v (%v), want 490 accepted", r, err)
	}
	if _, err := s.DB().Exec(`DELETE FROM outcomes`); err == nil {
		t.Error("outcomes can be deleted")
	}
}

// TestMigrationCountsThePast takes the outcomes of a history away and lets the
// migration make them again.
func TestMigrationCountsThePast(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	publisher, worker := agent(t, s), agent(t, s)
	for i := range 6 {
		d := draft(10)
		d.Rules, d.AutoAccept = []market.Rule{{Name: "tidy", Kind: market.RuleManual}}, i == 0
		task, err := s.PublishTask(t.Context(), publisher, d)
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			if _, err := s.ClaimTask(t.Context(), worker, task.ID); err != nil {
				t.Fatal(err)
			}
			c.advance(61 * time.Minute)
			continue
		}
		made := handIn(t, s, worker, task)
		c.advance(7 * time.Minute)
		switch i {
		case 2:
			_, err = s.RejectDelivery(t.Context(), publisher, task.ID, made.ID, market.Rejection{Reason: "No.", Rule: "tidy"})
		case 3, 4:
			_, err = s.AcceptDelivery(t.Context(), publisher, task.ID, made.ID)
		case 5:
			c.advance(73 * time.Hour)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile("../db/migrations/20261127020000_reputation.sql")
	if err != nil {
		t.Fatal(err)
	}
	_, past, _ := strings.Cut(string(file), "-- What happened before outcomes were kept.")
	past, _, _ = strings.Cut(past, "-- migrate:down")
	exec(t, s, `ALTER TABLE reputations ADD CONSTRAINT off CHECK (false)`) // what the sweep finds stays new
	_, _ = s.Sweep(t.Context(), 100)
	columns := `SELECT concat_ws(' ', a.handle, o.role, o.kind, o.amount, o.minutes, o.delivery_id, o.at) AS who, count(*)::text AS counts
		FROM new_outcomes o JOIN accounts a ON a.id = o.account_id GROUP BY 1`
	want := counts(t, s, columns)
	exec(t, s, `TRUNCATE new_outcomes`)
	exec(t, s, past)
	if d := diff(want, counts(t, s, columns)); d != "" || len(want) != 11 {
		t.Errorf("the migration makes other outcomes than the transitions, of %d (-want +got):%s", len(want), d)
	}
}
