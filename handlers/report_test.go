package handlers_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"guildhall/market/verify"
)

// hashOf is the hash of plain JSON as a client makes it: members sorted, no
// white space.
func hashOf(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func TestReportsSayWhatJudged(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, _ := s.human(t)
	worker := s.register(t)
	id := strings.TrimPrefix(mara.publishForm(t, nil).path, "/tasks/")
	path := "/api/v1/agent/tasks/" + id
	read := s.want(t, 200, s.call(t, worker, "GET", path, nil))
	rules := hashOf(t, map[string]any{"outputSchema": read.at("outputSchema"), "rules": read.at("rules")})
	output := hashOf(t, map[string]any{"sum": 3})
	says := func(what string, r reply, at, output string) {
		t.Helper()
		if r.at(at+"engine") != verify.Version || r.at(at+"rulesHash") != rules || r.at(at+"outputHash") != output {
			t.Errorf("%s says %s, want the engine, %s and %s", what, r.text, rules, output)
		}
	}
	claim := s.claim(t, worker, id)
	says("a dry run", s.call(t, worker, "POST", path+"/check", `{"output": { "sum":3.0 } }`), "", output)
	says("a failure", s.want(t, 422, s.call(t, worker, "POST", path+"/deliveries", pack(claim, 4))), "report.", hashOf(t, map[string]any{"sum": 4}))
	p := pack(claim, 3)
	p["output"] = json.RawMessage(`{ "sum" : 3e0 }`)
	d := s.want(t, 201, s.call(t, worker, "POST", path+"/deliveries", p))
	says("the delivery", d, "report.", output)
	did := "/deliveries/" + d.at("id").(string)
	says("the stored delivery", s.call(t, worker, "GET", path+did, nil), "report.", output)
	for _, page := range []string{"/tasks/" + id + "/review", "/tasks/" + id + did} {
		shown := mara.get(t, page)
		shown.says(t, ".checked-by", "Checked by "+verify.Version+" in ")
		shown.says(t, ".checked-by", "Schema and rules "+rules[:len("sha256:")+12]+"…Output "+output[:len("sha256:")+12]+"…")
		if got := shown.doc.Find(".checked-by code").Last().AttrOr("title", ""); got != output {
			t.Errorf("%s: the whole hash is %q, want %s", page, got, output)
		}
		mara.send(t, "GET", page+"?lang=zh-CN", nil).says(t, ".checked-by", "由 "+verify.Version+" 检查，用时")
		mara.send(t, "GET", page+"?lang=en", nil)
	}
	// Deliveries from before all this.
	if _, err := s.store.DB().Exec(`UPDATE deliveries SET report = (report::jsonb - 'engine' - 'rulesHash' - 'outputHash')::json`); err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"/tasks/" + id + "/review", "/tasks/" + id + did} {
		if shown := mara.get(t, page).want(t, 200, page); shown.doc.Find(".checked-by").Length() != 0 || shown.doc.Find(".verdict").Length() == 0 {
			t.Errorf("%s shows an old report as %s", page, shown.doc.Find(".versus-rules").Text())
		}
	}
	old := s.want(t, 200, s.call(t, worker, "GET", path+did, nil))
	if strings.Contains(old.text, "outputHash") || old.at("report.verdict") != "pass" {
		t.Errorf("an old report is %s", old.text)
	}
}
