package store_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/s3blob" // opens s3:// addresses

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// openS3 opens the server's bucket by its address, as the program does.
func openS3(t *testing.T, server *storetest.S3) *blob.Bucket {
	t.Helper()
	b, err := blob.OpenBucket(t.Context(), server.URL(storetest.S3Bucket)+"&anonymous=true&response_checksum_validation=when_required")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// large is more than S3 takes at once, so that it is sent in parts.
func large() []byte {
	content := make([]byte, 23<<20)
	_, _ = rand.Read(content) // never fails
	return content
}

const noLimit = 100 << 20

func TestLargeUploadToS3(t *testing.T) {
	t.Parallel()
	server := storetest.NewS3(t)
	bucket, with := withBucket(t, openS3(t, server))
	s := storetest.New(t, with)
	worker := agent(t, s)
	content := large()
	b, err := s.Upload(t.Context(), worker.Actor, bytes.NewReader(content), noLimit)
	if err != nil || b.Bytes != int64(len(content)) || server.Writes() < 3 {
		t.Fatalf("got %+v, %v after %d parts", b, err, server.Writes())
	}
	r, err := s.OpenBlob(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
		t.Errorf("read %d bytes, %v; want what was sent", len(got), err)
	}
	if _, err := r.Seek(-5, io.SeekEnd); err != nil { // as a download of a part does
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content[len(content)-5:]) {
		t.Errorf("the end is %x, %v", got, err)
	}
	if again, err := s.Upload(t.Context(), worker.Actor, bytes.NewReader(content), noLimit); err != nil || again.Object != b.Object {
		t.Errorf("sent again it is %+v, %v", again, err)
	}
	if n := objects(t, bucket); n != 1 || server.Unfinished(t) != 0 {
		t.Errorf("%d objects and %d unfinished uploads are kept", n, server.Unfinished(t))
	}
}

// TestLargeUploadThatFailsLeavesNothing looks for the parts as well: nothing
// lists them, and they are paid for.
func TestLargeUploadThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	var puts atomic.Int64
	var refused atomic.Int64 // the number of the request that is refused, 0 for none
	server := storetest.NewS3(t)
	server.Refuse = func(r *http.Request) bool {
		return r.Method == http.MethodPut && puts.Add(1) == refused.Load()
	}
	bucket, with := withBucket(t, openS3(t, server))
	s := storetest.New(t, with)
	worker := agent(t, s)
	content := large()
	nothing := func(what string) {
		t.Helper()
		if n := objects(t, bucket); n != 0 || server.Unfinished(t) != 0 {
			t.Errorf("%s: %d objects and %d unfinished uploads are left", what, n, server.Unfinished(t))
		}
	}
	broken := errors.New("the line is cut")
	cut := io.MultiReader(bytes.NewReader(content), iotestError{broken})
	if _, err := s.Upload(t.Context(), worker.Actor, cut, noLimit); !errors.Is(err, broken) || puts.Load() == 0 {
		t.Errorf("got %v after %d parts, want what cut it", err, puts.Load())
	}
	nothing("cut off")
	if _, err := s.Upload(t.Context(), worker.Actor, bytes.NewReader(content), int64(len(content))-1); !errors.Is(err, market.ErrTooLarge) {
		t.Errorf("got %v, want too_large", err)
	}
	nothing("too large")
	gone, leave := context.WithCancel(t.Context())
	leaving := io.MultiReader(bytes.NewReader(content), readerFunc(func([]byte) (int, error) { leave(); return 0, nil }))
	if _, err := s.Upload(gone, worker.Actor, leaving, noLimit); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the caller has gone", err)
	}
	nothing("a caller that left")
	for _, n := range []int64{1, 3} {
		puts.Store(0)
		refused.Store(n)
		if _, err := s.Upload(t.Context(), worker.Actor, bytes.NewReader(content), noLimit); !errors.Is(err, market.ErrFilesUnavailable) {
			t.Errorf("got %v, want files_unavailable", err)
		}
		nothing("a bucket that refuses")
	}
	refused.Store(0)
	if _, err := s.Upload(t.Context(), worker.Actor, bytes.NewReader(content), noLimit); err != nil {
		t.Errorf("and after all that: %v", err)
	}
}

func TestBucketThatRefuses(t *testing.T) {
	t.Parallel()
	var refuses atomic.Bool
	server := storetest.NewS3(t)
	server.Refuse = func(*http.Request) bool { return refuses.Load() }
	bucket, with := withBucket(t, openS3(t, server))
	s := storetest.New(t, with)
	publisher, worker := agent(t, s), agent(t, s)
	b := upload(t, s, worker, "kept")
	deliverFile(t, s, worker, publish(t, s, publisher, 10).ID, b)
	if err := bucket.Delete(t.Context(), b.Object); err != nil {
		t.Fatal(err)
	}
	if _, err := s.OpenBlob(t.Context(), b); !errors.Is(err, market.ErrNotFound) {
		t.Errorf("a lost object got %v, want not_found", err)
	}
	refuses.Store(true)
	if _, err := s.Upload(t.Context(), worker.Actor, strings.NewReader("new"), 1000); !errors.Is(err, market.ErrFilesUnavailable) {
		t.Errorf("an upload got %v, want files_unavailable", err)
	}
	if _, err := s.OpenBlob(t.Context(), b); !errors.Is(err, market.ErrFilesUnavailable) {
		t.Errorf("a download got %v, want files_unavailable", err)
	}
	if _, err := s.CollectOrphans(t.Context()); !errors.Is(err, market.ErrFilesUnavailable) {
		t.Errorf("collecting got %v, want files_unavailable", err)
	}
	if found, err := s.Blob(t.Context(), worker.Actor, b.SHA256); err != nil || found.Object != b.Object {
		t.Errorf("the blob is noted as %+v, %v", found, err)
	}
}

func TestOrphansThatCannotBeDeleted(t *testing.T) {
	t.Parallel()
	var c clock
	const first, second = "blobs/01a20b77-e936-75e9-8ee4-5120c30a9cda", "blobs/01a20b77-e936-75e9-8ee4-5120c30a9cdb"
	server := storetest.NewS3(t)
	server.Refuse = func(r *http.Request) bool {
		return r.Method == http.MethodDelete && strings.HasSuffix(r.URL.Path, first)
	}
	bucket, with := withBucket(t, openS3(t, server))
	s := storetest.New(t, withClock(&c), with)
	for _, key := range []string{first, second} {
		if err := bucket.WriteAll(t.Context(), key, []byte("x"), nil); err != nil {
			t.Fatal(err)
		}
	}
	c.advance(2 * market.UnusedFor)
	if n, err := s.CollectOrphans(t.Context()); n != 1 || !errors.Is(err, market.ErrFilesUnavailable) || objects(t, bucket) != 1 {
		t.Errorf("deleted %d, %v; want the one that can be", n, err)
	}
}

func TestCheckBucket(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]string{"": "", "GET": "cannot be listed", "PUT": "cannot be written", "HEAD": "nothing can be deleted"} {
		server := storetest.NewS3(t)
		server.Refuse = func(r *http.Request) bool { return r.Method == method }
		bucket, _ := withBucket(t, openS3(t, server))
		err := store.CheckBucket(t.Context(), bucket)
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("without %q: got %v, want %q", method, err, want)
		}
		if want == "" && objects(t, bucket) != 0 {
			t.Errorf("%d objects are left", objects(t, bucket))
		}
	}
}
