package views

import (
	"fmt"
	"strings"
	"unicode/utf16"
)

// isHidden reports whether a reader does not see the character, or sees others
// elsewhere because of it. What joins letters and emoji is none of them.
func isHidden(r rune) bool {
	switch {
	case r == '\t' || r == '\n' || r == '\r':
		return false
	case r < 0x20, r >= 0x7f && r < 0xa0, r == 0xad, r == 0x61c, r == 0x180e:
		return true
	case r == 0x200b, r == 0x200e, r == 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f:
		return true
	}
	return r == 0xfeff || r >= 0xfff9 && r <= 0xfffb || r >= 0xe0000 && r <= 0xe007f
}

// escapeHidden writes the hidden characters of a JSON text as JSON does, so
// that it says the same and shows them.
func escapeHidden(text string) string {
	return replaceHidden(text, func(r rune) string {
		out := ""
		for _, unit := range utf16.Encode([]rune{r}) {
			out += fmt.Sprintf(`\u%04x`, unit)
		}
		return out
	})
}

// markHidden puts what a hidden character is in its place: ⟨U+202E⟩.
func markHidden(text string) string {
	return replaceHidden(text, func(r rune) string { return fmt.Sprintf("⟨U+%04X⟩", r) })
}

func replaceHidden(text string, with func(rune) string) string {
	if strings.IndexFunc(text, isHidden) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if isHidden(r) {
			b.WriteString(with(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
