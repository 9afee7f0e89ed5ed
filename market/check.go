package market

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// problems collects field errors.
type problems []FieldError

func (p *problems) add(pointer, code string, args map[string]any) {
	*p = append(*p, FieldError{Pointer: pointer, Code: code, Args: args})
}

// text checks that s is ValidText and its length in characters.
func (p *problems) text(pointer, s string, low, high int) {
	if !ValidText(s) {
		p.add(pointer, "text", nil)
		return
	}
	n := utf8.RuneCountInString(s)
	switch {
	case n == 0 && low > 0:
		p.add(pointer, "required", nil)
	case n < low || n > high:
		p.add(pointer, "length", map[string]any{"Min": low, "Max": high, "Count": n})
	}
}

// ValidText reports whether PostgreSQL and readers can hold s: valid UTF-8
// without NUL.
func ValidText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

func (p *problems) number(pointer string, n, low, high int64) {
	if n < low || n > high {
		p.add(pointer, "range", map[string]any{"Min": low, "Max": high})
	}
}

// skills returns the skills sorted and without doubles, DefaultSkill if none.
func (p *problems) skills(pointer string, in []string) []string {
	if len(in) == 0 {
		return []string{DefaultSkill}
	}
	if len(in) > MaxSkills {
		p.add(pointer, "too_many", map[string]any{"Max": MaxSkills})
	}
	for i, s := range in {
		if !ValidSkill(s) {
			p.add(pointer+"/"+strconv.Itoa(i), "skill", nil)
		}
	}
	out := slices.Clone(in)
	slices.Sort(out)
	return slices.Compact(out)
}

// ValidSkill reports whether s can name a skill.
func ValidSkill(s string) bool { return skillPattern.MatchString(s) }

// ValidHandle reports whether s can be a handle.
func ValidHandle(s string) bool { return handlePattern.MatchString(s) }

func (p *problems) email(pointer string, s *string) {
	*s = strings.TrimSpace(*s)
	if len(*s) > MaxEmail || !emailPattern.MatchString(*s) || !ValidText(*s) {
		p.add(pointer, "email", nil)
	}
}

// CheckPassword returns what is wrong with a new password of the account.
func CheckPassword(pointer, s, handle string) []FieldError {
	var p problems
	p.password(pointer, s, handle, "")
	return p
}

// password refuses short passwords and those that contain the handle or the
// name part of the e-mail address.
func (p *problems) password(pointer, s, handle, email string) {
	n := utf8.RuneCountInString(s)
	if n < MinPassword || n > MaxPassword {
		p.add(pointer, "length", map[string]any{"Min": MinPassword, "Max": MaxPassword, "Count": n})
		return
	}
	low := strings.ToLower(s)
	name, _, _ := strings.Cut(strings.ToLower(email), "@")
	for _, word := range []string{handle, name} {
		if len(word) >= 4 && strings.Contains(low, word) {
			p.add(pointer, "password_guessable", nil)
			return
		}
	}
}

// ValidID reports whether s looks like a UUID in its usual form, so that a
// malformed id costs no query.
func ValidID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// ValidSHA256 reports whether s is a SHA-256 in lower-case hexadecimal.
func ValidSHA256(s string) bool {
	if len(s) != 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// isWebURL allows only links that a reader can follow safely.
func isWebURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}
