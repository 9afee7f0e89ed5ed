package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// server is a postmaster we look after: our child or one we adopted.
type server struct {
	proc   *os.Process
	exited chan struct{} // closed when it is gone
	since  time.Time
	from   int64 // size of the log when we met it
}

// errLeftovers: processes of a dead server still use its memory.
var errLeftovers = errors.New("processes of the previous server are still there")

// running finds the live server that postmaster.pid names.
func (c *Cluster) running() (*server, postmaster, bool) {
	pm, err := readPostmaster(c.data)
	if err != nil || pm.pid <= 0 {
		return nil, pm, false
	}
	proc, err := os.FindProcess(pm.pid) // before the check: on Linux it pins the process
	if err != nil || !serves(pm.pid, c.data, c.user.uid) {
		return nil, pm, false
	}
	s := &server{proc: proc, exited: make(chan struct{}), since: time.Now(), from: c.logSize()}
	go func() {
		defer close(s.exited)
		for alive(pm.pid, c.data, c.user.uid) {
			time.Sleep(25 * time.Millisecond)
		}
	}()
	return s, pm, true
}

// launch starts a server and waits until it answers. When it fails nothing is
// left running.
func (c *Cluster) launch(ctx context.Context) (*server, error) {
	need := c.opts.tune.startSpace
	if err := checkSpace(c.dir, need); err != nil {
		return nil, err
	}
	s, err := c.spawn()
	if err != nil {
		return nil, diskFull(err, "", c.dir, need)
	}
	if err = c.awaitAnswer(ctx, s, c.socket); err == nil {
		c.log.Info("PostgreSQL is up", "version", c.bin.version, "pid", s.proc.Pid, "took", time.Since(s.since).Round(time.Millisecond))
		return s, nil
	}
	c.haltWithin(s, 5*time.Second)
	if errors.Is(err, errGone) {
		err = c.explain(s)
	}
	return nil, err
}

// explain says why a server did not start, in its own words.
func (c *Cluster) explain(s *server) error {
	said := c.tail(s.from)
	if leftoversIn(said) {
		return fmt.Errorf("%w: %s", errLeftovers, said)
	}
	need := c.opts.tune.startSpace
	if free, err := freeSpace(c.dir); err == nil && free < need/8 {
		// There may have been no room to say so.
		return &DiskFullError{Dir: c.dir, Free: free, Need: need}
	}
	return diskFull(fmt.Errorf("PostgreSQL did not start; its log %s says: %s", c.logName(), said), said, c.dir, need)
}

// spawn starts the server's process.
func (c *Cluster) spawn() (*server, error) {
	if err := errors.Join(removeEmptyPID(c.data), c.writeConfig(), c.makeSocketFolder()); err != nil {
		return nil, err
	}
	log, err := c.openLog()
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd := c.command("postgres", append([]string{"-D", c.data}, c.flags()...)...)
	cmd.Dir = c.data
	cmd.Stdout, cmd.Stderr = log, log
	if pm, err := readPostmaster(c.data); err == nil && pm.pid > 0 && !serves(pm.pid, c.data, c.user.uid) {
		cmd.Env = append(cmd.Env, withoutCheck(pm.pid))
	}
	s := &server{exited: make(chan struct{}), since: time.Now(), from: c.logSize()}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	s.proc = cmd.Process
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(s.exited)
	}()
	return s, nil
}

// halt stops a server: at once but orderly, and without order when patience
// ends. It returns when the server is gone.
func (c *Cluster) halt(patience context.Context, s *server) (orderly bool) {
	_ = s.proc.Signal(syscall.SIGINT) // fails only when it is gone already
	select {
	case <-s.exited:
		return true
	case <-patience.Done():
	}
	_ = s.proc.Signal(syscall.SIGQUIT)
	select {
	case <-s.exited:
		return false
	case <-time.After(c.opts.tune.grace):
	}
	_ = s.proc.Kill()
	<-s.exited
	return false
}

func (c *Cluster) haltWithin(s *server, d time.Duration) {
	patience, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	c.halt(patience, s)
}
