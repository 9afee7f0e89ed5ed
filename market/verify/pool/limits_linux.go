package pool

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The limits of a child on Linux. RLIMIT_AS would be too strict: the Go
// runtime reserves far more address space than it uses.
const (
	maxData  = 384 << 20
	maxFiles = 16
	// jobSeconds is the CPU time of one job. The kernel counts whole seconds,
	// so a job has between this and one second more.
	jobSeconds = 2
	// lifeSeconds is the CPU time of the whole process, beyond which the
	// kernel kills it whatever it does. It asks to be replaced long before.
	lifeSeconds = 120
)

// confine limits the calling process for good.
func confine() error {
	dieOutOfCPU()
	data := uint64(maxData)
	if raceEnabled {
		data = unix.RLIM_INFINITY // The race detector maps all its shadow memory at once.
	}
	for _, l := range []struct {
		name     string
		resource int
		value    uint64
	}{
		{"data", unix.RLIMIT_DATA, data},
		{"files", unix.RLIMIT_NOFILE, maxFiles},
		{"file size", unix.RLIMIT_FSIZE, 0},
		{"core", unix.RLIMIT_CORE, 0},
		{"cpu", unix.RLIMIT_CPU, lifeSeconds},
	} {
		if err := unix.Setrlimit(l.resource, &unix.Rlimit{Cur: l.value, Max: l.value}); err != nil {
			return fmt.Errorf("limit of %s: %w", l.name, err)
		}
	}
	return nil
}

// dieOutOfCPU ends the process at SIGXCPU, which Go programs ignore if left to
// themselves.
func dieOutOfCPU() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGXCPU)
	go func() {
		<-signals
		fmt.Fprintln(os.Stderr, "verify worker: out of CPU time")
		os.Exit(1)
	}()
}

// armCPU gives the process a soft limit from now on. At that limit the kernel
// sends SIGXCPU.
func armCPU() error {
	used := (cpuTime() + time.Second - 1) / time.Second
	return limitCPU(min(uint64(used)+jobSeconds, lifeSeconds))
}

func disarmCPU() error { return limitCPU(lifeSeconds) }

func limitCPU(seconds uint64) error {
	return unix.Setrlimit(unix.RLIMIT_CPU, &unix.Rlimit{Cur: seconds, Max: lifeSeconds})
}

// cpuTime returns what the process has used so far.
func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// prepareThread forbids the calling thread and its children to ever gain
// privileges.
func prepareThread() error {
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

// childAttributes makes children die with the thread that starts them.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
