package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// DefaultDir is where Guildhall keeps its data unless told otherwise:
// /var/lib/guildhall for root, a folder of the user's own for anybody else.
func DefaultDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/guildhall", nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "guildhall"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no place for the data: %w", err)
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Application Support", "guildhall"), nil
	}
	return filepath.Join(home, ".local", "share", "guildhall"), nil
}

// resolve makes dir absolute and free of links, so that one folder always has
// one name. Dir must exist.
func resolve(dir string) (string, error) {
	if dir == "" {
		return "", errors.New("the data directory has no name")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// makeDir creates the data directory. The server's user must be able to pass
// through it; what lies inside has modes of its own.
func makeDir(dir string) (string, error) {
	if dir == "" {
		return "", errors.New("the data directory has no name")
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		return "", err
	}
	if os.Geteuid() == 0 {
		if err := openToPass(dir); err != nil {
			return "", err
		}
	}
	return resolve(dir)
}

func openToPass(dir string) error {
	info, err := os.Stat(dir)
	if err != nil || info.Mode()&0o001 != 0 {
		return err
	}
	return os.Chmod(dir, info.Mode().Perm()|0o011)
}

// checkAccess finds out by trying whether the server's user reaches a folder
// and may run the server: modes alone do not tell (access lists, namespaces).
func (c *Cluster) checkAccess(folder string) error {
	if !c.user.foreign() || c.enter(folder) == nil {
		return nil
	}
	if err := c.enter("/"); err != nil {
		return fmt.Errorf("the user %q cannot run %s: %w", c.user.name, filepath.Join(c.bin.dir, "postgres"), err)
	}
	path := "/"
	for part := range strings.SplitSeq(strings.Trim(folder, "/"), "/") {
		path = filepath.Join(path, part)
		if c.enter(path) != nil {
			return &AccessError{User: c.user.name, Folder: path}
		}
	}
	return nil
}

// enter runs a command that does nothing in a folder, as the server's user.
func (c *Cluster) enter(folder string) error {
	cmd := c.command("postgres", "--version")
	cmd.Dir = folder
	return cmd.Run()
}
