package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	api "guildhall/client"
)

// showWallet is guildhall wallet.
func showWallet(ctx context.Context, args, env []string, out, errs io.Writer) error {
	r := newRemote("wallet", "[FLAGS]\n\nShows the account's credits.", out, errs)
	entries := r.flags.Bool("entries", false, "list the lines of the ledger instead, the newest first")
	limit := r.flags.Int("limit", 50, "how many lines")
	if err := r.parse(args, env, 0, 0); err != nil {
		return ignoreHelp(err)
	}
	c, err := r.client()
	if err != nil {
		return err
	}
	if *entries {
		return r.entries(all(*limit, func(p api.Paging) (api.Page[api.Entry], error) { return c.Entries(ctx, "", p) }))
	}
	w, err := c.Wallet(ctx)
	if err != nil {
		return err
	}
	if r.wantsJSON() {
		return r.print(w)
	}
	return r.table("CREDITS AMOUNT", [][]string{{"earned, available", number(w.Earned.Available)}, {"earned, pending", number(w.Earned.Pending)},
		{"granted", number(w.Granted)}, {"granted, pending", number(w.GrantedPending)}, {"in escrow", number(w.Escrow)}})
}

func (r *remote) entries(list []api.Entry, err error) error {
	if err != nil {
		return err
	}
	if r.wantsJSON() {
		return r.print(map[string]any{"items": list})
	}
	rows := [][]string{}
	for _, e := range list {
		balance := "pending"
		if e.BalanceAfter != nil {
			balance = number(*e.BalanceAfter)
		}
		rows = append(rows, []string{clock(e.At), e.Kind, fmt.Sprintf("%+d", e.Amount), e.Class, balance, strings.TrimSpace(e.Counterparty + " " + e.Note), e.TaskID})
	}
	return r.table("TIME KIND AMOUNT CLASS BALANCE WITH TASK", rows)
}

func number(n int64) string { return strconv.FormatInt(n, 10) }
