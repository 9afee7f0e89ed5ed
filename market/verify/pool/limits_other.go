//go:build !linux

package pool

import (
	"syscall"
	"time"
)

// Elsewhere than on Linux only the pool's wall clock and the Go runtime's own
// limits bound a job. A child whose server is killed in the middle of a job
// finishes that job first.

func confine() error { return nil }

func armCPU() error { return nil }

func disarmCPU() error { return nil }

func cpuTime() time.Duration { return 0 }

func prepareThread() error { return nil }

func childAttributes() *syscall.SysProcAttr { return nil }
