// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/binary"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// packet is a RoCEv2 packet on its way, to be altered in place.
type packet struct {
	*roce.Packet
	frame []byte
}

// change alters a packet, and says whether it has.
type change func(p packet) bool

// altersSent alters packets that a host sends.
func altersSent(host, what string, change change) fabric.Fault {
	return altered(fabric.FromPort(host), what, change)
}

// altersReceived alters packets that a host gets.
func altersReceived(host, what string, change change) fabric.Fault {
	return altered(fabric.ToPort(host), what, change)
}

func altered(which fabric.Predicate, what string, change change) fabric.Fault {
	return fabric.Fault{
		Match: fabric.And(fabric.IsRoCE(), which),
		Action: fabric.Alter{What: what, Change: func(frame []byte) bool {
			var p roce.Packet
			return p.Decode(frame) == nil && change(packet{&p, frame})
		}},
	}
}

// headers are the extension headers.
func (p packet) headers() []byte { return p.frame[p.BTHOffset+roce.BTHLen : p.PayloadOffset] }

// immediate is the immediate as it lies in the packet, the last of the headers; nil if it has none.
func (p packet) immediate() []byte {
	if !p.Has(roce.ExtImmDt) {
		return nil
	}
	h := p.headers()
	return h[len(h)-ibtrs.ImmediateSize:]
}

// errno has every response with one number carry another.
func errno(from, to ibtrs.Errno) change {
	return func(p packet) bool {
		at := p.immediate()
		if at == nil {
			return false
		}
		id, number, invalidated, ok := ibtrs.Immediate(binary.BigEndian.Uint32(at)).Response()
		if !ok || number != from {
			return false
		}
		imm, err := ibtrs.ResponseImmediate(id, to, invalidated)
		if err != nil {
			return false
		}
		binary.BigEndian.PutUint32(at, uint32(imm))
		return true
	}
}

// message alters messages of the given size and type, of those that begin with their type and travel in a packet of their own.
func message(op roce.OpCode, size int, kind uint16, alter func(m []byte) bool) change {
	return func(p packet) bool {
		if p.BTH.OpCode != op || len(p.Payload) < size || binary.LittleEndian.Uint16(p.Payload) != kind {
			return false
		}
		return alter(p.Payload)
	}
}

// Places in a message of connection management.
const (
	madHeader  = 24
	reqPort    = madHeader + 14       // last in the service id of a connection request
	reqPrivate = madHeader + 140 + 36 // the application's data in a connection request, behind the header for IP addresses
	rejPrivate = madHeader + 84       // the application's data in a reject
	madSize    = 256
)

// managed alters messages of connection management of a kind.
func managed(kind roce.AttributeID, alter func(mad []byte) bool) change {
	return func(p packet) bool {
		if !p.IsMAD() || len(p.Payload) != madSize {
			return false
		}
		mad, _, err := roce.DecodeCM(p.Payload)
		return err == nil && mad.AttributeID == kind && alter(p.Payload)
	}
}
