package pool

import (
	"bufio"
	"context"
	"io"
	"os/exec"
)

// worker is one child process as the server sees it. Only its exit is
// concurrent; jobs are given by one goroutine at a time.
type worker struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr excerpt
	done   chan struct{} // closed when the process is gone
	waited error         // set before done is closed
}

// greeting waits for the child to say that it is ready and confined.
func (w *worker) greeting(ctx context.Context) error {
	return w.within(ctx, func() error {
		var g greeting
		if err := readFrame(w.stdout, maxAnswer, &g); err != nil {
			return err
		}
		return g.check()
	})
}

// do has the child do one job. After an error the child is of no more use.
func (w *worker) do(ctx context.Context, r request) (answer, error) {
	var a answer
	err := w.within(ctx, func() error {
		if err := writeFrame(w.stdin, r); err != nil {
			return err
		}
		return readFrame(w.stdout, maxAnswer, &a)
	})
	return a, err
}

// within kills the child when ctx ends before talk does, which makes talk
// fail. An answer that came just in time is lost with the child.
func (w *worker) within(ctx context.Context, talk func() error) error {
	stop := context.AfterFunc(ctx, w.kill)
	err := talk()
	if !stop() {
		return context.Cause(ctx)
	}
	return err
}

// kill may be called at any time and more than once.
func (w *worker) kill() {
	// The only error is that the process is already gone.
	_ = w.cmd.Process.Kill()
}

// end kills the child and waits until it is gone.
func (w *worker) end() {
	w.kill()
	<-w.done
}

func (w *worker) isAlive() bool {
	select {
	case <-w.done:
		return false
	default:
		return true
	}
}

// exit says how a child that is gone ended.
func (w *worker) exit() string {
	if w.waited != nil {
		return w.waited.Error()
	}
	return "exit status 0"
}
