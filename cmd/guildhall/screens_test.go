package main

import (
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/chromedp/chromedp"
)

// screen is a page as somebody sees it, with the steps that lead there.
type screen struct {
	name, path string
	who        member
	// lead brings the page from what path shows to what is meant.
	lead func(*tab)
	// there is true in the browser once it is shown.
	there string
}

// show brings the tab there.
func (s screen) show(b *tab) {
	b.t.Helper()
	b.open(s.path)
	if s.lead != nil {
		s.lead(b)
	}
	there := s.there
	if there == "" {
		there = "document.querySelector('h1')"
	}
	b.until("document.readyState === 'complete' && document.getElementById('main') && " + there)
}

// send submits the form as its button does.
func (b *tab) send(form, button string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`document.readyState === 'complete' && (f => f && (f.requestSubmit(%s), true))(document.querySelector(%s))`,
		map[bool]string{true: "null", false: "document.querySelector(" + quote(button) + ")"}[button == ""], quote(form)))
}

// screens are all pages of the site in all their forms.
func screens(w *world) []screen {
	const refused = `document.querySelector('.error-summary')`
	send := func(form string) func(*tab) { return func(b *tab) { b.send(form, "") } }
	// Somebody new, for what needs a proof of the last minutes.
	anew := func(do func(*tab, member)) func(*tab) {
		return func(b *tab) {
			m := join(b.t, w.url, "anew-"+strings.ToLower(rand.Text()[:8]))
			b.as(m)
			do(b, m)
		}
	}
	return []screen{
		// First: cookies go along with a form of another site for two minutes only.
		{name: "forbidden", path: "/login", there: `document.querySelector('.error-page')`, lead: func(b *tab) {
			// A form of another site, as far as the browser is concerned.
			b.do(chromedp.Navigate("about:blank"))
			eval[bool](b, fmt.Sprintf(`(f => { f.method = 'post'; f.action = %s; document.body.append(f); f.submit(); return true })(document.createElement('form'))`, quote(b.url+"/preferences")))
		}},
		{name: "home", path: "/"},
		{name: "home-member", path: "/", who: w.mara},
		{name: "market", path: "/market", there: `document.querySelectorAll('.task').length === 20 && document.querySelector('.task-more')`},
		{name: "market-filtered", path: "/market?skills=csv&skills=ocr&minReward=50&sort=reward", there: `document.querySelectorAll('.chip').length === 2`},
		{name: "market-nothing", path: "/market?q=nothing-like-this", there: `document.querySelector('.empty')`},
		{name: "skills", path: "/market/skills", there: `document.querySelector('main a[href*="skills="]')`},
		{name: "task-stranger", path: w.open, there: `document.querySelector('#claim-call')`},
		{name: "task-publisher", path: w.open, who: w.mara, there: `document.querySelector('form[action$="/cancel"]')`},
		{name: "task-claimed", path: w.claimed},
		{name: "task-thread-refused", path: w.open, who: w.mara, lead: send(`.ask`), there: `document.querySelector('#thread .error-summary')`},
		{name: "task-report", path: w.open, lead: func(b *tab) { b.until(`(d => d && (d.open = true))(document.querySelector('.report'))`) }},
		{name: "task-report-message", path: w.open, who: w.newcomer, lead: func(b *tab) { b.click(`.msg:last-child [href*="report="]`) }, there: `document.querySelector('.report[open] blockquote')`},
		{name: "task-report-refused", path: w.claimed, who: w.newcomer, lead: send(`.report form`), there: `document.querySelector('.report[open] .error-summary')`},
		{name: "task-review", path: w.pending, who: w.mara, lead: func(b *tab) { b.until(`(d => d && (d.open = true))(document.querySelector('.decide-reject'))`) }},
		{name: "task-reject-refused", path: w.pending, who: w.mara, lead: send(`.decide-reject form`), there: `document.querySelector('.decide-reject[open] .error-summary')`},
		{name: "task-settled", path: w.settled, who: w.mara},
		{name: "task-timeline", path: w.settled, who: w.mara, there: `document.querySelector('#timeline[open] .event code, #timeline[open] .event p')`, lead: func(b *tab) { b.click("#timeline > summary") }},
		{name: "timeline", path: w.settled + "/timeline", who: w.judge, there: `document.querySelector('tbody code')`},
		{name: "task-rejected", path: w.rejected, who: w.mara},
		{name: "review", path: w.pending + "/review", who: w.mara, there: `document.querySelector('#review')`},
		{name: "review-text", path: w.sheet + "/review", who: w.mara, there: `document.querySelector('.view-text').checkVisibility()`, lead: func(b *tab) {
			b.clickAt(`.view [value=text]`)
			b.until(`(scrollTo(0, 0), true)`) // links under the bar have no room
		}},
		{name: "review-folded", path: w.report + "/review", who: w.mara, there: `document.querySelector('.prose table')`, lead: func(b *tab) {
			b.click(".json details details > summary")
		}},
		{name: "task-samples", path: w.sampled, who: w.mara, lead: func(b *tab) {
			b.click("#samples > summary")
		}},
		{name: "delivery-accepted", path: w.accepted, who: w.mara, there: `document.querySelector('.notice-ok')`},
		{name: "delivery-rejected", path: w.refused, who: w.mara, there: `document.querySelector('.notice-bad')`},
		{name: "publish", path: "/tasks/new", who: w.mara},
		{name: "publish-refused", path: "/tasks/new", who: w.mara, lead: send(`.publish`), there: refused},
		{name: "publish-preview", path: "/tasks/new", who: w.mara, there: `document.querySelector('#preview') && document.querySelector('#outputSchema').value`, lead: func(b *tab) {
			b.set("#examples", words)
			b.send(".publish", `[name="inferSchema"]`)
			b.until(`location.hash === '#outputSchema' && document.querySelector('#outputSchema')?.value`)
			for name, value := range wordsTask("Translate the signs", 30, false) {
				if !strings.HasPrefix(name, "rules.") {
					b.set("#"+name, value)
				}
			}
			b.send(".publish", `[name="preview"]`)
		}},
		{name: "publish-samples", path: "/tasks/new", who: w.mara, there: `document.querySelectorAll('.sample-result').length === 3`, lead: func(b *tab) {
			b.set(`[name="rules.0.kind"]`, "range")
			b.until(`document.querySelector('[id="rules.0.max"]')`)
			for field, text := range map[string]string{"rules.0.name": "few", "rules.0.pointer": "/n", "rules.0.max": "10", "samples.pass.0": `{"n": 12}`, "samples.fail.0": `{"n": 12}`} {
				b.set(`[id="`+field+`"]`, text)
			}
			b.send(".publish", `[name="addSample"][value="fail"]`)
			b.until(`document.querySelector('[id="samples.fail.1"]') && document.readyState === 'complete'`)
			b.set(`[id="samples.fail.1"]`, `{"n": 7}`)
			eval[bool](b, `document.querySelector('#autoAccept').checked = true`)
			b.send(".publish", `[name="trySamples"]`)
		}},
		{name: "vault", path: "/vault", who: w.newcomer, there: `document.querySelector('section[data-step="new"]:not([hidden])')`},
		{name: "vault-saving", path: "/vault", who: w.newcomer, there: `document.querySelector('section[data-step="saving"]:not([hidden])')`, lead: func(b *tab) { b.act(`[data-act="make"]`) }},
		{name: "vault-ready", path: "/vault", who: w.mara, there: `document.querySelector('section[data-step="ready"]:not([hidden])')`, lead: func(b *tab) {
			b.makeKeys()
			b.set(`section[data-needs-keys] [data-join]`, newRecipient(b.t))
			b.act(`section[data-needs-keys] [data-act="join"]`)
			b.said("joined")
		}},
		{name: "seal", path: "/tasks/new", who: w.mara, there: `document.querySelector('[data-rows]')?.checkVisibility()`, lead: func(b *tab) {
			for name, value := range wordsTask("Translate the signs", 30, false) {
				if !strings.HasPrefix(name, "rules.") {
					b.set("#"+name, value)
				}
			}
			eval[bool](b, `document.querySelector('#protectedFields').checked = true`)
			b.send(".publish", "")
			b.until(`document.querySelector('#vault')`)
			b.makeKeys()
		}},
		{name: "task-protected", path: w.sealed, there: `document.querySelector('#protected-h')`},
		{name: "task-vault", path: w.sealed + "/vault", who: w.mara, there: `document.querySelector('form[data-request]:not([hidden])')`, lead: (*tab).makeKeys},
		{name: "task-vault-refused", path: w.sealed + "/vault", who: w.mara, lead: func(b *tab) {
			b.until(`(f => f && (f.elements.reason.value = 'x'.repeat(1001), f.elements.reason.removeAttribute('maxlength'), f.requestSubmit(), true))(document.querySelector('form[action$="/deny"]'))`)
		}, there: refused},
		{name: "console", path: "/console", who: w.mara, there: `document.querySelectorAll('.task').length > 3`},
		{name: "console-empty", path: "/console", who: w.newcomer, there: `document.querySelector('.empty')`},
		{name: "docs", path: "/docs"},
		{name: "docs-agents", path: "/docs/agents", there: `document.querySelector('#prompt')`},
		{name: "docs-people", path: "/docs/people", who: w.mara},
		{name: "docs-errors", path: "/docs/errors"},
		{name: "docs-rules", path: "/docs/rules?recipe=rule"},
		{name: "docs-rules-tried", path: "/docs/rules?recipe=range", lead: send(`form[action="/docs/rules"]`), there: `document.querySelector('#try [role="status"]')`},
		{name: "docs-secrets", path: "/docs/secrets"},
		{name: "docs-webhooks", path: "/docs/webhooks"},
		{name: "docs-changelog", path: "/docs/changelog"},
		{name: "bundles", path: "/console/bundles", who: w.mara, there: `document.querySelectorAll('.task').length >= 3`},
		{name: "bundles-empty", path: "/console/bundles", who: w.newcomer, there: `document.querySelector('.empty')`},
		{name: "bundle-new", path: "/console/bundles/new", who: w.mara},
		{name: "bundle-new-refused", path: "/console/bundles/new?preset=review", who: w.newcomer, lead: send(`form[action="/console/bundles"]`), there: refused},
		{name: "bundle-handover", path: "/console/bundles/new?preset=watch", who: w.mara, there: `document.querySelector('#prompt')`, lead: func(b *tab) {
			b.set("#name", "Night watch")
			b.send(`form[action="/console/bundles"]`, "")
		}},
		{name: "bundle", path: w.bundle, who: w.mara, there: `document.querySelectorAll('tbody tr').length >= 5`},
		{name: "bundle-narrow", path: w.bundle, who: w.mara, there: `document.querySelector('details[open] form[action$="/narrow"]')`, lead: func(b *tab) { b.click(".panel summary") }},
		{name: "bundle-leaked", path: w.leaked, who: w.mara, there: `document.querySelector('.notice-warn')`},
		{name: "agents-empty", path: "/console/agents", who: w.newcomer, there: `document.querySelector('.empty')`},
		{name: "agents", path: "/console/agents", who: w.keeper, there: `document.querySelectorAll('.task').length === 2 && document.querySelector('#ended-h')`},
		{name: "agents-refused", path: "/console/agents", who: w.newcomer, lead: send(`form[action$="/check"]`), there: refused},
		{name: "agent-bind", path: "/console/agents", who: w.keeper, there: `document.querySelector('form[action="/console/agents"]')`, lead: func(b *tab) {
			b.set("#code", register(b.t, w.url, fresh("ink-courier")).code(b.t)) // its own: a newer code ends the one before
			b.send(`form[action$="/check"]`, "")
		}},
		{name: "agent", path: "/console/agents/lexicon", who: w.keeper, there: `document.querySelector('#deeds-h + .table-wrap')`},
		{name: "agent-paused", path: "/console/agents/night-clerk", who: w.keeper, there: `document.querySelector('.notice-warn')`},
		{name: "agent-limit-refused", path: "/console/agents/night-clerk", who: w.keeper, there: refused, lead: func(b *tab) {
			b.set("#limit", "-1")
			b.send(`form[action$="/limit"]`, "")
		}},
		{name: "agent-grant", path: "/console/agents/night-clerk", who: w.keeper, lead: send(`form[action$="/grant"]`), there: `document.querySelector('#grant')`},
		{name: "activity", path: "/console/activity", who: w.mara, there: `document.querySelectorAll('.event').length === 20`},
		{name: "activity-empty", path: "/console/activity", who: w.newcomer, there: `document.querySelector('.empty')`},
		{name: "webhooks", path: "/console/webhooks", who: w.mara, there: `document.querySelector('.task')`},
		{name: "webhooks-empty", path: "/console/webhooks", who: w.newcomer, there: `document.querySelector('.empty')`},
		{name: "webhooks-refused", path: "/console/webhooks", who: w.newcomer, lead: send(`form[action="/console/webhooks"]`), there: refused},
		{name: "webhook-secret", path: w.hook, who: w.mara, there: `document.querySelector('#secret')`, lead: send(`form[action$="/rotate"]`)},
		{name: "webhook", path: w.hook, who: w.mara, there: `document.querySelector('form[action$="/redeliver"]')`},
		{name: "wallet", path: "/wallet", who: w.mara, there: `document.querySelector('.spark')`},
		{name: "wallet-nothing", path: "/wallet?kind=payout", who: w.newcomer},
		{name: "referrals", path: "/referrals", who: w.mara, there: `document.querySelectorAll('tbody tr').length >= 2`},
		{name: "referrals-nobody", path: "/referrals", who: w.newcomer, there: `document.querySelector('.empty')`},
		{name: "redeem", path: "/redeem", who: w.mara, there: `document.querySelectorAll('.good').length === 4`},
		{name: "redeem-open", path: "/redeem", who: w.mara, there: `document.querySelector('.good-order[open] form')`, lead: func(b *tab) { b.click(".good-order summary") }},
		{name: "redeem-refused", path: "/redeem", who: w.mara, there: refused, lead: func(b *tab) {
			b.until(`(f => f && (f.elements.price.value = '1', f.requestSubmit(), true))(document.querySelector('.good-order form'))`)
		}},
		{name: "redeem-nothing", path: "/redeem/orders", who: w.newcomer, there: `document.querySelector('.empty')`},
		{name: "redeem-orders", path: "/redeem/orders", who: w.mara, there: `document.querySelectorAll('tbody tr').length === 6`},
		{name: "order-waiting", path: w.ordered, who: w.mara, there: `document.querySelector('.notice-warn')`},
		{name: "order-refused", path: w.turned, who: w.mara, there: `document.querySelector('.notice-bad')`},
		{name: "order-ready", path: w.coded, who: w.mara, there: `document.querySelector('form[action$="/reveal"]')`},
		{name: "order-faulty", path: w.faulty, who: w.mara, there: `document.querySelector('form[action$="/dispute"]')`, lead: func(b *tab) {
			b.click("#dispute-h + .disclosure summary")
			eval[int](b, "scrollTo(0, 0), 0") // the bar covers no link then
		}},
		{name: "order-dispute-refused", path: w.faulty, who: w.mara, lead: send(`form[action$="/dispute"]`), there: refused},
		{name: "order-disputed", path: w.bad, who: w.mara, there: `document.querySelector('.notice-warn')`},
		{name: "order-refunded", path: w.back, who: w.mara, there: `document.querySelector('.notice-ok')`},
		{name: "settings", path: "/settings", who: w.mara},
		{name: "security", path: "/settings/security", who: w.mara, there: `document.querySelectorAll('tbody tr').length > 0`},
		{name: "security-refused", path: "/settings/security", who: w.mara, lead: send(`form[action="/settings/password"]`), there: refused},
		{name: "totp-enrol", path: "/confirm", who: w.careful, lead: anew(func(b *tab, m member) {
			m.beginTOTP(b.t)
			b.open("/settings/security/totp")
		}), there: `document.querySelector('svg[role=img]')`},
		{name: "totp-enrol-refused", path: "/confirm", who: w.careful, lead: anew(func(b *tab, m member) {
			m.beginTOTP(b.t)
			b.open("/settings/security/totp")
			b.send(`form[action="/settings/security/totp"]`, "")
		}), there: refused},
		{name: "security-full", path: "/settings/security", who: w.guarded, there: `document.querySelectorAll('tbody tr').length > 1`},
		{name: "recovery-codes", path: "/confirm", who: w.careful, lead: anew(func(b *tab, m member) {
			m.enrol(b.t)
			b.open("/settings/security")
			b.send(`form[action="/settings/security/recovery"]`, "")
		}), there: `document.querySelector('#codes')`},
		{name: "login-code", path: "/login", lead: func(b *tab) {
			b.set("#email", w.guarded.email())
			b.set("#password", password)
			b.send(`form[action="/login"]`, "")
		}, there: `document.querySelector('form[action="/login/code"]')`},
		{name: "confirm-code", path: "/confirm", who: w.guarded, there: `document.querySelector('#totp')`},
		{name: "forgot", path: "/forgot", there: `document.querySelector('form[action="/forgot"]')`},
		{name: "forgot-refused", path: "/forgot", lead: send(`form[action="/forgot"]`), there: refused},
		{name: "forgot-sent", path: "/forgot", lead: func(b *tab) {
			b.set("#email", "nobody@example.org")
			b.send(`form[action="/forgot"]`, "")
		}, there: `!document.querySelector('form[action="/forgot"]')`},
		{name: "reset", path: w.reset, there: `document.querySelector('#newPassword')`},
		{name: "reset-refused", path: w.reset, lead: send(`form[action="/reset"]`), there: refused},
		{name: "reset-invalid", path: "/reset?token=NOTHING", there: `document.querySelector('.error-page')`},
		{name: "verify", path: "/verify?token=NOTHING", who: w.mara, there: `document.querySelector('form[action="/verify"]')`},
		{name: "confirm", path: "/confirm?next=/settings/security", who: w.mara, there: `document.querySelector('#password')`},
		{name: "confirm-refused", path: "/confirm", who: w.mara, lead: send(`form[action="/confirm"]`), there: refused},
		{name: "profile-person", path: "/agents/" + w.mara.handle},
		{name: "profile-agent", path: "/agents/" + w.agent},
		{name: "leaderboard", path: "/leaderboard?period=all", there: `document.querySelector('#board')`},
		{name: "leaderboard-publishers", path: "/leaderboard?role=publisher&period=all", who: w.mara, there: `document.querySelector('#board')`},
		{name: "leaderboard-nothing", path: "/leaderboard?skill=nobody-has-this", there: `document.querySelector('#board .empty')`},
		{name: "many-publisher", path: w.many, who: w.mara, there: `document.querySelectorAll('#review tbody tr').length === 2`},
		{name: "many-stranger", path: w.many, there: `document.querySelector('#claim-call')`},
		{name: "many-delivery", path: w.waiting, who: w.mara, there: `document.querySelector('.decide')`},
		{name: "many-copied", path: w.copied, who: w.mara, there: `document.querySelector('.review .identical a')`},
		{name: "states", path: "/docs/states", there: `document.querySelectorAll('svg.states').length === 2`},
		{name: "cases", path: "/admin/cases", who: w.judge, there: `document.querySelector('.task')`},
		{name: "cases-closed", path: "/admin/cases?state=closed", who: w.judge, there: `document.querySelector('.task')`},
		{name: "case", path: w.unfair, who: w.judge, there: `document.querySelector('form[action$="/decide"]')`},
		{name: "case-refused", path: w.unfair, who: w.judge, lead: send(`form[action$="/decide"]`), there: refused},
		{name: "case-decided", path: w.undone, who: w.judge},
		{name: "vouchers", path: "/admin/vouchers", who: w.judge, there: `document.querySelector('main .task')`},
		{name: "challenge", path: "/admin/onboarding", who: w.judge, there: `document.querySelector('#brief')`},
		{name: "challenge-refused", path: "/admin/onboarding", who: w.judge, lead: func(b *tab) {
			b.set("#passphrase", "swordfish")
			b.send(`form[action="/admin/onboarding"]`, "")
		}, there: refused},
		{name: "onboarding-task", path: "/market?skills=onboarding", who: w.judge, there: `document.querySelector(".ticket")`, lead: func(b *tab) { b.click(".tasks .task h3 a"); b.until(`document.querySelector(".ticket")`) }},
		{name: "vouchers-refused", path: "/admin/vouchers", who: w.judge, lead: send(`form[action="/admin/vouchers"]`), there: refused},
		{name: "wallet-voucher-refused", path: "/wallet", who: w.newcomer, lead: send(`form[action="/wallet/vouchers"]`), there: refused},
		{name: "voucher-codes", path: "/admin/vouchers", who: w.judge, there: `document.querySelector('#codes')`, lead: func(b *tab) {
			b.set("#amount", "500")
			b.set("#count", "3")
			b.send(`form[action="/admin/vouchers"]`, "")
		}},
		{name: "books", path: "/admin/books", who: w.judge},
		{name: "books-now", path: "/admin/books", who: w.judge, lead: send(`form[action="/admin/books"]`), there: `document.querySelector('.notice-ok')`},
		{name: "reports", path: "/admin/reports", who: w.judge, there: `document.querySelectorAll('.task').length > 2`},
		{name: "reports-closed", path: "/admin/reports?state=closed", who: w.judge, there: `document.querySelector('.task')`},
		{name: "report", path: w.reported, who: w.judge, there: `document.querySelector('input[name=all]')`},
		{name: "report-message", path: w.insulted, who: w.judge, there: `document.querySelector('.review blockquote strong')`},
		{name: "report-refused", path: w.reported, who: w.judge, lead: send(`form[action$="/decide"]`), there: refused},
		{name: "goods", path: "/admin/goods", who: w.judge, there: `document.querySelectorAll('tbody tr').length === 4`},
		{name: "good", path: w.good, who: w.judge, there: `document.querySelector('form[action$="/codes"]')`},
		{name: "good-import-refused", path: w.good, who: w.judge, lead: send(`form[action$="/codes"]`), there: refused},
		{name: "shelf", path: w.good + "/codes", who: w.judge, there: `document.querySelectorAll('input[name=codes]').length > 2`},
		{name: "shelf-refused", path: w.good + "/codes", who: w.judge, lead: send(`form[action$="/withdraw"]`), there: refused},
		{name: "shelf-empty", path: w.soldOut + "/codes", who: w.judge, there: `document.querySelector('.empty')`},
		{name: "reviews", path: "/admin/redemptions", who: w.judge, there: `document.querySelector('.task')`},
		{name: "review-order", path: w.held, who: w.judge, there: `document.querySelector('form[action$="/approve"]')`},
		{name: "review-order-refused", path: w.held, who: w.judge, lead: send(`form[action$="/refuse"]`), there: refused},
		{name: "flags", path: "/admin/flags", who: w.judge, there: `document.querySelector('.task')`},
		{name: "flags-none", path: "/admin/flags?state=held", who: w.judge, there: `document.querySelector('.empty')`},
		{name: "flag", path: w.flag, who: w.judge, there: `document.querySelector('form[action$="/decide"]')`},
		{name: "flag-refused", path: w.flag, who: w.judge, lead: send(`form[action$="/decide"]`), there: refused},
		{name: "reviews-disputed", path: "/admin/redemptions?state=disputed", who: w.judge, there: `document.querySelector('.task-brief')`},
		{name: "review-dispute", path: w.doubted, who: w.judge, there: `document.querySelector('form[action$="/settle"]')`},
		{name: "review-dispute-refused", path: w.doubted, who: w.judge, lead: send(`form[action$="/settle"]`), there: refused},
		{name: "accounts", path: "/admin/accounts", who: w.judge, there: `document.querySelectorAll('tbody tr').length > 5`},
		{name: "accounts-none", path: "/admin/accounts?q=nobody-here&state=suspended", who: w.judge, there: `document.querySelector('.empty')`},
		{name: "account-file", path: w.file, who: w.judge, there: `document.querySelector('form[action$="/suspend"]')`},
		{name: "account-file-suspended", path: w.stopped, who: w.judge, there: `document.querySelector('form[action$="/unsuspend"]')`},
		{name: "account-suspend-refused", path: w.file, who: w.judge, lead: send(`form[action$="/suspend"]`), there: refused},
		{name: "account-adjust-refused", path: w.file, who: w.judge, lead: send(`form[action$="/adjust"]`), there: `document.querySelector('.disclosure[open] #amount')`},
		{name: "account-pending", path: w.patient, who: w.judge, there: `document.querySelector('form[action$="/approve"]')`},
		{name: "waiting", path: "/console", who: w.waiter, there: `document.querySelector('.notice-warn')`},
		{name: "turned-away", path: "/market", who: w.turnedAway, there: `document.querySelector('.notice-bad')`},
		{name: "invitations", path: "/admin/invitations", who: w.judge, there: `document.querySelector('main .task')`},
		{name: "invitations-refused", path: "/admin/invitations", who: w.judge, there: refused, lead: func(b *tab) {
			b.set("#count", "0")
			b.send(`form[action="/admin/invitations"]`, "")
		}},
		{name: "invitation-codes", path: "/admin/invitations", who: w.judge, there: `document.querySelector('#links')`, lead: send(`form[action="/admin/invitations"]`)},
		{name: "admin-log", path: "/admin/log", who: w.judge, there: `document.querySelectorAll('tbody tr').length > 8`},
		{name: "admin-log-none", path: "/admin/log?operator=nobody-here", who: w.judge, there: `document.querySelector('.empty')`},
		{name: "suspended", path: "/wallet", who: w.banned, there: `document.querySelector('.error-page')`},
		{name: "task-halted", path: w.halted, who: w.newcomer, there: `document.querySelector('.notice-warn')`},
		{name: "no-operator", path: "/admin/cases", who: w.mara, there: `document.querySelector('.error-page')`},
		{name: "register", path: "/register"},
		{name: "register-refused", path: "/register", lead: send(`form[action="/register"]`), there: refused},
		{name: "login-refused", path: "/login", lead: send(`form[action="/login"]`), there: refused},
		{name: "not-found", path: "/tasks/nothing", there: `document.querySelector('.error-page')`},
		{name: "bad-filter", path: "/market?sort=luck", there: `document.querySelector('.error-page')`},
	}
}
