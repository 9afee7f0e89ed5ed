package store_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// The tests of this file let accounts do random things in a market and hold
// the database to what must be true whatever happens, see property_check_test.go.

// steady is a clock that never tells the same time twice and moves by itself
// only as often as it is asked, so that a run can be made again.
type steady struct {
	start time.Time
	past  atomic.Int64
}

func (c *steady) now() time.Time {
	return c.start.Add(time.Duration(c.past.Add(int64(time.Microsecond))))
}
func (c *steady) advance(d time.Duration) { c.past.Add(int64(d)) }

// fair is a market in which several accounts do what they like.
type fair struct {
	t      *testing.T
	s      *store.Store
	c      steady
	ctx    context.Context
	agents []store.Caller // each publishes and works
	judge  store.Caller
	alone  bool // nothing else happens meanwhile
	// acting is held while something is tried: the clock must not jump further
	// than a transaction can last, or a sealed day gets another line.
	acting sync.RWMutex

	mu     sync.Mutex
	did    map[string]int
	epochs map[string]int64
}

const fairGrant = 400

func newFair(t *testing.T, agents int) *fair {
	f := &fair{t: t, ctx: context.Background(), did: map[string]int{}, epochs: map[string]int64{}}
	f.c.start = time.Now().UTC().Truncate(24 * time.Hour).Add(9 * time.Hour)
	f.s = storetest.New(t, func(o *store.Options) { o.Grant, o.Now = fairGrant, f.c.now })
	f.judge = operator(t, f.s)
	for i := range agents {
		if i < 2 {
			f.agents = append(f.agents, agent(t, f.s))
		} else {
			f.agents = append(f.agents, invited(t, f.s, f.agents[i%2]))
		}
	}
	return f
}

// seed is random, or what GUILDHALL_SEED says.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := rand.Uint64()
	if text := os.Getenv("GUILDHALL_SEED"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("GUILDHALL_SEED=%d makes the same attempts again", n)
	return n
}

// note counts what came of an attempt. What is refused must be refused for a
// reason that callers know.
func (f *fair) note(what string, err error) {
	var known *market.Error
	switch {
	case err == nil:
	case !errors.As(err, &known) || known.Kind == market.KindInternal || f.alone && known.Kind == market.KindUnavailable:
		f.t.Errorf("%s: %v", what, err)
		return
	default:
		what = known.Code
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did[what]++
}

// jump moves the clock while nobody is in a transaction.
func (f *fair) jump(d time.Duration) {
	f.acting.Lock()
	defer f.acting.Unlock()
	f.c.advance(d)
}

// wait moves the clock, often to the moment at which a task is due, and mostly
// has the clock act; else whoever comes first to a task finds it due.
func (f *fair) wait(r *rand.Rand) {
	switch n := r.IntN(200); {
	case n < 80:
		f.c.advance(time.Duration(r.IntN(10)) * time.Minute)
	case n < 155:
		f.jump(time.Duration(r.IntN(50)) * time.Minute)
	case n < 160:
		f.jump(time.Duration(r.IntN(20)) * time.Hour)
	case n < 199:
		var due []time.Time
		err := f.s.DB().SelectContext(f.ctx, &due, `
			(SELECT due_at FROM tasks WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 6)
			UNION ALL (SELECT due_at FROM cases WHERE closed_at IS NULL ORDER BY due_at LIMIT 1)`)
		if err != nil {
			f.t.Errorf("clocks: %v", err)
		}
		if at := r.IntN(7); at < len(due) {
			f.jump(max(0, due[at].Sub(f.c.now())-time.Duration(r.IntN(2))*time.Millisecond))
		}
	default:
		f.jump(8 * 24 * time.Hour) // downtime
	}
	if r.IntN(3) > 0 {
		f.acting.RLock()
		defer f.acting.RUnlock()
		_, err := f.s.Sweep(f.ctx, 1000)
		f.note("sweep", err)
	}
}

// TestAnyOrderOfEventsKeepsTheBooks makes one attempt after the other, of all
// events in both modes, and looks at the whole database after each.
func TestAnyOrderOfEventsKeepsTheBooks(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(seed(t), 0))
	f := newFair(t, 6)
	f.alone = true
	var missing []string
	for step := 0; !t.Failed() && step < 2500 && (step < 300 || len(missing) > 0); step++ {
		if step%10 == 0 {
			missing = f.missing()
		}
		switch n := r.IntN(10); {
		case n < 4 && len(missing) > 0:
			f.strive(r, missing[r.IntN(len(missing))])
		case n < 8:
			f.act(r)
		default:
			f.wait(r)
		}
		f.check()
		if step%25 == 0 {
			f.audit()
		}
	}
	if len(missing) > 0 && !t.Failed() {
		t.Errorf("never happened: %s", strings.Join(missing, ", "))
	}
	f.end()
}

// TestAccountsAtOnceKeepTheBooks has all of them do random things on the same
// tasks at once, while the clock moves, two nodes sweep, and somebody looks at
// the whole database again and again.
func TestAccountsAtOnceKeepTheBooks(t *testing.T) {
	t.Parallel()
	seed := seed(t)
	f := newFair(t, 8)
	var done sync.WaitGroup
	start := func(who uint64, steps int, do func(*rand.Rand)) {
		r := rand.New(rand.NewPCG(seed, who))
		done.Go(func() {
			for range steps {
				if !t.Failed() {
					do(r)
				}
			}
		})
	}
	for i := range uint64(8) {
		start(i, 120, f.act)
	}
	start(8, 100, f.wait)
	start(9, 100, f.wait)
	start(10, 15, func(*rand.Rand) { f.check(); f.audit() })
	done.Wait()
	f.check()
	f.audit()
	if missing := f.missing(); len(missing) > 20 {
		t.Errorf("hardly anything happened: no %s", strings.Join(missing, ", "))
	}
	f.end()
}
