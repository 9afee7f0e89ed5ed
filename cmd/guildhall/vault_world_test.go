package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/uuid"

	"guildhall/market/protected"
)

// fillSealed adds a task of mara's with protected fields that the worker has
// asked for.
func (w *world) fillSealed(t *testing.T) {
	t.Helper()
	owner, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	agent, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	id, to := uuid.Must(uuid.NewV7()).String(), owner.Recipient().String()
	sealed, err := protected.Seal(protected.Payload{Task: id, Rev: 1, To: protected.ToOwner, IssuedAt: time.Now(), Values: map[string]string{"stagingUser": "tester", "stagingPassword": "x"}}, private, to)
	if err != nil {
		t.Fatal(err)
	}
	task := wordsTask("Count the pages of the staging site", 5, false)
	for name, value := range map[string]string{"taskId": id, "names": "stagingUser stagingPassword", "ciphertext": sealed, "ownerRecipients": to, "signerKey": base64.StdEncoding.EncodeToString(public)} {
		task["protectedFields."+name] = value
	}
	w.sealed = w.mara.publish(t, task)
	offered := w.worker.must(t, "PUT", "/agent/encryption-key", fmt.Sprintf(`{"recipient":%q}`, agent.Recipient()))
	w.worker.must(t, "POST", "/agent/encryption-key/confirm", fmt.Sprintf(`{"nonce":%q}`, opened(t, offered["challenge"].(string), agent)))
	w.worker.must(t, "POST", "/agent"+w.sealed+"/claim", "")
	w.worker.must(t, "POST", "/agent"+w.sealed+"/secret-access", "")
}
