package cluster

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// small mounts a disk of the given size and returns a data directory on it.
func small(t *testing.T, size string) string {
	t.Helper()
	needRoot(t)
	needPostgres(t)
	base := folder(t)
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "mode=755,size="+size, "guildhall-cluster", base).CombinedOutput(); err != nil {
		t.Skipf("cannot mount: %s", out)
	}
	t.Cleanup(func() {
		awaitNone(base)
		if out, err := exec.Command("umount", base).CombinedOutput(); err != nil {
			t.Errorf("umount: %s", out)
		}
	})
	return filepath.Join(base, "data")
}

func checkDiskFull(t *testing.T, err error) {
	t.Helper()
	var full *DiskFullError
	if !errors.As(err, &full) || !errors.Is(err, ErrDiskFull) || full.Need == 0 {
		t.Fatalf("got %v, want ErrDiskFull", err)
	}
	t.Log(err)
}

func TestNoRoomForACluster(t *testing.T) {
	t.Parallel()
	dir := small(t, "30m")
	for _, tune := range []tuning{{}, {initSpace: 1}} { // refused, and tried in vain
		_, err := Start(t.Context(), Options{Dir: dir, tune: tune})
		checkDiskFull(t, err)
		checkNoDraft(t, dir)
		if exists(filepath.Join(dir, "postgres")) {
			t.Error("a half-made cluster is in place")
		}
	}
}

func TestNoRoomToStart(t *testing.T) {
	t.Parallel()
	dir := small(t, "100m")
	o := Options{Dir: dir, tune: tuning{initSpace: 1}}
	stop(t, start(t, o))
	fill(t, dir)
	for _, tune := range []tuning{{}, {startSpace: 1}} {
		o.tune = tune
		c, err := Start(t.Context(), o)
		if err == nil {
			stop(t, c)
		}
		checkDiskFull(t, err)
		if left := awaitNone(dir); len(left) > 0 {
			t.Errorf("left %q", left)
		}
	}
	free(t, dir)
	start(t, o)
}

// crash uses up the log segments the server has; it cannot make another.
func crash(t *testing.T, w *writer) {
	t.Helper()
	for range 50 {
		if _, err := try[string](t.Context(), w.c, `SELECT pg_switch_wal()::text FROM pg_logical_emit_message(true, '', '')`); err != nil {
			return
		}
	}
}

// fill writes until the disk is full.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}

func free(t *testing.T, dir string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
}

// The disk fills up while rows are written: writers get errors, the server
// may crash, and once there is room all that was acknowledged is there.
func TestDiskFillsUp(t *testing.T) {
	t.Parallel()
	dir := small(t, "180m")
	c := start(t, Options{Dir: dir, tune: tuning{initSpace: 1, startSpace: 20 << 20, slow: 300 * time.Millisecond}})
	execute(t, c, `CREATE TABLE letters (id bigint PRIMARY KEY, body text NOT NULL)`)

	w := &writer{c: c}
	w.write(t, 2*time.Second, 1)
	if w.full+w.lost > 0 {
		t.Fatalf("errors before the disk was full: %+v", w)
	}
	fill(t, dir)
	w.write(t, 2*time.Second, 400)
	if w.full == 0 {
		t.Error("no write met SQLSTATE 53100")
	}
	crash(t, w)
	w.write(t, 2*time.Second, 400)
	t.Logf("acknowledged %d, 53100 %d times, connection lost or refused %d times, other %v", len(w.kept), w.full, w.lost, w.other)
	if w.lost == 0 || w.other != nil {
		t.Errorf("the server did not crash, or another error came: %v", w.other)
	}
	acknowledged := len(w.kept)
	free(t, dir)
	for range 400 {
		if w.write(t, 25*time.Millisecond, 1); len(w.kept) > acknowledged {
			break
		}
	}
	if len(w.kept) == acknowledged {
		t.Fatal("no write succeeded after the disk had room again")
	}
	w.check(t)
}

// writer writes rows and remembers which were acknowledged.
type writer struct {
	c          *Cluster
	next       int64
	kept       []int64
	full, lost int
	other      error
}

func (w *writer) write(t *testing.T, d time.Duration, kib int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d+5*time.Second)
	defer cancel()
	var conn *pgx.Conn
	for end := time.Now().Add(d); time.Now().Before(end); {
		var err error
		if conn == nil {
			conn, err = connect(ctx, w.c.URL("postgres"))
		}
		if err == nil {
			w.next++
			_, err = conn.Exec(ctx, `
				INSERT INTO letters
				SELECT $1, string_agg(md5(random()::text), '') FROM generate_series(1, 32 * $2::int)`, w.next, kib)
		}
		if err == nil {
			w.kept = append(w.kept, w.next)
			continue
		}
		w.note(err)
		if conn != nil && conn.IsClosed() {
			conn = nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	if conn != nil {
		_ = conn.Close(ctx)
	}
}

func (w *writer) note(err error) {
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && pg.Code == "53100":
		w.full++
	case !errors.As(err, &pg) || pg.Code[:2] == "57" || pg.Code[:2] == "58": // gone, or going
		w.lost++
	default:
		w.other = err
	}
}

func (w *writer) check(t *testing.T) {
	t.Helper()
	conn, err := connect(t.Context(), w.c.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var found int
	err = conn.QueryRow(t.Context(), `SELECT count(*) FROM letters WHERE id = ANY($1)`, w.kept).Scan(&found)
	if err != nil || found != len(w.kept) {
		t.Errorf("found %d of %d acknowledged rows, %v", found, len(w.kept), err)
	}
}

func TestTurnsTheLogOver(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	c := newCluster(dir, Options{})
	if err := os.WriteFile(c.logName(), make([]byte, logLimit), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, Options{Dir: dir})
	if c.logSize() > logLimit/2 {
		t.Errorf("the log has %d bytes", c.logSize())
	}
	if info, err := os.Stat(c.logName() + ".1"); err != nil || info.Size() != logLimit {
		t.Errorf("the part before: %v", err)
	}
}
