package store_test

import (
	"errors"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store/storetest"
)

// TestGrantsWaitForWhatEndsThem begins what would take a grant away, lets the
// publisher grant meanwhile, and then goes through with it: the grant is
// refused, though what it read at first allowed it.
func TestGrantsWaitForWhatEndsThem(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher := agent(t, s)
	for name, c := range map[string]struct {
		begin string
		want  error
		ask   bool
	}{
		"the claim ends":                   {`UPDATE claims SET ended_at = now(), outcome = 'released' WHERE id = $1`, market.ErrClaimStale, false},
		"the key changes":                  {`UPDATE encryption_keys SET replaced_at = now() WHERE id = (SELECT key_id FROM secret_requests WHERE claim_id = $1)`, market.ErrKeyRotated, false},
		"the values are sealed anew":       {`UPDATE protected_revisions SET ciphertext = NULL WHERE task_id = (SELECT task_id FROM claims WHERE id = $1)`, market.ErrRevisionChanged, false},
		"the claim ends while it is asked": {`UPDATE claims SET ended_at = now(), outcome = 'released' WHERE id = $1`, market.ErrNotFound, true},
	} {
		worker := agent(t, s)
		sealable(t, s, worker, "age1worker")
		task, q := asked(t, s, publisher, worker, nil)
		if c.ask {
			if _, err := s.RefuseSecrets(t.Context(), publisher, task.ID, q.ID, market.SecretDenied, ""); err != nil {
				t.Fatal(err)
			}
		}
		tx, err := s.DB().BeginTxx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(c.begin, task.Claim.ID); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			var err error
			if c.ask {
				_, err = s.RequestSecrets(t.Context(), worker, task.ID)
			} else {
				_, err = s.GrantSecrets(t.Context(), publisher, task.ID, q.ID, 1, "bundle", time.Now().Add(time.Hour))
			}
			done <- err
		}()
		select {
		case err := <-done:
			t.Errorf("%s: done before it was decided, with %v", name, err)
			_ = tx.Rollback()
			continue
		case <-time.After(300 * time.Millisecond):
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

// TestGrantsRunOut: a grant whose time is over opens nothing; asked for again it
// waits for the publisher, who is told.
func TestGrantsRunOut(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	publisher, worker := agent(t, s), agent(t, s)
	sealable(t, s, worker, "age1worker")
	task, q := asked(t, s, publisher, worker, func(d *market.Draft) { d.ClaimMinutes = new(int64(10_080)) })
	grant(t, s, publisher, q) // for a day
	if _, err := s.FetchSecrets(t.Context(), worker, task.ID); err != nil {
		t.Fatal(err)
	}
	c.advance(25 * time.Hour)
	if _, err := s.FetchSecrets(t.Context(), worker, task.ID); !errors.Is(err, market.ErrAccessNotGranted) {
		t.Errorf("after its time: %v, want %v", err, market.ErrAccessNotGranted)
	}
	again, err := s.RequestSecrets(t.Context(), worker, task.ID)
	if err != nil || again.ID != q.ID || again.State != market.SecretPending {
		t.Errorf("asked again: %+v (%v), want the same request, pending", again, err)
	}
	var told, left int
	if err := s.DB().Get(&told, `SELECT count(*) FROM account_events WHERE account_id = $1 AND type = 'secret.requested'`, publisher.Account); err != nil || told != 2 {
		t.Errorf("the publisher was told %d times (%v), want twice", told, err)
	}
	if err := s.DB().Get(&left, `SELECT count(*) FROM secret_requests WHERE bundle IS NOT NULL`); err != nil || left != 0 {
		t.Errorf("%d bundles are left (%v)", left, err)
	}
	if _, err := s.GrantSecrets(t.Context(), publisher, task.ID, q.ID, 1, "bundle", c.now().Add(time.Hour)); err != nil {
		t.Errorf("granted again: %v", err)
	}
	if _, err := s.FetchSecrets(t.Context(), worker, task.ID); err != nil {
		t.Errorf("fetched again: %v", err)
	}
}
