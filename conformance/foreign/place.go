// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/rdma/verbs"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// The RDMA providers.
const (
	Soft  = "soft"  // RoCEv2 in this process
	Verbs = "verbs" // the kernel's RDMA, in programs that are built with the tag verbs
)

// Providers are the names of all providers.
var Providers = []string{Soft, Verbs}

// Place is what this side reaches a target from, or waits for an initiator on: an RDMA provider and own addresses.
type Place struct {
	Provider string // of RDMA; "" stands for Soft
	// Netdev is a network interface. Without Source it says which addresses of this machine are used. With Source, the
	// provider soft makes its own frames there (which needs CAP_NET_RAW), for an address that this machine has not.
	Netdev string
	// Source are own addresses, one for each address of the target; without any, the kernel's routes say which.
	Source []netip.Prefix
}

// rawFrames says whether the frames of the place are made here and not by the kernel.
func (p Place) rawFrames() bool { return p.Netdev != "" && len(p.Source) > 0 }

// CheckListening says what does not fit together where servers shall wait for an initiator.
func (p Place) CheckListening() error {
	if p.Netdev == "" && len(p.Source) == 0 {
		return errors.New("no own address: give a network interface or own addresses, on which servers wait for the initiator")
	}
	return p.Check(len(p.Source))
}

// Check says what does not fit together, for so many addresses of the target.
func (p Place) Check(targets int) error {
	switch {
	case p.Provider != "" && !slices.Contains(Providers, p.Provider):
		return fmt.Errorf("provider %q is not one of %s", p.Provider, strings.Join(Providers, ", "))
	case p.Provider == Verbs && p.rawFrames():
		return errors.New("the provider verbs has the addresses of this machine: give a network interface or own addresses, not both")
	case len(p.Source) > 0 && len(p.Source) != targets:
		return fmt.Errorf("%d own addresses for %d of the target: give one for each", len(p.Source), targets)
	}
	return nil
}

// source is the own address for the n-th address of the target.
func (p Place) source(n int, target netip.AddrPort) (netip.Prefix, error) {
	if len(p.Source) > 0 {
		return p.Source[n], nil
	}
	if p.Netdev != "" {
		return addressOn(p.Netdev, target.Addr())
	}
	return routed(target)
}

// addressOn is the address of an interface that fits the target best: of its subnet, or else the first of its family.
func addressOn(netdev string, target netip.Addr) (netip.Prefix, error) {
	dev, err := net.InterfaceByName(netdev)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("network interface %s: %w", netdev, err)
	}
	addrs, err := dev.Addrs()
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("addresses of %s: %w", netdev, err)
	}
	var best netip.Prefix
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil || prefix.Addr().Is4() != target.Is4() {
			continue
		}
		if !best.IsValid() || prefix.Contains(target) && !best.Contains(target) {
			best = prefix
		}
	}
	if !best.IsValid() {
		return best, fmt.Errorf("network interface %s has no address of the family of %s", netdev, target)
	}
	return best, nil
}

// listening are the own addresses for servers that an initiator shall find: those that were given, or those of the network
// interface.
func (p Place) listening() ([]netip.Prefix, error) {
	if len(p.Source) > 0 {
		return p.Source, nil
	}
	dev, err := net.InterfaceByName(p.Netdev)
	if err != nil {
		return nil, fmt.Errorf("network interface %s: %w", p.Netdev, err)
	}
	addrs, err := dev.Addrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of %s: %w", p.Netdev, err)
	}
	var all []netip.Prefix
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && !prefix.Addr().IsLinkLocalUnicast() {
			all = append(all, prefix)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("network interface %s has no address that an initiator could be told", p.Netdev)
	}
	return all, nil
}

// routed is the address from which the kernel would send to the target. Nothing is sent.
func routed(target netip.AddrPort) (netip.Prefix, error) {
	conn, err := net.Dial("udp", netip.AddrPortFrom(target.Addr(), roce.UDPPort).String())
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("no route to %s: %w", target.Addr(), err)
	}
	defer conn.Close()
	own := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	return netip.PrefixFrom(own, own.BitLen()), nil
}

// open opens a device with an own address. Packets of the provider soft are recorded.
func (p Place) open(source netip.Prefix, r *recorder) (rdma.Device, error) {
	if p.Provider == Verbs {
		return verbs.Open(source.Addr(), verbs.Config{})
	}
	link, err := p.link(source)
	if err != nil {
		return nil, err
	}
	device, err := soft.Open(soft.ObservedLink{Link: link, Observe: r.record}, soft.Config{})
	if err != nil {
		return nil, err
	}
	return device, nil
}

func (p Place) link(source netip.Prefix) (soft.Link, error) {
	if !p.rawFrames() {
		return asLink(soft.OpenUDP(source.Addr()))
	}
	dev, err := net.InterfaceByName(p.Netdev)
	if err != nil {
		return nil, fmt.Errorf("network interface %s: %w", p.Netdev, err)
	}
	frames, err := soft.OpenPacketSocket(p.Netdev)
	if err != nil {
		return nil, err
	}
	return asLink(soft.NewFrameLink(frames, soft.FrameConfig{MAC: ownMAC(), Prefix: source, MTU: dev.MTU}))
}

// asLink keeps a nil pointer from becoming a link.
func asLink[L soft.Link](link L, err error) (soft.Link, error) {
	if err != nil {
		return nil, err
	}
	return link, nil
}

// ownMAC is a random hardware address, locally administered and of one station.
func ownMAC() net.HardwareAddr {
	mac := make(net.HardwareAddr, 6)
	rand.Read(mac) // never fails
	mac[0] = mac[0]&^1 | 2
	return mac
}
