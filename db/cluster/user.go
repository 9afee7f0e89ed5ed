package cluster

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// account is a user of the operating system.
type account struct {
	name   string
	uid    uint32
	gid    uint32
	groups []uint32
}

// serverAccount is who runs the server of the cluster in data. PostgreSQL
// refuses to run as root, so root hands over: to the owner of an existing
// cluster, otherwise to the first of the users below that exists.
func serverAccount(data string) (account, error) {
	me := uint32(os.Geteuid())
	owner, exists := ownerOf(data)
	switch {
	case me != 0 && exists && owner != me:
		return account{}, fmt.Errorf("%s belongs to user id %d: run Guildhall as that user or as root", data, owner)
	case me != 0:
		return accountOf(me)
	case exists && owner != 0:
		return accountOf(owner)
	}
	for _, name := range []string{"guildhall", "postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil && u.Uid != "0" {
			return newAccount(u)
		}
	}
	return account{}, fmt.Errorf("PostgreSQL does not run as root, and this machine has no user to run it as: " +
		"run `useradd --system guildhall`")
}

// ownerOf tells who owns a file, and whether it exists.
func ownerOf(name string) (uint32, bool) {
	info, err := os.Stat(name)
	if err != nil {
		return 0, false
	}
	return ownerIn(info), true
}

func ownerIn(info fs.FileInfo) uint32 {
	return info.Sys().(*syscall.Stat_t).Uid
}

func accountOf(uid uint32) (account, error) {
	if u, err := user.LookupId(strconv.Itoa(int(uid))); err == nil {
		return newAccount(u)
	}
	// A user that only the C library knows (LDAP, systemd's dynamic users) has
	// no line in /etc/passwd.
	name, err := exec.Command("id", "-un", strconv.Itoa(int(uid))).Output()
	if err != nil || uint32(os.Geteuid()) != uid {
		return account{}, fmt.Errorf("user id %d has no name on this machine, and PostgreSQL needs one: "+
			"add it to /etc/passwd or run as another user", uid)
	}
	return account{name: strings.TrimSpace(string(name)), uid: uid, gid: uint32(os.Getegid())}, nil
}

func newAccount(u *user.User) (account, error) {
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return account{}, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return account{}, err
	}
	a := account{name: u.Username, uid: uint32(uid), gid: uint32(gid)}
	ids, _ := u.GroupIds() // without them the server merely has fewer groups
	for _, id := range ids {
		if n, err := strconv.ParseUint(id, 10, 32); err == nil {
			a.groups = append(a.groups, uint32(n))
		}
	}
	return a, nil
}

// foreign reports whether the account is not the one this process runs as.
func (a account) foreign() bool { return a.uid != uint32(os.Geteuid()) }

// credential makes a child run as the account; nil leaves it as we are.
func (a account) credential() *syscall.Credential {
	if !a.foreign() {
		return nil
	}
	return &syscall.Credential{Uid: a.uid, Gid: a.gid, Groups: a.groups}
}

// own gives one file to the account; links are not followed.
func (a account) own(name string) error {
	if !a.foreign() {
		return nil
	}
	return os.Lchown(name, int(a.uid), int(a.gid))
}

// ownTree gives a whole folder to the account.
func (a account) ownTree(dir string) error {
	return filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return a.own(name)
	})
}
