// SPDX-License-Identifier: Apache-2.0

package fabric

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// Predicate chooses frames. Match runs on the forwarding path, under the rail's lock, so it must be quick, must not block
// and must not call the fabric; it may keep state of its own. String names the choice in evidence.
type Predicate interface {
	Match(f *Frame) bool
	String() string
}

type predicate struct {
	match func(*Frame) bool
	name  string
}

func (p predicate) Match(f *Frame) bool { return p.match(f) }
func (p predicate) String() string      { return p.name }

// Func makes a predicate out of a function and the name that it has in evidence.
func Func(name string, match func(f *Frame) bool) Predicate {
	return predicate{match, name}
}

// Any matches every frame.
func Any() Predicate {
	return Func("any", func(*Frame) bool { return true })
}

// And matches what all of ps match; it asks them in order and stops at the first that does not.
func And(ps ...Predicate) Predicate {
	return Func(join(ps, " and "), func(f *Frame) bool {
		for _, p := range ps {
			if !p.Match(f) {
				return false
			}
		}
		return true
	})
}

// Or matches what at least one of ps matches; it asks them in order and stops at the first that does.
func Or(ps ...Predicate) Predicate {
	return Func(join(ps, " or "), func(f *Frame) bool {
		for _, p := range ps {
			if p.Match(f) {
				return true
			}
		}
		return false
	})
}

// Not matches what p does not match.
func Not(p Predicate) Predicate {
	return Func("not "+p.String(), func(f *Frame) bool { return !p.Match(f) })
}

func join(ps []Predicate, word string) string {
	names := make([]string, len(ps))
	for i, p := range ps {
		names[i] = p.String()
	}
	return "(" + strings.Join(names, word) + ")"
}

// FromPort matches what the port or station of that name sends.
func FromPort(name string) Predicate {
	return Func("from "+name, func(f *Frame) bool { return f.From == name })
}

// ToPort matches what goes to the port or station of that name, that one's copy of a broadcast included.
func ToPort(name string) Predicate {
	return Func("to "+name, func(f *Frame) bool { return f.To == name })
}

// FromAddr matches IP packets from an address.
func FromAddr(addr netip.Addr) Predicate {
	return Func("from "+addr.String(), func(f *Frame) bool {
		source, _, ok := f.IP()
		return ok && source == addr
	})
}

// ToAddr matches IP packets to an address.
func ToAddr(addr netip.Addr) Predicate {
	return Func("to "+addr.String(), func(f *Frame) bool {
		_, destination, ok := f.IP()
		return ok && destination == addr
	})
}

// IsRoCE matches RoCEv2 packets (UDP port 4791).
func IsRoCE() Predicate {
	return Func("roce", func(f *Frame) bool {
		_, ok := f.RoCE()
		return ok
	})
}

// RoCE matches RoCEv2 packets whose transport header match accepts; name says which these are.
func RoCE(name string, match func(h *roce.BTH) bool) Predicate {
	return Func(name, func(f *Frame) bool {
		h, ok := f.RoCE()
		return ok && match(h)
	})
}

// Opcode matches RoCEv2 packets of any of these opcodes.
func Opcode(opcodes ...roce.OpCode) Predicate {
	names := make([]string, len(opcodes))
	for i, o := range opcodes {
		names[i] = o.String()
	}
	return RoCE(strings.Join(names, "|"), func(h *roce.BTH) bool { return slices.Contains(opcodes, h.OpCode) })
}

// ConnectionOf matches the RoCEv2 packets that go the way of the first match of p, from that one on: from the same sender to the
// same queue pair. It keeps state, so that each is for one rail.
func ConnectionOf(p Predicate) Predicate {
	found, queue, from := false, uint32(0), ""
	return Func("to the queue pair of the first "+p.String(), func(f *Frame) bool {
		h, ok := f.RoCE()
		if !ok {
			return false
		}
		if !found && p.Match(f) {
			found, queue, from = true, h.DestQP, f.From
		}
		return found && h.DestQP == queue && f.From == from
	})
}

// DestQP matches RoCEv2 packets to a queue pair.
func DestQP(qp uint32) Predicate {
	return RoCE(fmt.Sprintf("to qp %#x", qp), func(h *roce.BTH) bool { return h.DestQP == qp })
}

// PSN matches RoCEv2 packets with a packet sequence number.
func PSN(psn roce.PSN) Predicate {
	return RoCE(fmt.Sprintf("psn %d", psn), func(h *roce.BTH) bool { return h.PSN == psn })
}

// Immediate matches RoCEv2 packets that carry immediate data which match accepts (in host order); name says which.
func Immediate(name string, match func(immediate uint32) bool) Predicate {
	return Func(name, func(f *Frame) bool {
		immediate, ok := f.Immediate()
		return ok && match(immediate)
	})
}

// IsARPOrND matches what resolves neighbours: ARP, and ICMPv6 neighbour discovery (RFC 4861).
func IsARPOrND() Predicate {
	return Func("arp or nd", func(f *Frame) bool {
		p := f.decode()
		if p.etherType == 0x0806 {
			return true
		}
		const icmpv6, routerSolicitation, redirect = 58, 133, 137
		if p.etherType != etherTypeIPv6 || p.ip == 0 || f.Data[p.ip+6] != icmpv6 || len(f.Data) <= p.ip+ipv6Header {
			return false
		}
		kind := f.Data[p.ip+ipv6Header]
		return kind >= routerSolicitation && kind <= redirect
	})
}
