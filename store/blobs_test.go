package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// withBucket keeps uploads where the test can look at them.
func withBucket(t *testing.T, b *blob.Bucket) (*blob.Bucket, func(*store.Options)) {
	t.Helper()
	t.Cleanup(func() { b.Close() })
	return b, func(o *store.Options) { o.Blobs = b }
}

// onEachStore runs a test with every kind of blob store.
func onEachStore(t *testing.T, test func(*testing.T, *blob.Bucket)) {
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		test(t, memblob.OpenBucket(nil))
	})
	t.Run("folder", func(t *testing.T) {
		t.Parallel()
		b, err := fileblob.OpenBucket(t.TempDir(), &fileblob.Options{NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
		if err != nil {
			t.Fatal(err)
		}
		test(t, b)
	})
	t.Run("s3", func(t *testing.T) {
		t.Parallel()
		test(t, openS3(t, storetest.NewS3(t)))
	})
}

func objects(t *testing.T, b *blob.Bucket) (n int) {
	t.Helper()
	list := b.List(nil)
	for {
		if _, err := list.Next(t.Context()); err == io.EOF {
			return n
		} else if err != nil {
			t.Fatal(err)
		}
		n++
	}
}

func upload(t *testing.T, s *store.Store, by store.Caller, content string) market.Blob {
	t.Helper()
	b, err := s.Upload(t.Context(), by.Actor, strings.NewReader(content), 1000)
	if err != nil {
		t.Fatalf("upload: %v", err)
	}
	return b
}

// deliverFile claims the task and delivers with the file attached.
func deliverFile(t *testing.T, s *store.Store, by store.Caller, id market.TaskID, b market.Blob) market.Snapshot {
	t.Helper()
	claimed, err := s.ClaimTask(t.Context(), by, id)
	if err != nil {
		t.Fatal(err)
	}
	l := store.Lease{Claim: claimed.Claim.ID, Epoch: claimed.Claim.Epoch}
	opened, err := s.OpenDelivery(t.Context(), by, id, l)
	if err != nil {
		t.Fatal(err)
	}
	p := pack()
	p.Attachments = []market.Attachment{{Name: "a.txt", MediaType: b.MediaType, Bytes: b.Bytes, SHA256: b.SHA256}}
	done, err := s.Deliver(t.Context(), by, opened, l, p, report(market.VerdictPass))
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestUploadIsKeptOnceAndReadByItsParties(t *testing.T) {
	t.Parallel()
	onEachStore(t, checkUploadIsKeptOnceAndReadByItsParties)
}

func checkUploadIsKeptOnceAndReadByItsParties(t *testing.T, empty *blob.Bucket) {
	bucket, with := withBucket(t, empty)
	s := storetest.New(t, with)
	publisher, worker, stranger := agent(t, s), agent(t, s), agent(t, s)
	const content = "name,code\nAndorra,AD\n"
	sum := sha256.Sum256([]byte(content))
	b := upload(t, s, worker, content)
	if b.SHA256 != hex.EncodeToString(sum[:]) || b.Bytes != int64(len(content)) || !strings.HasPrefix(b.MediaType, "text/csv") {
		t.Errorf("got %+v", b)
	}
	if again := upload(t, s, worker, content); again.Object != b.Object {
		t.Errorf("sent again it is another object: %+v", again)
	}
	if other := upload(t, s, stranger, content); other.Object != b.Object || objects(t, bucket) != 1 {
		t.Errorf("the same content is kept %d times", objects(t, bucket))
	}
	task := publish(t, s, publisher, 10)
	reads := func(id market.AccountID, want error) {
		t.Helper()
		if _, err := s.Blob(t.Context(), market.Actor{Account: id}, b.SHA256); !errors.Is(err, want) {
			t.Errorf("%s got %v, want %v", id, err, want)
		}
	}
	reads(publisher.Account, market.ErrNotFound)
	deliverFile(t, s, worker, task.ID, b)
	reads(publisher.Account, nil)
	reads(worker.Account, nil)
	reads("", market.ErrNotFound)
	outsider := agent(t, s)
	reads(outsider.Account, market.ErrNotFound)
	asOperator := func(id market.AccountID, want error) {
		t.Helper()
		if _, err := s.Blob(t.Context(), market.Actor{Account: id, Operator: true}, b.SHA256); !errors.Is(err, want) {
			t.Errorf("an operator got %v, want %v", err, want)
		}
	}
	asOperator(outsider.Account, market.ErrNotFound) // nobody asked
	pending, err := s.Task(t.Context(), publisher.Actor, task.ID)
	if err != nil {
		t.Fatal(err)
	}
	did := pending.Delivery.ID
	if _, err := s.RejectDelivery(t.Context(), publisher, task.ID, did, market.Rejection{Reason: "No.", Quote: "without doubles"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AppealDelivery(t.Context(), worker, task.ID, did, "Why?"); err != nil {
		t.Fatal(err)
	}
	asOperator(outsider.Account, nil)
	reads(outsider.Account, market.ErrNotFound)
	found, err := s.Blob(t.Context(), publisher.Actor, b.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.OpenBlob(t.Context(), found)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != content {
		t.Errorf("read %q, %v", got, err)
	}
	// Naming a hash does not give what is behind it.
	second := publish(t, s, publisher, 10)
	deliverFile(t, s, outsider, second.ID, b)
	reads(outsider.Account, market.ErrNotFound)
}

func TestUploadThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	onEachStore(t, checkUploadThatFailsLeavesNothing)
}

func checkUploadThatFailsLeavesNothing(t *testing.T, b *blob.Bucket) {
	bucket, with := withBucket(t, b)
	s := storetest.New(t, with)
	worker := agent(t, s)
	if _, err := s.Upload(t.Context(), worker.Actor, strings.NewReader(strings.Repeat("x", 1001)), 1000); !errors.Is(err, market.ErrTooLarge) {
		t.Errorf("got %v, want too_large", err)
	}
	broken := errors.New("the line is cut")
	for _, before := range []int{0, 10, 5000, 9_999} {
		cut := io.MultiReader(bytes.NewReader(make([]byte, before)), iotestError{broken})
		if _, err := s.Upload(t.Context(), worker.Actor, cut, 10_000); !errors.Is(err, broken) {
			t.Errorf("got %v, want what cut it", err)
		}
	}
	gone, leave := context.WithCancel(t.Context())
	leaving := io.MultiReader(bytes.NewReader(make([]byte, 5000)), readerFunc(func([]byte) (int, error) { leave(); return 0, nil }))
	if _, err := s.Upload(gone, worker.Actor, leaving, 10_000); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the caller has gone", err)
	}
	if n := objects(t, bucket); n != 0 {
		t.Errorf("%d objects were left", n)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

type iotestError struct{ err error }

func (e iotestError) Read([]byte) (int, error) { return 0, e.err }

func TestUnusedUploadsAreForgotten(t *testing.T) {
	t.Parallel()
	onEachStore(t, checkUnusedUploadsAreForgotten)
}

func checkUnusedUploadsAreForgotten(t *testing.T, b *blob.Bucket) {
	var c clock
	bucket, with := withBucket(t, b)
	s := storetest.New(t, withClock(&c), with)
	publisher, worker, other := agent(t, s), agent(t, s), agent(t, s)
	used := upload(t, s, worker, "used")
	unused := upload(t, s, worker, "unused")
	shared := upload(t, s, other, "used")
	deliverFile(t, s, worker, publish(t, s, publisher, 10).ID, used)
	c.advance(market.UnusedFor + time.Minute)
	if _, err := s.Sweep(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Blob(t.Context(), worker.Actor, unused.SHA256); !errors.Is(err, market.ErrNotFound) {
		t.Errorf("the unused upload: %v", err)
	}
	if _, err := s.Blob(t.Context(), other.Actor, shared.SHA256); !errors.Is(err, market.ErrNotFound) {
		t.Errorf("the other's unused upload: %v", err)
	}
	if _, err := s.Blob(t.Context(), publisher.Actor, used.SHA256); err != nil || objects(t, bucket) != 1 {
		t.Errorf("the used upload: %v, %d objects", err, objects(t, bucket))
	}
}

func TestRaceUploadAgainstCollecting(t *testing.T) {
	t.Parallel()
	onEachStore(t, checkRaceUploadAgainstCollecting)
}

func checkRaceUploadAgainstCollecting(t *testing.T, b *blob.Bucket) {
	var c clock
	bucket, with := withBucket(t, b)
	s := storetest.New(t, withClock(&c), with)
	worker := agent(t, s)
	for range 20 {
		old := upload(t, s, worker, "again and again")
		if _, err := s.DB().Exec(`UPDATE uploads SET created_at = created_at - interval '2 days'`); err != nil {
			t.Fatal(err)
		}
		got := race(8, func(i int) error {
			if i%2 == 0 {
				_, err := s.Sweep(t.Context(), 10)
				return err
			}
			_, err := s.Upload(t.Context(), worker.Actor, strings.NewReader("again and again"), 1000)
			return err
		})
		if got["ok"] != 8 {
			t.Fatalf("got %v", got)
		}
		b, err := s.Blob(t.Context(), worker.Actor, old.SHA256)
		if err != nil {
			t.Fatalf("an upload that was acknowledged is gone: %v", err)
		}
		if r, err := s.OpenBlob(t.Context(), b); err != nil {
			t.Fatalf("its content is gone: %v", err)
		} else {
			r.Close()
		}
		if n := objects(t, bucket); n != 1 {
			t.Fatalf("%d objects are kept of one content", n)
		}
	}
}

func TestOrphansAreCollected(t *testing.T) {
	t.Parallel()
	onEachStore(t, checkOrphansAreCollected)
}

func checkOrphansAreCollected(t *testing.T, b *blob.Bucket) {
	var c clock
	bucket, with := withBucket(t, b)
	s := storetest.New(t, withClock(&c), with)
	kept := upload(t, s, agent(t, s), "kept")
	// Ours, and what was in the bucket for other reasons.
	for _, key := range []string{"blobs/01a20b77-e936-75e9-8ee4-5120c30a9cda", "backup.tar", "blobs/photo.png"} {
		if err := bucket.WriteAll(t.Context(), key, []byte("x"), nil); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.CollectOrphans(t.Context()); n != 0 || err != nil {
		t.Errorf("a fresh object may be on its way: deleted %d, %v", n, err)
	}
	c.advance(market.UnusedFor + time.Minute)
	if n, err := s.CollectOrphans(t.Context()); n != 1 || err != nil {
		t.Errorf("deleted %d orphans, %v; want 1", n, err)
	}
	if n := objects(t, bucket); n != 3 {
		t.Errorf("%d objects are left, want the kept one and two that are not ours", n)
	}
	r, err := s.OpenBlob(t.Context(), kept)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
}

func TestUploadQuota(t *testing.T) {
	t.Parallel()
	_, with := withBucket(t, memblob.OpenBucket(nil))
	s := storetest.New(t, with)
	worker := agent(t, s)
	b := upload(t, s, worker, "small")
	if _, err := s.DB().Exec(`UPDATE blobs SET bytes = $1 WHERE sha256 = $2`, int64(market.MaxUnusedBytes), b.SHA256); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Upload(t.Context(), worker.Actor, strings.NewReader("one more"), 1000); !errors.Is(err, market.ErrUploadQuota) {
		t.Errorf("got %v, want upload_quota", err)
	}
}
