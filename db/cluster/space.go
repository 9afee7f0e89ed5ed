package cluster

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// checkSpace refuses work on a disk that has less than need bytes free.
func checkSpace(dir string, need uint64) error {
	free, err := freeSpace(dir)
	if err != nil {
		return err
	}
	if free < need {
		return &DiskFullError{Dir: dir, Free: free, Need: need}
	}
	return nil
}

// freeSpace counts what an unprivileged user may still write.
func freeSpace(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return uint64(st.Bavail) * uint64(st.Bsize), nil
}

// diskFull turns a failure for want of space into a DiskFullError, and leaves
// any other as it is. Output is what the failed program said.
func diskFull(err error, output, dir string, need uint64) error {
	if err == nil || errors.Is(err, ErrDiskFull) {
		return err
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) ||
		strings.Contains(output, "No space left on device") || strings.Contains(output, "Disk quota exceeded") {
		free, _ := freeSpace(dir)
		return &DiskFullError{Dir: dir, Free: free, Need: need}
	}
	return err
}
