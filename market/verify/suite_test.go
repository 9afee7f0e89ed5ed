package verify

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"guildhall/market"
)

// suiteRefusals are the reasons for which schemas of the suite are refused
// when a task is published, by a part of the problem's detail, with the number
// of tests that this costs.
var suiteRefusals = map[string]int{
	"must begin with # and stay within the schema": 48, // references to other documents, or to the own one by its $id
	"$id may stand at the root only":               61,
	"A string holds U+0000":                        4,
}

// suitePassed is how many tests of the suite pass: all others.
const suitePassed = 986

// TestSuite runs the JSON Schema organisation's tests of draft 2020-12. All
// that is not refused must agree; what is refused is counted by its reason,
// so that a limit that bites more often is seen.
func TestSuite(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/json-schema-test-suite/*.json")
	if err != nil || len(files) < 40 {
		t.Fatalf("got %d files (%v), want the suite", len(files), err)
	}
	engine := NewEngine()
	passed, refused := 0, map[string]int{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var groups []struct {
			Description string
			Schema      json.RawMessage
			Tests       []struct {
				Description string
				Data        json.RawMessage
				Valid       bool
			}
		}
		if err := json.Unmarshal(text, &groups); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, g := range groups {
			if problems := AdmitSchema(g.Schema); len(problems) > 0 {
				reason := refusalOf(problems)
				if reason == "" {
					t.Errorf("%s, %s: refused for %+v", filepath.Base(file), g.Description, problems)
				}
				refused[reason] += len(g.Tests)
				continue
			}
			for _, c := range g.Tests {
				want := market.VerdictFail
				if c.Valid {
					want = market.VerdictPass
				}
				got := engine.Run(Job{Schema: g.Schema, Output: c.Data})
				if got.Verdict != want {
					t.Errorf("%s, %s, %s: got %+v, want %s", filepath.Base(file), g.Description, c.Description, got, want)
					continue
				}
				passed++
			}
		}
	}
	if passed != suitePassed || !maps.Equal(refused, suiteRefusals) {
		t.Errorf("got %d passed and %v refused, want %d and %v", passed, refused, suitePassed, suiteRefusals)
	}
}

// refusalOf is the first reason of the list that applies, "" if none does.
func refusalOf(problems []Problem) string {
	for _, reason := range slices.Sorted(maps.Keys(suiteRefusals)) {
		if slices.ContainsFunc(problems, func(p Problem) bool { return strings.Contains(p.Detail, reason) }) {
			return reason
		}
	}
	return ""
}
