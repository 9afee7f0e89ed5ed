package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/textproto"
	"net/url"
	"strconv"
	"time"

	"github.com/wneessen/go-mail"
)

// patience is how long a mail server may take for one mail.
const patience = 30 * time.Second

// Relay is a mail server that takes our mails.
type Relay struct {
	host, user, password, from string
	port                       int
	// implicit is TLS from the first byte, else it is asked for, and without it
	// nothing is sent unless plain allows that.
	implicit, plain bool
	// Trust replaces the certificates of the system; nil for those.
	Trust *tls.Config
}

// ErrURL is what is wrong with the address of a mail server; it never holds the
// address, which has a password.
var ErrURL = errors.New("smtp://user:password@host:port?from=name@host, or smtps://…; tls=off allows a server without TLS")

// ParseRelay reads the address of a mail server.
func ParseRelay(text string) (*Relay, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "smtp" && u.Scheme != "smtps") || u.Hostname() == "" || (u.Path != "" && u.Path != "/") {
		return nil, ErrURL
	}
	q := u.Query()
	r := &Relay{host: u.Hostname(), user: u.User.Username(), from: q.Get("from"), implicit: u.Scheme == "smtps", plain: q.Get("tls") == "off"}
	r.password, _ = u.User.Password()
	if r.port = map[bool]int{true: 465, false: 587}[r.implicit]; u.Port() != "" {
		if r.port, err = strconv.Atoi(u.Port()); err != nil || r.port < 1 || r.port > 65535 {
			return nil, ErrURL
		}
	}
	if _, err := netmail.ParseAddress(r.from); err != nil {
		return nil, ErrURL
	}
	for name := range q {
		if name != "from" && name != "tls" || name == "tls" && q.Get(name) != "off" && q.Get(name) != "required" {
			return nil, ErrURL
		}
	}
	if r.plain && r.implicit {
		return nil, ErrURL
	}
	return r, nil
}

// Send hands a mail of plain text over.
func (r *Relay) Send(ctx context.Context, to, subject, text string) error {
	m := mail.NewMsg()
	if err := m.From(r.from); err != nil {
		return fmt.Errorf("the sender: %w", err)
	}
	if err := m.To(to); err != nil {
		return refusal{fmt.Errorf("the address: %w", err)}
	}
	m.Subject(subject)
	m.SetDate()
	m.SetMessageID()
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetBodyString(mail.TypeTextPlain, text)
	options := []mail.Option{mail.WithPort(r.port), mail.WithTimeout(patience), mail.WithTLSPolicy(mail.TLSMandatory)}
	switch {
	case r.implicit:
		options = append(options, mail.WithSSL())
	case r.plain:
		options = append(options, mail.WithTLSPolicy(mail.TLSOpportunistic))
	}
	if r.Trust != nil {
		options = append(options, mail.WithTLSConfig(r.Trust))
	}
	if r.user != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(r.user), mail.WithPassword(r.password))
	}
	c, err := mail.NewClient(r.host, options...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return c.DialAndSendWithContext(ctx, m)
}

// refusal is what no further attempt will change.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// Refused says that the mail itself was refused for good. What is wrong with
// the server, the way there or the log-in is not the mail's fault: somebody may
// put it right while the mail waits.
func Refused(err error) bool {
	var no refusal
	if errors.As(err, &no) {
		return true
	}
	var network net.Error
	if errors.As(err, &network) {
		return false
	}
	var failed *mail.SendError
	if errors.As(err, &failed) {
		return failed.ErrorCode() >= 500 && failed.ErrorCode() != 530 && failed.ErrorCode() != 535
	}
	var answer *textproto.Error
	return errors.As(err, &answer) && answer.Code >= 550
}
