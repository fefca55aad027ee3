// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/vm/agent"
)

// settleTime bounds how long an interface and its RDMA device may take to work after they were set up. It is for a rail
// without carrier, which would otherwise be waited for without end.
const settleTime = time.Minute

// configure sets the guest up as the network says, and returns when traffic can flow.
func configure(ctx context.Context, network agent.Network) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	if network.Hostname != "" {
		if err := unix.Sethostname([]byte(network.Hostname)); err != nil {
			return nil, fmt.Errorf("set host name %q: %w", network.Hostname, err)
		}
	}
	for _, nic := range network.Interfaces {
		if err := configureInterface(ctx, nic); err != nil {
			return nil, fmt.Errorf("interface %s (%s): %w", nic.Name, nic.MAC, err)
		}
	}
	return nil, nil
}

func configureInterface(ctx context.Context, nic agent.Interface) error {
	link, err := linkByMAC(nic.MAC)
	if err != nil {
		return err
	}
	if link, err = rename(link, nic.Name); err != nil {
		return err
	}
	if nic.MTU != 0 {
		if err := netlink.LinkSetMTU(link, nic.MTU); err != nil {
			return fmt.Errorf("set MTU %d: %w", nic.MTU, err)
		}
	}
	// Nobody else has the guest's addresses; looking for one who does would take a second in which they cannot be used.
	if err := writeSysctl("net/ipv6/conf/"+link.Attrs().Name+"/accept_dad", "0"); err != nil {
		return err
	}
	if err := raise(ctx, link); err != nil {
		return err
	}
	if err := setAddresses(link, nic.Addresses); err != nil {
		return err
	}
	return configureRDMA(ctx, link.Attrs().Name, nic)
}

func linkByMAC(mac string) (netlink.Link, error) {
	want, err := net.ParseMAC(mac)
	if err != nil {
		return nil, err
	}
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	for _, link := range links {
		if slices.Equal(link.Attrs().HardwareAddr, want) {
			return link, nil
		}
	}
	return nil, fmt.Errorf("no interface has this address: %w", unix.ENODEV)
}

func rename(link netlink.Link, name string) (netlink.Link, error) {
	if name == "" || link.Attrs().Name == name {
		return link, nil
	}
	if err := netlink.LinkSetDown(link); err != nil {
		return nil, fmt.Errorf("set down: %w", err)
	}
	if err := netlink.LinkSetName(link, name); err != nil {
		return nil, fmt.Errorf("rename from %s: %w", link.Attrs().Name, err)
	}
	return netlink.LinkByIndex(link.Attrs().Index)
}

// raise sets the link up and waits until it has a carrier.
func raise(ctx context.Context, link netlink.Link) error {
	updates := make(chan netlink.LinkUpdate)
	done := make(chan struct{})
	defer func() {
		close(done)
		for range updates { // lets the subscription end
		}
	}()
	if err := netlink.LinkSubscribeWithOptions(updates, done, netlink.LinkSubscribeOptions{ListExisting: true}); err != nil {
		return fmt.Errorf("watch interfaces: %w", err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	// The kernel may take a second to act on the carrier that came with this; newer ones do it when asked for the link.
	if _, err := netlink.LinkByIndex(link.Attrs().Index); err != nil {
		return fmt.Errorf("look at the interface: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("no carrier: %w", ctx.Err())
		case update, ok := <-updates:
			if !ok {
				return fmt.Errorf("watch interfaces: the kernel's news ended")
			}
			attrs := update.Link.Attrs()
			if attrs.Index == link.Attrs().Index && attrs.OperState == netlink.OperUp {
				return nil
			}
		}
	}
}

// setAddresses gives the link exactly these addresses, and leaves the link-local one that the kernel made.
func setAddresses(link netlink.Link, want []netip.Prefix) error {
	have, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	for _, addr := range have {
		if prefix, ok := prefixOf(addr); ok && !slices.Contains(want, prefix) && !prefix.Addr().IsLinkLocalUnicast() {
			if err := netlink.AddrDel(link, &addr); err != nil {
				return fmt.Errorf("remove address %s: %w", prefix, err)
			}
		}
	}
	for _, prefix := range want {
		addr := &netlink.Addr{IPNet: &net.IPNet{
			IP:   prefix.Addr().AsSlice(),
			Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
		}}
		if prefix.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrReplace(link, addr); err != nil {
			return fmt.Errorf("add address %s: %w", prefix, err)
		}
	}
	return nil
}

func prefixOf(addr netlink.Addr) (netip.Prefix, bool) {
	ip, ok := netip.AddrFromSlice(addr.IP)
	bits, _ := addr.Mask.Size()
	return netip.PrefixFrom(ip.Unmap(), bits), ok
}

func writeSysctl(name, value string) error { return os.WriteFile("/proc/sys/"+name, []byte(value), 0) }

// RaiseLoopback makes 127.0.0.1 and ::1 work.
func RaiseLoopback() error {
	link, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("loopback interface: %w", err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set loopback interface up: %w", err)
	}
	return nil
}

func trimmed(data []byte) string { return strings.TrimSpace(string(data)) }
