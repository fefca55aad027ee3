// SPDX-License-Identifier: Apache-2.0

package roce

import "github.com/google/gopacket"

// CNPReserved is the 16 reserved bytes of a congestion notification packet,
// zero from a conforming sender (RoCEv2 annex A17).
type CNPReserved struct {
	chained
	Reserved [CNPReservedLen]byte
}

// DecodeFromBytes decodes the first CNPReservedLen bytes; the rest is the payload.
func (c *CNPReserved) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	if err := c.take(data, "CNP", CNPReservedLen, df); err != nil {
		return err
	}
	copy(c.Reserved[:], data)
	return nil
}

func (c *CNPReserved) put(b []byte) {
	copy(b, c.Reserved[:])
}

// LayerType gives LayerTypeCNPReserved.
func (c *CNPReserved) LayerType() gopacket.LayerType { return LayerTypeCNPReserved }

// CanDecode gives LayerTypeCNPReserved.
func (c *CNPReserved) CanDecode() gopacket.LayerClass { return LayerTypeCNPReserved }

// NextLayerType gives what follows by the opcode of the packet.
func (c *CNPReserved) NextLayerType() gopacket.LayerType { return c.nextExt(ExtCNP) }

// SerializeTo writes the header in front of what the buffer holds.
func (c *CNPReserved) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	return prepend(b, c)
}

func (c *CNPReserved) size() int { return CNPReservedLen }
