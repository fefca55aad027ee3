// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/ibnbd/ibnbd/vm/fabric"
)

// NIC is one host's place on one rail.
type NIC struct {
	Rail      *fabric.Rail // nil where the lab is wired directly
	Port      *fabric.Port // where the rail has it; nil where the lab is wired directly
	Interface string       // the network interface in the guest, "rail0"
	RDMA      string       // the soft-RoCE device on it, "rxe0"
	MAC       net.HardwareAddr
	IPv4      netip.Prefix
	IPv6      netip.Prefix
}

// IPv4 is the address of a host on a rail, 10.0.<rail>.<host>/24. Rails count from 0 and hosts from 1. Numbers above those of
// the lab's hosts are free for stations.
func IPv4(rail, host int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(rail), byte(host)}), 24)
}

// IPv6 is the address of a host on a rail, fd00:0:0:<rail>::<host>/64.
func IPv6(rail, host int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xFD, 7: byte(rail), 15: byte(host)}), 64)
}

// MAC is the hardware address of a host on a rail, 52:54:00:00:<rail>:<host>: locally administered, in QEMU's range.
func MAC(rail, host int) net.HardwareAddr {
	return net.HardwareAddr{0x52, 0x54, 0, 0, byte(rail), byte(host)}
}

// railName is the name of a rail, and of the interfaces on it.
func railName(rail int) string { return fmt.Sprintf("rail%d", rail) }

// newNIC describes a host's place on a rail, without what the fabric has of it.
func newNIC(rail, host int) *NIC {
	return &NIC{
		Interface: railName(rail), RDMA: fmt.Sprintf("rxe%d", rail),
		MAC: MAC(rail, host), IPv4: IPv4(rail, host), IPv6: IPv6(rail, host),
	}
}
