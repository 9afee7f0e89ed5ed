package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// slowly stands before the site and lets pages come in pieces, as they do on a
// bad line, so that the browser draws what is not all there.
func slowly(t *testing.T, site string) string {
	t.Helper()
	to, err := url.Parse(site)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		if !strings.HasPrefix(r.In.URL.Path, "/static/") {
			r.Out.Header.Set("Accept-Encoding", "identity")
		}
	}, ModifyResponse: func(res *http.Response) error {
		if strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
			res.Header.Del("Content-Length")
			res.Body = &pieces{ReadCloser: res.Body}
		}
		return nil
	}}
	s := httptest.NewServer(proxy)
	t.Cleanup(s.Close)
	return s.URL
}

// pieces gives a kilobyte at a time.
type pieces struct {
	io.ReadCloser
	begun bool
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.begun {
		time.Sleep(25 * time.Millisecond) // the line, not a wait for anything
	}
	p.begun = true
	return p.ReadCloser.Read(b[:min(len(b), 1<<10)])
}

// TestNothingMovesOnASlowLine draws every page while it comes.
func TestNothingMovesOnASlowLine(t *testing.T) {
	w := theWorld(t)
	slow := slowly(t, w.url)
	for _, width := range []int64{390, 1440} {
		t.Run(strconv.FormatInt(width, 10), func(t *testing.T) {
			t.Parallel()
			tabs := map[string]*tab{}
			for _, s := range screens(w) {
				if s.lead != nil { // what follows on a page comes by itself
					continue
				}
				b := tabs[s.who.handle]
				if b == nil {
					b = newTabFor(t, slow, 25*time.Minute).as(s.who)
					b.width(width)
					tabs[s.who.handle] = b
				}
				b.open(s.path)
				b.until("document.readyState === 'complete' && document.querySelector('.foot')")
				if f := b.facts(); f.Shift >= 0.01 {
					t.Errorf("%s moves: %.3f %q", s.name, f.Shift, f.Moved)
				}
			}
		})
	}
}

// TestLateExtension lets the script of live pages come long after htmx, which
// the market has left in the cache.
func TestLateExtension(t *testing.T) {
	w := theWorld(t)
	to, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.FlushInterval = -1
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "hx-sse") {
			time.Sleep(500 * time.Millisecond) // the line, not a wait for anything
		}
		proxy.ServeHTTP(rw, r)
	}))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	b := newTab(t, s.URL)
	b.open("/market")
	b.until(`document.readyState === 'complete' && document.querySelector('.task')`)
	b.open(w.open)
	b.until(`document.querySelector('#status')._htmx?.sse?.status === 200`)
}
