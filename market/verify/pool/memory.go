//go:build !race

package pool

// limitMemory makes the kernel refuse a child more than maxHeap.
const limitMemory = true
