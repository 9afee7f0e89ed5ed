package handlers

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/views"
)

// Times of a stream of server-sent events.
const (
	heartbeat   = 15 * time.Second
	streamWrite = 20 * time.Second
	streamLife  = 30 * time.Minute // then the browser connects anew
)

// look is what of a task its page shows.
type look struct {
	pulse store.Pulse
	// seen is the number of the last message that is not new to the visitor.
	seen int64
	// thread is the message that the visitor came for, 0 for the newest.
	thread int64
}

// watchTask streams the status of a task and its thread as they change.
func (h *Handlers) watchTask(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	s, err := h.Store.Task(r.ctx(), r.actor, id)
	if err != nil {
		return answer{}, err
	}
	q := query{r: r}
	shown := look{thread: q.number("thread", 0, 0, 1<<53), seen: q.number("seen", 0, 0, 1<<53),
		pulse: store.Pulse{Version: q.number("v", s.Version, 0, 1<<53), Messages: q.number("m", 0, 0, 1<<53)}}
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	pulses, leave, err := h.watchers.watch(id, market.Network(r.address()).String())
	if err != nil {
		return answer{}, err
	}
	return answer{stream: func(w http.ResponseWriter) error {
		defer leave()
		header := w.Header()
		header.Set("Content-Type", "text/event-stream")
		header.Set("Cache-Control", "no-store")
		header.Set("X-Accel-Buffering", "no")
		return h.streamTask(r, w, s, shown, pulses)
	}}, nil
}

func (h *Handlers) streamTask(r *request, w http.ResponseWriter, s market.Snapshot, shown look, pulses <-chan store.Pulse) error {
	ctx, cancel := context.WithTimeout(r.ctx(), streamLife)
	defer cancel()
	out := &stream{w: w, control: http.NewResponseController(w)}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	if err := out.send(": connected\n\n"); err != nil {
		return err
	}
	// Pages are connected while they are looked at, and not when they are
	// fetched ahead: what they show is read.
	read := func(messages int64) error {
		if shown.thread > 0 {
			return nil // an older part
		}
		return h.markRead(ctx, r, s.Task, messages)
	}
	if err := read(shown.pulse.Messages); err != nil {
		return err
	}
	for last := shown.pulse; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-h.Done:
			return nil
		case <-beat.C:
			if err := h.goesOn(ctx, r); err != nil {
				return err
			}
			if err := out.send(": still here\n\n"); err != nil {
				return err
			}
		case p := <-pulses:
			if p == last {
				continue
			}
			if err := h.goesOn(ctx, r); err != nil {
				return err
			}
			event, err := h.taskEvent(ctx, r, s.ID, shown, last, p)
			if err != nil {
				return err
			}
			if err := out.send(event); err != nil {
				return err
			}
			last = p
			if err := read(p.Messages); err != nil {
				return err
			}
		}
	}
}

// taskEvent is what has changed on a task's page between two pulses, as one
// event.
func (h *Handlers) taskEvent(ctx context.Context, r *request, id market.TaskID, shown look, last, now store.Pulse) (string, error) {
	s, err := h.Store.Task(ctx, r.actor, id)
	if err != nil {
		return "", err
	}
	v, err := h.statusView(ctx, r, s)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	v.Shown = shown.pulse.Version
	if now.Version != last.Version {
		v.Thread = views.ThreadView{Shown: shown.pulse.Messages, Seen: shown.seen, At: shown.thread}
		if err := views.Status(v).Render(ctx, &b); err != nil {
			return "", err
		}
	}
	if now.Messages != last.Messages {
		if v.Thread, err = h.threadView(ctx, id, shown); err != nil {
			return "", err
		}
		if err := views.ThreadPart(v, true).Render(ctx, &b); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("id: %d\ndata: %s\n\n", now.Version, strings.NewReplacer("\r\n", "\ndata: ", "\r", "\ndata: ", "\n", "\ndata: ").Replace(b.String())), nil
}

// stream writes events, each within its own time.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (s *stream) send(event string) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil {
		return err
	}
	if _, err := s.w.Write([]byte(event)); err != nil {
		return err
	}
	return s.control.Flush()
}
