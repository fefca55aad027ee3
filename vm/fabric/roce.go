// SPDX-License-Identifier: Apache-2.0

package fabric

import (
	"encoding/binary"
	"fmt"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// RoCE returns the base transport header of the RoCEv2 packet in the frame; ok is false where there is none that is whole.
// The header belongs to the frame.
func (f *Frame) RoCE() (header *roce.BTH, ok bool) {
	p := f.decode()
	return &p.bth, p.transport != 0
}

// Immediate returns the immediate data of the RoCEv2 packet in the frame, in host order; ok is false where it carries none.
func (f *Frame) Immediate() (immediate uint32, ok bool) {
	h, ok := f.RoCE()
	if !ok || !h.OpCode.Ext().Has(roce.ExtImmDt) {
		return 0, false
	}
	// Where there is immediate data, it is the last of the extension headers.
	at := h.OpCode.HeaderLen() - roce.BTHLen - roce.ImmDtLen
	return binary.BigEndian.Uint32(h.Payload[at:]), true
}

// decodeRoCE reads the UDP datagram data[p.udp:p.end] as a RoCEv2 packet.
func (p *packet) decodeRoCE(data []byte) {
	at := p.udp + udpHeader
	if p.bth.Decode(data[at:p.end], p.end-at) == nil {
		p.transport = at
	}
}

// describeRoCE gives the packet as one line.
func (f *Frame) describeRoCE() string {
	h, _ := f.RoCE()
	s := fmt.Sprintf("%v qp %#x psn %d", h.OpCode, h.DestQP, h.PSN)
	if immediate, ok := f.Immediate(); ok {
		s += fmt.Sprintf(" imm %#08x", immediate)
	}
	return s
}

// reseal makes the ICRC of a RoCEv2 frame right; other frames, and such whose change hid that they were RoCEv2, stay.
func reseal(data []byte) {
	f := Frame{Data: data}
	p := f.decode()
	if p.transport == 0 {
		return
	}
	// A UDP checksum would not fit any more either. RoCEv2 goes without one, and the ICRC does not cover it.
	data[p.udp+6], data[p.udp+7] = 0, 0
	// IPv4 options leave the coverage of the ICRC undefined; Reseal refuses them and the frame stays as it is.
	_ = roce.Reseal(data[p.ip:p.udp], data[p.udp:p.transport], data[p.transport:p.end])
}
