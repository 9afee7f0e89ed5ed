package handlers

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"guildhall/market"
	"guildhall/store"
	"guildhall/views"
)

// listMarketThread is the thread as everybody may read it.
func (h *Handlers) listMarketThread(r *request) (answer, error) {
	a, err := h.listThread(r)
	a.open = true
	return a, err
}

// listThread lists a thread, oldest first unless asked otherwise. A party that
// reads it has read it as far as the answer goes.
func (h *Handlers) listThread(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	q := query{r: r}
	limit := q.limit()
	asked := store.ThreadQuery{Newest: q.choice("order", "oldest", "oldest", "newest") == "newest",
		After: market.MessageID(q.text("after")), Limit: limit + 1}
	if asked.After != "" && !market.ValidID(string(asked.After)) {
		q.fail("after", "message", nil)
	}
	var from struct {
		Number int64 `json:"n"`
	}
	if q.cursor(&from) {
		asked.From = max(1, from.Number)
	}
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	ctx := r.ctx()
	messages, err := h.Store.Messages(ctx, id, asked)
	if errors.Is(err, market.ErrNotFound) && asked.After != "" {
		if _, absent := h.Store.Task(ctx, r.actor, id); absent == nil {
			q.fail("after", "message", nil)
			err = market.Invalid(q.bad)
		}
	}
	if err != nil {
		return answer{}, err
	}
	found := page(messages, limit, messageShape(r.actor.Account), func(m market.Message) any { return map[string]any{"n": m.Number} })
	if shown := messages[:len(found.Items)]; len(shown) > 0 && r.reads() {
		err = h.Store.ReadThread(ctx, r.actor.Account, id, max(shown[0].Number, shown[len(shown)-1].Number))
	}
	return answer{json: found}, err
}

// reads says that the caller will see the answer, and is known.
func (r *request) reads() bool {
	req := r.echo.Request()
	return r.actor.Account != "" && req.Method == http.MethodGet && !strings.HasPrefix(req.Header.Get("Sec-Purpose"), "prefetch")
}

type messageInput struct {
	Text string `json:"text"`
}

func (h *Handlers) postMessage(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	h.taskAgain(r, id, func(ctx context.Context, v views.TaskView) views.Screen {
		v.Thread.Form, v.Form = v.Form, views.Form{Once: v.Form.Once}
		return views.Task(ctx, v)
	})
	var in messageInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	if err := h.throttleTalk(r); err != nil {
		return answer{}, err
	}
	present := func(v any) answer {
		m := v.(market.Message)
		return answer{status: http.StatusCreated, json: messageShape(r.actor.Account)(m),
			to: taskPath(id) + "#m-" + string(m.ID), flash: views.Message{ID: "flash.message"}}
	}
	m, err := h.Store.PostMessage(r.ctx(), r.caller(present), id, in.Text)
	return present(m), err
}

// throttleTalk refuses an account that writes without a pause.
func (h *Handlers) throttleTalk(r *request) error {
	return h.turn(r, h.talk, string(r.actor.Account))
}

// shownMessages is how many messages of a thread one page shows.
const shownMessages = 50

// threadView is the part of the thread that the visitor looks at: the newest
// messages, or those round an older one.
func (h *Handlers) threadView(ctx context.Context, id market.TaskID, l look) (views.ThreadView, error) {
	v := views.ThreadView{Shown: l.pulse.Messages, Seen: l.seen}
	pulses, err := h.Store.Pulses(ctx, []market.TaskID{id})
	if err != nil {
		return v, err
	}
	v.Total = pulses[id].Messages
	asked := store.ThreadQuery{Newest: true, Limit: shownMessages}
	if l.thread > 0 && l.thread <= v.Total-shownMessages {
		v.At, asked.From = l.thread, l.thread+shownMessages/2
	}
	v.Messages, err = h.Store.Messages(ctx, id, asked)
	slices.Reverse(v.Messages)
	if n := len(v.Messages); v.At == 0 && n > 0 {
		v.Total = v.Messages[n-1].Number // one may have come meanwhile
	}
	return v, err
}

// showThread adds the thread to the task's page, where its publisher reads it.
func (h *Handlers) showThread(ctx context.Context, r *request, v *views.TaskView, at int64) error {
	var known market.Thread
	if v.Mine {
		threads, err := h.Store.Threads(ctx, r.actor.Account, []market.TaskID{v.ID})
		if err != nil {
			return err
		}
		known = threads[v.ID]
	}
	thread, err := h.threadView(ctx, v.ID, look{thread: at})
	if err != nil {
		return err
	}
	thread.Shown, thread.Seen, thread.Unread = thread.Total, thread.Total, known.Unread
	if v.Mine {
		thread.Seen = known.ReadTo
	}
	thread.Form = views.Form{Once: v.Form.Once}
	v.Thread = thread
	v.ReportForm = views.Form{Once: v.Form.Once}
	if !r.reads() || thread.At > 0 {
		return nil
	}
	return h.markRead(ctx, r, v.Task, thread.Total)
}

// markRead remembers how far the publisher has seen the thread on the page; no
// other person has a part in it.
func (h *Handlers) markRead(ctx context.Context, r *request, t market.Task, number int64) error {
	if r.actor.Account != t.Publisher || number == 0 {
		return nil
	}
	return h.Store.ReadThread(ctx, t.Publisher, t.ID, number)
}
