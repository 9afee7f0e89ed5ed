package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"

	"guildhall/market"
)

// secretBytes is the length of a secret key: AES-256.
const secretBytes = 32

// ErrVault means that a code cannot be read: its key is missing, or it is not
// what was stored for this good.
var ErrVault = errors.New("store: the code cannot be opened")

// secret is a key with what is derived of it: its name, a cipher and a keyed
// hash for finding doubles.
type secret struct {
	id   string
	aead cipher.AEAD
	mac  []byte
}

func newSecret(key []byte) (secret, error) {
	derive := func(purpose string) ([]byte, error) {
		return hkdf.Key(sha256.New, key, nil, "guildhall "+purpose, secretBytes)
	}
	id, err := derive("key id")
	if err != nil {
		return secret{}, err
	}
	sealing, err := derive("codes")
	if err != nil {
		return secret{}, err
	}
	mac, err := derive("fingerprints")
	if err != nil {
		return secret{}, err
	}
	block, err := aes.NewCipher(sealing)
	if err != nil {
		return secret{}, err
	}
	aead, err := cipher.NewGCM(block)
	return secret{id: hex.EncodeToString(id[:8]), aead: aead, mac: mac}, err
}

// NewSecretKey is a fresh key as a line of text.
func NewSecretKey() string {
	key := make([]byte, secretBytes)
	_, _ = rand.Read(key) // never fails
	return base64.StdEncoding.EncodeToString(key)
}

// parseSecretKeys reads keys separated by commas or white space, the one to
// seal with first. Nothing of them is in the error.
func parseSecretKeys(text string) ([]secret, error) {
	var out []secret
	for i, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r <= ' ' }) {
		key, err := base64.StdEncoding.DecodeString(word)
		if err != nil || len(key) != secretBytes {
			return nil, fmt.Errorf("secret key %d is not %d bytes in base64", i+1, secretBytes)
		}
		s, err := newSecret(key)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, errors.New("there is no secret key")
	}
	return out, nil
}

// Vault seals codes with AES-256-GCM. It reads its keys again when it meets
// one that it does not know, so that a running server follows a rotation.
type Vault struct {
	load func() (string, error)
	mu   sync.RWMutex
	keys []secret // the first seals, all open
}

// NewVault keeps the keys that load returns: base64, separated by commas or
// white space, the one to seal with first.
func NewVault(load func() (string, error)) (*Vault, error) {
	v := &Vault{load: load}
	return v, v.reload()
}

func (v *Vault) reload() error {
	text, err := v.load()
	if err != nil {
		return fmt.Errorf("read the secret keys: %w", err)
	}
	keys, err := parseSecretKeys(text)
	if err != nil {
		return err
	}
	v.mu.Lock()
	v.keys = keys
	v.mu.Unlock()
	return nil
}

func (v *Vault) all() []secret {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.keys
}

// current names the key that seals.
func (v *Vault) current() string { return v.all()[0].id }

// ids names all keys.
func (v *Vault) ids() []string {
	var out []string
	for _, k := range v.all() {
		out = append(out, k.id)
	}
	return out
}

// sealed is a code as the database holds it.
type sealed struct {
	text, nonce []byte
	key         string
	fingerprint []byte
}

// bound ties a sealed code to its row: it opens as no other's.
func bound(id market.CodeID, good market.GoodID) []byte {
	return []byte(string(good) + "/" + string(id))
}

// seal encrypts the code of a row.
func (v *Vault) seal(id market.CodeID, good market.GoodID, code string) sealed {
	return v.sealBound(bound(id, good), code)
}

// open decrypts the code of a row, or returns ErrVault.
func (v *Vault) open(id market.CodeID, good market.GoodID, s sealed) (string, error) {
	return v.openBound(bound(id, good), s)
}

// sealFor encrypts a text that opens only for what it was sealed for: a word
// and an id, so that no code of a good is taken for it.
func (v *Vault) sealFor(what, text string) sealed { return v.sealBound([]byte(what), text) }

// openFor decrypts what was sealed for the same, or returns ErrVault.
func (v *Vault) openFor(what string, s sealed) (string, error) { return v.openBound([]byte(what), s) }

func (v *Vault) sealBound(to []byte, text string) sealed {
	k := v.all()[0]
	nonce := make([]byte, k.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return sealed{text: k.aead.Seal(nil, nonce, []byte(text), to), nonce: nonce, key: k.id, fingerprint: k.fingerprint(text)}
}

func (v *Vault) openBound(to []byte, s sealed) (string, error) {
	for _, fresh := range []bool{false, true} {
		if fresh {
			if err := v.reload(); err != nil {
				return "", errors.Join(ErrVault, err)
			}
		}
		for _, k := range v.all() {
			if k.id != s.key {
				continue
			}
			if len(s.nonce) != k.aead.NonceSize() {
				return "", ErrVault
			}
			text, err := k.aead.Open(nil, s.nonce, s.text, to)
			if err != nil {
				return "", ErrVault
			}
			return string(text), nil
		}
	}
	return "", fmt.Errorf("%w: there is no secret key %s", ErrVault, s.key)
}

// fingerprints are the code's under every key, by which doubles are found
// while a rotation is under way.
func (v *Vault) fingerprints(code string) [][]byte {
	var out [][]byte
	for _, k := range v.all() {
		out = append(out, k.fingerprint(code))
	}
	return out
}

func (k secret) fingerprint(code string) []byte {
	h := hmac.New(sha256.New, k.mac)
	h.Write([]byte(code))
	return h.Sum(nil)
}
