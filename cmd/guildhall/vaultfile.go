package main

import (
	"bufio"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"

	"filippo.io/age"
)

// vaultKeys are what a publisher keeps: an identity that opens its own copies,
// and the key that signs bundles. The file is one of age's with the signing key
// in a comment, so that `age -d -i FILE` opens the copies as well.
type vaultKeys struct {
	identities []age.Identity
	recipient  string
	// signer is nil in a recovery file of the browser, which has none.
	signer ed25519.PrivateKey
}

const signingLine = "# signing key: "

func (v vaultKeys) signerKey() string {
	key, _ := v.signer.Public().(ed25519.PublicKey)
	return base64.StdEncoding.EncodeToString(key)
}

// newVaultKeys adds a fresh signing key to an identity.
func newVaultKeys(id *age.X25519Identity) (vaultKeys, error) {
	_, signer, err := ed25519.GenerateKey(nil)
	return vaultKeys{identities: []age.Identity{id}, recipient: id.Recipient().String(), signer: signer}, err
}

// write makes the file, readable by its owner only; it replaces none.
func (v vaultKeys) write(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	id, ok := v.identities[0].(*age.X25519Identity)
	if !ok {
		return errors.New("a vault needs a classic age identity")
	}
	_, err = fmt.Fprintf(f, "# A Guildhall vault. Keep it secret, and a copy of it elsewhere: without it protected fields are lost.\n# recipient: %s\n%s%s\n%s\n",
		v.recipient, signingLine, base64.StdEncoding.EncodeToString(v.signer.Seed()), id.String())
	return errors.Join(err, f.Sync(), f.Close())
}

// readVault reads a vault, a recovery file, or any identity file of age.
// Nothing of it is in an error.
func readVault(name string) (vaultKeys, error) {
	var v vaultKeys
	text, err := os.ReadFile(name)
	if err != nil {
		return v, err
	}
	if v.identities, err = age.ParseIdentities(strings.NewReader(string(text))); err != nil {
		return v, fmt.Errorf("%s is no identity file of age", name)
	}
	switch id := v.identities[0].(type) {
	case *age.X25519Identity:
		v.recipient = id.Recipient().String()
	case *age.HybridIdentity:
		v.recipient = id.Recipient().String()
	}
	for lines := bufio.NewScanner(strings.NewReader(string(text))); lines.Scan(); {
		if seed, ok := strings.CutPrefix(lines.Text(), signingLine); ok {
			raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(seed))
			if err != nil || len(raw) != ed25519.SeedSize {
				return v, fmt.Errorf("%s has a broken signing key", name)
			}
			v.signer = ed25519.NewKeyFromSeed(raw)
		}
	}
	return v, nil
}
