package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/gabriel-vasile/mimetype"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"guildhall/market"
)

// objectPrefix begins the keys of our objects: the bucket or folder may hold
// what is not ours.
const objectPrefix = "blobs/"

// CheckBucket lists, writes, reads and deletes in a bucket, and returns what of
// that cannot be done. An object that it could not delete is an orphan.
func CheckBucket(ctx context.Context, b *blob.Bucket) error {
	exists, err := b.IsAccessible(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("it cannot be listed: %w", err)
	case !exists:
		return errors.New("it does not exist")
	}
	key, text := objectPrefix+newID[string](), []byte("Guildhall was here.")
	if err := b.WriteAll(ctx, key, text, nil); err != nil {
		return fmt.Errorf("it cannot be written: %w", err)
	}
	got, err := b.ReadAll(ctx, key)
	if err == nil && !bytes.Equal(got, text) {
		err = errors.New("it holds something else than was written")
	}
	if err != nil {
		return fmt.Errorf("it cannot be read: %w", err)
	}
	if err := b.Delete(ctx, key); err != nil {
		return fmt.Errorf("nothing can be deleted in it: %w", err)
	}
	return nil
}

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
		_ = s.deleteObject(ctx, b.Object)
	}
	if err == nil && by.Mandate != nil {
		var q batch
		q.acted(Caller{Actor: by}, market.BundleUploadedFile, "", s.now())
		err = s.commit(ctx, &q)
	}
	return kept, err
}

// writeObject streams the content into an object of its own. A failure leaves
// none.
func (s *Store) writeObject(ctx context.Context, content io.Reader, limit int64) (market.Blob, error) {
	b := market.Blob{Object: objectPrefix + newID[string]()}
	head := make([]byte, sniffed)
	n, err := io.ReadFull(content, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return b, err
	}
	head = head[:n]
	b.MediaType = mimetype.Detect(head).String()
	in := &intake{ctx: ctx, from: io.MultiReader(bytes.NewReader(head), content), limit: limit, hash: sha256.New()}
	open, done := outlive(ctx, giveUpTime)
	defer done()
	err = blobError(s.opts.Blobs.Upload(open, b.Object, in, &blob.WriterOptions{ContentType: b.MediaType, BufferSize: partBytes, MaxConcurrency: 2}))
	if in.err != nil {
		err = in.err
	}
	if err != nil {
		_ = s.deleteObject(ctx, b.Object) // some stores keep what came until then
		return b, err
	}
	b.Bytes, b.SHA256 = in.bytes, hex.EncodeToString(in.hash.Sum(nil))
	return b, nil
}

// partBytes is how much of a file is sent to a bucket at a time: the least that
// S3 takes. An upload holds a few parts in memory.
const partBytes = 5 << 20

// giveUpTime is how long giving up an upload may take.
const giveUpTime = 30 * time.Second

// outlive is a context that ends some time after its parent: with a context
// that has ended, a bucket cannot be told to forget the parts that it holds.
func outlive(parent context.Context, after time.Duration) (ctx context.Context, done func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() {
		timer := time.AfterFunc(after, cancel)
		context.AfterFunc(ctx, func() { timer.Stop() })
	})
	return ctx, func() { stop(); cancel() }
}

// intake reads an upload: it counts, hashes, and ends with the caller's
// context. It keeps why it failed, to tell that from a failure of the store.
type intake struct {
	ctx   context.Context
	from  io.Reader
	limit int64
	bytes int64
	hash  hash.Hash
	err   error
}

func (in *intake) Read(p []byte) (int, error) {
	if in.err == nil {
		in.err = in.ctx.Err()
	}
	if in.err != nil {
		return 0, in.err
	}
	n, err := in.from.Read(p)
	in.bytes += int64(n)
	_, _ = in.hash.Write(p[:n]) // never fails
	if err == io.EOF && in.bytes <= in.limit {
		return n, err
	}
	if in.err = err; in.bytes > in.limit {
		in.err = market.ErrTooLarge
	}
	return n, in.err
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

// OwnBlobs are those of the contents that the account has uploaded. What is no
// hash is nobody's.
func (s *Store) OwnBlobs(ctx context.Context, id market.AccountID, list []market.Attachment) (map[string]market.Blob, error) {
	list = slices.DeleteFunc(slices.Clone(list), func(a market.Attachment) bool { return !market.ValidSHA256(a.SHA256) })
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

// Blob is an uploaded file that the actor (none for a stranger) may read: its
// own, one of a task, or one of a delivery that it published for or made. An
// operator may read what a worker handed in to a task about which there is a
// case. Any other is market.ErrNotFound.
func (s *Store) Blob(ctx context.Context, by market.Actor, sha256 string) (market.Blob, error) {
	var row blobRow
	tasks, skills := limits(by.Mandate)
	err := s.db.GetContext(ctx, &row, `
		SELECT `+blobColumns+`
		FROM blobs b
		WHERE b.sha256 = $1 AND (
			$4::uuid[] IS NULL AND $5::text[] IS NULL AND EXISTS (SELECT 1 FROM uploads u WHERE u.sha256 = b.sha256 AND u.account_id = $2::uuid)
			OR EXISTS (
				SELECT 1
				FROM attachments a
				JOIN tasks t ON t.id = a.task_id
				LEFT JOIN deliveries d ON d.id = a.delivery_id
				WHERE a.sha256 = b.sha256 AND ($4::uuid[] IS NULL OR t.id = ANY ($4)) AND ($5::text[] IS NULL OR t.skills <@ $5)
					AND (a.delivery_id IS NULL OR t.publisher_id = $2::uuid OR d.worker_id = $2::uuid
					OR $3 AND EXISTS (
						SELECT 1 FROM cases k JOIN deliveries asked ON asked.id = k.delivery_id
						WHERE k.task_id = t.id AND asked.worker_id = d.worker_id))))`,
		sha256, nullID(by.Account), by.Operator, tasks, skills)
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

// OpenBlob reads the content of a blob; the caller closes it. Content that the
// blob store has lost is market.ErrNotFound.
func (s *Store) OpenBlob(ctx context.Context, b market.Blob) (io.ReadSeekCloser, error) {
	r, err := s.opts.Blobs.NewReader(ctx, b.Object, nil)
	switch {
	case gcerrors.Code(err) == gcerrors.NotFound:
		return nil, errors.Join(market.ErrNotFound, fmt.Errorf("the blob store lacks an object: %w", err))
	case err != nil:
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
	for began := time.Now(); len(objects) > 0 && time.Since(began) < collectTime; objects = objects[1:] {
		_ = s.deleteObject(ctx, objects[0])
	}
	if err = translate(err); errors.Is(err, errRaceLost) {
		return nil // somebody has just attached or uploaded one: next time
	}
	return err
}

// collectTime bounds how long collecting waits for the blob store, because the
// clocks of tasks wait for it.
const collectTime = 10 * time.Second

// deleteObject gives an object up, even for a caller that has gone; what cannot
// be deleted now is an orphan that CollectOrphans finds.
func (s *Store) deleteObject(ctx context.Context, object string) error {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), collectTime)
	defer done()
	err := s.opts.Blobs.Delete(ctx, object)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil
	}
	return blobError(err)
}

// CollectOrphans deletes objects of ours that no blob names and that are older
// than UnusedFor: what a crash between the blob store and the database left
// behind. Whatever else is in the bucket stays. It returns how many, and the
// first error; one object that cannot be deleted does not keep the others.
func (s *Store) CollectOrphans(ctx context.Context) (deleted int, err error) {
	var page []string
	objects := s.opts.Blobs.List(&blob.ListOptions{Prefix: objectPrefix})
	for {
		o, listing := objects.Next(ctx)
		if listing == nil {
			ours := market.ValidID(strings.TrimPrefix(o.Key, objectPrefix))
			if ours && !o.ModTime.After(s.now().Add(-market.UnusedFor)) {
				page = append(page, o.Key)
			}
		}
		if listing != nil || len(page) == orphanPage {
			n, failed := s.deleteOrphans(ctx, page)
			deleted, page = deleted+n, page[:0]
			err = cmp.Or(err, failed)
		}
		switch {
		case listing == io.EOF:
			return deleted, err
		case listing != nil:
			return deleted, cmp.Or(err, blobError(listing))
		}
	}
}

// orphanPage is how many objects are looked up at a time.
const orphanPage = 500

// deleteOrphans deletes those of the objects that no blob names.
func (s *Store) deleteOrphans(ctx context.Context, objects []string) (deleted int, err error) {
	var known []string
	if err := s.db.SelectContext(ctx, &known, `SELECT object FROM blobs WHERE object = ANY ($1::text[])`, objects); err != nil {
		return 0, translate(err)
	}
	for _, o := range objects {
		if slices.Contains(known, o) {
			continue
		}
		if failed := s.deleteObject(ctx, o); failed != nil {
			err = cmp.Or(err, failed)
			continue
		}
		deleted++
	}
	return deleted, err
}

// blobError is a failure of the blob store.
func blobError(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return errors.Join(market.ErrFilesUnavailable, fmt.Errorf("the blob store: %w", err))
}
