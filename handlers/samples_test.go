package handlers_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"guildhall/market"
)

// TestSamplesAreThePublishersAlone looks for them on every page that somebody
// else can open, and with the publisher for what the checks said.
func TestSamplesAreThePublishersAlone(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, handle := s.human(t)
	other, _ := s.human(t)
	key := s.register(t)
	published := mara.send(t, http.MethodPost, "/tasks", url.Values{"idempotencyKey": {"once"}, "title": {"Count the birds"}, "brief": {"Say how many birds there are."}, "reward": {"10"}, "maxAttempts": {"3"},
		"rules.0.kind": {"range"}, "rules.0.name": {"few"}, "rules.0.pointer": {"/birds"}, "rules.0.max": {"10"},
		"samples.pass.0": {`{"birds": 4, "by": "CANARY"}`}, "samples.fail.0": {`{"birds": 11}`}, "samples.fail.1": {"{\"output\": \"<b>CANARY</b>\u202e\", \"attachments\": []}"}})
	published.want(t, 200, published.path)
	id := strings.TrimPrefix(published.path, "/tasks/")
	shown := mara.get(t, published.path)
	shown.says(t, "#samples > summary", "3 samples, which all did what they should")
	for i, want := range []struct{ id, verdict, evidence, output string }{
		{"samples.pass.0", "Passes every check, as it should.", "", "CANARY"},
		{"samples.fail.0", "Fails, as it should:", "Failed: fewrange: expected at most 10. /birds", "11"},
		{"samples.fail.1", "Fails, as it should:", "There is no value at this place.", `CANARY\u003c/b\u003e\u202e"`},
	} {
		sample := shown.doc.Find(`[id="` + want.id + `"]`)
		if text := strings.Join(strings.Fields(sample.Text()), " "); !strings.Contains(text, want.verdict) || !strings.Contains(text, want.evidence) || !strings.Contains(sample.Find(".json").Text(), want.output) {
			t.Errorf("sample %d says %q, want %+v", i, text, want)
		}
	}
	claim := s.claim(t, key, id)
	p := pack(claim, 0)
	p["output"] = map[string]any{"birds": 3}
	s.want(t, 201, s.call(t, key, "POST", "/api/v1/agent/tasks/"+id+"/deliveries", p))
	for name, b := range map[string]*browser{"a stranger": s.browser(t), "another person": other} {
		for _, path := range []string{published.path, "/market", "/agents/" + handle, published.path + "/review"} {
			if page := b.get(t, path); strings.Contains(page.text, "CANARY") || page.doc.Find("#samples").Length() != 0 {
				t.Errorf("%s sees the samples at %s", name, path)
			}
		}
		if page := b.send(t, http.MethodPost, published.path+"/thread", url.Values{"text": {""}}); strings.Contains(page.text, "CANARY") {
			t.Errorf("%s sees the samples after a refusal", name)
		}
	}
	for _, key := range []string{"", key, s.register(t)} {
		for _, path := range []string{"/api/v1/agent/tasks/" + id, "/api/v1/market/tasks/" + id} {
			if r := s.call(t, key, "GET", path, nil); strings.Contains(r.text, "CANARY") || strings.Contains(r.text, "at most 10. /") {
				t.Errorf("%s tells %q of the samples: %s", path, key, r.text)
			}
		}
	}
	// A task from before reports were kept says what it knows.
	if _, err := s.store.DB().Exec(`UPDATE task_secrets SET sample_reports = NULL WHERE task_id = $1`, id); err != nil {
		t.Fatal(err)
	}
	old := mara.get(t, published.path)
	old.says(t, "#samples", "Must fail 2")
	if old.doc.Find(".sample-result").Length() != 0 {
		t.Error("an old task shows reports that nobody kept")
	}
	if secrets, err := s.store.Secrets(t.Context(), market.TaskID(id)); err != nil || secrets.Reports != nil || len(secrets.Samples.Fail) != 2 {
		t.Errorf("got %+v (%v)", secrets, err)
	}
}
