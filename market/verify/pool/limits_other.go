//go:build !linux

package pool

import "syscall"

// Elsewhere only the wall clock of the parent bounds a child.
func childAttributes() *syscall.SysProcAttr { return nil }
func limitSelf() error                      { return nil }
func limitJob()                             {}
