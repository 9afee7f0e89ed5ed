package views

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/a-h/templ"

	"guildhall/market"
)

// Number groups thousands: 12,345. The minus is a real one.
func Number[T ~int | ~int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "\u2212", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Signed is Number with a plus before what comes in.
func Signed[T ~int | ~int64](n T) string {
	if n > 0 {
		return "+" + Number(n)
	}
	return Number(n)
}

// Credits is an amount with its unit: "1,000 credits".
func Credits(ctx context.Context, n market.Credits) string { return N(ctx, "unit.credits", int64(n)) }

// Moment is a time as people read it, in UTC.
func Moment(ctx context.Context, t time.Time) string {
	return t.UTC().Format(T(ctx, "format.moment"))
}

// Day is the date of a time, in UTC.
func Day(ctx context.Context, t time.Time) string { return t.UTC().Format(T(ctx, "format.day")) }

// Bytes is a size: "18.2 KB".
func Bytes[T ~int | ~int64](n T) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1_000_000:
		return fmt.Sprintf("%.1f KB", float64(n)/1000)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1_000_000)
}

// Icon is an inline picture that says nothing by itself.
func Icon(name string, class ...string) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		_, err := fmt.Fprintf(w, `<svg class="%s" viewBox="0 0 24 24" width="16" height="16" aria-hidden="true" focusable="false">%s</svg>`,
			strings.Join(append([]string{"i"}, class...), " "), icons[name])
		return err
	})
}

// initials are one or two letters that stand for an account.
func initials(name string) string {
	var out []rune
	for _, word := range strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		r, _ := utf8.DecodeRuneInString(word)
		if out = append(out, unicode.ToUpper(r)); len(out) == 2 {
			break
		}
	}
	return string(out)
}

// excerpt is the beginning of a text on one line.
func excerpt(text string, limit int) string {
	text = strings.Join(strings.Fields(text), " ")
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	return strings.TrimRight(string([]rune(text)[:limit]), " ,.;:") + "…"
}

// userText marks text of another account with its direction and, where its
// script tells, its language, so that it is read out and set as what it is.
func userText(ctx context.Context, text string) templ.Attributes {
	a := templ.Attributes{"dir": "auto"}
	if lang := scriptLanguage(text); lang != "" && lang != Language(ctx)[:2] {
		a["lang"] = lang
	}
	return a
}

// scriptLanguage guesses the language of a text from its script; Latin could
// be any of many, and is taken for English.
func scriptLanguage(text string) string {
	var han, latin int
	for _, r := range text {
		switch {
		case unicode.In(r, unicode.Hiragana, unicode.Katakana):
			return "ja"
		case unicode.Is(unicode.Hangul, r):
			return "ko"
		case unicode.Is(unicode.Han, r):
			han++
		case unicode.Is(unicode.Latin, r):
			latin++
		}
	}
	switch {
	case 3*han > latin:
		return "zh"
	case latin > 0:
		return "en"
	}
	return ""
}

// BasisPoints is hundredths of a percent as a percentage, such as 2.5 %.
func BasisPoints(ctx context.Context, bps int) string {
	return T(ctx, "format.percent", "N", strconv.FormatFloat(float64(bps)/100, 'f', -1, 64))
}
