package handlers_test

import (
	"net/url"
	"strings"
	"testing"
)

// operator is a person who decides cases.
func (s *server) operator(t testing.TB) *browser {
	t.Helper()
	b, handle := s.human(t)
	if err := s.store.SetOperator(t.Context(), handle, true); err != nil {
		t.Fatalf("make an operator: %v", err)
	}
	return b
}

// openTask publishes the task in open mode.
func (s *server) openTask(t testing.TB, key string, reward, slots int) string {
	t.Helper()
	body := task(reward)
	body["mode"], body["maxAccepted"] = "open", slots
	return s.want(t, 201, s.call(t, key, "POST", "/api/v1/agent/tasks", body, "Idempotency-Key", unique("key"))).at("id").(string)
}

func (s *server) deliverOpen(t testing.TB, key, id string) string {
	t.Helper()
	return s.want(t, 201, s.call(t, key, "POST", "/api/v1/agent/tasks/"+id+"/deliveries",
		map[string]any{"output": map[string]any{"sum": 3}, "summaryText": "Added."})).at("id").(string)
}

// appeal rejects the delivery and appeals, and returns the case.
func (s *server) appeal(t testing.TB, publisher, worker, id, did string) string {
	t.Helper()
	at := "/api/v1/agent/tasks/" + id + "/deliveries/" + did
	s.want(t, 200, s.call(t, publisher, "POST", at+"/reject", map[string]any{"reason": "Untidy.", "rule": "tidy"}))
	return s.want(t, 201, s.call(t, worker, "POST", at+"/appeal", map[string]any{"text": "It is tidy."})).at("cases.0.id").(string)
}

// TestOpenMode pays two of three deliveries; the third is not selected.
func TestOpenMode(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher := s.register(t)
	id := s.openTask(t, publisher, 100, 2)
	task := "/api/v1/agent/tasks/" + id
	for _, do := range [][2]string{{"POST", "/claim"}, {"POST", "/claim/renew"}, {"DELETE", "/claim"}} {
		if r := s.call(t, s.register(t), do[0], task+do[1], nil); r.status != 409 || r.code() != "open_mode" {
			t.Errorf("%s %s got %d %s, want 409 open_mode", do[0], do[1], r.status, r.code())
		}
	}
	if r := s.call(t, publisher, "POST", task+"/deliveries", map[string]any{"output": 1, "summaryText": "x"}); r.status != 403 || r.code() != "own_task" {
		t.Errorf("the publisher's delivery got %d %s, want 403 own_task", r.status, r.code())
	}
	workers := []string{s.register(t), s.register(t), s.register(t)}
	var dids []string
	for _, w := range workers {
		dids = append(dids, s.deliverOpen(t, w, id))
	}
	if r := s.call(t, workers[0], "POST", task+"/deliveries", map[string]any{"output": map[string]any{"sum": 3}, "summaryText": "x"}); r.status != 409 || r.code() != "delivery_pending" {
		t.Errorf("a second delivery got %d %s, want 409 delivery_pending", r.status, r.code())
	}
	got := s.want(t, 200, s.call(t, publisher, "GET", task, nil))
	if got.at("crowding.pendingDeliveries") != 3.0 || got.at("slotsLeft") != 2.0 || got.at("escrow") != 200.0 || got.at("pendingActions.0.action") != "review" {
		t.Errorf("the task is %s", got.text)
	}
	if r := s.call(t, publisher, "POST", task+"/cancel", nil); r.status != 409 || r.code() != "delivery_pending" {
		t.Errorf("cancelling got %d %s, want 409 delivery_pending", r.status, r.code())
	}
	for i := range 2 {
		d := s.want(t, 200, s.call(t, publisher, "POST", task+"/deliveries/"+dids[i]+"/accept", nil))
		if d.at("state") != "accepted" || d.at("payout.amount") != 100.0 || d.at("review.by") != "publisher" {
			t.Errorf("accepted: %s", d.text)
		}
	}
	if got := s.want(t, 200, s.call(t, publisher, "GET", task, nil)); got.at("state") != "settled" || got.at("escrow") != 0.0 {
		t.Errorf("after the last reward the task is %s", got.text)
	}
	if d := s.want(t, 200, s.call(t, workers[2], "GET", task+"/deliveries/"+dids[2], nil)); d.at("state") != "not_selected" {
		t.Errorf("the third is %v, want not_selected", d.at("state"))
	}
	if r := s.call(t, publisher, "POST", task+"/deliveries/"+dids[2]+"/accept", nil); r.status != 409 || r.code() != "delivery_not_pending" {
		t.Errorf("a third accept got %d %s, want 409 delivery_not_pending", r.status, r.code())
	}
	s.balanced(t)
}

// TestAppealAndDecision rejects a delivery, appeals, and lets an operator split
// the reward on the page that has the whole record.
func TestAppealAndDecision(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, worker := s.register(t), s.register(t)
	id := s.publish(t, publisher, 101)
	did := s.deliver(t, worker, id)
	at := "/api/v1/agent/tasks/" + id
	s.want(t, 201, s.call(t, worker, "POST", at+"/thread", map[string]any{"text": "I summed twice."}))
	appeal := at + "/deliveries/" + did + "/appeal"
	if r := s.call(t, worker, "POST", appeal, map[string]any{"text": "It is right."}); r.status != 409 || r.code() != "appeal_closed" {
		t.Errorf("appealing what is pending got %d %s, want 409 appeal_closed", r.status, r.code())
	}
	s.want(t, 200, s.call(t, publisher, "POST", at+"/deliveries/"+did+"/reject", map[string]any{"reason": "Untidy.", "rule": "tidy"}))
	if got := s.want(t, 200, s.call(t, worker, "GET", at, nil)); got.at("pendingActions.0.action") != "appeal" || got.at("pendingActions.0.deliveryId") != did {
		t.Errorf("the worker's next steps are %s", got.text)
	}
	if r := s.call(t, worker, "POST", appeal, map[string]any{"text": "  "}); r.status != 422 || r.pointer() != "/text" {
		t.Errorf("an empty appeal got %d at %s", r.status, r.pointer())
	}
	d := s.want(t, 201, s.call(t, worker, "POST", appeal, map[string]any{"text": "It <b>is</b> tidy."}, "Idempotency-Key", "appeal-1"))
	if again := s.call(t, worker, "POST", appeal, map[string]any{"text": "It <b>is</b> tidy."}, "Idempotency-Key", "appeal-1"); again.text != d.text || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the retry got %d %s", again.status, again.text)
	}
	if r := s.call(t, worker, "POST", appeal, map[string]any{"text": "Again."}); r.status != 409 || r.code() != "already_done" {
		t.Errorf("a second appeal got %d %s, want 409 already_done", r.status, r.code())
	}
	if got := s.want(t, 200, s.call(t, publisher, "GET", at, nil)); got.at("state") != "in_review" || got.at("slotsFrozen") != 1.0 {
		t.Errorf("during the case the task is %s", got.text)
	}
	judge := s.operator(t)
	queue := judge.get(t, "/admin/cases").want(t, 200, "/admin/cases")
	queue.says(t, "main", "It <b>is</b> tidy.")
	kid := d.at("cases.0.id").(string)
	page := judge.get(t, "/admin/cases/"+kid).want(t, 200, "/admin/cases/"+kid)
	page.says(t, "main", "Untidy.")
	page.says(t, "main", "Return the sum as a number.")
	page.says(t, "main", "Appealed by")
	page.says(t, "#thread", "I summed twice.")
	refused := judge.submit(t, page, "/admin/cases/"+kid+"/decide", url.Values{"outcome": {"split"}, "note": {"Half is fair."}}).want(t, 422, "/admin/cases/"+kid+"/decide")
	refused.says(t, ".error-summary", "Share")
	if kept := refused.doc.Find("#note").Text(); kept != "Half is fair." {
		t.Errorf("the note that was typed became %q", kept)
	}
	judge.submit(t, refused, "/admin/cases/"+kid+"/decide", url.Values{"outcome": {"split"}, "share": {"5000"}, "note": {"Half is fair."}}).want(t, 200, "/admin/cases").says(t, "#flash", "decided")
	got := s.want(t, 200, s.call(t, worker, "GET", at+"/deliveries/"+did, nil))
	if got.at("state") != "accepted" || got.at("payout.amount") != 50.0 || got.at("cases.0.outcome") != "split" || got.at("cases.0.note") != "Half is fair." {
		t.Errorf("after the split: %s", got.text)
	}
	if w := s.want(t, 200, s.call(t, publisher, "GET", "/api/v1/agent/wallet", nil)); w.at("granted") != 950.0 {
		t.Errorf("the publisher has %s, want the rest back", w.text)
	}
	judge.get(t, "/admin/cases?state=closed").says(t, "main", "split: 50 % for the worker")
	s.balanced(t)
}

// TestOperatorKeys opens the operators' routes to their keys, and to no others.
func TestOperatorKeys(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	_, handle := s.human(t)
	if _, err := s.store.NewOperatorKey(t.Context(), handle, "x"); err == nil {
		t.Error("somebody who is no operator got a key")
	}
	if err := s.store.SetOperator(t.Context(), handle, true); err != nil {
		t.Fatal(err)
	}
	key, err := s.store.NewOperatorKey(t.Context(), handle, "x")
	if err != nil || !strings.HasPrefix(key, "gho_") {
		t.Fatalf("got %.4s, %v", key, err)
	}
	s.want(t, 200, s.call(t, key, "GET", "/api/v1/admin/cases", nil))
	if r := s.call(t, key, "GET", "/api/v1/agent/wallet", nil); r.status != 403 {
		t.Errorf("an operator's key got %d from an agent's route, want 403", r.status)
	}
	if err := s.store.SetOperator(t.Context(), handle, false); err != nil {
		t.Fatal(err)
	}
	if r := s.call(t, key, "GET", "/api/v1/admin/cases", nil); r.status != 401 {
		t.Errorf("a former operator's key got %d, want 401", r.status)
	}
}

// TestMassRejection stops a publisher who rejects all that it gets, and shows
// why before it tries.
func TestMassRejection(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b, handle := s.human(t)
	at := b.publishForm(t, url.Values{"mode": {"open"}, "maxAccepted": {"12"}, "reward": {"2"}})
	id := at.path[len("/tasks/"):]
	var last string
	for i := range 11 {
		last = s.want(t, 201, s.call(t, s.register(t), "POST", "/api/v1/agent/tasks/"+id+"/deliveries", map[string]any{"output": map[string]any{"sum": 3, "n": i}, "summaryText": "Added."})).at("id").(string)
		if i < 10 {
			page := b.get(t, "/tasks/"+id+"/deliveries/"+last).want(t, 200, "/tasks/"+id+"/deliveries/"+last)
			b.submit(t, page, page.path+"/reject", url.Values{"reason": {"No."}, "rule": {page.doc.Find("#rule option").Eq(1).AttrOr("value", "")}}).want(t, 200, "/tasks/"+id)
		}
	}
	page := b.get(t, "/tasks/"+id+"/deliveries/"+last)
	page.says(t, ".decide", "You rejected 10 deliveries within 7 days and paid 0.")
	if page.doc.Find(`form[action$="/reject"]`).Length() != 0 || page.doc.Find(`form[action$="/accept"]`).Length() != 1 {
		t.Errorf("the forms of %s: %s", handle, page.doc.Find(".decide").Text())
	}
	res := b.send(t, "POST", page.path+"/reject", url.Values{"reason": {"No."}, "rule": {"tidy"}, "idempotencyKey": {"again"}})
	if res.status != 409 {
		t.Errorf("rejecting all the same: %d", res.status)
	}
	s.balanced(t)
}
