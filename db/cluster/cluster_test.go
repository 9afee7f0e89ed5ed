package cluster

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq" // the driver migrations use
)

func TestStartMakesACluster(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	dir := filepath.Join(folder(t), "new", "data")
	c := start(t, Options{Dir: dir})

	for name, want := range map[string]string{
		"data_checksums": "on", "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on",
		"listen_addresses": "", "server_encoding": "UTF8", "TimeZone": "UTC", "log_timezone": "UTC",
		"jit": "off", "max_connections": "100", "unix_socket_permissions": "0700",
	} {
		if got := query[string](t, c, "SHOW "+name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if got := query[string](t, c, `SELECT datcollate FROM pg_database WHERE datname = 'postgres'`); !strings.HasPrefix(got, "C") {
		t.Errorf("collation %q, want C", got)
	}
	if got := query[int64](t, c, `SELECT count(*) FROM pg_hba_file_rules WHERE type <> 'local' OR auth_method <> 'peer'`); got != 0 {
		t.Errorf("%d ways in beside the local one", got)
	}
	for _, name := range []string{"postgres", "socket"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v; want mode 0700", name, info.Mode(), err)
		}
	}
	checkNoTCP(t, pidOf(t, dir))

	stop(t, c)
	stop(t, c) // again
	if left := processesOf(dir); len(left) > 0 {
		t.Errorf("Stop left %q", left)
	}
	if drafts, _ := filepath.Glob(filepath.Join(dir, draftPattern)); len(drafts) > 0 {
		t.Errorf("left %q", drafts)
	}
}

// checkNoTCP looks for a TCP socket among the server's files.
func checkNoTCP(t *testing.T, pid int) {
	t.Helper()
	links, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "fd", "*"))
	if err != nil || len(links) == 0 {
		t.Log("cannot look at the files of the server here")
		return
	}
	tcp4, _ := os.ReadFile("/proc/net/tcp")
	tcp6, _ := os.ReadFile("/proc/net/tcp6")
	for _, link := range links {
		to, _ := os.Readlink(link)
		if inode, ok := strings.CutPrefix(to, "socket:["); ok {
			if strings.Contains(string(tcp4)+string(tcp6), " "+strings.TrimSuffix(inode, "]")+" ") {
				t.Errorf("%s is a TCP socket", link)
			}
		}
	}
}

func TestURL(t *testing.T) {
	// Not parallel: it changes the environment.
	dir := stocked(t)
	t.Setenv("PGPORT", "1")
	t.Setenv("PGHOST", "nowhere.invalid")
	t.Setenv("PGUSER", "nobody")
	c := start(t, Options{Dir: dir})
	name := `odd "name" 50% ü&?`
	for range 2 {
		if err := CreateDatabase(t.Context(), c, name); err != nil {
			t.Fatal(err)
		}
	}
	for _, driver := range []string{"pgx", "postgres"} {
		db, err := sql.Open(driver, c.URL(name))
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if err := db.QueryRow(`SELECT current_database()`).Scan(&got); err != nil || got != name {
			t.Errorf("%s: %q, %v; want %q", driver, got, err, name)
		}
		_ = db.Close()
	}
	for _, program := range []string{filepath.Join(c.BinDir(), "psql"), c.PgDump()} {
		args := []string{c.URL(name)}
		if filepath.Base(program) == "psql" {
			args = append(args, "-c", "SELECT 1")
		}
		if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", program, err, out)
		}
	}
}

func TestCreateDatabaseAtOnce(t *testing.T) {
	t.Parallel()
	c := start(t, Options{Dir: stocked(t), Fast: true})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := CreateDatabase(t.Context(), c, "market"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestSecondStartIsRefused(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	c := start(t, Options{Dir: dir})
	_, err := Start(t.Context(), Options{Dir: dir + "/."})
	var inUse *InUseError
	if !errors.As(err, &inUse) || !errors.Is(err, ErrInUse) || inUse.PID != os.Getpid() {
		t.Fatalf("got %v, want ErrInUse with pid %d", err, os.Getpid())
	}
	if got := query[int](t, c, `SELECT 1`); got != 1 {
		t.Error("the first owner lost its server")
	}
}

func TestFast(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	for _, fast := range []bool{true, false} {
		c := start(t, Options{Dir: dir, Fast: fast})
		if got := query[string](t, c, `SHOW fsync`); (got == "off") != fast {
			t.Errorf("fast %v: fsync %s", fast, got)
		}
		stop(t, c)
	}
}

func TestOperatorConf(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	c := start(t, Options{Dir: dir})
	stop(t, c)
	name := filepath.Join(dir, "postgres", "operator.conf")
	if err := c.user.write(name, "work_mem = '7MB'\nport = 9\n"); err != nil {
		t.Fatal(err)
	}
	c = start(t, Options{Dir: dir})
	if got := query[string](t, c, `SHOW work_mem`); got != "7MB" {
		t.Errorf("work_mem %s, want the operator's 7MB", got)
	}
}

func TestLongFolderName(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	for _, name := range []string{strings.Repeat("long", 30), "with space, comma and 'quote'"} {
		dir := filepath.Join(folder(t), name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		copyTree(t, filepath.Join(stocked(t), "postgres"), dir)
		c := start(t, Options{Dir: dir})
		if got := query[string](t, c, `SHOW data_directory`); got != filepath.Join(dir, "postgres") {
			t.Errorf("data directory %s", got)
		}
		other, err := Attach(t.Context(), Options{Dir: dir})
		if err != nil || other.URL("x") != c.URL("x") {
			t.Errorf("attach: %v", err)
		}
		stop(t, c)
		if exists(c.socket) {
			t.Errorf("%s is left", c.socket)
		}
	}
}

func TestSocketFolderOfSomebodyElse(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(stocked(t), strings.Repeat("long", 30))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "..", "postgres"), filepath.Join(dir, "postgres")); err != nil {
		t.Fatal(err)
	}
	trap := socketFolder(dir)
	if err := os.Symlink("/", trap); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(trap) })
	if c, err := Start(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), trap) {
		if err == nil {
			stop(t, c)
		}
		t.Fatalf("got %v, want an error that names %s", err, trap)
	}
}

func TestAttach(t *testing.T) {
	t.Parallel()
	if _, err := Attach(t.Context(), Options{Dir: "/nonexistent"}); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no folder: %v, want ErrNotRunning", err)
	}
	dir := stocked(t)
	if _, err := Attach(t.Context(), Options{Dir: dir}); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no owner: %v, want ErrNotRunning", err)
	}
	owner := startOwner(t, dir)
	c, err := Attach(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	stop(t, c)
	if got := query[int](t, c, `SELECT 1`); got != 1 || c.BinDir() == "" {
		t.Error("Stop of an attached cluster did something")
	}
	owner.finish(t)
	if _, err := Attach(t.Context(), Options{Dir: dir}); !errors.Is(err, ErrNotRunning) {
		t.Errorf("owner gone: %v, want ErrNotRunning", err)
	}
}

func TestAttachWaitsForAStartingOwner(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	if c, err := Start(t.Context(), Options{Dir: dir}); err != nil {
		t.Fatal(err)
	} else {
		stop(t, c)
	}
	started := make(chan *Cluster)
	go func() {
		c, err := Start(context.Background(), Options{Dir: dir})
		if err != nil {
			t.Error(err)
		}
		started <- c
	}()
	var err error
	for range 2000 {
		var c *Cluster
		if c, err = Attach(t.Context(), Options{Dir: dir}); err == nil {
			query[int](t, c, `SELECT 1`)
			break
		}
		if !errors.Is(err, ErrNotRunning) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err != nil {
		t.Error(err)
	}
	stop(t, <-started)
}

// Two processes use one folder by turns, as the tests of two packages do.
func TestOwnersByTurns(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	for range 2 {
		startOwner(t, dir).finish(t)
		c := start(t, Options{Dir: dir})
		query[int](t, c, `SELECT 1`)
		stop(t, c)
	}
}

func TestStopWhenPatienceEnds(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	c := start(t, Options{Dir: dir, tune: tuning{grace: 300 * time.Millisecond}})
	signal(t, pidOf(t, dir), sigStop) // a server that reacts to nothing
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := c.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func TestDefaultDir(t *testing.T) {
	got, err := DefaultDir()
	if err != nil || !filepath.IsAbs(got) || filepath.Base(got) != "guildhall" {
		t.Errorf("got %q, %v", got, err)
	}
	if os.Geteuid() == 0 && got != "/var/lib/guildhall" {
		t.Errorf("got %q for root", got)
	}
}
