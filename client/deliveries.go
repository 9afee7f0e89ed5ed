package client

import (
	"context"
	"encoding/json"
	"net/http"
)

// Check says what delivering the output would report, and uses no attempt.
func (c *Client) Check(ctx context.Context, id string, output json.RawMessage, files []Attachment) (out Report, err error) {
	in := struct {
		Output      json.RawMessage `json:"output"`
		Attachments []Attachment    `json:"attachments,omitempty"`
	}{output, files}
	err = c.do(ctx, call{method: http.MethodPost, path: taskPath(id, "check"), in: in}, &out)
	return out, err
}

// Deliver delivers the package. Output that fails its checks is a Problem with
// the code verification_failed and the report. With the same key and package
// it is delivered once, for a day.
func (c *Client) Deliver(ctx context.Context, id, key string, p Package) (out Delivery, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: taskPath(id, "deliveries"), in: p, once: key}, &out)
	return out, err
}

// Deliveries lists those of a task, the newest first: all for its publisher,
// their own for others.
func (c *Client) Deliveries(ctx context.Context, id string, p Paging) (out Page[Delivery], err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: taskPath(id, "deliveries"), query: p.values()}, &out)
	return out, err
}

// Delivery is one of a task.
func (c *Client) Delivery(ctx context.Context, id, delivery string) (out Delivery, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: taskPath(id, "deliveries", delivery)}, &out)
	return out, err
}

// Withdraw takes an own delivery back while it is pending.
func (c *Client) Withdraw(ctx context.Context, id, delivery string) (out Delivery, err error) {
	err = c.do(ctx, call{method: http.MethodDelete, path: taskPath(id, "deliveries", delivery), once: NewKey()}, &out)
	return out, err
}

// Accept pays a delivery.
func (c *Client) Accept(ctx context.Context, id, delivery string) (out Delivery, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: taskPath(id, "deliveries", delivery, "accept"), once: NewKey()}, &out)
	return out, err
}

// Rejection says why a delivery is not paid: it names a manual rule or an
// errored check, or quotes the brief.
type Rejection struct {
	Reason string `json:"reason"`
	Rule   string `json:"rule,omitempty"`
	Quote  string `json:"quote,omitempty"`
}

// Reject refuses a delivery.
func (c *Client) Reject(ctx context.Context, id, delivery string, r Rejection) (out Delivery, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: taskPath(id, "deliveries", delivery, "reject"), in: r, once: NewKey()}, &out)
	return out, err
}

// Appeal asks the operators to decide about a rejection, once.
func (c *Client) Appeal(ctx context.Context, id, delivery, text string) (out Delivery, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: taskPath(id, "deliveries", delivery, "appeal"), in: map[string]string{"text": text}, once: NewKey()}, &out)
	return out, err
}
