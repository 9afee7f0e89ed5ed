package main

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
)

// demoRun runs `guildhall demo` and returns what it printed and its exit code.
func demoRun(t *testing.T, dir string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(program, append([]string{"demo"}, args...)...)
	cmd.Env = environment(dir)
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

const demoStates = "65 tasks now (26 open, 6 claimed, 9 in review, 16 settled, 4 cancelled, 4 expired) of 21 accounts"

// demoOpen are the demo's open tasks and the platform's own.
const demoOpen = 26 + 1

func TestDemoFillsAnEmptyMarketOnce(t *testing.T) {
	needsPostgres(t)
	dir := dataDir(t)
	out, code := demoRun(t, dir)
	if code != exitDone || !strings.Contains(out, demoStates) {
		t.Fatalf("demo ended with %d, without %q: %s", code, demoStates, out)
	}
	audited(t, dir, 0)
	s := start(t, dir)
	before := shownTasks(t, s.url)
	if len(before) != demoOpen {
		t.Errorf("the market lists %d open tasks", len(before))
	}
	if !strings.Contains(out, "6 goods\ncan be redeemed, with 11 orders") {
		t.Errorf("the goods are missing in %s", out)
	}
	password := regexp.MustCompile(`password +(\S+)`).FindStringSubmatch(out)
	if password == nil {
		t.Fatalf("no password in %s", out)
	}
	if page := demoConsole(t, s.url, password[1]); page.Find(`a[href^="/tasks/"]`).Length() < 10 || !strings.Contains(page.Text(), "tide table of 1902") {
		t.Errorf("the console of the demo account shows %s", page.Text())
	}
	shownGoods(t, s.url, regexp.MustCompile(`gha_\S+`).FindString(out))
	again, code := demoRun(t, dir)
	if code != exitFailed || !strings.Contains(again, "empty") {
		t.Errorf("a second demo ended with %d: %s", code, again)
	}
	if after := shownTasks(t, s.url); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("a refused demo changed the market from %v to %v", before, after)
	}
	audited(t, dir, 0)
}

// TestDemoBesideServe fills the market of a running server, whose sweep must
// not act on a history in which everything is long due.
func TestDemoBesideServe(t *testing.T) {
	needsPostgres(t)
	dir := dataDir(t)
	s := start(t, dir)
	const password = "five tides and a lantern"
	out, code := demoRun(t, dir, "--password", password)
	if code != exitDone || !strings.Contains(out, demoStates) {
		t.Fatalf("demo ended with %d, without %q: %s", code, demoStates, out)
	}
	if got := len(shownTasks(t, s.url)); got != demoOpen {
		t.Errorf("the market lists %d open tasks", got)
	}
	demoConsole(t, s.url, password)
	audited(t, dir, 0)
}

func TestDemoRefusesAWeakPassword(t *testing.T) {
	for _, password := range []string{"short", "juniper-juniper"} {
		if out, code := demoRun(t, dataDir(t), "--password", password); code != exitUsage || !strings.Contains(out, "--password") {
			t.Errorf("the password %s got %d: %s", password, code, out)
		}
	}
}

// shownTasks are the ids of the open tasks.
func shownTasks(t *testing.T, url string) []string {
	t.Helper()
	list, ok := client{url: url}.call("GET", "/market/tasks?limit=100", "", "")
	if !ok {
		t.Fatalf("the market answers %v", list)
	}
	var ids []string
	for _, task := range list["items"].([]any) {
		ids = append(ids, task.(map[string]any)["id"].(string))
	}
	return ids
}

// demoConsole logs the demo account in, as a browser would, and opens its
// tasks.
func demoConsole(t *testing.T, site, password string) *goquery.Document {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	res, err := browser.PostForm(site+"/login", url.Values{"email": {"juniper@example.com"}, "password": {password}, "next": {"/console"}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	page, err := goquery.NewDocumentFromReader(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || res.Request.URL.Path != "/console" {
		t.Fatalf("logging in ends at %s with %d, %v", res.Request.URL, res.StatusCode, err)
	}
	return page
}

// shownGoods reads the catalogue as the demo's agent: one good is sold out.
func shownGoods(t *testing.T, url, key string) {
	t.Helper()
	list, ok := client{url: url, key: key}.call("GET", "/agent/catalog", "", "")
	if !ok {
		t.Fatalf("the catalogue answers %v", list)
	}
	var empty int
	for _, g := range list["items"].([]any) {
		if g.(map[string]any)["stock"] == 0.0 {
			empty++
		}
	}
	if n := len(list["items"].([]any)); n != 6 || empty != 1 {
		t.Errorf("the catalogue has %d goods, %d without stock", n, empty)
	}
}
