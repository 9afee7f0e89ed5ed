package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"guildhall/db"
	"guildhall/handlers"
	"guildhall/mail"
	"guildhall/market"
	"guildhall/market/verify/pool"
	"guildhall/store"
	"guildhall/store/hook"
)

const (
	sweepEvery = 2 * time.Second
	sweepLimit = 500
	// grace is how long running requests may take when the server stops.
	grace = 10 * time.Second
)

// serve runs the marketplace until ctx ends.
func serve(ctx context.Context, args, env []string, out, errs io.Writer) error {
	c, err := parseConfig("serve", args, env, errs)
	if err != nil {
		return ignoreHelp(err)
	}
	if len(c.args) > 0 {
		return fmt.Errorf("%w: serve takes no argument %q", errUsage, c.args[0])
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w; choose another address with --addr", c.addr, err)
	}
	defer listener.Close()
	watched, err := listenForMetrics(ctx, c)
	if err != nil {
		return err
	}
	defer watched.close()
	d, err := openDatabase(ctx, c, false)
	if err != nil {
		return err
	}
	defer d.close()
	if err := ready(ctx, c, d.url); err != nil {
		return err
	}
	blobs, err := openBlobs(ctx, c)
	if err != nil {
		return err
	}
	defer blobs.Close()
	vault, err := openVault(c)
	if err != nil {
		return err
	}
	s, err := store.Open(d.url, store.Options{Grant: market.Credits(c.grant), ReferralBonus: market.Credits(c.referralBonus), Terms: c.terms, FeeBPS: c.feeBPS, Blobs: blobs,
		Mail: c.relay != nil, Vault: vault, Registration: c.registration, Review: c.review})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.CheckKeys(ctx); err != nil {
		return fmt.Errorf("%w; put the old key on a line of its own below the new one in secret.key, or behind it in GUILDHALL_SECRET_KEY", err)
	}
	if err := s.BeginOnboarding(ctx); err != nil {
		return err
	}
	verifier, err := newVerifier(c.logger)
	if err != nil {
		return err
	}
	defer verifier.Close()
	if c.baseURL == "" {
		c.baseURL = "http://" + listener.Addr().String()
	}
	meters := newMeters(s)
	options := handlers.Options{Store: s, Verifier: verifier, Logger: c.logger, BaseURL: c.baseURL, RateLimits: c.rateLimits, TrustedProxies: c.trustedProxies, Version: version, SecurityContact: c.securityContact, Done: ctx.Done(), WebhookAllow: c.webhookAllow}
	if watched.on() {
		options.Observe = meters.served
		go watched.serve(ctx, meters, c.logger)
	}
	site := handlers.New(options)
	announce(out, c, d, listener.Addr(), watched)
	sweeping, stopSweeping := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { sweep(sweeping, s, c.logger, meters); close(done) }()
	go collectOrphans(sweeping, s, c.logger)
	go auditDaily(sweeping, s, c.logger)
	go raiseFlags(sweeping, s, c.logger)
	if c.relay != nil {
		go (&mail.Sender{Store: s, Relay: c.relay, BaseURL: c.baseURL, Logger: c.logger}).Run(sweeping)
	}
	sent := make(chan struct{})
	go func() {
		s.SendWebhooks(sweeping, hook.New(hook.Options{Allow: c.webhookAllow}), func(err error) { c.logger.Error("webhooks", "error", err) })
		close(sent)
	}()
	err = answer(ctx, listener, site)
	stopSweeping()
	<-done
	<-sent
	return err
}

// ready brings the schema up to date, or refuses an older one, and finds out
// whether the database was restored.
func ready(ctx context.Context, c config, databaseURL string) error {
	if err := migrated(ctx, c, databaseURL); err != nil {
		return err
	}
	restored, err := store.AfterRestore(ctx, databaseURL)
	if restored {
		c.logger.Info("the database was restored from a dump; event feeds go on behind what is in it")
	}
	return err
}

func migrated(ctx context.Context, c config, databaseURL string) error {
	if !c.noMigrate {
		return db.Migrate(ctx, databaseURL)
	}
	all, err := db.Status(databaseURL)
	if err != nil {
		return err
	}
	for _, m := range all {
		if !m.Applied {
			return fmt.Errorf("the database lacks migration %s; run guildhall migrate up, or start without --no-migrate", m.Name)
		}
	}
	return nil
}

func newVerifier(logger *slog.Logger) (*pool.Pool, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the program for the verify workers: %w", err)
	}
	return pool.New(pool.Options{Command: []string{self, "verify-worker"}, Logger: logger}), nil
}

func announce(out io.Writer, c config, d database, addr net.Addr, watched metricsListener) {
	next, invite := `Next: open it in a browser to create an account, or register an agent with
  curl -s `+c.baseURL+`/api/v1/agents/register -H 'Content-Type: application/json' -d '{"handle":"my-agent"%s}'`, ""
	switch c.registration {
	case market.RegistrationInvite:
		invite = `,"inviteCode":"GHI-…"`
	case market.RegistrationClosed:
		next = "Registration is closed%s: guildhall admin create makes an operator's account."
	}
	fmt.Fprintf(out, `Guildhall listens on http://%s
Data: %s
%s
Stop with Ctrl-C.
`, addr, d.where, fmt.Sprintf(next, invite))
	if watched.on() {
		fmt.Fprintf(out, "Metrics: http://%s/metrics\n", watched.Addr())
	}
}

// sweep lets the clocks act until ctx ends.
func sweep(ctx context.Context, s *store.Store, logger *slog.Logger, m *meters) {
	for {
		n, err := s.Sweep(ctx, sweepLimit)
		m.swept(n, err)
		if err != nil && ctx.Err() == nil {
			logger.Error("sweep", "error", err)
		}
		wait := sweepEvery
		if n >= sweepLimit && err == nil {
			wait = 0 // there is more to catch up with
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// flagLook is how often a node asks whether an hour has gone by.
const flagLook = time.Minute

// raiseFlags has the rules look for fraud once an hour, apart from the clocks,
// which must not wait for them.
func raiseFlags(ctx context.Context, s *store.Store, logger *slog.Logger) {
	for {
		if err := s.RaiseFlags(ctx); err != nil && ctx.Err() == nil {
			logger.Error("flags", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(flagLook):
		}
	}
}

// auditLook is how often a node asks whether a day has gone by.
const auditLook = 10 * time.Minute

// auditDaily recomputes the books once a day, on one of all nodes, and says in
// the log what is wrong with them.
func auditDaily(ctx context.Context, s *store.Store, logger *slog.Logger) {
	for {
		r, done, err := s.AuditDue(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			logger.Error("audit", "error", err)
		case done && len(r.Findings) > 0:
			for _, f := range r.Findings {
				logger.Error("the books are wrong", "check", f.Check, "subject", f.Subject, "finding", f.String())
			}
		case done:
			logger.Info("the books balance", "transfers", r.Transfers, "days", r.Days, "seal", hex.EncodeToString(r.Seal))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(auditLook):
		}
	}
}

// answer serves requests until ctx ends, then lets the running ones finish.
func answer(ctx context.Context, l net.Listener, site http.Handler) error {
	server := &http.Server{Handler: site, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 60 * time.Second,
		WriteTimeout: 60 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := server.Shutdown(stop); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}
