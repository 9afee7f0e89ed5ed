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
	preview.says(t, "#preview .json", `"title": "Seen before"`)
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

// help sends the form as it stands on the page to be helped with.
func (b *browser) help(t *testing.T, on screen, fill url.Values) screen {
	t.Helper()
	values := url.Values{}
	on.doc.Find("form.publish").Find("input, textarea, select").Each(func(_ int, f *goquery.Selection) {
		if _, checked := f.Attr("checked"); f.Is("[type=file]") || f.Is("[type=checkbox]") && !checked {
			return
		}
		value, _ := f.Attr("value")
		switch {
		case f.Is("textarea"):
			value = f.Text()
		case f.Is("select"):
			value = f.Find("option[selected]").AttrOr("value", "")
		}
		values.Add(f.AttrOr("name", ""), value)
	})
	for k, v := range fill {
		values[k] = v
	}
	return b.send(t, http.MethodPost, "/tasks/new", values)
}

func TestRuleBuilder(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, _ := s.human(t)
	form := mara.get(t, "/tasks/new")
	send := func(on screen, fill url.Values) screen { t.Helper(); return mara.help(t, on, fill) }
	one := send(form, url.Values{"newRule": {"range"}, "addRule": {"1"}}).want(t, 200, "/tasks/new")
	two := send(one, url.Values{"rules.1.name": {"few"}, "rules.1.pointer": {"/n"}, "rules.1.max": {"10"}, "newRule": {"cel"}, "addRule": {"1"}})
	two.says(t, `.rule-row:nth-of-type(1)`, "/n is at most 10")
	three := send(two, url.Values{"rules.2.name": {"even"}, "rules.2.expression": {"int(output.n) % 2 == 0"}, "dropRule": {"1"}})
	if n := three.doc.Find(".rule-row").Length(); n != 2 {
		t.Errorf("%d rules are left, want 2", n)
	}
	// What another kind has no use for goes, the rest stays.
	changed := send(three, url.Values{"rules.0.kind": {"regex"}})
	if v := changed.doc.Find(`[name="rules.0.pointer"]`).AttrOr("value", ""); v != "/n" || changed.doc.Find(`[name="rules.0.max"]`).Length() != 0 || changed.doc.Find(`[name="rules.0.pattern"]`).Length() != 1 {
		t.Errorf("after changing the kind the rule is %s", changed.doc.Find(".rule-row").First().Text())
	}
	wordsOnly := send(two, url.Values{"rules.1.max": {"7"}, "words": {"1"}})
	wordsOnly.says(t, "#rule-words-0", "/n is at most 10")
	tried := send(three, url.Values{"samples.pass.0": {`{"n":13}`}, "trySamples": {"1"}}).want(t, 200, "/tasks/new")
	tried.says(t, "#samples", "Fails, but should pass")
	tried.says(t, "#samples [role=status]", "0 of 1 sample")
	if n := tried.doc.Find("#samples .verdict.is-bad").Length(); n != 2 {
		t.Errorf("%d checks fail, want 2: %s", n, tried.doc.Find("#samples").Text())
	}
	send(tried, url.Values{"samples.pass.0": {`{"n":8}`}, "trySamples": {"1"}}).says(t, "#samples", "Passes every check, as it should")
	wrong := send(tried, url.Values{"rules.1.expression": {"output.n +"}, "trySamples": {"1"}}).want(t, 422, "/tasks/new")
	if wrong.doc.Find(`[id="rules.1.expression-fault"]`).Length() != 1 {
		t.Errorf("the fault is not at the expression: %s", wrong.doc.Find(".error-summary").Text())
	}
	done := mara.submit(t, tried, "/tasks", url.Values{"title": {"An even number"}, "brief": {"Give an even number up to ten."}, "reward": {"5"}, "samples.pass.0": {""}})
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

func TestSamplesInTheForm(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, _ := s.human(t)
	form := mara.get(t, "/tasks/new")
	if _, open := form.doc.Find("#samples").Attr("open"); open {
		t.Error("the samples are in the way of those who do not need them")
	}
	form = mara.help(t, form, url.Values{"addSample": {"fail"}}).want(t, 200, "/tasks/new")
	if form.doc.Find(`#samples[open] [name^="samples.fail."]`).Length() != 1 {
		t.Error("a blank sample was added beside another blank one")
	}
	mara.help(t, form, url.Values{"trySamples": {"1"}}).want(t, 422, "/tasks/new").says(t, `[id="samples.pass.0-fault"]`, "required")
	schema := `{"type":"object","required":["sum"],"properties":{"sum":{"type":"integer"}}}`
	typed := url.Values{"outputSchema": {schema}, "rules.0.kind": {"range"}, "rules.0.name": {"small"}, "rules.0.pointer": {"/sum"}, "rules.0.max": {"9"},
		"samples.pass.0": {`{"sum":3}`}, "samples.fail.0": {`{"sum":12}`}}
	form = mara.help(t, form, url.Values{"newRule": {"range"}, "addRule": {"1"}})
	one := mara.help(t, form, with(typed, url.Values{"addSample": {"fail"}}))
	// A gap closes, so that what is wrong is said beside the sample that it is about.
	two := mara.help(t, one, url.Values{"samples.fail.0": {""}, "samples.fail.1": {`{"sum":"x"}`}, "addSample": {"fail"}})
	three := mara.help(t, two, url.Values{"samples.fail.1": {`{"sum":12}`}, "samples.pass.0": {`{"sum":12}`}, "autoAccept": {"1"}, "trySamples": {"1"}}).want(t, 200, "/tasks/new")
	three.says(t, "#samples [role=status]", "2 of 3 samples do what they should.")
	pass := three.doc.Find(`[id="samples.pass.0"]`).Parent()
	if got := strings.Join(strings.Fields(pass.Text()), " "); !strings.Contains(got, "Fails, but should pass") || !strings.Contains(got, "small") || !strings.Contains(got, "/sum") {
		t.Errorf("beside the sample that must pass: %q", got)
	}
	for i, check := range []string{"schema", "small"} {
		if got := three.doc.Find(`[id="samples.fail.` + string('0'+rune(i)) + `"]`).Parent().Text(); !strings.Contains(got, "Fails, as it should") || !strings.Contains(got, check) {
			t.Errorf("beside sample %d that must fail: %q, want %s", i, got, check)
		}
	}
	if three.doc.Find(`#autoAccept[checked]`).Length() != 1 {
		t.Error("trying the samples lost autoAccept")
	}
	publish := func(on screen, fill url.Values) screen {
		t.Helper()
		return mara.submit(t, on, "/tasks", with(url.Values{"title": {"A small sum"}, "brief": {"Return a sum of at most nine."}, "reward": {"10"}}, fill))
	}
	wrong := publish(three, nil).want(t, 422, "/tasks")
	wrong.says(t, `[id="samples.pass.0-fault"]`, "should pass but fails: small /sum")
	wrong.says(t, `.error-summary a[href="#samples.pass.0"]`, "Must pass 1: ")
	if got := wrong.doc.Find(`[id="samples.pass.0"]`).Text(); got != `{"sum":12}` || wrong.doc.Find(`#samples[open] #autoAccept[checked]`).Length() != 1 {
		t.Errorf("the refused form lost what was typed: %q", got)
	}
	publish(three, url.Values{"samples.fail.1": {`{"sum":`}}).want(t, 422, "/tasks").says(t, `[id="samples.fail.1-fault"]`, "not valid JSON")
	none := publish(three, url.Values{"samples.fail.0": {""}, "samples.fail.1": {" "}, "samples.pass.0": {`{"sum":3}`}}).want(t, 422, "/tasks")
	none.says(t, "#autoAccept-fault", "at least one that must pass and one that must fail")
	manual := publish(mara.help(t, three, url.Values{"rules.1.kind": {"manual"}}), url.Values{"samples.pass.0": {`{"sum":3}`}, "rules.1.name": {"tidy"}, "rules.1.text": {"Is tidy."}}).want(t, 422, "/tasks")
	manual.says(t, `[id="rules.1"]`, "nobody decides this rule")
	done := publish(three, url.Values{"samples.pass.0": {`{"sum":3}`}})
	done.says(t, ".ticket", "paid when its checks pass")
	id := strings.TrimPrefix(done.path, "/tasks/")
	if strings.Contains(s.browser(t).get(t, done.path).text, `"sum": 12`) {
		t.Error("everybody reads the samples")
	}
	worker := s.register(t)
	body := pack(s.claim(t, worker, id), 4)
	if d := s.want(t, 201, s.call(t, worker, "POST", "/api/v1/agent/tasks/"+id+"/deliveries", body)); d.at("state") != "accepted" {
		t.Errorf("got %s, want it paid at once", d.text)
	}
	mara.get(t, done.path).says(t, ".status", "Passed its checks, accepted and paid at once")
	s.balanced(t)
}

func with(a, b url.Values) url.Values {
	out := url.Values{}
	for _, m := range []url.Values{a, b} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}
