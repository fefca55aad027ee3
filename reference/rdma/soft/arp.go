// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// solicit asks the link for the MAC address of a neighbour.
func (l *FrameLink) solicit(addr netip.Addr) {
	if addr.Is4() {
		l.sendARP(layers.ARPRequest, broadcast, mac{}, addr)
		return
	}
	l.sendSolicitation(addr)
}

// announce tells the link who has the address now.
func (l *FrameLink) announce() {
	if l.addr.Is4() {
		l.sendARP(layers.ARPRequest, broadcast, mac{}, l.addr)
		return
	}
	l.sendAdvertisement(allNodes, multicastMAC(allNodes), false)
}

// sendARP sends an ARP request or reply.
func (l *FrameLink) sendARP(operation uint16, to, targetMAC mac, target netip.Addr) {
	own, other := l.addr.As4(), target.As4()
	l.sendLayers(
		&layers.Ethernet{SrcMAC: l.mac[:], DstMAC: to[:], EthernetType: layers.EthernetTypeARP},
		&layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4,
			HwAddressSize: 6, ProtAddressSize: 4, Operation: operation,
			SourceHwAddress: l.mac[:], SourceProtAddress: own[:],
			DstHwAddress: targetMAC[:], DstProtAddress: other[:],
		},
	)
}

// sendLayers sends a frame of gopacket layers.
func (l *FrameLink) sendLayers(all ...gopacket.SerializableLayer) {
	b := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, options, all...); err != nil {
		panic(err) // the layers are made here, from checked addresses
	}
	_ = l.frames.Send(b.Bytes()) // what is lost is asked again
}

// onARP answers requests for this link's address and learns from those that speak to it.
func (l *FrameLink) onARP(frame []byte) {
	var arp layers.ARP
	err := arp.DecodeFromBytes(frame[ethernetLen:], gopacket.NilDecodeFeedback)
	if err != nil || arp.HwAddressSize != 6 || arp.ProtAddressSize != 4 || arp.Protocol != layers.EthernetTypeIPv4 || !l.addr.Is4() {
		return
	}
	sender, target := netip.AddrFrom4([4]byte(arp.SourceProtAddress)), netip.AddrFrom4([4]byte(arp.DstProtAddress))
	from := mac(arp.SourceHwAddress)
	if sender == l.addr || !sender.IsValid() {
		return
	}
	switch {
	case target == l.addr:
		if !sender.IsUnspecified() {
			l.neighbours.learn(sender, from)
		}
		if arp.Operation == layers.ARPRequest {
			l.sendARP(layers.ARPReply, from, from, sender)
		}
	case target == sender: // it announces itself
		l.neighbours.refresh(sender, from)
	}
}
