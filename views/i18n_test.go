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
	var tree map[string]map[string]any
	if _, err := toml.DecodeFile("locales/"+lang+".toml", &tree); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for section, messages := range tree {
		for k, v := range messages {
			switch m := v.(type) {
			case string:
				out[section+"."+k] = m
			case map[string]any: // plural forms
				out[section+"."+k], _ = m["other"].(string)
			}
		}
	}
	return out
}

// TestChineseUsesOneWordForAThing keeps words out for which there is another.
func TestChineseUsesOneWordForAThing(t *testing.T) {
	texts := keys(t, "zh-CN")
	for _, page := range []string{"agents", "people", "secrets", "webhooks"} {
		text, err := os.ReadFile("documents/zh-CN/" + page + ".md")
		if err != nil {
			t.Fatal(err)
		}
		texts[page+".md"] = string(text)
	}
	for id, text := range texts {
		for wrong, right := range map[string]string{"代理": "智能体", "你": "您", "管理员": "运营者", "领取": "认领", "承接": "认领", "接受的交付": "验收的交付"} {
			if strings.Contains(text, wrong) {
				t.Errorf("%s has %s, want %s: %s", id, wrong, right, text)
			}
		}
	}
}

var (
	placeholder = regexp.MustCompile(`{{[^}]*}}`)
	narrow      = regexp.MustCompile(`\p{Han}[,.;:!?]\p{Han}`)
)

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
		words := strings.IndexFunc(placeholder.ReplaceAllString(en[k], ""), unicode.IsLetter) >= 0
		if words && strings.IndexFunc(v, func(r rune) bool { return unicode.Is(unicode.Han, r) }) < 0 {
			t.Errorf("%s is not in Chinese: %s", k, v)
		}
		if narrow.MatchString(v) {
			t.Errorf("%s has a narrow comma or stop between Chinese: %s", k, v)
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

// TestTemplatesSpeakThroughTheCatalogues finds the messages of the templates in
// the catalogues, and letters that are not in a message.
func TestTemplatesSpeakThroughTheCatalogues(t *testing.T) {
	en := keys(t, "en")
	call := regexp.MustCompile(`\b[TN]\(ctx, "([a-z_0-9A-Z]+\.[a-z_0-9A-Z]*)"(\+)?`)
	bare := regexp.MustCompile(`>([^<>{}@]*\p{L}[^<>{}@]*)<`)
	attribute := regexp.MustCompile(`\b(?:aria-label|placeholder|title|alt)="[^"]*\p{L}`)
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".templ") && !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_templ.go") {
			continue
		}
		text, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range call.FindAllStringSubmatch(string(text), -1) {
			found++
			known := en[m[1]] != ""
			for k := range en {
				known = known || (m[2] != "" && strings.HasPrefix(k, m[1]))
			}
			if !known {
				t.Errorf("%s: %s has no text", f.Name(), m[1])
			}
		}
		if !strings.HasSuffix(f.Name(), ".templ") {
			continue
		}
		for _, line := range strings.Split(string(text), "\n") {
			if m := bare.FindStringSubmatch(line); m != nil && !strings.Contains(line, "<code>") && strings.TrimSpace(m[1]) != "Guildhall" && !strings.Contains(line, "<title>") {
				t.Errorf("%s: %q is not in the catalogues", f.Name(), m[1])
			}
			if m := attribute.FindString(line); m != "" {
				t.Errorf("%s: %q is not in the catalogues", f.Name(), m)
			}
		}
	}
	if found < 150 {
		t.Errorf("found only %d messages; the expression no longer fits the templates", found)
	}
}

// TestEveryValueHasWords looks up what templates put together from values.
func TestEveryValueHasWords(t *testing.T) {
	en := keys(t, "en")
	var ids []string
	for _, s := range []market.State{market.Open, market.Claimed, market.InReview, market.Settled, market.Cancelled, market.Expired} {
		ids = append(ids, "state."+string(s))
		if s.Terminal() {
			ids = append(ids, "escrow."+string(s))
		} else {
			ids = append(ids, "due."+string(s))
		}
	}
	for _, s := range []market.DeliveryState{market.DeliveryPending, market.DeliveryAccepted, market.DeliveryRejected, market.DeliveryWithdrawn, market.DeliveryFailed} {
		ids = append(ids, "delivery_state."+string(s))
	}
	for _, e := range market.Events() {
		ids = append(ids, "event."+string(e))
	}
	for _, k := range market.TransferKinds() {
		ids = append(ids, "entry."+string(k))
	}
	for _, k := range market.GoodKinds() {
		ids = append(ids, "good_kind.of_"+string(k))
	}
	for _, s := range market.OrderStates() {
		ids = append(ids, "order_state."+string(s))
	}
	for _, r := range market.Remedies() {
		ids = append(ids, "remedy.said_"+string(r), "remedy.do_"+string(r), "remedy.how_"+string(r), "remedy.done_"+string(r), "flash.dispute_"+string(r))
	}
	for _, f := range []market.ReviewFilter{market.ReviewOpen, market.ReviewDisputed, market.ReviewDecided} {
		ids = append(ids, "reviews.none_"+string(f))
	}
	for _, r := range market.ReviewReasons() {
		ids = append(ids, "review_reason."+r)
	}
	for _, a := range market.AdminActions() {
		ids = append(ids, "admin_action."+a, "admin_did."+a)
	}
	for _, s := range market.AccountStates() {
		ids = append(ids, "account_state."+string(s))
	}
	for _, what := range market.SecurityEvents() {
		ids = append(ids, "security_did."+strings.TrimPrefix(string(what), "security."))
	}
	for _, k := range market.MailKinds() {
		ids = append(ids, "mail."+string(k)+"_subject", "mail."+string(k)+"_text", "mail."+string(k)+"_after")
	}
	for _, c := range []string{"csv_empty", "csv_code", "csv_expired"} { // market.CleanStock
		ids = append(ids, "invalid."+c)
	}
	for _, k := range market.RuleKinds() {
		ids = append(ids, "rule_kind."+k, "rule."+k)
	}
	for _, k := range market.FeedKinds() {
		ids = append(ids, "told."+strings.ReplaceAll(string(k.Type), ".", "_"))
	}
	for _, s := range []market.WebhookState{market.WebhookPending, market.WebhookSent, market.WebhookFailed} {
		ids = append(ids, "webhooks.is_"+string(s))
	}
	for _, e := range []string{market.CallBlocked, market.CallRedirect, market.CallTimeout, market.CallRefused} {
		ids = append(ids, "webhooks.call_"+e)
	}
	ids = append(ids, "webhooks.off_"+market.WebhookGone, "webhooks.off_"+market.WebhookFailing)
	for _, g := range market.FeedGroups() {
		ids = append(ids, "feed_group."+string(g))
	}
	for _, r := range market.ReportReasons() {
		ids = append(ids, "report_reason.for_"+r)
	}
	for _, v := range []string{"pass", "fail", "error"} {
		ids = append(ids, "sample.pass_"+v, "sample.fail_"+v)
	}
	ids = append(ids, "publish.sample_pass", "publish.sample_fail", "publish.add_sample_pass", "publish.add_sample_fail", "mode.exclusive", "mode.open", "rule.range_min", "rule.range_max", "rule.length_min", "rule.length_max", "class.granted", "class.earned", "verdict.pass", "verdict.fail", "verdict.error", "sort.newest", "sort.reward", "sort.deadline",
		"silence.accept_before", "silence.accept_after", "silence.error_before", "silence.error_after", "silence.case_before", "silence.case_after",
		"rel.now_in", "rel.now_ago", "rel.days_in", "rel.days_ago", "rel.hours_in", "rel.hours_ago", "rel.minutes_in", "rel.minutes_ago")
	for _, id := range ids {
		if en[id] == "" {
			t.Errorf("%s has no text", id)
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
