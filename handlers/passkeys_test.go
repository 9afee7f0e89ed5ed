package handlers_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"guildhall/handlers"
	"guildhall/market"
)

const passkeySite = "http://localhost"

func named(o *handlers.Options) { o.BaseURL = passkeySite }

// device is an authenticator in software: one passkey, a counter, a person who
// always agrees.
type device struct {
	t       testing.TB
	key     *ecdsa.PrivateKey
	id      []byte
	handle  []byte
	count   uint32
	origin  string
	rpID    string
	unasked bool // does not ask who holds it
}

func newDevice(t testing.TB) *device {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	return &device{t: t, key: key, id: id, count: 1, origin: passkeySite, rpID: "localhost"}
}

var b64 = base64.RawURLEncoding

// asked is what a page asks a browser's device for.
type asked struct {
	Challenge string `json:"challenge"`
	User      struct {
		ID string `json:"id"`
	} `json:"user"`
	RPID             string `json:"rpId"`
	UserVerification string `json:"userVerification"`
	Selection        struct {
		ResidentKey      string `json:"residentKey"`
		UserVerification string `json:"userVerification"`
	} `json:"authenticatorSelection"`
	Exclude []any `json:"excludeCredentials"`
}

func (p screen) asked(t testing.TB) (a asked) {
	t.Helper()
	form := p.doc.Find("form[data-passkey]")
	if form.Length() != 1 || p.doc.Find(`script[src*="/static/passkey-"]`).Length() != 1 || p.doc.Find("noscript").Length() != 1 {
		t.Fatalf("%s asks for no passkey: %s", p.path, strings.Join(strings.Fields(p.doc.Find("main").Text()), " "))
	}
	if err := json.Unmarshal([]byte(form.AttrOr("data-options", "")), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func (d *device) client(kind, challenge string) []byte {
	text, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": d.origin, "crossOrigin": false})
	if err != nil {
		d.t.Fatal(err)
	}
	return text
}

// authData is what the device says of itself: flags are user present (1), user
// verified (4), and a credential with it (64).
func (d *device) authData(flags byte, more []byte) []byte {
	if !d.unasked {
		flags |= 4
	}
	rp := sha256.Sum256([]byte(d.rpID))
	out := append(rp[:], flags|1)
	out = binary.BigEndian.AppendUint32(out, d.count)
	return append(out, more...)
}

// cborBytes is a byte string in CBOR.
func cborBytes(b []byte) []byte {
	if len(b) < 256 {
		return append([]byte{0x58, byte(len(b))}, b...)
	}
	return append(binary.BigEndian.AppendUint16([]byte{0x59}, uint16(len(b))), b...)
}

func (d *device) answer(response map[string]any) string {
	text, err := json.Marshal(map[string]any{"id": b64.EncodeToString(d.id), "rawId": b64.EncodeToString(d.id), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{}})
	if err != nil {
		d.t.Fatal(err)
	}
	return string(text)
}

// make answers the wish for a new passkey.
func (d *device) make(a asked) string {
	d.t.Helper()
	handle, err := b64.DecodeString(a.User.ID)
	if err != nil {
		d.t.Fatal(err)
	}
	d.handle = handle
	point, err := d.key.PublicKey.Bytes()
	if err != nil {
		d.t.Fatal(err)
	}
	cose := append([]byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21}, cborBytes(point[1:33])...)
	cose = append(append(cose, 0x22), cborBytes(point[33:])...)
	credential := append(make([]byte, 16), 0, byte(len(d.id))) // no model, then the id
	credential = append(append(credential, d.id...), cose...)
	object := append([]byte{0xa3, 0x63}, "fmt"...)
	object = append(append(object, 0x64), "none"...)
	object = append(append(append(object, 0x67), "attStmt"...), 0xa0)
	object = append(append(object, 0x68), "authData"...)
	object = append(object, cborBytes(d.authData(64, credential))...)
	return d.answer(map[string]any{"clientDataJSON": b64.EncodeToString(d.client("webauthn.create", a.Challenge)), "attestationObject": b64.EncodeToString(object), "transports": []string{"internal"}})
}

// sign answers a challenge with the present count.
func (d *device) sign(a asked) string {
	d.t.Helper()
	client, data := d.client("webauthn.get", a.Challenge), d.authData(0, nil)
	hash := sha256.Sum256(client)
	digest := sha256.Sum256(append(bytes.Clone(data), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, d.key, digest[:])
	if err != nil {
		d.t.Fatal(err)
	}
	return d.answer(map[string]any{"clientDataJSON": b64.EncodeToString(client), "authenticatorData": b64.EncodeToString(data), "signature": b64.EncodeToString(signature), "userHandle": b64.EncodeToString(d.handle)})
}

// add makes a passkey for the person.
func (b *browser) add(t testing.TB, name string) *device {
	t.Helper()
	d := newDevice(t)
	page := b.send(t, "POST", "/settings/security/passkeys/begin", url.Values{}).want(t, 200, "/settings/security/passkeys/begin")
	b.submit(t, page, "/settings/security/passkeys", url.Values{"name": {name}, "credential": {d.make(page.asked(t))}}).want(t, 200, "/settings/security").says(t, "#flash", "ready")
	return d
}

// begin asks for a log-in with a passkey.
func (b *browser) begin(t testing.TB, path string) screen {
	t.Helper()
	return b.submit(t, b.get(t, path), "/login/passkey", nil).want(t, 200, "/login/passkey")
}

// TestPasskey adds one, logs in with it, proves with it, and removes it.
func TestPasskey(t *testing.T) {
	t.Parallel()
	s := newServer(t, named)
	b, handle := s.human(t)
	page := b.submit(t, b.get(t, "/settings/security"), "/settings/security/passkeys/begin", nil).want(t, 200, "/settings/security/passkeys/begin")
	checkPage(t, "new passkey", page)
	if a := page.asked(t); a.Selection.ResidentKey != "required" || a.Selection.UserVerification != "required" || a.Challenge == "" {
		t.Errorf("the page asks for %+v", a)
	}
	d := newDevice(t)
	again := b.submit(t, page, "/settings/security/passkeys", url.Values{"name": {" "}, "credential": {d.make(page.asked(t))}}).want(t, 422, "/settings/security/passkeys")
	again.says(t, "#name-fault", "required")
	b.submit(t, again, "/settings/security/passkeys", url.Values{"name": {"<b>My laptop</b>"}, "credential": {d.make(again.asked(t))}}).want(t, 200, "/settings/security").says(t, "#flash", "ready")
	b.get(t, "/settings/security").says(t, "table", "<b>My laptop</b>")
	if more := b.send(t, "POST", "/settings/security/passkeys/begin", url.Values{}).asked(t); len(more.Exclude) != 1 {
		t.Errorf("a second passkey on the same device is not left out: %+v", more)
	}
	b.enrol(t) // a passkey needs no second step

	other := s.browser(t)
	before := other.begin(t, "/login?next=/wallet")
	checkPage(t, "passkey", before)
	old := other.token(t)
	if a := before.asked(t); a.UserVerification != "required" || a.RPID != "localhost" {
		t.Errorf("the page asks for %+v", a)
	}
	d.count++
	other.submit(t, before, "/login/passkey/finish", url.Values{"credential": {d.sign(before.asked(t))}}).want(t, 200, "/wallet")
	if other.token(t) == old {
		t.Error("the token is the same after the log-in")
	}
	s.withToken(t, old).get(t, "/wallet").want(t, 200, "/login")

	s.stale(t)
	ask := b.submit(t, b.get(t, "/settings/security"), "/settings/security/recovery", nil).want(t, 403, "/settings/security/recovery")
	wanted := b.submit(t, ask, "/confirm/passkey", nil).want(t, 200, "/confirm/passkey")
	d.count++
	offered := b.submit(t, wanted, "/confirm/passkey/finish", url.Values{"credential": {d.sign(wanted.asked(t))}}).want(t, 200, "/confirm/passkey/finish")
	b.submit(t, offered, "/settings/security/recovery", nil).want(t, 200, "/settings/security/recovery")

	// Another's passkey proves nothing.
	stranger, _ := s.human(t)
	theirs := stranger.add(t, "theirs")
	wanted = b.send(t, "POST", "/confirm/passkey", url.Values{}).want(t, 200, "/confirm/passkey")
	theirs.count++
	b.submit(t, wanted, "/confirm/passkey/finish", url.Values{"credential": {theirs.sign(wanted.asked(t))}}).want(t, 403, "/confirm/passkey/finish")

	remove := b.get(t, "/settings/security").doc.Find(`form[action$="/remove"]`).AttrOr("action", "")
	stranger.send(t, "POST", remove, url.Values{}).want(t, 404, remove)
	b.send(t, "POST", remove, url.Values{}).want(t, 200, "/settings/security").says(t, ".timeline", "Passkey removed")
	gone := s.browser(t)
	at := gone.begin(t, "/login")
	d.count++
	gone.submit(t, at, "/login/passkey/finish", url.Values{"credential": {d.sign(at.asked(t))}}).want(t, 403, "/login/passkey/finish").says(t, "h1", "not accepted")
	gone.get(t, "/wallet").want(t, 200, "/login")
	if s.fed(t, handle, market.SecurityPasskeyAdded) != 1 || s.fed(t, handle, market.SecurityPasskeyRemoved) != 1 {
		t.Error("the feed does not tell of the passkey")
	}
}

// TestPasskeyRefusals: everything that is wrong with an answer is refused.
func TestPasskeyRefusals(t *testing.T) {
	t.Parallel()
	s := newServer(t, named)
	b, handle := s.human(t)
	for name, spoil := range map[string]func(*device){
		"another origin":    func(d *device) { d.origin = "https://evil.example" },
		"another port":      func(d *device) { d.origin = "http://localhost:81" },
		"another site's id": func(d *device) { d.rpID = "evil.example" },
		"nobody was asked":  func(d *device) { d.unasked = true },
	} {
		d := newDevice(t)
		spoil(d)
		page := b.send(t, "POST", "/settings/security/passkeys/begin", url.Values{})
		b.submit(t, page, "/settings/security/passkeys", url.Values{"name": {name}, "credential": {d.make(page.asked(t))}}).want(t, 403, "/settings/security/passkeys")
		if n := b.get(t, "/settings/security").doc.Find(`form[action$="/remove"]`).Length(); n != 0 {
			t.Errorf("%s: %d passkeys were kept", name, n)
		}
	}
	good := b.add(t, "laptop")
	refused := func(name string, at screen, from *browser, credential string) {
		t.Helper()
		if got := from.send(t, "POST", "/login/passkey/finish", url.Values{"credential": {credential}}); got.status != 403 {
			t.Errorf("%s: got %d", name, got.status)
		}
		from.get(t, "/wallet").want(t, 200, "/login")
	}
	for name, spoil := range map[string]func(*device){
		"another origin":    func(d *device) { d.origin = "https://evil.example" },
		"another site's id": func(d *device) { d.rpID = "evil.example" },
		"nobody was asked":  func(d *device) { d.unasked = true },
		"another key":       func(d *device) { d.key = newDevice(t).key },
		"another account":   func(d *device) { d.handle = []byte("01a20b77-e936-75e9-8ee4-5120c30a9cda") },
		"no account":        func(d *device) { d.handle = []byte("x' OR 1=1") },
		"a copy":            func(d *device) { d.count = 1 },
	} {
		d := *good
		d.count++
		spoil(&d)
		other := s.browser(t)
		at := other.begin(t, "/login")
		refused(name, at, other, d.sign(at.asked(t)))
	}
	if s.fed(t, handle, market.SecurityPasskeyCloned) != 1 {
		t.Error("the owner is not told of the copy")
	}
	b.get(t, "/settings/security").says(t, ".timeline", "may be a copy of the passkey laptop")

	// A challenge is good once, in its own session, and not for another one.
	other := s.browser(t)
	at := other.begin(t, "/login")
	good.count++
	answer := good.sign(at.asked(t))
	refused("in another session", at, s.browser(t), answer)
	elsewhere := s.browser(t)
	elsewhere.begin(t, "/login")
	refused("of another challenge", at, elsewhere, answer)
	token := other.token(t)
	other.send(t, "POST", "/login/passkey/finish", url.Values{"credential": {answer}}).want(t, 200, "/market")
	refused("a second time", at, s.withToken(t, token), answer)
	late := s.browser(t)
	at = late.begin(t, "/login")
	if _, err := s.store.DB().Exec(`UPDATE passkey_challenges SET expires_at = now()`); err != nil {
		t.Fatal(err)
	}
	good.count++
	refused("too late", at, late, good.sign(at.asked(t)))
	for _, junk := range []string{"", "{}", "null", `{"id":"x","rawId":"x","type":"public-key","response":{}}`, strings.Repeat("[", 1000)} {
		other := s.browser(t)
		refused("junk", other.begin(t, "/login"), other, junk)
	}
}

// TestRacePasskeyAnswer: an answer that comes ten times at once lets one in,
// also of a device that does not count.
func TestRacePasskeyAnswer(t *testing.T) {
	t.Parallel()
	s := newServer(t, named)
	b, _ := s.human(t)
	d := newDevice(t)
	d.count = 0
	page := b.send(t, "POST", "/settings/security/passkeys/begin", url.Values{})
	b.submit(t, page, "/settings/security/passkeys", url.Values{"name": {"phone"}, "credential": {d.make(page.asked(t))}}).want(t, 200, "/settings/security")
	other := s.browser(t)
	answer := d.sign(other.begin(t, "/login").asked(t))
	token := other.token(t)
	var in atomic.Int64
	var all sync.WaitGroup
	for range 10 {
		thief := s.withToken(t, token)
		all.Go(func() {
			if got := thief.send(t, "POST", "/login/passkey/finish", url.Values{"credential": {answer}}); got.status == 200 && got.path == "/market" {
				in.Add(1)
			}
		})
	}
	all.Wait()
	if in.Load() != 1 {
		t.Errorf("%d got in, want 1", in.Load())
	}
}

// TestPasskeyOfASuspendedAccount lets nobody in, and says why.
func TestPasskeyOfASuspendedAccount(t *testing.T) {
	t.Parallel()
	s := newServer(t, named)
	b, handle := s.human(t)
	d := b.add(t, "laptop")
	a, err := s.store.AccountByHandle(t.Context(), handle)
	if err != nil {
		t.Fatal(err)
	}
	s.want(t, 200, s.call(t, s.judge(t), "POST", "/api/v1/admin/accounts/"+string(a.ID)+"/suspend", map[string]any{"reason": "Spam."}))
	other := s.browser(t)
	at := other.begin(t, "/login")
	d.count++
	other.submit(t, at, "/login/passkey/finish", url.Values{"credential": {d.sign(at.asked(t))}}).want(t, 403, "/login/passkey/finish").says(t, "h1", "suspended")
}

// TestPasskeysAreBounded: an account has twenty at most.
func TestPasskeysAreBounded(t *testing.T) {
	t.Parallel()
	s := newServer(t, named)
	b, _ := s.human(t)
	for range market.MaxPasskeys {
		b.add(t, "one of many")
	}
	page := b.send(t, "POST", "/settings/security/passkeys/begin", url.Values{})
	b.submit(t, page, "/settings/security/passkeys", url.Values{"name": {"one more"}, "credential": {newDevice(t).make(page.asked(t))}}).want(t, 409, "/settings/security/passkeys").says(t, ".error-summary", "as many")
}

// TestNoPasskeysWithoutAName: browsers offer none for an address in numbers, or
// without TLS, and the pages say so.
func TestNoPasskeysWithoutAName(t *testing.T) {
	t.Parallel()
	for _, site := range []string{"http://guild.example", "http://127.0.0.1:8080", "http://[::1]:8080"} {
		s := newServer(t, func(o *handlers.Options) { o.BaseURL = site })
		b, _ := s.human(t)
		if s.browser(t).get(t, "/login").doc.Find(`form[action="/login/passkey"]`).Length() != 0 {
			t.Errorf("%s: the log-in offers passkeys", site)
		}
		b.get(t, "/settings/security").says(t, ".panel", "GUILDHALL_BASE_URL")
		for _, path := range []string{"/settings/security/passkeys/begin", "/settings/security/passkeys", "/confirm/passkey", "/confirm/passkey/finish"} {
			b.send(t, "POST", path, url.Values{"name": {"x"}}).want(t, 409, path)
		}
		s.browser(t).send(t, "POST", "/login/passkey", url.Values{}).want(t, 409, "/login/passkey")
	}
}
