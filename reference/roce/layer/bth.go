// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// BTH is the layer of the base transport header. Its contents are the 12 header bytes, its payload is all between header and pad:
// extension headers and data.
//
// Serialized with FixLengths, PadCnt and Pad are made to fit the payload. Serialized with ComputeChecksums, ICRC is computed; the
// IP and UDP headers it covers must have been given with [BTH.SetHeadersForICRC]. With both off, every field goes out as it is,
// and Pad may have any length.
type BTH struct {
	roce.BTH

	contents []byte
	udp      *layers.UDP           // of the same packet: decoding learns the length from it
	network  gopacket.NetworkLayer // covered by a computed ICRC
}

// errNoHeaders says that an ICRC cannot be computed for want of its input.
var errNoHeaders = errors.New("BTH: computing the ICRC needs the IP and UDP layers: call SetHeadersForICRC")

// BTHOf makes the layer of a header.
func BTHOf(header roce.BTH) *BTH { return &BTH{BTH: header} }

// LayerType gives TypeBTH.
func (b *BTH) LayerType() gopacket.LayerType { return TypeBTH }

// CanDecode gives TypeBTH.
func (b *BTH) CanDecode() gopacket.LayerClass { return TypeBTH }

// LayerContents gives the bytes of the header.
func (b *BTH) LayerContents() []byte { return b.contents }

// LayerPayload gives the extension headers and the data.
func (b *BTH) LayerPayload() []byte { return b.Payload }

// NextLayerType gives the first extension header of the opcode, or the payload.
func (b *BTH) NextLayerType() gopacket.LayerType { return extensionType(b.OpCode.Ext()) }

// DecodeFromBytes decodes a UDP payload. If the layer does not know the UDP header (see [Parser]; [gopacket.NewPacket] finds it),
// the payload is taken to be complete unless df knows it to be truncated.
func (b *BTH) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	want := len(data)
	if b.udp != nil {
		want = int(b.udp.Length) - udpLen
	} else if isTruncated(df) {
		want = math.MaxUint16 // somewhere beyond: no trailer to be found
	}
	b.contents = nil
	if len(data) >= roce.BTHLen {
		b.contents = data[:roce.BTHLen:roce.BTHLen]
	}
	err := b.Decode(data, want)
	if errors.Is(err, roce.ErrTruncated) {
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

// decodeBTH is the decoder of TypeBTH. gopacket also calls it for a datagram that merely comes from port 4791: that is no RoCEv2.
func decodeBTH(data []byte, p gopacket.PacketBuilder) error {
	b := &BTH{}
	if pkt, ok := p.(gopacket.Packet); ok {
		b.udp, _ = pkt.TransportLayer().(*layers.UDP)
	}
	if b.udp != nil && b.udp.DstPort != roce.UDPPort {
		return p.NextDecoder(gopacket.LayerTypePayload)
	}
	err := b.DecodeFromBytes(data, p)
	if b.contents != nil {
		p.AddLayer(b)
	}
	if err != nil {
		return err
	}
	return next(p, b.NextLayerType(), b.Payload)
}

// SetHeadersForICRC gives the IPv4 or IPv6 layer and the UDP layer that will be serialized around this one, for ComputeChecksums.
func (b *BTH) SetHeadersForICRC(ip gopacket.NetworkLayer, udp *layers.UDP) {
	b.network, b.udp = ip, udp
}

// SerializeTo writes header and trailer around the extension headers and the payload that the buffer holds.
func (b *BTH) SerializeTo(buf gopacket.SerializeBuffer, opts gopacket.SerializeOptions) error {
	if opts.FixLengths {
		b.PadCnt = uint8(-len(buf.Bytes()) & 3)
		b.Pad = make([]byte, b.PadCnt)
	}
	if err := appendTo(buf, b.Pad); err != nil {
		return err
	}
	if err := b.prepend(buf); err != nil {
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

// prepend writes the header in front of what the buffer holds.
func (b *BTH) prepend(buf gopacket.SerializeBuffer) error {
	room, err := buf.PrependBytes(roce.BTHLen)
	if err != nil {
		return err
	}
	b.Put(room)
	return nil
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
