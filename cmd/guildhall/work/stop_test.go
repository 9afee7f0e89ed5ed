package work_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"guildhall/client"
	"guildhall/cmd/guildhall/work"
	"guildhall/market"
	"guildhall/store"
)

// TestLeaseIsKept extends the lease while the program runs, and ends the
// program, with all it started, when the claim is lost.
func TestLeaseIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.publish(t, free(nil))
	pid := filepath.Join(t.TempDir(), "pid")
	w.script(t, `sh -c 'echo $$ > '"$PID"'; sleep 60' & wait`)
	w.options.Env = append(w.options.Env, "PID="+pid)
	w.options.RenewEvery = 20 * time.Millisecond
	ended := make(chan error, 1)
	go func() { ended <- work.Run(t.Context(), w.options) }()
	started(t, pid)
	for w.count("POST renew") < 3 {
		time.Sleep(5 * time.Millisecond)
	}
	if _, err := w.worker.Release(t.Context(), id, client.Claim{}); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	gone(t, pid)
	if lost := w.all(work.Lost); len(lost) != 1 || strings.Contains(lost[0].Detail, "\n") {
		t.Errorf("the worker told %+v, want one task lost", w.all(""))
	}
	if w.state(t, id) != "open" || len(w.deliveries(t, id)) > 0 {
		t.Error("a task without a claim was delivered")
	}
}

// TestStops ends the program, gives the claim back, and leaves the task free to
// be taken on again.
func TestStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.publish(t, free(nil))
	pid := filepath.Join(t.TempDir(), "pid")
	w.script(t, `echo $$ > "$PID"; exec sleep 60`)
	w.options.Env = append(w.options.Env, "PID="+pid)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- work.Run(ctx, w.options) }()
	started(t, pid)
	if err := work.Run(t.Context(), w.options); err == nil || !strings.Contains(err.Error(), "another worker") {
		t.Errorf("a second worker on the same state got %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	gone(t, pid)
	if state := w.state(t, id); state != "open" {
		t.Errorf("after the worker stopped the task is %s, want open", state)
	}
	w.script(t, "echo 1")
	if err := w.run(t); err != nil || len(w.all(work.Delivered)) != 1 {
		t.Errorf("a fresh worker told %+v (%v), want a delivery", w.all(""), err)
	}
	other := w.options
	other.Client = w.publisher
	if err := work.Run(t.Context(), other); err == nil || !strings.Contains(err.Error(), "another account") {
		t.Errorf("another account's worker on the same state got %v", err)
	}
}

// TestFeedWakes: an event has the worker look long before its next time.
func TestFeedWakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	published, cursors := make(chan struct{}), make(chan string, 10)
	w.feed = func(out http.ResponseWriter, in *http.Request) {
		cursors <- in.URL.Query().Get("after")
		if in.URL.Query().Get("after") == "7" {
			<-in.Context().Done()
			return
		}
		<-published
		_, _ = out.Write([]byte(`{"items":[{"id":"7","at":"2026-01-02T03:04:05Z","type":"task.published","taskId":"x","data":{}}],"cursor":"7","nextCursor":null}`))
	}
	w.options.Poll, w.options.MaxTasks, w.options.IdleExit = time.Hour, 1, -1
	w.script(t, "echo 1")
	ended := make(chan error, 1)
	go func() { ended <- work.Run(t.Context(), w.options) }()
	for w.count("GET tasks") < 2 { // own ones, and the market's
		time.Sleep(5 * time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond)
	w.publish(t, free(nil))
	close(published)
	select {
	case err := <-ended:
		if err != nil || len(w.all(work.Delivered)) != 1 {
			t.Errorf("the worker told %+v (%v), want a delivery", w.all(""), err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the event did not wake the worker")
	}
	if first := <-cursors; first != "latest" || <-cursors != "7" {
		t.Error("the feed was not read on from its cursor")
	}
}

// TestForeignClaims are left alone unless the worker is told to adopt them.
func TestForeignClaims(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.publish(t, free(nil))
	if _, err := w.worker.Claim(t.Context(), id, client.NewKey()); err != nil {
		t.Fatal(err)
	}
	w.script(t, "echo 1")
	if err := w.run(t); err != nil || len(w.all(work.Foreign)) != 1 || w.state(t, id) != "claimed" {
		t.Errorf("the worker told %+v (%v), want a foreign claim", w.all(""), err)
	}
	w.options.Adopt = true
	if err := w.run(t); err != nil || len(w.all(work.Delivered)) != 1 || w.state(t, id) != "in_review" {
		t.Errorf("with --adopt it told %+v (%v), want a delivery", w.all(""), err)
	}
}

// TestTwoWorkersOfOneAccount share its tasks, and leave each other's claims
// alone.
func TestTwoWorkersOfOneAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var ids []string
	for range 12 {
		ids = append(ids, w.publish(t, task(nil)))
	}
	w.script(t, `sleep 0.1; echo '{"n":1}'`)
	w.options.Concurrency = 2
	other := w.options
	other.State = filepath.Join(t.TempDir(), "other")
	ended := make(chan error, 1)
	go func() { ended <- work.Run(t.Context(), other) }()
	if err := errors.Join(w.run(t), <-ended); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if got := w.deliveries(t, id); len(got) != 1 || got[0].State != "accepted" {
			t.Errorf("the task has %d deliveries, want one that is accepted", len(got))
		}
	}
	if n := len(w.all(work.Delivered)); n != len(ids) || len(w.all(work.Lost))+len(w.all(work.Failed)) > 0 {
		t.Errorf("%d deliveries were told, want %d, and nothing lost: %+v", n, len(ids), w.all(""))
	}
	w.audited(t)
}

// TestNothingIsLeftBehind: what a program starts in a session of its own ends
// with it, and so does what outlived a worker that was killed.
func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(t, free(nil))
	marked := func() (n int) {
		all, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, name := range all {
			if env, err := os.ReadFile(name); err == nil && strings.Contains(string(env), "TASK_DIR="+w.options.State) {
				n++
			}
		}
		return n
	}
	w.script(t, `setsid sleep 300 </dev/null >/dev/null 2>&1 & echo 1`)
	if err := w.run(t); err != nil || len(w.all(work.Delivered)) != 1 {
		t.Fatalf("%+v, %v", w.all(""), err)
	}
	if n := marked(); n != 0 {
		t.Errorf("%d processes are left", n)
	}
	orphan := exec.Command("sleep", "300")
	orphan.Env = []string{"TASK_DIR=" + filepath.Join(w.options.State, "tmp", "x", "task")}
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	if err := w.run(t); err != nil {
		t.Fatal(err)
	}
	_ = orphan.Wait()
	if n := marked(); n != 0 || orphan.ProcessState.Success() {
		t.Errorf("what outlived a worker goes on: %s", orphan.ProcessState)
	}
}

// TestAnotherKeyGoesOn: when the key ends, the worker stops and keeps what it
// has; a worker with a new key of the account delivers it.
func TestAnotherKeyGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.publish(t, free(nil))
	begun := filepath.Join(t.TempDir(), "begun")
	w.options.Env = append(w.options.Env, "BEGUN="+begun)
	w.script(t, `echo >> "$BEGUN"; sleep 2; echo 1`)
	w.options.RenewEvery = 200 * time.Millisecond
	me, err := w.worker.Me(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	by := store.Caller{Actor: market.Actor{Account: market.AccountID(me.ID), Kind: market.Agent}}
	_, text, err := w.store.NewKey(t.Context(), by, market.KeyDraft{Name: "another"})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for range 200 {
			if _, err := os.Stat(begun); err == nil {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		_ = w.store.RevokeLeaked(context.Background(), []string{w.keys["worker"]}, netip.Addr{})
	}()
	if err := w.run(t); !client.IsCode(err, "unauthenticated") || len(w.all(work.Lost)) != 0 {
		t.Fatalf("with a revoked key: %v, %+v", err, w.all(""))
	}
	if w.options.Client, err = w.worker.With(text); err != nil {
		t.Fatal(err)
	}
	if err := w.run(t); err != nil || len(w.all(work.Resumed)) != 1 || len(w.all(work.Delivered)) != 1 || len(w.deliveries(t, id)) != 1 {
		t.Errorf("with a new key: %v, %+v", err, w.all(""))
	}
	w.audited(t)
}

// TestOnceDoesAllThereIs: with more tasks than may be claimed at once, and when
// the market does not answer for a while.
func TestOnceDoesAllThereIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 13 {
		w.publish(t, free(nil))
	}
	w.options.Concurrency, w.options.Poll = 13, time.Second
	w.script(t, `sleep 0.5; echo 1`)
	w.mu.Lock()
	w.lose["GET tasks"] = 3
	w.mu.Unlock()
	if err := w.run(t); err != nil || len(w.all(work.Delivered)) != 13 {
		t.Errorf("%d tasks were delivered (%v), want 13: %+v", len(w.all(work.Delivered)), err, w.all(work.Waiting))
	}
	if len(w.all(work.Waiting)) < 2 {
		t.Errorf("it never waited: %+v", w.all(""))
	}
	// Claims that others of the account hold do not end by waiting for them.
	for range 12 {
		w.publish(t, free(nil))
	}
	page, err := w.worker.Market(t.Context(), client.Filter{Paging: client.Paging{Limit: 12}})
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range page.Items[:10] {
		if _, err := w.worker.Claim(t.Context(), one.ID, client.NewKey()); err != nil {
			t.Fatal(err)
		}
	}
	w.options.Adopt = false
	if err := w.run(t); !client.IsCode(err, "claim_limit") || !strings.Contains(err.Error(), "there may be tasks left") {
		t.Errorf("with all claims held elsewhere it ended with %v", err)
	}
}
