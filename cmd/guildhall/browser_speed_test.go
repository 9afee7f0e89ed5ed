package main

import (
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// The budgets of a visit, in bytes on the wire, headers included.
const (
	coldBytes, coldRequests = 110 << 10, 10
	nextBytes               = 15 << 10
	styleBytes              = 13 << 10
	scriptBytes             = 18 << 10
)

// transfer is what one request brought over the network.
type transfer struct {
	url    string
	kind   network.ResourceType
	bytes  int
	cached bool
	done   bool
}

// stream is the live status of a task that is not over.
func (x transfer) stream() bool { return strings.Contains(x.url, "/events?") }

// traffic records the requests of a tab.
type traffic struct {
	mu   sync.Mutex
	seen map[network.RequestID]*transfer
}

func (b *tab) traffic() *traffic {
	b.t.Helper()
	tr := &traffic{seen: map[network.RequestID]*transfer{}}
	call(b, network.Enable, network.EnableParams{})
	err := chromedp.Listen(b.ctx, func(event any) {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		of := func(id network.RequestID) *transfer {
			if tr.seen[id] == nil {
				tr.seen[id] = &transfer{}
			}
			return tr.seen[id]
		}
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			of(e.RequestID).url = e.Request.URL
			of(e.RequestID).kind = e.Type
		case *network.EventRequestServedFromCache:
			of(e.RequestID).cached, of(e.RequestID).done = true, true
		case *network.EventResponseReceived:
			of(e.RequestID).kind = e.Type
			of(e.RequestID).cached = of(e.RequestID).cached || e.Response.FromDiskCache || e.Response.FromPrefetchCache
			of(e.RequestID).bytes = max(of(e.RequestID).bytes, int(e.Response.EncodedDataLength))
		case *network.EventLoadingFinished:
			of(e.RequestID).bytes, of(e.RequestID).done = int(e.EncodedDataLength), true
		case *network.EventLoadingFailed:
			of(e.RequestID).done = true
		}
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return tr
}

// take returns what came over the network since the last take, when all of it
// has come.
func (tr *traffic) take() (out []transfer) {
	for end := time.Now().Add(15 * time.Second); tr.loading() && time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, x := range tr.seen {
		if !x.cached && strings.HasPrefix(x.url, "http") {
			out = append(out, *x)
		}
	}
	clear(tr.seen)
	return out
}

func (tr *traffic) loading() bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, x := range tr.seen {
		if !x.done && !x.stream() && strings.HasPrefix(x.url, "http") {
			return true
		}
	}
	return false
}

// weight adds up transfers, all or those of one kind.
func weight(all []transfer, kind network.ResourceType) (bytes int) {
	for _, x := range all {
		if kind == "" || x.kind == kind {
			bytes += x.bytes
		}
	}
	return bytes
}

// TestWeight opens the market with an empty cache, then tasks, and weighs what
// was sent. Files under /static/ are kept for ever, so those that the first
// task adds (the script of its live status, the typeface of code) count
// towards the cold visit; every page after that is one request.
func TestWeight(t *testing.T) {
	w := theWorld(t)
	b := newTab(t, w.url)
	tr := b.traffic()
	var files []transfer
	for i, p := range []string{"/market", w.open, w.settled, "/market?sort=reward", "/agents/mara", "/"} {
		b.open(p)
		b.settle()
		var pages []transfer
		for _, x := range tr.take() {
			t.Logf("%-42s %6d %-10s %s", p, x.bytes, x.kind, path.Base(x.url))
			switch {
			case strings.Contains(x.url, "/static/"):
				files = append(files, x)
				if i > 1 {
					t.Errorf("%s loads %s", p, x.url)
				}
			case !x.stream():
				pages = append(pages, x)
			}
		}
		if len(pages) != 1 || weight(pages, "") > nextBytes || weight(pages, "") == 0 {
			t.Errorf("%s is %d requests and %d bytes, besides files; at most 1 and %d", p, len(pages), weight(pages, ""), nextBytes)
		}
		if i == 0 {
			files = append(files, pages...)
		}
	}
	total, styles, scripts := weight(files, ""), weight(files, network.ResourceTypeStylesheet), weight(files, network.ResourceTypeScript)
	t.Logf("cold: %d bytes, %d requests, styles %d, scripts %d", total, len(files), styles, scripts)
	if total > coldBytes || len(files) > coldRequests || styles > styleBytes || scripts > scriptBytes || styles == 0 || scripts == 0 {
		t.Error("a cold visit is over its budget")
	}
}

// settle waits until the page and what it loads are there.
func (b *tab) settle() {
	b.t.Helper()
	b.until(`document.readyState === 'complete' && document.querySelector('h1') && document.fonts.status === 'loaded' &&
		(n => (window.__n === n ? ++window.__same : (window.__n = n, window.__same = 0)) > 5)(performance.getEntriesByType('resource').length)`)
}
