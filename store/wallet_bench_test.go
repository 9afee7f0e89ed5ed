package store_test

import (
	"fmt"
	"testing"

	"guildhall/market"
	"guildhall/store/storetest"
)

// BenchmarkWallet reads what a wallet's page shows, of an account with a
// hundred ledger lines and of one with a million: the balances, the newest
// lines, a page far down, and the newest of a kind that is long ago. One line
// in ten belongs to a task that is over; ten tasks are live, and a hundred
// thousand of others.
func BenchmarkWallet(b *testing.B) {
	s := storetest.New(b)
	other := publish(b, s, agent(b, s), 5)
	exec(b, s, `
		INSERT INTO tasks (id, publisher_id, state, version, title, brief, skills, mode, reward, payload, rules, attachments, auto_accept, claim_minutes,
			review_hours, max_attempts, max_accepted, deadline, created_at, escrow_granted, escrow_earned, due_at, slots)
		SELECT gen_random_uuid(), publisher_id, state, 1, title, brief, skills, mode, reward, payload, rules, attachments, false, claim_minutes,
			review_hours, max_attempts, 1, deadline, created_at, 5, 0, due_at, 1 FROM tasks, generate_series(1, 100000) WHERE id = $1`, string(other.ID))
	sizes := []int{100, 1_000_000}
	owners := make([]market.AccountID, len(sizes))
	for i, lines := range sizes {
		owner := agent(b, s)
		owners[i] = owner.Account
		for range 10 {
			publish(b, s, owner, 5)
		}
		// The first line of each account is its grant: the only one of its kind.
		exec(b, s, `
			INSERT INTO tasks (id, publisher_id, state, version, title, brief, skills, mode, reward, payload, rules, attachments, auto_accept, claim_minutes,
				review_hours, max_attempts, max_accepted, deadline, created_at, escrow_granted, escrow_earned, slots)
			SELECT gen_random_uuid(), t.publisher_id, 'cancelled', 2, t.title, t.brief, t.skills, t.mode, t.reward, t.payload, t.rules, t.attachments, false, t.claim_minutes,
				t.review_hours, t.max_attempts, 1, t.deadline, t.created_at, 0, 0, 0
			FROM (SELECT * FROM tasks WHERE publisher_id = $1 LIMIT 1) t, generate_series(1, $2::int / 10)`, string(owner.Account), lines)
		exec(b, s, `
			WITH over AS (SELECT array_agg(id) AS ids FROM tasks WHERE publisher_id = $1 AND due_at IS NULL)
			INSERT INTO transfers (at, kind, debit, credit, amount, debit_class, credit_class, account_id, task_id, balance_after)
			SELECT now(), CASE n % 2 WHEN 0 THEN 'escrow' ELSE 'refund' END,
				CASE n % 2 WHEN 0 THEN 'wallet:' ELSE 'escrow:' END || $1::uuid, CASE n % 2 WHEN 0 THEN 'escrow:' ELSE 'wallet:' END || $1::uuid,
				5, 'granted', 'granted', $1, over.ids[1 + n / 10], 945
			FROM generate_series(0, $2::int - 1) n, over`, string(owner.Account), lines)
	}
	exec(b, s, `VACUUM ANALYZE`)
	for i, lines := range sizes {
		id := owners[i]
		newest, err := s.Entries(b.Context(), id, market.EntryFilter{Limit: 1})
		if err != nil {
			b.Fatal(err)
		}
		for name, f := range map[string]market.EntryFilter{"newest": {Limit: 21}, "below": {Limit: 21, Before: newest[0].ID - int64(lines)/2}, "kind": {Limit: 21, Kind: market.TransferGrant}} {
			b.Run(fmt.Sprintf("%s/%d", name, lines), func(b *testing.B) {
				for b.Loop() {
					if got, err := s.Entries(b.Context(), id, f); err != nil || len(got) == 0 {
						b.Fatal(len(got), err)
					}
				}
			})
		}
		b.Run(fmt.Sprintf("balances/%d", lines), func(b *testing.B) {
			for b.Loop() {
				if w, err := s.Wallet(b.Context(), id); err != nil || w.Escrow != 50 {
					b.Fatal(w, err)
				}
			}
		})
	}
}
