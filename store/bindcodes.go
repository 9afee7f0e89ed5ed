package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

const bindCodeSelect = `
	SELECT c.id, c.agent_id, k.hash, k.prefix, k.revoked_at IS NOT NULL OR COALESCE(k.expires_at <= $2, false), c.created_at, c.expires_at, c.replaced_at,
		COALESCE(c.binding_id::text, '')
	FROM bind_codes c JOIN api_keys k ON k.id = c.key_id `

func scanBindCode(row pgx.Row) (c market.BindCode, err error) {
	var hash []byte
	err = row.Scan(&c.ID, &c.Agent, &hash, &c.KeyPrefix, &c.KeyEnded, &c.CreatedAt, &c.ExpiresAt, &c.ReplacedAt, &c.Binding)
	c.Fingerprint = market.KeyFingerprint(hash)
	return c, err
}

// MintBindCode makes a code by which a human can bind the calling agent,
// returned here and never again. It takes the place of an earlier one.
func (s *Store) MintBindCode(ctx context.Context, by Caller) (market.BindCode, string, error) {
	if err := market.MintBindCode(by.Actor); err != nil {
		return market.BindCode{}, "", err
	}
	for range maxRaces { // two agents may draw the same code, once in a thousand million
		c, text, err := s.mintBindCode(ctx, by)
		if !errors.Is(err, errRaceLost) {
			return c, text, err
		}
	}
	return market.BindCode{}, "", market.ErrUnavailable.After(time.Second)
}

func (s *Store) mintBindCode(ctx context.Context, by Caller) (c market.BindCode, text string, err error) {
	text = market.NewBindCode()
	hash, _ := market.HashBindCode(text)
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		// The account's row first: of two at once the second takes the place of
		// the first.
		if _, err := tx.Exec(ctx, `SELECT 1 FROM accounts WHERE id = $1 FOR NO KEY UPDATE`, string(by.Account)); err != nil {
			return err
		}
		var key []byte
		c = market.BindCode{ID: newID[market.BindCodeID](), Agent: by.Account, CreatedAt: now, ExpiresAt: now.Add(market.BindCodeLife)}
		if err := tx.QueryRow(ctx, `SELECT hash, prefix FROM api_keys WHERE id = $1`, string(by.Key)).Scan(&key, &c.KeyPrefix); err != nil {
			return err
		}
		c.Fingerprint = market.KeyFingerprint(key)
		var b batch
		if err := b.once(by, c, now); err != nil {
			return err
		}
		b.Queue(`UPDATE bind_codes SET replaced_at = $2 WHERE agent_id = $1 AND replaced_at IS NULL AND binding_id IS NULL`, string(by.Account), now)
		b.Queue(`INSERT INTO bind_codes (id, agent_id, key_id, hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			string(c.ID), string(by.Account), string(by.Key), hash, now, c.ExpiresAt)
		return tx.SendBatch(ctx, &b.Batch).Close()
	})
	return c, text, err
}

// BindCode is one of the agent's own codes, with the binding that came of it.
func (s *Store) BindCode(ctx context.Context, by market.Actor, id market.BindCodeID) (c market.BindCode, made *market.Binding, err error) {
	err = s.read(ctx, func(conn *pgx.Conn) error {
		c, err = scanBindCode(conn.QueryRow(ctx, bindCodeSelect+`WHERE c.id = $1 AND c.agent_id = $3`, string(id), s.now(), string(by.Account)))
		return err
	})
	if err != nil || c.Binding == "" {
		return c, nil, translate(err)
	}
	b, err := s.binding(ctx, `WHERE b.id = $1`, string(c.Binding))
	return c, &b, err
}

// forgetBindCodes forgets codes that were over long ago.
func (s *Store) forgetBindCodes(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM bind_codes WHERE expires_at < $1`, s.now().Add(-market.BindCodeMemory))
	return translate(err)
}

// querier is a connection or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Prospect is the agent whose code the human has typed, if it may bind it now.
// What cannot be a code, and what is none, is market.ErrBindCodeUnknown.
func (s *Store) Prospect(ctx context.Context, by Caller, code string) (p market.Prospect, err error) {
	hash, ok := market.HashBindCode(code)
	if !ok {
		return p, market.UnknownBindCode()
	}
	now := s.now()
	err = s.read(ctx, func(c *pgx.Conn) error {
		p, err = prospect(ctx, c, by.Account, hash, "", now)
		return err
	})
	if err != nil {
		return p, translate(err)
	}
	if _, err = p.Bind(by.Actor, "", now); err != nil {
		return p, err
	}
	p.Reputation, err = s.Reputation(ctx, p.Agent.ID)
	return p, err
}

// prospect reads what decides whether the human may bind the agent of the
// code. The lock is how the code's row is locked, "" if it is not.
func prospect(ctx context.Context, q querier, human market.AccountID, hash []byte, lock string, now time.Time) (p market.Prospect, err error) {
	p.Code, err = scanBindCode(q.QueryRow(ctx, bindCodeSelect+`WHERE c.hash = $1`+lock, hash, now))
	if errors.Is(err, pgx.ErrNoRows) {
		return p, market.UnknownBindCode()
	}
	if err != nil {
		return p, err
	}
	a := &p.Agent
	err = q.QueryRow(ctx, `
		SELECT a.id, a.kind, a.handle, a.display_name, a.description, a.created_at, a.state,
			EXISTS (SELECT 1 FROM bindings b WHERE b.agent_id = a.id AND b.ended_at IS NULL), `+togetherColumn+`
		FROM accounts a WHERE a.id = $1`, string(p.Code.Agent), string(human), now).
		Scan(&a.ID, &a.Kind, &a.Handle, &a.DisplayName, &a.Description, &a.CreatedAt, &a.State, &p.Bound, &p.Together)
	return p, err
}

// togetherColumn says whether the agent $1 and anybody of the party of the
// human $2 have live work with each other: a claim, a delivery that waits, can
// be appealed or is in a case.
const togetherColumn = `EXISTS (
	WITH sides AS (
		SELECT $1::uuid AS id, true AS joins UNION ALL SELECT x.id, false FROM (` + partyMembers + `) x
	), hands AS ( -- by itself, and for others through their bundles
		SELECT id, NULL::uuid AS bundle, joins FROM sides
		UNION ALL
		SELECT b.account_id, b.id, s.joins FROM sides s JOIN bundles b ON b.agent_id = s.id AND b.party_until > $3
	)
	SELECT 1 FROM hands w JOIN hands p ON p.joins <> w.joins
	WHERE EXISTS (
		SELECT 1 FROM claims c JOIN tasks t ON t.id = c.task_id
		WHERE c.worker_id = w.id AND c.ended_at IS NULL AND t.publisher_id = p.id AND ` + byTheseHands + `
	) OR EXISTS (
		SELECT 1 FROM deliveries d JOIN tasks t ON t.id = d.task_id
		WHERE d.worker_id = w.id AND t.publisher_id = p.id AND (
			d.state = 'pending' OR d.in_case
			OR d.state = 'rejected' AND COALESCE(d.due_at, CASE WHEN d.claim_id IS NOT NULL AND t.state = 'in_review' THEN t.appeal_by END) > $3)
			AND ` + byTheseHands + `
	))`

const byTheseHands = `(p.bundle IS NULL OR t.bundle_id = p.bundle)
	AND (w.bundle IS NULL OR EXISTS (SELECT 1 FROM bundle_actions x WHERE x.bundle_id = w.bundle AND x.task_id = t.id))`

// partyMembers are the human $2 and who is of its party at $3, but for the
// agent $1.
const partyMembers = `
	SELECT $2::uuid AS id
	UNION SELECT p.agent_id FROM principals p WHERE p.human_id = $2 AND p.party_until > $3::timestamptz AND p.agent_id <> $1::uuid`

// Bind makes the human the manager of the agent whose code it typed. Of two
// with one code, or with codes of one agent, one wins. Work that begins at the
// same time is either seen here, and refuses the binding, or refused itself.
func (s *Store) Bind(ctx context.Context, by Caller, code string) (made market.Binding, err error) {
	hash, ok := market.HashBindCode(code)
	if !ok {
		return made, market.UnknownBindCode()
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if by.Once != nil {
			if _, err := tx.Exec(ctx, `SELECT begin_once($1)`, onceScope(by)); err != nil {
				return err
			}
		}
		now := s.now()
		var agent *string // nil: there is no such code
		if err := tx.QueryRow(ctx, `SELECT (SELECT agent_id::text FROM bind_codes WHERE hash = $1)`, hash).Scan(&agent); err != nil {
			return err
		}
		if err := lockParty(ctx, tx, by.Account, agent, now); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT 1 FROM accounts WHERE id IN ($1, $2) ORDER BY id FOR SHARE`, string(by.Account), agent); err != nil {
			return err
		}
		now = s.now()
		if err := tx.QueryRow(ctx, `SELECT `+stateColumns+` FROM accounts a WHERE a.id = $1`, string(by.Account)).Scan(&by.State, &by.Reason); err != nil {
			return err
		}
		p, err := prospect(ctx, tx, by.Account, hash, ` FOR UPDATE OF c`, now)
		if err != nil {
			return err
		}
		if made, err = p.Bind(by.Actor, newID[market.BindingID](), now); err != nil {
			return err
		}
		var b batch
		if err := b.once(by, made, now); err != nil {
			return err
		}
		b.Queue(`INSERT INTO bindings (id, human_id, agent_id, bound_at) VALUES ($1, $2, $3, $4)`, string(made.ID), string(made.Human), string(made.Agent), now)
		b.Queue(`UPDATE bind_codes SET binding_id = $2 WHERE id = $1`, string(p.Code.ID), string(made.ID))
		b.tellBound(market.FeedBindingConfirmed, made, nil, now)
		return tx.SendBatch(ctx, &b.Batch).Close()
	})
	return made, err
}

// lockParty lets nobody of the human's party, nor the agent, begin to work
// until the transaction ends. The human comes first: of two that make agents
// the human's, the second sees what the first has made; the agents follow in
// order.
func lockParty(ctx context.Context, tx pgx.Tx, human market.AccountID, agent *string, now time.Time) error {
	if err := lockWork(ctx, tx, `SELECT $1::uuid`, string(human)); err != nil {
		return err
	}
	return lockWork(ctx, tx, `
		SELECT x.id FROM (
			SELECT $1::uuid AS id UNION SELECT agent_id FROM principals WHERE human_id = $2 AND party_until > $3::timestamptz
		) x
		WHERE x.id IS NOT NULL ORDER BY x.id`, agent, string(human), now)
}
