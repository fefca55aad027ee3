// SPDX-License-Identifier: Apache-2.0

package roce

// cmPathLen is the length of one path in a REQ in bytes.
const cmPathLen = 44

// CMPath is the primary or the alternate path of a REQ. Without alternate path
// all its fields are zero.
type CMPath struct {
	LocalLID     uint16 // 0xFFFF on RoCE
	RemoteLID    uint16
	LocalGID     GID    // IP address of the sender of the REQ
	RemoteGID    GID    // IP address of its receiver
	FlowLabel    uint32 // 20 bits
	Reserved6    uint8  // 6 bits after the flow label
	PacketRate   uint8  // 6 bits
	TrafficClass uint8
	HopLimit     uint8
	SL           uint8 // 4 bits: service level
	SubnetLocal  bool
	Reserved3    uint8 // 3 bits after SubnetLocal
	ACKTimeout   uint8 // 5 bits: local ACK timeout, see ACKTimeout
	Reserved3b   uint8 // 3 bits after ACKTimeout
}

func (p *CMPath) get(b []byte) {
	_ = b[cmPathLen-1]
	p.LocalLID, p.RemoteLID = be.Uint16(b), be.Uint16(b[2:])
	copy(p.LocalGID[:], b[4:])
	copy(p.RemoteGID[:], b[20:])
	v := be.Uint32(b[36:])
	p.FlowLabel, p.Reserved6, p.PacketRate = v>>12, uint8(v>>6&0x3F), uint8(v&0x3F)
	p.TrafficClass, p.HopLimit = b[40], b[41]
	p.SL = b[42] >> 4
	p.SubnetLocal = b[42]&8 != 0
	p.Reserved3 = b[42] & 7
	p.ACKTimeout, p.Reserved3b = b[43]>>3, b[43]&7
}

func (p *CMPath) put(b []byte) {
	_ = b[cmPathLen-1]
	be.PutUint16(b, p.LocalLID)
	be.PutUint16(b[2:], p.RemoteLID)
	copy(b[4:20], p.LocalGID[:])
	copy(b[20:36], p.RemoteGID[:])
	be.PutUint32(b[36:], p.FlowLabel<<12|uint32(p.Reserved6&0x3F)<<6|uint32(p.PacketRate&0x3F))
	b[40], b[41] = p.TrafficClass, p.HopLimit
	b[42] = p.SL<<4 | bit(p.SubnetLocal, 3) | p.Reserved3&7
	b[43] = p.ACKTimeout<<3 | p.Reserved3b&7
}
