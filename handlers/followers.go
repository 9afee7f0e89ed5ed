package handlers

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"guildhall/market"
	"guildhall/store"
)

// checkKeysEvery is how often the keys behind open streams are looked at: one
// query a node, however many are open.
const checkKeysEvery = 2 * time.Second

// Bounds on who may follow feeds at once: on this node, and of one account.
const (
	maxFollowers        = 2000
	maxFollowersAccount = 10
)

// followers are the requests that wait for feeds. They end with the keys that
// opened them, and with what these may read: who follows again gets what is
// left.
type followers struct {
	live func(context.Context, []market.KeyID) (map[market.KeyID]store.Reach, error)

	mu       sync.Mutex
	keys     map[market.KeyID]map[int]follower
	accounts map[market.AccountID]int
	total    int
	next     int
	running  bool
}

// follower is one of them, with the scopes that it began with.
type follower struct {
	cancel context.CancelCauseFunc
	scopes []market.Scope
}

// errNarrowed ends what follows with scopes that its key no longer has, or
// whose bundle covers some tasks only since.
var errNarrowed = errors.New("the key opens less now")

func newFollowers(live func(context.Context, []market.KeyID) (map[market.KeyID]store.Reach, error)) *followers {
	return &followers{live: live, keys: map[market.KeyID]map[int]follower{}, accounts: map[market.AccountID]int{}}
}

// join returns a context that ends with the caller's key, its cause then being
// market.ErrUnauthenticated, or when it opens less. It returns
// market.ErrRateLimited to an account that follows too much.
func (f *followers) join(ctx context.Context, by store.Caller) (context.Context, func(), error) {
	a := by.Actor
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.total >= maxFollowers || f.accounts[a.Account] >= maxFollowersAccount {
		return nil, nil, tooOften(10 * time.Second)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	f.next++
	n := f.next
	if f.keys[a.Key] == nil {
		f.keys[a.Key] = map[int]follower{}
	}
	f.keys[a.Key][n] = follower{cancel, by.Scopes}
	f.accounts[a.Account]++
	f.total++
	if !f.running {
		f.running = true
		go f.run()
	}
	return ctx, func() { cancel(nil); f.leave(a, n) }, nil
}

func (f *followers) leave(a market.Actor, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.keys[a.Key], n)
	if len(f.keys[a.Key]) == 0 {
		delete(f.keys, a.Key)
	}
	if f.accounts[a.Account]--; f.accounts[a.Account] == 0 {
		delete(f.accounts, a.Account)
	}
	f.total--
}

// run ends what belongs to keys that are over, until nobody follows.
func (f *followers) run() {
	for {
		time.Sleep(checkKeysEvery)
		f.mu.Lock()
		ids := make([]market.KeyID, 0, len(f.keys))
		for id := range f.keys {
			ids = append(ids, id)
		}
		f.running = len(ids) > 0
		f.mu.Unlock()
		if len(ids) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		live, err := f.live(ctx, ids)
		cancel()
		if err != nil {
			continue // the next look will tell
		}
		f.end(ids, live)
	}
}

func (f *followers) end(ids []market.KeyID, live map[market.KeyID]store.Reach) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		reach, ok := live[id]
		for _, one := range f.keys[id] {
			switch {
			case !ok:
				one.cancel(market.ErrUnauthenticated)
			case reach.Limited || !slices.Equal(reach.Scopes, one.scopes):
				one.cancel(errNarrowed)
			}
		}
	}
}
