package cluster

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// dieWithParent makes the kernel kill a child when we die.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

// serves reports whether pid is a live server of the data folder run by uid.
// It reads what is open to everybody, because root in a container may not look
// at the working folder or the program of other users' processes. A process
// that is dead but not yet reaped has no command line.
func serves(pid int, data string, uid uint32) bool {
	owner, args := commandLine(pid)
	return owner == uid && isServer(args, data)
}

// alive is asked often about a process known to have been a server.
func alive(pid int, data string, uid uint32) bool { return serves(pid, data, uid) }

func commandLine(pid int) (owner uint32, args []string) {
	dir := "/proc/" + strconv.Itoa(pid)
	owner, exists := ownerOf(dir)
	line, err := os.ReadFile(dir + "/cmdline")
	if !exists || err != nil {
		return 0, nil
	}
	return owner, strings.Split(string(bytes.TrimRight(line, "\x00")), "\x00")
}

// orphans lists the processes a dead server of this cluster left behind.
func orphans(clusterName string, uid uint32) []int {
	entries, _ := os.ReadDir("/proc")
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		owner, args := commandLine(pid)
		if owner == uid && len(args) > 0 && isOrphan(args[0], clusterName) {
			pids = append(pids, pid)
		}
	}
	return pids
}
