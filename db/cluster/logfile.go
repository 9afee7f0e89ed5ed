package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	logLimit = 10 << 20 // bytes at which the log is turned over
	tailSize = 4 << 10
	tailRows = 12
)

func (c *Cluster) logName() string { return filepath.Join(c.dir, "postgres.log") }

// openLog opens the server's log for appending.
func (c *Cluster) openLog() (*os.File, error) {
	f, err := os.OpenFile(c.logName(), os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := c.user.own(c.logName()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (c *Cluster) logSize() int64 {
	info, err := os.Lstat(c.logName())
	if err != nil {
		return 0
	}
	return info.Size()
}

// turnLog moves a long log to postgres.log.1. The server keeps its file open,
// so the text is copied away and the file cut; lines written in between are
// lost. On a full disk the log stays as it is.
func (c *Cluster) turnLog() {
	if c.logSize() < logLimit {
		return
	}
	if err := turn(c.logName(), c.logName()+".1"); err != nil {
		c.log.Warn("cannot turn over the log of PostgreSQL", "error", err)
	}
}

func turn(name, old string) error {
	from, err := os.OpenFile(name, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	to, err := os.OpenFile(old, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if err = errors.Join(err, to.Close()); err != nil {
		return fmt.Errorf("copy to %s: %w", old, err)
	}
	return from.Truncate(0)
}

// tail returns the last lines the server wrote after the log had size from.
func (c *Cluster) tail(from int64) string {
	f, err := os.Open(c.logName())
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	size := c.logSize()
	if from > size {
		from = 0 // turned over since
	}
	from = max(from, size-tailSize)
	text, _ := io.ReadAll(io.NewSectionReader(f, from, size-from))
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-tailRows):], "\n")
}
