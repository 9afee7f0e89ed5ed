package handlers

import (
	"net/http"
	"time"

	"guildhall/market"
)

// keyJSON is an API key without its secret.
type keyJSON struct {
	ID     market.KeyID `json:"id"`
	Name   string       `json:"name"`
	Prefix string       `json:"prefix"`
	// Scopes are null for a key that may do everything.
	Scopes        []market.Scope `json:"scopes"`
	CreatedAt     time.Time      `json:"createdAt"`
	LastUsedAt    *time.Time     `json:"lastUsedAt"`
	LastUsedFrom  *string        `json:"lastUsedFrom"`
	ExpiresAt     *time.Time     `json:"expiresAt"`
	RevokedAt     *time.Time     `json:"revokedAt"`
	RevokedReason *string        `json:"revokedReason"`
	Current       bool           `json:"current"`
	// Webhooks are those that were made with a key that is revoked now, and go
	// on: whoever had the key may have made them.
	Webhooks []market.WebhookID `json:"webhooks,omitempty"`
}

func keyShape(k market.Key, current market.KeyID) keyJSON {
	j := keyJSON{ID: k.ID, Name: k.Name, Prefix: k.Prefix, Scopes: k.Scopes, CreatedAt: k.CreatedAt, LastUsedAt: k.LastUsedAt,
		ExpiresAt: k.ExpiresAt, RevokedAt: k.RevokedAt, Current: k.ID == current, Webhooks: k.Webhooks}
	if k.LastUsedFrom != "" {
		j.LastUsedFrom = &k.LastUsedFrom
	}
	if k.RevokedReason != "" {
		j.RevokedReason = &k.RevokedReason
	}
	return j
}

// newKeyJSON is a key with its secret, which is shown once.
type newKeyJSON struct {
	Key    keyJSON `json:"key"`
	APIKey string  `json:"apiKey"`
}

// keyMadeJSON tells a retry which key was made.
type keyMadeJSON struct {
	problem
	Key keyJSON `json:"key"`
}

const keysPath = "/api/v1/agent/keys"

func (h *Handlers) listKeys(r *request) (answer, error) {
	q := query{r: r}
	limit, before := q.limit(), market.KeyID(q.before())
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	keys, err := h.Store.Keys(r.ctx(), r.actor.Account, before, limit+1)
	show := func(k market.Key) keyJSON { return keyShape(k, r.actor.Key) }
	return answer{json: page(keys, limit, show, func(k market.Key) any { return map[string]any{"id": k.ID} })}, err
}

// keyMade is the stored answer to a request that made a key: keys are not
// stored, so a retry is told which was made.
func (r *request) keyMade(v any) answer {
	p := toProblem(market.ErrAlreadyDone, r.echo.Request().URL.Path)
	return answer{status: http.StatusConflict, json: keyMadeJSON{p, keyShape(v.(market.Key), r.actor.Key)}, location: keysPath}
}

func (r *request) newKey(k market.Key, text string) answer {
	return answer{status: http.StatusCreated, location: keysPath, json: newKeyJSON{keyShape(k, r.actor.Key), text}}
}

type keyInput struct {
	Name      string         `json:"name"`
	Scopes    []market.Scope `json:"scopes"`
	ExpiresAt *time.Time     `json:"expiresAt"`
}

// makeKey makes another key and shows it, this once.
func (h *Handlers) makeKey(r *request) (answer, error) {
	var in keyInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	d := market.KeyDraft{Name: in.Name, Scopes: in.Scopes, ExpiresAt: in.ExpiresAt}
	if err := r.invalid(d.Clean(time.Now())); err != nil {
		return answer{}, err
	}
	k, text, err := h.Store.NewKey(r.ctx(), r.caller(r.keyMade), d)
	return r.newKey(k, text), err
}

type rotateInput struct {
	OverlapMinutes *int64 `json:"overlapMinutes"`
}

// rotateKey makes a key in the place of another and shows it, this once.
func (h *Handlers) rotateKey(r *request) (answer, error) {
	id, err := pathID[market.KeyID](r, "keyId")
	if err != nil {
		return answer{}, err
	}
	in, overlap := rotateInput{}, market.KeyOverlap
	if len(r.body) > 0 {
		if err := decodeStrictly(r.body, "", &in); err != nil {
			return answer{}, err
		}
	}
	if m := in.OverlapMinutes; m != nil {
		most := int64(market.MaxKeyOverlap / time.Minute)
		if *m < 0 || *m > most {
			return answer{}, market.Field("/overlapMinutes", "range", map[string]any{"Min": 0, "Max": most})
		}
		overlap = time.Duration(*m) * time.Minute
	}
	k, text, err := h.Store.RotateKey(r.ctx(), r.caller(r.keyMade), id, overlap)
	return r.newKey(k, text), err
}

type revokeKeyInput struct {
	Reason string `json:"reason"`
}

// revokeKey ends a key; the reason comes in the body or in the query.
func (h *Handlers) revokeKey(r *request) (answer, error) {
	id, err := pathID[market.KeyID](r, "keyId")
	if err != nil {
		return answer{}, err
	}
	in := revokeKeyInput{Reason: r.echo.QueryParam("reason")}
	if len(r.body) > 0 {
		if err := decodeStrictly(r.body, "", &in); err != nil {
			return answer{}, err
		}
	}
	if err := market.Invalid(market.CheckKeyReason(in.Reason)); err != nil {
		return answer{}, err
	}
	present := func(v any) answer { return answer{json: keyShape(v.(market.Key), r.actor.Key)} }
	k, err := h.Store.RevokeKey(r.ctx(), r.caller(present), id, in.Reason)
	return present(k), err
}
