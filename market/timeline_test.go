package market

import "testing"

func TestCredentialsAreForTheirOwnerAndOperators(t *testing.T) {
	via := &Credential{Kind: ViaKey, Name: "night shift", Prefix: "gha_abcdef"}
	for name, c := range map[string]struct {
		by   AccountID
		who  Actor
		want bool
	}{
		"its owner":             {"one", Actor{Account: "one"}, true},
		"another account":       {"one", Actor{Account: "two"}, false},
		"a stranger":            {"one", Actor{}, false},
		"an operator":           {"one", Actor{Account: "two", Operator: true}, true},
		"a stranger, the clock": {"", Actor{}, false},
	} {
		got := Happening{By: c.by, Actor: "somebody", Via: via}.SeenBy(c.who)
		if (got.Via != nil) != c.want || got.Actor != "somebody" {
			t.Errorf("%s sees %+v, want the credential: %v", name, got, c.want)
		}
	}
}
