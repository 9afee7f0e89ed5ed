package handlers_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"io"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/google/uuid"

	"guildhall/market"
	"guildhall/market/protected"
	"guildhall/store"
)

// sealer is a publisher's vault.
type sealer struct {
	id     *age.X25519Identity
	signer ed25519.PrivateKey
}

func newSealer(t testing.TB) sealer {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	_, signer, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return sealer{id, signer}
}

func (s sealer) public() string {
	return base64.StdEncoding.EncodeToString(s.signer.Public().(ed25519.PublicKey))
}

const canary = "canary-hunter2-plaintext"

// seal makes a bundle, or with to "owner" the publisher's own copy.
func (s sealer) seal(t testing.TB, task string, rev int, to string, recipients ...string) string {
	t.Helper()
	text, err := protected.Seal(protected.Payload{Origin: "http://test", Task: task, Rev: rev, To: to, IssuedAt: time.Now(), Values: map[string]string{"apiToken": canary}}, s.signer, recipients...)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// fields are protectedFields of a new task.
func (s sealer) fields(t testing.TB, id string) map[string]any {
	t.Helper()
	to := s.id.Recipient().String()
	return map[string]any{"taskId": id, "names": []string{"apiToken"}, "ciphertext": s.seal(t, id, 1, protected.ToOwner, to), "ownerRecipient": to, "signerKey": s.public()}
}

func newTaskID() string { return uuid.Must(uuid.NewV7()).String() }

func (s *server) publishProtected(t testing.TB, key string, v sealer) string {
	t.Helper()
	id, body := newTaskID(), task(10)
	body["protectedFields"] = v.fields(t, id)
	r := s.want(t, 201, s.call(t, key, "POST", "/api/v1/agent/tasks", body, "Idempotency-Key", unique("key")))
	if r.at("id") != id {
		t.Fatalf("got the id %v, want the one that was chosen", r.at("id"))
	}
	return id
}

// opener is an agent's identity.
type opener interface {
	age.Identity
	String() string
}

// register a key, by what only its holder can do.
func (s *server) confirmKey(t testing.TB, key, recipient string, id age.Identity) reply {
	t.Helper()
	offered := s.want(t, 200, s.call(t, key, "PUT", "/api/v1/agent/encryption-key", map[string]any{"recipient": recipient}))
	if offered.at("confirmed") != false {
		t.Fatalf("an offered key is %s", offered.text)
	}
	return s.call(t, key, "POST", "/api/v1/agent/encryption-key/confirm", map[string]any{"nonce": decrypt(t, offered.at("challenge").(string), id)})
}

func decrypt(t testing.TB, sealed string, id age.Identity) string {
	t.Helper()
	r, err := age.Decrypt(armor.NewReader(strings.NewReader(sealed)), id)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func x25519Key(t testing.TB) (opener, string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id, id.Recipient().String()
}

func hybridKey(t testing.TB) (opener, string) {
	t.Helper()
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return id, id.Recipient().String()
}

func TestProtectedFieldsByAPI(t *testing.T) {
	t.Parallel()
	for name, newKey := range map[string]func(testing.TB) (opener, string){"classic": x25519Key, "post-quantum": hybridKey} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			publisher, worker, stranger := s.register(t), s.register(t), s.register(t)
			v := newSealer(t)
			id := s.publishProtected(t, publisher, v)
			base := "/api/v1/agent/tasks/" + id
			next := func(of, want string) {
				t.Helper()
				all := s.want(t, 200, s.call(t, of, "GET", base, nil)).at("pendingActions").([]any)
				got := ""
				for _, x := range all {
					if name := x.(map[string]any)["action"].(string); strings.HasSuffix(name, "_secrets") {
						got += name
					}
				}
				if got != want {
					t.Errorf("the next step about secrets is %q, want %q", got, want)
				}
			}

			shown := s.call(t, "", "GET", "/api/v1/market/tasks/"+id, nil)
			if shown.at("protectedFields.names.0") != "apiToken" || shown.at("protectedFields.signerKey") != v.public() || shown.at("protectedFields.fingerprint") != market.Fingerprint(v.public()) || strings.Contains(shown.text, "AGE ENCRYPTED") {
				t.Errorf("everybody sees %s", shown.text)
			}
			for filter, want := range map[string]bool{"?hasProtected=true": true, "?hasProtected=false": false, "": true, "?hasProtected=true&skills=csv": true, "?hasProtected=true&skills=absent": false} {
				if got := strings.Contains(s.call(t, "", "GET", "/api/v1/market/tasks"+filter, nil).text, id); got != want {
					t.Errorf("the market with %s has the task: %t, want %t", filter, got, want)
				}
			}
			plain := s.publish(t, publisher, 10)
			if strings.Contains(s.call(t, "", "GET", "/api/v1/market/tasks?hasProtected=true", nil).text, plain) {
				t.Error("a task without protected fields is listed among those with")
			}

			if r := s.call(t, worker, "POST", base+"/secret-access", nil); r.status != 404 {
				t.Errorf("before the claim: got %d, want 404", r.status)
			}
			mara, _ := s.human(t)
			delegate := mara.bundle(t, "/console/bundles/new?preset=work", url.Values{"secret": {"key"}}).document.at("apiKey").(string)
			if r := s.call(t, delegate, "GET", base, nil); strings.Contains(r.text, `"action":"claim"`) {
				t.Errorf("a claim is offered to a bundle: %s", r.text)
			}
			if r := s.call(t, delegate, "POST", base+"/claim", nil); r.status != 403 || r.code() != "own_key_required" {
				t.Errorf("a claim through a bundle: %d %s", r.status, r.text)
			}
			claim := s.claim(t, worker, id)
			pinned := market.Protected{Revision: 1, Names: []string{"apiToken"}, OwnerRecipients: []string{v.id.Recipient().String()}, SignerKey: v.public()}
			if claim.at("claim.protectedHash") != pinned.Hash(market.TaskID(id)) || claim.at("task.protectedFields.hash") != claim.at("claim.protectedHash") {
				t.Errorf("the receipt of the claim is %s", claim.text)
			}
			if claim.at("task.pendingActions.0.action") != "request_secrets" {
				t.Errorf("after the claim the next steps are %v", claim.at("task.pendingActions"))
			}
			next(worker, "request_secrets")
			next(publisher, "")
			for _, path := range []string{"POST /secret-access", "GET /secret-access", "GET /secret-bundle"} {
				method, rest, _ := strings.Cut(path, " ")
				if r := s.call(t, worker, method, base+rest, nil); r.status != 412 || r.code() != "encryption_key_required" {
					t.Errorf("%s without a key: got %d %s", path, r.status, r.text)
				}
				if r := s.call(t, stranger, method, base+rest, nil); r.status != 404 {
					t.Errorf("%s by a stranger: got %d, want 404", path, r.status)
				}
				if r := s.call(t, publisher, method, base+rest, nil); r.status != 404 {
					t.Errorf("%s by the publisher: got %d, want 404", path, r.status)
				}
			}
			agent, recipient := newKey(t)
			s.want(t, 200, s.confirmKey(t, worker, recipient, agent))
			if r := s.call(t, worker, "GET", base+"/secret-access", nil); r.status != 403 || r.code() != "access_not_granted" {
				t.Errorf("before asking: got %d %s", r.status, r.text)
			}
			asked := s.want(t, 201, s.call(t, worker, "POST", base+"/secret-access", nil))
			if asked.at("state") != "pending" || asked.at("fingerprint") != market.Fingerprint(recipient) {
				t.Errorf("asking got %s", asked.text)
			}
			next(worker, "")
			next(publisher, "decide_secrets")
			if r := s.call(t, worker, "GET", base+"/secret-bundle", nil); r.status != 403 || r.code() != "access_not_granted" {
				t.Errorf("before the grant: got %d %s", r.status, r.text)
			}

			// The publisher opens its own copy and seals it to the agent.
			own := s.want(t, 200, s.call(t, publisher, "GET", base+"/protected-fields", nil))
			p, err := protected.Open(own.at("ciphertext").(string), protected.Want{Task: id, Rev: 1, To: protected.ToOwner, Signer: v.public()}, v.id)
			if err != nil || p.Values["apiToken"] != canary {
				t.Fatalf("the own copy: %v %v", p, err)
			}
			requests := s.want(t, 200, s.call(t, publisher, "GET", base+"/secret-requests", nil))
			q := requests.at("items.0.id").(string)
			if q != asked.at("requestId") || requests.at("items.0.familiar") != "first_time" || requests.at("items.0.recipient") != recipient {
				t.Errorf("the publisher sees %s", requests.text)
			}
			grant := map[string]any{"revision": 1, "bundle": v.seal(t, id, 1, market.Fingerprint(recipient), recipient)}
			wrong := maps.Clone(grant)
			_, otherKind := map[string]func(testing.TB) (opener, string){"classic": hybridKey, "post-quantum": x25519Key}[name](t)
			for what, bundle := range map[string]string{"plain text": canary, "the own copy's kind": v.seal(t, id, 1, "x", otherKind), "nothing": ""} {
				wrong["bundle"] = bundle
				if r := s.call(t, publisher, "POST", base+"/secret-requests/"+q+"/grant", wrong); r.status != 422 || r.pointer() != "/bundle" || strings.Contains(r.text, canary) {
					t.Errorf("%s as a bundle: got %d %s", what, r.status, r.text)
				}
			}
			wrong["bundle"], wrong["revision"] = grant["bundle"], 2
			if r := s.call(t, publisher, "POST", base+"/secret-requests/"+q+"/grant", wrong); r.code() != "revision_changed" {
				t.Errorf("another revision: got %d %s", r.status, r.text)
			}
			s.want(t, 200, s.call(t, publisher, "POST", base+"/secret-requests/"+q+"/grant", grant))
			next(worker, "fetch_secrets")
			next(publisher, "")
			next(stranger, "")
			if renewed := s.want(t, 200, s.call(t, worker, "POST", base+"/claim/renew", nil)); renewed.at("task.pendingActions.0.action") != "fetch_secrets" {
				t.Errorf("after renewing the next steps are %v", renewed.at("task.pendingActions"))
			}
			got := s.want(t, 200, s.call(t, worker, "GET", base+"/secret-bundle", nil))
			if got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("a bundle may be kept: %q", got.header.Get("Cache-Control"))
			}
			p, err = protected.Open(got.at("bundle").(string), protected.Want{Task: id, Rev: 1, To: market.Fingerprint(recipient), Signer: v.public()}, agent)
			if err != nil || p.Values["apiToken"] != canary {
				t.Errorf("the agent opens %v (%v)", p.Values, err)
			}
			if r := s.call(t, stranger, "GET", base+"/secret-bundle", nil); r.status != 404 {
				t.Errorf("another agent: got %d", r.status)
			}

			// A new key makes the grant worthless, and nothing is granted by itself.
			newer, nextRecipient := newKey(t)
			s.want(t, 200, s.confirmKey(t, worker, nextRecipient, newer))
			next(worker, "request_secrets")
			if r := s.call(t, worker, "GET", base+"/secret-bundle", nil); r.status != 409 || r.code() != "key_rotated" {
				t.Errorf("after the key changed: got %d %s", r.status, r.text)
			}
			if r := s.call(t, publisher, "POST", base+"/secret-requests/"+q+"/grant", grant); r.code() != "key_rotated" {
				t.Errorf("a grant for the old key: got %d %s", r.status, r.text)
			}
			s.want(t, 201, s.call(t, worker, "POST", base+"/secret-access", nil))
			requests = s.want(t, 200, s.call(t, publisher, "GET", base+"/secret-requests", nil))
			if requests.at("items.0.familiar") != "changed" || requests.at("items.0.state") != "pending" || requests.at("items.1.state") != "stale" || requests.at("rotate") != true {
				t.Errorf("after the key changed the publisher sees %s", requests.text)
			}
			q = requests.at("items.0.id").(string)
			if r := s.call(t, publisher, "POST", base+"/secret-requests/"+q+"/revoke", map[string]any{}); r.code() != "request_decided" {
				t.Errorf("revoking what was not granted: got %d %s", r.status, r.text)
			}
			s.want(t, 200, s.call(t, publisher, "POST", base+"/secret-requests/"+q+"/deny", map[string]any{"reason": "Who are you?"}))
			if r := s.call(t, worker, "POST", base+"/secret-access", nil); r.at("state") != "denied" || r.at("reason") != "Who are you?" {
				t.Errorf("asked again after a no: got %s", r.text)
			}
			next(worker, "")
			next(publisher, "")
			grant["bundle"] = v.seal(t, id, 1, market.Fingerprint(nextRecipient), nextRecipient)
			s.want(t, 200, s.call(t, publisher, "POST", base+"/secret-requests/"+q+"/grant", grant))
			s.want(t, 200, s.call(t, worker, "GET", base+"/secret-bundle", nil))
			s.want(t, 200, s.call(t, publisher, "POST", base+"/secret-requests/"+q+"/revoke", map[string]any{"reason": "Enough."}))
			if r := s.call(t, worker, "GET", base+"/secret-bundle", nil); r.code() != "access_not_granted" {
				t.Errorf("after revoking: got %d %s", r.status, r.text)
			}
			trail := s.want(t, 200, s.call(t, publisher, "GET", base+"/secret-requests", nil))
			for _, event := range []string{"sealed", "requested", "granted", "fetched", "key_changed", "denied", "revoked"} {
				if !strings.Contains(trail.text, `"event":"`+event+`"`) {
					t.Errorf("the trail lacks %s: %s", event, trail.text)
				}
			}
			if strings.Contains(s.log.String(), canary) || strings.Contains(s.log.String(), "AGE ENCRYPTED") {
				t.Error("the log holds a value or a ciphertext")
			}
			s.balanced(t)
		})
	}
}

func TestProtectedFieldsAreRefusedUnsealed(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, v := s.register(t), newSealer(t)
	_, pq := hybridKey(t)
	old := uuid.Must(uuid.NewV7()).String()
	old = "0190" + old[4:] // of 2024
	future := "ffff" + old[4:]
	for name, c := range map[string]struct {
		change  func(body, fields map[string]any)
		pointer string
	}{
		"plain text":           {func(_, f map[string]any) { f["ciphertext"] = `{"apiToken":"` + canary + `"}` }, "/protectedFields/ciphertext"},
		"no ciphertext":        {func(_, f map[string]any) { delete(f, "ciphertext") }, "/protectedFields/ciphertext"},
		"for others":           {func(_, f map[string]any) { f["ownerRecipients"] = []string{pq}; delete(f, "ownerRecipient") }, "/protectedFields/ciphertext"},
		"no recipient":         {func(_, f map[string]any) { delete(f, "ownerRecipient") }, "/protectedFields/ownerRecipients"},
		"a secret key":         {func(_, f map[string]any) { f["ownerRecipient"] = v.id.String() }, "/protectedFields/ownerRecipients"},
		"an SSH key":           {func(_, f map[string]any) { f["ownerRecipients"] = []string{"ssh-ed25519 AAAA"} }, "/protectedFields/ownerRecipients"},
		"too large":            {func(_, f map[string]any) { f["ciphertext"] = strings.Repeat("x", market.MaxSealed+1) }, "/protectedFields/ciphertext"},
		"open mode":            {func(b, _ map[string]any) { b["mode"] = "open" }, "/protectedFields"},
		"no names":             {func(_, f map[string]any) { f["names"] = []string{} }, "/protectedFields/names"},
		"a name with a blank":  {func(_, f map[string]any) { f["names"] = []string{"api token"} }, "/protectedFields/names/0"},
		"a name twice":         {func(_, f map[string]any) { f["names"] = []string{"a", "a"} }, "/protectedFields/names/1"},
		"a signer that is not": {func(_, f map[string]any) { f["signerKey"] = "AAAA" }, "/protectedFields/signerKey"},
		"an old id":            {func(_, f map[string]any) { f["taskId"] = old }, "/protectedFields/taskId"},
		"an id of the future":  {func(_, f map[string]any) { f["taskId"] = future }, "/protectedFields/taskId"},
		"no id":                {func(_, f map[string]any) { delete(f, "taskId") }, "/protectedFields/taskId"},
		"a value":              {func(_, f map[string]any) { f["values"] = map[string]any{"apiToken": "x"} }, "/protectedFields/values"},
	} {
		body, fields := task(10), v.fields(t, newTaskID())
		c.change(body, fields)
		body["protectedFields"] = fields
		r := s.call(t, publisher, "POST", "/api/v1/agent/tasks", body, "Idempotency-Key", unique("key"))
		if r.status != 422 || r.pointer() != c.pointer || strings.Contains(r.text, canary) || strings.Contains(r.text, "AGE-SECRET-KEY") {
			t.Errorf("%s: got %d %s, want 422 at %s", name, r.status, r.text, c.pointer)
		}
	}
	if w := s.call(t, publisher, "GET", "/api/v1/agent/wallet", nil); w.at("granted") != 1000.0 {
		t.Errorf("the refusals cost something: %s", w.text)
	}
	if strings.Contains(s.log.String(), canary) {
		t.Error("the log holds what was refused")
	}
}

func TestResealByAPI(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher, other, v := s.register(t), s.register(t), newSealer(t)
	id := s.publishProtected(t, publisher, v)
	path := "/api/v1/agent/tasks/" + id + "/protected-fields"
	next := newSealer(t)
	to := next.id.Recipient().String()
	body := map[string]any{"revision": 2, "ciphertext": next.seal(t, id, 2, protected.ToOwner, to), "ownerRecipients": []string{to}, "signerKey": next.public()}
	if r := s.call(t, other, "PUT", path, body); r.status != 403 {
		t.Errorf("another account: got %d", r.status)
	}
	scoped := s.want(t, 201, s.call(t, publisher, "POST", "/api/v1/agent/keys", map[string]any{"name": "publishes", "scopes": []string{"tasks:publish", "tasks:read"}})).at("apiKey").(string)
	if r := s.call(t, scoped, "GET", path, nil); r.code() != "scope_missing" {
		t.Errorf("a key without secrets:grant: got %d %s", r.status, r.text)
	}
	bad := maps.Clone(body)
	bad["ciphertext"] = canary
	if r := s.call(t, publisher, "PUT", path, bad); r.status != 422 || r.pointer() != "/ciphertext" {
		t.Errorf("plain text: got %d %s", r.status, r.text)
	}
	r := s.want(t, 200, s.call(t, publisher, "PUT", path, body))
	if r.at("revision") != 2.0 || r.at("names.0") != "apiToken" || r.at("signerKey") != next.public() {
		t.Errorf("got %s", r.text)
	}
	if r := s.call(t, publisher, "PUT", path, body); r.status != 409 || r.code() != "revision_changed" {
		t.Errorf("the same revision again: got %d %s", r.status, r.text)
	}
	own := s.want(t, 200, s.call(t, publisher, "GET", path, nil))
	if _, err := protected.Open(own.at("ciphertext").(string), protected.Want{Task: id, Rev: 2, To: protected.ToOwner, Signer: next.public()}, next.id); err != nil {
		t.Errorf("with the new key: %v", err)
	}
	if _, err := protected.Open(own.at("ciphertext").(string), protected.Want{Task: id, Rev: 2, To: protected.ToOwner, Signer: next.public()}, v.id); err == nil {
		t.Error("the old key still opens it")
	}
}

func TestEncryptionKeys(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	id, recipient := x25519Key(t)
	made := s.want(t, 201, s.call(t, "", "POST", "/api/v1/agents/register", map[string]any{"handle": unique("agent"), "encryptionRecipient": recipient}))
	key := made.at("apiKey").(string)
	if made.at("encryptionKey.confirmed") != false || made.at("encryptionKey.fingerprint") != market.Fingerprint(recipient) {
		t.Errorf("registered as %s", made.text)
	}
	const path = "/api/v1/agent/encryption-key"
	if r := s.want(t, 200, s.call(t, key, "GET", path, nil)); r.at("key") != nil || r.at("offered.recipient") != recipient {
		t.Errorf("before it is confirmed: %s", r.text)
	}
	for _, nonce := range []string{"", "guess", recipient} {
		if r := s.call(t, key, "POST", path+"/confirm", map[string]any{"nonce": nonce}); r.status != 422 || r.code() != "challenge_failed" {
			t.Errorf("the nonce %q: got %d %s", nonce, r.status, r.text)
		}
	}
	s.want(t, 200, s.call(t, key, "POST", path+"/confirm", map[string]any{"nonce": decrypt(t, made.at("encryptionKey.challenge").(string), id)}))
	if r := s.want(t, 200, s.call(t, key, "GET", path, nil)); r.at("key.recipient") != recipient || r.at("offered") != nil {
		t.Errorf("after it is confirmed: %s", r.text)
	}
	if r := s.want(t, 200, s.call(t, key, "PUT", path, map[string]any{"recipient": recipient})); r.at("confirmed") != true || r.at("challenge") != nil {
		t.Errorf("the same key again: %s", r.text)
	}
	next, nextRecipient := hybridKey(t)
	s.want(t, 200, s.confirmKey(t, key, nextRecipient, next))
	if r := s.want(t, 200, s.call(t, key, "GET", path, nil)); r.at("key.kind") != "mlkem768x25519" || r.at("history.0.recipient") != recipient || r.at("history.0.replacedAt") == nil {
		t.Errorf("after the change: %s", r.text)
	}
	for name, bad := range map[string]string{"ssh": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8F0f4QYc8Yp3gX0a0bB6oS6Y7oR0yVn1h2Jb2s3d4e",
		"a plugin": "age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t", "a tag": "age1tag1qt8lw0ual6avlwmwatk888yqnmdamm7xfd0wak53ut6elz5c4swx2gjlz6n",
		"a secret key": id.String(), "nothing": "", "words": "a passphrase"} {
		if r := s.call(t, key, "PUT", path, map[string]any{"recipient": bad}); r.status != 422 || r.pointer() != "/recipient" || (bad != "" && strings.Contains(r.text, bad)) {
			t.Errorf("%s: got %d %s", name, r.status, r.text)
		}
	}
	if r := s.call(t, "", "POST", "/api/v1/agents/register", map[string]any{"handle": unique("agent"), "encryptionRecipient": "ssh-rsa AAAA"}); r.status != 422 || r.pointer() != "/encryptionRecipient" {
		t.Errorf("registered with an SSH key: %d %s", r.status, r.text)
	}
}

// sealedBy publishes a task with protected fields as the account and lets the
// worker claim it and ask for them.
func (s *server) sealedBy(t testing.TB, account, worker string) string {
	t.Helper()
	v, id := newSealer(t), newTaskID()
	to := v.id.Recipient().String()
	d := market.Draft{Title: "Check the staging site", Brief: "Log in with the token and count.", Reward: 1, Protected: &market.ProtectedDraft{TaskID: market.TaskID(id),
		Ciphertext: v.seal(t, id, 1, protected.ToOwner, to), Protected: market.Protected{Names: []string{"apiToken"}, OwnerRecipients: []string{to}, SignerKey: v.public()}}}
	if bad := d.Clean(time.Now()); bad != nil {
		t.Fatal(bad)
	}
	if _, err := s.store.PublishTask(t.Context(), store.Caller{Actor: market.Actor{Account: market.AccountID(account), Kind: market.Human}}, d); err != nil {
		t.Fatal(err)
	}
	agent, recipient := x25519Key(t)
	s.confirmKey(t, worker, recipient, agent)
	s.claim(t, worker, id)
	s.want(t, 201, s.call(t, worker, "POST", "/api/v1/agent/tasks/"+id+"/secret-access", nil))
	return id
}
