package handlers_test

import (
	"net/url"
	"strings"
	"testing"
)

// TestEqualOutputsAreShown to the publisher and to operators on a case, in as
// many round trips for many as for few, and to nobody else. White space, the
// order of members and the spelling of numbers do not matter; rules are not
// needed.
func TestEqualOutputsAreShown(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, _ := s.human(t)
	publisher := s.register(t)
	body := task(1)
	body["mode"] = "open"
	delete(body, "outputSchema")
	id := s.want(t, 201, s.call(t, publisher, "POST", "/api/v1/agent/tasks", body, "Idempotency-Key", unique("key"))).at("id").(string)
	base := "/api/v1/agent/tasks/" + id + "/deliveries"
	var keys, dids []string
	hand := func(output string) string {
		keys = append(keys, s.register(t))
		r := s.want(t, 201, s.call(t, keys[len(keys)-1], "POST", base, `{"output":`+output+`,"summaryText":"Done."}`))
		if r.at("identicalTo") != nil || r.at("report.outputHash") == nil {
			t.Errorf("the worker is told %s", r.text)
		}
		dids = append(dids, r.at("id").(string))
		return dids[len(dids)-1]
	}
	first, other := hand(`{"a":1,"b":[1.0,2]}`), hand(`{"a":1,"b":[2,1]}`)
	copied := hand("{ \"b\" : [1,2e0],\n\"a\":1}")
	got := s.call(t, publisher, "GET", base+"/"+copied, nil)
	if got.at("identicalTo.count") != 1.0 || got.at("identicalTo.first") != false || got.at("identicalTo.deliveries.0.id") != first ||
		got.at("identicalTo.deliveries.0.worker.handle") != s.handle(t, keys[0]) || got.at("identicalTo.deliveries.0.state") != "pending" {
		t.Errorf("the copy is %v", got.at("identicalTo"))
	}
	if got := s.call(t, publisher, "GET", base+"/"+first, nil); got.at("identicalTo.first") != true || got.at("identicalTo.deliveries.0.id") != copied {
		t.Errorf("the first is %v", got.at("identicalTo"))
	}
	if got := s.call(t, publisher, "GET", base+"/"+other, nil); got.at("identicalTo") != nil {
		t.Errorf("the other is %v", got.at("identicalTo"))
	}
	// Neither who was copied nor who copied is told of the other, and no other
	// worker sees anything.
	for i, did := range map[int]string{0: first, 2: copied} {
		if got := s.call(t, keys[i], "GET", base+"/"+did, nil); got.status != 200 || strings.Contains(got.text, "identicalTo") {
			t.Errorf("worker %d sees %s", i, got.text)
		}
		if got := s.call(t, keys[i], "GET", base, nil); got.status != 200 || !strings.Contains(got.text, did) || strings.Contains(got.text, "identicalTo") {
			t.Errorf("worker %d lists %s", i, got.text)
		}
	}
	for who, key := range map[string]string{"another worker": keys[1], "a stranger": s.register(t)} {
		if got := s.call(t, key, "GET", base+"/"+copied, nil); got.status != 404 {
			t.Errorf("%s got %d %s", who, got.status, got.text)
		}
	}
	list := func() (trips int64) {
		before := s.trips.n.Load()
		r := s.want(t, 200, s.call(t, publisher, "GET", base, nil))
		if r.at("items.0.identicalTo") == nil || strings.Count(r.text, "identicalTo") < 2 {
			t.Errorf("the list is %s", r.text)
		}
		return s.trips.n.Load() - before
	}
	few := list()
	for range 8 {
		hand(`{"a":1,"b":[1,2]}`)
	}
	if many := list(); many != few {
		t.Errorf("a list of 11 took %d round trips, one of 3 took %d", many, few)
	}
	// The same on pages, for a task of a person's.
	form := url.Values{"mode": {"open"}, "maxAccepted": {"2"}, "reward": {"5"}}
	path := mara.publishForm(t, form).path
	id = strings.TrimPrefix(path, "/tasks/")
	one, two := s.register(t), s.register(t)
	a, b := s.deliverOpen(t, one, id), s.deliverOpen(t, two, id)
	page := mara.get(t, path+"/deliveries/"+b).want(t, 200, path+"/deliveries/"+b)
	page.says(t, ".identical", "The same output as 1 other delivery.")
	page.says(t, ".identical", s.handle(t, one)+" was first")
	if page.doc.Find(`.identical a[href="`+path+"/deliveries/"+a+`"]`).Length() != 1 {
		t.Error("there is no link to the first one")
	}
	checkPage(t, "review", page)
	mara.get(t, path+"/deliveries/"+a).says(t, ".identical", "This one came first")
	if got := mara.get(t, path).doc.Find("#review .tag").Text(); strings.Count(got, "same output") != 2 {
		t.Errorf("the list on the task's page says %q", got)
	}
	mara.submit(t, page, path+"/deliveries/"+b+"/reject", url.Values{"reason": {"Copied."}, "rule": {"tidy"}}).want(t, 200, path)
	k := s.want(t, 201, s.call(t, two, "POST", "/api/v1/agent"+path+"/deliveries/"+b+"/appeal", map[string]any{"text": "It is mine."})).at("cases.0.id").(string)
	judge, handle := s.human(t)
	if err := s.store.SetOperator(t.Context(), handle, true); err != nil {
		t.Fatal(err)
	}
	key, err := s.store.NewOperatorKey(t.Context(), handle, "x")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.want(t, 200, s.call(t, key, "GET", "/api/v1/admin/cases/"+k, nil)); got.at("deliveries.0.identicalTo.deliveries.0.id") != a || got.at("deliveries.0.identicalTo.first") != false {
		t.Errorf("operators read %s", got.text)
	}
	record := judge.get(t, "/admin/cases/"+k).want(t, 200, "/admin/cases/"+k)
	record.says(t, ".identical", s.handle(t, one)+" was first")
	if record.doc.Find(".identical a").Length() != 0 {
		t.Error("operators are led to deliveries that no case is about")
	}
	s.balanced(t)
}
