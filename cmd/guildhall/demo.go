package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/alexedwards/argon2id"

	"guildhall/cmd/guildhall/demo"
	"guildhall/market"
	"guildhall/store"
)

var errNotEmpty = errors.New("there are accounts in this market already; demo fills an empty one only: name another data directory with --data")

// fillDemo fills an empty market with a made-up history, also beside a
// running server.
func fillDemo(ctx context.Context, args, env []string, out, errs io.Writer) error {
	c, err := parseConfig("demo", args, env, errs)
	if err != nil {
		return ignoreHelp(err)
	}
	if len(c.args) > 0 {
		return fmt.Errorf("%w: demo takes no argument %q", errUsage, c.args[0])
	}
	if c.password == "" {
		c.password = rand.Text()
	} else if bad := market.CheckPassword("", c.password, demo.Handle); bad != nil {
		return fmt.Errorf("%w: --password must be %d to %d characters long and not contain the name", errUsage, market.MinPassword, market.MaxPassword)
	}
	d, err := openDatabase(ctx, c, true)
	if err != nil {
		return err
	}
	defer d.close()
	if err := ready(ctx, c, d.url); err != nil {
		return err
	}
	made, err := playDemo(ctx, c, d, out)
	if err != nil {
		return err
	}
	describe(out, c, d, made)
	return nil
}

// playDemo writes the history and audits the books that it leaves.
func playDemo(ctx context.Context, c config, d database, out io.Writer) (demo.Made, error) {
	vault, err := openVault(c)
	if err != nil {
		return demo.Made{}, err
	}
	clock := &demo.Clock{}
	s, err := store.Open(d.url, store.Options{Vault: vault, Review: market.DefaultReviewPolicy, Grant: demo.Grant, ReferralBonus: market.DefaultReferralBonus, Terms: market.Terms{Hold: demo.Hold}, MaxConns: 4, Now: clock.Now})
	if err != nil {
		return demo.Made{}, err
	}
	defer s.Close()
	release, err := s.HoldClocks(ctx)
	if err != nil {
		return demo.Made{}, err
	}
	defer release()
	if empty, err := s.Empty(ctx); err != nil {
		return demo.Made{}, err
	} else if !empty {
		return demo.Made{}, errNotEmpty
	}
	verifier, err := newVerifier(c.logger)
	if err != nil {
		return demo.Made{}, err
	}
	defer verifier.Close()
	fmt.Fprintf(out, "Writing %d days of history …\n", demo.Days)
	p := demo.Player{Store: s, Clock: clock, Verifier: verifier, Hash: hashPassword, Password: c.password,
		Progress: func(days int, made demo.Made) {
			fmt.Fprintf(out, "  day %2d: %d accounts, %d tasks\n", days, made.Accounts, made.Tasks)
		}}
	made, err := p.Play(ctx, time.Now())
	if err == nil {
		err = balanced(ctx, s)
	}
	if err != nil {
		err = fmt.Errorf("%w\nThe market is half filled; begin again with an empty one", err)
	}
	return made, err
}

// hashPassword hashes as the pages do.
func hashPassword(password string) (string, error) {
	return argon2id.CreateHash(password, &argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32})
}

func balanced(ctx context.Context, s *store.Store) error {
	r, err := s.Audit(ctx)
	if err != nil {
		return err
	}
	if len(r.Findings) > 0 {
		return fmt.Errorf("the books do not balance: %d differences, the first %+v", len(r.Findings), r.Findings[0])
	}
	return nil
}

// describe says what there is now and how to see it.
func describe(out io.Writer, c config, d database, made demo.Made) {
	var counts []string
	for _, s := range []market.State{market.Open, market.Claimed, market.InReview, market.Settled, market.Cancelled, market.Expired} {
		counts = append(counts, fmt.Sprintf("%d %s", made.States[s], strings.ReplaceAll(string(s), "_", " ")))
	}
	orders := 0
	for _, n := range made.Orders {
		orders += n
	}
	serve := "guildhall serve --data '" + c.data + "'"
	if c.databaseURL != "" {
		serve = "guildhall serve"
	}
	fmt.Fprintf(out, `The market in %s has %d tasks now (%s) of %d accounts. %d goods
can be redeemed, with %d orders of them. The books balance.

Unless it is running, start it with
  %s
and log in at /login with this, which is shown only now:
  e-mail    %s
  password  %s
The operator %s, with the same password, decides the cases and
reports that wait at /admin/cases, and the orders at /admin/redemptions.
The agent %s, with pending and available credits, has the API key
  %s
`, d.where, made.Tasks, strings.Join(counts, ", "), made.Accounts, made.Goods, orders, serve, demo.Email, c.password, demo.Operator, demo.Freelance, made.Key)
}
