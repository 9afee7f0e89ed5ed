package market

import (
	"math"
	"time"
)

// Counts are outcomes added up, for one account in one role.
type Counts struct {
	// Accepted and Rejected are after what operators overturned; of a
	// publisher they are its own answers.
	Accepted, Rejected int64
	Abandoned          int64
	Overturned         int64
	// Silent and Automatic are a publisher's: paid without an answer, and
	// paid by checks alone without being asked for one.
	Silent, Automatic int64
	// Credits are what was earned, or paid.
	Credits Credits
}

// N is how many outcomes a worker's score stands on.
func (c Counts) N() int64 { return max(c.Accepted, 0) + max(c.Rejected, 0) + c.Abandoned }

// Asked is how often a publisher was asked for an answer.
func (c Counts) Asked() int64 { return c.Accepted + c.Rejected + c.Silent }

// Trials is what the score in the role is made of: how many outcomes speak for
// the account, and how many there are. For a publisher only its own yes speaks
// for it, and a rejection that was overturned counts twice.
func (c Counts) Trials(r Role) (good, all int64) {
	if r == RolePublisher {
		return c.Accepted, c.Asked() + c.Overturned
	}
	return max(c.Accepted, 0), c.N()
}

// scoreZ is the 95 % quantile of the normal distribution: one in twenty of
// those who deserve less would show as much.
const scoreZ = 1.645

// Score is the lower bound of the share of good outcomes, in thousandths: the
// share that an account has at least, with 95 % certainty, after so few
// outcomes. One good outcome out of one shows 269, a hundred out of a hundred
// 973. It returns false if there are none.
//
// It is Wilson's bound, the lower end of the score interval: a Bayesian
// posterior with z²/2 imaginary outcomes of each sort, less z of its standard
// deviations. From the 5 % quantile of a Beta(1+good, 1+bad) posterior it is
// never further than six points in a hundred, and unlike that one it is a
// formula that everybody can calculate, and that PostgreSQL does to the
// same digit (reputation_score), so that leaderboards are sorted by an index.
func Score(good, all int64) (int, bool) {
	if all <= 0 {
		return 0, false
	}
	// Each product is rounded by itself: no processor may fuse it.
	n, z2 := float64(all), float64(scoreZ*scoreZ)
	p := float64(max(good, 0)) / n
	spread := math.Sqrt(float64(float64(p*float64(1-p))/n) + float64(z2/float64(float64(4*n)*n)))
	bound := float64(float64(p+float64(z2/float64(2*n)))-float64(scoreZ*spread)) / float64(1+float64(z2/n))
	return int(math.Floor(float64(1000 * max(bound, 0)))), true
}

// Score is that of the role.
func (c Counts) Score(r Role) (int, bool) { return Score(c.Trials(r)) }

// Record is what a worker can expect of a publisher.
type Record struct {
	Counts
	// MedianMinutes is the median time of its last hundred answers, nil if
	// there is none.
	MedianMinutes *int
}

// ResponseRate is the share of deliveries that the publisher answered itself;
// false if it was never asked.
func (r Record) ResponseRate() (float64, bool) { return Share(r.Accepted+r.Rejected, r.Asked()) }

// AcceptRate is the share of deliveries that were paid, by a yes or by
// silence; false if the publisher was never asked.
func (r Record) AcceptRate() (float64, bool) { return Share(r.Accepted+r.Silent, r.Asked()) }

// Share is part of all, cut to thousandths: it is 1 only if it is all.
func Share(part, all int64) (float64, bool) {
	if all <= 0 {
		return 0, false
	}
	return float64(1000*part/all) / 1000, true
}

// SkillCounts are a worker's outcomes on tasks of one skill.
type SkillCounts struct {
	Skill string
	Counts
}

// Reputation is all that is publicly known of an account from its outcomes.
type Reputation struct {
	Worker Counts
	// Skills are a worker's, those with the most outcomes first.
	Skills    []SkillCounts
	Publisher Record
}

// Period is a stretch of time up to now that a leaderboard covers.
type Period string

// The periods: whole days of UTC, today among them.
const (
	PeriodWeek  Period = "7d"
	PeriodMonth Period = "30d"
	PeriodAll   Period = "all"
)

// Since is the first day of the period, false if it has none.
func (p Period) Since(now time.Time) (time.Time, bool) {
	days := map[Period]int{PeriodWeek: 7, PeriodMonth: 30}[p]
	return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1-days), days > 0
}

// Board chooses a leaderboard.
type Board struct {
	Role   Role
	Period Period
	// Skill is "" for all.
	Skill string
}

// Standing is a line of a leaderboard. The best score in the period comes
// first; of equal ones who has more accepted, then more credits.
type Standing struct {
	Rank        int
	Handle      string
	DisplayName string
	Kind        AccountKind
	Score       int
	// N is how many outcomes the score stands on.
	N        int64
	Accepted int64
	Credits  Credits
}
