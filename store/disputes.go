package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// DisputeOrder notes, once, that the owner says that the code is bad.
func (s *Store) DisputeOrder(ctx context.Context, by Caller, id market.OrderID, text string) (market.Order, error) {
	var o market.Order
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		was, err := lockOrder(ctx, tx, by, id)
		if err != nil {
			return err
		}
		if o, err = was.Contest(by.Actor, text, now); err != nil {
			return err
		}
		var b batch
		if err := b.once(by, o, now); err != nil {
			return err
		}
		b.Queue(`UPDATE redemptions SET disputed_at = $2, dispute = $3 WHERE id = $1`, string(id), now, o.Dispute.Text)
		return tx.SendBatch(ctx, &b.Batch).Close()
	})
	return o, err
}

var remedyActions = map[market.Remedy]string{
	market.RemedyReplaced: market.ActionCodeReplaced, market.RemedyRefunded: market.ActionOrderRefunded, market.RemedyRejected: market.ActionDisputeRejected,
}

var remedyFeed = map[market.Remedy]market.FeedType{
	market.RemedyReplaced: market.FeedOrderReplaced, market.RemedyRefunded: market.FeedOrderRefunded, market.RemedyRejected: market.FeedDisputeRejected,
}

// SettleDispute decides about a code that is said to be bad: the order gets
// another one, or all its credits back, or neither. A bad code is marked and
// never ordered again. Of concurrent decisions one wins; the others get
// market.ErrOrderDecided. Without another code it is market.ErrOutOfStock.
func (s *Store) SettleDispute(ctx context.Context, by Caller, id market.OrderID, r market.Remedy, note string) (market.Order, error) {
	var o market.Order
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		was, err := lockOrder(ctx, tx, by, id)
		if err != nil {
			return err
		}
		var back []market.Transfer
		if o, back, err = was.Settle(by.Actor, r, note, now); err != nil {
			return err
		}
		if err := s.exchange(ctx, tx, &o); err != nil {
			return err
		}
		var b batch
		if err := b.once(by, o, now); err != nil {
			return err
		}
		d := o.Dispute
		b.Queue(`
			UPDATE redemptions SET state = $2, remedy = $3, remedy_note = $4, settled_at = $5, settled_by = $6, revealed_at = $7, reveals = $8
			WHERE id = $1`, string(id), string(o.State), string(d.Remedy), d.Note, now, string(by.Account), o.RevealedAt, o.Reveals)
		b.log(by, remedyActions[r], string(id), d.Note, nil, now)
		b.tell(o.Account, remedyFeed[r], "", map[string]any{"orderId": id}, now)
		b.post(back, now)
		return tx.SendBatch(ctx, &b.Batch).Close()
	})
	return o, err
}

// exchange takes a bad code from the order, and finds it another one if that is
// the remedy.
func (s *Store) exchange(ctx context.Context, tx pgx.Tx, o *market.Order) error {
	if o.Dispute.Remedy == market.RemedyRejected {
		return nil
	}
	if _, err := tx.Exec(ctx, `UPDATE goods_codes SET order_id = NULL, bad_of = $1 WHERE order_id = $1`, string(o.ID)); err != nil {
		return err
	}
	o.CodeExpiresAt = nil
	if o.Dispute.Remedy == market.RemedyRefunded {
		return nil
	}
	if err := takeAnother(ctx, tx, *o, *o.Dispute.SettledAt); err != nil {
		return err
	}
	_, ends, err := s.readCode(ctx, tx, *o) // one that cannot be read must not be given
	o.CodeExpiresAt = ends
	return err
}
