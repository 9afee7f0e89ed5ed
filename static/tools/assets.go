package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/evanw/esbuild/pkg/api"
)

// The browsers that know light-dark(), oklch(), nesting and layers: esbuild leaves those as they are written.
var engines = []api.Engine{
	{Name: api.EngineChrome, Version: "123"},
	{Name: api.EngineFirefox, Version: "128"},
	{Name: api.EngineSafari, Version: "17.5"},
}

// build collects everything in memory, so that a mistake leaves the old dist alone.
type build struct {
	names map[string]string // logical name to file name
	files map[string][]byte
}

func assets() error {
	b := build{names: map[string]string{}, files: map[string][]byte{}}
	for _, step := range []func() error{b.copies, b.speculation, b.notices, b.styles, b.scripts} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := b.compress(); err != nil {
		return err
	}
	if err := b.budget(); err != nil {
		return err
	}
	return b.write()
}

// add files content under a name that changes with it.
func (b build) add(logical string, content []byte) {
	ext, hash := path.Ext(logical), sha256.Sum256(content)
	name := fmt.Sprintf("%s-%x%s", strings.TrimSuffix(logical, ext), hash[:5], ext)
	b.names[logical], b.files[name] = name, content
}

// copies takes over what is served as it is: fonts, pictures, third-party scripts.
func (b build) copies() error {
	for _, glob := range []string{"fonts/*.woff2", "brand/*.png", "brand/icon.svg", "vendor/*.js"} {
		files, err := filepath.Glob(filepath.Join(src, glob))
		if err != nil {
			return err
		}
		if len(files) == 0 {
			return fmt.Errorf("src/%s: no such file", glob)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			b.add(strings.Replace(filepath.Base(file), ".min.", ".", 1), content)
		}
	}
	return nil
}

// speculation keeps its name: a response header points at it.
func (b build) speculation() error {
	content, err := os.ReadFile(filepath.Join(src, "speculation.json"))
	if err != nil {
		return err
	}
	var tight bytes.Buffer
	if err := json.Compact(&tight, content); err != nil {
		return fmt.Errorf("src/speculation.json: %w", err)
	}
	b.names["speculation.json"], b.files["speculation.json"] = "speculation.json", tight.Bytes()
	return nil
}

// notices gathers the licences of what the binary carries, as those licences ask.
func (b build) notices() error {
	ps, err := manifest()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	out.WriteString("Guildhall's pages contain files of these projects.\n")
	for _, p := range ps {
		if !p.shipped() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(src, filepath.FromSlash(p.Text)))
		if err != nil {
			return err
		}
		rule := strings.Repeat("=", 72)
		fmt.Fprintf(&out, "\n%s\n%s %s (%s)\n%s\n\n%s\n", rule, p.Package, p.Version, p.License, rule, bytes.TrimSpace(text))
	}
	b.add("third-party.txt", out.Bytes())
	return nil
}

func (b build) styles() error { return b.bundle(filepath.Join(src, "css", "app.css")) }

// scripts bundles each file of src/js; what they import lives in folders below.
func (b build) scripts() error {
	files, err := filepath.Glob(filepath.Join(src, "js", "*.js"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := b.bundle(file); err != nil {
			return err
		}
	}
	return nil
}

func (b build) bundle(entry string) error {
	modules, err := filepath.Abs(filepath.Join(src, "vendor", "npm"))
	if err != nil {
		return err
	}
	res := api.Build(api.BuildOptions{
		EntryPoints: []string{entry},
		Bundle:      true, MinifyWhitespace: true, MinifySyntax: true, MinifyIdentifiers: true,
		Charset: api.CharsetUTF8, LegalComments: api.LegalCommentsNone,
		Target: api.ES2022, Engines: engines, Format: api.FormatESModule,
		Outdir: dist, Write: false, LogLevel: api.LogLevelWarning,
		// Libraries are looked up by name among the vendored files, never in node_modules.
		NodePaths: []string{modules},
		Plugins:   []api.Plugin{{Name: "fonts", Setup: b.fonts}},
	})
	if len(res.Errors) > 0 {
		return fmt.Errorf("%s: %s", entry, res.Errors[0].Text)
	}
	if len(res.Warnings) > 0 {
		return fmt.Errorf("%s: %s", entry, res.Warnings[0].Text)
	}
	for _, f := range res.OutputFiles {
		b.add(filepath.Base(f.Path), f.Contents)
	}
	return nil
}

// fonts points url(x.woff2) at the copied file, which lies beside the style sheet.
func (b build) fonts(p api.PluginBuild) {
	p.OnResolve(api.OnResolveOptions{Filter: `\.woff2$`}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
		name, ok := b.names[path.Base(a.Path)]
		if !ok {
			return api.OnResolveResult{}, fmt.Errorf("no font %s", a.Path)
		}
		return api.OnResolveResult{Path: "./" + name, External: true}, nil
	})
}

// compress adds .br and .gz siblings where they save a tenth.
func (b build) compress() error {
	for _, name := range slices.Sorted(maps.Keys(b.files)) {
		content := b.files[name]
		var br, gz bytes.Buffer
		bw := brotli.NewWriterLevel(&br, brotli.BestCompression)
		zw, err := gzip.NewWriterLevel(&gz, gzip.BestCompression)
		if err != nil {
			return err
		}
		for _, w := range []interface {
			Write([]byte) (int, error)
			Close() error
		}{bw, zw} {
			if _, err := w.Write(content); err != nil {
				return err
			}
			if err := w.Close(); err != nil {
				return err
			}
		}
		for ext, packed := range map[string][]byte{".br": br.Bytes(), ".gz": gz.Bytes()} {
			if len(packed)*10 <= len(content)*9 {
				b.files[name+ext] = packed
			}
		}
	}
	return nil
}

// wire is how many bytes an asset costs a browser of today.
func (b build) wire(logical string) int {
	name := b.names[logical]
	if packed, ok := b.files[name+".br"]; ok {
		return len(packed)
	}
	return len(b.files[name])
}

// budget fails when a page would become heavier than we allow ourselves.
func (b build) budget() error {
	sum := func(match func(string) bool) (n int) {
		for logical := range b.names {
			if match(logical) {
				n += b.wire(logical)
			}
		}
		return n
	}
	everyPage := []string{"app.js", "htmx.js", "hx-sse.js"}
	for _, line := range []struct {
		what  string
		limit int
		match func(string) bool
	}{
		{"CSS, brotli", 12 << 10, func(s string) bool { return path.Ext(s) == ".css" }},
		{"JS of every page, brotli", 18 << 10, func(s string) bool { return slices.Contains(everyPage, s) }},
		{"all other JS, brotli", 45 << 10, func(s string) bool { return path.Ext(s) == ".js" && s != "vault.js" }},
		// Only pages that seal and open protected fields load it, and no page loads it with htmx.
		{"JS of the vault, brotli", 34 << 10, func(s string) bool { return s == "vault.js" }},
		{"fonts", 55 << 10, func(s string) bool { return path.Ext(s) == ".woff2" }},
		{"social picture", 40 << 10, func(s string) bool { return s == "social.png" }},
	} {
		n := sum(line.match)
		fmt.Printf("%-26s %6d of %6d bytes\n", line.what, n, line.limit)
		if n > line.limit {
			return fmt.Errorf("%s: %d bytes, %d over the budget; make it smaller or change the budget in static/tools/assets.go and say why", line.what, n, n-line.limit)
		}
	}
	return nil
}

func (b build) write() error {
	names, err := json.MarshalIndent(b.names, "", "  ")
	if err != nil {
		return err
	}
	b.files["manifest.json"] = append(names, '\n')
	if err := os.RemoveAll(dist); err != nil {
		return err
	}
	if err := os.MkdirAll(dist, 0o755); err != nil {
		return err
	}
	for name, content := range b.files {
		if err := os.WriteFile(filepath.Join(dist, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
