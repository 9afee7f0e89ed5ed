package store

import (
	"bytes"
	"context"
	"errors"
	"time"

	"guildhall/market"
)

// idempotencyWindow is how long stored answers are kept at least.
const idempotencyWindow = 24 * time.Hour

// Answer is a response as it was given the first time.
type Answer struct {
	Status   int
	Location string
	Body     []byte
	// Replayed is set when the answer comes from an earlier request.
	Replayed bool
}

// Once asks that an effect happens once for a key, and that the answer to it
// is stored in the same transaction.
type Once struct {
	Key  string
	Hash []byte
	// Answer makes the response of the effect's result.
	Answer func(result any) (Answer, error)
}

// Caller is who asks for an effect.
type Caller struct {
	market.Actor
	// Once is nil if the request carries no Idempotency-Key.
	Once *Once
	// Scopes are what the API key may do, nil for everything.
	Scopes []market.Scope
	// Session is the browser session that asks, "" for a key.
	Session market.SessionID
	seen    seen
}

func onceScope(by Caller) string { return string(by.Account) + " " + by.Once.Key }

// once is queued first: it refuses a key that is being worked on, and a used
// key breaks the transaction. The answer is stored with the effect.
func (b *batch) once(by Caller, result any, now time.Time) error {
	if by.Once == nil {
		return nil
	}
	a, err := by.Once.Answer(result)
	if err != nil {
		return err
	}
	b.Queue(`
		INSERT INTO idempotency (account_id, key, request_hash, status, location, answer, created_at)
		SELECT $2, $3, $4, $5, $6, $7, $8 FROM begin_once($1)`,
		onceScope(by), plain(by.Account), by.Once.Key, by.Once.Hash, a.Status, a.Location, a.Body, now)
	return nil
}

// StoredAnswer is the answer stored under the caller's key. It returns
// market.ErrNotFound if there is none and market.ErrIdempotencyReused if the
// key belongs to another request.
func (s *Store) StoredAnswer(ctx context.Context, by Caller) (Answer, error) {
	var row struct {
		RequestHash []byte `db:"request_hash"`
		Status      int    `db:"status"`
		Location    string `db:"location"`
		Answer      []byte `db:"answer"`
	}
	err := s.db.GetContext(ctx, &row, `
		SELECT request_hash, status, location, answer
		FROM idempotency
		WHERE account_id = $1 AND key = $2`, by.Account, by.Once.Key)
	if err != nil {
		return Answer{}, translate(err)
	}
	if !bytes.Equal(row.RequestHash, by.Once.Hash) {
		return Answer{}, market.ErrIdempotencyReused
	}
	return Answer{Status: row.Status, Location: row.Location, Body: row.Answer, Replayed: true}, nil
}

// KeyUsed reports that an effect was refused because its key has an answer.
func KeyUsed(err error) bool { return errors.Is(err, errKeyUsed) }
