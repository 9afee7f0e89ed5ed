package store

import (
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// batch queues the statements of one transaction.
type batch struct {
	pgx.Batch
	// told are those whose feeds grow with it, toldMore that others' do too.
	told     []market.AccountID
	toldMore bool
	// late is what is sealed when it is sent: see Store.sendIn.
	late []*late
}

// part is what a transition does to one table: a constant statement whose
// parameters count from $1.
type part struct{ name, sql string }

// effect is the one statement that makes a transition true. Each statement of
// its own would cost the server a plan to start and a snapshot, and a cycle
// needs twenty.
type effect struct {
	parts []part
	args  []any
	// told are those whose feeds grow with it, toldMore that others' do too.
	told     []market.AccountID
	toldMore bool
	// name is that of all parts in a row: it stands for the text.
	name []byte
}

func (e *effect) add(p part, args ...any) {
	e.parts = append(e.parts, p)
	for _, a := range args {
		e.args = append(e.args, plain(a))
	}
	e.name = append(append(e.name, p.name...), ' ')
}

// statements holds the text of each effect by its name: there are a few dozen
// combinations of parts.
var statements sync.Map

var parameter = regexp.MustCompile(`\$(\d+)`)

// sql puts the parts together, in constant text only. The first part is the
// main statement, which PostgreSQL runs before the others; these follow in no
// order to rely on and all see the database as it was before.
func (e *effect) sql() string {
	if text, ok := statements.Load(string(e.name)); ok {
		return text.(string)
	}
	text := make([]string, len(e.parts))
	before := 0 // parameters of the parts before
	for i, p := range e.parts {
		last := 0
		text[i] = parameter.ReplaceAllStringFunc(p.sql, func(s string) string {
			n, _ := strconv.Atoi(s[1:])
			last = max(last, n)
			return "$" + strconv.Itoa(before+n)
		})
		before += last
	}
	for i := range text[1:] {
		text[i+1] = "part" + strconv.Itoa(i+1) + " AS (" + text[i+1] + ")"
	}
	whole := text[0]
	if len(text) > 1 {
		whole = "WITH " + strings.Join(text[1:], ",") + text[0]
	}
	statements.Store(string(e.name), whole)
	return whole
}

func (b *batch) effect(e effect) {
	b.Queue(e.sql(), e.args...)
	b.told, b.toldMore = append(b.told, e.told...), b.toldMore || e.toldMore
}

// plain is v without its name: pgx finds out how to encode a named type by
// failing first.
func plain(v any) any {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.String:
		return r.String()
	case reflect.Int, reflect.Int64:
		return r.Int()
	}
	return v
}
