package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// inTx runs f in a transaction, again after a deadlock.
func (s *Store) inTx(ctx context.Context, f func(pgx.Tx) error) error {
	var err error
	for range 3 {
		err = s.onConn(ctx, func(c *pgx.Conn) error { return pgx.BeginFunc(ctx, c, f) })
		if !transient(err) {
			break
		}
	}
	if err == nil {
		s.hub.ring(nil, true) // whoever was told something
	}
	return translate(err)
}

// stocked is true of a code that is nobody's and was not taken out.
const stocked = `c.order_id IS NULL AND c.bad_of IS NULL AND c.withdrawn_at IS NULL`

// free is true of a code that can be ordered at the time $1.
const free = stocked + ` AND (c.expires_at IS NULL OR c.expires_at > $1)`

const goodColumns = `
	g.id, g.kind, g.name, g.denomination, g.price, g.region, g.terms, g.offered, g.version, g.created_at, COALESCE(g.picture_type, ''),
	(SELECT count(*) FROM goods_codes c WHERE c.good_id = g.id AND ` + free + `)`

func goodTargets(g *market.Good) []any {
	return []any{&g.ID, &g.Kind, &g.Name, &g.Denomination, &g.Price, &g.Region, &g.Terms, &g.Offered, &g.Version, &g.CreatedAt, &g.PictureType, &g.Stock}
}

// Catalog are the goods on offer of the kind ("": of any), newest first, older
// than before ("": from the newest). What is out of stock is among them.
func (s *Store) Catalog(ctx context.Context, kind market.GoodKind, before market.GoodID, limit int) ([]market.Good, error) {
	return list(ctx, s, func(row pgx.CollectableRow) (g market.Good, err error) { return g, row.Scan(goodTargets(&g)...) }, `
		SELECT `+goodColumns+`
		FROM goods g
		WHERE g.offered AND ($2 = '' OR g.kind = $2) AND ($3::uuid IS NULL OR g.id < $3::uuid)
		ORDER BY g.id DESC LIMIT $4`, []any{s.now(), string(kind), nullID(before), limit})
}

// Good is one good, on offer or not, or market.ErrNotFound.
func (s *Store) Good(ctx context.Context, id market.GoodID) (market.Good, error) {
	var g market.Good
	err := s.read(ctx, func(c *pgx.Conn) error {
		return c.QueryRow(ctx, `SELECT `+goodColumns+` FROM goods g WHERE g.id = $2`, s.now(), string(id)).Scan(goodTargets(&g)...)
	})
	return g, translate(err)
}

const stockedColumns = goodColumns + `,
	(SELECT count(*) FROM goods_codes c JOIN redemptions o ON o.id = c.order_id WHERE c.good_id = g.id AND o.state = 'pending_review'),
	(SELECT count(*) FROM goods_codes c JOIN redemptions o ON o.id = c.order_id WHERE c.good_id = g.id AND o.state = 'fulfilled'),
	(SELECT count(*) FROM goods_codes c WHERE c.good_id = g.id AND ` + stocked + ` AND c.expires_at <= $1),
	(SELECT count(*) FROM goods_codes c WHERE c.good_id = g.id AND c.bad_of IS NOT NULL),
	(SELECT count(*) FROM goods_codes c WHERE c.good_id = g.id AND c.withdrawn_at IS NOT NULL)`

func scanStocked(row pgx.Row) (market.Stocked, error) {
	var g market.Stocked
	return g, row.Scan(append(goodTargets(&g.Good), &g.Held, &g.Sold, &g.Expired, &g.Bad, &g.Withdrawn)...)
}

// Goods are all goods with their stock, for operators, newest first.
func (s *Store) Goods(ctx context.Context, before market.GoodID, limit int) ([]market.Stocked, error) {
	return list(ctx, s, func(row pgx.CollectableRow) (market.Stocked, error) { return scanStocked(row) }, `
		SELECT `+stockedColumns+`
		FROM goods g
		WHERE $2::uuid IS NULL OR g.id < $2::uuid
		ORDER BY g.id DESC LIMIT $3`, []any{s.now(), nullID(before), limit})
}

// StockedGood is one good with its stock, for operators.
func (s *Store) StockedGood(ctx context.Context, id market.GoodID) (market.Stocked, error) {
	var g market.Stocked
	err := s.read(ctx, func(c *pgx.Conn) (err error) {
		g, err = scanStocked(c.QueryRow(ctx, `SELECT `+stockedColumns+` FROM goods g WHERE g.id = $2`, s.now(), string(id)))
		return err
	})
	return g, translate(err)
}

// Picture is the picture of a good and its media type.
func (s *Store) Picture(ctx context.Context, id market.GoodID) (picture []byte, mediaType string, err error) {
	err = s.read(ctx, func(c *pgx.Conn) error {
		return c.QueryRow(ctx, `SELECT picture, picture_type FROM goods WHERE id = $1 AND picture IS NOT NULL`, string(id)).Scan(&picture, &mediaType)
	})
	return picture, mediaType, translate(err)
}

func picture(d market.GoodDraft) (content, mediaType any) {
	if d.Picture == nil {
		return nil, nil
	}
	return d.Picture, d.PictureType
}

// CreateGood adds a clean draft to the goods, without stock.
func (s *Store) CreateGood(ctx context.Context, by Caller, d market.GoodDraft) (market.Good, error) {
	now := s.now()
	g := market.Good{ID: newID[market.GoodID](), Kind: d.Kind, Name: d.Name, Denomination: d.Denomination, Price: market.Credits(d.Price),
		Region: d.Region, Terms: d.Terms, Offered: d.Offered, Version: 1, CreatedAt: now, PictureType: d.PictureType}
	var b batch
	if err := b.once(by, g, now); err != nil {
		return g, err
	}
	content, mediaType := picture(d)
	b.Queue(`
		INSERT INTO goods (id, kind, name, denomination, price, region, terms, picture, picture_type, offered, version, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`, string(g.ID), string(g.Kind), g.Name, g.Denomination, int64(g.Price),
		g.Region, g.Terms, content, mediaType, g.Offered, g.Version, now)
	b.log(by, market.ActionGoodCreated, string(g.ID), "", nil, now)
	return g, s.commit(ctx, &b)
}

// ChangeGood replaces what the good is by the clean draft. Of concurrent
// changes of a version one wins; the others get market.ErrGoodChanged. Orders
// keep what they were made for.
func (s *Store) ChangeGood(ctx context.Context, by Caller, id market.GoodID, version int64, d market.GoodDraft) (market.Good, error) {
	var g market.Good
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		content, mediaType := picture(d)
		done, err := tx.Exec(ctx, `
			UPDATE goods SET kind = $3, name = $4, denomination = $5, price = $6, region = $7, terms = $8, offered = $9,
				picture = COALESCE($10, picture), picture_type = COALESCE($11, picture_type), version = version + 1
			WHERE id = $1 AND version = $2`, string(id), version, string(d.Kind), d.Name, d.Denomination, d.Price, d.Region, d.Terms, d.Offered, content, mediaType)
		if err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT `+goodColumns+` FROM goods g WHERE g.id = $2`, now, string(id)).Scan(goodTargets(&g)...); err != nil {
			return err
		}
		if done.RowsAffected() == 0 {
			return market.ErrGoodChanged
		}
		var b batch
		if err := b.once(by, g, now); err != nil {
			return err
		}
		b.log(by, market.ActionGoodChanged, string(id), "", map[string]any{"price": g.Price, "offered": g.Offered}, now)
		return tx.SendBatch(ctx, &b.Batch).Close()
	})
	return g, err
}

// ImportCodes adds the codes to the good's stock, all or none: each once,
// whatever good has it already. It returns how many were added; the rest are
// doubles.
func (s *Store) ImportCodes(ctx context.Context, by Caller, id market.GoodID, codes []market.Stock) (added int, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		if err := s.holdKeys(ctx, tx, rekeyLock); err != nil {
			return err
		}
		known, err := s.knownCodes(ctx, tx, codes)
		if err != nil {
			return err
		}
		var b batch
		b.Queue(insertCodes, s.columns(id, codes, known, now)...)
		found := tx.SendBatch(ctx, &b.Batch)
		done, err := found.Exec()
		if err := errors.Join(err, found.Close()); err != nil {
			return err
		}
		added = int(done.RowsAffected())
		var rest batch
		rest.log(by, market.ActionCodesImported, string(id), "", map[string]int{"added": added, "duplicates": len(codes) - added}, now)
		return tx.SendBatch(ctx, &rest.Batch).Close()
	})
	return added, err
}

const insertCodes = `
	INSERT INTO goods_codes (id, good_id, sealed, nonce, key_id, fingerprint, expires_at, added_at)
	SELECT u.id, $1, u.sealed, u.nonce, $2, u.fingerprint, u.expires_at, $3
	FROM unnest($4::uuid[], $5::bytea[], $6::bytea[], $7::bytea[], $8::timestamptz[]) AS u (id, sealed, nonce, fingerprint, expires_at)
	ORDER BY u.fingerprint -- two imports never wait for each other in a circle
	ON CONFLICT (fingerprint) DO NOTHING`

// columns seals the codes that are not known.
func (s *Store) columns(good market.GoodID, codes []market.Stock, known map[string]bool, now time.Time) []any {
	var ids []string
	var texts, nonces, prints [][]byte
	var ends []*time.Time
	key := s.opts.Vault.current()
	for _, c := range codes {
		if known[string(s.opts.Vault.fingerprints(c.Code)[0])] {
			continue
		}
		id := newID[market.CodeID]()
		x := s.opts.Vault.seal(id, good, c.Code)
		ids, texts, nonces, prints, ends = append(ids, string(id)), append(texts, x.text), append(nonces, x.nonce), append(prints, x.fingerprint), append(ends, c.ExpiresAt)
	}
	return []any{string(good), key, now, ids, texts, nonces, prints, ends}
}

// knownCodes are those whose fingerprint under an earlier key is there, named
// by that under the current one.
func (s *Store) knownCodes(ctx context.Context, tx pgx.Tx, codes []market.Stock) (map[string]bool, error) {
	known := map[string]bool{}
	if len(s.opts.Vault.ids()) == 1 {
		return known, nil // the index finds them
	}
	current := map[string]string{}
	var all [][]byte
	for _, c := range codes {
		prints := s.opts.Vault.fingerprints(c.Code)
		for _, p := range prints[1:] {
			current[string(p)] = string(prints[0])
			all = append(all, p)
		}
	}
	rows, err := tx.Query(ctx, `SELECT fingerprint FROM goods_codes WHERE fingerprint = ANY ($1)`, all)
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	for _, p := range found {
		known[current[string(p)]] = true
	}
	return known, err
}

// CheckKeys fails if something stored was sealed with a key that is not there.
func (s *Store) CheckKeys(ctx context.Context) error {
	var missing []string
	err := s.db.SelectContext(ctx, &missing, `
		SELECT key_id FROM (
			SELECT key_id FROM goods_codes UNION SELECT key_id FROM second_factors UNION SELECT key_id FROM mails WHERE key_id IS NOT NULL
			UNION SELECT key_id FROM webhooks UNION SELECT old_key_id FROM webhooks WHERE old_key_id IS NOT NULL
		) used WHERE NOT (key_id = ANY ($1)) LIMIT 10`, s.opts.Vault.ids())
	if err == nil && len(missing) > 0 {
		return fmt.Errorf("codes, second factors or mails are sealed with secret keys that are missing here: %v", missing)
	}
	return translate(err)
}
