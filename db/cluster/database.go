package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// URL is the address of a database of the cluster. pgx, lib/pq and libpq's own
// programs understand it; it names the port so that PGPORT does not matter.
func (c *Cluster) URL(database string) string { return urlAt(c.socket, database) }

func urlAt(socket, database string) string {
	return "postgres://guildhall@/" + url.PathEscape(database) +
		"?host=" + strings.ReplaceAll(url.QueryEscape(socket), "+", "%20") + // libpq takes a plus as it is
		"&port=" + port + "&sslmode=disable"
}

// CreateDatabase creates an empty database unless it is there already.
func CreateDatabase(ctx context.Context, c *Cluster, name string) error {
	conn, err := connect(ctx, c.URL("postgres"))
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var exists bool
	err = conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&exists)
	if err == nil && !exists {
		// template0 is never connected to, so this cannot find it in use.
		_, err = conn.Exec(ctx, `CREATE DATABASE `+pgx.Identifier{name}.Sanitize()+` TEMPLATE template0`)
	}
	if err != nil && !duplicate(err) {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// duplicate reports that another process created the database meanwhile, seen
// either by name or by the catalogue's unique index.
func duplicate(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "42P04" || pg.Code == "23505")
}
