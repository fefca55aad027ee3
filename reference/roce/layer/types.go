// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"math/bits"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// firstType is the number of the first layer type of this package; they stand in the range that gopacket leaves to applications
// and keeps fast.
const firstType = 1791

// The layer types. Those of the extension headers stand in wire order.
const (
	TypeBTH gopacket.LayerType = firstType + iota
	TypeXRCETH
	TypeDETH
	TypeFETH
	TypeRETH
	TypeAtomicETH
	TypeAETH
	TypeAtomicAckETH
	TypeImmDt
	TypeIETH
	TypeCNPReserved
	TypeMAD
	TypeCMReq
	TypeCMMra
	TypeCMRej
	TypeCMRep
	TypeCMRtu
	TypeCMDreq
	TypeCMDrep
	TypeIPCM
)

// messageTypes are the layer types of the CM messages whose layout is known.
var messageTypes = map[roce.AttributeID]gopacket.LayerType{
	roce.AttrREQ: TypeCMReq, roce.AttrMRA: TypeCMMra, roce.AttrREJ: TypeCMRej, roce.AttrREP: TypeCMRep,
	roce.AttrRTU: TypeCMRtu, roce.AttrDREQ: TypeCMDreq, roce.AttrDREP: TypeCMDrep,
}

// extensionType gives the layer type of the first extension header of a set, and that of plain payload for none.
func extensionType(set roce.Ext) gopacket.LayerType {
	if set == 0 {
		return gopacket.LayerTypePayload
	}
	return TypeXRCETH + gopacket.LayerType(bits.TrailingZeros16(uint16(set)))
}

// behind gives the headers of a set that follow one of them on the wire.
func behind(set, header roce.Ext) roce.Ext { return set &^ (header | (header - 1)) }

func init() {
	register(TypeBTH, "BTH", decodeBTH)
	register(TypeXRCETH, "XRCETH", decodeAs[XRCETH])
	register(TypeDETH, "DETH", decodeAs[DETH])
	register(TypeFETH, "FETH", decodeAs[FETH])
	register(TypeRETH, "RETH", decodeAs[RETH])
	register(TypeAtomicETH, "AtomicETH", decodeAs[AtomicETH])
	register(TypeAETH, "AETH", decodeAs[AETH])
	register(TypeAtomicAckETH, "AtomicAckETH", decodeAs[AtomicAckETH])
	register(TypeImmDt, "ImmDt", decodeAs[ImmDt])
	register(TypeIETH, "IETH", decodeAs[IETH])
	register(TypeCNPReserved, "CNPReserved", decodeAs[CNPReserved])
	register(TypeMAD, "MAD", decodeAs[MAD])
	register(TypeCMReq, "CMReq", decodeAs[CMReq])
	register(TypeCMMra, "CMMra", decodeAs[CMMra])
	register(TypeCMRej, "CMRej", decodeAs[CMRej])
	register(TypeCMRep, "CMRep", decodeAs[CMRep])
	register(TypeCMRtu, "CMRtu", decodeAs[CMRtu])
	register(TypeCMDreq, "CMDreq", decodeAs[CMDreq])
	register(TypeCMDrep, "CMDrep", decodeAs[CMDrep])
	register(TypeIPCM, "IPCM", decodeAs[IPCM])
	layers.RegisterUDPPortLayerType(roce.UDPPort, TypeBTH)
}

func register(t gopacket.LayerType, name string, decode gopacket.DecodeFunc) {
	gopacket.RegisterLayerType(int(t), gopacket.LayerTypeMetadata{Name: name, Decoder: decode})
}

// above is a layer that can be found above a BTH.
type above[T any] interface {
	*T
	gopacket.Layer
	gopacket.DecodingLayer
	follow(b *BTH)
}

// decodeAs is the decoder of every layer above the BTH.
func decodeAs[T any, L above[T]](data []byte, p gopacket.PacketBuilder) error {
	l := L(new(T))
	if pkt, ok := p.(gopacket.Packet); ok {
		if b, ok := pkt.Layer(TypeBTH).(*BTH); ok {
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
