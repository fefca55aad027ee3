// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"github.com/google/gopacket"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// extensionHeader is an extension header behind a pointer.
type extensionHeader[T any] interface {
	header[T]
	Kind() roce.Ext
}

// Extension is the layer of an extension header.
type Extension[T any, P extensionHeader[T]] struct{ base[T, P] }

// The layers of the extension headers.
type (
	XRCETH       = Extension[roce.XRCETH, *roce.XRCETH]
	DETH         = Extension[roce.DETH, *roce.DETH]
	FETH         = Extension[roce.FETH, *roce.FETH]
	RETH         = Extension[roce.RETH, *roce.RETH]
	AtomicETH    = Extension[roce.AtomicETH, *roce.AtomicETH]
	AETH         = Extension[roce.AETH, *roce.AETH]
	AtomicAckETH = Extension[roce.AtomicAckETH, *roce.AtomicAckETH]
	ImmDt        = Extension[roce.ImmDt, *roce.ImmDt]
	IETH         = Extension[roce.IETH, *roce.IETH]
	CNPReserved  = Extension[roce.CNPReserved, *roce.CNPReserved]
)

// Of makes the layer of an extension header.
func Of[T any, P extensionHeader[T]](header T) *Extension[T, P] {
	return &Extension[T, P]{base[T, P]{Header: header}}
}

// LayerType gives the type by the kind of the header.
func (e *Extension[T, P]) LayerType() gopacket.LayerType { return extensionType(P(&e.Header).Kind()) }

// CanDecode gives the same.
func (e *Extension[T, P]) CanDecode() gopacket.LayerClass { return e.LayerType() }

// NextLayerType gives a MAD for a datagram to the general service interface, else what follows by the opcode of the packet.
func (e *Extension[T, P]) NextLayerType() gopacket.LayerType {
	if e.bth == nil {
		return gopacket.LayerTypePayload
	}
	if deth, ok := any(&e.Header).(*roce.DETH); ok && e.bth.OpCode == roce.UDSendOnly && roce.IsGSI(&e.bth.BTH, deth) {
		return TypeMAD
	}
	return extensionType(behind(e.bth.OpCode.Ext(), P(&e.Header).Kind()))
}

// SerializeTo writes the header in front of what the buffer holds.
func (e *Extension[T, P]) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	return e.prepend(b)
}
