package store_test

import (
	"context"
	"os"
	osexec "os/exec"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// Where these are set the test binary is a node that sweeps the database, with
// a clock that is so much ahead, until it is killed.
const (
	nodeDatabase = "GUILDHALL_TEST_NODE_DATABASE"
	nodeAhead    = "GUILDHALL_TEST_NODE_AHEAD"
)

// nodeOptions are those of the test and of the node that it starts.
func nodeOptions(c *clock) store.Options {
	return store.Options{Grant: 1000, Terms: market.Terms{Hold: 24 * time.Hour}, MaxConns: 8, Now: c.now}
}

// sweepAsNode returns only if it cannot sweep.
func sweepAsNode(url, ahead string) error {
	d, err := time.ParseDuration(ahead)
	if err != nil {
		return err
	}
	var c clock
	c.advance(d)
	s, err := store.Open(url, nodeOptions(&c))
	if err != nil {
		return err
	}
	for {
		if _, err := s.Sweep(context.Background(), 100_000); err != nil {
			return err
		}
	}
}

// leftAndBusy is how many tasks are not over, and how many connections besides
// are in a transaction.
func leftAndBusy(t *testing.T, s *store.Store) (left, busy int) {
	t.Helper()
	err := s.DB().QueryRow(`
		SELECT (SELECT count(*) FROM tasks WHERE due_at IS NOT NULL),
			(SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL)`).Scan(&left, &busy)
	if err != nil {
		t.Fatal(err)
	}
	return left, busy
}

// killWhileItSweeps starts a node and ends it by SIGKILL in the middle: when so
// many tasks are over, and it is in a transaction that moves more.
func killWhileItSweeps(t *testing.T, s *store.Store, url string, ahead time.Duration, after int) {
	t.Helper()
	before, _ := leftAndBusy(t, s)
	node := osexec.Command(os.Args[0])
	node.Env = append(os.Environ(), nodeDatabase+"="+url, nodeAhead+"="+ahead.String())
	node.Stderr = os.Stderr
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	defer node.Wait()
	defer node.Process.Kill()
	for end := time.Now().Add(time.Minute); ; {
		left, busy := leftAndBusy(t, s)
		if left <= before-after && busy > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the node did not sweep: %d of %d tasks are left", left, before)
		}
	}
	if err := node.Process.Kill(); err != nil { // SIGKILL
		t.Fatal(err)
	}
	if err := node.Wait(); err == nil || node.ProcessState.ExitCode() != -1 {
		t.Fatalf("the node ended by itself: %v", err)
	}
	for end := time.Now().Add(time.Minute); ; {
		left, busy := leftAndBusy(t, s)
		if busy == 0 {
			t.Logf("killed with %d of %d tasks left", left, before)
			if left == 0 || left == before {
				t.Fatalf("%d tasks are left of %d: it was not killed in the middle", left, before)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatal("the connections of the killed node are still in a transaction")
		}
	}
}

// TestNodeKilledWhileItSweeps kills a process three times, each time in the
// middle of catching up with thousands of tasks: what it had done is whole,
// what it had not is done by the next node, and nothing is settled twice.
func TestNodeKilledWhileItSweeps(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	var c clock
	s, err := store.Open(url, nodeOptions(&c))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	const n = 2000
	publisher, worker := dueCrowd(t, s, &c, n)
	for _, after := range []int{1, 800, 1200} {
		killWhileItSweeps(t, s, url, time.Duration(c.offset.Load()), after)
		balanced(t, s)
		var torn int
		err := s.DB().Get(&torn, `
			SELECT count(*) FROM tasks t WHERE t.version <> (SELECT count(*) FROM task_events e WHERE e.task_id = t.id)
				OR (t.state = 'settled') <> EXISTS (SELECT FROM payouts y WHERE y.task_id = t.id)`)
		if err != nil || torn > 0 {
			t.Errorf("%d tasks are half moved (%v)", torn, err)
		}
	}
	for range 20 {
		if done, err := s.Sweep(t.Context(), 100_000); err != nil {
			t.Fatal(err)
		} else if done == 0 {
			break
		}
	}
	balanced(t, s)
	caughtUp(t, s, publisher, worker, n)
	var twice int
	err = s.DB().Get(&twice, `SELECT count(*) FROM (SELECT FROM payouts GROUP BY delivery_id HAVING count(*) > 1) x`)
	if err != nil || twice > 0 {
		t.Errorf("%d deliveries were paid twice (%v)", twice, err)
	}
}
