package handlers

import (
	"context"
	"encoding/hex"
	"net/http"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/views"
)

// booksJSON is what recomputing the books found. With differences it is a
// problem as well.
type booksJSON struct {
	*problem
	OK        bool            `json:"ok"`
	Transfers int64           `json:"transfers"`
	Wallets   int64           `json:"wallets"`
	Tasks     int64           `json:"tasks"`
	Sum       int64           `json:"sum"`
	Days      int64           `json:"days"`
	Seal      string          `json:"seal,omitempty"`
	Checks    []bookCheckJSON `json:"checks"`
	Findings  []findingJSON   `json:"findings"`
}

type bookCheckJSON struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Findings int    `json:"findings"`
}

type findingJSON struct {
	Check   string `json:"check"`
	Subject string `json:"subject"`
	Finding string `json:"finding"`
}

func booksShape(r store.AuditReport) booksJSON {
	out := booksJSON{OK: len(r.Findings) == 0, Transfers: r.Transfers, Wallets: r.Wallets, Tasks: r.Tasks, Sum: r.Sum, Days: r.Days,
		Seal: hex.EncodeToString(r.Seal), Checks: []bookCheckJSON{}, Findings: []findingJSON{}}
	for _, c := range r.Checks {
		out.Checks = append(out.Checks, bookCheckJSON{c.Name, c.Findings == 0, c.Findings})
	}
	for _, f := range r.Findings {
		out.Findings = append(out.Findings, findingJSON{f.Check, f.Subject, f.String()})
	}
	return out
}

// bookTime is how long the books may take to recompute.
const bookTime = 30 * time.Minute

// reconcile recomputes the books now: 200 if they are whole, else 409.
func (h *Handlers) reconcile(r *request) (answer, error) {
	rep, err := h.recompute(r)
	if err != nil {
		return answer{}, err
	}
	out := booksShape(rep)
	if out.OK {
		return answer{json: out}, nil
	}
	p := toProblem(market.ErrBooksDiffer, r.echo.Request().URL.Path)
	out.problem = &p
	return answer{status: http.StatusConflict, json: out}, nil
}

func (h *Handlers) recompute(r *request) (store.AuditReport, error) {
	_ = http.NewResponseController(r.echo.Response()).SetWriteDeadline(time.Now().Add(bookTime)) // where it is not supported the server's stays
	return h.Store.RecordedAudit(r.ctx(), r.by)
}

// maxAudits is how many past audits a page shows.
const maxAudits = 20

// showBooks shows when the books were recomputed, and a button to do it now.
func (h *Handlers) showBooks(r *request) (answer, error) { return h.booksPage(nil), nil }

// recomputeBooks is the button.
func (h *Handlers) recomputeBooks(r *request) (answer, error) {
	rep, err := h.recompute(r)
	return h.booksPage(&rep), err
}

func (h *Handlers) booksPage(rep *store.AuditReport) answer {
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		runs, err := h.Store.Audits(ctx, maxAudits)
		v := views.BooksView{Now: time.Now()}
		for _, x := range runs {
			v.Runs = append(v.Runs, views.BooksRun(x))
		}
		if rep != nil {
			v.Fresh, v.Transfers, v.Days, v.Seal = true, rep.Transfers, rep.Days, hex.EncodeToString(rep.Seal)
			for _, c := range rep.Checks {
				v.Checks = append(v.Checks, views.BooksCheck(c))
			}
			for _, f := range rep.Findings {
				v.Findings = append(v.Findings, f.String())
			}
		}
		return views.Books(ctx, v), err
	}}
}
