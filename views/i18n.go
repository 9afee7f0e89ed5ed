// Package views shows values to visitors: the message catalogues, and later
// the pages. It fetches nothing and knows no store.
package views

import (
	"context"
	"embed"

	"github.com/BurntSushi/toml"
	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

//go:embed locales/*.toml
var catalogues embed.FS

// Languages are those of the catalogues; the first is the fallback.
var Languages = []string{"en", "zh-CN"}

var localizers = func() map[string]*i18n.Localizer {
	b := i18n.NewBundle(language.English)
	b.RegisterUnmarshalFunc("toml", toml.Unmarshal)
	out := map[string]*i18n.Localizer{}
	for _, l := range Languages {
		if _, err := b.LoadMessageFileFS(catalogues, "locales/"+l+".toml"); err != nil {
			panic(err) // the files are embedded, and a test reads them
		}
		out[l] = i18n.NewLocalizer(b, l)
	}
	return out
}()

type languageKey struct{}

// WithLanguage makes T speak the language.
func WithLanguage(ctx context.Context, lang string) context.Context {
	return context.WithValue(ctx, languageKey{}, lang)
}

// T is the message in the context's language. A missing one shows as ⟦id⟧,
// which the catalogue test finds.
func T(ctx context.Context, id string, args map[string]any) string {
	lang, _ := ctx.Value(languageKey{}).(string)
	l := localizers[lang]
	if l == nil {
		l = localizers[Languages[0]]
	}
	s, err := l.Localize(&i18n.LocalizeConfig{MessageID: id, TemplateData: args})
	if err != nil {
		return "⟦" + id + "⟧"
	}
	return s
}
