package mail_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"guildhall/mail"
	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

// server is a mail server that speaks SMTP for real and keeps what it is given.
type server struct {
	net.Listener
	certificate tls.Certificate
	trust       *x509.CertPool
	// starts says that it offers STARTTLS; broken that it then talks nonsense.
	starts, broken bool

	mu sync.Mutex
	// refuse answers RCPT with this instead, as long as it is not empty.
	refuse string
	got    []string
	secure []bool
}

func serve(t *testing.T, configure func(*server)) *server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, trust: x509.NewCertPool()}
	s.trust.AddCert(leaf)
	configure(s)
	if s.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	go func() {
		for {
			c, err := s.Accept()
			if err != nil {
				return
			}
			go s.talk(c)
		}
	}()
	return s
}

// talk is the conversation of RFC 5321 with who sends.
func (s *server) talk(c net.Conn) {
	defer func() { c.Close() }()
	in, secure := bufio.NewReader(c), false
	say := func(line string) { fmt.Fprint(c, line+"\r\n") }
	say("220 test ESMTP")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch verb := strings.ToUpper(strings.Fields(line + " x")[0]); verb {
		case "EHLO":
			if s.starts && !secure {
				say("250-test")
				say("250 STARTTLS")
			} else {
				say("250-test")
				say("250 8BITMIME")
			}
		case "STARTTLS":
			say("220 go ahead")
			if s.broken {
				fmt.Fprint(c, "this is no handshake")
				return
			}
			t := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{s.certificate}})
			c, in, secure = t, bufio.NewReader(t), true
		case "RCPT":
			s.mu.Lock()
			refuse := s.refuse
			s.mu.Unlock()
			if refuse == "" {
				refuse = "250 ok"
			}
			say(refuse)
		case "DATA":
			say("354 go on")
			var text strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				text.WriteString(strings.TrimPrefix(line, "."))
			}
			s.mu.Lock()
			s.got, s.secure = append(s.got, text.String()), append(s.secure, secure)
			s.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func (s *server) answer(refuse string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = refuse
}

func (s *server) taken() ([]string, []bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got, s.secure
}

// relay is how the site knows the server.
func (s *server) relay(t *testing.T, query string) *mail.Relay {
	t.Helper()
	r, err := mail.ParseRelay("smtp://" + s.Addr().String() + "?from=guildhall@example.org" + query)
	if err != nil {
		t.Fatal(err)
	}
	r.Trust = &tls.Config{RootCAs: s.trust, ServerName: "127.0.0.1"}
	return r
}

// clock is one that tests move.
type clock struct {
	mu  sync.Mutex
	off time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.off)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off += d
}

// world is a site with a person whose address waits for its first mail.
func world(t *testing.T, r *mail.Relay, c *clock) (*store.Store, *mail.Sender) {
	t.Helper()
	s := storetest.New(t, func(o *store.Options) { o.Mail, o.Now = true, c.now })
	reg := market.Registration{Kind: market.Human, Handle: "mara", Email: "mara@example.org", Password: "correct horse battery", Lang: "zh-CN"}
	if bad := reg.Clean(); bad != nil {
		t.Fatal(bad)
	}
	if _, err := s.RegisterHuman(t.Context(), reg, "hash"); err != nil {
		t.Fatal(err)
	}
	return s, &mail.Sender{Store: s, Relay: r, BaseURL: "https://guild.example", Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// once sends what is due and checks how many that was.
func once(t *testing.T, s *mail.Sender, want int) {
	t.Helper()
	if n, err := s.Once(t.Context()); n != want || err != nil {
		t.Fatalf("tried %d mails, %v; want %d", n, err, want)
	}
}

// TestMailIsSent over TLS, in the reader's language, once.
func TestMailIsSent(t *testing.T) {
	t.Parallel()
	at := serve(t, func(s *server) { s.starts = true })
	_, sender := world(t, at.relay(t, ""), &clock{})
	once(t, sender, 1)
	once(t, sender, 0)
	got, secure := at.taken()
	if len(got) != 1 || !secure[0] {
		t.Fatalf("got %d mails, over TLS: %v", len(got), secure)
	}
	m, err := netmail.ReadMessage(strings.NewReader(got[0]))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := (&mime.WordDecoder{}).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	if subject != "确认您的 Guildhall 邮箱" || !strings.Contains(m.Header.Get("To"), "mara@example.org") || !strings.Contains(m.Header.Get("From"), "guildhall@example.org") ||
		m.Header.Get("Auto-Submitted") != "auto-generated" || !strings.HasPrefix(m.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("subject %q, headers %v", subject, m.Header)
	}
	if !strings.Contains(string(body), "https://guild.example/verify?token=") || !strings.Contains(string(body), "mara") || strings.Contains(string(body), "⟦") {
		t.Errorf("it says %s", body)
	}
}

// TestNothingGoesInTheClear: without TLS, or with a broken one, nothing is sent,
// but it waits; who allows it sends without.
func TestNothingGoesInTheClear(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		configure func(*server)
		query     string
		sent      int
	}{
		"not offered":       {func(*server) {}, "", 0},
		"broken":            {func(s *server) { s.starts, s.broken = true, true }, "", 0},
		"off":               {func(*server) {}, "&tls=off", 1},
		"off, but offered":  {func(s *server) { s.starts = true }, "&tls=off", 1},
		"required, offered": {func(s *server) { s.starts = true }, "&tls=required", 1},
	} {
		at := serve(t, c.configure)
		s, sender := world(t, at.relay(t, c.query), &clock{})
		once(t, sender, 1)
		if got, _ := at.taken(); len(got) != c.sent {
			t.Errorf("%s: %d mails were sent, want %d", name, len(got), c.sent)
		}
		var waiting, given int
		if err := s.DB().QueryRow(`SELECT count(*), count(failed_at) FROM mails`).Scan(&waiting, &given); err != nil {
			t.Fatal(err)
		}
		if waiting != 1-c.sent || given != 0 {
			t.Errorf("%s: %d mails wait, %d were given up", name, waiting, given)
		}
	}
}

// TestUntrustedServers get nothing.
func TestUntrustedServers(t *testing.T) {
	t.Parallel()
	at := serve(t, func(s *server) { s.starts = true })
	r := at.relay(t, "")
	r.Trust = nil
	_, sender := world(t, r, &clock{})
	once(t, sender, 1)
	if got, _ := at.taken(); len(got) != 0 {
		t.Error("a server with a certificate that nobody signed was sent a mail")
	}
}

// TestLaterIsTriedAgain, later each time, and sent when the server takes it.
func TestLaterIsTriedAgain(t *testing.T) {
	t.Parallel()
	at := serve(t, func(s *server) { s.starts = true; s.refuse = "451 4.3.0 try later" })
	c := &clock{}
	_, sender := world(t, at.relay(t, ""), c)
	for _, wait := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		once(t, sender, 1)
		c.advance(wait - 5*time.Second)
		once(t, sender, 0)
		c.advance(10 * time.Second)
	}
	at.answer("")
	once(t, sender, 1)
	once(t, sender, 0)
	if got, _ := at.taken(); len(got) != 1 {
		t.Errorf("got %d mails", len(got))
	}
}

// TestForGoodIsGivenUp, and what it said is forgotten.
func TestForGoodIsGivenUp(t *testing.T) {
	t.Parallel()
	at := serve(t, func(s *server) { s.starts = true; s.refuse = "550 5.1.1 nobody here" })
	c := &clock{}
	s, sender := world(t, at.relay(t, ""), c)
	once(t, sender, 1)
	c.advance(12 * time.Hour)
	once(t, sender, 0)
	var given, kept int
	var why string
	if err := s.DB().QueryRow(`SELECT count(failed_at), count(sealed), max(error) FROM mails`).Scan(&given, &kept, &why); err != nil {
		t.Fatal(err)
	}
	if given != 1 || kept != 0 || !strings.Contains(why, "nobody here") {
		t.Errorf("%d given up, %d kept, because %q", given, kept, why)
	}
}

// TestAMailThatCannotBeOpened is given up and holds up no other.
func TestAMailThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	at := serve(t, func(s *server) { s.starts = true })
	s, sender := world(t, at.relay(t, ""), &clock{})
	if _, err := s.DB().Exec(`UPDATE mails SET nonce = sealed`); err != nil {
		t.Fatal(err)
	}
	if err := s.AskForReset(t.Context(), "mara@example.org", store.Origin{}); err != nil {
		t.Fatal(err)
	}
	if n, err := sender.Once(t.Context()); n != 1 || !errors.Is(err, store.ErrVault) {
		t.Errorf("tried %d, %v", n, err)
	}
	once(t, sender, 0)
	if got, _ := at.taken(); len(got) != 1 {
		t.Errorf("%d mails were sent", len(got))
	}
}

// TestMailsEnd with what they are about: a link that no longer works is not
// sent, and forgotten.
func TestMailsEnd(t *testing.T) {
	t.Parallel()
	c := &clock{}
	nobody, err := mail.ParseRelay("smtp://127.0.0.1:1?from=guildhall@example.org")
	if err != nil {
		t.Fatal(err)
	}
	s, sender := world(t, nobody, c)
	once(t, sender, 1)
	c.advance(market.VerifyLasts + time.Minute)
	once(t, sender, 0)
	if _, err := s.Sweep(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := s.DB().Get(&left, `SELECT count(*) FROM mails`); err != nil || left != 0 {
		t.Errorf("%d mails are left (%v)", left, err)
	}
}

// TestRaceSenders: of several at once, one sends each mail.
func TestRaceSenders(t *testing.T) {
	t.Parallel()
	at := serve(t, func(s *server) { s.starts = true })
	s, sender := world(t, at.relay(t, ""), &clock{})
	for range 9 {
		if err := s.AskForReset(t.Context(), "mara@example.org", store.Origin{}); err != nil {
			t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if _, err := sender.Once(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	once(t, sender, 0)
	if got, _ := at.taken(); len(got) != 10 {
		t.Errorf("%d mails were sent, want 10", len(got))
	}
}

// TestRunEnds with its context, after it has sent what was there.
func TestRunEnds(t *testing.T) {
	t.Parallel()
	at := serve(t, func(s *server) { s.starts = true })
	_, sender := world(t, at.relay(t, ""), &clock{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { sender.Run(ctx); close(done) }()
	for range 2000 {
		if got, _ := at.taken(); len(got) == 1 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("it goes on")
	}
	if got, _ := at.taken(); len(got) != 1 {
		t.Errorf("%d mails were sent", len(got))
	}
}

func TestParseRelay(t *testing.T) {
	t.Parallel()
	for text, good := range map[string]bool{
		"smtp://u:p@mail.example:587?from=a@example.org": true, "smtps://mail.example?from=a@example.org": true, "smtp://mail.example?from=Guildhall%20<a@example.org>&tls=off": true,
		"": false, "http://mail.example?from=a@example.org": false, "smtp://mail.example": false, "smtp://?from=a@example.org": false, "smtp://mail.example:0?from=a@example.org": false,
		"smtp://mail.example?from=nobody": false, "smtp://mail.example?from=a@example.org&tls=maybe": false, "smtps://mail.example?from=a@example.org&tls=off": false,
		"smtp://mail.example?from=a@example.org&form=x": false, "smtp://u:secret word@mail.example?from=a@example.org": false,
	} {
		_, err := mail.ParseRelay(text)
		if (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
		if err != nil && (!errors.Is(err, mail.ErrURL) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestWords: every kind of mail has a subject and says what it must, in both
// languages.
func TestWords(t *testing.T) {
	t.Parallel()
	for _, lang := range []string{"en", "zh-CN", "xx"} {
		for _, kind := range market.MailKinds() {
			m := market.Mail{Kind: kind, Lang: lang, Handle: "mara", At: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC),
				Args: map[string]string{"Token": "TOKEN", "Email": "new@example.org", "What": string(market.SecurityPasswordChanged), "Address": "192.0.2.7", "Agent": "Firefox Linux"}}
			subject, text := mail.Words(m, "https://guild.example")
			if subject == "" || strings.Contains(subject+text, "⟦") || strings.Contains(subject+text, "{{") || !strings.Contains(text, "mara") {
				t.Errorf("%s in %s: %s\n%s", kind, lang, subject, text)
			}
			if linked := strings.Contains(text, "token=TOKEN"); linked != (kind == market.MailReset || kind == market.MailVerify) {
				t.Errorf("%s in %s has a link: %v", kind, lang, linked)
			}
		}
	}
}
