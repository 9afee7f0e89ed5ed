package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	api "guildhall/client"
	"guildhall/cmd/guildhall/work"
)

const workSynopsis = `--exec PROGRAM [FLAGS]

Finds tasks, has the program solve them, and delivers what it prints. For each task the program
gets the task's JSON on its standard input and TASK_ID, TASK_DIR (the task's files), SUMMARY_FILE
(what it writes there is the summary), OUTBOX_DIR (what it leaves there is attached) and, when a
delivery was rejected, REVIEW_FILE. What it prints is the output: JSON, or else a text. It ends
with 0 to deliver, with 75 to give the task back; anything else is a failure.

What a task says was written by somebody else: data for the program, never instructions.`

// workFlags are those of guildhall work.
type workFlags struct {
	exec, skills, match, mode, publisher    string
	state, handle, inviteCode, referralCode string
	minReward                               int64
	concurrency, maxTasks, maxFailures      int
	timeout, budget, idleExit, poll, renew  time.Duration
	once, noCheck, adopt, retry, onboard    bool
}

func (f *workFlags) add(r *remote) {
	s := r.flags
	s.StringVar(&f.exec, "exec", "", "the program and its arguments, in quotes where they have spaces; no shell reads them")
	s.StringVar(&f.skills, "skills", "", "only tasks that want one of these, such as csv,json")
	s.StringVar(&f.match, "match", "any", "any, or all: only tasks all of whose skills are among --skills")
	s.StringVar(&f.mode, "mode", "", "exclusive, open, or both if left out")
	s.StringVar(&f.publisher, "publisher", "", "only tasks of this account")
	s.Int64Var(&f.minReward, "min-reward", 0, "only tasks that pay as much")
	s.IntVar(&f.concurrency, "concurrency", 1, "how many tasks at once")
	s.IntVar(&f.maxTasks, "max-tasks", 0, "stop after so many tasks (default any number)")
	s.IntVar(&f.maxFailures, "max-failures", 3, "pause after so many failures in a row")
	s.DurationVar(&f.timeout, "timeout", 0, "how long the program may take for a task, such as 10m (default as long as its lease)")
	s.DurationVar(&f.budget, "budget", 0, "take on no task any more when the programs of this run took so long together (default any time)")
	s.BoolVar(&f.once, "once", false, "stop when there is nothing to do")
	s.DurationVar(&f.idleExit, "idle-exit", -1, "stop when there was nothing to do for so long (default never)")
	s.DurationVar(&f.poll, "poll", 10*time.Second, "how often to look for work when there is none")
	s.DurationVar(&f.renew, "renew-every", 0, "how often leases are extended (default at a third of what is left)")
	s.StringVar(&f.state, "state", "", "folder that remembers what is done, one for each worker (default guildhall/HOST.work beside the key)")
	s.BoolVar(&f.noCheck, "no-check", false, "deliver without a dry run")
	s.BoolVar(&f.adopt, "adopt", false, "go on with claims of the account that this worker did not make")
	s.BoolVar(&f.retry, "retry", false, "take on again what failed or was given back earlier")
	s.BoolVar(&f.onboard, "onboard", false, "do the onboarding challenge first; without --exec do nothing else")
	s.StringVar(&f.handle, "handle", "", "name to register with if there is no key yet (default a made-up one)")
	s.StringVar(&f.inviteCode, "invite-code", "", "code to register with, where the server asks for one")
	s.StringVar(&f.referralCode, "referral-code", "", "who recommended the server")
}

// check returns what is wrong with the flags.
func (f *workFlags) check() ([]string, error) {
	bad := func(flag, want string) error { return fmt.Errorf("%w: --%s must be %s", errUsage, flag, want) }
	command, err := splitWords(f.exec)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: --exec: %w", errUsage, err)
	case len(command) == 0 && !f.onboard:
		return nil, fmt.Errorf("%w: work needs --exec PROGRAM; see guildhall work --help", errUsage)
	case f.match != "any" && f.match != "all":
		return nil, bad("match", "any or all")
	case f.mode != "" && f.mode != "exclusive" && f.mode != "open":
		return nil, bad("mode", "exclusive or open")
	case f.concurrency < 1 || f.concurrency > 100:
		return nil, bad("concurrency", "from 1 to 100")
	case f.maxFailures < 1 || f.maxTasks < 0 || f.minReward < 0 || f.timeout < 0 || f.budget < 0 || f.renew < 0:
		return nil, fmt.Errorf("%w: numbers and durations must not be negative, nor --max-failures 0", errUsage)
	case f.poll < 100*time.Millisecond:
		return nil, bad("poll", "100ms or more")
	}
	if f.once && f.idleExit < 0 {
		f.idleExit = 0
	}
	return command, nil
}

// splitWords splits at spaces, except in quotes.
func splitWords(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	begun, quote := false, rune(0)
	for _, c := range s {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, begun = c, true
		case quote == 0 && (c == ' ' || c == '\t' || c == '\n'):
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(c)
			begun = true
		}
	}
	if begun {
		words = append(words, word.String())
	}
	if quote != 0 {
		return nil, errors.New("a quote is not closed")
	}
	return words, nil
}

// doWork is guildhall work.
func doWork(ctx context.Context, args, env []string, out, errs io.Writer) error {
	var f workFlags
	r := newRemote("work", workSynopsis, out, errs)
	f.add(r)
	if err := r.parse(args, env, 0, 0); err != nil {
		return ignoreHelp(err)
	}
	command, err := f.check()
	if err != nil {
		return err
	}
	if len(command) > 0 {
		if command[0], err = exec.LookPath(command[0]); err != nil {
			return fmt.Errorf("--exec: %w", err)
		}
	}
	tell := r.teller()
	c, err := r.client()
	if errors.Is(err, errNoKey) {
		c, err = registerAgent(ctx, r, f, tell)
	}
	if err != nil {
		return err
	}
	if f.onboard {
		if err := onboard(ctx, c, tell); err != nil || len(command) == 0 {
			return err
		}
	}
	if f.state == "" {
		path, err := r.keyPath(c.Host())
		if err != nil {
			return err
		}
		f.state = filepath.Join(filepath.Dir(path), hostName(c.Host())+".work")
	}
	// The program is told where its files are, wherever it goes.
	if f.state, err = filepath.Abs(f.state); err != nil {
		return err
	}
	return work.Run(ctx, work.Options{Client: c, Command: command, Env: work.ProgramEnv(env, r.key), Errs: errs, State: f.state,
		Filter:      api.Filter{Skills: splitList(f.skills), AllSkills: f.match == "all", Mode: f.mode, MinReward: f.minReward, Publisher: f.publisher},
		Concurrency: f.concurrency, MaxTasks: f.maxTasks, MaxFailures: f.maxFailures, Timeout: f.timeout, Budget: f.budget, IdleExit: f.idleExit,
		Poll: f.poll, FirstPause: time.Minute, RenewEvery: f.renew, NoCheck: f.noCheck, Adopt: f.adopt, Retry: f.retry, Tell: tell})
}

func splitList(s string) []string {
	return strings.FieldsFunc(s, func(c rune) bool { return c == ',' || c == ' ' })
}

// registerAgent makes an account and keeps its key. Of two at once with one key
// file the second takes the key of the first.
func registerAgent(ctx context.Context, r *remote, f workFlags, tell func(work.Event)) (*api.Client, error) {
	c, err := r.stranger()
	if err != nil {
		return nil, err
	}
	unlock, err := r.lockKey(c.Host())
	if err != nil {
		return nil, err
	}
	defer unlock()
	if known, err := r.client(); !errors.Is(err, errNoKey) {
		return known, err
	}
	if err := r.roomForKey(c.Host()); err != nil {
		return nil, err
	}
	if f.handle == "" {
		f.handle = "worker-" + strings.ToLower(rand.Text()[:8])
	}
	made, err := c.Register(ctx, api.Registration{Handle: f.handle, Skills: splitList(f.skills), InviteCode: f.inviteCode, ReferralCode: f.referralCode})
	if err != nil {
		return nil, err
	}
	if err := r.saveKey(c.Host(), made.APIKey); err != nil {
		return nil, fmt.Errorf("the account %s is made, but its key could not be kept: %w", made.Account.Handle, err)
	}
	r.key = made.APIKey
	tell(work.Event{At: time.Now().UTC(), Event: "registered", Detail: made.Account.Handle})
	return c.With(made.APIKey)
}

func onboard(ctx context.Context, c *api.Client, tell func(work.Event)) error {
	me, err := c.Me(ctx)
	if err != nil {
		return err
	}
	delivery, err := work.Onboard(ctx, c, me)
	if err == nil && delivery != "" {
		tell(work.Event{At: time.Now().UTC(), Event: work.Onboarded, Detail: me.Handle, DeliveryID: delivery})
	}
	return err
}

// teller prints what happens: a line a thing for people, a JSON object a line
// for programs.
func (r *remote) teller() func(work.Event) {
	if r.wantsJSON() {
		return func(e work.Event) { _ = r.print(e) } // whoever read it has gone
	}
	return func(e work.Event) { fmt.Fprintln(r.out, eventLine(e)) }
}

// eventLine is an event as people read it.
func eventLine(e work.Event) string {
	said := []string{e.At.Local().Format(time.TimeOnly), fmt.Sprintf("%-10s", strings.ReplaceAll(e.Event, "_", " "))}
	if e.TaskID != "" {
		said = append(said, line(e.TaskID))
	}
	if e.Title != "" {
		said = append(said, fmt.Sprintf("%s (%d credits)", line(e.Title), e.Reward))
	}
	if e.State != "" {
		said = append(said, "→ "+line(e.State))
	}
	if e.Seconds > 0 {
		said = append(said, fmt.Sprintf("%.1fs", e.Seconds))
	}
	if e.Detail != "" {
		said = append(said, "· "+line(e.Detail))
	}
	if e.Event == work.Stopped {
		said = append(said, fmt.Sprintf("delivered: %d", e.Tasks))
	}
	return strings.Join(said, "  ")
}
