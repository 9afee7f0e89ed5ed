package views

import (
	"context"
	"embed"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

//go:embed locales/*.toml
var catalogues embed.FS

// Languages are those of the catalogues; the first is the fallback.
var Languages = []string{"en", "zh-CN"}

var (
	bundle = func() *i18n.Bundle {
		b := i18n.NewBundle(language.English)
		b.RegisterUnmarshalFunc("toml", toml.Unmarshal)
		for _, l := range Languages {
			if _, err := b.LoadMessageFileFS(catalogues, "locales/"+l+".toml"); err != nil {
				panic(err) // the files are embedded, and a test reads them
			}
		}
		return b
	}()
	localizers = func() map[string]*i18n.Localizer {
		out := map[string]*i18n.Localizer{}
		for _, l := range Languages {
			out[l] = i18n.NewLocalizer(bundle, l)
		}
		return out
	}()
	matcher = language.NewMatcher([]language.Tag{language.English, language.MustParse("zh-CN")})
)

type languageKey struct{}

// WithLanguage makes T speak the language.
func WithLanguage(ctx context.Context, lang string) context.Context {
	return context.WithValue(ctx, languageKey{}, lang)
}

// Language is the context's language: that of WithLanguage, else the fallback.
func Language(ctx context.Context) string {
	if lang, _ := ctx.Value(languageKey{}).(string); localizers[lang] != nil {
		return lang
	}
	return Languages[0]
}

// MatchLanguage is the language of ours that is wanted, else the best for the
// Accept-Language header of a browser.
func MatchLanguage(want, accept string) string {
	if localizers[want] != nil {
		return want
	}
	tags, _, err := language.ParseAcceptLanguage(accept)
	if err != nil || len(tags) == 0 {
		return Languages[0]
	}
	_, i, _ := matcher.Match(tags...)
	return Languages[i]
}

// Say is the message in the context's language. A missing one shows as ⟦id⟧,
// which the catalogue test finds.
func Say(ctx context.Context, id string, args map[string]any) string {
	return localize(ctx, &i18n.LocalizeConfig{MessageID: id, TemplateData: args})
}

// T is Say with its arguments as pairs of name and value.
func T(ctx context.Context, id string, pairs ...any) string { return Say(ctx, id, toArgs(pairs)) }

// N is the message for the count n, which it calls {{.N}}, grouped.
func N(ctx context.Context, id string, n int64, pairs ...any) string {
	args := toArgs(append(pairs, "N", Number(n)))
	return localize(ctx, &i18n.LocalizeConfig{MessageID: id, TemplateData: args, PluralCount: n})
}

func toArgs(pairs []any) map[string]any {
	if len(pairs) == 0 {
		return nil
	}
	args := make(map[string]any, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		name, _ := pairs[i].(string)
		args[name] = pairs[i+1]
	}
	return args
}

func localize(ctx context.Context, c *i18n.LocalizeConfig) string {
	s, err := localizers[Language(ctx)].Localize(c)
	if err != nil {
		return "⟦" + c.MessageID + "⟧"
	}
	return s
}

// Has reports whether the catalogues have the message.
func Has(id string) bool {
	_, err := localizers[Languages[0]].Localize(&i18n.LocalizeConfig{MessageID: id})
	return err == nil
}

// Relative says how far the moment is from now: "in 3 days", "5 hours ago".
func Relative(ctx context.Context, t, now time.Time) string {
	d := t.Sub(now)
	dir := "in"
	if d < 0 {
		dir, d = "ago", -d
	}
	switch {
	case d >= 72*time.Hour:
		return N(ctx, "rel.days_"+dir, int64(d.Hours()/24))
	case d >= time.Hour:
		return N(ctx, "rel.hours_"+dir, int64(d.Hours()))
	case d >= time.Minute:
		return N(ctx, "rel.minutes_"+dir, int64(d.Minutes()))
	}
	return T(ctx, "rel.now_"+dir)
}

// Span says a length of time in its largest whole unit: "72 hours".
func Span(ctx context.Context, d time.Duration) string {
	switch {
	case d >= 48*time.Hour && d%(24*time.Hour) == 0:
		return N(ctx, "span.days", int64(d.Hours()/24))
	case d >= time.Hour && d%time.Hour == 0:
		return N(ctx, "span.hours", int64(d.Hours()))
	}
	return N(ctx, "span.minutes", int64(d.Minutes()))
}
