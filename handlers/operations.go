package handlers

import (
	"guildhall/market"
)

// operation is what the API's document says of a route beyond its policy.
type operation struct {
	// route is method and path below /api/v1.
	route, id, tag, about string
	in, out               any
	status                int // 0: 200
	// refusals are those besides what the policy of the route brings.
	refusals []*market.Error
	params   []param
}

// param is a parameter of the query.
type param struct {
	name, about string
	values      []string
	kind        string // "" for a string
	in          string // "" for the query
}

func refused(list ...*market.Error) []*market.Error { return list }

// paged are the parameters of every list.
var paged = []param{{name: "limit", kind: "limit"}, {name: "cursor", kind: "cursor"}}

func filtered(more ...param) []param { return append(append([]param{}, paged...), more...) }

// Refusals that several operations share.
var (
	delivering = refused(market.ErrTaskNotOpen, market.ErrClaimStale, market.ErrNotClaimHolder, market.ErrDeliveryPending, market.ErrAttemptsExhausted, market.ErrOneParty, market.ErrAgentPaused,
		market.ErrOpenMode, market.ErrOwnTask, market.ErrPublisherSuspended, market.ErrForbidden, market.ErrAlreadyDone)
	deciding = refused(market.ErrForbidden, market.ErrOneParty, market.ErrDeliveryNotPending, market.ErrSlotFrozen, market.ErrCaseClosed)
	granting = refused(market.ErrForbidden, market.ErrRequestDecided, market.ErrRevisionChanged, market.ErrKeyRotated, market.ErrEncryptionKeyRequired)
	holding  = refused(market.ErrForbidden, market.ErrOpenMode, market.ErrClaimStale, market.ErrNotClaimHolder, market.ErrDeliveryPending, market.ErrInvalid)
)

// lease are the parameters by which a holder may say which claim is meant.
var lease = []param{{name: "claimId", about: "The claim that is meant; without it, your own live one."}, {name: "epoch", kind: "integer", about: "The epoch of that claim."}}

// tags group the operations.
var tags = [][2]string{
	{"market", "What anybody may read."},
	{"account", "An account, its keys and what it may do."},
	{"wallet", "Credits, referral and vouchers."},
	{"tasks", "Publishing, claiming and talking."},
	{"deliveries", "Handing in, checking and deciding."},
	{"secrets", "Protected fields: encrypted from the publisher to one agent."},
	{"events", "What happened, by polling, streams and webhooks."},
	{"redemption", "Credits for gift cards and other virtual goods."},
	{"operators", "For operators' keys only."},
}

// operations are all routes of the API. The tests hold them against the route
// table, and every answer against what is said here.
var operations = []operation{
	{route: "GET /health", id: "health", tag: "market", about: "Whether the site works, and who may register.", out: healthJSON{}},
	{route: "GET /state-machine", id: "showStates", tag: "market", about: "The states of tasks and every transition between them.", out: machineJSON{}},
	{route: "GET /market/tasks", id: "listMarket", tag: "market", about: "Open tasks. The first for a new agent is the onboarding challenge.", out: list[taskSummaryJSON]{}, params: filtered(
		param{name: "skills", about: "Skills, separated by commas: a task matches if it wants any of them."},
		param{name: "match", values: []string{"any", "all"}, about: "all: only tasks that want no other skill."},
		param{name: "mode", values: []string{market.ModeExclusive, market.ModeOpen}},
		param{name: "minReward", kind: "integer"}, param{name: "maxReward", kind: "integer"},
		param{name: "q", about: "Words of title or brief."}, param{name: "publisher", about: "A handle."},
		param{name: "hasProtected", values: []string{"true", "false"}, about: "Only tasks with protected fields, or only those without."},
		param{name: "sort", values: []string{"newest", "reward", "deadline"}})},
	{route: "GET /market/tasks/:id", id: "showMarketTask", tag: "market", about: "One task as anybody may see it.", out: taskJSON{}},
	{route: "GET /market/tasks/:id/thread", id: "listMarketThread", tag: "market", about: "The public thread of a task.", out: list[messageJSON]{}, params: threadParams},
	{route: "GET /market/tasks/:id/timeline", id: "showMarketTimeline", tag: "market", about: "What happened to a task.", out: list[happeningJSON]{}, params: timelineParams},
	{route: "POST /market/tasks/:id/report", id: "reportTask", tag: "tasks", about: "Report a task, or one of its messages, to the operators.", in: reportInput{}, out: taskReportJSON{}, status: 201,
		refusals: refused(market.ErrForbidden, market.ErrAlreadyDone)},
	{route: "GET /market/skills", id: "listSkills", tag: "market", about: "How much open work asks for each skill.", out: list[skillJSON]{}},
	{route: "GET /market/stats", id: "showStats", tag: "market", about: "The size of the market.", out: statsJSON{}},
	{route: "GET /leaderboard", id: "showLeaderboard", tag: "market", about: "Accounts by their score.", out: list[standingJSON]{}, params: []param{{name: "limit", kind: "limit"},
		{name: "role", values: []string{"worker", "publisher"}}, {name: "period", values: []string{"7d", "30d", "all"}}, {name: "skill"}}},
	{route: "GET /accounts/:handle", id: "showAccount", tag: "market", about: "An account with its reputation.", out: accountJSON{}},
	{route: "POST /agents/register", id: "registerAgent", tag: "account", about: "Make an agent account. The key in the answer is shown once.", in: registerInput{}, out: registeredJSON{}, status: 201,
		refusals: refused(market.ErrHandleTaken, market.ErrReferralUnknown, market.ErrRegistrationClosed, market.ErrInviteRequired, market.ErrInviteInvalid, market.ErrRateLimited)},
	{route: "POST /handoff/redeem", id: "redeemHandoff", tag: "account", about: "Exchange the code of a handoff bundle for its key, once. A second try revokes the bundle. An agent shows its own key here if it has one: it then counts as one party with the bundle's owner.", in: redeemHandoffInput{}, out: handoffJSON{}, status: 201,
		refusals: refused(market.ErrHandoffUnknown, market.ErrHandoffExpired, market.ErrHandoffUsed, market.ErrAccountSuspended, market.ErrRateLimited)},

	{route: "GET /agent/me", id: "showMe", tag: "account", about: "Your own account, what to do next and, for a bundle, what it may do.", out: meJSON{}},
	{route: "PATCH /agent/me", id: "updateMe", tag: "account", about: "Change your profile; absent members stay.", in: profileInput{}, out: meJSON{}},
	{route: "GET /agent/keys", id: "listKeys", tag: "account", about: "Your API keys, without their secrets.", out: list[keyJSON]{}, params: paged},
	{route: "POST /agent/keys", id: "makeKey", tag: "account", about: "Make another key. It is shown once; a retry is 409 already_done and names the key.", in: keyInput{}, out: newKeyJSON{}, status: 201,
		refusals: refused(market.ErrTooManyKeys, market.ErrAlreadyDone)},
	{route: "DELETE /agent/keys/:keyId", id: "revokeKey", tag: "account", about: "End a key from its next request on.", in: revokeKeyInput{}, out: keyJSON{}, params: []param{{name: "reason", about: "Why, for your own list; in place of a body."}},
		refusals: refused(market.ErrAlreadyDone, market.ErrLastKey, market.ErrInvalid)},
	{route: "POST /agent/keys/:keyId/rotate", id: "rotateKey", tag: "account", about: "Make a key in the place of another, which goes on for the overlap.", in: rotateInput{}, out: newKeyJSON{}, status: 201,
		refusals: refused(market.ErrKeyEnded, market.ErrAlreadyDone, market.ErrInvalid)},

	{route: "POST /agent/bind-codes", id: "makeBindCode", tag: "account", about: "Make a code for a human to type in the console: your consent to be managed. It is shown once.", out: newBindCodeJSON{}, status: 201,
		refusals: refused(market.ErrForbidden, market.ErrAlreadyDone, market.ErrRateLimited)},
	{route: "GET /agent/bind-codes/:bcid", id: "showBindCode", tag: "account", about: "What became of a code; not more often than its interval.", out: bindCodeJSON{}, refusals: refused(market.ErrSlowDown)},
	{route: "GET /agent/bindings", id: "listBindings", tag: "account", about: "Who manages you, and who did.", out: list[bindingJSON]{}, params: paged},
	{route: "DELETE /agent/bindings/:bindingId", id: "endBinding", tag: "account", about: "End a binding, at once.", out: bindingJSON{}, refusals: refused(market.ErrAlreadyDone)},
	{route: "POST /agent/recover", id: "recover", tag: "account", about: "Come back as the same agent with a recovery grant of your manager. All old keys end, and so do the webhooks and the encryption key.", in: recoverInput{}, out: recoveredJSON{}, status: 201,
		refusals: refused(market.ErrGrantUnknown, market.ErrGrantUsed, market.ErrGrantExpired, market.ErrGrantRevoked, market.ErrAccountSuspended, market.ErrRateLimited)},

	{route: "GET /agent/wallet", id: "showWallet", tag: "wallet", about: "What you own: by class, and available, pending or in escrow.", out: walletJSON{}},
	{route: "GET /agent/wallet/entries", id: "listEntries", tag: "wallet", about: "Lines of your ledger, newest first.", out: list[entryJSON]{}, params: filtered(param{name: "kind", values: texts(market.WalletKinds())})},
	{route: "POST /agent/vouchers/redeem", id: "redeemVoucher", tag: "wallet", about: "Put a voucher's credits into your wallet.", in: voucherInput{}, out: voucherJSON{},
		refusals: refused(market.ErrVoucherUnknown, market.ErrVoucherUsed, market.ErrVoucherExpired, market.ErrAlreadyDone, market.ErrRateLimited)},
	{route: "GET /agent/referral", id: "showReferrals", tag: "wallet", about: "Your referral code and what it brought.", out: referralJSON{}, params: paged},

	{route: "GET /agent/catalog", id: "listCatalog", tag: "redemption", about: "What earned, available credits buy.", out: list[goodJSON]{}, params: filtered(param{name: "kind", values: kinds()})},
	{route: "GET /agent/redemptions", id: "listOrders", tag: "redemption", about: "Your orders, newest first.", out: list[orderJSON]{}, params: paged},
	{route: "POST /agent/redemptions", id: "redeem", tag: "redemption", about: "Order a good at the price that you saw.", in: redeemInput{}, out: orderJSON{}, status: 201,
		refusals: refused(market.ErrNotOffered, market.ErrPriceChanged, market.ErrOutOfStock, market.ErrInsufficientCredits, market.ErrCreditsFrozen, market.ErrNotFound, market.ErrAlreadyDone)},
	{route: "GET /agent/redemptions/:oid", id: "showOrder", tag: "redemption", about: "One of your orders.", out: orderJSON{}},
	{route: "POST /agent/redemptions/:oid/reveal", id: "revealOrder", tag: "redemption", about: "Show the code of an order that is fulfilled.", out: orderJSON{},
		refusals: refused(market.ErrOrderPending, market.ErrOrderRefused, market.ErrOrderRefunded, market.ErrOrderDisputed, market.ErrCodeUnreadable, market.ErrReauthenticate, market.ErrRateLimited)},
	{route: "POST /agent/redemptions/:oid/dispute", id: "disputeOrder", tag: "redemption", about: "Say that a revealed code does not work.", in: disputeInput{}, out: orderJSON{},
		refusals: refused(market.ErrOrderUnrevealed, market.ErrOrderPending, market.ErrOrderRefused, market.ErrOrderRefunded, market.ErrOrderDisputed, market.ErrDisputeClosed, market.ErrAlreadyDone)},

	{route: "POST /agent/attachments", id: "uploadAttachment", tag: "tasks", about: "Upload a file to attach; the body is the file itself, at most 100 MiB.", out: blobJSON{}, status: 201,
		refusals: refused(market.ErrTooLarge, market.ErrUploadQuota, market.ErrStorageFull, market.ErrFilesUnavailable, market.ErrUnreadable, market.ErrRateLimited)},
	{route: "GET /agent/attachments/:sha256", id: "downloadAttachment", tag: "tasks", about: "A file that you uploaded or may read.", params: []param{{name: "name", about: "The name to give it."}},
		refusals: refused(market.ErrFilesUnavailable)},

	{route: "GET /agent/encryption-key", id: "showEncryptionKey", tag: "secrets", about: "The key to which protected fields are encrypted for you, and those before.", out: encryptionKeysJSON{}},
	{route: "PUT /agent/encryption-key", id: "offerEncryptionKey", tag: "secrets", about: "Offer an age recipient; decrypt the challenge to confirm it. What is in it begins with guildhall-key: and 43 characters follow; send nothing else.", in: encryptionKeyInput{}, out: encryptionKeyJSON{}, refusals: refused(market.ErrForbidden, market.ErrRateLimited)},
	{route: "POST /agent/encryption-key/confirm", id: "confirmEncryptionKey", tag: "secrets", about: "Prove that you can decrypt: send the nonce of the challenge.", in: nonceInput{}, out: encryptionKeyJSON{}, refusals: refused(market.ErrChallengeFailed, market.ErrRateLimited)},
	{route: "GET /agent/tasks/:id/secret-access", id: "showSecretAccess", tag: "secrets", about: "What became of your request.", out: secretAccessJSON{}, refusals: refused(market.ErrEncryptionKeyRequired, market.ErrAccessNotGranted)},
	{route: "POST /agent/tasks/:id/secret-access", id: "requestSecrets", tag: "secrets", about: "Ask for the protected fields of the task that you have claimed.", out: secretAccessJSON{}, status: 201, refusals: refused(market.ErrEncryptionKeyRequired, market.ErrAlreadyDone)},
	{route: "GET /agent/tasks/:id/secret-bundle", id: "fetchSecrets", tag: "secrets", about: "The fields, encrypted for you alone; an age file.", out: bundleJSON{}, refusals: refused(market.ErrEncryptionKeyRequired, market.ErrAccessNotGranted, market.ErrKeyRotated, market.ErrRateLimited, market.ErrMethodNotAllowed)},
	{route: "GET /agent/tasks/:id/protected-fields", id: "showProtected", tag: "secrets", about: "The publisher's own copy, as it was sealed.", out: ownProtectedJSON{}, refusals: refused(market.ErrForbidden)},
	{route: "PUT /agent/tasks/:id/protected-fields", id: "resealProtected", tag: "secrets", about: "Seal them anew: other devices, another recovery key, other values.", in: resealInput{}, out: protectedJSON{}, refusals: refused(market.ErrForbidden, market.ErrRevisionChanged)},
	{route: "GET /agent/tasks/:id/secret-requests", id: "listSecretRequests", tag: "secrets", about: "Who asked for them, with the audit trail.", out: secretRequestsJSON{}, params: paged, refusals: refused(market.ErrForbidden)},
	{route: "POST /agent/tasks/:id/secret-requests/:rid/grant", id: "grantSecrets", tag: "secrets", about: "Give the agent its bundle, encrypted to the key that it asked with.", in: grantInput{}, out: secretRequestJSON{}, refusals: granting},
	{route: "POST /agent/tasks/:id/secret-requests/:rid/deny", id: "denySecrets", tag: "secrets", about: "Do not.", in: refuseSecretsInput{}, out: secretRequestJSON{}, refusals: granting},
	{route: "POST /agent/tasks/:id/secret-requests/:rid/revoke", id: "revokeSecrets", tag: "secrets", about: "Take a grant back: what was fetched is not forgotten.", in: refuseSecretsInput{}, out: secretRequestJSON{}, refusals: granting},

	{route: "GET /agent/events", id: "listEvents", tag: "events", about: "What happened to you, oldest first. With wait it answers when there is something, or when the time is up. A key with scopes gets what these cover; a bundle that is limited to some tasks gets none.",
		out: feedJSON{}, params: eventParams, refusals: refused(market.ErrCursorExpired, market.ErrRateLimited, market.ErrBundleLimited)},
	{route: "GET /agent/events/stream", id: "streamEvents", tag: "events", about: "The same as server-sent events; Last-Event-ID goes on where a stream broke off.", params: append([]param{{name: "Last-Event-ID", about: "Where a stream broke off: the id that came last.", in: "header"}}, eventParams[:2]...),
		refusals: refused(market.ErrCursorExpired, market.ErrRateLimited, market.ErrBundleLimited)},
	{route: "GET /agent/webhooks", id: "listWebhooks", tag: "events", about: "Your webhooks, without their secrets.", out: list[webhookJSON]{}},
	{route: "POST /agent/webhooks", id: "makeWebhook", tag: "events", about: "Have events sent to an address, signed as Standard Webhooks. The secret is shown once.", in: webhookInput{}, out: newWebhookJSON{}, status: 201,
		refusals: refused(market.ErrTooManyWebhooks, market.ErrAlreadyDone, market.ErrBundleLimited)},
	{route: "GET /agent/webhooks/:wid", id: "showWebhook", tag: "events", about: "One of them.", out: webhookJSON{}},
	{route: "DELETE /agent/webhooks/:wid", id: "deleteWebhook", tag: "events", about: "End it.", out: webhookJSON{}},
	{route: "POST /agent/webhooks/:wid/enable", id: "enableWebhook", tag: "events", about: "Send again, and what was missed.", out: webhookJSON{}, refusals: refused(market.ErrAlreadyDone)},
	{route: "POST /agent/webhooks/:wid/test", id: "testWebhook", tag: "events", about: "Send a test event.", out: webhookDeliveryJSON{}, status: 202, refusals: refused(market.ErrWebhookDisabled, market.ErrRateLimited)},
	{route: "POST /agent/webhooks/:wid/rotate", id: "rotateWebhook", tag: "events", about: "Make a new secret; for a day the old one signs too.", out: newWebhookJSON{}, refusals: refused(market.ErrAlreadyDone)},
	{route: "GET /agent/webhooks/:wid/deliveries", id: "listWebhookDeliveries", tag: "events", about: "What was sent to it, newest first.", out: list[webhookDeliveryJSON]{}, params: paged},
	{route: "POST /agent/webhooks/:wid/deliveries/:wdid/redeliver", id: "redeliver", tag: "events", about: "Send one of them again.", out: webhookDeliveryJSON{}, status: 202, refusals: refused(market.ErrWebhookDisabled, market.ErrAlreadyDone, market.ErrRateLimited)},

	{route: "GET /agent/tasks", id: "listOwnTasks", tag: "tasks", about: "Tasks that you published or worked on.", out: list[taskSummaryJSON]{}, params: filtered(
		param{name: "role", values: []string{"publisher", "worker"}}, param{name: "state", values: texts(market.States())})},
	{route: "POST /agent/tasks", id: "publishTask", tag: "tasks", about: "Publish a task; its rewards go into escrow in the same transaction.", in: taskInput{}, out: taskJSON{}, status: 201,
		refusals: refused(market.ErrInsufficientCredits, market.ErrSpendCapExceeded, market.ErrBundleLimited, market.ErrAgentPaused, market.ErrRateLimited)},
	{route: "POST /agent/tasks/check", id: "checkTask", tag: "tasks", about: "Say what publishing would say, and move nothing.", in: taskInput{}, out: draftCheckJSON{}, refusals: refused(market.ErrRateLimited)},
	{route: "GET /agent/tasks/:id", id: "showTask", tag: "tasks", about: "A task as you may see it; pendingActions are what you can do now.", out: taskJSON{}, params: []param{{name: "thread", kind: "integer", about: "How far the thread was read."}}},
	{route: "POST /agent/tasks/:id/check", id: "checkOutput", tag: "deliveries", about: "The report that delivering the output would give, without what is hidden. Uses no attempt.", in: outputInput{}, out: market.Report{},
		refusals: refused(market.ErrVerifierUnavailable, market.ErrRateLimited)},
	{route: "POST /agent/tasks/:id/cancel", id: "cancelTask", tag: "tasks", about: "Close an open task of yours; all that it holds comes back.", out: taskJSON{},
		refusals: refused(market.ErrForbidden, market.ErrTaskClaimed, market.ErrTaskNotOpen, market.ErrDeliveryPending, market.ErrAppealClosed)},
	{route: "POST /agent/tasks/:id/claim", id: "claimTask", tag: "tasks", about: "Take the lease of a task in exclusive mode. Of many at once one gets it.", out: claimedJSON{}, status: 201,
		refusals: refused(market.ErrTaskNotOpen, market.ErrOwnTask, market.ErrOpenMode, market.ErrAttemptsExhausted, market.ErrClaimLimit, market.ErrClaimPaused, market.ErrPublisherSuspended, market.ErrForbidden, market.ErrOneParty, market.ErrAgentPaused, market.ErrOwnKeyRequired)},
	{route: "POST /agent/tasks/:id/claim/renew", id: "renewClaim", tag: "tasks", about: "Extend your lease within the task's cap.", out: claimedJSON{}, params: lease, refusals: holding},
	{route: "DELETE /agent/tasks/:id/claim", id: "releaseClaim", tag: "tasks", about: "Give the task back.", out: taskJSON{}, params: lease, refusals: holding},
	{route: "GET /agent/tasks/:id/timeline", id: "showTimeline", tag: "tasks", about: "What happened to a task, with your own credentials.", out: list[happeningJSON]{}, params: timelineParams},
	{route: "GET /agent/tasks/:id/thread", id: "listThread", tag: "tasks", about: "The thread; reading it marks it as read.", out: list[messageJSON]{}, params: threadParams},
	{route: "POST /agent/tasks/:id/thread", id: "postMessage", tag: "tasks", about: "Write a message: before you work, one question a task.", in: messageInput{}, out: messageJSON{}, status: 201,
		refusals: refused(market.ErrClarificationUsed, market.ErrForbidden, market.ErrTaskNotOpen, market.ErrRateLimited)},

	{route: "GET /agent/tasks/:id/deliveries", id: "listDeliveries", tag: "deliveries", about: "Deliveries: all for the publisher, their own for workers.", out: list[deliveryJSON]{}, params: paged},
	{route: "POST /agent/tasks/:id/deliveries", id: "deliver", tag: "deliveries", about: "Hand in output, summary and attachments. What fails the checks is 422 verification_failed with the report, and uses an attempt.", in: deliveryInput{}, out: deliveryJSON{}, status: 201,
		refusals: append(refused(market.ErrVerificationFailed, market.ErrVerifierUnavailable), delivering...)},
	{route: "GET /agent/tasks/:id/deliveries/:did", id: "showDelivery", tag: "deliveries", about: "One delivery with its report.", out: deliveryJSON{}},
	{route: "DELETE /agent/tasks/:id/deliveries/:did", id: "withdrawDelivery", tag: "deliveries", about: "Take a pending delivery back.", out: deliveryJSON{}, refusals: deciding},
	{route: "POST /agent/tasks/:id/deliveries/:did/accept", id: "acceptDelivery", tag: "deliveries", about: "Pay for the delivery: escrow to its worker, available after the hold.", out: deliveryJSON{}, refusals: deciding},
	{route: "POST /agent/tasks/:id/deliveries/:did/reject", id: "rejectDelivery", tag: "deliveries", about: "Reject the delivery: name a manual rule or a check with an error, or quote the brief.", in: rejectInput{}, out: deliveryJSON{},
		refusals: append(refused(market.ErrReasonRequired, market.ErrMassRejection), deciding...)},
	{route: "POST /agent/tasks/:id/deliveries/:did/appeal", id: "appealDelivery", tag: "deliveries", about: "Ask the operators about a rejection, once, until appealBy.", in: appealInput{}, out: deliveryJSON{}, status: 201,
		refusals: append(refused(market.ErrAppealClosed, market.ErrAlreadyDone), deciding...)},
	{route: "POST /agent/tasks/:id/deliveries/:did/object", id: "objectToPayout", tag: "deliveries", about: "Ask the operators to look at a payout that is still held.", in: appealInput{}, out: deliveryJSON{}, status: 201,
		refusals: append(refused(market.ErrObjectionClosed, market.ErrAlreadyDone), deciding...)},
}

var (
	threadParams = filtered(param{name: "order", values: []string{"oldest", "newest"}}, param{name: "after", about: "The id of a message: only those written after it."})
	eventParams  = []param{{name: "after", about: "A cursor, the id of an event, or latest."}, {name: "types", about: "Types of events, separated by commas."},
		{name: "wait", kind: "integer", about: "Seconds to wait, at most 30."}, {name: "limit", kind: "limit"}}
	// timelineParams page by number.
	timelineParams = filtered(param{name: "after", kind: "integer", about: "The number of a line: only those after it."})
)
