// SPDX-License-Identifier: Apache-2.0

package roce

import (
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// UDPPort is the UDP destination port of every RoCEv2 packet (IANA "roce").
const UDPPort = 4791

// firstLayerType is the number of the first layer type of this package; they
// stand in the range that gopacket leaves to applications and keeps fast.
const firstLayerType = 1791

// The layer types. Those of the extension headers stand in wire order.
const (
	LayerTypeBTH gopacket.LayerType = firstLayerType + iota
	LayerTypeXRCETH
	LayerTypeDETH
	LayerTypeFETH
	LayerTypeRETH
	LayerTypeAtomicETH
	LayerTypeAETH
	LayerTypeAtomicAckETH
	LayerTypeImmDt
	LayerTypeIETH
	LayerTypeCNPReserved
	LayerTypeMAD
	LayerTypeCMReq
	LayerTypeCMMra
	LayerTypeCMRej
	LayerTypeCMRep
	LayerTypeCMRtu
	LayerTypeCMDreq
	LayerTypeCMDrep
	LayerTypeIPCM
)

// extLayerTypes is indexed by the bit number of an extension header.
var extLayerTypes = [extCount]gopacket.LayerType{
	LayerTypeXRCETH, LayerTypeDETH, LayerTypeFETH, LayerTypeRETH, LayerTypeAtomicETH,
	LayerTypeAETH, LayerTypeAtomicAckETH, LayerTypeImmDt, LayerTypeIETH, LayerTypeCNPReserved,
}

func init() {
	register(LayerTypeBTH, "BTH", decodeBTH)
	register(LayerTypeXRCETH, "XRCETH", decodeAs[XRCETH])
	register(LayerTypeDETH, "DETH", decodeAs[DETH])
	register(LayerTypeFETH, "FETH", decodeAs[FETH])
	register(LayerTypeRETH, "RETH", decodeAs[RETH])
	register(LayerTypeAtomicETH, "AtomicETH", decodeAs[AtomicETH])
	register(LayerTypeAETH, "AETH", decodeAs[AETH])
	register(LayerTypeAtomicAckETH, "AtomicAckETH", decodeAs[AtomicAckETH])
	register(LayerTypeImmDt, "ImmDt", decodeAs[ImmDt])
	register(LayerTypeIETH, "IETH", decodeAs[IETH])
	register(LayerTypeCNPReserved, "CNPReserved", decodeAs[CNPReserved])
	register(LayerTypeMAD, "MAD", decodeAs[MAD])
	register(LayerTypeCMReq, "CMReq", decodeAs[CMReq])
	register(LayerTypeCMMra, "CMMra", decodeAs[CMMra])
	register(LayerTypeCMRej, "CMRej", decodeAs[CMRej])
	register(LayerTypeCMRep, "CMRep", decodeAs[CMRep])
	register(LayerTypeCMRtu, "CMRtu", decodeAs[CMRtu])
	register(LayerTypeCMDreq, "CMDreq", decodeAs[CMDreq])
	register(LayerTypeCMDrep, "CMDrep", decodeAs[CMDrep])
	register(LayerTypeIPCM, "IPCM", decodeAs[IPCM])
	layers.RegisterUDPPortLayerType(UDPPort, LayerTypeBTH)
}

func register(t gopacket.LayerType, name string, decode gopacket.DecodeFunc) {
	gopacket.RegisterLayerType(int(t), gopacket.LayerTypeMetadata{Name: name, Decoder: decode})
}

// decodable is a layer that can be found below a BTH.
type decodable[T any] interface {
	*T
	gopacket.Layer
	gopacket.DecodingLayer
	follow(b *BTH)
}

// decodeAs is the decoder of every layer above the BTH.
func decodeAs[T any, L decodable[T]](data []byte, p gopacket.PacketBuilder) error {
	l := L(new(T))
	if pkt, ok := p.(gopacket.Packet); ok {
		if b, ok := pkt.Layer(LayerTypeBTH).(*BTH); ok {
			l.follow(b)
		}
	}
	if err := l.DecodeFromBytes(data, p); err != nil {
		return err
	}
	p.AddLayer(l)
	return next(p, l.NextLayerType(), l.LayerPayload())
}

// next goes on with the layer above, if there are bytes left for it.
func next(p gopacket.PacketBuilder, t gopacket.LayerType, payload []byte) error {
	if len(payload) == 0 {
		return nil
	}
	return p.NextDecoder(t)
}

// chained is what every header above the BTH shares: its own bytes, those
// after it, and the BTH whose opcode says what these are.
type chained struct {
	layers.BaseLayer
	bth *BTH
}

func (c *chained) follow(b *BTH) { c.bth = b }

// take splits data after the first size bytes. It fails if there are fewer.
func (c *chained) take(data []byte, name string, size int, df gopacket.DecodeFeedback) error {
	if len(data) < size {
		df.SetTruncated()
		return tooShort(name, "length", len(data), size, ErrTruncated)
	}
	c.Contents, c.Payload = data[:size:size], data[size:]
	return nil
}

// nextExt gives the layer type that follows extension header h.
func (c *chained) nextExt(h Ext) gopacket.LayerType {
	if c.bth == nil {
		return gopacket.LayerTypePayload
	}
	return c.bth.layerTypeAfter(h)
}
