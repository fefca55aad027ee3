// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// MaxMapPaths is the number of paths one map request may name.
const MaxMapPaths = 6

// AddrKind tells how an address is resolved.
type AddrKind uint8

// The kinds of addresses. The zero kind is that of no address: the source that routing chooses.
const (
	NoAddr  AddrKind = iota
	IPAddr           // ip: resolved by the RDMA connection manager in the TCP port space
	GIDAddr          // gid: a native InfiniBand address, in the IB port space
)

// Addr is one end of a path.
type Addr struct {
	Kind AddrKind
	IP   netip.Addr // the address; of a GID its 16 bytes as an IPv6 address
}

// String returns the address as the path directories in sysfs show it: ip:10.0.0.1, ip:fe80::1 (compressed), gid: with
// all 8 groups; the empty string if there is none.
func (a Addr) String() string {
	switch a.Kind {
	case IPAddr:
		return "ip:" + a.IP.String()
	case GIDAddr:
		return "gid:" + a.IP.StringExpanded()
	}
	return ""
}

// Network returns the IP address of a device with this address, without IPv4 in IPv6. The GID of a RoCEv2 port is its IP
// address, mapped if that is IPv4 (InfiniBand annex A17); a link-local one does not say on which interface.
func (a Addr) Network() netip.Addr { return a.IP.Unmap() }

// PathAddr is what names a path: where it goes, where from, and the server's port.
type PathAddr struct {
	Src  Addr // no address: routing chooses
	Dst  Addr
	Port uint16 // DefaultPort unless the user named another
}

// String returns source@destination, the name of the path's directory in sysfs (Clause IBTRS-SYSFS-008), or only the
// destination if there is no source.
func (p PathAddr) String() string {
	if p.Src.Kind == NoAddr {
		return p.Dst.String()
	}
	return p.Src.String() + "@" + p.Dst.String()
}

var errNoPrefix = errors.New("the prefix ip: or gid: is missing")

// ParseAddr reads one address with its prefix: ip: with IPv4 or IPv6 (a %scope may follow) or gid: with the text of an
// IPv6 address.
func ParseAddr(s string) (Addr, error) {
	if text, ok := strings.CutPrefix(s, "ip:"); ok {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			err = fmt.Errorf("%q is not an IP address", text)
		}
		return Addr{IPAddr, ip}, err
	}
	if text, ok := strings.CutPrefix(s, "gid:"); ok {
		ip, err := netip.ParseAddr(text)
		if err != nil || !ip.Is6() || ip.Zone() != "" {
			err = fmt.Errorf("%q is not a GID, which is written like an IPv6 address without scope", text)
		}
		return Addr{GIDAddr, ip}, err
	}
	return Addr{}, errNoPrefix
}
