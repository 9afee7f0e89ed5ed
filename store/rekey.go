package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// sealedTexts are the tables, besides that of codes, that hold what is sealed
// for their rows.
var sealedTexts = []struct {
	old, anew string
	bound     func(id string) string
}{
	{`SELECT account_id::text, sealed, nonce, key_id FROM second_factors WHERE key_id <> $1 ORDER BY key_id, account_id LIMIT $2 FOR UPDATE`,
		`UPDATE second_factors SET sealed = $2, nonce = $3, key_id = $4 WHERE account_id = $1`, func(id string) string { return totpFor(market.AccountID(id)) }},
	{`SELECT id::text, sealed, nonce, key_id FROM mails WHERE key_id <> $1 ORDER BY key_id, id LIMIT $2 FOR UPDATE`,
		`UPDATE mails SET sealed = $2, nonce = $3, key_id = $4 WHERE id = $1`, func(id string) string { return mailFor(market.MailID(id)) }},
}

// rekeyTexts seals anew what is not under the vault's first key, of one table
// at a time.
func (s *Store) rekeyTexts(ctx context.Context, tx pgx.Tx) (int, error) {
	for _, table := range sealedTexts {
		rows, err := tx.Query(ctx, table.old, s.opts.Vault.current(), rekeyBatch)
		if err != nil {
			return 0, err
		}
		type row struct {
			id string
			sealed
		}
		old, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (x row, err error) {
			return x, r.Scan(&x.id, &x.text, &x.nonce, &x.key)
		})
		if err != nil {
			return 0, err
		}
		var b batch
		for _, x := range old {
			text, err := s.opts.Vault.openFor(table.bound(x.id), x.sealed)
			if err != nil {
				return 0, fmt.Errorf("what is sealed for %s: %w", table.bound(x.id), err)
			}
			y := s.opts.Vault.sealFor(table.bound(x.id), text)
			b.Queue(table.anew, x.id, y.text, y.nonce, y.key)
		}
		if len(old) > 0 {
			return len(old), tx.SendBatch(ctx, &b.Batch).Close()
		}
	}
	return 0, nil
}
