package store_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"guildhall/market"
	"guildhall/store"
)

// chance is something that somebody could do.
type chance struct {
	Task     market.TaskID     `db:"task"`
	Delivery market.DeliveryID `db:"delivery"`
	Claim    market.ClaimID    `db:"claim"`
	Epoch    int64             `db:"epoch"`
	Case     market.CaseID     `db:"case"`
	Who      market.AccountID  `db:"who"` // who may, "" for any agent
	Due      time.Time         `db:"due"`
}

const (
	ofTasks     = ` FROM tasks t WHERE `
	ofClaims    = `, c.id AS claim, c.epoch, c.worker_id AS who FROM claims c JOIN tasks t ON t.id = c.task_id WHERE c.ended_at IS NULL`
	ofPublisher = `, d.id AS delivery, t.publisher_id AS who FROM deliveries d JOIN tasks t ON t.id = d.task_id WHERE `
	ofWorker    = `, d.id AS delivery, d.worker_id AS who FROM deliveries d JOIN tasks t ON t.id = d.task_id WHERE `
	ofCases     = `, k.delivery_id AS delivery, k.id AS case, k.due_at AS due FROM cases k JOIN tasks t ON t.id = k.task_id WHERE k.closed_at IS NULL AND `
	dueDelivery = `, COALESCE(d.due_at, t.due_at) AS due FROM deliveries d JOIN tasks t ON t.id = d.task_id WHERE NOT d.in_case AND `
	byPass      = `d.state = 'pending' AND d.report ->> 'verdict' = 'pass'`
	undecidable = `d.state = 'pending' AND d.report ->> 'verdict' = 'error'`
	appealable  = `d.state = 'rejected' AND NOT d.in_case AND (t.appeal_by IS NOT NULL OR d.due_at IS NOT NULL)`
)

// chances find the tasks and deliveries that something can happen to, the
// clock's by its events.
var chances = map[string]string{
	"claim":        ofTasks + `t.state = 'open' AND t.mode = 'exclusive'`,
	"join":         ofTasks + `t.state = 'open' AND t.mode = 'open'`,
	"cancel":       `, t.publisher_id AS who` + ofTasks + `t.state = 'open'`,
	"renew":        ofClaims,
	"release":      ofClaims,
	"deliver":      ofClaims,
	"accept":       ofPublisher + `d.state = 'pending'`,
	"reject":       ofPublisher + `d.state = 'pending'`,
	"accept last":  ofPublisher + `d.state = 'pending' AND t.slots = 1 AND t.frozen = 0 AND EXISTS (SELECT FROM deliveries o WHERE o.task_id = t.id AND o.state = 'pending' AND o.id <> d.id)`,
	"join others":  ofTasks + `t.state = 'open' AND t.slots = 1 AND EXISTS (SELECT FROM deliveries o WHERE o.task_id = t.id AND o.state = 'pending')`,
	"withdraw":     ofWorker + `d.state = 'pending'`,
	"appeal":       ofWorker + appealable,
	"revise":       ofWorker + appealable + ` AND t.state = 'open'`,
	"object":       ofPublisher + `EXISTS (SELECT FROM payouts y WHERE y.delivery_id = d.id AND y.state = 'pending') AND d.review ->> 'By' <> 'publisher'`,
	"judge":        ofCases + `k.kind <> 'objection'`,
	"judge payout": ofCases + `k.kind = 'objection'`,

	string(market.EventReopened):       dueDelivery + appealable + ` AND t.state = 'in_review'`,
	string(market.EventAppealClosed):   dueDelivery + appealable,
	string(market.EventSilenceAccept):  dueDelivery + byPass,
	string(market.EventCaseOpened):     dueDelivery + undecidable,
	string(market.EventCaseClosed):     ofCases + `true`,
	string(market.EventDeadlinePassed): dueDelivery + `d.state = 'pending'`,
}

// find is a random chance in the mode, or in any, and who takes it: mostly who
// may.
func (f *fair) find(r *rand.Rand, kind, mode string) (chance, store.Caller, bool) {
	by := f.agents[r.IntN(len(f.agents))]
	among, other := r.IntN(8), r.IntN(15) == 0
	if kind == "publish" {
		return chance{}, by, true
	}
	var found []chance
	err := f.s.DB().SelectContext(f.ctx, &found, `SELECT t.id AS task`+chances[kind]+` AND t.mode LIKE $1 ORDER BY t.created_at DESC LIMIT 8`, mode)
	if err != nil {
		f.t.Errorf("%s: %v", kind, err)
	}
	if len(found) == 0 {
		return chance{}, by, false
	}
	k := found[among%len(found)]
	if who := slices.IndexFunc(f.agents, func(a store.Caller) bool { return a.Account == k.Who }); who >= 0 && !other {
		by = f.agents[who]
	}
	return k, by, true
}

// kinds are what somebody may try, often or seldom.
var kinds = strings.Fields(`publish publish claim claim claim join join deliver deliver deliver deliver renew release accept accept reject reject
	withdraw cancel appeal appeal revise object object judge judge judge_payout`)

// act has somebody try something, if there is a chance.
func (f *fair) act(r *rand.Rand) {
	f.acting.RLock()
	defer f.acting.RUnlock()
	for range 4 {
		kind := strings.ReplaceAll(kinds[r.IntN(len(kinds))], "_", " ")
		if k, by, ok := f.find(r, kind, "%"); ok {
			f.try(r, kind, k, by, "%", "")
			return
		}
	}
}

// notSelected is no event of its own: the last reward of a task is paid while
// other deliveries are pending.
const notSelected = "not_selected"

// ways lead to an event that seldom comes about, from the last thing that must
// happen to the first.
var ways = func() map[market.Event][]string {
	m := map[market.Event][]string{}
	handed := []string{"deliver", "join", "claim", "publish"}
	for _, e := range market.Events() {
		m[e] = handed
	}
	for _, e := range []market.Event{market.EventReopened, market.EventAppealClosed} {
		m[e] = append([]string{string(e), "reject"}, handed...)
	}
	for _, e := range []market.Event{market.EventSilenceAccept, market.EventCaseOpened, market.EventDeadlinePassed} {
		m[e] = append([]string{string(e)}, handed...)
	}
	for e, kind := range map[market.Event]string{market.EventOverturned: "judge", market.EventSplit: "judge", market.EventUpheld: "judge",
		market.EventCaseClosed: string(market.EventCaseClosed)} {
		m[e] = append([]string{kind, "appeal", "reject"}, handed...)
	}
	m[notSelected] = append([]string{"accept last", "join others"}, handed...)
	for _, e := range []market.Event{market.EventPayoutKept, market.EventPayoutReversed} {
		m[e] = append([]string{"judge payout", "object", string(market.EventSilenceAccept)}, handed...)
	}
	for e, kind := range map[market.Event]string{market.EventAccepted: "accept", market.EventRejected: "reject", market.EventWithdrawn: "withdraw",
		market.EventRenewed: "renew", market.EventReleased: "release", market.EventCancelled: "cancel", market.EventAppealed: "appeal", market.EventObjected: "object"} {
		m[e] = append([]string{kind}, handed...)
	}
	return m
}()

// strive has somebody, or the clock, go one step towards an event, named with
// its mode.
func (f *fair) strive(r *rand.Rand, goal string) {
	mode, event, _ := strings.Cut(goal, " ")
	for _, kind := range ways[market.Event(event)] {
		k, by, ok := f.find(r, kind, mode)
		switch {
		case !ok:
			continue
		case !k.Due.IsZero() && !strings.HasPrefix(kind, "judge"):
			f.c.advance(max(0, k.Due.Sub(f.c.now())))
			_, err := f.s.Sweep(f.ctx, 1000)
			f.note("sweep", err)
		default:
			f.try(r, kind, k, by, mode, market.Event(event))
		}
		return
	}
}

func (f *fair) publish(r *rand.Rand, by store.Caller, mode string) {
	d := draft(1 + r.Int64N(40))
	d.Rules = []market.Rule{{Name: "tidy", Kind: market.RuleManual, Text: "Be tidy."}}
	if r.IntN(2) == 0 && mode != market.ModeExclusive || mode == market.ModeOpen {
		d.Mode, d.MaxAccepted = market.ModeOpen, new(1+r.Int64N(3))
	}
	d.ClaimMinutes, d.ReviewHours, d.MaxAttempts = new(30+r.Int64N(600)), new(1+r.Int64N(60)), new(1+r.Int64N(3))
	d.Deadline = new(f.c.now().Add(time.Hour + time.Duration(r.IntN(150*60))*time.Minute))
	d.AutoAccept = r.IntN(5) == 0
	_, err := f.s.PublishTask(f.ctx, by, d)
	f.note("publish", err)
}

// deliver hands in something that passes, fails or cannot be checked, on a
// claim that it names or not.
func (f *fair) deliver(r *rand.Rand, by store.Caller, k chance, l store.Lease) error {
	v := []market.Verdict{market.VerdictPass, market.VerdictPass, market.VerdictFail, market.VerdictError}[r.IntN(4)]
	opened, err := f.s.OpenDelivery(f.ctx, by, k.Task, l)
	if err == nil {
		_, err = f.s.Deliver(f.ctx, by, opened, l, pack(), report(v))
	}
	return err
}

// outcomes are an operator's decisions, by the event that they make.
var outcomes = map[market.Event]market.CaseOutcome{market.EventUpheld: market.CaseUpheld, market.EventOverturned: market.CaseOverturned,
	market.EventSplit: market.CaseSplit, market.EventPayoutKept: market.CaseKept, market.EventPayoutReversed: market.CaseReversed}

func (f *fair) decide(r *rand.Rand, k chance, wanted market.Event, among ...market.Event) error {
	e := among[r.IntN(len(among))]
	if slices.Contains(among, wanted) {
		e = wanted
	}
	d := market.Decision{Outcome: outcomes[e], Note: "So be it."}
	if e == market.EventSplit {
		d.Share = 1 + r.Int64N(9998)
	}
	_, err := f.s.DecideCase(f.ctx, f.judge, k.Case, d)
	return err
}

// try does it and counts what came of it.
func (f *fair) try(r *rand.Rand, kind string, k chance, by store.Caller, mode string, wanted market.Event) {
	s, ctx := f.s, f.ctx
	var l store.Lease
	if r.IntN(2) == 0 {
		l = store.Lease{Claim: k.Claim, Epoch: k.Epoch - int64(r.IntN(8)/7)}
	}
	var err error
	switch kind {
	case "publish":
		f.publish(r, by, mode)
		return
	case "claim":
		_, err = s.ClaimTask(ctx, by, k.Task)
	case "renew":
		_, err = s.RenewClaim(ctx, by, k.Task, l)
	case "release":
		_, err = s.ReleaseClaim(ctx, by, k.Task, l)
	case "deliver", "join", "join others", "revise":
		err = f.deliver(r, by, k, l)
	case "cancel":
		_, err = s.CancelTask(ctx, by, k.Task)
	case "accept", "accept last":
		_, err = s.AcceptDelivery(ctx, by, k.Task, k.Delivery)
	case "reject":
		_, err = s.RejectDelivery(ctx, by, k.Task, k.Delivery, market.Rejection{Reason: "No.", Rule: "tidy"})
	case "withdraw":
		_, err = s.WithdrawDelivery(ctx, by, k.Task, k.Delivery)
	case "appeal":
		_, err = s.AppealDelivery(ctx, by, k.Task, k.Delivery, "It does what was asked for.")
	case "object":
		_, err = s.ObjectToPayout(ctx, by, k.Task, k.Delivery, "Not what the brief says.")
	case "judge":
		err = f.decide(r, k, wanted, market.EventUpheld, market.EventOverturned, market.EventSplit)
	case "judge payout":
		err = f.decide(r, k, wanted, market.EventPayoutKept, market.EventPayoutReversed)
	default:
		panic(fmt.Sprintf("nobody can %s", kind))
	}
	f.note(kind, err)
}
