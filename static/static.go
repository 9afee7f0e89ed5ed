// Package static holds the files that pages load: style sheet, scripts, fonts, pictures. They are made from src by
// static/tools, embedded, and served under names that change with their content, so that a browser may keep them for
// ever. It imports the standard library only and knows nothing of pages, sessions or languages.
package static

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed dist
var dist embed.FS

const prefix = "/static/"

// names maps logical names (app.css) to file names (app-0123456789.css).
var names = func() map[string]string {
	raw, err := dist.ReadFile("dist/manifest.json")
	if err != nil {
		panic(err) // go:embed has already made sure that dist is there
	}
	var m map[string]string
	if err := json.Unmarshal(raw, &m); err != nil {
		panic(err)
	}
	return m
}()

// Has tells whether there is an asset of that logical name.
func Has(name string) bool { return names[name] != "" }

// URL is the path of an asset, by its logical name: URL("app.css"). A name that does not exist gives a path that answers
// 404, never a broken page; the test of this package finds such names in the whole source, so they must be literals.
func URL(name string) string {
	if file, ok := names[name]; ok {
		return prefix + file
	}
	return prefix + name
}

// Digest is the SHA-256 of an asset in hex, as sha256sum prints it.
func Digest(name string) string { return fmt.Sprintf("%x", digest(name)) }

// Integrity is the digest as a script's integrity attribute has it: a browser
// runs no other content under that name.
func Integrity(name string) string {
	sum := digest(name)
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func digest(name string) [sha256.Size]byte {
	content, err := dist.ReadFile("dist/" + names[name])
	if err != nil {
		panic(err) // a name of the manifest, which go:embed has
	}
	return sha256.Sum256(content)
}

var types = map[string]string{
	".css":   "text/css; charset=utf-8",
	".js":    "text/javascript; charset=utf-8",
	".png":   "image/png",
	".svg":   "image/svg+xml",
	".txt":   "text/plain; charset=utf-8",
	".woff2": "font/woff2",
}

// asset is one file in the codings that we have of it.
type asset struct {
	contentType, cache string
	bodies             map[string]body // by coding; "identity" is always there
}

type body struct {
	content []byte
	etag    string
}

// Handler serves the assets at /static/. It answers everything else below with 404 and lists nothing.
func Handler() http.Handler {
	assets := map[string]asset{}
	for name, file := range names {
		assets[prefix+file] = load(name, file)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			refuse(w, http.StatusMethodNotAllowed)
			return
		}
		a, ok := assets[r.URL.Path]
		if !ok {
			refuse(w, http.StatusNotFound)
			return
		}
		a.serve(w, r)
	})
}

func load(name, file string) asset {
	a := asset{contentType: types[path.Ext(file)], cache: "public, max-age=31536000, immutable", bodies: map[string]body{}}
	if name == file {
		a.cache = "public, max-age=3600"
	}
	if name == "speculation.json" {
		a.contentType = "application/speculationrules+json"
	}
	for coding, ext := range map[string]string{"identity": "", "br": ".br", "gzip": ".gz"} {
		if content, err := dist.ReadFile("dist/" + file + ext); err == nil {
			sum := sha256.Sum256(content)
			a.bodies[coding] = body{content, fmt.Sprintf(`"%x"`, sum[:12])}
		}
	}
	return a
}

func (a asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Cache-Control", a.cache)
	coding := "identity"
	if len(a.bodies) > 1 {
		h.Set("Vary", "Accept-Encoding")
		coding = negotiate(strings.Join(r.Header.Values("Accept-Encoding"), ","), a.bodies)
	}
	chosen := a.bodies[coding]
	if coding != "identity" {
		h.Set("Content-Encoding", coding)
		h.Set("Content-Length", fmt.Sprint(len(chosen.content))) // ServeContent leaves it out of coded answers
	}
	h.Set("ETag", chosen.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(chosen.content))
}

func refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, http.StatusText(status), status)
}
