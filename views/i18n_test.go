package views_test

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/BurntSushi/toml"

	"guildhall/market"
	"guildhall/views"
)

func keys(t *testing.T, lang string) map[string]string {
	t.Helper()
	var tree map[string]map[string]string
	if _, err := toml.DecodeFile("locales/"+lang+".toml", &tree); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for section, messages := range tree {
		for k, v := range messages {
			out[section+"."+k] = v
		}
	}
	return out
}

func TestCataloguesHaveTheSameKeys(t *testing.T) {
	en, zh := keys(t, "en"), keys(t, "zh-CN")
	for k, v := range en {
		if zh[k] == "" || v == "" {
			t.Errorf("%s lacks a text", k)
		}
		if strings.Count(v, "{{") != strings.Count(zh[k], "{{") {
			t.Errorf("%s has other placeholders in zh-CN", k)
		}
	}
	for k, v := range zh {
		if en[k] == "" {
			t.Errorf("%s is only in zh-CN", k)
		}
		if k != "invalid.document" && strings.IndexFunc(v, func(r rune) bool { return unicode.Is(unicode.Han, r) }) < 0 {
			t.Errorf("%s is not in Chinese: %s", k, v)
		}
	}
}

func TestEveryErrorHasWords(t *testing.T) {
	for _, lang := range views.Languages {
		ctx := views.WithLanguage(context.Background(), lang)
		for _, e := range market.Errors() {
			for _, id := range []string{"error." + e.Code, "error." + e.Code + "_fix"} {
				if s := views.T(ctx, id, map[string]any{}); strings.Contains(s, "⟦") || s == "" {
					t.Errorf("%s: %s has no text", lang, id)
				}
			}
		}
	}
}

// TestEveryFieldCodeHasWords finds the codes in the source, so that a new one
// cannot be forgotten.
func TestEveryFieldCodeHasWords(t *testing.T) {
	en := keys(t, "en")
	code := regexp.MustCompile(`(?:\.add\([^,]+, |\.fail\([^,]+, |Field\([^,]+, |Code: +|code :?= )"([a-z_0-9]+)"`)
	found := 0
	for _, dir := range []string{"../market", "../handlers"} {
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
				continue
			}
			text, err := os.ReadFile(dir + "/" + f.Name())
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range code.FindAllStringSubmatch(string(text), -1) {
				found++
				if en["invalid."+m[1]] == "" {
					t.Errorf("%s: invalid.%s has no text", f.Name(), m[1])
				}
			}
		}
	}
	if found < 30 {
		t.Errorf("found only %d codes; the expression no longer fits the source", found)
	}
}
