package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// tamper changes the ledger as a superuser can, past the triggers.
func tamper(t testing.TB, s *store.Store, statement string, args ...any) {
	t.Helper()
	tx, err := s.DB().Beginx()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for _, q := range []string{`SET LOCAL session_replication_role = replica`, ""} {
		if q != "" {
			_, err = tx.Exec(q)
		} else {
			_, err = tx.Exec(statement, args...)
		}
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// findings are those of an audit, in sentences.
func findings(t testing.TB, s *store.Store) string {
	t.Helper()
	r, err := s.Audit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range r.Findings {
		all = append(all, f.String())
	}
	return strings.Join(all, "\n")
}

// TestAuditNamesATamperedLine changes, adds and deletes single lines by SQL:
// those of today, and of a day that is sealed, with and without its mark.
func TestAuditNamesATamperedLine(t *testing.T) {
	t.Parallel()
	const mark = `transfer_mark(id, at, kind, debit, credit, amount, debit_class, credit_class, account_id, counterparty_id, task_id, order_id, balance_after, note)`
	for name, c := range map[string]struct {
		sealed            bool
		statement, remark string
		want              []string
	}{
		"amount of today":            {false, `UPDATE transfers SET amount = amount + 1 WHERE id = $1`, "", []string{"mark transfer:%d: "}},
		"time of today":              {false, `UPDATE transfers SET at = at - interval '1 second' WHERE id = $1`, "", []string{"mark transfer:%d: "}},
		"counterparty of today":      {false, `UPDATE transfers SET counterparty_id = account_id WHERE id = $1`, "", []string{"mark transfer:%d: "}},
		"amount and mark of today":   {false, `UPDATE transfers SET amount = amount + 1 WHERE id = $1`, mark, []string{"balance transfer:%d: "}},
		"deleted today":              {false, `DELETE FROM transfers WHERE id = $1`, "", []string{"balance transfer:"}},
		"kind and mark of a sealed":  {true, `UPDATE transfers SET kind = 'voucher' WHERE id = $1`, mark, []string{"day day:", "changed after it was sealed"}},
		"deleted of a sealed day":    {true, `DELETE FROM transfers WHERE id = $1`, "", []string{"day day:", "transfer:%d is missing"}},
		"moved to another day":       {true, `UPDATE transfers SET at = at + interval '1 day' WHERE id = $1`, mark, []string{"transfer:%d is missing"}},
		"added to a sealed day":      {true, `INSERT INTO transfers (at, kind, debit, credit, amount, debit_class, credit_class, account_id, mark) SELECT at, 'release', 'a', 'b', 1, 'earned', 'earned', account_id, mark FROM transfers WHERE id = $1`, "", []string{"day day:", "and has"}},
		"seal rewritten by somebody": {true, `UPDATE ledger_days SET hash = chain WHERE day = (SELECT min(day) FROM ledger_days) AND $1::bigint > 0`, "", []string{"does not follow"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var k clock
			s := storetest.New(t, withClock(&k))
			publisher, worker := agent(t, s), agent(t, s)
			accept(t, s, publisher, worker)
			if c.sealed {
				k.advance(49 * time.Hour)
				accept(t, s, publisher, worker)
				k.advance(49 * time.Hour)
				sweep(t, s)
				if r, err := s.Audit(t.Context()); err != nil || r.Days < 2 || len(r.Seal) != 32 || len(r.Findings) != 0 {
					t.Fatalf("sealed %d days, %+v, %v", r.Days, r.Findings, err)
				}
			}
			if f := findings(t, s); f != "" {
				t.Fatalf("before: %s", f)
			}
			var id int64
			if err := s.DB().Get(&id, `SELECT min(id) FROM transfers WHERE account_id = $1 AND kind = 'escrow'`, string(publisher.Account)); err != nil {
				t.Fatal(err)
			}
			if name == "deleted today" {
				accept(t, s, publisher, worker) // a line after the gap
			}
			tamper(t, s, c.statement, id)
			if c.remark != "" {
				tamper(t, s, `UPDATE transfers SET mark = `+c.remark+` WHERE id = $1`, id)
			}
			got := findings(t, s)
			for _, want := range c.want {
				if strings.Contains(want, "%d") {
					want = fmt.Sprintf(want, id)
				}
				if !strings.Contains(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
}

// TestSealsOnTwoNodes seals once whatever runs at the same time, and only days
// that are over.
func TestSealsOnTwoNodes(t *testing.T) {
	t.Parallel()
	var k clock
	s := storetest.New(t, withClock(&k))
	publisher, worker := agent(t, s), agent(t, s)
	sweep(t, s)
	for range 4 {
		accept(t, s, publisher, worker)
		k.advance(24 * time.Hour)
	}
	got := race(6, func(int) error { _, err := s.Sweep(t.Context(), 1000); return err })
	k.advance(11 * time.Minute)
	sweep(t, s)
	var days, young int
	if err := s.DB().Get(&days, `SELECT count(*) FROM ledger_days`); err != nil {
		t.Fatal(err)
	}
	if err := s.DB().Get(&young, `SELECT count(*) FROM ledger_days WHERE (day + 1)::timestamp AT TIME ZONE 'UTC' > $1`, k.now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if days < 3 || young != 0 || got["ok"] != 6 {
		t.Errorf("%d days are sealed, %d of them too early; %v", days, young, got)
	}
	balanced(t, s)
}

func TestAuditOnceADay(t *testing.T) {
	t.Parallel()
	var k clock
	s := storetest.New(t, withClock(&k))
	agent(t, s)
	ran := func() (n int) {
		got := race(4, func(int) error {
			_, done, err := s.AuditDue(t.Context())
			if err == nil && !done {
				return market.ErrAlreadyDone
			}
			return err
		})
		if got["ok"]+got["already_done"] != 4 {
			t.Errorf("got %v", got)
		}
		return got["ok"]
	}
	if n := ran(); n == 0 {
		t.Error("nobody audited")
	}
	if n := ran(); n != 0 {
		t.Errorf("%d audited again at once", n)
	}
	k.advance(25 * time.Hour)
	exec(t, s, `UPDATE wallets SET granted = granted + 1`)
	if n := ran(); n == 0 {
		t.Error("nobody audited on the next day")
	}
	runs, err := s.Audits(t.Context(), 10)
	if err != nil || len(runs) < 2 || runs[0].Findings != 1 || runs[len(runs)-1].Findings != 0 {
		t.Errorf("the audits are %+v, %v", runs, err)
	}
}
