package store

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// feedChannel is where nodes tell each other whose feeds have grown.
const feedChannel = "guildhall_feed"

const (
	// ringEvery is how often at most a node tells the others, all at once.
	ringEvery = 5 * time.Millisecond
	// lookEvery is how often a node looks whether the feeds that somebody
	// waits for have grown, told or not: one query, however many wait.
	lookEvery = time.Second
	// mostNamed bounds the accounts that are named: PostgreSQL takes less than
	// 8,000 bytes.
	mostNamed = 200
)

// hub wakes who waits for an account's feed. Nothing depends on it but how
// soon: what it misses is found by looking.
type hub struct {
	config pgx.ConnConfig
	look   func(context.Context, []*waiter) ([]*waiter, error)
	every  time.Duration
	node   string
	ctx    context.Context
	stop   context.CancelFunc
	tasks  sync.WaitGroup
	// lookNow asks for a look at once.
	lookNow chan struct{}
	// bell says that there is something to tell other nodes.
	bell chan struct{}

	mu      sync.Mutex
	waiters map[market.AccountID]map[*waiter]bool
	// others are roused whoever is told something.
	others  map[chan struct{}]bool
	rung    map[market.AccountID]bool
	all     bool // rung for everybody
	telling bool
	running bool
	closed  bool
}

// waiter waits for one account's feed to grow beyond a place.
type waiter struct {
	account market.AccountID
	at      FeedCursor
	wake    chan struct{}
}

func newHub(config pgx.ConnConfig, every time.Duration, look func(context.Context, []*waiter) ([]*waiter, error)) *hub {
	config.Tracer = nil
	if every == 0 {
		every = lookEvery
	}
	h := &hub{config: config, look: look, every: every, node: uuid.NewString(), lookNow: make(chan struct{}, 1), bell: make(chan struct{}, 1),
		waiters: map[market.AccountID]map[*waiter]bool{}, rung: map[market.AccountID]bool{}, others: map[chan struct{}]bool{}}
	h.ctx, h.stop = context.WithCancel(context.Background())
	return h
}

// close ends what runs for the hub.
func (h *hub) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.stop()
	h.tasks.Wait()
}

// start runs f beside, unless the hub is closed. The caller holds the lock.
func (h *hub) start(f func()) {
	if h.closed {
		return
	}
	h.tasks.Add(1)
	go func() { defer h.tasks.Done(); f() }()
}

func (h *hub) join(id market.AccountID, at FeedCursor) *waiter {
	w := &waiter{account: id, at: at, wake: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiters[id] == nil {
		h.waiters[id] = map[*waiter]bool{}
	}
	h.waiters[id][w] = true
	h.run()
	return w
}

// run begins to look and to listen. The caller holds the lock.
func (h *hub) run() {
	if !h.running {
		h.running = true
		h.start(h.lookAll)
		h.start(h.listen)
	}
}

// everything returns a channel that is signalled whenever anybody is told
// something.
func (h *hub) everything() chan struct{} {
	c := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.others[c] = true
	h.run()
	return c
}

// nothing ends what everything began.
func (h *hub) nothing(c chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.others, c)
}

func (h *hub) leave(w *waiter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.waiters[w.account], w)
	if len(h.waiters[w.account]) == 0 {
		delete(h.waiters, w.account)
	}
}

// move tells from where the waiter waits now.
func (h *hub) move(w *waiter, at FeedCursor) {
	h.mu.Lock()
	w.at = at
	h.mu.Unlock()
}

func (w *waiter) rouse() { signal(w.wake) }

// signal never waits: one signal stands for many.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// ring is called after a commit that has told the accounts something; none
// stands for accounts that the caller does not know.
func (h *hub) ring(told []market.AccountID, all bool) {
	if len(told) == 0 && !all {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wake(told, all)
	h.all = h.all || all
	for _, id := range told {
		h.rung[id] = true
	}
	if !h.telling {
		h.telling = true
		h.start(h.tell)
	}
	signal(h.bell)
}

// wake rouses who waits on this node. The caller holds the lock.
func (h *hub) wake(told []market.AccountID, all bool) {
	for c := range h.others {
		signal(c)
	}
	for _, id := range told {
		for w := range h.waiters[id] {
			w.rouse()
		}
	}
	if all && len(h.waiters) > 0 {
		signal(h.lookNow)
	}
}

// tell passes on what is rung, on a connection of its own: outside the
// transactions that it tells of.
func (h *hub) tell() {
	var c *pgx.Conn
	for {
		select {
		case <-h.ctx.Done():
			hangUp(c)
			return
		case <-h.bell:
		}
		time.Sleep(ringEvery) // all of a moment at once
		payload := h.payload()
		if c == nil {
			var err error
			if c, err = pgx.ConnectConfig(h.ctx, &h.config); err != nil {
				c = nil
				continue // the others look by themselves
			}
		}
		if _, err := c.Exec(h.ctx, `SELECT pg_notify($1, $2)`, feedChannel, payload); err != nil {
			hangUp(c)
			c = nil
		}
	}
}

// hangUp closes a connection that is of no more use.
func hangUp(c *pgx.Conn) {
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.Close(ctx)
}

// payload takes what was rung: this node and the accounts, or everybody.
func (h *hub) payload() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	words := []string{h.node}
	if h.all || len(h.rung) > mostNamed {
		words = append(words, "*")
	} else {
		for id := range h.rung {
			words = append(words, string(id))
		}
	}
	h.all = false
	clear(h.rung)
	return strings.Join(words, " ")
}

// heard wakes those that another node has told.
func (h *hub) heard(payload string) {
	words := strings.Fields(payload)
	if len(words) < 2 || words[0] == h.node {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if words[1] == "*" {
		h.wake(nil, true)
		return
	}
	told := make([]market.AccountID, 0, len(words)-1)
	for _, id := range words[1:] {
		told = append(told, market.AccountID(id))
	}
	h.wake(told, false)
}

// listen hears the other nodes, and connects again when the connection breaks.
func (h *hub) listen() {
	for h.ctx.Err() == nil {
		h.listenOnce()
		select {
		case <-h.ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (h *hub) listenOnce() {
	c, err := pgx.ConnectConfig(h.ctx, &h.config)
	if err != nil {
		return
	}
	defer hangUp(c)
	if _, err := c.Exec(h.ctx, `LISTEN `+feedChannel); err != nil {
		return
	}
	h.mu.Lock()
	h.wake(nil, true) // what was told meanwhile
	h.mu.Unlock()
	for {
		n, err := c.WaitForNotification(h.ctx)
		if err != nil {
			return
		}
		h.heard(n.Payload)
	}
}

// lookAll looks now and then, and when asked to, whether the feeds that
// somebody waits for have grown.
func (h *hub) lookAll() {
	tick := time.NewTicker(h.every)
	defer tick.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-tick.C:
		case <-h.lookNow:
		}
		all := h.present()
		if len(all) == 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(h.ctx, 5*time.Second)
		grown, err := h.look(ctx, all)
		cancel()
		if err != nil {
			continue // the next look will tell
		}
		for _, w := range grown {
			w.rouse()
		}
	}
}

// present are copies of all waiters: they move.
func (h *hub) present() []*waiter {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []*waiter
	for _, of := range h.waiters {
		for w := range of {
			out = append(out, &waiter{account: w.account, at: w.at, wake: w.wake})
		}
	}
	return out
}

// grownFeeds are those whose feed goes on beyond where they are.
func (s *Store) grownFeeds(ctx context.Context, all []*waiter) ([]*waiter, error) {
	accounts, xids, ids := make([]string, len(all)), make([]string, len(all)), make([]string, len(all))
	for i, w := range all {
		accounts[i], xids[i], ids[i] = string(w.account), strconv.FormatUint(w.at.XID, 10), string(w.at.ID)
		if w.at.ID == "" {
			ids[i] = string(noEvent)
		}
	}
	var out []*waiter
	err := s.onConn(ctx, func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, `
			SELECT w.n FROM unnest($1::uuid[], $2::text[], $3::uuid[]) WITH ORDINALITY w (account, xid, id, n)
			WHERE EXISTS (SELECT 1 FROM account_events e WHERE e.account_id = w.account AND (e.xid, e.id) > (w.xid::xid8, w.id))`, accounts, xids, ids)
		if err != nil {
			return err
		}
		var n int64
		_, err = pgx.ForEachRow(rows, []any{&n}, func() error { out = append(out, all[n-1]); return nil })
		return err
	})
	return out, err
}
