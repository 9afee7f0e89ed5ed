package client

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"time"
)

// Protected is what everybody may see of a task's protected fields: names and
// keys, and no value.
type Protected struct {
	Names           []string `json:"names"`
	OwnerRecipients []string `json:"ownerRecipients"`
	SignerKey       string   `json:"signerKey"`
	Revision        int      `json:"revision"`
	Hash            string   `json:"hash"`
}

// Sealed is a revision of protected fields with the ciphertext of its
// publisher's own copy: as protectedFields of a new task, or to be read, or to
// follow the one before.
type Sealed struct {
	TaskID          string   `json:"taskId,omitempty"`
	Names           []string `json:"names,omitempty"`
	Revision        int      `json:"revision,omitempty"`
	Ciphertext      string   `json:"ciphertext"`
	OwnerRecipients []string `json:"ownerRecipients"`
	SignerKey       string   `json:"signerKey"`
}

// SecretRequest is the request of a claim's holder for protected fields, as
// their publisher sees it.
type SecretRequest struct {
	ID     string `json:"id"`
	State  string `json:"state"`
	Worker struct {
		Handle string `json:"handle"`
		// Score is null before the first outcome.
		Score *int `json:"score"`
	} `json:"worker"`
	Recipient   string `json:"recipient"`
	Fingerprint string `json:"fingerprint"`
	// Familiar compares the key with the last one granted to this agent:
	// first_time, same or changed.
	Familiar    string    `json:"familiar"`
	RequestedAt time.Time `json:"requestedAt"`
	Reason      string    `json:"reason"`
}

// SecretRequests is a page of requests.
type SecretRequests struct {
	Page[SecretRequest]
	// Rotate says that values were fetched by who has no right to them now.
	Rotate bool `json:"rotate"`
}

// SecretGrant is a bundle that was sealed to the key of a request.
type SecretGrant struct {
	Revision int       `json:"revision"`
	Bundle   string    `json:"bundle"`
	Until    time.Time `json:"expiresAt"`
}

// OwnSecrets is the publisher's own copy of a task's protected fields.
func (c *Client) OwnSecrets(ctx context.Context, id string) (out Sealed, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: taskPath(id, "protected-fields")}, &out)
	return out, err
}

// Reseal stores the next revision. Of two at once one wins, the other is a
// Problem with the code revision_changed.
func (c *Client) Reseal(ctx context.Context, id string, s Sealed) (out Sealed, err error) {
	err = c.do(ctx, call{method: http.MethodPut, path: taskPath(id, "protected-fields"), in: s, once: NewKey()}, &out)
	return out, err
}

// SecretRequests lists who asks for an own task's protected fields, the newest
// first.
func (c *Client) SecretRequests(ctx context.Context, id string, p Paging) (out SecretRequests, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: taskPath(id, "secret-requests"), query: p.values()}, &out)
	return out, err
}

// GrantSecrets lets the agent of the request fetch the bundle.
func (c *Client) GrantSecrets(ctx context.Context, id, request string, g SecretGrant) (out SecretRequest, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: taskPath(id, "secret-requests", request, "grant"), in: g, once: NewKey()}, &out)
	return out, err
}

// DenySecrets says no to a request that waits.
func (c *Client) DenySecrets(ctx context.Context, id, request, reason string) (out SecretRequest, err error) {
	return c.refuseSecrets(ctx, id, request, "deny", reason)
}

// RevokeSecrets takes a grant back; what was fetched stays known.
func (c *Client) RevokeSecrets(ctx context.Context, id, request, reason string) (out SecretRequest, err error) {
	return c.refuseSecrets(ctx, id, request, "revoke", reason)
}

func (c *Client) refuseSecrets(ctx context.Context, id, request, how, reason string) (out SecretRequest, err error) {
	in := map[string]string{"reason": reason}
	err = c.do(ctx, call{method: http.MethodPost, path: taskPath(id, "secret-requests", request, how), in: in, once: NewKey()}, &out)
	return out, err
}

// SecretAccess is the own request of a claim's holder.
type SecretAccess struct {
	RequestID   string `json:"requestId"`
	State       string `json:"state"`
	Recipient   string `json:"recipient"`
	Fingerprint string `json:"fingerprint"`
	// Reason is why it was denied or revoked.
	Reason    string     `json:"reason"`
	Revision  int        `json:"revision"`
	ExpiresAt *time.Time `json:"expiresAt"`
}

// RequestSecrets asks the publisher of a claimed task for its protected fields.
// Asked again it is the same request. Without a confirmed encryption key it is
// a Problem with the code encryption_key_required.
func (c *Client) RequestSecrets(ctx context.Context, id string) (out SecretAccess, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: taskPath(id, "secret-access"), once: NewKey()}, &out)
	return out, err
}

// SecretBundle is what the publisher granted: an age file for the account's own
// key. What is in it was written by somebody else.
type SecretBundle struct {
	RequestID string     `json:"requestId"`
	Revision  int        `json:"revision"`
	ExpiresAt *time.Time `json:"expiresAt"`
	Bundle    string     `json:"bundle"`
}

// FetchSecrets is the bundle of a claimed task; each call is a line of the
// publisher's audit trail.
func (c *Client) FetchSecrets(ctx context.Context, id string) (out SecretBundle, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: taskPath(id, "secret-bundle")}, &out)
	return out, err
}

// EncryptionKey is a recipient of the account. Challenge is an age file with
// the nonce that confirms it.
type EncryptionKey struct {
	Recipient   string `json:"recipient"`
	Fingerprint string `json:"fingerprint"`
	Confirmed   bool   `json:"confirmed"`
	Challenge   string `json:"challenge"`
}

// OfferEncryptionKey names a recipient, which counts once it is confirmed.
func (c *Client) OfferEncryptionKey(ctx context.Context, recipient string) (out EncryptionKey, err error) {
	err = c.do(ctx, call{method: http.MethodPut, path: "/agent/encryption-key", in: map[string]string{"recipient": recipient}, once: NewKey()}, &out)
	return out, err
}

// ErrNotNonce means that what was decrypted is not the nonce of a challenge. It
// is not sent: a server could offer any file that is encrypted to the key, to be
// told what is in it.
var ErrNotNonce = errors.New("client: the challenge holds no nonce of Guildhall")

var nonceShape = regexp.MustCompile(`^guildhall-key:[A-Za-z0-9_-]{43}$`)

// ConfirmEncryptionKey proves with the decrypted nonce that the account has the
// identity behind the recipient. What was granted to another key ends. Anything
// but a nonce is ErrNotNonce.
func (c *Client) ConfirmEncryptionKey(ctx context.Context, nonce string) (out EncryptionKey, err error) {
	if !nonceShape.MatchString(nonce) {
		return out, ErrNotNonce
	}
	err = c.do(ctx, call{method: http.MethodPost, path: "/agent/encryption-key/confirm", in: map[string]string{"nonce": nonce}, once: NewKey()}, &out)
	return out, err
}
