package handlers

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"guildhall/market"
)

// uploadTime is how long the body of an upload may take.
const uploadTime = 15 * time.Minute

type blobJSON struct {
	SHA256    string `json:"sha256"`
	Bytes     int64  `json:"bytes"`
	MediaType string `json:"mediaType"`
}

// uploadAttachment keeps the body as a file of the caller. It is streamed, so
// it is read here and not before. Sent again, it is the same file.
func (h *Handlers) uploadAttachment(r *request) (answer, error) {
	req := r.echo.Request()
	if req.ContentLength > market.MaxAttachmentBytes {
		return answer{}, market.ErrTooLarge
	}
	if err := h.throttle(r, h.uploads, nil, ""); err != nil {
		return answer{}, err
	}
	if err := http.NewResponseController(r.echo.Response()).SetReadDeadline(time.Now().Add(uploadTime)); err != nil {
		return answer{}, err
	}
	b, err := h.Store.Upload(r.ctx(), r.actor, brokenOff{req.Body}, market.MaxAttachmentBytes)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated, location: "/api/v1/agent/attachments/" + b.SHA256, json: blobJSON{b.SHA256, b.Bytes, b.MediaType}}, nil
}

// brokenOff makes a body that ends too early a refusal instead of a failure.
type brokenOff struct{ io.Reader }

func (b brokenOff) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = errors.Join(market.ErrUnreadable, err)
	}
	return n, err
}

// downloadAttachment sends an uploaded file to those who may read it, always
// as a download that no browser shows or runs.
func (h *Handlers) downloadAttachment(r *request) (answer, error) {
	sum := r.echo.Param("sha256")
	if !market.ValidSHA256(sum) {
		return answer{}, market.ErrNotFound
	}
	b, err := h.Store.Blob(r.ctx(), r.actor.Account, sum)
	if err != nil {
		return answer{}, err
	}
	content, err := h.Store.OpenBlob(r.ctx(), b)
	if err != nil {
		return answer{}, err
	}
	return answer{stream: func(w http.ResponseWriter) error {
		defer content.Close()
		header := w.Header()
		header.Set("Content-Type", b.MediaType)
		header.Set("Content-Disposition", "attachment; filename*=UTF-8''"+url.PathEscape(fileName(r.echo.QueryParam("name"), b)))
		header.Set("Content-Security-Policy", "sandbox; default-src 'none'")
		header.Set("Cache-Control", "private, no-cache")
		header.Set("ETag", `"`+b.SHA256+`"`)
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(uploadTime)) // where it is not supported the server's stays
		http.ServeContent(w, r.echo.Request(), "", time.Time{}, content)
		return nil
	}}, nil
}

// fileName is the name that the file is saved under: the one asked for, else
// its hash.
func fileName(name string, b market.Blob) string {
	if name == "" || len(name) > 200 || !market.ValidText(name) {
		return b.SHA256
	}
	return name
}

// checkBlobs compares what attachments say with the files that the caller
// uploaded under the same hashes.
func (h *Handlers) checkBlobs(ctx context.Context, r *request, list []market.Attachment) ([]market.FieldError, error) {
	known, err := h.Store.OwnBlobs(ctx, r.actor.Account, list)
	return market.CheckBlobs(list, known), err
}

// files are the hashes of the task's attachments that can be downloaded; they
// are looked up only if there are attachments to show.
func (h *Handlers) files(ctx context.Context, id market.TaskID, list []market.Attachment) (map[string]bool, error) {
	if len(list) == 0 {
		return nil, nil
	}
	return h.Store.Files(ctx, id)
}
