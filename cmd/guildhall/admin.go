package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"

	"guildhall/market"
	"guildhall/store"
)

const adminUsage = `Usage: guildhall admin ACTION [FLAGS]

  create --handle NAME --email ADDRESS   make an operator's account; the password is shown once
  grant  --handle NAME                   make a person's account an operator's
  revoke --handle NAME                   take the role and its keys away
  key    --handle NAME                   make an API key for the operators' routes, shown once
  rekey                                  seal the codes of goods anew under a fresh secret key
  reset-link [--clear-second-factor] NAME|ADDRESS
                                         make a link with which this person chooses a new password, once,
                                         within an hour; with the flag also without the lost second factor
`

// admin manages operators, also beside a running server.
func admin(ctx context.Context, args, env []string, out, errs io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("%w: admin needs create, grant, revoke, key, rekey or reset-link\n\n%s", errUsage, adminUsage)
	}
	do := map[string]func(context.Context, *store.Store, config, io.Writer) error{
		"create": createOperator, "grant": grantOperator, "revoke": revokeOperator, "key": operatorKey, "reset-link": resetLink}[args[0]]
	if do == nil && args[0] != "rekey" {
		return fmt.Errorf("%w: admin has no action %q\n\n%s", errUsage, args[0], adminUsage)
	}
	c, err := parseConfig("admin "+args[0], args[1:], env, errs)
	if err != nil {
		return ignoreHelp(err)
	}
	switch {
	case args[0] == "reset-link":
		if len(c.args) != 1 {
			return fmt.Errorf("%w: admin reset-link needs one handle or e-mail address, after the flags", errUsage)
		}
		c.handle = c.args[0]
	case len(c.args) > 0:
		return fmt.Errorf("%w: admin %s takes no argument %q", errUsage, args[0], c.args[0])
	case do == nil:
		return rekey(ctx, c, out)
	case !market.ValidHandle(c.handle):
		return fmt.Errorf("%w: --handle must be 3 to 32 of a-z, 0-9 and -", errUsage)
	}
	d, err := openDatabase(ctx, c, true)
	if err != nil {
		return err
	}
	defer d.close()
	if err := ready(ctx, c, d.url); err != nil {
		return err
	}
	s, err := store.Open(d.url, store.Options{Grant: market.Credits(c.grant), ReferralBonus: market.Credits(c.referralBonus), Terms: c.terms, MaxConns: 2})
	if err != nil {
		return err
	}
	defer s.Close()
	err = do(ctx, s, c, out)
	switch {
	case errors.Is(err, market.ErrNotFound) && args[0] == "key":
		return fmt.Errorf("%s is no operator; first: guildhall admin grant --handle %s", c.handle, c.handle)
	case errors.Is(err, market.ErrNotFound) && args[0] == "reset-link":
		return fmt.Errorf("no person has the handle or the address %s", c.handle)
	case errors.Is(err, market.ErrNotFound):
		return fmt.Errorf("no person has the handle %s", c.handle)
	}
	return err
}

// resetLink prints a link for a new password.
func resetLink(ctx context.Context, s *store.Store, c config, out io.Writer) error {
	token, err := s.IssueReset(ctx, c.handle, c.clearSecondFactor)
	if err != nil {
		return err
	}
	site := c.baseURL
	if site == "" {
		site = "http://" + c.addr
	}
	also := ""
	if c.clearSecondFactor {
		also = " The second factor is removed with it."
	}
	fmt.Fprintf(out, "%s/reset?%s\nGive this link to the person and to nobody else: it sets a new password, once, within an hour.%s\n", site, url.Values{"token": {token}}.Encode(), also)
	return nil
}

func createOperator(ctx context.Context, s *store.Store, c config, out io.Writer) error {
	password := rand.Text()
	r := market.Registration{Kind: market.Human, Handle: c.handle, Email: c.email, Password: password}
	if bad := r.Clean(); len(bad) > 0 {
		return fmt.Errorf("%w: --%s is not valid", errUsage, bad[0].Pointer[1:])
	}
	hash, err := hashPassword(password)
	if err != nil {
		return err
	}
	a, err := s.RegisterOperator(ctx, r, hash)
	switch {
	case errors.Is(err, market.ErrHandleTaken):
		return fmt.Errorf("the handle %s is taken; if it is this person's: guildhall admin grant --handle %s", c.handle, c.handle)
	case errors.Is(err, market.ErrEmailTaken):
		return errors.New("this e-mail address has an account; use guildhall admin grant with its handle")
	case err != nil:
		return err
	}
	fmt.Fprintf(out, `%s is an operator. Log in at /login with this, which is shown only now, and change the password in the settings:
  e-mail    %s
  password  %s
Open cases are at /admin/cases, redemptions at /admin/redemptions.
`, a.Handle, c.email, password)
	return nil
}

func grantOperator(ctx context.Context, s *store.Store, c config, out io.Writer) error {
	if err := s.SetOperator(ctx, c.handle, true); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s is an operator now.\n", c.handle)
	return nil
}

func revokeOperator(ctx context.Context, s *store.Store, c config, out io.Writer) error {
	if err := s.SetOperator(ctx, c.handle, false); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s is no operator any more; the keys of the role are revoked.\n", c.handle)
	return nil
}

func operatorKey(ctx context.Context, s *store.Store, c config, out io.Writer) error {
	key, err := s.NewOperatorKey(ctx, c.handle, "made by guildhall admin key")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s\nThis key is shown only now. It opens /api/v1/admin/… and nothing else.\n", key)
	return nil
}
