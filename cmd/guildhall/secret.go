package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"guildhall/db/cluster"
	"guildhall/store"
)

// secretFile holds the secret keys in the data directory, one a line: the
// first seals, the others are there while a rotation is under way.
const secretFile = "secret.key"

// openVault uses the keys of the configuration, or those of the file in the
// data directory, which it makes if it is missing.
func openVault(c config) (*store.Vault, error) {
	if c.secretKey != "" {
		v, err := store.NewVault(func() (string, error) { return c.secretKey, nil })
		if err != nil {
			return nil, fmt.Errorf("%w: GUILDHALL_SECRET_KEY: %w; make one with head -c 32 /dev/urandom | base64", errUsage, err)
		}
		return v, nil
	}
	path, err := secretPath(c)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := writeSecret(path, store.NewSecretKey()+"\n", os.Link); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("make the secret key: %w", err)
		}
	}
	return store.NewVault(func() (string, error) { return readSecret(path) })
}

func secretPath(c config) (string, error) {
	dir := c.data
	if dir == "" {
		var err error
		if dir, err = cluster.DefaultDir(); err != nil {
			return "", fmt.Errorf("%w; set GUILDHALL_DATA or GUILDHALL_SECRET_KEY", err)
		}
	}
	return filepath.Join(dir, secretFile), os.MkdirAll(dir, 0o711)
}

// readSecret refuses a file that others may read.
func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s can be read by others; chmod 600 it", path)
	}
	text, err := os.ReadFile(path)
	return string(text), err
}

// writeSecret writes the whole file or none: place puts the finished one where
// it belongs, by a link where there must be none yet, else by renaming it.
func writeSecret(path, text string, place func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), secretFile+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := place(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// rekey seals all codes anew under a fresh key, also beside a running server.
// After an interruption the next run goes on with the same one.
func rekey(ctx context.Context, c config, out io.Writer) error {
	vault, err := openVault(c)
	if err != nil {
		return err
	}
	d, err := openDatabase(ctx, c, true)
	if err != nil {
		return err
	}
	defer d.close()
	if err := ready(ctx, c, d.url); err != nil {
		return err
	}
	s, err := store.Open(d.url, store.Options{Vault: vault, MaxConns: 2})
	if err != nil {
		return err
	}
	defer s.Close()
	none := func() error { return nil }
	begin, end := none, none
	if c.secretKey == "" {
		path, err := secretPath(c)
		if err != nil {
			return err
		}
		begin, end = func() error { return addKey(path) }, func() error { return dropKeys(path) }
	}
	n, err := s.Rekey(ctx, begin, end)
	if err != nil {
		return fmt.Errorf("%w\n%d codes were sealed anew; run this again to go on", err, n)
	}
	fmt.Fprintf(out, "%d codes were sealed anew.\n", n)
	switch {
	case c.secretKey == "":
		fmt.Fprintln(out, "The old key is gone from the file; keep a copy as long as you keep backups of the database from before.")
	case len(strings.FieldsFunc(c.secretKey, func(r rune) bool { return r == ',' || r <= ' ' })) == 1:
		fmt.Fprintln(out, "To change the key, start all servers with GUILDHALL_SECRET_KEY=NEW,OLD and run this with the same.")
	default:
		fmt.Fprintln(out, "All codes are under the first key of GUILDHALL_SECRET_KEY; start all servers with that one alone now.")
	}
	return nil
}

// addKey puts a fresh key before the one that is there, unless a rotation is
// under way.
func addKey(path string) error {
	text, err := readSecret(path)
	if err != nil || len(strings.Fields(text)) > 1 {
		return err
	}
	return writeSecret(path, store.NewSecretKey()+"\n"+text, os.Rename)
}

// dropKeys leaves the first key.
func dropKeys(path string) error {
	text, err := readSecret(path)
	if err != nil {
		return err
	}
	return writeSecret(path, strings.Fields(text)[0]+"\n", os.Rename)
}
