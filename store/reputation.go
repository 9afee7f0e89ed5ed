package store

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// insertOutcome and insertOutcomes write one outcome, and two of the same
// event: no row that others touch is updated.
const outcomeTarget = `
		INSERT INTO new_outcomes (at, task_id, delivery_id, skills, amount, account_id, counterparty_id, role, kind, minutes)
		VALUES `

var (
	insertOutcome  = part{"outcome", outcomeTarget + `($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`}
	insertOutcomes = part{"outcomes", outcomeTarget + `($1, $2, $3, $4, $5, $6, $7, $8, $9, $10), ($1, $2, $3, $4, $5, $11, $12, $13, $14, $15)`}
)

// outcomes adds what the change says about its parties.
func (e *effect) outcomes(c market.Change, now time.Time) {
	out := c.Outcomes()
	if len(out) == 0 {
		return
	}
	o := out[0]
	args := []any{now, o.Task, nullID(o.Delivery), o.Skills, o.Amount}
	for _, o := range out {
		args = append(args, o.Account, o.Counterparty, o.Role, o.Kind, o.Minutes)
	}
	e.add([]part{insertOutcome, insertOutcomes}[len(out)-1], args...)
}

// publisherJoin adds a task's publisher with its record, one row each;
// recordColumns are those of the record.
const (
	publisherJoin = `JOIN accounts p ON p.id = t.publisher_id
		LEFT JOIN reputations pr ON pr.account_id = t.publisher_id AND pr.role = 'publisher' AND pr.skill = ''`
	recordColumns = `
	COALESCE(pr.accepted, 0), COALESCE(pr.rejected, 0), COALESCE(pr.silent, 0), COALESCE(pr.overturned, 0),
	COALESCE(pr.automatic, 0), pr.median_minutes`
)

// decidedColumns count the decided deliveries of the task t.
const decidedColumns = `
		(SELECT count(*) FROM deliveries u WHERE u.task_id = t.id AND u.state = 'accepted'),
		(SELECT count(*) FROM deliveries u WHERE u.task_id = t.id AND u.state = 'rejected')`

// bareSnapshots is selectSnapshots without what is only for showing, which
// costs a twentieth of the whole cycle: for changes whose answer shows no task.
var bareSnapshots = strings.NewReplacer(publisherJoin, `JOIN accounts p ON p.id = t.publisher_id`,
	recordColumns, `0, 0, 0, 0, 0, NULL::integer`, decidedColumns, `0, 0`).Replace(selectSnapshots)

var bareSnapshot = bareSnapshots + ofTask

// foldLock is the advisory lock of the store that counts outcomes; a sweep
// counts at most foldTimes times foldLimit.
const (
	foldLock  = 7_461_230_054
	foldLimit = 5_000
	foldTimes = 4
)

// foldOutcomes takes new outcomes, keeps them and counts them. Only rows that
// this statement itself deleted are counted, so each is counted once, by
// whichever node, and by none if it fails.
const foldOutcomes = `
	WITH taken AS (
		DELETE FROM new_outcomes WHERE id IN (SELECT id FROM new_outcomes ORDER BY id LIMIT $1)
		RETURNING id, at, account_id, role, kind, counterparty_id, task_id, delivery_id, skills, amount, minutes
	), kept AS (
		INSERT INTO outcomes (id, at, account_id, role, kind, counterparty_id, task_id, delivery_id, skills, amount, minutes)
		SELECT id, at, account_id, role, kind, counterparty_id, task_id, delivery_id, skills, amount, minutes FROM taken
	), counted AS (
		SELECT o.account_id, o.role, s.skill, (o.at AT TIME ZONE 'UTC')::date AS day,
			count(*) FILTER (WHERE kind = 'accepted' OR raised) - count(*) FILTER (WHERE lowered) AS accepted,
			count(*) FILTER (WHERE kind = 'rejected' OR lowered) - count(*) FILTER (WHERE raised) AS rejected,
			count(*) FILTER (WHERE kind = 'abandoned') AS abandoned,
			count(*) FILTER (WHERE kind = 'overturned') AS overturned,
			count(*) FILTER (WHERE kind = 'silent') AS silent,
			count(*) FILTER (WHERE kind = 'automatic') AS automatic,
			sum(CASE kind WHEN 'reversed' THEN -amount ELSE amount END)::bigint AS credits
		FROM (
			SELECT taken.*, role = 'worker' AND kind = 'overturned' AS raised, role = 'worker' AND kind = 'reversed' AS lowered FROM taken
		) o
		CROSS JOIN LATERAL (SELECT '' AS skill UNION SELECT unnest(o.skills)) s
		GROUP BY 1, 2, 3, 4
	), days AS (
		INSERT INTO reputation_days AS d (account_id, role, skill, day, accepted, rejected, abandoned, overturned, silent, credits)
		SELECT account_id, role, skill, day, accepted, rejected, abandoned, overturned, silent, credits FROM counted
		ON CONFLICT (role, skill, day, account_id) DO UPDATE SET
			accepted = d.accepted + excluded.accepted, rejected = d.rejected + excluded.rejected,
			abandoned = d.abandoned + excluded.abandoned, overturned = d.overturned + excluded.overturned,
			silent = d.silent + excluded.silent, credits = d.credits + excluded.credits
	), totals AS (
		INSERT INTO reputations AS r (account_id, role, skill, accepted, rejected, abandoned, overturned, silent, automatic, credits)
		SELECT account_id, role, skill, sum(accepted), sum(rejected), sum(abandoned), sum(overturned), sum(silent), sum(automatic), sum(credits)
		FROM counted GROUP BY 1, 2, 3
		ON CONFLICT (account_id, role, skill) DO UPDATE SET
			accepted = r.accepted + excluded.accepted, rejected = r.rejected + excluded.rejected,
			abandoned = r.abandoned + excluded.abandoned, overturned = r.overturned + excluded.overturned,
			silent = r.silent + excluded.silent, automatic = r.automatic + excluded.automatic, credits = r.credits + excluded.credits
	)
	SELECT count(*) AS taken, COALESCE(array_agg(DISTINCT account_id::text) FILTER (WHERE minutes IS NOT NULL), '{}') AS answered FROM taken`

// foldMedians follows foldOutcomes, whose rows it reads.
const foldMedians = `
	UPDATE reputations r SET median_minutes = m.minutes
	FROM unnest($1::uuid[]) AS touched (account_id)
	CROSS JOIN LATERAL (
		SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY minutes) AS minutes FROM (
			SELECT o.minutes FROM outcomes o
			WHERE o.account_id = touched.account_id AND o.minutes IS NOT NULL
			ORDER BY o.at DESC, o.id DESC LIMIT 100
		) latest
	) m
	WHERE r.account_id = touched.account_id AND r.role = 'publisher' AND r.skill = ''`

// foldAll counts what is new.
func (s *Store) foldAll(ctx context.Context) error {
	for range foldTimes {
		if n, err := s.fold(ctx, foldLimit); err != nil || n < foldLimit {
			return err
		}
	}
	return nil
}

// fold counts new outcomes, at most limit, into the reputations, and says how
// many. On one node at a time: others return at once.
func (s *Store) fold(ctx context.Context, limit int) (int, error) {
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return 0, translate(err)
	}
	defer tx.Rollback()
	var mine bool
	if err := tx.GetContext(ctx, &mine, `SELECT pg_try_advisory_xact_lock($1)`, int64(foldLock)); err != nil || !mine {
		return 0, translate(err)
	}
	var done struct {
		Taken    int   `db:"taken"`
		Answered texts `db:"answered"`
	}
	if err := tx.GetContext(ctx, &done, foldOutcomes, limit); err != nil || done.Taken == 0 {
		return 0, translate(err)
	}
	if len(done.Answered) > 0 {
		if _, err := tx.ExecContext(ctx, foldMedians, []string(done.Answered)); err != nil {
			return 0, translate(err)
		}
	}
	return done.Taken, translate(tx.Commit())
}

const countColumns = `accepted, rejected, abandoned, overturned, silent, automatic, credits`

// countTargets is where the countColumns go.
func countTargets(c *market.Counts) []any {
	return []any{&c.Accepted, &c.Rejected, &c.Abandoned, &c.Overturned, &c.Silent, &c.Automatic, &c.Credits}
}

// shownSkills bounds how many skills of an account are told.
const shownSkills = 50

// Reputation is what is publicly known of the account, some seconds old.
func (s *Store) Reputation(ctx context.Context, id market.AccountID) (market.Reputation, error) {
	type row struct {
		role  market.Role
		skill string
		market.Record
	}
	rows, err := list(ctx, s, func(r pgx.CollectableRow) (row, error) {
		var x row
		err := r.Scan(append([]any{&x.role, &x.skill, &x.MedianMinutes}, countTargets(&x.Counts)...)...)
		return x, err
	}, `
		SELECT role, skill, median_minutes, `+countColumns+`
		FROM reputations
		WHERE account_id = $1 AND (role = 'worker' OR skill = '')
		ORDER BY role, skill <> '', accepted + rejected + abandoned DESC, skill
		LIMIT $2`, []any{string(id), shownSkills + 2})
	var out market.Reputation
	for _, r := range rows {
		switch {
		case r.role == market.RolePublisher:
			out.Publisher = r.Record
		case r.skill == "":
			out.Worker = r.Counts
		default:
			out.Skills = append(out.Skills, market.SkillCounts{Skill: r.skill, Counts: r.Counts})
		}
	}
	return out, err
}

// Leaderboard is the first lines of the board, at most limit.
func (s *Store) Leaderboard(ctx context.Context, b market.Board, limit int) ([]market.Standing, error) {
	query, args := boardOfAll, []any{string(b.Role), b.Skill, limit}
	if since, ok := b.Period.Since(s.now()); ok {
		query, args = boardOfPeriod, append(args, since)
	}
	rank := 0
	return list(ctx, s, func(r pgx.CollectableRow) (market.Standing, error) {
		rank++
		x := market.Standing{Rank: rank}
		err := r.Scan(&x.Handle, &x.DisplayName, &x.Kind, &x.Score, &x.N, &x.Accepted, &x.Credits)
		return x, err
	}, query, args)
}

const (
	boardOfAll = `
		SELECT a.handle, a.display_name, a.kind, r.score,
			CASE $1 WHEN 'worker' THEN greatest(r.accepted, 0) + greatest(r.rejected, 0) + r.abandoned ELSE r.accepted + r.rejected + r.silent END,
			r.accepted, r.credits
		FROM (
			SELECT * FROM reputations
			WHERE role = $1 AND skill = $2 AND score IS NOT NULL
			ORDER BY score DESC, accepted DESC, credits DESC, account_id
			LIMIT $3
		) r
		JOIN accounts a ON a.id = r.account_id
		ORDER BY r.score DESC, r.accepted DESC, r.credits DESC, r.account_id`
	boardOfPeriod = `
		SELECT a.handle, a.display_name, a.kind, r.score, r.n, r.accepted, r.credits
		FROM (
			SELECT d.account_id, d.n, d.accepted, d.credits, reputation_score(d.accepted, d.n + d.overturned) AS score
			FROM (
				SELECT account_id, credits, accepted, CASE $1 WHEN 'worker' THEN 0 ELSE overturned END AS overturned,
					accepted + CASE $1 WHEN 'worker' THEN greatest(rejected, 0) + abandoned ELSE rejected + silent END AS n
				FROM (
					SELECT account_id, greatest(sum(accepted), 0) AS accepted, sum(rejected) AS rejected, sum(abandoned) AS abandoned,
						sum(overturned) AS overturned, sum(silent) AS silent, sum(credits::float8)::bigint AS credits
					FROM reputation_days WHERE role = $1 AND skill = $2 AND day >= $4::date
					GROUP BY account_id
				) sums
			) d
			WHERE d.n > 0
			ORDER BY score DESC, d.accepted DESC, d.credits DESC, d.account_id
			LIMIT $3
		) r
		JOIN accounts a ON a.id = r.account_id
		ORDER BY r.score DESC, r.accepted DESC, r.credits DESC, r.account_id`
)
