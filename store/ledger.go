package store

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// Transfers are written here only: the one door through which credits move.
var (
	insertTransfer = part{"transfer", `
		INSERT INTO transfers (at, kind, debit, credit, amount, debit_class, credit_class, account_id, counterparty_id, task_id, order_id, note)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`}
	insertWalletTransfer = part{"wallet", `
		WITH w AS (
			UPDATE wallets SET granted = granted + $13, earned = earned + $14
			WHERE account_id = $8
			RETURNING granted + earned AS total
		)
		INSERT INTO transfers (at, kind, debit, credit, amount, debit_class, credit_class, account_id, counterparty_id, task_id, order_id, note, balance_after)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, w.total FROM w`}
)

// post adds the transfers that touch no wallet.
func (e *effect) post(ts []market.Transfer, now time.Time) {
	for _, t := range ts {
		if !ofWallet(t) {
			e.add(insertTransfer, line(t, now)...)
		}
	}
}

// post queues the transfers that touch a wallet: each line moves its balance
// and shows it right after itself.
func (b *batch) post(ts []market.Transfer, now time.Time) {
	for _, t := range ts {
		if !ofWallet(t) {
			continue
		}
		var delta market.Funds
		switch {
		case signed(t) < 0 && t.DebitClass == market.Granted, signed(t) > 0 && t.CreditClass == market.Granted:
			delta.Granted = signed(t)
		default:
			delta.Earned = signed(t)
		}
		var e effect
		e.add(insertWalletTransfer, append(line(t, now), delta.Granted, delta.Earned)...)
		b.effect(e)
	}
}

func line(t market.Transfer, now time.Time) []any {
	return []any{now, t.Kind, t.Debit, t.Credit, t.Amount, t.DebitClass, t.CreditClass, t.Account, nullID(t.Counterparty), nullID(t.Task), nullID(t.Order), nullID(t.Note)}
}

// ofWallet reports whether the transfer's owner can spend it, before or after.
func ofWallet(t market.Transfer) bool {
	return t.Debit == market.WalletAccount(t.Account) || t.Credit == market.WalletAccount(t.Account)
}

// signed is the amount as the wallet's owner sees it.
func signed(t market.Transfer) market.Credits {
	if t.Debit == market.WalletAccount(t.Account) {
		return -t.Amount
	}
	return t.Amount
}

// funds is what the account can spend now.
func (s *Store) funds(ctx context.Context, id market.AccountID) (market.Funds, error) {
	var f struct {
		Granted market.Credits `db:"granted"`
		Earned  market.Credits `db:"earned"`
	}
	err := s.db.GetContext(ctx, &f, `SELECT granted, earned FROM wallets WHERE account_id = $1`, id)
	return market.Funds{Granted: f.Granted, Earned: f.Earned}, translate(err)
}

// release moves due payouts from pending into their wallets, at most limit,
// those of one account or (with an empty id) of any. Those of accounts that are
// suspended or flagged stay. It may run on several nodes at once: each takes payouts that no other has locked.
func (s *Store) release(ctx context.Context, id market.AccountID, limit int) (int, error) {
	now := s.now()
	var released int
	err := s.db.GetContext(ctx, &released, `
		WITH due AS (
			SELECT id FROM payouts
			WHERE state = 'pending' AND available_at <= $1 AND ($2::uuid IS NULL OR account_id = $2::uuid)
				AND account_id NOT IN (SELECT id FROM accounts WHERE state = 'suspended' UNION ALL SELECT id FROM accounts WHERE held_until > $1)
			ORDER BY available_at, id
			LIMIT $3
			FOR UPDATE SKIP LOCKED
		), done AS (
			UPDATE payouts p SET state = 'available' FROM due WHERE p.id = due.id
			RETURNING p.id, p.account_id, p.task_id, p.delivery_id, p.amount, p.class, p.granted
		), parts AS (
			SELECT id, account_id, task_id, 'earned' AS class, amount - granted AS amount FROM done WHERE granted < amount
			UNION ALL SELECT id, account_id, task_id, 'granted', granted FROM done WHERE granted > 0
		), sums AS (
			SELECT account_id,
				sum(granted)::bigint AS granted, sum(amount - granted)::bigint AS earned
			FROM done GROUP BY account_id
		), locked AS (
			SELECT w.account_id FROM wallets w JOIN sums USING (account_id) ORDER BY w.account_id FOR UPDATE OF w
		), moved AS (
			UPDATE wallets w SET granted = w.granted + sums.granted, earned = w.earned + sums.earned
			FROM sums JOIN locked USING (account_id)
			WHERE w.account_id = sums.account_id
			RETURNING w.account_id, w.granted + w.earned AS total
		), posted AS (
			INSERT INTO transfers (at, kind, debit, credit, amount, debit_class, credit_class, account_id, counterparty_id, task_id, balance_after)
			SELECT $1, 'release', 'pending:' || d.account_id, 'wallet:' || d.account_id, d.amount, d.class, d.class, d.account_id,
				t.publisher_id, d.task_id,
				m.total - COALESCE(sum(d.amount) OVER (PARTITION BY d.account_id ORDER BY d.id, d.class
					ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING), 0)
			FROM parts d JOIN moved m USING (account_id) JOIN tasks t ON t.id = d.task_id
			ORDER BY d.account_id, d.id, d.class
			RETURNING 1
		), told AS (
			INSERT INTO account_events (id, account_id, at, type, task_id, data)
			SELECT feed_id($1), account_id, $1, 'payout.available', task_id,
				jsonb_strip_nulls(jsonb_build_object('payoutId', id, 'deliveryId', delivery_id, 'amount', amount, 'class', class, 'granted', NULLIF(granted, 0)))
			FROM done
		)
		SELECT count(*) FROM done`, now, nullID(id), limit)
	s.hub.ring(nil, released > 0)
	return released, translate(err)
}

// Wallet is what the account owns now. Payouts whose hold is over count as
// available even before the sweep has moved them. All is of one moment, because
// it is one statement: while a payout matures it is in one place or the other.
// A suspended account's are all held, a flagged one's while
// the flag holds them.
func (s *Store) Wallet(ctx context.Context, id market.AccountID) (market.Wallet, error) {
	now := s.now()
	var rows []struct {
		Granted market.Credits `db:"granted"`
		Earned  market.Credits `db:"earned"`
		Escrow  market.Credits `db:"escrow"`
		// Redeemed leaves out what was given back.
		Redeemed market.Credits `db:"redeemed"`
		Stopped  bool           `db:"stopped"`
		// HeldUntil is until when flags hold what is to come.
		HeldUntil *time.Time `db:"held_until"`
		heldRow
	}
	err := s.db.SelectContext(ctx, &rows, `
		SELECT w.granted, w.earned,
			(SELECT COALESCE(sum(t.escrow_granted + t.escrow_earned), 0)::bigint FROM tasks t
			 WHERE t.publisher_id = $1 AND t.due_at IS NOT NULL) AS escrow,
			EXISTS (SELECT 1 FROM accounts a WHERE a.id = $1 AND a.state = 'suspended') AS stopped,
			(SELECT held_until FROM accounts a WHERE a.id = $1 AND held_until > $2) AS held_until,
			(SELECT COALESCE(sum(o.price), 0)::bigint FROM redemptions o
			 WHERE o.account_id = $1 AND o.state NOT IN ('refused', 'refunded')) AS redeemed,
			p.id, p.task_id, p.delivery_id, p.amount, p.class, p.granted AS kept, p.available_at, p.hold_reason
		FROM wallets w
		LEFT JOIN payouts p ON p.account_id = w.account_id AND p.state = 'pending'
		WHERE w.account_id = $1
		ORDER BY p.available_at, p.id`, id, now)
	if err != nil {
		return market.Wallet{}, translate(err)
	}
	if len(rows) == 0 {
		return market.Wallet{}, market.ErrNotFound
	}
	w := market.Wallet{Granted: rows[0].Granted, EarnedAvailable: rows[0].Earned, Escrow: rows[0].Escrow, Redeemed: rows[0].Redeemed}
	for _, r := range rows {
		if r.ID != nil {
			hold(&w, r.payout(id), r.Stopped, r.HeldUntil, now)
		}
	}
	return w, nil
}

// hold adds a pending payout to the wallet of its owner, who may be stopped.
func hold(w *market.Wallet, p market.Payout, stopped bool, until *time.Time, now time.Time) {
	if until != nil && until.After(p.AvailableAt) {
		p.AvailableAt, p.HoldReason = *until, market.HoldFlag
	}
	if stopped && p.HoldReason == market.HoldSettlement {
		p.HoldReason = market.HoldSuspended
	}
	if !stopped && !p.AvailableAt.After(now) {
		w.Granted += p.Granted
		w.EarnedAvailable += p.Amount - p.Granted
		return
	}
	w.GrantedPending += p.Granted
	w.EarnedPending += p.Amount - p.Granted
	w.Holds = append(w.Holds, p)
}

// heldRow is a payout that is pending, all of it nil where there is none.
type heldRow struct {
	ID          *market.PayoutID   `db:"id"`
	TaskID      *market.TaskID     `db:"task_id"`
	DeliveryID  *market.DeliveryID `db:"delivery_id"`
	Amount      *market.Credits    `db:"amount"`
	Class       *market.Class      `db:"class"`
	Kept        *market.Credits    `db:"kept"` // how much of it is granted
	AvailableAt *time.Time         `db:"available_at"`
	HoldReason  *string            `db:"hold_reason"`
}

func (r heldRow) payout(owner market.AccountID) market.Payout {
	return market.Payout{ID: *r.ID, Account: owner, Task: *r.TaskID, Delivery: *r.DeliveryID, Amount: *r.Amount, Class: *r.Class, Granted: *r.Kept,
		AvailableAt: *r.AvailableAt, HoldReason: *r.HoldReason}
}

// Holding is what the account's live tasks hold, newest first.
func (s *Store) Holding(ctx context.Context, id market.AccountID, limit int) ([]market.Held, error) {
	return list(ctx, s, func(row pgx.CollectableRow) (market.Held, error) {
		var h market.Held
		err := row.Scan(&h.Task, &h.Title, &h.State, &h.Funds.Granted, &h.Funds.Earned)
		return h, err
	}, `
		SELECT id, title, state, escrow_granted, escrow_earned FROM tasks
		WHERE publisher_id = $1 AND due_at IS NOT NULL
		ORDER BY id DESC LIMIT $2`, []any{string(id), limit})
}

// Entries are the account's ledger lines, newest first. A payout that was given
// back is a line of both: of the publisher, whose wallet it comes to, and of
// the worker, who had it to come.
func (s *Store) Entries(ctx context.Context, id market.AccountID, f market.EntryFilter) ([]market.Entry, error) {
	var rows []entryRow
	err := s.db.SelectContext(ctx, &rows, `
		SELECT x.id, x.at, x.kind, x.debit, x.amount, x.debit_class, x.credit_class, x.balance_after, x.task_id, x.order_id,
			t.title AS task_title, a.handle AS counterparty, COALESCE(x.note, '') AS note, x.account_id <> $1 AS taken
		FROM (
			(SELECT id FROM transfers
			WHERE account_id = $1 AND ($2 = 0 OR id < $2) AND ($4 = '' OR kind = $4)
			ORDER BY id DESC LIMIT $3)
			UNION ALL
			(SELECT id FROM transfers
			WHERE counterparty_id = $1 AND kind = 'reversal' AND ($2 = 0 OR id < $2) AND $4 IN ('', 'reversal')
			ORDER BY id DESC LIMIT $3)
		) lines
		JOIN transfers x ON x.id = lines.id
		LEFT JOIN accounts a ON a.id = CASE WHEN x.account_id = $1 THEN x.counterparty_id ELSE x.account_id END
		LEFT JOIN tasks t ON t.id = x.task_id
		ORDER BY x.id DESC
		LIMIT $3`, id, f.Before, f.Limit, f.Kind)
	if err != nil {
		return nil, translate(err)
	}
	out := make([]market.Entry, 0, len(rows))
	for _, r := range rows {
		out = append(out, r.entry())
	}
	return out, nil
}

type entryRow struct {
	ID           int64               `db:"id"`
	At           time.Time           `db:"at"`
	Kind         market.TransferKind `db:"kind"`
	Debit        string              `db:"debit"`
	Amount       market.Credits      `db:"amount"`
	DebitClass   market.Class        `db:"debit_class"`
	CreditClass  market.Class        `db:"credit_class"`
	BalanceAfter *market.Credits     `db:"balance_after"`
	TaskID       *market.TaskID      `db:"task_id"`
	OrderID      *market.OrderID     `db:"order_id"`
	TaskTitle    *string             `db:"task_title"`
	Counterparty *string             `db:"counterparty"`
	Note         string              `db:"note"`
	// Taken says that the line took from what the account had to come.
	Taken bool `db:"taken"`
}

func (r entryRow) entry() market.Entry {
	e := market.Entry{ID: r.ID, At: r.At, Kind: r.Kind, Amount: r.Amount, Class: r.CreditClass, BalanceAfter: r.BalanceAfter, Note: r.Note}
	if r.Taken || strings.HasPrefix(r.Debit, "wallet:") {
		e.Amount, e.Class = -r.Amount, r.DebitClass
	}
	if r.Taken {
		e.BalanceAfter = nil // that of somebody else's wallet
	}
	if r.TaskID != nil && r.TaskTitle != nil {
		e.Task, e.TaskTitle = *r.TaskID, *r.TaskTitle
	}
	if r.OrderID != nil {
		e.Order = *r.OrderID
	}
	if r.Counterparty != nil {
		e.Counterparty = *r.Counterparty
	}
	return e
}
