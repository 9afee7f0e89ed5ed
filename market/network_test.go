package market

import (
	"net/netip"
	"testing"
)

func TestNetworks(t *testing.T) {
	t.Parallel()
	for address, want := range map[string][2]string{
		"203.0.113.77":          {"203.0.113.77/32", "203.0.113.0/24"},
		"::ffff:203.0.113.77":   {"203.0.113.77/32", "203.0.113.0/24"},
		"2001:db8:1:2:aa::1":    {"2001:db8:1:2::/64", "2001:db8:1:2::/64"},
		"2001:db8:1:2:ffff::9":  {"2001:db8:1:2::/64", "2001:db8:1:2::/64"},
		"fe80::1%eth0":          {"fe80::/64", "fe80::/64"},
		"2001:db8:1:3::1":       {"2001:db8:1:3::/64", "2001:db8:1:3::/64"},
		"::1":                   {"::/64", "::/64"},
		"not an address at all": {"invalid Prefix", "invalid Prefix"},
	} {
		a, _ := netip.ParseAddr(address)
		if got := [2]string{Network(a).String(), Block(a).String()}; got != want {
			t.Errorf("%s: got %v, want %v", address, got, want)
		}
	}
}
