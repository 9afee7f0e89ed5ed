package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func get(t *testing.T, method, target string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, "/", nil)
	r.URL.Path = target // as it is, traversal included
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w.Result()
}

func read(t *testing.T, res *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEveryAssetIsServed(t *testing.T) {
	for name, file := range names {
		want, err := dist.ReadFile("dist/" + file)
		if err != nil {
			t.Fatal(err)
		}
		res := get(t, "GET", URL(name))
		h := res.Header
		if res.StatusCode != 200 || !bytes.Equal(read(t, res), want) {
			t.Errorf("%s: status %d, or another body", name, res.StatusCode)
		}
		if h.Get("Content-Type") == "" || h.Get("ETag") == "" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", name, h)
		}
		cache := "public, max-age=31536000, immutable"
		if name == file {
			cache = "public, max-age=3600"
		} else if hash := fmt.Sprintf("-%x.", sha256.Sum256(want))[:11]; !strings.Contains(file, hash) {
			t.Errorf("%s: the name of %s is not made from its content", name, file)
		}
		if got := h.Get("Cache-Control"); got != cache {
			t.Errorf("%s: Cache-Control %q, want %q", name, got, cache)
		}
	}
}

func TestEveryFileIsInTheManifest(t *testing.T) {
	files, err := fs.Glob(dist, "dist/*")
	if err != nil {
		t.Fatal(err)
	}
	known := []string{"manifest.json"}
	for _, file := range names {
		known = append(known, file, file+".br", file+".gz")
	}
	for _, file := range files {
		if !slices.Contains(known, strings.TrimPrefix(file, "dist/")) {
			t.Errorf("%s is not in the manifest", file)
		}
	}
	if got := len(files); got < len(names) {
		t.Errorf("%d files for %d names", got, len(names))
	}
}

func TestContentTypes(t *testing.T) {
	for name, want := range map[string]string{
		"app.css":               "text/css; charset=utf-8",
		"app.js":                "text/javascript; charset=utf-8",
		"htmx.js":               "text/javascript; charset=utf-8",
		"hx-sse.js":             "text/javascript; charset=utf-8",
		"icon.svg":              "image/svg+xml",
		"social.png":            "image/png",
		"apple-touch-icon.png":  "image/png",
		"instrument-sans.woff2": "font/woff2",
		"geist-mono.woff2":      "font/woff2",
		"third-party.txt":       "text/plain; charset=utf-8",
		"speculation.json":      "application/speculationrules+json",
	} {
		if !Has(name) {
			t.Errorf("no %s", name)
		}
		if got := get(t, "GET", URL(name)).Header.Get("Content-Type"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := URL("speculation.json"); got != "/static/speculation.json" {
		t.Errorf("speculation.json is at %s", got)
	}
}

func TestCodings(t *testing.T) {
	plain := read(t, get(t, "GET", URL("app.css")))
	etags := map[string]bool{}
	for _, c := range []struct{ accept, want string }{
		{"", ""},
		{"gzip, deflate, br, zstd", "br"},
		{"br, gzip", "br"},
		{"gzip", "gzip"},
		{"x-gzip", "gzip"},
		{"GZIP", "gzip"},
		{"deflate", ""},
		{"br;q=0, gzip", "gzip"},
		{"br;q=0.0, gzip;q=0.000", ""},
		{"br;q=0.5, gzip;q=0.8", "gzip"},
		{"br ; q=0.8 , gzip ; q=0.8", "br"},
		{"identity, br;q=0.5", ""},
		{"identity;q=0, br;q=0.1", "br"},
		{"identity;q=0", ""},
		{"*", "br"},
		{"*;q=0", ""},
		{"*;q=0, gzip", "gzip"},
		{"br;q=0, *", "gzip"},
		{"br;q=2, gzip", "gzip"},
		{"br;q=-1, gzip;q=NaN", ""},
		{"br;q=x, gzip;v=1", ""},
		{"brotli, gzipped", ""},
		{",;,=", ""},
	} {
		res := get(t, "GET", URL("app.css"), "Accept-Encoding", c.accept)
		if got := res.Header.Get("Content-Encoding"); got != c.want {
			t.Errorf("%q: %q, want %q", c.accept, got, c.want)
		}
		if got := res.Header.Get("Vary"); got != "Accept-Encoding" {
			t.Errorf("%q: Vary %q", c.accept, got)
		}
		b := read(t, res)
		if c.want == "gzip" {
			zr, err := gzip.NewReader(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			if b, err = io.ReadAll(zr); err != nil {
				t.Fatal(err)
			}
		}
		if (c.want == "br") == bytes.Equal(b, plain) {
			t.Errorf("%q: the body does not fit the coding", c.accept)
		}
		etags[res.Header.Get("ETag")] = true
	}
	if len(etags) != 3 {
		t.Errorf("%d entity tags for three codings", len(etags))
	}
	if got := get(t, "GET", URL("social.png"), "Accept-Encoding", "br").Header; got.Get("Vary") != "" || got.Get("Content-Encoding") != "" {
		t.Errorf("a picture is negotiated: %v", got)
	}
}

func TestTwoHeadersCountAsOne(t *testing.T) {
	res := get(t, "GET", URL("app.css"), "Accept-Encoding", "br;q=0", "Accept-Encoding", "gzip")
	if got := res.Header.Get("Content-Encoding"); got != "gzip" {
		t.Errorf("coding %q", got)
	}
}

func TestHead(t *testing.T) {
	for _, accept := range []string{"", "br"} {
		g := get(t, "GET", URL("app.css"), "Accept-Encoding", accept)
		h := get(t, "HEAD", URL("app.css"), "Accept-Encoding", accept)
		if b := read(t, h); h.StatusCode != 200 || len(b) != 0 {
			t.Errorf("status %d, %d bytes", h.StatusCode, len(b))
		}
		if got, want := fmt.Sprint(h.Header), fmt.Sprint(g.Header); got != want {
			t.Errorf("HEAD %s, GET %s", got, want)
		}
		if got, want := h.Header.Get("Content-Length"), fmt.Sprint(len(read(t, g))); got != want {
			t.Errorf("Content-Length %s, want %s", got, want)
		}
	}
}

func TestNotModified(t *testing.T) {
	etag := get(t, "GET", URL("app.js"), "Accept-Encoding", "br").Header.Get("ETag")
	if !strings.HasPrefix(etag, `"`) {
		t.Fatalf("weak tag %s", etag)
	}
	for _, c := range []struct {
		match, accept string
		want          int
	}{
		{etag, "br", 304}, {`"x", ` + etag, "br", 304}, {"W/" + etag, "br", 304}, {"*", "br", 304},
		{etag, "gzip", 200}, {`"x"`, "br", 200},
	} {
		res := get(t, "GET", URL("app.js"), "If-None-Match", c.match, "Accept-Encoding", c.accept)
		if res.StatusCode != c.want {
			t.Errorf("%s, %s: %d, want %d", c.match, c.accept, res.StatusCode, c.want)
		}
		if res.StatusCode != 304 {
			continue
		}
		h := res.Header
		if len(read(t, res)) != 0 || h.Get("ETag") != etag || h.Get("Vary") == "" || h.Get("Cache-Control") == "" || h.Get("Content-Encoding") != "" {
			t.Errorf("304 with %v", h)
		}
	}
}

func TestRefusals(t *testing.T) {
	file := names["app.css"]
	for _, target := range []string{
		"", "/", "/static", "/static/", "/static/dist", "/static/dist/", "/static/app.css", "/static/" + file + ".br",
		"/static/" + file + ".gz", "/static/" + file + "/", "/static//" + file, "/static/./" + file, "/static/manifest.json",
		"/static/../static.go", "/static/../../go.mod", "/static/dist/" + file, "/static/..%2f" + file, `/static/..\go.mod`,
		"/static/" + file + "\x00", "/STATIC/" + file, "/static/src/testing/axe.min.js", "/static/axe.js", "//static/" + file,
	} {
		res := get(t, "GET", target)
		h := res.Header
		if res.StatusCode != 404 || h.Get("Cache-Control") != "no-store" || h.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%q: %d %v", target, res.StatusCode, h)
		}
		if b := read(t, res); string(b) != "Not Found\n" {
			t.Errorf("%q: %q", target, b)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "get"} {
		res := get(t, method, URL("app.css"))
		if res.StatusCode != 405 || res.Header.Get("Allow") != "GET, HEAD" || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", method, res.StatusCode, res.Header)
		}
	}
}

func TestUnknownNameBreaksNothing(t *testing.T) {
	if Has("nothing.css") {
		t.Error("has nothing.css")
	}
	if got := get(t, "GET", URL("nothing.css")).StatusCode; got != 404 {
		t.Errorf("status %d", got)
	}
}

// TestNamesInTheSource finds every static.URL in the module: its argument is a literal, and that asset exists.
func TestNamesInTheSource(t *testing.T) {
	call := regexp.MustCompile(`static\.URL\(([^)]*)\)`)
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && name != ".." && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "static") {
			return fs.SkipDir
		}
		if ext := filepath.Ext(file); d.IsDir() || ext != ".go" && ext != ".templ" {
			return nil
		}
		src, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, m := range call.FindAllSubmatch(src, -1) {
			arg := string(m[1])
			if name := strings.Trim(arg, `"`); arg != `"`+name+`"` || !Has(name) {
				t.Errorf("%s: %s names no asset by a literal", file, m[0])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestScriptAndStylesKeepThePolicy: the pages' Content-Security-Policy allows no evaluation, inline styles or other hosts.
func TestScriptAndStylesKeepThePolicy(t *testing.T) {
	script, styles := read(t, get(t, "GET", URL("app.js"))), read(t, get(t, "GET", URL("app.css")))
	for _, bad := range []string{"eval(", "new Function", "innerHTML", ".style."} {
		if bytes.Contains(script, []byte(bad)) {
			t.Errorf("app.js: %s does not go with the policy of the pages", bad)
		}
	}
	for _, bad := range []string{"@import", "http:", "https:", "data:"} {
		if bytes.Contains(styles, []byte(bad)) {
			t.Errorf("app.css: %s fetches from elsewhere", bad)
		}
	}
	for _, font := range []string{"instrument-sans.woff2", "geist-mono.woff2"} {
		if !bytes.Contains(styles, []byte(names[font])) {
			t.Errorf("app.css does not name %s", names[font])
		}
	}
}

// TestVaultIsInTheReleaseNotes: who does not trust the server compares the
// script of the vault with them.
func TestVaultIsInTheReleaseNotes(t *testing.T) {
	notes, err := os.ReadFile("../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(notes), Digest("vault.js")) {
		t.Errorf("CHANGELOG.md does not name the SHA-256 of vault.js, %s", Digest("vault.js"))
	}
	if content := read(t, get(t, "GET", URL("vault.js"))); fmt.Sprintf("%x", sha256.Sum256(content)) != Digest("vault.js") {
		t.Error("another script is served than its digest says")
	}
}
