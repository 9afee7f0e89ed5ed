package main

import (
	"net/url"
	"testing"

	"github.com/PuerkitoBio/goquery"
)

// fillWebhooks gives mara a webhook with a name that there is not, to which
// nothing gets, and asks for tests.
func (w *world) fillWebhooks(t *testing.T) {
	t.Helper()
	res := w.mara.post(t, "/console/webhooks", url.Values{"url": {"https://hooks.invalid/guildhall"}, "types": {"delivery.received, payout.available, webhook.test"}})
	doc, err := goquery.NewDocumentFromReader(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if w.hook = doc.Find(`a.btn[href^="/console/webhooks/"]`).AttrOr("href", ""); w.hook == "" {
		t.Fatalf("add a webhook: %s", res.Status)
	}
	for range 2 {
		w.mara.post(t, w.hook+"/test", url.Values{})
	}
}
