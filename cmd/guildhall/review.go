package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	api "guildhall/client"
)

// decision is what a publisher makes of a delivery; the zero value is nothing
// yet.
type decision struct {
	accept, reject bool
	api.Rejection
}

// review is guildhall review: it shows a delivery, and accepts or rejects it.
func review(ctx context.Context, args, env []string, out, errs io.Writer) error {
	r := newRemote("review", "TASK [DELIVERY] [--accept | --reject --reason TEXT (--rule NAME | --quote TEXT)]\n\nShows a delivery, by default the newest that is pending, and decides about it. On a terminal it asks.", out, errs)
	var d decision
	r.flags.BoolVar(&d.accept, "accept", false, "pay it")
	r.flags.BoolVar(&d.reject, "reject", false, "refuse it")
	r.flags.StringVar(&d.Reason, "reason", "", "why, for the worker to read")
	r.flags.StringVar(&d.Rule, "rule", "", "the manual rule that it breaks")
	r.flags.StringVar(&d.Quote, "quote", "", "or the words of the brief that it does not follow")
	if err := r.parse(args, env, 1, 2); err != nil {
		return ignoreHelp(err)
	}
	switch {
	case d.accept && d.reject:
		return fmt.Errorf("%w: --accept or --reject, not both", errUsage)
	case !d.reject && d.Rejection != (api.Rejection{}):
		return fmt.Errorf("%w: --reason, --rule and --quote go with --reject", errUsage)
	case d.reject && (d.Reason == "" || (d.Rule == "") == (d.Quote == "")):
		return fmt.Errorf("%w: --reject needs --reason TEXT, and either --rule NAME or --quote TEXT", errUsage)
	}
	c, err := r.client()
	if err != nil {
		return err
	}
	delivery, err := r.pending(ctx, c)
	if err != nil {
		return err
	}
	decided := d.accept || d.reject
	if !decided && r.wantsJSON() {
		return r.print(delivery.Raw)
	}
	if !r.wantsJSON() {
		task, err := c.Task(ctx, delivery.TaskID)
		if err != nil {
			return err
		}
		showDelivery(r.out, task, delivery)
	}
	if !decided && delivery.State == "pending" && isTerminal(os.Stdin) {
		if d, err = ask(bufio.NewReader(os.Stdin), r.out); err != nil {
			return err
		}
	}
	switch {
	case d.accept:
		delivery, err = c.Accept(ctx, delivery.TaskID, delivery.ID)
	case d.reject:
		delivery, err = c.Reject(ctx, delivery.TaskID, delivery.ID, d.Rejection)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	if r.wantsJSON() {
		return r.print(delivery.Raw)
	}
	fmt.Fprintf(r.out, "The delivery is %s.\n", line(delivery.State))
	return nil
}

// pending is the delivery that was named, or the newest that waits.
func (r *remote) pending(ctx context.Context, c *api.Client) (api.Delivery, error) {
	if len(r.args) == 2 {
		return c.Delivery(ctx, r.args[0], r.args[1])
	}
	found, err := all(1000, func(p api.Paging) (api.Page[api.Delivery], error) { return c.Deliveries(ctx, r.args[0], p) })
	if err != nil {
		return api.Delivery{}, err
	}
	for _, d := range found {
		if d.State == "pending" {
			return d, nil
		}
	}
	if len(found) > 0 {
		return api.Delivery{}, fmt.Errorf("no delivery of this task waits for a decision; name one to see it: the newest is %s (%s)", found[0].ID, found[0].State)
	}
	return api.Delivery{}, fmt.Errorf("nothing has been delivered to this task yet")
}

// showDelivery writes what a publisher judges by. All of it was written by the
// worker, except the report.
func showDelivery(w io.Writer, t api.Task, d api.Delivery) {
	fmt.Fprintf(w, "%s\nDelivery %s of %s, %s, attempt %d, %s\n\n", line(t.Title), d.ID, line(d.Worker.Handle), line(d.State), d.Attempt, clock(d.CreatedAt))
	for _, c := range d.Report.Checks {
		mark := "✓"
		if !c.Passed {
			mark = "✗"
		}
		fmt.Fprintf(w, "  %s %s  %s\n", mark, line(c.Name), line(c.Detail))
	}
	for _, rule := range t.Rules {
		if rule.Kind == "manual" {
			fmt.Fprintf(w, "  ? %s  %s (yours to judge)\n", line(rule.Name), line(rule.Text))
		}
	}
	fmt.Fprintf(w, "  Verdict: %s\n\nSummary: %s\n", line(d.Report.Verdict), lines(d.SummaryText))
	for _, a := range d.Attachments {
		fmt.Fprintf(w, "File: %s, %d bytes, sha256 %s\n", line(a.Name), a.Bytes, line(a.SHA256))
	}
	var pretty bytes.Buffer
	if json.Indent(&pretty, d.Output, "", "  ") != nil {
		pretty.Write(d.Output)
	}
	fmt.Fprintf(w, "Output:\n%s\n\n", lines(pretty.String()))
}

// ask has a person decide.
func ask(in *bufio.Reader, out io.Writer) (d decision, err error) {
	answer := func(question string) string {
		fmt.Fprint(out, question)
		text, readErr := in.ReadString('\n')
		if text == "" && readErr != nil {
			err = readErr
		}
		return strings.TrimSpace(text)
	}
	switch strings.ToLower(answer("Accept, reject, or later? [a/r/L] ")) {
	case "a", "accept":
		d.accept = true
	case "r", "reject":
		d.reject = true
		d.Reason = answer("Why, for the worker to read: ")
		if d.Rule = answer("The manual rule that it breaks (or nothing): "); d.Rule == "" {
			d.Quote = answer("The words of the brief that it does not follow: ")
		}
	}
	if err == io.EOF {
		return decision{}, nil
	}
	return d, err
}
