package handlers

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"guildhall/market"
	"guildhall/store"
	"guildhall/views"
)

// feedEventJSON is one line of an account's feed.
type feedEventJSON struct {
	ID     market.FeedEventID `json:"id"`
	At     time.Time          `json:"at"`
	Type   market.FeedType    `json:"type"`
	TaskID market.TaskID      `json:"taskId,omitempty"`
	Data   map[string]any     `json:"data"`
}

func feedEventShape(e market.FeedEvent) feedEventJSON {
	return feedEventJSON{ID: e.ID, At: e.At, Type: e.Type, TaskID: e.Task, Data: e.Data}
}

// feedJSON is a page of the feed. The cursor is always there, to go on from;
// nextCursor only if there is more now.
type feedJSON struct {
	list[feedEventJSON]
	Cursor string `json:"cursor"`
}

// feedPlace is a place in the feed as programs keep it.
type feedPlace struct {
	XID uint64 `json:"x"`
	ID  string `json:"i"`
}

func showPlace(at store.FeedCursor) *string { return encodeCursor(feedPlace{at.XID, string(at.ID)}) }

// maxWait is how long a request may wait for events, in seconds.
const maxWait = 30

// feedAsked is what a reader of the feed asks for.
type feedAsked struct {
	after store.FeedCursor
	types []market.FeedType
	limit int
	wait  time.Duration
}

// askedFeed reads where the feed is to be read from: a cursor, the id of an
// event, or "latest"; without any the fallback.
func (h *Handlers) askedFeed(r *request, after, fallback string) (feedAsked, error) {
	q := query{r: r}
	a := feedAsked{limit: q.limit(), wait: time.Duration(q.number("wait", 0, 0, maxWait)) * time.Second}
	for t := range strings.SplitSeq(q.text("types"), ",") {
		switch {
		case t == "":
		case !market.KnownFeedType(market.FeedType(t)):
			q.fail("types", "feed_type", nil)
		default:
			a.types = append(a.types, market.FeedType(t))
		}
	}
	if r.actor.Mandate.Limited() { // the feed is of all tasks
		return a, market.ErrBundleLimited
	}
	a.types = readable(a.types, r.by.Scopes)
	if after == "" {
		after = fallback
	}
	latest := after == "latest"
	switch {
	case after == "" || latest:
	case market.ValidID(after):
		a.after.ID = market.FeedEventID(after)
	default:
		var p feedPlace
		text, err := base64.RawURLEncoding.DecodeString(after)
		if err != nil || jsonv2.Unmarshal(text, &p, jsonv2.RejectUnknownMembers(true)) != nil || !market.ValidID(p.ID) {
			q.fail("after", "feed_place", nil)
		}
		a.after = store.FeedCursor{XID: p.XID, ID: market.FeedEventID(p.ID)}
	}
	if err := market.Invalid(q.bad); err != nil {
		return a, err
	}
	var err error
	if latest {
		a.after, err = h.Store.FeedEnd(r.ctx())
		return a, err
	}
	a.after, err = h.Store.FeedPlace(r.ctx(), r.actor.Account, a.after)
	if errors.Is(err, market.ErrNotFound) {
		err = market.Invalid([]market.FieldError{{Parameter: "after", Code: "feed_place"}})
	}
	return a, err
}

// readable are those of the types, or of all, that the scopes let a key read.
func readable(types []market.FeedType, scopes []market.Scope) []market.FeedType {
	may := market.FeedTypesWithin(scopes)
	if may == nil {
		return types
	}
	if types == nil {
		types = may
	}
	out := []market.FeedType{"none.asked"} // an empty list would be all
	for _, t := range types {
		if slices.Contains(may, t) {
			out = append(out, t)
		}
	}
	return out
}

// listFeed is the caller's own feed, oldest first. With wait it answers when
// there is something, or when the time is up.
func (h *Handlers) listFeed(r *request) (answer, error) {
	a, err := h.askedFeed(r, r.echo.QueryParam("after"), "")
	if err != nil {
		return answer{}, err
	}
	events, at, err := h.Store.Feed(r.ctx(), r.actor.Account, a.after, a.types, a.limit)
	if err == nil && len(events) == 0 && a.wait > 0 {
		events, at, err = h.waitForFeed(r, a, at)
	}
	if err != nil {
		return answer{}, err
	}
	out := feedJSON{list: list[feedEventJSON]{Items: make([]feedEventJSON, 0, len(events))}, Cursor: *showPlace(at)}
	for _, e := range events {
		out.Items = append(out.Items, feedEventShape(e.FeedEvent))
	}
	if len(events) == a.limit {
		out.NextCursor = &out.Cursor
	}
	return answer{json: out}, nil
}

func (h *Handlers) waitForFeed(r *request, a feedAsked, at store.FeedCursor) ([]store.Placed, store.FeedCursor, error) {
	ctx, leave, err := h.followers.join(r.ctx(), r.by)
	if err != nil {
		return nil, at, err
	}
	defer leave()
	waiting, cancel := context.WithTimeout(ctx, a.wait)
	defer cancel()
	stop := h.untilDone(waiting, cancel)
	defer stop()
	// The server's time for an answer is longer than anybody may wait.
	events, at, err := h.Store.AwaitFeed(waiting, r.actor.Account, at, a.types, a.limit)
	if err == nil && errors.Is(context.Cause(ctx), market.ErrUnauthenticated) {
		err = market.ErrUnauthenticated
	}
	return events, at, err
}

// untilDone ends what waits when the server stops.
func (h *Handlers) untilDone(ctx context.Context, cancel func()) (stop func()) {
	done := make(chan struct{})
	go func() {
		select {
		case <-h.Done:
			cancel()
		case <-ctx.Done():
		case <-done:
		}
	}()
	return func() { close(done) }
}

// streamFeed sends the caller's feed as it grows, from Last-Event-ID or after
// on; without either from now on. It ends with the key that opened it.
func (h *Handlers) streamFeed(r *request) (answer, error) {
	after := r.echo.Request().Header.Get("Last-Event-ID")
	if after == "" {
		after = r.echo.QueryParam("after")
	}
	a, err := h.askedFeed(r, after, "latest")
	if err != nil {
		return answer{}, err
	}
	ctx, leave, err := h.followers.join(r.ctx(), r.by)
	if err != nil {
		return answer{}, err
	}
	return answer{stream: func(w http.ResponseWriter) error {
		defer leave()
		header := w.Header()
		header.Set("Content-Type", "text/event-stream")
		header.Set("Cache-Control", "no-store")
		header.Set("X-Accel-Buffering", "no")
		return h.sendFeed(ctx, r, w, a)
	}}, nil
}

func (h *Handlers) sendFeed(ctx context.Context, r *request, w http.ResponseWriter, a feedAsked) error {
	ctx, cancel := context.WithTimeout(ctx, streamLife)
	defer cancel()
	stop := h.untilDone(ctx, cancel)
	defer stop()
	out := &stream{w: w, control: http.NewResponseController(w)}
	// Where it stands is told also without an event: a reader that connects anew
	// before its first one, or after a filter that lets little through, goes on
	// from there.
	place := func(why string) error {
		return out.send(": " + why + "\nid: " + *showPlace(a.after) + "\n\n")
	}
	if err := place("connected"); err != nil {
		return err
	}
	for {
		beat, still := context.WithTimeout(ctx, heartbeat)
		events, at, err := h.Store.AwaitFeed(beat, r.actor.Account, a.after, a.types, 100)
		still()
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return nil
		}
		a.after = at
		if len(events) == 0 {
			if err := place("still here"); err != nil {
				return err
			}
		}
		for _, e := range events {
			text, err := json.Marshal(feedEventShape(e.FeedEvent))
			if err != nil {
				return err
			}
			if err := out.send("id: " + string(e.ID) + "\nevent: " + string(e.Type) + "\ndata: " + string(text) + "\n\n"); err != nil {
				return err
			}
		}
	}
}

// showActivity is the visitor's own feed in words, newest first.
func (h *Handlers) showActivity(r *request) (answer, error) {
	q := query{r: r}
	limit := q.limit()
	groups := []string{}
	for _, g := range market.FeedGroups() {
		groups = append(groups, string(g))
	}
	group := market.FeedGroup(q.choice("group", "", groups...))
	var p feedPlace
	q.cursor(&p)
	before := store.FeedCursor{XID: p.XID, ID: market.FeedEventID(q.id(p.ID))}
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	var types []market.FeedType
	if group != "" {
		types = market.FeedTypesOf(group)
	}
	events, err := h.Store.RecentFeed(r.ctx(), r.actor.Account, before, types, limit+1)
	if err != nil {
		return answer{}, err
	}
	found := page(events, limit, func(e store.Placed) market.FeedEvent { return e.FeedEvent }, func(e store.Placed) any { return feedPlace{e.At.XID, string(e.ID)} })
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		ids := []market.TaskID{}
		for _, e := range found.Items {
			if e.Task != "" {
				ids = append(ids, e.Task)
			}
		}
		titles, err := h.Store.TaskTitles(ctx, ids)
		return views.Activity(ctx, views.ActivityView{Events: found.Items, Titles: titles, Group: group, Next: text(found.NextCursor), Later: before.ID != ""}), err
	}}, nil
}
