package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// How long TestMoney goes on: rounds, each of many hands at once with a number
// of random operations each. Between rounds the clock jumps.
const (
	moneyRounds = 22
	moneyHands  = 8
	moneyMoves  = 14
)

// moneySeed is random, or what GUILDHALL_SEED says. What the database lets
// win of moves made at once, no seed can repeat.
func moneySeed(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("GUILDHALL_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("GUILDHALL_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("GUILDHALL_SEED=%d makes the same moves again", seed)
	return seed
}

// TestMoney lets many accounts do everything that moves credits, at once and
// at random, and adds up the books by itself after each round: see
// money_books_test.go. In the end every clock runs out.
func TestMoney(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]func(*store.Options){
		"standard": func(o *store.Options) { o.FeeBPS = 700 },
		"strict":   func(o *store.Options) { o.FeeBPS, o.Strict = 1900, true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			moveMoney(t, newMoneyWorld(t, name == "strict", options))
		})
	}
}

func moveMoney(t *testing.T, w *moneyWorld) {
	for round := range moneyRounds {
		var hands sync.WaitGroup
		for hand := range moneyHands {
			hands.Go(func() {
				r := rand.New(rand.NewPCG(w.seed, uint64(round*moneyHands+hand)))
				for range moneyMoves {
					w.move(r)
				}
			})
		}
		for range 2 { // two nodes
			hands.Go(func() { w.note("sweep", w.sweep()) })
		}
		hands.Wait()
		w.clock.advance([]time.Duration{10 * time.Minute, 2 * time.Hour, 25 * time.Hour, 25 * time.Hour, 73 * time.Hour, 8 * 24 * time.Hour}[w.r.IntN(6)])
		moneyBooks(t, w, round%6 == 5)
	}
	for range 3 {
		w.clock.advance(45 * 24 * time.Hour)
		if err := w.sweep(); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range w.orders {
		_, err := w.s.ApproveOrder(t.Context(), w.judge, id)
		w.note("approve", err)
	}
	b := moneyBooks(t, w, true)
	for account, has := range b.has {
		if has != (market.Funds{}) && (strings.HasPrefix(account, "escrow:") || strings.HasPrefix(account, "pending:")) {
			t.Errorf("after every clock has run out, %s has %+v", account, has)
		}
	}
	w.covered(b)
}

// moneyWorld is what the hands know of the market.
type moneyWorld struct {
	t     testing.TB
	s     *store.Store
	clock clock
	seed  uint64
	r     *rand.Rand
	// strict says that no credits change their class.
	strict bool
	judge  store.Caller
	goods  []market.Good

	mu       sync.Mutex
	people   []store.Caller
	codes    []string // vouchers
	invite   []string // referral codes
	tasks    []moneyTask
	handedIn []moneyDelivery
	orders   []market.OrderID
	done     map[string]int
}

type moneyTask struct {
	id   market.TaskID
	by   store.Caller
	mode string
}

type moneyDelivery struct {
	moneyTask
	delivery market.DeliveryID
	worker   store.Caller
}

func newMoneyWorld(t testing.TB, strict bool, options func(*store.Options)) *moneyWorld {
	w := &moneyWorld{t: t, strict: strict, done: map[string]int{}, seed: moneySeed(t)}
	w.r = rand.New(rand.NewPCG(w.seed, 1<<60))
	w.s = storetest.New(t, withClock(&w.clock), func(o *store.Options) { o.Grant = 250 }, options)
	if err := w.s.BeginOnboarding(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.judge = operator(t, w.s)
	for i, n := range []int{60, 60, 3} {
		w.goods = append(w.goods, stock(t, w.s, w.judge, int64(20+15*i), fmt.Sprintf("MONEY%d", i), n))
	}
	for i, class := range []market.Class{market.Granted, market.Earned, market.Earned} {
		_, codes := vouchers(t, w.s, w.judge, int64(70+50*i), 25, class)
		w.codes = append(w.codes, codes...)
	}
	for range 12 {
		w.register(w.r)
	}
	return w
}

// note counts how a move went, and fails the test for what is no refusal.
func (w *moneyWorld) note(what string, err error) bool {
	code := "ok"
	if err != nil {
		var refusal *market.Error
		if !errors.As(err, &refusal) || refusal.Kind == market.KindInternal {
			w.t.Errorf("%s: %v", what, err)
			return false
		}
		code = refusal.Code
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done[what+" "+code]++
	return err == nil
}

func (w *moneyWorld) sweep() error {
	for {
		if n, err := w.s.Sweep(w.t.Context(), 1000); n == 0 || err != nil {
			return err
		}
	}
}

// moneyPick is one of the list, mostly of the newest; ok is false if there is
// none.
func moneyPick[T any](w *moneyWorld, r *rand.Rand, list *[]T) (x T, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(*list)
	if n == 0 {
		return x, false
	}
	if r.IntN(4) > 0 {
		return (*list)[n-1-r.IntN(min(n, 20))], true
	}
	return (*list)[r.IntN(n)], true
}

func moneyKeep[T any](w *moneyWorld, list *[]T, x T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*list = append(*list, x)
}

// move does one thing at random.
func (w *moneyWorld) move(r *rand.Rand) {
	moves := []struct {
		weight int
		make   func(*rand.Rand)
	}{
		{2, w.register}, {3, w.onboard}, {2, w.adjust}, {14, w.publish}, {5, w.cancel}, {18, w.work}, {16, w.workOpen}, {14, w.accept}, {10, w.reject}, {5, w.withdraw},
		{5, w.auto}, {8, w.object}, {14, w.decide}, {6, w.voucher}, {8, w.redeem}, {4, w.review}, {1, func(*rand.Rand) { w.note("sweep", w.sweep()) }},
	}
	all := 0
	for _, m := range moves {
		all += m.weight
	}
	n := r.IntN(all)
	for _, m := range moves {
		if n -= m.weight; n < 0 {
			m.make(r)
			return
		}
	}
}

func (w *moneyWorld) somebody(r *rand.Rand) store.Caller {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.people[r.IntN(len(w.people))]
}

// register adds an agent, every other one by invitation.
func (w *moneyWorld) register(r *rand.Rand) {
	reg := market.Registration{Kind: market.Agent, Handle: fmt.Sprintf("money-%d", handles.Add(1))}
	if code, ok := moneyPick(w, r, &w.invite); ok && r.IntN(2) == 0 {
		reg.ReferralCode = code
	}
	a, _, err := w.s.RegisterAgent(w.t.Context(), reg)
	if !w.note("register", err) {
		return
	}
	moneyKeep(w, &w.invite, a.ReferralCode)
	moneyKeep(w, &w.people, store.Caller{Actor: market.Actor{Account: a.ID, Kind: a.Kind, Handle: a.Handle}})
}

// onboard has somebody do the platform's own task, or try to do it again.
func (w *moneyWorld) onboard(r *rand.Rand) {
	x, err := w.s.Onboarding(w.t.Context())
	if err != nil || x == nil {
		w.t.Errorf("no onboarding task: %v", err)
		return
	}
	by := w.somebody(r)
	open, err := w.s.OpenDelivery(w.t.Context(), by, x.ID, store.Lease{})
	if err == nil {
		_, err = w.s.Deliver(w.t.Context(), by, open, store.Lease{}, pack(), report(market.VerdictPass))
	}
	w.note("onboard", err)
}

// adjust has an operator put a wallet right, now and then by more than it has.
func (w *moneyWorld) adjust(r *rand.Rand) {
	x := market.Adjustment{Amount: r.Int64N(400) - 300, Class: []market.Class{market.Granted, market.Earned}[r.IntN(2)], Reason: "A mistake."}
	if bad := x.Clean(); bad != nil {
		return // of nothing
	}
	_, err := w.s.AdjustWallet(w.t.Context(), w.judge, w.somebody(r).Account, x)
	w.note("adjust", err)
}

// draft is a task of a random price, which is now and then all that its
// publisher was granted.
func (w *moneyWorld) draft(r *rand.Rand) market.Draft {
	reward := 2 + r.Int64N(120)
	if r.IntN(6) == 0 {
		reward = 150 + r.Int64N(500)
	}
	d := draft(reward)
	d.Rules = []market.Rule{{Name: "tidy", Kind: market.RuleManual, Text: "Be tidy."}}
	d.Deadline = nil
	return d
}

func (w *moneyWorld) put(what string, by store.Caller, d market.Draft) (market.Snapshot, bool) {
	if bad := d.Clean(w.clock.now()); bad != nil {
		w.t.Errorf("draft: %v", bad)
		return market.Snapshot{}, false
	}
	done, err := w.s.PublishTask(w.t.Context(), by, d)
	return done, w.note(what, err)
}

func (w *moneyWorld) publish(r *rand.Rand) {
	by, d := w.somebody(r), w.draft(r)
	if r.IntN(2) == 0 {
		slots := 1 + r.Int64N(3)
		d.Mode, d.MaxAccepted = market.ModeOpen, &slots
	}
	if done, ok := w.put("publish "+d.Mode, by, d); ok {
		moneyKeep(w, &w.tasks, moneyTask{done.ID, by, done.Mode})
	}
}

func (w *moneyWorld) cancel(r *rand.Rand) {
	if x, ok := moneyPick(w, r, &w.tasks); ok {
		_, err := w.s.CancelTask(w.t.Context(), x.by, x.id)
		w.note("cancel", err)
	}
}

// hand delivers a random verdict, mostly a pass.
func (w *moneyWorld) hand(r *rand.Rand, x moneyTask, worker store.Caller, l store.Lease) {
	v := market.VerdictPass
	switch r.IntN(10) {
	case 0:
		v = market.VerdictFail
	case 1, 2:
		v = market.VerdictError
	}
	opened, err := w.s.OpenDelivery(w.t.Context(), worker, x.id, l)
	if !w.note("open delivery", err) {
		return
	}
	done, err := w.s.Deliver(w.t.Context(), worker, opened, l, pack(), report(v))
	if w.note("deliver", err) {
		moneyKeep(w, &w.handedIn, moneyDelivery{x, done.Delivery.ID, worker})
	}
}

func (w *moneyWorld) claim(r *rand.Rand, x moneyTask) {
	worker := w.somebody(r)
	claimed, err := w.s.ClaimTask(w.t.Context(), worker, x.id)
	if !w.note("claim", err) {
		return
	}
	l := store.Lease{Claim: claimed.Claim.ID, Epoch: claimed.Claim.Epoch}
	switch r.IntN(12) {
	case 0: // abandoned
	case 1:
		_, err := w.s.ReleaseClaim(w.t.Context(), worker, x.id, l)
		w.note("release", err)
	default:
		w.hand(r, x, worker, l)
	}
}

func (w *moneyWorld) work(r *rand.Rand) {
	if x, ok := moneyPick(w, r, &w.tasks); ok && x.mode != market.ModeOpen {
		w.claim(r, x)
	}
}

func (w *moneyWorld) workOpen(r *rand.Rand) {
	if x, ok := moneyPick(w, r, &w.tasks); ok && x.mode == market.ModeOpen {
		w.hand(r, x, w.somebody(r), store.Lease{})
	}
}

func (w *moneyWorld) accept(r *rand.Rand) {
	if x, ok := moneyPick(w, r, &w.handedIn); ok {
		_, err := w.s.AcceptDelivery(w.t.Context(), x.by, x.id, x.delivery)
		w.note("accept", err)
	}
}

// reject rejects a delivery; most are appealed.
func (w *moneyWorld) reject(r *rand.Rand) {
	x, ok := moneyPick(w, r, &w.handedIn)
	if !ok {
		return
	}
	_, err := w.s.RejectDelivery(w.t.Context(), x.by, x.id, x.delivery, market.Rejection{Reason: "No.", Rule: "tidy"})
	if w.note("reject", err) && r.IntN(4) > 0 {
		_, err := w.s.AppealDelivery(w.t.Context(), x.worker, x.id, x.delivery, "Yes.")
		w.note("appeal", err)
	}
}

func (w *moneyWorld) withdraw(r *rand.Rand) {
	if x, ok := moneyPick(w, r, &w.handedIn); ok {
		_, err := w.s.WithdrawDelivery(w.t.Context(), x.worker, x.id, x.delivery)
		w.note("withdraw", err)
	}
}

// auto has a task pay at once; every other publisher regrets it.
func (w *moneyWorld) auto(r *rand.Rand) {
	by, d := w.somebody(r), w.draft(r)
	sample := []market.Sample{{Output: json.RawMessage(`[1]`)}}
	d.Rules, d.AutoAccept, d.Samples = nil, true, &market.Samples{Pass: sample, Fail: sample}
	done, ok := w.put("publish auto", by, d)
	if !ok {
		return
	}
	x := moneyTask{done.ID, by, done.Mode}
	w.claim(r, x)
	if r.IntN(2) == 0 {
		w.object(r)
	}
}

func (w *moneyWorld) object(r *rand.Rand) {
	if x, ok := moneyPick(w, r, &w.handedIn); ok {
		_, err := w.s.ObjectToPayout(w.t.Context(), x.by, x.id, x.delivery, "Not this.")
		w.note("object", err)
	}
}

// decide answers one of the open cases.
func (w *moneyWorld) decide(r *rand.Rand) {
	open, err := w.s.Cases(w.t.Context(), false, "", time.Time{}, 50)
	if err != nil || len(open) == 0 {
		w.note("cases", err)
		return
	}
	k := open[r.IntN(len(open))]
	d := market.Decision{Note: "So.", Outcome: []market.CaseOutcome{market.CaseUpheld, market.CaseOverturned, market.CaseSplit}[r.IntN(3)]}
	if k.Kind == market.CaseObjection {
		d.Outcome = []market.CaseOutcome{market.CaseKept, market.CaseReversed}[r.IntN(2)]
	}
	if d.Outcome == market.CaseSplit {
		d.Share = 1 + r.Int64N(9999)
	}
	_, err = w.s.DecideCase(w.t.Context(), w.judge, k.ID, d)
	w.note("decide "+string(d.Outcome), err)
}

func (w *moneyWorld) voucher(r *rand.Rand) {
	code, _ := moneyPick(w, r, &w.codes)
	_, err := w.s.RedeemVoucher(w.t.Context(), w.somebody(r), code)
	w.note("voucher", err)
}

func (w *moneyWorld) redeem(r *rand.Rand) {
	g := w.goods[r.IntN(len(w.goods))]
	o, err := w.s.Redeem(w.t.Context(), w.somebody(r), g.ID, g.Price, r.IntN(2) == 0)
	if w.note("redeem", err) && o.State == market.OrderPending {
		moneyKeep(w, &w.orders, o.ID)
	}
}

// review lets an order go out or refuses it.
func (w *moneyWorld) review(r *rand.Rand) {
	id, ok := moneyPick(w, r, &w.orders)
	if !ok {
		return
	}
	if r.IntN(2) == 0 {
		_, err := w.s.ApproveOrder(w.t.Context(), w.judge, id)
		w.note("approve", err)
		return
	}
	_, err := w.s.RefuseOrder(w.t.Context(), w.judge, id, "No.")
	w.note("refuse", err)
}

// covered fails the test unless everything has happened that it is about.
func (w *moneyWorld) covered(b moneyBook) {
	w.t.Helper()
	for _, kind := range market.TransferKinds() {
		if b.kinds[kind] == 0 {
			w.t.Errorf("no credits moved by a %s", kind)
		}
	}
	for _, state := range []market.State{market.Settled, market.Cancelled, market.Expired} {
		if b.states[state] == 0 {
			w.t.Errorf("no task ended %s", state)
		}
	}
	for _, what := range []string{"accept ok", "decide upheld ok", "decide overturned ok", "decide split ok", "decide kept ok", "decide reversed ok",
		"redeem insufficient_credits", "publish exclusive insufficient_credits", "redeem out_of_stock", "refuse ok", "approve ok", "voucher voucher_used"} {
		if w.done[what] == 0 {
			w.t.Errorf("nothing was ever %q", what)
		}
	}
	var lines []string
	for what, n := range w.done {
		lines = append(lines, fmt.Sprintf("%5d %s", n, what))
	}
	slices.Sort(lines)
	w.t.Logf("%v %v\n%s", b.kinds, b.states, strings.Join(lines, "\n"))
}
