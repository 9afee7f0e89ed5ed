package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

func say(t testing.TB, s *store.Store, by store.Caller, id market.TaskID, text string) market.Message {
	t.Helper()
	m, err := s.PostMessage(t.Context(), by, id, text)
	if err != nil {
		t.Fatalf("say %q: %v", text, err)
	}
	return m
}

func texts(t testing.TB, s *store.Store, id market.TaskID, q store.ThreadQuery) (out []string) {
	t.Helper()
	found, err := s.Messages(t.Context(), id, q)
	if err != nil {
		t.Fatalf("messages: %v", err)
	}
	for _, m := range found {
		out = append(out, m.Text)
	}
	return out
}

// once asks for an effect under a key whose answer is what was said.
func once(by store.Caller, key string) store.Caller {
	by.Once = &store.Once{Key: key, Hash: []byte("same"), Answer: func(v any) (store.Answer, error) {
		return store.Answer{Status: 201, Body: []byte(v.(market.Message).ID)}, nil
	}}
	return by
}

// TestOneClarification lets one agent ask twenty times at once, and others
// with it.
func TestOneClarification(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	task := publish(t, s, agent(t, s), 10)
	asker := agent(t, s)
	others := make([]store.Caller, 5)
	for i := range others {
		others[i] = agent(t, s)
	}
	var wg sync.WaitGroup
	results := make([]error, 20)
	begin := make(chan struct{})
	for i := range results {
		wg.Go(func() {
			<-begin
			_, results[i] = s.PostMessage(t.Context(), asker, task.ID, fmt.Sprint("question ", i))
		})
	}
	for _, o := range others {
		wg.Go(func() {
			<-begin
			if _, err := s.PostMessage(t.Context(), o, task.ID, "mine"); err != nil {
				t.Errorf("another agent: %v", err)
			}
		})
	}
	close(begin)
	wg.Wait()
	written := 0
	for _, err := range results {
		if err == nil {
			written++
		} else if !errors.Is(err, market.ErrClarificationUsed) {
			t.Errorf("got %v, want %v", err, market.ErrClarificationUsed)
		}
	}
	found, err := s.Messages(t.Context(), task.ID, store.ThreadQuery{Limit: 100})
	if err != nil || written != 1 || len(found) != 1+len(others) {
		t.Errorf("%d of 20 were written, the thread has %d messages (%v), want one and %d", written, len(found), err, 1+len(others))
	}
	for i, m := range found {
		if m.Number != int64(i+1) || !m.Clarification {
			t.Errorf("message %d is %+v", i+1, m)
		}
	}
	// Who claims then may go on.
	if _, err := s.ClaimTask(t.Context(), asker, task.ID); err != nil {
		t.Fatal(err)
	}
	if m := say(t, s, asker, task.ID, "I have it now"); m.Clarification {
		t.Error("a claimant's message is a clarification")
	}
	if _, err := s.PostMessage(t.Context(), agent(t, s), task.ID, "Too late?"); !errors.Is(err, market.ErrTaskNotOpen) {
		t.Errorf("got %v, want %v", err, market.ErrTaskNotOpen)
	}
}

// TestNumbersHaveNoGaps lets two parties write at once: whoever reads on from
// a number misses nothing.
func TestNumbersHaveNoGaps(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher, worker := agent(t, s), agent(t, s)
	task := publish(t, s, publisher, 10)
	if _, err := s.ClaimTask(t.Context(), worker, task.ID); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if _, err := s.PostMessage(t.Context(), []store.Caller{publisher, worker}[i%2], task.ID, fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
		})
	}
	read := map[string]bool{}
	stop := make(chan struct{})
	go func() { wg.Wait(); close(stop) }()
	for from, last := int64(0), false; !last; {
		select {
		case <-stop:
			last = true
		default:
		}
		found, err := s.Messages(t.Context(), task.ID, store.ThreadQuery{From: from, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range found {
			if m.Number != from+1 {
				t.Errorf("%d follows %d", m.Number, from)
			}
			from, read[m.Text] = m.Number, true
		}
	}
	if len(read) != 40 {
		t.Errorf("read %d messages, want 40", len(read))
	}
}

func TestMessageOnce(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher := agent(t, s)
	task := publish(t, s, publisher, 10)
	first := say(t, s, once(publisher, "k"), task.ID, "Hello.")
	if _, err := s.PostMessage(t.Context(), once(publisher, "k"), task.ID, "Hello."); !store.KeyUsed(err) {
		t.Errorf("got %v, want a used key", err)
	}
	if a, err := s.StoredAnswer(t.Context(), once(publisher, "k")); err != nil || string(a.Body) != string(first.ID) {
		t.Errorf("got the answer %q, %v", a.Body, err)
	}
	if got := texts(t, s, task.ID, store.ThreadQuery{Limit: 9}); len(got) != 1 {
		t.Errorf("the thread is %q", got)
	}
	// A refused one stores nothing.
	if _, err := s.PostMessage(t.Context(), once(publisher, "l"), task.ID, " "); !errors.Is(err, market.ErrInvalid) {
		t.Errorf("got %v", err)
	}
	if _, err := s.StoredAnswer(t.Context(), once(publisher, "l")); !errors.Is(err, market.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	for _, change := range []string{`UPDATE messages SET text = 'x'`, `DELETE FROM messages`, `TRUNCATE messages`} {
		if _, err := s.DB().Exec(change); err == nil {
			t.Errorf("%s was done", change)
		}
	}
}

func TestThreadPagesAndUnread(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	publisher, worker, asker, stranger := agent(t, s), agent(t, s), agent(t, s), agent(t, s)
	task, quiet := publish(t, s, publisher, 10), publish(t, s, publisher, 10)
	say(t, s, asker, task.ID, "q")
	if _, err := s.ClaimTask(t.Context(), worker, task.ID); err != nil {
		t.Fatal(err)
	}
	say(t, s, publisher, task.ID, "a")
	third := say(t, s, worker, task.ID, "b")
	say(t, s, publisher, task.ID, "c")
	for _, x := range []struct {
		q    store.ThreadQuery
		want string
	}{
		{store.ThreadQuery{Limit: 9}, "[q a b c]"},
		{store.ThreadQuery{Limit: 2}, "[q a]"},
		{store.ThreadQuery{From: 2, Limit: 9}, "[b c]"},
		{store.ThreadQuery{After: third.ID, Limit: 9}, "[c]"},
		{store.ThreadQuery{Newest: true, Limit: 2}, "[c b]"},
		{store.ThreadQuery{Newest: true, From: 3, Limit: 9}, "[a q]"},
		{store.ThreadQuery{From: 4, Limit: 9}, "[]"},
	} {
		if got := fmt.Sprint(texts(t, s, task.ID, x.q)); got != x.want {
			t.Errorf("%+v: got %s, want %s", x.q, got, x.want)
		}
	}
	if got := texts(t, s, quiet.ID, store.ThreadQuery{Limit: 9}); len(got) != 0 {
		t.Errorf("an empty thread is %q", got)
	}
	const absent = "01a20b77-e936-75e9-8ee4-5120c30a9cda"
	for _, x := range []struct {
		task  market.TaskID
		after market.MessageID
	}{{absent, ""}, {task.ID, absent}, {quiet.ID, third.ID}} {
		if _, err := s.Messages(t.Context(), x.task, store.ThreadQuery{After: x.after, Limit: 9}); !errors.Is(err, market.ErrNotFound) {
			t.Errorf("%+v: got %v, want %v", x, err, market.ErrNotFound)
		}
	}
	ids := []market.TaskID{task.ID, quiet.ID}
	wants := func(step string, by store.Caller, want map[market.TaskID]market.Thread) {
		t.Helper()
		got, err := s.Threads(t.Context(), by.Account, ids)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %v (%v), want %v", step, got, err, want)
		}
	}
	wants("publisher", publisher, map[market.TaskID]market.Thread{task.ID: {Messages: 4, Unread: 2}, quiet.ID: {}})
	wants("worker", worker, map[market.TaskID]market.Thread{task.ID: {Messages: 4, Unread: 3}})
	wants("who asked", asker, map[market.TaskID]market.Thread{task.ID: {Messages: 4, Unread: 3}})
	wants("stranger", stranger, map[market.TaskID]market.Thread{})
	read := func(by store.Caller, id market.TaskID, number int64) {
		t.Helper()
		if err := s.ReadThread(t.Context(), by.Account, id, number); err != nil {
			t.Fatal(err)
		}
	}
	read(publisher, task.ID, 1)
	wants("after one", publisher, map[market.TaskID]market.Thread{task.ID: {Messages: 4, Unread: 1, ReadTo: 1}, quiet.ID: {}})
	read(publisher, task.ID, 99)
	read(publisher, task.ID, 2) // never back
	read(publisher, quiet.ID, 5)
	read(stranger, task.ID, 4)
	say(t, s, publisher, quiet.ID, "first")
	wants("after all", publisher, map[market.TaskID]market.Thread{task.ID: {Messages: 4, ReadTo: 4}, quiet.ID: {Messages: 1}})
	wants("stranger who read", stranger, map[market.TaskID]market.Thread{})
	pulses, err := s.Pulses(t.Context(), ids)
	if err != nil || pulses[task.ID] != (store.Pulse{Version: 2, Messages: 4}) || pulses[quiet.ID] != (store.Pulse{Version: 1, Messages: 1}) {
		t.Errorf("got pulses %v, %v", pulses, err)
	}
	// The publisher and former workers go on after the end, nobody else.
	c.advance(40 * 24 * time.Hour)
	say(t, s, publisher, task.ID, "It is over.")
	say(t, s, worker, task.ID, "Sorry.")
	if _, err := s.PostMessage(t.Context(), stranger, task.ID, "Why?"); !errors.Is(err, market.ErrTaskNotOpen) {
		t.Errorf("got %v, want %v", err, market.ErrTaskNotOpen)
	}
}

// TestOpenModeThread lets an agent talk freely from its first delivery on.
func TestOpenModeThread(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher, worker, other := agent(t, s), agent(t, s), agent(t, s)
	d := draft(10)
	d.Mode = market.ModeOpen
	task, err := s.PublishTask(t.Context(), publisher, d)
	if err != nil {
		t.Fatal(err)
	}
	say(t, s, worker, task.ID, "How long may it be?")
	if _, err := s.PostMessage(t.Context(), worker, task.ID, "And how short?"); !errors.Is(err, market.ErrClarificationUsed) {
		t.Errorf("got %v, want %v", err, market.ErrClarificationUsed)
	}
	opened, err := s.OpenDelivery(t.Context(), worker, task.ID, store.Lease{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Deliver(t.Context(), worker, opened, store.Lease{}, pack(), report(market.VerdictFail)); err != nil {
		t.Fatal(err)
	}
	if m := say(t, s, worker, task.ID, "It failed; I try again."); m.Clarification {
		t.Error("a worker's message is a clarification")
	}
	if m := say(t, s, other, task.ID, "May I too?"); !m.Clarification {
		t.Error("another agent's message is no clarification")
	}
}
