package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// feedOf reads all of the account's feed that can be read now.
func feedOf(t testing.TB, s *store.Store, id market.AccountID) []store.Placed {
	t.Helper()
	events, _, err := s.Feed(t.Context(), id, store.FeedCursor{}, nil, 1000)
	if err != nil {
		t.Fatalf("feed: %v", err)
	}
	return events
}

func typesOf(events []store.Placed) []string {
	out := []string{}
	for _, e := range events {
		out = append(out, string(e.Type))
	}
	return out
}

func wantFeed(t testing.TB, s *store.Store, who string, id market.AccountID, want ...string) {
	t.Helper()
	// What other tests of the cluster write at this moment holds the feed back.
	var got []string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got = typesOf(feedOf(t, s, id)); len(got) >= len(want) {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s was told %v, want %v", who, got, want)
	}
}

func TestFeedOfATask(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	publisher, worker, stranger := agent(t, s), agent(t, s), agent(t, s)
	task := publish(t, s, publisher, 10)
	d := deliver(t, s, worker, task.ID, market.VerdictPass).Delivery.ID
	if _, err := s.AcceptDelivery(t.Context(), publisher, task.ID, d); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PostMessage(t.Context(), worker, task.ID, "Thank you."); err != nil {
		t.Fatal(err)
	}
	c.advance(25 * time.Hour)
	if _, err := s.Sweep(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	wantFeed(t, s, "the publisher", publisher.Account, "task.claimed", "delivery.received", "task.settled", "message.posted")
	wantFeed(t, s, "the worker", worker.Account, "delivery.checked", "delivery.accepted", "payout.pending", "payout.available")
	wantFeed(t, s, "a stranger", stranger.Account)
	events := feedOf(t, s, worker.Account)
	if e := events[3]; e.Task != task.ID || e.Data["amount"] != 10.0 || e.Data["deliveryId"] != string(d) || e.Data["class"] != "earned" {
		t.Errorf("the payout: %+v", e)
	}
	if e := events[1]; e.Data["by"] != "publisher" || len(e.Data) != 2 {
		t.Errorf("the acceptance: %+v", e.Data)
	}
	rest, at, err := s.Feed(t.Context(), worker.Account, events[1].At, []market.FeedType{market.FeedPayoutAvailable}, 1)
	if err != nil || len(rest) != 1 || rest[0].ID != events[3].ID || at != events[3].At {
		t.Errorf("of one type: %+v, %v", rest, err)
	}
	recent, err := s.RecentFeed(t.Context(), worker.Account, events[3].At, []market.FeedType{market.FeedDeliveryChecked, market.FeedPayoutPending}, 10)
	if err != nil || !slices.Equal(typesOf(recent), []string{"payout.pending", "delivery.checked"}) {
		t.Errorf("newest first: %v, %v", typesOf(recent), err)
	}
	balanced(t, s)
}

// TestFeedOfClocks follows what the sweep does for many at once.
func TestFeedOfClocks(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	publisher, worker, other := agent(t, s), agent(t, s), agent(t, s)
	lost := publish(t, s, publisher, 10)
	if _, err := s.ClaimTask(t.Context(), worker, lost.ID); err != nil {
		t.Fatal(err)
	}
	d := draft(5)
	d.Mode = market.ModeOpen
	open, err := s.PublishTask(t.Context(), publisher, d)
	if err != nil {
		t.Fatal(err)
	}
	var first market.DeliveryID
	for _, w := range []store.Caller{worker, other} {
		opened, err := s.OpenDelivery(t.Context(), w, open.ID, store.Lease{})
		if err != nil {
			t.Fatal(err)
		}
		done, err := s.Deliver(t.Context(), w, opened, store.Lease{}, pack(), report(market.VerdictPass))
		if err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = done.Delivery.ID
		}
	}
	c.advance(2 * time.Hour)
	if _, err := s.Sweep(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AcceptDelivery(t.Context(), publisher, open.ID, first); err != nil {
		t.Fatal(err)
	}
	wantFeed(t, s, "the worker", worker.Account, "delivery.checked", "claim.expired", "delivery.accepted", "payout.pending")
	wantFeed(t, s, "the other", other.Account, "delivery.checked", "delivery.not_selected")
	wantFeed(t, s, "the publisher", publisher.Account, "task.claimed", "delivery.received", "delivery.received", "task.reopened", "task.settled")
}

// TestFeedLosesNothing has 16 writers and several followers of one account, on
// two nodes, with transactions that stay open in between: nobody misses an
// event, has one twice, or has the order of another.
func TestFeedLosesNothing(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	open := func() *store.Store {
		s, err := store.Open(url, store.Options{Grant: 1000, MaxConns: 24})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	nodes := []*store.Store{open(), open()}
	reader := agent(t, nodes[0]).Account
	const writers, each = 16, 60
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			s, r := nodes[w%2], rand.New(rand.NewPCG(uint64(w), 7))
			for i := range each {
				var wait time.Duration
				if r.IntN(20) == 0 {
					wait = time.Duration(r.IntN(120)) * time.Millisecond // its events are older than many that can be seen
				}
				if err := s.Tell(t.Context(), reader, fmt.Sprintf("%d/%d", w, i), wait); err != nil {
					t.Error(err)
				}
			}
		})
	}
	seen := make([][]string, 6)
	var following sync.WaitGroup
	for f := range seen {
		following.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var at store.FeedCursor
			for len(seen[f]) < writers*each && ctx.Err() == nil {
				events, next, err := nodes[f%2].AwaitFeed(ctx, reader, at, nil, 1+f*7)
				if err != nil {
					t.Error(err)
					return
				}
				at = next
				for _, e := range events {
					seen[f] = append(seen[f], e.Data["n"].(string))
				}
			}
		})
	}
	writing.Wait()
	following.Wait()
	for f, got := range seen {
		if once := slices.Compact(slices.Sorted(slices.Values(got))); len(got) != writers*each || len(once) != len(got) {
			t.Errorf("follower %d saw %d events, %d of them once, want %d", f, len(got), len(once), writers*each)
		}
		if !slices.Equal(got, seen[0]) {
			t.Errorf("follower %d saw another order", f)
		}
	}
	last := map[int]int{}
	for _, n := range seen[0] { // a writer's events come as it wrote them
		var w, i int
		if _, err := fmt.Sscanf(n, "%d/%d", &w, &i); err != nil {
			t.Fatal(err)
		}
		if i != last[w] {
			t.Fatalf("writer %d: event %d came after %d", w, i, last[w]-1)
		}
		last[w]++
	}
}

// TestFeedIsHeldBack: while an older transaction writes, what came after it is
// not to be read yet, for it might be told something too.
func TestFeedIsHeldBack(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	a := agent(t, s)
	tx, err := s.DB().Beginx()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec(`SELECT pg_current_xact_id()`); err != nil {
		t.Fatal(err)
	}
	if err := s.Tell(t.Context(), a.Account, "0/0", 0); err != nil {
		t.Fatal(err)
	}
	if got := feedOf(t, s, a.Account); len(got) != 0 {
		t.Errorf("read %v while an older transaction writes", typesOf(got))
	}
	if held, err := s.FeedHeld(t.Context()); err != nil || held <= 0 {
		t.Errorf("held for %s, %v", held, err)
	}
	time.AfterFunc(50*time.Millisecond, func() { tx.Commit() })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if got, _, err := s.AwaitFeed(ctx, a.Account, store.FeedCursor{}, nil, 10); err != nil || len(got) != 1 {
		t.Errorf("after it: %v, %v", typesOf(got), err)
	}
}

// TestAuditHoldsNoFeedBack: recomputing the books reads for long and must not
// write before its end.
func TestAuditHoldsNoFeedBack(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	agent(t, s)
	tx, err := s.DB().Beginx()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := store.AuditIn(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	var xid *string
	if err := tx.Get(&xid, `SELECT pg_current_xact_id_if_assigned()::text`); err != nil || xid != nil {
		t.Errorf("the audit writes as transaction %v, %v", xid, err)
	}
}

// wakes measures how long a follower on one node waits for what another wrote.
func wakes(t *testing.T, writer, reader *store.Store, id market.AccountID, n int) (worst time.Duration) {
	t.Helper()
	at, err := reader.FeedEnd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		var told time.Time
		time.AfterFunc(20*time.Millisecond, func() {
			told = time.Now()
			if err := writer.Tell(context.Background(), id, fmt.Sprintf("0/%d", i), 0); err != nil {
				t.Error(err)
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		events, next, err := reader.AwaitFeed(ctx, id, at, nil, 1)
		cancel()
		if err != nil || len(events) != 1 {
			t.Fatalf("wake %d: %v, %v", i, typesOf(events), err)
		}
		at, worst = next, max(worst, time.Since(told))
	}
	return worst
}

// TestNodesWakeEachOther switches looking off, so that only what nodes tell each
// other wakes; then it breaks the connection that listens.
func TestNodesWakeEachOther(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	open := func(every time.Duration) *store.Store {
		s, err := store.Open(url, store.Options{Grant: 1000, MaxConns: 8, LookEvery: every})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	writer, reader := open(time.Hour), open(time.Hour)
	owner := agent(t, writer)
	id := owner.Account
	wakes(t, reader, reader, id, 1) // now it listens
	if worst := wakes(t, writer, reader, id, 10); worst > 5*time.Second {
		t.Errorf("waited %s for another node", worst)
	}
	var ended int
	err := writer.DB().Get(&ended, `
		SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = current_database() AND query = 'LISTEN guildhall_feed' AND pid <> pg_backend_pid()`)
	if err != nil || ended != 1 {
		t.Fatalf("ended %d connections, %v; want the one that listens", ended, err)
	}
	if worst := wakes(t, writer, reader, id, 3); worst > 5*time.Second {
		t.Errorf("waited %s after the connection broke", worst)
	}
	// A transition names whom it tells.
	task := publish(t, writer, owner, 1)
	end, err := reader.FeedEnd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() {
		if _, err := writer.ClaimTask(context.Background(), agent(t, writer), task.ID); err != nil {
			t.Error(err)
		}
	})
	soon, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	if events, _, err := reader.AwaitFeed(soon, id, end, []market.FeedType{market.FeedTaskClaimed}, 1); err != nil || len(events) != 1 {
		t.Errorf("a claim on another node: %v, %v", typesOf(events), err)
	}
	// Nobody tells of what is written past the nodes: looking finds it.
	looking := open(50 * time.Millisecond)
	at, err := looking.FeedEnd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() {
		_, err := writer.DB().Exec(`INSERT INTO account_events (id, account_id, at, type, data) VALUES (feed_id(now()), $1, now(), 'wallet.adjusted', '{}')`, id)
		if err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if events, _, err := looking.AwaitFeed(ctx, id, at, nil, 1); err != nil || len(events) != 1 {
		t.Errorf("untold: %v, %v", typesOf(events), err)
	}
}

func TestFeedPlaces(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	a, b := agent(t, s), agent(t, s)
	for i := range 3 {
		if err := s.Tell(t.Context(), a.Account, fmt.Sprintf("0/%d", i), 0); err != nil {
			t.Fatal(err)
		}
	}
	wantFeed(t, s, "a", a.Account, "wallet.adjusted", "wallet.adjusted", "wallet.adjusted")
	events := feedOf(t, s, a.Account)
	at, err := s.FeedPlace(t.Context(), a.Account, store.FeedCursor{ID: events[0].ID})
	if err != nil || at != events[0].At {
		t.Errorf("the place of an event: %+v, %v", at, err)
	}
	if _, err := s.FeedPlace(t.Context(), b.Account, store.FeedCursor{ID: events[0].ID}); !errors.Is(err, market.ErrNotFound) {
		t.Errorf("another's event: %v", err)
	}
	end, err := s.FeedEnd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := s.Feed(t.Context(), a.Account, end, nil, 10); err != nil || len(got) != 0 {
		t.Errorf("beyond the end: %v, %v", typesOf(got), err)
	}
	c.advance(market.FeedRetention + time.Hour)
	if _, err := s.FeedPlace(t.Context(), a.Account, events[2].At); !errors.Is(err, market.ErrCursorExpired) {
		t.Errorf("an old place: %v", err)
	}
	if _, err := s.Sweep(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	wantFeed(t, s, "a, after all", a.Account)
}
