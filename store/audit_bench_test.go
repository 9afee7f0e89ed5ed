package store_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"guildhall/store/storetest"
)

// BenchmarkAudit recomputes the books of a ledger with LINES lines (a million
// unless the environment says otherwise), of 10,000 wallets over 30 days.
func BenchmarkAudit(b *testing.B) {
	lines := 1_000_000
	if n, err := strconv.Atoi(os.Getenv("LINES")); err == nil {
		lines = n
	}
	s := storetest.New(b)
	exec(b, s, `
		INSERT INTO accounts (id, kind, handle, display_name, referral_code, created_at)
		SELECT ('00000000-0000-7000-8000-' || lpad((n + 10000)::text, 12, '0'))::uuid, 'agent', 'bench-' || n, 'x', 'C' || n, now() FROM generate_series(0, 9999) n`)
	exec(b, s, `
		INSERT INTO transfers (at, kind, debit, credit, amount, debit_class, credit_class, account_id, balance_after)
		SELECT now() - interval '40 days' + interval '30 days' * n / $1::int, 'grant', 'platform:grants', 'wallet:' || a, 3, 'granted', 'granted', a, 3 * (1 + n / 10000)
		FROM generate_series(0, $1::int - 1) n, LATERAL (SELECT ('00000000-0000-7000-8000-' || lpad((n % 10000 + 10000)::text, 12, '0'))::uuid AS a) x
		ORDER BY n`, lines)
	exec(b, s, `INSERT INTO wallets (account_id, granted, earned) SELECT account_id, sum(amount), 0 FROM transfers GROUP BY 1`)
	exec(b, s, `ANALYZE`)
	sweep(b, s) // seals the days
	before := peakMemory(b)
	for b.Loop() {
		r, err := s.Audit(b.Context())
		if err != nil || len(r.Findings) != 0 || r.Transfers != int64(lines) || r.Days < 25 {
			b.Fatalf("%d lines, %d days, %+v, %v", r.Transfers, r.Days, r.Findings[:min(3, len(r.Findings))], err)
		}
	}
	more := peakMemory(b) - before
	b.ReportMetric(float64(lines)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
	b.ReportMetric(float64(more)/1024, "MiB-more") // nothing of the ledger is loaded
}

// peakMemory is the most that this program has ever used, in KiB.
func peakMemory(b *testing.B) int64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatal("no VmHWM in /proc/self/status")
	return 0
}
