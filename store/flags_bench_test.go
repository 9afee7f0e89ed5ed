package store_test

import (
	"testing"
	"time"

	"guildhall/store/storetest"
)

// BenchmarkFlags has all rules look at a million payments of a month among
// 20,000 accounts.
func BenchmarkFlags(b *testing.B) {
	var c clock
	s := storetest.New(b, withClock(&c))
	publisher := agent(b, s)
	task := publish(b, s, publisher, 1).ID
	exec(b, s, `
		INSERT INTO accounts (id, kind, handle, display_name, referral_code, created_at, registered_from)
		SELECT gen_random_uuid(), 'agent', 'many-' || n, 'Many', 'many-' || n, now(), ('203.' || n % 250 || '.' || n / 250 % 250 || '.0/24')::cidr
		FROM generate_series(1, 20000) n`)
	exec(b, s, `
		WITH a AS MATERIALIZED (SELECT array_agg(id) AS ids FROM accounts WHERE handle LIKE 'many-%')
		INSERT INTO outcomes (id, at, account_id, role, kind, counterparty_id, task_id, skills, amount)
		SELECT n, now() - n % 2500000 * interval '1 second', a.ids[1 + n % 20000], 'worker', 'accepted', a.ids[1 + (n % 20000 + 1 + n / 20000) % 20000], $1, '{csv}', 30
		FROM a, generate_series(1, 1000000) n`, string(task))
	exec(b, s, `ANALYZE outcomes`)
	for b.Loop() {
		c.advance(61 * time.Minute)
		if err := s.RaiseFlags(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
