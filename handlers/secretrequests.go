package handlers

import (
	"cmp"
	"time"

	"guildhall/market"
	"guildhall/market/protected"
	"guildhall/views"
)

// secretRequestJSON is a request as the publisher sees it.
type secretRequestJSON struct {
	ID     market.SecretRequestID `json:"id"`
	State  market.SecretState     `json:"state"`
	Worker struct {
		Handle string `json:"handle"`
		Score  *int   `json:"score"`
	} `json:"worker"`
	Recipient   string               `json:"recipient"`
	Kind        market.RecipientKind `json:"kind"`
	Fingerprint string               `json:"fingerprint"`
	KeySince    *time.Time           `json:"keySince"`
	// Familiar compares the key with the last one granted to this agent.
	Familiar    market.Familiarity `json:"familiar"`
	RequestedAt time.Time          `json:"requestedAt"`
	DecidedAt   *time.Time         `json:"decidedAt,omitempty"`
	Reason      string             `json:"reason,omitempty"`
	Revision    int                `json:"revision,omitempty"`
	ExpiresAt   *time.Time         `json:"expiresAt,omitempty"`
	FetchedAt   *time.Time         `json:"fetchedAt,omitempty"`
	Fetches     int                `json:"fetches"`
}

func secretRequestShape(q market.SecretRequest) secretRequestJSON {
	j := secretRequestJSON{ID: q.ID, State: q.At(time.Now()), Recipient: q.Key.Recipient, Kind: q.Key.Kind, Fingerprint: market.Fingerprint(q.Key.Recipient),
		KeySince: q.Key.ConfirmedAt, Familiar: q.Familiar, RequestedAt: q.RequestedAt, DecidedAt: q.DecidedAt, Reason: q.Reason,
		Revision: q.Revision, ExpiresAt: q.ExpiresAt, FetchedAt: q.FetchedAt, Fetches: q.Fetches}
	j.Worker.Handle, j.Worker.Score = q.Handle, q.Score
	return j
}

type secretEventJSON struct {
	At          time.Time              `json:"at"`
	Event       string                 `json:"event"`
	Actor       string                 `json:"actor,omitempty"`
	RequestID   market.SecretRequestID `json:"requestId,omitempty"`
	Worker      string                 `json:"worker,omitempty"`
	Fingerprint string                 `json:"fingerprint,omitempty"`
	Revision    int                    `json:"revision,omitempty"`
}

// secretRequestsJSON are the requests with the audit trail.
type secretRequestsJSON struct {
	list[secretRequestJSON]
	// Rotate says that values were fetched by who has no right to them now.
	Rotate bool              `json:"rotate"`
	Trail  []secretEventJSON `json:"trail"`
}

// shownTrail is how many of the newest lines of the audit trail are shown.
const shownTrail = 100

// listSecretRequests are who asked for the protected fields of an own task, with
// the audit trail, and whether the values are to be changed now.
func (h *Handlers) listSecretRequests(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	q := query{r: r}
	limit, before := q.limit(), market.SecretRequestID(q.before())
	t, err := h.Store.Task(r.ctx(), r.actor, id)
	if err == nil {
		err = t.OwnsSecrets(r.actor)
	}
	if err = cmp.Or(err, market.Invalid(q.bad)); err != nil {
		return answer{}, err
	}
	all, trail, rotate, err := h.secretRequests(r, t, before, limit+1)
	out := secretRequestsJSON{page(all, limit, secretRequestShape, func(q market.SecretRequest) any { return map[string]any{"id": q.ID} }), rotate, []secretEventJSON{}}
	for _, e := range trail {
		out.Trail = append(out.Trail, secretEventJSON(e))
	}
	return answer{json: out}, err
}

func (h *Handlers) secretRequests(r *request, t market.Snapshot, before market.SecretRequestID, limit int) (all []market.SecretRequest, trail []market.SecretEvent, rotate bool, err error) {
	if all, err = h.Store.SecretRequests(r.ctx(), t.ID, before, limit); err != nil {
		return all, trail, rotate, err
	}
	if trail, err = h.Store.SecretEvents(r.ctx(), t.ID, shownTrail); err != nil {
		return all, trail, rotate, err
	}
	rotate, err = h.Store.MustRotate(r.ctx(), t)
	return all, trail, rotate, err
}

// secretRequestID are the ids of a request's path.
func (r *request) secretRequestID() (market.TaskID, market.SecretRequestID, error) {
	id, err := r.taskID()
	if err != nil {
		return "", "", err
	}
	rid, err := pathID[market.SecretRequestID](r, "rid")
	return id, rid, err
}

// decided is the answer to a decision on a request.
func (r *request) decidedSecrets(id market.TaskID, flash string) func(any) answer {
	return func(v any) answer {
		return answer{json: secretRequestShape(v.(market.SecretRequest)), to: vaultPath(id), flash: views.Message{ID: flash}}
	}
}

type grantInput struct {
	Revision  int64      `json:"revision"`
	Bundle    string     `json:"bundle"`
	ExpiresAt *time.Time `json:"expiresAt"`
}

// grantSecrets stores a bundle for the agent that asked. From outside it can
// only be seen that it is an age file for one key of the right kind.
func (h *Handlers) grantSecrets(r *request) (answer, error) {
	id, rid, err := r.secretRequestID()
	if err != nil {
		return answer{}, err
	}
	h.secretsAgain(r, id)
	var in grantInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	q, err := h.Store.SecretRequest(r.ctx(), r.by, id, rid)
	if err != nil {
		return answer{}, err
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	until := now.Add(market.GrantLife)
	if in.ExpiresAt != nil {
		until = in.ExpiresAt.UTC().Truncate(time.Microsecond)
	}
	var bad []market.FieldError
	if protected.CheckBundle(in.Bundle, q.Key.Kind) != nil {
		bad = append(bad, market.FieldError{Pointer: "/bundle", Code: "sealed"})
	}
	if !until.After(now) || until.After(now.Add(market.MaxGrantLife)) {
		bad = append(bad, market.FieldError{Pointer: "/expiresAt", Code: "deadline", Args: map[string]any{"Days": int(market.MaxGrantLife.Hours() / 24)}})
	}
	if err := r.invalid(bad); err != nil {
		return answer{}, err
	}
	present := r.decidedSecrets(id, "flash.secrets_granted")
	q, err = h.Store.GrantSecrets(r.ctx(), r.caller(present), id, rid, int(in.Revision), in.Bundle, until)
	return present(q), err
}

type refuseSecretsInput struct {
	Reason string `json:"reason"`
}

func (h *Handlers) denySecrets(r *request) (answer, error) {
	return h.refuseSecrets(r, market.SecretDenied, "flash.secrets_denied")
}

func (h *Handlers) revokeSecrets(r *request) (answer, error) {
	return h.refuseSecrets(r, market.SecretRevoked, "flash.secrets_revoked")
}

func (h *Handlers) refuseSecrets(r *request, to market.SecretState, flash string) (answer, error) {
	id, rid, err := r.secretRequestID()
	if err != nil {
		return answer{}, err
	}
	h.secretsAgain(r, id)
	var in refuseSecretsInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	if err := h.ownsSecrets(r, id, market.CheckSecretReason(in.Reason)); err != nil {
		return answer{}, err
	}
	present := r.decidedSecrets(id, flash)
	q, err := h.Store.RefuseSecrets(r.ctx(), r.caller(present), id, rid, to, in.Reason)
	return present(q), err
}
