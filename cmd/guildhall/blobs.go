package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	_ "gocloud.dev/blob/s3blob" // opens s3:// addresses

	"guildhall/store"
)

// collectEvery is how often orphaned objects are looked for.
const collectEvery = 24 * time.Hour

// openBlobs opens the blob store of the configuration: a local folder, made
// if it is missing, or a bucket, which is tried out.
func openBlobs(ctx context.Context, c config) (*blob.Bucket, error) {
	dir := filepath.Join(c.data, "blobs")
	if c.blobURL != "" {
		u, err := url.Parse(c.blobURL)
		if err != nil {
			return nil, fmt.Errorf("open the blob store: %w", err)
		}
		if u.Scheme != "file" {
			return openBucket(ctx, u)
		}
		dir = u.Path
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for uploaded files: %w", err)
	}
	bucket, err := fileblob.OpenBucket(dir, &fileblob.Options{NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		return nil, fmt.Errorf("open the folder for uploaded files: %w", err)
	}
	return bucket, nil
}

// bucketTime is how long trying out a bucket may take, the search for
// credentials included.
const bucketTime = 30 * time.Second

func openBucket(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	// Unless it is asked for, the client says nothing of objects without a
	// checksum that it knows: it would at each download, and large ones have none.
	if q := u.Query(); !q.Has("response_checksum_validation") {
		q.Set("response_checksum_validation", "when_required")
		u.RawQuery = q.Encode()
	}
	bucket, err := blob.OpenBucket(ctx, u.String())
	if err != nil {
		return nil, fmt.Errorf("GUILDHALL_BLOB_URL: %w", err)
	}
	trial, done := context.WithTimeout(ctx, bucketTime)
	defer done()
	if err := store.CheckBucket(trial, bucket); err != nil {
		bucket.Close()
		return nil, fmt.Errorf("the bucket %q of GUILDHALL_BLOB_URL cannot be used: %w; check its name, the region, endpoint and use_path_style of the address, and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", u.Host, err)
	}
	return bucket, nil
}

// collectOrphans deletes what crashes left in the blob store, now and once a
// day, until ctx ends.
func collectOrphans(ctx context.Context, s *store.Store, logger *slog.Logger) {
	for {
		n, err := s.CollectOrphans(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil || n > 0 {
			logger.Info("orphaned files", "deleted", n, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(collectEvery):
		}
	}
}
