package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const lockName = "guildhall.lock"

// lockPatience covers the moment in which Attach looks at the lock, or in
// which a process that is being killed still holds it.
const lockPatience = 200 * time.Millisecond

// acquire takes the lock of a data directory and writes our pid into it. The
// kernel frees it when this process dies; children never inherit it.
func acquire(ctx context.Context, dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, err
	}
	for began := time.Now(); ; pause(ctx, 10*time.Millisecond) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		if time.Since(began) > lockPatience || ctx.Err() != nil {
			defer func() { _ = f.Close() }()
			return nil, &InUseError{Dir: dir, PID: pidIn(f)}
		}
	}
	if err := writePID(f); err != nil {
		release(f)
		return nil, err
	}
	return f, nil
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func pidIn(f *os.File) int {
	text, _ := io.ReadAll(io.LimitReader(io.NewSectionReader(f, 0, 32), 32))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// release frees the lock. It is unlocked before it is closed, because a child
// just being forked may share it for a moment. The file stays: removing it
// would let two processes lock two different files.
func release(f *os.File) {
	_ = f.Truncate(0)
	_ = unix.Flock(int(f.Fd()), unix.LOCK_UN)
	_ = f.Close()
}

// held reports whether some process owns the data directory.
func held(dir string) (bool, error) {
	f, err := os.Open(filepath.Join(dir, lockName))
	if os.IsNotExist(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	_ = unix.Flock(int(f.Fd()), unix.LOCK_UN)
	return false, err
}

// pause waits, and reports false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
