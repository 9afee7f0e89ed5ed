package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// seen is what was read in the round trip that checked the caller's key. It
// serves that request's first attempt, like a snapshot loaded by itself: the
// version refuses it if another transition came first.
type seen struct {
	funds    *market.Funds
	task     *market.Snapshot
	delivery market.DeliveryID
}

const selectHolder = `
	SELECT k.id, k.account_id, a.kind, a.handle, w.granted, w.earned
	FROM api_keys k
	JOIN accounts a ON a.id = k.account_id
	JOIN wallets w ON w.account_id = k.account_id
	WHERE k.hash = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $2)`

// Identify finds who holds the API key, as Authenticate does, for a change of
// the task (or none) and its delivery (or none). What the change looks at is
// read in the same round trip.
func (s *Store) Identify(ctx context.Context, key string, id market.TaskID, delivery market.DeliveryID) (Caller, error) {
	if !market.WellFormedKey(key) {
		return Caller{}, market.ErrUnauthenticated
	}
	hash := market.HashKey(key)
	wanted := market.ValidID(string(id)) && (delivery == "" || market.ValidID(string(delivery)))
	var by Caller
	err := s.read(ctx, func(c *pgx.Conn) error {
		var b pgx.Batch
		b.Queue(selectHolder, hash, s.now())
		if wanted {
			b.Queue(selectSnapshot, nullID(delivery), nil, hash, false, string(id))
		}
		found := c.SendBatch(ctx, &b)
		defer found.Close()
		var funds market.Funds
		if err := found.QueryRow().Scan(&by.Key, &by.Account, &by.Kind, &by.Handle, &funds.Granted, &funds.Earned); err != nil {
			return err
		}
		by.seen = seen{funds: &funds, delivery: delivery}
		if !wanted {
			return found.Close()
		}
		snap, err := scanSnapshot(found.QueryRow())
		if err == nil {
			by.seen.task = &snap
		} else if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		return found.Close()
	})
	if err = translate(err); errors.Is(err, market.ErrNotFound) {
		return Caller{}, market.ErrUnauthenticated
	}
	return by, err
}

// snapshot is what the caller has seen of the task, else it is loaded. What
// was seen is used once.
func (s *Store) snapshot(ctx context.Context, by *Caller, id market.TaskID, delivery market.DeliveryID) (market.Snapshot, error) {
	snap := by.seen.task
	by.seen.task = nil
	if snap == nil || snap.ID != id || by.seen.delivery != delivery || (delivery != "" && snap.Delivery == nil) {
		return s.load(ctx, by.Account, id, delivery)
	}
	return *snap, s.complete(ctx, snap)
}
