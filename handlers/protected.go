package handlers

import (
	"net/http"
	"slices"
	"time"

	"guildhall/market"
	"guildhall/market/protected"
	"guildhall/store"
	"guildhall/views"
)

// protectedInput is what a publisher sends of protected fields: names,
// recipients and a file that is encrypted to them. There is no member for a
// value.
type protectedInput struct {
	TaskID     market.TaskID `json:"taskId"`
	Names      []string      `json:"names"`
	Ciphertext string        `json:"ciphertext"`
	// OwnerRecipient is short for one more of OwnerRecipients.
	OwnerRecipient  string   `json:"ownerRecipient"`
	OwnerRecipients []string `json:"ownerRecipients"`
	SignerKey       string   `json:"signerKey"`
}

func (in *protectedInput) draft() *market.ProtectedDraft {
	if in == nil {
		return nil
	}
	to := slices.Clone(in.OwnerRecipients)
	if in.OwnerRecipient != "" && !slices.Contains(to, in.OwnerRecipient) {
		to = append(to, in.OwnerRecipient)
	}
	return &market.ProtectedDraft{TaskID: in.TaskID, Ciphertext: in.Ciphertext,
		Protected: market.Protected{Names: in.Names, OwnerRecipients: to, SignerKey: in.SignerKey}}
}

// checkSealed looks at a sealed revision from outside: is it an age file for
// these recipients?
func checkSealed(at string, d market.ProtectedDraft) []market.FieldError {
	for _, one := range d.OwnerRecipients {
		if _, _, err := protected.ParseRecipient(one); err != nil {
			return []market.FieldError{{Pointer: at + "/ownerRecipients", Code: "recipient"}}
		}
	}
	if len(d.OwnerRecipients) > 0 && protected.CheckOwners(d.Ciphertext, d.OwnerRecipients) != nil {
		return []market.FieldError{{Pointer: at + "/ciphertext", Code: "sealed"}}
	}
	return nil
}

// protectedJSON is what everybody may see of protected fields.
type protectedJSON struct {
	Names           []string `json:"names"`
	OwnerRecipients []string `json:"ownerRecipients"`
	SignerKey       string   `json:"signerKey"`
	// Fingerprint is the signer key's.
	Fingerprint string `json:"fingerprint"`
	Revision    int    `json:"revision"`
	// Hash is of all of it and the task's id: see market.Protected.Hash.
	Hash string `json:"hash"`
}

func protectedShape(t market.Task) *protectedJSON {
	p := t.Protected
	if p == nil {
		return nil
	}
	return &protectedJSON{p.Names, p.OwnerRecipients, p.SignerKey, market.Fingerprint(p.SignerKey), p.Revision, p.Hash(t.ID)}
}

// ownProtectedJSON is that with the publisher's own copy.
type ownProtectedJSON struct {
	TaskID market.TaskID `json:"taskId"`
	*protectedJSON
	Ciphertext string `json:"ciphertext"`
}

// showProtected gives the publisher its own copy, as it was sealed.
func (h *Handlers) showProtected(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	t, ciphertext, err := h.Store.OwnSecrets(r.ctx(), r.by, id)
	return answer{json: ownProtectedJSON{id, protectedShape(t.Task), ciphertext}}, err
}

type resealInput struct {
	Revision        int64    `json:"revision"`
	Ciphertext      string   `json:"ciphertext"`
	OwnerRecipients []string `json:"ownerRecipients"`
	SignerKey       string   `json:"signerKey"`
}

// resealProtected takes the next revision: other devices, another recovery key,
// or other values of the same names.
func (h *Handlers) resealProtected(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	var in resealInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	d := market.ProtectedDraft{TaskID: id, Ciphertext: in.Ciphertext,
		Protected: market.Protected{Revision: int(in.Revision), OwnerRecipients: in.OwnerRecipients, SignerKey: in.SignerKey}}
	present := func(v any) answer {
		t := v.(market.Snapshot)
		return answer{json: protectedShape(t.Task), to: vaultPath(id), flash: views.Message{ID: "flash.secrets_sealed"}}
	}
	h.secretsAgain(r, id)
	bad := append(d.CheckRevision(), checkSealed("", d)...)
	if err := h.ownsSecrets(r, id, bad); err != nil {
		return answer{}, err
	}
	t, err := h.Store.Reseal(r.ctx(), r.caller(present), id, d)
	return present(t), err
}

// vaultPath is the page of a task's protected fields.
func vaultPath(id market.TaskID) string { return taskPath(id) + "/vault" }

// ownsSecrets refuses who is not the publisher before what is wrong with the
// input.
func (h *Handlers) ownsSecrets(r *request, id market.TaskID, bad []market.FieldError) error {
	if len(bad) == 0 && len(r.faults) == 0 {
		return nil // the store says so again
	}
	t, err := h.Store.Task(r.ctx(), r.actor, id)
	if err != nil {
		return err
	}
	if err := t.OwnsSecrets(r.actor); err != nil {
		return err
	}
	return r.invalid(bad)
}

// encryptionKeyJSON is a recipient of an account.
type encryptionKeyJSON struct {
	Recipient   string               `json:"recipient"`
	Kind        market.RecipientKind `json:"kind"`
	Fingerprint string               `json:"fingerprint"`
	Confirmed   bool                 `json:"confirmed"`
	CreatedAt   time.Time            `json:"createdAt"`
	ConfirmedAt *time.Time           `json:"confirmedAt,omitempty"`
	ReplacedAt  *time.Time           `json:"replacedAt,omitempty"`
	ConfirmBy   *time.Time           `json:"confirmBy,omitempty"`
	// Challenge is an age file with the nonce that confirms the key.
	Challenge string `json:"challenge,omitempty"`
}

func encryptionKeyShape(k market.EncryptionKey) encryptionKeyJSON {
	j := encryptionKeyJSON{Recipient: k.Recipient, Kind: k.Kind, Fingerprint: market.Fingerprint(k.Recipient),
		Confirmed: k.ConfirmedAt != nil, CreatedAt: k.CreatedAt, ConfirmedAt: k.ConfirmedAt, ReplacedAt: k.ReplacedAt}
	if k.ConfirmedAt == nil {
		j.ConfirmBy = &k.ConfirmBy
	}
	return j
}

// offer is a recipient with its challenge.
type offer struct {
	store.OfferedKey
	sealed string
}

// offeredKey reads a recipient and makes its challenge; "" is no offer.
func offeredKey(pointer, recipient string) (offer, []market.FieldError) {
	if recipient == "" {
		return offer{}, nil
	}
	kind, _, err := protected.ParseRecipient(recipient)
	if err != nil {
		return offer{}, []market.FieldError{{Pointer: pointer, Code: "recipient"}}
	}
	c, err := protected.NewChallenge(recipient)
	if err != nil {
		return offer{}, []market.FieldError{{Pointer: pointer, Code: "recipient"}}
	}
	return offer{store.OfferedKey{Recipient: recipient, Kind: kind, NonceHash: c.NonceHash}, c.Sealed}, nil
}

// shape is the offer of a new account, nil without one.
func (o offer) shape(now time.Time) *encryptionKeyJSON {
	if o.Recipient == "" {
		return nil
	}
	j := encryptionKeyShape(market.EncryptionKey{Recipient: o.Recipient, Kind: o.Kind, CreatedAt: now, ConfirmBy: now.Add(market.ChallengeLife)})
	j.Challenge = o.sealed
	return &j
}

// maxEncryptionKeys bounds how many earlier keys are listed.
const maxEncryptionKeys = 50

// showEncryptionKey is the account's key, one that waits to be confirmed, and
// those before them.
func (h *Handlers) showEncryptionKey(r *request) (answer, error) {
	all, err := h.Store.EncryptionKeys(r.ctx(), r.actor.Account, maxEncryptionKeys)
	out := encryptionKeysJSON{History: []encryptionKeyJSON{}}
	for _, k := range all {
		j := encryptionKeyShape(k)
		switch {
		case k.Live():
			out.Key = &j
		case k.ConfirmedAt == nil:
			out.Offered = &j
		default:
			out.History = append(out.History, j)
		}
	}
	return answer{json: out}, err
}

// encryptionKeysJSON are an agent's: the one in use, one to be confirmed, and
// those before.
type encryptionKeysJSON struct {
	Key     *encryptionKeyJSON  `json:"key"`
	Offered *encryptionKeyJSON  `json:"offered"`
	History []encryptionKeyJSON `json:"history"`
}

type encryptionKeyInput struct {
	Recipient string `json:"recipient"`
}

// offerEncryptionKey answers with a challenge that only the holder of the
// identity can read.
func (h *Handlers) offerEncryptionKey(r *request) (answer, error) {
	if err := h.throttleTalk(r); err != nil {
		return answer{}, err
	}
	var in encryptionKeyInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	o, bad := offeredKey("/recipient", in.Recipient)
	if in.Recipient == "" {
		bad = []market.FieldError{{Pointer: "/recipient", Code: "required"}}
	}
	if err := r.invalid(bad); err != nil {
		return answer{}, err
	}
	present := func(v any) answer {
		j := encryptionKeyShape(v.(market.EncryptionKey))
		if !j.Confirmed {
			j.Challenge = o.sealed
		}
		return answer{json: j}
	}
	k, err := h.Store.OfferEncryptionKey(r.ctx(), r.caller(present), o.OfferedKey)
	return present(k), err
}

type nonceInput struct {
	Nonce string `json:"nonce"`
}

// confirmEncryptionKey makes the offered key the account's.
func (h *Handlers) confirmEncryptionKey(r *request) (answer, error) {
	var in nonceInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	present := func(v any) answer { return answer{json: encryptionKeyShape(v.(market.EncryptionKey))} }
	k, err := h.Store.ConfirmEncryptionKey(r.ctx(), r.caller(present), in.Nonce)
	return present(k), err
}

// secretAccessJSON is a request as its agent sees it.
type secretAccessJSON struct {
	RequestID   market.SecretRequestID `json:"requestId"`
	TaskID      market.TaskID          `json:"taskId"`
	State       market.SecretState     `json:"state"`
	Recipient   string                 `json:"recipient"`
	Fingerprint string                 `json:"fingerprint"`
	RequestedAt time.Time              `json:"requestedAt"`
	DecidedAt   *time.Time             `json:"decidedAt,omitempty"`
	Reason      string                 `json:"reason,omitempty"`
	Revision    int                    `json:"revision,omitempty"`
	ExpiresAt   *time.Time             `json:"expiresAt,omitempty"`
	Untrusted   []string               `json:"untrusted"`
}

func secretAccessShape(q market.SecretRequest) secretAccessJSON {
	return secretAccessJSON{RequestID: q.ID, TaskID: q.Task, State: q.At(time.Now()), Recipient: q.Key.Recipient, Fingerprint: market.Fingerprint(q.Key.Recipient),
		RequestedAt: q.RequestedAt, DecidedAt: q.DecidedAt, Reason: q.Reason, Revision: q.Revision, ExpiresAt: q.ExpiresAt, Untrusted: []string{"reason"}}
}

// requestSecrets asks the publisher for the protected fields.
func (h *Handlers) requestSecrets(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	present := func(v any) answer {
		return answer{status: http.StatusCreated, json: secretAccessShape(v.(market.SecretRequest)), location: r.echo.Request().URL.Path}
	}
	q, err := h.Store.RequestSecrets(r.ctx(), r.caller(present), id)
	return present(q), err
}

// showSecretAccess says where the own request stands.
func (h *Handlers) showSecretAccess(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	q, err := h.Store.OwnSecretRequest(r.ctx(), r.by, id)
	return answer{json: secretAccessShape(q)}, err
}

// bundleJSON is what the agent was granted: an age file for its own key.
type bundleJSON struct {
	TaskID    market.TaskID          `json:"taskId"`
	RequestID market.SecretRequestID `json:"requestId"`
	Revision  int                    `json:"revision"`
	ExpiresAt *time.Time             `json:"expiresAt"`
	Bundle    string                 `json:"bundle"`
	Untrusted []string               `json:"untrusted"`
}

// fetchSecrets gives the agent its own bundle. Looking at its head is no fetch.
func (h *Handlers) fetchSecrets(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	if r.echo.Request().Method == http.MethodHead {
		return answer{}, market.ErrMethodNotAllowed
	}
	if err := h.throttleTalk(r); err != nil { // each fetch is a line of the trail
		return answer{}, err
	}
	q, err := h.Store.FetchSecrets(r.ctx(), r.by, id)
	return answer{json: bundleJSON{id, q.ID, q.Revision, q.ExpiresAt, q.Bundle, []string{"bundle"}}}, err
}
