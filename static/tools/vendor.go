package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// thirdParty is one entry of src/vendor.json. Paths are relative to the package on the left, to src on the right.
type thirdParty struct {
	Package string            `json:"package"`
	Version string            `json:"version"`
	License string            `json:"license"`
	Text    string            `json:"text"` // the licence's own text, one of the files
	Files   map[string]string `json:"files"`
	Icons   []string          `json:"icons"` // short for icons/NAME.svg
}

// shipped tells what the binary carries from what only tests use.
func (p thirdParty) shipped() bool { return !strings.HasPrefix(p.Text, "testing/") }

// vendoredFolders hold third-party files only.
var vendoredFolders = []string{"fonts", "icons", "testing", "vendor"}

func manifest() ([]thirdParty, error) {
	raw, err := os.ReadFile(filepath.Join(src, "vendor.json"))
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	var ps []thirdParty
	if err := dec.Decode(&ps); err != nil {
		return nil, fmt.Errorf("vendor.json: %w", err)
	}
	for i, p := range ps {
		for _, name := range p.Icons {
			ps[i].Files["icons/"+name+".svg"] = "icons/" + name + ".svg"
		}
		if !slices.Contains(slices.Collect(maps.Values(p.Files)), p.Text) {
			return nil, fmt.Errorf("vendor.json: %s names no licence text among its files", p.Package)
		}
	}
	return ps, nil
}

func vendor() error {
	ps, err := manifest()
	if err != nil {
		return err
	}
	for _, folder := range vendoredFolders {
		if err := os.RemoveAll(filepath.Join(src, folder)); err != nil {
			return err
		}
	}
	for _, p := range ps {
		if err := p.copy(filepath.Join("node_modules", filepath.FromSlash(p.Package))); err != nil {
			return fmt.Errorf("%s: %w", p.Package, err)
		}
	}
	sums, err := sum(ps)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(src, "vendor.sum"), sums, 0o644); err != nil {
		return err
	}
	return check()
}

func (p thirdParty) copy(from string) error {
	var pkg struct{ Version string }
	raw, err := os.ReadFile(filepath.Join(from, "package.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &pkg); err != nil {
		return err
	}
	if pkg.Version != p.Version {
		return fmt.Errorf("vendor.json wants %s, node_modules has %s", p.Version, pkg.Version)
	}
	for name, to := range p.Files {
		b, err := os.ReadFile(filepath.Join(from, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		to = filepath.Join(src, filepath.FromSlash(to))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// sum lists the vendored files in the format of sha256sum, and fails when src holds others beside them.
func sum(ps []thirdParty) ([]byte, error) {
	var files []string
	for _, p := range ps {
		files = slices.AppendSeq(files, maps.Values(p.Files))
	}
	slices.Sort(files)
	for _, folder := range vendoredFolders {
		err := fs.WalkDir(os.DirFS(src), folder, func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !slices.Contains(files, name) {
				err = fmt.Errorf("src/%s is not in vendor.json", name)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	for _, name := range files {
		b, err := os.ReadFile(filepath.Join(src, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "%x  %s\n", sha256.Sum256(b), name)
	}
	return out.Bytes(), nil
}

func check() error {
	ps, err := manifest()
	if err != nil {
		return err
	}
	if err := checkPins(ps); err != nil {
		return err
	}
	got, err := sum(ps)
	if err != nil {
		return err
	}
	want, err := os.ReadFile(filepath.Join(src, "vendor.sum"))
	if err != nil {
		return err
	}
	if bytes.Equal(got, want) {
		return nil
	}
	for line := range strings.Lines(string(got)) {
		if !strings.Contains(string(want), line) {
			return fmt.Errorf("src/%s is not the file that vendor.sum names", path.Clean(strings.Fields(line)[1]))
		}
	}
	return fmt.Errorf("vendor.sum names files that vendor.json does not")
}

// checkPins compares vendor.json with what npm would install, and keeps the registry's address out of the lock file.
func checkPins(ps []thirdParty) error {
	var pins struct {
		Dependencies map[string]string `json:"dependencies"`
	}
	raw, err := os.ReadFile("package.json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &pins); err != nil {
		return fmt.Errorf("package.json: %w", err)
	}
	want := map[string]string{}
	for _, p := range ps {
		want[p.Package] = p.Version
	}
	if !maps.Equal(want, pins.Dependencies) {
		return fmt.Errorf("package.json and vendor.json pin different versions")
	}
	lock, err := os.ReadFile("package-lock.json")
	if err != nil {
		return err
	}
	if bytes.Contains(lock, []byte(`"resolved"`)) {
		return fmt.Errorf(`package-lock.json names a registry: delete its "resolved" lines`)
	}
	return nil
}
