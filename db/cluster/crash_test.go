package cluster

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

const sigStop = syscall.SIGSTOP

// killOwner lets another process own a cluster with one row and kills it.
func killOwner(t *testing.T, dir string) (postmaster int) {
	t.Helper()
	o := startOwner(t, dir)
	c, err := Attach(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	query[int](t, c, `WITH made AS (SELECT 1) SELECT * FROM made`)
	execute(t, c, `CREATE TABLE kept AS SELECT 42 AS n`)
	o.kill()
	return pidOf(t, dir)
}

func execute(t *testing.T, c *Cluster, sql string) {
	t.Helper()
	conn, err := connect(t.Context(), c.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func checkKept(t *testing.T, c *Cluster) {
	t.Helper()
	if got := query[int](t, c, `SELECT n FROM kept`); got != 42 {
		t.Errorf("kept %d, want 42", got)
	}
}

func TestAdoptsAfterOwnerWasKilled(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	pid := killOwner(t, dir)
	if _, err := Attach(t.Context(), Options{Dir: dir}); !errors.Is(err, ErrNotRunning) {
		t.Errorf("attach without an owner: %v, want ErrNotRunning", err)
	}
	c := start(t, Options{Dir: dir})
	if got := pidOf(t, dir); got != pid {
		t.Errorf("pid %d, want the running server %d adopted", got, pid)
	}
	checkKept(t, c)

	// An adopted server is supervised like any other.
	signal(t, pid, syscall.SIGKILL)
	awaitBack(t, c, dir, pid)
	checkKept(t, c)
	stop(t, c)
	if left := processesOf(dir); len(left) > 0 {
		t.Errorf("Stop left %q", left)
	}
}

func TestStopsAnAdoptedServer(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	killOwner(t, dir)
	c := start(t, Options{Dir: dir})
	stop(t, c)
	if left := processesOf(dir); len(left) > 0 {
		t.Errorf("Stop left %q", left)
	}
}

func TestAdoptedServerGetsPresentSettings(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	pid := killOwner(t, dir)
	c := start(t, Options{Dir: dir, MaxConnections: 33})
	if got := query[string](t, c, `SHOW max_connections`); got != "33" || pidOf(t, dir) == pid {
		t.Errorf("max_connections %s, want 33 after a restart", got)
	}
	checkKept(t, c)
}

func TestRecoversAfterOwnerAndServerWereKilled(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	signal(t, killOwner(t, dir), syscall.SIGKILL)
	checkKept(t, start(t, Options{Dir: dir}))
}

func TestHungServerIsReplaced(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	pid := killOwner(t, dir)
	signal(t, pid, sigStop)
	// Long enough for the new server to recover on a busy machine.
	c := start(t, Options{Dir: dir, tune: tuning{answer: 8 * time.Second, grace: 300 * time.Millisecond}})
	if pidOf(t, dir) == pid {
		t.Error("the hung server is still there")
	}
	checkKept(t, c)
}

// A pid of before may by now be anything, even a program of the same user.
func TestPidOfAnotherProgram(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	c := start(t, Options{Dir: dir})
	stop(t, c)
	sleeper := exec.Command("sleep", "60")
	sleeper.SysProcAttr = &syscall.SysProcAttr{Credential: c.user.credential()}
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() }()
	file := strconv.Itoa(sleeper.Process.Pid) + "\n" + dir + "/postgres\n1\n5432\n" + dir + "/socket\n\n  1  1\nready   \n"
	if err := c.user.write(filepath.Join(dir, "postgres", "postmaster.pid"), file); err != nil {
		t.Fatal(err)
	}
	start(t, Options{Dir: dir})
	if err := sleeper.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the other program was touched: %v", err)
	}
}

func TestEmptyPidFile(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	c := start(t, Options{Dir: dir})
	stop(t, c)
	if err := c.user.write(filepath.Join(dir, "postgres", "postmaster.pid"), ""); err != nil {
		t.Fatal(err)
	}
	start(t, Options{Dir: dir})
}

func TestServerThatDiesComesBack(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	c := start(t, Options{Dir: dir})
	execute(t, c, `CREATE TABLE kept AS SELECT 42 AS n`)
	for range 2 {
		pid := pidOf(t, dir)
		signal(t, pid, syscall.SIGKILL)
		awaitBack(t, c, dir, pid)
	}
	checkKept(t, c)
}

// A process of the dead server that is busy keeps its memory in use; nothing
// may start beside it.
func TestBusyProcessOfDeadServer(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	c := start(t, Options{Dir: dir})
	conn, err := connect(t.Context(), c.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	busy := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), `SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 1000000) b`)
		busy <- err
	}()
	time.Sleep(200 * time.Millisecond)
	pid := pidOf(t, dir)
	signal(t, pid, syscall.SIGKILL)
	awaitBack(t, c, dir, pid)
	if err := <-busy; err == nil {
		t.Error("the query went on to its end")
	}
}

func TestStopDuringRestart(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	for _, wait := range []time.Duration{0, 20, 110, 150, 250} {
		c := start(t, Options{Dir: dir})
		signal(t, pidOf(t, dir), syscall.SIGKILL)
		time.Sleep(wait * time.Millisecond)
		stop(t, c)
		if left := awaitNone(dir); len(left) > 0 {
			t.Fatalf("after %d ms: left %q", wait, left)
		}
	}
}

// A server that cannot start is tried again until it can.
func TestKeepsTrying(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	c := start(t, Options{Dir: dir, tune: tuning{slow: 300 * time.Millisecond}})
	control := filepath.Join(dir, "postgres", "global", "pg_control")
	if err := os.Rename(control, control+".away"); err != nil {
		t.Fatal(err)
	}
	pid := pidOf(t, dir)
	signal(t, pid, syscall.SIGKILL)
	time.Sleep(5 * time.Second) // the quick tries take 3.1 s
	if err := os.Rename(control+".away", control); err != nil {
		t.Fatal(err)
	}
	awaitBack(t, c, dir, pid)
}

// awaitBack waits until a server other than pid answers.
func awaitBack(t *testing.T, c *Cluster, dir string, pid int) {
	t.Helper()
	for range 400 {
		if _, err := try[int](t.Context(), c, `SELECT 1`); err == nil && pidOf(t, dir) != pid {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatal("the server did not come back")
}

func TestCancelledStartLeavesNothing(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	for _, after := range []time.Duration{0, 100, 400, 800} {
		dir := folder(t)
		ctx, cancel := context.WithTimeout(t.Context(), after*time.Millisecond)
		c, err := Start(ctx, Options{Dir: dir})
		cancel()
		if err == nil {
			stop(t, c) // a fast machine
			continue
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %d ms: %v", after, err)
		}
		if left := processesOf(dir); len(left) > 0 {
			t.Errorf("after %d ms: left %q", after, left)
		}
		checkNoDraft(t, dir)
	}
}

func TestCancelledStartOfWholeCluster(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	for _, after := range []time.Duration{20, 40, 60, 100} {
		ctx, cancel := context.WithTimeout(t.Context(), after*time.Millisecond)
		c, err := Start(ctx, Options{Dir: dir})
		cancel()
		if err == nil {
			stop(t, c)
		}
		if left := awaitNone(dir); len(left) > 0 {
			t.Fatalf("after %d ms: left %q", after, left)
		}
	}
	start(t, Options{Dir: dir})
}

func checkNoDraft(t *testing.T, dir string) {
	t.Helper()
	if drafts, _ := filepath.Glob(filepath.Join(dir, draftPattern)); len(drafts) > 0 {
		t.Errorf("left %q", drafts)
	}
}

func TestOwnerKilledDuringInit(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	dir := folder(t)
	ready := make(chan struct{})
	cmd := exec.Command(self())
	cmd.Env = append(os.Environ(), ownerEnv+"="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(ready)
		for range 1000 {
			if m, _ := filepath.Glob(filepath.Join(dir, draftPattern, "base")); len(m) > 0 {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	<-ready
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if left := awaitNone(dir); len(left) > 0 {
		t.Errorf("left %q", left)
	}
	if exists(filepath.Join(dir, "postgres")) {
		t.Fatal("a half-made cluster is in place")
	}
	c := start(t, Options{Dir: dir})
	checkNoDraft(t, dir)
	query[int](t, c, `SELECT 1`)
}
