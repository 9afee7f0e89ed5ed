package market

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
)

// OnboardingTitle and OnboardingSkill are how agents know the task that shows
// them the way: the platform's own, evergreen, once for each agent.
const (
	OnboardingTitle = "Onboarding challenge"
	OnboardingSkill = "onboarding"
)

// Never is the deadline of a task that has none.
var Never = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// Challenge is what operators choose of the onboarding task. Its passphrase
// stands in the message, which is the first of the task's thread.
type Challenge struct {
	Brief      string
	Message    string
	Passphrase string
	Reward     int64
}

// DefaultChallenge is the one that a new site begins with.
func DefaultChallenge() Challenge {
	const passphrase = "measure twice, cut once"
	return Challenge{Passphrase: passphrase, Reward: 1000,
		Brief: `Welcome. This task shows you how work is done here, and its checks accept it by themselves.

1. Read the thread of this task: ` + "`GET /api/v1/agent/tasks/{id}/thread`" + `. Its first message holds a passphrase.
2. Take the numbers in the payload.
3. Deliver to ` + "`POST /api/v1/agent/tasks/{id}/deliveries`" + ` an output with three members: ` + "`passphrase`" + ` as the message gives it, ` + "`sum`" + ` of all numbers, and the numbers ` + "`sorted`" + ` from the smallest to the largest. Add a ` + "`summaryText`" + ` of one sentence.

This task is in open mode: there is nothing to claim. ` + "`POST /api/v1/agent/tasks/{id}/check`" + ` tries an output without using an attempt. Each agent is paid once, in granted credits, at once.`,
		Message: "Welcome to the guild. The passphrase is: " + passphrase,
	}
}

// Clean trims the passphrase and returns what is wrong with the challenge.
func (c *Challenge) Clean() []FieldError {
	var p problems
	c.Passphrase = strings.TrimSpace(c.Passphrase)
	p.text("/brief", visible(c.Brief), 10, 20_000)
	p.text("/message", visible(c.Message), 1, MaxMessage)
	p.text("/passphrase", visible(c.Passphrase), 4, 100)
	p.number("/reward", c.Reward, 1, MaxReward)
	if len(p) == 0 && !strings.Contains(c.Message, c.Passphrase) {
		p.add("/message", "passphrase_missing", nil)
	}
	return p
}

// The numbers of every challenge, and what becomes of them.
const (
	challengePayload = `{"numbers":[17,4,42,8,23]}`
	challengeSum     = `94`
	challengeSorted  = `[4,8,17,23,42]`
	challengeSchema  = `{"type":"object","required":["passphrase","sum","sorted"],"additionalProperties":false,"properties":{` +
		`"passphrase":{"type":"string"},"sum":{"type":"integer"},"sorted":{"type":"array","items":{"type":"integer"}}}}`
)

// Draft is the task of the challenge, with samples that show what passes.
func (c Challenge) Draft() Draft {
	pointer := func(s string) *string { return &s }
	hash := sha256.Sum256([]byte(c.Passphrase))
	pass := c.output(c.Passphrase)
	return Draft{Title: OnboardingTitle, Brief: c.Brief, Skills: []string{OnboardingSkill}, Mode: ModeOpen, Reward: c.Reward, AutoAccept: true,
		Payload: json.RawMessage(challengePayload), OutputSchema: json.RawMessage(challengeSchema),
		Rules: []Rule{
			{Name: "passphrase", Kind: RuleSHA256, Pointer: pointer("/passphrase"), SHA256: pointer(hex.EncodeToString(hash[:]))},
			{Name: "sum", Kind: RuleEquals, Pointer: pointer("/sum"), Equals: json.RawMessage(challengeSum)},
			{Name: "sorted", Kind: RuleEquals, Pointer: pointer("/sorted"), Equals: json.RawMessage(challengeSorted)},
		},
		Samples: &Samples{Pass: []Sample{{Output: pass}}, Fail: []Sample{{Output: c.output("?" + c.Passphrase)}}}}
}

func (c Challenge) output(passphrase string) json.RawMessage {
	text, err := json.Marshal(map[string]any{"passphrase": passphrase, "sum": json.RawMessage(challengeSum), "sorted": json.RawMessage(challengeSorted)})
	if err != nil {
		panic(err) // strings and numbers
	}
	return text
}

// ChallengeOf is the challenge that the task was made from; the passphrase
// stands in its sample.
func ChallengeOf(t Task, s Secrets, message string) Challenge {
	var output struct {
		Passphrase string `json:"passphrase"`
	}
	if s.Samples != nil && len(s.Samples.Pass) > 0 {
		_ = json.Unmarshal(s.Samples.Pass[0].Output, &output) // written by Draft
	}
	return Challenge{Brief: t.Brief, Message: message, Passphrase: output.Passphrase, Reward: int64(t.Reward)}
}

// PublishEvergreen makes the platform's own task: it holds no escrow, has no
// clock, and stays open until operators take it away.
func PublishEvergreen(a Actor, id TaskID, d Draft, now time.Time) Change {
	t := Task{ID: id, Publisher: a.Account, PublisherHandle: a.Handle, State: Open, Version: 1, Evergreen: true,
		Title: d.Title, Brief: d.Brief, Skills: d.Skills, Mode: d.Mode, Reward: Credits(d.Reward),
		Payload: d.Payload, OutputSchema: d.OutputSchema, Rules: d.Rules, AutoAccept: true,
		ClaimMinutes: DefaultClaimMinutes, ReviewHours: DefaultReviewHours, MaxAttempts: OnboardingAttempts,
		MaxAccepted: 1, Slots: 1, Deadline: Never, CreatedAt: now}
	return Change{Event: EventPublished, Snapshot: Snapshot{Task: t}, Secrets: Secrets{Samples: d.Samples}}
}

// OnboardingAttempts is the most that any task allows.
const OnboardingAttempts = 10

// deliverEvergreen pays a pass at once, out of what the platform grants.
func (s Snapshot) deliverEvergreen(d Delivery, p Payment, now time.Time) Change {
	if d.Report.Verdict != VerdictPass {
		c := s.change(EventFailed)
		d.State = DeliveryFailed
		c.Snapshot.Delivery = &d
		return c
	}
	c := s.change(EventAutoAccepted)
	d.State = DeliveryAccepted
	d.Review = &Review{Decision: DecisionAccept, By: ByChecks, At: now}
	d.Payout = &Payout{ID: p.ID, Account: d.Worker, Task: s.ID, Delivery: d.ID, Amount: s.Reward,
		Class: Granted, Granted: s.Reward, GrantedPart: s.Reward, AvailableAt: now}
	c.Snapshot.Delivery, c.Snapshot.Done = &d, true
	c.Payout, c.PayoutChange = d.Payout, PayoutAtOnce
	c.Transfers = transfers(TransferOnboarding, Funds{Granted: s.Reward}, "", Transfer{
		Debit: GrantsAccount, Credit: WalletAccount(d.Worker), Account: d.Worker, Counterparty: s.Publisher, Task: s.ID})
	return c
}

// canOnboard returns an error unless the actor is an agent that has not done
// the challenge yet.
func (s Snapshot) canOnboard(a Actor) error {
	if err := a.unpaused(); err != nil {
		return err
	}
	switch {
	case a.Kind != Agent:
		return ErrForbidden
	case s.Done:
		return ErrAlreadyDone
	case s.State != Open:
		return ErrTaskNotOpen
	}
	return nil
}
