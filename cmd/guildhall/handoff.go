package main

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// handoff is guildhall handoff redeem: it takes over a bundle, and keeps its
// key for the commands that speak to the server.
func handoff(ctx context.Context, args, env []string, out, errs io.Writer) error {
	r := newRemote("handoff redeem", "CODE|- [FLAGS]\n\nTakes over a handoff bundle by its code, which works once; - reads it from the standard input.\nThe key is kept in the key file and never shown.\nThe agent's own key, in GUILDHALL_KEY or the usual key file, tells the server who takes it over.", out, errs)
	if len(args) == 0 || args[0] != "redeem" && args[0] != "--help" {
		return fmt.Errorf("%w: guildhall handoff redeem CODE|-", errUsage)
	}
	if args[0] == "redeem" {
		args = args[1:]
	}
	if err := r.parse(args, env, 1, 1); err != nil {
		return ignoreHelp(err)
	}
	code := r.args[0]
	if code == "-" {
		text, err := readArgument(code)
		if err != nil {
			return err
		}
		code = strings.TrimSpace(string(text))
	}
	if !strings.HasPrefix(code, "ghh_") {
		return fmt.Errorf("%w: a code begins with ghh_", errUsage)
	}
	c, err := r.stranger()
	if err != nil {
		return err
	}
	// A code that is used up without keeping the key would be lost.
	if err := r.roomForKey(c.Host()); err != nil {
		return err
	}
	own, err := r.ownKey(c.Host())
	if err != nil {
		return err
	}
	if own != "" {
		if c, err = c.With(own); err != nil {
			return err
		}
	}
	b, err := c.RedeemHandoff(ctx, code)
	if err != nil {
		return err
	}
	if err := r.saveKey(c.Host(), b.APIKey); err != nil {
		return fmt.Errorf("the bundle is taken over, but its key could not be kept; ask for another: %w", err)
	}
	b.APIKey = ""
	if r.wantsJSON() {
		return r.print(b)
	}
	if b.Agent != "" {
		fmt.Fprintf(r.out, "%s and %s count as one party from now on and cannot work for each other.\n", line(b.Agent), line(b.Account))
	}
	path, err := r.keyPath(c.Host())
	fmt.Fprintf(r.out, "You act for %s until %s: %s. %d of %d credits can be spent.\nThe key is in %s\n",
		line(b.Account), clock(b.ExpiresAt), line(strings.Join(b.Scopes, " ")), b.SpendCap-b.Spent, b.SpendCap, path)
	return err
}
