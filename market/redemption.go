package market

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Typed ids of redemption.
type (
	GoodID  string
	OrderID string
	CodeID  string
)

// GoodKind says what sort of good it is.
type GoodKind string

// The kinds of goods.
const (
	GiftCard  GoodKind = "gift_card"
	TopUp     GoodKind = "top_up"
	OtherGood GoodKind = "other"
)

// GoodKinds lists every kind.
func GoodKinds() []GoodKind { return []GoodKind{GiftCard, TopUp, OtherGood} }

// Good is an item of the catalogue: its stock is codes, each for one order.
type Good struct {
	ID           GoodID
	Kind         GoodKind
	Name         string
	Denomination string
	Price        Credits
	// Region says where the code works, Terms under which conditions.
	Region string
	Terms  string
	// Offered goods are in the catalogue.
	Offered bool
	// Version counts the changes: a change names the one it is of.
	Version   int64
	CreatedAt time.Time
	// PictureType is the media type of the picture, "" without one.
	PictureType string
	// Stock counts the codes that can be ordered now.
	Stock int64
}

// Stocked is a good as operators see it: all its codes by what became of them.
type Stocked struct {
	Good
	Held, Sold, Expired int64
	// Bad ones turned out not to work, Withdrawn ones operators took out.
	Bad, Withdrawn int64
}

// GoodDraft is a good as an operator writes it.
type GoodDraft struct {
	Kind         GoodKind
	Name         string
	Denomination string
	Price        int64
	Region       string
	Terms        string
	Offered      bool
	// Picture is nil to leave it as it is; PictureType is found in its bytes.
	Picture     []byte
	PictureType string
}

// Limits of goods.
const (
	MaxGoodName     = 80
	MaxDenomination = 40
	MaxRegion       = 60
	MaxTerms        = 2000
	MaxPrice        = 10_000_000
	MaxPicture      = 200 << 10
	MaxCode         = 500
	// MaxImport is how many codes one file may bring.
	MaxImport = 10_000
	MaxReason = 1000
)

// pictureTypes are those that every browser shows.
var pictureTypes = []string{"image/png", "image/jpeg", "image/webp"}

// Clean trims the draft and returns what is wrong with it.
func (d *GoodDraft) Clean() []FieldError {
	var p problems
	for _, s := range []*string{&d.Name, &d.Denomination, &d.Region, &d.Terms} {
		*s = strings.TrimSpace(*s)
	}
	if !slices.Contains(GoodKinds(), d.Kind) {
		p.add("/kind", "choice", map[string]any{"Allowed": "gift_card, top_up, other"})
	}
	p.text("/name", visible(d.Name), 1, MaxGoodName)
	p.text("/denomination", visible(d.Denomination), 1, MaxDenomination)
	p.number("/price", d.Price, 1, MaxPrice)
	p.text("/region", visible(d.Region), 1, MaxRegion)
	p.text("/terms", visible(d.Terms), 1, MaxTerms)
	if d.Picture != nil && (len(d.Picture) > MaxPicture || !slices.Contains(pictureTypes, d.PictureType)) {
		p.add("/picture", "picture", map[string]any{"Max": MaxPicture >> 10})
	}
	return p
}

// Stock is a code as an operator brings it, with when it ends, if it does.
type Stock struct {
	Code      string
	ExpiresAt *time.Time
}

// CleanStock returns what is wrong with the code of a line, "" if nothing is.
// Nothing of the code is in the answer.
func CleanStock(s Stock, now time.Time) string {
	n := utf8.RuneCountInString(s.Code)
	switch {
	case n == 0:
		return "csv_empty"
	case n > MaxCode, !utf8.ValidString(s.Code), strings.ContainsFunc(s.Code, unprintable):
		return "csv_code"
	case s.ExpiresAt != nil && !s.ExpiresAt.After(now):
		return "csv_expired"
	}
	return ""
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// OrderState is where an order is.
type OrderState string

// The states of an order. A refused one, and one that was refunded because its
// code was bad, have been given back in full.
const (
	OrderPending   OrderState = "pending_review"
	OrderFulfilled OrderState = "fulfilled"
	OrderRefused   OrderState = "refused"
	OrderRefunded  OrderState = "refunded"
)

// OrderStates lists every state.
func OrderStates() []OrderState {
	return []OrderState{OrderPending, OrderFulfilled, OrderRefused, OrderRefunded}
}

// Why an operator looks at an order.
const (
	ReviewFirst    = "first_redemption"
	ReviewAmount   = "amount"
	ReviewVelocity = "velocity"
	ReviewFlagged  = "flagged"
)

// ReviewReasons lists every reason.
func ReviewReasons() []string {
	return []string{ReviewFirst, ReviewAmount, ReviewVelocity, ReviewFlagged}
}

// ReviewFilter chooses orders of the operators' queue.
type ReviewFilter string

// The filters: what waits for a review, whose code is said to be bad, and what
// was decided.
const (
	ReviewOpen     ReviewFilter = "open"
	ReviewDisputed ReviewFilter = "disputed"
	ReviewDecided  ReviewFilter = "decided"
)

// Order is one account's order of one good. One code is its own from the
// moment of the order, unless it is refused or refunded.
type Order struct {
	ID      OrderID
	Account AccountID
	// Handle is filled in by the store for showing.
	Handle string
	Good   GoodID
	// The good as it was offered.
	Kind         GoodKind
	Name         string
	Denomination string
	Region       string
	Terms        string
	Price        Credits
	State        OrderState
	// Reasons is why an operator looks at it, empty if none has to.
	Reasons []string
	At      time.Time
	// The rest is set as it happens: Decider is filled in for showing.
	DecidedAt *time.Time
	DecidedBy AccountID
	Decider   string
	Refusal   string
	// RevealedAt is when the owner first saw the code, Reveals how often.
	RevealedAt *time.Time
	Reveals    int64
	// CodeExpiresAt is when the order's code ends, nil if it does not.
	CodeExpiresAt *time.Time
	// Code is set only where it is shown to its owner.
	Code string
	// Dispute is what the owner says of the code, zero before.
	Dispute Dispute
}

// ReviewPolicy is the operator's choice of what waits for a review, besides
// an account's first redemption and what is flagged.
type ReviewPolicy struct {
	// Above is the highest price that goes out without one; 0 means that every
	// order waits.
	Above Credits
	// Daily is the most that an account redeems without one in VelocityWindow.
	Daily Credits
}

// DefaultReviewPolicy is used where the operator names nothing else.
var DefaultReviewPolicy = ReviewPolicy{Above: 5000, Daily: 10_000}

// VelocityWindow is how long redemptions count as recent, MaxRecent how many
// of them go out without a review.
const (
	VelocityWindow = 24 * time.Hour
	MaxRecent      = 5
)

// Redeemer is what an account's next order is judged by.
type Redeemer struct {
	// Earned are its earned credits that are available now.
	Earned Credits
	// Fulfilled counts its fulfilled orders.
	Fulfilled int64
	// Recent counts its orders of the last VelocityWindow, those that were given back aside,
	// and Spent sums up their prices.
	Recent int64
	Spent  Credits
	// Flagged says that an operator has taken back a payout of the account, or
	// is being asked to, or that there is a flag.
	Flagged bool
	// Frozen says that an operator has frozen what it has.
	Frozen bool
}

// MayRedeem reports whether the actor may redeem: people and agents for
// themselves, never in an operator's or the platform's name.
func (a Actor) MayRedeem() bool { return a.Account != "" && (a.Kind == Human || a.Kind == Agent) }

// Redeem decides about an order of the good at the price that the caller saw.
// Only earned credits that are available count. The order is fulfilled at once
// or waits for an operator; its code is taken by the store.
func Redeem(a Actor, g Good, price Credits, have Redeemer, policy ReviewPolicy, id OrderID, now time.Time) (Order, Transfer, error) {
	if err := a.admitted(); err != nil {
		return Order{}, Transfer{}, err
	}
	switch {
	case !a.MayRedeem():
		return Order{}, Transfer{}, ErrForbidden
	case have.Frozen:
		return Order{}, Transfer{}, ErrCreditsFrozen
	case !g.Offered:
		return Order{}, Transfer{}, ErrNotOffered
	case g.Price != price:
		return Order{}, Transfer{}, ErrPriceChanged.With(map[string]any{"Price": g.Price, "Was": price})
	case have.Earned < g.Price:
		return Order{}, Transfer{}, ErrInsufficientCredits.With(map[string]any{"Needed": g.Price, "Available": have.Earned})
	}
	o := Order{ID: id, Account: a.Account, Handle: a.Handle, Good: g.ID, Kind: g.Kind, Name: g.Name, Denomination: g.Denomination,
		Region: g.Region, Terms: g.Terms, Price: g.Price, State: OrderFulfilled, Reasons: have.reasons(g.Price, policy), At: now}
	if len(o.Reasons) > 0 {
		o.State = OrderPending
	} else {
		o.DecidedAt = &now
	}
	return o, o.transfer(TransferRedeem), nil
}

func (r Redeemer) reasons(price Credits, p ReviewPolicy) []string {
	reasons := []string{}
	if r.Fulfilled == 0 {
		reasons = append(reasons, ReviewFirst)
	}
	if price > p.Above {
		reasons = append(reasons, ReviewAmount)
	}
	if r.Recent >= MaxRecent || r.Spent+price > p.Daily {
		reasons = append(reasons, ReviewVelocity)
	}
	if r.Flagged {
		reasons = append(reasons, ReviewFlagged)
	}
	return reasons
}

func (o Order) transfer(k TransferKind) Transfer {
	t := Transfer{Kind: k, Debit: WalletAccount(o.Account), Credit: RedemptionsAccount, Amount: o.Price, DebitClass: Earned, CreditClass: Earned,
		Account: o.Account, Order: o.ID}
	if k == TransferRedeemRefund {
		t.Debit, t.Credit = t.Credit, t.Debit
	}
	return t
}

// Approve lets the order go out. Nobody decides about an order of their own.
func (o Order) Approve(a Actor, now time.Time) (Order, error) {
	if err := o.decidable(a); err != nil {
		return o, err
	}
	o.State, o.DecidedAt, o.DecidedBy, o.Decider = OrderFulfilled, &now, a.Account, a.Handle
	return o, nil
}

// Refuse gives the price back in full, for a reason that the owner reads.
func (o Order) Refuse(a Actor, reason string, now time.Time) (Order, Transfer, error) {
	var p problems
	reason = strings.TrimSpace(reason)
	p.text("/reason", visible(reason), 1, MaxReason)
	if err := Invalid(p); err != nil {
		return o, Transfer{}, err
	}
	if err := o.decidable(a); err != nil {
		return o, Transfer{}, err
	}
	o.State, o.DecidedAt, o.DecidedBy, o.Decider, o.Refusal = OrderRefused, &now, a.Account, a.Handle, reason
	return o, o.transfer(TransferRedeemRefund), nil
}

func (o Order) decidable(a Actor) error {
	switch {
	case !a.Operator || a.oneParty(o.Account):
		return ErrForbidden
	case o.State != OrderPending:
		return ErrOrderDecided
	}
	return nil
}

// Revealable says whether the owner may see the code now.
func (o Order) Revealable(a Actor) error {
	switch {
	case a.Account == "" || a.Account != o.Account:
		return ErrNotFound
	case o.State == OrderPending:
		return ErrOrderPending
	case o.State == OrderRefused:
		return ErrOrderRefused
	case o.State == OrderRefunded:
		return ErrOrderRefunded
	}
	return nil
}

// AdminAction is a line of the operators' log.
type AdminAction struct {
	ID int64
	At time.Time
	// Actor is the operator's handle.
	Actor string
	// Key is the prefix of the API key that was used, "" for a browser session.
	Key    string
	Action string
	// Subject is the id of what it was done to, "" if that was no single thing.
	Subject string
	Reason  string
	// Count is how many codes an import added, or a withdrawal took.
	Count int64
	// Detail is what else is known of it, a JSON object.
	Detail json.RawMessage
}

// ActionFilter chooses lines of the operators' log.
type ActionFilter struct {
	// Operator is a handle, Action one of AdminActions, Subject an id; "" for
	// all.
	Operator, Action, Subject string
	// Before is the id that all lines are older than, 0 for none.
	Before int64
	Limit  int
}

// What operators do.
const (
	ActionGoodCreated   = "good_created"
	ActionGoodChanged   = "good_changed"
	ActionCodesImported = "codes_imported"
	ActionOrderApproved = "order_approved"
	ActionOrderRefused  = "order_refused"

	ActionCodeReplaced    = "code_replaced"
	ActionOrderRefunded   = "order_refunded"
	ActionDisputeRejected = "dispute_rejected"
	ActionCodesWithdrawn  = "codes_withdrawn"

	ActionVouchersMade    = "vouchers_made"
	ActionVouchersRevoked = "vouchers_revoked"

	ActionFlagRaised  = "account_flagged"
	ActionFlagDecided = "flag_decided"

	ActionChallengeSet = "challenge_set"
	ActionChallengeOff = "challenge_off"

	ActionVerified   = "account_verified"
	ActionUnverified = "account_unverified"

	ActionResetIssued = "account_reset_issued"

	ActionCaseDecided     = "case_decided"
	ActionReportDecided   = "report_decided"
	ActionBooksRecomputed = "books_recomputed"

	ActionInvitationsMade    = "invitations_made"
	ActionInvitationsRevoked = "invitations_revoked"
	ActionAccountApproved    = "account_approved"
	ActionAccountRefused     = "account_refused"
	ActionAccountSuspended   = "account_suspended"
	ActionAccountUnsuspended = "account_unsuspended"
	ActionWalletAdjusted     = "wallet_adjusted"
)

// AdminActions lists every action.
func AdminActions() []string {
	return []string{ActionGoodCreated, ActionGoodChanged, ActionCodesImported, ActionOrderApproved, ActionOrderRefused,
		ActionCodeReplaced, ActionOrderRefunded, ActionDisputeRejected, ActionCodesWithdrawn, ActionVouchersMade, ActionVouchersRevoked,
		ActionCaseDecided, ActionReportDecided, ActionBooksRecomputed, ActionInvitationsMade, ActionInvitationsRevoked,
		ActionAccountApproved, ActionAccountRefused, ActionAccountSuspended, ActionAccountUnsuspended, ActionWalletAdjusted,
		ActionChallengeSet, ActionChallengeOff, ActionVerified, ActionUnverified, ActionFlagRaised, ActionFlagDecided, ActionResetIssued}
}
