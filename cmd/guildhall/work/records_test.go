package work

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLockEndsWithTheWorker takes the folder again while a program that was
// being started when the worker ended still has the lock's file open.
func TestLockEndsWithTheWorker(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := openRecords(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openRecords(dir, time.Now()); err == nil {
		t.Fatal("two workers have one folder")
	}
	started, err := unix.Dup(int(first.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(started)
	first.close()
	second, err := openRecords(dir, time.Now())
	if err != nil {
		t.Fatalf("after the worker ended: %v", err)
	}
	second.close()
}
