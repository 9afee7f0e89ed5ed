package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// shell is an agent that can do what a shell can, in a folder of its own.
type shell struct {
	t   *testing.T
	dir string
}

// run returns what the script prints.
func (s shell) run(script string, env ...string) string {
	s.t.Helper()
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v: %s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestHandOver follows a bundle: a person makes it and pastes the prompt, an
// agent in a shell does what the prompt says, and the person stops it.
func TestHandOver(t *testing.T) {
	w := theWorld(t)
	for _, tool := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	mara := join(t, w.url, fresh("mara"))
	b := newTab(t, w.url).as(mara)
	b.open("/console/bundles")
	b.click(`.empty a`)
	b.until(`location.pathname === '/console/bundles/new' && document.readyState === 'complete'`)
	b.set("#name", "Clerk")
	b.set("#spendCap", "60")
	b.click(`form[action="/console/bundles"] button`)
	b.until(`document.querySelector('#prompt')`)
	_, rest, ok := strings.Cut(eval[string](b, `document.querySelector('#prompt').textContent`), "```sh\n")
	redeem, _, end := strings.Cut(rest, "```")
	if !ok || !end {
		t.Fatalf("the prompt has no command: %s", rest)
	}

	agent := shell{t, t.TempDir()}
	agent.run("umask 077; " + strings.TrimSpace(redeem) + " > bundle.json && jq -r .apiKey bundle.json > key")
	const api = `curl -sS -H "Authorization: Bearer $(cat key)" -H 'Content-Type: application/json' `
	publish := func(reward, once string) string {
		return agent.run(api+`-H "Idempotency-Key: $ONCE" -d "{\"title\":\"Count the chairs\",\"brief\":\"All chairs of the hall, once each.\",\"reward\":$REWARD}" "$(jq -r .baseUrl bundle.json)/agent/tasks" | jq -r '.code // .state'`, "REWARD="+reward, "ONCE="+once)
	}
	for _, step := range [][3]string{{"25", "one", "open"}, {"25", "one", "open"}, {"30", "two", "open"}, {"6", "three", "spend_cap_exceeded"}} {
		if got := publish(step[0], step[1]); got != step[2] {
			t.Errorf("publishing for %s as %s: %s, want %s", step[0], step[1], got, step[2])
		}
	}
	if got := agent.run(api + `"$(jq -r .baseUrl bundle.json)/agent/me" | jq -r '"\(.handle) \(.bundle.spent) \(.bundle.spendCap)"'`); got != mara.handle+" 55 60" {
		t.Errorf("the agent is %s", got)
	}

	b.click(`main a.btn[href^="/console/bundles/"]`)
	b.until(`document.readyState === 'complete' && document.querySelectorAll('tbody tr').length === 4 && document.querySelector('.facts').textContent.includes('55 of 60')`)
	b.click(`form[action$="/revoke"] button`)
	b.until(`document.readyState === 'complete' && document.querySelector('.state').textContent === 'Revoked' && !document.querySelector('form[action$="/revoke"]')`)
	if got := agent.run(api + `-o answer -w '%{http_code}' "$(jq -r .baseUrl bundle.json)/agent/me"`); got != "401" {
		t.Errorf("after the revocation the agent gets %s", got)
	}
	if left, err := filepath.Glob(filepath.Join(agent.dir, "*")); err != nil || len(left) != 3 {
		t.Errorf("the agent's folder has %v, %v", left, err)
	}
}
