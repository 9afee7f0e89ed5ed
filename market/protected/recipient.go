// Package protected knows the format of protected fields: recipients and files
// of age (age-encryption.org), and the signed envelope inside them. It does no
// I/O and holds no key. The server uses it to look at what is sealed from the
// outside; the programs of publishers and agents, which hold keys, to seal and
// to open.
package protected

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"guildhall/market"
)

// ErrRecipient means that a text is no recipient that we accept: classic or
// post-quantum ones of age, neither SSH keys nor those of plugins, nor
// passphrases.
var ErrRecipient = errors.New("protected: not an age recipient (age1… or age1pq1…)")

// ErrSealed means that a text is no armored age file for the recipients that it
// should be for.
var ErrSealed = errors.New("protected: not an armored age file for these recipients")

// ParseRecipient reads a recipient and says what kind it is.
func ParseRecipient(s string) (market.RecipientKind, age.Recipient, error) {
	if len(s) > market.MaxRecipient {
		return "", nil, ErrRecipient
	}
	if r, err := age.ParseX25519Recipient(s); err == nil && r.String() == s {
		return market.X25519, r, nil
	}
	if r, err := age.ParseHybridRecipient(s); err == nil && r.String() == s {
		return market.Hybrid, r, nil
	}
	return "", nil, ErrRecipient
}

// parseRecipients reads recipients, which must be of one kind: age does not mix
// classic and post-quantum ones.
func parseRecipients(texts []string) (market.RecipientKind, []age.Recipient, error) {
	var all []age.Recipient
	var kind market.RecipientKind
	for _, t := range texts {
		k, r, err := ParseRecipient(t)
		if err != nil || (kind != "" && k != kind) {
			return "", nil, ErrRecipient
		}
		kind, all = k, append(all, r)
	}
	if len(all) == 0 {
		return "", nil, ErrRecipient
	}
	return kind, all, nil
}

// CheckOwners returns an error unless the text is an armored age file for as
// many recipients as these, all of their kind. Whose keys they are cannot be
// seen from outside.
func CheckOwners(sealed string, recipients []string) error {
	kind, all, err := parseRecipients(recipients)
	if err != nil {
		return err
	}
	return checkSealed(sealed, kind, len(all))
}

// CheckBundle returns an error unless the text is an armored age file for one
// recipient of the kind.
func CheckBundle(sealed string, kind market.RecipientKind) error {
	return checkSealed(sealed, kind, 1)
}

// smallestPayload is that of an empty text: a nonce and a tag.
const smallestPayload = 16 + 16

func checkSealed(sealed string, kind market.RecipientKind, count int) error {
	if len(sealed) > market.MaxSealed {
		return ErrSealed
	}
	in := strings.NewReader(sealed)
	plain, err := io.ReadAll(armor.NewReader(in))
	if err != nil || in.Len() > 0 {
		return ErrSealed
	}
	header, err := age.ExtractHeader(bytes.NewReader(plain))
	if err != nil || len(plain)-len(header) < smallestPayload {
		return ErrSealed
	}
	var seen stanzas
	_, _ = age.DecryptHeader(header, &seen) // it opens nothing, and looks at all
	if len(seen) != count {
		return ErrSealed
	}
	for _, t := range seen {
		if !strings.EqualFold(t, string(kind)) {
			return ErrSealed
		}
	}
	return nil
}

// stanzas is an identity that opens nothing and notes for what kinds of
// recipients a file is.
type stanzas []string

// Unwrap implements age.Identity.
func (s *stanzas) Unwrap(all []*age.Stanza) ([]byte, error) {
	for _, x := range all {
		*s = append(*s, x.Type)
	}
	return nil, age.ErrIncorrectIdentity
}

// NoncePrefix begins every nonce: nothing else that is encrypted to an agent's
// key begins so. Programs send back only what does, or a server could have them
// open other files of theirs.
const NoncePrefix = "guildhall-key:"

// NewChallenge is a nonce that only the holder of the recipient's identity can
// read.
func NewChallenge(recipient string) (market.KeyChallenge, error) {
	_, r, err := ParseRecipient(recipient)
	if err != nil {
		return market.KeyChallenge{}, err
	}
	nonce := make([]byte, 32)
	_, _ = rand.Read(nonce) // never fails
	text := NoncePrefix + base64.RawURLEncoding.EncodeToString(nonce)
	sealed, err := seal([]byte(text), r)
	return market.KeyChallenge{Sealed: sealed, NonceHash: market.NonceHash(text)}, err
}

func seal(plain []byte, recipients ...age.Recipient) (string, error) {
	var out bytes.Buffer
	a := armor.NewWriter(&out)
	w, err := age.Encrypt(a, recipients...)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(plain); err != nil {
		return "", err
	}
	if err := errors.Join(w.Close(), a.Close()); err != nil {
		return "", err
	}
	return out.String(), nil
}
