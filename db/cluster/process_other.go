//go:build unix && !linux

package cluster

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// dieWithParent cannot be had here. An orphaned initdb ends by itself within
// seconds, and its folder goes at the next start.
func dieWithParent(*syscall.SysProcAttr) {}

// serves reports whether pid is a live server of the data folder run by uid.
func serves(pid int, data string, uid uint32) bool {
	for _, p := range processes("-p", strconv.Itoa(pid)) {
		// The words of the command cannot be told apart when the folder's
		// name has spaces, so it is looked for as a whole.
		program, rest, _ := strings.Cut(p.command, " -D ")
		if p.pid == pid && p.uid == uid && (rest == data || strings.HasPrefix(rest, data+" ")) {
			return isServer([]string{program, "-D", data}, data)
		}
	}
	return false
}

// alive is asked often about a process known to have been a server.
func alive(pid int, _ string, _ uint32) bool {
	return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// orphans lists the processes a dead server of this cluster left behind.
func orphans(clusterName string, uid uint32) []int {
	var pids []int
	for _, p := range processes("-ax") {
		if p.uid == uid && isOrphan(p.command, clusterName) {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

type process struct {
	pid     int
	uid     uint32
	command string
}

func processes(which ...string) []process {
	args := append([]string{"-ww", "-o", "pid=,uid=,command="}, which...)
	out, _ := exec.Command("ps", args...).Output() // ps fails when there are none
	var list []process
	for line := range strings.SplitSeq(string(out), "\n") {
		pid, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		uid, command, _ := strings.Cut(strings.TrimSpace(rest), " ")
		p, err := strconv.Atoi(pid)
		u, uerr := strconv.ParseUint(uid, 10, 32)
		if err == nil && uerr == nil {
			list = append(list, process{pid: p, uid: uint32(u), command: strings.TrimSpace(command)})
		}
	}
	return list
}
