package handlers

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"guildhall/market"
	"guildhall/market/verify"
	"guildhall/store"
	"guildhall/views"
)

// taskPath is the page of a task.
func taskPath(id market.TaskID) string { return "/tasks/" + string(id) }

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
	f.Mode = q.choice("mode", "", market.ModeExclusive, market.ModeOpen)
	if with := q.choice("hasProtected", "", "true", "false"); with != "" {
		f.Protected = new(with == "true")
	}
	for _, s := range strings.FieldsFunc(strings.Join(r.echo.QueryParams()["skills"], ","), func(c rune) bool { return c == ',' || c == ' ' }) {
		if !market.ValidSkill(s) {
			q.fail("skills", "skill", nil)
		}
		f.Skills = append(f.Skills, s)
	}
	if len(f.Skills) > 20 {
		q.fail("skills", "too_many", map[string]any{"Max": 20})
	}
	if len(f.Query) > 200 || !market.ValidText(f.Query) {
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
	if q.cursor(&after) && (after.ID == "" || q.id(after.ID) != "") {
		f.After = &market.Position{Reward: after.Reward, Deadline: after.Deadline, ID: market.TaskID(after.ID)}
	}
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	limit := f.Limit
	first, err := h.firstTask(r, f)
	if err != nil {
		return answer{}, err
	}
	if first != nil {
		limit--
	}
	f.Limit = limit + 1
	tasks, err := h.Store.OpenTasks(r.ctx(), f)
	if err != nil {
		return answer{}, err
	}
	position := func(t market.Task) any { return map[string]any{"r": t.Reward, "d": t.Deadline, "id": t.ID} }
	found := list[taskSummaryJSON]{}
	if limit > 0 || len(tasks) == 0 {
		found = page(tasks, limit, summary, position)
	} else {
		found.NextCursor = encodeCursor(map[string]any{"id": ""})
	}
	tasks = tasks[:len(found.Items)]
	if first != nil {
		found.Items, tasks = slices.Insert(found.Items, 0, summary(*first)), slices.Insert(tasks, 0, *first)
	}
	return answer{open: r.actor.Account == "", json: found, page: func(ctx context.Context) (views.Screen, error) {
		v := views.MarketView{Filter: f, Tasks: tasks, Next: text(found.NextCursor), Now: time.Now()}
		var err error
		if v.Skills, err = h.skills.get(ctx); err != nil {
			return views.Screen{}, err
		}
		v.Stats, err = h.stats.get(ctx)
		return views.Market(ctx, v), err
	}}, nil
}

// text is the string, or "" if there is none.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// skillJSON is how much open work asks for a skill.
type skillJSON struct {
	Skill   string         `json:"skill"`
	Open    int64          `json:"open"`
	Offered market.Credits `json:"creditsOffered"`
	Best    market.Credits `json:"bestReward"`
}

func (h *Handlers) listSkills(r *request) (answer, error) {
	skills, err := h.skills.get(r.ctx())
	found := page(skills, len(skills), func(s market.SkillCount) skillJSON { return skillJSON(s) }, nil)
	return answer{open: true, json: found, page: func(ctx context.Context) (views.Screen, error) {
		stats, err := h.stats.get(ctx)
		return views.Skills(ctx, skills, stats), err
	}}, err
}

// showStats tells the size of the market, at most a few seconds old.
func (h *Handlers) showStats(r *request) (answer, error) {
	s, err := h.stats.get(r.ctx())
	return answer{open: true, json: statsJSON{s.OpenTasks, s.Offered, s.PaidTasks, s.Paid}}, err
}

// statsJSON is the size of the market.
type statsJSON struct {
	OpenTasks      int64          `json:"openTasks"`
	CreditsOffered market.Credits `json:"creditsOffered"`
	PaidTasks30d   int64          `json:"paidTasks30d"`
	PaidCredits30d market.Credits `json:"paidCredits30d"`
}

// showMarketTask is the task as everybody may see it.
func (h *Handlers) showMarketTask(r *request) (answer, error) { return h.showTask(r) }

func (h *Handlers) showTask(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	s, err := h.Store.Task(r.ctx(), r.actor, id)
	if err != nil {
		return answer{}, err
	}
	shape := taskShape(s, r.actor)
	if r.visitor == nil {
		threads, err := h.Store.Threads(r.ctx(), r.actor.Account, []market.TaskID{id})
		if err != nil {
			return answer{}, err
		}
		shape.Thread = threadShape(threads, id)
	}
	if r.visitor == nil && r.actor.Account == s.Publisher {
		secrets, err := h.Store.Secrets(r.ctx(), id)
		if err != nil {
			return answer{}, err
		}
		shape.Samples = secrets.Samples
	}
	q := query{r: r}
	at := q.number("thread", 0, 0, 1<<53)
	return answer{json: shape, tagged: true, page: func(ctx context.Context) (views.Screen, error) {
		reported, err := h.reported(ctx, &q, id)
		if err != nil {
			return views.Screen{}, err
		}
		v, err := h.taskView(ctx, r, s, views.Form{})
		if err == nil {
			err = h.showThread(ctx, r, &v, at)
		}
		v.Reported = reported
		return views.Task(ctx, v), err
	}}, err
}

// reported is the message of the task's thread that the visitor wants to
// report, nil if it is none.
func (h *Handlers) reported(ctx context.Context, q *query, id market.TaskID) (*market.Message, error) {
	asked := q.text("report")
	if asked == "" {
		return nil, market.Invalid(q.bad)
	}
	m, err := h.Store.Message(ctx, id, market.MessageID(asked))
	if errors.Is(err, market.ErrNotFound) {
		q.fail("report", "message", nil)
		err = nil
	}
	return &m, cmp.Or(err, market.Invalid(q.bad))
}

// taskView is the task with what its page shows besides.
func (h *Handlers) taskView(ctx context.Context, r *request, s market.Snapshot, f views.Form) (views.TaskView, error) {
	v, err := h.statusView(ctx, r, s)
	if err != nil {
		return v, err
	}
	v.Form, v.Terms = f, h.Store.Terms()
	if v.Form.Once == "" {
		v.Form.Once = newRequestID()
	}
	attached := s.Attachments
	if s.Delivery != nil {
		attached = append(slices.Clone(attached), s.Delivery.Attachments...)
	}
	if v.Files, err = h.files(ctx, s.ID, attached); err != nil {
		return v, err
	}
	if v.Mine && s.Delivery != nil && s.Delivery.State == market.DeliveryPending {
		j, err := h.Store.Judgements(ctx, s.Publisher)
		if err != nil {
			return v, err
		}
		v.MassRejection = j.MayReject()
	}
	if v.Mine {
		if v.Secrets, err = h.Store.Secrets(ctx, s.ID); err != nil {
			return v, err
		}
		if v.History, err = h.Store.DeliveryHistory(ctx, r.actor.Account, s.ID, 50); err != nil {
			return v, err
		}
		if s.Others.Pending > 0 || (s.Mode == market.ModeOpen && s.Delivery != nil) {
			if v.Waiting, err = h.Store.Waiting(ctx, s.ID, 50); err != nil {
				return v, err
			}
		}
	}
	if v.Mine && s.Mode == market.ModeOpen {
		shown := v.Waiting
		if s.Delivery != nil {
			shown = append(slices.Clone(shown), *s.Delivery)
		}
		if v.Identical, err = h.Store.Identical(ctx, r.actor, shown...); err != nil {
			return v, err
		}
	}
	if s.Delivery != nil {
		v.Earlier, err = h.Store.EarlierDelivery(ctx, r.actor.Account, *s.Delivery)
	}
	return v, err
}

// shownTimeline is how many of the newest lines of its timeline a task's page
// shows; all are on a page of their own.
const shownTimeline = 50

// statusView is the task with what happened to it.
func (h *Handlers) statusView(ctx context.Context, r *request, s market.Snapshot) (views.TaskView, error) {
	timeline, err := h.Store.RecentTimeline(ctx, r.actor, s.ID, shownTimeline)
	return views.TaskView{Snapshot: s, Mine: r.actor.Account == s.Publisher, Timeline: timeline, Shown: s.Version, Now: time.Now()}, err
}

// taskAgain shows the task with why an action on it was refused.
func (h *Handlers) taskAgain(r *request, id market.TaskID, show func(context.Context, views.TaskView) views.Screen) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		s, err := h.Store.Task(ctx, r.actor, id)
		if err != nil {
			return views.Screen{}, err
		}
		v, err := h.taskView(ctx, r, s, views.Form{Values: r.form, Problem: &p})
		if err == nil {
			err = h.showThread(ctx, r, &v, 0)
		}
		return show(ctx, v), err
	}
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
	tasks, err := h.Store.OwnTasks(r.ctx(), r.actor.Account, role, state, r.actor.Mandate, id, limit+1)
	if err != nil {
		return answer{}, err
	}
	ids := make([]market.TaskID, len(tasks))
	for i, t := range tasks {
		ids[i] = t.ID
	}
	threads, err := h.Store.Threads(r.ctx(), r.actor.Account, ids)
	if err != nil {
		return answer{}, err
	}
	own := func(t market.Task) taskSummaryJSON {
		out := summary(t)
		out.Thread = threadShape(threads, t.ID)
		return out
	}
	found := page(tasks, limit, own, func(t market.Task) any { return map[string]any{"id": t.ID} })
	return answer{json: found, page: func(ctx context.Context) (views.Screen, error) {
		return views.Console(ctx, views.ConsoleView{Tasks: tasks[:len(found.Items)], Threads: threads, State: state, Next: text(found.NextCursor), Later: id != "", Now: time.Now()}), nil
	}}, nil
}

func (h *Handlers) cancelTask(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	h.taskAgain(r, id, views.Task)
	present := func(v any) answer {
		return answer{json: taskShape(v.(market.Snapshot), r.actor), to: taskPath(id), flash: views.Message{ID: "flash.cancelled"}}
	}
	s, err := h.Store.CancelTask(r.ctx(), r.caller(present), id)
	return present(s), err
}

// claimAnswer is a task with the holder's own claim.
func claimAnswer(status int, r *request) func(any) answer {
	return func(v any) answer {
		t := taskShape(v.(market.Snapshot), r.actor)
		return answer{status: status, json: claimedJSON{t, t.Claim}}
	}
}

type claimedJSON struct {
	Task  taskJSON   `json:"task"`
	Claim *claimJSON `json:"claim"`
}

func (h *Handlers) claimTask(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	present := claimAnswer(http.StatusCreated, r)
	s, err := h.Store.ClaimTask(r.ctx(), r.caller(present), id)
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
	s, err := h.Store.RenewClaim(r.ctx(), r.caller(present), id, l)
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
	s, err := h.Store.ReleaseClaim(r.ctx(), r.caller(present), id, l)
	return present(s), err
}
