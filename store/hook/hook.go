// Package hook calls the addresses that accounts named for their webhooks, and
// nothing but these: it connects to public addresses only, unless the operator
// allows others, follows no redirect, uses no proxy and keeps nothing of what it
// is answered but the status. It knows no database.
package hook

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"guildhall/market"
)

const (
	// callTime bounds a whole call, connectTime the way to its connection.
	callTime    = 10 * time.Second
	connectTime = 5 * time.Second
	// mostRead bounds what is read of an answer, to be thrown away.
	mostRead = 64 << 10
)

// errBlocked is that an address is not to be connected to.
var errBlocked = errors.New("hook: not a public address")

// errRedirect is that the receiver answered with a redirect.
var errRedirect = errors.New("hook: a redirect")

// Allow is what the operator lets be reached besides public addresses, also
// without TLS.
type Allow struct {
	Networks []netip.Prefix
	Hosts    []string
}

// ParseAllow reads networks, addresses and names of hosts, separated by commas.
func ParseAllow(text string) (Allow, error) {
	var a Allow
	for word := range strings.SplitSeq(text, ",") {
		word = strings.ToLower(strings.TrimSpace(word))
		if word == "" {
			continue
		}
		if n, err := netip.ParsePrefix(word); err == nil {
			a.Networks = append(a.Networks, n.Masked())
		} else if ip, err := netip.ParseAddr(word); err == nil {
			a.Networks = append(a.Networks, netip.PrefixFrom(ip, ip.BitLen()))
		} else if strings.ContainsAny(word, "/: ") {
			return a, errors.New("hook: " + word + " is no network and no host")
		} else {
			a.Hosts = append(a.Hosts, word)
		}
	}
	return a, nil
}

// Host reports whether the host of an address, a name or an IP address, is
// allowed.
func (a Allow) Host(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && a.address(ip) || slices.Contains(a.Hosts, strings.ToLower(host))
}

// Private reports whether a host is plainly none of the public internet, and not
// allowed: an address that is not public, or this machine by name. What other
// names lead to is looked at when they are called.
func (a Allow) Private(host string) bool {
	if a.Host(host) {
		return false
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return !Public(ip)
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

func (a Allow) address(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(a.Networks, func(n netip.Prefix) bool { return n.Contains(ip) })
}

// special are the networks that are no part of the public internet, or lead
// into others.
var special = parse(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"224.0.0.0/4", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")

var globalV6 = netip.MustParsePrefix("2000::/3")

func parse(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		out[i] = netip.MustParsePrefix(t)
	}
	return out
}

// Public reports whether the address is one of the public internet. An IPv4
// address in the clothes of an IPv6 one is looked at as what it is; NAT64 and
// all else outside 2000::/3 is not public.
func Public(ip netip.Addr) bool {
	ip = ip.Unmap()
	if !ip.IsValid() || ip.Zone() != "" || ip.Is6() && !globalV6.Contains(ip) {
		return false
	}
	return !slices.ContainsFunc(special, func(n netip.Prefix) bool { return n.Contains(ip) })
}

// Sender makes calls.
type Sender struct {
	allow  Allow
	client *http.Client
}

// Options are how to call.
type Options struct {
	Allow Allow
	// Resolver finds addresses of names; nil means the system's.
	Resolver *net.Resolver
	// Time bounds a call; 0 means ten seconds.
	Time time.Duration
	// Change, if set, may change how connections are made: tests trust a
	// certificate of their own.
	Change func(*http.Transport)
}

// New makes a sender.
func New(o Options) *Sender {
	s := &Sender{allow: o.Allow}
	transport := &http.Transport{Proxy: nil, DisableKeepAlives: true, DisableCompression: true, TLSHandshakeTimeout: connectTime,
		MaxResponseHeaderBytes: mostRead, DialContext: s.dialer(o.Resolver)}
	if o.Change != nil {
		o.Change(transport)
	}
	if o.Time == 0 {
		o.Time = callTime
	}
	s.client = &http.Client{Transport: transport, Timeout: o.Time,
		CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect }}
	return s
}

// dialer connects to public addresses only. It looks at the address that the
// connection is made to, after the name was resolved, so that no answer of a
// name server can lead elsewhere.
func (s *Sender) dialer(r *net.Resolver) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		d := net.Dialer{Timeout: connectTime, Resolver: r}
		if !slices.Contains(s.allow.Hosts, strings.ToLower(host)) {
			d.Control = func(_, resolved string, _ syscall.RawConn) error { return s.check(resolved) }
		}
		return d.DialContext(ctx, network, address)
	}
}

func (s *Sender) check(resolved string) error {
	at, err := netip.ParseAddrPort(resolved)
	if err != nil || !Public(at.Addr()) && !s.allow.address(at.Addr()) {
		return errBlocked
	}
	return nil
}

// Send makes one call.
func (s *Sender) Send(ctx context.Context, c market.WebhookCall) market.WebhookResult {
	began := time.Now()
	status, err := s.send(ctx, c)
	return market.WebhookResult{Status: status, Error: why(err), Took: time.Since(began)}
}

func (s *Sender) send(ctx context.Context, c market.WebhookCall) (int, error) {
	d := market.WebhookDraft{URL: c.URL}
	if bad := d.Clean(s.allow.Host, s.allow.Private); len(bad) > 0 { // what was allowed once may be no longer
		return 0, errBlocked
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(c.Body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Guildhall-Webhooks")
	req.Header.Set("webhook-id", string(c.ID))
	req.Header.Set("webhook-timestamp", c.Timestamp())
	req.Header.Set("webhook-signature", c.Signature())
	res, err := s.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, mostRead)) // the status is all that counts
	return res.StatusCode, nil
}

// why is the code of what went wrong.
func why(err error) string {
	var network net.Error
	var name *net.DNSError
	switch {
	case err == nil:
		return ""
	case errors.Is(err, errBlocked), errors.As(err, &name) && name.IsNotFound: // whether there is such a name in here is nobody's to know
		return market.CallBlocked
	case errors.Is(err, errRedirect):
		return market.CallRedirect
	case errors.As(err, &network) && network.Timeout():
		return market.CallTimeout
	}
	return market.CallRefused
}
