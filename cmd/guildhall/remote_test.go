package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	api "guildhall/client"
	"guildhall/cmd/guildhall/work"
)

// TestTerminalText: what others wrote neither moves the cursor nor breaks the
// line.
func TestTerminalText(t *testing.T) {
	var out bytes.Buffer
	r := &remote{out: &out}
	if err := r.table("ID TITLE", [][]string{{"1", "red\x1b[31m\r\nnext\u202eline"}}); err != nil || out.String() != "ID  TITLE\n1   red[31m  nextline\n" {
		t.Errorf("the table is %q (%v)", out.String(), err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	said := eventLine(work.Event{At: at, Event: work.GivenBack, TaskID: "t", Title: "a\nb", Reward: 5, Seconds: 1.25, Detail: "c\x1bd"})
	if said != "03:04:05  given back  t  a b (5 credits)  1.2s  · cd" {
		t.Errorf("an event is %q", said)
	}
	out.Reset()
	showDelivery(&out, api.Task{Title: "Count", Rules: []api.Rule{{Name: "exact", Kind: "manual", Text: "Be exact."}, {Name: "rows", Kind: "cel"}}}, api.Delivery{ID: "d", State: "pending", Worker: api.Party{Handle: "brass"}, SummaryText: "one\ntwo\x07", Output: []byte(`{"a":"\u001b"}`),
		Report: api.Report{Verdict: "pass", Checks: []api.Check{{Name: "schema", Passed: true, Detail: "It fits."}, {Name: "tone"}}}})
	for _, want := range []string{"✓ schema  It fits.", "✗ tone", "  ? exact  Be exact. (yours to judge)\n  Verdict: pass", "Summary: one\ntwo\n", "Output:\n{\n  \"a\": \"\\u001b\"\n}\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("a delivery is shown as %q, without %q", out.String(), want)
		}
	}
}

// TestAsk has a person decide, or not.
func TestAsk(t *testing.T) {
	for typed, want := range map[string]decision{
		"a\n":                    {accept: true},
		"\n":                     {},
		"":                       {},
		"r\nToo short.\ntone\n":  {reject: true, Rejection: api.Rejection{Reason: "Too short.", Rule: "tone"}},
		"r\nNo.\n\nthree rows\n": {reject: true, Rejection: api.Rejection{Reason: "No.", Quote: "three rows"}},
		"r\nNo.\n":               {}, // gone before the end
	} {
		var out bytes.Buffer
		if got, err := ask(bufio.NewReader(strings.NewReader(typed)), &out); err != nil || got != want {
			t.Errorf("%q decided %+v (%v), want %+v", typed, got, err, want)
		}
	}
}

func TestSplitWords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                          nil,
		"./solve.sh":                {"./solve.sh"},
		` sh -c 'echo "$HOME"; x' `: {"sh", "-c", `echo "$HOME"; x`},
		`a"b c"'' ""`:               {"ab c", ""},
	} {
		if got, err := splitWords(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q is %q (%v), want %q", text, got, err, want)
		}
	}
	if _, err := splitWords(`a 'b`); err == nil {
		t.Error("an open quote was taken")
	}
}

// TestWhichKey: a file that is named wins over the environment, and one that
// is not there is no reason to act for somebody else.
func TestWhichKey(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("gha_of_the_file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ env, file, want, fault string }{
		{"gha_of_the_environment", "", "gha_of_the_environment", ""},
		{"", file, "gha_of_the_file", ""},
		{"gha_of_the_environment", file, "gha_of_the_file", ""},
		{"gha_of_the_environment", file + "-absent", "", "GUILDHALL_KEY is used"},
		{"", file + "-absent", "", "no key for"},
	} {
		r := newRemote("wallet", "", io.Discard, io.Discard)
		var args, env []string
		if c.file != "" {
			args = []string{"--key-file", c.file}
		}
		if c.env != "" {
			env = []string{"GUILDHALL_KEY=" + c.env}
		}
		if err := r.parse(args, env, 0, 0); err != nil {
			t.Fatal(err)
		}
		_, err := r.client()
		if err == nil && (c.fault != "" || r.key != c.want) || err != nil && (c.fault == "" || !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("%+v: got %q, %v", c, r.key, err)
		}
		if errors.Is(err, errNoKey) != (c.fault != "" && c.env == "") {
			t.Errorf("%+v: an agent would be registered: %v", c, err)
		}
	}
}
