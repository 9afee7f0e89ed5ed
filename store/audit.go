package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"

	"guildhall/market"
)

// Finding is one place where the books are wrong.
type Finding struct {
	Check   string `db:"check_name"`
	Subject string `db:"subject"`
	// Want is what the ledger entries add up to, Got what the tables say.
	Want int64 `db:"want"`
	Got  int64 `db:"got"`
	// Detail says what is wrong with the entries themselves; Want and Got say
	// nothing then.
	Detail string `db:"detail"`
}

// String is the finding in a sentence.
func (f Finding) String() string {
	if f.Detail != "" {
		return f.Check + " " + f.Subject + ": " + f.Detail
	}
	return fmt.Sprintf("%s %s: the entries say %d, the tables %d", f.Check, f.Subject, f.Want, f.Got)
}

// CheckResult is how one check went.
type CheckResult struct {
	Name     string
	Findings int
}

// AuditReport says what was recomputed and what was found wrong.
type AuditReport struct {
	Transfers int64 `db:"transfers"`
	Wallets   int64 `db:"wallets"`
	Tasks     int64 `db:"tasks"`
	// Sum is the total over all ledger accounts: 0 in whole books.
	Sum int64
	// Days counts the days of the ledger that are sealed, and Seal is the hash
	// of the last one: who keeps it elsewhere finds out if all were rewritten.
	Days   int64
	Seal   []byte
	Checks []CheckResult
	// Findings are at most maxFindings of each check.
	Findings []Finding
}

// maxFindings bounds the findings of one check.
const maxFindings = 1000

// gatherBalances adds up what every transfer does to each ledger account and
// class, once for all balanceChecks: a part of one statement, for a table would
// make the audit a transaction that writes, and all feeds wait for those.
const gatherBalances = `
	WITH balance AS MATERIALIZED (
		SELECT account, class, sum(amount)::bigint AS amount
		FROM (
			SELECT debit AS account, debit_class AS class, -amount AS amount FROM transfers
			UNION ALL
			SELECT credit, credit_class, amount FROM transfers
		) moved
		GROUP BY account, class
	)
	SELECT 'zero_sum' AS part, 'zero_sum' AS check_name, 'ledger' AS subject, 0::bigint AS want, COALESCE(sum(amount), 0)::bigint AS got FROM balance`

type auditCheck struct{ name, sql string }

// balanceChecks look at the balances.
var balanceChecks = []auditCheck{
	// Wallets equal their entries, by class.
	{"wallets", `SELECT 'wallet_' || x.class AS check_name, x.account AS subject,
		COALESCE(b.amount, 0)::bigint AS want, x.amount AS got
	FROM (
		SELECT 'wallet:' || account_id AS account, 'granted' AS class, granted AS amount FROM wallets
		UNION ALL SELECT 'wallet:' || account_id, 'earned', earned FROM wallets
	) x LEFT JOIN balance b USING (account, class)
	WHERE COALESCE(b.amount, 0) <> x.amount`},
	// Entries of wallets that do not exist.
	{"wallets_missing", `SELECT 'wallet_missing' AS check_name, b.account AS subject, b.amount AS want, 0::bigint AS got
	FROM balance b
	WHERE b.account LIKE 'wallet:%' AND NOT EXISTS (SELECT 1 FROM wallets w WHERE b.account = 'wallet:' || w.account_id)`},
	// Escrows equal their entries, by class, so terminal tasks hold nothing.
	{"escrows", `SELECT 'escrow_' || x.class AS check_name, x.account AS subject,
		COALESCE(b.amount, 0)::bigint AS want, x.amount AS got
	FROM (
		SELECT 'escrow:' || id AS account, 'granted' AS class, escrow_granted AS amount FROM tasks
		UNION ALL SELECT 'escrow:' || id, 'earned', escrow_earned FROM tasks
	) x LEFT JOIN balance b USING (account, class)
	WHERE COALESCE(b.amount, 0) <> x.amount`},
	// Entries of escrows whose task does not exist.
	{"escrows_missing", `SELECT 'escrow_missing' AS check_name, b.account AS subject, b.amount AS want, 0::bigint AS got
	FROM balance b
	WHERE b.account LIKE 'escrow:%' AND NOT EXISTS (SELECT 1 FROM tasks t WHERE b.account = 'escrow:' || t.id)`},
	// Pending balances equal their payout rows.
	{"pending", `SELECT 'pending_' || class AS check_name, account AS subject,
		COALESCE(b.amount, 0)::bigint AS want, COALESCE(x.amount, 0)::bigint AS got
	FROM (SELECT account, class, amount FROM balance WHERE account LIKE 'pending:%') b
	FULL JOIN (
		SELECT 'pending:' || account_id AS account, part.class, sum(part.amount)::bigint AS amount
		FROM payouts y, LATERAL (VALUES ('granted', y.granted), ('earned', y.amount - y.granted)) part (class, amount)
		WHERE y.state = 'pending' AND part.amount > 0 GROUP BY y.account_id, part.class
	) x USING (account, class)
	WHERE COALESCE(b.amount, 0) <> COALESCE(x.amount, 0)`},
}

var auditChecks = []auditCheck{
	// What a bundle spent went into escrow and has not come back.
	{"bundles", `SELECT 'bundle' AS check_name, 'bundle:' || b.id AS subject, COALESCE(x.amount, 0)::bigint AS want, b.spent AS got
	FROM bundles b
	LEFT JOIN (
		SELECT t.bundle_id, sum(CASE y.kind WHEN 'escrow' THEN y.amount ELSE -y.amount END) AS amount
		FROM tasks t JOIN transfers y ON y.account_id = t.publisher_id AND y.task_id = t.id AND y.kind IN ('escrow', 'refund', 'reversal', 'fee_refund')
		WHERE t.bundle_id IS NOT NULL GROUP BY t.bundle_id
	) x ON x.bundle_id = b.id
	WHERE COALESCE(x.amount, 0) <> b.spent`},
	// Live tasks hold the rewards of all unpaid slots, with their fees.
	{"escrow_rewards", `SELECT 'escrow_reward' AS check_name, 'escrow:' || id AS subject, (reward + fee) * slots AS want, escrow_granted + escrow_earned AS got
	FROM tasks WHERE due_at IS NOT NULL AND escrow_granted + escrow_earned <> (reward + fee) * slots`},
	// A task paid, fees included, as much as it has slots used up, less what went
	// back.
	{"settlements", `SELECT 'settlement' AS check_name, 'task:' || t.id AS subject,
		((t.reward + t.fee) * (t.max_accepted - t.slots) - COALESCE(r.back, 0))::bigint AS want, COALESCE(y.paid, 0)::bigint AS got
	FROM tasks t
	LEFT JOIN (SELECT task_id, sum(amount + fee_granted + fee_earned) AS paid FROM payouts GROUP BY task_id) y ON y.task_id = t.id
	LEFT JOIN (SELECT task_id, sum(amount) AS back FROM transfers WHERE kind = 'refund' GROUP BY task_id) r ON r.task_id = t.id
	WHERE NOT t.evergreen AND (t.reward + t.fee) * (t.max_accepted - t.slots) - COALESCE(r.back, 0) <> COALESCE(y.paid, 0)`},
	// The platform's own task paid what its payouts say.
	{"onboarding", `SELECT 'onboarding' AS check_name, 'account:' || account_id AS subject, COALESCE(x.amount, 0)::bigint AS want, COALESCE(y.amount, 0)::bigint AS got
	FROM (SELECT y.account_id, sum(y.amount) AS amount FROM tasks t JOIN payouts y ON y.task_id = t.id WHERE t.evergreen GROUP BY y.account_id) y
	FULL JOIN (SELECT account_id, sum(amount) AS amount FROM transfers WHERE kind = 'onboarding' GROUP BY account_id) x USING (account_id)
	WHERE COALESCE(x.amount, 0) <> COALESCE(y.amount, 0)`},
	// Fees were taken with payouts, and given back with reversed ones.
	{"fees", `SELECT kind AS check_name, 'task:' || task_id AS subject, COALESCE(x.amount, 0)::bigint AS want, COALESCE(y.amount, 0)::bigint AS got
	FROM (
		SELECT 'fee' AS kind, task_id, sum(fee_granted + fee_earned) AS amount FROM payouts WHERE fee_granted + fee_earned > 0 GROUP BY task_id
		UNION ALL SELECT 'fee_refund', task_id, sum(fee_granted + fee_earned) FROM payouts
			WHERE state = 'reversed' AND fee_granted + fee_earned > 0 GROUP BY task_id
	) y
	FULL JOIN (SELECT kind, task_id, sum(amount) AS amount FROM transfers WHERE kind IN ('fee', 'fee_refund') GROUP BY kind, task_id) x USING (kind, task_id)
	WHERE COALESCE(x.amount, 0) <> COALESCE(y.amount, 0)`},
	// Each accepted delivery has one payout, and no other has any.
	{"payouts", `SELECT 'payout' AS check_name, 'delivery:' || d.id AS subject, 1::bigint AS want, count(y.id)::bigint AS got
	FROM deliveries d LEFT JOIN payouts y ON y.delivery_id = d.id
	WHERE d.state IN ('accepted', 'reversed') OR y.id IS NOT NULL
	GROUP BY d.id, d.state
	HAVING count(y.id) <> 1 OR d.state NOT IN ('accepted', 'reversed')`},
	// Reversed payouts went back whole.
	{"reversals", `SELECT 'reversal' AS check_name, 'task:' || y.task_id AS subject, y.amount AS want, COALESCE(x.amount, 0)::bigint AS got
	FROM (SELECT task_id, sum(amount)::bigint AS amount FROM payouts WHERE state = 'reversed' GROUP BY task_id) y
	LEFT JOIN (SELECT task_id, sum(amount) AS amount FROM transfers WHERE kind = 'reversal' GROUP BY task_id) x USING (task_id)
	WHERE y.amount <> COALESCE(x.amount, 0)`},
	// Bonuses were paid where they were marked, and nowhere else.
	{"referrals", `SELECT 'referral' AS check_name, 'account:' || COALESCE(f.id, x.counterparty_id) AS subject,
		COALESCE(f.referral_bonus, 0)::bigint AS want, COALESCE(x.amount, 0)::bigint AS got
	FROM (SELECT id, referred_by, referral_bonus FROM accounts WHERE referral_paid_at IS NOT NULL) f
	FULL JOIN (SELECT account_id, counterparty_id, amount FROM transfers WHERE kind = 'referral') x
		ON x.counterparty_id = f.id AND x.account_id = f.referred_by
	WHERE COALESCE(f.referral_bonus, 0) <> COALESCE(x.amount, 0)`},
	// Vouchers were paid where they were redeemed, and nowhere else.
	{"vouchers", `SELECT 'voucher' AS check_name, 'account:' || account_id AS subject,
		COALESCE(v.amount, 0)::bigint AS want, COALESCE(x.amount, 0)::bigint AS got
	FROM (SELECT v.redeemed_by AS account_id, sum(b.amount)::bigint AS amount
		FROM vouchers v JOIN voucher_batches b ON b.id = v.batch_id
		WHERE v.redeemed_by IS NOT NULL GROUP BY v.redeemed_by) v
	FULL JOIN (SELECT account_id, sum(amount)::bigint AS amount FROM transfers WHERE kind = 'voucher' GROUP BY account_id) x
		USING (account_id)
	WHERE COALESCE(v.amount, 0) <> COALESCE(x.amount, 0)`},
	// Wallets were adjusted where the operators' log says so, and nowhere else.
	{"adjustments", `SELECT 'adjustment' AS check_name, 'account:' || account_id AS subject,
		COALESCE(x.amount, 0)::bigint AS want, COALESCE(l.amount, 0)::bigint AS got
	FROM (SELECT subject_id AS account_id, sum((detail->>'amount')::bigint)::bigint AS amount
		FROM admin_actions WHERE action = 'wallet_adjusted' GROUP BY subject_id) l
	FULL JOIN (SELECT account_id, sum(CASE WHEN debit = 'platform:adjustments' THEN amount ELSE -amount END)::bigint AS amount
		FROM transfers WHERE kind = 'adjustment' AND 'platform:adjustments' IN (debit, credit) GROUP BY account_id) x
		USING (account_id)
	WHERE COALESCE(x.amount, 0) <> COALESCE(l.amount, 0)`},
	// Every order took its price from its owner, and gave it back if refused or
	// refunded.
	{"redeemed", `SELECT 'redeem' AS check_name, 'order:' || COALESCE(o.id, x.order_id) AS subject,
		COALESCE(x.amount, 0)::bigint AS want, COALESCE(o.price, 0)::bigint AS got
	FROM redemptions o
	FULL JOIN (SELECT * FROM transfers WHERE kind = 'redeem') x ON x.order_id = o.id AND x.account_id = o.account_id
		AND x.debit = 'wallet:' || o.account_id AND x.credit = 'platform:redemptions' AND x.debit_class = 'earned'
	WHERE COALESCE(o.price, 0) <> COALESCE(x.amount, 0)`},
	{"redeem_refunds", `SELECT 'redeem_refund' AS check_name, 'order:' || COALESCE(o.id, x.order_id) AS subject,
		COALESCE(x.amount, 0)::bigint AS want, COALESCE(o.price, 0)::bigint AS got
	FROM (SELECT * FROM redemptions WHERE state IN ('refused', 'refunded')) o
	FULL JOIN (SELECT * FROM transfers WHERE kind = 'redeem_refund') x ON x.order_id = o.id AND x.account_id = o.account_id
		AND x.credit = 'wallet:' || o.account_id AND x.debit = 'platform:redemptions' AND x.credit_class = 'earned'
	WHERE COALESCE(o.price, 0) <> COALESCE(x.amount, 0)`},
	// An order has one code of its good, one that was given back none.
	{"order_codes", `SELECT 'order_code' AS check_name, 'order:' || o.id AS subject, (o.state NOT IN ('refused', 'refunded'))::int::bigint AS want, count(c.id)::bigint AS got
	FROM redemptions o LEFT JOIN goods_codes c ON c.order_id = o.id AND c.good_id = o.good_id
	GROUP BY o.id, o.state HAVING count(c.id) <> (o.state NOT IN ('refused', 'refunded'))::int`},
	// The code of an order that was replaced or refunded is marked bad, and no
	// other is.
	{"bad_codes", `SELECT 'bad_code' AS check_name, 'order:' || o.id AS subject, (x.bad)::int::bigint AS want, count(c.id)::bigint AS got
	FROM redemptions o
	CROSS JOIN LATERAL (SELECT COALESCE(o.remedy IN ('replaced', 'refunded'), false) AS bad) x
	LEFT JOIN goods_codes c ON c.bad_of = o.id AND c.good_id = o.good_id
	GROUP BY o.id, x.bad HAVING count(c.id) <> x.bad::int`},
	// Every frozen slot has an open case.
	{"frozen", `SELECT 'frozen' AS check_name, 'task:' || t.id AS subject, count(k.id)::bigint AS want, t.frozen::bigint AS got
	FROM tasks t LEFT JOIN cases k ON k.task_id = t.id AND k.closed_at IS NULL AND k.frozen
	WHERE t.due_at IS NOT NULL
	GROUP BY t.id HAVING count(k.id) <> t.frozen`},
	// Lines fit their marks.
	{"marks", `SELECT 'mark' AS check_name, 'transfer:' || id AS subject,
		'the line was changed after it was written: now ' || kind || ' of ' || amount || ' from ' || debit || ' to ' || credit AS detail
	FROM transfers
	WHERE mark <> transfer_mark(id, at, kind, debit, credit, amount, debit_class, credit_class, account_id, counterparty_id, task_id, order_id, balance_after, note)`},
	// Each line of a wallet begins where the one before ended.
	{"balances", `SELECT 'balance' AS check_name, 'transfer:' || id AS subject,
		'the balance after it is ' || balance_after || ', after the line before it was ' || before || ': lines are missing, added or changed' AS detail
	FROM (
		SELECT id, balance_after, CASE WHEN credit = 'wallet:' || account_id THEN amount ELSE -amount END AS change,
			COALESCE(lag(balance_after) OVER (PARTITION BY account_id ORDER BY id), 0) AS before
		FROM transfers WHERE balance_after IS NOT NULL
	) x WHERE before + change <> balance_after`},
}

// Audit recomputes every balance and escrow from the ledger entries, on one
// consistent view of the database, and looks for entries that were changed or
// taken away.
func (s *Store) Audit(ctx context.Context) (AuditReport, error) {
	tx, err := s.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return AuditReport{}, translate(err)
	}
	defer tx.Rollback()
	r, err := audit(ctx, tx)
	return r, translate(err)
}

// auditEvery is how often the books are recomputed without being asked.
const auditEvery = 24 * time.Hour

// AuditDue is RecordedAudit if the last one is a day ago and no other node is
// at it; else done is false.
func (s *Store) AuditDue(ctx context.Context) (r AuditReport, done bool, err error) {
	return s.recordedAudit(ctx, Caller{}, auditEvery)
}

// RecordedAudit is Audit by an operator; it is kept in the list of audits.
func (s *Store) RecordedAudit(ctx context.Context, by Caller) (AuditReport, error) {
	r, _, err := s.recordedAudit(ctx, by, 0)
	return r, err
}

func (s *Store) recordedAudit(ctx context.Context, by Caller, every time.Duration) (r AuditReport, done bool, err error) {
	tx, err := s.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return r, false, translate(err)
	}
	defer tx.Rollback()
	now := s.now()
	if every > 0 {
		var due bool
		err := tx.GetContext(ctx, &due, `
			SELECT pg_try_advisory_xact_lock(746123056) AND NOT EXISTS (SELECT 1 FROM audits WHERE at > $1)`, now.Add(-every))
		if err != nil || !due {
			return r, false, translate(err)
		}
	}
	if r, err = audit(ctx, tx); err != nil {
		return r, false, translate(err)
	}
	if _, err = tx.ExecContext(ctx, `INSERT INTO audits (at, transfers, findings) VALUES ($1, $2, $3)`, now, r.Transfers, len(r.Findings)); err != nil {
		return r, false, translate(err)
	}
	if by.Account != "" {
		if _, err = tx.ExecContext(ctx, insertAction, actionArgs(by, market.ActionBooksRecomputed, "", "", map[string]int{"findings": len(r.Findings)}, now)...); err != nil {
			return r, false, translate(err)
		}
	}
	return r, true, translate(tx.Commit())
}

// AuditRun is an audit that was made.
type AuditRun struct {
	At        time.Time `db:"at"`
	Transfers int64     `db:"transfers"`
	Findings  int       `db:"findings"`
}

// Audits are the last audits, newest first.
func (s *Store) Audits(ctx context.Context, limit int) ([]AuditRun, error) {
	var out []AuditRun
	err := s.db.SelectContext(ctx, &out, `SELECT at, transfers, findings FROM audits ORDER BY id DESC LIMIT $1`, limit)
	return out, translate(err)
}

// LastAudit is the last audit that was kept, and when the last one was that
// found nothing, the zero time if none did. It returns market.ErrNotFound
// before the first.
func (s *Store) LastAudit(ctx context.Context) (last AuditRun, whole time.Time, err error) {
	var row struct {
		AuditRun
		Whole *time.Time `db:"whole"`
	}
	err = s.db.GetContext(ctx, &row, `
		SELECT at, transfers, findings, (SELECT max(at) FROM audits WHERE findings = 0) AS whole
		FROM audits ORDER BY id DESC LIMIT 1`)
	if row.Whole != nil {
		whole = *row.Whole
	}
	return row.AuditRun, whole, translate(err)
}

func audit(ctx context.Context, tx *sqlx.Tx) (AuditReport, error) {
	var r AuditReport
	// The balances of all accounts are added up in memory.
	if _, err := tx.ExecContext(ctx, `SET LOCAL work_mem = '64MB'`); err != nil {
		return r, err
	}
	err := tx.GetContext(ctx, &r, `
		SELECT (SELECT count(*) FROM transfers) AS transfers, (SELECT count(*) FROM wallets) AS wallets, (SELECT count(*) FROM tasks) AS tasks`)
	if err == nil {
		err = auditBalances(ctx, tx, &r)
	}
	if err != nil {
		return r, err
	}
	for _, check := range auditChecks {
		var found []Finding
		if err := tx.SelectContext(ctx, &found, check.sql+` ORDER BY subject LIMIT `+strconv.Itoa(maxFindings)); err != nil {
			return r, fmt.Errorf("%s: %w", check.name, err)
		}
		r.add(check.name, found)
	}
	days, err := auditDays(ctx, tx, &r)
	r.add("days", days)
	return r, err
}

// auditBalances makes all balanceChecks in one statement.
func auditBalances(ctx context.Context, tx *sqlx.Tx, r *AuditReport) error {
	text := gatherBalances
	for _, c := range balanceChecks {
		text += ` UNION ALL (SELECT '` + c.name + `', f.check_name, f.subject, f.want, f.got FROM (` + c.sql + `) f ORDER BY f.subject LIMIT ` + strconv.Itoa(maxFindings) + `)`
	}
	var rows []struct {
		Part string `db:"part"`
		Finding
	}
	if err := tx.SelectContext(ctx, &rows, text); err != nil {
		return err
	}
	found := map[string][]Finding{}
	for _, row := range rows {
		if row.Part == "zero_sum" {
			if r.Sum = row.Got; r.Sum == 0 {
				continue
			}
		}
		found[row.Part] = append(found[row.Part], row.Finding)
	}
	r.add("zero_sum", found["zero_sum"])
	for _, c := range balanceChecks {
		r.add(c.name, found[c.name])
	}
	return nil
}

func (r *AuditReport) add(name string, found []Finding) {
	r.Checks = append(r.Checks, CheckResult{name, len(found)})
	r.Findings = append(r.Findings, found...)
}
