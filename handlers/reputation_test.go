package handlers_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// decide has the worker deliver a task of the publisher, who then accepts or
// rejects it.
func (s *server) decide(t testing.TB, publisher, worker string, reward int, accept bool) (id string) {
	t.Helper()
	id = s.publish(t, publisher, reward)
	path := "/api/v1/agent/tasks/" + id + "/deliveries/" + s.deliver(t, worker, id)
	if accept {
		s.want(t, 200, s.call(t, publisher, "POST", path+"/accept", nil))
	} else {
		s.want(t, 200, s.call(t, publisher, "POST", path+"/reject", `{"reason":"No.","rule":"tidy"}`))
	}
	return id
}

func (s *server) handle(t testing.TB, key string) string {
	t.Helper()
	return s.want(t, 200, s.call(t, key, "GET", "/api/v1/agent/me", nil)).at("handle").(string)
}

func (s *server) sweep(t testing.TB) {
	t.Helper()
	if _, err := s.store.Sweep(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
}

func TestReputationInJSON(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, worker := s.register(t), s.register(t)
	at := "/api/v1/accounts/" + s.handle(t, worker)
	fresh := s.call(t, "", "GET", at, nil)
	for _, path := range []string{"score", "publisher.responseRate", "publisher.acceptRate", "publisher.medianReviewMinutes"} {
		if !strings.Contains(fresh.text, `"`+path[strings.LastIndex(path, ".")+1:]+`":null`) || fresh.at("reputation."+path) != nil {
			t.Errorf("%s of a new account is %v, want null", path, fresh.at("reputation."+path))
		}
	}
	s.decide(t, publisher, worker, 10, true)
	s.decide(t, publisher, worker, 10, true)
	rejected := s.decide(t, publisher, worker, 10, false)
	open := s.publish(t, publisher, 10)
	s.sweep(t)
	got := s.call(t, "", "GET", at, nil)
	for path, want := range map[string]any{"score": 25.3, "n": 3.0, "accepted": 2.0, "rejected": 1.0, "abandoned": 0.0, "overturned": 0.0, "publisher.n": 0.0} {
		if got.at("reputation."+path) != want {
			t.Errorf("reputation.%s is %v, want %v: %s", path, got.at("reputation."+path), want, got.text)
		}
	}
	if want := `"skills":[{"skill":"csv","score":25.3,"n":3}]`; !strings.Contains(got.text, want) {
		t.Errorf("got %s, want %s", got.text, want)
	}
	// The publisher's record stands at its tasks, alone and in lists.
	const record = `"responseRate":1,"acceptRate":0.666,"medianReviewMinutes":0,"n":3}`
	want := `"publisher":{"handle":"` + s.handle(t, publisher) + `","established":false,` + record
	for _, path := range []string{"/api/v1/market/tasks/" + open, "/api/v1/market/tasks", "/api/v1/market/tasks?skills=csv&sort=reward", "/api/v1/agent/tasks"} {
		if got := s.call(t, publisher, "GET", path, nil); !strings.Contains(got.text, want) {
			t.Errorf("%s: got %s, want %s", path, got.text, want)
		}
	}
	if got := s.call(t, "", "GET", "/api/v1/accounts/"+s.handle(t, publisher), nil); !strings.Contains(got.text, `"publisher":{`+record) {
		t.Errorf("got %s, want %s", got.text, record)
	}
	for id, want := range map[string]any{rejected: 0.0, open: nil} {
		if got := s.call(t, "", "GET", "/api/v1/market/tasks/"+id, nil); got.at("crowding.acceptedRate") != want || !strings.Contains(got.text, `"acceptedRate":`) {
			t.Errorf("crowding is %v, want an acceptedRate of %v", got.at("crowding"), want)
		}
	}
	// 1 of the 3 rejected tasks' claims goes on.
	if me := s.call(t, worker, "GET", "/api/v1/agent/me", nil); me.at("claims.live") != 1.0 || me.at("claims.limit") != 12.0 || me.at("claims.pausedUntil") != nil {
		t.Errorf("claims are %v, want 1 of 12", me.at("claims"))
	}
}

func TestLeaderboardInJSON(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, one, two := s.register(t), s.register(t), s.register(t)
	s.decide(t, publisher, one, 10, true)
	s.decide(t, publisher, two, 20, true)
	s.decide(t, publisher, two, 30, true)
	s.sweep(t)
	board := func(query string) string { return s.call(t, "", "GET", "/api/v1/leaderboard"+query, nil).text }
	line := func(rank int, key string, score string, n, credits int) string {
		h := s.handle(t, key)
		return fmt.Sprintf(`{"rank":%d,"handle":%q,"displayName":%q,"kind":"agent","score":%s,"n":%d,"accepted":%d,"credits":%d,"untrusted":["displayName"]}`, rank, h, h, score, n, n, credits)
	}
	workers := `{"items":[` + line(1, two, "42.4", 2, 50) + `,` + line(2, one, "26.9", 1, 10) + `],"nextCursor":null}` + "\n"
	for _, query := range []string{"", "?period=7d", "?role=worker&period=all", "?skill=csv"} {
		if got := board(query); got != workers {
			t.Errorf("%s: got %s, want %s", query, got, workers)
		}
	}
	if got, want := board("?limit=1"), `{"items":[`+line(1, two, "42.4", 2, 50)+`],"nextCursor":null}`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := board("?role=publisher"), `{"items":[`+line(1, publisher, "52.5", 3, 60)+`],"nextCursor":null}`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := board("?skill=none"), `{"items":[],"nextCursor":null}`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, query := range []string{"?role=king", "?period=1d", "?skill=NO%20SKILL", "?limit=0"} {
		if got := s.call(t, "", "GET", "/api/v1/leaderboard"+query, nil); got.status != 422 {
			t.Errorf("%s: got %d, want 422", query, got.status)
		}
	}
	page := s.browser(t).get(t, "/leaderboard?period=all")
	if got := page.doc.Find("#board tbody tr").Length(); page.status != 200 || got != 2 {
		t.Errorf("the page shows %d lines (%d), want 2", got, page.status)
	}
	profile := s.browser(t).get(t, "/agents/"+s.handle(t, two))
	if got := profile.doc.Find(".task-body .strip").First().Text(); !strings.Contains(got, "42.4") {
		t.Errorf("the profile says %q, want its score", got)
	}
}

// TestClaimLimitOverHTTP sends a hundred claims of one agent at once.
func TestClaimLimitOverHTTP(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, worker := s.register(t), s.register(t)
	ids := make([]string, 100)
	for i := range ids {
		ids[i] = s.publish(t, publisher, 1)
	}
	path := func(i int) string { return "/api/v1/agent/tasks/" + ids[i] + "/claim" }
	got := race(100, func(i int) reply { return s.call(t, worker, "POST", path(i), nil) })
	if got["201"] != 10 || got["409claim_limit"] != 90 {
		t.Fatalf("100 claims of one agent got %v, want 10 times 201 and 90 times claim_limit", got)
	}
	me := s.call(t, worker, "GET", "/api/v1/agent/me", nil)
	if me.at("claims.live") != 10.0 || me.at("claims.limit") != 10.0 {
		t.Errorf("claims are %v, want 10 of 10", me.at("claims"))
	}
	var held []int
	for i := range ids {
		if s.call(t, worker, "GET", "/api/v1/agent/tasks/"+ids[i], nil).at("claim.claimId") != nil {
			held = append(held, i)
		}
	}
	s.want(t, 200, s.call(t, worker, "DELETE", path(held[0]), nil))
	if r := s.call(t, worker, "POST", path(held[0]), nil); r.status != 201 {
		t.Errorf("after giving one back: got %d %s, want 201", r.status, r.text)
	}
	// With all leases run out the agent pauses for a day.
	for _, q := range []string{`UPDATE claims SET expires_at = now() - interval '1 second'`, `UPDATE tasks SET due_at = now() - interval '1 second' WHERE state = 'claimed'`} {
		if _, err := s.store.DB().Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	s.sweep(t)
	r := s.call(t, worker, "POST", path(held[0]), nil)
	after, _ := strconv.Atoi(r.header.Get("Retry-After"))
	until := s.call(t, worker, "GET", "/api/v1/agent/me", nil).at("claims.pausedUntil")
	moment, err := time.Parse(time.RFC3339, fmt.Sprint(until))
	if r.status != 409 || r.code() != "claim_paused" || after < 86_300 || after > 86_400 || err != nil ||
		!strings.Contains(r.text, moment.Truncate(time.Second).Format(time.RFC3339)) {
		t.Errorf("in the pause until %v: got %d after %d s: %s", until, r.status, after, r.text)
	}
	if r := s.call(t, worker, "POST", "/api/v1/agent/tasks/"+s.publish(t, worker, 1)+"/claim", nil); r.code() != "own_task" {
		t.Errorf("got %s, want own_task first", r.text)
	}
	s.balanced(t)
}
