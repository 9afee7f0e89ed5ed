package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// errGone: the server ended while we waited for its answer.
var errGone = errors.New("the server ended")

const (
	pollEvery  = 20 * time.Millisecond
	oneAttempt = time.Second

	// askAnyway is how often a server is asked that does not call itself
	// ready. It logs each such question, so there should be few.
	askAnyway = 2 * time.Second
)

// awaitAnswer waits until the server accepts connections. One that says it is
// still recovering is waited for as long as ctx allows; a silent one is not.
func (c *Cluster) awaitAnswer(ctx context.Context, s *server, socket string) error {
	began := time.Now()
	heard, told, asked := began, began, began
	for {
		err := errNotUp
		if c.callsItselfReady(s) || time.Since(asked) > askAnyway {
			asked = time.Now()
			_, err = identify(ctx, socket)
		}
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case recovering(err):
			heard = time.Now()
		case refused(err):
			return err
		}
		if time.Since(heard) > c.opts.tune.answer {
			return fmt.Errorf("PostgreSQL has not answered for %s: %w", c.opts.tune.answer, err)
		}
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			c.log.Info("waiting for PostgreSQL to recover", "last", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.exited:
			return errGone
		case <-time.After(pollEvery):
		}
	}
}

// callsItselfReady reads in postmaster.pid how far the server is.
func (c *Cluster) callsItselfReady(s *server) bool {
	pm, err := readPostmaster(c.data)
	return err == nil && pm.pid == s.proc.Pid && pm.ready
}

// identity is who answers at a socket.
type identity struct {
	data   string
	config string
}

func identify(ctx context.Context, socket string) (identity, error) {
	ctx, cancel := context.WithTimeout(ctx, oneAttempt)
	defer cancel()
	conn, err := connect(ctx, urlAt(socket, "postgres"))
	if err != nil {
		return identity{}, err
	}
	defer func() { _ = conn.Close(ctx) }()
	var id identity
	err = conn.QueryRow(ctx, `
		SELECT current_setting('data_directory'),
		       coalesce(current_setting('guildhall.config', true), '')`).Scan(&id.data, &id.config)
	return id, err
}

func connect(ctx context.Context, url string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, config)
}

// recovering reports whether a server answered that it will be ready later.
// The same code means the opposite while it shuts down.
func recovering(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "57P03" && !strings.Contains(pg.Message, "shutting down")
}

// refused reports whether a server is up but does not let us in.
func refused(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && strings.HasPrefix(pg.Code, "28")
}

// leftoversIn recognises the server's refusal to start beside old processes.
func leftoversIn(log string) bool {
	return strings.Contains(log, "pre-existing shared memory block")
}
