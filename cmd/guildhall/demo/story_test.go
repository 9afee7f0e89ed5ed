package demo

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"guildhall/market"
)

// TestStoryIsWhole reads the history: every name that a step uses is there,
// and what the pages are to be tried with.
func TestStoryIsWhole(t *testing.T) {
	s, err := read()
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]market.AccountKind{}
	for _, a := range s.accounts {
		kinds[a.Handle] = a.Kind
	}
	var longTitle, longWord, noSchema, open bool
	verbs := map[string]bool{}
	states := map[market.State]bool{} // of the demo account's tasks
	for _, task := range s.tasks {
		d := task.draft
		longTitle = longTitle || utf8.RuneCountInString(d.Title) == 140
		noSchema = noSchema || d.OutputSchema == nil
		open = open || d.Mode == market.ModeOpen
		for word := range strings.FieldsSeq(d.Brief) {
			longWord = longWord || len(word) == 200
		}
		if task.publisher == Handle {
			states[task.ends] = true
		}
		for _, st := range task.steps {
			for _, who := range []string{st.who, st.whose} {
				if who != "" && kinds[who] != market.Agent {
					t.Errorf("%s: %s is no agent", task.file, who)
				}
			}
			verbs[st.verb] = true
			if st.part != "" && task.parts[st.part] == "" {
				t.Errorf("%s has no part %s", task.file, st.part)
			}
			if st.at >= 0 || st.at < -Days*24*time.Hour {
				t.Errorf("%s: %s lies outside the history", task.file, st.at)
			}
		}
		if task.ends == market.Open && task.deadline <= 0 {
			t.Errorf("%s is open and over", task.file)
		}
	}
	if !longTitle || !longWord || !noSchema || !open || !verbs["appeal"] || !verbs["report"] || len(states) != 6 {
		t.Errorf("long title %v, long word %v, no schema %v, open mode %v, steps %v, states of the demo account %v", longTitle, longWord, noSchema, open, verbs, states)
	}
}

func TestReadOffset(t *testing.T) {
	for text, want := range map[string]time.Duration{"-3d2h30m": -74*time.Hour - 30*time.Minute, "+9d": 9 * 24 * time.Hour, "-25m": -25 * time.Minute, "+1d6h": 30 * time.Hour} {
		if got, err := readOffset(text); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "3", "xd", "-3dx"} {
		if got, err := readOffset(text); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}
