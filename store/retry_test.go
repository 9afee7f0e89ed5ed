package store_test

import (
	"testing"
	"time"

	"guildhall/store/storetest"
)

// TestDeadlockIsTriedAgain makes PostgreSQL break a batch off as the victim of
// a deadlock: it is sent again, and is as good as new.
func TestDeadlockIsTriedAgain(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher := agent(t, s)
	task := publish(t, s, publisher, 10)
	if _, err := s.PostMessage(t.Context(), publisher, task.ID, "First."); err != nil { // its statements are prepared now
		t.Fatal(err)
	}
	tx, err := s.DB().BeginTxx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec(`SELECT 1 FROM accounts WHERE id = $1 FOR UPDATE`, publisher.Account); err != nil {
		t.Fatal(err)
	}
	posted := make(chan error, 1)
	go func() {
		_, err := s.PostMessage(t.Context(), publisher, task.ID, "Second.")
		posted <- err
	}()
	time.Sleep(300 * time.Millisecond) // it holds the thread and waits for the account, longer than we wait for the thread
	if _, err := tx.Exec(`SELECT pg_advisory_xact_lock(hashtextextended($1, 1))`, string(task.ID)); err != nil {
		t.Fatalf("the deadlock was broken on the wrong side: %v", err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-posted; err != nil {
		t.Errorf("after the deadlock: %v", err)
	}
}
