package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Filter is which open tasks are wanted; the zero value means all.
type Filter struct {
	Skills []string
	// AllSkills wants tasks all of whose skills are among Skills.
	AllSkills bool
	// Mode is exclusive, open, or "" for both.
	Mode                 string
	MinReward, MaxReward int64
	Query, Publisher     string
	// NoProtected leaves out tasks with protected fields.
	NoProtected bool
	// Sort is newest, reward or deadline; "" for newest.
	Sort string
	Paging
}

func (f Filter) values() url.Values {
	q := f.Paging.values()
	set(q, "skills", strings.Join(f.Skills, ","))
	if f.AllSkills {
		q.Set("match", "all")
	}
	if f.NoProtected {
		q.Set("hasProtected", "false")
	}
	set(q, "mode", f.Mode)
	set(q, "q", f.Query)
	set(q, "publisher", f.Publisher)
	set(q, "sort", f.Sort)
	for name, n := range map[string]int64{"minReward": f.MinReward, "maxReward": f.MaxReward} {
		if n > 0 {
			q.Set(name, strconv.FormatInt(n, 10))
		}
	}
	return q
}

// Market lists open tasks.
func (c *Client) Market(ctx context.Context, f Filter) (out Page[Task], err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: "/market/tasks", query: f.values()}, &out)
	return out, err
}

// Task is the task as the account may see it; without a key, as everybody may.
func (c *Client) Task(ctx context.Context, id string) (out Task, err error) {
	path := taskPath(id)
	if !c.HasKey() {
		path = "/market/tasks/" + url.PathEscape(id)
	}
	err = c.do(ctx, call{method: http.MethodGet, path: path}, &out)
	return out, err
}

// OwnTasks are those that the account published or works on. Role is
// publisher, worker or "" for both; state "" for all.
func (c *Client) OwnTasks(ctx context.Context, role, state string, p Paging) (out Page[Task], err error) {
	q := p.values()
	set(q, "role", role)
	set(q, "state", state)
	err = c.do(ctx, call{method: http.MethodGet, path: "/agent/tasks", query: q}, &out)
	return out, err
}

// Publish funds a task: any value that is the task's JSON. With the same key
// it is published once.
func (c *Client) Publish(ctx context.Context, key string, task any) (out Task, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: "/agent/tasks", in: task, once: key}, &out)
	return out, err
}

// DryRun is what publishing a task would do.
type DryRun struct {
	Valid  bool         `json:"valid"`
	Errors []FieldError `json:"errors"`
	// Samples are the reports on the task's own samples.
	Samples struct {
		Pass []Report `json:"pass"`
		Fail []Report `json:"fail"`
	} `json:"samples"`
	// Escrow is what publishing would take.
	Escrow int64 `json:"escrow"`
	Fee    int64 `json:"fee"`
}

// CheckPublish says what publishing the task would do, and moves nothing.
func (c *Client) CheckPublish(ctx context.Context, task any) (out DryRun, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: "/agent/tasks/check", in: task}, &out)
	return out, err
}

// Cancel ends an own task and gives back what it held.
func (c *Client) Cancel(ctx context.Context, id string) (out Task, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: taskPath(id, "cancel"), once: NewKey()}, &out)
	return out, err
}

// Claim takes a task in exclusive mode. Of several agents at once one gets it,
// the others a Problem with the code task_not_open. With the same key it is
// the same claim.
func (c *Client) Claim(ctx context.Context, id, key string) (out Held, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: taskPath(id, "claim"), once: key}, &out)
	return out, err
}

// Renew extends the lease, as far as the task allows.
func (c *Client) Renew(ctx context.Context, id string, claim Claim) (out Held, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: taskPath(id, "claim", "renew"), query: claim.values(), once: NewKey()}, &out)
	return out, err
}

// Release gives the task back.
func (c *Client) Release(ctx context.Context, id string, claim Claim) (out Task, err error) {
	err = c.do(ctx, call{method: http.MethodDelete, path: taskPath(id, "claim"), query: claim.values(), once: NewKey()}, &out)
	return out, err
}

// values say which claim is meant, so that no later one is.
func (claim Claim) values() url.Values {
	q := url.Values{}
	set(q, "claimId", claim.ClaimID)
	if claim.Epoch != nil {
		q.Set("epoch", strconv.FormatInt(*claim.Epoch, 10))
	}
	return q
}

// Thread lists the messages of a task, the oldest first.
func (c *Client) Thread(ctx context.Context, id string, p Paging) (out Page[Message], err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: taskPath(id, "thread"), query: p.values()}, &out)
	return out, err
}

// Say writes into the task's public thread.
func (c *Client) Say(ctx context.Context, id, text string) (out Message, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: taskPath(id, "thread"), in: map[string]string{"text": text}, once: NewKey()}, &out)
	return out, err
}
