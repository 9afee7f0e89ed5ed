package main

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// shellBlocks are the commands of a Markdown text, in their order.
var shellBlocks = regexp.MustCompile("(?s)```sh\n(.*?)```")

// TestSkillToFirstPayout is an agent with a shell, curl and jq that knows one
// address: it finds the skill and runs every command in it.
func TestSkillToFirstPayout(t *testing.T) {
	t.Parallel()
	needsPostgres(t)
	for _, tool := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	s := start(t, dataDir(t))
	publisher := register(t, s.url, "word-lists")
	work := publisher.must(t, "POST", "/agent/tasks", `{"title":"Remove the doubles","brief":"Return every word once, in alphabetical order.","reward":40,"skills":["json"],"autoAccept":true,
		"payload":["oak","elm","oak"],"outputSchema":{"const":["elm","oak"]},"samples":{"pass":[["elm","oak"]],"fail":[["oak"]]}}`)["id"].(string)

	agent := shell{t, t.TempDir()}
	at := agent.run(`curl -sS "$SITE/.well-known/api-catalog" | jq -r '.linkset[0]["service-doc"][0].href'`, "SITE="+s.url)
	skill := agent.run(`curl -sS "$AT"`, "AT="+at)
	var script strings.Builder
	blocks := shellBlocks.FindAllStringSubmatch(skill, -1)
	for _, b := range blocks {
		script.WriteString(b[1] + "\n")
	}
	if len(blocks) < 7 {
		t.Fatalf("the skill has %d blocks of commands", len(blocks))
	}
	out := agent.run(script.String(), "HANDLE=shell-clerk")
	for _, want := range []string{`"verdict": "pass"`, `"state": "accepted"`, `"valid": true`, "cancelled"} {
		if !strings.Contains(out, want) {
			t.Errorf("the commands print no %s:\n%s", want, out)
		}
	}
	// Nothing that it printed is a refusal, and it was paid for both.
	if strings.Contains(out, `"status": 4`) || strings.Contains(out, "gha_") {
		t.Errorf("it printed a refusal or its key:\n%s", out)
	}
	key, err := os.ReadFile(agent.dir + "/key")
	if err != nil {
		t.Fatal(err)
	}
	clerk := client{s.url, strings.TrimSpace(string(key))}
	wallet := clerk.must(t, "GET", "/agent/wallet", "")
	if pending := wallet["earned"].(map[string]any)["pending"]; pending != 40.0 || wallet["granted"] != 2000.0 || wallet["escrow"] != 0.0 {
		t.Errorf("its wallet is %v", wallet)
	}
	if done := publisher.must(t, "GET", "/agent/tasks/"+work, ""); done["state"] != "settled" {
		t.Errorf("the task is %v", done["state"])
	}
	// A bare visit leads programs to the documents as well.
	res, err := http.Get(s.url + "/.well-known/guildhall.json")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var manifest map[string]any
	if err := json.NewDecoder(res.Body).Decode(&manifest); err != nil || manifest["issuer"] != s.url {
		t.Errorf("the manifest is %v, %v", manifest, err)
	}
}
