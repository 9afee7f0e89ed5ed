package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"guildhall/db"
	"guildhall/db/cluster"
	"guildhall/store"
)

// databaseName is the database in the private cluster.
const databaseName = "guildhall"

// database is where the data is, and how to let go of it.
type database struct {
	url    string
	where  string // for people
	pgDump string
	close  func()
}

// openDatabase uses DATABASE_URL, or owns the private cluster. With attach it
// uses the cluster of a running server if there is one.
func openDatabase(ctx context.Context, c config, attach bool) (database, error) {
	if c.databaseURL != "" {
		return database{url: c.databaseURL, where: "the PostgreSQL of DATABASE_URL", pgDump: "pg_dump", close: func() {}}, nil
	}
	o := cluster.Options{Dir: c.data, Logger: c.logger}
	var private *cluster.Cluster
	err := cluster.ErrNotRunning
	if attach {
		private, err = cluster.Attach(ctx, o)
	}
	if errors.Is(err, cluster.ErrNotRunning) {
		private, err = cluster.Start(ctx, o)
	}
	if err != nil {
		return database{}, err
	}
	d := database{url: private.URL(databaseName), where: c.data, pgDump: private.PgDump(), close: func() {
		stop, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := private.Stop(stop); err != nil {
			c.logger.Error("the database did not stop", "error", err)
		}
	}}
	if err := cluster.CreateDatabase(ctx, private, databaseName); err != nil {
		d.close()
		return database{}, err
	}
	return d, nil
}

func migrate(ctx context.Context, args, env []string, out, errs io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("%w: migrate needs up, status or dump", errUsage)
	}
	c, err := parseConfig("migrate "+args[0], args[1:], env, errs)
	if err != nil {
		return ignoreHelp(err)
	}
	d, err := openDatabase(ctx, c, true)
	if err != nil {
		return err
	}
	defer d.close()
	switch args[0] {
	case "up":
		return db.Migrate(ctx, d.url)
	case "status":
		return status(d.url, out)
	case "dump":
		return dump(ctx, d, out)
	}
	return fmt.Errorf("%w: migrate needs up, status or dump, not %q", errUsage, args[0])
}

func ignoreHelp(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return err
}

func status(databaseURL string, out io.Writer) error {
	all, err := db.Status(databaseURL)
	if err != nil {
		return err
	}
	for _, m := range all {
		state := "pending"
		if m.Applied {
			state = "applied"
		}
		fmt.Fprintf(out, "%-8s %s\n", state, m.Name)
	}
	return nil
}

// dump prints the schema of a migrated database without what differs between
// versions of pg_dump: its settings, comments and version lines.
func dump(ctx context.Context, d database, out io.Writer) error {
	if err := db.Migrate(ctx, d.url); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, d.pgDump, "--schema-only", "--no-owner", "--no-privileges", "--no-comments", "--dbname", d.url)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", d.pgDump, err, strings.TrimSpace(stderr.String()))
	}
	blank := true
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		line := s.Text()
		skip := strings.HasPrefix(line, "--") || strings.HasPrefix(line, "SET ") || strings.HasPrefix(line, `\`) || strings.HasPrefix(line, "SELECT pg_catalog.set_config")
		if skip || (line == "" && blank) {
			continue
		}
		blank = line == ""
		fmt.Fprintln(out, line)
	}
	return nil
}

func audit(ctx context.Context, args, env []string, out, errs io.Writer) error {
	c, err := parseConfig("audit", args, env, errs)
	if err != nil {
		return ignoreHelp(err)
	}
	d, err := openDatabase(ctx, c, true)
	if err != nil {
		return err
	}
	defer d.close()
	s, err := store.Open(d.url, store.Options{MaxConns: 2})
	if err != nil {
		return err
	}
	defer s.Close()
	r, err := s.Audit(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d transfers, %d wallets, %d tasks; sum over all accounts %d\n", r.Transfers, r.Wallets, r.Tasks, r.Sum)
	for _, f := range r.Findings {
		fmt.Fprintln(out, "DIFFERENCE", f)
	}
	if len(r.Findings) > 0 {
		return fmt.Errorf("%d differences", len(r.Findings))
	}
	if r.Days > 0 {
		fmt.Fprintf(out, "%d days sealed, the last with %x\n", r.Days, r.Seal)
	}
	fmt.Fprintln(out, "the books balance")
	return nil
}
