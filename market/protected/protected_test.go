package protected

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"time"

	agetest "c2sp.org/CCTV/age"
	"filippo.io/age"
	"filippo.io/age/armor"

	"guildhall/market"
)

// reader is somebody who can open files.
func reader(t testing.TB) (*age.X25519Identity, string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id, id.Recipient().String()
}

func hybrid(t testing.TB) (*age.HybridIdentity, string) {
	t.Helper()
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return id, id.Recipient().String()
}

func signer(t testing.TB) (ed25519.PrivateKey, string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return private, base64.StdEncoding.EncodeToString(public)
}

const task = "01a20b77-e936-75e9-8ee4-5120c30a9cda"

func payload(to string) Payload {
	return Payload{Origin: "https://guild.example", Task: task, Rev: 2, To: to, Grant: "g", IssuedAt: time.Now(), Values: map[string]string{"apiToken": `a "secret"`}}
}

func TestOpenRefusesWhatIsNotMeantForIt(t *testing.T) {
	t.Parallel()
	key, public := signer(t)
	forger, _ := signer(t)
	id, recipient := reader(t)
	me := market.Fingerprint(recipient)
	seal := func(p Payload, by ed25519.PrivateKey) string {
		t.Helper()
		s, err := Seal(p, by, recipient)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	with := func(change func(*Payload)) Payload {
		p := payload(me)
		change(&p)
		return p
	}
	good := seal(payload(me), key)
	want := Want{Task: task, Rev: 2, To: me, Signer: public}
	stranger, _ := reader(t)
	changed := []byte(good)
	changed[len(changed)/2] ^= 1
	for name, c := range map[string]struct {
		sealed string
		id     age.Identity
		want   error
	}{
		"whole":                    {good, id, nil},
		"swapped between tasks":    {seal(with(func(p *Payload) { p.Task = "other" }), key), id, ErrOtherTask},
		"rolled back":              {seal(with(func(p *Payload) { p.Rev = 1 }), key), id, ErrOldRev},
		"ahead":                    {seal(with(func(p *Payload) { p.Rev = 3 }), key), id, ErrOldRev},
		"forged by the server":     {seal(payload(me), forger), id, ErrSignature},
		"forwarded":                {seal(with(func(p *Payload) { p.To = "AAAA-BBBB-CCCC-DDDD" }), key), id, ErrOtherTo},
		"the publisher's own copy": {seal(with(func(p *Payload) { p.To = ToOwner }), key), id, ErrOtherTo},
		"another key":              {good, stranger, ErrCannotOpen},
		"changed":                  {string(changed), id, ErrCannotOpen},
	} {
		got, err := Open(c.sealed, want, c.id)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if c.want == nil && got.Values["apiToken"] != `a "secret"` {
			t.Errorf("%s: got %v", name, got.Values)
		}
	}
	later := want
	later.Rev, later.Later = 1, true
	if _, err := Open(good, later, id); err != nil {
		t.Errorf("a later revision: %v", err)
	}
}

// TestForgedSignature names the right key beside a signature of another.
func TestForgedSignature(t *testing.T) {
	t.Parallel()
	_, public := signer(t)
	forger, _ := signer(t)
	id, recipient := reader(t)
	p := payload(market.Fingerprint(recipient))
	p.Type = Type
	text, err := wrap(p, forger)
	if err != nil {
		t.Fatal(err)
	}
	var e envelope
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	e.Key = public
	text, _ = json.Marshal(e)
	sealed, err := seal(text, id.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(sealed, Want{Task: p.Task, Rev: p.Rev, To: p.To, Signer: public}, id); !errors.Is(err, ErrSignature) {
		t.Errorf("got %v, want %v", err, ErrSignature)
	}
}

func TestSizeTellsLittle(t *testing.T) {
	t.Parallel()
	key, _ := signer(t)
	_, recipient := reader(t)
	sizes := map[int]bool{}
	for _, v := range []string{"x", strings.Repeat("y", 60), `"""""`} {
		p := payload("AAAA-BBBB-CCCC-DDDD")
		p.Type, p.Values = Type, map[string]string{"password": v}
		s, err := Seal(p, key, recipient)
		if err != nil {
			t.Fatal(err)
		}
		sizes[len(s)] = true
	}
	if len(sizes) != 1 {
		t.Errorf("got sizes %v, want one", sizes)
	}
}

func TestRecipients(t *testing.T) {
	t.Parallel()
	_, classic := reader(t)
	_, pq := hybrid(t)
	for text, want := range map[string]market.RecipientKind{
		classic: market.X25519, pq: market.Hybrid,
		strings.ToUpper(classic): "", classic + " ": "", "": "", "age1": "", strings.Repeat("a", 3000): "",
		"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8F0f4QYc8Yp3gX0a0bB6oS6Y7oR0yVn1h2Jb2s3d4e":          "",
		"age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t":                   "",
		"age1tag1qt8lw0ual6avlwmwatk888yqnmdamm7xfd0wak53ut6elz5c4swx2gjlz6n":                       "",
		"AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0":                "",
		"age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq": "",
	} {
		got, _, err := ParseRecipient(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%.40q: got %q (%v), want %q", text, got, err, want)
		}
	}
}

func TestChecksFromOutside(t *testing.T) {
	t.Parallel()
	key, _ := signer(t)
	_, one := reader(t)
	_, two := reader(t)
	_, pq := hybrid(t)
	sealed := func(to ...string) string {
		s, err := Seal(payload("x"), key, to...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if _, err := Seal(payload("x"), key, one, pq); err == nil {
		t.Error("classic and post-quantum recipients were mixed")
	}
	if _, err := Seal(payload("x"), key); err == nil {
		t.Error("sealed for nobody")
	}
	passphrase, err := age.NewScryptRecipient("x")
	if err != nil {
		t.Fatal(err)
	}
	passphrase.SetWorkFactor(10)
	scrypt, err := seal([]byte("x"), passphrase)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		err  error
		good bool
	}{
		"a classic bundle":          {CheckBundle(sealed(one), market.X25519), true},
		"a post-quantum bundle":     {CheckBundle(sealed(pq), market.Hybrid), true},
		"white space around":        {CheckBundle("\n"+sealed(one)+"\n\n", market.X25519), true},
		"classic for post-quantum":  {CheckBundle(sealed(one), market.Hybrid), false},
		"post-quantum for classic":  {CheckBundle(sealed(pq), market.X25519), false},
		"two readers":               {CheckBundle(sealed(one, two), market.X25519), false},
		"a passphrase":              {CheckBundle(scrypt, market.X25519), false},
		"plain text":                {CheckBundle("hunter2", market.X25519), false},
		"nothing":                   {CheckBundle("", market.X25519), false},
		"text behind":               {CheckBundle(sealed(one)+"hunter2", market.X25519), false},
		"text before":               {CheckBundle("hunter2\n"+sealed(one), market.X25519), false},
		"cut":                       {CheckBundle(sealed(one)[:200], market.X25519), false},
		"too large":                 {CheckBundle(sealed(one)+strings.Repeat("\n", market.MaxSealed), market.X25519), false},
		"both owners":               {CheckOwners(sealed(one, two), []string{one, two}), true},
		"one owner for two":         {CheckOwners(sealed(one), []string{one, two}), false},
		"owners that are not mixed": {CheckOwners(sealed(one), []string{one, pq}), false},
		"no owners":                 {CheckOwners(sealed(one), nil), false},
	} {
		if (c.err == nil) != c.good {
			t.Errorf("%s: got %v", name, c.err)
		}
	}
}

func TestChallenge(t *testing.T) {
	t.Parallel()
	id, recipient := reader(t)
	c, err := NewChallenge(recipient)
	if err != nil {
		t.Fatal(err)
	}
	r, err := age.Decrypt(armor.NewReader(strings.NewReader(c.Sealed)), id)
	if err != nil {
		t.Fatal(err)
	}
	nonce, err := io.ReadAll(r)
	if err != nil || !regexp.MustCompile(`^guildhall-key:[A-Za-z0-9_-]{43}$`).Match(nonce) {
		t.Fatalf("got the nonce %q (%v)", nonce, err)
	}
	if !bytes.Equal(market.NonceHash(string(nonce)+"\n"), c.NonceHash) || bytes.Equal(market.NonceHash("x"), c.NonceHash) {
		t.Error("the hash is not the nonce's")
	}
	if _, err := NewChallenge("age1nobody"); err == nil {
		t.Error("a challenge for nobody")
	}
}

// TestVectors tries our look from outside on the test vectors of the age
// format (C2SP CCTV): what age can open for one recipient of ours passes, and
// whatever has a header that breaks the format does not.
func TestVectors(t *testing.T) {
	t.Parallel()
	tried := map[string]int{}
	err := fs.WalkDir(agetest.Vectors, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(agetest.Vectors, path)
		if err != nil {
			return err
		}
		meta, file, _ := strings.Cut(string(raw), "\n\n")
		facts := map[string]string{}
		for line := range strings.Lines(meta) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), ": ")
			facts[k] = v
		}
		if facts["compressed"] != "" {
			return nil
		}
		text := file
		if facts["armored"] == "" {
			var out bytes.Buffer
			w := armor.NewWriter(&out)
			if _, err := io.WriteString(w, file); err != nil {
				return err
			}
			w.Close()
			text = out.String()
		}
		if len(text) > market.MaxSealed {
			return nil
		}
		classic, pq := CheckBundle(text, market.X25519), CheckBundle(text, market.Hybrid)
		passes := classic == nil || pq == nil
		expect := facts["expect"]
		tried[expect]++
		switch {
		case (expect == "header failure" && strings.HasPrefix(path, "stanza_")) || expect == "armor failure":
			if passes {
				t.Errorf("%s (%s): passes", path, expect)
			}
		case expect == "success" && (path == "x25519" || path == "hybrid" || path == "armor_x25519" || path == "armor_hybrid" || path == "armor_crlf"):
			if !passes {
				t.Errorf("%s: got %v and %v", path, classic, pq)
			}
			if passes && (classic == nil) == (pq == nil) {
				t.Errorf("%s is of both kinds", path)
			}
		case strings.HasPrefix(path, "scrypt") || strings.HasPrefix(path, "armor_scrypt") || strings.Contains(path, "_and_") || strings.Contains(path, "multiple") || strings.Contains(path, "grease"):
			if passes {
				t.Errorf("%s: passes", path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if tried["success"] < 15 || tried["header failure"] < 30 || tried["armor failure"] < 15 {
		t.Errorf("tried %v, want more of each", tried)
	}
}

func FuzzOpen(f *testing.F) {
	id, recipient := reader(f)
	key, public := signer(f)
	good, err := Seal(payload(market.Fingerprint(recipient)), key, recipient)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("")
	f.Add("-----BEGIN AGE ENCRYPTED FILE-----\n-----END AGE ENCRYPTED FILE-----\n")
	f.Fuzz(func(t *testing.T, sealed string) {
		_ = CheckBundle(sealed, market.X25519)
		if _, err := Open(sealed, Want{Task: task, Rev: 2, To: market.Fingerprint(recipient), Signer: public}, id); err == nil && strings.TrimSpace(sealed) != strings.TrimSpace(good) {
			if CheckBundle(sealed, market.X25519) != nil {
				t.Error("opened what is no bundle")
			}
		}
	})
}
