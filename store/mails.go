package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

func mailFor(id market.MailID) string { return "mail/" + string(id) }

// mailDraft is a mail to an account.
type mailDraft struct {
	account market.AccountID
	kind    market.MailKind
	// to is an address other than the account's, "" for that one.
	to string
	// lang is the language, "" for the one that the account was shown last.
	lang string
	args map[string]string
	// proven mails go out only if the account's address was proved.
	proven bool
}

// mail queues a mail, if any are sent here at all.
func (s *Store) mail(b *batch, d mailDraft, now time.Time) {
	if !s.opts.Mail {
		return
	}
	text, err := json.Marshal(d.args)
	if err != nil {
		panic(err) // plain strings
	}
	id := newID[market.MailID]()
	sealed, nonce, key := b.seal(mailFor(id), string(text))
	b.Queue(`
		INSERT INTO mails (id, account_id, kind, recipient, lang, sealed, nonce, key_id, made_at, expires_at, next_at)
		SELECT $1, l.account_id, $3, COALESCE(NULLIF($4, ''), l.email), COALESCE(NULLIF($5, ''), l.lang), $6, $7, $8, $9, $10, $9
		FROM logins l WHERE l.account_id = $2 AND (NOT $11 OR l.email_verified_at IS NOT NULL)`,
		string(id), string(d.account), string(d.kind), d.to, d.lang, sealed, nonce, key, now, now.Add(market.MailLasts(d.kind)), d.proven)
}

// TakeMails are up to limit mails that are due, oldest first, that nobody else
// takes meanwhile: each comes again, later each time, until it is done with. One
// that cannot be opened is given up, and among the errors.
func (s *Store) TakeMails(ctx context.Context, limit int) ([]market.Mail, error) {
	type row struct {
		market.Mail
		sealed
	}
	now := s.now()
	taken, err := list(ctx, s, func(r pgx.CollectableRow) (x row, err error) {
		return x, r.Scan(&x.ID, &x.Kind, &x.To, &x.Lang, &x.Handle, &x.At, &x.Attempts, &x.text, &x.nonce, &x.key)
	}, `
		UPDATE mails m SET attempts = m.attempts + 1, next_at = $1::timestamptz + LEAST(interval '1 minute' * 2 ^ LEAST(m.attempts, 10), interval '6 hours')
		FROM (
			SELECT id FROM mails WHERE failed_at IS NULL AND next_at <= $1 AND expires_at > $1
			ORDER BY next_at, id LIMIT $2 FOR UPDATE SKIP LOCKED
		) due, accounts a
		WHERE m.id = due.id AND a.id = m.account_id
		RETURNING m.id, m.kind, m.recipient, m.lang, a.handle, m.made_at, m.attempts, m.sealed, m.nonce, m.key_id`, []any{now, limit})
	if err != nil {
		return nil, err
	}
	var out []market.Mail
	var failed []error
	for _, x := range taken {
		text, err := s.opts.Vault.openFor(mailFor(x.ID), x.sealed)
		if err == nil {
			err = json.Unmarshal([]byte(text), &x.Args)
		}
		if err != nil { // it must not hold up the others
			failed = append(failed, err, s.MailFailed(ctx, x.ID, true, err.Error()))
			continue
		}
		out = append(out, x.Mail)
	}
	return out, errors.Join(failed...)
}

// MailSent forgets a mail that was sent.
func (s *Store) MailSent(ctx context.Context, id market.MailID) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM mails WHERE id = $1`, string(id))
	return translate(err)
}

// MailFailed notes why a mail was not sent. For good, it is given up and what
// it said is forgotten; else it is tried again.
func (s *Store) MailFailed(ctx context.Context, id market.MailID, forGood bool, why string) error {
	_, err := s.db.ExecContext(ctx, `
		UPDATE mails SET error = $3, failed_at = CASE WHEN $2 THEN $4::timestamptz END, sealed = CASE WHEN NOT $2 THEN sealed END,
			nonce = CASE WHEN NOT $2 THEN nonce END, key_id = CASE WHEN NOT $2 THEN key_id END
		WHERE id = $1`, string(id), forGood, why, s.now())
	return translate(err)
}

// mailRetention is how long it is kept that a mail was given up, and that a
// link was used.
const mailRetention = 7 * 24 * time.Hour

// forgetMails forgets mails that nobody needs any more, and links.
func (s *Store) forgetMails(ctx context.Context) error {
	now := s.now()
	_, err := s.db.ExecContext(ctx, `DELETE FROM mails WHERE expires_at <= $1 AND (failed_at IS NULL OR failed_at <= $2)`, now, now.Add(-mailRetention))
	if err == nil {
		_, err = s.db.ExecContext(ctx, `DELETE FROM mail_links WHERE expires_at <= $1`, now.Add(-mailRetention))
	}
	return translate(err)
}
