// Package store makes the changes of package market true in PostgreSQL: one
// exported method is one use case is one transaction. It knows no HTTP.
//
// Every transition of a task has the same shape: load a snapshot, let package
// market decide, and commit the change in one round trip. One statement writes
// all tables; it inserts the timeline row (task, version) first, and of two
// writers that saw the same version one commits and the other loads again. No
// lock is held while a rule is thought about.
package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	"gocloud.dev/blob"

	"guildhall/market"
)

// Options are the operator's choices that the store applies.
type Options struct {
	// Grant is what a new account is given, in granted credits.
	Grant market.Credits
	// ReferralBonus is promised to the referrer of a new account, in granted
	// credits.
	ReferralBonus market.Credits
	// Terms are those of payouts.
	market.Terms
	// FeeBPS is the platform's fee, in basis points of each reward.
	FeeBPS int
	// Now is the clock; nil means the system's.
	Now func() time.Time
	// Blobs holds uploaded files; nil where none are handled.
	Blobs *blob.Bucket
	// Mail says that mails are sent; without it none are queued.
	Mail bool
	// Vault seals the codes of goods, second factors and mails; nil where none
	// are handled.
	Vault *Vault
	// Registration is who may create an account; "" means everybody.
	Registration market.RegistrationMode
	// Review says which redemptions wait for an operator.
	Review market.ReviewPolicy
	// Tracer sees every round trip; tests count them.
	Tracer pgx.QueryTracer
	// LookEvery is how often feeds that somebody waits for are looked at without
	// being told; 0 means every second.
	LookEvery time.Duration
	// MaxConns bounds the pool; 0 means 20.
	MaxConns int
}

// Store is the door to the database. It is safe for concurrent use.
type Store struct {
	db   *sqlx.DB
	opts Options
	// holding is set while this store holds the clocks of all others.
	holding atomic.Bool
	// flagNext is when to look for what is to be flagged again, in Unix seconds.
	flagNext atomic.Int64
	// establishNext is when to look for established accounts again, in Unix
	// seconds.
	establishNext atomic.Int64
	// sealNext is when to look for a day to seal again, in Unix seconds.
	sealNext atomic.Int64
	busy     busy
	hub      *hub
}

// Open connects to a migrated database.
func Open(databaseURL string, o Options) (*Store, error) {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("parse the database URL: %w", err)
	}
	config.Tracer = o.Tracer
	config.RuntimeParams["application_name"] = "guildhall"
	db := sqlx.NewDb(stdlib.OpenDB(*config, stdlib.OptionAfterConnect(utcTimes)), "pgx")
	n := o.MaxConns
	if n == 0 {
		n = 20
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	db.SetConnMaxIdleTime(5 * time.Minute)
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{db: db, opts: o}
	s.hub = newHub(*config, o.LookEvery, s.grownFeeds)
	return s, nil
}

// utcTimes makes timestamps come back in UTC instead of the machine's zone.
func utcTimes(_ context.Context, c *pgx.Conn) error {
	c.TypeMap().RegisterType(&pgtype.Type{Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC}})
	return nil
}

// Close ends all connections.
func (s *Store) Close() error {
	s.hub.close()
	return s.db.Close()
}

// DB is the pool, for the session store only.
func (s *Store) DB() *sqlx.DB { return s.db }

// now is UTC in microseconds, the precision that PostgreSQL keeps.
func (s *Store) now() time.Time { return s.opts.Now().UTC().Truncate(time.Microsecond) }

// newID is a UUIDv7: unique, and in order of time.
func newID[T ~string]() T { return T(uuid.Must(uuid.NewV7()).String()) }

// Grant is what a new account is given.
func (s *Store) Grant() market.Credits { return s.opts.Grant }

// ReferralBonus is promised to the referrer of a new account.
func (s *Store) ReferralBonus() market.Credits { return s.opts.ReferralBonus }

// Terms are those of payouts.
func (s *Store) Terms() market.Terms { return s.opts.Terms }

// FeeBPS is the platform's fee, in basis points of each reward.
func (s *Store) FeeBPS() int { return s.opts.FeeBPS }

// Mails says whether mails are sent.
func (s *Store) Mails() bool { return s.opts.Mail }

// Registration is who may create an account.
func (s *Store) Registration() market.RegistrationMode {
	if s.opts.Registration == "" {
		return market.RegistrationOpen
	}
	return s.opts.Registration
}

// Ping says whether the database answers, and the version of its schema.
func (s *Store) Ping(ctx context.Context) (version string, err error) {
	err = s.db.GetContext(ctx, &version, `SELECT COALESCE(max(version), '') FROM schema_migrations`)
	return version, translate(err)
}

// commit sends the batch in one round trip. The statements are one implicit
// transaction: all of them happen or none. Deadlocks and serialisation
// failures are tried again.
func (s *Store) commit(ctx context.Context, b *batch) error {
	var err error
	for range 3 {
		if err = s.send(ctx, b); !transient(err) {
			break
		}
	}
	if err == nil {
		s.hub.ring(b.told, b.toldMore)
	}
	return translate(err)
}

// send queues the statements anew each time: one that was sent remembers what
// it was prepared as, and a connection forgets that after a failure.
func (s *Store) send(ctx context.Context, b *batch) error {
	var fresh pgx.Batch
	for _, q := range b.QueuedQueries {
		fresh.Queue(q.SQL, q.Arguments...)
	}
	return s.onConn(ctx, func(c *pgx.Conn) error {
		if len(b.late) == 0 {
			return c.SendBatch(ctx, &fresh).Close()
		}
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			if err := s.sealLate(ctx, tx, b); err != nil {
				return err
			}
			return tx.SendBatch(ctx, &fresh).Close()
		})
	})
}

// read runs f, which only reads, on a connection of the pool. If the server
// has closed that one meanwhile it runs f again on another.
func (s *Store) read(ctx context.Context, f func(*pgx.Conn) error) error {
	var err error
	for range 3 {
		broken := false
		err = s.onConn(ctx, func(c *pgx.Conn) error {
			err := f(c)
			broken = c.IsClosed()
			return err
		})
		if err == nil || !broken || ctx.Err() != nil {
			break
		}
	}
	return err
}

// onConn runs f on a connection of the pool.
func (s *Store) onConn(ctx context.Context, f func(*pgx.Conn) error) error {
	conn, err := s.db.DB.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Raw(func(driver any) error {
		c, ok := driver.(*stdlib.Conn)
		if !ok {
			return errors.New("store: not a pgx connection")
		}
		return f(c.Conn())
	})
}
