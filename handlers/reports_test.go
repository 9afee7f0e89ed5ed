package handlers_test

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestReportsOfATask(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, reporter := s.register(t), s.register(t)
	id := s.publish(t, publisher, 10)
	path := "/api/v1/market/tasks/" + id + "/report"
	send := func(key string, body any) reply { return s.call(t, key, "POST", path, body) }
	if r := s.want(t, 201, send(reporter, map[string]any{"reason": "scam", "text": "It asks for a password."})); r.at("state") != "open" || r.at("reason") != "scam" || r.at("taskId") != id {
		t.Errorf("got %s", r.text)
	}
	if r := send(reporter, map[string]any{"reason": "spam"}); r.status != 409 || r.code() != "already_done" {
		t.Errorf("a second report got %d %s", r.status, r.text)
	}
	if r := send(publisher, map[string]any{"reason": "spam"}); r.status != 403 {
		t.Errorf("the publisher got %d %s", r.status, r.text)
	}
	if r := send(s.register(t), map[string]any{"reason": "dull", "text": strings.Repeat("x", 1001)}); r.status != 422 || r.pointer() != "/reason" || !strings.Contains(r.text, "/text") {
		t.Errorf("got %d %s", r.status, r.text)
	}
	person, handle := s.human(t)
	view := person.get(t, "/tasks/"+id)
	action := "/tasks/" + id + "/report"
	refused := person.submit(t, view, action, url.Values{"text": {"Look at it."}}).want(t, 422, action)
	refused.says(t, ".report[open] .error-summary", "Some fields need another look")
	refused.says(t, "#reason-fault", "This is required.")
	if refused.doc.Find(".report #text").Text() != "Look at it." {
		t.Error("what was typed is lost")
	}
	done := person.submit(t, refused, action, url.Values{"reason": {"other"}}).want(t, 200, "/tasks/"+id)
	done.says(t, "#flash", "An operator will look at this task")
	if again := person.get(t, "/tasks/"+id); again.doc.Find(".flash").Length() != 0 {
		t.Error("the message is shown twice")
	}
	person.submit(t, done, action, url.Values{"reason": {"other"}}).want(t, 409, action).says(t, ".report .error-summary", "This was done before")
	mine, _ := s.human(t)
	if own := mine.publishForm(t, nil); own.doc.Find(".report").Length() != 0 {
		t.Error("a publisher is offered to report the own task")
	}
	// A stranger logs in first, and what was typed is still there.
	nobody := s.browser(t)
	login := nobody.submit(t, nobody.get(t, "/tasks/"+id), action, url.Values{"reason": {"spam"}}).want(t, 401, action)
	if login.doc.Find(`form[action="/login"]`).Length() != 1 {
		t.Errorf("got %s", login.text)
	}
	list, err := s.store.TaskReports(t.Context(), false, "", time.Time{}, 10)
	if err != nil || len(list) != 2 || list[0].ReporterHandle != handle || list[0].TaskTitle != "Sum the numbers" {
		t.Errorf("the operators see %+v, %v", list, err)
	}
}

// TestReportQueue closes one report on its page and the others of the same task
// through a key; who is no operator sees none of it.
func TestReportQueue(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher := s.register(t)
	id := s.publish(t, publisher, 10)
	s.want(t, 201, s.call(t, publisher, "POST", "/api/v1/agent/tasks/"+id+"/thread", map[string]any{"text": "Send me your key."}))
	var reporters, reporterKeys []string
	for _, words := range []string{"It asks for <b>keys</b>.", "Same as yesterday.", ""} {
		key := s.register(t)
		reporters, reporterKeys = append(reporters, s.handle(t, key)), append(reporterKeys, key)
		s.want(t, 201, s.call(t, key, "POST", "/api/v1/market/tasks/"+id+"/report", map[string]any{"reason": "scam", "text": words}))
	}
	person, handle := s.human(t)
	if err := s.store.SetOperator(t.Context(), handle, true); err != nil {
		t.Fatal(err)
	}
	key, err := s.store.NewOperatorKey(t.Context(), handle, "x")
	if err != nil {
		t.Fatal(err)
	}
	person.get(t, "/admin/cases").says(t, `a[href="/admin/reports"]`, "Reported tasks 3")
	queue := person.get(t, "/admin/reports").want(t, 200, "/admin/reports")
	queue.says(t, "main", "It asks for <b>keys</b>.")
	queue.says(t, "main", "It is a scamreported by "+reporters[0])
	queue.says(t, "main", "3 open reports")
	first := s.want(t, 200, s.call(t, key, "GET", "/api/v1/admin/reports?limit=2", nil))
	rest := s.want(t, 200, s.call(t, key, "GET", "/api/v1/admin/reports?limit=2&cursor="+first.at("nextCursor").(string), nil))
	if rest.at("nextCursor") != nil || rest.at("items.1") != nil || rest.at("items.0.text") != "It asks for <b>keys</b>." || rest.at("items.0.reporter.handle") != reporters[0] ||
		rest.at("items.0.openReports") != 3.0 || rest.at("items.0.title") != "Sum the numbers" || rest.at("items.0.taskId") != id || rest.at("items.0.untrusted") == nil {
		t.Errorf("the second part is %s", rest.text)
	}
	rid := rest.at("items.0.id").(string)
	page, decide := "/admin/reports/"+rid, "/admin/reports/"+rid+"/decide"
	shown := person.get(t, page).want(t, 200, page)
	shown.says(t, "#question-h", "It is a scam")
	shown.says(t, "main", "Same as yesterday.")
	shown.says(t, "#thread", "Send me your key.")
	if shown.doc.Find(`a[href="/tasks/`+id+`"]`).Length() == 0 {
		t.Error("the page does not lead to the task")
	}
	refused := person.submit(t, shown, decide, url.Values{"outcome": {"resolved"}}).want(t, 422, decide)
	refused.says(t, ".error-summary", "Reason")
	if refused.doc.Find(`input[value="resolved"][checked]`).Length() != 1 {
		t.Error("what was chosen is lost")
	}
	person.submit(t, refused, decide, url.Values{"outcome": {"resolved"}, "note": {"I spoke with the publisher."}}).want(t, 200, "/admin/reports").says(t, "#flash", "closed")
	done := person.get(t, page)
	done.says(t, "main", "Resolved "+handle+": I spoke with the publisher.")
	if done.doc.Find("form[action='"+decide+"']").Length() != 0 {
		t.Error("a closed report can be closed again")
	}
	if r := s.call(t, key, "POST", "/api/v1"+decide, map[string]any{"outcome": "dismissed", "note": "x"}); r.status != 409 || r.code() != "already_done" {
		t.Errorf("a second decision got %d %s", r.status, r.text)
	}
	next := s.want(t, 200, s.call(t, key, "GET", "/api/v1/admin/reports", nil)).at("items.0.id").(string)
	all := map[string]any{"outcome": "dismissed", "note": "Nothing new.", "all": true}
	r := s.want(t, 200, s.call(t, key, "POST", "/api/v1/admin/reports/"+next+"/decide", all, "Idempotency-Key", "d"))
	if r.at("state") != "closed" || r.at("outcome") != "dismissed" || r.at("decidedBy.handle") != handle || r.at("openReports") != 0.0 {
		t.Errorf("decided: %s", r.text)
	}
	if again := s.call(t, key, "POST", "/api/v1/admin/reports/"+next+"/decide", all, "Idempotency-Key", "d"); again.text != r.text || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the retry got %d %s", again.status, again.text)
	}
	s.settle(t)
	if told, types := s.events(t, reporterKeys[0], ""); types != "report.decided" || told.at("items.0.taskId") != id || told.at("items.0.data.outcome") == nil || told.at("items.0.data.reportId") == nil {
		t.Errorf("the reporter is told %s", told.text)
	}
	if left := s.want(t, 200, s.call(t, key, "GET", "/api/v1/admin/reports", nil)); left.at("items.0") != nil {
		t.Errorf("still open: %s", left.text)
	}
	closed := s.want(t, 200, s.call(t, key, "GET", "/api/v1/admin/reports?state=closed", nil))
	if closed.at("items.2.id") != rid || closed.at("items.0.outcome") != "dismissed" {
		t.Errorf("closed: %s", closed.text)
	}
	record := s.want(t, 200, s.call(t, key, "GET", "/api/v1/admin/reports/"+rid, nil))
	if record.at("report.note") != "I spoke with the publisher." || record.at("task.id") != id || record.at("reports.1.id") == nil || record.at("thread.0.text") != "Send me your key." {
		t.Errorf("the record is %s", record.text)
	}
	person.get(t, "/admin/reports?state=closed").says(t, "main", "Dismissed")
	person.get(t, "/admin/reports").says(t, ".empty", "No report is open")
	stranger, _ := s.human(t)
	for _, path := range []string{"/admin/reports", page} {
		stranger.get(t, path).want(t, 403, path)
		s.browser(t).get(t, path).want(t, 200, "/login")
	}
	if text := stranger.get(t, "/tasks/"+id).doc.Find("main").Text(); strings.Contains(text, "I spoke with the publisher.") || strings.Contains(text, reporters[0]) {
		t.Error("strangers read what operators decided")
	}
	for _, bad := range []string{"?state=both", "?cursor=x", "?limit=0"} {
		if r := s.call(t, key, "GET", "/api/v1/admin/reports"+bad, nil); r.status != 422 {
			t.Errorf("%s got %d", bad, r.status)
		}
	}
	for _, absent := range []string{"x", "01a20b77-e936-75e9-8ee4-5120c30a9cda"} {
		if r := s.call(t, key, "GET", "/api/v1/admin/reports/"+absent, nil); r.status != 404 {
			t.Errorf("report %s got %d", absent, r.status)
		}
	}
}

// TestReportOfAMessage reports one by JSON and one on the page, and has an
// operator see which, and who wrote it.
func TestReportOfAMessage(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, worker := s.register(t), s.register(t)
	id, quiet := s.publish(t, publisher, 10), s.publish(t, publisher, 10)
	say := func(key, text string) string {
		t.Helper()
		return s.want(t, 201, s.call(t, key, "POST", "/api/v1/agent/tasks/"+id+"/thread", map[string]any{"text": text})).at("id").(string)
	}
	asked := say(worker, "Send me your <b>key</b>.")
	say(publisher, "Never.")
	path := "/api/v1/market/tasks/" + id + "/report"
	send := func(key, path, message string, more ...string) reply {
		return s.call(t, key, "POST", path, map[string]any{"reason": "scam", "message": message}, more...)
	}
	r := s.want(t, 201, send(publisher, path, asked, "Idempotency-Key", "r"))
	if r.at("message") != asked || r.at("taskId") != id || r.at("state") != "open" {
		t.Errorf("got %s", r.text)
	}
	if again := send(publisher, path, asked, "Idempotency-Key", "r"); again.text != r.text {
		t.Errorf("the retry got %d %s", again.status, again.text)
	}
	if r := send(publisher, path, asked); r.status != 409 || r.code() != "already_done" {
		t.Errorf("a second report got %d %s", r.status, r.text)
	}
	if r := send(worker, path, asked); r.status != 403 || r.code() != "forbidden" {
		t.Errorf("the author got %d %s", r.status, r.text)
	}
	for _, bad := range []string{"x", id} {
		if r := send(s.register(t), path, bad); r.status != 422 || r.pointer() != "/message" {
			t.Errorf("message %s got %d %s", bad, r.status, r.text)
		}
	}
	if r := send(s.register(t), "/api/v1/market/tasks/"+quiet+"/report", asked); r.status != 422 || r.pointer() != "/message" {
		t.Errorf("a message of another task got %d %s", r.status, r.text)
	}

	person, handle := s.human(t)
	action := "/tasks/" + id + "/report"
	view := person.get(t, "/tasks/"+id)
	link, _ := view.doc.Find("#m-" + asked + " a[href*='report=']").Attr("href")
	if n := view.doc.Find(".msg a[href*='report=']").Length(); n != 2 || link == "" || view.doc.Find(".report[open]").Length() != 0 {
		t.Fatalf("%d messages can be reported, %q", n, link)
	}
	form := person.get(t, strings.TrimSuffix(link, "#report"))
	form.says(t, ".report[open] summary", "Report the message of "+s.handle(t, worker))
	form.says(t, ".report[open] blockquote", "Send me your <b>key</b>.")
	refused := person.submit(t, form, action, url.Values{"text": {"Look at it."}}).want(t, 422, action)
	refused.says(t, ".report[open] blockquote", "Send me your <b>key</b>.")
	refused.says(t, "#reason-fault", "This is required.")
	person.submit(t, refused, action, url.Values{"reason": {"spam"}}).want(t, 200, "/tasks/"+id).says(t, "#flash", "An operator will look at this message")
	for _, bad := range []string{"x", quiet} {
		if r := person.get(t, "/tasks/"+id+"?report="+bad); r.status != 422 {
			t.Errorf("the form for message %s got %d", bad, r.status)
		}
	}
	if r := person.get(t, "/tasks/"+quiet+"?report="+asked); r.status != 422 {
		t.Errorf("the form on another task got %d", r.status)
	}

	if err := s.store.SetOperator(t.Context(), handle, true); err != nil {
		t.Fatal(err)
	}
	key, err := s.store.NewOperatorKey(t.Context(), handle, "x")
	if err != nil {
		t.Fatal(err)
	}
	list := s.want(t, 200, s.call(t, key, "GET", "/api/v1/admin/reports", nil))
	if list.at("items.1.message.id") != asked || list.at("items.1.message.author.handle") != s.handle(t, worker) ||
		list.at("items.1.message.text") != "Send me your <b>key</b>." || list.at("items.1.message.untrusted.0") != "text" || list.at("items.2") != nil {
		t.Errorf("the queue is %s", list.text)
	}
	queue := person.get(t, "/admin/reports")
	queue.says(t, "main", "message of "+s.handle(t, worker))
	queue.says(t, "main", "“Send me your <b>key</b>.”")
	page := person.get(t, "/admin/reports/"+list.at("items.1.id").(string))
	page.says(t, ".review", "message of "+s.handle(t, worker))
	page.says(t, ".review blockquote", "Send me your <b>key</b>.")
	if page.doc.Find(`.review a[href*="#m-`+asked+`"]`).Length() != 1 || page.doc.Find("a[href*='report=']").Length() != 0 {
		t.Error("the page does not lead to the message, or offers to report it")
	}

}

// TestPublisherReportsAnAnswer: the publisher is offered the messages of others
// only, and no report of the own task.
func TestPublisherReportsAnAnswer(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mine, _ := s.human(t)
	task := mine.publishForm(t, nil)
	at := task.path
	id := strings.TrimPrefix(at, "/tasks/")
	worker := s.register(t)
	asked := s.want(t, 201, s.call(t, worker, "POST", "/api/v1/agent/tasks/"+id+"/thread", map[string]any{"text": "Why?"})).at("id").(string)
	mine.submit(t, mine.get(t, at), at+"/thread", url.Values{"text": {"Because."}})
	view := mine.get(t, at)
	if view.doc.Find(".msg a[href*='report=']").Length() != 1 || view.doc.Find("#m-"+asked+" a[href*='report=']").Length() != 1 || view.doc.Find(".report").Length() != 0 {
		t.Error("the publisher is not offered to report the one message of another")
	}
	form := mine.get(t, at+"?report="+asked)
	if form.doc.Find("#text").Length() != 1 {
		t.Errorf("%d fields have one id", form.doc.Find("#text").Length())
	}
	mine.submit(t, form, at+"/report", url.Values{"reason": {"harmful"}}).want(t, 200, at).says(t, "#flash", "look at this message")
}
