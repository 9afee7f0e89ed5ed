package store_test

import (
	"slices"
	"testing"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// TestSealedTasks lists every own task with protected fields, however many
// others are newer.
func TestSealedTasks(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	me, other := agent(t, s), agent(t, s)
	var want []market.TaskID
	for range 3 {
		want = append(want, guarded(t, s, me, nil).ID)
		publish(t, s, me, 10)
	}
	guarded(t, s, other, nil)
	slices.Reverse(want)
	got := inPages(t, func(before market.TaskID) ([]market.Task, error) {
		return s.SealedTasks(t.Context(), me.Account, before, 2)
	})
	if !slices.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
}

// inPages are the tasks of all pages of a list.
func inPages(t *testing.T, list func(before market.TaskID) ([]market.Task, error)) (got []market.TaskID) {
	t.Helper()
	before := market.TaskID("")
	for range 20 {
		page, err := list(before)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return got
		}
		for _, x := range page {
			got = append(got, x.ID)
		}
		before = got[len(got)-1]
	}
	t.Fatal("the list has no end")
	return nil
}

// TestOwnTasks lists each task that an account has a part in once, whatever
// the part: published, claimed several times, delivered in open mode.
func TestOwnTasks(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	me, other := agent(t, s), agent(t, s)
	mine := []market.TaskID{publish(t, s, me, 10).ID, openTask(t, s, me, 10, 1).ID}
	twice := publish(t, s, other, 10).ID
	for range 2 {
		if _, err := s.ClaimTask(t.Context(), me, twice); err != nil {
			t.Fatal(err)
		}
		if _, err := s.ReleaseClaim(t.Context(), me, twice, store.Lease{}); err != nil {
			t.Fatal(err)
		}
	}
	reviewed := publish(t, s, other, 10).ID
	deliver(t, s, me, reviewed, market.VerdictPass) // claimed and delivered
	open := openTask(t, s, other, 10, 1).ID
	if _, err := deliverOpen(t.Context(), s, me, open, market.VerdictPass); err != nil {
		t.Fatal(err)
	}
	publish(t, s, other, 10) // no part of mine
	worked := []market.TaskID{twice, reviewed, open}
	for _, c := range []struct {
		role  market.Role
		state market.State
		want  []market.TaskID
	}{
		{market.RolePublisher, "", mine},
		{market.RoleWorker, "", worked},
		{"", "", slices.Concat(mine, worked)},
		{market.RoleWorker, market.InReview, []market.TaskID{reviewed}},
		{"", market.Open, []market.TaskID{mine[0], mine[1], twice, open}},
		{market.RolePublisher, market.Settled, nil},
	} {
		slices.Sort(c.want)
		slices.Reverse(c.want)
		got := inPages(t, func(before market.TaskID) ([]market.Task, error) {
			return s.OwnTasks(t.Context(), me.Account, c.role, c.state, nil, before, 2)
		})
		if !slices.Equal(got, c.want) {
			t.Errorf("%q %q: got %v, want %v", c.role, c.state, got, c.want)
		}
	}
}
