package handlers_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"guildhall/handlers"
)

func (s *server) say(t testing.TB, key, id, text string, headers ...string) reply {
	t.Helper()
	return s.call(t, key, "POST", "/api/v1/agent/tasks/"+id+"/thread", map[string]any{"text": text}, headers...)
}

// items are the texts of a list.
func (r reply) items(member string) (out []string) {
	list, _ := r.at("items").([]any)
	for _, x := range list {
		out = append(out, fmt.Sprint(x.(map[string]any)[member]))
	}
	return out
}

func TestThreadAsJSON(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, worker, stranger := s.register(t), s.register(t), s.register(t)
	id := s.publish(t, publisher, 10)
	path, open := "/api/v1/agent/tasks/"+id+"/thread", "/api/v1/market/tasks/"+id+"/thread"
	if got := s.want(t, 200, s.call(t, "", "GET", open, nil)); strings.TrimSpace(got.text) != `{"items":[],"nextCursor":null}` {
		t.Errorf("an empty thread is %s", got.text)
	}
	asked := s.want(t, 201, s.say(t, worker, id, "Which **year**?\r\n", "Idempotency-Key", "k1"))
	if asked.at("text") != "Which **year**?\r\n" || asked.at("clarification") != true || asked.at("mine") != true || asked.at("author.handle") == nil || asked.at("at") == nil ||
		fmt.Sprint(asked.at("untrusted")) != "[text]" {
		t.Errorf("got %s", asked.text)
	}
	again := s.want(t, 201, s.say(t, worker, id, "Which **year**?\r\n", "Idempotency-Key", "k1"))
	if again.text != asked.text || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the retry got %s", again.text)
	}
	if r := s.say(t, worker, id, "Another.", "Idempotency-Key", "k1"); r.status != 422 || r.code() != "idempotency_key_reused" {
		t.Errorf("another request with the key got %d %s", r.status, r.text)
	}
	if r := s.say(t, worker, id, "And the month?"); r.status != 409 || r.code() != "clarification_used" {
		t.Errorf("a second question got %d %s", r.status, r.text)
	}
	for text, pointer := range map[string]string{"": "/text", " \n\u200b": "/text", strings.Repeat("é", 4001): "/text"} {
		if r := s.say(t, publisher, id, text); r.status != 422 || r.pointer() != pointer {
			t.Errorf("%.10q got %d %s", text, r.status, r.text)
		}
	}
	if r := s.call(t, publisher, "POST", path, `{"text":"x","to":"worker"}`); r.status != 422 || r.pointer() != "/to" {
		t.Errorf("an unknown member got %d %s", r.status, r.text)
	}
	s.want(t, 201, s.say(t, publisher, id, "This one."))
	s.claim(t, worker, id)
	if r := s.say(t, stranger, id, "May I?"); r.status != 409 || r.code() != "task_not_open" {
		t.Errorf("a question on a claimed task got %d %s", r.status, r.text)
	}
	for _, text := range []string{"Thanks.", "Half done."} {
		if r := s.want(t, 201, s.say(t, worker, id, text)); r.at("clarification") != false {
			t.Errorf("got %s", r.text)
		}
	}
	thread := func(key, query string, want ...string) reply {
		t.Helper()
		at := path
		if key == "" {
			at = open
		}
		r := s.want(t, 200, s.call(t, key, "GET", at+query, nil))
		if got := r.items("text"); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
		return r
	}
	all := []string{"Which **year**?\r\n", "This one.", "Thanks.", "Half done."}
	unread := func(key string, want any) {
		t.Helper()
		one := s.call(t, key, "GET", "/api/v1/agent/tasks/"+id, nil)
		if got := one.at("thread.unread"); got != want {
			t.Errorf("the task says that %v are unread, want %v", got, want)
		}
		if want != nil && one.at("thread.messages") != 4.0 {
			t.Errorf("the task counts %v messages", one.at("thread.messages"))
		}
		own := s.call(t, key, "GET", "/api/v1/agent/tasks", nil)
		if list, _ := own.at("items").([]any); want != nil && (len(list) != 1 || list[0].(map[string]any)["thread"].(map[string]any)["unread"] != want) {
			t.Errorf("own tasks: %s, want %v unread", own.text, want)
		}
	}
	unread(publisher, 3.0)
	unread(worker, 1.0)
	unread(stranger, nil)
	if s.call(t, "", "GET", "/api/v1/market/tasks/"+id, nil).at("thread") != nil {
		t.Error("everybody sees what is unread")
	}
	public := thread("", "", all...)
	if public.header.Get("Cache-Control") != "public, max-age=2" || fmt.Sprint(public.items("mine")) != "[false false false false]" {
		t.Errorf("the public thread is %v %s", public.header, public.text)
	}
	first := thread(publisher, "?limit=2", all[:2]...)
	unread(publisher, 2.0)
	thread(publisher, "?limit=2&cursor="+first.at("nextCursor").(string), all[2:]...)
	unread(publisher, 0.0)
	mine := thread(worker, "?after="+asked.at("id").(string), all[1:]...)
	if fmt.Sprint(mine.items("mine")) != "[false true true]" || mine.at("nextCursor") != nil {
		t.Errorf("got %s", mine.text)
	}
	newest := thread(stranger, "?order=newest&limit=3", all[3], all[2], all[1])
	thread(stranger, "?order=newest&cursor="+newest.at("nextCursor").(string), all[0])
	other := s.say(t, publisher, s.publish(t, publisher, 10), "Elsewhere.").at("id").(string)
	for _, query := range []string{"?after=x", "?after=" + other, "?cursor=x", "?order=loudest", "?limit=0"} {
		if r := s.call(t, worker, "GET", path+query, nil); r.status != 422 {
			t.Errorf("%s got %d %s", query, r.status, r.text)
		}
	}
	if r := s.call(t, publisher, "HEAD", path, nil); r.status != 200 {
		t.Errorf("HEAD got %d", r.status)
	}
}

// TestOneClarificationOverHTTP asks twenty times at once.
func TestOneClarificationOverHTTP(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	worker := s.register(t)
	id := s.publish(t, s.register(t), 10)
	got := race(20, func(i int) reply { return s.say(t, worker, id, fmt.Sprint("question ", i)) })
	if got["201"] != 1 || got["409clarification_used"] != 19 {
		t.Errorf("got %v, want one 201 and 19 times clarification_used", got)
	}
	same := s.register(t)
	got = race(20, func(int) reply { return s.say(t, same, id, "Once?", "Idempotency-Key", "same") })
	if got["201"]+got["409idempotency_in_progress"] != 20 || got["201"] == 0 {
		t.Errorf("got %v, want one answer, replayed or in progress", got)
	}
	if r := s.call(t, "", "GET", "/api/v1/market/tasks/"+id+"/thread", nil); len(r.items("id")) != 2 {
		t.Errorf("the thread is %s", r.text)
	}
}

func TestThreadOnThePage(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, handle := s.human(t)
	worker := s.register(t)
	page := mara.publishForm(t, nil)
	path := page.path
	id := strings.TrimPrefix(path, "/tasks/")
	page.says(t, "#thread", "Nobody has written anything yet.")
	page.says(t, "#thread", "This thread is public")
	const evil = "<script>alert(1)</script><img src=x onerror=alert(2)> [here](javascript:alert(3)) ![x](https://evil.example/x.png) \n\n*Which* year, <yyyy> or <yy>?"
	s.want(t, 201, s.say(t, worker, id, evil))
	if console := mara.get(t, "/console"); !strings.Contains(console.doc.Find(".task .count").Text(), "1 new") {
		t.Errorf("the console says %q", console.doc.Find(".tasks").Text())
	}
	// Fetched ahead it has not been read.
	mara.send(t, "GET", path, nil, "Sec-Purpose", "prefetch")
	mara.send(t, "HEAD", path, nil)
	seen := mara.get(t, path)
	checkPage(t, "thread", seen)
	seen.says(t, "title", "(1) Sum the numbers")
	seen.says(t, ".task-head", "1 new message")
	seen.says(t, "#thread-h", "Thread 1 1 new")
	seen.says(t, ".msg .tag", "question")
	seen.says(t, ".msg .prose", "<script>alert(1)</script>")
	seen.says(t, ".msg .prose", "Which year, <yyyy> or <yy>?")
	if n := seen.doc.Find(".msg .prose").Find("script, img, [onerror], a[href^=javascript]").Length(); n != 0 || seen.doc.Find(".msg .prose em").Text() != "Which" {
		t.Errorf("the message is shown as %s", seen.doc.Find(".msg").Text())
	}
	if mara.get(t, "/console").doc.Find(".task .count").Length() != 0 {
		t.Error("what was read is still new in the console")
	}
	long := strings.Repeat("w", 4001)
	refused := mara.submit(t, seen, path+"/thread", url.Values{"text": {long}}).want(t, 422, path+"/thread")
	refused.says(t, "#thread .error-summary", "Some fields need another look")
	refused.says(t, "#text-fault", "4000")
	if refused.doc.Find("#text").Text() != long {
		t.Error("what was typed is lost")
	}
	sent := mara.submit(t, refused, path+"/thread", url.Values{"text": {"This *one*."}}).want(t, 200, path)
	sent.says(t, "#flash", "Your message is in the thread")
	sent.says(t, "#thread-h", "Thread 2")
	last := sent.doc.Find(".msg").Last()
	if last.Find(".tag-pub").Length() != 1 || last.Find(`a[href="/agents/`+handle+`"]`).Length() != 1 || last.Find(".count").Length() != 0 {
		t.Errorf("the publisher's message is %s", last.Text())
	}
	link, _ := last.Find(`a[data-here]`).Attr("href")
	anchor, _ := last.Attr("id")
	if link != path+"?thread=2#"+anchor || !strings.HasPrefix(anchor, "m-") {
		t.Errorf("the message %s is linked as %s", anchor, link)
	}
	mara.submit(t, refused, path+"/thread", url.Values{"text": {"This *one*."}}).want(t, 200, path).says(t, "#thread-h", "Thread 2")
	// Others read, and are told who writes.
	stranger, _ := s.human(t)
	for _, b := range []*browser{s.browser(t), stranger} {
		view := b.get(t, path)
		view.says(t, "#thread", "This one.")
		view.says(t, "#thread", "an agent may ask one question")
		if view.doc.Find(`form[action$="/thread"]`).Length() != 0 || view.doc.Find("#thread .count:not(.count-off)").Length() != 0 {
			t.Error("a stranger is offered to write, or told what is new")
		}
	}
	no := stranger.send(t, "POST", path+"/thread", url.Values{"text": {"Hello."}}).want(t, 403, path+"/thread")
	no.says(t, "#thread .error-summary", "You may not do this")
	// After the end the publisher may still write.
	over := mara.submit(t, mara.get(t, path), path+"/cancel", nil).want(t, 200, path)
	mara.submit(t, over, path+"/thread", url.Values{"text": {"I found it myself."}}).want(t, 200, path).says(t, "#thread-h", "Thread 3")
}

// TestLongThread shows the newest part, and the part of an older message.
func TestLongThread(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher := s.register(t)
	id := s.publish(t, publisher, 10)
	for i := range 130 {
		s.want(t, 201, s.say(t, publisher, id, fmt.Sprintf("number %d.", i+1)))
	}
	b := s.browser(t)
	shown := func(query string) (first, last string, page screen) {
		page = b.get(t, "/tasks/"+id+query)
		page.says(t, "#thread-h", "Thread 130")
		list := page.doc.Find(".msg .prose")
		return strings.TrimSpace(list.First().Text()), strings.TrimSpace(list.Last().Text()), page
	}
	first, last, page := shown("")
	if first != "number 81." || last != "number 130." {
		t.Errorf("the page shows %s to %s", first, last)
	}
	// Walking back leaves none out.
	for from := 81; from > 1; {
		earlier, _ := page.doc.Find(`.thread-more a`).First().Attr("href")
		first, last, page = shown("?" + strings.TrimSuffix(strings.SplitN(earlier, "?", 2)[1], "#thread"))
		var a, z int
		if _, err := fmt.Sscanf(first+last, "number %d.number %d.", &a, &z); err != nil || z < from-1 || a >= from {
			t.Fatalf("before %d come %s to %s", from, first, last)
		}
		from = a
		page.says(t, ".thread-more", "Newest messages")
	}
	if _, last, page = shown("?thread=120"); last != "number 130." || page.doc.Find(".thread-more").Length() != 1 {
		t.Errorf("what is near the end is not shown as the newest: %s", last)
	}
	if bad := b.get(t, "/tasks/"+id+"?thread=x"); bad.status != 422 {
		t.Errorf("a bad number got %d", bad.status)
	}
}

func TestThreadIsLive(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, _ := s.human(t)
	page := mara.publishForm(t, nil)
	id := strings.TrimPrefix(page.path, "/tasks/")
	connect, _ := page.doc.Find("#status").Attr("hx-sse:connect")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+connect, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := mara.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	s.want(t, 201, s.say(t, s.register(t), id, "one\n\n```\nevent: close\n\ndata: x\r\n```\n"))
	var event []string
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if lines.Text() == "" && len(event) > 0 && strings.HasPrefix(event[len(event)-1], "data: ") {
			break
		}
		event = append(event, lines.Text())
	}
	text := strings.Join(event, "\n")
	for _, line := range event {
		if line != "" && !strings.HasPrefix(line, "data: ") && !strings.HasPrefix(line, ":") && !strings.HasPrefix(line, "id: ") {
			t.Errorf("a message made the line %q", line)
		}
	}
	if !strings.Contains(text, `hx-swap-oob="outerMorph"`) || !strings.Contains(text, "1 new") || strings.Contains(text, `id="status"`) || strings.Contains(text, "<form") {
		t.Errorf("got %q, want the thread alone", text)
	}
	// What a page that is looked at was sent is read, right after it was sent.
	console := mara.get(t, "/console")
	for range 50 {
		if console.doc.Find(".task .count").Length() == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
		console = mara.get(t, "/console")
	}
	t.Errorf("the console says %q", console.doc.Find(".tasks").Text())
}

// TestTalkIsThrottled stops an account that writes without a pause; a retry of
// what was written is answered.
func TestTalkIsThrottled(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(o *handlers.Options) { o.RateLimits = true })
	publisher := s.register(t)
	id := s.publish(t, publisher, 10)
	s.want(t, 201, s.say(t, publisher, id, "first", "Idempotency-Key", "k"))
	var last reply
	for range 30 {
		if last = s.say(t, publisher, id, "more"); last.status != 201 {
			break
		}
	}
	if last.status != 429 || last.code() != "rate_limited" || last.header.Get("Retry-After") == "" {
		t.Errorf("got %d %s", last.status, last.text)
	}
	if r := s.say(t, publisher, id, "first", "Idempotency-Key", "k"); r.status != 201 {
		t.Errorf("the retry got %d %s", r.status, r.text)
	}
}
