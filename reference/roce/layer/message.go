// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"github.com/google/gopacket"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// MAD is the layer of the common header of a management datagram. Serialized with FixLengths, the datagram is padded with zeros to
// 256 bytes.
type MAD struct {
	base[roce.MAD, *roce.MAD]
}

// MADOf makes the layer of a header.
func MADOf(header roce.MAD) *MAD {
	m := &MAD{}
	m.Header = header
	return m
}

// LayerType gives TypeMAD.
func (m *MAD) LayerType() gopacket.LayerType { return TypeMAD }

// CanDecode gives TypeMAD.
func (m *MAD) CanDecode() gopacket.LayerClass { return TypeMAD }

// NextLayerType gives the CM message by attribute; plain payload for other classes and for attributes that are known by name only.
func (m *MAD) NextLayerType() gopacket.LayerType {
	if t, known := messageTypes[m.Header.AttributeID]; known && m.Header.IsCM() {
		return t
	}
	return gopacket.LayerTypePayload
}

// SerializeTo writes the header in front of the data that the buffer holds.
func (m *MAD) SerializeTo(b gopacket.SerializeBuffer, opts gopacket.SerializeOptions) error {
	if opts.FixLengths {
		if err := padTo(b, "MAD", "data length", roce.MADDataLen); err != nil {
			return err
		}
	}
	return m.prepend(b)
}

// messageHeader is a CM message behind a pointer.
type messageHeader[T any] interface {
	*T
	roce.CMMessage
}

// Message is the layer of a CM message. Serialized with FixLengths, its private data is padded with zeros to its full length.
type Message[T any, P messageHeader[T]] struct{ base[T, P] }

// The layers of the CM messages.
type (
	CMReq  = Message[roce.CMReq, *roce.CMReq]
	CMMra  = Message[roce.CMMra, *roce.CMMra]
	CMRej  = Message[roce.CMRej, *roce.CMRej]
	CMRep  = Message[roce.CMRep, *roce.CMRep]
	CMRtu  = Message[roce.CMRtu, *roce.CMRtu]
	CMDreq = Message[roce.CMDreq, *roce.CMDreq]
	CMDrep = Message[roce.CMDrep, *roce.CMDrep]
)

// LayerType gives the type by the attribute of the message.
func (m *Message[T, P]) LayerType() gopacket.LayerType {
	return messageTypes[P(&m.Header).Attribute()]
}

// CanDecode gives the same.
func (m *Message[T, P]) CanDecode() gopacket.LayerClass { return m.LayerType() }

// NextLayerType gives the IP addressing of a REQ to the RDMA IP CM service, else plain payload, for the private data.
func (m *Message[T, P]) NextLayerType() gopacket.LayerType {
	if request, ok := any(&m.Header).(*roce.CMReq); ok {
		if _, _, ip := request.ServiceID.IP(); ip {
			return TypeIPCM
		}
	}
	return gopacket.LayerTypePayload
}

// SerializeTo writes the message in front of the private data that the buffer holds.
func (m *Message[T, P]) SerializeTo(b gopacket.SerializeBuffer, opts gopacket.SerializeOptions) error {
	message := P(&m.Header)
	if opts.FixLengths {
		if err := padTo(b, "CM "+message.Attribute().String(), "private data length", roce.MADDataLen-message.Len()); err != nil {
			return err
		}
	}
	return m.prepend(b)
}

// IPCM is the layer of the IP addressing at the head of the private data of a REQ. Serialized with FixLengths, the application's
// private data behind it is padded with zeros to 56 bytes.
type IPCM struct {
	base[roce.IPCM, *roce.IPCM]
}

// LayerType gives TypeIPCM.
func (c *IPCM) LayerType() gopacket.LayerType { return TypeIPCM }

// CanDecode gives TypeIPCM.
func (c *IPCM) CanDecode() gopacket.LayerClass { return TypeIPCM }

// NextLayerType gives plain payload, for the private data of the application.
func (c *IPCM) NextLayerType() gopacket.LayerType { return gopacket.LayerTypePayload }

// SerializeTo writes the addressing in front of the application's private data.
func (c *IPCM) SerializeTo(b gopacket.SerializeBuffer, opts gopacket.SerializeOptions) error {
	if opts.FixLengths {
		if err := padTo(b, "IP CM", "private data length", roce.REQIPPrivateLen); err != nil {
			return err
		}
	}
	return c.prepend(b)
}
