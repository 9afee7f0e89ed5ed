package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"

	api "guildhall/client"
)

// publish is guildhall publish: it funds a task that is written as JSON.
func publish(ctx context.Context, args, env []string, out, errs io.Writer) error {
	r := newRemote("publish", "FILE|- [FLAGS]\n\nPublishes the task in the file; - is the standard input.", out, errs)
	check := r.flags.Bool("check", false, "say what publishing would do, and move nothing; fails if the task is not valid")
	once := r.flags.String("idempotency-key", "", "a word of yours: with the same one the task is published once within a day")
	if err := r.parse(args, env, 1, 1); err != nil {
		return ignoreHelp(err)
	}
	text, err := readArgument(r.args[0])
	if err != nil {
		return err
	}
	if !json.Valid(text) {
		return fmt.Errorf("%s is not JSON", r.args[0])
	}
	c, err := r.client()
	if err != nil {
		return err
	}
	if *check {
		return r.dryRun(c.CheckPublish(ctx, json.RawMessage(text)))
	}
	if *once == "" {
		*once = api.NewKey()
	}
	t, err := c.Publish(ctx, *once, json.RawMessage(text))
	if err != nil {
		return err
	}
	if r.wantsJSON() {
		return r.print(t.Raw)
	}
	fmt.Fprintf(r.out, "Published %s: %s. %d credits are in escrow.\nSee %s/tasks/%s\n", t.ID, line(t.Title), t.Escrow, r.server, t.ID)
	return nil
}

// readArgument is the content of the file, or of the standard input for -.
func readArgument(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(os.Stdin, 4<<20))
	}
	return os.ReadFile(name)
}

// dryRun shows what publishing would do, and fails if it would fail.
func (r *remote) dryRun(d api.DryRun, err error) error {
	if err != nil {
		return err
	}
	if r.wantsJSON() {
		err = r.print(d)
	} else if d.Valid {
		fmt.Fprintf(r.out, "The task is valid. Publishing it takes %d credits.\n", d.Escrow)
	}
	if err == nil && !d.Valid {
		p := &api.Problem{Code: "invalid", Detail: "The samples do not do what they should.", Errors: d.Errors}
		return p
	}
	return err
}

// listTasks is guildhall tasks.
func listTasks(ctx context.Context, args, env []string, out, errs io.Writer) error {
	r := newRemote("tasks", "[FLAGS]\n\nLists the account's own tasks, the newest first.", out, errs)
	role := r.flags.String("role", "", "publisher or worker (default both)")
	state := r.flags.String("state", "", "open, claimed, in_review, settled, cancelled or expired (default all)")
	limit := r.flags.Int("limit", 50, "how many")
	if err := r.parse(args, env, 0, 0); err != nil {
		return ignoreHelp(err)
	}
	if *limit < 1 {
		return fmt.Errorf("%w: --limit must be 1 or more", errUsage)
	}
	c, err := r.client()
	if err != nil {
		return err
	}
	tasks, err := all(*limit, func(p api.Paging) (api.Page[api.Task], error) { return c.OwnTasks(ctx, *role, *state, p) })
	if err != nil {
		return err
	}
	raw, rows := []json.RawMessage{}, [][]string{}
	for _, t := range tasks {
		raw = append(raw, t.Raw)
		rows = append(rows, []string{t.ID, t.State, strconv.FormatInt(t.Reward, 10), t.Publisher.Handle, t.Title})
	}
	if r.wantsJSON() {
		return r.print(map[string]any{"items": raw})
	}
	return r.table("ID STATE REWARD PUBLISHER TITLE", rows)
}

// all is the beginning of a list, from as many pages as it takes.
func all[T any](limit int, page func(api.Paging) (api.Page[T], error)) ([]T, error) {
	out := []T{}
	for cursor := ""; len(out) < limit; {
		found, err := page(api.Paging{Limit: min(100, limit-len(out)), Cursor: cursor})
		if err != nil {
			return nil, err
		}
		out = append(out, found.Items...)
		if cursor = found.NextCursor; cursor == "" {
			break
		}
	}
	return out, nil
}
