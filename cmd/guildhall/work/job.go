package work

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"guildhall/client"
)

// job is the work on one task, from the step of its record on.
type job struct {
	w       *worker
	record  record
	title   string
	reward  int64
	resumed bool
	task    client.Task
	took    time.Duration
}

// last is how long what must still be said to the server may take after the
// worker was asked to stop.
const last = 15 * time.Second

// do takes the task as far as it goes.
func (j *job) do(ctx context.Context) outcome {
	defer os.RemoveAll(j.w.records.temporary() + "/" + j.record.TaskID)
	if j.record.Step == stepClaiming {
		if o, ok := j.claim(ctx); !ok {
			return o
		}
	}
	if j.record.Step == stepSolving {
		if o, ok := j.solve(ctx); !ok {
			return o
		}
	}
	return j.deliver(ctx)
}

// outcome is what the job comes to.
func (j *job) outcome(event string, why error) outcome {
	return outcome{task: j.record.TaskID, event: event, why: why, took: j.took, taken: true}
}

// broke is the outcome of a record that cannot be written: the worker must not
// go on.
func (j *job) broke(err error) outcome {
	o := j.outcome("", err)
	o.stop = true
	return o
}

func (j *job) tell(event, detail string) {
	j.w.tell(Event{Event: event, TaskID: j.record.TaskID, Title: j.title, Reward: j.reward, Detail: detail, Seconds: seconds(j.took)})
}

// claim takes the task, or finds that somebody else has it. Asked again after
// a restart, the same key gives the same claim.
func (j *job) claim(ctx context.Context) (outcome, bool) {
	asked, cancel := lingering(ctx)
	defer cancel()
	held, err := j.w.Client.Claim(asked, j.record.TaskID, j.record.ClaimKey)
	if err != nil {
		return j.notClaimed(err), false
	}
	j.task, j.title, j.reward = held.Task, held.Task.Title, held.Task.Reward
	j.record.Step, j.record.Claim, j.record.DeliverKey = stepSolving, &held.Claim, client.NewKey()
	if err := j.w.records.put(j.record); err != nil {
		return j.broke(err), false
	}
	j.tell(Claimed, "")
	return outcome{}, true
}

// notClaimed says what a refused claim means for the worker.
func (j *job) notClaimed(err error) outcome {
	o := outcome{task: j.record.TaskID, why: err}
	if client.Unreachable(err) { // it may be ours
		o.wait, o.again = true, true
		return o
	}
	if err := j.w.records.forget(o.task); err != nil {
		return j.broke(err)
	}
	switch {
	case client.IsCode(err, "unauthenticated", "scope_missing", "account_suspended", "approval_pending", "approval_refused"):
		o.stop = true
	case client.IsCode(err, "claim_limit", "claim_paused"):
		o.wait = true
	case !client.IsCode(err, "task_not_open", "task_claimed"):
		o.skip = true // own, of one party, attempts used up, gone, …
	}
	return o
}

// solve runs the program while the claim is kept alive, has its output tried,
// and writes it down.
func (j *job) solve(ctx context.Context) (outcome, bool) {
	if err := j.load(ctx); err != nil {
		return j.giveUp(ctx, err), false
	}
	kept, release := j.keepLease(ctx)
	defer release()
	pack, err := j.produce(kept)
	if err == nil && !j.w.NoCheck {
		err = j.tryOut(kept, pack)
	}
	if kept.Err() != nil {
		err = context.Cause(kept)
	}
	if err != nil {
		return j.giveUp(ctx, err), false
	}
	release()
	j.record.Step, j.record.Output = stepSolved, &pack
	if err := j.w.records.put(j.record); err != nil {
		return j.broke(err), false
	}
	return outcome{}, true
}

// load reads the task as it is now, and makes sure that a claim of an earlier
// run still holds.
func (j *job) load(ctx context.Context) error {
	if j.resumed && !j.record.Open {
		held, err := j.w.Client.Renew(ctx, j.record.TaskID, *j.record.Claim)
		if err != nil {
			return lostIfRefused(err)
		}
		j.task, j.record.Claim = held.Task, &held.Claim
	}
	if j.task.ID == "" {
		task, err := j.w.Client.Task(ctx, j.record.TaskID)
		if err != nil {
			return lostIfRefused(err)
		}
		j.task = task
	}
	j.title, j.reward = j.task.Title, j.task.Reward
	if j.record.Open {
		if j.task.State != "open" {
			return errLost
		}
		if !j.resumed {
			j.tell(Claimed, "open mode: nothing to claim")
		}
	}
	return nil
}

func lostIfRefused(err error) error {
	if client.Unreachable(err) || errors.Is(err, context.Canceled) {
		return err
	}
	return lost(err)
}

// lost says that the claim has ended, unless it is the key that has: then the
// worker stops, and another key goes on with the record.
func lost(err error) error {
	if shutOut(err) {
		return err
	}
	return fmt.Errorf("%w: %w", errLost, err)
}

// shutOut reports whether the key opens no more what the worker needs.
func shutOut(err error) bool {
	return client.IsCode(err, "unauthenticated", "scope_missing", "account_suspended")
}

// produce runs the program on the task.
func (j *job) produce(ctx context.Context) (client.Package, error) {
	p, err := newPlace(j.w.records.temporary(), j.record.TaskID)
	if err != nil {
		return client.Package{}, err
	}
	defer p.root.Close()
	if err := fetch(ctx, j.w.Client, p.files, j.task.Attachments); err != nil {
		return client.Package{}, err
	}
	if j.record.Round > 0 {
		if err := j.writeReview(ctx, p.review); err != nil {
			return client.Package{}, err
		}
	}
	if j.w.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, j.w.Timeout, errTimeout)
		defer cancel()
	}
	begun := time.Now()
	output, err := run{command: j.w.Command, env: j.w.Env, errs: j.w.Errs, task: j.task, place: p}.output(ctx)
	j.took = time.Since(begun)
	if err != nil {
		return client.Package{}, err
	}
	pack := client.Package{Output: output}
	if pack.SummaryText, err = p.said(j.took); err != nil {
		return pack, err
	}
	if j.w.Client.KeyIn(output) || j.w.Client.KeyIn([]byte(pack.SummaryText)) {
		return pack, errOwnKey
	}
	if c := j.record.Claim; c != nil {
		pack.ClaimID, pack.Epoch = c.ClaimID, c.Epoch
	}
	pack.Attachments, err = sendFiles(ctx, j.w.Client, p)
	return pack, err
}

// writeReview leaves the rejected delivery where the program finds it.
func (j *job) writeReview(ctx context.Context, path string) error {
	d, err := j.w.Client.Delivery(ctx, j.record.TaskID, j.record.DeliveryID)
	if err != nil {
		return err
	}
	return os.WriteFile(path, d.Raw, 0o600)
}

// tryOut has the output checked before it costs an attempt. Where dry runs are
// limited for the moment, delivering is the check.
func (j *job) tryOut(ctx context.Context, p client.Package) error {
	report, err := j.w.Client.WithPatience(-1).Check(ctx, j.record.TaskID, p.Output, p.Attachments)
	switch {
	case client.Unreachable(err) || client.IsCode(err, "scope_missing"):
		return nil
	case err != nil:
		return err
	case report.Verdict == "fail":
		return errors.New("the output does not pass: " + report.Failed())
	}
	return nil
}

// giveUp gives the task back, with what the reason says about it.
func (j *job) giveUp(ctx context.Context, why error) outcome {
	stopped := ctx.Err() != nil
	if !stopped && shutOut(why) {
		return j.broke(why)
	}
	if !stopped && client.Unreachable(why) { // the server's fault; the record stays
		o := j.outcome("", why)
		o.wait, o.again = true, true
		return o
	}
	event := Failed
	switch {
	case stopped, errors.Is(why, errGivenBack):
		event = GivenBack
	case errors.Is(why, errLost):
		event = Lost
	}
	if event != Lost {
		j.release(ctx)
	}
	var err error
	if stopped {
		err = j.w.records.forget(j.record.TaskID)
		why = errors.New("the worker stops")
	} else {
		err = j.end(event)
	}
	if err != nil {
		return j.broke(err)
	}
	j.tell(event, why.Error())
	return j.outcome(event, why)
}

// end writes down that the task is over for this worker.
func (j *job) end(event string) error {
	r := j.record
	return j.w.records.put(record{TaskID: r.TaskID, Step: stepDone, Result: event, Open: r.Open, Claim: r.Claim, DeliveryID: r.DeliveryID, Round: r.Round})
}

// release gives the claim back. If that fails, the lease runs out.
func (j *job) release(ctx context.Context) {
	if j.record.Claim == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), last)
	defer cancel()
	_, _ = j.w.Client.Release(ctx, j.record.TaskID, *j.record.Claim)
}

// lingering ends some time after its parent, so that a question which is under
// way when the worker is asked to stop still gets its answer.
func lingering(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(last, cancel) })
	return out, func() { stop(); cancel() }
}

// deliver hands the output in. The key makes it one delivery, however often it
// is sent; it is also handed in when the worker is asked to stop.
func (j *job) deliver(ctx context.Context) outcome {
	id := j.record.TaskID
	asked, cancel := lingering(ctx)
	defer cancel()
	d, err := j.w.Client.Deliver(asked, id, j.record.DeliverKey, *j.record.Output)
	switch {
	case err == nil:
		return j.delivered(d)
	case client.Unreachable(err):
		o := j.outcome("", err)
		o.wait, o.again = true, true
		return o
	case client.IsCode(err, "claim_stale", "task_not_open", "not_claim_holder", "delivery_pending", "not_found"):
		// Perhaps it was delivered, so long ago that the key is forgotten.
		if d, ok := j.find(asked); ok {
			return j.delivered(d)
		}
		return j.giveUp(ctx, lost(err))
	}
	return j.giveUp(ctx, err)
}

// find looks for the delivery of this round among those of the task.
func (j *job) find(ctx context.Context) (client.Delivery, bool) {
	page, err := j.w.Client.Deliveries(ctx, j.record.TaskID, client.Paging{Limit: 1})
	if err != nil || len(page.Items) == 0 {
		return client.Delivery{}, false
	}
	d := page.Items[0]
	return d, d.ID != j.record.DeliveryID && (d.State == "pending" || d.State == "accepted") && sameJSON(d.Output, j.record.Output.Output)
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}

func (j *job) delivered(d client.Delivery) outcome {
	j.record.DeliveryID = d.ID
	if err := j.end(Delivered); err != nil {
		return j.broke(err)
	}
	j.w.tell(Event{Event: Delivered, TaskID: j.record.TaskID, Title: j.title, Reward: j.reward, DeliveryID: d.ID, State: d.State, Seconds: seconds(j.took)})
	return j.outcome(Delivered, nil)
}

// keepLease returns a context that ends when the claim does, and until then
// extends it. In open mode it ends with the task's deadline.
func (j *job) keepLease(ctx context.Context) (context.Context, context.CancelFunc) {
	kept, cancel := context.WithCancelCause(ctx)
	if j.record.Open {
		if d := j.task.Deadline; d != nil {
			t := time.AfterFunc(time.Until(*d), func() { cancel(errDeadline) })
			return kept, func() { t.Stop(); cancel(nil) }
		}
		return kept, func() { cancel(nil) }
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		j.renew(kept, cancel, *j.record.Claim)
	}()
	return kept, func() { cancel(nil); <-done }
}

// renew extends the claim until the context ends, and ends it when the claim
// is lost or will soon be over.
func (j *job) renew(ctx context.Context, cancel context.CancelCauseFunc, claim client.Claim) {
	margin := min(15*time.Second, time.Until(claim.ExpiresAt)/4) // what delivering takes
	for {
		left := time.Until(claim.ExpiresAt) - margin
		if left <= 0 {
			cancel(errDeadline)
			return
		}
		wait := j.w.RenewEvery
		if wait == 0 {
			wait = max(left/3, 5*time.Second)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(wait, left)):
		}
		held, err := j.w.Client.Renew(ctx, j.record.TaskID, claim)
		switch {
		case err == nil:
			claim = held.Claim
		case ctx.Err() != nil:
			return
		case !client.Unreachable(err):
			cancel(lost(err))
			return
		}
	}
}
