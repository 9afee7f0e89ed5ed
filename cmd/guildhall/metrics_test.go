package main

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"guildhall/store"
)

var scrapes = regexp.MustCompile(`(?m)^Metrics: (http://\S+/metrics)$`)

// scrape reads the metrics of the site, by name and labels as they are written.
func scrape(t *testing.T, s *site) (string, map[string]float64) {
	t.Helper()
	found := scrapes.FindStringSubmatch(s.out.String())
	if found == nil {
		t.Fatalf("no address of metrics is said:\n%s", s.out.String())
	}
	res, err := http.Get(found[1])
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") {
		t.Fatalf("the metrics: %s %s, %v\n%s", res.Status, res.Header.Get("Content-Type"), err, body)
	}
	out := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			out[line[:at]], _ = strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
		}
	}
	return string(body), out
}

// TestMetrics scrapes a site that people and programs have used, and finds
// their requests by route, the books and the clocks, and not one word of
// theirs.
func TestMetrics(t *testing.T) {
	needsPostgres(t)
	dir := dataDir(t)
	s := start(t, dir, "GUILDHALL_METRICS_ADDR=127.0.0.1:0")
	maker := register(t, s.url, "unmeasured")
	if _, ok := maker.call("POST", "/agent/tasks", "once", `{"title":"Weigh the unmeasured","brief":"All of it, to the gram.","reward":5}`); !ok {
		t.Fatal("publish")
	}
	for method, path := range map[string]string{"GET": "/market?q=unmeasured", "HEAD": "/agents/unmeasured", "UNMEASURED": "/unmeasured", "POST": "/static/unmeasured"} {
		req, err := http.NewRequest(method, s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	b := beside(t, dir)
	var body string
	var got map[string]float64
	for deadline := time.Now().Add(20 * time.Second); got["guildhall_audit_ok"] == 0 && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		body, got = scrape(t, s)
	}
	for name, want := range map[string]float64{
		`guildhall_http_requests_total{method="GET",route="/market",status="2xx"}`:                 1,
		`guildhall_http_requests_total{method="HEAD",route="/agents/:handle",status="2xx"}`:        1,
		`guildhall_http_requests_total{method="POST",route="/api/v1/agent/tasks",status="2xx"}`:    1,
		`guildhall_http_requests_total{method="other",route="",status="4xx"}`:                      1,
		`guildhall_http_requests_total{method="POST",route="/static/*",status="4xx"}`:              1,
		`guildhall_http_request_duration_seconds_count{method="POST",route="/api/v1/agent/tasks"}`: 1,
		`guildhall_audit_ok`: 1, `guildhall_sweep_lag_seconds`: 0, `guildhall_sweep_failures_total`: 0,
	} {
		if n, ok := got[name]; !ok || n != want {
			t.Errorf("%s is %v (there: %v), want %v", name, n, ok, want)
		}
	}
	for _, name := range []string{`go_goroutines`, `process_resident_memory_bytes`, `go_sql_open_connections{db_name="guildhall"}`} {
		if got[name] == 0 {
			t.Errorf("there is no %s", name)
		}
	}
	if age := time.Since(time.Unix(int64(got["guildhall_audit_last_success_timestamp_seconds"]), 0)); age < 0 || age > time.Minute {
		t.Errorf("the last good audit was %s ago", age)
	}
	if strings.Contains(strings.ToLower(body), "unmeasured") || regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-`).MatchString(body) {
		t.Errorf("the metrics speak of users:\n%s", body)
	}
	if res, err := http.Get(s.url + "/metrics"); err != nil || res.StatusCode != http.StatusNotFound {
		t.Errorf("the site itself shows metrics: %v, %v", res, err)
	}
	// Wrong books, and a clock that nothing moves.
	if _, err := b.DB().Exec(`UPDATE wallets SET granted = granted + 1`); err != nil {
		t.Fatal(err)
	}
	if r, err := b.RecordedAudit(t.Context(), store.Caller{}); err != nil || len(r.Findings) != 1 {
		t.Fatalf("the audit: %+v, %v", r, err)
	}
	release, err := b.HoldClocks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if _, err := b.DB().Exec(`UPDATE tasks SET due_at = now() - interval '1 hour' WHERE due_at IS NOT NULL`); err != nil {
		t.Fatal(err)
	}
	settled := got["guildhall_sweep_items_total"]
	_, wrong := scrape(t, s)
	if wrong["guildhall_audit_ok"] != 0 || wrong["guildhall_audit_entries"] != 2 || wrong["guildhall_audit_last_success_timestamp_seconds"] != got["guildhall_audit_last_success_timestamp_seconds"] {
		t.Errorf("wrong books: ok %v, %v lines, last good %v", wrong["guildhall_audit_ok"], wrong["guildhall_audit_entries"], wrong["guildhall_audit_last_success_timestamp_seconds"])
	}
	if lag := wrong["guildhall_sweep_lag_seconds"]; lag < 3600 || lag > 3700 {
		t.Errorf("the lag is %v, want an hour", lag)
	}
	release()
	// What is settled is counted a moment after it is.
	waiting := func() bool {
		return wrong["guildhall_sweep_lag_seconds"] != 0 || wrong["guildhall_sweep_items_total"] == settled
	}
	for deadline := time.Now().Add(20 * time.Second); waiting() && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		_, wrong = scrape(t, s)
	}
	if wrong["guildhall_sweep_lag_seconds"] != 0 || wrong["guildhall_sweep_items_total"] != settled+1 {
		t.Errorf("with the clocks let go the lag is %v, and %v were settled", wrong["guildhall_sweep_lag_seconds"], wrong["guildhall_sweep_items_total"])
	}
}
