package hook_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store/hook"
)

func TestPublic(t *testing.T) {
	t.Parallel()
	for _, private := range strings.Fields(`127.0.0.1 127.9.9.9 0.0.0.0 0.1.2.3 10.1.2.3 172.16.0.1 172.31.255.255 192.168.0.1 169.254.169.254 100.64.0.1 100.127.1.1
		192.0.0.8 192.0.2.1 198.18.0.1 198.51.100.7 203.0.113.7 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 192.88.99.1
		::1 :: ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 fe80::1 fec0::1 fc00::1 fd00:ec2::254 ff02::1
		2001:db8::1 2001::1 2001:10::1 2002:7f00:1::1 3fff::1 100::1 5f00::1`) {
		if hook.Public(netip.MustParseAddr(private)) {
			t.Errorf("%s is taken for public", private)
		}
	}
	for _, public := range strings.Fields(`1.1.1.1 93.184.215.14 172.32.0.1 100.128.0.1 2606:4700:4700::1111 2a00:1450:4001::1 ::ffff:1.1.1.1`) {
		if !hook.Public(netip.MustParseAddr(public)) {
			t.Errorf("%s is not taken for public", public)
		}
	}
	if hook.Public(netip.MustParseAddr("fe80::1%eth0")) || hook.Public(netip.Addr{}) {
		t.Error("an address with a zone, or none, is taken for public")
	}
}

func TestParseAllow(t *testing.T) {
	t.Parallel()
	a, err := hook.ParseAllow("192.168.1.7/24, ::1 ,Build.LAN")
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{"192.168.1.99": true, "192.168.2.1": false, "::1": true, "build.lan": true, "BUILD.lan": true, "x.build.lan": false, "::ffff:192.168.1.2": true} {
		if a.Host(host) != want {
			t.Errorf("%s is allowed: %v", host, !want)
		}
	}
	for _, bad := range []string{"http://x", "10.0.0.0/99", "a b"} {
		if _, err := hook.ParseAllow(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// names is a resolver for which every name has the address.
func names(t *testing.T, address [4]byte) *net.Resolver {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			end := 12 // of the question's name
			for end < n && b[end] != 0 {
				end += int(b[end]) + 1
			}
			question := b[12 : end+5]
			answer := append([]byte{b[0], b[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question...)
			if address == [4]byte{} {
				answer[3] |= 3 // there is no such name
			} else if question[len(question)-3] == 1 { // an address of four bytes is asked for
				answer[7] = 1
				answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
				answer = append(answer, address[:]...)
			}
			_, _ = c.WriteTo(answer, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", c.LocalAddr().String())
	}}
}

func call(url string) market.WebhookCall {
	return market.WebhookCall{URL: url, ID: "01a20b77-e936-75e9-8ee4-5120c30a9cda", At: time.Now(), Body: []byte(`{}`), Secrets: []string{market.NewWebhookSecret()}}
}

// TestNothingPrivateIsCalled tries to reach a receiver on this machine by every
// way round.
func TestNothingPrivateIsCalled(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	inner := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer inner.Close()
	_, port, err := net.SplitHostPort(inner.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	outer := httptest.NewServer(http.RedirectHandler(inner.URL, http.StatusTemporaryRedirect))
	defer outer.Close()
	public := hook.New(hook.Options{Resolver: names(t, [4]byte{127, 0, 0, 1})})
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1.2.3", "receiver.example.org"} {
		if r := public.Send(t.Context(), call("https://"+host+":"+port+"/")); r.Error != market.CallBlocked && (host != "[::1]" || r.Error == "") {
			t.Errorf("%s: %+v, want it blocked", host, r)
		}
	}
	// Whether there is a name here that the public does not know is not told.
	if r := hook.New(hook.Options{Resolver: names(t, [4]byte{})}).Send(t.Context(), call("https://nobody.example.org/")); r.Error != market.CallBlocked {
		t.Errorf("a name that is none: %+v, want it blocked", r)
	}
	for _, bad := range []string{"http://receiver.example.org/", "https://user:pass@receiver.example.org/", "ftp://receiver.example.org/", "https://receiver.example.org:22/"} {
		if r := public.Send(t.Context(), call(bad)); r.Error != market.CallBlocked {
			t.Errorf("%s: %+v, want it blocked", bad, r)
		}
	}
	// The redirecting one may be called, where it leads to may not.
	allowed := hook.New(hook.Options{Allow: hook.Allow{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}})
	if r := allowed.Send(t.Context(), call(outer.URL)); r.Error != market.CallRedirect || r.OK() {
		t.Errorf("a redirect: %+v", r)
	}
	t.Logf("certificates are checked: %+v", allowed.Send(t.Context(), call(inner.URL)))
	if n := reached.Load(); n != 0 {
		t.Errorf("the receiver was reached %d times", n)
	}
	named := hook.New(hook.Options{Resolver: names(t, [4]byte{127, 0, 0, 1}), Allow: hook.Allow{Hosts: []string{"receiver.example.org"}}})
	if r := named.Send(t.Context(), call(strings.Replace(outer.URL, "127.0.0.1", "receiver.example.org", 1))); r.Error != market.CallRedirect {
		t.Errorf("an allowed name: %+v", r)
	}
}

func TestNoProxy(t *testing.T) {
	var asked atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("HTTPS_PROXY", proxy.URL)
	here := hook.Allow{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}} // or the proxy would not be reached anyway
	hook.New(hook.Options{Allow: here, Resolver: names(t, [4]byte{127, 0, 0, 1}), Time: time.Second}).Send(t.Context(), call("https://receiver.example.org/"))
	if asked.Load() != 0 {
		t.Error("the proxy of the environment was asked")
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	var sent atomic.Int64
	r := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/gone":
			w.WriteHeader(http.StatusGone)
		case "/hang":
			<-hang
		case "/huge":
			for w.Header().Set("Content-Type", "text/plain"); ; {
				n, err := io.WriteString(w, strings.Repeat("x", 1<<16))
				if sent.Add(int64(n)); err != nil || sent.Load() > 64<<20 {
					return
				}
			}
		case "/headers":
			w.Header().Set("X", strings.Repeat("x", 1<<20))
		default:
			fmt.Fprint(w, "thank you")
		}
	}))
	defer r.Close()
	defer close(hang)
	s := hook.New(hook.Options{Allow: hook.Allow{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}, Time: 2 * time.Second})
	for path, want := range map[string]market.WebhookResult{"/": {Status: 200}, "/gone": {Status: 410}, "/hang": {Error: market.CallTimeout}, "/huge": {Status: 200}, "/headers": {Error: market.CallRefused}} {
		began := time.Now()
		got := s.Send(t.Context(), call(r.URL+path))
		if got.Status != want.Status || got.Error != want.Error || time.Since(began) > 20*time.Second {
			t.Errorf("%s: %+v after %s, want %+v", path, got, time.Since(began), want)
		}
	}
	if n := sent.Load(); n > 32<<20 {
		t.Errorf("a huge answer was read for %d bytes", n)
	}
	if got := s.Send(t.Context(), call("http://127.0.0.1:1")); got.Error != market.CallBlocked {
		t.Errorf("port 1: %+v", got)
	}
}
