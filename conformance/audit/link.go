// SPDX-License-Identifier: Apache-2.0

package audit

import "fmt"

// Link says what the bytes of a frame begin with, by the numbers that capture files use (LINKTYPE_).
type Link uint32

// The link types that are read.
const (
	Null       Link = 0   // loopback of BSD: four bytes with the address family, in the byte order of the machine
	Ethernet   Link = 1   //
	rawIPBSD   Link = 12  // of a file that was written with the number of the system, not of the format
	rawIPOpen  Link = 14  // the same on OpenBSD
	RawIP      Link = 101 // an IP packet without link header
	Loop       Link = 108 // loopback of OpenBSD: the address family in network byte order
	LinuxSLL   Link = 113 // "cooked" capture of Linux, version 1: 16 bytes before the packet
	ERF        Link = 197 // records of Endace cards, which may hold InfiniBand
	RawIPv4    Link = 228
	RawIPv6    Link = 229
	InfiniBand Link = 247 // from the local route header on
	LinuxSLLv2 Link = 276 // version 2: 20 bytes before the packet
)

// linkNames are the link types that are read, and those of others that are met most.
var linkNames = map[Link]string{
	Null: "BSD loopback", Ethernet: "Ethernet", rawIPBSD: "raw IP", rawIPOpen: "raw IP", RawIP: "raw IP", Loop: "OpenBSD loopback",
	LinuxSLL: "Linux cooked capture", ERF: "ERF", RawIPv4: "raw IPv4", RawIPv6: "raw IPv6", InfiniBand: "InfiniBand",
	LinuxSLLv2: "Linux cooked capture v2",

	9: "PPP", 50: "PPP in HDLC", 104: "Cisco HDLC", 105: "802.11", 119: "802.11 with Prism header", 127: "802.11 with radiotap header",
	187: "Bluetooth", 189: "USB", 195: "802.15.4", 201: "Bluetooth", 220: "USB", 227: "CAN", 239: "netfilter log",
	242: "IP over InfiniBand", 249: "USB", 251: "Bluetooth LE", 252: "exported PDUs", 253: "netlink", 256: "Bluetooth LE", 271: "vsock",
}

// readable are the link types that a packet of RDMA can be found in.
var readable = map[Link]bool{
	Null: true, Ethernet: true, rawIPBSD: true, rawIPOpen: true, RawIP: true, Loop: true, LinuxSLL: true, ERF: true, RawIPv4: true,
	RawIPv6: true, InfiniBand: true, LinuxSLLv2: true,
}

// String gives the number and, if it is known, the name: "link type 105 (802.11)".
func (l Link) String() string {
	if name := linkNames[l]; name != "" {
		return fmt.Sprintf("link type %d (%s)", uint32(l), name)
	}
	return fmt.Sprintf("link type %d", uint32(l))
}

func unknownLink(l Link) error {
	return fmt.Errorf("%w: %v is not Ethernet, raw IP, Linux cooked capture, BSD loopback, InfiniBand or ERF", ErrFormat, l)
}
