package handlers_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"guildhall/handlers"
)

// goldTask hides three values behind a commitment made by hand: two must match.
func goldTask() map[string]any {
	salt := []byte("sixteen random b")
	vectors := `[{"equals":3,"pointer":"/sum"},{"equals":"CANARY","pointer":"/word"},{"equals":[true,null],"pointer":"/more"}]`
	sum := sha256.Sum256(append(append([]byte{}, salt...), vectors...))
	body := task(10)
	body["outputSchema"] = nil
	body["rules"] = append(body["rules"].([]any), map[string]any{"name": "gold", "kind": "hidden",
		"commitment": "sha256:" + hex.EncodeToString(sum[:]), "count": 3, "minPass": 2})
	body["hiddenVectors"] = json.RawMessage(`[{"rule":"gold","salt":"` + base64.StdEncoding.EncodeToString(salt) + `","vectors":` + vectors + `}]`)
	return body
}

func TestHiddenVectors(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, worker, stranger := s.register(t), s.register(t), s.register(t)
	r := s.want(t, 201, s.call(t, publisher, "POST", "/api/v1/agent/tasks", goldTask(), "Idempotency-Key", "k"))
	again := s.want(t, 201, s.call(t, publisher, "POST", "/api/v1/agent/tasks", goldTask(), "Idempotency-Key", "k"))
	id := r.at("id").(string)
	base := "/api/v1/agent/tasks/" + id
	if !strings.Contains(r.text, `"commitment":"sha256:`) || strings.Contains(r.text+again.text, "CANARY") {
		t.Errorf("got %s, want only the commitment", r.text)
	}
	var seen []string // everything that was answered before the rejection
	call := func(key, method, path string, body any) reply {
		got := s.call(t, key, method, path, body)
		seen = append(seen, got.text)
		return got
	}
	claim := s.claim(t, worker, id)
	deliver := func(output string) reply {
		p := pack(claim, 0)
		p["output"] = json.RawMessage(output)
		return call(worker, "POST", base+"/deliveries", p)
	}
	if got := call(worker, "POST", base+"/check", `{"output":{}}`); got.at("passed") != true || strings.Contains(got.text, "hidden") {
		t.Errorf("the worker's dry run tells of what is hidden: %s", got.text)
	}
	failed := s.want(t, 422, deliver(`{"sum":3,"word":"guess"}`))
	if !strings.Contains(failed.text, "hidden: 1 of 3 hidden values match; at least 2 must.") {
		t.Errorf("got %s, want the count", failed.text)
	}
	d := s.want(t, 201, deliver(`{"sum":3.0,"more":[true,null]}`))
	did := base + "/deliveries/" + d.at("id").(string)
	everyRoute := func() {
		for _, key := range []string{"", publisher, worker, stranger} {
			for _, route := range handlers.RouteTable() {
				if route.Method == "GET" && !route.Endless {
					call(key, "GET", strings.NewReplacer(":id", id, ":did", d.at("id").(string)).Replace(route.Path), nil)
				}
			}
		}
	}
	everyRoute()
	rejected := s.want(t, 200, s.call(t, publisher, "POST", did+"/reject", map[string]any{"reason": "No.", "rule": "tidy"}))
	for _, text := range append(seen, rejected.text, s.call(t, publisher, "GET", did, nil).text, s.call(t, stranger, "GET", did, nil).text) {
		if strings.Contains(text, "CANARY") {
			t.Errorf("what is hidden was told: %s", text)
		}
	}
	shown := s.want(t, 200, s.call(t, worker, "GET", did, nil))
	if !strings.Contains(shown.text, `"hidden":[{"rule":"gold","salt":"c2l4dGVlbiByYW5kb20gYg==","vectors":[{"pointer":"/sum","equals":3},{"pointer":"/word","equals":"CANARY"}`) {
		t.Errorf("got %s, want salt and vectors after the rejection", shown.text)
	}
	if strings.Contains(s.log.String(), "CANARY") {
		t.Error("the log tells what is hidden")
	}
	s.balanced(t)
}

func TestHiddenVectorsMustKeepTheirCommitment(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	key := s.register(t)
	for name, c := range map[string]struct {
		change  func(map[string]any)
		pointer string
	}{
		"no vectors":    {func(b map[string]any) { delete(b, "hiddenVectors") }, "/rules/1"},
		"another value": {func(b map[string]any) { replace(b, `"CANARY"`, `"canary"`) }, "/rules/1/commitment"},
		"another salt":  {func(b map[string]any) { replace(b, `c2l4`, `C2l4`) }, "/rules/1/commitment"},
		"another rule":  {func(b map[string]any) { replace(b, `"gold"`, `"tidy"`) }, "/rules/1"},
		"unknown":       {func(b map[string]any) { replace(b, `"equals":3`, `"equals":3,"at":1`) }, "/hiddenVectors/0/vectors/0/at"},
		"too large":     {func(b map[string]any) { replace(b, `"CANARY"`, `"`+strings.Repeat("x", 128<<10)+`"`) }, "/hiddenVectors"},
		"odd number":    {func(b map[string]any) { replace(b, `"equals":3`, `"equals":1e999`) }, "/hiddenVectors/0/vectors/0/equals"},
		"many attempts": {func(b map[string]any) { b["maxAttempts"] = 6 }, "/maxAttempts"},
	} {
		body := goldTask()
		c.change(body)
		if r := s.call(t, key, "POST", "/api/v1/agent/tasks/check", body); r.status != 422 || r.pointer() != c.pointer {
			t.Errorf("%s: got %d %s, want 422 at %s", name, r.status, r.text, c.pointer)
		}
	}
	body := goldTask()
	body["samples"] = json.RawMessage(`{"pass":[{"sum":3,"word":"CANARY"}],"fail":[{"sum":3}]}`)
	if r := s.want(t, 200, s.call(t, key, "POST", "/api/v1/agent/tasks/check", body)); r.at("valid") != true {
		t.Errorf("got %s, want the samples held against what is hidden", r.text)
	}
}

func replace(body map[string]any, from, to string) {
	text := string(body["hiddenVectors"].(json.RawMessage))
	body["hiddenVectors"] = json.RawMessage(strings.Replace(text, from, to, 1))
}
