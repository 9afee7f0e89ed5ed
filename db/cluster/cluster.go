package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
)

// Cluster is a PostgreSQL cluster that runs. Its methods may be called from
// several goroutines at once.
type Cluster struct {
	opts     Options
	log      *slog.Logger
	dir      string // the data directory, resolved
	data     string // dir/postgres
	socket   string // the folder of the socket
	bin      binaries
	user     account
	settings settings
	failures int // restarts since the server last ran well

	lock     *os.File // nil when attached
	life     context.Context
	quit     context.CancelFunc
	patience context.Context
	hurry    context.CancelFunc
	done     chan struct{} // closed when the server is stopped and the lock free
}

// Start owns the cluster of a data directory until Stop: it makes one if there
// is none, adopts a server that a killed owner left running or starts one,
// waits until it answers, and restarts it when it dies. ctx bounds Start
// only; when it ends early nothing stays behind.
//
// Errors to tell apart: ErrInUse, ErrNoPostgres, ErrVersion, ErrDiskFull,
// ErrAccess.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	dir, err := makeDir(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", diskFull(err, "", filepath.Dir(o.Dir), o.withDefaults().tune.initSpace))
	}
	c := newCluster(dir, o)
	c.socket = socketFolder(dir)
	if c.lock, err = acquire(ctx, dir); err != nil {
		return nil, diskFull(err, "", dir, c.opts.tune.startSpace)
	}
	c.newLife()
	s, err := c.begin(ctx)
	if err != nil {
		c.letGo()
		return nil, diskFull(err, "", dir, c.opts.tune.startSpace)
	}
	go c.supervise(s)
	return c, nil
}

func newCluster(dir string, o Options) *Cluster {
	o = o.withDefaults()
	return &Cluster{opts: o, log: o.Logger, dir: dir, data: filepath.Join(dir, "postgres")}
}

// begin does what Start does under the lock.
func (c *Cluster) begin(ctx context.Context) (*server, error) {
	var err error
	if err = removeDrafts(c.dir); err != nil {
		return nil, err
	}
	if c.bin, err = c.opts.tune.search.choose(ctx, c.data); err != nil {
		return nil, err
	}
	if c.user, err = serverAccount(c.data); err != nil {
		return nil, err
	}
	if err = c.checkAccess(c.dir); err != nil {
		return nil, err
	}
	if err = c.prepare(ctx); err != nil {
		return nil, err
	}
	return c.bringUp(ctx)
}

// prepare makes the cluster, or hands an existing one that root owns, such as
// a copy put back from a backup, to the server's user.
func (c *Cluster) prepare(ctx context.Context) error {
	version, err := dataVersion(c.data)
	if err != nil {
		return err
	}
	if version == "" {
		return c.initialize(ctx)
	}
	if owner, _ := ownerOf(c.data); owner != c.user.uid {
		if err := c.user.ownTree(c.data); err != nil {
			return err
		}
	}
	return os.Chmod(c.data, 0o700)
}

// BinDir is the folder of the server's programs.
func (c *Cluster) BinDir() string { return c.bin.dir }

// PgDump is the path of pg_dump, which is not always in BinDir.
func (c *Cluster) PgDump() string { return c.bin.dump }

// Stop shuts the server down, waits until it is gone, and frees the data
// directory. Connections are cut and open transactions rolled back. When ctx
// ends the server is stopped without order, which loses nothing either but
// makes the next start slower. It may be called again, and does nothing for an
// attached cluster.
func (c *Cluster) Stop(ctx context.Context) error {
	if c.lock == nil {
		return nil
	}
	c.quit()
	select {
	case <-c.done:
	case <-ctx.Done():
		c.hurry()
		<-c.done
	}
	c.hurry() // frees the context
	return nil
}
