package pool

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttributes make the kernel kill a child whose parent dies.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// limitSelf gives up what a check does not need: memory beyond maxHeap, files
// to write, further descriptors, core dumps and new privileges.
func limitSelf() error {
	limits := map[int]uint64{unix.RLIMIT_FSIZE: 0, unix.RLIMIT_NOFILE: 16, unix.RLIMIT_CORE: 0}
	if limitMemory {
		limits[unix.RLIMIT_DATA] = maxHeap
	}
	for resource, max := range limits {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: max, Max: max}); err != nil {
			return err
		}
	}
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

// limitJob gives the next job its own share of processor time. It bounds a
// runaway child even if the parent is gone.
func limitJob() {
	var used unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &used) != nil {
		return
	}
	soft := uint64(used.Utime.Sec+used.Stime.Sec) + secondsPerJob
	_ = unix.Setrlimit(unix.RLIMIT_CPU, &unix.Rlimit{Cur: soft, Max: unix.RLIM_INFINITY})
}
