// SPDX-License-Identifier: Apache-2.0

package roce

import "github.com/google/gopacket"

// GSIQKey is the queue key of queue pair 1, where management datagrams go.
const GSIQKey uint32 = 0x80010000

// DETH is the datagram extended transport header (InfiniBand Architecture
// Specification, volume 1, chapter 9.3).
type DETH struct {
	chained
	QKey     uint32 // queue key
	Reserved uint8  // byte 4
	SrcQP    uint32 // 24 bits: source queue pair number
}

// DecodeFromBytes decodes the first DETHLen bytes; the rest is the payload.
func (d *DETH) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	if err := d.take(data, "DETH", DETHLen, df); err != nil {
		return err
	}
	d.QKey, d.Reserved, d.SrcQP = be.Uint32(data), data[4], uint24(data[5:])
	return nil
}

func (d *DETH) put(b []byte) {
	be.PutUint32(b, d.QKey)
	b[4] = d.Reserved
	putUint24(b[5:], d.SrcQP)
}

// LayerType gives LayerTypeDETH.
func (d *DETH) LayerType() gopacket.LayerType { return LayerTypeDETH }

// CanDecode gives LayerTypeDETH.
func (d *DETH) CanDecode() gopacket.LayerClass { return LayerTypeDETH }

// NextLayerType gives a MAD for a datagram to the general service
// interface, else what follows by the opcode of the packet.
func (d *DETH) NextLayerType() gopacket.LayerType {
	if d.bth != nil && d.bth.OpCode == UDSendOnly && isGSI(d.bth, d) {
		return LayerTypeMAD
	}
	return d.nextExt(ExtDETH)
}

// SerializeTo writes the header in front of what the buffer holds.
func (d *DETH) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	return prepend(b, d)
}

func (d *DETH) size() int { return DETHLen }

// isGSI reports whether a datagram is for the general service interface.
func isGSI(b *BTH, d *DETH) bool { return b.DestQP == GSIQPN && d.QKey == GSIQKey }
