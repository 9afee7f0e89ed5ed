// Package db holds the schema of Guildhall: the migrations, embedded, and how
// they are applied. It must not know what the tables mean.
package db

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/url"

	"github.com/amacneil/dbmate/v2/pkg/dbmate"
	_ "github.com/amacneil/dbmate/v2/pkg/driver/postgres" // registers the driver that dbmate looks up
	_ "github.com/jackc/pgx/v5/stdlib"                    // registers "pgx"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrationLock is the advisory lock that serialises concurrent starts; dbmate
// has none of its own.
const migrationLock = 7_461_230_051

// Migration is one step of the schema.
type Migration struct {
	Version string
	Name    string
	Applied bool
}

func mate(databaseURL string) (*dbmate.DB, error) {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("parse the database URL: %w", err)
	}
	d := dbmate.New(u)
	d.FS = migrations
	d.MigrationsDir = []string{"migrations"}
	d.AutoDumpSchema = false
	d.Strict = true
	d.Log = io.Discard
	return d, nil
}

// Migrate applies all pending migrations under an advisory lock, so that
// several processes may start at once.
func Migrate(ctx context.Context, databaseURL string) error {
	conn, err := sql.Open("pgx", databaseURL)
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	defer conn.Close()
	lock, err := conn.Conn(ctx)
	if err != nil {
		return fmt.Errorf("reach the database: %w", err)
	}
	defer lock.Close()
	if _, err := lock.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, int64(migrationLock)); err != nil {
		return fmt.Errorf("lock for migrating: %w", err)
	}
	defer lock.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, int64(migrationLock))
	d, err := mate(databaseURL)
	if err != nil {
		return err
	}
	if err := d.Migrate(); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// Status lists all migrations, oldest first.
func Status(databaseURL string) ([]Migration, error) {
	d, err := mate(databaseURL)
	if err != nil {
		return nil, err
	}
	found, err := d.FindMigrations()
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	var out []Migration
	for _, m := range found {
		out = append(out, Migration{Version: m.Version, Name: m.FileName, Applied: m.Applied})
	}
	return out, nil
}

// Hash identifies the set of migrations; test templates are named by it.
func Hash() string {
	h := sha256.New()
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		panic(err) // the pattern is constant
	}
	for _, n := range names {
		b, err := migrations.ReadFile(n)
		if err != nil {
			panic(err) // the files are embedded
		}
		fmt.Fprintf(h, "%s %d\n", n, len(b))
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}
