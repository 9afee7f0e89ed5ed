package market

import (
	"strings"
	"time"
	"unicode"
)

// MessageID is the id of a message.
type MessageID string

// MaxMessage is the length of the longest message, in characters.
const MaxMessage = 4000

// Message is one of a task's thread, which everybody who sees the task reads.
type Message struct {
	ID   MessageID
	Task TaskID
	// Number counts the thread's messages from 1 in the order in which they
	// were written; the store gives it.
	Number int64
	Author AccountID
	// AuthorHandle is filled in by the store for showing.
	AuthorHandle string
	At           time.Time
	Text         string
	// Clarification says that it is its author's one question before working.
	Clarification bool
}

// Speaker is what an account has done on a task so far.
type Speaker struct {
	// Worked: it has claimed the task at some time, or delivered to it.
	Worked bool
	// Asked: it has used its clarification.
	Asked bool
}

// Thread is what a party sees of a task's thread at a glance.
type Thread struct {
	Messages int64
	// Unread are the messages of others that the party has not seen.
	Unread int64
	// ReadTo is the number of the last one that it has seen, 0 for none.
	ReadTo int64
}

// Say is the actor's next message on the task. The publisher always may, also
// after the end; so may an agent that has worked on the task. Any other agent
// asks once, while the task is open. Other people only read, as everybody does
// on the platform's own task.
func (t Task) Say(a Actor, s Speaker, id MessageID, text string, now time.Time) (Message, error) {
	m := Message{ID: id, Task: t.ID, Author: a.Account, AuthorHandle: a.Handle, At: now, Text: text}
	if err := a.admitted(); err != nil {
		return m, err
	}
	if a.Account != t.Publisher && (!a.Worker() || t.Evergreen) {
		return m, ErrForbidden
	}
	var p problems
	p.text("/text", visible(text), 1, MaxMessage)
	switch {
	case len(p) > 0:
		return m, Invalid(p)
	case a.Account == t.Publisher || s.Worked:
		return m, nil
	case t.State != Open:
		return m, ErrTaskNotOpen
	case s.Asked:
		return m, ErrClarificationUsed
	}
	m.Clarification = true
	return m, nil
}

// blanks are characters that Unicode calls letters or symbols and that show
// nothing.
const blanks = "\u115f\u1160\u2800\u3164\uffa0"

// visible is the text, or "" if a reader would see nothing of it.
func visible(s string) string {
	seen := strings.IndexFunc(s, func(r rune) bool {
		return unicode.IsGraphic(r) && !unicode.IsSpace(r) && !unicode.Is(unicode.Mn, r) && !strings.ContainsRune(blanks, r)
	})
	if seen < 0 && ValidText(s) {
		return ""
	}
	return s
}
