package store

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

const passkeyColumns = `p.id, p.account_id, p.name, p.credential_id, p.record, p.sign_count, p.made_at, p.used_at`

func scanPasskey(row pgx.CollectableRow) (p market.Passkey, err error) {
	return p, row.Scan(&p.ID, &p.Account, &p.Name, &p.Credential, &p.Record, &p.SignCount, &p.MadeAt, &p.UsedAt)
}

// Passkeys are the account's, oldest first.
func (s *Store) Passkeys(ctx context.Context, id market.AccountID) ([]market.Passkey, error) {
	return list(ctx, s, scanPasskey, `SELECT `+passkeyColumns+` FROM passkeys p WHERE p.account_id = $1 ORDER BY p.id`, []any{string(id)})
}

// AddPasskey keeps a passkey of the caller. One that is known already is
// market.ErrAlreadyDone, one too many market.ErrPasskeyLimit.
func (s *Store) AddPasskey(ctx context.Context, by Caller, p market.Passkey, o Origin) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		if _, err := tx.Exec(ctx, `SELECT 1 FROM logins WHERE account_id = $1 FOR NO KEY UPDATE`, string(by.Account)); err != nil {
			return err
		}
		var has int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM passkeys WHERE account_id = $1`, string(by.Account)).Scan(&has); err != nil {
			return err
		}
		if has >= market.MaxPasskeys {
			return market.ErrPasskeyLimit
		}
		var b batch
		b.stillOpen(by, now)
		b.Queue(`INSERT INTO passkeys (id, account_id, credential_id, record, sign_count, name, made_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			string(newID[market.PasskeyID]()), string(by.Account), p.Credential, p.Record, p.SignCount, p.Name, now)
		s.secured(&b, by.Account, market.SecurityPasskeyAdded, p.Name, o, now)
		return s.sendIn(ctx, tx, &b)
	})
}

// RemovePasskey forgets a passkey of the caller. It returns market.ErrNotFound
// if there is none.
func (s *Store) RemovePasskey(ctx context.Context, by Caller, id market.PasskeyID, o Origin) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		var name string
		err := tx.QueryRow(ctx, `DELETE FROM passkeys WHERE id = $1 AND account_id = $2 RETURNING name`, string(id), string(by.Account)).Scan(&name)
		if err != nil {
			return translate(err)
		}
		var b batch
		s.secured(&b, by.Account, market.SecurityPasskeyRemoved, name, o, s.now())
		return s.sendIn(ctx, tx, &b)
	})
}

// UsePasskey notes that the passkey signed, with what it has counted to. A
// count that did not rise means that there are two of it: market.ErrPasskey,
// and its owner is told. So does one of two uses at the same time.
func (s *Store) UsePasskey(ctx context.Context, p market.Passkey, o Origin) error {
	now := s.now()
	done, err := s.db.ExecContext(ctx, `
		UPDATE passkeys SET record = $2, sign_count = $3, used_at = $4
		WHERE id = $1 AND (sign_count < $3 OR sign_count = 0 AND $3 = 0)`, string(p.ID), p.Record, p.SignCount, now)
	if err != nil {
		return translate(err)
	}
	if n, err := done.RowsAffected(); err != nil || n > 0 {
		return err
	}
	var b batch
	s.secured(&b, p.Account, market.SecurityPasskeyCloned, p.Name, o, now)
	return errors.Join(s.commit(ctx, &b), market.ErrPasskey)
}

func challengeHash(challenge string) []byte {
	sum := sha256.Sum256([]byte(challenge))
	return sum[:]
}

// KeepChallenge keeps what a passkey is asked to sign.
func (s *Store) KeepChallenge(ctx context.Context, challenge string) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO passkey_challenges (hash, expires_at) VALUES ($1, $2)`, challengeHash(challenge), s.now().Add(market.ChallengeLasts))
	return translate(err)
}

// UseChallenge takes it away: of two who use it at once one does. It returns
// market.ErrPasskey if it is gone or too old.
func (s *Store) UseChallenge(ctx context.Context, challenge string) error {
	done, err := s.db.ExecContext(ctx, `DELETE FROM passkey_challenges WHERE hash = $1 AND expires_at > $2`, challengeHash(challenge), s.now())
	if err != nil {
		return translate(err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, market.ErrPasskey)
	}
	return nil
}

// forgetChallenges forgets those that are too old.
func (s *Store) forgetChallenges(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM passkey_challenges WHERE expires_at <= $1`, s.now())
	return translate(err)
}
