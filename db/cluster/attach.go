package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// errNotUp: the owner is still starting its server.
var errNotUp = errors.New("the server is not up yet")

// Attach uses a cluster that another process owns; Stop then does nothing. It
// waits for a server that is just starting. The error is ErrNotRunning when no
// process owns the cluster, even if a killed owner's server still runs.
func Attach(ctx context.Context, o Options) (*Cluster, error) {
	dir, err := resolve(o.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s does not exist", ErrNotRunning, o.Dir)
	}
	if err != nil {
		return nil, err
	}
	c := newCluster(dir, o)
	if err := c.awaitOwner(ctx); err != nil {
		return nil, fmt.Errorf("attach to the cluster in %s: %w", dir, err)
	}
	if c.bin, err = c.opts.tune.search.choose(ctx, c.data); err != nil {
		return nil, err
	}
	return c, nil
}

// awaitOwner waits until the server of the cluster's owner answers.
func (c *Cluster) awaitOwner(ctx context.Context) error {
	for began := time.Now(); ; {
		owned, err := held(c.dir)
		if err != nil {
			return err
		}
		if !owned {
			return ErrNotRunning
		}
		err = c.find(ctx)
		if err == nil || errors.Is(err, fs.ErrPermission) || refused(err) {
			return err
		}
		if time.Since(began) > c.opts.tune.answer {
			return err
		}
		if !pause(ctx, pollEvery) {
			return ctx.Err()
		}
	}
}

// find takes the socket from postmaster.pid and checks who answers there.
func (c *Cluster) find(ctx context.Context) error {
	pm, err := readPostmaster(c.data)
	if err != nil {
		return err
	}
	if !pm.ready || !fitsSocket(pm.socket) {
		return errNotUp
	}
	id, err := identify(ctx, pm.socket)
	if err != nil {
		return err
	}
	if id.data != c.data {
		return fmt.Errorf("the server at %s is another one, of %s", pm.socket, id.data)
	}
	c.socket = pm.socket
	return nil
}
