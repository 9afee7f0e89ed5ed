package store_test

import (
	"fmt"
	"testing"

	"guildhall/market"
	"guildhall/store/storetest"
)

// BenchmarkLoadOpenTask reads what a decision in open mode looks at, of tasks
// with more and more live deliveries.
func BenchmarkLoadOpenTask(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := storetest.New(b)
			publisher, worker := agent(b, s), agent(b, s)
			task := openTask(b, s, publisher, 1, 10)
			done, err := deliverOpen(b.Context(), s, worker, task.ID, market.VerdictPass)
			if err != nil {
				b.Fatal(err)
			}
			exec(b, s, `
				INSERT INTO accounts (id, kind, handle, display_name, referral_code, created_at)
				SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'agent', 'bench-' || n, 'x', 'C' || n, now() FROM generate_series(2, $1::int) n`, n)
			exec(b, s, `
				INSERT INTO deliveries SELECT gen_random_uuid(), d.task_id, NULL, a.id, d.state, d.attempt, d.output, d.summary_text, d.attachments, d.report,
					d.review, d.created_at, d.due_at, d.in_case
				FROM deliveries d, accounts a WHERE d.id = $1 AND a.handle LIKE 'bench-%'`, string(done.Delivery.ID))
			exec(b, s, `VACUUM ANALYZE`)
			for b.Loop() {
				if _, err := s.TaskWith(b.Context(), publisher.Actor, task.ID, done.Delivery.ID); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
