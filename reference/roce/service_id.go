// SPDX-License-Identifier: Apache-2.0

package roce

import "fmt"

// ServiceID names what a REQ wants to connect to. That of the RDMA IP CM
// service is 00 00 00 00 01, an IP protocol number and a port (InfiniBand
// Architecture Specification, annex A11).
type ServiceID uint64

// Port spaces of the RDMA IP CM service, as IP protocol numbers.
const (
	PortSpaceTCP uint8 = 0x06
	PortSpaceUDP uint8 = 0x11
)

const (
	ipServicePrefix = 0x0000000001
	ipServiceShift  = 24 // protocol and port stand below the prefix
)

// IPServiceID makes the service id of a port in a port space.
func IPServiceID(portSpace uint8, port uint16) ServiceID {
	return ipServicePrefix<<ipServiceShift | ServiceID(portSpace)<<16 | ServiceID(port)
}

// IP gives port space and port of an RDMA IP CM service id; ok is false for
// any other.
func (s ServiceID) IP() (portSpace uint8, port uint16, ok bool) {
	return uint8(s >> 16), uint16(s), s>>ipServiceShift == ipServicePrefix
}

// String gives the id as 16 hexadecimal digits.
func (s ServiceID) String() string { return fmt.Sprintf("%016x", uint64(s)) }
