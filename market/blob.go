package market

import (
	"strconv"
	"time"
)

// MaxUnusedBytes bounds what one account may have uploaded and not attached.
const MaxUnusedBytes = 512 << 20

// UnusedFor is how long an upload that is attached to nothing is kept.
const UnusedFor = 24 * time.Hour

// Blob is the content of an uploaded file.
type Blob struct {
	SHA256 string
	// Object is its key in the blob store.
	Object    string
	Bytes     int64
	MediaType string
}

// CheckBlobs returns which attachments say something else of an uploaded file
// than what was found in it. Attachments without an uploaded file are left to
// their owner's word.
func CheckBlobs(list []Attachment, known map[string]Blob) []FieldError {
	var p problems
	for i, a := range list {
		if b, ok := known[a.SHA256]; ok && b.Bytes != a.Bytes {
			p.add("/attachments/"+strconv.Itoa(i)+"/bytes", "attachment_bytes", map[string]any{"Bytes": b.Bytes})
		}
	}
	return p
}
