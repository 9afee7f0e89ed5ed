package cluster

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// binaries is one installed PostgreSQL server.
type binaries struct {
	dir     string // holds postgres and initdb
	dump    string // pg_dump, which may be a client's, elsewhere
	version string // "15.18"
	major   int
}

// search says where servers are looked for.
type search struct {
	path string // as in $PATH
	root string // prefix of the well-known places; empty but in tests
}

func machine() search { return search{path: os.Getenv("PATH")} }

// known are the places where distributions keep servers off the PATH.
var known = []string{
	"/usr/lib/postgresql/*/bin",          // Debian, Ubuntu
	"/usr/pgsql-*/bin",                   // Fedora, RHEL
	"/opt/homebrew/opt/postgresql@*/bin", // Homebrew on Apple silicon
	"/usr/local/opt/postgresql@*/bin",    // Homebrew on Intel
	"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
}

// all lists the servers of the machine: newest major first, and the one on the
// PATH before others of its major.
func (s search) all(ctx context.Context) []binaries {
	var found []binaries
	for _, dir := range s.folders() {
		seen := slices.ContainsFunc(found, func(b binaries) bool { return b.dir == dir })
		if b, ok := s.inspect(ctx, dir); ok && !seen {
			found = append(found, b)
		}
	}
	slices.SortStableFunc(found, func(a, b binaries) int { return cmp.Compare(b.major, a.major) })
	return found
}

// folders lists where a server may be. Links on the PATH are followed, because
// initdb looks for its siblings next to the real file.
func (s search) folders() []string {
	var dirs []string
	for _, dir := range filepath.SplitList(s.path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if real, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres")); err == nil {
			dirs = append(dirs, filepath.Dir(real), filepath.Clean(dir))
		}
	}
	for _, pattern := range known {
		matches, _ := filepath.Glob(s.root + pattern)
		dirs = append(dirs, matches...)
	}
	return dirs
}

var versionNumber = regexp.MustCompile(`\(PostgreSQL\) (([0-9]+)\S*)`)

// inspect asks the server in dir for its version; it reports false when dir
// lacks one of the programs needed.
func (s search) inspect(ctx context.Context, dir string) (binaries, bool) {
	if !executable(filepath.Join(dir, "initdb")) || !executable(filepath.Join(dir, "postgres")) {
		return binaries{}, false
	}
	dump := s.dump(dir)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	m := versionNumber.FindStringSubmatch(string(out))
	if dump == "" || err != nil || m == nil {
		return binaries{}, false
	}
	major, err := strconv.Atoi(m[2])
	return binaries{dir: dir, dump: dump, version: m[1], major: major}, err == nil
}

// dump finds pg_dump: the server's sibling, or a client on the PATH. A link
// there is kept as it is, because Debian's wrapper goes by its name.
func (s search) dump(dir string) string {
	for _, d := range append([]string{dir}, filepath.SplitList(s.path)...) {
		if name := filepath.Join(d, "pg_dump"); filepath.IsAbs(d) && executable(name) {
			return name
		}
	}
	return ""
}

func executable(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
