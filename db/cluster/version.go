package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// oldest is the oldest major a new cluster is made with.
const oldest = 14

// choose picks the server for the cluster in data: for an existing one its own
// major, for a new one the newest.
func (s search) choose(ctx context.Context, data string) (binaries, error) {
	found := s.all(ctx)
	if err := ctx.Err(); err != nil {
		return binaries{}, err
	}
	need, err := dataVersion(data)
	if err != nil {
		return binaries{}, err
	}
	for _, b := range found {
		if need == strconv.Itoa(b.major) || need == "" && b.major >= oldest {
			return b, nil
		}
	}
	if need != "" && len(found) > 0 {
		return binaries{}, &VersionError{Dir: data, Need: need, Installed: majors(found)}
	}
	return binaries{}, noPostgres(need, found)
}

// noPostgres says what to install.
func noPostgres(need string, found []binaries) error {
	debian, brew, which := "postgresql", "postgresql@17", fmt.Sprintf("version %d or newer", oldest)
	if need != "" {
		debian, brew, which = "postgresql-"+need, "postgresql@"+need, "version "+need
	}
	have := ""
	if len(found) > 0 {
		have = fmt.Sprintf(" (found only %s)", found[0].version)
	}
	return fmt.Errorf("%w%s: Guildhall needs its programs postgres, initdb and pg_dump, %s; "+
		"install them with `apt-get install %s` or `brew install %s`, "+
		"or set DATABASE_URL to a database that runs elsewhere", ErrNoPostgres, have, which, debian, brew)
}

func majors(found []binaries) []int {
	var list []int
	for _, b := range found {
		list = append(list, b.major)
	}
	return slices.Compact(list)
}

// dataVersion reads the major an existing cluster was made with; it is empty
// when there is no cluster yet.
func dataVersion(data string) (string, error) {
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if err == nil {
		return strings.TrimSpace(string(text)), nil
	}
	if !os.IsNotExist(err) {
		return "", err
	}
	entries, err := os.ReadDir(data)
	if err == nil && len(entries) > 0 {
		return "", fmt.Errorf("%s holds files but no PostgreSQL cluster: move it away or choose another data directory", data)
	}
	if err != nil && !os.IsNotExist(err) {
		return "", err
	}
	return "", nil
}
