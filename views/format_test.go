package views

import (
	"context"
	"strings"
	"testing"
	"time"

	"guildhall/market"
)

func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "\u22121,234,567"} {
		if got := Number(n); got != want {
			t.Errorf("Number(%d) = %q, want %q", n, got, want)
		}
	}
	if Signed(5) != "+5" || Signed(-5) != "\u22125" || Signed(0) != "0" {
		t.Error("signs are wrong")
	}
	en := WithLanguage(context.Background(), "en")
	zh := WithLanguage(context.Background(), "zh-CN")
	for n, want := range map[market.Credits][2]string{0: {"0 credits", "0 积分"}, 1: {"1 credit", "1 积分"}, 2000: {"2,000 credits", "2,000 积分"}} {
		if got := [2]string{Credits(en, n), Credits(zh, n)}; got != want {
			t.Errorf("Credits(%d) = %q, want %q", n, got, want)
		}
	}
	if Bytes(999) != "999 B" || Bytes(18_230) != "18.2 KB" || Bytes(3_000_000) != "3.0 MB" {
		t.Error("sizes are wrong")
	}
}

// TestRelativeTimes match what Intl.RelativeTimeFormat says in the browser.
func TestRelativeTimes(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	en, zh := WithLanguage(context.Background(), "en"), WithLanguage(context.Background(), "zh-CN")
	for d, want := range map[time.Duration][2]string{
		10 * time.Second: {"in a moment", "即将"}, -10 * time.Second: {"just now", "刚刚"}, time.Minute: {"in 1 minute", "1分钟后"},
		-59 * time.Minute: {"59 minutes ago", "59分钟前"}, time.Hour: {"in 1 hour", "1小时后"}, 71 * time.Hour: {"in 71 hours", "71小时后"}, -80 * time.Hour: {"3 days ago", "3天前"},
	} {
		if got := [2]string{Relative(en, now.Add(d), now), Relative(zh, now.Add(d), now)}; got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
	if Span(en, 72*time.Hour) != "3 days" || Span(en, time.Hour) != "1 hour" || Span(en, 90*time.Minute) != "90 minutes" || Span(zh, 48*time.Hour) != "2 天" {
		t.Error("spans are wrong")
	}
}

func TestScriptLanguage(t *testing.T) {
	for text, want := range map[string]string{"Clean the list": "en", "清理列表 CSV": "zh", "リストを整える": "ja", "목록 정리": "ko", "42": "", "Translate 你好 into English please": "en"} {
		if got := scriptLanguage(text); got != want {
			t.Errorf("%q is taken for %q, want %q", text, got, want)
		}
	}
}

func TestLineOf(t *testing.T) {
	raw := []byte(`{"a":[1,{"b/c":null}],"d":{"e":"x"}}`)
	for pointer, want := range map[string]int{"/a": 2, "/a/0": 3, "/a/1": 4, "/a/1/b~1c": 5, "/d/e": 9, "/d/f": 0, "/a/9": 0, "/d/e/f": 0} {
		if got := LineOf(raw, pointer); got != want {
			t.Errorf("%s is on line %d, want %d", pointer, got, want)
		}
	}
	lines := strings.Split(Indent(raw), "\n")
	if line := lines[LineOf(raw, "/d/e")-1]; !strings.Contains(line, `"e": "x"`) {
		t.Errorf("the line is %q", line)
	}
}

func TestMarkdownIsSafe(t *testing.T) {
	var b strings.Builder
	text := "# Head\n\n<script>alert(1)</script>\n\n![p](https://example.org/p.png) [l](https://example.org) <b onclick=x>b</b> [j](javascript:x)\n\n| a |\n|---|\n| 1 |"
	if err := Markdown(text).Render(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script", "<img", "<b", "javascript:", "<h1"} {
		if strings.Contains(b.String(), bad) {
			t.Errorf("the page holds %s: %s", bad, b.String())
		}
	}
	for _, good := range []string{"<h3", `rel="nofollow noreferrer noopener"`, "<table>", "&lt;script&gt;alert(1)", "&lt;b onclick=x&gt;b"} {
		if !strings.Contains(b.String(), good) {
			t.Errorf("the page lacks %s: %s", good, b.String())
		}
	}
}
