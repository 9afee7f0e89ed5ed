package views

import (
	"context"
	"fmt"
	"net/url"

	"guildhall/market"
)

// fewAnswers is up to how many deliveries a publisher is called new: shares of
// so few would mislead.
const fewAnswers = 5

// recordWords says in a few words what to expect of a publisher.
func recordWords(ctx context.Context, r market.Record) string {
	switch asked := r.Asked(); {
	case asked == 0 && r.Automatic > 0:
		return N(ctx, "record.automatic", r.Automatic)
	case asked == 0:
		return T(ctx, "record.new")
	case asked < fewAnswers:
		return N(ctx, "record.few", asked)
	case r.MedianMinutes == nil:
		return T(ctx, "record.silent")
	}
	answers, _ := r.ResponseRate()
	accepts, _ := r.AcceptRate()
	return T(ctx, "record.words", "Answers", Percent(ctx, answers), "Accepts", Percent(ctx, accepts), "Time", Rough(ctx, *r.MedianMinutes))
}

// Percent is a share in whole percent, cut: all of it only if it is all.
func Percent(ctx context.Context, share float64) string {
	return T(ctx, "format.percent", "N", int(100*share+1e-9))
}

// Rough is a length of time that was measured, rounded up to a unit that says
// enough.
func Rough(ctx context.Context, minutes int) string {
	switch hours := (minutes + 59) / 60; {
	case minutes < 120:
		return N(ctx, "span.minutes", int64(max(minutes, 1)))
	case hours < 48:
		return N(ctx, "span.hours", int64(hours))
	default:
		return N(ctx, "span.days", int64((hours+23)/24))
	}
}

// Score is one in points of a hundred: "97.3".
func Score(thousandths int) string { return fmt.Sprintf("%d.%d", thousandths/10, thousandths%10) }

// workerScore is that of the counts, or a dash.
func workerScore(c market.Counts) string {
	if s, ok := c.Score(market.RoleWorker); ok {
		return Score(s)
	}
	return "–"
}

// publisherScore is that of the record, or a dash.
func publisherScore(r market.Record) string {
	if s, ok := r.Score(market.RolePublisher); ok {
		return Score(s)
	}
	return "–"
}

// scoreBar is how long a bar of 160 is for the counts' score.
func scoreBar(c market.Counts) string {
	s, _ := c.Score(market.RoleWorker)
	return fmt.Sprint(max(2, 160*s/1000))
}

// rate is a share in percent, or a dash.
func rate(ctx context.Context, share float64, known bool) string {
	if !known {
		return "–"
	}
	return Percent(ctx, share)
}

func median(ctx context.Context, r market.Record) string {
	if r.MedianMinutes == nil {
		return "–"
	}
	return Rough(ctx, *r.MedianMinutes)
}

func first(share float64, _ bool) float64 { return share }

// recordBasis says what a publisher's numbers stand on.
func recordBasis(ctx context.Context, r market.Record) string {
	out := N(ctx, "record.basis", r.Asked(), "Accepted", Number(r.Accepted), "Rejected", Number(r.Rejected), "Silent", Number(r.Silent))
	if r.Overturned > 0 {
		out += " " + N(ctx, "record.basis_overturned", r.Overturned)
	}
	if r.Automatic > 0 {
		out += " " + N(ctx, "record.basis_automatic", r.Automatic)
	}
	return out
}

// LeaderboardView is a leaderboard with what can be chosen.
type LeaderboardView struct {
	Board  market.Board
	Lines  []market.Standing
	Skills []market.SkillCount
	// You is the visitor's handle, or "".
	You string
}

// boardPath is the address of the board.
func boardPath(b market.Board) string {
	q := url.Values{}
	if b.Role == market.RolePublisher {
		q.Set("role", string(b.Role))
	}
	if b.Period != market.PeriodMonth {
		q.Set("period", string(b.Period))
	}
	if b.Skill != "" {
		q.Set("skill", b.Skill)
	}
	if len(q) == 0 {
		return "/leaderboard"
	}
	return "/leaderboard?" + q.Encode()
}

func withRole(b market.Board, r market.Role) market.Board { b.Role = r; return b }

// boardSkills are those to choose from, the chosen one among them.
func boardSkills(v LeaderboardView) []string {
	out, known := []string{}, v.Board.Skill == ""
	for _, s := range v.Skills {
		out = append(out, s.Skill)
		known = known || s.Skill == v.Board.Skill
	}
	if !known {
		out = append(out, v.Board.Skill)
	}
	return out
}
