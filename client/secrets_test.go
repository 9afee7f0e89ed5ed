package client_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/google/uuid"

	"guildhall/client"
	"guildhall/market"
	"guildhall/market/protected"
)

// TestProtectedFields goes through what a publisher and a worker do about
// protected fields.
func TestProtectedFields(t *testing.T) {
	t.Parallel()
	url := serve(t, site(t))
	publisher, worker := agent(t, url, "publisher"), agent(t, url, "worker")
	ctx := t.Context()
	own, reader := must[*age.X25519Identity](t)(age.GenerateX25519Identity()), must[*age.X25519Identity](t)(age.GenerateX25519Identity())
	public, signer, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	id := uuid.Must(uuid.NewV7()).String()
	seal := func(rev int, to, recipient string) string {
		return must[string](t)(protected.Seal(protected.Payload{Origin: url, Task: id, Rev: rev, To: to, IssuedAt: time.Now().UTC().Truncate(time.Second),
			Values: map[string]string{"token": "t-1"}}, signer, recipient))
	}
	sealed := client.Sealed{TaskID: id, Names: []string{"token"}, Ciphertext: seal(1, protected.ToOwner, own.Recipient().String()),
		OwnerRecipients: []string{own.Recipient().String()}, SignerKey: base64.StdEncoding.EncodeToString(public)}
	draft := task()
	draft["protectedFields"] = sealed
	made := must[client.Task](t)(publisher.Publish(ctx, "p", draft))
	if made.ID != id || !made.HasProtected || made.ProtectedFields == nil || made.ProtectedFields.SignerKey != sealed.SignerKey {
		t.Fatalf("published %+v", made)
	}
	for _, f := range []struct {
		client.Filter
		want int
	}{{client.Filter{}, 1}, {client.Filter{NoProtected: true}, 0}} {
		if found := must[client.Page[client.Task]](t)(worker.Market(ctx, f.Filter)); len(found.Items) != f.want {
			t.Errorf("the market with %+v has %d tasks", f.Filter, len(found.Items))
		}
	}
	held := must[client.Held](t)(worker.Claim(ctx, id, "c"))
	if held.Claim.ProtectedHash != made.ProtectedFields.Hash {
		t.Errorf("the claim remembers %q, want %q", held.Claim.ProtectedHash, made.ProtectedFields.Hash)
	}
	if _, err := worker.RequestSecrets(ctx, id); !client.IsCode(err, "encryption_key_required") {
		t.Errorf("asking without a key: %v", err)
	}
	offered := must[client.EncryptionKey](t)(worker.OfferEncryptionKey(ctx, reader.Recipient().String()))
	nonce := must[[]byte](t)(io.ReadAll(must[io.Reader](t)(age.Decrypt(armor.NewReader(strings.NewReader(offered.Challenge)), reader))))
	if _, err := worker.ConfirmEncryptionKey(ctx, "canary"); !errors.Is(err, client.ErrNotNonce) {
		t.Errorf("what is no nonce is sent: %v", err)
	}
	if key := must[client.EncryptionKey](t)(worker.ConfirmEncryptionKey(ctx, string(nonce))); !key.Confirmed || key.Fingerprint != market.Fingerprint(reader.Recipient().String()) {
		t.Errorf("the key is %+v", key)
	}
	asked := must[client.SecretAccess](t)(worker.RequestSecrets(ctx, id))
	if steps := must[client.Task](t)(publisher.Task(ctx, id)).PendingActions; !slices.ContainsFunc(steps, func(a client.Action) bool { return a.Action == "decide_secrets" }) {
		t.Errorf("the publisher's next steps are %+v", steps)
	}
	requests := must[client.SecretRequests](t)(publisher.SecretRequests(ctx, id, client.Paging{}))
	if len(requests.Items) != 1 || requests.Items[0].ID != asked.RequestID || requests.Items[0].Familiar != "first_time" || requests.Rotate {
		t.Fatalf("the requests are %+v", requests)
	}
	if q := must[client.SecretRequest](t)(publisher.DenySecrets(ctx, id, asked.RequestID, "Who?")); q.State != "denied" || q.Reason != "Who?" {
		t.Errorf("denied: %+v", q)
	}
	if _, err := worker.FetchSecrets(ctx, id); !client.IsCode(err, "access_not_granted") {
		t.Errorf("fetching after a no: %v", err)
	}
	grant := client.SecretGrant{Revision: 1, Bundle: seal(1, offered.Fingerprint, reader.Recipient().String()), Until: time.Now().Add(time.Hour)}
	if q := must[client.SecretRequest](t)(publisher.GrantSecrets(ctx, id, asked.RequestID, grant)); q.State != "granted" {
		t.Errorf("granted: %+v", q)
	}
	got := must[client.SecretBundle](t)(worker.FetchSecrets(ctx, id))
	p, err := protected.Open(got.Bundle, protected.Want{Task: id, Rev: 1, To: offered.Fingerprint, Signer: sealed.SignerKey}, reader)
	if err != nil || p.Values["token"] != "t-1" || got.RequestID != asked.RequestID {
		t.Errorf("fetched %+v: %v, %v", got, p.Values, err)
	}
	if q := must[client.SecretRequest](t)(publisher.RevokeSecrets(ctx, id, asked.RequestID, "")); q.State != "revoked" {
		t.Errorf("revoked: %+v", q)
	}
	if kept := must[client.Sealed](t)(publisher.OwnSecrets(ctx, id)); kept.Ciphertext != sealed.Ciphertext || kept.Revision != 1 {
		t.Errorf("the own copy is %+v", kept)
	}
	next := client.Sealed{Revision: 2, Ciphertext: seal(2, protected.ToOwner, own.Recipient().String()), OwnerRecipients: sealed.OwnerRecipients, SignerKey: sealed.SignerKey}
	if kept := must[client.Sealed](t)(publisher.Reseal(ctx, id, next)); kept.Revision != 2 {
		t.Errorf("sealed anew: %+v", kept)
	}
	if _, err := publisher.Reseal(ctx, id, next); !client.IsCode(err, "revision_changed") {
		t.Errorf("sealed twice: %v", err)
	}
}
