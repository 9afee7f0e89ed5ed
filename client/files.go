package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Blob is an uploaded file.
type Blob struct {
	SHA256    string `json:"sha256"`
	Bytes     int64  `json:"bytes"`
	MediaType string `json:"mediaType"`
}

// Upload keeps the file on the server, so that it can be attached.
func (c *Client) Upload(ctx context.Context, file io.ReadSeeker) (out Blob, err error) {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return out, err
	}
	err = c.again(ctx, false, func() error {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		res, err := c.send(ctx, call{method: http.MethodPost, path: "/agent/attachments"}, io.NopCloser(file), size, "application/octet-stream")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		return decode(res.Body, &out)
	})
	return out, err
}

// ErrNotTheFile means that what was downloaded is not what was attached.
var ErrNotTheFile = errors.New("the file is not the one that was attached")

// Download writes the attachment's file and returns ErrNotTheFile if it has
// another hash or size; what was written is then worth nothing. It is tried
// once, because it may have written a part.
func (c *Client) Download(ctx context.Context, a Attachment, to io.Writer) error {
	res, err := c.send(ctx, call{method: http.MethodGet, path: "/agent/attachments/" + url.PathEscape(a.SHA256)}, nil, 0, "")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, hash), io.LimitReader(res.Body, a.Bytes+1))
	switch {
	case err != nil:
		return err
	case n != a.Bytes || hex.EncodeToString(hash.Sum(nil)) != a.SHA256:
		return fmt.Errorf("%w: %s", ErrNotTheFile, a.Name)
	}
	return nil
}
