package cluster

import (
	"context"
	"errors"
	"syscall"
	"time"
)

const (
	firstDelay = 100 * time.Millisecond
	quickTries = 5                // restarts before the slow pace
	settled    = 30 * time.Second // a server that lived this long began anew
)

// bringUp makes a server answer: the one that runs, if it has our settings,
// otherwise a new one.
func (c *Cluster) bringUp(ctx context.Context) (*server, error) {
	if err := c.configure(); err != nil {
		return nil, err
	}
	c.turnLog()
	if s, pm, ok := c.running(); ok {
		err := c.suits(ctx, s, pm)
		if err == nil {
			c.log.Info("adopted the PostgreSQL that was running", "pid", pm.pid)
			return s, nil
		}
		c.log.Warn("stopping the PostgreSQL that was running", "pid", pm.pid, "why", err)
		c.haltWithin(s, c.opts.tune.answer)
	}
	return c.launchAlone(ctx)
}

// suits checks that a running server is ours and has the present settings.
func (c *Cluster) suits(ctx context.Context, s *server, pm postmaster) error {
	if err := c.awaitAnswer(ctx, s, pm.socket); err != nil {
		return err
	}
	id, err := identify(ctx, pm.socket)
	if err != nil {
		return err
	}
	if id.data != c.data || id.config != c.settings.hash {
		return errors.New("its settings are not the present ones")
	}
	return nil
}

// launchAlone starts a server, and ends processes that a killed one left
// behind when they are in the way.
func (c *Cluster) launchAlone(ctx context.Context) (*server, error) {
	for began := time.Now(); ; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s, err := c.launch(ctx)
		if !errors.Is(err, errLeftovers) || time.Since(began) > c.opts.tune.answer {
			return s, err
		}
		for _, pid := range orphans(c.clusterName(), c.user.uid) {
			c.log.Warn("ending a process of the previous server", "pid", pid)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		pause(ctx, firstDelay)
	}
}

// supervise keeps a server up until Stop. It alone touches the server.
func (c *Cluster) supervise(s *server) {
	defer close(c.done)
	defer c.letGo()
	hourly := time.NewTicker(time.Hour)
	defer hourly.Stop()
	for {
		select {
		case <-c.life.Done():
			if !c.halt(c.patience, s) {
				c.log.Warn("PostgreSQL was stopped without order; it recovers at the next start")
			}
			return
		case <-hourly.C:
			c.turnLog()
		case <-s.exited:
			next, err := c.revive(s)
			if err != nil {
				return
			}
			s = next
		}
	}
}

// revive starts a server again after it died, as often as it takes; its only
// error is that the cluster was stopped meanwhile.
func (c *Cluster) revive(dead *server) (*server, error) {
	if time.Since(dead.since) > settled {
		c.failures = 0
	}
	c.log.Error("PostgreSQL died", "pid", dead.proc.Pid, "log", c.tail(dead.from))
	for {
		delay := c.delay()
		c.failures++
		if !pause(c.life, delay) {
			return nil, c.life.Err()
		}
		s, err := c.bringUp(c.life)
		if err == nil {
			return s, nil
		}
		if c.life.Err() != nil {
			return nil, c.life.Err()
		}
		c.log.Error("PostgreSQL could not be started again", "attempt", c.failures, "next_in", c.delay(), "error", err)
	}
}

// delay doubles with each restart, and is a slow pace after the first few.
func (c *Cluster) delay() time.Duration {
	if c.failures >= quickTries {
		return c.opts.tune.slow
	}
	return firstDelay << c.failures
}

// letGo frees the data directory for the next owner.
func (c *Cluster) letGo() {
	c.removeSocketFolder()
	release(c.lock)
}

// newLife makes the two contexts that Stop ends: life when the server is to
// stop, patience when it is to stop at any price.
func (c *Cluster) newLife() {
	c.life, c.quit = context.WithCancel(context.Background())
	c.patience, c.hurry = context.WithCancel(context.Background())
	c.done = make(chan struct{})
}
