package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

const orderColumns = `
	o.id, o.account_id, oa.handle, o.good_id, g.kind, o.name, o.denomination, o.region, o.terms, o.price, o.state, o.reasons, o.created_at,
	o.decided_at, o.decided_by, COALESCE(od.handle, ''), COALESCE(o.refusal, ''), o.revealed_at, o.reveals,
	(SELECT c.expires_at FROM goods_codes c WHERE c.order_id = o.id),
	o.disputed_at, COALESCE(o.dispute, ''), COALESCE(o.remedy, ''), COALESCE(o.remedy_note, ''), o.settled_at, o.settled_by, COALESCE(os.handle, '')`

const orderFrom = `
	FROM redemptions o
	JOIN accounts oa ON oa.id = o.account_id
	JOIN goods g ON g.id = o.good_id
	LEFT JOIN accounts od ON od.id = o.decided_by
	LEFT JOIN accounts os ON os.id = o.settled_by`

func scanOrder(row pgx.Row) (market.Order, error) {
	var o market.Order
	var decider, settler *market.AccountID
	d := &o.Dispute
	err := row.Scan(&o.ID, &o.Account, &o.Handle, &o.Good, &o.Kind, &o.Name, &o.Denomination, &o.Region, &o.Terms, &o.Price, &o.State, &o.Reasons, &o.At,
		&o.DecidedAt, &decider, &o.Decider, &o.Refusal, &o.RevealedAt, &o.Reveals, &o.CodeExpiresAt,
		&d.At, &d.Text, &d.Remedy, &d.Note, &d.SettledAt, &settler, &d.Settler)
	if settler != nil {
		d.SettledBy = *settler
	}
	if decider != nil {
		o.DecidedBy = *decider
	}
	return o, err
}

func (s *Store) orders(ctx context.Context, query string, args ...any) ([]market.Order, error) {
	return list(ctx, s, func(row pgx.CollectableRow) (market.Order, error) { return scanOrder(row) }, query, args)
}

// Orders are the account's orders, newest first, older than before.
func (s *Store) Orders(ctx context.Context, id market.AccountID, before market.OrderID, limit int) ([]market.Order, error) {
	return s.orders(ctx, `
		SELECT `+orderColumns+orderFrom+`
		WHERE o.account_id = $1 AND ($2::uuid IS NULL OR o.id < $2::uuid)
		ORDER BY o.id DESC LIMIT $3`, string(id), nullID(before), limit)
}

// ReviewQueue are the orders that wait for an operator, oldest first, those
// whose code is said to be bad likewise, or those that were decided, newest
// first. After is the last one seen.
func (s *Store) ReviewQueue(ctx context.Context, which market.ReviewFilter, after market.OrderID, limit int) ([]market.Order, error) {
	switch which {
	case market.ReviewDecided:
		return s.orders(ctx, `
			SELECT `+orderColumns+orderFrom+`
			WHERE o.state <> 'pending_review' AND ($1::uuid IS NULL OR o.id < $1::uuid)
			ORDER BY o.id DESC LIMIT $2`, nullID(after), limit)
	case market.ReviewDisputed:
		return s.orders(ctx, `
			SELECT `+orderColumns+orderFrom+`
			WHERE o.disputed_at IS NOT NULL AND o.remedy IS NULL AND ($1::uuid IS NULL OR o.id > $1::uuid)
			ORDER BY o.id LIMIT $2`, nullID(after), limit)
	}
	return s.orders(ctx, `
		SELECT `+orderColumns+orderFrom+`
		WHERE o.state = 'pending_review' AND ($1::uuid IS NULL OR o.id > $1::uuid)
		ORDER BY o.id LIMIT $2`, nullID(after), limit)
}

// Order is one order, for its owner and for operators; else market.ErrNotFound.
func (s *Store) Order(ctx context.Context, by market.Actor, id market.OrderID) (market.Order, error) {
	found, err := s.orders(ctx, `
		SELECT `+orderColumns+orderFrom+`
		WHERE o.id = $1 AND ($3 OR o.account_id = $2)`, string(id), nullID(by.Account), by.Operator)
	if err == nil && len(found) == 0 {
		err = market.ErrNotFound
	}
	if err != nil {
		return market.Order{}, err
	}
	return found[0], nil
}

// Redeemer is what the account's next order is judged by.
func (s *Store) Redeemer(ctx context.Context, id market.AccountID) (market.Redeemer, error) {
	var r market.Redeemer
	err := s.read(ctx, func(c *pgx.Conn) error {
		return scanRedeemer(c.QueryRow(ctx, selectRedeemer, redeemerArgs(id, s.now())...), &r)
	})
	if err != nil {
		return r, translate(err)
	}
	w, err := s.Wallet(ctx, id)
	r.Earned = w.EarnedAvailable
	return r, err
}

const selectRedeemer = `
	SELECT count(*) FILTER (WHERE state = 'fulfilled'),
		count(*) FILTER (WHERE state NOT IN ('refused', 'refunded') AND created_at > $2),
		COALESCE(sum(price) FILTER (WHERE state NOT IN ('refused', 'refunded') AND created_at > $2), 0)::bigint,
		EXISTS (SELECT 1 FROM payouts WHERE account_id = $1 AND state = 'reversed')
		OR EXISTS (SELECT 1 FROM cases k JOIN deliveries d ON d.id = k.delivery_id
			WHERE k.kind = 'objection' AND k.closed_at IS NULL AND d.worker_id = $1)
		OR EXISTS (SELECT 1 FROM flags f WHERE f.account_id = $1 AND f.hold_until > $3 AND f.outcome IS DISTINCT FROM 'released'),
		EXISTS (SELECT 1 FROM flags f WHERE f.account_id = $1 AND f.outcome = 'frozen')
	FROM redemptions WHERE account_id = $1`

func redeemerArgs(id market.AccountID, now time.Time) []any {
	return []any{string(id), now.Add(-market.VelocityWindow), now}
}

func scanRedeemer(row pgx.Row, r *market.Redeemer) error {
	return row.Scan(&r.Fulfilled, &r.Recent, &r.Spent, &r.Flagged, &r.Frozen)
}

// maxTakes bounds how often an order looks again for a code that others have
// locked for the moment.
const maxTakes = 8

// Redeem orders one code of the good at the price that the caller saw. Of
// concurrent orders as many succeed as there are codes; the others get
// market.ErrOutOfStock and keep their credits. With show the code of an order
// that is fulfilled at once is in the result and counts as revealed.
func (s *Store) Redeem(ctx context.Context, by Caller, good market.GoodID, price market.Credits, show bool) (market.Order, error) {
	released := false
	var order market.Order
	for try := 0; try < maxTakes; {
		err := s.inTx(ctx, func(tx pgx.Tx) (err error) {
			order, err = s.redeem(ctx, tx, by, good, price, show)
			return err
		})
		switch {
		case errors.Is(err, market.ErrInsufficientCredits) && !released:
			released = true // payouts whose hold is over may cover it
			if _, err := s.release(ctx, by.Account, 10_000); err != nil {
				return market.Order{}, err
			}
		case errors.Is(err, errRaceLost):
			try++
			select {
			case <-ctx.Done():
				return market.Order{}, ctx.Err()
			case <-time.After(time.Duration(try) * 10 * time.Millisecond):
			}
		case err != nil:
			return market.Order{}, err
		default:
			return order, nil
		}
	}
	return market.Order{}, market.ErrUnavailable.After(time.Second)
}

// redeem decides and orders in one transaction. The wallet's row is locked
// first, so that orders of one account are judged one after the other.
func (s *Store) redeem(ctx context.Context, tx pgx.Tx, by Caller, id market.GoodID, price market.Credits, show bool) (market.Order, error) {
	now := s.now()
	g, have, err := s.judge(ctx, tx, by, id, now)
	if err != nil {
		return market.Order{}, err
	}
	o, t, err := market.Redeem(by.Actor, g, price, have, s.opts.Review, newID[market.OrderID](), now)
	if err != nil {
		return market.Order{}, err
	}
	if show && o.State == market.OrderFulfilled {
		o.RevealedAt, o.Reveals = &now, 1
	}
	code, c := market.CodeID(""), sealed{}
	err = tx.QueryRow(ctx, takeCode, now, string(o.ID), string(o.Account), string(o.Good), o.Name, o.Denomination, o.Region, o.Terms, int64(o.Price), string(o.State),
		o.Reasons, o.DecidedAt, o.RevealedAt, o.Reveals, string(t.Kind), t.Debit, t.Credit).Scan(&code, &c.text, &c.nonce, &c.key, &o.CodeExpiresAt)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return market.Order{}, s.outOfStock(ctx, tx, id, now)
	case err != nil:
		return market.Order{}, err
	}
	// A code that cannot be read must not be sold.
	text, err := s.openCode(code, id, c)
	if err != nil {
		return market.Order{}, err
	}
	if by.Once != nil { // without the code: that is never stored
		var b batch
		if err := b.once(by, o, now); err != nil {
			return market.Order{}, err
		}
		if err := tx.SendBatch(ctx, &b.Batch).Close(); err != nil {
			return market.Order{}, err
		}
	}
	if o.Reveals > 0 {
		o.Code = text
	}
	return o, nil
}

// takeCode is the whole order: it takes a code that nobody else is taking,
// those that end first before the others, and only with one moves the credits.
const takeCode = `
	WITH next AS (
		SELECT c.id FROM goods_codes c
		WHERE c.good_id = $4 AND ` + free + `
		ORDER BY c.expires_at, c.id LIMIT 1
		FOR UPDATE SKIP LOCKED
	), taken AS (
		UPDATE goods_codes c SET order_id = $2 FROM next WHERE c.id = next.id
		RETURNING c.id, c.sealed, c.nonce, c.key_id, c.expires_at
	), ordered AS (
		INSERT INTO redemptions (id, account_id, good_id, name, denomination, region, terms, price, state, reasons, created_at, decided_at, revealed_at, reveals)
		SELECT $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $1, $12, $13, $14 FROM taken
	), paid AS (
		UPDATE wallets SET earned = earned - $9 FROM taken WHERE account_id = $3
		RETURNING granted + earned AS total
	), posted AS (
		INSERT INTO transfers (at, kind, debit, credit, amount, debit_class, credit_class, account_id, order_id, balance_after)
		SELECT $1, $15, $16, $17, $9, 'earned', 'earned', $3, $2, paid.total FROM paid
	)
	SELECT id, sealed, nonce, key_id, expires_at FROM taken`

// judge locks the caller's wallet and reads what the order is judged by.
func (s *Store) judge(ctx context.Context, tx pgx.Tx, by Caller, id market.GoodID, now time.Time) (g market.Good, have market.Redeemer, err error) {
	var b pgx.Batch
	if by.Once != nil {
		b.Queue(`SELECT begin_once($1)`, onceScope(by))
	}
	b.Queue(`SELECT earned FROM wallets WHERE account_id = $1 FOR UPDATE`, string(by.Account))
	b.Queue(selectRedeemer, redeemerArgs(by.Account, now)...)
	b.Queue(`SELECT `+goodColumns+` FROM goods g WHERE g.id = $2`, now, string(id))
	found := tx.SendBatch(ctx, &b)
	defer found.Close()
	if by.Once != nil {
		if _, err := found.Exec(); err != nil {
			return g, have, err
		}
	}
	if err := found.QueryRow().Scan(&have.Earned); err != nil {
		return g, have, err
	}
	if err := scanRedeemer(found.QueryRow(), &have); err != nil {
		return g, have, err
	}
	if err := found.QueryRow().Scan(goodTargets(&g)...); err != nil {
		return g, have, err
	}
	return g, have, found.Close()
}

// outOfStock says whether there is nothing left, or only nothing that others
// do not hold for the moment.
func (s *Store) outOfStock(ctx context.Context, tx pgx.Tx, id market.GoodID, now time.Time) error {
	var left bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM goods_codes c WHERE c.good_id = $2 AND `+free+`)`, now, string(id)).Scan(&left)
	switch {
	case err != nil:
		return err
	case left:
		return errRaceLost
	}
	return market.ErrOutOfStock
}

func (s *Store) openCode(id market.CodeID, good market.GoodID, c sealed) (string, error) {
	text, err := s.opts.Vault.open(id, good, c)
	if err != nil {
		return "", errors.Join(market.ErrCodeUnreadable, err)
	}
	return text, nil
}

// lockOrder reads the order for a change.
func lockOrder(ctx context.Context, tx pgx.Tx, by Caller, id market.OrderID) (market.Order, error) {
	if by.Once != nil {
		if _, err := tx.Exec(ctx, `SELECT begin_once($1)`, onceScope(by)); err != nil {
			return market.Order{}, err
		}
	}
	return scanOrder(tx.QueryRow(ctx, `SELECT `+orderColumns+orderFrom+` WHERE o.id = $1 FOR UPDATE OF o`, string(id)))
}

// ApproveOrder lets an order go out that waits for an operator. If its code
// has ended meanwhile it gets another one, or market.ErrOutOfStock. Of
// concurrent decisions one wins; the others get market.ErrOrderDecided.
func (s *Store) ApproveOrder(ctx context.Context, by Caller, id market.OrderID) (market.Order, error) {
	return s.decideOrder(ctx, by, id, func(tx pgx.Tx, o market.Order, b *batch, now time.Time) (market.Order, error) {
		o, err := o.Approve(by.Actor, now)
		if err != nil {
			return o, err
		}
		if o.CodeExpiresAt, err = s.keepCode(ctx, tx, o, now); err != nil {
			return o, err
		}
		b.log(by, market.ActionOrderApproved, string(id), "", nil, now)
		b.tell(o.Account, market.FeedOrderFulfilled, "", map[string]any{"orderId": id}, now)
		return o, nil
	})
}

// RefuseOrder gives the price of an order back in full and frees its code.
func (s *Store) RefuseOrder(ctx context.Context, by Caller, id market.OrderID, reason string) (market.Order, error) {
	return s.decideOrder(ctx, by, id, func(tx pgx.Tx, o market.Order, b *batch, now time.Time) (market.Order, error) {
		o, t, err := o.Refuse(by.Actor, reason, now)
		if err != nil {
			return o, err
		}
		o.CodeExpiresAt = nil
		b.Queue(`UPDATE goods_codes SET order_id = NULL WHERE order_id = $1`, string(id))
		b.log(by, market.ActionOrderRefused, string(id), o.Refusal, nil, now)
		b.tell(o.Account, market.FeedOrderRefused, "", map[string]any{"orderId": id, "amount": o.Price}, now)
		b.post([]market.Transfer{t}, now)
		return o, nil
	})
}

func (s *Store) decideOrder(ctx context.Context, by Caller, id market.OrderID, decide func(pgx.Tx, market.Order, *batch, time.Time) (market.Order, error)) (market.Order, error) {
	var o market.Order
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		was, err := lockOrder(ctx, tx, by, id)
		if err != nil {
			return err
		}
		var b, first batch
		if o, err = decide(tx, was, &b, now); err != nil {
			return err
		}
		if err := first.once(by, o, now); err != nil {
			return err
		}
		first.Queue(`UPDATE redemptions SET state = $2, decided_at = $3, decided_by = $4, refusal = $5 WHERE id = $1`,
			string(id), string(o.State), o.DecidedAt, string(o.DecidedBy), nullID(o.Refusal))
		first.QueuedQueries = append(first.QueuedQueries, b.QueuedQueries...)
		return tx.SendBatch(ctx, &first.Batch).Close()
	})
	return o, err
}

// keepCode makes sure that the order's code can be read and has not ended; one
// that has is exchanged. It returns when the code ends.
func (s *Store) keepCode(ctx context.Context, tx pgx.Tx, o market.Order, now time.Time) (*time.Time, error) {
	if o.CodeExpiresAt != nil && !o.CodeExpiresAt.After(now) {
		if _, err := tx.Exec(ctx, `UPDATE goods_codes SET order_id = NULL WHERE order_id = $1`, string(o.ID)); err != nil {
			return nil, err
		}
		if err := takeAnother(ctx, tx, o, now); err != nil {
			return nil, err
		}
	}
	_, ends, err := s.readCode(ctx, tx, o)
	return ends, err
}

// takeAnother gives the order a free code, or returns market.ErrOutOfStock.
func takeAnother(ctx context.Context, tx pgx.Tx, o market.Order, now time.Time) error {
	done, err := tx.Exec(ctx, `
		UPDATE goods_codes SET order_id = $2
		WHERE id = (SELECT c.id FROM goods_codes c WHERE c.good_id = $3 AND `+free+`
			ORDER BY c.expires_at, c.id LIMIT 1 FOR UPDATE SKIP LOCKED)`, now, string(o.ID), string(o.Good))
	if err == nil && done.RowsAffected() == 0 {
		err = market.ErrOutOfStock
	}
	return err
}

// readCode opens the code of an order.
func (s *Store) readCode(ctx context.Context, tx pgx.Tx, o market.Order) (string, *time.Time, error) {
	var id market.CodeID
	var c sealed
	var ends *time.Time
	err := tx.QueryRow(ctx, `SELECT id, sealed, nonce, key_id, expires_at FROM goods_codes WHERE order_id = $1`, string(o.ID)).
		Scan(&id, &c.text, &c.nonce, &c.key, &ends)
	if err != nil {
		return "", nil, err
	}
	text, err := s.openCode(id, o.Good, c)
	return text, ends, err
}

// RevealOrder shows the code to the order's owner and counts that.
func (s *Store) RevealOrder(ctx context.Context, by Caller, id market.OrderID) (market.Order, error) {
	var o market.Order
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		was, err := lockOrder(ctx, tx, Caller{Actor: by.Actor}, id)
		if err != nil {
			return err
		}
		if err := was.Revealable(by.Actor); err != nil {
			return err
		}
		o = was
		if o.Code, _, err = s.readCode(ctx, tx, o); err != nil {
			return err
		}
		o.Reveals++
		if o.RevealedAt == nil {
			o.RevealedAt = &now
		}
		_, err = tx.Exec(ctx, `UPDATE redemptions SET revealed_at = $2, reveals = $3 WHERE id = $1`, string(id), o.RevealedAt, o.Reveals)
		return err
	})
	if err != nil {
		return market.Order{}, err
	}
	return o, nil
}
