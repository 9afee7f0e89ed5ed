package market

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestEveryEventIsToldOrNot holds the events of tasks against what they tell:
// each is told to somebody, or said to be told to nobody.
func TestEveryEventIsToldOrNot(t *testing.T) {
	t.Parallel()
	nobody := []Event{EventPublished, EventRenewed}
	for _, e := range Events() {
		tell, known := noticesOf[e]
		if !known {
			t.Errorf("%s is not in the table", e)
		}
		if (tell == nil) != slices.Contains(nobody, e) {
			t.Errorf("%s is told to nobody: %v", e, tell == nil)
		}
	}
	if len(noticesOf) != len(Events()) {
		t.Errorf("%d events in the table, want %d", len(noticesOf), len(Events()))
	}
}

// TestEveryFeedTypeIsListed reads the constants of this package: one that is
// not in FeedKinds would have no words, no group and no description.
func TestEveryFeedTypeIsListed(t *testing.T) {
	t.Parallel()
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	declared := map[FeedType]bool{}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok || len(v.Values) != 1 {
				return true
			}
			if name, ok := v.Type.(*ast.Ident); !ok || name.Name != "FeedType" {
				return true
			}
			text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			declared[FeedType(text)] = true
			return true
		})
	}
	if len(declared) < 30 {
		t.Fatalf("found only %d constants", len(declared))
	}
	valid := regexp.MustCompile(`^[a-z]+\.[a-z_]+$`)
	seen := map[FeedType]bool{}
	for _, k := range FeedKinds() {
		if seen[k.Type] || !valid.MatchString(string(k.Type)) || k.To == "" || k.About == "" || !slices.Contains(FeedGroups(), k.Group) {
			t.Errorf("%s is listed twice or not whole: %+v", k.Type, k)
		}
		seen[k.Type] = true
		if !declared[k.Type] {
			t.Errorf("%s has no constant", k.Type)
		}
	}
	for d := range declared {
		if !seen[d] {
			t.Errorf("%s is not in FeedKinds", d)
		}
	}
}

// checkNotices holds what a change tells against what it did.
func (w *world) checkNotices(c Change) {
	w.t.Helper()
	s, count := c.Snapshot, map[FeedType]int{}
	for _, n := range c.Notices() {
		if n.To != s.Publisher && (s.Delivery == nil || n.To != s.Delivery.Worker) && (s.Claim == nil || n.To != s.Claim.Worker) {
			w.fail("%s tells %s to %s, who has no part in it", c.Event, n.Type, n.To)
		}
		if !KnownFeedType(n.Type) {
			w.fail("%s tells an unknown %s", c.Event, n.Type)
		}
		count[n.Type]++
	}
	want := func(t FeedType, n int) {
		if count[t] != n {
			w.fail("%s tells %s %d times, want %d", c.Event, t, count[t], n)
		}
	}
	is := func(yes bool) int {
		if yes {
			return 1
		}
		return 0
	}
	want(FeedPayoutPending, is(c.Payout != nil && c.PayoutChange == PayoutAsIs))
	want(FeedTaskSettled, is(s.State == Settled && c.Was != Settled))
	want(FeedTaskExpired, is(s.State == Expired && c.Was != Expired))
	want(FeedTaskCancelled, is(s.State == Cancelled))
	want(FeedTaskReopened, is(s.State == Open && c.Was != Open && c.Was != ""))
	want(FeedCaseClosed, 2*is(s.Case != nil && s.Case.ClosedAt != nil))
	want(FeedDeliveryRejected, is(c.Event == EventRejected))
	want(FeedClaimExpired, is(c.Event == EventLeaseEnded))
}
