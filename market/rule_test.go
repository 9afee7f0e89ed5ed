package market

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestRulesRefuseWhatIsNotTheirs(t *testing.T) {
	salt, zeros := "AAECAwQFBgcICQoLDA0ODw==", strings.Repeat("0", 64)
	hidden := `{"name":"h","kind":"hidden","commitment":"sha256:` + zeros + `","count":2,"minPass":1}`
	vectors := []HiddenVectors{{Rule: "h", Salt: salt, Vectors: []Vector{{Pointer: "/a", Equals: json.RawMessage(`1`)}, {Equals: json.RawMessage(`null`)}}}}
	for _, c := range []struct {
		rule string
		want []string
	}{
		{`{"name":"r","kind":"cel","expression":"true"}`, nil},
		{`{"name":"r","kind":"cel","expression":"true","text":"Always."}`, nil},
		{`{"name":"r","kind":"cel"}`, []string{"/rules/0/expression required"}},
		{`{"name":"r","kind":"cel","expression":""}`, []string{"/rules/0/expression required"}},
		{`{"name":"r","kind":"cel","expression":"` + strings.Repeat("é", 2048) + `"}`, nil},
		{`{"name":"r","kind":"cel","expression":"` + strings.Repeat("é", 2049) + `"}`, []string{"/rules/0/expression length"}},
		{`{"name":"r","kind":"cel","expression":"true","pointer":""}`, []string{"/rules/0/pointer rule_member"}},
		{`{"name":"r","kind":"equals","equals":null}`, nil},
		{`{"name":"r","kind":"equals","pointer":"/a~1b/~0","equals":{"a":[1]}}`, nil},
		{`{"name":"r","kind":"equals","pointer":"a"}`, []string{"/rules/0/pointer pointer", "/rules/0/equals required"}},
		{`{"name":"r","kind":"equals","pointer":"/a~2","equals":1}`, []string{"/rules/0/pointer pointer"}},
		{`{"name":"r","kind":"equals","pointer":"/a~","equals":1}`, []string{"/rules/0/pointer pointer"}},
		{`{"name":"r","kind":"equals","pointer":"/` + strings.Repeat("a", 512) + `","equals":1}`, []string{"/rules/0/pointer pointer"}},
		{`{"name":"r","kind":"equals","pointer":"/a","equals":1,"min":1,"max":2,"minLength":1,"maxLength":1,"expression":"","sha256":"","pattern":"","attachment":"","required":false,"maxBytes":0,"mediaTypes":[],"commitment":"","count":0,"minPass":0}`,
			[]string{"/rules/0/expression rule_member", "/rules/0/sha256 rule_member", "/rules/0/pattern rule_member", "/rules/0/min rule_member", "/rules/0/max rule_member",
				"/rules/0/minLength rule_member", "/rules/0/maxLength rule_member", "/rules/0/attachment rule_member", "/rules/0/required rule_member", "/rules/0/maxBytes rule_member",
				"/rules/0/mediaTypes rule_member", "/rules/0/commitment rule_member", "/rules/0/count rule_member", "/rules/0/minPass rule_member"}},
		{`{"name":"r","kind":"sha256","sha256":"` + zeros + `"}`, nil},
		{`{"name":"r","kind":"sha256","sha256":"` + zeros + `0"}`, []string{"/rules/0/sha256 sha256"}},
		{`{"name":"r","kind":"sha256"}`, []string{"/rules/0/sha256 required"}},
		{`{"name":"r","kind":"regex","pattern":"^a$"}`, nil},
		{`{"name":"r","kind":"regex"}`, []string{"/rules/0/pattern required"}},
		{`{"name":"r","kind":"range","min":-1.5e3}`, nil},
		{`{"name":"r","kind":"range","min":"1","max":null}`, []string{"/rules/0/min type", "/rules/0/max type"}},
		{`{"name":"r","kind":"range"}`, []string{"/rules/0/min rule_bound"}},
		{`{"name":"r","kind":"length","minLength":0,"maxLength":0}`, nil},
		{`{"name":"r","kind":"length","minLength":-1}`, []string{"/rules/0/minLength range"}},
		{`{"name":"r","kind":"length","minLength":2,"maxLength":1}`, []string{"/rules/0/maxLength range"}},
		{`{"name":"r","kind":"length"}`, []string{"/rules/0/minLength rule_bound"}},
		{`{"name":"r","kind":"attachment","attachment":"*.csv","required":true,"maxBytes":5,"mediaTypes":["text/csv"],"sha256":"` + zeros + `"}`, nil},
		{`{"name":"r","kind":"attachment"}`, []string{"/rules/0/attachment required"}},
		{`{"name":"r","kind":"attachment","attachment":"[","maxBytes":-1,"mediaTypes":[""],"sha256":"x"}`,
			[]string{"/rules/0/attachment file_pattern", "/rules/0/maxBytes range", "/rules/0/mediaTypes/0 required", "/rules/0/sha256 sha256"}},
		{`{"name":"r","kind":"manual"}`, []string{"/rules/0/text required"}},
		{hidden, nil},
		{`{"name":"h","kind":"hidden"}`, []string{"/rules/0/commitment required", "/rules/0/count required", "/hiddenVectors/0/vectors vectors_count"}},
		{`{"name":"h","kind":"hidden","commitment":"sha256:x","count":2,"minPass":3}`, []string{"/rules/0/commitment commitment", "/rules/0/minPass range"}},
		{`{"name":"other","kind":"hidden","commitment":"sha256:` + zeros + `","count":2,"minPass":1}`, []string{"/rules/0 vectors_missing", "/hiddenVectors/0/rule vectors_rule"}},
	} {
		var r Rule
		if err := json.Unmarshal([]byte(c.rule), &r); err != nil {
			t.Fatal(err)
		}
		d := Draft{Title: "Poem", Brief: brief, Reward: 100, Rules: []Rule{r}}
		if r.Kind == RuleHidden {
			d.Hidden = vectors
		}
		same(t, c.rule, d.Clean(t0), c.want...)
		text, err := json.Marshal(r)
		var got, want any
		if err != nil || json.Unmarshal(text, &got) != nil || json.Unmarshal([]byte(c.rule), &want) != nil {
			t.Fatal(err)
		}
		if c.want == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("got %s back, want %s", text, c.rule)
		}
	}
}

func TestHiddenVectorsRefuse(t *testing.T) {
	count := int64(1)
	commitment := "sha256:" + strings.Repeat("0", 64)
	rule := Rule{Name: "h", Kind: RuleHidden, Commitment: &commitment, Count: &count, MinPass: &count}
	good := func() HiddenVectors {
		return HiddenVectors{Rule: "h", Salt: "AAECAwQFBgcICQoLDA0ODw==", Vectors: []Vector{{Equals: json.RawMessage(`1`)}}}
	}
	for _, c := range []struct {
		name   string
		change func(*HiddenVectors)
		want   []string
	}{
		{"as it is", func(*HiddenVectors) {}, nil},
		{"short salt", func(h *HiddenVectors) { h.Salt = "AAEC" }, []string{"/hiddenVectors/0/salt salt"}},
		{"no base64", func(h *HiddenVectors) { h.Salt = "?" }, []string{"/hiddenVectors/0/salt salt"}},
		{"too few", func(h *HiddenVectors) { h.Vectors = nil }, []string{"/hiddenVectors/0/vectors vectors_count"}},
		{"no value", func(h *HiddenVectors) { h.Vectors[0].Equals = nil }, []string{"/hiddenVectors/0/vectors/0/equals required"}},
		{"bad pointer", func(h *HiddenVectors) { h.Vectors[0].Pointer = "a" }, []string{"/hiddenVectors/0/vectors/0/pointer pointer"}},
		{"too large", func(h *HiddenVectors) {
			h.Vectors[0].Equals = json.RawMessage(`"` + strings.Repeat("x", 128<<10) + `"`)
		}, []string{"/hiddenVectors vectors_size"}},
	} {
		h := good()
		c.change(&h)
		d := Draft{Title: "Poem", Brief: brief, Reward: 100, Rules: []Rule{rule}, Hidden: []HiddenVectors{h}}
		same(t, c.name, d.Clean(t0), c.want...)
	}
	d := Draft{Title: "Poem", Brief: brief, Reward: 100, Rules: []Rule{rule}, Hidden: []HiddenVectors{good(), good()}}
	same(t, "twice", d.Clean(t0), "/hiddenVectors/1/rule duplicate")
}

func TestAutoAcceptNeedsProof(t *testing.T) {
	one := []Sample{{Output: json.RawMessage(`1`)}}
	for _, c := range []struct {
		name    string
		samples *Samples
		rules   []Rule
		want    []string
	}{
		{"both", &Samples{Pass: one, Fail: one}, nil, nil},
		{"none", nil, nil, []string{"/autoAccept auto_accept"}},
		{"none that fails", &Samples{Pass: one}, nil, []string{"/autoAccept auto_accept"}},
		{"none that passes", &Samples{Fail: one}, nil, []string{"/autoAccept auto_accept"}},
		{"a rule that nobody decides", &Samples{Pass: one, Fail: one}, rules(2), []string{"/rules/0 auto_accept_manual", "/rules/1 auto_accept_manual"}},
		{"a sample of nothing", &Samples{Pass: one, Fail: []Sample{{}}}, nil, []string{"/samples/fail/0 required"}},
	} {
		d := Draft{Title: "Poem", Brief: brief, Reward: 100, AutoAccept: true, Samples: c.samples, Rules: c.rules}
		same(t, c.name, d.Clean(t0), c.want...)
	}
}
