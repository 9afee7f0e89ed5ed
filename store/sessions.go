package store

import (
	"context"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// Origin is where a person asks from.
type Origin struct {
	From netip.Addr
	// Agent is what the browser says of itself, Lang the language it is shown.
	Agent, Lang string
}

// address makes an unknown address NULL.
func (o Origin) address() any { return address(o.From) }

func address(a netip.Addr) any {
	if !a.IsValid() {
		return nil
	}
	return a.WithZone("").String()
}

func (o Origin) agent() string { return o.Agent[:min(len(o.Agent), market.MaxUserAgent)] }

// secured queues what happened to an account's security: a line of its own
// list, one of its feed, and a mail to an address that was proved.
func (s *Store) secured(b *batch, account market.AccountID, what market.FeedType, detail string, o Origin, now time.Time) {
	b.noted(account, what, detail, o, now)
	data := map[string]any{}
	if detail != "" {
		data["detail"] = detail
	}
	b.tell(account, what, "", data, now)
	from := ""
	if o.From.IsValid() {
		from = o.From.WithZone("").String()
	}
	s.mail(b, mailDraft{account: account, kind: market.MailNotice, proven: true,
		args: map[string]string{"What": string(what), "Detail": detail, "Address": from, "Agent": o.agent()}}, now)
}

// noted queues a line of an account's own list only.
func (b *batch) noted(account market.AccountID, what market.FeedType, detail string, o Origin, now time.Time) {
	b.Queue(insertSecurityEvent, string(newID[market.FeedEventID]()), string(account), now, string(what), o.address(), o.agent(), detail)
}

const insertSecurityEvent = `
	INSERT INTO security_log (id, account_id, at, what, address, agent, detail) VALUES ($1, $2, $3, $4, $5::inet, $6, $7)`

// BeginSession begins a browser session for who was let in by the log-in. It
// returns market.ErrLogin if the log-in's epoch has ended meanwhile.
func (s *Store) BeginSession(ctx context.Context, l Login, o Origin) (market.SessionID, error) {
	now, id := s.now(), newID[market.SessionID]()
	var begun bool
	// The lock waits for a change of password, and a change for the lock.
	err := s.db.GetContext(ctx, &begun, `
		WITH valid AS (
			SELECT account_id FROM logins WHERE account_id = $2 AND epoch = $3 FOR NO KEY UPDATE
		), begun AS (
			INSERT INTO account_sessions (id, account_id, began_at, seen_at, proven_at, address, agent)
			SELECT $1, account_id, $4, $4, $4, $5::inet, $6 FROM valid
			RETURNING account_id
		), spoken AS (
			UPDATE logins l SET lang = COALESCE(NULLIF($8, ''), l.lang) FROM valid WHERE l.account_id = valid.account_id
		), logged AS (
			INSERT INTO security_log (id, account_id, at, what, address, agent)
			SELECT $7, account_id, $4, 'security.logged_in', $5::inet, $6 FROM valid
		)
		SELECT EXISTS (SELECT 1 FROM begun)`, string(id), string(l.Account), l.Epoch, now, o.address(), o.agent(), string(newID[market.FeedEventID]()), o.Lang)
	if err == nil && !begun {
		err = market.ErrLogin
	}
	return id, translate(err)
}

// ProveSession notes that who uses the session has just proved to be its owner.
func (s *Store) ProveSession(ctx context.Context, id market.SessionID) error {
	_, err := s.db.ExecContext(ctx, `UPDATE account_sessions SET proven_at = $2 WHERE id = $1`, string(id), s.now())
	return translate(err)
}

// Sessions are the account's browser sessions that are not over, the one used
// last first.
func (s *Store) Sessions(ctx context.Context, id market.AccountID) ([]market.Session, error) {
	now := s.now()
	return list(ctx, s, func(row pgx.CollectableRow) (x market.Session, err error) {
		return x, row.Scan(&x.ID, &x.BeganAt, &x.SeenAt, &x.ProvenAt, &x.Address, &x.Agent)
	}, `
		SELECT b.id, b.began_at, b.seen_at, b.proven_at, COALESCE(host(b.address), ''), b.agent
		FROM account_sessions b
		WHERE b.account_id = $1 AND b.seen_at > $2 AND b.began_at > $3
		ORDER BY b.seen_at DESC, b.id DESC LIMIT 100`, []any{string(id), now.Add(-market.SessionIdle), now.Add(-market.SessionLife)})
}

// endSessions queues the end of the account's browser sessions but one, or of
// all.
func (b *batch) endSessions(id market.AccountID, keep market.SessionID) {
	b.Queue(`DELETE FROM account_sessions WHERE account_id = $1 AND ($2::uuid IS NULL OR id <> $2::uuid)`, string(id), nullID(keep))
}

// LeaveSession ends the session as its owner logs out.
func (s *Store) LeaveSession(ctx context.Context, id market.SessionID) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM account_sessions WHERE id = $1`, string(id))
	return translate(err)
}

// EndSession ends a browser session of the caller: its next request is a
// stranger's. It returns market.ErrNotFound if there is none.
func (s *Store) EndSession(ctx context.Context, by Caller, id market.SessionID, o Origin) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		done, err := tx.Exec(ctx, `DELETE FROM account_sessions WHERE id = $1 AND account_id = $2`, string(id), string(by.Account))
		if err != nil {
			return err
		}
		if done.RowsAffected() == 0 {
			return market.ErrNotFound
		}
		var b batch
		s.secured(&b, by.Account, market.SecuritySessionEnded, "", o, s.now())
		return s.sendIn(ctx, tx, &b)
	})
}

// EndOtherSessions ends all browser sessions of the caller but the given one.
func (s *Store) EndOtherSessions(ctx context.Context, by Caller, keep market.SessionID, o Origin) error {
	var b batch
	b.endSessions(by.Account, keep)
	s.secured(&b, by.Account, market.SecuritySessionsEnded, "", o, s.now())
	return s.commit(ctx, &b)
}

// SecurityLog is what happened to the account's security, newest first.
func (s *Store) SecurityLog(ctx context.Context, id market.AccountID, limit int) ([]market.SecurityEvent, error) {
	return list(ctx, s, func(row pgx.CollectableRow) (e market.SecurityEvent, err error) {
		return e, row.Scan(&e.ID, &e.At, &e.What, &e.Address, &e.Agent, &e.Detail)
	}, `
		SELECT x.id, x.at, x.what, COALESCE(host(x.address), ''), x.agent, x.detail
		FROM security_log x WHERE x.account_id = $1
		ORDER BY x.id DESC LIMIT $2`, []any{string(id), limit})
}

// NoteSessionUses writes down when and where browser sessions were used, each
// at most once a minute.
func (s *Store) NoteSessionUses(ctx context.Context, uses map[market.SessionID]Use) error {
	return noteUses(ctx, s, uses, `
		UPDATE account_sessions b SET seen_at = u.at, address = COALESCE(NULLIF(u.address, '')::inet, b.address)
		FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::bigint[]) u (id, at, address, count)
		WHERE b.id = u.id AND b.seen_at <= u.at - interval '1 minute'`)
}

// forgetSessions forgets sessions that are over, and what happened long ago. An
// hour more: uses are written down a moment later.
func (s *Store) forgetSessions(ctx context.Context) error {
	now := s.now()
	_, err := s.db.ExecContext(ctx, `DELETE FROM account_sessions WHERE seen_at < $1 OR began_at < $2`, now.Add(-market.SessionIdle-time.Hour), now.Add(-market.SessionLife))
	if err == nil {
		_, err = s.db.ExecContext(ctx, `DELETE FROM security_log WHERE id < $1`, firstID(now.Add(-market.SecurityRetention)))
	}
	return translate(err)
}
