package store

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pquerna/otp/totp"

	"guildhall/market"
)

// totpPeriod is how long a code of an app is shown, in seconds; the ones
// before and after it count too, because clocks differ.
const totpPeriod = 30

// totpStep is the step of the code at about the given time.
func totpStep(secret, code string, now time.Time) (step int64, ok bool) {
	for _, at := range []time.Time{now, now.Add(-totpPeriod * time.Second), now.Add(totpPeriod * time.Second)} {
		want, err := totp.GenerateCode(secret, at)
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			return at.Unix() / totpPeriod, true
		}
	}
	return 0, false
}

func totpFor(id market.AccountID) string { return "totp/" + string(id) }

// BeginTOTP makes a secret for an app, in the place of one that was never
// confirmed. It returns market.ErrAlreadyDone if the second factor is on.
func (s *Store) BeginTOTP(ctx context.Context, by Caller) error {
	raw := make([]byte, 20)
	_, _ = rand.Read(raw) // never fails
	return s.inTx(ctx, func(tx pgx.Tx) error {
		if err := s.holdKeys(ctx, tx, textLock); err != nil {
			return err
		}
		x := s.opts.Vault.sealFor(totpFor(by.Account), base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw))
		done, err := tx.Exec(ctx, `
			INSERT INTO second_factors (account_id, sealed, nonce, key_id, made_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (account_id) DO UPDATE SET sealed = $2, nonce = $3, key_id = $4, made_at = $5, last_step = 0
			WHERE second_factors.enabled_at IS NULL`, string(by.Account), x.text, x.nonce, x.key, s.now())
		if err == nil && done.RowsAffected() == 0 {
			err = market.ErrAlreadyDone
		}
		return err
	})
}

// factor is a row of second_factors.
type factor struct {
	sealed
	enabled *time.Time
}

const selectFactor = `SELECT sealed, nonce, key_id, enabled_at FROM second_factors WHERE account_id = $1`

func scanFactor(row pgx.Row) (f factor, err error) {
	return f, row.Scan(&f.text, &f.nonce, &f.key, &f.enabled)
}

func (s *Store) factor(ctx context.Context, id market.AccountID) (f factor, err error) {
	err = s.read(ctx, func(c *pgx.Conn) (err error) {
		f, err = scanFactor(c.QueryRow(ctx, selectFactor, string(id)))
		return err
	})
	return f, translate(err)
}

// PendingTOTP is the secret that waits for a code of it. It returns
// market.ErrNotFound if there is none.
func (s *Store) PendingTOTP(ctx context.Context, id market.AccountID) (string, error) {
	f, err := s.factor(ctx, id)
	if err == nil && f.enabled != nil {
		err = market.ErrNotFound
	}
	if err != nil {
		return "", err
	}
	return s.opts.Vault.openFor(totpFor(id), f.sealed)
}

// EnableTOTP switches the second factor on, for a code of the secret that
// waits, and returns the recovery codes, never to be shown again.
func (s *Store) EnableTOTP(ctx context.Context, by Caller, code string, o Origin) (codes []string, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		f, err := scanFactor(tx.QueryRow(ctx, selectFactor+` FOR UPDATE`, string(by.Account)))
		switch {
		case err != nil:
			return translate(err)
		case f.enabled != nil:
			return market.ErrAlreadyDone
		}
		secret, err := s.opts.Vault.openFor(totpFor(by.Account), f.sealed)
		if err != nil {
			return err
		}
		step, ok := totpStep(secret, code, now)
		if !ok {
			return market.CodeWrong()
		}
		var b batch
		b.stillOpen(by, now)
		b.Queue(`UPDATE second_factors SET enabled_at = $2, last_step = $3 WHERE account_id = $1`, string(by.Account), now, step)
		codes = b.recoveryCodes(by.Account)
		s.secured(&b, by.Account, market.SecurityTOTPEnabled, "", o, now)
		return s.sendIn(ctx, tx, &b)
	})
	return codes, err
}

// recoveryCodes queues fresh ones in the place of all others.
func (b *batch) recoveryCodes(id market.AccountID) []string {
	var codes []string
	var hashes [][]byte
	for range market.RecoveryCodes {
		code := market.NewRecoveryCode()
		codes, hashes = append(codes, code), append(hashes, market.HashRecoveryCode(code))
	}
	b.Queue(`DELETE FROM recovery_codes WHERE account_id = $1`, string(id))
	b.Queue(`INSERT INTO recovery_codes (account_id, hash) SELECT $1, unnest($2::bytea[])`, string(id), hashes)
	return codes
}

// CheckSecondFactor accepts a code of the account's app, or a recovery code;
// each is good once, also if two come at the same time. All others are
// market.CodeWrong. It returns market.ErrNotFound while the factor is off.
func (s *Store) CheckSecondFactor(ctx context.Context, id market.AccountID, typed string, o Origin) error {
	f, err := s.factor(ctx, id)
	if err == nil && f.enabled == nil {
		err = market.ErrNotFound
	}
	if err != nil {
		return err
	}
	code, ok := market.TOTPCode(typed)
	if !ok {
		return s.useRecoveryCode(ctx, id, typed, o)
	}
	secret, err := s.opts.Vault.openFor(totpFor(id), f.sealed)
	if err != nil {
		return err
	}
	now := s.now()
	step, ok := totpStep(secret, code, now)
	if !ok {
		var b batch
		b.noted(id, market.SecurityTOTPFailed, "", o, now)
		return errors.Join(s.commit(ctx, &b), market.CodeWrong())
	}
	done, err := s.db.ExecContext(ctx, `UPDATE second_factors SET last_step = $2 WHERE account_id = $1 AND enabled_at IS NOT NULL AND last_step < $2`, string(id), step)
	if err != nil {
		return translate(err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, market.CodeWrong())
	}
	return nil
}

func (s *Store) useRecoveryCode(ctx context.Context, id market.AccountID, typed string, o Origin) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		done, err := tx.Exec(ctx, `UPDATE recovery_codes SET used_at = $3 WHERE account_id = $1 AND hash = $2 AND used_at IS NULL`, string(id), market.HashRecoveryCode(typed), now)
		if err != nil {
			return err
		}
		if done.RowsAffected() == 0 {
			return market.CodeWrong()
		}
		var b batch
		s.secured(&b, id, market.SecurityRecoveryUsed, "", o, now)
		return s.sendIn(ctx, tx, &b)
	})
}

// RenewRecoveryCodes makes fresh recovery codes, in the place of all others,
// shown here and never again. It returns market.ErrNotFound while the second
// factor is off.
func (s *Store) RenewRecoveryCodes(ctx context.Context, by Caller, o Origin) (codes []string, err error) {
	err = s.changeFactor(ctx, by.Account, func(b *batch, now time.Time) {
		codes = b.recoveryCodes(by.Account)
		s.secured(b, by.Account, market.SecurityRecoveryRenewed, "", o, now)
	})
	return codes, err
}

// DisableTOTP switches the second factor off, and forgets its codes. It returns
// market.ErrNotFound if it is off.
func (s *Store) DisableTOTP(ctx context.Context, by Caller, o Origin) error {
	return s.changeFactor(ctx, by.Account, func(b *batch, now time.Time) {
		b.Queue(`DELETE FROM second_factors WHERE account_id = $1`, string(by.Account))
		s.secured(b, by.Account, market.SecurityTOTPDisabled, "", o, now)
	})
}

// changeFactor runs what change queues, while the second factor is on.
func (s *Store) changeFactor(ctx context.Context, id market.AccountID, change func(*batch, time.Time)) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		f, err := scanFactor(tx.QueryRow(ctx, selectFactor+` FOR UPDATE`, string(id)))
		if err == nil && f.enabled == nil {
			err = market.ErrNotFound
		}
		if err != nil {
			return translate(err)
		}
		var b batch
		change(&b, s.now())
		return s.sendIn(ctx, tx, &b)
	})
}

// SecondFactor is what the owner of the account sees of its second factor.
func (s *Store) SecondFactor(ctx context.Context, id market.AccountID) (market.SecondFactor, error) {
	var f market.SecondFactor
	err := s.read(ctx, func(c *pgx.Conn) error {
		return c.QueryRow(ctx, `
			SELECT f.enabled_at, (SELECT count(*) FROM recovery_codes r WHERE r.account_id = f.account_id AND r.used_at IS NULL)
			FROM second_factors f WHERE f.account_id = $1`, string(id)).Scan(&f.EnabledAt, &f.CodesLeft)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return market.SecondFactor{}, nil
	}
	return f, translate(err)
}
