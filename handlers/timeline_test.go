package handlers_test

import (
	"strings"
	"testing"
)

// TestTimeline tells everybody what happened and by whom, and through which
// credential only to whose it is, and to operators.
func TestTimeline(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, person := s.human(t)
	worker, stranger := s.register(t), s.register(t)
	agent, prefix := s.handle(t, worker), worker[:10]
	path := mara.publishForm(t, nil).path
	id := strings.TrimPrefix(path, "/tasks/")
	s.claim(t, worker, id)
	for _, q := range []string{`UPDATE claims SET expires_at = now() - interval '1 second'`, `UPDATE tasks SET due_at = now() - interval '1 second' WHERE state = 'claimed'`} {
		if _, err := s.store.DB().Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	s.sweep(t)
	did := s.deliver(t, worker, id)
	mara.submit(t, mara.get(t, path), path+"/deliveries/"+did+"/accept", nil).want(t, 200, path)

	line := func(key, api string) []map[string]any {
		t.Helper()
		r := s.want(t, 200, s.call(t, key, "GET", api+id+"/timeline", nil))
		var out []map[string]any
		for _, x := range r.at("items").([]any) {
			out = append(out, x.(map[string]any))
		}
		return out
	}
	own := line(worker, "/api/v1/agent/tasks/")
	want := []struct{ event, actor string }{{"published", person}, {"claimed", agent}, {"claim_expired", ""}, {"claimed", agent}, {"delivered", agent}, {"accepted", person}}
	if len(own) != len(want) {
		t.Fatalf("the timeline is %v", own)
	}
	for i, w := range want {
		actor, _ := own[i]["actor"].(string)
		if own[i]["event"] != w.event || actor != w.actor || own[i]["number"] != float64(i+1) || own[i]["at"] == "" {
			t.Errorf("line %d is %v, want %v", i+1, own[i], w)
		}
		via, _ := own[i]["credential"].(map[string]any)
		if w.actor == agent && (via["kind"] != "key" || via["name"] != "first" || via["prefix"] != prefix) {
			t.Errorf("line %d was done through %v, want the key %s", i+1, via, prefix)
		}
		if w.actor != agent && via != nil {
			t.Errorf("line %d shows the worker another's credential %v", i+1, via)
		}
	}
	for name, lines := range map[string][]map[string]any{"a stranger": line(stranger, "/api/v1/agent/tasks/"), "the public": line("", "/api/v1/market/tasks/"), "the worker without a key": line(worker, "/api/v1/market/tasks/")} {
		for _, x := range lines {
			if x["credential"] != nil || len(lines) != len(want) {
				t.Errorf("%s sees %v", name, x)
			}
		}
	}

	view := mara.get(t, path+"/timeline").want(t, 200, path+"/timeline")
	view.says(t, "tbody tr:nth-child(1)", person)
	view.says(t, "tbody tr:nth-child(1)", "browser session")
	view.says(t, "tbody tr:nth-child(3)", "the clock")
	if text := view.doc.Find("tbody").Text(); strings.Contains(text, prefix) || strings.Count(text, "browser session") != 2 {
		t.Errorf("the publisher sees %s", text)
	}
	mara.get(t, path).says(t, "#timeline", "browser session")
	judge := s.operator(t)
	for _, sel := range []struct{ path, where string }{{path + "/timeline", "tbody"}, {path, "#timeline"}} {
		all := judge.get(t, sel.path)
		all.says(t, sel.where, "key “first” "+prefix+"…")
		all.says(t, sel.where, "browser session")
	}
	nobody := s.browser(t)
	for _, sel := range []struct{ path, where string }{{path + "/timeline", "tbody"}, {path, "#timeline"}} {
		all := nobody.get(t, sel.path)
		all.says(t, sel.where, agent)
		if text := all.doc.Find("main").Text(); strings.Contains(text, prefix) || strings.Contains(text, "browser session") {
			t.Errorf("a stranger sees %s", text)
		}
	}
	s.balanced(t)
}

// TestTimelineInParts reads a timeline in parts, and what came after a line.
func TestTimelineInParts(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, worker := s.register(t), s.register(t)
	id := s.publish(t, publisher, 10)
	for range 30 {
		s.want(t, 201, s.call(t, worker, "POST", "/api/v1/agent/tasks/"+id+"/claim", nil))
		s.want(t, 200, s.call(t, worker, "DELETE", "/api/v1/agent/tasks/"+id+"/claim", nil))
	}
	path := "/api/v1/agent/tasks/" + id + "/timeline"
	var seen []any
	for cursor := ""; ; {
		r := s.want(t, 200, s.call(t, worker, "GET", path+"?limit=25"+cursor, nil))
		for _, x := range r.at("items").([]any) {
			seen = append(seen, x.(map[string]any)["number"])
		}
		next, ok := r.at("nextCursor").(string)
		if !ok {
			break
		}
		cursor = "&cursor=" + next
	}
	for i, n := range seen {
		if n != float64(i+1) {
			t.Fatalf("line %d has the number %v", i+1, n)
		}
	}
	if len(seen) != 61 {
		t.Errorf("%d lines, want 61", len(seen))
	}
	if r := s.want(t, 200, s.call(t, worker, "GET", path+"?after=60", nil)); r.at("items.0.number") != 61.0 || r.at("items.1") != nil || r.at("nextCursor") != nil {
		t.Errorf("after the last but one come %s", r.text)
	}
	if r := s.want(t, 200, s.call(t, worker, "GET", path+"?after=61", nil)); r.at("items.0") != nil {
		t.Errorf("after the last come %s", r.text)
	}
	for _, q := range []string{"?after=-1", "?limit=0", "?cursor=x"} {
		if r := s.call(t, worker, "GET", path+q, nil); r.status != 422 {
			t.Errorf("%s got %d", q, r.status)
		}
	}
	view := s.browser(t).get(t, "/tasks/"+id)
	if n := view.doc.Find("#timeline li").Length(); n != 51 {
		t.Errorf("the task's page shows %d lines, want the first and 50", n)
	}
	view.says(t, "#timeline summary", "61 steps")
	view.says(t, "#timeline li:first-child", "Published")
}

// TestTimelineOfADecision shows operators which of their keys decided a case,
// and the parties only who did.
func TestTimelineOfADecision(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, worker := s.register(t), s.register(t)
	id := s.publish(t, publisher, 10)
	kid := s.appeal(t, publisher, worker, id, s.deliver(t, worker, id))
	_, handle := s.human(t)
	if err := s.store.SetOperator(t.Context(), handle, true); err != nil {
		t.Fatal(err)
	}
	key, err := s.store.NewOperatorKey(t.Context(), handle, "on call")
	if err != nil {
		t.Fatal(err)
	}
	s.want(t, 200, s.call(t, key, "POST", "/api/v1/admin/cases/"+kid+"/decide", map[string]any{"outcome": "overturned", "note": "It is tidy."}))
	r := s.want(t, 200, s.call(t, key, "GET", "/api/v1/admin/cases/"+kid, nil))
	lines := r.at("timeline").([]any)
	last := reply{json: lines[len(lines)-1].(map[string]any)}
	if last.at("event") != "overturned" || last.at("actor") != handle || last.at("credential.kind") != "operator_key" || last.at("credential.name") != "on call" || last.at("credential.prefix") != key[:10] {
		t.Errorf("the operators see %v", last.json)
	}
	if r := s.want(t, 200, s.call(t, worker, "GET", "/api/v1/agent/tasks/"+id+"/timeline?after=4", nil)); !strings.Contains(r.text, handle) || strings.Contains(r.text, "on call") {
		t.Errorf("the worker sees %s", r.text)
	}
}
