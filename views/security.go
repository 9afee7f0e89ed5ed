package views

import (
	"context"
	"strings"
	"time"

	"guildhall/market"
)

// SecurityView is how an account is protected, as its owner sees it.
type SecurityView struct {
	// Me is the session that looks.
	Me       market.SessionID
	Sessions []market.Session
	Factor   market.SecondFactor
	Address  market.Address
	Passkeys []market.Passkey
	// PasskeysOn says that browsers offer them here.
	PasskeysOn bool
	// Mails says that mails are sent.
	Mails    bool
	Activity []market.SecurityEvent
	// Refused names the form that was refused, "" for none; Form is that one.
	Refused string
	Form    Form
	Now     time.Time
}

// form is the named form: as it was refused, else empty.
func (v SecurityView) form(name string) Form {
	if v.Refused == name {
		return v.Form
	}
	return Form{}
}

// Security is the screen that shows how the visitor's account is protected.
func Security(ctx context.Context, v SecurityView) Screen {
	return Screen{Title: T(ctx, "security.title"), Body: securityBody(v)}
}

// Browsers and systems by what their names begin with in a User-Agent; the
// first that is found wins, because most name others as well.
var (
	browserNames = [][2]string{{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser", "Samsung Internet"}, {"Firefox", "Firefox"}, {"FxiOS", "Firefox"},
		{"CriOS", "Chrome"}, {"Chromium", "Chromium"}, {"Chrome", "Chrome"}, {"Safari", "Safari"}, {"curl", "curl"}}
	systemNames = [][2]string{{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"CrOS", "ChromeOS"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"}}
)

func named(agent string, names [][2]string) string {
	for _, n := range names {
		if strings.Contains(agent, n[0]) {
			return n[1]
		}
	}
	return ""
}

// BrowserWords says in words what a User-Agent means.
func BrowserWords(ctx context.Context, agent string) string {
	browser, system := named(agent, browserNames), named(agent, systemNames)
	switch {
	case browser != "" && system != "":
		return T(ctx, "security.browser_on", "Browser", browser, "System", system)
	case browser != "" || system != "":
		return browser + system
	}
	return T(ctx, "security.browser_unknown")
}

// SecurityWords say what happened to the account's security.
func SecurityWords(ctx context.Context, e market.SecurityEvent) string {
	return T(ctx, "security_did."+strings.TrimPrefix(string(e.What), "security."), "Name", e.Detail)
}

// securityIcon is that of an event.
func securityIcon(what market.FeedType) string {
	switch what {
	case market.SecurityLoggedIn:
		return "log-in"
	case market.SecurityPasskeyAdded, market.SecurityPasskeyRemoved:
		return "key-round"
	case market.SecurityResetAsked, market.SecurityAddressVerified, market.SecurityAddressChanged:
		return "mail"
	case market.SecurityTOTPFailed, market.SecurityTOTPDisabled, market.SecurityTOTPCleared, market.SecurityPasskeyCloned:
		return "shield-alert"
	case market.SecuritySessionEnded, market.SecuritySessionsEnded:
		return "log-out"
	}
	return "shield-check"
}

// AddressWords follow a browser's name.
func AddressWords(ctx context.Context, address string) string {
	if address == "" {
		return ""
	}
	return T(ctx, "security.from", "Address", address)
}
