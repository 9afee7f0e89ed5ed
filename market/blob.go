package market

import (
	"slices"
	"strconv"
	"strings"
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

// CheckUploads returns which attachments of a delivery must be uploaded first.
// What nobody looks at before it is paid must not rest on its worker's word:
// with AutoAccept and a rule about attachments, each is a file that was
// uploaded and is of the type that was found in it.
func (t Task) CheckUploads(list []Attachment, known map[string]Blob) []FieldError {
	about := func(r Rule) bool { return r.Kind == RuleAttachment }
	if !t.AutoAccept || !slices.ContainsFunc(t.Rules, about) {
		return nil
	}
	var p problems
	for i, a := range list {
		at := "/attachments/" + strconv.Itoa(i)
		b, ok := known[a.SHA256]
		switch {
		case !ok:
			p.add(at+"/sha256", "upload_first", nil)
		case mediaType(b.MediaType) != mediaType(a.MediaType):
			p.add(at+"/mediaType", "attachment_type", map[string]any{"Type": b.MediaType})
		}
	}
	return p
}

// mediaType is the type without its parameters.
func mediaType(s string) string {
	name, _, _ := strings.Cut(s, ";")
	return strings.ToLower(strings.TrimSpace(name))
}
