package handlers

import (
	"encoding/json"
	"time"

	"guildhall/market"
)

// The JSON shapes of the contract, written out member by member, so that the
// contract never moves because a struct did.

type accountJSON struct {
	ID          market.AccountID   `json:"id"`
	Kind        market.AccountKind `json:"kind"`
	Handle      string             `json:"handle"`
	DisplayName string             `json:"displayName"`
	Description string             `json:"description"`
	Skills      []string           `json:"skills"`
	ReferredBy  string             `json:"referredBy,omitempty"`
	CreatedAt   time.Time          `json:"createdAt"`
	Suspended   bool               `json:"suspended,omitempty"`
	Reputation  reputationJSON     `json:"reputation"`
	Untrusted   []string           `json:"untrusted"`
}

func showAccountJSON(a market.Account, r market.Reputation) accountJSON {
	skills := a.Skills
	if skills == nil {
		skills = []string{}
	}
	return accountJSON{ID: a.ID, Kind: a.Kind, Handle: a.Handle, DisplayName: a.DisplayName, Description: a.Description,
		Skills: skills, ReferredBy: a.ReferredBy, CreatedAt: a.CreatedAt, Suspended: a.State == market.AccountSuspended,
		Reputation: reputationShape(r), Untrusted: []string{"displayName", "description"}}
}

type earnedJSON struct {
	Available market.Credits `json:"available"`
	Pending   market.Credits `json:"pending"`
}

type payoutJSON struct {
	Amount      market.Credits `json:"amount"`
	Class       market.Class   `json:"class"`
	AvailableAt time.Time      `json:"availableAt"`
	HoldReason  string         `json:"holdReason"`
	TaskID      market.TaskID  `json:"taskId"`
}

// rewardJSON is the payout of one delivery, which may be of both classes;
// class is granted if nothing of it is earned.
type rewardJSON struct {
	payoutJSON
	Granted market.Credits `json:"granted"`
	Earned  market.Credits `json:"earned"`
}

type heldJSON struct {
	TaskID  market.TaskID  `json:"taskId"`
	Title   string         `json:"title"`
	State   market.State   `json:"state"`
	Amount  market.Credits `json:"amount"`
	Granted market.Credits `json:"granted"`
	Earned  market.Credits `json:"earned"`
}

// maxHeld bounds the tasks that a wallet lists: the newest.
const maxHeld = 100

type walletJSON struct {
	Granted        market.Credits `json:"granted"`
	GrantedPending market.Credits `json:"grantedPending"`
	Earned         earnedJSON     `json:"earned"`
	Escrow         market.Credits `json:"escrow"`
	// EscrowByTask are the newest tasks that hold credits of the account; on
	// the wallet's own route only.
	EscrowByTask []heldJSON     `json:"escrowByTask,omitzero"`
	Redeemed     market.Credits `json:"redeemed"`
	Holds        []payoutJSON   `json:"holds"`
}

func payout(p market.Payout) payoutJSON {
	return payoutJSON{Amount: p.Amount, Class: p.Class, AvailableAt: p.AvailableAt, HoldReason: p.HoldReason, TaskID: p.Task}
}

func walletShape(w market.Wallet) walletJSON {
	out := walletJSON{Granted: w.Granted, GrantedPending: w.GrantedPending, Escrow: w.Escrow, Redeemed: w.Redeemed,
		Earned: earnedJSON{Available: w.EarnedAvailable, Pending: w.EarnedPending}, Holds: []payoutJSON{}}
	for _, p := range w.Holds {
		for _, part := range p.Parts() {
			out.Holds = append(out.Holds, payout(part))
		}
	}
	return out
}

// withHeld adds what single tasks hold.
func (w walletJSON) withHeld(held []market.Held) walletJSON {
	w.EscrowByTask = []heldJSON{}
	for _, h := range held {
		w.EscrowByTask = append(w.EscrowByTask, heldJSON{h.Task, h.Title, h.State, h.Funds.Total(), h.Funds.Granted, h.Funds.Earned})
	}
	return w
}

type entryJSON struct {
	ID           int64               `json:"id"`
	At           time.Time           `json:"at"`
	Kind         market.TransferKind `json:"kind"`
	Amount       market.Credits      `json:"amount"`
	Class        market.Class        `json:"class"`
	BalanceAfter *market.Credits     `json:"balanceAfter"`
	TaskID       market.TaskID       `json:"taskId,omitempty"`
	OrderID      market.OrderID      `json:"orderId,omitempty"`
	Counterparty string              `json:"counterparty,omitempty"`
	Note         string              `json:"note,omitempty"`
}

func entryShape(e market.Entry) entryJSON {
	return entryJSON{ID: e.ID, At: e.At, Kind: e.Kind, Amount: e.Amount, Class: e.Class, BalanceAfter: e.BalanceAfter,
		TaskID: e.Task, OrderID: e.Order, Counterparty: e.Counterparty, Note: e.Note}
}

type partyJSON struct {
	Handle string `json:"handle"`
}

type claimJSON struct {
	ClaimID   market.ClaimID `json:"claimId,omitempty"`
	Epoch     *int64         `json:"epoch,omitempty"`
	ExpiresAt time.Time      `json:"expiresAt"`
	Worker    partyJSON      `json:"worker"`
	// ProtectedHash is for the holder to remember: see market.Protected.Hash.
	ProtectedHash string `json:"protectedHash,omitempty"`
}

type actionJSON struct {
	Action     string            `json:"action"`
	DueAt      *time.Time        `json:"dueAt,omitempty"`
	DeliveryID market.DeliveryID `json:"deliveryId,omitempty"`
}

type crowdingJSON struct {
	Claims            int64 `json:"claims"`
	PendingDeliveries int   `json:"pendingDeliveries"`
	// AcceptedRate is the share of the task's decided deliveries that were
	// accepted, null before the first decision.
	AcceptedRate *float64 `json:"acceptedRate"`
}

// taskSummaryJSON is a task in a list: what a worker filters by, without the
// members that can be large.
type taskSummaryJSON struct {
	ID           market.TaskID  `json:"id"`
	State        market.State   `json:"state"`
	Publisher    publisherJSON  `json:"publisher"`
	Title        string         `json:"title"`
	Brief        string         `json:"brief"`
	Skills       []string       `json:"skills"`
	Mode         string         `json:"mode"`
	Reward       market.Credits `json:"reward"`
	MaxAccepted  int            `json:"maxAccepted"`
	MaxAttempts  int            `json:"maxAttempts"`
	ClaimMinutes int            `json:"claimMinutes"`
	ReviewHours  int            `json:"reviewHours"`
	AutoAccept   bool           `json:"autoAccept"`
	// Deadline is null for the onboarding task, which is evergreen.
	Deadline  *time.Time `json:"deadline"`
	Evergreen bool       `json:"evergreen,omitempty"`
	CreatedAt time.Time  `json:"createdAt"`
	// HasProtected says that there are protected fields.
	HasProtected bool `json:"hasProtected"`
	// Thread is for its parties, where their own tasks are read.
	Thread    *threadJSON `json:"thread,omitempty"`
	Untrusted []string    `json:"untrusted"`
}

type taskJSON struct {
	taskSummaryJSON
	Payload      json.RawMessage     `json:"payload"`
	OutputSchema json.RawMessage     `json:"outputSchema"`
	Rules        []market.Rule       `json:"rules"`
	Attachments  []market.Attachment `json:"attachments"`
	// Samples are for the publisher alone.
	Samples *market.Samples `json:"samples,omitempty"`
	// ProtectedFields say what there is, to everybody, and no value.
	ProtectedFields *protectedJSON `json:"protectedFields,omitempty"`
	Escrow          market.Credits `json:"escrow"`
	// Fee is the platform's on top of each reward.
	Fee      market.Credits `json:"fee"`
	Claim    *claimJSON     `json:"claim,omitempty"`
	Crowding crowdingJSON   `json:"crowding"`
	// SlotsLeft are the rewards not paid yet, SlotsFrozen those of them that
	// open cases hold.
	SlotsLeft      int          `json:"slotsLeft"`
	SlotsFrozen    int          `json:"slotsFrozen"`
	DueAt          *time.Time   `json:"dueAt,omitempty"`
	PendingActions []actionJSON `json:"pendingActions"`
}

func summary(t market.Task) taskSummaryJSON {
	return taskSummaryJSON{ID: t.ID, State: t.State, Publisher: publisherJSON{t.PublisherHandle, t.Established, t.PublisherSuspended, recordShape(t.PublisherRecord)}, Title: t.Title, Brief: t.Brief,
		Skills: t.Skills, Mode: t.Mode, Reward: t.Reward, MaxAccepted: t.MaxAccepted, MaxAttempts: t.MaxAttempts,
		ClaimMinutes: t.ClaimMinutes, ReviewHours: t.ReviewHours, AutoAccept: t.AutoAccept, Deadline: deadlineOf(t), Evergreen: t.Evergreen, CreatedAt: t.CreatedAt, HasProtected: t.Protected != nil,
		Untrusted: []string{"title", "brief"}}
}

// deadlineOf is nil for a task that has none.
func deadlineOf(t market.Task) *time.Time {
	if t.Evergreen {
		return nil
	}
	return &t.Deadline
}

// taskShape is the task as the actor may see it: only the holder of the claim
// sees its id and epoch.
func taskShape(s market.Snapshot, a market.Actor) taskJSON {
	out := taskJSON{taskSummaryJSON: summary(s.Task), Payload: s.Payload, OutputSchema: s.OutputSchema, Rules: s.Rules,
		Attachments: s.Attachments, Escrow: s.Escrow.Total(), Fee: s.Fee, SlotsLeft: s.Slots, SlotsFrozen: s.Frozen, DueAt: s.DueAt, PendingActions: []actionJSON{}}
	out.Untrusted = []string{"title", "brief", "payload", "outputSchema", "rules", "attachments"}
	out.ProtectedFields = protectedShape(s.Task)
	if out.Rules == nil {
		out.Rules = []market.Rule{}
	}
	if out.Attachments == nil {
		out.Attachments = []market.Attachment{}
	}
	out.Crowding.Claims, out.Crowding.AcceptedRate = s.Epoch, rateJSON(market.Share(s.Accepted, s.Accepted+s.Rejected))
	if s.Claim != nil && s.Claim.EndedAt == nil {
		out.Crowding.Claims++
		out.Claim = &claimJSON{ExpiresAt: s.Claim.ExpiresAt, Worker: partyJSON{s.Claim.WorkerHandle}}
		if s.Claim.Worker == a.Account {
			out.Claim.ClaimID, out.Claim.Epoch = s.Claim.ID, &s.Claim.Epoch
			if s.Protected != nil {
				out.Claim.ProtectedHash = s.Protected.Hash(s.ID)
			}
		}
	}
	if s.Delivery != nil && s.Delivery.State == market.DeliveryPending {
		out.Crowding.PendingDeliveries = 1
	}
	out.Crowding.PendingDeliveries += s.Others.Pending
	if a.Account != "" {
		for _, x := range s.PendingActions(a) {
			out.PendingActions = append(out.PendingActions, actionJSON{Action: x.Name, DueAt: x.Due, DeliveryID: x.Delivery})
		}
	}
	return out
}

type reviewJSON struct {
	Decision string     `json:"decision"`
	By       string     `json:"by,omitempty"`
	Reason   string     `json:"reason,omitempty"`
	Rule     string     `json:"rule,omitempty"`
	Quote    string     `json:"quote,omitempty"`
	At       time.Time  `json:"at"`
	AppealBy *time.Time `json:"appealBy,omitempty"`
}

type deliveryJSON struct {
	ID          market.DeliveryID    `json:"id"`
	TaskID      market.TaskID        `json:"taskId"`
	Worker      partyJSON            `json:"worker"`
	State       market.DeliveryState `json:"state"`
	Attempt     int                  `json:"attempt"`
	Output      json.RawMessage      `json:"output"`
	SummaryText string               `json:"summaryText"`
	Attachments []market.Attachment  `json:"attachments"`
	Report      market.Report        `json:"report"`
	Review      *reviewJSON          `json:"review,omitempty"`
	// Hidden is set for the worker once the delivery is rejected.
	Hidden []market.HiddenVectors `json:"hidden,omitempty"`
	Payout *rewardJSON            `json:"payout,omitempty"`
	// IdenticalTo is for the publisher and operators.
	IdenticalTo *identicalJSON `json:"identicalTo,omitempty"`
	// Cases are what operators were asked about it.
	Cases     []caseJSON `json:"cases,omitempty"`
	DueAt     *time.Time `json:"dueAt,omitempty"`
	CreatedAt time.Time  `json:"createdAt"`
	Untrusted []string   `json:"untrusted"`
}

func deliveryShape(d market.Delivery) deliveryJSON {
	out := deliveryJSON{ID: d.ID, TaskID: d.Task, Worker: partyJSON{d.WorkerHandle}, State: d.State, Attempt: d.Attempt,
		Output: d.Output, SummaryText: d.SummaryText, Attachments: d.Attachments, Report: d.Report, CreatedAt: d.CreatedAt, DueAt: d.DueAt,
		Untrusted: []string{"output", "summaryText", "attachments", "report", "review", "hidden", "cases"}}
	if out.Attachments == nil {
		out.Attachments = []market.Attachment{}
	}
	if r := d.Review; r != nil {
		out.Review = &reviewJSON{Decision: r.Decision, By: r.By, Reason: r.Reason, Rule: r.Rule, Quote: r.Quote, At: r.At, AppealBy: r.AppealBy}
	}
	if d.Payout != nil {
		p := rewardJSON{payout(*d.Payout), d.Payout.Granted, d.Payout.Amount - d.Payout.Granted}
		out.Payout = &p
	}
	return out
}

// identicalJSON names deliveries of others with the same output, the earliest
// before the others; first says that the delivery came before them.
type identicalJSON struct {
	Count      int        `json:"count"`
	First      bool       `json:"first"`
	Deliveries []twinJSON `json:"deliveries"`
}

type twinJSON struct {
	ID        market.DeliveryID    `json:"id"`
	Worker    partyJSON            `json:"worker"`
	State     market.DeliveryState `json:"state"`
	CreatedAt time.Time            `json:"createdAt"`
}

// identicalShape is nil for a delivery without twins.
func identicalShape(all map[market.DeliveryID]market.Identical, id market.DeliveryID) *identicalJSON {
	same, ok := all[id]
	if !ok {
		return nil
	}
	out := &identicalJSON{Count: same.Count, First: same.First}
	for _, x := range same.Twins {
		out.Deliveries = append(out.Deliveries, twinJSON{x.ID, partyJSON{x.Worker}, x.State, x.CreatedAt})
	}
	return out
}

type caseJSON struct {
	ID         market.CaseID      `json:"id"`
	TaskID     market.TaskID      `json:"taskId"`
	DeliveryID market.DeliveryID  `json:"deliveryId"`
	Kind       market.CaseKind    `json:"kind"`
	OpenedBy   *partyJSON         `json:"openedBy,omitempty"`
	Text       string             `json:"text,omitempty"`
	SlotFrozen bool               `json:"slotFrozen"`
	OpenedAt   time.Time          `json:"openedAt"`
	DueAt      time.Time          `json:"dueAt"`
	ClosedAt   *time.Time         `json:"closedAt,omitempty"`
	Outcome    market.CaseOutcome `json:"outcome,omitempty"`
	Share      int                `json:"share,omitempty"`
	Note       string             `json:"note,omitempty"`
	DecidedBy  *partyJSON         `json:"decidedBy,omitempty"`
	Untrusted  []string           `json:"untrusted"`
}

func caseShape(k market.Case) caseJSON {
	party := func(handle string) *partyJSON {
		if handle == "" {
			return nil
		}
		return &partyJSON{handle}
	}
	return caseJSON{ID: k.ID, TaskID: k.Task, DeliveryID: k.Delivery, Kind: k.Kind, OpenedBy: party(k.Handle), Text: k.Text,
		SlotFrozen: k.Frozen, OpenedAt: k.OpenedAt, DueAt: k.DueAt, ClosedAt: k.ClosedAt, Outcome: k.Outcome, Share: k.Share,
		Note: k.Note, DecidedBy: party(k.Decider), Untrusted: []string{"text", "note"}}
}

// casesOf are the cases about one delivery.
func casesOf(all []market.Case, id market.DeliveryID) []caseJSON {
	var out []caseJSON
	for _, k := range all {
		if k.Delivery == id {
			out = append(out, caseShape(k))
		}
	}
	return out
}

type threadJSON struct {
	Messages int64 `json:"messages"`
	Unread   int64 `json:"unread"`
}

// threadShape is nil for who has no part in the task's thread.
func threadShape(threads map[market.TaskID]market.Thread, id market.TaskID) *threadJSON {
	t, ok := threads[id]
	if !ok {
		return nil
	}
	return &threadJSON{Messages: t.Messages, Unread: t.Unread}
}

type messageJSON struct {
	ID            market.MessageID `json:"id"`
	Author        partyJSON        `json:"author"`
	Text          string           `json:"text"`
	At            time.Time        `json:"at"`
	Clarification bool             `json:"clarification"`
	Mine          bool             `json:"mine"`
	Untrusted     []string         `json:"untrusted"`
}

// messageShape is a message as the account ("" for a stranger) sees it.
func messageShape(by market.AccountID) func(market.Message) messageJSON {
	return func(m market.Message) messageJSON {
		return messageJSON{ID: m.ID, Author: partyJSON{m.AuthorHandle}, Text: m.Text, At: m.At, Clarification: m.Clarification,
			Mine: by != "" && m.Author == by, Untrusted: []string{"text"}}
	}
}

// taskReportJSON is a report as its reporter sees it.
type taskReportJSON struct {
	ID     market.ReportID `json:"id"`
	TaskID market.TaskID   `json:"taskId"`
	// Message is the id of the one that it is about.
	Message market.MessageID `json:"message,omitempty"`
	Reason  string           `json:"reason"`
	Text    string           `json:"text"`
	State   string           `json:"state"`
	At      time.Time        `json:"at"`
}

func taskReportShape(t market.TaskReport) taskReportJSON {
	out := taskReportJSON{ID: t.ID, TaskID: t.Task, Reason: t.Reason, Text: t.Text, State: t.State, At: t.At}
	if t.Message != nil {
		out.Message = t.Message.ID
	}
	return out
}
