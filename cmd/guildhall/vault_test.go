package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"guildhall/market"
)

// secretCanary is what no place but the parties' own may ever hold.
const secretCanary = "canary-s3cret-7431"

// needsAge skips without the age program, or fails where CI is set.
func needsAge(t *testing.T) {
	t.Helper()
	for _, name := range []string{"age", "age-keygen", "jq", "curl"} {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("CI") == "" {
				t.Skipf("no %s on this machine", name)
			}
			t.Fatalf("no %s on this machine", name)
		}
	}
}

// readmeLines are the commands of the README's block that has the words.
func readmeLines(t *testing.T, words string) []string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		if strings.Contains(block[1], words) {
			return strings.Split(strings.TrimSpace(block[1]), "\n")
		}
	}
	t.Fatalf("the README has no commands with %q", words)
	return nil
}

// docsCommands are the blocks of commands on a page of the documentation.
func (s *site) docsCommands(t *testing.T, path string) []string {
	t.Helper()
	res, err := http.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, block := range regexp.MustCompile(`(?s)<code class="language-sh">(.*?)</code>`).FindAllStringSubmatch(string(text), -1) {
		out = append(out, html.UnescapeString(block[1]))
	}
	return out
}

// apiCall sends a request and reads the answer.
func (s *site) apiCall(t *testing.T, key, method, path string, body any) map[string]any {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+"/api/v1"+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", rand.Text())
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil || res.StatusCode >= 400 {
		t.Fatalf("%s %s: %s %v %v", method, path, res.Status, out, err)
	}
	return out
}

// inShell runs a command in the folder.
func inShell(t *testing.T, dir, command string, env ...string) string {
	t.Helper()
	cmd := exec.Command("sh", "-euc", command)
	cmd.Dir, cmd.Env = dir, append(environment(dir), env...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", command, err, out, errs.String())
	}
	return strings.TrimSpace(string(out))
}

// askedForMore runs the commands that prove a key against a server whose
// challenge is another file of the agent's, which they must not open for it.
func askedForMore(t *testing.T, home, commands string) {
	t.Helper()
	key := inShell(t, home, "age-keygen -y key.txt")
	for what, text := range map[string]string{
		"values":  `{"payload":"{\"values\":{\"apiToken\":\"` + secretCanary + `\"}}"}`,
		"a token": secretCanary + strings.Repeat("x", 43-len(secretCanary)),
		"lines":   "first\n" + secretCanary + "\nlast",
	} {
		cmd := exec.Command("age", "-a", "-r", key)
		cmd.Stdin = strings.NewReader(text)
		sealed, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var sent []byte
		liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			sent = append(sent, body...)
			_ = json.NewEncoder(w).Encode(map[string]string{"challenge": string(sealed)})
		}))
		cmd = exec.Command("sh", "-c", strings.NewReplacer("API=", "was=", "age-keygen -o", "true").Replace(commands))
		cmd.Dir, cmd.Env = home, append(environment(home), "API="+liar.URL, "AUTH=Authorization: Bearer x", "TASK=x")
		out, _ := cmd.CombinedOutput()
		liar.Close()
		if !strings.Contains(string(sent), key) || strings.Contains(string(sent), "canary") {
			t.Errorf("with %s as the challenge the commands sent %q: %s", what, sent, out)
		}
	}
}

// vaultRun runs guildhall vault and returns what it printed and how it ended.
func vaultRun(t *testing.T, dir, in string, env []string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(program, append([]string{"vault"}, args...)...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, append(environment(dir), env...), strings.NewReader(in)
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

// TestProtectedFieldsWithoutBrowser runs what README tells publishers and agents:
// guildhall vault on one side, the age program on the other.
func TestProtectedFieldsWithoutBrowser(t *testing.T) {
	needsPostgres(t)
	needsAge(t)
	dir := dataDir(t)
	s := start(t, dir)
	home := t.TempDir()
	register := func(handle string) string {
		return s.apiCall(t, "", "POST", "/agents/register", map[string]any{"handle": handle})["apiKey"].(string)
	}
	publisher, worker := register("vault-publisher"), register("vault-worker")
	owner := []string{"GUILDHALL_SERVER=" + s.url, "GUILDHALL_KEY=" + publisher}
	run := func(in string, args ...string) string {
		t.Helper()
		out, code := vaultRun(t, home, in, owner, args...)
		if code != exitDone {
			t.Fatalf("vault %v: exit %d: %s", args, code, out)
		}
		if strings.Contains(out, "AGE-SECRET-KEY-") {
			t.Errorf("vault %v prints a secret key", args)
		}
		return out
	}

	run("", "init", "--vault", "vault.txt")
	if out, code := vaultRun(t, home, "", owner, "init", "--vault", "vault.txt"); code != exitFailed {
		t.Errorf("a vault was overwritten: %s", out)
	}
	if info, err := os.Stat(filepath.Join(home, "vault.txt")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the vault can be read by others: %v %v", info.Mode(), err)
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(run(`{"apiToken":"`+secretCanary+`"}`, "encrypt", "--vault", "vault.txt")), &fields); err != nil {
		t.Fatal(err)
	}
	task := s.apiCall(t, publisher, "POST", "/agent/tasks", map[string]any{"title": "Check the staging site", "brief": "Log in with the token and count.", "reward": 50, "protectedFields": fields})["id"].(string)
	receipt := s.apiCall(t, worker, "POST", "/agent/tasks/"+task+"/claim", nil)
	hash := receipt["claim"].(map[string]any)["protectedHash"].(string)

	// The agent's commands, as the documentation has them in both languages; the
	// README has the same.
	docs := s.docsCommands(t, "/docs/secrets?lang=en")
	if len(docs) != 3 {
		t.Fatalf("the documentation has %q", docs)
	}
	for i, block := range s.docsCommands(t, "/docs/secrets?lang=zh-CN") {
		comment := regexp.MustCompile(` +#.*`)
		if comment.ReplaceAllString(block, "") != comment.ReplaceAllString(docs[i], "") {
			t.Errorf("in Chinese the commands are %s", block)
		}
	}
	lines := readmeLines(t, "secret-bundle")
	for _, line := range lines {
		if command, _, _ := strings.Cut(line, "   #"); !strings.Contains(strings.Join(docs, ""), command+"\n") && !strings.Contains(strings.Join(docs, ""), command+"   #") {
			t.Errorf("the documentation lacks %s", command)
		}
	}
	agent := []string{"API=" + s.url + "/api/v1", "AUTH=Authorization: Bearer " + worker, "TASK=" + task}
	inShell(t, home, docs[0], agent...)
	fingerprint := market.Fingerprint(inShell(t, home, "age-keygen -y key.txt"))
	if got := inShell(t, home, docs[1]); got != fingerprint {
		t.Errorf("the documentation's command prints the fingerprint %q, want %q", got, fingerprint)
	}
	askedForMore(t, home, docs[0])

	listed := run("", "requests", task)
	if !strings.Contains(listed, fingerprint) || !strings.Contains(listed, "vault-worker") {
		t.Fatalf("the requests are %s", listed)
	}
	var found struct{ Items []struct{ ID string } }
	if err := json.Unmarshal([]byte(listed), &found); err != nil || len(found.Items) != 1 {
		t.Fatalf("the requests are %s", listed)
	}
	request := found.Items[0].ID
	if out, code := vaultRun(t, home, "", owner, "grant", task, request, "--vault", "vault.txt"); code != exitUsage || !strings.Contains(out, fingerprint) {
		t.Errorf("granted without comparing fingerprints: exit %d: %s", code, out)
	}
	if out, code := vaultRun(t, home, "", owner, "grant", task, request, "--vault", "vault.txt", "--fingerprint", "AAAA-BBBB-CCCC-DDDD"); code != exitUsage {
		t.Errorf("granted to another key than was said: exit %d: %s", code, out)
	}
	run("", "deny", task, request, "--reason", "Who are you?")
	if got := s.apiCall(t, worker, "GET", "/agent/tasks/"+task+"/secret-access", nil); got["state"] != "denied" || got["reason"] != "Who are you?" {
		t.Errorf("the agent reads %v", got)
	}
	if out, code := vaultRun(t, home, "", owner, "deny", task, request); code != exitFailed || !strings.Contains(out, "request_decided") {
		t.Errorf("denied twice: exit %d: %s", code, out)
	}
	run("", "grant", task, request, "--vault", "vault.txt", "--fingerprint", fingerprint)

	if got := inShell(t, home, docs[2], agent...); !strings.Contains(got, `"apiToken": "`+secretCanary+`"`) {
		t.Errorf("age and jq print %s", got)
	}
	reader := []string{"GUILDHALL_SERVER=" + s.url, "GUILDHALL_KEY=" + worker}
	if out, code := vaultRun(t, home, "", reader, "open", task, "--identity", "key.txt", "--hash", hash); code != exitDone || !strings.Contains(out, secretCanary) {
		t.Errorf("vault open: exit %d: %s", code, out)
	}
	if out, code := vaultRun(t, home, "", reader, "open", task, "--identity", "key.txt", "--hash", "sha256:00"); code != exitFailed || strings.Contains(out, secretCanary) {
		t.Errorf("vault open with another claim's hash: exit %d: %s", code, out)
	}
	if out := run("", "open", task, "--vault", "vault.txt"); !strings.Contains(out, secretCanary) {
		t.Errorf("the own copy is %s", out)
	}

	if out := run("", "revoke", task, request, "--reason", "Enough."); !strings.Contains(out, `"state":"revoked"`) {
		t.Errorf("revoking says %s", out)
	}
	if out, code := vaultRun(t, home, "", reader, "open", task, "--identity", "key.txt", "--hash", hash); code != exitFailed || !strings.Contains(out, "access_not_granted") {
		t.Errorf("vault open after it was revoked: exit %d: %s", code, out)
	}

	// Another vault, made of the identity alone, as a browser's recovery file is.
	inShell(t, home, `grep AGE-SECRET-KEY vault.txt > recovery.txt`)
	run("", "restore", "--identity", "recovery.txt", "--vault", "new.txt")
	if out, code := vaultRun(t, home, "", owner, "reseal", task, "--vault", "new.txt"); code != exitFailed || !strings.Contains(out, "--signer") {
		t.Errorf("sealed anew what an unknown key had signed: exit %d: %s", code, out)
	}
	browser := newRecipient(t)
	run(`{"apiToken":"`+secretCanary+`-2"}`, "reseal", task, "--vault", "new.txt", "--identity", "vault.txt", "--values", "-", "--recipient", "recovery:"+browser)
	if to := s.apiCall(t, publisher, "GET", "/agent/tasks/"+task+"/protected-fields", nil)["ownerRecipients"].([]any); len(to) != 2 || to[1] != browser {
		t.Errorf("sealed anew for %v and not for the recovery key of a browser", to)
	}
	if out, code := vaultRun(t, home, "", owner, "grant", task, request, "--vault", "vault.txt", "--fingerprint", fingerprint); code != exitFailed {
		t.Errorf("granted with a vault that agents do not expect: exit %d: %s", code, out)
	}
	run("", "grant", task, request, "--vault", "new.txt", "--fingerprint", fingerprint)
	if got := inShell(t, home, docs[2], agent...); !strings.Contains(got, secretCanary+"-2") {
		t.Errorf("after sealing anew age and jq print %s", got)
	}
	if out, code := vaultRun(t, home, "", reader, "open", task, "--identity", "key.txt", "--hash", hash); code != exitFailed || !strings.Contains(out, "not those of your claim") {
		t.Errorf("a claim's hash of an earlier revision: exit %d: %s", code, out)
	}

	// Nothing of it is anywhere else.
	s.apiCall(t, worker, "DELETE", "/agent/tasks/"+task+"/claim", nil)
	dump := dumpOf(t, dir)
	for _, secret := range append([]string{secretCanary, "AGE-SECRET-KEY-"}, secretsIn(t, filepath.Join(home, "vault.txt"), filepath.Join(home, "key.txt"))...) {
		if strings.Contains(dump, secret) || strings.Contains(s.out.String(), secret) {
			t.Errorf("%.20q is in the database or in the log", secret)
		}
	}
	if !strings.Contains(dump, "BEGIN AGE ENCRYPTED FILE") || !strings.Contains(dump, "claim_ended") {
		t.Error("the dump is not of this database")
	}
}

// dumpOf is a dump of the private database of a running server.
func dumpOf(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "postgres", "*"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no cluster in %s", dir)
	}
	d, err := openDatabase(t.Context(), config{data: dir}, true)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	out, err := exec.CommandContext(t.Context(), "pg_dump", "--dbname="+d.url).Output()
	if err != nil {
		t.Fatalf("pg_dump: %v", err)
	}
	return string(out)
}

// secretsIn are the long words of key files.
func secretsIn(t *testing.T, names ...string) []string {
	t.Helper()
	var out []string
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(text), "\n") {
			if word, ok := strings.CutPrefix(line, signingLine); ok || strings.HasPrefix(line, "AGE-SECRET-KEY-") {
				out = append(out, word)
			}
		}
	}
	return out
}
