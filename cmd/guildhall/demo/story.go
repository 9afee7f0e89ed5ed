// Package demo holds a made-up history of a market and plays it through the
// store's public methods. Everybody and everything in it is invented.
//
// The history is data: accounts.json, goods.json and one file a task below tasks. Times
// are written as distances from the end of the history, which is now.
package demo

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"guildhall/market"
)

//go:embed accounts.json goods.json tasks
var files embed.FS

// story is the whole history, each part in the order of its file.
type story struct {
	accounts []account
	goods    []*good
	tasks    []*task
}

type account struct {
	Kind        market.AccountKind
	Handle      string
	DisplayName string
	Description string
	Skills      []string
	Email       string
	ReferredBy  string
	// Operator says that the account decides cases and reports.
	Operator bool
	// At is when the account is registered.
	At string
}

// task is one task with all that happens to it.
type task struct {
	file      string
	publisher string
	draft     market.Draft
	deadline  time.Duration // from the end of the history; 0 means the default
	ends      market.State
	steps     []step
	parts     map[string]string
}

// step is one call: "-3d2h deliver nib first" is what nib hands in three days
// and two hours before the end, written in the part named first. On a task in
// open mode the publisher's "accept nib" and "reject nib first" say of whose
// delivery, of which the last is meant.
type step struct {
	at               time.Duration
	verb             string
	who, whose, part string
}

func read() (story, error) {
	var s story
	for name, to := range map[string]any{"accounts.json": &s.accounts, "goods.json": &s.goods} {
		raw, err := files.ReadFile(name)
		if err != nil {
			return s, err
		}
		if err := json.Unmarshal(raw, to); err != nil {
			return s, fmt.Errorf("%s: %w", name, err)
		}
	}
	names, err := fs.Glob(files, "tasks/*.task")
	if err != nil {
		return s, err
	}
	for _, name := range names {
		raw, err := files.ReadFile(name)
		if err != nil {
			return s, err
		}
		t, err := readTask(string(raw))
		if err != nil {
			return s, fmt.Errorf("%s: %w", name, err)
		}
		t.file = name
		s.tasks = append(s.tasks, t)
	}
	return s, nil
}

// readTask reads a file of three things: lines of "name: value", after a
// blank line the steps, and then the parts, each below its "-- name --".
func readTask(text string) (*task, error) {
	t := &task{parts: map[string]string{}}
	lines := strings.Split(text, "\n")
	at := 0
	for ; at < len(lines) && lines[at] != ""; at++ {
		if err := t.readHeader(lines[at]); err != nil {
			return nil, fmt.Errorf("line %d: %w", at+1, err)
		}
	}
	part := ""
	for ; at < len(lines); at++ {
		line := lines[at]
		name, opens := strings.CutPrefix(line, "-- ")
		name, closes := strings.CutSuffix(name, " --")
		switch {
		case opens && closes:
			part = name
		case part != "":
			t.parts[part] += line + "\n"
		case line != "":
			s, err := readStep(line)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", at+1, err)
			}
			t.steps = append(t.steps, s)
		}
	}
	t.draft.Brief = strings.TrimSpace(t.parts["brief"])
	t.draft.Payload = document(t.parts["payload"])
	t.draft.OutputSchema = document(t.parts["schema"])
	return t, nil
}

func (t *task) readHeader(line string) error {
	name, value, ok := strings.Cut(line, ": ")
	if !ok {
		return fmt.Errorf("%q is no \"name: value\"", line)
	}
	var err error
	number := func() int64 {
		var n int64
		n, err = strconv.ParseInt(value, 10, 64)
		return n
	}
	rule, isRule := strings.CutPrefix(name, "rule ")
	switch {
	case isRule:
		t.draft.Rules = append(t.draft.Rules, market.Rule{Name: rule, Kind: market.RuleManual, Text: value})
	case name == "title":
		t.draft.Title = value
	case name == "publisher":
		t.publisher = value
	case name == "skills":
		t.draft.Skills = strings.Fields(value)
	case name == "ends":
		t.ends = market.State(value)
	case name == "reward":
		t.draft.Reward = number()
	case name == "claimMinutes":
		t.draft.ClaimMinutes = new(number())
	case name == "reviewHours":
		t.draft.ReviewHours = new(number())
	case name == "mode":
		t.draft.Mode = value
	case name == "maxAccepted":
		t.draft.MaxAccepted = new(number())
	case name == "maxAttempts":
		t.draft.MaxAttempts = new(number())
	case name == "deadline":
		t.deadline, err = readOffset(value)
	case name == "attachment":
		err = json.Unmarshal([]byte(value), addTo(&t.draft.Attachments))
	default:
		return fmt.Errorf("there is no %q", name)
	}
	return err
}

// addTo is a new last element.
func addTo[T any](s *[]T) *T {
	*s = append(*s, *new(T))
	return &(*s)[len(*s)-1]
}

func readStep(line string) (step, error) {
	words := append(strings.Fields(line), "", "", "")
	at, err := readOffset(words[0])
	s := step{at: at, verb: words[1]}
	switch s.verb {
	case "cancel", "publish": // by the publisher
	case "answer":
		s.part = words[2]
	case "accept":
		s.whose = words[2]
	case "reject":
		if s.whose, s.part = words[2], words[3]; s.part == "" {
			s.whose, s.part = "", words[2]
		}
	case "claim", "say", "renew", "release", "withdraw", "deliver", "fail", "appeal", "report":
		s.who, s.part = words[2], words[3]
	default:
		return s, fmt.Errorf("there is no step %q", s.verb)
	}
	return s, err
}

// readOffset reads a distance such as -12d6h30m.
func readOffset(s string) (time.Duration, error) {
	days, rest, ok := strings.Cut(s, "d")
	if !ok {
		return time.ParseDuration(s)
	}
	n, err := strconv.Atoi(days)
	if err != nil || rest == "" {
		return time.Duration(n) * 24 * time.Hour, err
	}
	d, err := time.ParseDuration(rest)
	if strings.HasPrefix(s, "-") {
		d = -d
	}
	return time.Duration(n)*24*time.Hour + d, err
}

// document is a part that is JSON, nil if there is none.
func document(text string) json.RawMessage {
	if text = strings.TrimSpace(text); text == "" {
		return nil
	}
	return json.RawMessage(text)
}

// pack is a delivery: its summary, and from the first line that begins an
// object or an array its output.
func (t *task) pack(name string) market.Package {
	at := 0
	for line := range strings.Lines(t.parts[name]) {
		if line[0] == '{' || line[0] == '[' {
			break
		}
		at += len(line)
	}
	return market.Package{SummaryText: strings.TrimSpace(t.parts[name][:at]), Output: document(t.parts[name][at:])}
}

// rejection is a line "rule: …" or "quote: …", and then the reason.
func (t *task) rejection(name string) market.Rejection {
	ground, reason, _ := strings.Cut(t.parts[name], "\n")
	r := market.Rejection{Reason: strings.TrimSpace(reason)}
	if rule, ok := strings.CutPrefix(ground, "rule: "); ok {
		r.Rule = rule
	} else {
		r.Quote = strings.TrimPrefix(ground, "quote: ")
	}
	return r
}
