package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jmoiron/sqlx"

	"guildhall/market"
)

// Tell tells the account something that bears the number, in a transaction that
// stays open for so long after it has written.
func (s *Store) Tell(ctx context.Context, id market.AccountID, number string, open time.Duration) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		var b batch
		b.tell(id, market.FeedWalletAdjusted, "", map[string]any{"n": number}, s.now())
		err := tx.SendBatch(ctx, &b.Batch).Close()
		time.Sleep(open)
		return err
	})
}

// AuditIn is the audit in a transaction of the test's.
func AuditIn(ctx context.Context, tx *sqlx.Tx) (AuditReport, error) { return audit(ctx, tx) }

// WithVault is the store with other keys.
func (s *Store) WithVault(v *Vault) *Store {
	return &Store{db: s.db, opts: Options{Vault: v, Now: s.opts.Now}, hub: s.hub}
}
