package client

import (
	"encoding/json"
	"slices"
	"time"
)

// Account is one subject with an identity, a wallet and a reputation.
type Account struct {
	ID          string     `json:"id"`
	Kind        string     `json:"kind"`
	Handle      string     `json:"handle"`
	DisplayName string     `json:"displayName"`
	Description string     `json:"description"`
	Skills      []string   `json:"skills"`
	CreatedAt   time.Time  `json:"createdAt"`
	Reputation  Reputation `json:"reputation"`
}

// Reputation is what became of an account's work.
type Reputation struct {
	// Score is null before the first outcome.
	Score     *float64 `json:"score"`
	Accepted  int64    `json:"accepted"`
	Rejected  int64    `json:"rejected"`
	Abandoned int64    `json:"abandoned"`
}

// Me is the account that the key acts for.
type Me struct {
	Account
	// State is active, or why the account may not act.
	State       string `json:"state"`
	StateReason string `json:"stateReason"`
	Claims      struct {
		Live        int        `json:"live"`
		Limit       int        `json:"limit"`
		PausedUntil *time.Time `json:"pausedUntil"`
	} `json:"claims"`
	PendingActions []Step `json:"pendingActions"`
}

// Step is something that the account should do, such as the onboarding task.
type Step struct {
	Action string `json:"action"`
	TaskID string `json:"taskId"`
	Reward int64  `json:"reward"`
}

// Party is who did something.
type Party struct {
	Handle string `json:"handle"`
}

// Task is funded work. Lists leave out the members that can be large.
type Task struct {
	ID           string     `json:"id"`
	State        string     `json:"state"`
	Publisher    Party      `json:"publisher"`
	Title        string     `json:"title"`
	Brief        string     `json:"brief"`
	Skills       []string   `json:"skills"`
	Mode         string     `json:"mode"`
	Reward       int64      `json:"reward"`
	MaxAccepted  int        `json:"maxAccepted"`
	MaxAttempts  int        `json:"maxAttempts"`
	ClaimMinutes int        `json:"claimMinutes"`
	ReviewHours  int        `json:"reviewHours"`
	AutoAccept   bool       `json:"autoAccept"`
	Deadline     *time.Time `json:"deadline"`
	// Evergreen is the onboarding task, which never ends.
	Evergreen bool      `json:"evergreen"`
	CreatedAt time.Time `json:"createdAt"`
	// HasProtected says that there are fields that the publisher must grant
	// access to.
	HasProtected bool            `json:"hasProtected"`
	Payload      json.RawMessage `json:"payload"`
	OutputSchema json.RawMessage `json:"outputSchema"`
	Rules        []Rule          `json:"rules"`
	Attachments  []Attachment    `json:"attachments"`
	// ProtectedFields is null if there are none.
	ProtectedFields *Protected `json:"protectedFields"`
	Escrow          int64      `json:"escrow"`
	// Claim is the live one; its id and epoch are there for its holder only.
	Claim          *Claim   `json:"claim"`
	PendingActions []Action `json:"pendingActions"`
	Untrusted      []string `json:"untrusted"`
	// Raw is the task as the server sent it, with all its members.
	Raw json.RawMessage `json:"-"`
}

// UnmarshalJSON implements json.Unmarshaler; it keeps Raw.
func (t *Task) UnmarshalJSON(text []byte) error {
	type plain Task
	if err := json.Unmarshal(text, (*plain)(t)); err != nil {
		return err
	}
	t.Raw = slices.Clone(text)
	return nil
}

// Rule is a condition on deliveries, as far as every kind has it.
type Rule struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Text    string `json:"text"`
	Pointer string `json:"pointer"`
	SHA256  string `json:"sha256"`
}

// Attachment is a file of a task or a delivery.
type Attachment struct {
	Name      string `json:"name"`
	MediaType string `json:"mediaType"`
	Bytes     int64  `json:"bytes"`
	SHA256    string `json:"sha256"`
	// URL is where somebody says that the file is, if it is not uploaded.
	URL string `json:"url,omitempty"`
}

// Claim is a lease on a task.
type Claim struct {
	ClaimID   string    `json:"claimId"`
	Epoch     *int64    `json:"epoch"`
	ExpiresAt time.Time `json:"expiresAt"`
	Worker    Party     `json:"worker"`
	// ProtectedHash is that of the protected fields; remember it, to know
	// later that they are still the same.
	ProtectedHash string `json:"protectedHash,omitempty"`
}

// Action is what the account can do next about a task.
type Action struct {
	Action     string     `json:"action"`
	DueAt      *time.Time `json:"dueAt"`
	DeliveryID string     `json:"deliveryId"`
}

// Held is a task with the caller's own claim on it.
type Held struct {
	Task  Task  `json:"task"`
	Claim Claim `json:"claim"`
}

// Package is what is delivered.
type Package struct {
	// ClaimID and Epoch are those of the claim; a task in open mode has none.
	ClaimID     string          `json:"claimId,omitempty"`
	Epoch       *int64          `json:"epoch,omitempty"`
	Output      json.RawMessage `json:"output"`
	SummaryText string          `json:"summaryText"`
	Attachments []Attachment    `json:"attachments,omitempty"`
}

// Report is what the checks say of an output.
type Report struct {
	// Verdict is pass, fail or error.
	Verdict string  `json:"verdict"`
	Passed  bool    `json:"passed"`
	Checks  []Check `json:"checks"`
}

// Check is one of a report's.
type Check struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Passed  bool   `json:"passed"`
	Verdict string `json:"verdict"`
	Detail  string `json:"detail"`
	Pointer string `json:"pointer"`
}

// Failed names the first check that did not pass, "" if all did.
func (r Report) Failed() string {
	for _, c := range r.Checks {
		if !c.Passed {
			return c.Name + ": " + c.Detail
		}
	}
	return ""
}

// Delivery is a package that was delivered.
type Delivery struct {
	ID          string          `json:"id"`
	TaskID      string          `json:"taskId"`
	Worker      Party           `json:"worker"`
	State       string          `json:"state"`
	Attempt     int             `json:"attempt"`
	Output      json.RawMessage `json:"output"`
	SummaryText string          `json:"summaryText"`
	Attachments []Attachment    `json:"attachments"`
	Report      Report          `json:"report"`
	Review      *Review         `json:"review,omitempty"`
	Payout      *Payout         `json:"payout,omitempty"`
	DueAt       *time.Time      `json:"dueAt,omitempty"`
	CreatedAt   time.Time       `json:"createdAt"`
	Untrusted   []string        `json:"untrusted"`
	// Raw is the delivery as the server sent it, with all its members.
	Raw json.RawMessage `json:"-"`
}

// UnmarshalJSON implements json.Unmarshaler; it keeps Raw.
func (d *Delivery) UnmarshalJSON(text []byte) error {
	type plain Delivery
	if err := json.Unmarshal(text, (*plain)(d)); err != nil {
		return err
	}
	d.Raw = slices.Clone(text)
	return nil
}

// Review is the decision on a delivery.
type Review struct {
	Decision string     `json:"decision"`
	By       string     `json:"by,omitempty"`
	Reason   string     `json:"reason,omitempty"`
	Rule     string     `json:"rule,omitempty"`
	Quote    string     `json:"quote,omitempty"`
	At       time.Time  `json:"at"`
	AppealBy *time.Time `json:"appealBy,omitempty"`
}

// Payout is a reward, pending until it is available.
type Payout struct {
	Amount      int64     `json:"amount"`
	Class       string    `json:"class"`
	AvailableAt time.Time `json:"availableAt"`
	HoldReason  string    `json:"holdReason"`
	TaskID      string    `json:"taskId"`
}

// Message is one of a task's thread.
type Message struct {
	ID            string    `json:"id"`
	Author        Party     `json:"author"`
	Text          string    `json:"text"`
	At            time.Time `json:"at"`
	Clarification bool      `json:"clarification"`
	Mine          bool      `json:"mine"`
}

// Wallet is what an account has.
type Wallet struct {
	Granted        int64 `json:"granted"`
	GrantedPending int64 `json:"grantedPending"`
	Earned         struct {
		Available int64 `json:"available"`
		Pending   int64 `json:"pending"`
	} `json:"earned"`
	Escrow   int64    `json:"escrow"`
	Redeemed int64    `json:"redeemed"`
	Holds    []Payout `json:"holds"`
}

// Entry is a line of the ledger.
type Entry struct {
	ID     int64     `json:"id"`
	At     time.Time `json:"at"`
	Kind   string    `json:"kind"`
	Amount int64     `json:"amount"`
	Class  string    `json:"class"`
	// BalanceAfter is null on lines of what is still pending.
	BalanceAfter *int64 `json:"balanceAfter"`
	TaskID       string `json:"taskId,omitempty"`
	Counterparty string `json:"counterparty,omitempty"`
	Note         string `json:"note,omitempty"`
}

// Event is a line of the account's feed.
type Event struct {
	ID     string          `json:"id"`
	At     time.Time       `json:"at"`
	Type   string          `json:"type"`
	TaskID string          `json:"taskId,omitempty"`
	Data   json.RawMessage `json:"data"`
}

// Feed is a part of the account's feed.
type Feed struct {
	Items []Event `json:"items"`
	// Cursor is where the next look begins, also after an empty answer.
	Cursor     string `json:"cursor"`
	NextCursor string `json:"nextCursor"`
}

// Bundle is what an agent is handed to act for somebody else's account.
type Bundle struct {
	Issuer  string `json:"issuer"`
	Account string `json:"account"`
	Name    string `json:"name"`
	BaseURL string `json:"baseUrl"`
	// APIKey is the secret; show it to nobody.
	APIKey          string    `json:"apiKey,omitempty"`
	Scopes          []string  `json:"scopes"`
	SpendCap        int64     `json:"spendCap"`
	SpendCapPerTask *int64    `json:"spendCapPerTask"`
	Spent           int64     `json:"spent"`
	Tasks           []string  `json:"tasks"`
	Skills          []string  `json:"skills"`
	ExpiresAt       time.Time `json:"expiresAt"`
	// Agent is the handle of the agent that redeemed it with its own key.
	Agent string `json:"agent,omitempty"`
}
