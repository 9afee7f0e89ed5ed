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
// if it is missing, or a bucket.
func openBlobs(ctx context.Context, c config) (*blob.Bucket, error) {
	dir := filepath.Join(c.data, "blobs")
	if c.blobURL != "" {
		u, err := url.Parse(c.blobURL)
		if err != nil {
			return nil, fmt.Errorf("open the blob store: %w", err)
		}
		if u.Scheme != "file" {
			bucket, err := blob.OpenBucket(ctx, c.blobURL)
			if err != nil {
				return nil, fmt.Errorf("open the blob store: %w", err)
			}
			return bucket, nil
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
