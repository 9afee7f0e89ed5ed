package pool

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"guildhall/market/verify"
)

// Limits that a child sets itself with the Go runtime, on every system.
const (
	maxStack   = 16 << 20
	softMemory = 256 << 20 // the garbage collector works harder from here on
	// garbage is how much may gather, in percent of what lives: little lives
	// in a child, and collecting was a tenth of the time of an ordinary job.
	garbage = 200
)

// When a child asks to be replaced, so that nothing accumulates.
const (
	maxJobs     = 10_000
	maxHeap     = 128 << 20 // bytes of objects after a job, garbage included
	maxLifeTime = 60 * time.Second
)

// WorkerMain is the main function of a child process. It confines the
// process, reads jobs from stdin and answers on stdout, until stdin ends. It
// returns the exit status.
func WorkerMain() int {
	runtime.GOMAXPROCS(1)
	debug.SetMaxStack(maxStack)
	debug.SetMemoryLimit(softMemory)
	debug.SetGCPercent(garbage)
	err := confine()
	if err == nil {
		err = serve(os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "verify worker:", err)
		return 1
	}
	return 0
}

func serve(in io.Reader, out io.Writer) error {
	if err := writeFrame(out, greeting{Protocol: protocol}); err != nil {
		return err
	}
	in = bufio.NewReader(in)
	engine := verify.NewEngine()
	for jobs := 1; ; jobs++ {
		var r request
		if err := readFrame(in, maxRequest, &r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		a, err := bounded(func() answer { return work(engine, r) })
		if err != nil {
			return err
		}
		a.Retire = isSpent(jobs, heap(), cpuTime())
		if err := writeFrame(out, a); err != nil {
			return err
		}
	}
}

func work(engine *verify.Engine, r request) answer {
	if r.Admit {
		return answer{Problems: verify.Admit(r.admission())}
	}
	report := engine.Run(r.job())
	return answer{Report: &report}
}

// bounded does a job within its CPU time. While the child is idle there is no
// bound, for even idling costs a little.
func bounded(job func() answer) (answer, error) {
	if err := armCPU(); err != nil {
		return answer{}, err
	}
	a := job()
	return a, disarmCPU()
}

// isSpent reports whether the child should be replaced.
func isSpent(jobs int, heap uint64, cpu time.Duration) bool {
	return jobs >= maxJobs || heap > maxHeap || cpu > maxLifeTime
}

// heap returns the bytes of all objects, without stopping the program.
func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
