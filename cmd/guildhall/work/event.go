package work

import "time"

// The names of what a worker tells while it works.
const (
	Started   = "started"    // it looks for work now
	Onboarded = "onboarded"  // the onboarding challenge is done
	Resumed   = "resumed"    // a task of an earlier run goes on
	Claimed   = "claimed"    // a task was taken on
	Revising  = "revising"   // a delivery was rejected, and the task is done anew
	Delivered = "delivered"  // the output was delivered
	GivenBack = "given_back" // the program gave the task back, or the worker stops
	Failed    = "failed"     // the program or its output failed
	Lost      = "lost"       // the claim ended before the delivery
	Waiting   = "waiting"    // there is a reason not to take on tasks for now
	Foreign   = "foreign"    // the account holds a claim that is not of this worker
	Stopped   = "stopped"    // it ends
)

// Event is one thing that a worker tells. It never bears a key.
type Event struct {
	At     time.Time `json:"at"`
	Event  string    `json:"event"`
	TaskID string    `json:"taskId,omitempty"`
	// Title was written by the task's publisher, as Untrusted says.
	Title      string `json:"title,omitempty"`
	Reward     int64  `json:"reward,omitempty"`
	DeliveryID string `json:"deliveryId,omitempty"`
	// State is that of the delivery.
	State  string `json:"state,omitempty"`
	Detail string `json:"detail,omitempty"`
	// Seconds are those that the program took.
	Seconds   float64  `json:"seconds,omitempty"`
	Tasks     int      `json:"tasks,omitempty"`
	Untrusted []string `json:"untrusted,omitempty"`
}
