package mail

import (
	"context"
	"net/url"
	"strings"

	"guildhall/market"
	"guildhall/views"
)

// Words are the subject and the text of a mail, in its reader's language.
func Words(m market.Mail, baseURL string) (subject, text string) {
	ctx := views.WithLanguage(context.Background(), views.MatchLanguage(m.Lang, ""))
	say := func(part string, pairs ...any) string {
		return views.T(ctx, "mail."+string(m.Kind)+"_"+part, append([]any{"Handle", m.Handle}, pairs...)...)
	}
	var parts []string
	switch m.Kind {
	case market.MailReset:
		parts = []string{say("text"), link(baseURL, "/reset", m.Args["Token"]), say("after")}
	case market.MailVerify:
		parts = []string{say("text"), link(baseURL, "/verify", m.Args["Token"]), say("after")}
	case market.MailMoved:
		parts = []string{say("text", "Email", m.Args["Email"]), say("after")}
	case market.MailNotice:
		e := market.SecurityEvent{What: market.FeedType(m.Args["What"]), Detail: m.Args["Detail"], At: m.At, Address: m.Args["Address"], Agent: m.Args["Agent"]}
		parts = []string{say("text", "What", views.SecurityWords(ctx, e)), views.Moment(ctx, e.At) + "\n" + views.BrowserWords(ctx, e.Agent) + views.AddressWords(ctx, e.Address), say("after"), baseURL + "/settings/security"}
	}
	return say("subject"), strings.Join(append(parts, "-- \nGuildhall\n"+baseURL), "\n\n") + "\n"
}

func link(baseURL, path, token string) string {
	return baseURL + path + "?" + url.Values{"token": {token}}.Encode()
}
