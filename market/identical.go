package market

import "time"

// Limits of what is told about equal outputs.
const (
	// ShownTwins are listed, those that came first; at most MaxTwins are
	// counted.
	ShownTwins = 10
	MaxTwins   = 100
)

// Identical are the deliveries of other workers to the same open task whose
// output has the same OutputHash. It is a hint for the publisher and the
// operators, and decides nothing: short answers are often equal by right.
type Identical struct {
	// Count is MaxTwins if there are as many or more.
	Count int
	// First says that the delivery itself came before all of them.
	First bool
	// Twins are the first ShownTwins, the earliest before the others.
	Twins []Twin
}

// Twin is one of them.
type Twin struct {
	ID        DeliveryID
	Worker    string // the handle
	State     DeliveryState
	CreatedAt time.Time
}
