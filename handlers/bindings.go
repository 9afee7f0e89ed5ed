package handlers

import (
	"context"
	"net/http"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/views"
)

const (
	bindCodesPath = "/api/v1/agent/bind-codes"
	agentsPath    = "/console/agents"
)

// bindCodeJSON is a code without its secret: what became of it.
type bindCodeJSON struct {
	ID        market.BindCodeID    `json:"id"`
	State     market.BindCodeState `json:"state"`
	ExpiresAt time.Time            `json:"expiresAt"`
	// Interval is after how many seconds to ask again.
	Interval int `json:"interval"`
	// Fingerprint is that of the key that the code was made with.
	Fingerprint string       `json:"fingerprint"`
	Binding     *bindingJSON `json:"binding,omitempty"`
}

func bindCodeShape(c market.BindCode, made *market.Binding, now time.Time) bindCodeJSON {
	j := bindCodeJSON{ID: c.ID, State: c.State(now), ExpiresAt: c.ExpiresAt, Interval: int(market.BindCodeInterval / time.Second), Fingerprint: c.Fingerprint}
	if made != nil {
		j.Binding = new(bindingShape(*made))
	}
	return j
}

// newBindCodeJSON is a code with its secret, which is shown once.
type newBindCodeJSON struct {
	bindCodeJSON
	Code            string `json:"code"`
	VerificationURI string `json:"verificationUri"`
	ExpiresIn       int    `json:"expiresIn"`
}

// bindCodeMadeJSON tells a retry which code was made.
type bindCodeMadeJSON struct {
	problem
	BindCode bindCodeJSON `json:"bindCode"`
}

// mintBindCode makes a code by which a human can bind the agent.
func (h *Handlers) mintBindCode(r *request) (answer, error) {
	if err := h.turn(r, h.bindings, string(r.actor.Account)); err != nil {
		return answer{}, err
	}
	made := func(v any) answer {
		c := v.(market.BindCode)
		p := toProblem(market.ErrAlreadyDone, r.echo.Request().URL.Path)
		return answer{status: http.StatusConflict, location: bindCodesPath + "/" + string(c.ID), json: bindCodeMadeJSON{p, bindCodeShape(c, nil, c.CreatedAt)}}
	}
	c, text, err := h.Store.MintBindCode(r.ctx(), r.caller(made))
	return answer{status: http.StatusCreated, location: bindCodesPath + "/" + string(c.ID), json: newBindCodeJSON{bindCodeShape(c, nil, c.CreatedAt),
		text, h.BaseURL + agentsPath, int(market.BindCodeLife / time.Second)}}, err
}

// showBindCode says what became of a code: no more often than it says.
func (h *Handlers) showBindCode(r *request) (answer, error) {
	id, err := pathID[market.BindCodeID](r, "bcid")
	if err != nil {
		return answer{}, err
	}
	now := time.Now()
	if wait, ok := h.polls.allow(string(r.actor.Account)+string(id), now); !ok {
		return answer{}, market.ErrSlowDown.After(wait)
	}
	c, made, err := h.Store.BindCode(r.ctx(), r.actor, id)
	return answer{json: bindCodeShape(c, made, now)}, err
}

type bindingJSON struct {
	ID market.BindingID `json:"id"`
	// Manager and Agent are handles.
	Manager string     `json:"manager"`
	Agent   string     `json:"agent"`
	BoundAt time.Time  `json:"boundAt"`
	EndedAt *time.Time `json:"endedAt"`
	// EndedBy is "agent" or "manager".
	EndedBy  *string    `json:"endedBy"`
	Paused   bool       `json:"paused"`
	PausedAt *time.Time `json:"pausedAt"`
	// SpendLimit is what the agent may put into escrow, null for all; Spent is
	// what it has since there is the limit.
	SpendLimit *market.Credits `json:"spendLimit"`
	Spent      market.Credits  `json:"spent"`
}

func bindingShape(b market.Binding) bindingJSON {
	j := bindingJSON{ID: b.ID, Manager: b.Manager, Agent: b.Handle, BoundAt: b.BoundAt, EndedAt: b.EndedAt,
		Paused: b.PausedAt != nil, PausedAt: b.PausedAt, SpendLimit: b.SpendLimit, Spent: b.Spent}
	if by := b.Ender(); by != "" {
		j.EndedBy = &by
	}
	return j
}

// listBindings shows who manages the agent, and who did.
func (h *Handlers) listBindings(r *request) (answer, error) {
	q := query{r: r}
	limit, before := q.limit(), market.BindingID(q.before())
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	found, err := h.Store.Bindings(r.ctx(), store.BindingsOf{Account: r.actor.Account, Before: before, Limit: limit + 1})
	return answer{json: page(found, limit, bindingShape, func(b market.Binding) any { return map[string]any{"id": b.ID} })}, err
}

// endBinding is the agent's side of it.
func (h *Handlers) endBinding(r *request) (answer, error) {
	id, err := pathID[market.BindingID](r, "bindingId")
	if err != nil {
		return answer{}, err
	}
	present := func(v any) answer { return answer{json: bindingShape(v.(market.Binding))} }
	b, err := h.Store.EndBinding(r.ctx(), r.caller(present), id)
	return present(b), err
}

type recoverInput struct {
	Grant string `json:"grant"`
}

// recoveredJSON is the new key of an agent, which is shown once.
type recoveredJSON struct {
	Agent string `json:"agent"`
	newKeyJSON
	// Revoked counts the keys that ended, WebhooksDeleted the webhooks.
	Revoked         int64 `json:"revoked"`
	WebhooksDeleted int64 `json:"webhooksDeleted"`
	// EncryptionKeyEnded says that there was one; another is to be registered.
	EncryptionKeyEnded bool `json:"encryptionKeyEnded"`
}

// recoverAgent gives the agent of a grant a new key in the place of all others,
// and ends what these may have made.
func (h *Handlers) recoverAgent(r *request) (answer, error) {
	var in recoverInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	if err := h.throttle(r, h.addresses, nil, ""); err != nil {
		return answer{}, err
	}
	got, err := h.Store.Recover(r.ctx(), in.Grant)
	return answer{status: http.StatusCreated, location: keysPath, json: recoveredJSON{got.Handle, newKeyJSON{keyShape(got.Key, got.Key.ID), got.Text},
		got.Revoked, got.Webhooks, got.EncryptionKey}}, err
}

// agentsView is the list of the agents that the visitor manages.
func (h *Handlers) agentsView(ctx context.Context, r *request, before market.BindingID, f views.Form) (views.AgentsView, error) {
	const perPage, ended = 20, 10
	v := views.AgentsView{Form: f, Later: before != "", Now: time.Now()}
	found, err := h.Store.Bindings(ctx, store.BindingsOf{Account: r.actor.Account, Live: true, Before: before, Limit: perPage + 1})
	if err != nil {
		return v, err
	}
	if len(found) > perPage {
		found = found[:perPage]
		v.Next = *encodeCursor(map[string]any{"id": found[perPage-1].ID})
	}
	v.Bindings = found
	if before == "" {
		v.Ended, err = h.Store.Bindings(ctx, store.BindingsOf{Account: r.actor.Account, Ended: true, Limit: ended})
	}
	return v, err
}

// listAgents shows the agents that the visitor manages, and the form for a code.
func (h *Handlers) listAgents(r *request) (answer, error) {
	q := query{r: r}
	before := market.BindingID(q.before())
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		v, err := h.agentsView(ctx, r, before, views.Form{})
		return views.Agents(ctx, v), err
	}}, nil
}

type bindInput struct {
	Code string `json:"code"`
}

// typedCode is the code of the form, which is shown again if it is refused.
// Guesses are throttled: by the account and by where they come from.
func (h *Handlers) typedCode(r *request) (string, error) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		for i := range p.Fields {
			p.Fields[i].Label = "agents.code"
		}
		v, err := h.agentsView(ctx, r, "", views.Form{Values: r.form, Problem: &p})
		return views.Agents(ctx, v), err
	}
	var in bindInput
	if err := r.decode(&in); err != nil {
		return "", err
	}
	if err := r.invalid(nil); err != nil {
		return "", err
	}
	return in.Code, h.throttle(r, h.addresses, h.bindings, string(r.actor.Account))
}

// checkBindCode shows whose code was typed, before anything is bound.
func (h *Handlers) checkBindCode(r *request) (answer, error) {
	code, err := h.typedCode(r)
	if err != nil {
		return answer{}, err
	}
	p, err := h.Store.Prospect(r.ctx(), r.by, code)
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		return views.BindAgent(ctx, views.BindView{Prospect: p, Code: code, Once: newRequestID(), Now: time.Now()}), nil
	}}, err
}

// bindAgent makes the visitor the agent's manager.
func (h *Handlers) bindAgent(r *request) (answer, error) {
	code, err := h.typedCode(r)
	if err != nil {
		return answer{}, err
	}
	present := managedAnswer("flash.agent_bound")
	b, err := h.Store.Bind(r.ctx(), r.caller(present), code)
	return present(b), err
}

// managedAnswer leads to the agent's page.
func managedAnswer(message string) func(any) answer {
	return func(v any) answer {
		b := v.(market.Binding)
		return answer{to: agentsPath + "/" + b.Handle, flash: views.Message{ID: message, Args: map[string]any{"Handle": b.Handle}}}
	}
}

// Bounds of what an agent's page lists.
const (
	managedTasks = 8
	managedDeeds = 20
	managedKeys  = 20
)

// agent is the handle in the path; what cannot be one names nothing.
func (r *request) agent() (string, error) {
	handle := r.echo.Param("agent")
	if !market.ValidHandle(handle) {
		return "", market.ErrNotFound
	}
	return handle, nil
}

// agentView is all that a manager sees of the agent.
func (h *Handlers) agentView(ctx context.Context, r *request) (v views.AgentView, err error) {
	v = views.AgentView{Now: time.Now(), Once: newRequestID()}
	handle, err := r.agent()
	if err != nil {
		return v, err
	}
	if v.Binding, err = h.Store.Managed(ctx, r.actor.Account, handle); err != nil {
		return v, err
	}
	id := v.Binding.Agent
	if v.Wallet, err = h.Store.Wallet(ctx, id); err != nil {
		return v, err
	}
	if v.Workload, err = h.Store.Workload(ctx, id); err != nil {
		return v, err
	}
	if v.Published, err = h.Store.OwnTasks(ctx, id, market.RolePublisher, "", nil, "", managedTasks); err != nil {
		return v, err
	}
	if v.Work, err = h.Store.OwnTasks(ctx, id, market.RoleWorker, "", nil, "", managedTasks); err != nil {
		return v, err
	}
	if v.Handed, err = h.Store.Handed(ctx, id, managedTasks); err != nil {
		return v, err
	}
	if v.Deeds, err = h.Store.Deeds(ctx, id, managedDeeds); err != nil {
		return v, err
	}
	if v.Keys, err = h.Store.Keys(ctx, id, "", managedKeys); err != nil {
		return v, err
	}
	v.Recovery, err = h.Store.LiveRecovery(ctx, v.Binding.ID)
	return v, err
}

// showAgent is the agent's page for its manager; nobody else has it.
func (h *Handlers) showAgent(r *request) (answer, error) {
	v, err := h.agentView(r.ctx(), r)
	return answer{page: func(ctx context.Context) (views.Screen, error) { return views.Agent(ctx, v), nil }}, err
}

// agentAgain shows the agent's page with why its form was refused.
func (h *Handlers) agentAgain(r *request) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		v, err := h.agentView(ctx, r)
		v.Form = views.Form{Values: r.form, Problem: &p}
		return views.Agent(ctx, v), err
	}
}

func (h *Handlers) pauseAgent(r *request) (answer, error) {
	handle, err := r.agent()
	if err != nil {
		return answer{}, err
	}
	h.agentAgain(r)
	present := managedAnswer("flash.agent_paused")
	b, err := h.Store.PauseAgent(r.ctx(), r.caller(present), handle)
	return present(b), err
}

func (h *Handlers) resumeAgent(r *request) (answer, error) {
	handle, err := r.agent()
	if err != nil {
		return answer{}, err
	}
	h.agentAgain(r)
	present := managedAnswer("flash.agent_resumed")
	b, err := h.Store.ResumeAgent(r.ctx(), r.caller(present), handle)
	return present(b), err
}

type limitInput struct {
	Limit *int64 `json:"limit"`
}

// limitAgent sets what the agent may spend; an empty field means all.
func (h *Handlers) limitAgent(r *request) (answer, error) {
	handle, err := r.agent()
	if err != nil {
		return answer{}, err
	}
	h.agentAgain(r)
	var in limitInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	if err := r.invalid(nil); err != nil {
		return answer{}, err
	}
	message := "flash.agent_limited"
	if in.Limit == nil {
		message = "flash.agent_unlimited"
	}
	present := managedAnswer(message)
	b, err := h.Store.LimitAgent(r.ctx(), r.caller(present), handle, (*market.Credits)(in.Limit))
	return present(b), err
}

// grantRecovery makes a grant and shows it, this once.
func (h *Handlers) grantRecovery(r *request) (answer, error) {
	handle, err := r.agent()
	if err != nil {
		return answer{}, err
	}
	h.agentAgain(r)
	granted, text, err := h.Store.GrantRecovery(r.ctx(), r.caller(managedAnswer("flash.grant_made")), handle)
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		return views.RecoveryGrant(ctx, views.GrantView{Handle: handle, Recovery: granted, Text: text, BaseURL: h.BaseURL, Now: time.Now()}), nil
	}}, err
}

// unbindAgent is the manager's side of the end.
func (h *Handlers) unbindAgent(r *request) (answer, error) {
	handle, err := r.agent()
	if err != nil {
		return answer{}, err
	}
	b, err := h.Store.Managed(r.ctx(), r.actor.Account, handle)
	if err != nil {
		return answer{}, err
	}
	present := func(v any) answer {
		b := v.(market.Binding)
		return answer{to: agentsPath, flash: views.Message{ID: "flash.agent_unbound", Args: map[string]any{"Handle": b.Handle}}}
	}
	b, err = h.Store.EndBinding(r.ctx(), r.caller(present), b.ID)
	return present(b), err
}
