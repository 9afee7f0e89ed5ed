//go:build race

package pool

// limitMemory is off under the race detector, whose own bookkeeping needs far
// more memory than a check.
const limitMemory = false
