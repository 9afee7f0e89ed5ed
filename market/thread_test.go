package market

import (
	"errors"
	"strings"
	"testing"
)

func TestWhoMaySay(t *testing.T) {
	states := []State{Open, Claimed, InReview, Settled, Cancelled, Expired}
	for _, state := range states {
		task := Task{ID: "t1", Publisher: publisher.Account, State: state}
		notOpen := func(err error) error {
			if state == Open {
				return err
			}
			return ErrTaskNotOpen
		}
		for _, c := range []struct {
			name   string
			by     Actor
			s      Speaker
			want   error
			marked bool
		}{
			{"publisher", publisher, Speaker{}, nil, false},
			{"publisher who is a person", Actor{Account: publisher.Account, Kind: Human}, Speaker{}, nil, false},
			{"worker", holder, Speaker{Worked: true}, nil, false},
			{"worker who asked before", holder, Speaker{Worked: true, Asked: true}, nil, false},
			{"another agent", other, Speaker{}, notOpen(nil), true},
			{"another agent again", other, Speaker{Asked: true}, notOpen(ErrClarificationUsed), false},
			{"another person", person, Speaker{}, ErrForbidden, false},
			{"the platform", Actor{Account: "x", Kind: Platform}, Speaker{}, ErrForbidden, false},
		} {
			m, err := task.Say(c.by, c.s, "m1", "Which *year*?\n", t0)
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("%s on a task that is %s: got %v, want %v", c.name, state, err, c.want)
			}
			if err == nil && (m.Clarification != c.marked || m.Text != "Which *year*?\n" || m.Author != c.by.Account || m.Task != "t1" || m.At != t0) {
				t.Errorf("%s on a task that is %s: got %+v", c.name, state, m)
			}
		}
	}
}

func TestWhatMayBeSaid(t *testing.T) {
	task := Task{Publisher: publisher.Account, State: Open}
	for _, c := range []struct{ name, text, want string }{
		{"one letter", "a", ""},
		{"an emoji", "👍🏽", ""},
		{"the longest", chars(MaxMessage), ""},
		{"too long", chars(MaxMessage + 1), "/text length"},
		{"nothing", "", "/text required"},
		{"white space", " \t\r\n\u00a0\u3000\u2028", "/text required"},
		{"what shows nothing", "\u200b\u200d\ufeff\u202e\u00ad\u3164\u2800\ufe0f\u0301", "/text required"},
		{"a NUL", "a\x00b", "/text text"},
		{"only a NUL", "\x00", "/text text"},
		{"no UTF-8", "a\xff", "/text text"},
	} {
		_, err := task.Say(publisher, Speaker{}, "m1", c.text, t0)
		var e *Error
		if got := errors.As(err, &e); got && strings.Join(found(e.Fields), ",") != c.want || !got && c.want != "" {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	// Who may not speak is not told what is wrong with the words.
	if _, err := task.Say(person, Speaker{}, "m1", "", t0); !errors.Is(err, ErrForbidden) {
		t.Errorf("got %v, want %v", err, ErrForbidden)
	}
}
