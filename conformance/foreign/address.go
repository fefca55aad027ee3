// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"fmt"
	"net/netip"
	"strings"
)

// Prefix begins the name of a target that is an address, and not an implementation that the lab knows.
const Prefix = "ip:"

// ParseTargets reads addresses such as "ip:10.0.0.66", with commas between them when the target can be reached in several
// ways: IPv4 or IPv6, each with a port or without, which means the given one.
func ParseTargets(text string, port uint16) ([]netip.AddrPort, error) {
	var all []netip.AddrPort
	for word := range strings.SplitSeq(text, ",") {
		addr, err := parseAddrPort(strings.TrimPrefix(word, Prefix), port)
		if err != nil {
			return nil, fmt.Errorf("%q is not an address like ip:10.0.0.66, ip:10.0.0.66:1234 or ip:fd00::66", word)
		}
		if ip := addr.Addr(); ip.IsUnspecified() || ip.IsMulticast() || addr.Port() == 0 {
			return nil, fmt.Errorf("%q is not the address and port of one host", word)
		}
		for _, other := range all {
			if other == addr {
				return nil, fmt.Errorf("%s stands there twice", addr)
			}
		}
		all = append(all, addr)
	}
	return all, nil
}

func parseAddrPort(text string, port uint16) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(addr, port), nil
	}
	return netip.ParseAddrPort(text)
}
