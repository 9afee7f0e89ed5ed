// Package work is the worker of `guildhall work`: it finds tasks, has a
// program solve them, and delivers what the program prints. It knows the
// market by its API only.
//
// What it does with a task is written down before it is done (see step), so
// that a worker that is killed at any moment delivers each task once.
package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"sync"
	"time"

	"guildhall/client"
)

// Options are what a worker does.
type Options struct {
	Client *client.Client
	// Command is the program and its arguments, Env its environment.
	Command, Env []string
	// Errs is where the program complains.
	Errs io.Writer
	// Filter is which tasks are taken on.
	Filter client.Filter
	// State is the folder in which the worker remembers what it does.
	State string
	// Concurrency is how many tasks are worked on at once.
	Concurrency int
	// MaxTasks is how many tasks are taken on, 0 for any number.
	MaxTasks int
	// Timeout is how long the program may take for a task, Budget for all of
	// this run; 0 for any time.
	Timeout, Budget time.Duration
	// IdleExit ends the worker when it had nothing to do for so long; negative
	// never.
	IdleExit time.Duration
	// Poll is how often it looks for work when there is none.
	Poll time.Duration
	// MaxFailures in a row begin a pause of FirstPause, twice as long with
	// each further one, up to an hour.
	MaxFailures int
	FirstPause  time.Duration
	// RenewEvery is how often a lease is extended, 0 for what suits it.
	RenewEvery time.Duration
	// NoCheck leaves out the dry run before delivering.
	NoCheck bool
	// Adopt goes on with claims of the account that this worker knows nothing
	// of; without, they are left to whoever holds them.
	Adopt bool
	// Retry takes on again what failed earlier.
	Retry bool
	// Tell is told what happens, by one goroutine at a time.
	Tell func(Event)
}

// maxPause is the longest pause after failures; queueLife is how long tasks
// that were found are worth a try; retryAfter is the pause, beside the
// client's own, before the server is told again; heldFor is how long a worker
// that is to end when it has nothing to do waits for a server that does not
// answer.
const (
	maxPause   = time.Hour
	queueLife  = 30 * time.Second
	retryAfter = 2 * time.Second
	heldFor    = 5 * time.Minute
)

// idPattern is what can name a file of the state.
var idPattern = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// worker is one run.
type worker struct {
	Options
	records *records
	telling sync.Mutex

	running map[string]bool
	ended   chan outcome
	wake    chan struct{}

	resume    []record
	queue     []client.Task
	queueEnds time.Time
	// skipped are tasks that will never be this account's.
	skipped map[string]bool
	foreign map[string]bool

	begun    int // tasks taken on
	finished int
	spent    time.Duration
	failures int
	last     string // why the last one failed
	// looked is when the market was asked last, quiet since when there is
	// nothing to do, notBefore when tasks may be taken on again, and held why
	// not before.
	looked, quiet, notBefore time.Time
	held                     error
	// retryAt is when what the server could not be told is told again.
	retryAt time.Time
}

// Run works until there is nothing to do any more, or the context ends. It
// returns an error if it cannot go on.
func Run(ctx context.Context, o Options) error {
	r, err := openRecords(o.State, time.Now())
	if err != nil {
		return err
	}
	defer r.close()
	me, err := o.Client.Me(ctx)
	if err != nil {
		return err
	}
	if err := r.belongTo(me.ID); err != nil {
		return err
	}
	if o.Retry {
		if err := r.retry(); err != nil {
			return err
		}
	}
	w := &worker{Options: o, records: r, running: map[string]bool{}, ended: make(chan outcome), wake: make(chan struct{}, 1),
		skipped: map[string]bool{}, foreign: map[string]bool{}, resume: r.unfinished(), quiet: time.Now()}
	w.tell(Event{Event: Started, Detail: me.Handle, Tasks: len(w.resume)})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go w.listen(ctx)
	err = w.loop(ctx)
	cancel()
	for len(w.running) > 0 {
		w.reap(<-w.ended)
	}
	w.tell(Event{Event: Stopped, Tasks: w.finished, Seconds: seconds(w.spent)})
	return err
}

func (w *worker) tell(e Event) {
	w.telling.Lock()
	defer w.telling.Unlock()
	e.At = time.Now().UTC().Truncate(time.Millisecond)
	if e.Title != "" {
		e.Untrusted = []string{"title"}
	}
	w.Tell(e)
}

func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }

// loop starts tasks as long as there are any, and room for them.
func (w *worker) loop(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := w.fill(ctx); err != nil {
			return err
		}
		if len(w.running) > 0 {
			w.quiet = time.Now()
		} else if done, err := w.nothingLeft(); done {
			return err
		}
		select {
		case <-ctx.Done():
		case o := <-w.ended:
			if err := w.reap(o); err != nil {
				return err
			}
		case <-w.wake:
			// A burst of events is no burst of looks.
			if soon := time.Now().Add(min(0, time.Second-w.Poll)); soon.Before(w.looked) {
				w.looked = soon
			}
		case <-time.After(w.untilNext()):
		}
	}
	return nil
}

// untilNext is when the loop has something to do by itself.
func (w *worker) untilNext() time.Duration {
	if len(w.running) >= w.Concurrency || !w.mayBegin() && len(w.resume) == 0 {
		return time.Hour // a task ends first
	}
	next := w.looked.Add(w.Poll)
	if w.notBefore.After(next) {
		next = w.notBefore
	}
	if len(w.resume) > 0 && w.retryAt.Before(next) {
		next = w.retryAt
	}
	wait := time.Until(next)
	if w.IdleExit >= 0 && len(w.running) == 0 {
		wait = min(wait, time.Until(w.quiet.Add(w.IdleExit)))
	}
	return max(wait, 20*time.Millisecond)
}

// mayBegin says whether the limits let another task in.
func (w *worker) mayBegin() bool {
	return (w.MaxTasks == 0 || w.begun < w.MaxTasks) && (w.Budget == 0 || w.spent < w.Budget)
}

// nothingLeft says whether the worker, with no task at work, is done. It is
// not done well if it could not look for tasks, or was not let have them.
func (w *worker) nothingLeft() (bool, error) {
	held := w.notBefore.After(time.Now())
	if len(w.resume) > 0 || w.mayBegin() && (w.IdleExit < 0 || time.Since(w.quiet) < w.IdleExit || w.looked.Before(w.quiet) && !held) {
		return false, nil
	}
	switch {
	case w.failures >= w.MaxFailures:
		return true, fmt.Errorf("%d tasks in a row failed, the last because: %s", w.failures, w.last)
	case !held || !w.mayBegin():
		return true, nil
	case client.Unreachable(w.held) && time.Since(w.quiet) < max(w.IdleExit, heldFor):
		return false, nil
	}
	return true, fmt.Errorf("there may be tasks left: %w", w.held)
}

// fill starts tasks while there are places free: first what an earlier run
// began, whatever the limits.
func (w *worker) fill(ctx context.Context) error {
	for len(w.running) < w.Concurrency && len(w.resume) > 0 && time.Now().After(w.retryAt) {
		rec := w.resume[0]
		w.resume = w.resume[1:]
		w.tell(Event{Event: Resumed, TaskID: rec.TaskID, Detail: string(rec.Step)})
		w.begin(ctx, job{record: rec, resumed: true})
	}
	for len(w.running) < w.Concurrency && w.mayBegin() && time.Now().After(w.notBefore) {
		if time.Now().After(w.queueEnds) {
			w.queue = nil
		}
		if len(w.queue) == 0 {
			if time.Since(w.looked) < w.Poll {
				return nil
			}
			if err := w.look(ctx); err != nil || len(w.queue) == 0 {
				return err
			}
			continue
		}
		t := w.queue[0]
		w.queue = w.queue[1:]
		rec := record{TaskID: t.ID, Step: stepClaiming, ClaimKey: client.NewKey(), Open: t.Mode == "open"}
		if rec.Open {
			rec.Step, rec.ClaimKey, rec.DeliverKey = stepSolving, "", client.NewKey()
		}
		if err := w.records.put(rec); err != nil {
			return err
		}
		w.begin(ctx, job{record: rec, title: t.Title, reward: t.Reward})
	}
	return nil
}

func (w *worker) begin(ctx context.Context, j job) {
	j.w, w.running[j.record.TaskID] = w, true
	w.begun++
	go func() { w.ended <- j.do(ctx) }()
}

// look asks the market for tasks, and the account for claims that nobody works
// on. When the server cannot be reached it is asked again later.
func (w *worker) look(ctx context.Context) error {
	w.looked = time.Now()
	if err := w.lookAtClaims(ctx); err != nil {
		return w.later(err)
	}
	f := w.Filter
	f.Limit, f.NoProtected = 100, true // the program could not open what is protected
	for range 20 {                     // pages
		page, err := w.Client.Market(ctx, f)
		if err != nil {
			return w.later(err)
		}
		for _, t := range page.Items {
			if _, known := w.records.get(t.ID); !known && !t.Evergreen && !w.skipped[t.ID] && idPattern.MatchString(t.ID) {
				w.queue = append(w.queue, t)
			}
		}
		if f.Cursor = page.NextCursor; len(w.queue) > 0 || f.Cursor == "" {
			break
		}
	}
	// Many workers read the same list; they should not all want its first.
	rand.Shuffle(len(w.queue), func(i, k int) { w.queue[i], w.queue[k] = w.queue[k], w.queue[i] })
	w.queueEnds = time.Now().Add(queueLife)
	if len(w.queue) > 0 {
		w.looked = time.Time{} // there may be more behind
	}
	return nil
}

// later turns an error into a wait if it may pass by itself.
func (w *worker) later(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	if !client.Unreachable(err) {
		return err
	}
	w.hold(err, max(w.Poll, 5*time.Second))
	return nil
}

// hold takes no tasks on for a while.
func (w *worker) hold(err error, atLeast time.Duration) {
	wait := atLeast
	var p *client.Problem
	if errors.As(err, &p) {
		wait = max(wait, p.RetryAfter)
	}
	w.notBefore, w.held = time.Now().Add(wait), err
	w.looked = time.Time{} // what there is then was not seen
	w.tell(Event{Event: Waiting, Detail: err.Error(), Seconds: seconds(wait)})
}

// lookAtClaims finds claims that are the account's and that no job works on:
// rejected deliveries to be revised, and what is not this worker's.
func (w *worker) lookAtClaims(ctx context.Context) error {
	page, err := w.Client.OwnTasks(ctx, "worker", "claimed", client.Paging{Limit: 100})
	if client.IsCode(err, "scope_missing") {
		return nil
	}
	if err != nil {
		return err
	}
	for _, t := range page.Items {
		if err := w.lookAtClaim(ctx, t); client.Unreachable(err) || err != nil && !isProblem(err) {
			return err
		} else if err != nil { // changed meanwhile
			w.foreign[t.ID] = true
		}
	}
	return nil
}

func isProblem(err error) bool {
	var p *client.Problem
	return errors.As(err, &p)
}

func (w *worker) lookAtClaim(ctx context.Context, t client.Task) error {
	rec, known := w.records.get(t.ID)
	switch {
	case w.running[t.ID] || known && rec.Step != stepDone || len(w.running) >= w.Concurrency || w.foreign[t.ID] || !idPattern.MatchString(t.ID):
	case known && rec.Result == Delivered:
		return w.revise(ctx, t, rec)
	case !known && w.Adopt:
		return w.adopt(ctx, t)
	case !known && w.begun == 0: // later ones are of workers beside this one
		w.foreign[t.ID] = true
		w.tell(Event{Event: Foreign, TaskID: t.ID, Title: t.Title, Detail: "The account holds this task, but not through this worker; --adopt goes on with it."})
	}
	return nil
}

// revise does a task anew whose delivery was rejected while attempts are left.
// Everything is asked anew: the list may be older than the delivery.
func (w *worker) revise(ctx context.Context, t client.Task, rec record) error {
	task, err := w.Client.Task(ctx, t.ID)
	if err != nil {
		return err
	}
	d, err := w.Client.Delivery(ctx, t.ID, rec.DeliveryID)
	if err != nil {
		return err
	}
	if task.State != "claimed" || task.Claim == nil || task.Claim.ClaimID == "" || d.State != "rejected" {
		return nil
	}
	rec = record{TaskID: t.ID, Step: stepSolving, Claim: task.Claim, DeliverKey: client.NewKey(), Round: rec.Round + 1, DeliveryID: rec.DeliveryID}
	if err := w.records.put(rec); err != nil {
		return err
	}
	w.tell(Event{Event: Revising, TaskID: t.ID, Title: t.Title, Reward: t.Reward})
	w.begin(ctx, job{record: rec, title: t.Title, reward: t.Reward})
	return nil
}

// adopt goes on with a claim that somebody else made for the account.
func (w *worker) adopt(ctx context.Context, t client.Task) error {
	task, err := w.Client.Task(ctx, t.ID)
	if err != nil {
		return err
	}
	if task.State != "claimed" || task.Claim == nil || task.Claim.ClaimID == "" {
		return nil
	}
	rec := record{TaskID: t.ID, Step: stepSolving, Claim: task.Claim, DeliverKey: client.NewKey()}
	if err := w.records.put(rec); err != nil {
		return err
	}
	w.begin(ctx, job{record: rec, title: t.Title, reward: t.Reward, resumed: true})
	return nil
}

// outcome is what became of a job.
type outcome struct {
	task string
	// event is Delivered, GivenBack, Failed, Lost, or "" if nothing came of it.
	event string
	why   error
	took  time.Duration
	// taken says that the task was taken on at all.
	taken bool
	// wait asks for a pause, stop ends the worker, skip says that the task is
	// never for this account, again that the record is to be tried again.
	wait, stop, skip, again bool
}

// reap counts what a job has come to.
func (w *worker) reap(o outcome) error {
	delete(w.running, o.task)
	w.spent += o.took
	w.quiet = time.Now()
	if !o.taken || o.again {
		w.begun--
	}
	if o.skip {
		w.skipped[o.task] = true
	}
	if o.event != "" && client.IsCode(w.held, "claim_limit") { // there is room for another now
		w.notBefore, w.held = time.Time{}, nil
	}
	if rec, ok := w.records.get(o.task); o.again && ok {
		w.resume, w.retryAt = append(w.resume, rec), time.Now().Add(retryAfter)
	}
	switch o.event {
	case Delivered:
		w.finished++
		w.failures = 0
	case Failed:
		w.failures, w.last = w.failures+1, o.why.Error()
		if w.failures >= w.MaxFailures {
			w.hold(fmt.Errorf("%d tasks in a row failed", w.failures), min(maxPause, w.FirstPause<<min(20, w.failures-w.MaxFailures)))
		}
	}
	if o.stop {
		return o.why
	}
	if o.wait {
		w.hold(o.why, max(w.Poll, time.Second))
	}
	return nil
}

// listen wakes the loop when the account's feed has something, so that work is
// found before the next look. Servers without a feed are asked rarely.
func (w *worker) listen(ctx context.Context) {
	cursor, calm := "latest", time.Duration(0)
	for ctx.Err() == nil {
		feed, err := w.Client.Events(ctx, cursor, 25*time.Second)
		switch {
		case err != nil:
			calm = 10 * time.Minute
			if client.Unreachable(err) {
				calm = 30 * time.Second
			}
		case len(feed.Items) == 0:
			cursor, calm = feed.Cursor, time.Second // it came back at once, or it waited
		default:
			cursor, calm = feed.Cursor, 0
			if slices.ContainsFunc(feed.Items, func(e client.Event) bool { return e.TaskID != "" }) {
				select {
				case w.wake <- struct{}{}:
				default:
				}
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(calm):
		}
	}
}
