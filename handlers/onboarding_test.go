package handlers_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// operatorKey is a key for the operators' routes.
func (s *server) operatorKey(t testing.TB) string {
	t.Helper()
	_, handle := s.human(t)
	if err := s.store.SetOperator(t.Context(), handle, true); err != nil {
		t.Fatal(err)
	}
	key, err := s.store.NewOperatorKey(t.Context(), handle, "test")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestOnboardingOfAnAgent goes the way of a new agent: registers, is told what
// to do, finds the task first, reads the thread, tries, delivers, is paid.
func TestOnboardingOfAnAgent(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	if err := s.store.BeginOnboarding(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.publish(t, s.register(t), 5)
	agent := s.register(t)
	me := s.want(t, 200, s.call(t, agent, "GET", "/api/v1/agent/me", nil))
	id, _ := me.at("pendingActions.0.taskId").(string)
	if me.at("pendingActions.0.action") != "onboarding" || me.at("pendingActions.0.reward") != 1000.0 {
		t.Fatalf("me: %s", me.text)
	}
	for _, query := range []string{"", "?skills=csv", "?skills=generalist", "?mode=open", "?limit=1"} {
		found := s.want(t, 200, s.call(t, agent, "GET", "/api/v1/market/tasks"+query, nil))
		if found.at("items.0.id") != id || found.at("items.0.title") != "Onboarding challenge" || found.at("items.0.deadline") != nil || found.at("items.0.evergreen") != true {
			t.Errorf("the market%s: %s", query, found.text)
		}
	}
	first := s.want(t, 200, s.call(t, agent, "GET", "/api/v1/market/tasks?limit=1", nil))
	second := s.want(t, 200, s.call(t, agent, "GET", "/api/v1/market/tasks?limit=1&cursor="+first.at("nextCursor").(string), nil))
	if len(second.at("items").([]any)) != 1 || second.at("items.0.title") != "Sum the numbers" || second.at("nextCursor") != nil {
		t.Errorf("the page after it: %s", second.text)
	}
	for _, query := range []string{"?q=numbers", "?mode=exclusive", "?minReward=1001", "?maxReward=10", "?publisher=nobody"} {
		if found := s.want(t, 200, s.call(t, agent, "GET", "/api/v1/market/tasks"+query, nil)); strings.Contains(found.text, "Onboarding") {
			t.Errorf("the market%s: %s", query, found.text)
		}
	}
	if found := s.want(t, 200, s.call(t, "", "GET", "/api/v1/market/tasks", nil)); found.at("items.0.id") != id {
		t.Errorf("the market without a key: %s", found.text)
	}
	if found := s.want(t, 200, s.call(t, "", "GET", "/api/v1/market/tasks?skills=csv", nil)); strings.Contains(found.text, "Onboarding") {
		t.Errorf("the market of a skill without a key: %s", found.text)
	}
	s.want(t, 401, s.call(t, "gha_wrong", "GET", "/api/v1/market/tasks", nil))
	if found := s.want(t, 200, s.call(t, s.operatorKey(t), "GET", "/api/v1/market/tasks", nil)); found.at("items.0.id") != id {
		t.Errorf("the market with an operator's key: %s", found.text)
	}

	task := "/api/v1/agent/tasks/" + id
	shown := s.want(t, 200, s.call(t, agent, "GET", task, nil))
	if shown.at("pendingActions.0.action") != "deliver" || shown.at("escrow") != 0.0 || shown.at("dueAt") != nil || shown.at("samples") != nil {
		t.Errorf("the task: %s", shown.text)
	}
	if r := s.call(t, agent, "POST", task+"/claim", nil); r.status != 409 || r.code() != "open_mode" {
		t.Errorf("a claim: %d %s", r.status, r.code())
	}
	if r := s.call(t, agent, "POST", task+"/thread", map[string]any{"text": "Which passphrase?"}); r.status != 403 {
		t.Errorf("a message: %d %s", r.status, r.text)
	}
	thread := s.want(t, 200, s.call(t, agent, "GET", task+"/thread", nil))
	passphrase := regexp.MustCompile(`is: (.*)`).FindStringSubmatch(thread.at("items.0.text").(string))[1]
	pack := func(passphrase string) map[string]any {
		return map[string]any{"summaryText": "Read, added, sorted.",
			"output": map[string]any{"passphrase": passphrase, "sum": 94, "sorted": []int{4, 8, 17, 23, 42}}}
	}
	if r := s.want(t, 200, s.call(t, agent, "POST", task+"/check", map[string]any{"output": pack(passphrase)["output"]})); r.at("passed") != true {
		t.Errorf("the dry run: %s", r.text)
	}
	s.want(t, 422, s.call(t, agent, "POST", task+"/deliveries", pack("guess")))
	done := s.want(t, 201, s.call(t, agent, "POST", task+"/deliveries", pack(passphrase)))
	if done.at("state") != "accepted" || done.at("payout.amount") != 1000.0 || done.at("payout.class") != "granted" {
		t.Errorf("delivered: %s", done.text)
	}
	if w := s.want(t, 200, s.call(t, agent, "GET", "/api/v1/agent/wallet", nil)); w.at("granted") != 2000.0 || w.at("grantedPending") != 0.0 {
		t.Errorf("the wallet: %s", w.text)
	}
	if lines := s.want(t, 200, s.call(t, agent, "GET", "/api/v1/agent/wallet/entries", nil)); lines.at("items.0.kind") != "onboarding" || lines.at("items.0.balanceAfter") != 2000.0 {
		t.Errorf("the ledger: %s", lines.text)
	}
	if r := s.call(t, agent, "POST", task+"/deliveries", pack(passphrase)); r.status != 409 || r.code() != "already_done" {
		t.Errorf("once more: %d %s", r.status, r.text)
	}
	if me := s.want(t, 200, s.call(t, agent, "GET", "/api/v1/agent/me", nil)); len(me.at("pendingActions").([]any)) != 0 {
		t.Errorf("me after it: %s", me.text)
	}
	if found := s.want(t, 200, s.call(t, agent, "GET", "/api/v1/market/tasks?skills=onboarding", nil)); strings.Contains(found.text, "Onboarding") {
		t.Errorf("the market after it: %s", found.text)
	}
	s.balanced(t)
}

// TestOperatorsChangeTheChallenge: on the page and by a program.
func TestOperatorsChangeTheChallenge(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	judge, key := s.operator(t), s.operatorKey(t)
	off := judge.get(t, "/admin/onboarding")
	off.says(t, ".panel", "switched off")
	on := judge.submit(t, off, "/admin/onboarding", url.Values{})
	on.says(t, "#flash", "replaced")
	on.says(t, ".panel", "The challenge is on")
	bad := judge.submit(t, on, "/admin/onboarding", url.Values{"passphrase": {"swordfish"}})
	bad.says(t, "#message-fault", "must hold the passphrase")
	shown := s.want(t, 200, s.call(t, key, "GET", "/api/v1/admin/onboarding", nil))
	if shown.at("on") != true || shown.at("passphrase") != "measure twice, cut once" {
		t.Fatalf("the challenge: %s", shown.text)
	}
	body := map[string]any{"brief": "Read the thread and say the word.", "message": "The word is swordfish.", "passphrase": "swordfish", "reward": 10}
	s.want(t, 200, s.call(t, key, "PUT", "/api/v1/admin/onboarding", body))
	s.want(t, 422, s.call(t, key, "PUT", "/api/v1/admin/onboarding", map[string]any{"brief": "", "message": "?", "passphrase": "", "reward": 0}))
	now := s.want(t, 200, s.call(t, key, "GET", "/api/v1/admin/onboarding", nil))
	if now.at("reward") != 10.0 || now.at("taskId") == shown.at("taskId") {
		t.Errorf("the challenge: %s", now.text)
	}
	page := judge.get(t, "/tasks/"+now.at("taskId").(string))
	page.says(t, ".ticket", "No deadline")
	page.says(t, ".ticket", "Paid by the platform")
	page.says(t, ".ticket", "once for each agent")
	stranger := s.browser(t)
	for _, who := range []*browser{judge, stranger} {
		if found := who.get(t, "/market?skills=onboarding"); found.doc.Find(".tasks .task").Length() != 1 {
			t.Error("people who ask for its skill do not find the challenge")
		}
		if found := who.get(t, "/market"); strings.Contains(found.text, "Onboarding challenge") {
			t.Error("people who only look around meet the challenge")
		}
	}
	s.want(t, 200, s.call(t, key, "DELETE", "/api/v1/admin/onboarding", nil))
	if r := s.call(t, key, "DELETE", "/api/v1/admin/onboarding", nil); r.status != 409 || r.code() != "already_done" {
		t.Errorf("off twice: %d %s", r.status, r.text)
	}
	if me := s.want(t, 200, s.call(t, s.register(t), "GET", "/api/v1/agent/me", nil)); len(me.at("pendingActions").([]any)) != 0 {
		t.Errorf("a new agent: %s", me.text)
	}
}
