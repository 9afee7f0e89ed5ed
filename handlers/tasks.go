package handlers

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"guildhall/market"
	"guildhall/market/verify"
	"guildhall/store"
)

type taskInput struct {
	Title        string              `json:"title"`
	Brief        string              `json:"brief"`
	Skills       []string            `json:"skills"`
	Mode         string              `json:"mode"`
	Reward       int64               `json:"reward"`
	Payload      rawJSON             `json:"payload"`
	OutputSchema rawJSON             `json:"outputSchema"`
	Rules        []market.Rule       `json:"rules"`
	Attachments  []market.Attachment `json:"attachments"`
	AutoAccept   bool                `json:"autoAccept"`
	ClaimMinutes *int64              `json:"claimMinutes"`
	ReviewHours  *int64              `json:"reviewHours"`
	MaxAttempts  *int64              `json:"maxAttempts"`
	MaxAccepted  *int64              `json:"maxAccepted"`
	Deadline     *time.Time          `json:"deadline"`
}

// rawJSON keeps a member as it was sent; null is the same as absent.
type rawJSON []byte

// UnmarshalJSON implements json.Unmarshaler.
func (r *rawJSON) UnmarshalJSON(b []byte) error {
	*r = nil
	if string(b) != "null" {
		*r = append(rawJSON(nil), b...)
	}
	return nil
}

func (in taskInput) draft() market.Draft {
	return market.Draft{Title: in.Title, Brief: in.Brief, Skills: in.Skills, Mode: in.Mode, Reward: in.Reward,
		Payload: json.RawMessage(in.Payload), OutputSchema: json.RawMessage(in.OutputSchema), Rules: in.Rules, Attachments: in.Attachments, AutoAccept: in.AutoAccept,
		ClaimMinutes: in.ClaimMinutes, ReviewHours: in.ReviewHours, MaxAttempts: in.MaxAttempts, MaxAccepted: in.MaxAccepted, Deadline: in.Deadline}
}

// publishTask funds and opens a task.
func (h *Handlers) publishTask(r *request) (answer, error) {
	var in taskInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	d := in.draft()
	bad := d.Clean(time.Now().UTC().Truncate(time.Microsecond))
	if len(d.Payload) > 0 {
		if p := verify.CheckJSON(d.Payload, verify.PayloadLimits); p != nil {
			bad = append(bad, document("/payload", *p))
		}
	}
	ctx := r.echo.Request().Context()
	if len(d.OutputSchema) > 0 {
		problems, err := h.Verifier.AdmitSchema(ctx, d.OutputSchema)
		if err != nil {
			h.Logger.Error("the verifier does not answer", "error", err)
			return answer{}, market.ErrVerifierUnavailable.After(5 * time.Second)
		}
		for _, p := range problems {
			bad = append(bad, document("/outputSchema", p))
		}
	}
	if err := market.Invalid(bad); err != nil {
		return answer{}, err
	}
	present := func(v any) answer {
		s := v.(market.Snapshot)
		return answer{status: http.StatusCreated, json: taskShape(s, r.actor), location: "/api/v1/agent/tasks/" + string(s.ID)}
	}
	s, err := h.Store.PublishTask(ctx, r.caller(present), d)
	return present(s), err
}

// document reports a problem inside a document that is a member of the body.
func document(member string, p verify.Problem) market.FieldError {
	return market.FieldError{Pointer: member + p.Pointer, Code: "document", Args: map[string]any{"Detail": p.Detail}}
}

func (h *Handlers) listMarket(r *request) (answer, error) {
	q := query{r: r}
	f := market.Filter{
		Sort:      market.Sort(q.choice("sort", "newest", "newest", "reward", "deadline")),
		AllSkills: q.choice("match", "any", "any", "all") == "all",
		MinReward: q.number("minReward", 0, 0, market.MaxReward),
		MaxReward: q.number("maxReward", 0, 0, market.MaxReward),
		Query:     q.text("q"), Publisher: q.text("publisher"), Limit: q.limit(),
	}
	q.choice("mode", "", market.ModeExclusive, "open")
	hasProtected := q.choice("hasProtected", "false", "true", "false") == "true"
	for _, s := range strings.FieldsFunc(q.text("skills"), func(c rune) bool { return c == ',' || c == ' ' }) {
		if !market.ValidSkill(s) {
			q.fail("skills", "skill", nil)
		}
		f.Skills = append(f.Skills, s)
	}
	if len(f.Skills) > 20 {
		q.fail("skills", "too_many", map[string]any{"Max": 20})
	}
	if len(f.Query) > 200 || !utf8.ValidString(f.Query) || strings.ContainsRune(f.Query, 0) {
		q.fail("q", "search", map[string]any{"Max": 200})
	}
	if f.Publisher != "" && !market.ValidHandle(f.Publisher) {
		q.fail("publisher", "handle", nil)
	}
	var after struct {
		Reward   int64     `json:"r"`
		Deadline time.Time `json:"d"`
		ID       string    `json:"id"`
	}
	if q.cursor(&after) && q.id(after.ID) != "" {
		f.After = &market.Position{Reward: after.Reward, Deadline: after.Deadline, ID: market.TaskID(after.ID)}
	}
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	if hasProtected || q.text("mode") == "open" {
		return answer{json: list[taskSummaryJSON]{Items: []taskSummaryJSON{}}, open: true}, nil // no such tasks yet
	}
	limit := f.Limit
	f.Limit++
	tasks, err := h.Store.OpenTasks(r.echo.Request().Context(), f)
	return answer{open: true, json: page(tasks, limit, summary, func(t market.Task) any {
		return map[string]any{"r": t.Reward, "d": t.Deadline, "id": t.ID}
	})}, err
}

func (h *Handlers) listSkills(r *request) (answer, error) {
	type skillJSON struct {
		Skill string `json:"skill"`
		Open  int64  `json:"open"`
	}
	skills, err := h.Store.Skills(r.echo.Request().Context())
	return answer{open: true, json: page(skills, len(skills), func(s market.SkillCount) skillJSON { return skillJSON(s) }, nil)}, err
}

// showMarketTask is the task as everybody may see it.
func (h *Handlers) showMarketTask(r *request) (answer, error) { return h.showTask(r) }

func (h *Handlers) showTask(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	s, err := h.Store.Task(r.echo.Request().Context(), r.actor, id)
	return answer{json: taskShape(s, r.actor), tagged: true}, err
}

func (h *Handlers) listOwnTasks(r *request) (answer, error) {
	q := query{r: r}
	role := market.Role(q.choice("role", "", "publisher", "worker"))
	state := market.State(q.choice("state", "", "open", "claimed", "in_review", "settled", "cancelled", "expired"))
	limit := q.limit()
	var before struct {
		ID string `json:"id"`
	}
	q.cursor(&before)
	id := market.TaskID(q.id(before.ID))
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	tasks, err := h.Store.OwnTasks(r.echo.Request().Context(), r.actor.Account, role, state, id, limit+1)
	return answer{json: page(tasks, limit, summary, func(t market.Task) any { return map[string]any{"id": t.ID} })}, err
}

func (h *Handlers) cancelTask(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	present := func(v any) answer { return answer{json: taskShape(v.(market.Snapshot), r.actor)} }
	s, err := h.Store.CancelTask(r.echo.Request().Context(), r.caller(present), id)
	return present(s), err
}

// claimAnswer is a task with the holder's own claim.
func claimAnswer(status int, r *request) func(any) answer {
	return func(v any) answer {
		t := taskShape(v.(market.Snapshot), r.actor)
		return answer{status: status, json: struct {
			Task  taskJSON   `json:"task"`
			Claim *claimJSON `json:"claim"`
		}{t, t.Claim}}
	}
}

func (h *Handlers) claimTask(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	present := claimAnswer(http.StatusCreated, r)
	s, err := h.Store.ClaimTask(r.echo.Request().Context(), r.caller(present), id)
	return present(s), err
}

// lease reads which claim a write without a body relies on: optional, since
// the credential says who holds it.
func (r *request) lease() (store.Lease, error) {
	q := query{r: r}
	l := store.Lease{Claim: market.ClaimID(q.text("claimId"))}
	if s := q.text("epoch"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			q.fail("epoch", "type", nil)
		}
		l.Epoch = n
	}
	return l, market.Invalid(q.bad)
}

func (h *Handlers) renewClaim(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	l, err := r.lease()
	if err != nil {
		return answer{}, err
	}
	present := claimAnswer(http.StatusOK, r)
	s, err := h.Store.RenewClaim(r.echo.Request().Context(), r.caller(present), id, l)
	return present(s), err
}

func (h *Handlers) releaseClaim(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	l, err := r.lease()
	if err != nil {
		return answer{}, err
	}
	present := func(v any) answer { return answer{json: taskShape(v.(market.Snapshot), r.actor)} }
	s, err := h.Store.ReleaseClaim(r.echo.Request().Context(), r.caller(present), id, l)
	return present(s), err
}
