package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/gabriel-vasile/mimetype"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"guildhall/market"
)

// objectPrefix begins the keys of our objects: the bucket or folder may hold
// what is not ours.
const objectPrefix = "blobs/"

// sniffed is how much of a file tells its type.
const sniffed = 3072

// Upload keeps the file that content holds, for the caller to attach. The same
// content is kept once. A file beyond the limit is market.ErrTooLarge, more
// than MaxUnusedBytes that are attached to nothing market.ErrUploadQuota; an
// upload that breaks off leaves nothing.
func (s *Store) Upload(ctx context.Context, by market.Actor, content io.Reader, limit int64) (market.Blob, error) {
	var unused int64
	err := s.db.GetContext(ctx, &unused, `
		SELECT COALESCE(sum(b.bytes), 0)::bigint
		FROM uploads u JOIN blobs b USING (sha256)
		WHERE u.account_id = $1 AND NOT u.used`, by.Account)
	if err != nil {
		return market.Blob{}, translate(err)
	}
	if unused >= market.MaxUnusedBytes {
		return market.Blob{}, market.ErrUploadQuota
	}
	b, err := s.writeObject(ctx, content, limit)
	if err != nil {
		return market.Blob{}, err
	}
	kept, err := s.keepBlob(ctx, by.Account, b)
	if err != nil || kept.Object != b.Object { // the content is there already
		s.deleteObject(ctx, b.Object)
	}
	return kept, err
}

// writeObject streams the content into an object of its own.
func (s *Store) writeObject(ctx context.Context, content io.Reader, limit int64) (market.Blob, error) {
	ctx, abort := context.WithCancel(ctx)
	defer abort() // before Close: nothing is kept
	b := market.Blob{Object: objectPrefix + newID[string]()}
	head := make([]byte, sniffed)
	n, err := io.ReadFull(content, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return b, err
	}
	head = head[:n]
	b.MediaType = mimetype.Detect(head).String()
	w, err := s.opts.Blobs.NewWriter(ctx, b.Object, &blob.WriterOptions{ContentType: b.MediaType, DisableContentTypeDetection: true})
	if err != nil {
		return b, blobError(err)
	}
	hash := sha256.New()
	b.Bytes, err = io.Copy(io.MultiWriter(w, hash), io.LimitReader(io.MultiReader(bytes.NewReader(head), content), limit+1))
	if err == nil && b.Bytes > limit {
		err = market.ErrTooLarge
	}
	if err != nil {
		abort()
		_ = w.Close() // which gives it up
		return b, err
	}
	b.SHA256 = hex.EncodeToString(hash.Sum(nil))
	return b, blobError(w.Close())
}

// keepBlob notes the upload and returns the blob of its content: this one, or
// the one that was there first.
func (s *Store) keepBlob(ctx context.Context, id market.AccountID, b market.Blob) (market.Blob, error) {
	var err error
	for range 3 { // the blob that was there may be collected meanwhile
		kept := b
		err = s.db.QueryRowContext(ctx, `
			WITH new AS (
				INSERT INTO blobs (sha256, object, bytes, media_type, created_at) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (sha256) DO NOTHING
				RETURNING object, media_type
			), held AS (
				INSERT INTO uploads (account_id, sha256, created_at) VALUES ($6, $1, $5)
				ON CONFLICT (account_id, sha256) DO UPDATE SET created_at = EXCLUDED.created_at
			)
			SELECT object, media_type FROM new
			UNION ALL
			SELECT object, media_type FROM blobs WHERE sha256 = $1
			LIMIT 1`, b.SHA256, b.Object, b.Bytes, b.MediaType, s.now(), id).Scan(&kept.Object, &kept.MediaType)
		if err = translate(err); err == nil {
			return kept, nil
		}
		if !errors.Is(err, errRaceLost) && !errors.Is(err, market.ErrNotFound) {
			break
		}
	}
	return market.Blob{}, err
}

// OwnBlobs are those of the contents that the account has uploaded.
func (s *Store) OwnBlobs(ctx context.Context, id market.AccountID, list []market.Attachment) (map[string]market.Blob, error) {
	if len(list) == 0 {
		return nil, nil
	}
	var rows []blobRow
	err := s.db.SelectContext(ctx, &rows, `
		SELECT `+blobColumns+`
		FROM uploads u JOIN blobs b USING (sha256)
		WHERE u.account_id = $1 AND u.sha256 = ANY ($2::text[])`, id, hashes(list))
	out := map[string]market.Blob{}
	for _, r := range rows {
		out[r.SHA256] = market.Blob(r)
	}
	return out, translate(err)
}

const blobColumns = `b.sha256, b.object, b.bytes, b.media_type`

type blobRow struct {
	SHA256    string `db:"sha256"`
	Object    string `db:"object"`
	Bytes     int64  `db:"bytes"`
	MediaType string `db:"media_type"`
}

// Blob is an uploaded file that the account ("" for a stranger) may read: its
// own, one of a task, or one of a delivery that it published for or made.
// Any other is market.ErrNotFound.
func (s *Store) Blob(ctx context.Context, id market.AccountID, sha256 string) (market.Blob, error) {
	var row blobRow
	err := s.db.GetContext(ctx, &row, `
		SELECT `+blobColumns+`
		FROM blobs b
		WHERE b.sha256 = $1 AND (
			EXISTS (SELECT 1 FROM uploads u WHERE u.sha256 = b.sha256 AND u.account_id = $2::uuid)
			OR EXISTS (
				SELECT 1
				FROM attachments a
				JOIN tasks t ON t.id = a.task_id
				LEFT JOIN deliveries d ON d.id = a.delivery_id
				WHERE a.sha256 = b.sha256 AND (a.delivery_id IS NULL OR t.publisher_id = $2::uuid OR d.worker_id = $2::uuid)))`,
		sha256, nullID(id))
	return market.Blob(row), translate(err)
}

// Files are the hashes of the uploaded files that are attached to the task or
// to a delivery on it.
func (s *Store) Files(ctx context.Context, id market.TaskID) (map[string]bool, error) {
	var found []string
	err := s.db.SelectContext(ctx, &found, `SELECT DISTINCT sha256 FROM attachments WHERE task_id = $1`, id)
	out := make(map[string]bool, len(found))
	for _, f := range found {
		out[f] = true
	}
	return out, translate(err)
}

// OpenBlob reads the content of a blob; the caller closes it.
func (s *Store) OpenBlob(ctx context.Context, b market.Blob) (io.ReadSeekCloser, error) {
	r, err := s.opts.Blobs.NewReader(ctx, b.Object, nil)
	if err != nil {
		return nil, blobError(err)
	}
	return r, nil
}

var (
	useUploads = part{"use", `
		UPDATE uploads SET used = true WHERE account_id = $1 AND sha256 = ANY ($2::text[]) AND NOT used`}
	insertAttachments = part{"attach", `
		INSERT INTO attachments (task_id, delivery_id, sha256)
		SELECT $1, $2, u.sha256 FROM uploads u WHERE u.account_id = $3 AND u.sha256 = ANY ($4::text[])`}
)

// attach ties the files that the account uploaded to a task or a delivery.
func (e *effect) attach(id market.AccountID, task market.TaskID, delivery market.DeliveryID, list []market.Attachment) {
	if len(list) == 0 {
		return
	}
	e.add(useUploads, id, hashes(list))
	e.add(insertAttachments, task, nullID(delivery), id, hashes(list))
}

func hashes(list []market.Attachment) []string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.SHA256
	}
	return out
}

// collect forgets uploads that were attached to nothing for UnusedFor, and the
// files that nobody holds any more.
func (s *Store) collect(ctx context.Context, limit int) error {
	if s.opts.Blobs == nil {
		return nil
	}
	var objects []string
	err := s.db.SelectContext(ctx, &objects, `
		WITH old AS (
			SELECT account_id, sha256 FROM uploads
			WHERE NOT used AND created_at < $1
			ORDER BY created_at
			LIMIT $2
			FOR UPDATE SKIP LOCKED
		), gone AS (
			DELETE FROM uploads u USING old WHERE u.account_id = old.account_id AND u.sha256 = old.sha256
			RETURNING u.account_id, u.sha256
		), dead AS (
			DELETE FROM blobs b
			WHERE b.sha256 IN (SELECT sha256 FROM gone)
				AND NOT EXISTS (SELECT 1 FROM attachments a WHERE a.sha256 = b.sha256)
				AND NOT EXISTS (
					SELECT 1 FROM uploads u
					WHERE u.sha256 = b.sha256 AND NOT EXISTS (SELECT 1 FROM gone g WHERE g.account_id = u.account_id AND g.sha256 = u.sha256))
			RETURNING b.object
		)
		SELECT object FROM dead`, s.now().Add(-market.UnusedFor), limit)
	for _, o := range objects {
		s.deleteObject(ctx, o)
	}
	if err = translate(err); errors.Is(err, errRaceLost) {
		return nil // somebody has just attached or uploaded one: next time
	}
	return err
}

// deleteObject gives an object up; what cannot be deleted now is an orphan
// that CollectOrphans finds.
func (s *Store) deleteObject(ctx context.Context, object string) {
	_ = s.opts.Blobs.Delete(context.WithoutCancel(ctx), object)
}

// CollectOrphans deletes objects of ours that no blob names and that are older
// than UnusedFor: what a crash between the blob store and the database left
// behind. Whatever else is in the bucket stays. It returns how many.
func (s *Store) CollectOrphans(ctx context.Context) (int, error) {
	var page []string
	deleted := 0
	flush := func() error {
		var known []string
		if err := s.db.SelectContext(ctx, &known, `SELECT object FROM blobs WHERE object = ANY ($1::text[])`, page); err != nil {
			return translate(err)
		}
		keep := map[string]bool{}
		for _, o := range known {
			keep[o] = true
		}
		for _, o := range page {
			if !keep[o] {
				s.deleteObject(ctx, o)
				deleted++
			}
		}
		page = page[:0]
		return nil
	}
	objects := s.opts.Blobs.List(&blob.ListOptions{Prefix: objectPrefix})
	for {
		o, err := objects.Next(ctx)
		if err == io.EOF {
			return deleted, flush()
		}
		if err != nil {
			return deleted, blobError(err)
		}
		ours := market.ValidID(strings.TrimPrefix(o.Key, objectPrefix))
		if !ours || o.ModTime.After(s.now().Add(-market.UnusedFor)) {
			continue
		}
		if page = append(page, o.Key); len(page) == 500 {
			if err := flush(); err != nil {
				return deleted, err
			}
		}
	}
}

func blobError(err error) error {
	switch {
	case err == nil:
		return nil
	case gcerrors.Code(err) == gcerrors.NotFound:
		return errors.Join(market.ErrNotFound, fmt.Errorf("the blob store lacks an object: %w", err))
	case errors.Is(err, context.Canceled):
		return err
	}
	return errors.Join(market.ErrUnavailable, fmt.Errorf("the blob store: %w", err))
}
