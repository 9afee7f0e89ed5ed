package storetest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// S3 is an S3-compatible server of one test, in memory and on a loopback
// port. It takes any credentials.
type S3 struct {
	server *httptest.Server
	// Refuse, if set, says which requests are answered with AccessDenied.
	Refuse func(*http.Request) bool
	writes atomic.Int64
}

// S3Bucket is the one bucket that the server has at first.
const S3Bucket = "uploads"

// NewS3 starts a server. What is to be refused is set before the first request.
func NewS3(t testing.TB) *S3 {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket(S3Bucket); err != nil {
		t.Fatalf("make a bucket: %v", err)
	}
	s := &S3{}
	fake := gofakes3.New(backend).Server()
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.Refuse != nil && s.Refuse(r) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`)
			return
		}
		if r.Method == http.MethodPut {
			s.writes.Add(1)
		}
		fake.ServeHTTP(w, r)
	}))
	t.Cleanup(s.server.Close)
	return s
}

// URL is the address of a bucket as an operator writes it.
func (s *S3) URL(bucket string) string {
	q := url.Values{"region": {"us-east-1"}, "endpoint": {s.server.URL}, "use_path_style": {"true"}}
	return "s3://" + bucket + "?" + q.Encode()
}

// Writes is how many objects and parts of objects were sent.
func (s *S3) Writes() int64 { return s.writes.Load() }

// Unfinished is how many uploads in parts were begun and neither completed
// nor given up: their parts are kept, and paid for, and no listing shows them.
func (s *S3) Unfinished(t testing.TB) int {
	t.Helper()
	res, err := http.Get(s.server.URL + "/" + S3Bucket + "?uploads")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("list the unfinished uploads: %d %v %s", res.StatusCode, err, text)
	}
	return strings.Count(string(text), "<UploadId>")
}
