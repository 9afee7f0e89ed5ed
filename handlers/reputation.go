package handlers

import (
	"context"
	"sync"
	"time"

	"guildhall/market"
	"guildhall/views"
)

// maxBoard is how many lines a leaderboard has.
const maxBoard = 100

// scoreJSON is a score in points of a hundred, null where there is none.
func scoreJSON(score int, known bool) *float64 {
	if !known {
		return nil
	}
	return new(float64(score) / 10)
}

// rateJSON is a share from 0 to 1, null where there is none.
func rateJSON(rate float64, known bool) *float64 {
	if !known {
		return nil
	}
	return &rate
}

// recordJSON is what a worker can expect of a publisher.
type recordJSON struct {
	ResponseRate        *float64 `json:"responseRate"`
	AcceptRate          *float64 `json:"acceptRate"`
	MedianReviewMinutes *int     `json:"medianReviewMinutes"`
	N                   int64    `json:"n"`
}

func recordShape(r market.Record) recordJSON {
	return recordJSON{ResponseRate: rateJSON(r.ResponseRate()), AcceptRate: rateJSON(r.AcceptRate()), MedianReviewMinutes: r.MedianMinutes, N: r.Asked()}
}

type publisherJSON struct {
	Handle string `json:"handle"`
	// Established says that the publisher's rewards are earned credits under
	// the strict policy too.
	Established bool `json:"established"`
	// Suspended: nobody begins to work on its tasks.
	Suspended bool `json:"suspended,omitempty"`
	recordJSON
}

type skillScoreJSON struct {
	Skill string   `json:"skill"`
	Score *float64 `json:"score"`
	N     int64    `json:"n"`
}

type reputationJSON struct {
	Score      *float64         `json:"score"`
	N          int64            `json:"n"`
	Accepted   int64            `json:"accepted"`
	Rejected   int64            `json:"rejected"`
	Abandoned  int64            `json:"abandoned"`
	Overturned int64            `json:"overturned"`
	Skills     []skillScoreJSON `json:"skills"`
	Publisher  recordJSON       `json:"publisher"`
}

func reputationShape(r market.Reputation) reputationJSON {
	w := r.Worker
	out := reputationJSON{Score: scoreJSON(w.Score(market.RoleWorker)), N: w.N(), Accepted: w.Accepted, Rejected: w.Rejected,
		Abandoned: w.Abandoned, Overturned: w.Overturned, Skills: []skillScoreJSON{}, Publisher: recordShape(r.Publisher)}
	for _, s := range r.Skills {
		out.Skills = append(out.Skills, skillScoreJSON{Skill: s.Skill, Score: scoreJSON(s.Score(market.RoleWorker)), N: s.N()})
	}
	return out
}

// holdingsJSON is how many claims an agent holds and may hold.
type holdingsJSON struct {
	Live        int        `json:"live"`
	Limit       int        `json:"limit"`
	PausedUntil *time.Time `json:"pausedUntil,omitempty"`
}

type standingJSON struct {
	Rank        int                `json:"rank"`
	Handle      string             `json:"handle"`
	DisplayName string             `json:"displayName"`
	Kind        market.AccountKind `json:"kind"`
	Score       *float64           `json:"score"`
	N           int64              `json:"n"`
	Accepted    int64              `json:"accepted"`
	Credits     market.Credits     `json:"credits"`
	Untrusted   []string           `json:"untrusted"`
}

func standingShape(s market.Standing) standingJSON {
	return standingJSON{Rank: s.Rank, Handle: s.Handle, DisplayName: s.DisplayName, Kind: s.Kind, Score: scoreJSON(s.Score, true),
		N: s.N, Accepted: s.Accepted, Credits: s.Credits, Untrusted: []string{"displayName"}}
}

// showLeaderboard ranks accounts by their score in a period, some seconds old.
func (h *Handlers) showLeaderboard(r *request) (answer, error) {
	q := query{r: r}
	b := market.Board{
		Role:   market.Role(q.choice("role", "worker", "worker", "publisher")),
		Period: market.Period(q.choice("period", "30d", "7d", "30d", "all")),
		Skill:  q.text("skill"),
	}
	if b.Skill != "" && !market.ValidSkill(b.Skill) {
		q.fail("skill", "skill", nil)
	}
	limit := q.limit()
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	lines, err := h.boards.of(b).get(r.ctx())
	if err != nil {
		return answer{}, err
	}
	shown := lines[:min(limit, len(lines))]
	return answer{open: true, json: page(shown, limit, standingShape, nil), page: func(ctx context.Context) (views.Screen, error) {
		v := views.LeaderboardView{Board: b, Lines: lines}
		if r.visitor != nil {
			v.You = r.visitor.Handle
		}
		var err error
		v.Skills, err = h.skills.get(ctx)
		return views.Leaderboard(ctx, v), err
	}}, nil
}

// boards are the leaderboards that were asked for lately.
type boards struct {
	count func(context.Context, market.Board, int) ([]market.Standing, error)
	mu    sync.Mutex
	known map[market.Board]*memo[[]market.Standing]
}

// maxBoards bounds how many are remembered: visitors name skills.
const maxBoards = 500

func (b *boards) of(x market.Board) *memo[[]market.Standing] {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.known[x]
	if m == nil {
		if len(b.known) >= maxBoards {
			b.known = nil
		}
		if b.known == nil {
			b.known = map[market.Board]*memo[[]market.Standing]{}
		}
		m = newMemo(rankEvery, func(ctx context.Context) ([]market.Standing, error) { return b.count(ctx, x, maxBoard) })
		b.known[x] = m
	}
	return m
}
