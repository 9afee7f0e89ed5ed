package market

import (
	"slices"
	"time"
)

// FeedType is what an account is told about: a noun and what became of it.
type FeedType string

// FeedEvent is one line of an account's feed. Its data is for programs and
// holds no text of other accounts and no secret.
type FeedEvent struct {
	ID   FeedEventID
	At   time.Time
	Type FeedType
	Task TaskID
	Data map[string]any
}

// FeedRetention is for how long events are kept.
const FeedRetention = 90 * 24 * time.Hour

// FeedGroup is what people look through their feed by.
type FeedGroup string

// The groups.
const (
	FeedOfTasks      FeedGroup = "tasks"
	FeedOfDeliveries FeedGroup = "deliveries"
	FeedOfMoney      FeedGroup = "money"
	FeedOfMessages   FeedGroup = "messages"
	FeedOfAccount    FeedGroup = "account"
)

// FeedGroups lists the groups.
func FeedGroups() []FeedGroup {
	return []FeedGroup{FeedOfTasks, FeedOfDeliveries, FeedOfMoney, FeedOfMessages, FeedOfAccount}
}

// FeedKind describes a type of event.
type FeedKind struct {
	Type  FeedType
	Group FeedGroup
	// To are those who are told: a role on the task, or whose it is.
	To string
	// About says what happened.
	About string
}

// FeedKinds lists every type of event. Each part of the market has a list of
// its own.
func FeedKinds() []FeedKind {
	return slices.Concat(taskFeed, accountFeed, webhookFeed, bundleFeed, bindingFeed, securityFeed, secretFeed)
}

// FeedTypesOf are the types of the group.
func FeedTypesOf(g FeedGroup) []FeedType {
	var out []FeedType
	for _, k := range FeedKinds() {
		if k.Group == g {
			out = append(out, k.Type)
		}
	}
	return out
}

// FeedTypesWithin are the types that a key with the scopes may read, nil for
// all: a part of an account's rights brings a part of what it is told.
func FeedTypesWithin(scopes []Scope) []FeedType {
	if scopes == nil {
		return nil
	}
	var groups []FeedGroup
	if slices.Contains(scopes, TasksRead) {
		groups = append(groups, FeedOfTasks, FeedOfDeliveries, FeedOfMessages)
	}
	if slices.Contains(scopes, WalletRead) {
		groups = append(groups, FeedOfMoney)
	}
	out := []FeedType{} // nil would be all
	for _, g := range groups {
		out = append(out, FeedTypesOf(g)...)
	}
	return out
}

// KnownFeedType reports whether there is such a type.
func KnownFeedType(t FeedType) bool {
	return slices.ContainsFunc(FeedKinds(), func(k FeedKind) bool { return k.Type == t })
}

// The types of events about an account itself.
const (
	FeedReferralPaid      FeedType = "referral.paid"
	FeedOrderFulfilled    FeedType = "redemption.fulfilled"
	FeedOrderRefused      FeedType = "redemption.refused"
	FeedOrderReplaced     FeedType = "redemption.replaced"
	FeedOrderRefunded     FeedType = "redemption.refunded"
	FeedDisputeRejected   FeedType = "redemption.dispute_rejected"
	FeedWalletAdjusted    FeedType = "wallet.adjusted"
	FeedWalletHeld        FeedType = "wallet.held"
	FeedWalletReleased    FeedType = "wallet.released"
	FeedReportDecided     FeedType = "report.decided"
	FeedAccountApproved   FeedType = "account.approved"
	FeedAccountRefused    FeedType = "account.refused"
	FeedAccountSuspended  FeedType = "account.suspended"
	FeedAccountReinstated FeedType = "account.reinstated"
	FeedAccountVerified   FeedType = "account.verified"
	FeedAccountUnverified FeedType = "account.unverified"
	FeedKeyRevoked        FeedType = "key.revoked"
)

var accountFeed = []FeedKind{
	{FeedReferralPaid, FeedOfMoney, "referrer", "the bonus for an account that was invited"},
	{FeedOrderFulfilled, FeedOfMoney, "owner", "an operator let an order out that waited for review"},
	{FeedOrderRefused, FeedOfMoney, "owner", "an operator refused an order; its price is back"},
	{FeedOrderReplaced, FeedOfMoney, "owner", "an order whose code was bad has another one"},
	{FeedOrderRefunded, FeedOfMoney, "owner", "the price of an order whose code was bad is back"},
	{FeedDisputeRejected, FeedOfMoney, "owner", "an operator found nothing wrong with the code of an order"},
	{FeedWalletAdjusted, FeedOfMoney, "owner", "an operator put the wallet right"},
	{FeedWalletHeld, FeedOfMoney, "owner", "rewards are held longer, until operators have looked at the account"},
	{FeedWalletReleased, FeedOfMoney, "owner", "rewards are not held any longer than others"},
	{FeedReportDecided, FeedOfTasks, "reporter", "an operator has decided on a report of a task or a message"},
	{FeedAccountApproved, FeedOfAccount, "account", "an operator let the account in"},
	{FeedAccountRefused, FeedOfAccount, "account", "an operator did not let the account in"},
	{FeedAccountSuspended, FeedOfAccount, "account", "an operator stopped the account"},
	{FeedAccountReinstated, FeedOfAccount, "account", "the account may act again"},
	{FeedAccountVerified, FeedOfAccount, "account", "an operator verified the account"},
	{FeedAccountUnverified, FeedOfAccount, "account", "the account is no longer verified"},
	{FeedKeyRevoked, FeedOfAccount, "account", "a key came in an address, where logs have it, and was ended"},
}
