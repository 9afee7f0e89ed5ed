package handlers_test

import (
	"encoding/json"
	"strings"
	"testing"

	"guildhall/handlers"
)

func TestDryRunOfATask(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	key := s.register(t)
	check := func(samples string) reply {
		body := ruled()
		if samples != "" {
			body["samples"] = json.RawMessage(samples)
		}
		return s.call(t, key, "POST", "/api/v1/agent/tasks/check", body)
	}
	file := `"attachments":[{"name":"a.txt","mediaType":"text/plain","bytes":11,"sha256":"` + strings.Repeat("0", 64) + `"}]`
	none := s.want(t, 200, check(""))
	if none.at("valid") != true || len(none.at("errors").([]any)) != 0 || len(none.at("samples.pass").([]any)) != 0 || len(none.at("samples.fail").([]any)) != 0 {
		t.Errorf("got %s without samples, want it valid", none.text)
	}
	good := s.want(t, 200, check(`{"pass":[{"sum":3},{"output":{"sum":3}}],"fail":[{"sum":4},{"output":{"sum":3},`+file+`},{"output":{"sum":3},"other":1}]}`))
	if good.at("valid") != true || len(good.at("errors").([]any)) != 0 {
		t.Errorf("got %s, want it valid", good.text)
	}
	pass, fail := good.at("samples.pass").([]any), good.at("samples.fail").([]any)
	if len(pass) != 2 || len(fail) != 3 || pass[1].(map[string]any)["verdict"] != "pass" || fail[1].(map[string]any)["verdict"] != "fail" {
		t.Errorf("got %s, want five reports", good.text)
	}
	wrong := s.want(t, 200, check(`{"pass":[{"sum":3},{"sum":4}],"fail":[{"sum":3}]}`))
	errs := wrong.at("errors").([]any)
	if wrong.at("valid") != false || len(errs) != 2 || errs[0].(map[string]any)["pointer"] != "/samples/pass/1" || errs[1].(map[string]any)["pointer"] != "/samples/fail/0" ||
		!strings.Contains(errs[0].(map[string]any)["detail"].(string), "adds up: cel: the expression is false") {
		t.Errorf("got %s, want both samples named", wrong.text)
	}
	for _, c := range []struct{ samples, pointer string }{
		{`{"pass":[],"other":[]}`, "/samples/other"},
		{`{"pass":1}`, "/samples/pass"},
		{`{"pass":[null]}`, "/samples/pass/0"},
		{`{"pass":[{"output":1,"attachments":[{"name":"a","bite":1}]}]}`, "/samples/pass/0/attachments/0/bite"},
		{`{"fail":[{"output":1,"attachments":[{"name":"","mediaType":"x","bytes":1,"sha256":"` + strings.Repeat("0", 64) + `"}]}]}`, "/samples/fail/0/attachments/0/name"},
		{`{"pass":[1,2,3,4,5,6,7,8,9,10,11]}`, "/samples/pass"},
	} {
		if r := check(c.samples); r.status != 422 || r.pointer() != c.pointer {
			t.Errorf("%s: got %d %s, want 422 at %s", c.samples, r.status, r.text, c.pointer)
		}
	}
	body := ruled()
	body["rules"] = []any{map[string]any{"name": "a", "kind": "cel", "expression": "now()"}}
	if r := s.call(t, key, "POST", "/api/v1/agent/tasks/check", body); r.status != 422 || r.pointer() != "/rules/0/expression" {
		t.Errorf("got %d %s, want the refusal of publishing", r.status, r.text)
	}
	// Nothing was published or paid.
	if l := s.call(t, key, "GET", "/api/v1/agent/tasks", nil); strings.Contains(l.text, `"id"`) {
		t.Errorf("dry runs left %s", l.text)
	}
	if w := s.call(t, key, "GET", "/api/v1/agent/wallet", nil); w.at("granted") != 1000.0 || w.at("escrow") != 0.0 {
		t.Errorf("dry runs moved money: %s", w.text)
	}
}

func TestSamplesThatEatTheEngineAreRunOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	body := task(10)
	sum := strings.TrimSuffix(strings.Repeat("x + ", 60), " + ")
	body["outputSchema"] = nil
	body["rules"] = []any{map[string]any{"name": "bomb", "kind": "cel", "expression": "size([output].map(x, " + sum + ").map(x, " + sum + ")[0]) > 0"}}
	long := strings.Repeat("x", 200_000)
	body["samples"] = map[string]any{"pass": []any{long, "a"}, "fail": []any{"a"}}
	r := s.want(t, 200, s.call(t, s.register(t), "POST", "/api/v1/agent/tasks/check", body))
	// Which limit it meets first is the machine's affair.
	stopped := strings.Count(r.text, "too much time or memory") + strings.Count(r.text, "took too long")
	if r.at("valid") != false || stopped != 2 || strings.Count(r.text, "Not run") != 4 {
		t.Errorf("got %s, want one sample run and two not", r.text)
	}
}

func TestDryRunOfAnOutput(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, worker := s.register(t), s.register(t)
	id := s.want(t, 201, s.call(t, publisher, "POST", "/api/v1/agent/tasks", ruled(), "Idempotency-Key", "k")).at("id").(string)
	path := "/api/v1/agent/tasks/" + id + "/check"
	for range 5 { // more often than there are attempts
		if r := s.want(t, 200, s.call(t, worker, "POST", path, `{"output":{"sum":4}}`)); r.at("verdict") != "fail" || len(r.at("checks").([]any)) != 6 {
			t.Errorf("got %s, want a failing report", r.text)
		}
	}
	if r := s.want(t, 200, s.call(t, worker, "POST", path, `{"output":{"sum":3}}`)); r.at("passed") != true {
		t.Errorf("got %s, want a pass", r.text)
	}
	bad := `{"output":{"sum":3},"attachments":[{"name":"a.txt","mediaType":"text/plain","bytes":11,"sha256":"` + strings.Repeat("0", 64) + `"}]}`
	if r := s.want(t, 200, s.call(t, worker, "POST", path, bad)); r.at("verdict") != "fail" {
		t.Errorf("got %s, want the attachment refused", r.text)
	}
	for body, pointer := range map[string]string{`{}`: "/output", `{"output":1,"summaryText":"x"}`: "/summaryText", `{"output":1,"attachments":[{}]}`: "/attachments/0/name"} {
		if r := s.call(t, worker, "POST", path, body); r.status != 422 || r.pointer() != pointer {
			t.Errorf("%s: got %d %s, want 422 at %s", body, r.status, r.text, pointer)
		}
	}
	s.deliver(t, worker, id)
	if d := s.call(t, worker, "GET", "/api/v1/agent/tasks/"+id+"/deliveries", nil); strings.Count(d.text, `"attempt":1`) != 1 {
		t.Errorf("got %s, want the first attempt", d.text)
	}
}

func TestDryRunsAreLimited(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(o *handlers.Options) { o.RateLimits = true })
	key, other := s.register(t), s.register(t)
	id := s.publish(t, key, 1)
	for range 30 {
		s.want(t, 200, s.call(t, key, "POST", "/api/v1/agent/tasks/"+id+"/check", `{"output":1}`))
	}
	if r := s.call(t, key, "POST", "/api/v1/agent/tasks/check", task(1)); r.status != 429 || r.header.Get("Retry-After") == "" {
		t.Errorf("got %d %s, want 429 with Retry-After", r.status, r.text)
	}
	if r := s.call(t, key, "POST", "/api/v1/agent/tasks", proven(), "Idempotency-Key", "k"); r.status != 429 {
		t.Errorf("publishing with samples got %d %s, want 429", r.status, r.text)
	}
	s.publish(t, key, 1) // without samples
	s.want(t, 200, s.call(t, other, "POST", "/api/v1/agent/tasks/"+id+"/check", `{"output":1}`))
}

// proven is a task that pays without a review.
func proven() map[string]any {
	body := ruled()
	body["rules"] = body["rules"].([]any)[:6]
	body["autoAccept"] = true
	body["samples"] = json.RawMessage(`{"pass":[{"sum":3}],"fail":[{"output":{"sum":4}}]}`)
	return body
}

func TestAutoAccept(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, worker := s.register(t), s.register(t)
	publish := func(body map[string]any) reply {
		return s.call(t, publisher, "POST", "/api/v1/agent/tasks", body, "Idempotency-Key", unique("k"))
	}
	for name, c := range map[string]struct {
		samples any
		pointer string
	}{
		"no samples":         {nil, "/autoAccept"},
		"none that fails":    {json.RawMessage(`{"pass":[{"sum":3}]}`), "/autoAccept"},
		"a pass that fails":  {json.RawMessage(`{"pass":[{"sum":3},{"sum":5}],"fail":[{"sum":4}]}`), "/samples/pass/1"},
		"a fail that passes": {json.RawMessage(`{"pass":[{"sum":3}],"fail":[{"sum":3}]}`), "/samples/fail/0"},
	} {
		body := proven()
		body["samples"] = c.samples
		if r := publish(body); r.status != 422 || r.code() != "invalid" || r.pointer() != c.pointer {
			t.Errorf("%s: got %d %s, want 422 at %s", name, r.status, r.text, c.pointer)
		}
	}
	r := s.want(t, 201, publish(proven()))
	id := r.at("id").(string)
	if r.at("autoAccept") != true || r.at("samples.fail") == nil {
		t.Errorf("got %s, want autoAccept and the publisher's samples", r.text)
	}
	base := "/api/v1/agent/tasks/" + id
	if own := s.call(t, publisher, "GET", base, nil); !strings.Contains(own.text, `"samples":{"pass":[{"output":{"sum":3}}],"fail":[{"output":{"sum":4}}]}`) {
		t.Errorf("the publisher reads %s, want the samples", own.text)
	}
	// What passes could be delivered as it is: nobody else may read it.
	for _, text := range []string{s.call(t, worker, "GET", base, nil).text, s.call(t, "", "GET", "/api/v1/market/tasks/"+id, nil).text,
		s.call(t, "", "GET", "/api/v1/market/tasks", nil).text, s.call(t, publisher, "GET", "/api/v1/market/tasks/"+id, nil).text} {
		if strings.Contains(text, "samples") {
			t.Errorf("somebody else reads the samples: %s", text)
		}
	}
	claim := s.claim(t, worker, id)
	s.want(t, 422, s.call(t, worker, "POST", base+"/deliveries", pack(claim, 4)))
	before := s.trips.n.Load()
	done := s.want(t, 201, s.call(t, worker, "POST", base+"/deliveries", pack(claim, 3), "Idempotency-Key", "d"))
	if trips := s.trips.n.Load() - before; trips != 2 {
		t.Errorf("paying at once took %d round trips, want 2", trips)
	}
	if done.at("state") != "accepted" || done.at("review.decision") != "accept" || done.at("payout.amount") != 10.0 || done.at("payout.holdReason") == nil {
		t.Errorf("got %s, want it accepted and paid", done.text)
	}
	again := s.want(t, 201, s.call(t, worker, "POST", base+"/deliveries", pack(claim, 3), "Idempotency-Key", "d"))
	if again.header.Get("Idempotent-Replayed") != "true" || again.text != done.text {
		t.Errorf("got %s, want the first answer again", again.text)
	}
	if w := s.call(t, worker, "GET", "/api/v1/agent/wallet", nil); w.at("earned.pending") != 10.0 {
		t.Errorf("got wallet %s, want 10 pending", w.text)
	}
	if v := s.call(t, publisher, "GET", base, nil); v.at("state") != "settled" || v.at("escrow") != 0.0 {
		t.Errorf("got %s, want it settled", v.text)
	}
	s.balanced(t)
}
