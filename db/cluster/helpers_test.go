package cluster

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// ownerEnv makes the test binary a process that owns a cluster: it starts the
// one in the folder named, says "ready", and stops it when its input ends.
const ownerEnv = "GUILDHALL_TEST_OWNER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(ownerEnv); dir != "" {
		os.Exit(own(dir))
	}
	code := m.Run()
	if pattern.dir != "" {
		_ = os.RemoveAll(pattern.dir)
	}
	os.Exit(code)
}

func own(dir string) int {
	c, err := Start(context.Background(), Options{Dir: dir})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := c.Stop(context.Background()); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// needPostgres skips where there is no PostgreSQL, but never in CI.
func needPostgres(t *testing.T) {
	t.Helper()
	if _, err := machine().choose(t.Context(), "/nonexistent"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// folder makes an empty data directory which the server's user may reach, and
// checks in the end that no process of it is left.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "guildhall-cluster-")
	if err != nil {
		t.Fatal(err)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left := awaitNone(dir); len(left) > 0 {
			t.Errorf("processes left behind: %q", left)
		}
		_ = os.RemoveAll(dir)
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// pattern is a cluster made once, which other tests copy.
var pattern struct {
	once sync.Once
	dir  string
	err  error
}

// stocked is a folder with a cluster that was shut down.
func stocked(t *testing.T) string {
	t.Helper()
	needPostgres(t)
	pattern.once.Do(func() {
		if pattern.dir, pattern.err = os.MkdirTemp("", "guildhall-cluster-"); pattern.err != nil {
			return
		}
		var c *Cluster
		if c, pattern.err = Start(context.Background(), Options{Dir: pattern.dir}); pattern.err == nil {
			pattern.err = c.Stop(context.Background())
		}
	})
	if pattern.err != nil {
		t.Fatal(pattern.err)
	}
	dir := folder(t)
	copyTree(t, filepath.Join(pattern.dir, "postgres"), dir)
	return dir
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// start starts a cluster which is stopped in the end.
func start(t *testing.T, o Options) *Cluster {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	c, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, c) })
	return c
}

func stop(t *testing.T, c *Cluster) {
	t.Helper()
	if err := c.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// processesOf lists the live processes whose command line or title names dir.
func processesOf(dir string) []string {
	out, _ := exec.Command("ps", "-axww", "-o", "pid=,command=").Output()
	var found []string
	for line := range strings.SplitSeq(string(out), "\n") {
		if strings.Contains(line, " -D "+dir+"/") || strings.Contains(line, "guildhall-"+tag(dir)) {
			found = append(found, line)
		}
	}
	return found
}

func awaitNone(dir string) []string {
	for range 100 {
		if len(processesOf(dir)) == 0 {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return processesOf(dir)
}

// owner is another process that owns a cluster.
type owner struct {
	cmd *exec.Cmd
	in  io.Closer
}

func startOwner(t *testing.T, dir string) *owner {
	t.Helper()
	o, said := launchOwner(t, dir, self(), nil)
	if said != "ready" {
		t.Fatalf("owner: %s", said)
	}
	return o
}

// launchOwner starts an owner and returns the first line it says.
func launchOwner(t *testing.T, dir, program string, as *syscall.Credential) (*owner, string) {
	t.Helper()
	cmd := exec.Command(program)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), ownerEnv+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	o := &owner{cmd: cmd, in: in}
	t.Cleanup(o.kill)
	line, _ := bufio.NewReader(out).ReadString('\n')
	return o, strings.TrimSpace(line)
}

func (o *owner) kill() {
	_ = o.cmd.Process.Kill()
	_ = o.cmd.Wait()
}

// finish lets the owner stop its cluster and end.
func (o *owner) finish(t *testing.T) {
	t.Helper()
	_ = o.in.Close()
	if err := o.cmd.Wait(); err != nil {
		t.Errorf("owner: %v", err)
	}
}

// query runs one statement on a connection of its own.
func query[T any](t *testing.T, c *Cluster, sql string) T {
	t.Helper()
	v, err := try[T](t.Context(), c, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func try[T any](ctx context.Context, c *Cluster, sql string) (v T, err error) {
	conn, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		return v, err
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return v, err
	}
	v, err = pgx.CollectOneRow(rows, pgx.RowTo[T])
	return v, err
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// pidOf reads the pid of the server that runs in dir.
func pidOf(t *testing.T, dir string) int {
	t.Helper()
	pm, err := readPostmaster(filepath.Join(dir, "postgres"))
	if err != nil || pm.pid == 0 {
		t.Fatalf("no postmaster.pid: %v", err)
	}
	return pm.pid
}

func signal(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}

// self is the test binary.
func self() string {
	name, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return name
}
