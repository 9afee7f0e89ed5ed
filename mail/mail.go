// Package mail sends the mails that the store holds: it knows SMTP and the
// words of mails, and no rule.
package mail

import (
	"context"
	"log/slog"
	"time"

	"guildhall/market"
	"guildhall/store"
)

const (
	// lookEvery is how often the store is asked for mails that are due.
	lookEvery = 2 * time.Second
	// atOnce is how many are taken in one go.
	atOnce = 20
)

// Sender sends what waits in the store. Several may run at once: each mail is
// taken by one, and comes again if that one stops before it is sent.
type Sender struct {
	Store *store.Store
	// Relay hands mails to a mail server.
	Relay *Relay
	// BaseURL is where links lead.
	BaseURL string
	Logger  *slog.Logger
}

// Run sends mails until ctx ends.
func (s *Sender) Run(ctx context.Context) {
	for {
		n, err := s.Once(ctx)
		if err != nil && ctx.Err() == nil {
			s.Logger.Error("mails", "error", err)
		}
		wait := lookEvery
		if n == atOnce && err == nil {
			wait = 0
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// Once sends the mails that are due now, and returns how many it tried.
func (s *Sender) Once(ctx context.Context) (int, error) {
	mails, err := s.Store.TakeMails(ctx, atOnce)
	for _, m := range mails {
		if e := s.send(ctx, m); e != nil {
			return len(mails), e
		}
	}
	return len(mails), err
}

// send tries one mail. Only trouble with the store is an error: what a mail
// server refuses is noted there.
func (s *Sender) send(ctx context.Context, m market.Mail) error {
	subject, text := Words(m, s.BaseURL)
	err := s.Relay.Send(ctx, m.To, subject, text)
	if err == nil {
		return s.Store.MailSent(context.WithoutCancel(ctx), m.ID)
	}
	forGood := Refused(err)
	s.Logger.Warn("a mail was not sent", "mail", m.ID, "kind", m.Kind, "attempts", m.Attempts, "givenUp", forGood, "error", err)
	return s.Store.MailFailed(context.WithoutCancel(ctx), m.ID, forGood, err.Error())
}
