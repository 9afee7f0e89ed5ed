package handlers

import (
	"net/http"
	"strings"

	"guildhall/market"
	"guildhall/store"
)

// scoped lists the scopes that each let a key in.
func scoped(any ...market.Scope) []market.Scope { return any }

// routes is the whole route table, with the policy that adapt enforces. The
// policy test holds a second list against it.
func (h *Handlers) routes() []route {
	const api, task = "/api/v1", "/api/v1/agent/tasks/:id"
	get, post, del := http.MethodGet, http.MethodPost, http.MethodDelete
	return []route{
		// Pages.
		{method: get, path: "/", handle: h.home, page: true},
		{method: get, path: "/market", handle: h.listMarket, page: true},
		{method: get, path: "/market/skills", handle: h.listSkills, page: true},
		{method: get, path: "/leaderboard", handle: h.showLeaderboard, page: true},
		{method: get, path: "/register", handle: h.askToRegister, page: true},
		{method: post, path: "/register", handle: h.registerHuman, page: true, body: true},
		{method: get, path: "/login", handle: h.askToLogIn, page: true},
		{method: post, path: "/login", handle: h.logIn, page: true, body: true},
		{method: post, path: "/logout", handle: h.logOut, page: true},
		{method: post, path: "/preferences", handle: h.setPreferences, page: true, body: true},
		{method: get, path: "/tasks/new", handle: h.newTask, auth: session, page: true},
		{method: post, path: "/tasks/new", handle: h.draftTask, auth: session, page: true, body: true, files: true},
		{method: post, path: "/tasks", handle: h.publishTask, auth: session, once: onceRequired, page: true, body: true, files: true},
		{method: get, path: "/tasks/:id", handle: h.showTask, page: true},
		{method: post, path: "/tasks/:id/cancel", handle: h.cancelTask, auth: session, once: onceHonoured, page: true},
		{method: post, path: "/tasks/:id/thread", handle: h.postMessage, auth: session, once: onceHonoured, page: true, body: true},
		{method: post, path: "/tasks/:id/report", handle: h.reportTask, auth: session, once: onceHonoured, page: true, body: true},
		{method: get, path: "/tasks/:id/timeline", handle: h.showTimeline, page: true},
		{method: get, path: "/tasks/:id/events", handle: h.watchTask, page: true, stream: true},
		{method: get, path: "/tasks/:id/review", handle: h.reviewTask, auth: session, page: true},
		{method: get, path: "/tasks/:id/deliveries/:did", handle: h.showDelivery, auth: session, page: true},
		{method: post, path: "/tasks/:id/deliveries/:did/accept", handle: h.acceptDelivery, auth: session, once: onceHonoured, page: true},
		{method: post, path: "/tasks/:id/deliveries/:did/reject", handle: h.rejectDelivery, auth: session, once: onceHonoured, page: true, body: true},
		{method: post, path: "/tasks/:id/deliveries/:did/object", handle: h.objectToPayout, auth: session, once: onceHonoured, page: true, body: true},
		{method: get, path: "/attachments/:sha256", handle: h.downloadAttachment, page: true, stream: true},
		{method: get, path: "/agents/:handle", handle: h.showAccount, page: true},
		{method: get, path: "/settings", handle: h.showSettings, auth: session, page: true},
		{method: post, path: "/settings", handle: h.updateMe, auth: session, page: true, body: true},
		{method: post, path: "/settings/password", handle: h.changePassword, auth: session, page: true, body: true},

		// The security of a person's account.
		{method: get, path: "/confirm", handle: h.showConfirm, auth: session, page: true},
		{method: post, path: "/confirm", handle: h.confirm, auth: session, page: true, body: true},
		{method: get, path: "/settings/security", handle: h.showSecurity, auth: session, page: true},
		{method: post, path: "/login/code", handle: h.logInCode, page: true, body: true},
		{method: post, path: "/settings/security/totp/begin", handle: h.beginTOTP, auth: session, page: true, fresh: true},
		{method: get, path: "/settings/security/totp", handle: h.showTOTP, auth: session, page: true, fresh: true},
		{method: post, path: "/settings/security/totp", handle: h.enableTOTP, auth: session, page: true, body: true, fresh: true},
		{method: post, path: "/settings/security/totp/off", handle: h.disableTOTP, auth: session, page: true, fresh: true},
		{method: post, path: "/settings/security/recovery", handle: h.renewRecovery, auth: session, page: true, fresh: true},
		{method: get, path: "/forgot", handle: h.askForReset, page: true},
		{method: post, path: "/forgot", handle: h.sendReset, page: true, body: true},
		{method: get, path: "/reset", handle: h.showReset, page: true},
		{method: post, path: "/reset", handle: h.reset, page: true, body: true},
		{method: get, path: "/verify", handle: h.showVerify, auth: session, page: true},
		{method: post, path: "/verify", handle: h.verify, auth: session, page: true, body: true},
		{method: post, path: "/settings/security/email", handle: h.changeAddress, auth: session, page: true, body: true, fresh: true},
		{method: post, path: "/settings/security/email/verify", handle: h.askToVerify, auth: session, page: true, fresh: true},
		{method: post, path: "/login/passkey", handle: h.askToLogInByPasskey, page: true, body: true},
		{method: post, path: "/login/passkey/finish", handle: h.logInByPasskey, page: true, body: true},
		{method: post, path: "/confirm/passkey", handle: h.askToConfirmByPasskey, auth: session, page: true, body: true},
		{method: post, path: "/confirm/passkey/finish", handle: h.confirmByPasskey, auth: session, page: true, body: true},
		{method: post, path: "/settings/security/passkeys/begin", handle: h.beginPasskey, auth: session, page: true, fresh: true},
		{method: post, path: "/settings/security/passkeys", handle: h.addPasskey, auth: session, page: true, body: true, fresh: true},
		{method: post, path: "/settings/security/passkeys/:pid/remove", handle: h.removePasskey, auth: session, page: true, fresh: true},
		{method: post, path: "/settings/security/sessions/end", handle: h.endOtherSessions, auth: session, page: true, fresh: true},
		{method: post, path: "/settings/security/sessions/:sid/end", handle: h.endSession, auth: session, page: true, fresh: true},

		{method: get, path: "/console", handle: h.listOwnTasks, auth: session, page: true},
		{method: get, path: "/console/bundles", handle: h.listBundles, auth: session, page: true},
		{method: get, path: "/console/bundles/new", handle: h.newBundle, auth: session, page: true},
		{method: post, path: "/console/bundles", handle: h.makeBundle, auth: session, fresh: true, once: onceRequired, page: true, body: true},
		{method: get, path: "/console/bundles/:hid", handle: h.showBundle, auth: session, page: true},
		{method: post, path: "/console/bundles/:hid/narrow", handle: h.narrowBundle, auth: session, once: onceHonoured, page: true, body: true},
		{method: post, path: "/console/bundles/:hid/revoke", handle: h.revokeBundle, auth: session, once: onceHonoured, page: true},
		{method: post, path: "/console/bundles/:hid/code", handle: h.recodeBundle, auth: session, fresh: true, once: onceHonoured, page: true},
		{method: get, path: "/wallet", handle: h.showWallet, auth: session, page: true},
		{method: post, path: "/wallet/vouchers", handle: h.redeemVoucher, auth: session, once: onceRequired, page: true, body: true},
		{method: get, path: "/referrals", handle: h.showReferrals, auth: session, page: true},
		{method: get, path: "/redeem", handle: h.listCatalog, auth: session, page: true},
		{method: get, path: "/redeem/orders", handle: h.listOrders, auth: session, page: true},
		{method: post, path: "/redeem/orders", handle: h.redeem, auth: session, once: onceRequired, page: true, body: true},
		{method: get, path: "/redeem/orders/:oid", handle: h.showOrder, auth: session, page: true},
		{method: post, path: "/redeem/orders/:oid/dispute", handle: h.disputeOrder, auth: session, once: onceHonoured, page: true, body: true},
		{method: post, path: "/redeem/orders/:oid/reveal", handle: h.revealOrder, auth: session, page: true, body: true, fresh: true},
		{method: get, path: "/goods/:gid/picture", handle: h.showPicture, page: true, stream: true},
		{method: get, path: "/wallet/entries.csv", handle: h.downloadEntries, auth: session, page: true},

		{method: get, path: "/docs", handle: h.showDocs, page: true},
		{method: get, path: "/docs/agents", handle: h.showGuide("agents"), page: true},
		{method: get, path: "/docs/people", handle: h.showGuide("people"), page: true},
		{method: get, path: "/docs/secrets", handle: h.showGuide("secrets"), page: true},
		{method: get, path: "/docs/webhooks", handle: h.showGuide("webhooks"), page: true},
		{method: get, path: "/docs/errors", handle: h.showRefusals, page: true},
		{method: get, path: "/docs/changelog", handle: h.showChangelog, page: true},
		{method: get, path: "/docs/rules", handle: h.showCookbook, page: true},
		{method: post, path: "/docs/rules", handle: h.tryRules, page: true, body: true},
		// What happened, for people.
		{method: get, path: "/console/activity", handle: h.showActivity, auth: session, page: true},
		{method: get, path: "/console/webhooks", handle: h.listWebhooks, auth: session, page: true},
		{method: post, path: "/console/webhooks", handle: h.makeWebhook, auth: session, fresh: true, once: onceHonoured, page: true, body: true},
		{method: get, path: "/console/webhooks/:wid", handle: h.showWebhook, auth: session, page: true},
		{method: post, path: "/console/webhooks/:wid/delete", handle: h.deleteWebhook, auth: session, once: onceHonoured, page: true},
		{method: post, path: "/console/webhooks/:wid/enable", handle: h.enableWebhook, auth: session, once: onceHonoured, page: true},
		{method: post, path: "/console/webhooks/:wid/test", handle: h.testWebhook, auth: session, once: onceHonoured, page: true},
		{method: post, path: "/console/webhooks/:wid/rotate", handle: h.rotateWebhook, auth: session, fresh: true, once: onceHonoured, page: true},
		{method: post, path: "/console/webhooks/:wid/deliveries/:wdid/redeliver", handle: h.redeliver, auth: session, once: onceHonoured, page: true},

		{method: get, path: "/docs/states", handle: h.showStates, page: true},

		// The agents that a human manages.
		{method: get, path: "/console/agents", handle: h.listAgents, auth: session, page: true},
		{method: post, path: "/console/agents", handle: h.bindAgent, auth: session, fresh: true, once: onceHonoured, page: true, body: true},
		{method: post, path: "/console/agents/check", handle: h.checkBindCode, auth: session, page: true, body: true},
		{method: get, path: "/console/agents/:agent", handle: h.showAgent, auth: session, page: true},
		{method: post, path: "/console/agents/:agent/pause", handle: h.pauseAgent, auth: session, once: onceHonoured, page: true},
		{method: post, path: "/console/agents/:agent/resume", handle: h.resumeAgent, auth: session, once: onceHonoured, page: true},
		{method: post, path: "/console/agents/:agent/limit", handle: h.limitAgent, auth: session, once: onceHonoured, page: true, body: true},
		{method: post, path: "/console/agents/:agent/grant", handle: h.grantRecovery, auth: session, fresh: true, once: onceHonoured, page: true},
		{method: post, path: "/console/agents/:agent/unbind", handle: h.unbindAgent, auth: session, once: onceHonoured, page: true},
		// Protected fields: what is sealed and opened there is so in the browser.
		{method: get, path: "/vault", handle: h.showVault, auth: session, page: true},
		{method: get, path: "/tasks/:id/vault", handle: h.showSecrets, auth: session, page: true},
		{method: post, path: "/tasks/:id/protected-fields", handle: h.resealProtected, auth: session, once: onceHonoured, page: true, body: true},
		{method: post, path: "/tasks/:id/secret-requests/:rid/grant", handle: h.grantSecrets, auth: session, once: onceHonoured, page: true, body: true},
		{method: post, path: "/tasks/:id/secret-requests/:rid/deny", handle: h.denySecrets, auth: session, once: onceHonoured, page: true, body: true},
		{method: post, path: "/tasks/:id/secret-requests/:rid/revoke", handle: h.revokeSecrets, auth: session, once: onceHonoured, page: true, body: true},

		// Pages of operators.
		{method: get, path: "/admin/cases", handle: h.listCases, auth: operator, page: true},
		{method: get, path: "/admin/cases/:kid", handle: h.showCase, auth: operator, page: true},
		{method: post, path: "/admin/cases/:kid/decide", handle: h.decideCase, auth: operator, once: onceHonoured, page: true, body: true},
		{method: get, path: "/admin/reports", handle: h.listReports, auth: operator, page: true},
		{method: get, path: "/admin/reports/:rid", handle: h.showReport, auth: operator, page: true},
		{method: post, path: "/admin/reports/:rid/decide", handle: h.decideReport, auth: operator, once: onceHonoured, page: true, body: true},

		{method: get, path: "/admin/flags", handle: h.listFlags, auth: operator, page: true},
		{method: get, path: "/admin/flags/:fid", handle: h.showFlag, auth: operator, page: true},
		{method: post, path: "/admin/flags/:fid/decide", handle: h.decideFlag, auth: operator, once: onceHonoured, page: true, body: true},
		{method: post, path: "/admin/accounts/:aid/flag", handle: h.flagAccount, auth: operator, once: onceHonoured, page: true, body: true},
		{method: get, path: "/admin/books", handle: h.showBooks, auth: operator, page: true},
		{method: post, path: "/admin/books", handle: h.recomputeBooks, auth: operator, page: true},
		{method: get, path: "/admin/onboarding", handle: h.showChallenge, auth: operator, page: true},
		{method: post, path: "/admin/onboarding", handle: h.setChallenge, auth: operator, once: onceHonoured, page: true, body: true},
		{method: post, path: "/admin/onboarding/off", handle: h.endChallenge, auth: operator, once: onceHonoured, page: true},
		{method: get, path: "/admin/vouchers", handle: h.listVouchers, auth: operator, page: true},
		{method: post, path: "/admin/vouchers", handle: h.makeVouchers, auth: operator, once: onceRequired, page: true, body: true},
		{method: post, path: "/admin/vouchers/:bid/revoke", handle: h.revokeVouchers, auth: operator, once: onceHonoured, page: true},
		{method: get, path: "/admin/redemptions", handle: h.listReviews, auth: operator, page: true},
		{method: get, path: "/admin/redemptions/:oid", handle: h.showReview, auth: operator, page: true},
		{method: post, path: "/admin/redemptions/:oid/approve", handle: h.approveOrder, auth: operator, once: onceHonoured, page: true},
		{method: post, path: "/admin/redemptions/:oid/refuse", handle: h.refuseOrder, auth: operator, once: onceHonoured, page: true, body: true},
		{method: post, path: "/admin/redemptions/:oid/settle", handle: h.settleDispute, auth: operator, once: onceHonoured, page: true, body: true},
		{method: get, path: "/admin/goods", handle: h.listGoods, auth: operator, page: true},
		{method: post, path: "/admin/goods", handle: h.createGood, auth: operator, once: onceHonoured, page: true, body: true, files: true, inline: true},
		{method: get, path: "/admin/goods/new", handle: h.newGood, auth: operator, page: true},
		{method: get, path: "/admin/goods/:gid", handle: h.showGood, auth: operator, page: true},
		{method: post, path: "/admin/goods/:gid", handle: h.changeGood, auth: operator, once: onceHonoured, page: true, body: true, files: true, inline: true},
		{method: get, path: "/admin/goods/:gid/codes", handle: h.listCodes, auth: operator, page: true},
		{method: post, path: "/admin/goods/:gid/withdraw", handle: h.withdrawCodes, auth: operator, once: onceHonoured, page: true, body: true},
		{method: post, path: "/admin/goods/:gid/codes", handle: h.importCodes, auth: operator, page: true, body: true, files: true, inline: true},
		{method: get, path: "/admin/accounts", handle: h.listAccountFiles, auth: operator, page: true},
		{method: get, path: "/admin/accounts/:aid", handle: h.showAccountFile, auth: operator, page: true},
		{method: post, path: "/admin/accounts/:aid/suspend", handle: h.suspendAccount, auth: operator, once: onceHonoured, page: true, body: true},
		{method: post, path: "/admin/accounts/:aid/verify", handle: h.verifyAccount, auth: operator, once: onceHonoured, page: true, body: true},
		{method: post, path: "/admin/accounts/:aid/unverify", handle: h.unverifyAccount, auth: operator, once: onceHonoured, page: true, body: true},
		{method: post, path: "/admin/accounts/:aid/unsuspend", handle: h.unsuspendAccount, auth: operator, once: onceHonoured, page: true, body: true},
		{method: post, path: "/admin/accounts/:aid/adjust", handle: h.adjustWallet, auth: operator, once: onceRequired, page: true, body: true},
		{method: get, path: "/admin/invitations", handle: h.listInvitations, auth: operator, page: true},
		{method: post, path: "/admin/invitations", handle: h.makeInvitations, auth: operator, once: onceRequired, page: true, body: true},
		{method: post, path: "/admin/invitations/:iid/revoke", handle: h.revokeInvitations, auth: operator, once: onceHonoured, page: true},
		{method: post, path: "/admin/accounts/:aid/approve", handle: h.approveAccount, auth: operator, once: onceHonoured, page: true},
		{method: post, path: "/admin/accounts/:aid/refuse", handle: h.refuseAccount, auth: operator, once: onceHonoured, page: true, body: true},
		{method: get, path: "/admin/log", handle: h.listActions, auth: operator, page: true},

		// Documents by which programs find their way.
		{method: get, path: "/openapi.json", handle: h.serveDocument},
		{method: get, path: "/skill.md", handle: h.serveDocument},
		{method: get, path: "/llms.txt", handle: h.serveDocument},
		{method: get, path: "/.well-known/guildhall.json", handle: h.serveDocument},
		{method: get, path: "/.well-known/api-catalog", handle: h.serveDocument},
		{method: get, path: "/.well-known/agent-skills/index.json", handle: h.serveDocument},
		{method: get, path: skillPath, handle: h.serveDocument},
		{method: get, path: "/.well-known/security.txt", handle: h.serveDocument},

		{method: get, path: resourcePath, handle: h.serveDocument},
		{method: get, path: resourcePath + mcpPath, handle: h.serveDocument},
		{method: post, path: mcpPath, handle: h.serveMCP, optional: true, upload: true},

		// The same handlers for programs.
		{method: get, path: api + "/health", handle: h.health},
		{method: get, path: api + "/state-machine", handle: h.showStates},
		{method: get, path: api + "/market/tasks", handle: h.listMarket, optional: true},
		{method: get, path: api + "/market/tasks/:id", handle: h.showMarketTask},
		{method: get, path: api + "/market/tasks/:id/thread", handle: h.listMarketThread},
		{method: get, path: api + "/market/tasks/:id/timeline", handle: h.showMarketTimeline},
		{method: post, path: api + "/market/tasks/:id/report", handle: h.reportTask, auth: key, scopes: scoped(market.ThreadWrite), once: onceHonoured, body: true},
		{method: get, path: api + "/market/skills", handle: h.listSkills},
		{method: get, path: api + "/market/stats", handle: h.showStats},
		{method: get, path: api + "/leaderboard", handle: h.showLeaderboard},
		{method: get, path: api + "/accounts/:handle", handle: h.showAccount},
		{method: post, path: api + "/agents/register", handle: h.registerAgent, body: true},
		{method: post, path: api + redeemPath, handle: h.redeemHandoff, optional: true, body: true},

		{method: get, path: api + "/agent/me", handle: h.showMe, auth: key, scopes: scoped(market.TasksRead)},
		{method: http.MethodPatch, path: api + "/agent/me", handle: h.updateMe, auth: key, body: true},
		{method: get, path: api + "/agent/keys", handle: h.listKeys, auth: key},
		{method: post, path: api + "/agent/keys", handle: h.makeKey, auth: key, once: onceHonoured, body: true},
		{method: del, path: api + "/agent/keys/:keyId", handle: h.revokeKey, auth: key, once: onceHonoured},
		{method: post, path: api + "/agent/keys/:keyId/rotate", handle: h.rotateKey, auth: key, once: onceHonoured},
		{method: post, path: api + "/agent/bind-codes", handle: h.mintBindCode, auth: key, once: onceHonoured},
		{method: get, path: api + "/agent/bind-codes/:bcid", handle: h.showBindCode, auth: key},
		{method: get, path: api + "/agent/bindings", handle: h.listBindings, auth: key},
		{method: del, path: api + "/agent/bindings/:bindingId", handle: h.endBinding, auth: key, once: onceHonoured},
		{method: post, path: api + "/agent/recover", handle: h.recoverAgent, body: true},
		{method: get, path: api + "/agent/wallet", handle: h.showWallet, auth: key, scopes: scoped(market.WalletRead)},
		{method: get, path: api + "/agent/wallet/entries", handle: h.listEntries, auth: key, scopes: scoped(market.WalletRead)},

		{method: post, path: api + "/agent/vouchers/redeem", handle: h.redeemVoucher, auth: key, once: onceRequired, body: true},
		{method: get, path: api + "/agent/referral", handle: h.showReferrals, auth: key, scopes: scoped(market.WalletRead)},

		{method: get, path: api + "/agent/catalog", handle: h.listCatalog, auth: key},
		{method: get, path: api + "/agent/redemptions", handle: h.listOrders, auth: key},
		{method: post, path: api + "/agent/redemptions", handle: h.redeem, auth: key, once: onceRequired, body: true},
		{method: get, path: api + "/agent/redemptions/:oid", handle: h.showOrder, auth: key},
		{method: post, path: api + "/agent/redemptions/:oid/dispute", handle: h.disputeOrder, auth: key, once: onceHonoured, body: true},
		{method: post, path: api + "/agent/redemptions/:oid/reveal", handle: h.revealOrder, auth: key},

		// Protected fields.
		{method: get, path: api + "/agent/encryption-key", handle: h.showEncryptionKey, auth: key, scopes: scoped(market.TasksRead)},
		{method: http.MethodPut, path: api + "/agent/encryption-key", handle: h.offerEncryptionKey, auth: key, once: onceHonoured, body: true},
		{method: post, path: api + "/agent/encryption-key/confirm", handle: h.confirmEncryptionKey, auth: key, once: onceHonoured, body: true},
		{method: get, path: task + "/secret-access", handle: h.showSecretAccess, auth: key, scopes: scoped(market.ClaimsWrite)},
		{method: post, path: task + "/secret-access", handle: h.requestSecrets, auth: key, scopes: scoped(market.ClaimsWrite), once: onceHonoured},
		{method: get, path: task + "/secret-bundle", handle: h.fetchSecrets, auth: key, scopes: scoped(market.ClaimsWrite)},
		{method: get, path: task + "/protected-fields", handle: h.showProtected, auth: key, scopes: scoped(market.SecretsGrant)},
		{method: http.MethodPut, path: task + "/protected-fields", handle: h.resealProtected, auth: key, scopes: scoped(market.SecretsGrant), once: onceHonoured, body: true},
		{method: get, path: task + "/secret-requests", handle: h.listSecretRequests, auth: key, scopes: scoped(market.SecretsGrant)},
		{method: post, path: task + "/secret-requests/:rid/grant", handle: h.grantSecrets, auth: key, scopes: scoped(market.SecretsGrant), once: onceHonoured, body: true},
		{method: post, path: task + "/secret-requests/:rid/deny", handle: h.denySecrets, auth: key, scopes: scoped(market.SecretsGrant), once: onceHonoured, body: true},
		{method: post, path: task + "/secret-requests/:rid/revoke", handle: h.revokeSecrets, auth: key, scopes: scoped(market.SecretsGrant), once: onceHonoured, body: true},

		{method: post, path: api + "/agent/attachments", handle: h.uploadAttachment, auth: key, scopes: scoped(market.TasksPublish, market.DeliveriesWrite), upload: true},
		{method: get, path: api + "/agent/attachments/:sha256", handle: h.downloadAttachment, auth: key, scopes: scoped(market.TasksRead), stream: true},

		// What happened.
		{method: get, path: api + "/agent/events", handle: h.listFeed, auth: key, scopes: scoped(market.TasksRead)},
		{method: get, path: api + "/agent/events/stream", handle: h.streamFeed, auth: key, scopes: scoped(market.TasksRead), stream: true},
		{method: get, path: webhooksPath, handle: h.listWebhooks, auth: key, scopes: scoped(market.WebhooksWrite)},
		{method: post, path: webhooksPath, handle: h.makeWebhook, auth: key, scopes: scoped(market.WebhooksWrite), once: onceHonoured, body: true},
		{method: get, path: webhooksPath + "/:wid", handle: h.showWebhook, auth: key, scopes: scoped(market.WebhooksWrite)},
		{method: del, path: webhooksPath + "/:wid", handle: h.deleteWebhook, auth: key, scopes: scoped(market.WebhooksWrite), once: onceHonoured},
		{method: post, path: webhooksPath + "/:wid/enable", handle: h.enableWebhook, auth: key, scopes: scoped(market.WebhooksWrite), once: onceHonoured},
		{method: post, path: webhooksPath + "/:wid/test", handle: h.testWebhook, auth: key, scopes: scoped(market.WebhooksWrite), once: onceHonoured},
		{method: post, path: webhooksPath + "/:wid/rotate", handle: h.rotateWebhook, auth: key, scopes: scoped(market.WebhooksWrite), once: onceHonoured},
		{method: get, path: webhooksPath + "/:wid/deliveries", handle: h.listWebhookDeliveries, auth: key, scopes: scoped(market.WebhooksWrite)},
		{method: post, path: webhooksPath + "/:wid/deliveries/:wdid/redeliver", handle: h.redeliver, auth: key, scopes: scoped(market.WebhooksWrite), once: onceHonoured},

		{method: get, path: api + "/agent/tasks", handle: h.listOwnTasks, auth: key, scopes: scoped(market.TasksRead)},
		{method: post, path: api + "/agent/tasks", handle: h.publishTask, auth: key, scopes: scoped(market.TasksPublish), once: onceRequired, body: true},
		{method: post, path: api + "/agent/tasks/check", handle: h.checkTask, auth: key, scopes: scoped(market.TasksPublish), body: true},
		{method: get, path: task, handle: h.showTask, auth: key, scopes: scoped(market.TasksRead)},
		{method: post, path: task + "/check", handle: h.checkOutput, auth: key, scopes: scoped(market.DeliveriesWrite), body: true},
		{method: post, path: task + "/cancel", handle: h.cancelTask, auth: key, scopes: scoped(market.TasksPublish), once: onceHonoured},
		{method: post, path: task + "/claim", handle: h.claimTask, auth: key, scopes: scoped(market.ClaimsWrite), once: onceHonoured, purpose: store.ForClaim},
		{method: post, path: task + "/claim/renew", handle: h.renewClaim, auth: key, scopes: scoped(market.ClaimsWrite), once: onceHonoured},
		{method: del, path: task + "/claim", handle: h.releaseClaim, auth: key, scopes: scoped(market.ClaimsWrite), once: onceHonoured},

		{method: get, path: task + "/timeline", handle: h.showTimeline, auth: key, scopes: scoped(market.TasksRead)},
		{method: get, path: task + "/thread", handle: h.listThread, auth: key, scopes: scoped(market.TasksRead)},
		{method: post, path: task + "/thread", handle: h.postMessage, auth: key, scopes: scoped(market.ThreadWrite), once: onceHonoured, body: true},

		{method: get, path: task + "/deliveries", handle: h.listDeliveries, auth: key, scopes: scoped(market.TasksRead)},
		{method: post, path: task + "/deliveries", handle: h.deliver, auth: key, scopes: scoped(market.DeliveriesWrite), once: onceHonoured, body: true, purpose: store.ForDelivery},
		{method: get, path: task + "/deliveries/:did", handle: h.showDelivery, auth: key, scopes: scoped(market.TasksRead)},
		{method: del, path: task + "/deliveries/:did", handle: h.withdrawDelivery, auth: key, scopes: scoped(market.DeliveriesWrite), once: onceHonoured, purpose: store.ForDelivery},
		{method: post, path: task + "/deliveries/:did/accept", handle: h.acceptDelivery, auth: key, scopes: scoped(market.TasksReview), once: onceHonoured, purpose: store.ForDelivery},
		{method: post, path: task + "/deliveries/:did/reject", handle: h.rejectDelivery, auth: key, scopes: scoped(market.TasksReview), once: onceHonoured, body: true, purpose: store.ForDelivery},
		{method: post, path: task + "/deliveries/:did/appeal", handle: h.appealDelivery, auth: key, scopes: scoped(market.DeliveriesWrite), once: onceHonoured, body: true, purpose: store.ForDelivery},
		{method: post, path: task + "/deliveries/:did/object", handle: h.objectToPayout, auth: key, scopes: scoped(market.TasksReview), once: onceHonoured, body: true, purpose: store.ForDelivery},

		{method: get, path: api + "/admin/cases", handle: h.listCases, auth: operator},
		{method: get, path: api + "/admin/cases/:kid", handle: h.showCase, auth: operator},
		{method: post, path: api + "/admin/cases/:kid/decide", handle: h.decideCase, auth: operator, once: onceHonoured, body: true},
		{method: get, path: api + "/admin/flags", handle: h.listFlags, auth: operator},
		{method: get, path: api + "/admin/flags/:fid", handle: h.showFlag, auth: operator},
		{method: post, path: api + "/admin/flags/:fid/decide", handle: h.decideFlag, auth: operator, once: onceHonoured, body: true},
		{method: post, path: api + "/admin/accounts/:aid/flag", handle: h.flagAccount, auth: operator, once: onceHonoured, body: true},
		{method: get, path: api + "/admin/onboarding", handle: h.showChallenge, auth: operator},
		{method: http.MethodPut, path: api + "/admin/onboarding", handle: h.setChallenge, auth: operator, once: onceHonoured, body: true},
		{method: del, path: api + "/admin/onboarding", handle: h.endChallenge, auth: operator, once: onceHonoured},
		{method: get, path: api + "/admin/accounts", handle: h.listAccountFiles, auth: operator},
		{method: get, path: api + "/admin/accounts/:aid", handle: h.showAccountFile, auth: operator},
		{method: post, path: api + "/admin/accounts/:aid/suspend", handle: h.suspendAccount, auth: operator, once: onceHonoured, body: true},
		{method: post, path: api + "/admin/accounts/:aid/verify", handle: h.verifyAccount, auth: operator, once: onceHonoured, body: true},
		{method: post, path: api + "/admin/accounts/:aid/unverify", handle: h.unverifyAccount, auth: operator, once: onceHonoured, body: true},
		{method: post, path: api + "/admin/accounts/:aid/unsuspend", handle: h.unsuspendAccount, auth: operator, once: onceHonoured, body: true},
		{method: post, path: api + "/admin/accounts/:aid/adjust", handle: h.adjustWallet, auth: operator, once: onceRequired, body: true},
		{method: get, path: api + "/admin/invitations", handle: h.listInvitations, auth: operator},
		{method: post, path: api + "/admin/invitations", handle: h.makeInvitations, auth: operator, once: onceRequired, body: true},
		{method: get, path: api + "/admin/invitations/:iid", handle: h.showInvitations, auth: operator},
		{method: post, path: api + "/admin/invitations/:iid/revoke", handle: h.revokeInvitations, auth: operator, once: onceHonoured},
		{method: post, path: api + "/admin/accounts/:aid/approve", handle: h.approveAccount, auth: operator, once: onceHonoured},
		{method: post, path: api + "/admin/accounts/:aid/refuse", handle: h.refuseAccount, auth: operator, once: onceHonoured, body: true},
		{method: get, path: api + "/admin/log", handle: h.listActions, auth: operator},
		{method: get, path: api + "/admin/reconcile", handle: h.reconcile, auth: operator},
		{method: get, path: api + "/admin/vouchers", handle: h.listVouchers, auth: operator},
		{method: post, path: api + "/admin/vouchers", handle: h.makeVouchers, auth: operator, once: onceRequired, body: true},
		{method: get, path: api + "/admin/vouchers/:bid", handle: h.showVouchers, auth: operator},
		{method: post, path: api + "/admin/vouchers/:bid/revoke", handle: h.revokeVouchers, auth: operator, once: onceHonoured},
		{method: get, path: api + "/admin/reports", handle: h.listReports, auth: operator},
		{method: get, path: api + "/admin/reports/:rid", handle: h.showReport, auth: operator},
		{method: post, path: api + "/admin/reports/:rid/decide", handle: h.decideReport, auth: operator, once: onceHonoured, body: true},
		{method: get, path: api + "/admin/redemptions", handle: h.listReviews, auth: operator},
		{method: get, path: api + "/admin/redemptions/:oid", handle: h.showReview, auth: operator},
		{method: post, path: api + "/admin/redemptions/:oid/approve", handle: h.approveOrder, auth: operator, once: onceHonoured},
		{method: post, path: api + "/admin/redemptions/:oid/refuse", handle: h.refuseOrder, auth: operator, once: onceHonoured, body: true},
		{method: post, path: api + "/admin/redemptions/:oid/settle", handle: h.settleDispute, auth: operator, once: onceHonoured, body: true},
		{method: get, path: api + "/admin/goods", handle: h.listGoods, auth: operator},
		{method: post, path: api + "/admin/goods", handle: h.createGood, auth: operator, once: onceHonoured, body: true},
		{method: get, path: api + "/admin/goods/:gid", handle: h.showGood, auth: operator},
		{method: http.MethodPut, path: api + "/admin/goods/:gid", handle: h.changeGood, auth: operator, once: onceHonoured, body: true},
		{method: get, path: api + "/admin/goods/:gid/codes", handle: h.listCodes, auth: operator},
		{method: post, path: api + "/admin/goods/:gid/withdraw", handle: h.withdrawCodes, auth: operator, once: onceHonoured, body: true},
		{method: post, path: api + "/admin/goods/:gid/codes", handle: h.importCodes, auth: operator, body: true},
	}
}

// endless routes answer with server-sent events.
func (r route) endless() bool {
	return r.page && strings.HasSuffix(r.path, "/events") || strings.HasSuffix(r.path, "/stream")
}

// RouteInfo is a line of the route table, in words.
type RouteInfo struct {
	Method, Path, Auth, Once string
	// Scopes are those that each let a key with scopes in.
	Scopes     []market.Scope
	Body, Page bool
	// Fresh routes ask people for a proof of the last minutes.
	Fresh bool
	// Endless answers go on until somebody has enough.
	Endless bool
}

// RouteTable lists what is served, for tests and documents.
func RouteTable() []RouteInfo {
	var out []RouteInfo
	for _, r := range (&Handlers{}).routes() {
		out = append(out, RouteInfo{Method: r.method, Path: r.path, Body: r.body, Page: r.page, Fresh: r.fresh, Endless: r.endless(), Scopes: r.scopes,
			Auth: map[auth]string{public: "public", key: "key", session: "session", operator: "operator"}[r.auth],
			Once: map[once]string{onceIgnored: "ignored", onceHonoured: "honoured", onceRequired: "required"}[r.once]})
	}
	return out
}
