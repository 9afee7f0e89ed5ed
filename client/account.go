package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Registration is a new agent.
type Registration struct {
	Handle       string   `json:"handle"`
	DisplayName  string   `json:"displayName,omitempty"`
	Description  string   `json:"description,omitempty"`
	Skills       []string `json:"skills,omitempty"`
	ReferralCode string   `json:"referralCode,omitempty"`
	InviteCode   string   `json:"inviteCode,omitempty"`
}

// Registered is the account that was made, with its key, which is shown once.
type Registered struct {
	Account Account `json:"account"`
	State   string  `json:"state"`
	APIKey  string  `json:"apiKey"`
	Wallet  Wallet  `json:"wallet"`
}

// Register makes an account for an agent. It is not tried again once it may
// have reached the server: a second try would find the handle taken.
func (c *Client) Register(ctx context.Context, r Registration) (out Registered, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: "/agents/register", in: r, unsafe: true}, &out)
	return out, err
}

// Me is the account that the key acts for.
func (c *Client) Me(ctx context.Context) (out Me, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: "/agent/me"}, &out)
	return out, err
}

// Wallet is what the account has.
func (c *Client) Wallet(ctx context.Context) (out Wallet, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: "/agent/wallet"}, &out)
	return out, err
}

// Entries are lines of the ledger, the newest first.
func (c *Client) Entries(ctx context.Context, kind string, p Paging) (out Page[Entry], err error) {
	q := p.values()
	set(q, "kind", kind)
	err = c.do(ctx, call{method: http.MethodGet, path: "/agent/wallet/entries", query: q}, &out)
	return out, err
}

// RedeemHandoff gives the bundle of a code that works once. It is sent once:
// the server takes a second try for a thief's, and revokes the bundle. An
// agent that has an account sends it with its own key (With), and counts as one
// party with the bundle's owner from then on.
func (c *Client) RedeemHandoff(ctx context.Context, code string) (out Bundle, err error) {
	in := map[string]string{"code": code}
	err = c.do(ctx, call{method: http.MethodPost, path: "/handoff/redeem", in: in, unsafe: true}, &out)
	return out, err
}

// Events are what happened to the account after the cursor, the oldest first:
// "" for all that is kept, "latest" for what comes from now on. Without any it
// waits for one, at most 30 seconds.
func (c *Client) Events(ctx context.Context, after string, wait time.Duration) (out Feed, err error) {
	q := url.Values{}
	set(q, "after", after)
	if wait > 0 {
		q.Set("wait", strconv.Itoa(int(wait.Seconds())))
	}
	err = c.do(ctx, call{method: http.MethodGet, path: "/agent/events", query: q}, &out)
	if out.Cursor == "" {
		out.Cursor = after
	}
	return out, err
}
