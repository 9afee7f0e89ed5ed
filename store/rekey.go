package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// Whoever seals holds one of these locks, shared, until its transaction ends:
// rekeyLock for codes of goods and secrets of webhooks, which wait for a whole
// rotation, textLock for what people wait for.
const (
	rekeyLock = 7461230061
	textLock  = 7461230062
)

// holdKeys sees to it that no key of the vault is retired until the transaction
// ends, and that it seals with the newest.
func (s *Store) holdKeys(ctx context.Context, tx pgx.Tx, lock int) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock_shared($1)`, lock); err != nil {
		return err
	}
	return s.opts.Vault.reload()
}

// late is a text in a batch that is sealed when that is sent, under textLock.
type late struct {
	what, text string
	sealed
}

// lateColumn is a column of it as an argument of a statement.
type lateColumn struct {
	of   *late
	name string
}

// Value implements driver.Valuer.
func (c lateColumn) Value() (driver.Value, error) {
	switch {
	case c.of.key == "":
		return nil, errors.New("store: a batch with something to seal was sent without sealing it")
	case c.name == "sealed":
		return c.of.sealed.text, nil
	case c.name == "nonce":
		return c.of.nonce, nil
	}
	return c.of.key, nil
}

// seal is the three columns of the text, which opens for what it is sealed for
// only.
func (b *batch) seal(what, text string) (sealed, nonce, key any) {
	x := &late{what: what, text: text}
	b.late = append(b.late, x)
	return lateColumn{x, "sealed"}, lateColumn{x, "nonce"}, lateColumn{x, "key"}
}

func (s *Store) sealLate(ctx context.Context, tx pgx.Tx, b *batch) error {
	if len(b.late) == 0 {
		return nil
	}
	if err := s.holdKeys(ctx, tx, textLock); err != nil {
		return err
	}
	for _, x := range b.late {
		x.sealed = s.opts.Vault.sealFor(x.what, x.text)
	}
	return nil
}

// sendIn sends the batch within the transaction.
func (s *Store) sendIn(ctx context.Context, tx pgx.Tx, b *batch) error {
	if err := s.sealLate(ctx, tx, b); err != nil {
		return err
	}
	return tx.SendBatch(ctx, &b.Batch).Close()
}

// rekeyBatch is how many codes one transaction of a rotation seals anew.
const rekeyBatch = 500

// Rekey seals everything anew that is not under the vault's first key, after
// begin has put a new one there, and calls end when nothing is left under
// another. It can be repeated after it was interrupted. Imports of codes and new
// webhooks wait for it, mails and second factors for its last moment only.
func (s *Store) Rekey(ctx context.Context, begin, end func() error) (done int, err error) {
	err = s.onConn(ctx, func(c *pgx.Conn) error {
		if _, err := c.Exec(ctx, `SELECT pg_advisory_lock($1)`, rekeyLock); err != nil {
			return err
		}
		defer func() { _, _ = c.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, rekeyLock) }() // or the connection is gone
		if err := errors.Join(begin(), s.opts.Vault.reload()); err != nil {
			return err
		}
		all := func(batches ...func(context.Context, pgx.Tx) (int, error)) error {
			for _, batch := range batches {
				for n := 1; n > 0; {
					was := done
					err := pgx.BeginFunc(ctx, c, func(tx pgx.Tx) (err error) { n, err = batch(ctx, tx); done = was + n; return err })
					if transient(err) {
						n, done = 1, was
					} else if err != nil {
						done = was
						return err
					}
				}
			}
			return nil
		}
		if err := all(s.rekeyCodes, s.rekeyWebhooks, s.rekeyTexts); err != nil {
			return err
		}
		if _, err := c.Exec(ctx, `SELECT pg_advisory_lock($1)`, textLock); err != nil {
			return err
		}
		defer func() { _, _ = c.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, textLock) }()
		if err := all(s.rekeyTexts); err != nil {
			return err
		}
		return end()
	})
	return done, translate(err)
}

func (s *Store) rekeyCodes(ctx context.Context, tx pgx.Tx) (int, error) {
	current := s.opts.Vault.current()
	rows, err := tx.Query(ctx, `
		SELECT id, good_id, sealed, nonce, key_id FROM goods_codes WHERE key_id <> $1
		ORDER BY key_id, id LIMIT $2 FOR UPDATE`, current, rekeyBatch)
	if err != nil {
		return 0, err
	}
	type row struct {
		id   market.CodeID
		good market.GoodID
		sealed
	}
	old, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (x row, err error) {
		return x, r.Scan(&x.id, &x.good, &x.text, &x.nonce, &x.key)
	})
	if err != nil {
		return 0, err
	}
	var ids []string
	var texts, nonces, prints [][]byte
	for _, x := range old {
		code, err := s.opts.Vault.open(x.id, x.good, x.sealed)
		if err != nil {
			return 0, fmt.Errorf("code %s of good %s: %w", x.id, x.good, err)
		}
		y := s.opts.Vault.seal(x.id, x.good, code)
		ids, texts, nonces, prints = append(ids, string(x.id)), append(texts, y.text), append(nonces, y.nonce), append(prints, y.fingerprint)
	}
	_, err = tx.Exec(ctx, `
		UPDATE goods_codes c SET sealed = u.sealed, nonce = u.nonce, key_id = $1, fingerprint = u.fingerprint
		FROM unnest($2::uuid[], $3::bytea[], $4::bytea[], $5::bytea[]) AS u (id, sealed, nonce, fingerprint)
		WHERE c.id = u.id`, current, ids, texts, nonces, prints)
	return len(old), err
}

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
