package handlers_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/PuerkitoBio/goquery"
)

func TestPublishFormKeepsWhatWasTyped(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, _ := s.human(t)
	typed := url.Values{"title": {"x"}, "reward": {"many"}, "payload": {"{broken"}, "outputSchema": {`{"type":"nonsense"}`}, "rules.0.text": {"Only a text"}, "rules.0.name": {""}}
	page := mara.publishForm(t, typed).want(t, 422, "/tasks")
	for selector, text := range map[string]string{
		"#title-fault": "3 to 140", "#reward-fault": "whole number", "#payload-fault": "not valid JSON", "#outputSchema-fault": "/type",
		`[id="rules.0.name-fault"]`: "required", ".error-summary": "Reward in credits: Use a whole number.",
	} {
		page.says(t, selector, text)
	}
	if page.doc.Find(`.error-summary a[href="#rules.0.name"]`).Length() != 1 {
		t.Error("the summary does not lead to the rule's name")
	}
	for name, v := range typed {
		f := page.doc.Find(`[name="` + name + `"]`)
		if got := f.AttrOr("value", f.Text()); got != v[0] {
			t.Errorf("%s is now %q, want what was typed, %q", name, got, v[0])
		}
	}
	dear := mara.publishForm(t, url.Values{"reward": {"1001"}}).want(t, 409, "/tasks")
	dear.says(t, ".error-summary", "1001 are needed and 1000 available")
	// One form is one task, however often it is sent.
	form := mara.get(t, "/tasks/new")
	fill := url.Values{"title": {"Sum the numbers"}, "brief": {"Return the sum as a number."}, "reward": {"10"}}
	one := mara.submit(t, form, "/tasks", fill)
	if two := mara.submit(t, form, "/tasks", fill); two.path != one.path || one.status != 200 {
		t.Errorf("sent twice, the form led to %s and %s", one.path, two.path)
	}
	fill.Set("title", "Another title")
	other := mara.submit(t, form, "/tasks", fill).want(t, 422, "/tasks")
	other.says(t, ".error-summary", "already published")
	mara.submit(t, other, "/tasks", nil).says(t, "h1", "Another title")
	more := mara.send(t, http.MethodPost, "/tasks/new", url.Values{"title": {"Kept"}, "rules.0.kind": {"manual"}, "rules.0.name": {"a"}, "rules.0.text": {"b"}, "newRule": {"regex"}, "addRule": {"1"}})
	if more.want(t, 200, "/tasks/new").doc.Find(".rule-row").Length() != 2 || more.doc.Find("#title").AttrOr("value", "") != "Kept" {
		t.Error("adding a row lost something")
	}
	inferred := mara.send(t, http.MethodPost, "/tasks/new", url.Values{"title": {"Kept"}, "examples": {`{"sum":3} {"sum":4}`}, "inferSchema": {"1"}}).want(t, 200, "/tasks/new")
	inferred.says(t, "#outputSchema", `"sum": { "type": "integer" }`)
	mara.send(t, http.MethodPost, "/tasks/new", url.Values{"examples": {"{"}, "inferSchema": {"1"}}).want(t, 422, "/tasks/new").says(t, "#examples-fault", "JSON")
	fill.Set("preview", "1")
	fill.Set("title", "Seen before")
	preview := mara.send(t, http.MethodPost, "/tasks/new", fill).want(t, 200, "/tasks/new")
	preview.says(t, "#preview pre", `"title": "Seen before"`)
	mara.send(t, http.MethodPost, "/tasks/new", url.Values{"title": {"x"}, "preview": {"1"}}).want(t, 422, "/tasks/new").says(t, "#title-fault", "3 to 140")
	s.balanced(t)
}

func TestRacesOnForms(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, _ := s.human(t)
	form := mara.get(t, "/tasks/new")
	var mu sync.Mutex
	var wg sync.WaitGroup
	paths := map[string]int{}
	for range 12 {
		wg.Go(func() {
			p := mara.submit(t, form, "/tasks", url.Values{"title": {"Sum the numbers"}, "brief": {"Return the sum as a number."}, "reward": {"100"}})
			mu.Lock()
			defer mu.Unlock()
			if p.status == 200 {
				paths[p.path]++
			} else if p.status != 409 {
				t.Errorf("got %d", p.status)
			}
		})
	}
	wg.Wait()
	if len(paths) != 1 {
		t.Errorf("one form made %d tasks", len(paths))
	}
	mara.get(t, "/wallet").says(t, ".bal-main", "900")
	s.balanced(t)
}

func TestRuleBuilder(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, _ := s.human(t)
	form := mara.get(t, "/tasks/new")
	send := func(on screen, fill url.Values) screen {
		t.Helper()
		values := url.Values{}
		on.doc.Find("form.publish input, form.publish textarea").Each(func(_ int, f *goquery.Selection) {
			if f.Is("[type=checkbox], [type=file]") {
				return
			}
			value, _ := f.Attr("value")
			if f.Is("textarea") {
				value = f.Text()
			}
			values.Add(f.AttrOr("name", ""), value)
		})
		for k, v := range fill {
			values[k] = v
		}
		return mara.send(t, http.MethodPost, "/tasks/new", values)
	}
	one := send(form, url.Values{"newRule": {"range"}, "addRule": {"1"}}).want(t, 200, "/tasks/new")
	two := send(one, url.Values{"rules.1.name": {"few"}, "rules.1.pointer": {"/n"}, "rules.1.max": {"10"}, "newRule": {"cel"}, "addRule": {"1"}})
	two.says(t, `.rule-row:nth-of-type(1)`, "/n is at most 10")
	three := send(two, url.Values{"rules.2.name": {"even"}, "rules.2.expression": {"int(output.n) % 2 == 0"}, "dropRule": {"1"}})
	if n := three.doc.Find(".rule-row").Length(); n != 2 {
		t.Errorf("%d rules are left, want 2", n)
	}
	tried := send(three, url.Values{"sample": {`{"n":13}`}, "trySample": {"1"}}).want(t, 200, "/tasks/new")
	tried.says(t, "#sample", "would fail")
	if n := tried.doc.Find("#sample .verdict.is-bad").Length(); n != 2 {
		t.Errorf("%d checks fail, want 2: %s", n, tried.doc.Find("#sample").Text())
	}
	send(tried, url.Values{"sample": {`{"n":8}`}, "trySample": {"1"}}).says(t, "#sample", "would pass")
	send(tried, url.Values{"sample": {`{`}, "trySample": {"1"}}).want(t, 422, "/tasks/new").says(t, "#sample-fault", "")
	wrong := send(tried, url.Values{"rules.1.expression": {"output.n +"}, "trySample": {"1"}}).want(t, 422, "/tasks/new")
	if wrong.doc.Find(`[id="rules.1.expression-fault"]`).Length() != 1 {
		t.Errorf("the fault is not at the expression: %s", wrong.doc.Find(".error-summary").Text())
	}
	done := mara.submit(t, tried, "/tasks", url.Values{"title": {"An even number"}, "brief": {"Give an even number up to ten."}, "reward": {"5"}, "sample": {""}})
	done.says(t, ".task-body", "/n is at most 10")
	id := strings.TrimPrefix(done.path, "/tasks/")
	worker := s.register(t)
	claim := s.claim(t, worker, id)
	body := pack(claim, 3)
	body["output"] = map[string]any{"n": 11}
	if r := s.call(t, worker, "POST", "/api/v1/agent/tasks/"+id+"/deliveries", body); r.code() != "verification_failed" || strings.Count(r.text, `"verdict":"fail"`) != 3 {
		t.Errorf("got %s, want both rules failing", r.text)
	}
	body["output"] = map[string]any{"n": 4}
	s.want(t, 201, s.call(t, worker, "POST", "/api/v1/agent/tasks/"+id+"/deliveries", body))
	mara.get(t, done.path).says(t, ".score", "2/2")
}
