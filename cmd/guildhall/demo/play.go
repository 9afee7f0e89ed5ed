package demo

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"guildhall/market"
	"guildhall/market/verify"
	"guildhall/market/verify/pool"
	"guildhall/store"
)

const (
	// Grant and Hold are what the history is written for, whatever the
	// operator has chosen for the accounts that come later.
	Grant = 1000
	Hold  = 24 * time.Hour
	// Days is how long the history is.
	Days = 40
	// Handle and Email are those of the demo account, Operator is the e-mail
	// address of who decides cases.
	Handle   = "juniper"
	Email    = "juniper@example.com"
	Operator = "warden@example.com"
	// OperatorHandle is the name of Operator's account.
	OperatorHandle = "warden"
	// Freelance is the agent whose wallet has a bit of everything.
	Freelance = "footnote"
)

// Clock is the store's clock while the history is written. It is not safe for
// concurrent use.
type Clock struct{ at time.Time }

// Now is the moment of the history that is being written.
func (c *Clock) Now() time.Time { return c.at }

// Player plays the history into an empty market.
type Player struct {
	// Store must have Grant, Hold, Clock and a vault in its options.
	Store    *store.Store
	Clock    *Clock
	Verifier *pool.Pool
	// Hash hashes passwords.
	Hash func(password string) (string, error)
	// Password is that of the accounts of Email and Operator; the other humans
	// have random ones that nobody knows.
	Password string
	// Progress hears what was done so far, a few times.
	Progress func(days int, made Made)

	end     time.Time
	callers map[string]store.Caller
	codes   map[string]string // referral codes
	live    map[*task]*course
	wakes   []time.Time
	made    Made
}

// Made is what was made.
type Made struct {
	Accounts int
	Tasks    int
	// States counts the tasks by their state at the end.
	States map[market.State]int
	// Goods can be redeemed, Orders counts the orders by their state.
	Goods  int
	Orders map[market.OrderState]int
	// Key is the API key of Freelance.
	Key string
}

// course is how far a task has come.
type course struct {
	id market.TaskID
	// deliveries are the last one of each agent, and under "" the last of all.
	deliveries map[string]market.DeliveryID
}

// event is one step of the history, or the registration of an account.
type event struct {
	at  time.Duration
	why string
	do  func(context.Context) error
}

// Play writes the history that ends at end. An error leaves the market half
// filled.
func (p *Player) Play(ctx context.Context, end time.Time) (Made, error) {
	p.end, p.callers, p.codes, p.live = end, map[string]store.Caller{}, map[string]string{}, map[*task]*course{}
	s, err := read()
	if err != nil {
		return p.made, err
	}
	events, err := p.events(s)
	if err != nil {
		return p.made, err
	}
	told := -Days
	for _, e := range events {
		if err := p.sweepUntil(ctx, end.Add(e.at)); err != nil {
			return p.made, err
		}
		if err := e.do(ctx); err != nil {
			return p.made, fmt.Errorf("%s at %s: %w", e.why, e.at, err)
		}
		if e.at >= time.Duration(told+10)*24*time.Hour {
			told += 10
			p.Progress(Days+told, p.made)
		}
	}
	if err := p.sweepUntil(ctx, end); err != nil {
		return p.made, err
	}
	return p.made, errors.Join(p.count(ctx, s), p.countOrders(ctx, s))
}

// events are all steps of all tasks, accounts and goods, in order of time.
func (p *Player) events(s story) ([]event, error) {
	var out []event
	for _, a := range s.accounts {
		at, err := readOffset(a.At)
		if err != nil {
			return nil, fmt.Errorf("account %s: %w", a.Handle, err)
		}
		out = append(out, event{at, "register " + a.Handle, func(ctx context.Context) error { return p.register(ctx, a) }})
	}
	for _, t := range s.tasks {
		for _, st := range t.steps {
			out = append(out, event{st.at, t.file + ": " + st.verb + " " + st.who, func(ctx context.Context) error { return p.step(ctx, t, st) }})
		}
	}
	goods, err := p.goodsEvents(s)
	if err != nil {
		return nil, err
	}
	out = append(out, goods...)
	slices.SortStableFunc(out, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	return out, nil
}

// sweepUntil moves the clock to t and lets every clock that runs out before
// act in its time, as the sweep of a running server would.
func (p *Player) sweepUntil(ctx context.Context, t time.Time) error {
	slices.SortFunc(p.wakes, time.Time.Compare)
	for len(p.wakes) > 0 && p.wakes[0].Before(t) {
		p.Clock.at = p.wakes[0]
		n := 0
		for n < len(p.wakes) && !p.wakes[n].After(p.Clock.at) {
			n++
		}
		p.wakes = p.wakes[n:]
		if _, err := p.Store.Sweep(ctx, 1000); err != nil {
			return err
		}
	}
	p.Clock.at = t
	return nil
}

// wakeFor notes when the clocks of the task will have run out. A review that
// ends in silence makes a payout, whose hold then ends in turn.
func (p *Player) wakeFor(s market.Snapshot) {
	const late = 900 * time.Millisecond // the sweep comes round every two seconds
	for _, at := range []*time.Time{s.DueAt, s.AppealBy} {
		if at != nil {
			p.wakes = append(p.wakes, at.Add(late), at.Add(late+Hold+late))
		}
	}
	if s.State == market.Settled {
		p.wakes = append(p.wakes, p.Clock.at.Add(Hold+late))
	}
}

func (p *Player) register(ctx context.Context, a account) error {
	r := market.Registration{Kind: a.Kind, Handle: a.Handle, DisplayName: a.DisplayName, Description: a.Description,
		Skills: a.Skills, ReferralCode: p.codes[a.ReferredBy], Email: a.Email, Password: rand.Text()}
	if a.Email == Email || a.Email == Operator {
		r.Password = p.Password
	}
	if err := market.Invalid(r.Clean()); err != nil {
		return err
	}
	made, key, err := p.registerKind(ctx, r, a.Operator)
	if err != nil {
		return err
	}
	by := market.Actor{Account: made.ID, Kind: made.Kind, Handle: made.Handle}
	if key != "" {
		if by, err = p.Store.Authenticate(ctx, key); err != nil {
			return err
		}
	}
	if a.Handle == Freelance {
		p.made.Key = key
	}
	p.callers[a.Handle], p.codes[a.Handle] = store.Caller{Actor: by}, made.ReferralCode
	p.made.Accounts++
	return nil
}

func (p *Player) registerKind(ctx context.Context, r market.Registration, operator bool) (market.Account, string, error) {
	if r.Kind == market.Agent {
		return p.Store.RegisterAgent(ctx, r)
	}
	hash, err := p.Hash(r.Password)
	if err != nil {
		return market.Account{}, "", err
	}
	register := p.Store.RegisterHuman
	if operator {
		register = p.Store.RegisterOperator
	}
	a, err := register(ctx, r, hash)
	if err != nil {
		return a, "", err
	}
	_, err = p.Store.UpdateProfile(ctx, store.Caller{Actor: market.Actor{Account: a.ID}}, market.Profile{Description: &r.Description})
	return a, "", err
}

// step makes one step of a task, by who is named or else its publisher.
func (p *Player) step(ctx context.Context, t *task, st step) error {
	who := st.who
	if who == "" {
		who = t.publisher
	}
	by, ok := p.callers[who]
	if !ok {
		return fmt.Errorf("there is no account %q yet", who)
	}
	c := p.live[t]
	if c == nil {
		c = &course{deliveries: map[string]market.DeliveryID{}}
		p.live[t] = c
	}
	after, err := p.call(ctx, by, t, c, st)
	if err != nil {
		return err
	}
	c.id = after.ID
	if after.Delivery != nil {
		c.deliveries[""], c.deliveries[after.Delivery.WorkerHandle] = after.Delivery.ID, after.Delivery.ID
	}
	p.wakeFor(after)
	return nil
}

func (p *Player) call(ctx context.Context, by store.Caller, t *task, c *course, st step) (market.Snapshot, error) {
	switch st.verb {
	case "publish":
		return p.publish(ctx, by, t)
	case "cancel":
		return p.Store.CancelTask(ctx, by, c.id)
	case "claim":
		return p.Store.ClaimTask(ctx, by, c.id)
	case "renew":
		return p.Store.RenewClaim(ctx, by, c.id, store.Lease{})
	case "release":
		return p.Store.ReleaseClaim(ctx, by, c.id, store.Lease{})
	case "deliver":
		return p.deliver(ctx, by, c.id, t.pack(st.part), market.VerdictPass)
	case "fail":
		return p.deliver(ctx, by, c.id, t.pack(st.part), market.VerdictFail)
	case "accept":
		return p.Store.AcceptDelivery(ctx, by, c.id, c.deliveries[st.whose])
	case "reject":
		return p.Store.RejectDelivery(ctx, by, c.id, c.deliveries[st.whose], t.rejection(st.part))
	case "withdraw":
		return p.Store.WithdrawDelivery(ctx, by, c.id, c.deliveries[st.who])
	case "appeal":
		return p.Store.AppealDelivery(ctx, by, c.id, c.deliveries[st.who], strings.TrimSpace(t.parts[st.part]))
	case "report":
		reason, text, _ := strings.Cut(t.parts[st.part], "\n")
		if _, err := p.Store.ReportTask(ctx, by, c.id, reason, strings.TrimSpace(text)); err != nil {
			return market.Snapshot{}, err
		}
		return p.Store.Task(ctx, by.Actor, c.id)
	case "say", "answer": // an agent, the publisher
		if _, err := p.Store.PostMessage(ctx, by, c.id, strings.TrimSpace(t.parts[st.part])); err != nil {
			return market.Snapshot{}, err
		}
		return p.Store.Task(ctx, by.Actor, c.id)
	}
	return market.Snapshot{}, fmt.Errorf("there is no step %q", st.verb)
}

// publish checks the draft as a request would be, and publishes it.
func (p *Player) publish(ctx context.Context, by store.Caller, t *task) (market.Snapshot, error) {
	d := t.draft
	if t.deadline != 0 {
		d.Deadline = new(p.end.Add(t.deadline))
	}
	if err := market.Invalid(d.Clean(p.Clock.at)); err != nil {
		return market.Snapshot{}, err
	}
	rules, err := json.Marshal(d.Rules)
	if err != nil {
		return market.Snapshot{}, err
	}
	bad, err := p.Verifier.Admit(ctx, verify.Admission{Schema: d.OutputSchema, Payload: d.Payload, Rules: rules})
	if err != nil {
		return market.Snapshot{}, err
	}
	if len(bad) > 0 {
		return market.Snapshot{}, fmt.Errorf("%s: %s", bad[0].Pointer, bad[0].Detail)
	}
	p.made.Tasks++
	return p.Store.PublishTask(ctx, by, d)
}

// deliver hands in a package whose checks must end as the history says.
func (p *Player) deliver(ctx context.Context, by store.Caller, id market.TaskID, pack market.Package, want market.Verdict) (market.Snapshot, error) {
	if err := market.Invalid(pack.Clean()); err != nil {
		return market.Snapshot{}, err
	}
	t, err := p.Store.OpenDelivery(ctx, by, id, store.Lease{})
	if err != nil {
		return t, err
	}
	rules, err := json.Marshal(t.Rules)
	if err != nil {
		return t, err
	}
	r, err := p.Verifier.Verify(ctx, verify.Job{Schema: t.OutputSchema, Rules: rules, Payload: t.Payload, Output: pack.Output, Attachments: pack.Attachments})
	if err != nil {
		return t, err
	}
	if r.Verdict != want {
		return t, fmt.Errorf("the checks said %s, not %s: %+v", r.Verdict, want, r.Checks)
	}
	return p.Store.Deliver(ctx, by, t, store.Lease{}, pack, r)
}

// count looks at every task again: each must be in the state that its file
// says it ends in.
func (p *Player) count(ctx context.Context, s story) error {
	p.made.States = map[market.State]int{}
	var wrong []error
	for _, t := range s.tasks {
		got, err := p.Store.Task(ctx, p.callers[t.publisher].Actor, p.live[t].id)
		if err != nil {
			return err
		}
		if got.State != t.ends {
			wrong = append(wrong, fmt.Errorf("%s ended %s, not %s", t.file, got.State, t.ends))
		}
		p.made.States[got.State]++
	}
	return errors.Join(wrong...)
}
