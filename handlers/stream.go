package handlers

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"guildhall/market"
	"guildhall/views"
)

// Times of a stream of server-sent events.
const (
	heartbeat   = 15 * time.Second
	streamWrite = 20 * time.Second
	streamLife  = 30 * time.Minute // then the browser connects anew
)

// watchTask streams the status of a task as it changes.
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
	shown := q.number("v", s.Version, 0, 1<<53)
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	versions, leave, err := h.watchers.watch(id, r.echo.RealIP())
	if err != nil {
		return answer{}, err
	}
	return answer{stream: func(w http.ResponseWriter) error {
		defer leave()
		header := w.Header()
		header.Set("Content-Type", "text/event-stream")
		header.Set("Cache-Control", "no-store")
		header.Set("X-Accel-Buffering", "no")
		return h.streamStatus(r, w, id, shown, versions)
	}}, nil
}

func (h *Handlers) streamStatus(r *request, w http.ResponseWriter, id market.TaskID, shown int64, versions <-chan int64) error {
	ctx, cancel := context.WithTimeout(r.ctx(), streamLife)
	defer cancel()
	out := &stream{w: w, control: http.NewResponseController(w)}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	if err := out.send(": connected\n\n"); err != nil {
		return err
	}
	for last := shown; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-h.Done:
			return nil
		case <-beat.C:
			if err := out.send(": still here\n\n"); err != nil {
				return err
			}
		case v := <-versions:
			if v == last {
				continue
			}
			last = v
			event, err := h.statusEvent(ctx, r, id, shown)
			if err != nil {
				return err
			}
			if err := out.send(event); err != nil {
				return err
			}
		}
	}
}

// statusEvent is the status block as one event.
func (h *Handlers) statusEvent(ctx context.Context, r *request, id market.TaskID, shown int64) (string, error) {
	s, err := h.Store.Task(ctx, r.actor, id)
	if err != nil {
		return "", err
	}
	v, err := h.statusView(ctx, r, s)
	if err != nil {
		return "", err
	}
	v.Shown = shown
	var b bytes.Buffer
	if err := views.Status(v).Render(ctx, &b); err != nil {
		return "", err
	}
	return fmt.Sprintf("id: %d\ndata: %s\n\n", s.Version, strings.ReplaceAll(b.String(), "\n", "\ndata: ")), nil
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
