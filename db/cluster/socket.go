package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

const (
	port       = "5432" // part of the socket's name; nothing listens on TCP
	socketName = "/.s.PGSQL." + port

	// longestSocket is what fits into a socket address on every system.
	longestSocket = 103
)

// plain are names that need no quoting in a setting and are no list of hosts.
var plain = regexp.MustCompile(`^/[A-Za-z0-9/._@+-]*$`)

func fitsSocket(folder string) bool {
	return plain.MatchString(folder) && len(folder+socketName) <= longestSocket
}

// tag is a short name for the data directory.
func tag(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return hex.EncodeToString(sum[:6])
}

// socketFolder is where the socket of the cluster in dir goes: inside dir, or
// in the folder for temporary files when that name is too long for a socket.
func socketFolder(dir string) string {
	name := "guildhall-" + tag(dir)
	for _, folder := range []string{filepath.Join(dir, "socket"), filepath.Join(os.TempDir(), name)} {
		if fitsSocket(folder) {
			return folder
		}
	}
	return filepath.Join("/tmp", name)
}

// makeSocketFolder creates the folder for the server's user alone, and refuses
// one that somebody else could have put there.
func (c *Cluster) makeSocketFolder() error {
	if err := os.Mkdir(c.socket, 0o700); err != nil && !os.IsExist(err) {
		return err
	}
	info, err := os.Lstat(c.socket)
	if err != nil {
		return err
	}
	owner := ownerIn(info)
	ours := owner == c.user.uid || owner == uint32(os.Geteuid())
	if !info.IsDir() || !ours || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s is not a folder of the user %q alone (mode 0700): remove it and start again", c.socket, c.user.name)
	}
	if err := c.user.own(c.socket); err != nil {
		return err
	}
	return c.checkAccess(c.socket)
}

// removeSocketFolder tidies up outside of the data directory.
func (c *Cluster) removeSocketFolder() {
	if filepath.Dir(c.socket) != c.dir {
		_ = os.Remove(c.socket) // stays if anything is in it
	}
}
