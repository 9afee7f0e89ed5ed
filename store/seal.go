package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// sealAfter is how long after its end a day of the ledger is sealed: longer
// than any transaction that began on it.
const sealAfter = time.Hour

// sealEvery is how often a node looks for a day to seal.
const sealEvery = 10 * time.Minute

// seal closes the first day of the ledger that is over and not sealed yet. It
// returns how many it sealed, at most one, nothing while another node does.
func (s *Store) seal(ctx context.Context) (int, error) {
	now := s.now()
	r, err := s.db.ExecContext(ctx, `
		WITH mine AS MATERIALIZED (
			SELECT pg_try_advisory_xact_lock(746123055) AS got
		), last AS (
			SELECT day, hash FROM ledger_days ORDER BY day DESC LIMIT 1
		), next AS (
			SELECT (min(x.at) AT TIME ZONE 'UTC')::date AS day FROM transfers x
			WHERE x.at >= COALESCE((SELECT (day + 1)::timestamp AT TIME ZONE 'UTC' FROM last), '-infinity')
		), lines AS (
			SELECT n.day, count(*) AS lines, sum(x.id) AS id_sum, chain_marks(x.mark ORDER BY x.id) AS chain
			FROM next n JOIN transfers x ON x.at >= n.day::timestamp AT TIME ZONE 'UTC' AND x.at < (n.day + 1)::timestamp AT TIME ZONE 'UTC'
			WHERE (n.day + 1)::timestamp AT TIME ZONE 'UTC' <= $2::timestamptz AND (SELECT got FROM mine)
			GROUP BY n.day
		)
		INSERT INTO ledger_days (day, lines, id_sum, chain, hash, sealed_at)
		SELECT l.day, l.lines, l.id_sum, l.chain, sha256(COALESCE((SELECT hash FROM last), '') || l.chain), $1
		FROM lines l
		ON CONFLICT (day) DO NOTHING -- another node has just sealed it`, now, now.Add(-sealAfter))
	if err != nil {
		return 0, translate(err)
	}
	n, err := r.RowsAffected()
	return int(n), err
}

// sealAll seals all days that are due.
func (s *Store) sealAll(ctx context.Context) error {
	now := s.now().Unix()
	if now < s.sealNext.Load() {
		return nil
	}
	for {
		n, err := s.seal(ctx)
		if err != nil {
			return err
		}
		if n == 0 {
			s.sealNext.Store(now + int64(sealEvery/time.Second))
			return nil
		}
	}
}

// auditDays compares the sealed days with the lines that are there now.
func auditDays(ctx context.Context, tx *sqlx.Tx, r *AuditReport) ([]Finding, error) {
	rows, err := tx.QueryxContext(ctx, `
		SELECT d.day, d.lines, d.chain, d.hash, COALESCE(x.lines, 0) AS now_lines, x.chain AS now_chain, d.id_sum - COALESCE(x.id_sum, 0) AS missing
		FROM ledger_days d
		LEFT JOIN (
			SELECT (at AT TIME ZONE 'UTC')::date AS day, count(*) AS lines, sum(id) AS id_sum, chain_marks(mark ORDER BY id) AS chain
			FROM transfers GROUP BY 1
		) x USING (day)
		ORDER BY d.day`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []Finding
	for rows.Next() {
		var d struct {
			Day     time.Time `db:"day"`
			Lines   int64     `db:"lines"`
			Chain   []byte    `db:"chain"`
			Hash    []byte    `db:"hash"`
			Now     int64     `db:"now_lines"`
			Current []byte    `db:"now_chain"`
			Missing string    `db:"missing"`
		}
		if err := rows.StructScan(&d); err != nil {
			return found, err
		}
		f := Finding{Check: "day", Subject: "day:" + d.Day.Format(time.DateOnly)}
		want := sha256.Sum256(append(bytes.Clone(r.Seal), d.Chain...))
		switch {
		case !bytes.Equal(want[:], d.Hash):
			f.Detail = "its seal does not follow from the day before"
		case d.Now == d.Lines-1:
			f.Detail = "transfer:" + d.Missing + " is missing"
		case d.Now != d.Lines:
			f.Detail = fmt.Sprintf("it was sealed with %d lines and has %d", d.Lines, d.Now)
		case !bytes.Equal(d.Chain, d.Current):
			f.Detail = "lines and their marks were changed after it was sealed"
		}
		if f.Detail != "" && len(found) < maxFindings {
			found = append(found, f)
		}
		r.Days++
		r.Seal = d.Hash
	}
	return found, rows.Err()
}
