package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// flagEvery is how often one node looks for what is to be flagged.
const flagEvery = time.Hour

// paidPairs are who was paid by whom since $1, by what operators did not take
// back.
const (
	paidPairs = pairs + `, paid AS (SELECT worker, publisher, credits, times FROM pairs)`
	pairs     = `
	pairs AS MATERIALIZED (
		SELECT account_id AS worker, counterparty_id AS publisher, sum(amount)::bigint AS credits, count(*) AS times
		FROM outcomes WHERE role = 'worker' AND kind = 'accepted' AND amount > 0 AND at > $1
		GROUP BY account_id, counterparty_id
	)`
)

// partyPairs are who was paid by which party, seen as the humans that its agents
// belonged to within what is looked at: who splits what it pays over its
// agents, or has them take bundles of others, is found all the same. A pair
// counts once for each two humans; between those of one party it is the
// accounts themselves, so that dealings of before are looked at as they were.
// Only pairs that somebody bound is in are added up again: nearly all are not.
const partyPairs = `
	ties AS MATERIALIZED (
		SELECT agent_id, human_id FROM principals
		WHERE party_until > $1::timestamptz + interval '30 days' -- market.PartyAfter
	), heads AS MATERIALIZED (
		SELECT agent_id AS id, human_id AS head FROM ties UNION SELECT human_id, human_id FROM ties
	), ` + pairs + `, paid AS MATERIALIZED (
		SELECT worker, publisher, worker AS party, credits, times FROM pairs
		WHERE worker NOT IN (SELECT id FROM heads) AND publisher NOT IN (SELECT id FROM heads)
		UNION ALL
		SELECT worker, publisher, party, sum(credits)::bigint, sum(times)::bigint
		FROM (
			SELECT DISTINCT worker, account, credits, times,
				CASE WHEN one THEN account ELSE payer END AS publisher, CASE WHEN one THEN worker ELSE payee END AS party
			FROM (
				SELECT x.worker, x.publisher AS account, x.credits, x.times, h.payee, h.payer,
					bool_or(h.payee = h.payer) OVER (PARTITION BY x.worker, x.publisher) AS one
				FROM pairs x
				LEFT JOIN heads w ON w.id = x.worker
				LEFT JOIN heads p ON p.id = x.publisher
				CROSS JOIN LATERAL (SELECT COALESCE(w.head, x.worker) AS payee, COALESCE(p.head, x.publisher) AS payer) h
				WHERE w.id IS NOT NULL OR p.id IS NOT NULL
			) each
		) bound
		GROUP BY worker, publisher, party
	)`

// atHome is true of networks that a whole site can be in: to share one says
// nothing.
const atHome = `w.registered_from <<= ANY ('{127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,169.254.0.0/16,::/64,fc00::/7,fe80::/10}'::cidr[])`

type flagRule struct {
	kind market.FlagKind
	sql  string
	args []any
}

// flagRules find accounts and the evidence against them. Each gets as $1 since
// when it looks and as $2 and more the numbers of the rule.
var flagRules = []flagRule{
	{market.FlagCircular, `
		WITH ` + partyPairs + `, big AS MATERIALIZED (SELECT * FROM paid WHERE credits >= $2)
		SELECT x.worker AS account, jsonb_build_object('others', jsonb_build_array(a.handle), 'credits', LEAST(x.credits, y.credits)) AS evidence
		FROM big x JOIN big y ON y.party = x.publisher AND y.publisher = x.party JOIN accounts a ON a.id = x.publisher
		UNION ALL
		SELECT x.worker, jsonb_build_object('others', jsonb_build_array(a.handle, b.handle), 'credits', LEAST(x.credits, y.credits, z.credits))
		FROM big x JOIN big y ON y.party = x.publisher JOIN big z ON z.party = y.publisher AND z.publisher = x.party
		JOIN accounts a ON a.id = x.publisher JOIN accounts b ON b.id = y.publisher
		WHERE y.publisher <> x.party`, []any{market.FlagCredits}},
	{market.FlagRelated, `
		WITH ` + paidPairs + `
		SELECT x.worker AS account, jsonb_build_object('others', jsonb_build_array(p.handle), 'credits', x.credits, 'network', w.registered_from::text) AS evidence
		FROM paid x JOIN accounts w ON w.id = x.worker JOIN accounts p ON p.id = x.publisher
		WHERE x.credits >= $2 AND NOT ` + atHome + ` AND (p.registered_from = w.registered_from OR EXISTS (
			SELECT 1 FROM bundles b JOIN api_keys k ON k.bundle_id = b.id
			WHERE b.account_id = p.id AND (b.redeemed_from <<= w.registered_from OR k.last_used_from <<= w.registered_from)))`, []any{market.FlagCredits}},
	{market.FlagInstant, `
		SELECT x.account_id AS account, jsonb_build_object('others', jsonb_build_array(p.handle), 'times', count(*), 'credits', sum(x.amount)) AS evidence
		FROM outcomes x JOIN deliveries d ON d.id = x.delivery_id JOIN accounts p ON p.id = x.counterparty_id
		WHERE x.role = 'worker' AND x.kind = 'accepted' AND x.at > $1 AND d.review->>'By' = 'publisher'
			AND x.at < d.created_at + $2 * interval '1 second'
		GROUP BY x.account_id, p.handle HAVING count(*) >= $3`, []any{market.InstantSeconds, market.InstantTimes}},
	{market.FlagConcentration, `
		WITH ` + partyPairs + `, of AS (
			SELECT * FROM paid JOIN (
				SELECT worker, sum(credits) AS whole, sum(times) AS deliveries FROM pairs GROUP BY worker
			) w USING (worker)
		)
		SELECT o.worker AS account, jsonb_build_object('others', jsonb_build_array(p.handle), 'credits', o.credits, 'of', o.whole, 'times', o.times) AS evidence
		FROM of o JOIN accounts p ON p.id = o.publisher
		WHERE o.credits * 100 > o.whole * $2 AND o.whole >= $3 AND o.deliveries >= $4`,
		[]any{market.ConcentrationShare, market.ConcentrationCredits, market.ConcentrationTimes}},
	{market.FlagSignups, `
		SELECT a.id AS account, jsonb_build_object('network', a.registered_from::text, 'times', b.times) AS evidence
		FROM (SELECT w.registered_from, count(*) AS times FROM accounts w
			WHERE w.registered_from IS NOT NULL AND NOT ` + atHome + ` AND w.created_at > $1::timestamptz + $3 * interval '1 second' - interval '1 day'
			GROUP BY w.registered_from HAVING count(*) >= $2) b
		JOIN accounts a ON a.registered_from = b.registered_from
		WHERE EXISTS (SELECT 1 FROM payouts y WHERE y.account_id = a.id AND y.state = 'pending')`,
		[]any{market.SignupsMost, int64(market.FlagLook / time.Second)}},
}

// RaiseFlags flags what the rules find, once an hour, and lets flags lapse that
// nobody has decided. What an operator released, or lapsed, is not flagged
// again for the same kind within what the rules look at. Each rule is a
// transaction of its own; of several nodes one looks at a time.
func (s *Store) RaiseFlags(ctx context.Context) error {
	now, next := s.now(), s.flagNext.Load()
	if now.Unix() < next || !s.flagNext.CompareAndSwap(next, now.Add(flagEvery).Unix()) {
		return nil
	}
	var failed []error // one rule that cannot look must not hold up the others
	for _, rule := range flagRules {
		failed = append(failed, s.alone(ctx, func(tx pgx.Tx) error { return raise(ctx, tx, rule, now) }))
	}
	failed = append(failed, s.alone(ctx, func(tx pgx.Tx) error {
		var b batch
		b.Queue(`UPDATE flags SET outcome = 'lapsed', decided_at = $1 WHERE outcome IS NULL AND hold_until <= $1`, now)
		b.holdFlagged(now)
		return tx.SendBatch(ctx, &b.Batch).Close()
	}))
	return errors.Join(failed...)
}

// alone does something with flags unless another node is at it.
func (s *Store) alone(ctx context.Context, do func(pgx.Tx) error) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		var mine bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock(746123057)`).Scan(&mine); err != nil || !mine {
			return err
		}
		return do(tx)
	})
}

// raise flags what one rule finds.
func raise(ctx context.Context, tx pgx.Tx, rule flagRule, now time.Time) error {
	rows, err := tx.Query(ctx, `
		SELECT DISTINCT ON (f.account) f.account::text, f.evidence FROM (`+rule.sql+`) f
		JOIN accounts a ON a.id = f.account AND a.kind <> 'platform'
		ORDER BY f.account, (f.evidence->>'credits')::bigint DESC NULLS LAST, f.evidence
		LIMIT 10000`, append([]any{now.Add(-market.FlagLook)}, rule.args...)...)
	if err != nil {
		return err
	}
	var b batch
	var account string
	var evidence json.RawMessage
	_, err = pgx.ForEachRow(rows, []any{&account, &evidence}, func() error {
		b.Queue(`
			INSERT INTO flags (id, account_id, kind, evidence, raised_at, hold_until)
			SELECT $1, $2, $3, $4, $5, $6
			WHERE NOT EXISTS (SELECT 1 FROM flags WHERE account_id = $2 AND kind = $3 AND decided_at > $7)
			ON CONFLICT DO NOTHING`, string(newID[market.FlagID]()), account, string(rule.kind), string(evidence), now, now.Add(rule.kind.Hold()), now.Add(-market.FlagLook))
		return nil
	})
	if err != nil {
		return err
	}
	return tx.SendBatch(ctx, &b.Batch).Close()
}

// holdFlagged makes accounts' holds those of their flags, and tells them.
func (b *batch) holdFlagged(now time.Time) {
	b.Queue(`
		WITH changed AS (UPDATE accounts a SET held_until = h.until
		FROM (
			SELECT x.id, max(f.hold_until) AS until
			FROM (SELECT id FROM accounts WHERE held_until IS NOT NULL
				UNION SELECT account_id FROM flags WHERE outcome IS NULL OR outcome IN ('extended', 'frozen')) x
			LEFT JOIN flags f ON f.account_id = x.id AND f.hold_until > $1 AND (f.outcome IS NULL OR f.outcome IN ('extended', 'frozen'))
			GROUP BY x.id
		) h
		WHERE a.id = h.id AND a.held_until IS DISTINCT FROM h.until
		RETURNING a.id, a.held_until)
		INSERT INTO account_events (id, account_id, at, type, data)
		SELECT feed_id($1), id, $1, CASE WHEN held_until IS NULL THEN $2 ELSE $3 END, 
			CASE WHEN isfinite(held_until) THEN jsonb_build_object('until', to_char(held_until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) ELSE '{}' END
		FROM changed`,
		now, string(market.FeedWalletReleased), string(market.FeedWalletHeld))
	b.toldMore = true
}

// FlagState chooses flags.
type FlagState string

// Flags that wait for an operator, that hold payouts by an operator's
// decision, and all others.
const (
	FlagsOpen   FlagState = "open"
	FlagsHeld   FlagState = "held"
	FlagsClosed FlagState = "closed"
)

const flagColumns = `
	f.id, f.account_id, a.handle, f.kind, f.evidence, COALESCE(r.handle, ''), f.reason, f.raised_at, f.hold_until,
	COALESCE(f.outcome, ''), f.decided_at, f.decided_by, COALESCE(d.handle, ''), f.note,
	(SELECT COALESCE(sum(y.amount), 0)::bigint FROM payouts y WHERE y.account_id = f.account_id AND y.state = 'pending'),
	(SELECT count(*) FROM redemptions o WHERE o.account_id = f.account_id AND o.state = 'pending_review')`

const flagFrom = `
	FROM flags f
	JOIN accounts a ON a.id = f.account_id
	LEFT JOIN accounts r ON r.id = f.raised_by
	LEFT JOIN accounts d ON d.id = f.decided_by`

func scanFlag(row pgx.Row) (f market.Flag, err error) {
	var decider *market.AccountID
	err = row.Scan(&f.ID, &f.Account, &f.Handle, &f.Kind, &f.Evidence, &f.RaisedBy, &f.Reason, &f.RaisedAt, &f.HoldUntil,
		&f.Outcome, &f.DecidedAt, &decider, &f.Decider, &f.Note, &f.Pending, &f.Orders)
	if decider != nil {
		f.DecidedBy = *decider
	}
	return f, err
}

// Flags are the operators' queue: those that wait, the oldest first; or those
// that hold, or are over, newest decision first. After and its time are those
// of the last one seen.
func (s *Store) Flags(ctx context.Context, state FlagState, after market.FlagID, at time.Time, limit int) ([]market.Flag, error) {
	where, order := `f.outcome IS NULL AND ($1::uuid IS NULL OR f.id > $1::uuid) AND $2::timestamptz IS NOT NULL`, `f.id`
	switch state {
	case FlagsHeld:
		where = `f.outcome IN ('extended', 'frozen') AND ($1::uuid IS NULL OR (f.decided_at, f.id) < ($2, $1::uuid))`
		order = `f.decided_at DESC, f.id DESC`
	case FlagsClosed:
		where = `f.outcome IN ('released', 'lapsed') AND ($1::uuid IS NULL OR (f.decided_at, f.id) < ($2, $1::uuid))`
		order = `f.decided_at DESC, f.id DESC`
	}
	return s.flags(ctx, `SELECT `+flagColumns+flagFrom+` WHERE `+where+` ORDER BY `+order+` LIMIT $3`, nullID(after), at, limit)
}

// FlagsOf are the flags of the account, newest first.
func (s *Store) FlagsOf(ctx context.Context, id market.AccountID, limit int) ([]market.Flag, error) {
	return s.flags(ctx, `SELECT `+flagColumns+flagFrom+` WHERE f.account_id = $1 ORDER BY f.id DESC LIMIT $2`, string(id), limit)
}

func (s *Store) flags(ctx context.Context, query string, args ...any) ([]market.Flag, error) {
	return list(ctx, s, func(row pgx.CollectableRow) (market.Flag, error) { return scanFlag(row) }, query, args)
}

// FlagAccount raises an operator's own flag. While there is one it returns
// market.ErrAlreadyDone.
func (s *Store) FlagAccount(ctx context.Context, by Caller, id market.AccountID, reason string) (market.Flag, error) {
	about, err := s.AccountFile(ctx, id)
	if err != nil {
		return market.Flag{}, err
	}
	now := s.now()
	f, err := market.RaiseFlag(by.Actor, newID[market.FlagID](), about, reason, now)
	if err != nil {
		return f, err
	}
	return f, s.inTx(ctx, func(tx pgx.Tx) error {
		var b batch
		if err := b.once(by, f, now); err != nil {
			return err
		}
		b.Queue(`
			INSERT INTO flags (id, account_id, kind, evidence, raised_by, reason, raised_at, hold_until)
			VALUES ($1, $2, $3, '{}', $4, $5, $6, $7)`,
			string(f.ID), string(id), string(f.Kind), string(by.Account), f.Reason, now, f.HoldUntil)
		b.log(by, market.ActionFlagRaised, string(id), f.Reason, nil, now)
		b.holdFlagged(now)
		return tx.SendBatch(ctx, &b.Batch).Close()
	})
}

// DecideFlag makes an operator's decision on the flag. Of two at once one
// waits for the other, and then the rule says what is left to decide.
func (s *Store) DecideFlag(ctx context.Context, by Caller, id market.FlagID, d market.FlagDecision) (market.Flag, error) {
	var f market.Flag
	return f, s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		if by.Once != nil {
			if _, err := tx.Exec(ctx, `SELECT begin_once($1)`, onceScope(by)); err != nil {
				return err
			}
		}
		was, err := scanFlag(tx.QueryRow(ctx, `SELECT `+flagColumns+flagFrom+` WHERE f.id = $1 FOR UPDATE OF f`, string(id)))
		if err != nil {
			return err
		}
		if f, err = was.Decide(by.Actor, d, now); err != nil {
			return err
		}
		var b batch
		if err := b.once(by, f, now); err != nil {
			return err
		}
		b.Queue(`UPDATE flags SET outcome = $2, hold_until = $3, decided_at = $4, decided_by = $5, note = $6 WHERE id = $1`,
			string(id), string(f.Outcome), f.HoldUntil, now, string(by.Account), f.Note)
		b.log(by, market.ActionFlagDecided, string(id), f.Note, map[string]any{"outcome": f.Outcome}, now)
		b.holdFlagged(now)
		return tx.SendBatch(ctx, &b.Batch).Close()
	})
}

// Flag is one flag, or market.ErrNotFound.
func (s *Store) Flag(ctx context.Context, id market.FlagID) (f market.Flag, err error) {
	err = s.read(ctx, func(c *pgx.Conn) error {
		f, err = scanFlag(c.QueryRow(ctx, `SELECT `+flagColumns+flagFrom+` WHERE f.id = $1`, string(id)))
		return err
	})
	return f, translate(err)
}
