package pool

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

// errStart wraps every reason why a child cannot start.
var errStart = errors.New("pool: the worker cannot start")

// errSilent is why a child did not start that runs without a word.
var errSilent = errors.New("no greeting in time")

// startTimeout bounds a child's start up to its greeting. It is generous: on
// a busy machine a process may take seconds.
const startTimeout = 10 * time.Second

// nursery starts children from one operating system thread of its own, which
// lives as long as the pool. The kernel ties two things to that thread: the
// children die with it (Pdeathsig), and they inherit that it cannot gain
// privileges, which no other thread of the server is meant to lose.
type nursery struct {
	options  Options
	ctx      context.Context // ends with the pool
	orders   chan order
	closed   chan struct{} // the thread has ended
	children sync.WaitGroup
}

type order struct {
	worker *worker
	result chan error
}

func newNursery(ctx context.Context, o Options) *nursery {
	n := &nursery{options: o, ctx: ctx, orders: make(chan order), closed: make(chan struct{})}
	go n.work()
	return n
}

// work never unlocks its thread, so that the thread ends with it.
func (n *nursery) work() {
	defer close(n.closed)
	runtime.LockOSThread()
	err := prepareThread()
	for {
		select {
		case o := <-n.orders:
			if err != nil {
				o.result <- err
				continue
			}
			o.result <- n.spawn(o.worker)
		case <-n.ctx.Done():
			return
		}
	}
}

// wait returns when the pool is closed and all children are gone.
func (n *nursery) wait() {
	<-n.closed
	n.children.Wait()
}

// start returns a child that has greeted and is ready for jobs.
func (n *nursery) start(ctx context.Context) (*worker, error) {
	w := &worker{done: make(chan struct{})}
	o := order{worker: w, result: make(chan error, 1)}
	select {
	case n.orders <- o:
	case <-n.ctx.Done():
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := <-o.result; err != nil {
		return nil, fmt.Errorf("%w: %w", errStart, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errSilent)
	defer cancel()
	if err := w.greeting(ctx); err != nil {
		w.end()
		return nil, fmt.Errorf("%w: %w (%s, stderr %q)", errStart, err, w.exit(), w.stderr.String())
	}
	return w, nil
}

// spawn starts the process of w. It runs on the nursery's thread.
func (n *nursery) spawn(w *worker) error {
	if len(n.options.Command) == 0 {
		return errors.New("no command")
	}
	w.cmd = exec.Command(n.options.Command[0], n.options.Command[1:]...)
	w.cmd.Env = append([]string{}, n.options.Env...) // never nil, which would mean the server's own
	w.cmd.Stderr = &w.stderr
	w.cmd.WaitDelay = time.Second
	w.cmd.SysProcAttr = childAttributes()
	stdin, err := w.cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := w.cmd.StdoutPipe()
	if err != nil {
		return errors.Join(err, stdin.Close())
	}
	w.stdin, w.stdout = stdin, bufio.NewReader(stdout)
	if err := w.cmd.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(n.ctx, w.kill)
	n.children.Go(func() {
		defer close(w.done)
		defer stop()
		w.waited = w.cmd.Wait()
	})
	return nil
}
