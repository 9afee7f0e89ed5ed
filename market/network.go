package market

import (
	"net/netip"
	"time"
)

// A network registers RegistrationBurst accounts at once, and one more each
// RegistrationStep: as many a day.
const (
	RegistrationBurst = 20
	RegistrationStep  = 24 * time.Hour / RegistrationBurst
)

// BlockRetention is how long it is kept from where an account was registered.
const BlockRetention = 90 * 24 * time.Hour

// Network is what limits count by: an IPv4 address, or the /64 of an IPv6
// address, all of which one subscriber has. It is not valid for no address.
func Network(a netip.Addr) netip.Prefix { return prefix(a, 32) }

// Block is what is kept of the address of a registration: the /24 of IPv4, the
// /64 of IPv6. It is enough to see many accounts of one place, and not a person.
func Block(a netip.Addr) netip.Prefix { return prefix(a, 24) }

func prefix(a netip.Addr, bits int) netip.Prefix {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no address
	}
	return p
}

// TooOften is ErrRateLimited until the wait is over.
func TooOften(wait time.Duration) *Error {
	e := ErrRateLimited.After(wait)
	e.Args = map[string]any{"Minutes": int(wait.Minutes()) + 1}
	return e
}
