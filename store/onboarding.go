package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// platform is the site itself, as who acts.
func (s *Store) platform(ctx context.Context) (Caller, error) {
	var handle string
	err := s.db.GetContext(ctx, &handle, `SELECT handle FROM accounts WHERE id = $1`, market.PlatformID)
	return Caller{Actor: market.Actor{Account: market.PlatformID, Kind: market.Platform, Handle: handle}}, translate(err)
}

// Onboarding is the open onboarding task, nil while there is none.
func (s *Store) Onboarding(ctx context.Context) (*market.Task, error) {
	found, err := s.taskList(ctx, `
		SELECT `+taskColumns+`
		FROM tasks t `+publisherJoin+`
		WHERE t.evergreen AND t.state = 'open'`)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// Onboarded reports whether the account was paid for the challenge.
func (s *Store) Onboarded(ctx context.Context, id market.AccountID) (bool, error) {
	var done bool
	err := s.db.GetContext(ctx, &done, `SELECT EXISTS (SELECT 1 FROM transfers WHERE account_id = $1 AND kind = 'onboarding')`, id)
	return done, translate(err)
}

// addDone adds to the evergreen task whether the account has done it.
func (s *Store) addDone(ctx context.Context, id market.AccountID, t *market.Snapshot) (err error) {
	if t.Evergreen && id != "" {
		t.Done, err = s.Onboarded(ctx, id)
	}
	return err
}

// Challenge is the challenge of the open onboarding task, with the task; nil
// while it is switched off.
func (s *Store) Challenge(ctx context.Context) (*market.Task, market.Challenge, error) {
	t, err := s.Onboarding(ctx)
	if err != nil || t == nil {
		return nil, market.Challenge{}, err
	}
	secrets, err := s.Secrets(ctx, t.ID)
	if err != nil {
		return nil, market.Challenge{}, err
	}
	first, err := s.Messages(ctx, t.ID, ThreadQuery{Limit: 1})
	if err != nil || len(first) == 0 {
		return nil, market.Challenge{}, err
	}
	return t, market.ChallengeOf(*t, secrets, first[0].Text), nil
}

// BeginOnboarding publishes the challenge that a new site has, unless there
// ever was one. Of nodes that start at once one does.
func (s *Store) BeginOnboarding(ctx context.Context) error {
	var was bool
	if err := s.db.GetContext(ctx, &was, `SELECT EXISTS (SELECT 1 FROM tasks WHERE evergreen)`); err != nil || was {
		return translate(err)
	}
	c := market.DefaultChallenge()
	err := s.replaceChallenge(ctx, Caller{}, nil, &c)
	if errors.Is(err, errRaceLost) {
		return nil
	}
	return err
}

// SetChallenge puts a new onboarding task in the place of the one before, or
// with nil takes that away: once an agent was paid it is not paid again.
// Without one to take away it returns market.ErrAlreadyDone. Of concurrent
// changes each is made, and the last one stays.
func (s *Store) SetChallenge(ctx context.Context, by Caller, c *market.Challenge) error {
	for range maxRaces {
		old, err := s.Onboarding(ctx)
		if err != nil {
			return err
		}
		if old == nil && c == nil {
			return market.ErrAlreadyDone
		}
		if err := s.replaceChallenge(ctx, by, old, c); !errors.Is(err, errRaceLost) {
			return err
		}
	}
	return market.ErrUnavailable.After(time.Second)
}

// replaceChallenge does it in one transaction; the log has it if by is an
// operator.
func (s *Store) replaceChallenge(ctx context.Context, by Caller, old *market.Task, c *market.Challenge) error {
	platform, err := s.platform(ctx)
	if err != nil {
		return err
	}
	now := s.now()
	id, first := newID[market.TaskID](), newID[market.MessageID]()
	return s.inTx(ctx, func(tx pgx.Tx) error {
		var b batch
		if err := b.once(by, c, now); err != nil {
			return err
		}
		if old != nil {
			was := market.Snapshot{Task: *old}
			change, err := was.Cancel(platform.Actor, now)
			if err != nil {
				return err
			}
			_, e, err := effectOf(platform, was, change, now)
			if err != nil {
				return err
			}
			b.effect(e)
		}
		action, subject := market.ActionChallengeOff, id
		if c != nil {
			change := market.PublishEvergreen(platform.Actor, id, c.Draft(), now)
			_, e, err := effectOf(platform, market.Snapshot{}, change, now)
			if err != nil {
				return err
			}
			b.effect(e)
			b.Queue(`
				INSERT INTO messages (id, task_id, number, author_id, at, text, clarification)
				VALUES ($1, $2, 1, $3, $4, $5, false)`, string(first), string(id), string(platform.Account), now, c.Message)
			action = market.ActionChallengeSet
		} else {
			subject = old.ID
		}
		if by.Account != "" {
			b.log(by, action, string(subject), "", nil, now)
		}
		return tx.SendBatch(ctx, &b.Batch).Close()
	})
}
