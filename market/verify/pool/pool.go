// Package pool runs the engines of package verify in child processes, so that
// an input that makes an engine panic, loop or eat memory costs its own job
// and nothing else.
//
// A child answers one job at a time over its standard input and output, in
// frames of a four-byte length and JSON. Children stay warm between jobs. A
// child that dies or is too slow is killed and replaced.
package pool

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"guildhall/market"
	"guildhall/market/verify"
)

// maxFrame bounds a frame both ways: a schema, an output and some room.
const maxFrame = 1 << 20

// jobsPerWorker is after how many jobs a child is replaced, so that nothing
// can pile up in it.
const jobsPerWorker = 10_000

// errClosed is returned once the pool is closed.
var errClosed = errors.New("pool: closed")

// Options configure a pool.
type Options struct {
	// Command starts a child that calls WorkerMain. Its environment is Env
	// and nothing else.
	Command []string
	Env     []string
	Workers int           // 0: one a processor
	Timeout time.Duration // wall clock of one job; 0: 3 s
	Logger  *slog.Logger  // nil: discard
}

// Pool is a set of warm children. It is safe for concurrent use.
type Pool struct {
	opts  Options
	slots chan *worker // a slot with nil has no child yet
	spawn chan func()
	once  sync.Once
	done  chan struct{}
}

// request is what a child is asked: to check an output, or to admit a schema.
// Both are bytes, since what accounts send need not be JSON.
type request struct {
	Admit  bool   `json:"admit,omitempty"`
	Schema []byte `json:"schema,omitempty"`
	Output []byte `json:"output,omitempty"`
}

type response struct {
	Report   market.Report    `json:"report"`
	Problems []verify.Problem `json:"problems"`
}

// New makes a pool; children start with the first jobs.
func New(o Options) *Pool {
	if o.Workers == 0 {
		o.Workers = runtime.NumCPU()
	}
	if o.Timeout == 0 {
		o.Timeout = 3 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Pool{opts: o, slots: make(chan *worker, o.Workers), spawn: make(chan func()), done: make(chan struct{})}
	for range o.Workers {
		p.slots <- nil
	}
	go p.spawner()
	return p
}

// spawner starts all children from one thread that lives as long as the pool:
// the kernel kills a child when the thread that made it ends.
func (p *Pool) spawner() {
	runtime.LockOSThread()
	for {
		select {
		case f := <-p.spawn:
			f()
		case <-p.done:
			return
		}
	}
}

// Close waits for running jobs and ends all children.
func (p *Pool) Close() {
	p.once.Do(func() {
		for range p.opts.Workers {
			if w := <-p.slots; w != nil {
				w.kill()
			}
		}
		close(p.done)
	})
}

// Verify checks a job. A child that dies or is too slow gives a report with
// the error verdict; an error is returned only if ctx ends or the pool is
// closed.
func (p *Pool) Verify(ctx context.Context, job verify.Job) (market.Report, error) {
	began := time.Now()
	out, err := p.do(ctx, request{Schema: job.Schema, Output: job.Output})
	switch {
	case err == nil:
		return out.Report, nil
	case ctx.Err() != nil || errors.Is(err, errClosed):
		return market.Report{}, err
	}
	p.opts.Logger.Warn("a verification ended without an answer", "error", err)
	r := verify.Failure("The checks could not be finished within their limits.")
	r.Millis = time.Since(began).Milliseconds()
	return r, nil
}

// AdmitSchema lists why a schema cannot be used. A schema that kills its child
// is refused as too expensive.
func (p *Pool) AdmitSchema(ctx context.Context, schema json.RawMessage) ([]verify.Problem, error) {
	out, err := p.do(ctx, request{Admit: true, Schema: schema})
	var start *startError
	switch {
	case err == nil:
		return out.Problems, nil
	case ctx.Err() != nil || errors.Is(err, errClosed) || errors.As(err, &start):
		return nil, err
	}
	return []verify.Problem{{Detail: "The schema is too expensive to compile."}}, nil
}

// startError means that no child could be started.
type startError struct{ err error }

func (e *startError) Error() string { return "pool: start a worker: " + e.err.Error() }

func (p *Pool) do(ctx context.Context, r request) (response, error) {
	var w *worker
	select {
	case w = <-p.slots:
	case <-p.done:
		return response{}, errClosed
	case <-ctx.Done():
		return response{}, ctx.Err()
	}
	var err error
	if w == nil {
		if w, err = p.start(); err != nil {
			p.slots <- nil
			return response{}, &startError{err}
		}
	}
	out, err := w.ask(ctx, r, p.opts.Timeout)
	w.jobs++
	if err != nil || w.jobs >= jobsPerWorker {
		w.kill()
		w = nil
	}
	p.slots <- w
	return out, err
}

type worker struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  io.Reader
	jobs int
}

func (p *Pool) start() (*worker, error) {
	cmd := exec.Command(p.opts.Command[0], p.opts.Command[1:]...)
	cmd.Env = append([]string{}, p.opts.Env...)
	cmd.SysProcAttr = childAttributes()
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	started := make(chan error, 1)
	select {
	case p.spawn <- func() { started <- cmd.Start() }:
	case <-p.done:
		return nil, errClosed
	}
	if err := <-started; err != nil {
		return nil, err
	}
	return &worker{cmd: cmd, in: in, out: out}, nil
}

// kill ends the child and waits until it is gone.
func (w *worker) kill() {
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait()
}

// ask sends one request and waits for its answer. When the time is up or ctx
// ends the child is killed, which ends the read.
func (w *worker) ask(ctx context.Context, r request, limit time.Duration) (response, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = w.cmd.Process.Kill() })
	defer stop()
	var answer response
	if err := writeFrame(w.in, r); err != nil {
		return answer, err
	}
	if err := readFrame(w.out, &answer); err != nil {
		return answer, err
	}
	return answer, nil
}

func writeFrame(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) > maxFrame {
		return fmt.Errorf("pool: a frame of %d bytes is too large", len(b))
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(b)), uint32(len(b))), b...))
	return err
}

func readFrame(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return fmt.Errorf("pool: a frame of %d bytes is too large", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}
