package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// The operators' log is written in the transaction of what it tells.

const insertAction = `
	INSERT INTO admin_actions (at, actor_id, key_id, action, subject_id, reason, detail)
	VALUES ($1, $2, $3, $4, $5, $6, $7)`

func actionArgs(by Caller, action, subject, reason string, detail any, now time.Time) []any {
	var about any
	if detail != nil {
		about = toDocument(detail)
	}
	return []any{now, string(by.Account), nullID(by.Key), action, nullID(subject), reason, about}
}

// log queues a line of the operators' log.
func (b *batch) log(by Caller, action, subject, reason string, detail any, now time.Time) {
	b.Queue(insertAction, actionArgs(by, action, subject, reason, detail, now)...)
}

// AdminLog is what operators did, newest first.
func (s *Store) AdminLog(ctx context.Context, f market.ActionFilter) ([]market.AdminAction, error) {
	return list(ctx, s, func(row pgx.CollectableRow) (a market.AdminAction, err error) {
		return a, row.Scan(&a.ID, &a.At, &a.Actor, &a.Key, &a.Action, &a.Subject, &a.Reason, &a.Count, &a.Detail)
	}, `
		SELECT x.id, x.at, a.handle, COALESCE(k.prefix, ''), x.action, COALESCE(x.subject_id::text, ''), x.reason,
			COALESCE((x.detail->>'added')::bigint, (x.detail->>'withdrawn')::bigint, 0), x.detail
		FROM admin_actions x
		JOIN accounts a ON a.id = x.actor_id
		LEFT JOIN api_keys k ON k.id = x.key_id
		WHERE ($1 = '' OR x.actor_id = (SELECT id FROM accounts WHERE handle = $1))
			AND ($2 = '' OR x.action = $2)
			AND ($3::uuid IS NULL OR x.subject_id = $3::uuid)
			AND ($4::bigint = 0 OR x.id < $4::bigint)
		ORDER BY x.id DESC LIMIT $5`, []any{f.Operator, f.Action, nullID(f.Subject), f.Before, f.Limit})
}

// AdminActions are what operators did to the subject, newest first.
func (s *Store) AdminActions(ctx context.Context, subject string, limit int) ([]market.AdminAction, error) {
	return s.AdminLog(ctx, market.ActionFilter{Subject: subject, Limit: limit})
}
