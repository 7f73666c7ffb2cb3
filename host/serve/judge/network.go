package judge

import "net/netip"

// Network is the name by which a client is told apart: of an address of IPv6 its network of 64 bits, whose addresses one
// customer has all of, of one of IPv4 the address, also where it is written as one of IPv6. Another name is itself.
func Network(name string) string {
	a, err := netip.ParseAddr(name)
	if err != nil {
		return name
	}
	if a = a.Unmap().WithZone(""); a.Is4() {
		return a.String()
	}
	p, err := a.Prefix(64)
	if err != nil {
		return name
	}
	return p.String()
}
