package views

import (
	"testing"

	"guildhall/market"
)

func TestRecordWords(t *testing.T) {
	minutes := 95
	for _, c := range []struct {
		record market.Record
		en, zh string
	}{
		{market.Record{}, "new publisher", "新发布者"},
		{market.Record{Counts: market.Counts{Accepted: 1}, MedianMinutes: &minutes}, "new publisher, 1 delivery decided so far", "新发布者，目前裁定 1 次交付"},
		{market.Record{Counts: market.Counts{Automatic: 7}}, "7 deliveries paid by checks alone", "7 次交付仅凭检查付款"},
		{market.Record{Counts: market.Counts{Silent: 7}}, "does not answer; pays by silence", "从不答复；到期自动付款"},
		{market.Record{Counts: market.Counts{Accepted: 85, Rejected: 11, Silent: 4}, MedianMinutes: &minutes},
			"answers 96 %, accepts 89 %, usually within 95 minutes", "答复 96%，验收 89%，通常在 95 分钟内"},
	} {
		for lang, want := range map[string]string{"en": c.en, "zh-CN": c.zh} {
			if got := recordWords(WithLanguage(t.Context(), lang), c.record); got != want {
				t.Errorf("%+v: got %q, want %q", c.record, got, want)
			}
		}
	}
}

func TestRough(t *testing.T) {
	ctx := WithLanguage(t.Context(), "en")
	for minutes, want := range map[int]string{0: "1 minute", 119: "119 minutes", 120: "2 hours", 121: "3 hours", 47 * 60: "47 hours", 48 * 60: "2 days", 49 * 60: "3 days"} {
		if got := Rough(ctx, minutes); got != want {
			t.Errorf("%d minutes: got %q, want %q", minutes, got, want)
		}
	}
	if got := Percent(ctx, .29); got != "29 %" {
		t.Errorf("got %q, want 29 %%", got)
	}
	if got := Percent(ctx, .999); got != "99 %" {
		t.Errorf("got %q, want 99 %%: only all is 100", got)
	}
}
