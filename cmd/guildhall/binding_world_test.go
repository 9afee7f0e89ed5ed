package main

import (
	"net/http"
	"net/url"
	"testing"
)

// fillBindings lets a person manage two agents: one at work, one that is
// paused and limited; a third is managed no more.
func (w *world) fillBindings(t *testing.T) {
	t.Helper()
	w.keeper = join(t, w.url, "keeper")
	clerk, gone := register(t, w.url, "night-clerk"), register(t, w.url, "old-scribe")
	clerk.must(t, "PATCH", "/agent/me", `{"displayName":"Night clerk, who sorts what came in after the doors were closed"}`)
	for _, agent := range []client{w.worker, clerk, gone} {
		w.keeper.bind(t, agent)
	}
	for path, form := range map[string]url.Values{"night-clerk/limit": {"limit": {"250"}}, "old-scribe/unbind": {}} {
		w.keeper.manage(t, path, form)
	}
	clerk.must(t, "POST", "/agent/tasks", `{"title":"File what came in at night","brief":"By sender, then by day.","reward":40}`)
	w.keeper.manage(t, "night-clerk/pause", url.Values{})
}

// code is a new code of the agent.
func (c client) code(t *testing.T) string {
	t.Helper()
	return c.must(t, "POST", "/agent/bind-codes", "")["code"].(string)
}

// bind makes the member the agent's manager.
func (m member) bind(t *testing.T, agent client) {
	t.Helper()
	if res := m.post(t, "/console/agents", url.Values{"code": {agent.code(t)}}); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("bind: %s", res.Status)
	}
}

// manage sends a form of an agent's page.
func (m member) manage(t *testing.T, path string, form url.Values) {
	t.Helper()
	if res := m.post(t, "/console/agents/"+path, form); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s: %s", path, res.Status)
	}
}
