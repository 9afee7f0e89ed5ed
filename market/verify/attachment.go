package verify

import (
	"fmt"
	"mime"
	"path"
	"slices"
	"strings"

	"guildhall/market"
)

// compileAttachment checks what is said of files, never their content.
func compileAttachment(r market.Rule) (func(*subject) finding, int, []Problem) {
	pattern := given(r.Attachment)
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, 0, []Problem{{Pointer: "/attachment", Detail: "The pattern is malformed."}}
	}
	return func(s *subject) finding {
		found := 0
		for _, a := range s.job.Attachments {
			if ok, err := path.Match(pattern, a.Name); err != nil || !ok {
				continue
			}
			found++
			if wrong := wrongAttachment(r, a); wrong != "" {
				return fail("", fmt.Sprintf("attachment %s: %s", quote(a.Name), wrong))
			}
		}
		switch {
		case found > 0:
			return pass("The attachments that the rule names are as expected.")
		case r.Required != nil && *r.Required:
			return fail("", fmt.Sprintf("attachment: none is named %s.", quote(pattern)))
		}
		return pass("There is no such attachment, and none is required.")
	}, 0, nil
}

// wrongAttachment says what is wrong with an attachment, "" if nothing is.
func wrongAttachment(r market.Rule, a market.Attachment) string {
	switch {
	case r.MaxBytes != nil && a.Bytes > *r.MaxBytes:
		return fmt.Sprintf("expected at most %d bytes, found %d.", *r.MaxBytes, a.Bytes)
	case len(r.MediaTypes) > 0 && !slices.ContainsFunc(r.MediaTypes, func(want string) bool { return fitsMediaType(want, a.MediaType) }):
		return fmt.Sprintf("expected a media type of %s.", quoteAll(r.MediaTypes))
	case r.SHA256 != nil && a.SHA256 != *r.SHA256:
		return "it has another SHA-256."
	}
	return ""
}

// fitsMediaType compares without parameters and case; "text/*" fits every
// type of text.
func fitsMediaType(want, got string) bool {
	want, got = bareMediaType(want), bareMediaType(got)
	if family, isFamily := strings.CutSuffix(want, "/*"); isFamily {
		return strings.HasPrefix(got, family+"/")
	}
	return want == got
}

func bareMediaType(s string) string {
	if bare, _, err := mime.ParseMediaType(s); err == nil {
		return bare
	}
	return strings.ToLower(strings.TrimSpace(s))
}
