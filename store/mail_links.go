package store

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// What a link of a mail is for.
const (
	linkReset  = "reset"
	linkVerify = "verify"
)

// link queues what a fresh link stands for, and returns its token, of which
// only a hash is kept.
func (b *batch) link(account market.AccountID, purpose, email string, clears bool, lasts time.Duration, now time.Time) string {
	token := market.NewLinkToken()
	b.Queue(`INSERT INTO mail_links (hash, account_id, purpose, email, clears, made_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		market.HashLinkToken(token), string(account), purpose, email, clears, now, now.Add(lasts))
	return token
}

// AskForReset sends a link for a new password to the address, if it is an
// account's. It returns nil if it is nobody's: callers must not let it be seen.
func (s *Store) AskForReset(ctx context.Context, email string, o Origin) error {
	l, err := s.Login(ctx, email)
	if errors.Is(err, market.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	now := s.now()
	var b batch
	token := b.link(l.Account, linkReset, l.Email, false, market.ResetLasts, now)
	s.mail(&b, mailDraft{account: l.Account, kind: market.MailReset, args: map[string]string{"Token": token}}, now)
	b.noted(l.Account, market.SecurityResetAsked, "", o, now)
	return s.commit(ctx, &b)
}

// IssueReset is the token of a link for a new password, for the operator of the
// machine to pass on. With clears, who uses it needs no second factor any more.
// The person is named by handle or e-mail address; market.ErrNotFound if there
// is none.
func (s *Store) IssueReset(ctx context.Context, who string, clears bool) (string, error) {
	var id market.AccountID
	if strings.Contains(who, "@") {
		l, err := s.Login(ctx, who)
		if err != nil {
			return "", err
		}
		id = l.Account
	} else {
		a, err := s.AccountByHandle(ctx, who)
		if err != nil {
			return "", err
		}
		id = a.ID
	}
	l, err := s.OwnLogin(ctx, id)
	if err != nil {
		return "", err
	}
	by, err := s.platform(ctx)
	if err != nil {
		return "", err
	}
	now := s.now()
	var b batch
	token := b.link(id, linkReset, l.Email, clears, market.ResetLasts, now)
	b.log(by, market.ActionResetIssued, string(id), "", map[string]any{"secondFactor": clears}, now)
	b.noted(id, market.SecurityResetAsked, "", Origin{}, now)
	return token, s.commit(ctx, &b)
}

// ResetOwner is the log-in that a link for a new password is of. A link that is
// unknown, used or too old is market.ErrLinkInvalid.
func (s *Store) ResetOwner(ctx context.Context, token string) (l Login, err error) {
	err = s.db.GetContext(ctx, &l, selectLogin+`
		JOIN mail_links k ON k.account_id = l.account_id
		WHERE k.hash = $1 AND k.purpose = 'reset' AND k.used_at IS NULL AND k.expires_at > $2 AND k.email = l.email`, market.HashLinkToken(token), s.now())
	if err = translate(err); errors.Is(err, market.ErrNotFound) {
		err = market.ErrLinkInvalid
	}
	return l, err
}

// Reset sets a new password for who has the link, once, and ends all browser
// sessions of the account. The second factor stays, unless an operator decided
// otherwise with the link.
func (s *Store) Reset(ctx context.Context, token, hash string, o Origin) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		var id string
		var clears bool
		err := tx.QueryRow(ctx, `
			UPDATE mail_links k SET used_at = $2 FROM logins l
			WHERE k.hash = $1 AND k.purpose = 'reset' AND k.used_at IS NULL AND k.expires_at > $2 AND l.account_id = k.account_id AND l.email = k.email
			RETURNING k.account_id::text, k.clears`, market.HashLinkToken(token), now).Scan(&id, &clears)
		if errors.Is(err, pgx.ErrNoRows) {
			return market.ErrLinkInvalid
		} else if err != nil {
			return err
		}
		account := market.AccountID(id)
		if _, err := tx.Exec(ctx, `UPDATE logins SET password_hash = $2, epoch = epoch + 1 WHERE account_id = $1`, id, hash); err != nil {
			return err
		}
		var b batch
		b.endSessions(account, "")
		b.Queue(`UPDATE mail_links SET used_at = $2 WHERE account_id = $1 AND purpose = 'reset' AND used_at IS NULL`, id, now)
		s.secured(&b, account, market.SecurityPasswordReset, "", o, now)
		if clears {
			b.Queue(`DELETE FROM second_factors WHERE account_id = $1`, id)
			s.secured(&b, account, market.SecurityTOTPCleared, "", o, now)
		}
		return s.sendIn(ctx, tx, &b)
	})
}

// Address is the account's e-mail address, and one that waits to take its
// place.
func (s *Store) Address(ctx context.Context, id market.AccountID) (market.Address, error) {
	var a market.Address
	err := s.read(ctx, func(c *pgx.Conn) error {
		return c.QueryRow(ctx, `
			SELECT l.email, l.email_verified_at, COALESCE((
				SELECT k.email FROM mail_links k
				WHERE k.account_id = l.account_id AND k.purpose = 'verify' AND k.used_at IS NULL AND k.expires_at > $2 AND k.email <> l.email
				ORDER BY k.made_at DESC LIMIT 1), '')
			FROM logins l WHERE l.account_id = $1`, string(id), s.now()).Scan(&a.Email, &a.VerifiedAt, &a.Waiting)
	})
	return a, translate(err)
}

// AskToVerify sends a link to the address, which becomes the account's when the
// link is used. Where no mail is sent, it becomes the account's at once, and
// another account's is market.ErrEmailTaken.
func (s *Store) AskToVerify(ctx context.Context, by Caller, email string, o Origin) error {
	now := s.now()
	var b batch
	if !s.opts.Mail {
		b.Queue(`UPDATE logins SET email = $2, email_verified_at = NULL WHERE account_id = $1 AND email <> $2`, string(by.Account), email)
		s.secured(&b, by.Account, market.SecurityAddressChanged, email, o, now)
		return s.commit(ctx, &b)
	}
	s.askToVerify(&b, by.Account, email, o.Lang, now)
	return s.commit(ctx, &b)
}

// askToVerify queues a link to the address, in the place of earlier ones.
func (s *Store) askToVerify(b *batch, id market.AccountID, email, lang string, now time.Time) {
	if !s.opts.Mail {
		return
	}
	b.Queue(`UPDATE mail_links SET used_at = $2 WHERE account_id = $1 AND purpose = 'verify' AND used_at IS NULL`, string(id), now)
	token := b.link(id, linkVerify, email, false, market.VerifyLasts, now)
	s.mail(b, mailDraft{account: id, kind: market.MailVerify, to: email, lang: lang, args: map[string]string{"Token": token}}, now)
}

// Verify takes the proof that mail to an address of the caller is read: it is
// the account's from then on, and the account counts as verified, unless
// operators have taken that back. The old address is told. A link that is not
// the caller's, used or too old is market.ErrLinkInvalid.
func (s *Store) Verify(ctx context.Context, by Caller, token string, o Origin) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		var was, email string
		err := tx.QueryRow(ctx, `
			UPDATE mail_links k SET used_at = $3 FROM logins l
			WHERE k.hash = $1 AND k.account_id = $2 AND k.purpose = 'verify' AND k.used_at IS NULL AND k.expires_at > $3 AND l.account_id = k.account_id
			RETURNING l.email, k.email`, market.HashLinkToken(token), string(by.Account), now).Scan(&was, &email)
		if errors.Is(err, pgx.ErrNoRows) {
			return market.ErrLinkInvalid
		} else if err != nil {
			return err
		}
		var b batch
		b.Queue(`UPDATE logins SET email = $2, email_verified_at = $3 WHERE account_id = $1`, string(by.Account), email, now)
		b.Queue(`
			UPDATE accounts a SET verified_at = $2
			WHERE a.id = $1 AND a.verified_at IS NULL AND NOT EXISTS (SELECT 1 FROM admin_actions x WHERE x.subject_id = a.id AND x.action = 'account_unverified')`,
			string(by.Account), now)
		if was == email {
			b.noted(by.Account, market.SecurityAddressVerified, email, o, now)
			return s.sendIn(ctx, tx, &b)
		}
		s.mail(&b, mailDraft{account: by.Account, kind: market.MailMoved, to: was, args: map[string]string{"Email": email}}, now)
		s.secured(&b, by.Account, market.SecurityAddressChanged, email, o, now)
		return s.sendIn(ctx, tx, &b)
	})
}
