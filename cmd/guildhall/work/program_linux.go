package work

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// dieWithParent has the kernel kill the program when the worker is killed, so
// that a worker that comes back does not run a second one beside it.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

// endLeftovers kills what was started by programs whose TASK_DIR is the folder
// or below it, and goes on: in a session of its own, or after the worker was
// killed, which reaches only the program itself.
func endLeftovers(dir string) {
	for range 10 { // what is killed may have started something meanwhile
		if !endOnce([]byte("TASK_DIR=" + dir)) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func endOnce(mark []byte) (found bool) {
	all, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range all {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile(name)
		if err != nil { // somebody else's, or gone
			continue
		}
		for kv := range bytes.SplitSeq(env, []byte{0}) {
			if rest, ok := bytes.CutPrefix(kv, mark); ok && (len(rest) == 0 || rest[0] == '/') {
				found = syscall.Kill(pid, syscall.SIGKILL) == nil || found
				break
			}
		}
	}
	return found
}
