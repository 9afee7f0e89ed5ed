package store_test

import (
	"slices"
	"testing"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// TestFeedsAfterARestore: in a cluster that counts transactions anew, events of
// before can be read, and who follows a feed hears of what is new, in order:
// also who had read further than the dump.
func TestFeedsAfterARestore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		// ahead is by how much the cluster of the dump had counted further.
		ahead int64
		how   string
	}{
		"counted further": {1 << 33, `UPDATE account_events SET xid = (xid::text::bigint + $1)::text::xid8`},
		"another cluster": {0, `UPDATE feed_origin SET cluster = $1 + 1`},
		"both":            {1 << 33, `WITH o AS (UPDATE feed_origin SET cluster = 1) UPDATE account_events SET xid = (xid::text::bigint + $1)::text::xid8`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			restoredFeed(t, c.ahead, c.how)
		})
	}
}

func restoredFeed(t *testing.T, ahead int64, how string) {
	url := storetest.URL(t)
	s, err := store.Open(url, store.Options{Grant: 1000, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	again := func(want bool) {
		t.Helper()
		if restored, err := store.AfterRestore(t.Context(), url); restored != want || err != nil {
			t.Fatalf("restored: %v (%v), want %v", restored, err, want)
		}
	}
	again(false) // the first start of all
	publisher, worker := agent(t, s), agent(t, s)
	id := publish(t, s, publisher, 10).ID
	release(t, s, worker, id)
	wantFeed(t, s, "publisher", publisher.Account, "task.claimed", "task.reopened")
	before := feedOf(t, s, publisher.Account)
	end, err := s.FeedEnd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again(false)

	if _, err := s.DB().Exec(how, ahead); err != nil {
		t.Fatal(err)
	}
	read := before[len(before)-1].At
	read.XID += uint64(ahead)
	end.XID += uint64(ahead) + 1_000_000 // told of beyond the dump
	if got := feedOf(t, s, publisher.Account); ahead > 0 && len(got) != 0 {
		t.Fatalf("the restored feed can be read anyway: %v", typesOf(got))
	}
	again(true)
	if got := feedOf(t, s, publisher.Account); !slices.Equal(typesOf(got), typesOf(before)) {
		t.Errorf("after the restore the feed is %v, want %v", typesOf(got), typesOf(before))
	}
	release(t, s, worker, id)
	wantFeed(t, s, "publisher", publisher.Account, "task.claimed", "task.reopened", "task.claimed", "task.reopened")
	for name, place := range map[string]store.FeedCursor{"the last event": read, "the end": end} {
		events, _, err := s.Feed(t.Context(), publisher.Account, place, nil, 100)
		if err != nil || !slices.Equal(typesOf(events), []string{"task.claimed", "task.reopened"}) {
			t.Errorf("beyond %s there is %v, %v", name, typesOf(events), err)
		}
	}
	next, err := s.FeedEnd(t.Context())
	if err != nil || next.XID <= end.XID {
		t.Errorf("the end went back from %d to %d (%v)", end.XID, next.XID, err)
	}
	again(false)
}

// release claims the task and gives it back.
func release(t *testing.T, s *store.Store, by store.Caller, id market.TaskID) {
	t.Helper()
	if _, err := s.ClaimTask(t.Context(), by, id); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReleaseClaim(t.Context(), by, id, store.Lease{}); err != nil {
		t.Fatal(err)
	}
}

// TestFeedCountsInNumbers: places of one and of two digits more are read in
// their order, forwards in pages and backwards.
func TestFeedCountsInNumbers(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher, worker := agent(t, s), agent(t, s)
	id := publish(t, s, publisher, 10).ID
	for range 4 {
		release(t, s, worker, id)
	}
	want := slices.Repeat([]string{"task.claimed", "task.reopened"}, 4)
	wantFeed(t, s, "publisher", publisher.Account, want...) // waits for what other tests write
	if _, err := s.DB().Exec(`
		UPDATE account_events e SET xid = (7 * 10 ^ n)::bigint::text::xid8
		FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM account_events WHERE account_id = $1) x
		WHERE x.id = e.id AND (7 * 10 ^ x.n)::bigint < pg_snapshot_xmin(pg_current_snapshot())::text::bigint`, string(publisher.Account)); err != nil {
		t.Fatal(err)
	}
	var got []string
	var at store.FeedCursor
	for {
		events, next, err := s.Feed(t.Context(), publisher.Account, at, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			break
		}
		if events[0].At.XID < at.XID {
			t.Errorf("%d comes after %d", events[0].At.XID, at.XID)
		}
		got, at = append(got, string(events[0].Type)), next
	}
	if !slices.Equal(got, want) {
		t.Errorf("one by one the feed is %v, want %v", got, want)
	}
	back, err := s.RecentFeed(t.Context(), publisher.Account, store.FeedCursor{}, nil, 100)
	slices.Reverse(back)
	if err != nil || !slices.Equal(typesOf(back), want) {
		t.Errorf("backwards it is %v (%v), want %v", typesOf(back), err, want)
	}
}
