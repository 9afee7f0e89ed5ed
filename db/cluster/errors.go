package cluster

import (
	"errors"
	"fmt"
	"strings"
)

// What can be told apart with errors.Is. The types below say more.
var (
	ErrInUse      = errors.New("the data directory is in use")
	ErrNotRunning = errors.New("no Guildhall is running on this data directory")
	ErrDiskFull   = errors.New("the disk is full")
	ErrNoPostgres = errors.New("PostgreSQL is not installed")
	ErrVersion    = errors.New("the data needs another version of PostgreSQL")
	ErrAccess     = errors.New("the user of the database server may not enter a folder")
)

// InUseError says which process owns the data directory. It is an ErrInUse.
type InUseError struct {
	Dir string
	PID int // 0 when the owner has not written it yet
}

func (e *InUseError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("%s uses the data directory %s already: stop it first, or choose another directory", who, e.Dir)
}

// Is makes errors.Is(err, ErrInUse) true.
func (e *InUseError) Is(target error) bool { return target == ErrInUse }

// DiskFullError says how many bytes are missing where. It is an ErrDiskFull.
type DiskFullError struct {
	Dir  string
	Free uint64
	Need uint64
}

func (e *DiskFullError) Error() string {
	return fmt.Sprintf("the disk that holds %s is full: %s free, PostgreSQL needs %s; free some space and start again",
		e.Dir, mebibytes(e.Free), mebibytes(e.Need))
}

// Is makes errors.Is(err, ErrDiskFull) true.
func (e *DiskFullError) Is(target error) bool { return target == ErrDiskFull }

func mebibytes(n uint64) string {
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// VersionError says that no installed server can read the data. It is an
// ErrVersion.
type VersionError struct {
	Dir       string
	Need      string // as PG_VERSION has it: "15"
	Installed []int  // majors, newest first
}

func (e *VersionError) Error() string {
	have := make([]string, len(e.Installed))
	for i, major := range e.Installed {
		have[i] = fmt.Sprint(major)
	}
	return fmt.Sprintf("the data in %s was made by PostgreSQL %s, and this machine has %s: "+
		"install postgresql-%s, or dump the data with PostgreSQL %s where it is installed (pg_dump) "+
		"and load it into a new data directory", e.Dir, e.Need, strings.Join(have, ", "), e.Need, e.Need)
}

// Is makes errors.Is(err, ErrVersion) true.
func (e *VersionError) Is(target error) bool { return target == ErrVersion }

// AccessError names the outermost folder the server's user may not enter. It
// is an ErrAccess.
type AccessError struct {
	User   string
	Folder string
}

func (e *AccessError) Error() string {
	return fmt.Sprintf("the database server runs as %q, who may not enter %s: run `chmod o+x %s`, "+
		"or choose a data directory elsewhere, such as /var/lib/guildhall", e.User, e.Folder, e.Folder)
}

// Is makes errors.Is(err, ErrAccess) true.
func (e *AccessError) Is(target error) bool { return target == ErrAccess }
