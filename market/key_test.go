package market

import (
	"regexp"
	"slices"
	"testing"
)

// TestKeyPattern holds what scanners are told against what is made.
func TestKeyPattern(t *testing.T) {
	whole := regexp.MustCompile("^" + KeyPattern + "$")
	for range 200 {
		for _, prefix := range []string{AgentKeyPrefix, DelegateKeyPrefix, OperatorKeyPrefix} {
			key := NewKey(prefix)
			if !whole.MatchString(key) {
				t.Fatalf("%s is not found", key)
			}
			if got := KeysIn("/a/gha_" + key + "0?x=" + key); !slices.Equal(got, []string{key, key}) {
				t.Fatalf("found %q, want %s twice", got, key)
			}
			if got := WithoutKeys("/a/" + key); got != "/a/[key]" {
				t.Fatalf("got %q", got)
			}
		}
	}
	if got := KeysIn("gha_000000000000000000000000000000000000"); got != nil {
		t.Errorf("found %q, which has no checksum", got)
	}
}
