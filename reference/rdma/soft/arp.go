// SPDX-License-Identifier: Apache-2.0

package soft

import "net/netip"

// An ARP packet of Ethernet and IPv4 (RFC 826): the kinds and lengths of the addresses, the operation, then hardware and protocol
// address of the sender and of the target.
const (
	arpLen       = 28
	arpOperation = 6
	arpSenderMAC = 8
	arpSenderIP  = 14
	arpTargetMAC = 18
	arpTargetIP  = 24

	arpRequest = 1
	arpReply   = 2
)

// arpKinds is how each ARP packet of Ethernet and IPv4 begins: hardware type 1, protocol IPv4, addresses of 6 and 4 bytes.
var arpKinds = [arpOperation]byte{0, 1, 0x08, 0x00, 6, 4}

// solicit asks the link for the MAC address of a neighbour.
func (l *FrameLink) solicit(addr netip.Addr) {
	if addr.Is4() {
		l.sendARP(arpRequest, broadcast, mac{}, addr)
		return
	}
	l.sendSolicitation(addr)
}

// announce tells the link who has the address now.
func (l *FrameLink) announce() {
	if l.addr.Is4() {
		l.sendARP(arpRequest, broadcast, mac{}, l.addr)
		return
	}
	l.sendAdvertisement(allNodes, multicastMAC(allNodes), false)
}

// sendARP sends an ARP request or reply.
func (l *FrameLink) sendARP(operation uint16, to, targetMAC mac, target netip.Addr) {
	frame := l.newFrame(to, etherTypeARP, arpLen)
	arp := frame[ethernetLen:]
	copy(arp, arpKinds[:])
	be.PutUint16(arp[arpOperation:], operation)
	copy(arp[arpSenderMAC:], l.mac[:])
	copy(arp[arpSenderIP:], l.addr.AsSlice())
	copy(arp[arpTargetMAC:], targetMAC[:])
	copy(arp[arpTargetIP:], target.AsSlice())
	_ = l.frames.Send(frame) // what is lost is asked again
}

// minFrame is the length of the shortest Ethernet frame, without its check sequence; what is shorter is padded with zeros.
const minFrame = 60

// newFrame makes an Ethernet frame of this link with room for so many bytes.
func (l *FrameLink) newFrame(to mac, kind uint16, size int) []byte {
	frame := make([]byte, max(minFrame, ethernetLen+size))
	copy(frame, to[:])
	copy(frame[6:], l.mac[:])
	be.PutUint16(frame[12:], kind)
	return frame
}

// onARP answers requests for this link's address and learns from those that speak to it.
func (l *FrameLink) onARP(frame []byte) {
	arp := frame[ethernetLen:]
	if len(arp) < arpLen || [arpOperation]byte(arp) != arpKinds || !l.addr.Is4() {
		return
	}
	sender, target := netip.AddrFrom4([4]byte(arp[arpSenderIP:])), netip.AddrFrom4([4]byte(arp[arpTargetIP:]))
	from := mac(arp[arpSenderMAC:])
	if sender == l.addr {
		return
	}
	switch {
	case target == l.addr:
		if !sender.IsUnspecified() {
			l.neighbours.learn(sender, from)
		}
		if be.Uint16(arp[arpOperation:]) == arpRequest {
			l.sendARP(arpReply, from, from, sender)
		}
	case target == sender: // it announces itself
		l.neighbours.refresh(sender, from)
	}
}
