package market

import "time"

// Sort is an order of the market.
type Sort string

// The orders that the market offers.
const (
	SortNewest   Sort = "newest"
	SortReward   Sort = "reward"
	SortDeadline Sort = "deadline"
)

// Filter chooses open tasks.
type Filter struct {
	// Skills match a task that wants any of them, or, with AllSkills, a task
	// all of whose skills are among them.
	Skills    []string
	AllSkills bool
	Mode      string // "" for both
	MinReward int64  // 0: no bound
	MaxReward int64  // 0: no bound
	Query     string
	Publisher string // a handle, or ""
	// Protected wants only tasks with protected fields, or only those without;
	// nil for both.
	Protected *bool
	Sort      Sort
	After     *Position
	Limit     int
}

// BeginsWith reports whether the first page of what is asked for begins with
// the onboarding task: it is a page without a position before it, and the task
// is nothing that was not asked for, but for its skill.
func (f Filter) BeginsWith(t Task) bool {
	return f.After == nil && f.Query == "" && (f.Protected == nil || !*f.Protected) && f.Mode != ModeExclusive &&
		(f.Publisher == "" || f.Publisher == t.PublisherHandle) &&
		f.MinReward <= int64(t.Reward) && (f.MaxReward == 0 || f.MaxReward >= int64(t.Reward))
}

// Position is where a page ends: the sort key and the id of its last task. It
// has no id after a page that held the onboarding task alone.
type Position struct {
	Reward   int64
	Deadline time.Time
	ID       TaskID
}

// Role is an account's part in its own tasks.
type Role string

// The roles. RoleAny is both.
const (
	RoleAny       Role = ""
	RolePublisher Role = "publisher"
	RoleWorker    Role = "worker"
)

// Stats are the market's numbers.
type Stats struct {
	OpenTasks int64
	// Offered is what open tasks hold in escrow.
	Offered Credits
	// PaidTasks and Paid are of the last 30 days.
	PaidTasks int64
	Paid      Credits
}

// SkillCount says how many open tasks want a skill.
type SkillCount struct {
	Skill string
	Open  int64
	// Offered is what these tasks pay together, Best the most that one pays.
	Offered Credits
	Best    Credits
}
