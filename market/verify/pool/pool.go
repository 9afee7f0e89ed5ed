// Package pool runs package verify in child processes, so that hostile
// schemas and outputs cost a child and never the server. It owns those
// processes: starting them, their limits, and their end. It must not know
// what a job means.
//
// A child serves one job at a time and is used again. On Linux it bounds
// itself (see limits_linux.go) in memory, CPU time per job, files and
// privileges; on every system the pool kills it when a job takes too long.
//
// No child outlives its server. An idle child reads the end of its input and
// returns. A computing child does not look, so on Linux the kernel kills it
// with the server (Pdeathsig), and would otherwise stop it after its CPU time.
package pool

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"guildhall/market"
	"guildhall/market/verify"
)

// ErrClosed is returned for jobs of a closed pool.
var ErrClosed = errors.New("pool: closed")

// errTimeout is why a job's context ended when the pool set the bound.
var errTimeout = errors.New("pool: the job took too long")

const defaultTimeout = 3 * time.Second

// Options are the settings of a pool. Only Command is required.
type Options struct {
	// Command starts a program that calls WorkerMain.
	Command []string
	// Env is the whole environment of the children.
	Env []string
	// Workers is how many children there may be, runtime.NumCPU() by default.
	Workers int
	// Timeout is the wall-clock time for one job, 3 seconds by default.
	// Waiting for a free child is not counted.
	Timeout time.Duration
	// Logger hears of children that failed; slog.Default() by default.
	Logger *slog.Logger
}

// Pool holds the child processes. Its methods may be called concurrently.
type Pool struct {
	options Options
	nursery *nursery
	slots   chan struct{} // one token for each job at work
	ctx     context.Context
	cancel  context.CancelFunc

	mu   sync.Mutex
	idle []*worker // the one used last at the end, so that few stay warm
}

// New returns a pool. Children are started when jobs come.
func New(o Options) *Pool {
	if o.Workers < 1 {
		o.Workers = runtime.NumCPU()
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	p := &Pool{options: o, slots: make(chan struct{}, o.Workers)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.nursery = newNursery(p.ctx, o)
	return p
}

// Close kills every child and returns when they are gone. Jobs at work end
// with ErrClosed.
func (p *Pool) Close() {
	p.cancel()
	p.nursery.wait()
}

// Verify runs one job in a child. A child that dies, takes too long or cannot
// start gives a report whose verdict is error, with one check of kind
// "engine". Errors are only those of ctx, and ErrClosed.
func (p *Pool) Verify(ctx context.Context, job verify.Job) (market.Report, error) {
	began := time.Now()
	if checks := verify.Oversized(job); len(checks) > 0 {
		return verify.Identify(market.NewReport(checks, 0), job), nil
	}
	a, err := p.do(ctx, jobRequest(job))
	switch {
	case err == nil && a.Report != nil:
		return *a.Report, nil
	case isCallers(err):
		return market.Report{}, err
	case errors.Is(err, errTimeout):
		return engineReport("The check took too long and was stopped.", began, job), nil
	case errors.Is(err, errStart):
		return engineReport("The check could not be started.", began, job), nil
	}
	return engineReport("The check used too much time or memory and was stopped.", began, job), nil
}

// Admit runs verify.Admit in a child. What the child does not survive is one
// problem. Errors are those of ctx, ErrClosed, and that no child can start.
func (p *Pool) Admit(ctx context.Context, admission verify.Admission) ([]verify.Problem, error) {
	if problems := verify.OversizedAdmission(admission); len(problems) > 0 {
		return problems, nil
	}
	a, err := p.do(ctx, admitRequest(admission))
	switch {
	case err == nil:
		return a.Problems, nil
	case isCallers(err), errors.Is(err, errStart):
		return nil, err
	case len(admission.Rules) == 0:
		return []verify.Problem{{Pointer: "/outputSchema", Detail: "The schema is too expensive to compile."}}, nil
	case len(admission.Schema) == 0:
		return []verify.Problem{{Pointer: "/rules", Detail: "The rules are too expensive to compile."}}, nil
	}
	return []verify.Problem{{Detail: "The schema and the rules are too expensive to compile."}}, nil
}

func engineReport(detail string, began time.Time, job verify.Job) market.Report {
	check := market.Check{Name: "engine", Kind: "engine", Verdict: market.VerdictError, Detail: detail}
	return verify.Identify(market.NewReport([]market.Check{check}, time.Since(began).Milliseconds()), job)
}

// isCallers reports whether err is about the caller or the pool, not the job.
func isCallers(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrClosed)
}

// do waits for a slot and has one child do the job.
func (p *Pool) do(ctx context.Context, r request) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, err
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return answer{}, ctx.Err()
	case <-p.ctx.Done():
		return answer{}, ErrClosed
	}
	a, err := p.doWithChild(ctx, r)
	switch {
	case err == nil:
		return a, nil
	case p.ctx.Err() != nil:
		return answer{}, ErrClosed
	case ctx.Err() != nil:
		return answer{}, ctx.Err()
	}
	return answer{}, err
}

func (p *Pool) doWithChild(ctx context.Context, r request) (answer, error) {
	w, err := p.take(ctx)
	if err != nil {
		if ctx.Err() == nil && p.ctx.Err() == nil {
			p.options.Logger.Error("verify worker cannot start", "error", err)
		}
		return answer{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.options.Timeout, errTimeout)
	defer cancel()
	a, err := w.do(ctx, r)
	if err == nil && !a.Retire {
		p.put(w)
		return a, nil
	}
	w.end()
	if err != nil && context.Cause(ctx) != nil {
		err = context.Cause(ctx)
	}
	if err != nil && !errors.Is(err, context.Canceled) && p.ctx.Err() == nil {
		p.options.Logger.Warn("verify worker lost", "error", err, "exit", w.exit(), "stderr", w.stderr.String())
	}
	return a, err
}

// take returns a living idle child, or a new one.
func (p *Pool) take(ctx context.Context) (*worker, error) {
	for {
		w := p.pop()
		if w == nil {
			return p.nursery.start(ctx)
		}
		if w.isAlive() {
			return w, nil
		}
		p.options.Logger.Warn("verify worker died while idle", "exit", w.exit(), "stderr", w.stderr.String())
	}
}

func (p *Pool) pop() *worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	w := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	return w
}

func (p *Pool) put(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, w)
}
