package store

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"guildhall/market"
)

// principalsOf begins a column with the humans that the account that follows
// belongs to, or did a while ago, as of $6.
const principalsOf = `ARRAY(SELECT p.human_id FROM principals p WHERE p.party_until > $6::timestamptz AND p.agent_id = `

// publishersOf are those of the publisher of the task t, with whom it was
// published through: market.Principals.
const publishersOf = `CASE WHEN t.bundle_id IS NULL THEN ` + principalsOf + `t.publisher_id)
	ELSE ARRAY(SELECT party(t.publisher_id, t.bundle_id, $6)) END`

// managedColumn are the agents that belong to the account a, if it is an
// operator, as of $2; actorColumns that, behind who has paused the account.
const (
	managedColumn = `CASE WHEN a.operator THEN ARRAY(SELECT p.agent_id FROM principals p WHERE p.human_id = a.id AND p.party_until > $2::timestamptz) END`
	actorColumns  = `
	COALESCE((SELECT h.handle FROM bindings b JOIN accounts h ON h.id = b.human_id
		WHERE b.agent_id = a.id AND b.ended_at IS NULL AND b.paused_at IS NOT NULL), ''), ` + managedColumn
)

func accountIDs(ids []string) []market.AccountID {
	var out []market.AccountID
	for _, id := range ids {
		out = append(out, market.AccountID(id))
	}
	return out
}

// boundRefusal is what the functions of bindings refuse.
func boundRefusal(pg *pgconn.PgError) error {
	switch pg.Code {
	case "GH021":
		return market.Paused(pg.Detail)
	case "GH022":
		return market.ErrOneParty
	case "GH023":
		left, _ := strconv.ParseInt(pg.Detail, 10, 64) // 0 if it were no number
		return market.ErrSpendCapExceeded.With(map[string]any{"Left": left})
	case "GH024":
		return market.ErrUnauthenticated
	}
	return pg
}

const bindingSelect = `
	SELECT b.id, b.human_id, h.handle, b.agent_id, a.handle, a.display_name, a.state, b.bound_at, b.ended_at, COALESCE(b.ended_by::text, ''),
		b.paused_at, b.spend_limit, b.spent
	FROM bindings b
	JOIN accounts h ON h.id = b.human_id
	JOIN accounts a ON a.id = b.agent_id `

func scanBinding(row pgx.Row) (b market.Binding, err error) {
	err = row.Scan(&b.ID, &b.Human, &b.Manager, &b.Agent, &b.Handle, &b.AgentName, &b.AgentState, &b.BoundAt, &b.EndedAt, &b.EndedBy,
		&b.PausedAt, &b.SpendLimit, &b.Spent)
	return b, err
}

// BindingsOf chooses bindings of one account.
type BindingsOf struct {
	Account market.AccountID
	// Live leaves out those that have ended, Ended those that have not.
	Live, Ended bool
	// Before is the last one seen, "" for none.
	Before market.BindingID
	Limit  int
}

// Bindings are those of the account, as manager or as agent, newest first.
func (s *Store) Bindings(ctx context.Context, f BindingsOf) ([]market.Binding, error) {
	return list(ctx, s, func(row pgx.CollectableRow) (market.Binding, error) { return scanBinding(row) }, bindingSelect+`
		WHERE $1 IN (b.human_id, b.agent_id) AND ($2::uuid IS NULL OR b.id < $2::uuid)
			AND NOT ($3 AND b.ended_at IS NOT NULL) AND NOT ($4 AND b.ended_at IS NULL)
		ORDER BY b.id DESC LIMIT $5`, []any{string(f.Account), nullID(f.Before), f.Live, f.Ended, f.Limit})
}

// BindingOf is the agent's live binding, nil if nobody manages it.
func (s *Store) BindingOf(ctx context.Context, agent market.AccountID) (*market.Binding, error) {
	b, err := s.binding(ctx, `WHERE b.agent_id = $1 AND b.ended_at IS NULL`, string(agent))
	if errors.Is(err, market.ErrNotFound) {
		return nil, nil // it has none: no error to any caller
	}
	return &b, err
}

// Managed is the binding by which the human manages the agent with the handle
// now, or market.ErrNotFound.
func (s *Store) Managed(ctx context.Context, human market.AccountID, handle string) (market.Binding, error) {
	return s.binding(ctx, `WHERE b.human_id = $1 AND a.handle = $2 AND b.ended_at IS NULL`, string(human), handle)
}

func (s *Store) binding(ctx context.Context, which string, args ...any) (b market.Binding, err error) {
	err = s.read(ctx, func(c *pgx.Conn) error {
		b, err = scanBinding(c.QueryRow(ctx, bindingSelect+which, args...))
		return err
	})
	return b, translate(err)
}

// lockWork waits until nobody begins to work with these accounts, one after
// the other, and lets nobody begin until the transaction ends: begin_work.
func lockWork(ctx context.Context, tx pgx.Tx, query string, args ...any) error {
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended(x.id::text, 1)) FROM (`+query+`) x (id)`, args...)
	return err
}

// changed is what becomes of a binding: its new state, and what its accounts
// are told.
type changed struct {
	market.Binding
	event market.FeedType
	data  map[string]any
	// more is what else happens in the transaction.
	more func(b *batch, now time.Time)
}

// changeBinding decides on a binding while its row is locked, and while its
// agent begins no work.
func (s *Store) changeBinding(ctx context.Context, by Caller, id market.BindingID, decide func(market.Binding, time.Time) (changed, error)) (market.Binding, error) {
	var after changed
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lockWork(ctx, tx, `SELECT agent_id FROM bindings WHERE id = $1`, string(id)); err != nil {
			return err
		}
		now := s.now()
		was, err := scanBinding(tx.QueryRow(ctx, bindingSelect+`WHERE b.id = $1 FOR UPDATE OF b`, string(id)))
		if err != nil {
			return err
		}
		if after, err = decide(was, now); err != nil {
			return err
		}
		var b batch
		if err := b.once(by, after.Binding, now); err != nil {
			return err
		}
		var until any // while it is live, for ever
		if after.EndedAt != nil {
			until = market.PartyUntil(now)
		}
		b.Queue(`
			UPDATE bindings SET ended_at = $2, ended_by = $3, party_until = COALESCE($4::timestamptz, 'infinity'), paused_at = $5, spend_limit = $6, spent = $7
			WHERE id = $1`, string(id), after.EndedAt, nullID(after.EndedBy), until, after.PausedAt, (*int64)(after.SpendLimit), int64(after.Spent))
		if after.more != nil {
			after.more(&b, now)
		}
		b.tellBound(after.event, after.Binding, after.data, now)
		return tx.SendBatch(ctx, &b.Batch).Close()
	})
	return after.Binding, translate(err)
}

// tellBound tells both sides of a binding.
func (b *batch) tellBound(kind market.FeedType, of market.Binding, data map[string]any, now time.Time) {
	all := map[string]any{"bindingId": of.ID, "manager": of.Manager, "agent": of.Handle}
	for k, v := range data {
		all[k] = v
	}
	b.tell(of.Human, kind, "", all, now)
	b.tell(of.Agent, kind, "", all, now)
}

// change decides on the binding by which the caller manages the agent.
func (s *Store) change(ctx context.Context, by Caller, handle string, decide func(market.Binding, time.Time) (changed, error)) (market.Binding, error) {
	b, err := s.Managed(ctx, by.Account, handle)
	if err != nil {
		return b, err
	}
	return s.changeBinding(ctx, by, b.ID, decide)
}

// PauseAgent stops the agent from publishing and beginning work: what it began
// before the pause is seen is finished first. Twice is market.ErrAlreadyDone.
func (s *Store) PauseAgent(ctx context.Context, by Caller, handle string) (market.Binding, error) {
	return s.change(ctx, by, handle, func(b market.Binding, now time.Time) (changed, error) {
		b, err := b.Pause(by.Actor, now)
		return changed{Binding: b, event: market.FeedBindingPaused}, err
	})
}

// ResumeAgent ends a pause.
func (s *Store) ResumeAgent(ctx context.Context, by Caller, handle string) (market.Binding, error) {
	return s.change(ctx, by, handle, func(b market.Binding, _ time.Time) (changed, error) {
		b, err := b.Resume(by.Actor)
		return changed{Binding: b, event: market.FeedBindingResumed}, err
	})
}

// LimitAgent sets what the agent may put into escrow from now on.
func (s *Store) LimitAgent(ctx context.Context, by Caller, handle string, limit *market.Credits) (market.Binding, error) {
	return s.change(ctx, by, handle, func(b market.Binding, _ time.Time) (changed, error) {
		b, err := b.Limit(by.Actor, limit)
		return changed{Binding: b, event: market.FeedBindingLimited, data: map[string]any{"limit": limit}}, err
	})
}

// EndBinding ends it, from either side, with its pause, its limit and what
// grants there are.
func (s *Store) EndBinding(ctx context.Context, by Caller, id market.BindingID) (market.Binding, error) {
	return s.changeBinding(ctx, by, id, func(b market.Binding, now time.Time) (changed, error) {
		b, err := b.End(by.Actor, now)
		return changed{Binding: b, event: market.FeedBindingEnded, data: map[string]any{"by": b.Ender()}, more: func(q *batch, now time.Time) {
			q.Queue(revokeGrants, string(id), now)
		}}, err
	})
}
