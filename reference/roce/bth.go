// SPDX-License-Identifier: Apache-2.0

package roce

import "encoding/binary"

// UDPPort is the UDP destination port of every RoCEv2 packet (IANA "roce").
const UDPPort = 4791

// Well-known values of BTH fields.
const (
	DefaultPKey uint16 = 0xFFFF // the partition key of RoCE
	GSIQPN      uint32 = 1      // the queue pair of management datagrams
)

// BTH is the base transport header together with the trailer it governs: the
// pad bytes and the ICRC that end the UDP payload (InfiniBand Architecture
// Specification, volume 1, chapter 9.2; RoCEv2 annex A17).
type BTH struct {
	OpCode    OpCode
	Solicited bool   // SE: solicited event
	MigReq    bool   // M: path migration state
	PadCnt    uint8  // 2 bits: pad bytes between payload and ICRC
	TVer      uint8  // 4 bits: transport header version, 0
	PKey      uint16 // partition key
	FECN      bool   // forward congestion notification
	BECN      bool   // backward congestion notification
	Reserved6 uint8  // 6 bits after FECN and BECN
	DestQP    uint32 // 24 bits: destination queue pair number
	AckReq    bool   // A: the responder must acknowledge this request
	Reserved7 uint8  // 7 bits after AckReq
	PSN       PSN    // 24 bits: packet sequence number

	Pad     []byte // pad bytes as found or to be written
	ICRC    uint32 // invariant CRC as a number; on the wire least significant byte first
	NoICRC  bool   // the ICRC was not captured; serialized without it
	ICRCXor uint32 // flips bits of a computed ICRC: anything but 0 makes it wrong on purpose

	Payload []byte // all between header and pad: extension headers and data
}

// zeroPad is what conforming pad bytes are cut from.
var zeroPad [3]byte

// Decode decodes the captured part of a UDP payload that was want bytes long on
// the wire; bytes beyond are ignored. The header fields are valid unless the
// error is ErrTruncated.
func (b *BTH) Decode(data []byte, want int) error {
	if len(data) < BTHLen {
		return tooShort("BTH", "length", len(data), BTHLen, cause(len(data), want))
	}
	b.get(data)
	b.Payload, b.Pad = nil, nil
	b.ICRC, b.NoICRC = 0, true
	if need := b.OpCode.HeaderLen() + int(b.PadCnt) + ICRCLen; want < need {
		return tooShort("BTH", "UDP payload length of "+b.OpCode.String(), want, need, ErrMalformed)
	}
	icrcAt := want - ICRCLen
	padAt := icrcAt - int(b.PadCnt)
	if len(data) >= want {
		b.ICRC, b.NoICRC = binary.LittleEndian.Uint32(data[icrcAt:]), false
	}
	icrcAt, padAt = min(icrcAt, len(data)), min(padAt, len(data))
	b.Payload, b.Pad = data[BTHLen:padAt:padAt], data[padAt:icrcAt:icrcAt]
	return nil
}

// cause tells a packet that was cut from one that never was long enough.
func cause(got, want int) error {
	if got < want {
		return ErrTruncated
	}
	return ErrMalformed
}

// get reads the header fields.
func (b *BTH) get(data []byte) {
	_ = data[BTHLen-1]
	b.OpCode = OpCode(data[0])
	b.Solicited = data[1]&0x80 != 0
	b.MigReq = data[1]&0x40 != 0
	b.PadCnt = data[1] >> 4 & 3
	b.TVer = data[1] & 0x0F
	b.PKey = be.Uint16(data[2:])
	b.FECN = data[4]&0x80 != 0
	b.BECN = data[4]&0x40 != 0
	b.Reserved6 = data[4] & 0x3F
	b.DestQP = uint24(data[5:])
	b.AckReq = data[8]&0x80 != 0
	b.Reserved7 = data[8] & 0x7F
	b.PSN = PSN(uint24(data[9:]))
}

// Put writes the header at the beginning of out.
func (b *BTH) Put(out []byte) {
	_ = out[BTHLen-1]
	out[0] = byte(b.OpCode)
	out[1] = bit(b.Solicited, 7) | bit(b.MigReq, 6) | b.PadCnt&3<<4 | b.TVer&0x0F
	be.PutUint16(out[2:], b.PKey)
	out[4] = bit(b.FECN, 7) | bit(b.BECN, 6) | b.Reserved6&0x3F
	putUint24(out[5:], b.DestQP)
	out[8] = bit(b.AckReq, 7) | b.Reserved7&0x7F
	putUint24(out[9:], uint32(b.PSN))
}

// padCount gives the number of pad bytes after n bytes of payload, 0 to 3.
func padCount(n int) uint8 { return uint8(-n & 3) }
