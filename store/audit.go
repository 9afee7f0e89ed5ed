package store

import (
	"context"

	"github.com/jmoiron/sqlx"
)

// Finding is one place where the books differ from what the entries say.
type Finding struct {
	Check   string `db:"check_name"`
	Subject string `db:"subject"`
	// Want is what the ledger entries add up to, Got what the tables say.
	Want int64 `db:"want"`
	Got  int64 `db:"got"`
}

// AuditReport says what was recomputed and what was found wrong.
type AuditReport struct {
	Transfers int64 `db:"transfers"`
	Wallets   int64 `db:"wallets"`
	Tasks     int64 `db:"tasks"`
	// Sum is the total over all ledger accounts: 0 in whole books.
	Sum      int64 `db:"sum"`
	Findings []Finding
}

// movements lists what every transfer does to each ledger account and class.
const movements = `
	WITH moved AS (
		SELECT debit AS account, debit_class AS class, -amount AS amount FROM transfers
		UNION ALL
		SELECT credit, credit_class, amount FROM transfers
	), balance AS (
		SELECT account, class, sum(amount)::bigint AS amount FROM moved GROUP BY account, class
	)`

var auditChecks = []string{
	// Wallets equal their entries, by class.
	`SELECT 'wallet_' || x.class AS check_name, x.account AS subject,
		COALESCE(b.amount, 0)::bigint AS want, x.amount AS got
	FROM (
		SELECT 'wallet:' || account_id AS account, 'granted' AS class, granted AS amount FROM wallets
		UNION ALL SELECT 'wallet:' || account_id, 'earned', earned FROM wallets
	) x LEFT JOIN balance b USING (account, class)
	WHERE COALESCE(b.amount, 0) <> x.amount`,
	// Entries of wallets that do not exist.
	`SELECT 'wallet_missing' AS check_name, b.account AS subject, b.amount AS want, 0::bigint AS got
	FROM balance b
	WHERE b.account LIKE 'wallet:%' AND NOT EXISTS (SELECT 1 FROM wallets w WHERE b.account = 'wallet:' || w.account_id)`,
	// Escrows equal their entries, by class, so terminal tasks hold nothing.
	`SELECT 'escrow_' || x.class AS check_name, x.account AS subject,
		COALESCE(b.amount, 0)::bigint AS want, x.amount AS got
	FROM (
		SELECT 'escrow:' || id AS account, 'granted' AS class, escrow_granted AS amount FROM tasks
		UNION ALL SELECT 'escrow:' || id, 'earned', escrow_earned FROM tasks
	) x LEFT JOIN balance b USING (account, class)
	WHERE COALESCE(b.amount, 0) <> x.amount`,
	// Entries of escrows whose task does not exist.
	`SELECT 'escrow_missing' AS check_name, b.account AS subject, b.amount AS want, 0::bigint AS got
	FROM balance b
	WHERE b.account LIKE 'escrow:%' AND NOT EXISTS (SELECT 1 FROM tasks t WHERE b.account = 'escrow:' || t.id)`,
	// Live tasks hold the rewards of all unpaid slots.
	`SELECT 'escrow_reward' AS check_name, 'escrow:' || id AS subject, reward * slots AS want, escrow_granted + escrow_earned AS got
	FROM tasks WHERE due_at IS NOT NULL AND escrow_granted + escrow_earned <> reward * slots`,
	// Pending balances equal their payout rows.
	`SELECT 'pending_' || class AS check_name, account AS subject,
		COALESCE(b.amount, 0)::bigint AS want, COALESCE(x.amount, 0)::bigint AS got
	FROM (SELECT account, class, amount FROM balance WHERE account LIKE 'pending:%') b
	FULL JOIN (
		SELECT 'pending:' || account_id AS account, class, sum(amount)::bigint AS amount
		FROM payouts WHERE state = 'pending' GROUP BY account_id, class
	) x USING (account, class)
	WHERE COALESCE(b.amount, 0) <> COALESCE(x.amount, 0)`,
	// A task paid as much as it has slots used up, less what went back.
	`SELECT 'settlement' AS check_name, 'task:' || t.id AS subject,
		(t.reward * (t.max_accepted - t.slots) - COALESCE(r.back, 0))::bigint AS want, COALESCE(y.paid, 0)::bigint AS got
	FROM tasks t
	LEFT JOIN (SELECT task_id, sum(amount) AS paid FROM payouts GROUP BY task_id) y ON y.task_id = t.id
	LEFT JOIN (SELECT task_id, sum(amount) AS back FROM transfers WHERE kind = 'refund' GROUP BY task_id) r ON r.task_id = t.id
	WHERE t.reward * (t.max_accepted - t.slots) - COALESCE(r.back, 0) <> COALESCE(y.paid, 0)`,
	// Each accepted delivery has one payout, and no other has any.
	`SELECT 'payout' AS check_name, 'delivery:' || d.id AS subject, 1::bigint AS want, count(y.id)::bigint AS got
	FROM deliveries d LEFT JOIN payouts y ON y.delivery_id = d.id
	WHERE d.state IN ('accepted', 'reversed') OR y.id IS NOT NULL
	GROUP BY d.id, d.state
	HAVING count(y.id) <> 1 OR d.state NOT IN ('accepted', 'reversed')`,
	// Reversed payouts went back whole.
	`SELECT 'reversal' AS check_name, 'task:' || y.task_id AS subject, y.amount AS want, COALESCE(x.amount, 0)::bigint AS got
	FROM (SELECT task_id, sum(amount)::bigint AS amount FROM payouts WHERE state = 'reversed' GROUP BY task_id) y
	LEFT JOIN (SELECT task_id, sum(amount) AS amount FROM transfers WHERE kind = 'reversal' GROUP BY task_id) x USING (task_id)
	WHERE y.amount <> COALESCE(x.amount, 0)`,
	// Bonuses were paid where they were marked, and nowhere else.
	`SELECT 'referral' AS check_name, 'account:' || COALESCE(f.id, x.counterparty_id) AS subject,
		COALESCE(f.referral_bonus, 0)::bigint AS want, COALESCE(x.amount, 0)::bigint AS got
	FROM (SELECT id, referred_by, referral_bonus FROM accounts WHERE referral_paid_at IS NOT NULL) f
	FULL JOIN (SELECT account_id, counterparty_id, amount FROM transfers WHERE kind = 'referral') x
		ON x.counterparty_id = f.id AND x.account_id = f.referred_by
	WHERE COALESCE(f.referral_bonus, 0) <> COALESCE(x.amount, 0)`,
	// Every order took its price from its owner, and gave it back if refused.
	`SELECT 'redeem' AS check_name, 'order:' || COALESCE(o.id, x.order_id) AS subject,
		COALESCE(x.amount, 0)::bigint AS want, COALESCE(o.price, 0)::bigint AS got
	FROM redemptions o
	FULL JOIN (SELECT * FROM transfers WHERE kind = 'redeem') x ON x.order_id = o.id AND x.account_id = o.account_id
		AND x.debit = 'wallet:' || o.account_id AND x.credit = 'platform:redemptions' AND x.debit_class = 'earned'
	WHERE COALESCE(o.price, 0) <> COALESCE(x.amount, 0)`,
	`SELECT 'redeem_refund' AS check_name, 'order:' || COALESCE(o.id, x.order_id) AS subject,
		COALESCE(x.amount, 0)::bigint AS want, COALESCE(o.price, 0)::bigint AS got
	FROM (SELECT * FROM redemptions WHERE state = 'refused') o
	FULL JOIN (SELECT * FROM transfers WHERE kind = 'redeem_refund') x ON x.order_id = o.id AND x.account_id = o.account_id
		AND x.credit = 'wallet:' || o.account_id AND x.debit = 'platform:redemptions' AND x.credit_class = 'earned'
	WHERE COALESCE(o.price, 0) <> COALESCE(x.amount, 0)`,
	// An order has one code of its good, a refused one none.
	`SELECT 'order_code' AS check_name, 'order:' || o.id AS subject, (o.state <> 'refused')::int::bigint AS want, count(c.id)::bigint AS got
	FROM redemptions o LEFT JOIN goods_codes c ON c.order_id = o.id AND c.good_id = o.good_id
	GROUP BY o.id, o.state HAVING count(c.id) <> (o.state <> 'refused')::int`,
	// Every frozen slot has an open case.
	`SELECT 'frozen' AS check_name, 'task:' || t.id AS subject, count(k.id)::bigint AS want, t.frozen::bigint AS got
	FROM tasks t LEFT JOIN cases k ON k.task_id = t.id AND k.closed_at IS NULL AND k.frozen
	WHERE t.due_at IS NOT NULL
	GROUP BY t.id HAVING count(k.id) <> t.frozen`,
}

// Audit recomputes every balance and escrow from the ledger entries, on one
// consistent view of the database.
func (s *Store) Audit(ctx context.Context) (AuditReport, error) {
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return AuditReport{}, translate(err)
	}
	defer tx.Rollback()
	r, err := audit(ctx, tx)
	return r, translate(err)
}

func audit(ctx context.Context, tx *sqlx.Tx) (AuditReport, error) {
	var r AuditReport
	if _, err := tx.ExecContext(ctx, `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY`); err != nil {
		return r, err
	}
	err := tx.GetContext(ctx, &r, movements+`
		SELECT (SELECT count(*) FROM transfers) AS transfers, (SELECT count(*) FROM wallets) AS wallets,
			(SELECT count(*) FROM tasks) AS tasks, COALESCE((SELECT sum(amount) FROM balance), 0)::bigint AS sum`)
	if err != nil {
		return r, err
	}
	if r.Sum != 0 {
		r.Findings = append(r.Findings, Finding{Check: "zero_sum", Subject: "ledger", Got: r.Sum})
	}
	for _, check := range auditChecks {
		var found []Finding
		if err := tx.SelectContext(ctx, &found, movements+check+` ORDER BY subject LIMIT 1000`); err != nil {
			return r, err
		}
		r.Findings = append(r.Findings, found...)
	}
	return r, nil
}
