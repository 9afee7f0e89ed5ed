package protected

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"

	"guildhall/market"
)

// Type is what every payload says that it is, and begins what is signed.
const Type = "guildhall.protected/v1"

// ToOwner is the reader that the publisher's own copy names.
const ToOwner = "owner"

// bucket is what the size of an envelope is padded to, in bytes, so that it
// tells little of the length of the values.
const bucket = 512

// Payload is what is signed: the values, and what they are bound to. A copy for
// another task, revision or reader is refused.
type Payload struct {
	Type   string `json:"typ"`
	Origin string `json:"origin"`
	Task   string `json:"task"`
	Rev    int    `json:"rev"`
	// To is the fingerprint of the agent's recipient, or ToOwner.
	To string `json:"to"`
	// Grant is the request that a bundle answers.
	Grant    string            `json:"grant,omitempty"`
	IssuedAt time.Time         `json:"issuedAt"`
	Values   map[string]string `json:"values"`
	Pad      string            `json:"pad"`
}

// envelope is the text inside the age file. The payload is a string, so that the
// signature is over exact bytes.
type envelope struct {
	Payload string `json:"payload"`
	Key     string `json:"key"`
	Sig     string `json:"sig"`
}

// What is wrong with an envelope.
var (
	ErrCannotOpen = errors.New("protected: this key does not open it, or it was changed")
	ErrEnvelope   = errors.New("protected: not an envelope of protected fields")
	ErrSignature  = errors.New("protected: not signed by the key that is expected")
	ErrOtherTask  = errors.New("protected: made for another task")
	ErrOldRev     = errors.New("protected: another revision than expected")
	ErrOtherTo    = errors.New("protected: made for another reader")
)

// Seal signs the payload and encrypts it to the recipients.
func Seal(p Payload, signer ed25519.PrivateKey, recipients ...string) (string, error) {
	_, to, err := parseRecipients(recipients)
	if err != nil {
		return "", err
	}
	p.Type, p.Pad = Type, ""
	text, err := wrap(p, signer)
	if err != nil {
		return "", err
	}
	p.Pad = strings.Repeat("0", (bucket-len(text)%bucket)%bucket)
	if text, err = wrap(p, signer); err != nil {
		return "", err
	}
	return seal(text, to...)
}

func wrap(p Payload, signer ed25519.PrivateKey) ([]byte, error) {
	payload, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	key, _ := signer.Public().(ed25519.PublicKey)
	return json.Marshal(envelope{Payload: string(payload), Key: base64.StdEncoding.EncodeToString(key),
		Sig: base64.StdEncoding.EncodeToString(ed25519.Sign(signer, signed(string(payload))))})
}

func signed(payload string) []byte { return []byte(Type + "\n" + payload) }

// Want is what a reader expects of an envelope.
type Want struct {
	Task string
	// Rev is the revision, and a later one if Later is set.
	Rev   int
	Later bool
	// To is the fingerprint of the reader's own recipient, or ToOwner.
	To string
	// Signer is the publisher's key in base64, as it was shown at the claim.
	Signer string
}

// Open decrypts an armored file and checks that it is what the reader expects.
func Open(sealed string, w Want, identities ...age.Identity) (Payload, error) {
	var p Payload
	text, err := Decrypt(sealed, identities...)
	if err != nil {
		return p, err
	}
	var e envelope
	if json.Unmarshal(text, &e) != nil || json.Unmarshal([]byte(e.Payload), &p) != nil || p.Type != Type {
		return Payload{}, ErrEnvelope
	}
	return p, w.check(e, p)
}

// Decrypt is the text of an armored age file, of which nothing else is checked.
func Decrypt(sealed string, identities ...age.Identity) ([]byte, error) {
	r, err := age.Decrypt(armor.NewReader(strings.NewReader(sealed)), identities...)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrCannotOpen, err)
	}
	text, err := io.ReadAll(io.LimitReader(r, market.MaxSealed))
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrCannotOpen, err)
	}
	return text, nil
}

func (w Want) check(e envelope, p Payload) error {
	key, err := base64.StdEncoding.DecodeString(w.Signer)
	if err != nil || len(key) != ed25519.PublicKeySize || e.Key != w.Signer {
		return ErrSignature
	}
	sig, err := base64.StdEncoding.DecodeString(e.Sig)
	switch {
	case err != nil || !ed25519.Verify(key, signed(e.Payload), sig):
		return ErrSignature
	case p.Task != w.Task:
		return ErrOtherTask
	case p.Rev < w.Rev || (p.Rev > w.Rev && !w.Later):
		return ErrOldRev
	case p.To != w.To:
		return ErrOtherTo
	}
	return nil
}
