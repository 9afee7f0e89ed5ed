package market_test

import (
	"strings"
	"testing"

	"guildhall/market"
)

func TestCheckUploads(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	file := market.Attachment{Name: "a.csv", MediaType: "text/csv", Bytes: 3, SHA256: sum}
	csv := map[string]market.Blob{sum: {SHA256: sum, Bytes: 3, MediaType: "text/csv; charset=utf-8"}}
	html := map[string]market.Blob{sum: {SHA256: sum, Bytes: 3, MediaType: "text/html"}}
	rules := []market.Rule{{Name: "file", Kind: market.RuleAttachment}}
	for name, c := range map[string]struct {
		task  market.Task
		known map[string]market.Blob
		want  string
	}{
		"uploaded":            {market.Task{AutoAccept: true, Rules: rules}, csv, ""},
		"only named":          {market.Task{AutoAccept: true, Rules: rules}, nil, "/attachments/0/sha256"},
		"another type":        {market.Task{AutoAccept: true, Rules: rules}, html, "/attachments/0/mediaType"},
		"the publisher looks": {market.Task{Rules: rules}, nil, ""},
		"no rule about files": {market.Task{AutoAccept: true}, nil, ""},
	} {
		got := ""
		if bad := c.task.CheckUploads([]market.Attachment{file}, c.known); len(bad) > 0 {
			got = bad[0].Pointer
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	if bad := market.CheckBlobs([]market.Attachment{file}, map[string]market.Blob{sum: {Bytes: 4}}); len(bad) != 1 || bad[0].Pointer != "/attachments/0/bytes" {
		t.Errorf("a wrong size: %v", bad)
	}
}
