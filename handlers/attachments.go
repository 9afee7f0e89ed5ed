package handlers

import (
	"cmp"
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
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

// longBody gives the body of an upload its time, and the answer a minute more:
// the server's own deadlines begin with the request.
func longBody(r *request) error {
	c, end := http.NewResponseController(r.echo.Response()), time.Now().Add(uploadTime)
	return cmp.Or(c.SetReadDeadline(end), c.SetWriteDeadline(end.Add(time.Minute)))
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
	if err := longBody(r); err != nil {
		return answer{}, err
	}
	b, err := h.Store.Upload(r.ctx(), r.actor, brokenOff{req.Body}, market.MaxAttachmentBytes)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated, location: "/api/v1/agent/attachments/" + b.SHA256, json: blobJSON{b.SHA256, b.Bytes, b.MediaType}}, nil
}

// maxFormFiles bounds what one form may bring, in bytes.
const maxFormFiles = 128 << 20

// readFiles reads a form with files. Each file is kept as an upload and stands
// in the form as an attachment, so that a refused form keeps it. A stranger's
// files are passed over.
func (h *Handlers) readFiles(rt route, r *request) error {
	if err := longBody(r); err != nil {
		return err
	}
	body := http.MaxBytesReader(r.echo.Response(), r.echo.Request().Body, maxFormFiles)
	parts := multipart.NewReader(body, r.multipart)
	r.form = url.Values{}
	left := int64(maxForm)
	var files []market.Attachment
	for {
		part, err := parts.NextPart()
		switch {
		case err == io.EOF:
			r.addFiles(files)
			r.body = []byte(r.form.Encode()) // what an idempotency key is compared by
			return nil
		case err != nil:
			return readFault(err)
		case part.FileName() != "" && r.visitor == nil:
			continue
		case part.FileName() != "" && !rt.inline:
			b, err := h.Store.Upload(r.ctx(), r.actor, brokenOff{part}, market.MaxAttachmentBytes)
			if err != nil {
				return readFault(err)
			}
			files = append(files, market.Attachment{Name: part.FileName(), MediaType: b.MediaType, Bytes: b.Bytes, SHA256: b.SHA256})
		default:
			text, err := io.ReadAll(io.LimitReader(part, left+1))
			if left -= int64(len(text)); err != nil || left < 0 {
				return errors.Join(market.ErrTooLarge, err)
			}
			if part.FormName() != "" && (part.FileName() != "" || !isEmptyFile(part)) {
				r.form.Add(part.FormName(), string(text))
			}
		}
	}
}

// isEmptyFile reports whether the part is a file field without a file.
func isEmptyFile(part *multipart.Part) bool {
	_, params, _ := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	_, file := params["filename"]
	return file
}

func readFault(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return market.ErrTooLarge
	}
	var known *market.Error
	if errors.As(err, &known) {
		return err
	}
	return errors.Join(market.ErrUnreadable, err)
}

// addFiles writes attachments into the form: those that it kept from before,
// whose box is still ticked, and the new ones.
func (r *request) addFiles(fresh []market.Attachment) {
	var all []market.Attachment
	for i := range maxRows {
		row := "attachments." + strconv.Itoa(i) + "."
		if sum := r.form.Get(row + "sha256"); sum != "" {
			n, _ := strconv.ParseInt(r.form.Get(row+"bytes"), 10, 64) // a wrong one is refused later
			all = append(all, market.Attachment{Name: r.form.Get(row + "name"), MediaType: r.form.Get(row + "mediaType"), Bytes: n, SHA256: sum})
		}
		for _, member := range []string{"name", "mediaType", "bytes", "sha256"} {
			r.form.Del(row + member)
		}
	}
	for i, a := range append(all, fresh...) {
		row := "attachments." + strconv.Itoa(i) + "."
		r.form.Set(row+"name", a.Name)
		r.form.Set(row+"mediaType", a.MediaType)
		r.form.Set(row+"bytes", strconv.FormatInt(a.Bytes, 10))
		r.form.Set(row+"sha256", a.SHA256)
	}
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
	b, err := h.Store.Blob(r.ctx(), r.actor, sum)
	if err != nil {
		return answer{}, err
	}
	content, err := h.Store.OpenBlob(r.ctx(), b)
	if errors.Is(err, market.ErrNotFound) { // the caller may read it, and it is gone
		h.Logger.Error("an uploaded file is lost", "sha256", sum, "error", err)
	}
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
