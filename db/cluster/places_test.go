package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// install puts programs that only know their version into a folder.
func install(t *testing.T, dir, version string, programs ...string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range programs {
		text := fmt.Sprintf("#!/bin/sh\necho 'postgres (PostgreSQL) %s (Debian)'\n", version)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// Not parallel: a program being written while others fork cannot be run.
func TestFindsBinaries(t *testing.T) {
	root, all := t.TempDir(), []string{"postgres", "initdb", "pg_dump"}
	at := func(dir string) string { return filepath.Join(root, dir) }
	install(t, at("/usr/lib/postgresql/9.6/bin"), "9.6.24", all...)
	install(t, at("/usr/lib/postgresql/15/bin"), "15.4", all...)
	install(t, at("/usr/pgsql-16/bin"), "16.1", "postgres", "initdb")
	install(t, at("/opt/homebrew/opt/postgresql@17/bin"), "17.2", all...)
	install(t, at("/usr/local/opt/postgresql@18/bin"), "18rc1", "postgres", "pg_dump") // no initdb
	install(t, at("/home/me/15"), "15.9", all...)
	install(t, at("/client"), "17.2", "pg_dump")
	if err := os.Mkdir(at("/bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(at("/home/me/15/postgres"), at("/bin/postgres")); err != nil {
		t.Fatal(err)
	}
	s := search{path: at("/bin") + ":relative:" + at("/client"), root: root}

	var got []string
	for _, b := range s.all(t.Context()) {
		got = append(got, b.version+" "+strings.TrimPrefix(b.dir, root)+" "+strings.TrimPrefix(b.dump, root))
	}
	want := []string{
		"17.2 /opt/homebrew/opt/postgresql@17/bin /opt/homebrew/opt/postgresql@17/bin/pg_dump",
		"16.1 /usr/pgsql-16/bin /client/pg_dump",
		"15.9 /home/me/15 /home/me/15/pg_dump",
		"15.4 /usr/lib/postgresql/15/bin /usr/lib/postgresql/15/bin/pg_dump",
		"9.6.24 /usr/lib/postgresql/9.6/bin /usr/lib/postgresql/9.6/bin/pg_dump",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}

	t.Run("chooses the newest for a new cluster", func(t *testing.T) {
		if b, err := s.choose(t.Context(), at("/none")); err != nil || b.major != 17 {
			t.Errorf("got %v, %v; want 17", b, err)
		}
	})
	t.Run("chooses its own for an old cluster", func(t *testing.T) {
		if b, err := s.choose(t.Context(), dataOf(t, "15")); err != nil || b.version != "15.9" {
			t.Errorf("got %v, %v; want 15.9", b, err)
		}
	})
	t.Run("says which is missing", func(t *testing.T) {
		_, err := s.choose(t.Context(), dataOf(t, "14"))
		var v *VersionError
		if !errors.As(err, &v) || v.Need != "14" || fmt.Sprint(v.Installed) != "[17 16 15 9]" {
			t.Fatalf("got %v, want a VersionError", err)
		}
		checkSays(t, err, "PostgreSQL 14", "17, 16, 15, 9", "install postgresql-14", "pg_dump")
	})
	t.Run("says what to install", func(t *testing.T) {
		none := search{path: at("/client"), root: at("/client")}
		_, err := none.choose(t.Context(), at("/none"))
		if !errors.Is(err, ErrNoPostgres) {
			t.Fatalf("got %v, want ErrNoPostgres", err)
		}
		checkSays(t, err, "apt-get install postgresql", "brew install postgresql@17", "DATABASE_URL")
		none.root = at("/old")
		install(t, at("/old/usr/lib/postgresql/13/bin"), "13.1", all...)
		_, err = none.choose(t.Context(), at("/none"))
		checkSays(t, err, "found only 13.1", "14 or newer")
	})
}

func dataOf(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "PG_VERSION"), []byte(version+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func checkSays(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

func TestDataOfAnotherVersion(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	if err := os.WriteFile(filepath.Join(dir, "postgres", "PG_VERSION"), []byte("13\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Options{Dir: dir})
	if !errors.Is(err, ErrVersion) {
		t.Fatalf("got %v, want ErrVersion", err)
	}
	checkSays(t, err, "PostgreSQL 13", "postgresql-13")
}

func TestFolderWithOtherFiles(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	dir := folder(t)
	if err := os.MkdirAll(filepath.Join(dir, "postgres", "letters"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Options{Dir: dir})
	checkSays(t, err, "no PostgreSQL cluster")
	if !exists(filepath.Join(dir, "postgres", "letters")) {
		t.Error("the files of somebody else are gone")
	}
}

func TestFolderOutOfReach(t *testing.T) {
	t.Parallel()
	needRoot(t)
	needPostgres(t)
	shut := filepath.Join(folder(t), "shut")
	if err := os.MkdirAll(filepath.Join(shut, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Options{Dir: filepath.Join(shut, "a", "data")})
	var access *AccessError
	if !errors.As(err, &access) || access.Folder != shut {
		t.Fatalf("got %v, want an AccessError for %s", err, shut)
	}
	checkSays(t, err, "chmod o+x "+shut)
	checkNoDraft(t, filepath.Join(shut, "a", "data"))
}

// A copy put back from a backup by root belongs to root.
func TestDataOfRoot(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := stocked(t)
	if out, err := exec.Command("chown", "-R", "0:0", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	query[int](t, start(t, Options{Dir: dir}), `SELECT 1`)
}

func TestNobodyButRootAndTheServer(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := stocked(t)
	c := start(t, Options{Dir: dir})
	if c.user.uid == 0 {
		t.Fatal("the server runs as root")
	}
	info, err := os.Stat("/proc/" + strconv.Itoa(pidOf(t, dir)))
	if err == nil && ownerIn(info) != c.user.uid {
		t.Errorf("the server runs as %d, want %d", ownerIn(info), c.user.uid)
	}
	for _, name := range []string{"guildhall.lock", "."} {
		if uid, _ := ownerOf(filepath.Join(dir, name)); uid != 0 {
			t.Errorf("%s belongs to %d, want root", name, uid)
		}
	}
	// Somebody else gets neither to the socket nor past the server.
	psql := exec.Command(filepath.Join(c.BinDir(), "psql"), c.URL("postgres"), "-c", "SELECT 1")
	psql.Dir = "/"
	psql.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}
	if out, err := psql.CombinedOutput(); err == nil {
		t.Errorf("a stranger got in: %s", out)
	}
}

// An ordinary user owns a cluster without any help of root.
func TestOrdinaryUser(t *testing.T) {
	t.Parallel()
	needRoot(t)
	needPostgres(t)
	a, err := serverAccount("/nonexistent")
	if err != nil {
		t.Fatal(err)
	}
	base := folder(t)
	program := filepath.Join(base, "owner.test")
	if out, err := exec.Command("cp", self(), program).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	dir := filepath.Join(base, "home")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := a.own(dir); err != nil {
		t.Fatal(err)
	}
	o, said := launchOwner(t, dir, program, a.credential())
	if said != "ready" {
		t.Fatal(said)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, want 0700 untouched", info.Mode())
	}
	o.finish(t)
}
