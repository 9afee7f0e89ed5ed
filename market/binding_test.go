package market

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestBindCode(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 200 {
		code := NewBindCode()
		if !regexp.MustCompile(`^[B-DF-HJ-NP-TV-XZ]{4}-[B-DF-HJ-NP-TV-XZ]{4}$`).MatchString(code) || seen[code] {
			t.Fatalf("the code %q", code)
		}
		seen[code] = true
		want, _ := HashBindCode(code)
		for _, typed := range []string{strings.ToLower(code), strings.ReplaceAll(code, "-", ""), " " + code[:4] + " " + code[5:] + "\n"} {
			if got, ok := HashBindCode(typed); !ok || string(got) != string(want) {
				t.Errorf("%q is not %q", typed, code)
			}
		}
	}
	for _, bad := range []string{"", "BCDF-GHJ", "BCDF-GHJKL", "ABCD-EFGH", "BCDF-GHJÄ"} {
		if _, ok := HashBindCode(bad); ok {
			t.Errorf("%q passes", bad)
		}
	}
	key := HashKey("gha_x")
	if f := KeyFingerprint(key); !regexp.MustCompile(`^[A-Z2-7]{4}( [A-Z2-7]{4}){3}$`).MatchString(f) || f == KeyFingerprint(HashKey("gha_y")) {
		t.Errorf("the fingerprint %q", f)
	}
}

func TestWhoMayBind(t *testing.T) {
	t.Parallel()
	good := Prospect{Code: BindCode{Agent: "w", CreatedAt: t0, ExpiresAt: t0.Add(BindCodeLife)}, Agent: Account{ID: "w", Kind: Agent, Handle: "w", State: AccountActive}}
	pending := person
	pending.State = AccountPending
	with := func(change func(*Prospect)) Prospect {
		p := good
		change(&p)
		return p
	}
	early, late := t0.Add(time.Minute), t0.Add(time.Hour)
	for name, c := range map[string]struct {
		p    Prospect
		a    Actor
		now  time.Time
		want error
	}{
		"good":                {good, person, t0, nil},
		"in the last moment":  {good, person, good.Code.ExpiresAt.Add(-1), nil},
		"by an agent":         {good, holder, t0, ErrForbidden},
		"by who waits":        {good, pending, t0, ErrApprovalPending},
		"too late":            {good, person, good.Code.ExpiresAt, ErrBindCodeExpired},
		"of a revoked key":    {with(func(p *Prospect) { p.Code.KeyEnded = true }), person, t0, ErrBindCodeExpired},
		"replaced":            {with(func(p *Prospect) { p.Code.ReplacedAt = &early }), person, t0, ErrBindCodeReplaced},
		"expired, then more":  {with(func(p *Prospect) { p.Code.ReplacedAt = &late }), person, late, ErrBindCodeExpired},
		"used":                {with(func(p *Prospect) { p.Code.Binding = "b"; p.Code.ReplacedAt = &early }), person, t0, ErrBindCodeUsed},
		"of a suspended one":  {with(func(p *Prospect) { p.Agent.State = AccountSuspended }), person, t0, ErrAgentInactive},
		"of one that waits":   {with(func(p *Prospect) { p.Agent.State = AccountPending }), person, t0, ErrAgentInactive},
		"of a managed one":    {with(func(p *Prospect) { p.Bound = true; p.Together = true }), person, t0, ErrAgentBound},
		"at work together":    {with(func(p *Prospect) { p.Together = true }), person, t0, ErrLiveWorkTogether},
		"expired and managed": {with(func(p *Prospect) { p.Bound = true }), person, late, ErrBindCodeExpired},
	} {
		b, err := c.p.Bind(c.a, "b", c.now)
		if !errors.Is(err, c.want) || (err == nil) != (b.Human == c.a.Account && b.Agent == "w" && b.Live()) {
			t.Errorf("%s: %+v, %v; want %v", name, b, err, c.want)
		}
	}
	if err := MintBindCode(person); !errors.Is(err, ErrForbidden) {
		t.Errorf("a person mints: %v", err)
	}
}

// TestManagement: the manager's, and nobody else's, while it lasts.
func TestManagement(t *testing.T) {
	t.Parallel()
	b := Binding{ID: "b", Human: person.Account, Manager: person.Handle, Agent: holder.Account, BoundAt: t0}
	acts := map[string]func(Binding, Actor) (Binding, error){
		"pause":  func(b Binding, a Actor) (Binding, error) { return b.Pause(a, t0) },
		"resume": func(b Binding, a Actor) (Binding, error) { b.PausedAt = &t0; return b.Resume(a) },
		"limit":  func(b Binding, a Actor) (Binding, error) { return b.Limit(a, new(Credits(5))) },
		"grant":  func(b Binding, a Actor) (Binding, error) { return b, b.Grant(a) },
	}
	ended, err := b.End(holder, t0)
	if err != nil || ended.Live() || ended.Ender() != "agent" {
		t.Fatalf("ended %+v, %v", ended, err)
	}
	for name, act := range acts {
		if _, err := act(b, person); err != nil {
			t.Errorf("%s by the manager: %v", name, err)
		}
		for who, a := range map[string]Actor{"the agent": holder, "another": judge} {
			if _, err := act(b, a); !errors.Is(err, ErrNotFound) {
				t.Errorf("%s by %s: %v", name, who, err)
			}
		}
		if _, err := act(ended, person); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s after the end: %v", name, err)
		}
	}
	paused, _ := b.Pause(person, t0)
	if _, err := paused.Pause(person, t0); !errors.Is(err, ErrAlreadyDone) {
		t.Errorf("paused twice: %v", err)
	}
	if _, err := b.Resume(person); !errors.Is(err, ErrAlreadyDone) {
		t.Errorf("resumed while it runs: %v", err)
	}
	for limit, ok := range map[Credits]bool{-1: false, 0: true, MaxSpendLimit: true, MaxSpendLimit + 1: false} {
		if _, err := b.Limit(person, &limit); (err == nil) != ok {
			t.Errorf("the limit %d: %v", limit, err)
		}
	}
	paused.SpendLimit, paused.Spent = new(Credits(5)), 3
	if over, err := paused.End(person, t0); err != nil || over.PausedAt != nil || over.SpendLimit != nil || over.Ender() != "manager" {
		t.Errorf("the end leaves %+v, %v", over, err)
	}
	if _, err := ended.End(person, t0); !errors.Is(err, ErrAlreadyDone) {
		t.Errorf("ended twice: %v", err)
	}
	if _, err := b.End(judge, t0); !errors.Is(err, ErrNotFound) {
		t.Errorf("ended by another: %v", err)
	}
}

func TestRecoveryGrant(t *testing.T) {
	t.Parallel()
	b := Binding{ID: "b", Human: person.Account, Agent: holder.Account}
	r := Recovery{CreatedAt: t0, ExpiresAt: t0.Add(RecoveryLife)}
	used, revoked := r, r
	used.UsedAt, revoked.RevokedAt = &t0, &t0
	ended, _ := b.End(person, t0)
	for name, c := range map[string]struct {
		r     Recovery
		b     Binding
		state AccountState
		now   time.Time
		want  error
	}{
		"good": {r, b, AccountActive, t0, nil}, "used": {used, b, AccountActive, t0, ErrGrantUsed}, "revoked": {revoked, b, AccountActive, t0, ErrGrantRevoked},
		"late": {r, b, AccountActive, r.ExpiresAt, ErrGrantExpired}, "ended": {r, ended, AccountActive, t0, ErrGrantRevoked},
		"suspended": {r, b, AccountSuspended, t0, ErrAccountSuspended},
	} {
		if err := c.r.Use(c.b, c.state, "x", c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	text := NewKey(RecoveryPrefix)
	if !WellFormedGrant(text) || WellFormedKey(text) || WellFormedGrant(NewKey(AgentKeyPrefix)) || WellFormedGrant(text+"x") || WellFormedGrant(text[:12]) {
		t.Errorf("the grant %q is not told from keys", text)
	}
	if got := KeysIn("/x?" + text); len(got) != 1 || WithoutKeys(text) != "[key]" {
		t.Errorf("in a text it is %v", got)
	}
}
