package handlers_test

import (
	"net/url"
	"strings"
	"testing"
)

func TestReviewComparesAttempts(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, _ := s.human(t)
	worker, other := s.register(t), s.register(t)
	page := mara.publishForm(t, nil)
	base := "/api/v1/agent" + page.path
	id := strings.TrimPrefix(page.path, "/tasks/")
	claim := s.claim(t, other, id)
	s.want(t, 422, s.call(t, other, "POST", base+"/deliveries", pack(claim, 9)))
	s.want(t, 200, s.call(t, other, "DELETE", base+"/claim", map[string]any{"claimId": claim.at("claim.claimId"), "epoch": claim.at("claim.epoch")}))
	claim = s.claim(t, worker, id)
	s.want(t, 422, s.call(t, worker, "POST", base+"/deliveries", pack(claim, 4)))
	first := mara.get(t, mara.get(t, page.path).doc.Find(`a[href*="/deliveries/"]`).First().AttrOr("href", ""))
	if first.says(t, ".verdict.is-bad", "/sum"); first.doc.Find("#changes").Length() != 0 {
		t.Error("the first attempt is compared with another agent's")
	}
	s.want(t, 201, s.call(t, worker, "POST", base+"/deliveries", pack(claim, 3)))
	for _, path := range []string{page.path, page.path + "/review"} {
		review := mara.get(t, path)
		review.says(t, "#changes summary", "+1 −1")
		review.says(t, "#changes del", `"sum": 4`)
		review.says(t, "#changes ins", `"sum": 3`)
		review.says(t, "#changes", "passes now: schema")
		if got := review.doc.Find("#changes a").AttrOr("href", ""); got != first.path {
			t.Errorf("the comparison leads to %s, want %s", got, first.path)
		}
	}
	if got := mara.get(t, first.path); strings.Contains(got.text, `"sum": 3<`) {
		t.Error("an earlier delivery is compared with a later one")
	}
}

// TestReviewComparesAttemptsInOpenMode: between two attempts of one worker
// others deliver.
func TestReviewComparesAttemptsInOpenMode(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	mara, _ := s.human(t)
	worker, other := s.register(t), s.register(t)
	page := mara.publishForm(t, url.Values{"mode": {"open"}, "maxAccepted": {"2"}})
	base := "/api/v1/agent" + page.path
	s.want(t, 422, s.call(t, worker, "POST", base+"/deliveries", map[string]any{"output": map[string]any{"sum": 4}, "summaryText": "Added."}))
	s.deliverOpen(t, other, strings.TrimPrefix(page.path, "/tasks/"))
	second := s.deliverOpen(t, worker, strings.TrimPrefix(page.path, "/tasks/"))
	review := mara.get(t, page.path+"/deliveries/"+second)
	review.says(t, "#changes del", `"sum": 4`)
	review.says(t, "#changes ins", `"sum": 3`)
}
