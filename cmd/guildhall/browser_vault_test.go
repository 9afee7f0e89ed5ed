package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/chromedp/chromedp"
	"github.com/google/uuid"

	"guildhall/market"
	"guildhall/market/protected"
)

// wire is a proxy before a site that writes down all that browsers send.
type wire struct {
	url string
	mu  sync.Mutex
	all bytes.Buffer
	// slow is how long forms are on their way.
	slow atomic.Int64
}

func (w *wire) sent() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all.String()
}

// tap puts a wire before the site, at an address of the host.
func tap(t *testing.T, site, host string) *wire {
	t.Helper()
	target, err := url.Parse(site)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // the site compares it with the origin
	}}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.mu.Lock()
		fmt.Fprintf(&w.all, "%s %s %v\n%s\n", r.Method, r.URL, r.Header, body)
		if text, err := url.QueryUnescape(string(body)); err == nil {
			fmt.Fprintln(&w.all, text)
		}
		w.mu.Unlock()
		if r.Method == http.MethodPost {
			time.Sleep(time.Duration(w.slow.Load()))
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(out, r)
	})}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	w.url = "http://" + l.Addr().String()
	return w
}

// step waits for a part of the vault's set-up, said for one of its messages.
func (b *tab) step(name string) {
	b.t.Helper()
	b.until(`(e => e && !e.hidden)(document.querySelector('section[data-step="` + name + `"], p[data-step="` + name + `"]'))`)
}

func (b *tab) said(name string) {
	b.t.Helper()
	b.until(`(e => e && !e.hidden)(document.querySelector('[data-say="` + name + `"]'))`)
}

// act presses one of the vault's buttons that is shown.
func (b *tab) act(selector string) {
	b.t.Helper()
	b.until(`(e => e && !e.disabled && (document.querySelectorAll('[data-pressed]').forEach(o => delete o.dataset.pressed), e.dataset.pressed = '', true))([...document.querySelectorAll(` + quote(selector) + `)].find(e => e.checkVisibility()))`)
	b.do(chromedp.Click(chromedp.CSS("[data-pressed]"))) // as a hand does: what moves by it is meant
}

// saveRecovery goes through saving the recovery key and returns the file.
func (b *tab) saveRecovery(name string) string {
	b.t.Helper()
	b.step("saving")
	b.set("[data-recovery-last]", "AAAAAA")
	b.act(`[data-act="saved"]`)
	b.said("not-saved")
	text := eval[string](b, `document.querySelector('[data-recovery-text]').value`)
	file := filepath.Join(b.t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	key := strings.TrimSpace(text)
	b.set("[data-recovery-last]", key[len(key)-6:])
	b.act(`[data-act="saved"]`)
	b.step("ready")
	b.said("made")
	return file
}

// makeKeys makes keys, if the browser has none.
func (b *tab) makeKeys() {
	b.t.Helper()
	b.until(`[...document.querySelectorAll('section[data-step]')].some(e => !e.hidden)`)
	if eval[bool](b, `!document.querySelector('section[data-step="new"]').hidden`) {
		b.act(`[data-act="make"]`)
		b.saveRecovery("recovery.txt")
	}
}

func (b *tab) logIn(handle string) {
	b.t.Helper()
	b.open("/login")
	b.fill(map[string]string{"email": handle + "@example.org", "password": password})
	b.click(`form[action="/login"] button[type=submit]`)
	b.until(`location.pathname !== '/login' && document.querySelector('.purse')`)
}

// publishSealed publishes a task with one protected field.
func (b *tab) publishSealed(title, name, value string, firstKeys bool) (task, recovery string) {
	b.t.Helper()
	b.open("/tasks/new")
	if eval[int](b, `performance.getEntriesByType('resource').filter(e => e.name.includes('vault')).length`) != 0 {
		b.t.Error("the publish page loads the vault's script")
	}
	b.fill(map[string]string{"title": title, "brief": "Log in with the token and count the pages.", "reward": "50"})
	b.click(`#protectedFields`)
	b.click(`.form-foot .btn-cta`)
	b.until(`document.getElementById('vault')`)
	if firstKeys {
		b.step("new")
		b.act(`[data-act="make"]`)
		recovery = b.saveRecovery("recovery.txt")
	}
	b.step("ready")
	b.act(`[data-act="publish"]`)
	b.said("no-values")
	b.set(`[data-rows] input`, name)
	b.set(`[data-rows] textarea`, value)
	b.act(`[data-act="publish"]`)
	b.until(`location.pathname.length > 20 && document.querySelector('#flash').textContent.includes('in escrow')`)
	return strings.TrimPrefix(eval[string](b, "location.pathname"), "/tasks/"), recovery
}

// grantTo grants on the page of the task's protected fields.
func (b *tab) grantTo(task, fingerprint string) {
	b.t.Helper()
	b.open("/tasks/" + task + "/vault")
	b.step("ready")
	b.set(`form[data-request] [data-typed-fingerprint]`, "aaaa-bbbb-cccc-dddd")
	b.act(`[data-act="grant"]`)
	b.said("not-compared")
	b.set(`form[data-request] [data-typed-fingerprint]`, strings.ToLower(fingerprint))
	b.act(`[data-act="grant"]`)
	b.until(`document.querySelector('#flash').textContent.includes('Granted')`)
}

// attack changes what the server's page says and tries to open the own copy.
func (b *tab) attack(what, change, want string) {
	b.t.Helper()
	eval[bool](b, `(d => { `+change+`; return true })(document.getElementById('vault').dataset)`)
	b.act(`[data-act="open"]`)
	b.said(want)
	if strings.Contains(eval[string](b, `[...document.querySelectorAll('[data-rows] textarea')].map(e => e.value).join()`), "canary") {
		b.t.Errorf("%s: the value was shown", what)
	}
}

// TestProtectedFieldsInBrowser is the whole way in a real browser, with a
// recorder on the wire: keys and recovery, publishing, granting to classic and
// post-quantum keys, a lost browser, attacks by the server, a new recovery key.
func TestProtectedFieldsInBrowser(t *testing.T) {
	needsPostgres(t)
	needsAge(t)
	dir := dataDir(t)
	s := start(t, dir, "GUILDHALL_METRICS_ADDR=127.0.0.1:0")
	w := tap(t, s.url, "127.0.0.1")
	home := t.TempDir()
	register := func(handle string) string {
		return s.apiCall(t, "", "POST", "/agents/register", map[string]any{"handle": handle})["apiKey"].(string)
	}

	first := newTab(t, w.url)
	first.person("vault-owner")
	task, recovery := first.publishSealed("Check the staging site", "apiToken", secretCanary, true)
	if n := eval[string](first, `(async () => {
		const db = await new Promise(ok => { const r = indexedDB.open('guildhall-vault'); r.onsuccess = () => ok(r.result) });
		const keys = await new Promise(ok => { const r = db.transaction('keys').objectStore('keys').get('vault-owner'); r.onsuccess = () => ok(r.result) });
		db.close();
		const out = [];
		for (const key of [keys.device, keys.signer.privateKey]) for (const format of ['pkcs8', 'jwk', 'raw'])
			await crypto.subtle.exportKey(format, key).then(() => out.push(format), () => 0);
		return out.join() || 'none';
	})()`); n != "none" {
		t.Errorf("the keys of the browser can be exported as %s", n)
	}

	// A classic key: Debian's age opens what the browser sealed, as README says.
	lines := readmeLines(t, "secret-bundle")
	worker := register("vault-classic")
	receipt := s.apiCall(t, worker, "POST", "/agent/tasks/"+task+"/claim", nil)
	hash := receipt["claim"].(map[string]any)["protectedHash"].(string)
	agent := []string{"API=" + s.url + "/api/v1", "AUTH=Authorization: Bearer " + worker, "TASK=" + task}
	inShell(t, home, strings.Join(lines[:len(lines)-1], "\n"), agent...)
	first.grantTo(task, market.Fingerprint(inShell(t, home, "age-keygen -y key.txt")))
	if got := inShell(t, home, lines[len(lines)-1], agent...); !strings.Contains(got, secretCanary) {
		t.Errorf("Debian's age prints %s", got)
	}
	reader := []string{"GUILDHALL_SERVER=" + s.url, "GUILDHALL_KEY=" + worker}
	if out, code := vaultRun(t, home, "", reader, "open", task, "--identity", "key.txt", "--hash", hash); code != exitDone || !strings.Contains(out, secretCanary) {
		t.Errorf("vault open of what the browser sealed: exit %d: %s", code, out)
	}
	s.apiCall(t, worker, "DELETE", "/agent/tasks/"+task+"/claim", nil)

	// A post-quantum key: Go opens it.
	quantum := register("vault-quantum")
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "pq.txt"), []byte(id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	recipient := id.Recipient().String()
	offered := s.apiCall(t, quantum, "PUT", "/agent/encryption-key", map[string]any{"recipient": recipient})
	s.apiCall(t, quantum, "POST", "/agent/encryption-key/confirm", map[string]any{"nonce": opened(t, offered["challenge"].(string), id)})
	s.apiCall(t, quantum, "POST", "/agent/tasks/"+task+"/claim", nil)
	s.apiCall(t, quantum, "POST", "/agent/tasks/"+task+"/secret-access", nil)
	first.open("/tasks/" + task + "/vault")
	first.until(`document.querySelector('.notice-warn strong')?.textContent.includes('Change these values')`)
	first.grantTo(task, market.Fingerprint(recipient))
	bundle := func(rev int, signer string) (protected.Payload, error) {
		b := s.apiCall(t, quantum, "GET", "/agent/tasks/"+task+"/secret-bundle", nil)["bundle"].(string)
		return protected.Open(b, protected.Want{Task: task, Rev: rev, To: market.Fingerprint(recipient), Signer: signer}, id)
	}
	signer := func() string {
		return s.apiCall(t, quantum, "GET", "/agent/tasks/"+task, nil)["protectedFields"].(map[string]any)["signerKey"].(string)
	}
	oldSigner := signer()
	if p, err := bundle(1, oldSigner); err != nil || p.Values["apiToken"] != secretCanary {
		t.Errorf("the post-quantum bundle: %v %v", p.Values, err)
	}

	// The browser is lost: another one, with the recovery file.
	second := newTab(t, w.url)
	second.logIn("vault-owner")
	second.open("/tasks/" + task + "/vault")
	second.step("new")
	second.do(chromedp.SetUploadFiles(chromedp.CSS(`section[data-step="new"] [data-recovery-open]`), []string{recovery}))
	second.act(`[data-act="restore"]`)
	second.step("ready")
	second.act(`[data-act="open"]`)
	second.said("opened-recovery")
	second.until(`document.querySelector('[data-rows] textarea').value === ` + quote(secretCanary))
	second.set(`[data-rows] textarea`, secretCanary+"-2")
	second.act(`[data-act="reseal"]`)
	second.until(`document.querySelector('#flash').textContent.includes('Sealed anew')`)
	second.grantTo(task, market.Fingerprint(recipient))
	if p, err := bundle(2, signer()); err != nil || p.Values["apiToken"] != secretCanary+"-2" || signer() == oldSigner {
		t.Errorf("after the recovery: %v %v", p.Values, err)
	}
	if _, err := bundle(2, oldSigner); err == nil {
		t.Error("an agent that remembers the old signing key takes the new one without asking")
	}
	first.open("/tasks/" + task + "/vault")
	first.step("ready")
	first.act(`[data-act="open"]`)
	first.said("unknown-signer")

	// The server shows what is not so.
	other, _ := second.publishSealed("Check the other site", "otherToken", "other-"+secretCanary, false)
	second.open("/tasks/" + other + "/vault")
	swapped := eval[string](second, `document.getElementById('vault').dataset.ciphertext`)
	open := func() {
		second.open("/tasks/" + task + "/vault")
		second.step("ready")
	}
	open()
	mine := eval[string](second, `document.getElementById('vault').dataset.ciphertext`)
	second.attack("swapped between tasks", `d.revision = 1; d.ciphertext = `+quote(swapped), "rolled-back")
	open()
	second.attack("another task's, as revision 2", `d.ciphertext = `+quote(swapped), "other-task")
	open()
	second.attack("another signer", `d.signer = `+quote(oldSigner), "signature")
	open()
	second.attack("a signer of the server", `d.signer = "c2VydmVyc2VydmVyc2VydmVyc2VydmVyc2VydmVyc2U="`, "unknown-signer")
	open()
	second.attack("an older revision", `d.revision = 1`, "rolled-back")
	open()
	second.attack("a later revision", `d.revision = 3`, "other-revision")
	open()
	second.attack("changed", `d.ciphertext = `+quote(mine[:400]+flip(mine[400])+mine[401:]), "cannot-open")
	open()
	eval[bool](second, `(document.querySelector('form[data-request]').dataset.recipient = 'age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqs9rgmp9', true)`)
	second.set(`form[data-request] [data-typed-fingerprint]`, market.Fingerprint(recipient))
	second.act(`[data-act="grant"]`)
	second.said("not-compared")
	if v := eval[string](second, `document.querySelector('form[data-request] [name=bundle]').value`); v != "" {
		t.Error("something was sealed to a key that the server put in the agent's place")
	}

	// A new recovery key, and the first browser as another device.
	first.open("/vault")
	first.step("ready")
	device := strings.Fields(eval[string](first, `document.querySelector('[data-recipients]').value`))[0]
	second.open("/vault")
	second.step("ready")
	second.set(`section[data-needs-keys] [data-join]`, "age1nonsense")
	second.act(`[data-act="join"]`)
	second.said("no-recipient")
	second.set(`section[data-needs-keys] [data-join]`, device)
	second.act(`[data-act="join"]`)
	second.said("joined")
	second.act(`[data-act="rotate"]`)
	renewed := second.saveRecovery("renewed.txt")
	open()
	second.act(`[data-act="open"]`)
	second.said("opened")
	second.act(`[data-act="reseal"]`)
	second.until(`document.querySelector('#flash').textContent.includes('Sealed anew')`)
	open()
	sealedAnew := eval[string](second, `document.getElementById('vault').dataset.ciphertext`)
	for file, want := range map[string]bool{recovery: false, renewed: true} {
		keys, err := readVault(file)
		if err != nil {
			t.Fatal(err)
		}
		_, err = protected.Open(sealedAnew, protected.Want{Task: task, Rev: 3, To: protected.ToOwner, Signer: signer()}, keys.identities...)
		if (err == nil) != want {
			t.Errorf("%s opens it: %v, want %t", filepath.Base(file), err, want)
		}
	}
	to := s.apiCall(t, quantum, "GET", "/agent/tasks/"+task, nil)["protectedFields"].(map[string]any)["ownerRecipients"]
	if text, _ := json.Marshal(to); !strings.Contains(string(text), device) {
		t.Errorf("it is not sealed to the other device: %s", text)
	}

	// What Go has sealed the browser opens, with the recovery file.
	keys, err := readVault(renewed)
	if err != nil {
		t.Fatal(err)
	}
	_, goSigner, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	keys.signer = goSigner
	goTask := uuid.Must(uuid.NewV7()).String()
	byGo, err := vaultCommand{remote: &remote{server: s.url}}.sealOwn(keys, goTask, 1, map[string]string{"goToken": "go-" + secretCanary + " ✓ \"<&"})
	if err != nil {
		t.Fatal(err)
	}
	eval[bool](second, fmt.Sprintf(`(f => { f.method = 'post'; f.action = '/tasks';
		for (const [name, value] of Object.entries(%s)) { const i = document.createElement('textarea'); i.name = name; i.value = value; f.append(i) }
		document.body.append(f); f.submit(); return true })(document.createElement('form'))`, asJSON(t, map[string]string{
		"title": "Sealed by Go", "brief": "Log in with the token and count.", "reward": "5", "idempotencyKey": "by-go", "protectedFields.taskId": goTask, "protectedFields.names": "goToken",
		"protectedFields.ciphertext": byGo.Ciphertext, "protectedFields.ownerRecipients": byGo.OwnerRecipients[0], "protectedFields.signerKey": byGo.SignerKey})))
	second.until(`location.pathname === '/tasks/` + goTask + `'`)
	second.open("/tasks/" + goTask + "/vault")
	second.step("ready")
	second.act(`[data-act="open"]`)
	second.said("unknown-signer")
	second.click(`section[data-needs-keys] summary`)
	second.do(chromedp.SetUploadFiles(chromedp.CSS(`section[data-needs-keys] [data-recovery-open]`), []string{renewed}))
	second.act(`[data-act="restore"]`)
	second.said("restored")
	second.act(`[data-act="open"]`)
	second.said("opened-recovery")
	second.until(`document.querySelector('[data-rows] textarea').value === ` + quote("go-"+secretCanary+" ✓ \"<&"))

	// Deny and revoke are plain forms.
	open()
	second.send(`form[action$="/revoke"]`, "")
	second.until(`document.querySelector('#flash').textContent.includes('Revoked')`)

	// Without scripts nothing can be published, and a page says why.
	plain := newTab(t, w.url)
	plain.logIn("vault-owner")
	plain.withoutScripts()
	plain.open("/tasks/new")
	plain.fill(map[string]string{"title": "Without scripts", "brief": "Log in with the token and count the pages.", "reward": "50"})
	plain.click(`#protectedFields`)
	plain.click(`.form-foot .btn-cta`)
	plain.until(`document.querySelector('#vault noscript .notice, #vault .notice-warn')?.checkVisibility() && ![...document.querySelectorAll('#vault button')].some(e => e.checkVisibility())`)

	insecure(t, s.url)

	metrics := metricsOf(t, s)
	places := map[string]string{"what the browsers sent": w.sent(), "the database": dumpOf(t, dir), "the log": s.out.String(), "the metrics": metrics}
	for place, text := range places {
		if len(text) < 1000 {
			t.Errorf("%s is too short to be true: %q", place, text)
		}
		for _, secret := range append([]string{"canary", "AGE-SECRET-KEY-"}, secretsIn(t, recovery, renewed, filepath.Join(home, "key.txt"))...) {
			if strings.Contains(text, secret) {
				t.Errorf("%s has %.24q", place, secret)
			}
		}
	}
	if !strings.Contains(places["what the browsers sent"], "BEGIN AGE ENCRYPTED FILE") {
		t.Error("the recorder missed what was sealed")
	}
	audited(t, dir, 0)
}

// insecure opens the vault by an address that is neither https nor localhost.
func insecure(t *testing.T, site string) {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		ip, _, _ := net.ParseCIDR(a.String())
		if ip.To4() == nil || ip.IsLoopback() {
			continue
		}
		b := newTab(t, tap(t, site, ip.String()).url)
		b.insecure.Store(true)
		b.logIn("vault-owner")
		b.open("/vault")
		b.step("insecure")
		b.until(`![...document.querySelectorAll('#vault button')].some(e => e.checkVisibility())`)
		return
	}
	t.Log("this machine has no address but its own")
}

func opened(t *testing.T, sealed string, id age.Identity) string {
	t.Helper()
	text, err := protected.Decrypt(sealed, id)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// flip is another character of base64.
func flip(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

// metricsOf reads the metrics of a site that was started with an address for them.
func metricsOf(t *testing.T, s *site) string {
	t.Helper()
	_, after, ok := strings.Cut(s.out.String(), "Metrics: ")
	if !ok {
		t.Fatalf("no metrics: %s", s.out.String())
	}
	res, err := http.Get(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
