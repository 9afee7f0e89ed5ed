package handlers_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"guildhall/handlers"
	"guildhall/market"
)

func TestAttachments(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, _ := s.human(t)
	worker, stranger := s.register(t), s.register(t)
	const path = "/api/v1/agent/attachments"
	const page = `<!doctype html><script>alert(1)</script>`
	sum := sha256.Sum256([]byte(page))
	hash := hex.EncodeToString(sum[:])
	up := s.want(t, 201, s.call(t, worker, "POST", path, page, "Content-Type", "image/png"))
	if up.at("sha256") != hash || up.at("bytes") != float64(len(page)) || !strings.HasPrefix(up.at("mediaType").(string), "text/html") || up.header.Get("Location") != path+"/"+hash {
		t.Errorf("got %s %v, want what was found in the file", up.text, up.header)
	}
	task := mara.publishForm(t, nil)
	id := strings.TrimPrefix(task.path, "/tasks/")
	claim := s.claim(t, worker, id)
	body := pack(claim, 3)
	file := map[string]any{"name": "report <1>.html", "mediaType": "text/html", "bytes": len(page) + 1, "sha256": hash}
	body["attachments"] = []any{file}
	if r := s.call(t, worker, "POST", "/api/v1/agent/tasks/"+id+"/deliveries", body); r.status != 422 || r.pointer() != "/attachments/0/bytes" {
		t.Errorf("a wrong size got %d %s", r.status, r.text)
	}
	file["bytes"] = len(page)
	for path, with := range map[string]map[string]any{"/api/v1/agent/tasks/check": {"title": "Name the birds", "brief": "Name every bird.", "reward": 5}, "/api/v1/agent/tasks": {"title": "Name the birds", "brief": "Name every bird.", "reward": 5},
		"/api/v1/agent/tasks/" + id + "/deliveries": pack(claim, 3)} {
		with["attachments"] = []any{map[string]any{"name": "a", "mediaType": "text/plain", "bytes": 1, "sha256": hash[:63] + "\x00"}}
		if r := s.call(t, worker, "POST", path, with, "Idempotency-Key", unique("nul")); r.status != 422 || r.pointer() != "/attachments/0/sha256" {
			t.Errorf("%s with no hash got %d %s", path, r.status, r.text)
		}
	}
	for name, key := range map[string]string{"publisher": "", "stranger": stranger} {
		if r := s.call(t, key, "GET", path+"/"+hash, nil); key != "" && r.status != 404 {
			t.Errorf("before the delivery the %s got %d", name, r.status)
		}
	}
	s.want(t, 201, s.call(t, worker, "POST", "/api/v1/agent/tasks/"+id+"/deliveries", body))
	review := mara.get(t, "/tasks/"+id+"/review")
	link, _ := review.doc.Find(".attach a").Attr("href")
	got := mara.get(t, link)
	if got.status != 200 || got.text != page || got.header.Get("X-Content-Type-Options") != "nosniff" ||
		!strings.HasPrefix(got.header.Get("Content-Disposition"), "attachment; filename*=UTF-8''report%20%3C1%3E.html") || !strings.Contains(got.header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("the publisher got %d %v %s", got.status, got.header, got.text)
	}
	if r := s.browser(t).get(t, link); r.status != 404 {
		t.Errorf("a visitor without a session got %d", r.status)
	}
	if r := s.call(t, stranger, "GET", path+"/"+hash, nil); r.status != 404 {
		t.Errorf("a stranger got %d", r.status)
	}
	part := s.call(t, worker, "GET", path+"/"+hash, nil, "Range", "bytes=0-8")
	if part.status != 206 || part.text != page[:9] {
		t.Errorf("a part of it: %d %q", part.status, part.text)
	}
	if r := s.call(t, worker, "GET", path+"/"+hash, nil, "If-None-Match", `"`+hash+`"`); r.status != 304 {
		t.Errorf("the same again got %d", r.status)
	}
}

// TestSlowUploads: an upload that takes longer than the server gives to other
// requests is answered.
func TestSlowUploads(t *testing.T) {
	t.Parallel()
	var options handlers.Options
	s := newServer(t, func(o *handlers.Options) { options = *o })
	const patience = 200 * time.Millisecond
	hasty := httptest.NewUnstartedServer(handlers.New(options))
	hasty.Config.ReadTimeout, hasty.Config.WriteTimeout = patience, patience
	hasty.Start()
	t.Cleanup(hasty.Close)
	mara, _ := s.human(t)
	form, mediaType := formWithFiles(t, url.Values{"title": {"Name the birds"}, "brief": {"Name every bird of the picture."}, "reward": {"5"}, "idempotencyKey": {unique("k")}}, map[string]string{"birds.txt": "four birds"})
	for name, c := range map[string]struct {
		path, mediaType, body string
		as                    func(*http.Request)
		want                  int
	}{
		"an attachment": {"/api/v1/agent/attachments", "text/plain", "four birds", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+s.register(t)) }, 201},
		"a form":        {"/tasks", mediaType, form.String(), func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "session", Value: mara.token(t)}) }, 303},
	} {
		half, rest := c.body[:5], c.body[5:]
		in, out := io.Pipe()
		go func() {
			_, _ = io.WriteString(out, half)
			time.Sleep(3 * patience)
			_, _ = io.WriteString(out, rest)
			out.Close()
		}()
		req, err := http.NewRequestWithContext(t.Context(), "POST", hasty.URL+c.path, in)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", c.mediaType)
		c.as(req)
		res, err := hasty.Client().Transport.RoundTrip(req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		res.Body.Close()
		if res.StatusCode != c.want {
			t.Errorf("%s got %d, want %d", name, res.StatusCode, c.want)
		}
	}
}

func TestUploadsThatBreakOff(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	worker := s.register(t)
	send := func(length int64, body string) string {
		t.Helper()
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /api/v1/agent/attachments HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", worker, length, body)
		if int64(len(body)) < length {
			_ = conn.(*net.TCPConn).CloseWrite()
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return err.Error()
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return fmt.Sprint(res.StatusCode, string(text))
	}
	if got := send(market.MaxAttachmentBytes+1, "x"); !strings.HasPrefix(got, "413") {
		t.Errorf("too large got %s", got)
	}
	if got := send(5000, strings.Repeat("x", 4000)); !strings.HasPrefix(got, "400") {
		t.Errorf("cut off got %s", got)
	}
	var kept int
	if err := s.store.DB().Get(&kept, `SELECT count(*) FROM blobs`); err != nil || kept != 0 {
		t.Errorf("%d blobs are kept (%v)", kept, err)
	}
}

// formWithFiles is the body of a form with files, as a browser sends it, and
// its media type.
func formWithFiles(t *testing.T, fields url.Values, files map[string]string) (body bytes.Buffer, mediaType string) {
	t.Helper()
	w := multipart.NewWriter(&body)
	for name, values := range fields {
		for _, v := range values {
			if err := w.WriteField(name, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, content := range files {
		part, err := w.CreateFormFile("files", name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = part.Write([]byte(content))
	}
	w.Close()
	return body, w.FormDataContentType()
}

// sendFiles posts a form with files.
func (b *browser) sendFiles(t *testing.T, path string, fields url.Values, files map[string]string) screen {
	t.Helper()
	body, mediaType := formWithFiles(t, fields, files)
	req, err := http.NewRequestWithContext(t.Context(), "POST", b.s.URL+path, &body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", mediaType)
	res, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	doc, err := goquery.NewDocumentFromReader(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return screen{status: res.StatusCode, path: res.Request.URL.Path, header: res.Header, text: doc.Text(), doc: doc}
}

func TestPublishFormBringsFiles(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, _ := s.human(t)
	fill := url.Values{"title": {"x"}, "brief": {"Read the scans, please."}, "reward": {"5"}, "idempotencyKey": {"files-1"}}
	refused := mara.sendFiles(t, "/tasks", fill, map[string]string{"scan.txt": "one two three", "": ""}).want(t, 422, "/tasks")
	if name, _ := refused.doc.Find(`[name="attachments.0.name"]`).Attr("value"); name != "scan.txt" {
		t.Errorf("the refused form lost its file: %s", refused.doc.Find("form.publish .field").Text())
	}
	keep := url.Values{}
	refused.doc.Find(`form.publish input[name^="attachments."]`).Each(func(_ int, f *goquery.Selection) {
		keep.Set(f.AttrOr("name", ""), f.AttrOr("value", ""))
	})
	fill["title"] = []string{"Read the scans"}
	for k, v := range keep {
		fill[k] = v
	}
	done := mara.sendFiles(t, "/tasks", fill, map[string]string{"second.txt": "four"})
	if done.status != 200 || done.doc.Find(".attach a").Length() != 2 {
		t.Fatalf("got %d at %s with %s", done.status, done.path, done.doc.Find(".files").Text())
	}
	if again := mara.sendFiles(t, "/tasks", fill, map[string]string{"second.txt": "four"}); again.path != done.path {
		t.Errorf("sent again it led to %s, want %s", again.path, done.path)
	}
	link, _ := done.doc.Find(".attach a").First().Attr("href")
	if got := s.browser(t).get(t, link); got.status != 200 || got.text != "one two three" {
		t.Errorf("everybody reads a task's files, but got %d %q", got.status, got.text)
	}
	fill.Del("attachments.0.sha256") // its box is no longer ticked
	fill.Set("idempotencyKey", "files-2")
	if without := mara.sendFiles(t, "/tasks", fill, nil); without.doc.Find(".attach li").Length() != 0 || without.status != 200 {
		t.Errorf("an unticked file stays: %d %s", without.status, without.doc.Find(".files").Text())
	}
	if _, err := s.store.DB().Exec(`DELETE FROM sessions`); err != nil {
		t.Fatal(err)
	}
	asked := mara.sendFiles(t, "/tasks", fill, map[string]string{"scan.txt": "one two three"}).want(t, 401, "/tasks")
	if kept, _ := asked.doc.Find(`[name="resume"]`).Attr("value"); !strings.Contains(kept, "Read the scans") {
		t.Errorf("the log-in form lost what was typed: %s", kept)
	}
	s.balanced(t)
}
