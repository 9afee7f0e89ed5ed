package store_test

import (
	"bytes"
	"errors"
	"fmt"
	command "os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// The store keeps what it is given and opens nothing, so any text will do as
// ciphertext here; package handlers tests what is let through.

// sealable gives the account an encryption key, or another one.
func sealable(t testing.TB, s *store.Store, by store.Caller, recipient string) market.EncryptionKey {
	t.Helper()
	offered := store.OfferedKey{Recipient: recipient, Kind: market.X25519, NonceHash: market.NonceHash("nonce")}
	if _, err := s.OfferEncryptionKey(t.Context(), by, offered); err != nil {
		t.Fatalf("offer a key: %v", err)
	}
	k, err := s.ConfirmEncryptionKey(t.Context(), by, "nonce")
	if err != nil {
		t.Fatalf("confirm a key: %v", err)
	}
	return k
}

func protectedDraft(reward int64, change func(*market.Draft)) market.Draft {
	d := draft(reward)
	d.Protected = &market.ProtectedDraft{TaskID: market.TaskID(uuid.Must(uuid.NewV7()).String()), Ciphertext: "sealed",
		Protected: market.Protected{Names: []string{"apiToken"}, OwnerRecipients: []string{"age1owner"}, SignerKey: "signer"}}
	if change != nil {
		change(&d)
	}
	return d
}

// guarded publishes a task with protected fields.
func guarded(t testing.TB, s *store.Store, by store.Caller, change func(*market.Draft)) market.Snapshot {
	t.Helper()
	task, err := s.PublishTask(t.Context(), by, protectedDraft(50, change))
	if err != nil {
		t.Fatalf("publish: %v", err)
	}
	return task
}

// asked is a claimed task whose holder has asked for the protected fields.
func asked(t testing.TB, s *store.Store, publisher, worker store.Caller, change func(*market.Draft)) (market.Snapshot, market.SecretRequest) {
	t.Helper()
	task := guarded(t, s, publisher, change)
	claimed, err := s.ClaimTask(t.Context(), worker, task.ID)
	if err != nil {
		t.Fatalf("claim: %v", err)
	}
	q, err := s.RequestSecrets(t.Context(), worker, task.ID)
	if err != nil {
		t.Fatalf("request: %v", err)
	}
	return claimed, q
}

func grant(t testing.TB, s *store.Store, by store.Caller, q market.SecretRequest) {
	t.Helper()
	if _, err := s.GrantSecrets(t.Context(), by, q.Task, q.ID, 1, "bundle", time.Now().Add(24*time.Hour)); err != nil {
		t.Fatalf("grant: %v", err)
	}
}

// noneLeft fails the test if a bundle is left for a claim that has ended or for
// a key that was replaced.
func noneLeft(t testing.TB, s *store.Store) {
	t.Helper()
	var left int
	err := s.DB().Get(&left, `
		SELECT count(*) FROM secret_requests q JOIN claims c ON c.id = q.claim_id JOIN encryption_keys k ON k.id = q.key_id
		WHERE (c.ended_at IS NOT NULL OR k.replaced_at IS NOT NULL) AND (q.bundle IS NOT NULL OR q.state = 'granted')`)
	if err != nil || left != 0 {
		t.Errorf("%d bundles are left of ended claims or replaced keys (%v)", left, err)
	}
}

func TestEveryEndOfAClaimTakesItsGrant(t *testing.T) {
	t.Parallel()
	reject := market.Rejection{Reason: "No.", Quote: "Return the list without doubles"}
	deliver := func(t *testing.T, s *store.Store, worker store.Caller, task market.Snapshot, v market.Verdict) market.Snapshot {
		t.Helper()
		l := store.Lease{Claim: task.Claim.ID, Epoch: task.Claim.Epoch}
		opened, err := s.OpenDelivery(t.Context(), worker, task.ID, l)
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		done, err := s.Deliver(t.Context(), worker, opened, l, pack(), report(v))
		if err != nil {
			t.Fatalf("deliver: %v", err)
		}
		return done
	}
	once := func(d *market.Draft) { d.MaxAttempts = new(int64(1)) }
	type end struct {
		change func(*market.Draft)
		how    func(t *testing.T, s *store.Store, c *clock, publisher, worker store.Caller, task market.Snapshot) error
	}
	for name, e := range map[string]end{
		"release": {nil, func(t *testing.T, s *store.Store, _ *clock, _, worker store.Caller, task market.Snapshot) error {
			_, err := s.ReleaseClaim(t.Context(), worker, task.ID, store.Lease{})
			return err
		}},
		"the lease lapses, and somebody looks": {nil, func(t *testing.T, s *store.Store, c *clock, publisher, _ store.Caller, task market.Snapshot) error {
			c.advance(2 * time.Hour)
			_, err := s.Task(t.Context(), publisher.Actor, task.ID)
			return err
		}},
		"the lease lapses, and the sweep comes": {nil, func(t *testing.T, s *store.Store, c *clock, _, _ store.Caller, _ market.Snapshot) error {
			c.advance(2 * time.Hour)
			_, err := s.Sweep(t.Context(), 100)
			return err
		}},
		"the last attempt fails": {once, func(t *testing.T, s *store.Store, _ *clock, _, worker store.Caller, task market.Snapshot) error {
			deliver(t, s, worker, task, market.VerdictFail)
			return nil
		}},
		"a final rejection": {once, func(t *testing.T, s *store.Store, _ *clock, publisher, worker store.Caller, task market.Snapshot) error {
			d := deliver(t, s, worker, task, market.VerdictPass)
			_, err := s.RejectDelivery(t.Context(), publisher, task.ID, d.Delivery.ID, reject)
			return err
		}},
		"the publisher accepts": {nil, func(t *testing.T, s *store.Store, _ *clock, publisher, worker store.Caller, task market.Snapshot) error {
			d := deliver(t, s, worker, task, market.VerdictPass)
			_, err := s.AcceptDelivery(t.Context(), publisher, task.ID, d.Delivery.ID)
			return err
		}},
		"silence accepts": {nil, func(t *testing.T, s *store.Store, c *clock, _, worker store.Caller, task market.Snapshot) error {
			deliver(t, s, worker, task, market.VerdictPass)
			c.advance(80 * time.Hour)
			_, err := s.Sweep(t.Context(), 100)
			return err
		}},
		"the worker withdraws its last attempt": {once, func(t *testing.T, s *store.Store, _ *clock, _, worker store.Caller, task market.Snapshot) error {
			d := deliver(t, s, worker, task, market.VerdictPass)
			_, err := s.WithdrawDelivery(t.Context(), worker, task.ID, d.Delivery.ID)
			return err
		}},
		"the worker appeals": {nil, func(t *testing.T, s *store.Store, _ *clock, publisher, worker store.Caller, task market.Snapshot) error {
			d := deliver(t, s, worker, task, market.VerdictPass)
			if _, err := s.RejectDelivery(t.Context(), publisher, task.ID, d.Delivery.ID, reject); err != nil {
				return err
			}
			_, err := s.AppealDelivery(t.Context(), worker, task.ID, d.Delivery.ID, "Unfair.")
			return err
		}},
		"an error that nobody decides": {nil, func(t *testing.T, s *store.Store, c *clock, _, worker store.Caller, task market.Snapshot) error {
			deliver(t, s, worker, task, market.VerdictError)
			for range 2 {
				c.advance(10 * 24 * time.Hour)
				if _, err := s.Sweep(t.Context(), 100); err != nil {
					return err
				}
			}
			return nil
		}},
		"the deadline passes": {func(d *market.Draft) {
			d.Deadline = new(time.Now().Add(30 * time.Minute).UTC().Truncate(time.Microsecond))
		},
			func(t *testing.T, s *store.Store, c *clock, _, _ store.Caller, _ market.Snapshot) error {
				c.advance(31 * time.Minute)
				_, err := s.Sweep(t.Context(), 100)
				return err
			}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c clock
			s := storetest.New(t, withClock(&c))
			publisher, worker := agent(t, s), agent(t, s)
			sealable(t, s, worker, "age1worker")
			task, q := asked(t, s, publisher, worker, e.change)
			grant(t, s, publisher, q)
			if got, err := s.FetchSecrets(t.Context(), worker, task.ID); err != nil || got.Bundle != "bundle" {
				t.Fatalf("before the end: got %q (%v)", got.Bundle, err)
			}
			if err := e.how(t, s, &c, publisher, worker, task); err != nil {
				t.Fatal(err)
			}
			var state string
			if err := s.DB().Get(&state, `SELECT state FROM secret_requests WHERE id = $1 AND bundle IS NULL`, q.ID); err != nil || state != "ended" {
				t.Errorf("the request is %q (%v), want ended", state, err)
			}
			if _, err := s.FetchSecrets(t.Context(), worker, task.ID); !errors.Is(err, market.ErrNotFound) {
				t.Errorf("the former holder got %v, want %v", err, market.ErrNotFound)
			}
			if _, err := s.RequestSecrets(t.Context(), worker, task.ID); !errors.Is(err, market.ErrNotFound) {
				t.Errorf("the former holder asked: %v, want %v", err, market.ErrNotFound)
			}
			if _, err := s.GrantSecrets(t.Context(), publisher, task.ID, q.ID, 1, "late", time.Now().Add(time.Hour)); !errors.Is(err, market.ErrClaimStale) {
				t.Errorf("a grant after the end: %v, want %v", err, market.ErrClaimStale)
			}
			after, err := s.Task(t.Context(), publisher.Actor, task.ID)
			if err != nil {
				t.Fatal(err)
			}
			if must, err := s.MustRotate(t.Context(), after); err != nil || !must {
				t.Errorf("nothing reminds of changing what was fetched (%v)", err)
			}
			noneLeft(t, s)
			balanced(t, s)
		})
	}
}

// TestGrantAgainstEndOfClaim lets a grant and the release of the claim happen
// at once: whichever comes first, nothing is left to fetch.
func TestGrantAgainstEndOfClaim(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher := agent(t, s)
	outcomes := map[string]int{}
	for range 15 {
		worker := agent(t, s)
		sealable(t, s, worker, "age1worker")
		task, q := asked(t, s, publisher, worker, nil)
		var granted, released error
		var wg sync.WaitGroup
		wg.Go(func() {
			_, granted = s.GrantSecrets(t.Context(), publisher, task.ID, q.ID, 1, "bundle", time.Now().Add(time.Hour))
		})
		wg.Go(func() { _, released = s.ReleaseClaim(t.Context(), worker, task.ID, store.Lease{}) })
		wg.Wait()
		if released != nil || (granted != nil && !errors.Is(granted, market.ErrClaimStale)) {
			t.Fatalf("release: %v, grant: %v", released, granted)
		}
		outcomes[fmt.Sprint(granted)]++
		noneLeft(t, s)
		if _, err := s.FetchSecrets(t.Context(), worker, task.ID); !errors.Is(err, market.ErrNotFound) {
			t.Errorf("fetched after the release: %v", err)
		}
		if _, err := s.CancelTask(t.Context(), publisher, task.ID); err != nil { // its credits are wanted again
			t.Fatal(err)
		}
	}
	t.Logf("grants: %v", outcomes)
	balanced(t, s)
}

// TestGrantAgainstKeyRotation lets a grant and a change of the agent's key
// happen at once: nothing is left for the old key.
func TestGrantAgainstKeyRotation(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher := agent(t, s)
	for i := range 15 {
		worker := agent(t, s)
		sealable(t, s, worker, "age1old")
		task, q := asked(t, s, publisher, worker, nil)
		next := fmt.Sprint("age1new", i)
		if _, err := s.OfferEncryptionKey(t.Context(), worker, store.OfferedKey{Recipient: next, Kind: market.X25519, NonceHash: market.NonceHash("n")}); err != nil {
			t.Fatal(err)
		}
		var granted, confirmed error
		var wg sync.WaitGroup
		wg.Go(func() {
			_, granted = s.GrantSecrets(t.Context(), publisher, task.ID, q.ID, 1, "bundle", time.Now().Add(time.Hour))
		})
		wg.Go(func() { _, confirmed = s.ConfirmEncryptionKey(t.Context(), worker, "n") })
		wg.Wait()
		if confirmed != nil || (granted != nil && !errors.Is(granted, market.ErrKeyRotated)) {
			t.Fatalf("confirm: %v, grant: %v", confirmed, granted)
		}
		noneLeft(t, s)
		if _, err := s.FetchSecrets(t.Context(), worker, task.ID); !errors.Is(err, market.ErrKeyRotated) {
			t.Errorf("fetched with the new key: %v, want %v", err, market.ErrKeyRotated)
		}
		again, err := s.RequestSecrets(t.Context(), worker, task.ID)
		if err != nil || again.ID == q.ID || again.Key.Recipient != next {
			t.Errorf("asked again: got %+v (%v), want a request for the new key", again, err)
		}
		if _, err := s.ReleaseClaim(t.Context(), worker, task.ID, store.Lease{}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.CancelTask(t.Context(), publisher, task.ID); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRequestsOfOneClaim are one, however many come at once.
func TestRequestsOfOneClaim(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher, worker := agent(t, s), agent(t, s)
	sealable(t, s, worker, "age1worker")
	task := guarded(t, s, publisher, nil)
	if _, err := s.ClaimTask(t.Context(), worker, task.ID); err != nil {
		t.Fatal(err)
	}
	ids := sync.Map{}
	got := race(8, func(int) error {
		q, err := s.RequestSecrets(t.Context(), worker, task.ID)
		ids.Store(q.ID, true)
		return err
	})
	n := 0
	ids.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("got %d requests (%v), want 1", n, got)
	}
	var told int
	if err := s.DB().Get(&told, `SELECT count(*) FROM account_events WHERE account_id = $1 AND type = 'secret.requested'`, publisher.Account); err != nil || told != 1 {
		t.Errorf("the publisher was told %d times (%v), want once", told, err)
	}
}

func TestResealing(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher, worker := agent(t, s), agent(t, s)
	sealable(t, s, worker, "age1worker")
	task, q := asked(t, s, publisher, worker, nil)
	next := market.ProtectedDraft{Ciphertext: "sealed anew", Protected: market.Protected{Revision: 2, OwnerRecipients: []string{"age1other"}, SignerKey: "other"}}
	var lost sync.Map
	race(6, func(i int) error {
		_, err := s.Reseal(t.Context(), publisher, task.ID, next)
		if err != nil {
			lost.Store(i, err)
			if !errors.Is(err, market.ErrRevisionChanged) {
				t.Errorf("got %v, want %v", err, market.ErrRevisionChanged)
			}
		}
		return err
	})
	n := 0
	lost.Range(func(any, any) bool { n++; return true })
	if n != 5 {
		t.Errorf("%d of 6 lost, want 5", n)
	}
	after, own, err := s.OwnSecrets(t.Context(), publisher, task.ID)
	if err != nil || own != "sealed anew" || after.Protected.Revision != 2 || after.Protected.Names[0] != "apiToken" {
		t.Errorf("got %q of %+v (%v)", own, after.Protected, err)
	}
	var kept int
	if err := s.DB().Get(&kept, `SELECT count(*) FROM protected_revisions WHERE task_id = $1 AND ciphertext IS NOT NULL`, task.ID); err != nil || kept != 1 {
		t.Errorf("%d ciphertexts are kept (%v), want 1", kept, err)
	}
	if _, err := s.GrantSecrets(t.Context(), publisher, task.ID, q.ID, 1, "old", time.Now().Add(time.Hour)); !errors.Is(err, market.ErrRevisionChanged) {
		t.Errorf("a grant of the old revision: %v", err)
	}
	for name, err := range map[string]error{
		"another reads it": func() error { _, _, err := s.OwnSecrets(t.Context(), worker, task.ID); return err }(),
		"another seals it": func() error { _, err := s.Reseal(t.Context(), worker, task.ID, next); return err }(),
		"another grants it": func() error {
			_, err := s.GrantSecrets(t.Context(), worker, task.ID, q.ID, 2, "x", time.Now().Add(time.Hour))
			return err
		}(),
	} {
		if !errors.Is(err, market.ErrForbidden) {
			t.Errorf("%s: %v, want %v", name, err, market.ErrForbidden)
		}
	}
	other := guarded(t, s, publisher, nil)
	if _, err := s.GrantSecrets(t.Context(), publisher, other.ID, q.ID, 1, "x", time.Now().Add(time.Hour)); !errors.Is(err, market.ErrNotFound) {
		t.Errorf("a request of another task: %v, want %v", err, market.ErrNotFound)
	}
}

// TestChosenID refuses the id of another task, whoever's it is.
func TestChosenID(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher, other := agent(t, s), agent(t, s)
	task := guarded(t, s, publisher, nil)
	_, err := s.PublishTask(t.Context(), other, protectedDraft(50, func(d *market.Draft) { d.Protected.TaskID = task.ID }))
	if !errors.Is(err, market.ErrInvalid) {
		t.Errorf("got %v, want %v", err, market.ErrInvalid)
	}
	if w := wallet(t, s, other); w.Granted != 1000 {
		t.Errorf("the refusal cost something: %+v", w)
	}
	balanced(t, s)
}

// TestDumpHasNoNonce looks for the answer to a challenge in a dump of the
// database.
func TestDumpHasNoNonce(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	s, err := store.Open(url, store.Options{Grant: 1000, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	worker := agent(t, s)
	const nonce = "canary-nonce-of-43-characters"
	if _, err := s.OfferEncryptionKey(t.Context(), worker, store.OfferedKey{Recipient: "age1worker", Kind: market.X25519, NonceHash: market.NonceHash(nonce)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ConfirmEncryptionKey(t.Context(), worker, "wrong"); !errors.Is(err, market.ErrChallengeFailed) {
		t.Errorf("a wrong answer: %v", err)
	}
	if _, err := s.ConfirmEncryptionKey(t.Context(), worker, nonce); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ConfirmEncryptionKey(t.Context(), worker, nonce); !errors.Is(err, market.ErrChallengeFailed) {
		t.Errorf("an answer used twice: %v", err)
	}
	out, err := command.CommandContext(t.Context(), "pg_dump", "--dbname="+url).Output()
	if err != nil {
		t.Fatalf("pg_dump: %v", err)
	}
	if !bytes.Contains(out, []byte("age1worker")) || strings.Contains(string(out), nonce) {
		t.Error("the dump lacks the recipient, or has the nonce")
	}
}
