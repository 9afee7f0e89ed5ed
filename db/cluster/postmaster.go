package cluster

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// postmaster is what postmaster.pid says of a server that runs or ran.
type postmaster struct {
	pid    int    // of the server; 0 when the file says nothing
	socket string // the folder of its socket
	ready  bool   // it said that it accepts connections
}

// readPostmaster reads postmaster.pid; no file gives the zero postmaster.
func readPostmaster(data string) (postmaster, error) {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if os.IsNotExist(err) {
		return postmaster{}, nil
	}
	if err != nil {
		return postmaster{}, err
	}
	lines := strings.Split(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil {
		return postmaster{}, nil // cut short by a crash
	}
	pm := postmaster{pid: pid}
	if len(lines) > 7 {
		pm.socket = lines[4]
		pm.ready = strings.TrimSpace(lines[7]) == "ready"
	}
	return pm, nil
}

// removeEmptyPID removes a postmaster.pid without content. A server killed at
// the very moment of creating it leaves one, had not opened the data yet, and
// would keep every later server from starting.
func removeEmptyPID(data string) error {
	name := filepath.Join(data, "postmaster.pid")
	info, err := os.Lstat(name)
	if os.IsNotExist(err) || err == nil && info.Size() > 0 {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Remove(name)
}

// isServer reports whether a command line is that of a server of data.
func isServer(args []string, data string) bool {
	at := slices.Index(args, "-D")
	if at < 1 || at+1 >= len(args) {
		return false
	}
	name := filepath.Base(args[0])
	return (name == "postgres" || name == "postmaster") && filepath.Clean(args[at+1]) == data
}

// isOrphan reports whether a process title is that of a server's child. The
// cluster's name is in it.
func isOrphan(title, clusterName string) bool {
	return strings.HasPrefix(title, "postgres: "+clusterName+": ")
}
