// SPDX-License-Identifier: Apache-2.0

package roce

import "fmt"

// OpCode is byte 0 of the base transport header: the transport class in bits
// 7:5, the operation in bits 4:0 (InfiniBand Architecture Specification,
// volume 1, chapter 9.2, "Base Transport Header").
type OpCode uint8

// Reliable connection (RC).
const (
	RCSendFirst          OpCode = 0x00
	RCSendMiddle         OpCode = 0x01
	RCSendLast           OpCode = 0x02
	RCSendLastImm        OpCode = 0x03
	RCSendOnly           OpCode = 0x04
	RCSendOnlyImm        OpCode = 0x05
	RCWriteFirst         OpCode = 0x06
	RCWriteMiddle        OpCode = 0x07
	RCWriteLast          OpCode = 0x08
	RCWriteLastImm       OpCode = 0x09
	RCWriteOnly          OpCode = 0x0A
	RCWriteOnlyImm       OpCode = 0x0B
	RCReadRequest        OpCode = 0x0C
	RCReadResponseFirst  OpCode = 0x0D
	RCReadResponseMiddle OpCode = 0x0E
	RCReadResponseLast   OpCode = 0x0F
	RCReadResponseOnly   OpCode = 0x10
	RCAcknowledge        OpCode = 0x11
	RCAtomicAcknowledge  OpCode = 0x12
	RCCompareSwap        OpCode = 0x13
	RCFetchAdd           OpCode = 0x14
	RCSendLastInvalidate OpCode = 0x16
	RCSendOnlyInvalidate OpCode = 0x17
	RCFlush              OpCode = 0x1C
	RCAtomicWrite        OpCode = 0x1D
)

// An opcode is a transport class in its bits 7:5 and one of 32 operations.
const (
	classMask              OpCode = 0xE0
	operationsPerTransport int    = 32
)

// Unreliable connection (UC).
const (
	UCSendFirst    OpCode = 0x20
	UCSendMiddle   OpCode = 0x21
	UCSendLast     OpCode = 0x22
	UCSendLastImm  OpCode = 0x23
	UCSendOnly     OpCode = 0x24
	UCSendOnlyImm  OpCode = 0x25
	UCWriteFirst   OpCode = 0x26
	UCWriteMiddle  OpCode = 0x27
	UCWriteLast    OpCode = 0x28
	UCWriteLastImm OpCode = 0x29
	UCWriteOnly    OpCode = 0x2A
	UCWriteOnlyImm OpCode = 0x2B
)

// Unreliable datagram (UD) and congestion notification.
const (
	UDSendOnly    OpCode = 0x64
	UDSendOnlyImm OpCode = 0x65
	CNP           OpCode = 0x81 // congestion notification packet
)

// Extended reliable connection (XRC).
const (
	XRCSendFirst          OpCode = 0xA0
	XRCSendMiddle         OpCode = 0xA1
	XRCSendLast           OpCode = 0xA2
	XRCSendLastImm        OpCode = 0xA3
	XRCSendOnly           OpCode = 0xA4
	XRCSendOnlyImm        OpCode = 0xA5
	XRCWriteFirst         OpCode = 0xA6
	XRCWriteMiddle        OpCode = 0xA7
	XRCWriteLast          OpCode = 0xA8
	XRCWriteLastImm       OpCode = 0xA9
	XRCWriteOnly          OpCode = 0xAA
	XRCWriteOnlyImm       OpCode = 0xAB
	XRCReadRequest        OpCode = 0xAC
	XRCReadResponseFirst  OpCode = 0xAD
	XRCReadResponseMiddle OpCode = 0xAE
	XRCReadResponseLast   OpCode = 0xAF
	XRCReadResponseOnly   OpCode = 0xB0
	XRCAcknowledge        OpCode = 0xB1
	XRCAtomicAcknowledge  OpCode = 0xB2
	XRCCompareSwap        OpCode = 0xB3
	XRCFetchAdd           OpCode = 0xB4
	XRCSendLastInvalidate OpCode = 0xB6
	XRCSendOnlyInvalidate OpCode = 0xB7
)

// Class is the transport class of an opcode, its bits 7:5 in place.
type Class uint8

// The transport classes.
const (
	ClassRC           Class = 0x00
	ClassUC           Class = 0x20
	ClassRD           Class = 0x40 // reliable datagram: no opcode of it is known here
	ClassUD           Class = 0x60
	ClassCNP          Class = 0x80
	ClassXRC          Class = 0xA0
	ClassManufacturer Class = 0xE0
)

// Operation is what a packet does, whatever its transport class.
type Operation uint8

// The operations. Unknown is that of an unassigned opcode.
const (
	OperationUnknown Operation = iota
	OperationSend
	OperationWrite
	OperationReadRequest
	OperationReadResponse
	OperationAcknowledge
	OperationAtomicAcknowledge
	OperationCompareSwap
	OperationFetchAdd
	OperationFlush
	OperationAtomicWrite
	OperationCongestion
)

// Position is the place of a packet in its message.
type Position uint8

// The positions. A packet that is a whole message is an Only.
const (
	PositionNone Position = iota // the operation has no segments
	PositionFirst
	PositionMiddle
	PositionLast
	PositionOnly
)

// PayloadRule says which payload length an opcode allows.
type PayloadRule uint8

// The payload rules, with PMTU the path MTU in bytes.
const (
	PayloadAny      PayloadRule = iota // unknown opcode: no rule
	PayloadNone                        // 0
	PayloadPMTU                        // exactly PMTU
	PayloadOneToMTU                    // 1 to PMTU
	PayloadUpToMTU                     // 0 to PMTU
	PayloadEight                       // exactly 8
)

// Class gives the transport class.
func (o OpCode) Class() Class { return Class(o & classMask) }

// Known reports whether the opcode is assigned, so that its headers are known.
func (o OpCode) Known() bool { return opcodes[o].operation != OperationUnknown }

// Operation gives what the packet does.
func (o OpCode) Operation() Operation { return opcodes[o].operation }

// Position gives the place of the packet in its message.
func (o OpCode) Position() Position { return opcodes[o].position }

// Ext gives the set of extension headers that follow the BTH.
func (o OpCode) Ext() Ext { return opcodes[o].ext }

// HeaderLen is the length of BTH and extension headers together, in bytes.
func (o OpCode) HeaderLen() int { return BTHLen + int(opcodes[o].extLen) }

// Payload gives the rule that the payload length must keep.
func (o OpCode) Payload() PayloadRule { return opcodes[o].payload }

// IsRequest reports whether a requester sends it: it consumes PSNs of its own.
func (o OpCode) IsRequest() bool { return o.Known() && !o.IsResponse() && o != CNP }

// IsResponse reports whether a responder sends it: READ responses, Acknowledge
// and Atomic Acknowledge. Its PSN is one of the request's.
func (o OpCode) IsResponse() bool {
	switch opcodes[o].operation {
	case OperationReadResponse, OperationAcknowledge, OperationAtomicAcknowledge:
		return true
	}
	return false
}

// StartsMessage reports whether the packet is the first of its message.
func (o OpCode) StartsMessage() bool {
	p := opcodes[o].position
	return p == PositionFirst || p == PositionOnly
}

// EndsMessage reports whether the packet is the last of its message.
func (o OpCode) EndsMessage() bool {
	p := opcodes[o].position
	return p == PositionLast || p == PositionOnly
}

// ConsumesReceive reports whether the packet uses up a receive work request
// at its destination: a SEND at its first packet, a WRITE with immediate at
// its last.
func (o OpCode) ConsumesReceive() bool {
	switch opcodes[o].operation {
	case OperationSend:
		return o.StartsMessage()
	case OperationWrite:
		return o.Ext().Has(ExtImmDt)
	}
	return false
}

// CheckPayload reports as an [Error] a payload of n bytes that the opcode does
// not allow at a path MTU of pmtu bytes.
func (o OpCode) CheckPayload(n, pmtu int) error {
	low, high := o.Payload().bounds(pmtu)
	if n < low {
		return tooShort(o.String(), "payload length", n, low, ErrMalformed)
	}
	if n > high {
		return tooLong(o.String(), "payload length", n, high)
	}
	return nil
}

// bounds gives the smallest and the largest permitted length.
func (r PayloadRule) bounds(pmtu int) (low, high int) {
	switch r {
	case PayloadNone:
		return 0, 0
	case PayloadPMTU:
		return pmtu, pmtu
	case PayloadOneToMTU:
		return 1, pmtu
	case PayloadUpToMTU:
		return 0, pmtu
	case PayloadEight:
		return 8, 8
	}
	return 0, 1 << 16
}

// String gives the class and the operation, for example "RC RDMA WRITE Only
// with Immediate", or "opcode 0x1f" for an unassigned one.
func (o OpCode) String() string {
	if name := opcodes[o].name; name != "" {
		return name
	}
	return fmt.Sprintf("opcode %#02x", uint8(o))
}
