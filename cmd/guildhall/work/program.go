package work

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"guildhall/client"
)

// Limits of what a program is taken to say.
const (
	maxOutput  = 256 << 10 // bytes, as the server's
	maxSummary = 4_000     // characters, as the server's
	// exitGiveBack is a program's polite no (EX_TEMPFAIL).
	exitGiveBack = 75
	// graceful is how long a program has to end after it was asked to.
	graceful = 5 * time.Second
)

// Why a program did not give an output.
var (
	errGivenBack = errors.New("the program gave the task back")
	errDeadline  = errors.New("the time for the task is over")
	errTimeout   = errors.New("the program took longer than --timeout")
	errLost      = errors.New("the claim has ended")
	errOwnKey    = errors.New("what the program left contains the worker's key")
	errTooMuch   = fmt.Errorf("the program printed more than %d bytes", maxOutput)
)

// run is one start of the program.
type run struct {
	command []string
	env     []string
	errs    io.Writer
	task    client.Task
	place   place
}

// The names of what a program leaves.
const (
	outboxName  = "outbox"
	summaryName = "summary.txt"
)

// place are the files of one run. The program does with them what it likes:
// what it has left is read through root, so that no link leads out of it.
type place struct {
	root                           *os.Root
	files, outbox, summary, review string
}

func newPlace(temporary, task string) (place, error) {
	dir := filepath.Join(temporary, task)
	p := place{files: filepath.Join(dir, "task"), outbox: filepath.Join(dir, outboxName),
		summary: filepath.Join(dir, summaryName), review: filepath.Join(dir, "review.json")}
	err := os.RemoveAll(dir)
	if err == nil {
		err = errors.Join(os.MkdirAll(p.files, 0o700), os.MkdirAll(p.outbox, 0o700))
	}
	if err == nil {
		p.root, err = os.OpenRoot(dir)
	}
	return p, err
}

// plain opens a file that the program has left, and nothing else: no link, no
// pipe that would be waited for, and no second name of a file that is not its
// own.
func plain(root *os.Root, name string) (*os.File, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a plain file", name)
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err = f.Stat(); err == nil {
		if s, ok := info.Sys().(*syscall.Stat_t); !info.Mode().IsRegular() || !ok || s.Nlink != 1 {
			err = fmt.Errorf("%s is not a plain file", name)
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// output runs the program and returns what it printed: as JSON if it is, else
// as a string.
func (r run) output(ctx context.Context) (json.RawMessage, error) {
	// The kernel kills the program when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	printed := &bounded{full: func() { cancel(errTooMuch) }}
	cmd := exec.CommandContext(ctx, r.command[0], r.command[1:]...)
	cmd.Env = append(slices.Clone(r.env), "TASK_ID="+r.task.ID, "TASK_DIR="+r.place.files, "SUMMARY_FILE="+r.place.summary, "OUTBOX_DIR="+r.place.outbox)
	if _, err := os.Stat(r.place.review); err == nil {
		cmd.Env = append(cmd.Env, "REVIEW_FILE="+r.place.review)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(r.task.Raw), printed, r.errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = graceful
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("the program does not start: %w", err)
	}
	err := cmd.Wait()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left behind
	endLeftovers(r.place.files)
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.As(err, &exit) && exit.ExitCode() == exitGiveBack:
		return nil, errGivenBack
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return nil, fmt.Errorf("the program failed: %w", err)
	}
	return asJSON(printed.buf.Bytes())
}

// bounded keeps what is written to it up to maxOutput.
type bounded struct {
	buf  bytes.Buffer
	full func()
}

func (b *bounded) Write(text []byte) (int, error) {
	if b.buf.Len()+len(text) > maxOutput {
		b.full()
		return 0, errTooMuch
	}
	return b.buf.Write(text)
}

// asJSON is the text if it is JSON, else a string without the line end.
func asJSON(text []byte) (json.RawMessage, error) {
	text = bytes.TrimSpace(text)
	switch {
	case len(text) == 0:
		return nil, errors.New("the program printed nothing")
	case json.Valid(text):
		return bytes.Clone(text), nil
	case !utf8.Valid(text):
		return nil, errors.New("the program printed what is neither JSON nor text")
	}
	return json.Marshal(string(text))
}

// said is the program's summary, or one of the worker's own.
func (p place) said(took time.Duration) (string, error) {
	own := fmt.Sprintf("Done by a program in %.1f seconds.", took.Seconds())
	f, err := plain(p.root, summaryName)
	if errors.Is(err, fs.ErrNotExist) {
		return own, nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 4*maxSummary))
	if s := strings.TrimSpace(strings.ToValidUTF8(strings.ReplaceAll(string(text), "\x00", ""), "")); s != "" {
		own = shortened(s, maxSummary)
	}
	return own, err
}

// shortened is the beginning of s, at most max characters.
func shortened(s string, max int) string {
	for i := range s {
		if max--; max < 0 {
			return s[:i]
		}
	}
	return s
}

// ProgramEnv is the environment without what is the worker's own: settings of
// ours, and whatever holds the key.
func ProgramEnv(env []string, key string) []string {
	var out []string
	for _, kv := range env {
		if !strings.HasPrefix(kv, "GUILDHALL_") && (key == "" || !strings.Contains(kv, key)) {
			out = append(out, kv)
		}
	}
	return out
}
