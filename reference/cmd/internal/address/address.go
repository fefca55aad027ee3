// SPDX-License-Identifier: Apache-2.0

// Package address reads addresses of servers and clients as people type them.
//
// An address is that of an IP interface, with or without the prefix ip: that sysfs wants. Or it is the GID of a RoCEv2
// port, with the prefix gid:. Such a GID is an IP address too (InfiniBand annex A17): one that maps IPv4, as
// ::ffff:10.0.0.1, is that IPv4 address. InfiniBand ports that have no IP address cannot be named.
//
// A link-local address needs to know its interface. It says so itself, as fe80::1%eth0, or the other end of the path does,
// or, for an address of this host, the host's interfaces do.
package address

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// Parse reads one address.
func Parse(text string) (netip.Addr, error) {
	if !strings.HasPrefix(text, "ip:") && !strings.HasPrefix(text, "gid:") {
		text = "ip:" + text
	}
	a, err := ibtrs.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, err
	}
	ip := a.Network()
	if ip.IsUnspecified() || ip.IsMulticast() {
		return netip.Addr{}, fmt.Errorf("%s is not the address of one host", ip)
	}
	return ip, nil
}

// Local reads an address of this host, and finds the interface of a link-local one.
func Local(text string) (netip.Addr, error) {
	ip, err := Parse(text)
	if err != nil || !needsZone(ip) {
		return ip, err
	}
	return zoned(ip, net.Interfaces)
}

// Endpoints is the two ends of a path, seen from the client.
type Endpoints struct {
	Source netip.Addr // not valid: routing decides
	Server netip.Addr
}

// ParseEndpoints reads SERVER, SOURCE@SERVER or SOURCE,SERVER. The two ends have the same IP version. Of link-local ones it
// completes the interface.
func ParseEndpoints(text string) (p Endpoints, err error) {
	server := text
	if cut := strings.IndexAny(text, "@,"); cut >= 0 {
		if p.Source, err = Local(text[:cut]); err != nil {
			return Endpoints{}, fmt.Errorf("source: %w", err)
		}
		server = text[cut+1:]
	}
	if p.Server, err = Parse(server); err != nil {
		return Endpoints{}, fmt.Errorf("server: %w", err)
	}
	return p.complete()
}

// complete makes the two ends fit each other.
func (p Endpoints) complete() (Endpoints, error) {
	switch {
	case !p.Source.IsValid() && needsZone(p.Server):
		return Endpoints{}, fmt.Errorf("server: %s is link-local: say the interface, as in %[1]s%%eth0, or give a source", p.Server)
	case !p.Source.IsValid():
		return p, nil
	case p.Source.Is4() != p.Server.Is4():
		return Endpoints{}, fmt.Errorf("source %s and server %s are of different IP versions", p.Source, p.Server)
	case needsZone(p.Server) && !p.Source.IsLinkLocalUnicast():
		return Endpoints{}, fmt.Errorf("server: %s is link-local and the source %s is not: say the interface, as in %[1]s%%eth0", p.Server, p.Source)
	case needsZone(p.Server):
		p.Server = p.Server.WithZone(p.Source.Zone())
	}
	if p.Server.Zone() != "" && p.Source.Zone() != "" && p.Server.Zone() != p.Source.Zone() {
		return Endpoints{}, fmt.Errorf("source %s and server %s are on different interfaces", p.Source, p.Server)
	}
	return p, nil
}

// needsZone tells whether an address is link-local and does not say its interface.
func needsZone(ip netip.Addr) bool { return ip.Is6() && ip.IsLinkLocalUnicast() && ip.Zone() == "" }

// zoned finds the one interface of this host that has a link-local address.
func zoned(ip netip.Addr, interfaces func() ([]net.Interface, error)) (netip.Addr, error) {
	all, err := interfaces()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find the interface of %s: %w", ip, err)
	}
	var names []string
	for i := range all {
		has, err := hasAddr(&all[i], ip)
		if err != nil {
			return netip.Addr{}, fmt.Errorf("find the interface of %s: %w", ip, err)
		}
		if has {
			names = append(names, all[i].Name)
		}
	}
	switch len(names) {
	case 0:
		return netip.Addr{}, fmt.Errorf("no interface of this host has the address %s", ip)
	case 1:
		return ip.WithZone(names[0]), nil
	}
	return netip.Addr{}, fmt.Errorf("the interfaces %s all have the address %s: say which, as in %[2]s%%%s",
		strings.Join(names, ", "), ip, names[0])
}

func hasAddr(i *net.Interface, ip netip.Addr) (bool, error) {
	addrs, err := i.Addrs()
	if err != nil {
		return false, err
	}
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err == nil && prefix.Addr() == ip {
			return true, nil
		}
	}
	return false, nil
}

// ParsePort reads an address of this host with a port or without, which means the default. An IPv6 address with a port
// stands in brackets.
func ParsePort(text string, otherwise uint16) (netip.AddrPort, error) {
	ip, err := Local(text)
	if err == nil {
		return netip.AddrPortFrom(ip, otherwise), nil
	}
	host, port, splitErr := net.SplitHostPort(text)
	if splitErr != nil {
		return netip.AddrPort{}, err
	}
	ip, hostErr := Local(host)
	if hostErr != nil {
		return netip.AddrPort{}, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("port %q is not a number from 0 to 65535", port)
	}
	return netip.AddrPortFrom(ip, uint16(number)), nil
}
