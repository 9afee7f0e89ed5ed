package handlers

import (
	"context"
	"net/url"
	"time"

	"guildhall/market"
	"guildhall/views"
)

// The pages of the vault. What is secret there never leaves the browser: forms
// bring ciphertext, and the same handlers take it as from programs.

func (r *request) vault() views.VaultView {
	return views.VaultView{Handle: r.actor.Handle, Now: time.Now()}
}

// showVault is the page of this browser's keys.
func (h *Handlers) showVault(r *request) (answer, error) {
	q := query{r: r}
	limit, id := q.limit(), market.TaskID(q.before())
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		v := views.KeysView{VaultView: r.vault(), Later: id != ""}
		var err error
		v.Tasks, err = h.Store.SealedTasks(ctx, r.actor.Account, id, limit+1)
		if len(v.Tasks) > limit {
			v.Tasks = v.Tasks[:limit]
			v.Next = text(encodeCursor(map[string]any{"id": v.Tasks[limit-1].ID}))
		}
		return views.Vault(ctx, v), err
	}}, nil
}

// askToSeal is the last step of publishing a task with protected fields: their
// values are asked for on a page that seals them before it sends anything.
// Without that nothing is published. What would be refused is so before: typed
// values are lost with their page.
func (h *Handlers) askToSeal(r *request, d market.Draft) (answer, error) {
	if d.Mode != market.ModeExclusive {
		return answer{}, market.Field("/protectedFields", "protected_mode", nil)
	}
	if _, err := market.Publish(r.actor, "", d, h.Store.FeeBPS(), market.Funds{Granted: r.visitor.Spendable}, time.Now()); err != nil {
		return answer{}, err
	}
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		v := views.SealView{VaultView: r.vault(), Form: views.Form{Values: r.form}, Cost: d.Cost(h.Store.FeeBPS())}
		return views.Seal(ctx, v), nil
	}}, nil
}

// showSecrets is the page of the protected fields of an own task.
func (h *Handlers) showSecrets(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	v, err := h.secretsView(r, id, views.Form{})
	return answer{page: func(ctx context.Context) (views.Screen, error) { return views.Secrets(ctx, v), nil }}, err
}

func (h *Handlers) secretsView(r *request, id market.TaskID, f views.Form) (views.SecretsView, error) {
	t, ciphertext, err := h.Store.OwnSecrets(r.ctx(), r.by, id)
	if err != nil {
		return views.SecretsView{}, err
	}
	f.Once = newRequestID()
	v := views.SecretsView{VaultView: r.vault(), Snapshot: t, Ciphertext: ciphertext, Form: f}
	v.Requests, v.Trail, v.Rotate, err = h.secretRequests(r, t, "", 100)
	return v, err
}

// secretsAgain shows the page with why an action was refused.
func (h *Handlers) secretsAgain(r *request, id market.TaskID) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		for i, f := range p.Fields {
			p.Fields[i].Label = map[string]string{"/expiresAt": "vault.until", "/reason": "vault.reason"}[f.Pointer]
		}
		reused := p.Code == market.ErrIdempotencyReused.Code
		if reused {
			p.Detail = views.T(ctx, "vault.reused")
		}
		if reused || p.Code == market.ErrInvalid.Code && (r.form.Has("ciphertext") || r.form.Has("bundle")) {
			p.Fix = views.T(ctx, "vault.again_fix")
		}
		// What was sealed is made anew; what else was typed stays.
		v, err := h.secretsView(r, id, views.Form{Problem: &p, Values: url.Values{"expiresAt": r.form["expiresAt"], "reason": r.form["reason"]}})
		v.Refused = market.SecretRequestID(r.echo.Param("rid"))
		return views.Secrets(ctx, v), err
	}
}
