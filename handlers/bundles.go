package handlers

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/views"
)

// handoffJSON is a handoff bundle as an agent is given it. Of apiKey and
// redeemCode it has one, and only in the answer that is shown once.
type handoffJSON struct {
	Version         int             `json:"version"`
	Issuer          string          `json:"issuer"`
	Account         string          `json:"account"`
	Name            string          `json:"name"`
	BaseURL         string          `json:"baseUrl"`
	APIKey          string          `json:"apiKey,omitempty"`
	RedeemCode      string          `json:"redeemCode,omitempty"`
	RedeemURL       string          `json:"redeemUrl,omitempty"`
	RedeemBy        *time.Time      `json:"redeemBy,omitempty"`
	Scopes          []market.Scope  `json:"scopes"`
	SpendCap        market.Credits  `json:"spendCap"`
	SpendCapPerTask *market.Credits `json:"spendCapPerTask"`
	Spent           market.Credits  `json:"spent"`
	Tasks           []market.TaskID `json:"tasks"`
	Skills          []string        `json:"skills"`
	ExpiresAt       time.Time       `json:"expiresAt"`
	SkillURL        string          `json:"skillUrl"`
	// Agent redeemed it with a key of its own, and counts as one party with the
	// account.
	Agent  string `json:"agent,omitempty"`
	Prompt string `json:"prompt,omitempty"`
}

const redeemPath = "/handoff/redeem"

// handoff is the bundle that acts for the handle, without its secret.
func (h *Handlers) handoff(b market.Bundle, handle string) handoffJSON {
	out := handoffJSON{Version: 1, Issuer: h.BaseURL, Account: handle, Name: b.Name, BaseURL: h.BaseURL + "/api/v1", Scopes: b.Scopes,
		SpendCap: b.SpendCap, Spent: b.Spent, Tasks: b.Tasks, Skills: b.Skills, ExpiresAt: b.ExpiresAt, SkillURL: h.BaseURL + "/skill.md", Agent: b.AgentHandle}
	if b.TaskCap > 0 {
		out.SpendCapPerTask = &b.TaskCap
	}
	return out
}

// handed is the bundle with its secret, a key or a code for one, and with the
// prompt that tells an agent what to do with it.
func (h *Handlers) handed(ctx context.Context, b market.Bundle, handle, secret string) handoffJSON {
	out := h.handoff(b, handle)
	if strings.HasPrefix(secret, market.HandoffPrefix) {
		out.RedeemCode, out.RedeemURL, out.RedeemBy = secret, out.BaseURL+redeemPath, b.CodeExpiresAt
	} else {
		out.APIKey = secret
	}
	out.Prompt = views.BundlePrompt(ctx, views.PromptView{Bundle: b, Handle: handle, Issuer: h.BaseURL, BaseURL: out.BaseURL, SkillURL: out.SkillURL, Secret: secret})
	return out
}

type redeemHandoffInput struct {
	Code string `json:"code"`
}

// redeemHandoff gives an agent the key of its bundle for a code that works
// once. A second try revokes the bundle. The agent shows a key of its own if it
// has one, and counts as one party with the bundle's owner from then on.
func (h *Handlers) redeemHandoff(r *request) (answer, error) {
	if err := h.throttle(r, h.addresses, nil, ""); err != nil {
		return answer{}, err
	}
	var in redeemHandoffInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	var agent market.AccountID
	if r.actor.Kind == market.Agent && r.actor.Mandate == nil {
		agent = r.actor.Account
	}
	b, key, handle, err := h.Store.RedeemHandoff(r.ctx(), strings.TrimSpace(in.Code), agent, r.address())
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated, location: "/api/v1/agent/me", json: h.handed(r.ctx(), b, handle, key)}, nil
}

// listBundles shows the visitor's bundles.
func (h *Handlers) listBundles(r *request) (answer, error) {
	q := query{r: r}
	limit, id := q.limit(), market.BundleID(q.before())
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		found, err := h.Store.Bundles(ctx, r.actor.Account, id, limit+1)
		next := ""
		if len(found) > limit {
			found = found[:limit]
			next = text(encodeCursor(map[string]any{"id": found[limit-1].ID}))
		}
		return views.Bundles(ctx, views.BundlesView{Bundles: found, Next: next, Later: id != "", Now: time.Now()}), err
	}}, nil
}

// newBundle shows the form, filled in as the preset of the query says.
func (h *Handlers) newBundle(r *request) (answer, error) {
	preset := market.Presets()[0]
	for _, p := range market.Presets() {
		if p.Name == r.echo.QueryParam("preset") {
			preset = p
		}
	}
	form := url.Values{"days": {strconv.Itoa(int(market.BundleLife / (24 * time.Hour)))}, "secret": {"code"}}
	if task := r.echo.QueryParam("task"); market.ValidID(task) {
		form.Set("tasks", task)
	}
	for _, s := range preset.Scopes {
		form.Add("scopes", string(s))
	}
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		return views.NewBundle(ctx, views.NewBundleView{Form: views.Form{Values: form, Once: newRequestID()}, Preset: preset.Name}), nil
	}}, nil
}

type bundleInput struct {
	Name     string   `json:"name"`
	Scopes   []string `json:"scopes"`
	SpendCap *int64   `json:"spendCap"`
	TaskCap  *int64   `json:"spendCapPerTask"`
	Days     int64    `json:"days"`
	Tasks    []string `json:"tasks"`
	Skills   []string `json:"skills"`
	Secret   string   `json:"secret"`
}

func (in bundleInput) draft(now time.Time) market.BundleDraft {
	d := market.BundleDraft{Name: in.Name, Scopes: named[market.Scope](in.Scopes), Tasks: taskIDs(in.Tasks), Skills: in.Skills,
		ExpiresAt: now.Add(time.Duration(in.Days) * 24 * time.Hour), WithKey: in.Secret == "key"}
	if in.SpendCap != nil {
		d.SpendCap = *in.SpendCap
	}
	if in.TaskCap != nil {
		d.TaskCap = *in.TaskCap
	}
	return d
}

// taskIDs reads ids of tasks, or their addresses: people paste these.
func taskIDs(words []string) []market.TaskID {
	ids := named[market.TaskID](words)
	for i, word := range words {
		if _, after, ok := strings.Cut(word, "/tasks/"); ok {
			ids[i] = market.TaskID(strings.TrimRight(after, "/"))
		}
	}
	return ids
}

func named[T ~string](words []string) []T {
	if words == nil {
		return nil
	}
	out := make([]T, len(words))
	for i, w := range words {
		out[i] = T(w)
	}
	return out
}

// makeBundle makes a bundle and shows its secret, this once.
func (h *Handlers) makeBundle(r *request) (answer, error) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		return views.NewBundle(ctx, views.NewBundleView{Form: views.Form{Values: r.form, Problem: &p, Once: newRequestID()}}), nil
	}
	var in bundleInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	now := time.Now()
	if in.Days < 1 || in.Days > int64(market.MaxBundleLife/(24*time.Hour)) {
		r.faults = append(r.faults, market.FieldError{Pointer: "/days", Code: "range", Args: map[string]any{"Min": 1, "Max": int64(market.MaxBundleLife / (24 * time.Hour))}})
		in.Days = 1
	}
	d := in.draft(now)
	if err := r.invalid(d.Clean(now)); err != nil {
		return answer{}, err
	}
	b, secret, err := h.Store.NewBundle(r.ctx(), r.caller(bundleMade), d)
	return answer{status: http.StatusCreated, page: h.handOver(r, b, secret)}, err
}

// bundleMade is the stored answer to a form that made a secret: it leads to
// the bundle, which does not show it.
func bundleMade(v any) answer { return answer{to: bundlePath(v.(market.Bundle).ID)} }

func bundlePath(id market.BundleID) string { return "/console/bundles/" + string(id) }

// handOver is the screen that shows a bundle with its secret.
func (h *Handlers) handOver(r *request, b market.Bundle, secret string) func(context.Context) (views.Screen, error) {
	return func(ctx context.Context) (views.Screen, error) {
		out := h.handed(ctx, b, r.actor.Handle, secret)
		document, err := json.MarshalIndent(out, "", "  ")
		return views.HandOver(ctx, views.HandOverView{Bundle: b, Prompt: out.Prompt, Document: string(document), Now: time.Now()}), err
	}
}

// showBundle shows a bundle with its timeline.
func (h *Handlers) showBundle(r *request) (answer, error) {
	id, err := pathID[market.BundleID](r, "hid")
	if err != nil {
		return answer{}, err
	}
	q := query{r: r}
	before := market.BundleActionID(q.before())
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		return h.bundleScreen(ctx, r, id, before, views.Form{})
	}}, nil
}

const actionsShown = 20

func (h *Handlers) bundleScreen(ctx context.Context, r *request, id market.BundleID, before market.BundleActionID, narrow views.Form) (views.Screen, error) {
	b, err := h.Store.Bundle(ctx, r.actor.Account, id)
	if err != nil {
		return views.Screen{}, err
	}
	actions, err := h.Store.BundleActions(ctx, r.actor.Account, id, before, actionsShown+1)
	v := views.BundleView{Bundle: b, Actions: actions, Later: before != "", Narrow: narrow, Now: time.Now()}
	if len(actions) > actionsShown {
		v.Actions = actions[:actionsShown]
		v.Next = text(encodeCursor(map[string]any{"id": actions[actionsShown-1].ID}))
	}
	if narrow.Values == nil {
		v.Narrow.Values = narrowValues(b)
	}
	return views.ShowBundle(ctx, v), err
}

func narrowValues(b market.Bundle) url.Values {
	out := url.Values{"spendCap": {strconv.FormatInt(int64(b.SpendCap), 10)}, "expiresAt": {b.ExpiresAt.UTC().Format(formTime)}}
	if b.TaskCap > 0 {
		out.Set("spendCapPerTask", strconv.FormatInt(int64(b.TaskCap), 10))
	}
	for _, s := range b.Scopes {
		out.Add("scopes", string(s))
	}
	tasks := make([]string, len(b.Tasks))
	for i, id := range b.Tasks {
		tasks[i] = string(id)
	}
	out.Set("tasks", strings.Join(tasks, "\n"))
	out.Set("skills", strings.Join(b.Skills, ", "))
	return out
}

type narrowInput struct {
	Scopes    []string   `json:"scopes"`
	SpendCap  *int64     `json:"spendCap"`
	TaskCap   *int64     `json:"spendCapPerTask"`
	ExpiresAt *time.Time `json:"expiresAt"`
	Tasks     []string   `json:"tasks"`
	Skills    []string   `json:"skills"`
}

// narrowBundle takes rights away from a bundle.
func (h *Handlers) narrowBundle(r *request) (answer, error) {
	id, err := pathID[market.BundleID](r, "hid")
	if err != nil {
		return answer{}, err
	}
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		return h.bundleScreen(ctx, r, id, "", views.Form{Values: r.form, Problem: &p})
	}
	var in narrowInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	if err := r.invalid(nil); err != nil {
		return answer{}, err
	}
	n := market.Narrowing{Scopes: append([]market.Scope{}, named[market.Scope](in.Scopes)...), SpendCap: in.SpendCap, TaskCap: in.TaskCap, ExpiresAt: in.ExpiresAt,
		Tasks: taskIDs(in.Tasks), Skills: in.Skills}
	if n.Tasks == nil && r.form.Has("tasks") { // emptied: for all, which would be wider
		n.Tasks = []market.TaskID{}
	}
	if n.Skills == nil && r.form.Has("skills") {
		n.Skills = []string{}
	}
	if n.ExpiresAt != nil && h.sameMinute(r, id, *n.ExpiresAt) {
		n.ExpiresAt = nil // the field has no seconds
	}
	present := func(any) answer { return answer{to: bundlePath(id), flash: views.Message{ID: "flash.bundle_narrowed"}} }
	_, err = h.Store.NarrowBundle(r.ctx(), r.caller(present), id, n)
	return present(nil), err
}

// sameMinute says that the bundle ends in this minute anyway.
func (h *Handlers) sameMinute(r *request, id market.BundleID, at time.Time) bool {
	b, err := h.Store.Bundle(r.ctx(), r.actor.Account, id)
	return err == nil && b.ExpiresAt.UTC().Truncate(time.Minute).Equal(at.UTC())
}

// revokeBundle ends a bundle.
func (h *Handlers) revokeBundle(r *request) (answer, error) {
	id, err := pathID[market.BundleID](r, "hid")
	if err != nil {
		return answer{}, err
	}
	present := func(any) answer { return answer{to: bundlePath(id), flash: views.Message{ID: "flash.bundle_revoked"}} }
	_, err = h.Store.RevokeBundle(r.ctx(), r.caller(present), id)
	return present(nil), err
}

// recodeBundle makes a new code for a bundle that nobody has redeemed and shows
// it, this once.
func (h *Handlers) recodeBundle(r *request) (answer, error) {
	id, err := pathID[market.BundleID](r, "hid")
	if err != nil {
		return answer{}, err
	}
	b, code, err := h.Store.RecodeBundle(r.ctx(), r.caller(bundleMade), id)
	return answer{status: http.StatusCreated, page: h.handOver(r, b, code)}, err
}

// bundleOf is the bundle that the request acts through, nil for none.
func (h *Handlers) bundleOf(r *request) (*handoffJSON, error) {
	m := r.actor.Mandate
	if m == nil {
		return nil, nil
	}
	b, err := h.Store.Bundle(r.ctx(), r.actor.Account, m.Bundle)
	out := h.handoff(b, r.actor.Handle)
	return &out, err
}

// covered refuses a bundle's request for a task that it is not about.
func (h *Handlers) covered(r *request) error {
	if id := r.echo.Param("id"); id != "" {
		return h.Store.Covered(r.ctx(), r.actor.Mandate, market.TaskID(id))
	}
	return nil
}

// apart keeps the idempotency keys of an account's bundles apart from each
// other and from its own.
func apart(by store.Caller, key string) string {
	if by.Mandate == nil {
		return key
	}
	return string(by.Mandate.Bundle) + " " + key
}
