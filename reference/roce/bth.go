// SPDX-License-Identifier: Apache-2.0

package roce

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Well-known values of BTH fields.
const (
	DefaultPKey uint16 = 0xFFFF // the partition key of RoCE
	GSIQPN      uint32 = 1      // the queue pair of management datagrams
)

// BTH is the base transport header together with the trailer it governs: the
// pad bytes and the ICRC that end the UDP payload (InfiniBand Architecture
// Specification, volume 1, chapter 9.2; RoCEv2 annex A17). As a layer its
// contents are the 12 header bytes and its payload is all between header and
// pad: extension headers and data.
//
// Serialized with FixLengths, PadCnt and Pad are made to fit the payload.
// Serialized with ComputeChecksums, ICRC is computed; the IP and UDP headers it
// covers must have been given with [BTH.SetHeadersForICRC]. With both off,
// every field goes out as it is, and Pad may have any length.
type BTH struct {
	layers.BaseLayer

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

	udp     *layers.UDP           // of the same packet: decoding learns the length from it
	network gopacket.NetworkLayer // covered by a computed ICRC
}

// errNoHeaders says that an ICRC cannot be computed for want of its input.
var errNoHeaders = errors.New("BTH: computing the ICRC needs the IP and UDP layers: call SetHeadersForICRC")

// zeroPad is what conforming pad bytes are cut from.
var zeroPad [3]byte

// LayerType gives LayerTypeBTH.
func (b *BTH) LayerType() gopacket.LayerType { return LayerTypeBTH }

// CanDecode gives LayerTypeBTH.
func (b *BTH) CanDecode() gopacket.LayerClass { return LayerTypeBTH }

// NextLayerType gives the first extension header of the opcode, or the payload.
func (b *BTH) NextLayerType() gopacket.LayerType {
	return layerTypeOf(b.OpCode.Ext().first())
}

// layerTypeAfter gives what follows extension header h in this packet.
func (b *BTH) layerTypeAfter(h Ext) gopacket.LayerType {
	return layerTypeOf(b.OpCode.Ext().after(h))
}

// layerTypeOf gives the layer type of one extension header, and that of plain
// payload for none.
func layerTypeOf(h Ext) gopacket.LayerType {
	if h == 0 {
		return gopacket.LayerTypePayload
	}
	return extLayerTypes[bits.TrailingZeros16(uint16(h))]
}

// DecodeFromBytes decodes a UDP payload. If the layer does not know the UDP
// header (see [Parser]; [gopacket.NewPacket] finds it), the payload is taken to
// be complete unless df knows it to be truncated.
func (b *BTH) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	want := len(data)
	if b.udp != nil {
		want = int(b.udp.Length) - udpLen
	} else if isTruncated(df) {
		want = math.MaxUint16 // somewhere beyond: no trailer to be found
	}
	err := b.decode(data, want)
	if errors.Is(err, ErrTruncated) {
		df.SetTruncated()
	}
	return err
}

// isTruncated asks gopacket's two decoders whether a lower layer missed bytes.
func isTruncated(df gopacket.DecodeFeedback) bool {
	switch d := df.(type) {
	case *gopacket.DecodingLayerParser:
		return d.Truncated
	case gopacket.Packet:
		return d.Metadata().Truncated
	}
	return false
}

// decode decodes the captured part of a UDP payload that was want bytes long
// on the wire; bytes beyond are ignored. The header fields are valid unless the
// error is ErrTruncated.
func (b *BTH) decode(data []byte, want int) error {
	if len(data) < BTHLen {
		return tooShort("BTH", "length", len(data), BTHLen, cause(len(data), want))
	}
	b.get(data)
	b.Contents, b.Payload, b.Pad = data[:BTHLen:BTHLen], nil, nil
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

func (b *BTH) size() int { return BTHLen }

func (b *BTH) put(out []byte) {
	_ = out[BTHLen-1]
	out[0] = byte(b.OpCode)
	out[1] = bit(b.Solicited, 7) | bit(b.MigReq, 6) | b.PadCnt&3<<4 | b.TVer&0x0F
	be.PutUint16(out[2:], b.PKey)
	out[4] = bit(b.FECN, 7) | bit(b.BECN, 6) | b.Reserved6&0x3F
	putUint24(out[5:], b.DestQP)
	out[8] = bit(b.AckReq, 7) | b.Reserved7&0x7F
	putUint24(out[9:], uint32(b.PSN))
}

// decodeBTH is the decoder of LayerTypeBTH. gopacket also calls it for a
// datagram that merely comes from port 4791: that is no RoCEv2.
func decodeBTH(data []byte, p gopacket.PacketBuilder) error {
	b := &BTH{}
	if pkt, ok := p.(gopacket.Packet); ok {
		b.udp, _ = pkt.TransportLayer().(*layers.UDP)
	}
	if b.udp != nil && b.udp.DstPort != UDPPort {
		return p.NextDecoder(gopacket.LayerTypePayload)
	}
	err := b.DecodeFromBytes(data, p)
	if b.Contents != nil {
		p.AddLayer(b)
	}
	if err != nil {
		return err
	}
	return next(p, b.NextLayerType(), b.Payload)
}

// SetHeadersForICRC gives the IPv4 or IPv6 layer and the UDP layer that will be
// serialized around this one, for ComputeChecksums.
func (b *BTH) SetHeadersForICRC(ip gopacket.NetworkLayer, udp *layers.UDP) {
	b.network, b.udp = ip, udp
}

// SerializeTo writes header and trailer around the extension headers and the
// payload that the buffer holds.
func (b *BTH) SerializeTo(buf gopacket.SerializeBuffer, opts gopacket.SerializeOptions) error {
	if opts.FixLengths {
		b.PadCnt = padCount(len(buf.Bytes()))
		b.Pad = zeroPad[:b.PadCnt]
	}
	if err := appendTo(buf, b.Pad); err != nil {
		return err
	}
	if err := prepend(buf, b); err != nil {
		return err
	}
	if opts.ComputeChecksums {
		sum, err := b.computeICRC(buf.Bytes(), opts.FixLengths)
		if err != nil {
			return err
		}
		b.ICRC, b.NoICRC = sum^b.ICRCXor, false
	}
	if b.NoICRC {
		return nil
	}
	return appendTo(buf, binary.LittleEndian.AppendUint32(nil, b.ICRC))
}

// appendTo writes bytes after what the buffer holds.
func appendTo(buf gopacket.SerializeBuffer, data []byte) error {
	room, err := buf.AppendBytes(len(data))
	if err != nil {
		return err
	}
	copy(room, data)
	return nil
}

// padCount gives the number of pad bytes after n bytes of payload, 0 to 3.
func padCount(n int) uint8 { return uint8(-n & 3) }
