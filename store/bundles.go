package store

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

const (
	bundleColumns = `
	b.id, b.account_id, b.name, b.scopes, b.spend_cap, b.spent, COALESCE(b.task_cap, 0), b.tasks, b.skills, b.created_at, b.expires_at,
	b.revoked_at, COALESCE(b.revoked_reason, ''), b.code_expires_at, b.redeemed_at, COALESCE(host(b.redeemed_from), ''),
	COALESCE(b.agent_id::text, ''), COALESCE(g.handle, ''), COALESCE(k.prefix, ''), k.last_used_at, COALESCE(host(k.last_used_from), ''), COALESCE(k.requests, 0)`
	selectBundles = `SELECT ` + bundleColumns + ` FROM bundles b LEFT JOIN api_keys k ON k.bundle_id = b.id LEFT JOIN accounts g ON g.id = b.agent_id`
)

func bundleTargets(b *market.Bundle) []any {
	return []any{&b.ID, &b.Account, &b.Name, &b.Scopes, &b.SpendCap, &b.Spent, &b.TaskCap, &b.Tasks, &b.Skills, &b.CreatedAt, &b.ExpiresAt,
		&b.RevokedAt, &b.RevokedReason, &b.CodeExpiresAt, &b.RedeemedAt, &b.RedeemedFrom,
		&b.Agent, &b.AgentHandle, &b.KeyPrefix, &b.LastUsedAt, &b.LastUsedFrom, &b.Requests}
}

func scanBundle(row pgx.CollectableRow) (b market.Bundle, err error) {
	return b, row.Scan(bundleTargets(&b)...)
}

// Bundles are the account's handoff bundles, newest first, older than before
// ("": from the newest).
func (s *Store) Bundles(ctx context.Context, id market.AccountID, before market.BundleID, limit int) ([]market.Bundle, error) {
	return list(ctx, s, scanBundle, selectBundles+`
		WHERE b.account_id = $1 AND ($2::uuid IS NULL OR b.id < $2::uuid)
		ORDER BY b.id DESC LIMIT $3`, []any{string(id), nullID(before), limit})
}

// Bundle is one of the account's bundles; any other is market.ErrNotFound.
func (s *Store) Bundle(ctx context.Context, account market.AccountID, id market.BundleID) (market.Bundle, error) {
	found, err := list(ctx, s, scanBundle, selectBundles+` WHERE b.id = $2 AND b.account_id = $1`, []any{string(account), string(id)})
	if err == nil && len(found) == 0 {
		err = market.ErrNotFound
	}
	if err != nil {
		return market.Bundle{}, err
	}
	return found[0], nil
}

// BundleActions are what happened to a bundle of the account and through it,
// newest first, older than before ("": from the newest).
func (s *Store) BundleActions(ctx context.Context, account market.AccountID, id market.BundleID, before market.BundleActionID, limit int) ([]market.BundleAction, error) {
	return list(ctx, s, func(row pgx.CollectableRow) (a market.BundleAction, err error) {
		return a, row.Scan(&a.ID, &a.At, &a.Action, &a.Task, &a.Title, &a.Amount)
	}, `
		SELECT x.id, x.at, x.action, COALESCE(x.task_id::text, ''), COALESCE(t.title, ''), COALESCE(x.amount, 0)
		FROM bundle_actions x
		JOIN bundles b ON b.id = x.bundle_id
		LEFT JOIN tasks t ON t.id = x.task_id
		WHERE x.bundle_id = $2 AND b.account_id = $1 AND ($3::uuid IS NULL OR x.id < $3::uuid)
		ORDER BY x.id DESC LIMIT $4`, []any{string(account), string(id), nullID(before), limit})
}

var insertBundleAction = part{"bundle", `
		INSERT INTO bundle_actions (id, bundle_id, at, action, task_id, amount) VALUES ($1, $2, $3, $4, $5, $6)`}

func actedArgs(bundle market.BundleID, action string, task market.TaskID, amount market.Credits, now time.Time) []any {
	var credits any
	if amount != 0 {
		credits = int64(amount)
	}
	return []any{string(newID[market.BundleActionID]()), string(bundle), now, action, nullID(task), credits}
}

// acted queues a line of the timeline of the bundle that the caller acts
// through, if it does.
func (b *batch) acted(by Caller, action string, task market.TaskID, now time.Time) {
	if by.Mandate != nil {
		b.Queue(insertBundleAction.sql, actedArgs(by.Mandate.Bundle, action, task, 0, now)...)
	}
}

// spend queues what publishing takes from the bundle that the caller acts
// through: before the wallet, which is the contended row.
func (b *batch) spend(by Caller, c market.Change, now time.Time) {
	if by.Mandate != nil && c.Event == market.EventPublished {
		b.Queue(`SELECT spend_bundle($1, $2, $3)`, string(by.Mandate.Bundle), int64(c.Snapshot.Escrow.Total()), now)
	}
}

// unspend queues what comes back to bundles with the changes.
func (b *batch) unspend(changes ...market.Change) {
	var ids []string
	var amounts []int64
	for _, c := range changes {
		if back := c.Returned(); c.Snapshot.Bundle != "" && back > 0 {
			ids, amounts = append(ids, string(c.Snapshot.Bundle)), append(amounts, int64(back))
		}
	}
	if ids != nil {
		b.Queue(`SELECT refund_bundles($1::uuid[], $2)`, ids, amounts)
	}
}

// NewBundle makes a bundle with a redeem code, or with its key if the draft
// says so. The secret is returned here and never again.
func (s *Store) NewBundle(ctx context.Context, by Caller, d market.BundleDraft) (market.Bundle, string, error) {
	var bundle market.Bundle
	secret := market.NewKey(market.HandoffPrefix)
	if d.WithKey {
		secret = market.NewKey(market.DelegateKeyPrefix)
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		if err := s.roomForBundle(ctx, tx, by.Account, d, now); err != nil {
			return err
		}
		bundle = market.Bundle{ID: newID[market.BundleID](), Account: by.Account, Name: d.Name, Scopes: d.Scopes, SpendCap: market.Credits(d.SpendCap),
			TaskCap: market.Credits(d.TaskCap), Tasks: d.Tasks, Skills: d.Skills, CreatedAt: now, ExpiresAt: d.ExpiresAt}
		var b batch
		var hash []byte
		if d.WithKey {
			bundle.KeyPrefix = market.KeyHint(secret)
		} else {
			end := now.Add(market.CodeLife)
			hash, bundle.CodeExpiresAt = market.HashKey(secret), &end
		}
		if err := b.once(by, bundle, now); err != nil {
			return err
		}
		b.stillOpen(by, now)
		b.Queue(`
			INSERT INTO bundles (id, account_id, name, scopes, spend_cap, task_cap, tasks, skills, created_at, expires_at, code_hash, code_expires_at)
			VALUES ($1, $2, $3, $4, $5, NULLIF($6::bigint, 0), $7::uuid[], $8, $9, $10, $11, $12)`,
			string(bundle.ID), string(by.Account), bundle.Name, bundle.Scopes, d.SpendCap, d.TaskCap, plainIDs(d.Tasks), d.Skills, now, d.ExpiresAt, hash, bundle.CodeExpiresAt)
		if d.WithKey {
			b.Queue(insertBundleKey, bundleKeyArgs(bundle, secret, now)...)
		}
		b.Queue(insertBundleAction.sql, actedArgs(bundle.ID, market.BundleMinted, "", 0, now)...)
		return s.sendIn(ctx, tx, &b)
	})
	return bundle, secret, translate(err)
}

const insertBundleKey = `
	INSERT INTO api_keys (id, account_id, name, prefix, hash, scopes, created_at, expires_at, bundle_id)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

func bundleKeyArgs(b market.Bundle, text string, now time.Time) []any {
	return []any{string(newID[market.KeyID]()), string(b.Account), b.Name, market.KeyHint(text), market.HashKey(text), b.Scopes, now, b.ExpiresAt, string(b.ID)}
}

// roomForBundle locks the account and looks whether it may have another
// bundle, and whether the tasks of the draft are there.
func (s *Store) roomForBundle(ctx context.Context, tx pgx.Tx, account market.AccountID, d market.BundleDraft, now time.Time) error {
	if _, err := tx.Exec(ctx, lockAccount, string(account)); err != nil {
		return err
	}
	var live int
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM bundles WHERE account_id = $1 AND revoked_at IS NULL AND expires_at > $2`, string(account), now).Scan(&live); err != nil {
		return err
	}
	if live >= market.MaxLiveBundles {
		return market.ErrTooManyBundles.With(map[string]any{"Max": market.MaxLiveBundles})
	}
	return tasksThere(ctx, tx, d.Tasks)
}

// tasksThere refuses the first id that is not a task's.
func tasksThere(ctx context.Context, q querier, ids []market.TaskID) error {
	for i, id := range ids {
		var there bool
		if market.ValidID(string(id)) {
			if err := q.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM tasks WHERE id = $1)`, string(id)).Scan(&there); err != nil {
				return err
			}
		}
		if !there {
			return market.Field("/tasks/"+strconv.Itoa(i), "task_id", nil)
		}
	}
	return nil
}

// lockBundle locks a bundle of the account: what spends through it waits.
func lockBundle(ctx context.Context, tx pgx.Tx, account market.AccountID, id market.BundleID) (b market.Bundle, err error) {
	err = tx.QueryRow(ctx, selectBundles+` WHERE b.id = $1 AND b.account_id = $2 FOR NO KEY UPDATE OF b`, string(id), string(account)).Scan(bundleTargets(&b)...)
	return b, translate(err)
}

// changeBundle lets the rule decide on a bundle of the caller and writes what
// it says.
func (s *Store) changeBundle(ctx context.Context, by Caller, id market.BundleID, rule func(market.Bundle, time.Time) (market.Bundle, error), write func(*batch, market.Bundle, time.Time)) (market.Bundle, error) {
	var after market.Bundle
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		was, err := lockBundle(ctx, tx, by.Account, id)
		if err != nil {
			return err
		}
		if after, err = rule(was, now); err != nil {
			return err
		}
		var b batch
		if err := b.once(by, after, now); err != nil {
			return err
		}
		b.stillOpen(by, now)
		write(&b, after, now)
		return s.sendIn(ctx, tx, &b)
	})
	return after, translate(err)
}

// RevokeBundle ends a bundle of the caller: its key's next call is refused, and
// nothing is spent through it any more once this has returned.
func (s *Store) RevokeBundle(ctx context.Context, by Caller, id market.BundleID) (market.Bundle, error) {
	return s.changeBundle(ctx, by, id, func(b market.Bundle, now time.Time) (market.Bundle, error) {
		return b.Revoke(market.BundleRevokedByOwner, now)
	}, revokeBundle)
}

func revokeBundle(q *batch, b market.Bundle, now time.Time) {
	q.Queue(`UPDATE bundles SET revoked_at = $2, revoked_reason = $3, party_until = $4 WHERE id = $1`, string(b.ID), now, b.RevokedReason, partyUntil(b))
	q.Queue(`UPDATE api_keys SET revoked_at = $2, revoked_reason = $3 WHERE bundle_id = $1 AND revoked_at IS NULL`, string(b.ID), now, b.RevokedReason)
	q.Queue(`DELETE FROM webhooks WHERE bundle_id = $1`, string(b.ID))
	action, told := market.BundleWasRevoked, market.FeedBundleRevoked
	switch b.RevokedReason {
	case market.BundleCodeReused:
		action, told = market.BundleReused, market.FeedBundleReused
	case market.RevokedInURL:
		action = market.BundleKeyLeaked
	}
	q.Queue(insertBundleAction.sql, actedArgs(b.ID, action, "", 0, now)...)
	q.tell(b.Account, told, "", map[string]any{"bundle": b.ID, "reason": b.RevokedReason}, now)
}

// partyUntil is NULL for a bundle of which nobody knows who redeemed it.
func partyUntil(b market.Bundle) any {
	if b.Agent == "" {
		return nil
	}
	return b.PartyUntil()
}

// NarrowBundle takes rights away from a bundle of the caller, from the next
// request on.
func (s *Store) NarrowBundle(ctx context.Context, by Caller, id market.BundleID, n market.Narrowing) (market.Bundle, error) {
	if _, err := s.Bundle(ctx, by.Account, id); err != nil {
		return market.Bundle{}, err
	}
	if len(n.Tasks) <= market.MaxBundleTasks { // else the rule refuses them
		if err := s.read(ctx, func(c *pgx.Conn) error { return tasksThere(ctx, c, n.Tasks) }); err != nil {
			return market.Bundle{}, err
		}
	}
	var before market.Bundle
	return s.changeBundle(ctx, by, id, func(b market.Bundle, now time.Time) (market.Bundle, error) {
		before = b
		return b.Narrow(n, now)
	},
		func(q *batch, b market.Bundle, now time.Time) {
			q.Queue(`UPDATE bundles SET scopes = $2, spend_cap = $3, task_cap = NULLIF($4::bigint, 0), expires_at = $5, party_until = $6,
				tasks = $7::uuid[], skills = $8 WHERE id = $1`,
				string(b.ID), b.Scopes, int64(b.SpendCap), int64(b.TaskCap), b.ExpiresAt, partyUntil(b), plainIDs(b.Tasks), b.Skills)
			q.Queue(`UPDATE api_keys SET scopes = $2, expires_at = $3 WHERE bundle_id = $1`, string(b.ID), b.Scopes, b.ExpiresAt)
			limited := b.Limited() && !before.Limited()
			if limited || len(b.Scopes) < len(before.Scopes) { // they would tell of what it may no longer know
				q.Queue(`DELETE FROM webhooks WHERE bundle_id = $1`, string(b.ID))
			}
			q.Queue(insertBundleAction.sql, actedArgs(b.ID, market.BundleNarrowed, "", 0, now)...)
		})
}

// RecodeBundle gives a bundle that nobody has redeemed a new code, in the place
// of the old one. The code is returned here and never again.
func (s *Store) RecodeBundle(ctx context.Context, by Caller, id market.BundleID) (market.Bundle, string, error) {
	code := market.NewKey(market.HandoffPrefix)
	b, err := s.changeBundle(ctx, by, id, market.Bundle.Recode, func(q *batch, b market.Bundle, now time.Time) {
		q.Queue(`UPDATE bundles SET code_hash = $2, code_expires_at = $3 WHERE id = $1`, string(b.ID), market.HashKey(code), b.CodeExpiresAt)
		q.Queue(insertBundleAction.sql, actedArgs(b.ID, market.BundleRecoded, "", 0, now)...)
	})
	return b, code, err
}

// RedeemHandoff exchanges a code for its bundle's key, which is returned here
// and never again, with the handle of whom it acts for. Of many at once one
// gets the key. Each later try is market.ErrHandoffUsed and revokes the bundle:
// who has the code now may be a stranger, or the first one may have been. The
// agent that redeems it ("": unknown) is of the owner's party from then on:
// work that begins at the same time is either seen here, and refuses the
// redeeming with market.ErrLiveWorkTogether, or refused itself.
func (s *Store) RedeemHandoff(ctx context.Context, code string, agent market.AccountID, from netip.Addr) (b market.Bundle, key, handle string, err error) {
	if !market.WellFormedHandoffCode(code) {
		return b, "", "", market.ErrHandoffUnknown
	}
	key = market.NewKey(market.DelegateKeyPrefix)
	var refused error
	hash := market.HashKey(code)
	err = s.inTx(ctx, func(tx pgx.Tx) (err error) {
		b, refused = market.Bundle{}, nil
		together, err := s.joining(ctx, tx, hash, agent)
		if err != nil {
			return err
		}
		now := s.now()
		err = tx.QueryRow(ctx, selectBundles+` WHERE b.code_hash = $1 FOR NO KEY UPDATE OF b`, hash).Scan(bundleTargets(&b)...)
		if errors.Is(translate(err), market.ErrNotFound) {
			return market.ErrHandoffUnknown
		}
		if err != nil {
			return err
		}
		var q batch
		switch after, rule := b.Redeem(agent, together, now); {
		case rule == nil:
			b = after
			if handle, err = owner(ctx, tx, b.Account); err != nil {
				return err
			}
			if agent != "" {
				if b.AgentHandle, err = owner(ctx, tx, agent); err != nil {
					return err
				}
			}
			b.KeyPrefix = market.KeyHint(key)
			redeemBundle(&q, b, key, from, now)
		case errors.Is(rule, market.ErrHandoffUsed) && b.RevokedAt == nil:
			refused = rule
			if b, err = b.Revoke(market.BundleCodeReused, now); err != nil {
				return err
			}
			revokeBundle(&q, b, now)
			s.secured(&q, b.Account, market.SecurityBundleReused, b.Name, Origin{From: from}, now)
		default:
			return rule
		}
		return s.sendIn(ctx, tx, &q)
	})
	return b, key, handle, errors.Join(refused, translate(err))
}

// joining reports whether the agent and the party of the owner of the code's
// bundle have live work together, and lets neither begin any until the
// transaction ends. Without an agent or a bundle there is nothing to hold.
func (s *Store) joining(ctx context.Context, tx pgx.Tx, hash []byte, agent market.AccountID) (together bool, err error) {
	if agent == "" {
		return false, nil
	}
	var account *market.AccountID
	if err := tx.QueryRow(ctx, `SELECT (SELECT account_id::text FROM bundles WHERE code_hash = $1)`, hash).Scan(&account); err != nil || account == nil {
		return false, err
	}
	if err := lockParty(ctx, tx, *account, (*string)(&agent), s.now()); err != nil {
		return false, err
	}
	err = tx.QueryRow(ctx, `SELECT `+togetherColumn, string(agent), string(*account), s.now()).Scan(&together)
	return together, err
}

func redeemBundle(q *batch, b market.Bundle, key string, from netip.Addr, now time.Time) {
	var address any
	if from.IsValid() {
		address = from.WithZone("").String()
	}
	q.Queue(`UPDATE bundles SET redeemed_at = $2, redeemed_from = $3::inet, agent_id = $4, party_until = $5 WHERE id = $1`,
		string(b.ID), now, address, nullID(b.Agent), partyUntil(b))
	q.Queue(insertBundleKey, bundleKeyArgs(b, key, now)...)
	q.Queue(insertBundleAction.sql, actedArgs(b.ID, market.BundleRedeemed, "", 0, now)...)
	data := map[string]any{"bundle": b.ID}
	if b.Agent != "" {
		data["agent"] = b.AgentHandle
	}
	q.tell(b.Account, market.FeedBundleRedeemed, "", data, now)
}

// owner is the handle of an account that is not suspended.
func owner(ctx context.Context, tx pgx.Tx, id market.AccountID) (handle string, err error) {
	var state market.AccountState
	err = tx.QueryRow(ctx, `SELECT handle, state FROM accounts WHERE id = $1`, string(id)).Scan(&handle, &state)
	if err == nil && state == market.AccountSuspended {
		err = market.Suspended("")
	}
	return handle, err
}

// Covered returns market.ErrBundleLimited if the mandate is not about the
// task. An absent task is nobody's matter here.
func (s *Store) Covered(ctx context.Context, m *market.Mandate, id market.TaskID) error {
	if !m.Limited() || !market.ValidID(string(id)) {
		return nil
	}
	var skills texts
	err := translate(s.db.GetContext(ctx, &skills, `SELECT skills FROM tasks WHERE id = $1`, string(id)))
	if errors.Is(err, market.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return m.Covers(id, skills)
}

// limits are what the mandate covers, as parameters: NULL for anything.
func limits(m *market.Mandate) (tasks, skills []string) {
	if m == nil {
		return nil, nil
	}
	return plainIDs(m.Tasks), m.Skills
}
