package views

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/a-h/templ"

	"guildhall/market"
)

// ResumeForm is a form that was sent after its session had ended, to be sent
// again after logging in.
type ResumeForm struct {
	Action string              `json:"action"`
	Fields map[string][]string `json:"fields"`
}

func orText(kind string) string {
	if kind == "" {
		return "text"
	}
	return kind
}

func (in input) id() string {
	if in.ID == "" {
		return in.Name
	}
	return in.ID
}

// faultAttributes tie a field to its hint and to why it was refused.
func faultAttributes(f Form, in input) templ.Attributes {
	out := templ.Attributes{}
	described := ""
	if f.Fault(in.Name) != "" {
		out["aria-invalid"] = "true"
		described = in.id() + "-fault"
	}
	if in.Hint != "" {
		if described != "" {
			described += " "
		}
		described += in.id() + "-hint"
	}
	if described != "" {
		out["aria-describedby"] = described
	}
	if !in.Optional {
		out["required"] = true
	}
	return out
}

// clockTime is a moment seen from another.
type clockTime struct{ At, Now time.Time }

// ProblemScreen is a refusal with a page of its own.
func ProblemScreen(ctx context.Context, p Problem) Screen {
	return Screen{Title: p.Detail, Body: ProblemBody(p)}
}

func sortedNames(fields map[string][]string) []string { return slices.Sorted(maps.Keys(fields)) }

// withNext is a page of the log-in with where to go afterwards.
func withNext(page, next string) string {
	if next == "" {
		return page
	}
	return page + "?" + url.Values{"next": {next}}.Encode()
}

// keptFile is a file that a form brought earlier and still holds.
type keptFile struct {
	market.Attachment
	row string
}

func keptFiles(f Form) []keptFile {
	var out []keptFile
	for i := range market.MaxAttachments + 1 {
		row := "attachments." + strconv.Itoa(i) + "."
		if sum := f.Get(row + "sha256"); sum != "" {
			n, _ := strconv.ParseInt(f.Get(row+"bytes"), 10, 64)
			out = append(out, keptFile{market.Attachment{Name: f.Get(row + "name"), MediaType: f.Get(row + "mediaType"), Bytes: n, SHA256: sum}, row})
		}
	}
	return out
}
