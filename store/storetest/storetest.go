// Package storetest gives each test a database of its own on a private
// PostgreSQL cluster shared by the whole test run.
package storetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // registers "pgx"
	"gocloud.dev/blob/fileblob"
	"golang.org/x/sys/unix"

	"guildhall/db"
	"guildhall/db/cluster"
	"guildhall/market"
	"guildhall/store"
)

// server is the cluster of this test binary's run.
type server struct {
	cluster *cluster.Cluster
	admin   *sql.DB
	release func()
}

var (
	once    sync.Once
	shared  *server
	failure error
)

// Main runs a package's tests and lets go of the cluster afterwards; the last
// test binary of the run stops it. Every package that uses New calls it from
// TestMain.
func Main(m *testing.M) int {
	code := m.Run()
	if shared != nil {
		shared.admin.Close()
		shared.release()
	}
	return code
}

// URL is a fresh, migrated, empty database, dropped when the test ends.
// Without PostgreSQL the test is skipped, or fails where CI is set.
func URL(t testing.TB) string {
	t.Helper()
	once.Do(func() { shared, failure = start() })
	if failure != nil {
		if os.Getenv("CI") == "" {
			t.Skipf("no PostgreSQL for tests: %v", failure)
		}
		t.Fatalf("no PostgreSQL for tests: %v", failure)
	}
	name := "t_" + randomName()
	run(t, `CREATE DATABASE `+name+` TEMPLATE `+template())
	t.Cleanup(func() { run(t, `DROP DATABASE `+name+` WITH (FORCE)`) })
	return shared.cluster.URL(name)
}

// New is a store on a database of its own. Mutate changes the defaults: a
// grant of 1,000, a hold of 24 hours, the system's clock, uploads in a folder
// of the test, a fresh secret key.
func New(t testing.TB, mutate ...func(*store.Options)) *store.Store {
	t.Helper()
	blobs, err := fileblob.OpenBucket(t.TempDir(), &fileblob.Options{NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		t.Fatalf("open a folder for blobs: %v", err)
	}
	t.Cleanup(func() { blobs.Close() })
	key := store.NewSecretKey()
	vault, err := store.NewVault(func() (string, error) { return key, nil })
	if err != nil {
		t.Fatalf("make a vault: %v", err)
	}
	o := store.Options{Grant: 1000, Vault: vault, Review: market.DefaultReviewPolicy, ReferralBonus: market.DefaultReferralBonus, Terms: market.Terms{Hold: 24 * time.Hour}, MaxConns: 16, Blobs: blobs}
	for _, m := range mutate {
		m(&o)
	}
	s, err := store.Open(URL(t), o)
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func run(t testing.TB, statement string) {
	t.Helper()
	if _, err := shared.admin.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func randomName() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func template() string { return "template_" + db.Hash() }

// start joins the run's cluster, or starts it. Test binaries of one run share
// a folder: each holds a shared lock on it while it runs, and whoever can turn
// its lock into an exclusive one at the end is the last and stops the cluster.
// With GUILDHALL_TEST_DURABLE set it commits as a real one does, for measuring.
func start() (*server, error) {
	name := "guildhall-test"
	durable := os.Getenv("GUILDHALL_TEST_DURABLE") != ""
	if durable {
		name += "-durable"
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("%s-%d", name, os.Getuid()))
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, err
	}
	users, err := os.OpenFile(filepath.Join(dir, "users.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(users.Fd()), unix.LOCK_SH); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	options := cluster.Options{Dir: dir, Fast: !durable, MaxConnections: 400}
	c, err := join(ctx, options)
	if err != nil {
		return nil, err
	}
	s := &server{cluster: c}
	s.release = func() {
		if unix.Flock(int(users.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			stop(options)
		}
		users.Close()
	}
	if s.admin, err = sql.Open("pgx", c.URL("postgres")); err != nil {
		return nil, err
	}
	s.admin.SetMaxOpenConns(4)
	return s, s.makeTemplate(ctx)
}

// join attaches to the running cluster, or starts one and leaves it running.
func join(ctx context.Context, o cluster.Options) (*cluster.Cluster, error) {
	lock, err := os.OpenFile(filepath.Join(o.Dir, "start.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, err
	}
	if c, err := cluster.Attach(ctx, o); err == nil {
		return c, nil
	}
	return cluster.Start(ctx, o)
}

// stop ends the cluster, whichever binary of the run started it.
func stop(o cluster.Options) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c := shared.cluster
	if owner, err := cluster.Start(ctx, o); err == nil {
		c = owner // the binary that started it has ended
	}
	_ = c.Stop(ctx)
}

// makeTemplate migrates the database that all others are copied from.
func (s *server) makeTemplate(ctx context.Context) error {
	conn, err := s.admin.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock(7461230052)`); err != nil {
		return err
	}
	defer conn.ExecContext(ctx, `SELECT pg_advisory_unlock(7461230052)`)
	var there bool
	if err := conn.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)`, template()).Scan(&there); err != nil || there {
		return err
	}
	draft := template() + "_draft"
	for _, q := range []string{`DROP DATABASE IF EXISTS ` + draft + ` WITH (FORCE)`, `CREATE DATABASE ` + draft} {
		if _, err := conn.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	if err := db.Migrate(ctx, s.cluster.URL(draft)); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, `ALTER DATABASE `+draft+` RENAME TO `+strings.TrimSuffix(draft, "_draft"))
	return err
}
