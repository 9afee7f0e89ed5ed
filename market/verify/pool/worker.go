package pool

import (
	"bufio"
	"os"
	"runtime/debug"

	"guildhall/market/verify"
)

// Limits of a child, beside the wall clock that the parent keeps.
const (
	maxHeap       = 384 << 20 // bytes of data
	softHeap      = 256 << 20 // where the collector starts to work hard
	maxStack      = 16 << 20
	secondsPerJob = 3 // of processor time
)

// WorkerMain is the child: it limits itself, then answers requests from
// standard input until it is closed. It returns the exit code.
func WorkerMain() int {
	debug.SetMaxStack(maxStack)
	debug.SetMemoryLimit(softHeap)
	if err := limitSelf(); err != nil {
		return 1
	}
	in := bufio.NewReader(os.Stdin)
	for {
		var r request
		if err := readFrame(in, &r); err != nil {
			return 0 // the parent closed the pipe
		}
		limitJob()
		var answer response
		if r.Admit {
			answer.Problems = verify.AdmitSchema(r.Schema)
		} else {
			answer.Report = verify.Run(verify.Job{Schema: r.Schema, Output: r.Output})
		}
		if err := writeFrame(os.Stdout, answer); err != nil {
			return 1
		}
	}
}
