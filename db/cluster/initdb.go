package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// draftPattern names clusters in the making.
const draftPattern = "postgres.init-*"

// initialize makes a new cluster. It grows in a folder beside its place and
// moves there when it is whole, so that no half-made one is ever started.
func (c *Cluster) initialize(ctx context.Context) error {
	need := c.opts.tune.initSpace
	if err := checkSpace(c.dir, need); err != nil {
		return err
	}
	c.log.Info("making a new PostgreSQL cluster", "dir", c.data, "version", c.bin.version, "user", c.user.name)
	draft, err := os.MkdirTemp(c.dir, draftPattern)
	if err != nil {
		return err
	}
	output, err := c.fill(ctx, draft)
	if err != nil {
		err = diskFull(err, output, c.dir, need) // before the draft goes and makes room
		return errors.Join(err, removeAll(draft))
	}
	return nil
}

// fill runs initdb in draft and puts the result in place.
func (c *Cluster) fill(ctx context.Context, draft string) (output string, err error) {
	if err := c.user.own(draft); err != nil {
		return "", err
	}
	if output, err = c.initdb(ctx, draft); err != nil {
		return output, err
	}
	if err := os.Rename(draft, c.data); err != nil {
		return "", err
	}
	return "", syncFolder(c.dir)
}

func (c *Cluster) initdb(ctx context.Context, draft string) (string, error) {
	locale := "C.UTF-8"
	if runtime.GOOS == "darwin" {
		locale = "C"
	}
	args := []string{
		"-D", draft, "--username=guildhall", "--data-checksums", "--encoding=UTF8", "--locale=" + locale,
		"--auth-local=peer", "--auth-host=reject", "--no-instructions",
	}
	if c.opts.Fast {
		args = append(args, "--no-sync")
	}
	cmd := c.commandContext(ctx, "initdb", args...)
	dieWithParent(cmd.SysProcAttr)
	// Its children are of its session and process group; they go with it.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second

	// Linux kills the child when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return string(out), fmt.Errorf("initdb failed (%w): %s", err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// command prepares a program of the server: as the server's user, in a session
// of its own so that no terminal's Ctrl-C reaches it, with a bare environment.
func (c *Cluster) command(name string, args ...string) *exec.Cmd {
	return c.commandContext(context.Background(), name, args...)
}

func (c *Cluster) commandContext(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin.dir, name), args...)
	cmd.Dir = c.dir
	cmd.Env = environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: c.user.credential()}
	return cmd
}

// removeDrafts removes what a process that died in initialize left behind.
func removeDrafts(dir string) error {
	drafts, err := filepath.Glob(filepath.Join(dir, draftPattern))
	for _, draft := range drafts {
		err = errors.Join(err, removeAll(draft))
	}
	return err
}

// removeAll removes a folder in which a program that was just killed may
// still write for a moment.
func removeAll(name string) error {
	var err error
	for range 20 {
		if err = os.RemoveAll(name); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

// syncFolder makes a rename in dir survive a power cut.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return f.Sync()
}
