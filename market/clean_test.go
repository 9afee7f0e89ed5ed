package market

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// found lists problems as "pointer code", in order.
func found(fields []FieldError) []string {
	out := []string{}
	for _, f := range fields {
		if f.Parameter != "" {
			panic("a body has no parameter: " + f.Parameter)
		}
		out = append(out, f.Pointer+" "+f.Code)
	}
	return out
}

func same(t *testing.T, name string, fields []FieldError, want ...string) {
	t.Helper()
	if got := found(fields); !slices.Equal(got, want) && len(got)+len(want) > 0 {
		t.Errorf("%s: got %q, want %q", name, got, want)
	}
}

// chars is n characters of two bytes each: limits count characters.
func chars(n int) string { return strings.Repeat("é", n) }

func num(n int64) *int64 { return &n }

func at(d time.Duration) *time.Time { x := t0.Add(d); return &x }

func rules(n int) []Rule {
	out := make([]Rule, n)
	for i := range out {
		out[i] = Rule{Name: fmt.Sprint("r", i), Kind: RuleManual, Text: "x"}
	}
	return out
}

func skills(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint("s", i)
	}
	return out
}

var sha = strings.Repeat("0a", 32)

func files(n int) []Attachment {
	out := make([]Attachment, n)
	for i := range out {
		out[i] = Attachment{Name: "f", MediaType: "text/plain", SHA256: sha}
	}
	return out
}

func file(change func(*Attachment)) []Attachment {
	out := files(2)
	change(&out[1])
	return out
}

func TestDraftCleanAtAndBeyondEachLimit(t *testing.T) {
	rule := func(r Rule) func(*Draft) { return func(d *Draft) { d.Rules = []Rule{rules(1)[0], r} } }
	for _, c := range []struct {
		name   string
		change func(*Draft)
		want   []string
	}{
		{"as it is", func(*Draft) {}, nil},
		{"title 3", func(d *Draft) { d.Title = chars(3) }, nil},
		{"title 2", func(d *Draft) { d.Title = chars(2) }, []string{"/title length"}},
		{"title none", func(d *Draft) { d.Title = "" }, []string{"/title required"}},
		{"title 140", func(d *Draft) { d.Title = chars(140) }, nil},
		{"title 141", func(d *Draft) { d.Title = chars(141) }, []string{"/title length"}},
		{"title with NUL", func(d *Draft) { d.Title = "abc\x00" }, []string{"/title text"}},
		{"title not UTF-8", func(d *Draft) { d.Title = "abc\xff" }, []string{"/title text"}},
		{"brief 10", func(d *Draft) { d.Brief = chars(10) }, nil},
		{"brief 9", func(d *Draft) { d.Brief = chars(9) }, []string{"/brief length"}},
		{"brief 20000", func(d *Draft) { d.Brief = chars(20_000) }, nil},
		{"brief 20001", func(d *Draft) { d.Brief = chars(20_001) }, []string{"/brief length"}},
		{"mode exclusive", func(d *Draft) { d.Mode = "exclusive" }, nil},
		{"mode unknown", func(d *Draft) { d.Mode = "Exclusive" }, []string{"/mode mode"}},
		{"reward 1", func(d *Draft) { d.Reward = 1 }, nil},
		{"reward 0", func(d *Draft) { d.Reward = 0 }, []string{"/reward range"}},
		{"reward −1", func(d *Draft) { d.Reward = -1 }, []string{"/reward range"}},
		{"reward 1000000", func(d *Draft) { d.Reward = 1_000_000 }, nil},
		{"reward 1000001", func(d *Draft) { d.Reward = 1_000_001 }, []string{"/reward range"}},
		{"claimMinutes 5", func(d *Draft) { d.ClaimMinutes = num(5) }, nil},
		{"claimMinutes 4", func(d *Draft) { d.ClaimMinutes = num(4) }, []string{"/claimMinutes range"}},
		{"claimMinutes 10080", func(d *Draft) { d.ClaimMinutes = num(10_080) }, nil},
		{"claimMinutes 10081", func(d *Draft) { d.ClaimMinutes = num(10_081) }, []string{"/claimMinutes range"}},
		{"reviewHours 1", func(d *Draft) { d.ReviewHours = num(1) }, nil},
		{"reviewHours 0", func(d *Draft) { d.ReviewHours = num(0) }, []string{"/reviewHours range"}},
		{"reviewHours 336", func(d *Draft) { d.ReviewHours = num(336) }, nil},
		{"reviewHours 337", func(d *Draft) { d.ReviewHours = num(337) }, []string{"/reviewHours range"}},
		{"maxAttempts 1", func(d *Draft) { d.MaxAttempts = num(1) }, nil},
		{"maxAttempts 0", func(d *Draft) { d.MaxAttempts = num(0) }, []string{"/maxAttempts range"}},
		{"maxAttempts 10", func(d *Draft) { d.MaxAttempts = num(10) }, nil},
		{"maxAttempts 11", func(d *Draft) { d.MaxAttempts = num(11) }, []string{"/maxAttempts range"}},
		{"maxAccepted 1", func(d *Draft) { d.MaxAccepted = num(1) }, nil},
		{"maxAccepted 0", func(d *Draft) { d.MaxAccepted = num(0) }, []string{"/maxAccepted range"}},
		{"maxAccepted 2 in exclusive mode", func(d *Draft) { d.MaxAccepted = num(2) }, []string{"/maxAccepted range"}},
		{"deadline a moment ahead", func(d *Draft) { d.Deadline = at(1) }, nil},
		{"deadline now", func(d *Draft) { d.Deadline = at(0) }, []string{"/deadline deadline"}},
		{"deadline 90 days", func(d *Draft) { d.Deadline = at(90 * 24 * time.Hour) }, nil},
		{"deadline 90 days and a moment", func(d *Draft) { d.Deadline = at(90*24*time.Hour + 1) }, []string{"/deadline deadline"}},
		{"10 skills", func(d *Draft) { d.Skills = skills(10) }, nil},
		{"11 skills", func(d *Draft) { d.Skills = skills(11) }, []string{"/skills too_many"}},
		{"skill of 40", func(d *Draft) { d.Skills = []string{"a", strings.Repeat("a", 40)} }, nil},
		{"skill of 41", func(d *Draft) { d.Skills = []string{"a", strings.Repeat("a", 41)} }, []string{"/skills/1 skill"}},
		{"skill of every character", func(d *Draft) { d.Skills = []string{"0+.#-z"} }, nil},
		{"skill with a newline", func(d *Draft) { d.Skills = []string{"go\n"} }, []string{"/skills/0 skill"}},
		{"skills empty, upper, odd start", func(d *Draft) { d.Skills = []string{"", "Go", "+a"} },
			[]string{"/skills/0 skill", "/skills/1 skill", "/skills/2 skill"}},
		{"20 rules", func(d *Draft) { d.Rules = rules(20) }, nil},
		{"21 rules", func(d *Draft) { d.Rules = rules(21) }, []string{"/rules too_many"}},
		{"rule name 80, text 2000", rule(Rule{Name: chars(80), Kind: RuleManual, Text: chars(2000)}), nil},
		{"rule name 81", rule(Rule{Name: chars(81), Kind: RuleManual, Text: "x"}), []string{"/rules/1/name length"}},
		{"rule text 2001", rule(Rule{Name: "a", Kind: RuleManual, Text: chars(2001)}), []string{"/rules/1/text length"}},
		{"rule of nothing", rule(Rule{}), []string{"/rules/1/name required", "/rules/1/kind rule_kind"}},
		{"rule name twice", rule(Rule{Name: "r0", Kind: RuleManual, Text: "x"}), []string{"/rules/1/name duplicate"}},
		{"20 attachments", func(d *Draft) { d.Attachments = files(20) }, nil},
		{"21 attachments", func(d *Draft) { d.Attachments = files(21) }, []string{"/attachments too_many"}},
		{"many at once, in order", func(d *Draft) { d.Title, d.Reward, d.Mode = "", 0, "closed" },
			[]string{"/title required", "/mode mode", "/reward range"}},
	} {
		d := Draft{Title: "Poem", Brief: brief, Reward: 100}
		c.change(&d)
		same(t, c.name, d.Clean(t0), c.want...)
	}
}

func TestDraftCleanFillsInDefaults(t *testing.T) {
	d := Draft{Title: "Poem", Brief: brief, Reward: 100}
	same(t, "draft", d.Clean(t0))
	if d.Mode != "exclusive" || !slices.Equal(d.Skills, []string{"generalist"}) || !d.Deadline.Equal(t0.AddDate(0, 0, 30)) {
		t.Errorf("mode %q, skills %q, deadline %v", d.Mode, d.Skills, d.Deadline)
	}
	c, err := Publish(publisher, "t", d, 0, Funds{Earned: 100}, t0)
	must(t, c, err)
	s := c.Snapshot
	if s.ClaimMinutes != 60 || s.ReviewHours != 72 || s.MaxAttempts != 3 || s.MaxAccepted != 1 {
		t.Errorf("published with %d, %d, %d, %d", s.ClaimMinutes, s.ReviewHours, s.MaxAttempts, s.MaxAccepted)
	}
	in := []string{"z", "a", "z"}
	d.Skills = in
	same(t, "double skills", d.Clean(t0))
	if !slices.Equal(d.Skills, []string{"a", "z"}) || !slices.Equal(in, []string{"z", "a", "z"}) {
		t.Errorf("skills %q of %q", d.Skills, in)
	}
}

func TestPackageCleanAtAndBeyondEachLimit(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Package)
		want   []string
	}{
		{"as it is", func(*Package) {}, nil},
		{"no output", func(p *Package) { p.Output = nil }, []string{"/output required"}},
		{"null is an output", func(p *Package) { p.Output = json.RawMessage("null") }, nil},
		{"no summary", func(p *Package) { p.SummaryText = "" }, []string{"/summaryText required"}},
		{"summary 1", func(p *Package) { p.SummaryText = chars(1) }, nil},
		{"summary 4000", func(p *Package) { p.SummaryText = chars(4000) }, nil},
		{"summary 4001", func(p *Package) { p.SummaryText = chars(4001) }, []string{"/summaryText length"}},
		{"20 attachments", func(p *Package) { p.Attachments = files(20) }, nil},
		{"21 attachments", func(p *Package) { p.Attachments = files(21) }, []string{"/attachments too_many"}},
		{"name 200", func(p *Package) { p.Attachments = file(func(a *Attachment) { a.Name = chars(200) }) }, nil},
		{"name 201", func(p *Package) { p.Attachments = file(func(a *Attachment) { a.Name = chars(201) }) }, []string{"/attachments/1/name length"}},
		{"no name", func(p *Package) { p.Attachments = file(func(a *Attachment) { a.Name = "" }) }, []string{"/attachments/1/name required"}},
		{"mediaType 120", func(p *Package) { p.Attachments = file(func(a *Attachment) { a.MediaType = chars(120) }) }, nil},
		{"mediaType 121", func(p *Package) { p.Attachments = file(func(a *Attachment) { a.MediaType = chars(121) }) }, []string{"/attachments/1/mediaType length"}},
		{"bytes 0 to 100 MiB", func(p *Package) { p.Attachments = file(func(a *Attachment) { a.Bytes = 104_857_600 }) }, nil},
		{"bytes 100 MiB and one", func(p *Package) { p.Attachments = file(func(a *Attachment) { a.Bytes = 104_857_601 }) }, []string{"/attachments/1/bytes range"}},
		{"bytes −1", func(p *Package) { p.Attachments = file(func(a *Attachment) { a.Bytes = -1 }) }, []string{"/attachments/1/bytes range"}},
		{"sha256 of 63", func(p *Package) { p.Attachments = file(func(a *Attachment) { a.SHA256 = sha[1:] }) }, []string{"/attachments/1/sha256 sha256"}},
		{"sha256 of 65", func(p *Package) { p.Attachments = file(func(a *Attachment) { a.SHA256 = sha + "0" }) }, []string{"/attachments/1/sha256 sha256"}},
		{"sha256 in upper case", func(p *Package) { p.Attachments = file(func(a *Attachment) { a.SHA256 = strings.ToUpper(sha) }) }, []string{"/attachments/1/sha256 sha256"}},
		{"sha256 with g", func(p *Package) { p.Attachments = file(func(a *Attachment) { a.SHA256 = "g" + sha[1:] }) }, []string{"/attachments/1/sha256 sha256"}},
		{"url https", func(p *Package) { p.Attachments = file(func(a *Attachment) { a.URL = "https://a.example/x" }) }, nil},
		{"url javascript", func(p *Package) { p.Attachments = file(func(a *Attachment) { a.URL = "javascript:alert(1)" }) }, []string{"/attachments/1/url url"}},
		{"url without host", func(p *Package) { p.Attachments = file(func(a *Attachment) { a.URL = "https:///x" }) }, []string{"/attachments/1/url url"}},
		{"url relative", func(p *Package) { p.Attachments = file(func(a *Attachment) { a.URL = "//a.example/x" }) }, []string{"/attachments/1/url url"}},
		{"url 2000", func(p *Package) {
			p.Attachments = file(func(a *Attachment) { a.URL = "https://a/" + strings.Repeat("x", 1990) })
		}, nil},
		{"url 2001", func(p *Package) {
			p.Attachments = file(func(a *Attachment) { a.URL = "https://a/" + strings.Repeat("x", 1991) })
		}, []string{"/attachments/1/url length"}},
	} {
		p := Package{Output: json.RawMessage(`1`), SummaryText: "done"}
		c.change(&p)
		same(t, c.name, p.Clean(), c.want...)
	}
}

func TestRegistrationCleanAtAndBeyondEachLimit(t *testing.T) {
	human := func(change func(*Registration)) func(*Registration) {
		return func(r *Registration) {
			r.Kind, r.Email, r.Password = Human, "ada@example.org", "correct horse"
			change(r)
		}
	}
	mail := func(n int) string { return strings.Repeat("m", n-len("@example.org")) + "@example.org" }
	for _, c := range []struct {
		name   string
		change func(*Registration)
		want   []string
	}{
		{"as it is", func(*Registration) {}, nil},
		{"handle 3", func(r *Registration) { r.Handle = "a-b" }, nil},
		{"handle 2", func(r *Registration) { r.Handle = "ab" }, []string{"/handle handle"}},
		{"handle 32", func(r *Registration) { r.Handle = strings.Repeat("a", 32) }, nil},
		{"handle 33", func(r *Registration) { r.Handle = strings.Repeat("a", 33) }, []string{"/handle handle"}},
		{"handle ends in a dash", func(r *Registration) { r.Handle = "abc-" }, []string{"/handle handle"}},
		{"handle starts with a dash", func(r *Registration) { r.Handle = "-abc" }, []string{"/handle handle"}},
		{"handle in upper case", func(r *Registration) { r.Handle = "Abc" }, []string{"/handle handle"}},
		{"handle and a newline", func(r *Registration) { r.Handle = "abc\n" }, []string{"/handle handle"}},
		{"displayName 80", func(r *Registration) { r.DisplayName = " " + chars(80) + " " }, nil},
		{"displayName 81", func(r *Registration) { r.DisplayName = chars(81) }, []string{"/displayName length"}},
		{"description 2000", func(r *Registration) { r.Description = chars(2000) }, nil},
		{"description 2001", func(r *Registration) { r.Description = chars(2001) }, []string{"/description length"}},
		{"10 skills", func(r *Registration) { r.Skills = skills(10) }, nil},
		{"11 skills", func(r *Registration) { r.Skills = skills(11) }, []string{"/skills too_many"}},
		{"skill wrong", func(r *Registration) { r.Skills = []string{"go", "C#"} }, []string{"/skills/1 skill"}},
		{"an agent has no email", func(r *Registration) { r.Email, r.Password = "x", "x" }, nil},
		{"human", human(func(*Registration) {}), nil},
		{"email 254", human(func(r *Registration) { r.Email = mail(254) }), nil},
		{"email 255", human(func(r *Registration) { r.Email = mail(255) }), []string{"/email email"}},
		{"email without dot", human(func(r *Registration) { r.Email = "ada@example" }), []string{"/email email"}},
		{"email of two", human(func(r *Registration) { r.Email = "ada@b@example.org" }), []string{"/email email"}},
		{"email with a header", human(func(r *Registration) { r.Email = "ada@example.org\nBcc: x@y.z" }), []string{"/email email"}},
		{"email none", human(func(r *Registration) { r.Email = "" }), []string{"/email email"}},
		{"password 12", human(func(r *Registration) { r.Password = chars(12) }), nil},
		{"password 11", human(func(r *Registration) { r.Password = chars(11) }), []string{"/password length"}},
		{"password 256", human(func(r *Registration) { r.Password = chars(256) }), nil},
		{"password 257", human(func(r *Registration) { r.Password = chars(257) }), []string{"/password length"}},
		{"password with the handle", human(func(r *Registration) { r.Password = "My-BABBAGE-12345" }), []string{"/password password_guessable"}},
		{"password with the mail's name of 4", human(func(r *Registration) { r.Email, r.Password = "adal@example.org", "12345ADAL6789" }), []string{"/password password_guessable"}},
		{"password with the mail's name of 3", human(func(r *Registration) { r.Password = "12345ada67890" }), nil},
	} {
		r := Registration{Kind: Agent, Handle: "babbage"}
		c.change(&r)
		same(t, c.name, r.Clean(), c.want...)
	}
}

func TestRegistrationCleanFillsInDefaults(t *testing.T) {
	r := Registration{Kind: Agent, Handle: "babbage", DisplayName: " \t"}
	same(t, "agent", r.Clean())
	if r.DisplayName != "babbage" || !slices.Equal(r.Skills, []string{"generalist"}) {
		t.Errorf("agent: name %q, skills %q", r.DisplayName, r.Skills)
	}
	r = Registration{Kind: Human, Handle: "babbage", Email: " ada@example.org\n", Password: "correct horse"}
	same(t, "human", r.Clean())
	if r.Email != "ada@example.org" || len(r.Skills) != 0 {
		t.Errorf("human: email %q, skills %q", r.Email, r.Skills)
	}
}

func TestLengthProblemsSayTheLimitsAndTheCount(t *testing.T) {
	d := Draft{Title: chars(141), Brief: brief, Reward: 0}
	f := d.Clean(t0)
	if len(f) != 2 || fmt.Sprint(f[0].Args) != "map[Count:141 Max:140 Min:3]" || fmt.Sprint(f[1].Args) != "map[Max:1000000 Min:1]" {
		t.Errorf("got %+v", f)
	}
}

func TestNewKeyIsWellFormedAndAnyOneCharacterChangeIsNot(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		key := NewKey(AgentKeyPrefix)
		if !WellFormedKey(key) || len(key) != 40 || !strings.HasPrefix(key, "gha_") || seen[key] {
			t.Fatalf("new key %q", key)
		}
		seen[key] = true
		for i := range len(key) {
			for b := range 256 {
				if byte(b) == key[i] {
					continue
				}
				wrong := key[:i] + string([]byte{byte(b)}) + key[i+1:]
				if WellFormedKey(wrong) {
					t.Fatalf("%q passes for %q", wrong, key)
				}
			}
			if WellFormedKey(key[:i]+key[i+1:]) || WellFormedKey(key[:i]+"0"+key[i:]) {
				t.Fatalf("%q with a character less or more at %d passes", key, i)
			}
		}
		if hint := KeyHint(key); hint != key[:10] {
			t.Errorf("hint %q of %q", hint, key)
		}
	}
	for _, wrong := range []string{"", "gha_", NewKey("ghx_"), NewKey(""), " " + NewKey(AgentKeyPrefix)} {
		if WellFormedKey(wrong) {
			t.Errorf("%q passes", wrong)
		}
	}
}

func TestHashKeyTellsKeysApart(t *testing.T) {
	a, b := NewKey(AgentKeyPrefix), NewKey(AgentKeyPrefix)
	if len(HashKey(a)) != 32 || !slices.Equal(HashKey(a), HashKey(a)) || slices.Equal(HashKey(a), HashKey(b)) {
		t.Error("hashes do not tell keys apart")
	}
}

func TestTakeSplitsGrantedFirstAndNeverMoreThanThereIs(t *testing.T) {
	for _, c := range []struct {
		have   Funds
		amount Credits
		want   Funds
		ok     bool
	}{
		{Funds{30, 70}, 0, Funds{}, true},
		{Funds{30, 70}, 1, Funds{1, 0}, true},
		{Funds{30, 70}, 30, Funds{30, 0}, true},
		{Funds{30, 70}, 31, Funds{30, 1}, true},
		{Funds{30, 70}, 100, Funds{30, 70}, true},
		{Funds{30, 70}, 101, Funds{}, false},
		{Funds{0, 70}, 70, Funds{0, 70}, true},
		{Funds{0, 70}, 71, Funds{}, false},
		{Funds{30, 0}, 30, Funds{30, 0}, true},
		{Funds{}, 0, Funds{}, true},
		{Funds{}, 1, Funds{}, false},
	} {
		got, err := c.have.Take(c.amount)
		if got != c.want || (err == nil) != c.ok || err != nil && !errors.Is(err, ErrInsufficientCredits) {
			t.Errorf("%+v.Take(%d) = %+v, %v; want %+v", c.have, c.amount, got, err, c.want)
		}
		var e *Error
		if errors.As(err, &e) && (e.Args["Needed"] != c.amount || e.Args["Available"] != c.have.Total()) {
			t.Errorf("%+v.Take(%d) says %v", c.have, c.amount, e.Args)
		}
	}
}
