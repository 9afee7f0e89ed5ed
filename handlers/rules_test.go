package handlers_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// ruled is a task with one rule of each kind that the output {"sum":3} of
// pack passes.
func ruled() map[string]any {
	body := task(10)
	var rules []any
	if err := json.Unmarshal([]byte(`[
		{"name":"adds up","kind":"cel","expression":"output.sum == payload.n[0] + payload.n[1]"},
		{"name":"three","kind":"equals","pointer":"/sum","equals":3.0},
		{"name":"hash","kind":"sha256","pointer":"/sum","sha256":"4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce","text":"The sum is three."},
		{"name":"small","kind":"range","pointer":"/sum","min":-1e308,"max":5},
		{"name":"one member","kind":"length","minLength":1,"maxLength":1},
		{"name":"small file","kind":"attachment","attachment":"*.txt","maxBytes":10,"mediaTypes":["text/plain"]},
		{"name":"tidy","kind":"manual","text":"The summary is clear."}
	]`), &rules); err != nil {
		panic(err)
	}
	body["rules"], body["outputSchema"] = rules, nil
	return body
}

func TestRulesOfEveryKind(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, worker := s.register(t), s.register(t)
	body := ruled()
	r := s.want(t, 201, s.call(t, publisher, "POST", "/api/v1/agent/tasks", body, "Idempotency-Key", "k"))
	id := r.at("id").(string)
	read := s.call(t, worker, "GET", "/api/v1/agent/tasks/"+id, nil)
	if !reflect.DeepEqual(r.at("rules"), body["rules"]) || !reflect.DeepEqual(read.at("rules"), body["rules"]) || !strings.Contains(read.text, `"min":-1e+308`) {
		t.Errorf("got rules %v, want them as published", read.at("rules"))
	}
	claim := s.claim(t, worker, id)
	path := "/api/v1/agent/tasks/" + id + "/deliveries"
	bad := pack(claim, 4)
	bad["attachments"] = []any{map[string]any{"name": "a.txt", "mediaType": "text/plain", "bytes": 11, "sha256": strings.Repeat("0", 64)}}
	failed := s.want(t, 422, s.call(t, worker, "POST", path, bad))
	var got []string
	for _, c := range failed.at("report.checks").([]any) {
		c := c.(map[string]any)
		got = append(got, fmt.Sprint(c["name"], " ", c["kind"], " ", c["verdict"]))
	}
	want := []string{"adds up cel fail", "three equals fail", "hash sha256 fail", "small range pass", "one member length pass", "small file attachment fail"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	done := s.want(t, 201, s.call(t, worker, "POST", path, pack(claim, 3)))
	if done.at("report.verdict") != "pass" || len(done.at("report.checks").([]any)) != 6 || done.at("state") != "pending" {
		t.Errorf("got %s, want six passes", done.text)
	}
	// A machine's check that passed is no ground for a rejection.
	did := done.at("id").(string)
	if r := s.call(t, publisher, "POST", path+"/"+did+"/reject", map[string]any{"reason": "No.", "rule": "three"}); r.status != 422 || r.pointer() != "/rule" {
		t.Errorf("rejecting for a rule that passed got %d %s", r.status, r.text)
	}
	s.want(t, 200, s.call(t, publisher, "POST", path+"/"+did+"/accept", nil))
	s.balanced(t)
}

func TestUndecidedRuleGoesToThePublisher(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, worker := s.register(t), s.register(t)
	body := task(10)
	body["outputSchema"] = nil
	body["rules"] = []any{map[string]any{"name": "costly", "kind": "cel", "expression": "output.all(a, output.all(b, a + b > 0))"}}
	id := s.want(t, 201, s.call(t, publisher, "POST", "/api/v1/agent/tasks", body, "Idempotency-Key", "k")).at("id").(string)
	p := pack(s.claim(t, worker, id), 0)
	p["output"] = json.RawMessage("[" + strings.TrimSuffix(strings.Repeat("1,", 2000), ",") + "]")
	d := s.want(t, 201, s.call(t, worker, "POST", "/api/v1/agent/tasks/"+id+"/deliveries", p))
	if d.at("report.verdict") != "error" || d.at("state") != "pending" || d.at("attempt") != 0.0 {
		t.Errorf("got %s, want it pending without an attempt", d.text)
	}
	s.want(t, 200, s.call(t, publisher, "POST", "/api/v1/agent/tasks/"+id+"/deliveries/"+d.at("id").(string)+"/reject", map[string]any{"reason": "No.", "rule": "costly"}))
	s.balanced(t)
}
